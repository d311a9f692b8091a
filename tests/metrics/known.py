"""Answers known without a computer: a few events each, and the number the definitions give. Keeps the oracle itself honest.

`python3 tests/metrics/known.py`
"""

import base64
import json
import os
import tempfile
import unittest
import urllib.parse

import attribution
import funnel
import measures
import overview
import people
import retention
from data import Data
from sent import DAY_MS, day_number

DAY = "2026-05-04"
MINUTE = 60_000
# 10:00 in Shanghai on that day, a Monday.
T = day_number(DAY) * DAY_MS + 2 * 3600_000
WHOLE = {"from": DAY, "to": DAY, "now_ms": T + 30 * DAY_MS}


def event(name, at=0, who="d1", login=None, lib="js", kind="track", flush=None, device=None, **properties):
    record = {"type": kind, "event": name, "distinct_id": login or who, "time": T + at, "lib": {"$lib": lib}, "properties": properties}
    if lib != "Java":
        record["anonymous_id"] = device or who
    if login:
        record["login_id"] = login
    if kind == "track_signup":
        record["original_id"] = who
    if flush is not None:
        record["_flush_time"] = T + flush
    if kind.startswith("profile"):
        del record["event"]
    return record


def page(at=0, who="d1", **more):
    return event("$pageview", at, who, **more)


