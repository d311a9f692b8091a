"""Retention: of those who did one thing in a day, week or month, how many did another thing n of these later."""

from filters import matches
from table import Table
from sent import DAY_MS, ZONE_OFFSET_MS, day_number, day_text


def unit_of(unit, day):
    """Number of the unit a day is in: days, weeks from Monday, months."""
    if unit == "day":
        return day
    if unit == "week":
        # 1970-01-05 was a Monday.
        return (day - 4) // 7
    year, month = day_text(day)[:7].split("-")
    return int(year) * 12 + int(month) - 1


def unit_start(unit, number):
    """First day of a unit, as text."""
    if unit == "day":
        return day_text(number)
    if unit == "week":
        return day_text(number * 7 + 4)
    return f"{number // 12:04d}-{number % 12 + 1:02d}-01"


def starters(data, params):
    """{unit: users} who began in it: new visitors, or whoever did the start event."""
    first, last, unit = day_number(params["from"]), day_number(params["to"]), params.get("unit", "day")
    found = {}
    start = params.get("start")
    if not start or start.get("event") in (None, "", "$new"):
        for user, day in data.first_day.items():
            if first <= day <= last:
                found.setdefault(unit_of(unit, day), set()).add(user)
        return found
    for event in data.between(params):
        if event.name == start["event"] and matches(data, event, start.get("filter")):
            found.setdefault(unit_of(unit, event.day), set()).add(event.user)
    return found


def returners(data, params):
    """{unit: users} who came back in it: any client event, or the return event."""
    unit, back = params.get("unit", "day"), params.get("return")
    found = {}
    for event in data.events:
        if back and back.get("event") not in (None, "", "$any"):
            if not (event.name == back["event"] and matches(data, event, back.get("filter"))):
                continue
        elif event.server:
            continue
        found.setdefault(unit_of(unit, event.day), set()).add(event.user)
    return found


def cells(data, params, span):
    """{(start, n): (people, came back, came back in any unit from the first after the start to n)} for n from 0 to `span`; cells whose unit is not over yet are not there."""
    unit = params.get("unit", "day")
    begin, back = starters(data, params), returners(data, params)
    today = unit_of(unit, (params["now_ms"] + ZONE_OFFSET_MS) // DAY_MS)
    found = {}
    for start, people in begin.items():
        for later in range(span + 1):
            if start + later < today or later == 0:
                within = set().union(*(back.get(start + each, set()) for each in range(1, later + 1)))
                found[unit_start(unit, start), later] = (len(people), len(people & back.get(start + later, set())), len(people & within))
    return found


def cases(data):
    """(report, parameters, what is expected)."""
    yield "retention", data.last(14) | {"span": 13}, expected
    yield "retention", data.last(16) | {"unit": "week", "span": 3}, expected
    yield "retention", data.last(16) | {"unit": "month", "span": 2}, expected
    yield "retention", data.last(10) | {"start": {"event": "ViewProduct"}, "return": {"event": "PayOrder"}, "span": 7}, expected
    cheap = {"field": "price", "kind": "num", "op": "lt", "values": [100]}
    yield "retention", data.last(10) | {"start": {"event": "AddToCart", "filter": cheap}, "span": 5}, expected
    yield "retention", data.last(12) | {"span": 9, "mean": True}, expected
    start = data.last(12)["from"]
    for later, came_back in ((1, True), (3, True), (3, False)):
        yield "retention", data.last(12) | {"span": 9, "cell": {"start": start, "later": later, "back": came_back}, "limit": 100_000}, expected_people


def expected_people(data, params):
    """The people of a cell, by what they are called."""
    unit, cell = params.get("unit", "day"), params["cell"]
    began = unit_of(unit, day_number(cell["start"]))
    people = starters(data, params).get(began, set())
    came = people & returners(data, params).get(began + cell["later"], set())
    listed = came if cell["back"] else people - came
    rows = [{"distinct_id": name} for name in sorted(known_as(data, params, user) for user in listed)]
    return {"people": Table(["distinct_id"], rows)}


def known_as(data, params, user):
    """What a person is called: the newest login, else the newest id; by events from the range on."""
    mine = [event for event in data.by_user[user] if event.day >= day_number(params["from"])]
    logins = [event for event in mine if event.login]
    return logins[-1].login if logins else mine[-1].distinct


def expected(data, params):
    """Parts of the answer."""
    rows, sums = [], {}
    for (start, later), counts in cells(data, params, params["span"]).items():
        people, back, within = counts
        rows.append({"start": start, "later": later} | shares(people, back, within))
        sums[later] = [one + other for one, other in zip(sums.get(later, (0, 0, 0)), counts)]
    parts = {"rows": Table(["start", "later"], rows)}
    if params.get("mean"):
        parts["mean"] = Table(["later"], [{"later": later} | shares(*counts) for later, counts in sums.items()])
    return parts


def shares(people, back, within):
    """The numbers of a cell."""
    return {"people": people, "back": back, "rate": back / people, "within": within, "within_rate": within / people}
