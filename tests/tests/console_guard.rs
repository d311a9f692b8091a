//! Who may do what on the console of a real `tusk run`: host, origin, login, role, action token, one-time address, paths, headers.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Instant;

use tusk_tests::http::{Answer, Connection};
use tusk_tests::{Dir, Tusk};

const USERS: &str = r#"
[[console.user]]
name = "ana"
role = "view"
secret = "look-1b7f"
[[console.user]]
name = "bo"
role = "manage"
secret = "act-9c2e"
[[console.token]]
name = "grafana"
secret = "program-55aa"
"#;
const SECRETS: [&str; 3] = ["look-1b7f", "act-9c2e", "program-55aa"];

/// An action that changes nothing: a further invitation.
const ACTION: &str = "/api/invite";

fn ask(tusk: &Tusk, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut headers = headers.to_vec();
    if method == "POST" {
        headers.push(("content-type", "application/json"));
    }
    let mut connection = Connection::open(tusk.console()).unwrap();
    connection.request(method, path, &headers, body.as_bytes()).unwrap()
}

fn get(tusk: &Tusk, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(tusk, "GET", path, headers, "")
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()))
}

/// The cookie an answer sets, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {}", answer.text()));
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

fn login(tusk: &Tusk, user: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
    let body = serde_json::json!({"user": user, "password": password}).to_string();
    ask(tusk, "POST", "/api/login", headers, &body)
}

/// The key of the address that `tusk console` prints.
fn key(tusk: &Tusk) -> String {
    let out = tusk.command(&["console"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.starts_with(&format!("http://{}/?key=", tusk.console())), "{text}");
    text.trim().rsplit('=').next().unwrap().to_owned()
}

#[test]
fn a_page_of_another_name_or_site_gets_nothing() {
    let dir = Dir::new("console-origin");
    let tusk = Tusk::start(&dir, "");
    for host in ["evil.example", "127.0.0.1.evil.example:8190", "localhost.evil.example"] {
        for path in ["/", "/api/session", "/api/daemon/status", "/metrics"] {
            let mut connection = Connection::open(tusk.console()).unwrap();
            connection
                .write(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
                .unwrap();
            assert_eq!(connection.answer(false).unwrap().status, 421, "{host} {path}");
        }
    }
    for foreign in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://localhost:1"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for path in ["/api/login", "/api/invited", ACTION, "/api/logout"] {
            let answer = ask(&tusk, "POST", path, &[foreign], "{}");
            assert_eq!(
                (answer.status, json(&answer)["error"]["code"].as_str()),
                (403, Some("guard.origin"))
            );
        }
    }
    tusk.stop();
}

