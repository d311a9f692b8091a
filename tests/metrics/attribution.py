"""Attribution: which channel an order is put down to, by five models. The amounts of all channels add up to the orders' total."""

import math

from filters import matches
from sent import day_number
from table import Table

DAY_MS = 86_400_000
DIRECT = "直接访问"


def channel(data, visit):
    """The channel of a visit, by what it began with: its first page's utm_source; none is direct."""
    entry = next((event for event in visit.events if event.is_page), visit.events[0])
    return entry.props.get("$utm_source") or ""


def weights(touches, model):
    """Share of each touch, in order of time; they add up to 1. `touches` are channels, "" = direct."""
    if not touches:
        return {DIRECT: 1.0}
    if model == "last_non_direct":
        named = [touch for touch in touches if touch]
        return {named[-1] if named else DIRECT: 1.0}
    if model == "first":
        return {touches[0] or DIRECT: 1.0}
    if model == "last":
        return {touches[-1] or DIRECT: 1.0}
    number = len(touches)
    if model == "linear" or number <= 2:
        shares = [1 / number] * number
    else:
        # 40 % for the first and the last, 20 % for all between.
        shares = [0.4] + [0.2 / (number - 2)] * (number - 2) + [0.4]
    found = {}
    for touch, share in zip(touches, shares):
        found[touch or DIRECT] = found.get(touch or DIRECT, 0.0) + share
    return found


def attribution(data, params, model):
    """{channel: (conversions, amount)}."""
    first, last = day_number(params["from"]), day_number(params["to"])
    window_ms = params.get("window_days", 7) * DAY_MS
    amount, target = params.get("amount"), params["event"]
    visits = {}
    for visit in data.visits:
        if visit.pages:
            visits.setdefault(visit.user, []).append(visit)
    found = {}
    for event in data.events:
        if event.name != target or not first <= event.day <= last or not matches(data, event, params.get("filter")):
            continue
        touches = [channel(data, visit) for visit in visits.get(event.user, []) if event.time - window_ms <= visit.start <= event.time]
        value = (data.number(event, amount) or 0.0) if amount else 0.0
        for name, share in weights(touches, model).items():
            count, total = found.get(name, (0.0, 0.0))
            found[name] = (count + share, total + share * value)
    return found


def cases(data):
    """(report, parameters, what is expected)."""
    for model in ("last_non_direct", "first", "last", "linear", "position"):
        yield "attribution", data.last(16) | {"event": "PayOrder", "amount": "amount", "model": model}, expected
    yield "attribution", data.last(7) | {"event": "SubmitOrder", "amount": "amount", "model": "linear", "window_days": 3}, expected
    yield "attribution", data.last(7) | {"event": "AddToCart", "amount": "price", "model": "last"}, expected


def expected(data, params):
    """Parts of the answer."""
    found = attribution(data, params, params["model"])
    orders = [event for event in data.between(params) if event.name == params["event"]]
    total = math.fsum(data.number(event, params["amount"]) or 0.0 for event in orders)
    # No money comes or goes: to the cent, and one conversion an order.
    assert abs(sum(amount for _, amount in found.values()) - total) < 0.005
    assert abs(sum(count for count, _ in found.values()) - len(orders)) < 1e-6
    return {"rows": Table(["channel"], [{"channel": name, "conversions": count, "amount": amount} for name, (count, amount) in found.items()])}
