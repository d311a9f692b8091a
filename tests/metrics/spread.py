"""Distribution (how often people do something, how much in a period) and interval (how long between two events)."""

from filters import matches, select
from measures import measure, quantile
from table import Table


def per_user(data, params):
    """{user: number} of an event in the period: times, days, or a measure of a property."""
    how, prop = params.get("measure", "count"), params.get("property")
    mine = {}
    for event in select(data, params, data.between(params)):
        if event.name == params["event"]:
            mine.setdefault(event.user, []).append(event)
    if how == "days":
        return {user: len({event.day for event in events}) for user, events in mine.items()}
    return {user: measure(data, events, how, prop) for user, events in mine.items()}


def buckets(numbers, bounds):
    """{index of bucket: people}: bucket i holds bounds[i-1] <= number < bounds[i]."""
    found = {}
    for number in numbers.values():
        index = sum(number >= bound for bound in bounds)
        found[index] = found.get(index, 0) + 1
    return found


def intervals(data, params):
    """Milliseconds from a first event to the next second event of the same person; each first event is used once, and a later first event
    before the second takes its place."""
    first, second = params["first"], params["second"]
    found = []
    for user, events in data.by_user.items():
        start = None
        for event in data.between(params, events):
            if event.name == second["event"] and start is not None and matches(data, event, second.get("filter")):
                found.append(event.time - start.time)
                start = None
            if event.name == first["event"] and matches(data, event, first.get("filter")):
                start = event
    return sorted(found)


def summary(values):
    """Count, average, least, quartiles, most."""
    if not values:
        return None
    return {"count": len(values), "avg": sum(values) / len(values), "min": values[0], "max": values[-1]} | {
        f"p{level}": quantile(values, level / 100) for level in (25, 50, 75, 90)
    }


def cases(data):
    """(report, parameters, what is expected)."""
    for measure in ("count", "days"):
        yield "distribution", data.last(16) | {"event": "ViewProduct", "measure": measure, "bounds": [1, 2, 3, 5, 10, 20]}, expected_people
    for measure in ("sum", "avg", "max"):
        yield "distribution", data.last(16) | {"event": "PayOrder", "measure": measure, "property": "amount", "bounds": [10, 100, 500, 1000, 5000]}, expected_people
    yield "interval", data.last(16) | {"first": {"event": "AddToCart"}, "second": {"event": "PayOrder"}}, expected_times
    yield "interval", data.last(16) | {"first": {"event": "PayOrder"}, "second": {"event": "PayOrder"}}, expected_times


def expected_people(data, params):
    """Parts of the answer."""
    found = buckets(per_user(data, params), params["bounds"])
    return {"rows": Table(["bucket"], [{"bucket": index, "users": people} for index, people in found.items()])}


def expected_times(data, params):
    """Parts of the answer."""
    found = summary(intervals(data, params))
    row = {"pairs": found["count"], "avg_s": found["avg"] / 1000, "min_s": found["min"] / 1000, "max_s": found["max"] / 1000}
    return {"rows": Table([], [row | {"quartiles_s": [found[name] / 1000 for name in ("p25", "p50", "p75", "p90")]}])}
