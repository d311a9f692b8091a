"""How fast reports are: 10 M events of a generated shop on the embedded ClickHouse, one client, warm. `make bench-reports`.

One million comes the real way (`demo/traffic`, `tusk import`), the rest is that million again under other ids. Prints p50 and p95 of each
report against its limit; exit 1 where one is over it.
"""

import argparse
import datetime
import math
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/metrics"))
from check import Console  # noqa: E402

# Events a person of the generator makes in the days below, about.
EVENTS_A_PERSON, DAYS = 41, 16
# Limits of p95, ms: the reports looked at all day, and all others.
DAILY_MS, OTHERS_MS = 1000, 3000
SHIFTED = {
    "distinct_id": "concat('copy{n}-', distinct_id)",
    "anonymous_id": "if(anonymous_id = '', '', concat('copy{n}-', anonymous_id))",
    "login_id": "if(login_id = '', '', concat('copy{n}-', login_id))",
    "original_id": "if(original_id = '', '', concat('copy{n}-', original_id))",
    "anon_id": "concat('copy{n}-', anon_id)",
    "dup_key": "cityHash64(dup_key, {n})",
    "lsn": "lsn + {n} * 1000000000000",
}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Machine:
    """tusk with its embedded ClickHouse, in a folder of its own."""

    def __init__(self, tusk, library, folder):
        self.tusk, self.folder = tusk, pathlib.Path(folder)
        self.port, self.olap = free_port(), free_port()
        self.config = self.folder / "tusk.toml"
        self.config.write_text(
            f'data = "{self.folder}/data"\nlisten = "127.0.0.1:{self.port}"\ntimezone = "Asia/Shanghai"\nany_project = true\n'
            f'[olap]\nlisten = "127.0.0.1:{self.olap}"\nlibrary = "{library}"\n'
        )
        self.log = open(self.folder / "tusk.log", "w")
        self.process = subprocess.Popen([tusk, "run", "--config", self.config], stdout=self.log, stderr=self.log)
        self.wait("tusk to be ready", lambda: urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz").status == 200)
        self.wait("the embedded ClickHouse", lambda: urllib.request.urlopen(f"http://127.0.0.1:{self.olap}/ping").status == 200)

    def wait(self, what, look, limit_s=600):
        began = time.time()
        while True:
            try:
                if look():
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.time() - began > limit_s:
                raise SystemExit(f"bench: waited {time.time() - began:.0f} s for {what}; see {self.folder}/tusk.log")
            time.sleep(0.1)

    def sql(self, statement):
        key = (self.folder / "data/olap/key").read_text().strip()
        request = urllib.request.Request(f"http://127.0.0.1:{self.olap}/?database=tusk", statement.encode(), {"X-ClickHouse-Key": key})
        try:
            return urllib.request.urlopen(request, timeout=900).read().decode()
        except urllib.error.HTTPError as problem:
            raise OSError(problem.read().decode()[:600]) from None

    def number(self, statement):
        return int(self.sql(statement))

    def fill(self, log, events, copies):
        """Imports the log, then copies what came in."""
        subprocess.run([self.tusk, "import", "--config", self.config, log], check=True, stdout=subprocess.DEVNULL)
        self.wait("the events", lambda: self.is_still("SELECT count() FROM events"))
        say(f"{self.number('SELECT count() FROM events'):,} events came in")
        for number in range(1, copies):
            for table, known in (("id_map", "anon_id"), ("profile_ops", "distinct_id"), ("events", "distinct_id")):
                columns = self.sql(f"SELECT name FROM system.columns WHERE database = 'tusk' AND table = '{table}' AND default_kind = ''").split()
                values = ", ".join(SHIFTED.get(name, f"`{name}`").format(n=number) for name in columns)
                self.sql(
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE NOT startsWith({known}, 'copy') "
                    "SETTINGS max_partitions_per_insert_block = 0, max_threads = 2"
                )
            say(f"{self.number('SELECT count() FROM events'):,} of {events:,} events")

        # Who is who is read anew every few seconds.
        stale = (
            "SELECT count() FROM (SELECT cityHash64(project, anon_hash) AS key, argMin(login_hash, bound_at) AS login FROM id_map GROUP BY key) "
            "WHERE dictGetOrDefault('tusk.id_dict', 'login_hash', key, 0) != login"
        )
        self.wait("the dictionary of people", lambda: self.number(stale) == 0)

    def is_still(self, statement):
        """Whether a count is over nothing and does not move for two seconds."""
        before = self.number(statement)
        time.sleep(2)
        return before > 0 and self.number(statement) == before

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def cases(today):
    """(what it is called, report, parameters, limit in ms)."""
    days = lambda number: {"project": "default", "from": day(today, number - 1), "to": day(today, 0)}
    steps = [{"event": name} for name in ("ViewProduct", "AddToCart", "SubmitOrder", "PayOrder")]
    city, week = [{"field": "$city", "kind": "preset"}], days(7)
    amount = {"event": "PayOrder", "measure": "sum", "property": "amount"}
    return [
        ("overview 7 d", "overview", week, DAILY_MS),
        ("trend 7 d", "trend", week | {"unit": "day"}, DAILY_MS),
        ("events 7 d by city", "events", week | {"measures": [{"event": "ViewProduct"}], "unit": "day", "group_by": city}, DAILY_MS),
        ("funnel 4 steps 7 d", "funnel", week | {"steps": steps}, DAILY_MS),
        ("retention 14 d", "retention", days(14), DAILY_MS),
        ("payments by city", "events", week | {"measures": [amount], "group_by": city}, OTHERS_MS),
        ("funnel by city", "funnel", week | {"steps": steps, "group_by": city}, OTHERS_MS),
        ("pages", "pages", week, OTHERS_MS),
        ("sources", "sources", week, OTHERS_MS),
        ("regions", "regions", week, OTHERS_MS),
        ("devices", "devices", week, OTHERS_MS),
        ("attribution", "attribution", week | {"event": "PayOrder", "amount": "amount"}, OTHERS_MS),
        ("paths", "paths", week, OTHERS_MS),
        ("distribution", "distribution", week | {"event": "ViewProduct"}, OTHERS_MS),
        ("interval", "interval", week | {"first": steps[1], "second": steps[3]}, OTHERS_MS),
    ]


def day(today, before):
    """A date so many days before today."""
    return (today - datetime.timedelta(days=before)).isoformat()


def measure(console, rounds):
    """Prints a row a report; whether all are within their limits."""
    within = True
    print(f"{'report':<20}{'p50 ms':>8}{'p95 ms':>8}{'limit':>8}")
    for title, report, params, limit_ms in cases(datetime.date.today()):
        times = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            console.report(report, params)
            times.append((time.perf_counter() - began) * 1000)
        # The first one warms up.
        times = sorted(times[1:])
        p95 = times[math.ceil(0.95 * len(times)) - 1]
        within &= p95 <= limit_ms
        print(f"{title:<20}{statistics.median(times):>8.0f}{p95:>8.0f}{limit_ms:>8}{'' if p95 <= limit_ms else '  over'}", flush=True)
    return within


def main():
    parser = argparse.ArgumentParser(prog="reports", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000, help="events in all (10,000,000)")
    parser.add_argument("--copies", type=int, default=10, help="of these one in so many comes the real way (10)")
    parser.add_argument("--rounds", type=int, default=20, help="times each report is asked (20)")
    parser.add_argument("--tusk", default=os.environ.get("TUSK", str(ROOT / "target/release/tusk")))
    parser.add_argument("--library", default=str(ROOT / "build/libchdb/libchdb.so"))
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="tusk-reports-", dir=ROOT / "target")
    machine = None
    try:
        log = os.path.join(folder, "shop.jsonl")
        people = options.events // options.copies // EVENTS_A_PERSON
        say(f"making {options.events // options.copies:,} events of {people:,} people")
        subprocess.run([sys.executable, ROOT / "demo/traffic", "history", "--people", str(people), "--days", str(DAYS), "--seed", "7", "--out", log], check=True)
        machine = Machine(options.tusk, options.library, folder)
        machine.fill(log, options.events, options.copies)
        url = subprocess.run([options.tusk, "console", "--config", machine.config], check=True, capture_output=True, text=True).stdout
        within = measure(Console(url.strip()), options.rounds)
    finally:
        if machine:
            machine.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
