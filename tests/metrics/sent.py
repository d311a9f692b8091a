"""What was sent, read from an access log: requests decoded, events checked, each once, at its corrected time.

This is the first half of the oracle. It knows the SDKs' encodings and the rules for what counts, and nothing of how the product stores it.
"""

import base64
import gzip
import json
import urllib.parse

ZONE_OFFSET_MS = 8 * 3600_000
DAY_MS = 86_400_000
# A client's clock is corrected when it is wrong by more than this.
SKEW_MS = 60_000
SERVER_LIBS = {"java", "python", "golang", "node", "php", "dotnet", "ruby"}
PLACEHOLDERS = {"", "0", "undefined", "null", "(null)", "<null>", "nil", "none", "nan"}
PAGE_EVENTS = {"$pageview", "$AppViewScreen", "$MPViewScreen"}
PASSIVE = "$AppStartPassively"
# Browser and system of the user agents in the data, read off them by a person: web SDKs do not send these.
AGENTS = [
    ("Firefox/", "Firefox", "Windows 10"),
    ("iPhone; CPU iPhone OS", "Safari", "iPhone"),
    ("Macintosh", "Safari", "Mac OSX"),
    ("Android 14; ALN", "Chrome", "Android"),
    ("Windows NT 10.0", "Chrome", "Windows 10"),
]


class Event:
    """An event or a profile or item operation that counts."""

    __slots__ = ("seq", "kind", "name", "time", "recv", "distinct", "login", "anonymous", "original", "lib", "server", "props", "record", "user", "day", "session")

    @property
    def device(self):
        return self.anonymous or self.distinct

    @property
    def is_page(self):
        return self.name in PAGE_EVENTS and not self.server


def day_of(ms):
    """Days since 1970 in Shanghai."""
    return (ms + ZONE_OFFSET_MS) // DAY_MS


def day_number(text):
    """Of a date `YYYY-MM-DD`."""
    import datetime

    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days


def day_text(number):
    """`YYYY-MM-DD` of a day number."""
    import datetime

    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=number)).isoformat()


def messages(line):
    """(receive time, address, user agent, messages) of one logged request."""
    logged = json.loads(line)
    seconds, _, fraction = logged["time"].partition(".")
    recv = int(seconds) * 1000 + int((fraction + "000")[:3])
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(logged["request"].split(" ")[1]).query)
    form = urllib.parse.parse_qs(logged["body"])
    data = next(found[0] for found in (form.get("data"), form.get("data_list"), query.get("data")) if found)
    raw = base64.b64decode(data)
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    value = json.loads(raw)
    return recv, logged["ip"], logged["ua"], value if isinstance(value, list) else [value]


def is_number(text):
    """Whether a text is wholly a number."""
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip() and text[:1] in "-0123456789" and text[-1:].isdigit()


class Sent:
    """All that counts of a log: `events`, `profiles`, `items`, each in the order of arrival; and who is who."""

    def __init__(self, path):
        self.events, self.profiles, self.items = [], [], []
        self.received = self.rejected = self.duplicates = 0
        self.first_type = {}
        seen = set()
        seq = 0
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                recv, ip, agent, records = messages(line)
                for record in records:
                    seq += 1
                    self._take(seq, recv, ip, agent, record, seen)
        self._identify()

    def _take(self, seq, recv, ip, agent, record, seen):
        self.received += 1
        is_item = record["type"].startswith("item_")
        identity = str(record.get("item_id" if is_item else "distinct_id", ""))
        if identity.strip().lower() in PLACEHOLDERS:
            self.rejected += 1
            return
        if record.get("_track_id") is not None:
            key = (identity, record["_track_id"], record["time"], record.get("event", ""), record["type"])
            if key in seen:
                self.duplicates += 1
                return
            seen.add(key)
        event = Event()
        event.seq, event.kind, event.name, event.recv = seq, record["type"], record.get("event", ""), recv
        event.distinct, event.login = identity, record.get("login_id", "")
        event.anonymous, event.original = record.get("anonymous_id", ""), record.get("original_id", "")
        event.lib = record["properties"].get("$lib", record["lib"]["$lib"])
        event.server = record["lib"]["$lib"].lower() in SERVER_LIBS
        event.time = record["time"]
        flushed = record.get("_flush_time")
        if flushed is not None and abs(recv - flushed) > SKEW_MS:
            event.time += recv - flushed
        event.day = day_of(event.time)
        event.record, event.session, event.user = record, None, None
        event.props = dict(record["properties"])
        if event.lib == "js" and not event.server:
            self._fill(event, agent)
        if not event.server and "$ip" not in event.props:
            event.props["$ip"] = ip
        scope = "item" if is_item else "user" if event.kind.startswith("profile_") else "event"
        if event.kind != "profile_unset":
            for name, value in record["properties"].items():
                self.first_type.setdefault((scope, name), kind_of(value))
        {"item": self.items, "user": self.profiles, "event": self.events}[scope].append(event)

    def _fill(self, event, agent):
        for mark, browser, system in AGENTS if agent.startswith("Mozilla/") else []:
            if mark in agent:
                event.props.setdefault("$browser", browser)
                event.props.setdefault("$os", system)
                return

    def _identify(self):
        """An anonymous id belongs to the account that bound it first, by the time of the events that carry both."""
        bound = {}
        for event in self.events:
            pairs = [(event.anonymous, event.login)]
            if event.kind == "track_signup":
                pairs.append((event.original, event.distinct))
            for anonymous, account in pairs:
                if anonymous and account and anonymous != account:
                    if anonymous not in bound or event.time < bound[anonymous][0]:
                        bound[anonymous] = (event.time, account)
        self.accounts = {anonymous: account for anonymous, (_, account) in bound.items()}
        for event in self.events + self.profiles:
            event.user = self.accounts.get(event.distinct, event.distinct)


def kind_of(value):
    """Which of the types a JSON value has."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "list" if isinstance(value, list) else "text"
