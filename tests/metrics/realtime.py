"""The last half hour: views, people and events by minute, who is online, what is seen most."""

from filters import select
from table import Table

MINUTE_MS = 60_000
SPAN_MIN = 30
ONLINE_MIN = 5
LIST = 10
FILTER = {"and": [{"field": "$lib", "kind": "preset", "op": "in", "values": ["js", "iOS", "Java"]}]}


def cases(data):
    """(report, parameters, what is expected): moments of a busy hour, of a quiet one, and just after midnight."""
    last = data.events[-1].time
    midnight = data.events[-1].day * 86_400_000 - 8 * 3_600_000
    for at_ms in (last - 3 * 3_600_000 + 12_345, last, midnight + 7 * MINUTE_MS, midnight - 20 * 3_600_000):
        yield "realtime", {"project": "default", "at_ms": at_ms}, expected
    yield "realtime", {"project": "default", "at_ms": last - 5 * 3_600_000, "filter": FILTER}, expected


def expected(data, params):
    """Parts of the answer."""
    now = params["at_ms"]
    start = now // MINUTE_MS * MINUTE_MS - (SPAN_MIN - 1) * MINUTE_MS
    events = select(data, params, [event for event in data.events if start <= event.time <= now])
    rows = [{"bucket": clock(start + at * MINUTE_MS)} | counts([e for e in events if (e.time - start) // MINUTE_MS == at]) for at in range(SPAN_MIN)]
    online = {e.user for e in events if not e.server and e.time >= now - ONLINE_MIN * MINUTE_MS}
    return {
        "total": Table([], [counts(events) | {"online": len(online)}]),
        "minutes": Table(["bucket"], rows, ordered=True),
        "events": top(groups(events, lambda e: e.name), "event", lambda of: {"events": len(of), "users": len({e.user for e in of})}, "events"),
        "pages": views(events, lambda e: e.props.get("$url_path") or e.props.get("$screen_name") or ""),
        "platforms": views(events, lambda e: e.lib),
    }


def counts(events):
    """Numbers of some events."""
    pages = [event for event in events if event.is_page]
    people = {event.user for event in events if not event.server}
    return {"pv": len(pages), "uv": len({event.user for event in pages}), "active": len(people), "events": len(events)}


def groups(events, label):
    """Events by a label."""
    found = {}
    for event in events:
        found.setdefault(label(event), []).append(event)
    return found


def views(events, label):
    """Page views by a label, the most first."""
    pages = groups([event for event in events if event.is_page], label)
    return top(pages, "label", lambda of: {"pv": len(of), "uv": len({e.user for e in of})}, "pv")


def top(found, name, measure, by):
    """The first of a list, in its order."""
    rows = [{name: label} | measure(events) for label, events in found.items()]
    return Table([name], sorted(rows, key=lambda row: (-row[by], row[name].encode()))[:LIST], ordered=True)


def clock(ms):
    """Shanghai's time of a moment."""
    import datetime

    zone = datetime.timezone(datetime.timedelta(hours=8))
    return datetime.datetime.fromtimestamp(ms // 1000, zone).strftime("%Y-%m-%d %H:%M:%S")
