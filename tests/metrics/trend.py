"""The numbers of overview by hour, day, week (from Monday) or month."""

import datetime

import overview
from sent import ZONE_OFFSET_MS, day_number, day_text
from table import Table

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

    first, last = day_number(params["from"]), day_number(params["to"])
    found = {}
    for day in range(first, last + 1):
        for hour in range(24):
            start = bucket("hour", day * 86_400_000 - ZONE_OFFSET_MS + hour * HOUR_MS)
            found[start] = {"pv": 0, "people": set(), "visitors": set(), "day": day, "visits": 0, "bounces": 0, "duration_ms": 0}
    for event in select(data, params, data.between(params, data.client)):
        row = found[bucket("hour", event.time)]
        row["people"].add(event.user)
        if event.is_page:
            row["pv"] += 1
            row["visitors"].add(event.user)
    for visit in data.visits:
        if visit.pages and first <= visit.day <= last and (not params.get("filter") or select(data, params, visit.events)):
            row = found[bucket("hour", visit.start)]
            row["visits"] += 1
            row["bounces"] += visit.pages == 1
            row["duration_ms"] += visit.end - visit.start
    return {
        start: {
            "pv": row["pv"], "uv": len(row["visitors"]), "active": len(row["people"]), "visits": row["visits"], "bounces": row["bounces"],
            "duration_ms": row["duration_ms"],
            # New that hour: here for the first time on that day.
            "new_users": sum(data.first_day[user] >= row["day"] for user in row["people"]),
            "old_users": sum(data.first_day[user] < row["day"] for user in row["visitors"]),
        }
        for start, row in found.items()
    }


def cases(data):
    """(report, parameters, what is expected)."""
    for unit in ("day", "week", "month"):
        yield "trend", data.last(16) | {"unit": unit}, expected
    yield "trend", data.last(2, before=1) | {"unit": "hour"}, expected
    yield "trend", data.last(7) | {"filter": overview.FILTER}, expected


def expected(data, params):
    """Parts of the answer."""
    return {"rows": Table(["bucket"], [{"bucket": start} | row for start, row in rows(data, params).items()])}
