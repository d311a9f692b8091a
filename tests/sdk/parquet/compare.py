"""compare.py PARQUET_FOLDER JSONL_FOLDER: reads the Parquet files with pyarrow and compares every value with the lines of the same events.

Shares nothing with the product: which column a property belongs to is written down here anew. Ends with 1 and the differences, or prints
`rows=N values=N groups=N`."""

import json
import re
import sys
from pathlib import Path

import pyarrow.dataset as dataset
import pyarrow.parquet as parquet

TEXT = """$lib lib|$lib_version lib_version|$lib_method lib_method|$app_id app_id|$app_name app_name|$app_version app_version|$os os
$os_version os_version|$manufacturer manufacturer|$brand brand|$model model|$device_id device_id|$screen_orientation screen_orientation
$browser browser|$browser_version browser_version|$browser_language browser_language|$user_agent user_agent|$network_type network_type
$carrier carrier|$ip ip|$country country|$province province|$city city|$url url|$title title|$screen_name screen_name
$referrer referrer|$referrer_host referrer_host|$utm_source utm_source|$utm_medium utm_medium|$utm_campaign utm_campaign
$utm_content utm_content|$utm_term utm_term|$url_host url_host|$url_path url_path|$scene scene|$element_id element_id|$element_type element_type
$element_content element_content"""
NUMBER = """$screen_width screen_width|$screen_height screen_height|$viewport_width viewport_width|$viewport_height viewport_height
$timezone_offset timezone_offset|event_duration event_duration|$wifi wifi|$is_first_day is_first_day|$is_first_time is_first_time"""
PRESETS = dict(pair.split() for pair in re.split(r"[|\n]", TEXT + "\n" + NUMBER))
NUMBERS = {pair.split()[1] for pair in re.split(r"[|\n]", NUMBER)}
EXACT = 2**53


class Number(str):
    """A JSON number as its own text."""


def lines(folder):
    for path in sorted(Path(folder).rglob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield line


def main(parquet_folder, jsonl_folder):
    files = sorted(Path(parquet_folder).rglob("*.parquet"))
    assert files, "no Parquet file"
    groups = sum(parquet.ParquetFile(path).num_row_groups for path in files)
    makers = {parquet.ParquetFile(path).metadata.created_by for path in files}
    table = dataset.dataset([str(path) for path in files], format="parquet", partitioning=dataset.partitioning(flavor="hive"),
                            partition_base_dir=str(parquet_folder)).to_table()
    rows = {}
    for row in table.to_pylist(maps_as_pydicts="strict"):
        key = (row["node"], row["lsn"], row["idx"])
        assert key not in rows, f"twice: {key}"
        rows[key] = row
    wrong, values = [], 0

    def same(what, have, want):
        nonlocal values
        values += 1
        if have != want:
            wrong.append(f"{what}: Parquet has {have!r}, JSON says {want!r}")

    for line in lines(jsonl_folder):
        event = json.loads(line, parse_int=Number, parse_float=Number)
        server = event.pop("_server")
        key = (server["node"], int(server["lsn"]), int(server["index"]))
        row = rows.pop(key, None)
        if row is None:
            wrong.append(f"missing: {key}")
            continue
        at = lambda name: f"{key} {name}"
        ms = lambda name: None if row[name] is None else round(row[name].timestamp() * 1000)
        same(at("project"), row["project"], server["project"])
        same(at("json"), row["json"], line[: line.rindex(',"_server":')] + "}")
        same(at("recv_time"), ms("recv_time"), int(server["recv_time"]))
        same(at("client_time"), ms("client_time"), int(event["time"]) if "time" in event else None)
        same(at("time"), ms("time"), int(server.get("time", event.get("time", server["recv_time"]))))
        same(at("type"), row["type"], event["type"])
        same(at("event"), row["event"], event.get("event") or None)
        same(at("distinct_id"), row["distinct_id"], event.get("distinct_id", event.get("item_id")))
        for name in ["login_id", "anonymous_id", "original_id", "item_type"]:
            same(at(name), row[name], event.get(name) or None)
        # 0 is how the columns say that there is none.
        same(at("track_id"), row["track_id"], int(event["_track_id"]) or None if "_track_id" in event else None)
        same(at("duplicate"), row["duplicate"], server.get("duplicate", False))
        same(at("codes"), [code for code in row["codes"] if code != "P203"], server["codes"])
        same(at("identities"), row["identities"], event.get("identities", {}))
        maps = {"str": dict(row["str"]), "num": dict(row["num"]), "arr": dict(row["arr"])}
        properties = event.get("properties", {})
        if event["type"].startswith("profile"):
            same(at("names"), row["names"], list(properties))
        if event["type"] == "profile_unset":
            properties = {}
        track = event["type"].startswith("track")
        for name, value in properties.items():
            here = at(name)
            if track and name in PRESETS:
                column = PRESETS[name]
                if column in NUMBERS:
                    same(here, float(row[column]), float(value))
                else:
                    same(here, row[column], value or None)
            elif isinstance(value, Number):
                if re.fullmatch(r"-?\d+", value) and abs(int(value)) > EXACT:
                    same(here, maps["str"].pop(name, None), str(value))
                same(here, maps["num"].pop(name, None), float(value))
            elif isinstance(value, bool):
                same(here, maps["num"].pop(name, None), float(value))
            elif isinstance(value, list):
                same(here, maps["arr"].pop(name, None), [str(member) for member in value])
            elif isinstance(value, str):
                same(here, maps["str"].pop(name, None), value)
                number = re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", value)
                same(here, maps["num"].pop(name, None), float(value) if number else None)
            else:
                values += 1
        for name, left in maps.items():
            same(at(f"what is left in {name}"), left, {})
    wrong += [f"never sent: {key}" for key in rows]
    if makers != {"tusk version 1.0.0 (build 0)"}:
        wrong.append(f"made by {makers}")
    for text in wrong[:20]:
        print(text)
    print(f"rows={len(table)} values={values} groups={groups} wrong={len(wrong)}")
    return 1 if wrong else 0


sys.exit(main(sys.argv[1], sys.argv[2]))
