//! Every file of nginx-conf/ is started and does what it says.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tusk_tests::http::{self, escape};
use tusk_tests::load::base64;
use tusk_tests::{Dir, Nginx, free_port, module_path, ring, root, wait_for};

/// A sample as it stands in the repository, with the places of this machine put in.
struct Sample {
    text: String,
    /// Port in the sample → port of this test.
    ports: HashMap<u16, u16>,
}

impl Sample {
    fn new(dir: &Dir, name: &str) -> Self {
        let mut text = fs::read_to_string(root().join("nginx-conf").join(name)).unwrap();
        let path = dir.path().display().to_string();
        for (from, to) in [
            ("modules/ngx_http_tusk_module.so", module_path().display().to_string()),
            ("/var/lib/tusk/ring", dir.ring().display().to_string()),
            ("/var/log/nginx/error.log", format!("{path}/error.log")),
            ("/var/log/nginx/tusk-error.log", format!("{path}/error.log")),
            ("/var/log/nginx/", format!("{path}/")),
            ("/run/nginx-tusk.pid", format!("{path}/nginx.pid")),
            ("/run/nginx.pid", format!("{path}/nginx.pid")),
            ("/etc/tusk/", format!("{path}/etc/")),
            ("www-data", if is_root() { "root" } else { "www-data" }.to_owned()),
        ] {
            text = text.replace(from, &to);
        }
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            text = text.replacen(
                "http {",
                &format!("http {{\n{name}_temp_path {path}/temp-{name};"),
                1,
            );
        }
        let mut ports = HashMap::new();
        for port in [80, 443, 8106, 8107, 8108, 8109] {
            let free = free_port();
            let mut there = false;
            for (before, after) in
                [(":", ";"), (":", "$"), ("listen ", ";"), ("listen ", " "), (":", " ")]
            {
                let old = format!("{before}{port}{after}");
                there |= text.contains(&old);
                text = text.replace(&old, &format!("{before}{free}{after}"));
            }
            if there {
                ports.insert(port, free);
            }
        }
        Self { text, ports }
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[&port]))
    }

    /// Starts it and waits for its port `port`.
    #[track_caller]
    fn start(&self, dir: &Dir, port: u16) -> Nginx {
        Nginx::try_start(dir, self.ports[&port], &self.text).unwrap()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn event(name: &str) -> String {
    format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"u1","time":1700000000000,"properties":{{}}}}"#
    )
}

fn form(json: &str) -> String {
    format!("data={}", escape(base64(json.as_bytes()).as_bytes()))
}

