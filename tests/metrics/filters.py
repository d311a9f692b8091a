"""Conditions on events: `{"and": [...]}` or `{"or": [...]}` of `{field, kind, op, values}`."""


def matches(data, event, tree, user=None):
    """Whether an event fits; no condition fits all."""
    if not tree:
        return True
    if "and" in tree:
        return all(matches(data, event, each) for each in tree["and"])
    if "or" in tree:
        return any(matches(data, event, each) for each in tree["or"])
    return condition(data, event, tree)


def condition(data, event, one):
    """One comparison."""
    op, values = one["op"], one.get("values", [])
    if one.get("scope") == "user":
        value = data.profiles_now().get(event.user, {}).get(one["field"])
        if one.get("kind") == "num" and isinstance(value, bool):
            value = float(value)
    else:
        value = data.value(event, one)
    if value == "" and one.get("kind", "preset") == "preset":
        value = None
    if op == "set":
        return value is not None
    if op == "unset":
        return value is None
    if isinstance(value, list):
        hit = any(item in values for item in value) if op in ("is", "in", "contains") else all(item not in values for item in value)
        return hit
    if op in ("is", "in"):
        return value is not None and any(same(value, other) for other in values)
    if op == "is_not":
        return not any(value is not None and same(value, other) for other in values)
    if value is None:
        return False
    if op == "contains":
        return any(str(other) in str(value) for other in values)
    if op == "between":
        return float(values[0]) <= value <= float(values[1])
    return {"gt": value > float(values[0]), "ge": value >= float(values[0]), "lt": value < float(values[0]), "le": value <= float(values[0])}[op]


def same(value, other):
    """Equality of a value and what was typed into a filter."""
    if isinstance(value, (int, float)):
        try:
            return float(value) == float(other)
        except ValueError:
            return False
    return value == str(other)


def select(data, params, events):
    """The events of a report that fit its filter."""
    tree = params.get("filter")
    return [event for event in events if matches(data, event, tree)] if tree else events
