//! Reports with a few random edits.

use crate::testing::Random;

/// Documents that mutants are made of: one for each form the protocol knows.
pub(super) const SEEDS: [&str; 10] = [
    r#"{"identities":{"$identity_cookie_id":"1a20","$identity_login_id":"u1"},"distinct_id":"1a20","lib":{"$lib":"js","$lib_method":"code","$lib_version":"1.27.10"},"properties":{"$timezone_offset":-480,"$title":"中文😀 \"q\" \u4e2d\ud83d\ude00","price":9.50,"ok":true,"tags":["a","b"],"$is_first_day":false},"anonymous_id":"1a20","type":"track","event":"$pageview","time":1779235100010,"_track_id":129203013,"_flush_time":1779235199013}"#,
    r#"[{"type":"track","event":"A","distinct_id":"u","time":1,"properties":{}},{"type":"profile_set","distinct_id":"u","time":2,"properties":{"a":1,"b":null,"c-d":2}},{"type":"item_set","item_type":"book","item_id":"7","time":3,"properties":{"n":9007199254740993}}]"#,
    r#"{"type":"track_signup","event":"$SignUp","distinct_id":"u1","original_id":"a1","time":"1779235100010","properties":{"x":[1,"2",[3]],"user_tag1":{"a":{"b":[]}}}}"#,
    r#"{"type":"track_id_bind","event":"$BindID","distinct_id":42,"identities":{"$identity_email":"a@b","$x":""},"time":1.7e12,"properties":{"e":1.5e3,"big":123456789012345678901234567890,"neg":-0.001}}"#,
    r#"{"type":"profile_increment","distinct_id":"u","time":1779235100,"properties":{"a":1,"b":2.5,"c":"x","d":-1E+2}}"#,
    r#"{"type":"profile_append","distinct_id":"u","time":1779235100010,"properties":{"a":["x","y"],"b":"z","c":[1]},"project":"default","token":""}"#,
    r#"{"type":"profile_unset","distinct_id":"undefined","time":null,"properties":{"a":true,"b":null}}"#,
    r#"{ "type" : "track" ,
  "event":"Buy","distinct_id":"\u0075\/1" , "time":1779235100010,"_server":{"lsn":1},"extra":[{},[],""],"properties":{"a_very_long_property_name_of_more_than_sixteen_bytes":1,"B$_9":2} }"#,
    r#"[[],{},"x",-1,true,null,{"type":"track","type":"track"},{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"a":0}]"#,
    r#"[]"#,
];

const TOKENS: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\\"",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\ud83d\\ude00",
    "\\u0000",
    "\\x",
    "1",
    "0",
    "-",
    "-0",
    "00",
    "1.",
    ".5",
    "1e5",
    "1e400",
    "-1e-400",
    "1e",
    "1E+",
    "true",
    "false",
    "null",
    "nul",
    "\"a\"",
    "\"_flush_time\":5,",
    "\"_server\":{},",
    "\"type\":",
    "undefined",
    "\u{feff}",
    " ",
    "\n",
    "\t",
    "\u{1}",
    "\u{7f}",
    "中",
    "{}",
];

const NAMES: [&str; 24] = [
    "x",
    "$project",
    "$token",
    "project",
    "token",
    "type",
    "event",
    "distinct_id",
    "original_id",
    "identities",
    "_server",
    "_flush_time",
    "time",
    "lib",
    "properties",
    "a-b",
    "a_name_of_twenty_bytes__",
    "a_name_of_sixteen",
    "User_Tag_1",
    "datetime",
    "9",
    "",
    "n\\u0061me",
    "é",
];

const VALUES: [&str; 24] = [
    "1",
    "\"default\"",
    "\"x\"",
    "\"\"",
    "null",
    "true",
    "{}",
    "[]",
    "[\"a\"]",
    "[1]",
    "[[]]",
    "{\"a\":{}}",
    "9000000000000001",
    "9e15",
    "0.1",
    "1e308",
    "\"\\u00e9\"",
    "\"\\ud83d\"",
    "\"undefined\"",
    "{\"$project\":\"default\"}",
    "{\"$lib\":\"Java\"}",
    "\"track\"",
    "\"profile_append\"",
    "[ ]",
];

pub(super) fn mutant(random: &mut Random) -> Vec<u8> {
    let mut text = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(12)).min(text.len());
        match random.below(18) {
            0 if at < text.len() => text[at] = random.next().to_le_bytes()[0],
            1 if at < text.len() => text[at] ^= 1 << random.below(8),
            2 => drop(text.splice(at..at, TOKENS[random.below(TOKENS.len())].bytes())),
            3 => drop(text.splice(at..end, TOKENS[random.below(TOKENS.len())].bytes())),
            4 => drop(text.drain(at..end)),
            5 => {
                let piece = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, piece));
            }
            6 => text.truncate(at),
            7 => drop(text.splice(at..at, [b" \n\t\r\x0b\x0c"[random.below(6)]])),
            8 => {
                // A token in the place of a structural byte.
                let places: Vec<_> =
                    (0..text.len()).filter(|i| b"{}[],:\"".contains(&text[*i])).collect();
                if let Some(&place) = places.get(random.below(places.len().max(1))) {
                    drop(text.splice(place..=place, TOKENS[random.below(TOKENS.len())].bytes()));
                }
            }
            9 => {
                // Another value behind a colon.
                let places: Vec<_> = (0..text.len()).filter(|i| text[*i] == b':').collect();
                if let Some(&place) = places.get(random.below(places.len().max(1))) {
                    let token = TOKENS[random.below(TOKENS.len())];
                    drop(text.splice(place + 1..place + 1, format!("{token},\"n\":").into_bytes()));
                }
            }
            10 => {
                let (depth, object) = (20 + random.below(180), random.below(2) == 0);
                let (open, close) = if object { ("{\"a\":", "}") } else { ("[", "]") };
                let nest = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                drop(text.splice(at..at, nest.into_bytes()));
            }
            11..=16 => {
                // A whole member, so that most such mutants are JSON and the rules are met.
                let places: Vec<_> = (0..text.len()).filter(|i| text[*i] == b'{').collect();
                if let Some(&place) = places.get(random.below(places.len().max(1))) {
                    let (name, value) =
                        (NAMES[random.below(NAMES.len())], VALUES[random.below(VALUES.len())]);
                    let comma = if text.get(place + 1) == Some(&b'}') { "" } else { "," };
                    let member = format!("\"{name}\":{value}{comma}");
                    drop(text.splice(place + 1..place + 1, member.into_bytes()));
                }
            }
            _ => {
                let seed = SEEDS[random.below(SEEDS.len())].as_bytes();
                let from = random.below(seed.len());
                let to = (from + random.below(60)).min(seed.len());
                drop(text.splice(at..at, seed[from..to].iter().copied()));
            }
        }
    }
    text
}