/// Files that samples name under /etc/tusk, as `make install` puts them there.
fn etc(dir: &Dir) {
    for (name, content) in [
        (
            "etc/tokens.toml",
            "[[project]]\nname = \"shop\"\ntokens = [\"t-shop\"]\n[[project]]\nname = \"default\"\ntokens = [\"t-default\"]\n",
        ),
        (
            "etc/keys.toml",
            "[[key]]\nkey_id = 7\ntype = \"AES\"\nkey = \"AAECAwQFBgcICQoLDA0ODw==\"\n",
        ),
        ("etc/remote-config.json", "{\"v\":\"7\",\"configs\":{}}"),
    ] {
        let path = dir.write(name, content);
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    fs::create_dir_all(dir.join("etc/tls")).unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=collect.example.com",
        ])
        .arg("-keyout")
        .arg(dir.join("etc/tls/privkey.pem"))
        .arg("-out")
        .arg(dir.join("etc/tls/fullchain.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Asks by curl, for TLS; returns status and body.
fn curl(arguments: &[&str]) -> (u16, String) {
    let out = Command::new("curl")
        .args(["-sSk", "--max-time", "20", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn events(dir: &Dir) -> Vec<String> {
    ring::drain(&dir.ring()).into_iter().flat_map(|request| request.events).collect()
}

#[test]
fn minimal_collects() {
    let dir = Dir::new("minimal");
    let sample = Sample::new(&dir, "minimal.conf");
    let _nginx = sample.start(&dir, 8106);
    let json = event("Minimal");
    assert_eq!(http::post(sample.address(8106), "/sa", &[], form(&json).as_bytes()).status, 200);
    assert_eq!(http::get(sample.address(8106), &format!("/sa.gif?{}", form(&json))).status, 200);
    assert_eq!(events(&dir), [json.clone(), json]);
}

#[test]
fn production_collects_over_tls_for_projects_with_tokens() {
    let dir = Dir::new("production");
    etc(&dir);
    let sample = Sample::new(&dir, "production.conf");
    let _nginx = sample.start(&dir, 443);
    let health = http::get(sample.address(8107), "/health");
    assert_eq!((health.status, health.text().as_str()), (503, "shipper\n"), "none runs");
    let base = format!("https://{}", sample.address(443));
    let json = event("Production");
    let body = form(&json);
    for (target, stored) in [
        ("/sa?project=shop&token=t-shop", true),
        ("/sa?project=shop&token=wrong", false),
        ("/sa?project=other&token=t-shop", false),
        ("/shop/sa?token=t-shop", true),
        ("/shop/sa", false),
        ("/internal/sa?token=t-default", true),
    ] {
        let url = format!("{base}{target}");
        for version in ["--http1.1", "--http2"] {
            assert_eq!(curl(&[version, &url, "-d", &body]), (200, "{}".into()), "{target}");
        }
        let request = ring::drain(&dir.ring());
        assert_eq!(request.len(), 2);
        for request in request {
            assert_eq!(request.events.len(), usize::from(stored), "{target}: {:?}", request.codes);
        }
    }
    let url = format!("{base}/sa?project=shop&token=t-shop");
    let asked = ["-d", &body, "-H", "X-Tusk-Verdict: t-shop"];
    let (_, verdict) = curl(&[&[url.as_str()], &asked[..]].concat());
    assert!(verdict.contains("\"kept\":1"), "{verdict}");

    let config = format!("{base}/config/Android.conf");
    let (status, body) = curl(&[&config]);
    assert!(status == 200 && body.contains("configs"), "{status} {body}");
    assert_eq!(curl(&[&format!("{config}?v=7")]).0, 304);

    let metrics = http::get(sample.address(8107), "/metrics");
    assert!(metrics.text().contains("tusk_edge_requests_total"), "{}", metrics.text());
    wait_for(20, "the log's lines", || {
        dir.read("tusk.log").contains(" rejected 1 1 ").then_some(())
    });
    assert!(dir.read("tusk.log").contains(" kept 1 0 "));
}

#[test]
fn debug_tells_what_became_of_each_event() {
    let dir = Dir::new("debug");
    let sample = Sample::new(&dir, "debug.conf");
    let _nginx = sample.start(&dir, 8106);
    let address = sample.address(8106);
    let good = form(&event("Good"));
    let bad = form(&event("1 bad name"));
    let answer = http::post(address, "/sa?project=anything", &[], good.as_bytes());
    assert!(answer.text().contains("\"kept\":1"), "{}", answer.text());
    let answer = http::post(address, "/sa", &[], bad.as_bytes());
    assert!(answer.status == 200 && answer.text().contains("N101"), "{}", answer.text());
    for target in ["/debug", "/prefix/debug"] {
        assert_eq!(http::post(address, target, &[], good.as_bytes()).status, 200, "{target}");
        let answer = http::post(address, target, &[], bad.as_bytes());
        assert!(
            answer.status == 400 && answer.text().contains("N101"),
            "{target}: {}",
            answer.text()
        );
    }
    let before = ring::drain(&dir.ring()).len();
    assert_eq!(before, 6);
    let dry = [("Dry-Run", "true")];
    assert_eq!(http::post(address, "/debug", &dry, good.as_bytes()).status, 200);
    assert!(events(&dir).is_empty(), "a dry run stores nothing");
    assert!(http::get(address, "/metrics").text().contains("tusk_edge_dry_runs_total 1"));
}

#[test]
fn beside_writes_the_old_chains_log_as_before() {
    let dir = Dir::new("beside");
    let sample = Sample::new(&dir, "beside.conf");
    let _nginx = sample.start(&dir, 8106);
    // Small, and larger than any default buffer.
    let bodies = [form(&event("Beside")), form(&event(&"x".repeat(400_000)))];
    for body in &bodies {
        assert_eq!(http::post(sample.address(8106), "/sa", &[], body.as_bytes()).status, 200);
    }
    let log = wait_for(20, "two lines in the old log", || {
        let log = dir.read("events.log");
        (log.lines().count() == 2).then_some(log)
    });
    // A line is written after its answer, so two workers may write in either order.
    for body in &bodies {
        assert!(log.contains(&format!("\"body\":\"{body}\"")), "{} bytes", body.len());
    }
    assert_eq!(
        events(&dir),
        [event("Beside")],
        "the other has too long a name, and is kept as rejected"
    );
}

#[test]
fn an_old_nginx_mirrors_to_tusk_behind_it() {
    let dir = Dir::new("mirror");
    let old_dir = Dir::new("mirror-old");
    let tusk = Sample::new(&dir, "behind.conf");
    let _tusk = tusk.start(&dir, 8106);
    let mut old = Sample::new(&old_dir, "mirror.conf");
    let there = format!("127.0.0.1:{}", old.ports[&8106]);
    old.text = old.text.replace(&there, &tusk.address(8106).to_string());
    assert!(!old.text.contains("load_module"), "the old nginx needs no module");
    let _old = old.start(&old_dir, 8108);
    let json = event("Mirrored");
    assert_eq!(http::post(old.address(8108), "/sa", &[], form(&json).as_bytes()).status, 200);
    let found = wait_for(20, "the mirrored request", || ring::drain(&dir.ring()).pop());
    assert_eq!(found.events, [json]);
    assert_eq!(found.path, "/sa");
}

#[test]
fn behind_believes_the_address_of_the_nginx_in_front() {
    let dir = Dir::new("behind");
    let sample = Sample::new(&dir, "behind.conf");
    let _nginx = sample.start(&dir, 8106);
    let front = [("X-Forwarded-For", "198.51.100.7")];
    let body = form(&event("Behind"));
    assert_eq!(http::post(sample.address(8106), "/sa", &front, body.as_bytes()).status, 200);
    assert_eq!(ring::drain(&dir.ring()).pop().unwrap().ip, "198.51.100.7");
}
