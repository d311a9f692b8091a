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
    """{(start, n): (people, came back)} for n from 0 to `span`; cells whose unit is not over yet are not there."""
    unit = params.get("unit", "day")
    begin, back = starters(data, params), returners(data, params)
    today = unit_of(unit, (params["now_ms"] + ZONE_OFFSET_MS) // DAY_MS)
    found = {}
    for start, people in begin.items():
        for later in range(span + 1):
            if start + later < today or later == 0:
                found[unit_start(unit, start), later] = (len(people), len(people & back.get(start + later, set())))
    return found


def cases(data):
    """(report, parameters, what is expected)."""
    yield "retention", data.last(14) | {"span": 13}, expected
    yield "retention", data.last(16) | {"unit": "week", "span": 3}, expected
    yield "retention", data.last(16) | {"unit": "month", "span": 2}, expected
    yield "retention", data.last(10) | {"start": {"event": "ViewProduct"}, "return": {"event": "PayOrder"}, "span": 7}, expected
    cheap = {"field": "price", "kind": "num", "op": "lt", "values": [100]}
    yield "retention", data.last(10) | {"start": {"event": "AddToCart", "filter": cheap}, "span": 5}, expected


def expected(data, params):
    """Parts of the answer."""
    rows = [
        {"start": start, "later": later, "people": people, "back": back, "rate": back / people}
        for (start, later), (people, back) in cells(data, params, params["span"]).items()
    ]
    return {"rows": Table(["start", "later"], rows)}
