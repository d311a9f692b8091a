"""Event analysis: counts, people, sums, averages and percentiles of an event's properties, by unit of time and up to three groups."""

import math

from filters import select
from table import Table
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
    """A server's event has the place, system and channel of the person's last client event at or before it; before any it has none."""
    last = None
    for other in data.by_user[event.user]:
        if other.time > event.time:
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


def cases(data):
    """(report, parameters, what is expected)."""
    city, lib = {"field": "$city", "kind": "preset"}, {"field": "$lib", "kind": "preset"}
    category, tags = {"field": "category", "kind": "str"}, {"field": "tags", "kind": "arr"}
    price = [{"event": "ViewProduct", "measure": how, "property": "price"} for how in ("sum", "avg", "min", "max", "p50", "p90", "with")]
    counts = [{"event": name, "measure": how} for name in ("ViewProduct", "PayOrder") for how in ("count", "users", "per_user")]
    paid = [{"event": "PayOrder", "measure": "sum", "property": "amount"}]
    yield "events", data.last(16) | {"measures": price + counts}, expected
    yield "events", data.last(7) | {"measures": price, "group_by": [lib]}, expected
    yield "events", data.last(7) | {"measures": counts, "unit": "day"}, expected
    yield "events", data.last(7) | {"measures": paid, "unit": "week", "group_by": [city, category]}, expected
    yield "events", data.last(16) | {"measures": paid + counts, "group_by": [city, {"field": "$os", "kind": "preset"}, {"field": "$latest_traffic_source_type", "kind": "preset"}]}, expected
    yield "events", data.last(7) | {"measures": [{"event": "SearchProduct", "measure": "count"}], "group_by": [tags]}, expected
    yield "events", data.last(7) | {"measures": [{"event": "SubmitOrder", "measure": "sum", "property": "has_coupon"}, {"event": "SubmitOrder"}], "formula": "A / B"}, expected
    yield "events", data.last(7) | {"measures": [{"event": "ViewProduct", "measure": "distinct", "property": {"field": "product_id", "kind": "str"}}]}, expected
    brand = {"field": "brand", "kind": "item", "by": "product_id", "item_type": "sku"}
    dear = {"field": "price", "kind": "item", "as": "num", "by": "product_id", "item_type": "sku", "op": "ge", "values": [500]}
    yield "events", data.last(7) | {"measures": price[:1], "group_by": [brand]}, expected
    yield "events", data.last(7) | {"measures": [{"event": "AddToCart", "measure": "users"}], "group_by": [lib, brand], "filter": dear}, expected
    for condition in (
        {"field": "price", "kind": "num", "op": "between", "values": [100, 500]},
        {"field": "price", "kind": "num", "op": "unset"},
        {"field": "product_name", "kind": "str", "op": "contains", "values": ["手机", "家电"]},
        {"or": [{"field": "brand", "kind": "str", "op": "is", "values": ["小象"]}, {"field": "$os", "kind": "preset", "op": "is", "values": ["iOS"]}]},
        {"field": "vip_level", "kind": "num", "op": "set", "scope": "user"},
        {"field": "gender", "kind": "str", "op": "is", "values": ["女"], "scope": "user"},
    ):
        yield "events", data.last(7) | {"measures": [{"event": "ViewProduct"}, {"event": "ViewProduct", "filter": condition}], "unit": "day"}, expected
        yield "events", data.last(7) | {"measures": [{"event": "ViewProduct", "measure": "users"}], "filter": condition}, expected


def expected(data, params):
    """Parts of the answer."""
    keys = (["bucket"] if params.get("unit") else []) + [f"g{at + 1}" for at in range(len(params.get("group_by", [])))]
    number = len(params["measures"])
    every = [grouped(data, params, one["event"], "count") for one in params["measures"]]
    rows = {}
    for group in {group for found in every for group in found} or ({()} if not keys else set()):
        rows[group] = dict(zip(keys, group))
    for at, one in enumerate(params["measures"]):
        how, prop = one.get("measure", "count"), one.get("property")
        if how == "distinct":
            events = [event for event in select(data, params, data.between(params)) if event.name == one["event"]]
            found = {(): distinct(data, events, prop)}
        else:
            found = grouped(data, params, one["event"], how, prop, one.get("filter"))
        for group, row in rows.items():
            row[f"m{at + 1}"] = found.get(group, 0 if how in ("count", "users", "per_user", "sum", "with") else None)
    if params.get("formula") == "A / B":
        for row in rows.values():
            row["formula"] = row["m1"] / row["m2"]
    return {"rows": Table(keys, list(rows.values()))}
