"""Every report against the oracle: `python3 tests/metrics/check.py LOG CONSOLE_URL [report…]`.

LOG is the file that was imported (`demo/traffic history`), CONSOLE_URL a console over the same events, as `tusk console` prints it. Asks `POST /api/reports/<name>` and
compares all rows with what the oracle counts from LOG. Prints one line a case and each difference; exit 1 if there is one.
"""

import importlib
import json
import math
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from data import Data

REPORTS = ["realtime", "overview", "trend", "measures", "pages", "funnel", "retention", "attribution", "paths", "spread"]
# Differences printed of one table; the rest is counted.
SHOWN = 8


class Console:
    """The console's API."""

    def __init__(self, url):
        url, _, key = url.partition("?key=")
        self.url = url.rstrip("/")
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        if key:
            self.opener.open(urllib.request.Request(self.url + "/api/invited", json.dumps({"key": key}).encode(), {"Content-Type": "application/json"}))

    def report(self, name, params):
        """The answer's parts: {part: [row as a dictionary]}."""
        body = json.dumps(params).encode()
        request = urllib.request.Request(f"{self.url}/api/reports/{name}", body, {"Content-Type": "application/json"})
        try:
            answer = json.load(self.opener.open(request, timeout=120))
        except urllib.error.HTTPError as problem:
            raise AssertionError(f"{problem.code} {problem.read().decode(errors='replace')[:2000]}") from None
        parts = {}
        for part, table in answer["parts"].items():
            names = [column["name"] for column in table["columns"]]
            parts[part] = [dict(zip(names, row)) for row in table["rows"]]
        return parts


class Engine:
    """Without a console: the statements as `analytics` prints them, straight on ClickHouse. URL: `clickhouse://KEY@host:port`."""

    def __init__(self, url):
        key, _, self.address = url.removeprefix("clickhouse://").partition("@")
        self.headers = {"X-ClickHouse-Key": key}
        self.program = os.environ.get("TUSK_REPORT", "target/debug/examples/report")
        self.now_ms = str(int(time.time() * 1000))

    def report(self, name, params):
        made = subprocess.run([self.program, name, json.dumps(params), "Asia/Shanghai", self.now_ms], capture_output=True, text=True)
        if made.returncode != 0:
            raise AssertionError(made.stderr.strip())
        parts = {}
        for line in made.stdout.splitlines():
            part = json.loads(line)
            query = [("database", "tusk"), ("default_format", "JSONCompact"), ("output_format_json_quote_64bit_integers", "0")]
            query += [("param_" + name, value) for name, value in part["params"]]
            request = urllib.request.Request(f"http://{self.address}/?{urllib.parse.urlencode(query)}", part["sql"].encode(), self.headers)
            try:
                answer = json.load(urllib.request.urlopen(request, timeout=120))
            except urllib.error.HTTPError as problem:
                raise AssertionError(f"{part['name']}: {problem.read().decode()[:1500]}\n{part['sql'] if os.environ.get('SQL') else ''}") from None
            names = [column["name"] for column in answer["meta"]]
            parts[part["name"]] = [dict(zip(names, row)) for row in answer["data"]]
        return parts


def same(expected, got):
    """Equal; sums of fractions may differ in the last digits, by the order they were added in."""
    if isinstance(expected, bool):
        return got in (expected, int(expected))
    if isinstance(expected, (int, float)):
        try:
            number = float(got)
        except (TypeError, ValueError):
            return False
        if isinstance(expected, int):
            return number == expected
        return math.isclose(number, expected, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(expected, (list, tuple)):
        return isinstance(got, list) and len(got) == len(expected) and all(map(same, expected, got))
    return got == expected


def differences(table, rows):
    """What is not as expected, as lines."""
    columns = list(table.rows[0]) if table.rows else []
    if rows and (missing := [name for name in columns if name not in rows[0]]):
        return [f"no column {', '.join(missing)}; there are {', '.join(rows[0])}"]
    if table.ordered:
        keyed = lambda all_rows: dict(enumerate(all_rows))
    else:
        keyed = lambda all_rows: {tuple(str(row[name]) for name in table.key): row for row in all_rows}
    expected, got = keyed(table.rows), keyed(rows)
    found = []
    if len(got) != len(rows):
        found.append(f"{len(rows) - len(got)} rows twice by {table.key}")
    for key in expected.keys() | got.keys():
        if key not in got:
            found.append(f"missing {expected[key]}")
        elif key not in expected:
            found.append(f"surplus {got[key]}")
        else:
            wrong = [f"{name}: oracle {expected[key][name]!r}, report {got[key][name]!r}" for name in columns if not same(expected[key][name], got[key][name])]
            if wrong:
                found.append(f"{key}: " + "; ".join(wrong))
    return found


def run(data, console, names):
    """Number of cases and of those that differ."""
    cases = wrong = 0
    for module in names:
        oracle = importlib.import_module(module)
        for report, params, expected in oracle.cases(data):
            cases += 1
            asked = params
            started = time.time()
            try:
                parts = console.report(report, asked)
                elapsed_ms = (time.time() - started) * 1000
                found = []
                for part, table in expected(data, params | {"now_ms": int(started * 1000)}).items():
                    if part not in parts:
                        found.append(f"no part {part}; there are {', '.join(parts)}")
                        continue
                    lines = differences(table, parts[part])
                    found += [f"{part}: {line}" for line in lines[:SHOWN]]
                    if len(lines) > SHOWN:
                        found.append(f"{part}: and {len(lines) - SHOWN} more")
            except AssertionError as problem:
                elapsed_ms, found = 0, [str(problem)]
            wrong += bool(found)
            print(f"{'DIFFERS' if found else 'equal  '} {report} {elapsed_ms:5.0f} ms {json.dumps(asked, ensure_ascii=False)}")
            for line in found:
                print(f"    {line}")
    return cases, wrong


def main():
    log, url, *names = sys.argv[1:]
    data = Data(log)
    target = Engine(url) if url.startswith("clickhouse://") else Console(url)
    cases, wrong = run(data, target, names or REPORTS)
    print(f"{cases} cases, {wrong} differ; {len(data.events)} events, {len(data.by_user)} people, {len(data.visits)} visits")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
