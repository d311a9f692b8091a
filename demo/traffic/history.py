"""The past days of the shop as requests in the order they arrive."""

import bisect
import heapq
import itertools
import random

import sdk
import wire
from visits import Visit
from world import DAY_MS, HOURS, ZONE_OFFSET_MS, Goods, Person

HOUR_MS = 3_600_000
_CUMULATED = list(itertools.accumulate(HOURS))
SERVER_IP = "10.0.0.5"


def day_start(ms):
    """Midnight in Shanghai."""
    return (ms + ZONE_OFFSET_MS) // DAY_MS * DAY_MS - ZONE_OFFSET_MS


class History:
    """All of it, made day by day; `end` (ms) is the moment after which nothing has arrived yet."""

    def __init__(self, seed, people, days, end, project="default"):
        self.seed, self.days, self.end = seed, days, end
        self.path = f"/sa?project={project}"
        self.first = day_start(end) - (days - 1) * DAY_MS
        self.goods = Goods(seed)
        self.orders = itertools.count(10_000_001)
        self.people = [Person(seed, index, days) for index in range(people)]

    def requests(self):
        """Requests by arrival."""
        waiting, number = [], itertools.count()
        put = lambda request: heapq.heappush(waiting, (request.at, next(number), request))
        for request in self._catalogue():
            put(request)
        for day in range(self.days):
            for person in self.people:
                for request in self._day(person, day):
                    put(request)
            until = self.first + (day + 1) * DAY_MS
            # Nothing of a later day arrives before that day.
            while waiting and waiting[0][0] < min(until, self.end):
                yield heapq.heappop(waiting)[2]

    def _catalogue(self):
        at = self.first
        for start in range(0, len(self.goods.all), 100):
            items = [sdk.item(at, goods) for goods in self.goods.all[start : start + 100]]
            yield wire.encode(items, at + 20 + start, self.path, SERVER_IP, "Java", "", 0)

    def _day(self, person, day):
        draw = random.Random(f"{self.seed} {person.index} {day}")
        active = day >= person.first_day and (day == person.first_day or draw.random() < person.activity)
        if not active:
            return
        number = 1 if draw.random() < 0.7 else draw.randint(2, 3)
        starts = sorted(self._moment(draw, day) for _ in range(number))
        for start in starts:
            device = person.devices[0] if draw.random() < 0.75 else person.devices[-1]
            yield from self.visit(draw, person, device, start, day)
        if person.member and draw.random() < 0.02:
            time = self._moment(draw, day)
            kind, properties = draw.choice([
                ("profile_set", {"vip_level": draw.randint(1, 5)}),
                ("profile_unset", {"vip_level": True}),
                ("profile_set_once", {"first_platform": "later"}),
                ("profile_append", {"bought": [draw.choice(["食品", "图书"])]}),
            ])
            yield from self._by_server(draw, [(time, sdk.server_profile(draw, time, person.login, kind, properties))])

    def _moment(self, draw, day):
        hour = bisect.bisect(_CUMULATED, draw.random() * _CUMULATED[-1])
        return self.first + day * DAY_MS + hour * HOUR_MS + draw.randint(0, HOUR_MS - 1)

    def visit(self, draw, person, device, start, day):
        """Requests of one visit."""
        borrower = f"u{900000 + person.index}" if person.lends and draw.random() < 0.3 else None
        owner = device.login
        visit = Visit(draw, person, device, start, day, self.goods, self.orders, borrower)
        visit.walk()
        yield from self._by_device(draw, person, device, visit.client.messages)
        yield from self._by_server(draw, visit.server)
        if borrower:
            device.login = owner

    def _by_server(self, draw, messages):
        for time, record in messages:
            if time < self.end:
                yield wire.encode([record], time + draw.randint(5, 200), self.path, SERVER_IP, "Java", "", 0)

    def _by_device(self, draw, person, device, messages):
        # An app without a network keeps what it has for hours; a visit's events come later than their time says.
        offline = device.platform != "js" and draw.random() < 0.01
        delay = draw.randint(6, 60) * HOUR_MS if offline else 0
        style = draw.randint(0, 9)
        for batch in _batches(device.platform, style, messages):
            sent = batch[-1][0] + draw.randint(2, 40) + delay
            records = [record | {"_flush_time": sent + device.skew_ms} for _, record in batch]
            self._spoil(draw, records)
            arrives = sent + (draw.randint(61_000, 110_000) if draw.random() < 0.002 else int(draw.expovariate(1 / 150)) + 8)
            yield wire.encode(records, arrives, self.path, person.ip, device.platform, device.agent, style)
            if draw.random() < 0.012:
                yield self._again(draw, person, device, records, sent, arrives, style)

    def _again(self, draw, person, device, records, sent, arrives, style):
        """No answer was seen in time: the SDK sends the same events again. Apps stamp them anew, others repeat the bytes."""
        later = draw.randint(2_000, 20_000)
        if device.platform in ("Android", "iOS"):
            records = [record | {"_flush_time": sent + device.skew_ms + later} for record in records]
        return wire.encode(records, arrives + later, self.path, person.ip, device.platform, device.agent, style)

    def _spoil(self, draw, records):
        """Few pages call login() before they know whom."""
        if draw.random() < 0.002:
            record = records[0]
            record["distinct_id"] = draw.choice(["undefined", "undefined", "null", ""])
            if record["distinct_id"]:
                record["login_id"] = record["distinct_id"]


def _batches(platform, style, messages):
    """Groups as the SDK sends them: a web event alone (or some, where batches are on), an app's when it goes to the background."""
    if platform == "js" and style < 8:
        return [[message] for message in messages]
    gap_ms, most = {"js": (6_000, 20), "MiniProgram": (10_000, 20), "Android": (15_000, 40), "iOS": (15_000, 40)}[platform]
    batches = []
    for message in messages:
        if batches and len(batches[-1]) < most and message[0] - batches[-1][0][0] < gap_ms:
            batches[-1].append(message)
        else:
            batches.append([message])
    return batches
