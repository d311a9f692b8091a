//! `tusk doctor`: one marked event through the real URL, and every hop it takes, with times.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use event::Lang;
use openssl::ssl::{SslConnector, SslMethod};
use serde::{Deserialize, Serialize};
use shipper::status::{SinkStatus, Status};

use super::{put, span};
use crate::Fail;
use crate::cli::{Common, Doctor};
use crate::control::{Client, Request, TailFilter, client::Item};
use crate::lang::{self, pick};
use crate::term::{self, Paint, Tone};

/// Longest wait for nginx's answer, and for the event to be durable: both take milliseconds when all is well.
const HOP: Duration = Duration::from_secs(10);
/// How often sinks are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Largest answer read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// One hop.
#[derive(Serialize)]
struct Hop {
    hop: String,
    /// `good`, `waits` or `bad`.
    state: &'static str,
    /// Since the event was sent.
    ms: Option<u64>,
    text: String,
}

/// What the daemon says of our event.
#[derive(Deserialize)]
struct Seen {
    node: String,
    lsn: u64,
    index: u32,
    verdict: String,
    #[serde(default)]
    codes: Vec<SeenCode>,
}

#[derive(Deserialize)]
struct SeenCode {
    code: String,
}

struct Walk {
    lang: Lang,
    json: bool,
    start: Instant,
    bad: bool,
}

