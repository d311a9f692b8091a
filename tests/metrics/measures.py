"""Event analysis: counts, people, sums, averages and percentiles of an event's properties, by unit of time and up to three groups."""

import math

from filters import select
from trend import bucket


def quantile(values, level):
    """The exact quantile of sorted values, between two of them by the distance to each."""
    if not values:
        return None
    place = level * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def measure(data, events, how, field=None):
    """One number of some events."""
    if how == "count":
        return len(events)
    if how == "users":
        return len({event.user for event in events})
    if how == "per_user":
        people = len({event.user for event in events})
        return len(events) / people if people else 0.0
    values = [value for value in (data.number(event, field) for event in events) if value is not None]
    if how == "sum":
        return math.fsum(values)
    if how == "with":
        return len(values)
    if not values:
        return None
    if how == "avg":
        return math.fsum(values) / len(values)
    if how == "min":
        return min(values)
    if how == "max":
        return max(values)
    return quantile(sorted(values), int(how.lstrip("p")) / 100)


def distinct(data, events, field):
    """How many different values a property has."""
    return len({str(data.value(event, field)) for event in events if data.value(event, field) is not None})


def lend(data, event, field):
    """A server's event has the place, system and channel of the person's last client event at or before it, in order of arrival at one
    moment; before any client event it has none."""
    last = None
    for other in data.by_user[event.user]:
        if (other.time, other.seq) > (event.time, event.seq):
            break
        if not other.server:
            last = other
    return "" if last is None else data.label(last, field)


def label(data, event, field):
    """The group of an event by a field."""
    if event.server and field.get("kind", "preset") == "preset" and field["field"] not in ("$lib", "$lib_version") and field["field"] not in event.props:
        return lend(data, event, field)
    return data.label(event, field)


def grouped(data, params, name, how, prop=None, condition=None):
    """{(start of unit, group…): number} of one measure."""
    events = [event for event in select(data, params, data.between(params)) if event.name == name]
    if condition:
        events = select(data, {"filter": condition}, events)
    groups = {}
    for event in events:
        keys = [()]
        if params.get("unit"):
            keys = [(bucket(params["unit"], event.time),)]
        for field in params.get("group_by", []):
            value = label(data, event, field)
            values = value if isinstance(value, list) else [value]
            keys = [key + (each,) for key in keys for each in (values or [""])]
        for key in keys:
            groups.setdefault(key, []).append(event)
    return {key: measure(data, events, how, prop) for key, events in groups.items()}