#[test]
fn whoever_is_on_this_machine_may_look_and_the_one_time_address_makes_a_manager() {
    let dir = Dir::new("console-key");
    let tusk = Tusk::start(&dir, "");
    let session = json(&get(&tusk, "/api/session", &[]));
    assert_eq!((session["role"].as_str(), session["token"].as_str()), (Some("view"), Some("")));
    let refused = ask(&tusk, "POST", ACTION, &[], "");
    assert_eq!(
        (refused.status, json(&refused)["error"]["code"].as_str()),
        (403, Some("guard.role"))
    );

    let body = format!("{{\"key\":\"{}\"}}", key(&tusk));
    // A session somebody else planted in the browser is not the one that becomes a manager's.
    let planted = ("cookie", "tusk_session=planted");
    let answer = ask(&tusk, "POST", "/api/invited", &[planted], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let own = cookie(&answer);
    assert_ne!(own, planted.1);
    assert_eq!(json(&get(&tusk, "/api/session", &[planted]))["role"], "view");
    assert_eq!(ask(&tusk, "POST", "/api/invited", &[], &body).status, 401, "the key is good once");

    let session = json(&get(&tusk, "/api/session", &[("cookie", &own)]));
    let token = session["token"].as_str().unwrap();
    assert_eq!((session["role"].as_str(), token.len()), (Some("manage"), 64));
    // The cookie alone is what a forged form would bring.
    for wrong in ["", "x", own.split('=').nth(1).unwrap()] {
        let headers = [("cookie", own.as_str()), ("x-tusk-token", wrong)];
        assert_eq!(ask(&tusk, "POST", ACTION, &headers, "").status, 403);
    }
    let headers = [("cookie", own.as_str()), ("x-tusk-token", token)];
    assert_eq!(ask(&tusk, "POST", ACTION, &headers, "").status, 200);
    ask(&tusk, "POST", "/api/logout", &headers, "");
    assert_eq!(json(&get(&tusk, "/api/session", &[("cookie", &own)]))["role"], "view");
    tusk.stop();
}

#[test]
fn with_users_nobody_sees_anything_before_a_login() {
    let dir = Dir::new("console-login");
    let tusk = Tusk::start(&dir, USERS);
    for path in [
        "/api/session",
        "/api/daemon/status",
        "/api/daemon/ledger",
        "/api/reports",
        "/api/health/overview",
    ] {
        let answer = get(&tusk, path, &[]);
        assert!(matches!(answer.status, 401 | 404), "{path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(get(&tusk, "/api/daemon/status", &[]).status, 401);
    for (user, password) in [("ana", "act-9c2e"), ("nobody", "look-1b7f"), ("", ""), ("ana", "")] {
        assert_eq!(login(&tusk, user, password, &[]).status, 401);
    }
    // Four failures so far: each further one waits longer.
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(login(&tusk, "bo", "guess", &[]).status, 401);
    }
    assert!(start.elapsed().as_millis() >= 1_400, "{:?}", start.elapsed());

    let ana = cookie(&login(&tusk, "ana", "look-1b7f", &[]));
    let session = json(&get(&tusk, "/api/session", &[("cookie", &ana)]));
    assert_eq!((session["user"].as_str(), session["role"].as_str()), (Some("ana"), Some("view")));
    let token = session["token"].as_str().unwrap();
    let headers = [("cookie", ana.as_str()), ("x-tusk-token", token)];
    assert_eq!(ask(&tusk, "POST", ACTION, &headers, "").status, 403, "a viewer does not act");

    let bo = cookie(&login(&tusk, "bo", "act-9c2e", &[("cookie", &ana)]));
    assert_ne!(bo, ana, "a login is a session of a new name");
    let session = json(&get(&tusk, "/api/session", &[("cookie", &bo)]));
    // Another session's token is none.
    let headers = [("cookie", bo.as_str()), ("x-tusk-token", token)];
    assert_eq!(ask(&tusk, "POST", ACTION, &headers, "").status, 403);
    let headers = [("cookie", bo.as_str()), ("x-tusk-token", session["token"].as_str().unwrap())];
    assert_eq!(ask(&tusk, "POST", ACTION, &headers, "").status, 200);

    let program = get(&tusk, "/api/daemon/status", &[("authorization", "Bearer program-55aa")]);
    assert_eq!(program.status, 200);
    let program = [("authorization", "Bearer program-55aa")];
    assert_eq!(ask(&tusk, "POST", ACTION, &program, "").status, 403, "it may only look");
    for wrong in ["Bearer x", "Bearer ", "Basic YTpi"] {
        assert_eq!(get(&tusk, "/api/daemon/status", &[("authorization", wrong)]).status, 401);
    }
    tusk.stop();
    for secret in SECRETS {
        assert!(!dir.read("tusk.log").contains(secret), "a secret in the log");
    }
}

#[test]
fn no_path_leads_out_of_the_pages_and_every_answer_wears_the_policy() {
    let dir = Dir::new("console-paths");
    dir.write("web/index.html", "<!doctype html><title>page</title>");
    dir.write("web/assets/a.js", "1");
    dir.write("secret.txt", "top-secret");
    let web = dir.join("web");
    let tusk = Tusk::start(&dir, &format!("[console]\nweb = \"{}\"\n", web.display()));
    assert_eq!(get(&tusk, "/assets/a.js", &[]).text(), "1");
    for view in ["/", "/live", "/overview?q=%7B%7D", "/users/4711"] {
        assert!(get(&tusk, view, &[]).text().contains("<title>page"), "{view}");
    }
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//etc/passwd.x",
        "/assets/..\\..\\secret.txt",
        "/assets/a.js/../../../secret.txt",
        "/assets/a.js%00.txt",
    ] {
        let answer = get(&tusk, path, &[]);
        assert!(
            !answer.text().contains("top-secret") && !answer.text().contains("root:"),
            "{path}"
        );
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
    for path in ["/", "/assets/a.js", "/api/session", "/api/nothing", "/none.js"] {
        let answer = get(&tusk, path, &[]);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
    }
    assert_eq!(get(&tusk, "/api/nothing", &[]).status, 404);
    tusk.stop();
}
