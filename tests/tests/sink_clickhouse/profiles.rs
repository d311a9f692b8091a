//! The state of profiles against a plain replay, whatever order their operations came in.

use super::{event, now_ms, send, settings, settled};
use std::collections::BTreeMap;
use tusk_tests::random::Random;
use tusk_tests::servers::olap::Olap;
use tusk_tests::{Dir, Nginx, Tusk, conf};

/// One operation of a user at a moment.
struct Op {
    time: u64,
    user: u64,
    json: String,
    /// What it does to the state.
    change: Change,
}

#[derive(Clone, Copy)]
enum Change {
    Set(&'static str, u64),
    Once(&'static str, u64),
    Add(u64),
    Join(u64),
    Unset(&'static str),
    Delete,
}

fn op(random: &mut Random, time: u64, user: u64) -> Op {
    let value = random.below(50);
    let (kind, properties, change) = match random.below(12) {
        0 | 1 => ("set", format!("\"n\":{value}"), Change::Set("n", value)),
        2 | 3 => ("set", format!("\"s\":\"v{value}\""), Change::Set("s", value)),
        4 => ("set_once", format!("\"s\":\"v{value}\""), Change::Once("s", value)),
        5 | 6 => ("increment", format!("\"n\":{value}"), Change::Add(value)),
        7 | 8 => ("append", format!("\"l\":[\"v{value}\"]"), Change::Join(value)),
        9 => ("unset", "\"n\":true".to_owned(), Change::Unset("n")),
        10 => ("unset", "\"s\":true,\"l\":true".to_owned(), Change::Unset("sl")),
        _ => ("delete", String::new(), Change::Delete),
    };
    let json = format!(
        r#"{{"type":"profile_{kind}","distinct_id":"u{user}","time":{time},"properties":{{{properties}}}}}"#
    );
    Op { time, user, json, change }
}

/// What a profile is after its operations in the order of time.
fn replay<'o>(
    ops: impl Iterator<Item = &'o Op>,
) -> (BTreeMap<String, String>, Option<u64>, Vec<String>) {
    let (mut texts, mut number, mut list) = (BTreeMap::new(), None, Vec::new());
    for op in ops {
        match op.change {
            Change::Set("n", value) => number = Some(value),
            Change::Set(key, value) => _ = texts.insert(key.to_owned(), format!("v{value}")),
            Change::Once(key, value) => {
                _ = texts.entry(key.to_owned()).or_insert(format!("v{value}"))
            }
            Change::Add(value) => number = Some(number.unwrap_or(0) + value),
            Change::Join(value) => {
                let value = format!("v{value}");
                if !list.contains(&value) {
                    list.push(value);
                }
            }
            Change::Unset("n") => number = None,
            Change::Unset(_) => {
                texts.clear();
                list.clear();
            }
            Change::Delete => (texts, number, list) = (BTreeMap::new(), None, Vec::new()),
        }
    }
    (texts, number, list)
}

#[test]
fn profiles_are_what_a_replay_in_the_order_of_time_makes_of_them() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-profiles");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &settings(&olap, ""));
    let mut random = Random::new(5);
    let start = now_ms() - 3_600_000;
    let mut ops: Vec<Op> =
        (0..600).map(|n| op(&mut random, start + n * 1000, n * 7 % 20)).collect();
    let mut sent: Vec<usize> = (0..ops.len()).collect();
    for at in (1..sent.len()).rev() {
        sent.swap(at, random.below(at as u64 + 1) as usize);
    }
    for some in sent.chunks(50) {
        send(nginx.address(), &some.iter().map(|at| ops[*at].json.clone()).collect::<Vec<_>>());
    }
    send(nginx.address(), &[event("End", "u0", "", "")]);
    settled(&tusk, 601);
    ops.sort_by_key(|op| op.time);
    for user in 0..20 {
        let (texts, number, list) = replay(ops.iter().filter(|op| op.user == user));
        let texts: Vec<String> =
            texts.iter().map(|(key, value)| format!("'{key}':'{value}'")).collect();
        let number = number.map_or(String::new(), |number| format!("'n':{number}"));
        let list: Vec<String> = list.iter().map(|value| format!("'{value}'")).collect();
        let want = format!("{{{}}}\t{{{number}}}\t[{}]", texts.join(","), list.join(","));
        let found = olap.query(&format!(
            "SELECT str, num, arr['l'] FROM tusk.users_v WHERE distinct_id = 'u{user}'"
        ));
        let found = if found.is_empty() { "{}\t{}\t[]".to_owned() } else { found };
        assert_eq!(found, want, "user {user}");
    }
    tusk.stop();
}
