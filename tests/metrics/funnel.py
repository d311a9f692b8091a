"""Funnels: how far people get, each once, in a window from the first step."""

import time

from filters import matches
from measures import quantile
from sent import ZONE_OFFSET_MS
from table import Table

DAY_MS = 86_400_000


def fits(data, event, step):
    """Whether an event is this step."""
    return event.name == step["event"] and matches(data, event, step.get("filter"))


def deepest(data, events, steps, first, last, window_ms):
    """(depth, first step's event, times of the steps): the deepest try of a person; of equally deep ones the earliest.

    A try begins with each first step of the period; the other steps follow in order of time (at one moment: of arrival), the last of them
    no later than the window after the first.
    """
    best = (0, None, [])
    for at, start in enumerate(events):
        if not (first <= start.day <= last and fits(data, start, steps[0])):
            continue
        depth, times = 1, [start.time]
        for event in events[at + 1 :]:
            if event.time - start.time > window_ms or depth == len(steps):
                break
            if fits(data, event, steps[depth]):
                depth += 1
                times.append(event.time)
        if depth > best[0]:
            best = (depth, start, times)
        if depth == len(steps):
            break
    return best


def tries(data, params):
    """(user, depth, first event, times) of everybody who took the first step: the deepest try, or with `same` the deepest of any value."""
    from sent import day_number

    first, last = day_number(params["from"]), day_number(params["to"])
    window_ms = params.get("window_ms", 7 * DAY_MS)
    steps, same = params["steps"], params.get("same")
    names = {step["event"] for step in steps}
    for user, events in data.by_user.items():
        mine = [event for event in events if event.name in names and event.day >= first and matches(data, event, params.get("filter"))]
        lots = [mine]
        if same:
            by_value = {}
            for event in mine:
                value = data.value(event, same)
                if value is not None:
                    by_value.setdefault(value, []).append(event)
            lots = list(by_value.values())
        best = (0, None, [])
        for lot in lots:
            found = deepest(data, lot, steps, first, last, window_ms)
            if found[0] > best[0] or (found[0] == best[0] and found[0] and found[1].time < best[1].time):
                best = found
        if best[0]:
            yield user, *best


def funnel(data, params):
    """{group: {"reached": […], "still": n, "times": [[ms from the step before]…]}}; without groups the one group is ().

    The group is what the first step's event has. Still convertible: stopped before the end, and the window is not over yet.
    """
    now, window_ms = params["now_ms"], params.get("window_ms", 7 * DAY_MS)
    number = len(params["steps"])
    groups = {}
    for _, depth, start, times in tries(data, params):
        key = tuple(data.label(start, field) for field in params.get("group_by", []))
        group = groups.setdefault(key, {"reached": [0] * number, "still": 0, "times": [[] for _ in range(number)]})
        for step in range(depth):
            group["reached"][step] += 1
            if step:
                group["times"][step].append(times[step] - times[step - 1])
        group["still"] += depth < number and start.time + window_ms > now
    return groups


SHOP = [{"event": name} for name in ("ViewProduct", "AddToCart", "SubmitOrder", "PayOrder")]


def cases(data):
    """(report, parameters, what is expected)."""
    yield "funnel", data.last(7, before=8) | {"steps": SHOP}, expected
    yield "funnel", data.last(16) | {"steps": SHOP}, expected
    yield "funnel", data.last(10) | {"steps": SHOP, "window_ms": DAY_MS}, expected
    yield "funnel", data.last(10) | {"steps": SHOP[:2], "window_ms": 1000}, expected
    yield "funnel", data.last(16) | {"steps": [SHOP[0], SHOP[0], SHOP[1]], "window_ms": 3_600_000}, expected
    yield "funnel", data.last(16) | {"steps": SHOP, "group_by": [{"field": "category", "kind": "str"}]}, expected
    yield "funnel", data.last(16) | {"steps": SHOP, "group_by": [{"field": "$lib", "kind": "preset"}, {"field": "$city", "kind": "preset"}]}, expected
    dear = {"field": "price", "kind": "num", "op": "ge", "values": [200]}
    yield "funnel", data.last(16) | {"steps": [SHOP[0] | {"filter": dear}, SHOP[1], SHOP[3]]}, expected
    yield "funnel", data.last(16) | {"steps": [{"event": "$MPLaunch"}, {"event": "$MPViewScreen"}, SHOP[0]], "filter": {"field": "$os", "kind": "preset", "op": "is", "values": ["iOS"]}}, expected
    product = {"field": "product_id", "kind": "str"}
    yield "funnel", data.last(16) | {"steps": SHOP[:2], "same": product}, expected
    yield "funnel", data.last(10) | {"steps": SHOP[:2], "same": product, "window_ms": 60_000, "group_by": [{"field": "category", "kind": "str"}]}, expected
    for step, dropped in ((1, False), (2, True), (4, True), (4, False)):
        yield "funnel", data.last(10) | {"steps": SHOP, "people": {"step": step, "dropped": dropped}, "limit": 100_000}, expected_people


def moment(ms):
    """`YYYY-MM-DD hh:mm:ss.mmm` in Shanghai."""
    whole, rest = divmod(ms + ZONE_OFFSET_MS, 1000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(whole))}.{rest:03d}"


def expected_people(data, params):
    """How deep, from when and until when: of those who got to a step, or of those who did not though they got to the one before."""
    step, dropped = params["people"]["step"], params["people"]["dropped"]
    found = [(depth, times) for _, depth, _, times in tries(data, params) if (depth == step - 1 if dropped else depth >= step)]
    found.sort(key=lambda each: (each[1][-1], each[1][0]), reverse=True)
    rows = [{"depth": depth, "first_time": moment(times[0]), "last_time": moment(times[-1])} for depth, times in found]
    return {"people": Table(["depth", "first_time", "last_time"], rows)}


def expected(data, params):
    """Parts of the answer."""
    keys = [f"g{at + 1}" for at in range(len(params.get("group_by", [])))]
    rows = []
    for group, found in funnel(data, params).items():
        medians = [quantile(sorted(each), 0.5) / 1000 if each else None for each in found["times"][1:]]
        rows.append(dict(zip(keys, group)) | {"users": found["reached"][0], "reached": found["reached"], "still": found["still"], "seconds": medians})
    return {"rows": Table(keys, rows)}
