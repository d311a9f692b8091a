//! What the open internet sends: bombs, garbage, slow and leaving clients; and the module inside other modules' subrequests.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tusk_tests::conf::Conf;
use tusk_tests::http::{self, Connection, escape, message};
use tusk_tests::load::base64;
use tusk_tests::random::Random;
use tusk_tests::{Dir, Nginx, ring, wait_for};

fn event(name: &str) -> String {
    format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"u1","time":1700000000000,"properties":{{}}}}"#
    )
}

fn form(bytes: &[u8]) -> Vec<u8> {
    format!("data_list={}", escape(base64(bytes).as_bytes())).into_bytes()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn conf() -> Conf {
    Conf { workers: 1, server: "location = /metrics { tusk_metrics; }".into(), ..Conf::default() }
}

#[test]
fn whatever_comes_is_answered_200_and_kept_and_the_worker_lives() {
    let dir = Dir::new("hostile");
    let nginx = Nginx::start(&dir, |port| conf().text(&dir, port));
    let worker = nginx.workers();
    let mut random = Random::new(3);
    let noise: Vec<u8> = (0..300_000).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
    let bomb = gzipped(&vec![b' '; 200 << 20]);
    let layers = gzipped(&gzipped(&bomb));
    let deep = format!("{{\"type\":\"track\",\"properties\":{}", "{\"a\":".repeat(100_000));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("10 MB of [", vec![b'['; 10 << 20]),
        ("10 MB of [ in base64", form(&vec![b'['; 5 << 20])),
        ("nested 100,000 deep", form(deep.as_bytes())),
        ("a bomb of 200 MB", form(&bomb)),
        ("a bomb in a bomb", form(&layers)),
        ("noise", noise.clone()),
        ("noise in base64", form(&noise)),
        ("noise that says it is gzip", form(&[&[0x1f, 0x8b, 8, 0][..], &noise].concat())),
        ("percent signs", vec![b'%'; 1 << 20]),
        ("a million parameters", b"a=1&".repeat(1_000_000)),
        ("zeroes", vec![0; 1 << 20]),
        ("a JSON text of one string", format!("\"{}\"", "x".repeat(4 << 20)).into_bytes()),
        ("a name of 1 MB", form(event(&"n".repeat(1 << 20)).as_bytes())),
        ("half a base64 text", form(event("Half").as_bytes())[..60].to_vec()),
        ("wrong lengths in gzip", form(&[gzipped(event("G").as_bytes()), vec![0; 100]].concat())),
    ];
    let mut connection = Connection::open(nginx.address()).unwrap();
    for (what, body) in &bodies {
        let start = Instant::now();
        let answer = connection.request("POST", "/sa", &[], body).unwrap();
        assert_eq!(answer.status, 200, "{what}");
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: {:?}", start.elapsed());
        let stored = ring::drain(&dir.ring());
        assert_eq!(stored.len(), 1, "{what}: it is kept");
        assert!(stored[0].raw.len() <= body.len() + 1_024, "{what}: {}", stored[0].raw.len());
    }
    // The same bytes as a query.
    for (what, body) in bodies.iter().filter(|(_, body)| body.len() < 100_000) {
        let target = [b"/sa.gif?data=", &escape(body).into_bytes()[..]].concat();
        if target.len() < 60_000 {
            let answer = http::get(nginx.address(), std::str::from_utf8(&target).unwrap());
            assert_eq!(answer.status, 200, "{what}");
        }
    }
    assert_eq!(nginx.workers(), worker);
    let metrics = http::get(nginx.address(), "/metrics").text();
    assert!(metrics.contains("\ntusk_edge_panics_total 0\n"), "{metrics}");
}

#[test]
fn slow_bodies_hold_up_nobody_and_end_at_nginxs_timeout() {
    let dir = Dir::new("slow");
    let conf = Conf { http: "client_body_timeout 1s;".into(), ..conf() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let bytes = message("POST", "/sa", &[], &form(event("Slow").as_bytes()));
    let (start, end) = bytes.split_at(bytes.len() - 10);
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(nginx.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(start).unwrap();
            stream
        })
        .collect();
    // One that comes to its end in time, and one that is quick.
    slow[0].write_all(end).unwrap();
    let body = form(event("Quick").as_bytes());
    assert_eq!(http::post(nginx.address(), "/sa", &[], &body).status, 200);
    let mut answers: Vec<String> = slow
        .iter_mut()
        .map(|stream| {
            let mut text = [0; 12];
            let got = stream.read(&mut text).unwrap();
            String::from_utf8_lossy(&text[..got]).into_owned()
        })
        .collect();
    assert_eq!(answers.remove(0), "HTTP/1.1 200");
    assert!(
        answers.iter().all(|answer| answer.is_empty() || answer == "HTTP/1.1 408"),
        "{answers:?}"
    );
    assert_eq!(ring::drain(&dir.ring()).len(), 2);
}

#[test]
fn a_mirror_inside_one_nginx_collects_beside_the_old_answer() {
    for ack in ["ring", "journal"] {
        let dir = Dir::new("inner-mirror");
        let conf = Conf {
            ring: format!("size=64m ack={ack}"),
            server: "location = /metrics { tusk_metrics; }
                location = /old { mirror /copy; proxy_pass http://127.0.0.1:$server_port/answer; }
                location = /copy { internal; tusk on; tusk_project *; }
                location = /answer { return 200 old; }"
                .into(),
            ..conf()
        };
        let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
        let drain = ring::Drain::start(&dir.ring());
        let mut sent = Vec::new();
        for bytes in [10, 400_000] {
            let json =
                event("Mirror").replace("{}", &format!(r#"{{"p":"{}"}}"#, "x".repeat(bytes)));
            let answer = http::post(nginx.address(), "/old", &[], &form(json.as_bytes()));
            assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{bytes} {ack}");
            sent.push(json);
        }
        wait_for(20, "both copies", || {
            let metrics = http::get(nginx.address(), "/metrics").text();
            metrics.contains("\ntusk_edge_records_total 2\n").then_some(())
        });
        let stored: Vec<String> = drain.finish().into_iter().flat_map(|r| r.events).collect();
        assert!(stored == sent, "{ack}");
        assert!(!dir.read("error.log").contains("[alert]"), "{}", dir.read("error.log"));
    }
}
