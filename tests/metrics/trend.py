"""The numbers of overview by hour, day, week (from Monday) or month."""

import datetime

import overview
from sent import ZONE_OFFSET_MS, day_number, day_text

HOUR_MS = 3_600_000


def bucket(unit, ms):
    """The start of the unit a moment is in, as text."""
    local = datetime.datetime.fromtimestamp((ms + ZONE_OFFSET_MS) / 1000, datetime.timezone.utc)
    if unit == "hour":
        return local.strftime("%Y-%m-%d %H:00:00")
    if unit == "week":
        local -= datetime.timedelta(days=local.weekday())
    if unit == "month":
        local = local.replace(day=1)
    return local.strftime("%Y-%m-%d")


def rows(data, params):
    """One row a unit: {start: measures}; people are counted anew in each."""
    unit = params.get("unit", "day")
    if unit == "hour":
        return _hours(data, params)
    found = {}
    for day in range(day_number(params["from"]), day_number(params["to"]) + 1):
        found.setdefault(bucket(unit, day * 86_400_000 - ZONE_OFFSET_MS), []).append(day)
    return {
        start: overview.measures(data, params | {"from": day_text(days[0]), "to": day_text(days[-1])})
        for start, days in found.items()
    }


def _hours(data, params):
    from filters import select

    found = {}
    for event in select(data, params, data.between(params, data.client)):
        row = found.setdefault(bucket("hour", event.time), {"pv": 0, "users": set(), "active": set()})
        row["active"].add(event.user)
        if event.is_page:
            row["pv"] += 1
            row["users"].add(event.user)
    first, last = day_number(params["from"]), day_number(params["to"])
    for visit in data.visits:
        if visit.pages and first <= visit.day <= last:
            row = found.setdefault(bucket("hour", visit.start), {"pv": 0, "users": set(), "active": set()})
            row["visits"] = row.get("visits", 0) + 1
    return {start: {"pv": row["pv"], "uv": len(row["users"]), "dau": len(row["active"]), "visits": row.get("visits", 0)} for start, row in sorted(found.items())}
