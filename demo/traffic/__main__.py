"""The shop's traffic: `history` writes past days as a file for `tusk import`, `live` sends what happens now to a receive URL.

    python3 demo/traffic history --people 2000 --days 14 --out shop.jsonl
    python3 demo/traffic live --url 'http://127.0.0.1:8106/sa?project=default' --rate 20
"""

import argparse
import sys
import time

import live
from history import History
from wire import log_line


def main():
    parser = argparse.ArgumentParser(prog="traffic", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    history = commands.add_parser("history", help="past days, one request a line")
    history.add_argument("--out", help="file; standard output if not given")
    history.add_argument("--days", type=int, default=14, help="days, the last one today (default 14)")
    history.add_argument("--end", type=int, default=None, help="moment after which nothing has arrived, ms since 1970 (default: now)")
    history.add_argument("--events", type=int, default=None, help="stop after so many events")
    now = commands.add_parser("live", help="what happens now, over HTTP")
    now.add_argument("--url", required=True, help="receive URL, as SDKs get it")
    now.add_argument("--rate", type=float, default=20, help="events a second (default 20)")
    now.add_argument("--seconds", type=float, default=None, help="stop after so long (default: never)")
    for each in (history, now):
        each.add_argument("--people", type=int, default=2000, help="people who know the shop (default 2000)")
        each.add_argument("--seed", type=int, default=1, help="what is drawn follows from it (default 1)")
        each.add_argument("--project", default="default", help="project in the URL (default: default)")
    options = parser.parse_args()
    if options.command == "live":
        return live.run(options)
    end = options.end if options.end is not None else int(time.time() * 1000)
    out = open(options.out, "w", encoding="utf-8", buffering=1 << 20) if options.out else sys.stdout
    events = requests = 0
    for request in History(options.seed, options.people, options.days, end, options.project).requests():
        out.write(log_line(request) + "\n")
        events, requests = events + request.events, requests + 1
        if options.events and events >= options.events:
            break
    if options.out:
        out.close()
        print(f"{options.out}: {requests:,} requests, {events:,} messages", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
