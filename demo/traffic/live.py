"""Visits that happen now, sent to a receive URL as they happen."""

import heapq
import http.client
import itertools
import random
import sys
import time
import urllib.parse

import sdk
import wire
from history import History, day_start

# A visit of the shop makes about so many events.
EVENTS_A_VISIT = 11
# Visits are played faster than people walk, so that funnels and live pages move at once.
HASTE = 6


class Sender:
    """One kept connection; opened again when the other end closed it."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise SystemExit(f"--url {url}: give the receive URL as http://host:port/sa?project=…")
        self.host, self.port = parts.hostname, parts.port or 80
        self.path = (parts.path or "/sa") + (f"?{parts.query}" if parts.query else "?project=default")
        self.connection = None
        self.sent = self.failed = 0

    def send(self, request):
        """Sends once; what fails is counted and said once in a row, since the receiver may be starting."""
        headers = {"User-Agent": request.agent}
        if request.content_type:
            headers["Content-Type"] = request.content_type
        for fresh in (False, True):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
                self.connection.request(request.method, request.target, request.body.encode() or None, headers)
                answer = self.connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.sent += request.events
                    self.failed = 0
                    return
                raise OSError(f"answer {answer.status}")
            except (OSError, http.client.HTTPException) as problem:
                if self.connection is not None:
                    self.connection.close()
                self.connection = None
                if fresh:
                    if self.failed == 0:
                        print(f"traffic: {self.host}:{self.port}: {problem}; goes on trying", file=sys.stderr)
                    self.failed += 1
                    time.sleep(min(5, 0.2 * self.failed))


def run(options):
    """Until it is told to stop."""
    sender = Sender(options.url)
    draw = random.Random(f"live {options.seed} {time.time_ns()}")
    started = time.time()
    # The same people as in the history of this seed; what their devices remember of it is not known here.
    world = History(options.seed, options.people, 14, int(started * 1000), options.project)
    world.orders = itertools.count(20_000_001 + int(started) % 10_000_000 * 100)
    world.path = sender.path
    waiting, number = [], itertools.count()
    next_visit, said = started, started
    while options.seconds is None or time.time() - started < options.seconds:
        now = time.time()
        while next_visit <= now:
            for request in _visit(world, draw, now):
                heapq.heappush(waiting, (request.at, next(number), request))
            next_visit += draw.expovariate(options.rate / EVENTS_A_VISIT)
        while waiting and waiting[0][0] <= now * 1000:
            sender.send(heapq.heappop(waiting)[2])
        if now - said >= 60:
            print(f"traffic: {sender.sent:,} events sent", file=sys.stderr)
            said = now
        due = waiting[0][0] / 1000 if waiting else next_visit
        time.sleep(max(0.001, min(due, next_visit, now + 0.5) - time.time()))
    print(f"traffic: {sender.sent:,} events sent", file=sys.stderr)
    return 0


def _visit(world, draw, now):
    """The requests of a visit that starts now, each stamped anew for the moment it leaves: the walk is played in haste."""
    person = draw.choice(world.people)
    device = draw.choice(person.devices)
    start = int(now * 1000)
    day = (day_start(start) - world.first) // 86_400_000
    world.end = start + 600_000
    for request in world.visit(draw, person, device, start, day):
        at = start + (request.at - start) // HASTE
        if at > start + 600_000:
            continue
        messages = []
        for message in request.messages:
            message = dict(message)
            message["time"] = start + (message["time"] - start - device.skew_ms * ("_flush_time" in message)) // HASTE
            message["time"] += device.skew_ms * ("_flush_time" in message)
            if "_flush_time" in message:
                message["_flush_time"] = at - 20 + device.skew_ms
            messages.append(message)
        platform = "Java" if request.ip == "10.0.0.5" else device.platform
        yield wire.encode(messages, at, world.path, request.ip, platform, request.agent, draw.randint(0, 9))
