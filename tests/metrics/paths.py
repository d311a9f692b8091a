"""Paths: what follows what within a visit."""

from filters import select
from sent import day_number


def edges(data, params):
    """{(step, from, to): times} of the first steps of each visit of the period; the end of a visit is no step."""
    first, last = day_number(params["from"]), day_number(params["to"])
    names, most = set(params["events"]) if params.get("events") else None, params.get("steps", 5)
    start = params.get("start")
    found = {}
    for visit in data.visits:
        if not first <= visit.day <= last:
            continue
        way = [event.name for event in select(data, params, visit.events) if names is None or event.name in names]
        if start:
            way = way[way.index(start) :] if start in way else []
        for step, (one, other) in enumerate(zip(way[: most - 1], way[1:most])):
            key = (step + 1, one, other)
            found[key] = found.get(key, 0) + 1
    return found
