//! Requests of every kind through the real nginx: what is answered, and what a reader finds in the ring.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use tusk_tests::conf::Conf;
use tusk_tests::http::{self, Answer, Connection, escape};
use tusk_tests::load::base64;
use tusk_tests::{Dir, Nginx, free_port, ring, wait_for};

const GIF_BYTES: usize = 43;

/// An event of about `bytes` bytes.
fn event(name: &str, bytes: usize) -> String {
    let padding = "x".repeat(bytes);
    format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"u1","time":1700000000000,"properties":{{"p":"{padding}"}}}}"#
    )
}

fn form(json: &str) -> String {
    format!("data={}", escape(base64(json.as_bytes()).as_bytes()))
}

fn chunked(body: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let mut bytes = b"POST /sa HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(chunk_bytes) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// POST over HTTP/2 without TLS; returns status and body.
fn post_h2(port: u16, body: &[u8]) -> (u16, String) {
    let mut curl = Command::new("curl")
        .args([
            "-sS",
            "--http2-prior-knowledge",
            "--max-time",
            "30",
            "-w",
            "\n%{http_version} %{http_code}",
        ])
        .args(["--data-binary", "@-", &format!("http://127.0.0.1:{port}/sa")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    curl.stdin.take().unwrap().write_all(body).unwrap();
    let out = curl.wait_with_output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let (body, last) = text.rsplit_once('\n').unwrap();
    let (version, status) = last.split_once(' ').unwrap();
    assert_eq!(version, "2", "{text}");
    (status.parse().unwrap(), body.to_owned())
}

fn cors(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[test]
fn every_method_is_answered_as_the_sdks_expect() {
    let dir = Dir::new("methods");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let json = event("M", 10);
    let query = format!("/sa.gif?{}", form(&json));
    let from_page = [("Origin", "https://shop.example")];

    let answer = http::get(nginx.address(), &query);
    assert_eq!((answer.status, answer.body.len()), (200, GIF_BYTES));
    assert_eq!(answer.header("content-type"), Some("image/gif"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(cors(&answer), Some("*"));

    let answer = http::post(nginx.address(), "/sa", &from_page, form(&json).as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(cors(&answer), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));

    let answer = http::send(nginx.address(), "OPTIONS", "/sa", &from_page, b"");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(cors(&answer), Some("https://shop.example"));
    let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    assert!(
        ["content-type", "dry-run", "x-tusk-verdict"].iter().all(|name| allowed.contains(name))
    );
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));

    let answer = http::send(nginx.address(), "HEAD", &query, &[], b"");
    assert_eq!((answer.status, cors(&answer)), (200, Some("*")));

    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = http::send(nginx.address(), method, "/sa", &from_page, form(&json).as_bytes());
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").unwrap().contains("POST"), "{method}");
        assert_eq!(cors(&answer), Some("https://shop.example"), "{method}");
    }
    let stored = ring::drain(&dir.ring());
    let events: Vec<&String> = stored.iter().flat_map(|request| &request.events).collect();
    assert_eq!(events, [&json, &json], "GET and POST, nothing else");
}

#[test]
fn bodies_arrive_whole_in_memory_in_files_in_chunks_and_over_http2() {
    let dir = Dir::new("bodies");
    let h2 = free_port();
    let conf = Conf { server: format!("listen 127.0.0.1:{h2} http2;"), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let mut sent = Vec::new();
    let mut connection = Connection::open(nginx.address()).unwrap();
    // client_body_buffer_size is 128k: the last two go through a temporary file.
    for bytes in [10, 60_000, 100_000, 250_000, 3_000_000] {
        let json = event("B", bytes);
        let body = form(&json).into_bytes();
        let answer = connection.request("POST", "/sa", &[], &body).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{bytes} bytes");
        connection.write(&chunked(&body, 7_001)).unwrap();
        assert_eq!(connection.answer(false).unwrap().status, 200, "{bytes} bytes in chunks");
        assert_eq!(post_h2(h2, &body), (200, "{}".to_owned()), "{bytes} bytes over HTTP/2");
        sent.extend([json.clone(), json.clone(), json]);
    }
    let stored: Vec<String> = ring::drain(&dir.ring()).into_iter().flat_map(|r| r.events).collect();
    assert_eq!(stored.len(), sent.len());
    assert!(stored == sent, "what is stored is what was sent");
    assert!(
        dir.read("error.log").contains("buffered to a temporary file"),
        "the file path was used"
    );
}

#[test]
fn a_body_in_pieces_and_connections_kept_alive() {
    let dir = Dir::new("pieces");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let json = event("P", 5_000);
    let bytes = http::message("POST", "/sa", &[], form(&json).as_bytes());
    let mut connection = Connection::open(nginx.address()).unwrap();
    // Each piece is on its way before the next: the head alone, then the body in three.
    for cut in [60, 2_000, 4_000] {
        let (head, rest) = bytes.split_at(cut);
        connection.write(head).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let (middle, end) = rest.split_at(rest.len() / 2);
        connection.write(middle).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30));
        connection.write(end).unwrap();
        assert_eq!(connection.answer(false).unwrap().status, 200);
    }
    // Two requests in one write, and every method, over the same connection.
    connection.write(&[bytes.clone(), bytes.clone()].concat()).unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 200);
    assert_eq!(connection.answer(false).unwrap().status, 200);
    for (method, status) in
        [("GET", 200), ("HEAD", 200), ("OPTIONS", 200), ("PUT", 405), ("POST", 200)]
    {
        let body: &[u8] = if method == "POST" { b"data=" } else { b"" };
        let answer = connection.request(method, "/sa", &[], body).unwrap();
        assert_eq!(answer.status, status, "{method}");
        assert_ne!(answer.header("connection"), Some("close"), "{method}");
    }
    assert_eq!(ring::drain(&dir.ring()).iter().map(|r| r.events.len()).sum::<usize>(), 5);
}

#[test]
fn a_query_of_16_kb_is_read() {
    let dir = Dir::new("query");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let json = event("Q", 11_500);
    let target = format!("/sa.gif?project=web&{}", form(&json));
    assert!(target.len() > 15_000 && target.len() < 16_384, "{}", target.len());
    assert_eq!(http::get(nginx.address(), &target).status, 200);
    let stored = ring::drain(&dir.ring());
    assert_eq!((stored[0].events[0].as_str(), stored[0].project.as_str()), (json.as_str(), "web"));
    assert_eq!(stored[0].path, "/sa.gif");
}

#[test]
fn what_is_over_tusk_max_body_is_read_and_dropped_never_413() {
    let dir = Dir::new("max-body");
    let h2 = free_port();
    let conf = Conf {
        server: format!("listen 127.0.0.1:{h2} http2; location = /metrics {{ tusk_metrics; }}"),
        location: "tusk_max_body 200k; tusk_project *;".into(),
        ..Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let body = form(&event("Big", 2_000_000)).into_bytes();
    let mut connection = Connection::open(nginx.address()).unwrap();
    assert_eq!(connection.request("POST", "/sa", &[], &body).unwrap().status, 200);
    connection.write(&chunked(&body, 100_003)).unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 200, "the connection goes on");
    // Sizes around nginx's buffer of 128k, as what is dropped shares it with what is kept.
    for bytes in [205_000, 250_000, 262_144, 300_000, 400_000, 700_000, 1_500_000, body.len()] {
        assert_eq!(post_h2(h2, &body[..bytes]).0, 200, "{bytes}");
    }
    // One byte more than the limit, and exactly the limit.
    for (extra, cut) in [(1, true), (0, false)] {
        let mut body = form(&event("Edge", 10)).into_bytes();
        body.extend_from_slice(b"&x=");
        body.resize((200 << 10) + extra, b'y');
        assert_eq!(connection.request("POST", "/sa", &[], &body).unwrap().status, 200);
        let stored = ring::drain(&dir.ring()).pop().unwrap();
        assert_eq!(stored.codes.contains(&"L001".to_owned()), cut, "{extra}: {:?}", stored.codes);
    }
    let metrics = http::get(nginx.address(), "/metrics").text();
    assert!(metrics.contains("\ntusk_edge_bodies_cut_total 11\n"), "{metrics}");
}

#[test]
fn a_cut_request_keeps_its_first_64_kib() {
    let dir = Dir::new("cut");
    let conf = Conf { location: "tusk_max_body 100k; tusk_project *;".into(), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let body = form(&event("Cut", 1_000_000)).into_bytes();
    assert_eq!(http::post(nginx.address(), "/sa", &[], &body).status, 200);
    let stored = ring::drain(&dir.ring()).pop().unwrap();
    assert_eq!(
        (stored.kept, stored.rejected, stored.codes.as_slice()),
        (0, 1, &["L001".to_owned()][..])
    );
    let raw = stored.raw;
    let start = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(raw.len() > 60 << 10 && raw.len() <= 65 << 10, "{}", raw.len());
    assert_eq!(raw[start..], body[..raw.len() - start]);
}

#[test]
fn a_client_that_leaves_in_mid_body_leaves_nothing_behind() {
    let dir = Dir::new("abort");
    let nginx = Nginx::start(&dir, |port| Conf { workers: 1, ..Conf::default() }.text(&dir, port));
    let bytes = http::message("POST", "/sa", &[], form(&event("Gone", 300_000)).as_bytes());
    for _ in 0..20 {
        let mut stream = TcpStream::connect(nginx.address()).unwrap();
        stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
    }
    let workers = nginx.workers();
    let last = event("Here", 10);
    assert_eq!(http::post(nginx.address(), "/sa", &[], form(&last).as_bytes()).status, 200);
    wait_for(20, "nginx to see that 20 clients left", || {
        (dir.read("error.log").matches("prematurely closed connection").count() == 20).then_some(())
    });
    assert_eq!(nginx.workers(), workers);
    let stored: Vec<String> = ring::drain(&dir.ring()).into_iter().flat_map(|r| r.events).collect();
    assert_eq!(stored, [last]);
}

#[test]
fn the_address_is_the_peers_unless_realip_believes_a_proxy() {
    let dir = Dir::new("address");
    let conf = Conf {
        server: "location /behind/ { set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; tusk on; }".into(),
        ..Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let forged = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Real-IP", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
        ("User-Agent", "sdk/1"),
    ];
    let body = form(&event("Ip", 1));
    for target in ["/sa", "/behind/sa"] {
        assert_eq!(http::post(nginx.address(), target, &forged, body.as_bytes()).status, 200);
    }
    let stored = ring::drain(&dir.ring());
    assert_eq!(stored[0].ip, "127.0.0.1");
    assert_eq!(stored[1].ip, "203.0.113.9");
    assert_eq!(stored[0].user_agent, "sdk/1");
    let now_ns =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    assert!(now_ns.abs_diff(u128::from(stored[0].recv_ns)) < 60_000_000_000);
}

#[test]
fn what_client_and_server_disagree_about_is_left_to_nginx() {
    let dir = Dir::new("broken");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    for (head, want) in [
        ("POST /sa HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "400"),
        ("POST /sa HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "400"),
        ("POST /sa HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
        ("POST /sa HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(nginx.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {want}")), "{head:?}: {text}");
    }
    assert!(ring::drain(&dir.ring()).is_empty());
}
