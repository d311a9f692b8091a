"""What the reports of the oracle share: events in order, people, visits, values of properties."""

from sent import PASSIVE, Sent, day_of, day_number

GAP_MS = 30 * 60_000
# A page looked at for longer is an error.
DURATION_MAX_S = 86_400


class Visit:
    """Client events of one device that belong together."""

    __slots__ = ("events", "pages", "user", "device", "day", "start", "end")

    def __init__(self, events):
        self.events = events
        self.pages = sum(event.is_page for event in events)
        self.start, self.end = events[0].time, events[-1].time
        self.day, self.user, self.device = day_of(self.start), events[0].user, events[0].device


class Data(Sent):
    """The log, ready to be counted."""

    def __init__(self, path):
        super().__init__(path)
        order = lambda event: (event.time, event.seq)
        self.events.sort(key=order)
        self.client = [event for event in self.events if not event.server]
        self.by_user = {}
        for event in self.events:
            self.by_user.setdefault(event.user, []).append(event)
        # The day of the first client event, over all history.
        self.first_day = {}
        for event in self.client:
            self.first_day.setdefault(event.user, event.day)
        self.visits = self._visits()
        self._profiles = self._items = None

    def _visits(self):
        by_session, by_device = {}, {}
        for event in self.client:
            if event.name == PASSIVE:
                continue
            session = event.props.get("$event_session_id")
            if session:
                by_session.setdefault((event.device, session), []).append(event)
            else:
                by_device.setdefault(event.device, []).append(event)
        groups = list(by_session.values())
        for events in by_device.values():
            start = 0
            for at in range(1, len(events) + 1):
                if at == len(events) or events[at].time - events[at - 1].time > GAP_MS:
                    groups.append(events[start:at])
                    start = at
        visits = [Visit(group) for group in groups]
        visits.sort(key=lambda visit: (visit.start, visit.events[0].seq))
        for visit in visits:
            for event in visit.events:
                event.session = visit
        return visits

    def last(self, days, before=0):
        """Parameters of so many days, the last of them so many before the last of the data."""
        from sent import day_text

        to = self.events[-1].day - before
        return {"project": "default", "from": day_text(to - days + 1), "to": day_text(to)}

    def between(self, params, events=None):
        """Events of the days asked for, both ends included."""
        first, last = day_number(params["from"]), day_number(params["to"])
        return [event for event in (self.events if events is None else events) if first <= event.day <= last]

    def number(self, event, name):
        """A property as a number, or None: numbers, booleans, and text that is wholly a number."""
        value = event.props.get(name)
        if isinstance(value, bool):
            return float(value)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            from sent import is_number

            return float(value) if is_number(value) else None
        return None

    def text(self, event, name, scope="event"):
        """A property as text, or None: text, and what a number would lose or a property that was text first has."""
        value = event.props.get(name)
        if isinstance(value, str):
            return value
        if value is None or isinstance(value, list):
            return None
        literal = str(value).lower() if isinstance(value, bool) else repr(value)
        long = isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53
        return literal if long or self.first_type.get((scope, name)) == "text" else None

    def value(self, event, field):
        """By kind: a preset's text or number, a custom property's text, number or list; None if it has none."""
        name, kind = field["field"], field.get("kind", "preset")
        if kind == "num":
            return self.number(event, name)
        if kind == "arr":
            value = event.props.get(name)
            return value if isinstance(value, list) else None
        if kind == "str":
            return self.text(event, name)
        if kind == "item":
            return self.of_item(event, field)
        value = event.props.get(name)
        if name == "$lib":
            value = event.lib
        return value

    def of_item(self, event, field):
        """An attribute of the item whose id the event has: as the item's operations, in the order of time, left it."""
        if self._items is None:
            self._items = {}
            for operation in sorted(self.items, key=lambda one: (one.time, one.seq)):
                key = operation.record["item_type"], operation.distinct
                if operation.kind == "item_delete":
                    self._items.pop(key, None)
                else:
                    self._items.setdefault(key, {}).update(operation.record["properties"])
        attribute = self._items.get((field["item_type"], str(event.props.get(field["by"], ""))), {}).get(field["field"])
        number = isinstance(attribute, (int, float)) and not isinstance(attribute, bool)
        return attribute if number == (field.get("as") == "num") else None

    def label(self, event, field):
        """What a group is called: a preset that was not sent is an empty text."""
        value = self.value(event, field)
        return "" if value is None else value

    def profiles_now(self):
        """(user -> {property: value}): every profile as it is after all operations, in the order of time, then of arrival."""
        if self._profiles is None:
            self._profiles = replay(self)
        return self._profiles


def replay(data):
    """set overwrites, set_once only where nothing is, increment adds, append joins without repeats, unset removes, delete removes all.

    A value that set_once found absent is the oldest one; an increment counts on top of it and does not stand in its way.
    """
    users = {}
    for operation in sorted(data.profiles, key=lambda event: (event.time, event.seq)):
        mine = users.setdefault(operation.user, {})
        for name, value in operation.props.items():
            if name == "$ip" and "$ip" not in operation.record["properties"]:
                continue
            if operation.kind == "profile_set":
                mine[name] = value
            elif operation.kind == "profile_set_once":
                mine.setdefault(name, value)
            elif operation.kind == "profile_increment":
                mine[name] = (mine.get(name) or 0) + value
            elif operation.kind == "profile_append":
                mine[name] = list(dict.fromkeys((mine.get(name) or []) + value))
            elif operation.kind == "profile_unset":
                mine.pop(name, None)
        if operation.kind == "profile_delete":
            users[operation.user] = {}
    return users
