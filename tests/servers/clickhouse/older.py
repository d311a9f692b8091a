#!/usr/bin/env python3
"""The schema and the tokens on an older engine, by the wheel that carries it.

    python3 -m venv V && V/bin/pip install chdb==2.1.1          # ClickHouse 24.8, 575 MB on disk
    cargo run -p analytics --example ddl > schema.sql
    V/bin/python tests/servers/clickhouse/older.py schema.sql [ROUNDS]

Applies every statement, then inserts blocks that span two days, kills itself at random moments, and sends each block again under its
token. Table and roll-ups must count every block once. Ends with one line and status 0, or says what differs.
"""
import os, random, shutil, signal, subprocess, sys, tempfile, time

SETTINGS = ("insert_deduplicate=1, deduplicate_blocks_in_dependent_materialized_views=1, async_insert=0, max_insert_block_size=100000000, "
            "min_insert_block_size_rows=100000000, min_insert_block_size_bytes=0, max_partitions_per_insert_block=0, max_insert_threads=1")
ROWS = 500
BLOCKS = 40


def session(folder):
    from chdb.session import Session
    return Session(folder)


def insert(s, block):
    """One block of two days and two events, as the sink sends it: whole, under the token of its range."""
    s.query(f"""INSERT INTO tusk.events (project, event, type, day, time, client_time, recv_time, node, lsn, idx, dup_key, distinct_id, num)
        SETTINGS {SETTINGS}, insert_deduplication_token = 'edge-1:{block}:events'
        SELECT 'shop', if(number % 2 = 0, 'Buy', 'View'), 'track', toDate('2026-05-01') + number % 2, toDateTime64('2026-05-01 10:00:00', 3, 'UTC') + number % 2 * 86400 AS time,
               time, time, 'edge-1', {block} * 1000, number, cityHash64({block}, number), concat('u', toString(number)), map('n', number)
        FROM numbers({ROWS})""")


def sender(folder):
    """Sends every block once, saying so before and after; ends by being killed, or when all is sent."""
    s = session(folder)
    for block in map(int, sys.stdin.read().split()):
        print("begin", block, flush=True)
        insert(s, block)
        print("end", block, flush=True)


def number(s, sql):
    return int(str(s.query(sql, "TSV")).strip())


def main(schema, rounds):
    folder = tempfile.mkdtemp(prefix="tusk-older-")
    try:
        s = session(folder)
        version = str(s.query("SELECT version()", "TSV")).strip()
        statements = [st.strip() for st in open(schema).read().split(";\n") if st.strip()]
        for statement in statements:
            s.query(statement)
        for view in ("events_v", "users_v", "user_keys_v", "items_v"):
            s.query(f"SELECT * FROM tusk.{view} LIMIT 1", "TSV")
        resent = kills = 0
        left = list(range(BLOCKS))
        for _ in range(rounds):
            child = subprocess.Popen([sys.executable, __file__, "--send", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            child.stdin.write(" ".join(map(str, left)))
            child.stdin.close()
            time.sleep(0.3 + random.random() * 1.5)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
            said = child.stdout.read().split("\n")
            child.wait()
            done = {int(line.split()[1]) for line in said if line.startswith("end")}
            begun = {int(line.split()[1]) for line in said if line.startswith("begin")}
            resent += len(begun - done)
            left = [block for block in left if block not in done] or list(range(BLOCKS))
        s = session(folder)
        for block in range(BLOCKS):  # what never arrived, and everything else once more
            insert(s, block)
            resent += 1
        want = BLOCKS * ROWS
        counts = [number(s, f"SELECT {what}") for what in (
            "count() FROM tusk.events", "uniqExact(lsn, idx) FROM tusk.events",
            "sum(events) FROM tusk.by_minute", "sum(events) FROM tusk.by_hour")]
        print(f"engine {version}: {len(statements)} statements applied, {kills} kills, {resent} blocks sent again, counts {counts} of {want}")
        return 0 if counts == [want] * 4 else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1] == "--send":
        sender(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 12))
