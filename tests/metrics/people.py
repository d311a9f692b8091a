"""People: the list, one person's profile and visits, tags and segments."""

from filters import matches
from sent import day_number


def ids(data, user):
    """Every id of a person."""
    return {user} | {anonymous for anonymous, account in data.accounts.items() if account == user}


def summary(data, user):
    """First and last client event, number of events and visits."""
    events = data.by_user.get(user, [])
    client = [event for event in events if not event.server]
    return {
        "events": len(events),
        "first_ms": client[0].time if client else None,
        "last_ms": client[-1].time if client else None,
        "visits": sum(visit.user == user and visit.pages > 0 for visit in data.visits),
        "profile": data.profiles_now().get(user, {}),
    }


def did(data, rule):
    """People who did an event at least (or fewer than) so many times in days from…to."""
    first, last = day_number(rule["from"]), day_number(rule["to"])
    times = {}
    for event in data.events:
        if event.name == rule["event"] and first <= event.day <= last and matches(data, event, rule.get("filter")):
            times[event.user] = times.get(event.user, 0) + 1
    low, high = rule.get("at_least", 1), rule.get("at_most", float("inf"))
    return {user for user, number in times.items() if low <= number <= high}


def everybody(data):
    """All people with an event or a profile."""
    return set(data.by_user) | set(data.profiles_now())


def segment(data, rule):
    """A segment: `all`, `any`, `not` of rules; `did`; a property of the profile."""
    if "all" in rule:
        return set.intersection(*(segment(data, each) for each in rule["all"]))
    if "any" in rule:
        return set.union(*(segment(data, each) for each in rule["any"]))
    if "not" in rule:
        return everybody(data) - segment(data, rule["not"])
    if "event" in rule:
        return did(data, rule)
    return {user for user, profile in data.profiles_now().items() if str(profile.get(rule["property"])) in rule["values"]}


def portrait(data, users, prop):
    """{value: people} of a segment by a property of the profile."""
    found = {}
    for user in users:
        value = data.profiles_now().get(user, {}).get(prop)
        found[value] = found.get(value, 0) + 1
    return found
