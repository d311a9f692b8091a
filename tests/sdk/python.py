#!/usr/bin/env python3
"""Drives the Python SDK (PyPI SensorsAnalyticsSDK): python.py BASE_URL OUT_DIR CASE[,CASE...]

Cases: default, default_free, batch, async, debug_write, debug_dry, logging, concurrent. Each case sends to the project named after it; every JSON
text the SDK hands to its consumer goes to OUT_DIR/<project>.jsonl, one a line.
"""
import contextlib
import datetime
import os
import sys

from sensorsanalytics import sdk

BASE, OUT, CASES = sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3].split(",")


def logged(consumer, project):
    """Writes down each text that the SDK hands to its consumer."""
    send = consumer.send

    def hooked(text):
        with open(os.path.join(OUT, project + ".jsonl"), "a", encoding="utf-8") as log:
            log.write(text + "\n")
        return send(text)

    consumer.send = hooked
    return consumer


def log_of(url):
    return os.path.join(OUT, url.rsplit("=", 1)[1] + ".log")


CONSUMERS = {
    "default": lambda url: sdk.DefaultConsumer(url),
    "default_free": lambda url: sdk.DefaultConsumer(url, request_timeout=20),
    "batch": lambda url: sdk.BatchConsumer(url, max_size=7),
    "async": lambda url: sdk.AsyncBatchConsumer(url, flush_max_time=1, flush_size=10),
    # These write files, OUT/<project>.log…, instead of sending.
    "logging": lambda url: sdk.LoggingConsumer(log_of(url)),
    "concurrent": lambda url: sdk.ConcurrentLoggingConsumer(log_of(url)),
    "debug_write": lambda url: sdk.DebugConsumer(url, True),
    "debug_dry": lambda url: sdk.DebugConsumer(url, False),
}


def steps(sa):
    identity = sdk.SensorsAnalyticsIdentity
    sa.register_super_properties({"super_text": "公共", "super_number": 1})
    sa.track("anon_1", "ViewProduct", {
        "product": "苹果 iPhone「港版」", "emoji": "😀👩‍👩‍👧‍👦🇨🇳", "price": 6999.99, "quantity": 2, "negative": -1,
        "big": 9007199254740993, "yes": True, "no": False, "when": datetime.datetime(2026, 1, 2, 3, 4, 5, 678000),
        "day": datetime.date(2026, 1, 2), "list": ["a", "乙", "🍎"], "$ip": "1.2.3.4",
        "special": "+ &=%?#/\\\"'<>\n\t\u2028end", "empty": "",
    }, is_login_id=False)
    sa.track("anon_1", "WithTime", {"$time": datetime.datetime(2025, 12, 31, 23, 59, 59, 999000), "x": 1})
    sa.track_signup("user_10001", "anon_1", {"channel": "微信"})
    sa.profile_set("user_10001", {"$name": "张三", "age": 30, "birthday": datetime.datetime(1990, 1, 1)}, is_login_id=True)
    sa.profile_set_once("user_10001", {"first": "一次"}, is_login_id=True)
    sa.profile_increment("user_10001", {"score": 5}, is_login_id=True)
    sa.profile_append("user_10001", {"tags": ["电影", "游戏"]}, is_login_id=True)
    sa.profile_unset("user_10001", ["age"], is_login_id=True)
    sa.item_set("book", "0321714113", {"title": "计算机程序设计艺术", "price": 88.5})
    sa.item_delete("book", "0321714113")
    login, mobile = identity(identity.LOGIN_ID, "user_10001"), identity(identity.MOBILE, "13900000000")
    sa.bind(login, mobile)
    sa.unbind(mobile)
    sa.track_by_id("EventById", {"a": "b"}, identity(identity.EMAIL, "x@example.com"), identity("$identity_cookie_id", "ck-1"))
    sa.profile_set_by_id({"k": "v"}, login)
    sa.profile_increment_by_id({"n": 1}, login)
    sa.profile_append_by_id({"tags": ["z"]}, login)
    sa.profile_unset_by_id(["k"], login)
    sa.profile_delete_by_id(login)
    sa.profile_delete("user_10001", is_login_id=True)
    sa.track("long_1", "LongValues", {"long": "长" * 2700, "list": ["tag%d" % i for i in range(100)]})


for case in CASES:
    project = "python_" + case
    consumer = logged(CONSUMERS[case](BASE + "/sa?project=" + project), project)
    sa = sdk.SensorsAnalytics(consumer, enable_time_free=case == "default_free")
    # The debug consumer prints every event.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        steps(sa)
        sa.flush()
        sa.close()
print("done", flush=True)
sys.stdin.read()
