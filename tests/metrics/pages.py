"""Pages: views, people, entries, exits, and how long each was looked at."""

from filters import select

from data import DURATION_MAX_S
from overview import FILTER
from table import Table
from sent import day_number

LEAVE_EVENTS = {"$WebPageLeave", "$AppPageLeave", "$MPPageLeave"}


def page_of(event):
    """What a page is called: its path, or an app's screen."""
    return event.props.get("$url_path") or event.props.get("$screen_name") or ""


def pages(data, params):
    """{page: numbers}. Looking times over a day are errors: left out and counted."""
    first, last = day_number(params["from"]), day_number(params["to"])
    found = {}

    def row(page):
        return found.setdefault(page, {"pv": 0, "users": set(), "entries": 0, "exits": 0, "bounces": 0, "stays": 0, "stay_s": 0.0, "odd": 0})

    for event in select(data, params, data.between(params, data.client)):
        if event.is_page:
            mine = row(page_of(event))
            mine["pv"] += 1
            mine["users"].add(event.user)
        elif event.name in LEAVE_EVENTS and data.number(event, "event_duration") is not None:
            seconds, mine = data.number(event, "event_duration"), row(page_of(event))
            if seconds > DURATION_MAX_S:
                mine["odd"] += 1
            else:
                mine["stays"] += 1
                mine["stay_s"] += seconds
    for visit in data.visits:
        if first <= visit.day <= last and visit.pages and select(data, params, visit.events):
            seen = [event for event in visit.events if event.is_page]
            row(page_of(seen[0]))["entries"] += 1
            row(page_of(seen[-1]))["exits"] += 1
            row(page_of(seen[0]))["bounces"] += visit.pages == 1
    return found


def split(data, params, field):
    """{value: numbers} of pages seen by a preset: regions, devices, sources."""
    found = {}
    for event in select(data, params, data.between(params, data.client)):
        if event.is_page:
            mine = found.setdefault(data.label(event, field), {"pv": 0, "users": set()})
            mine["pv"] += 1
            mine["users"].add(event.user)
    return {value: {"pv": row["pv"], "uv": len(row["users"])} for value, row in found.items()}


def visits_by(data, params, label):
    """{value: numbers} of visits by what they begin with: `label(first page event)`."""
    first, last = day_number(params["from"]), day_number(params["to"])
    found = {}
    for visit in data.visits:
        if not visit.pages or not first <= visit.day <= last or not select(data, params, visit.events):
            continue
        entry = next(event for event in visit.events if event.is_page)
        row = found.setdefault(label(entry), {"visits": 0, "pv": 0, "users": set(), "bounces": 0, "duration_ms": 0})
        row["visits"] += 1
        row["pv"] += visit.pages
        row["users"].add(visit.user)
        row["bounces"] += visit.pages == 1
        row["duration_ms"] += visit.end - visit.start
    return found


def cases(data):
    """(report, parameters, what is expected)."""
    yield "pages", data.last(7), expected_pages
    yield "pages", data.last(2, before=4), expected_pages
    yield "pages", data.last(7) | {"filter": FILTER}, expected_pages
    yield "sources", data.last(7) | {"dimension": "$utm_medium", "filter": FILTER}, expected_visits
    for report, dimension in (
        ("sources", "$latest_traffic_source_type"), ("sources", "$utm_source"), ("sources", "$utm_campaign"), ("sources", "$referrer_host"),
        ("regions", "$province"), ("regions", "$city"), ("devices", "$lib"), ("devices", "$browser"), ("devices", "$os"), ("devices", "$model"),
        ("devices", "$app_version"),
    ):
        yield report, data.last(7) | {"dimension": dimension}, expected_visits


def expected_pages(data, params):
    """Parts of the answer."""
    rows = [
        {"page": page, "pv": row["pv"], "uv": len(row["users"]), "entries": row["entries"], "exits": row["exits"], "bounces": row["bounces"],
         "stays": row["stays"], "stay_s": row["stay_s"], "odd": row["odd"]}
        for page, row in pages(data, params).items()
    ]
    return {"rows": Table(["page"], rows)}


def expected_visits(data, params):
    """Parts of the answer."""
    field = {"field": params["dimension"], "kind": "preset"}
    found = visits_by(data, params, lambda entry: data.label(entry, field))
    rows = [
        {"label": label, "visits": row["visits"], "pv": row["pv"], "uv": len(row["users"]), "bounces": row["bounces"], "duration_ms": row["duration_ms"],
         "bounce_rate": row["bounces"] / row["visits"], "duration_per_visit_s": row["duration_ms"] / 1000 / row["visits"]}
        for label, row in found.items()
    ]
    return {"rows": Table(["label"], rows)}
