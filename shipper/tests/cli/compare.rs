//! `tusk compare`

use std::io::Write;

use crate::support::{Dir, run, stderr, stdout, tusk};

fn event(name: &str, track: u64, more: &str) -> String {
    format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"u{track}","time":1795537800000,"_track_id":{track},"lib":{{"$lib":"js"}},"properties":{{}}{more}}}"#
    )
}

#[test]
fn two_chains_are_told_apart_event_by_event() {
    let dir = Dir::new();
    let config = dir.write("tusk.toml", "lang = \"en\"\ntimezone = \"UTC\"\n");
    // The old chain: gzip of two members, one event more and one line of rubbish.
    let mut old = Vec::new();
    for lines in
        [[event("Buy", 1, ""), event("Buy", 2, "")], [event("View", 3, ""), "rubbish".into()]]
    {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        old.extend(gzip.finish().unwrap());
    }
    let old_file = dir.path().join("old.log.gz");
    std::fs::write(&old_file, old).unwrap();
    let ours = dir.path().join("files/project=default/dt=2026-11-25/hour=13");
    std::fs::create_dir_all(&ours).unwrap();
    let facts = r#","_server":{"lsn":1}"#;
    let lines = [event("Buy", 1, facts), event("View", 3, facts)].join("\n");
    let packed = zstd::encode_all(lines.as_bytes(), 1).unwrap();
    std::fs::write(ours.join("part-a-1-2.jsonl.zst"), packed).unwrap();
    std::fs::write(ours.join("_SUCCESS-a"), "").unwrap();
    std::fs::write(ours.join(".part-a-3-4.jsonl.inprogress"), "half").unwrap();
    let compare = |more: &[&str]| {
        let mut command = tusk(&dir);
        command.args(["compare", "--config"]).arg(&config).arg("--data").arg(dir.path());
        command.arg("--with").arg(&old_file).args(more);
        run(&mut command, b"")
    };
    let out = compare(&[]);
    let text = stdout(&out);
    assert_eq!(out.status.code(), Some(1), "{text}{}", stderr(&out));
    let total = text.lines().find(|line| line.starts_with("total")).unwrap();
    let numbers: Vec<&str> = total.split_whitespace().skip(1).collect();
    assert_eq!(numbers, ["3", "2", "2", "1", "0"], "{text}");
    assert!(
        text.contains("only old: Buy 2026-11-24 js  u2") && text.contains("old.log.gz:2"),
        "{text}"
    );
    assert!(text.contains("1 lines are no events"), "{text}");
    let json = stdout(&compare(&["--json", "--by", "event"]));
    assert!(
        json.contains(r#"{"name":["Buy"],"old":2,"new":1,"both":1,"only_old":1,"only_new":0"#),
        "{json}"
    );
    // The same on both sides.
    let out = compare(&["--new", old_file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", stdout(&out));
    // Nothing is left behind, and a wrong name is said.
    let temp = dir.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    compare(&["--temp", temp.to_str().unwrap()]);
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
    let out = compare(&["--new", "/nonexistent"]);
    assert!(stderr(&out).contains("/nonexistent"), "{}", stderr(&out));
    let out = compare(&["--new", "kafka:events"]);
    assert!(stderr(&out).contains("sink.kafka.brokers"), "{}", stderr(&out));
}