/// Sends and follows. Exit code 0 when the event came everywhere or only waits for a range to close, else 1.
pub(crate) fn run(common: &Common, arguments: &Doctor) -> Result<ExitCode, Fail> {
    let config = common.load_to_ask()?.config;
    let timeout = span::parse("--timeout", &arguments.timeout)?;
    let socket = config.socket();
    let mut walk = Walk {
        lang: lang::choose(config.lang),
        json: arguments.json,
        start: Instant::now(),
        bad: false,
    };
    let user = format!("tusk-doctor-{:016x}", random());
    // Before the event, so that it cannot be missed.
    let filter = TailFilter { user: Some(user.clone()), ..TailFilter::default() };
    let mut tail = match Client::ask::<()>(&socket, &Request::Tail { filter }) {
        Ok(((), tail)) => tail,
        Err(fail) => {
            walk.say("daemon", "bad", None, &fail.to_string())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    walk.start = Instant::now();
    let answer = send(&arguments.url, arguments.ca.as_deref(), &user);
    let ms = walk.ms();
    match &answer {
        Ok(answer) if answer.status == 200 => {
            walk.say("nginx", "good", ms, &format!("200 {}", arguments.url))?;
        }
        Ok(answer) => {
            let text = why(answer, walk.lang);
            walk.say("nginx", "bad", ms, &text)?;
            return Ok(ExitCode::FAILURE);
        }
        Err(problem) => {
            walk.say("nginx", "bad", ms, problem)?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let Some(seen) = wait_for_it(&mut tail, &socket)? else {
        let (status, _) = Client::ask::<Status>(&socket, &Request::Status)?;
        let text = not_seen(&status, walk.lang);
        walk.say("journal", "bad", None, &text)?;
        return Ok(ExitCode::FAILURE);
    };
    let ms = walk.ms();
    walk.say("journal", "good", ms, &format!("{}:{:016x}:{}", seen.node, seen.lsn, seen.index))?;
    let codes: Vec<&str> = seen.codes.iter().map(|one| one.code.as_str()).collect();
    let verdict = format!("{} {}", seen.verdict, codes.join(" "));
    if seen.verdict == "rejected" {
        let hint = pick(
            walk.lang,
            "被拒收，在隔离区：tusk quarantine list（URL 里的 project、token 对吗？）",
            "rejected, in quarantine: tusk quarantine list (are project and token in the URL right?)",
        );
        walk.say("verdict", "bad", None, &format!("{verdict}: {hint}"))?;
        return Ok(ExitCode::FAILURE);
    }
    walk.say("verdict", "good", None, verdict.trim())?;
    sinks(&mut walk, &socket, seen.lsn, timeout)?;
    Ok(if walk.bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Walk {
    fn ms(&self) -> Option<u64> {
        u64::try_from(self.start.elapsed().as_millis()).ok()
    }

    fn say(
        &mut self,
        hop: &str,
        state: &'static str,
        ms: Option<u64>,
        text: &str,
    ) -> Result<(), Fail> {
        self.bad |= state == "bad";
        if self.json {
            let hop = Hop { hop: hop.to_owned(), state, ms, text: text.to_owned() };
            let line = serde_json::to_string(&hop);
            put(&(line.map_err(|error| Fail::new(error.to_string()))? + "\n"))?;
            return Ok(());
        }
        let (mark, tone) = match state {
            "good" => ("✓", Tone::Good),
            "waits" => ("·", Tone::Faint),
            _ => ("✗", Tone::Bad),
        };
        let mark = Paint::for_stdout().tone(tone, mark);
        let time = ms.map_or(String::new(), |ms| format!("{ms} ms"));
        put(&format!("{mark} {} {:>9}  {text}\n", term::fit(hop, 12), time))?;
        Ok(())
    }
}

/// Follows the cursors until each has passed `lsn`, has a reason not to, or time is up.
fn sinks(walk: &mut Walk, socket: &Path, lsn: u64, timeout: Duration) -> Result<(), Fail> {
    let mut done: Vec<String> = Vec::new();
    loop {
        let (status, _) = Client::ask::<Status>(socket, &Request::Status)?;
        let late = walk.start.elapsed() >= timeout;
        let mut open = 0;
        for sink in status.sinks.iter().filter(|sink| sink.name != "quarantine") {
            if done.contains(&sink.name) {
                continue;
            }
            let at_end = sink.cursor_lsn > lsn;
            if !at_end && !late && sink.state != "stopped" {
                open += 1;
                continue;
            }
            done.push(sink.name.clone());
            if at_end {
                let ms = walk.ms();
                walk.say(&sink.name, "good", ms, pick(walk.lang, "已送达", "delivered"))?;
            } else {
                let (state, text) = stuck(sink, walk.lang);
                walk.say(&sink.name, state, None, &text)?;
            }
        }
        if open == 0 {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// Why a sink has not passed the event.
fn stuck(sink: &SinkStatus, lang: Lang) -> (&'static str, String) {
    if sink.last_error.is_empty() && sink.state != "stopped" && sink.state != "parked" {
        let text = pick(
            lang,
            "还没有：等待凑满一个范围（range_bytes_max、range_age_ms_max）；--timeout 可以等更久",
            "not yet: its range is still open (range_bytes_max, range_age_ms_max); wait longer with --timeout",
        );
        return ("waits", text.to_owned());
    }
    ("bad", format!("{}: {}", sink.state, sink.last_error))
}

fn not_seen(status: &Status, lang: Lang) -> String {
    if !status.ring.attached {
        return pick(
            lang,
            format!("{} 没有环形文件：nginx 里的 tusk_ring 指向这里吗？", status.ring.path),
            format!("no ring in {}: does tusk_ring in nginx point there?", status.ring.path),
        );
    }
    if status.journal.at_cap {
        return pick(
            lang,
            "journal 已到上限：见 tusk check",
            "the journal is at its cap: see tusk check",
        )
        .to_owned();
    }
    pick(
        lang,
        "nginx 回答了 200，但事件没有到达：这个地址收集（tusk on）吗？它的 tusk_ring 是这个数据目录的吗？",
        "nginx answered 200 but the event did not arrive: does this location collect (tusk on), and into the ring of this data folder?",
    )
    .to_owned()
}

fn why(answer: &Answer, lang: Lang) -> String {
    let status = answer.status;
    match status {
        404 | 405 => pick(
            lang,
            format!(
                "{status}：这个地址不收集；location 里有 tusk on 吗，模块加载了吗（nginx -T | grep tusk）？"
            ),
            format!(
                "{status}: this location does not collect; is `tusk on` in it, and the module loaded (nginx -T | grep tusk)?"
            ),
        ),
        503 => pick(
            lang,
            "503：环形文件满了或 tusk 没有在读；见 tusk check".to_owned(),
            "503: the ring is full or nobody drains it; see tusk check".to_owned(),
        ),
        _ => pick(
            lang,
            format!("{status}：不是 Tusk 的回答；{} 前面有别的代理吗？", answer.server),
            format!("{status}: not Tusk's answer; is another proxy in front ({})?", answer.server),
        ),
    }
}

fn wait_for_it(tail: &mut Client, socket: &Path) -> Result<Option<Seen>, Fail> {
    tail.limit(HOP)?;
    loop {
        match tail.next::<Seen>(socket) {
            Ok(Some(Item::Event(seen))) => return Ok(Some(seen)),
            Ok(Some(Item::Dropped(_))) => {}
            Ok(None) => return Err(Fail::new("the daemon stopped")),
            // The limit.
            Err(_) => return Ok(None),
        }
    }
}

struct Answer {
    status: u16,
    server: String,
}

/// Posts the event as an SDK does.
fn send(url: &str, ca: Option<&Path>, user: &str) -> Result<Answer, String> {
    let uri: hyper::Uri = url
        .parse()
        .map_err(|_| format!("`{url}` is no URL; write http://host:port/sa?project=default"))?;
    let host = uri.host().ok_or_else(|| format!("`{url}` names no host"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(format!("`{url}`: write http:// or https://")),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses =
        (name, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    let address = addresses.next().ok_or_else(|| format!("{host} has no address"))?;
    let stream = TcpStream::connect_timeout(&address, HOP)
        .map_err(|error| format!("{address}: {error}; is nginx running and listening there?"))?;
    let broken = |error: io::Error| format!("{address}: {error}");
    stream.set_read_timeout(Some(HOP)).map_err(broken)?;
    stream.set_write_timeout(Some(HOP)).map_err(broken)?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let version = env!("CARGO_PKG_VERSION");
    let event = format!(
        r#"{{"type":"track","event":"TuskDoctor","distinct_id":"{user}","time":{now_ms},"_track_id":{track},"lib":{{"$lib":"tusk-doctor","$lib_version":"{version}","$lib_method":"code"}},"properties":{{}}}}"#,
        track = random() >> 33,
    );
    let data = openssl::base64::encode_block(event.as_bytes());
    // All that base64 has and a form must not.
    let data = data.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let body = format!("data={data}");
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: tusk-doctor/{version}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = if tls {
        let mut connector = SslConnector::builder(SslMethod::tls()).map_err(|e| e.to_string())?;
        if let Some(ca) = ca {
            connector.set_ca_file(ca).map_err(|e| format!("{}: {e}", ca.display()))?;
        }
        let stream = connector.build().connect(name, stream);
        exchange(
            stream
                .map_err(|e| format!("{address}: no TLS: {e}; an own authority goes into --ca"))?,
            &request,
        )
    } else {
        exchange(stream, &request)
    };
    let answer = answer.map_err(broken)?;
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status =
        status.ok_or_else(|| format!("{address}: no HTTP answer; is that port nginx's?"))?;
    let server = head.lines().find_map(|line| line.strip_prefix("Server: ")).unwrap_or("?");
    Ok(Answer { status, server: server.trim().to_owned() })
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A number nobody else has.
fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = openssl::rand::rand_bytes(&mut bytes);
    u64::from_le_bytes(bytes)
}