def data(*records, recv=None):
    """A log of these, each in a request of its own that arrives ten milliseconds after the event."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False, encoding="utf-8") as out:
        for number, record in enumerate(records):
            at = recv if recv is not None else record["time"] + 10
            if "_track_id" not in record:
                record["_track_id"] = number + 1
            body = "data=" + urllib.parse.quote(base64.b64encode(json.dumps(record).encode()).decode(), safe="")
            out.write(json.dumps({"time": f"{at // 1000}.{at % 1000:03d}", "ip": "1.2.3.4", "request": "POST /sa?project=p HTTP/1.1", "ua": "", "body": body}) + "\n")
    try:
        return Data(out.name)
    finally:
        os.unlink(out.name)


class Overview(unittest.TestCase):
    def numbers(self, *records, **params):
        return overview.measures(data(*records), WHOLE | params)

    def test_a_login_splits_no_visit_and_makes_no_second_visitor(self):
        found = self.numbers(page(0), event("$SignUp", MINUTE, login="u", kind="track_signup"), page(2 * MINUTE, login="u"))
        self.assertEqual((found["visits"], found["uv"], found["pv"], found["bounces"]), (1, 1, 2, 0))

    def test_half_an_hour_is_one_visit_and_a_millisecond_more_are_two(self):
        self.assertEqual(self.numbers(page(0), page(30 * MINUTE))["visits"], 1)
        self.assertEqual(self.numbers(page(0), page(30 * MINUTE + 1))["visits"], 2)

    def test_midnight_cuts_nothing(self):
        late = 14 * 3600_000
        found = self.numbers(page(late - MINUTE), page(late + MINUTE))
        self.assertEqual((found["visits"], found["pv"], found["duration_ms"]), (1, 1, 2 * MINUTE))

    def test_both_bounce_rates(self):
        found = self.numbers(page(0), event("$WebPageLeave", 5000), page(0, "d2"), event("Push", 0, "d3"))
        self.assertEqual((found["bounces"], found["visits"]), (2, 2))
        self.assertEqual((found["single_event"], found["sessions"]), (2, 3))
        self.assertEqual(found["duration_per_visit_s"], 2.5)

    def test_servers_and_starts_in_the_background_are_no_traffic(self):
        found = self.numbers(page(0, lib="Java", who="u"), event("$AppStartPassively", 0, "d2", lib="iOS"))
        self.assertEqual((found["pv"], found["visits"], found["sessions"]), (0, 0, 0))

    def test_who_was_here_before_is_old(self):
        records = [page(-3 * DAY_MS, "d1"), event("$SignUp", -3 * DAY_MS + 1, login="u", kind="track_signup"), page(0, "d1"), page(0, "d2")]
        found = self.numbers(*records)
        self.assertEqual((found["new_users"], found["old_users"], found["uv"]), (1, 1, 2))

    def test_sent_twice_counts_once(self):
        record = page(0) | {"_track_id": 7}
        self.assertEqual(self.numbers(record, dict(record))["pv"], 1)

    def test_a_wrong_clock_is_corrected(self):
        # Two hours fast: stamped 12:00, sent at "12:00", arrived at 10:00.
        found = data(page(2 * 3600_000, flush=2 * 3600_000), recv=T)
        self.assertEqual(found.events[0].time, T)

    def test_no_id_is_nobody(self):
        self.assertEqual(self.numbers(page(0, "undefined"), page(0, "NULL"), page(0, ""))["pv"], 0)


class Funnel(unittest.TestCase):
    steps = [{"event": name} for name in "ABC"]

    def reached(self, *records, **params):
        return funnel.funnel(data(*records), WHOLE | {"steps": self.steps} | params)[()]

    def test_order_counts_and_others_may_lie_between(self):
        self.assertEqual(self.reached(event("A", 0), event("X", 1), event("B", 2), event("C", 3))["reached"], [1, 1, 1])
        self.assertEqual(self.reached(event("A", 1), event("B", 0), event("C", 2))["reached"], [1, 0, 0])

    def test_in_one_millisecond_the_order_of_arrival_counts(self):
        self.assertEqual(self.reached(event("A", 5), event("B", 5), event("C", 5))["reached"], [1, 1, 1])
        self.assertEqual(self.reached(event("B", 5), event("A", 5), event("C", 5))["reached"], [1, 0, 0])

    def test_later_steps_may_lie_behind_the_period(self):
        found = self.reached(event("A", 0), event("B", 3 * DAY_MS), event("C", 7 * DAY_MS))
        self.assertEqual(found["reached"], [1, 1, 1])
        self.assertEqual(self.reached(event("A", 0), event("B", 7 * DAY_MS + 1))["reached"], [1, 0, 0])

    def test_the_deepest_try_counts_once(self):
        found = self.reached(event("A", 0), event("A", 6 * DAY_MS // 100), event("B", 6 * DAY_MS // 50), event("C", DAY_MS))
        self.assertEqual(found["reached"], [1, 1, 1])

    def test_who_has_time_left_may_still_convert(self):
        self.assertEqual(self.reached(event("A", 0), now_ms=T + DAY_MS)["still"], 1)
        self.assertEqual(self.reached(event("A", 0), now_ms=T + 8 * DAY_MS)["still"], 0)

    def test_the_group_is_the_first_steps(self):
        found = funnel.funnel(data(event("A", 0, **{"$city": "北京"}), event("B", 1, **{"$city": "上海"})), WHOLE | {"steps": self.steps, "group_by": [{"field": "$city"}]})
        self.assertEqual({key: group["reached"] for key, group in found.items()}, {("北京",): [1, 1, 0]})


    def test_all_steps_may_be_asked_to_share_a_value(self):
        found = data(event("A", 0, sku="1"), event("B", 1, sku="2"), event("A", 2, sku="2"), event("B", 3, sku="2"), event("C", 4, sku="1"))
        same = WHOLE | {"steps": self.steps, "same": {"field": "sku", "kind": "str"}}
        self.assertEqual(funnel.funnel(found, same)[()]["reached"], [1, 1, 0])
        self.assertEqual(funnel.funnel(found, WHOLE | {"steps": self.steps})[()]["reached"], [1, 1, 1])


class Others(unittest.TestCase):
    def test_retention_has_no_cell_for_a_day_that_is_not_over(self):
        found = data(page(0), page(0, "d2"), page(DAY_MS))
        cells = retention.cells(found, WHOLE | {"now_ms": T + 2 * DAY_MS}, 7)
        self.assertEqual(cells, {(DAY, 0): (2, 2, 0), (DAY, 1): (2, 1, 1)})

    def test_the_amounts_of_all_channels_are_the_total(self):
        touches = [page(-2 * DAY_MS, **{"$utm_source": "a"}), page(-DAY_MS, **{"$utm_source": "b"}), page(-MINUTE)]
        found = data(*touches, event("Pay", 0, who="d1", amount=100), event("Pay", 0, who="d9", amount=1))
        params = WHOLE | {"event": "Pay", "amount": "amount"}
        amounts = lambda model: {name: round(total, 9) for name, (_, total) in attribution.attribution(found, params, model).items()}
        self.assertEqual(amounts("last_non_direct"), {"b": 100.0, attribution.DIRECT: 1.0})
        self.assertEqual(amounts("first"), {"a": 100.0, attribution.DIRECT: 1.0})
        self.assertEqual(amounts("last"), {attribution.DIRECT: 101.0})
        self.assertEqual(amounts("position"), {"a": 40.0, "b": 20.0, attribution.DIRECT: 41.0})

    def test_text_that_is_a_number_counts_as_one(self):
        found = data(event("Buy", 0, price=12), event("Buy", 1, price="12.5"), event("Buy", 2, price="12元"))
        self.assertEqual(measures.grouped(found, WHOLE, "Buy", "sum", "price"), {(): 24.5})
        self.assertEqual(measures.grouped(found, WHOLE, "Buy", "p50", "price"), {(): 12.25})

    def test_a_servers_event_has_the_place_of_the_last_client_event(self):
        records = [page(-MINUTE, "d1", login="u", **{"$city": "北京"}), event("Pay", 0, who="u", lib="Java", amount=5), page(MINUTE, "d1", login="u", **{"$city": "上海"})]
        groups = measures.grouped(data(*records), WHOLE | {"group_by": [{"field": "$city"}]}, "Pay", "sum", "amount")
        self.assertEqual(groups, {("北京",): 5.0})

    def test_the_first_account_of_a_device_keeps_it(self):
        records = [event("$SignUp", 0, "d", login="a", kind="track_signup"), event("$SignUp", 1, "d", login="b", kind="track_signup"), page(2, "d")]
        found = data(*records)
        self.assertEqual(people.ids(found, "a"), {"a", "d"})
        self.assertEqual([one.user for one in found.events], ["a", "b", "a"])

    def test_profiles_are_replayed_in_the_order_of_time(self):
        kinds = [("profile_set", 3, {"x": 1}), ("profile_set_once", 1, {"x": 9, "y": 2}), ("profile_increment", 4, {"x": 5}), ("profile_append", 2, {"z": ["a", "b"]}),
                 ("profile_append", 5, {"z": ["b", "c"]}), ("profile_unset", 6, {"y": True})]
        found = data(*[event("", at, kind=kind, **properties) for kind, at, properties in kinds])
        self.assertEqual(found.profiles_now()["d1"], {"x": 6, "z": ["a", "b", "c"]})


if __name__ == "__main__":
    unittest.main()
