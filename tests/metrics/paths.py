"""Paths: what follows what within a visit."""

from filters import select
from sent import day_number
from table import Table


def edges(data, params):
    """{(step, from, to): {"times", "users"}} of the first steps of each visit of the period; the end of a visit is no step."""
    first, last = day_number(params["from"]), day_number(params["to"])
    names, most = set(params["events"]) if params.get("events") else None, params.get("steps", 5)
    start, end = params.get("start_event"), params.get("end_event")
    found = {}
    for visit in data.visits:
        if not first <= visit.day <= last:
            continue
        way = [event.name for event in select(data, params, visit.events) if names is None or event.name in names]
        if params.get("collapse"):
            way = [name for at, name in enumerate(way) if not at or way[at - 1] != name]
        if end:
            # Read backwards from the first time it comes there.
            way = way[: way.index(end) + 1][::-1] if end in way else []
        if start:
            way = way[way.index(start) :] if start in way else []
        for step, (one, other) in enumerate(zip(way[: most - 1], way[1:most])):
            key = (step + 1, other, one) if end else (step + 1, one, other)
            row = found.setdefault(key, {"times": 0, "users": set()})
            row["times"] += 1
            row["users"].add(visit.user)
    return found


def cases(data):
    """(report, parameters, what is expected)."""
    names = ["$pageview", "$MPViewScreen", "$AppViewScreen", "SearchProduct", "ViewProduct", "AddToCart", "SubmitOrder"]
    yield "paths", data.last(7) | {"steps": 4, "limit": 5000}, expected
    yield "paths", data.last(7) | {"events": names, "steps": 6, "limit": 5000}, expected
    yield "paths", data.last(7) | {"events": names, "start_event": "SearchProduct", "limit": 5000}, expected
    yield "paths", data.last(7) | {"start_event": "ViewProduct", "collapse": True, "limit": 5000}, expected
    yield "paths", data.last(7) | {"end_event": "SubmitOrder", "limit": 5000}, expected
    yield "paths", data.last(7) | {"events": names, "end_event": "AddToCart", "collapse": True, "steps": 3, "limit": 5000}, expected


def expected(data, params):
    """Parts of the answer."""
    rows = [
        {"step": step, "source": one, "target": other, "times": row["times"], "users": len(row["users"])}
        for (step, one, other), row in edges(data, params).items()
    ]
    return {"rows": Table(["step", "source", "target"], rows)}
