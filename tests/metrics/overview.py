"""PV, UV, DAU, visits, bounces, durations, depth, new and old visitors of a period."""

from filters import select
from table import Table
from sent import day_number


def ratio(part, whole):
    """A share; nothing of nothing is 0."""
    return part / whole if whole else 0.0


def measures(data, params):
    """All numbers of the period, by name."""
    first, last = day_number(params["from"]), day_number(params["to"])
    client = select(data, params, data.between(params, data.client))
    pages = [event for event in client if event.is_page]
    visitors = {event.user for event in pages}
    # A visit belongs to the day it starts on.
    all_visits = [visit for visit in data.visits if first <= visit.day <= last and _counts(data, params, visit)]
    visits = [visit for visit in all_visits if visit.pages]
    duration_ms = sum(visit.end - visit.start for visit in visits)
    new = sum(first <= data.first_day[user] <= last for user in {event.user for event in client})
    old = sum(data.first_day[user] < first for user in visitors)
    return {
        "pv": len(pages),
        "uv": len(visitors),
        "active": len({event.user for event in client}),
        "visits": len(visits),
        "sessions": len(all_visits),
        "bounces": sum(visit.pages == 1 for visit in visits),
        "bounce_rate": ratio(sum(visit.pages == 1 for visit in visits), len(visits)),
        "single_event": sum(len(visit.events) == 1 for visit in all_visits),
        "single_event_rate": ratio(sum(len(visit.events) == 1 for visit in all_visits), len(all_visits)),
        "duration_ms": duration_ms,
        "duration_per_visit_s": ratio(duration_ms / 1000, len(visits)),
        "duration_per_user_s": ratio(duration_ms / 1000, len(visitors)),
        "depth": ratio(len(pages), len(visits)),
        "new_users": new,
        "old_users": old,
    }


def _counts(data, params, visit):
    """A filter picks the visits that have an event that fits."""
    return not params.get("filter") or bool(select(data, params, visit.events))


FILTER = {"and": [{"field": "$city", "kind": "preset", "op": "in", "values": ["北京", "上海", "深圳"]}, {"field": "$lib", "kind": "preset", "op": "is_not", "values": ["js"]}]}


def cases(data):
    """(report, parameters, what is expected)."""
    for days in (1, 7, 16):
        yield "overview", data.last(days), expected
    yield "overview", data.last(3, before=5), expected
    yield "overview", data.last(7) | {"compare": data.last(7, before=7)}, expected
    yield "overview", data.last(7) | {"filter": FILTER}, expected


def expected(data, params):
    """Parts of the answer."""
    parts = {"total": Table([], [measures(data, params)])}
    if "compare" in params:
        parts["compare"] = Table([], [measures(data, params | params["compare"])])
    return parts
