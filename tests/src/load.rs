//! An open-loop client that keeps its own books: what it sent, and which answer it saw.
//!
//! Requests leave by the clock, whether or not earlier ones were answered well; every event carries the number of its request and its
//! place in it, so that the files alone show what of a request is there.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::{self, Answer, Connection, escape, message};
use crate::random::Random;

/// What the client knows about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200: every event must be stored exactly once.
    Accepted,
    /// A whole answer of another status.
    Refused(u16),
    /// It left, and the connection ended without a whole answer: stored once or not at all.
    Unanswered,
    /// Nobody took the connection: nothing may be stored.
    Unsent,
}

/// One line of the client's log.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Events in the request.
    pub events: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// Request number → what was sent.
pub type Log = HashMap<u64, Sent>;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections, each with a thread of its own.
    pub connections: u32,
    /// Requests per second over all connections.
    pub rate: u32,
    /// Seed of sizes and forms.
    pub seed: u64,
}

/// A running client.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Log>>,
}

impl Load {
    /// Starts sending; the request numbers of connection `c` are `c`, `c + connections`, and so on.
    #[must_use]
    pub fn start(address: SocketAddr, plan: Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(AtomicU64::new(0));
        let connection = |number| {
            let (stop, accepted) = (Arc::clone(&stop), Arc::clone(&accepted));
            std::thread::spawn(move || run(address, plan, number, &stop, &accepted))
        };
        let threads = (0..plan.connections).map(connection).collect();
        Self { stop, accepted, threads }
    }

    /// Requests answered 200 so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until `more` further requests were answered 200.
    #[track_caller]
    pub fn wait_accepted(&self, more: u64) {
        let goal = self.accepted() + more;
        crate::wait_for(60, &format!("{more} more requests answered 200"), || {
            (self.accepted() >= goal).then_some(())
        });
    }

    /// Stops after the requests under way and returns the whole log.
    ///
    /// # Panics
    /// If a sending thread panicked.
    #[must_use]
    pub fn finish(self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

fn run(
    address: SocketAddr,
    plan: Plan,
    number: u32,
    stop: &AtomicBool,
    accepted: &AtomicU64,
) -> Log {
    let mut random = Random::new(plan.seed ^ (u64::from(number) << 32));
    let mut log = Log::new();
    let mut connection: Option<Connection> = None;
    let step = Duration::from_secs(1) * plan.connections / plan.rate;
    let start = Instant::now() + step * number / plan.connections;
    let mut request = u64::from(number);
    for turn in 0.. {
        // An absolute schedule: a slow answer does not push later requests back.
        std::thread::sleep((start + step * turn).saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let events = 1 + u32::try_from(random.below(5)).unwrap_or_default();
        let bytes = request_bytes(request, events, &mut random);
        let outcome = send(address, &mut connection, &bytes);
        if outcome == Outcome::Accepted {
            accepted.fetch_add(1, Ordering::Relaxed);
        }
        log.insert(request, Sent { events, outcome });
        request += u64::from(plan.connections);
    }
    log
}

/// Sends one request over the kept connection, or a new one.
fn send(address: SocketAddr, kept: &mut Option<Connection>, bytes: &[u8]) -> Outcome {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => match Connection::open_with_limit(address, Duration::from_secs(20)) {
            Ok(connection) => connection,
            Err(_) => return Outcome::Unsent,
        },
    };
    let answer = connection.write(bytes).and_then(|()| connection.answer(false));
    let Ok(answer) = answer else { return Outcome::Unanswered };
    if answer.header("connection") != Some("close") {
        *kept = Some(connection);
    }
    match answer.status {
        200 => Outcome::Accepted,
        status => Outcome::Refused(status),
    }
}

/// A request as an SDK sends it: one event by GET or POST, more as a list, sometimes gzipped.
fn request_bytes(request: u64, events: u32, random: &mut Random) -> Vec<u8> {
    let list: Vec<String> =
        (0..events).map(|index| event(request, index, random.below(600))).collect();
    if events == 1 && random.below(2) == 0 {
        let data = escape(base64(list.concat().as_bytes()).as_bytes());
        return message("GET", &format!("/sa.gif?project=load&data={data}"), &[], b"");
    }
    let json = format!("[{}]", list.join(","));
    let body = if random.below(2) == 0 {
        format!("data_list={}&gzip=0", escape(base64(json.as_bytes()).as_bytes()))
    } else {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(json.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        format!("gzip=1&data_list={}", escape(base64(&packed).as_bytes()))
    };
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    message("POST", "/sa?project=load", &kind, body.as_bytes())
}

/// One event of the load: `/properties/request` and `/properties/index` say where it belongs.
#[must_use]
pub fn event(request: u64, index: u32, padding_bytes: u64) -> String {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let padding = "填充".repeat(usize::try_from(padding_bytes / 6).unwrap_or_default());
    format!(
        r#"{{"type":"track","event":"Load","distinct_id":"user_{request}","time":{now_ms},"_track_id":{track},"lib":{{"$lib":"load","$lib_version":"1"}},"properties":{{"request":{request},"index":{index},"padding":"{padding}"}}}}"#,
        track = request * 100 + u64::from(index),
    )
}

/// Events of one big request, and their padding: about 1.6 MB in the ring.
const BIG_EVENTS: u32 = 600;
const BIG_PADDING_BYTES: u64 = 2_400;

/// Sends one big request and writes it into the log, under the log's next number.
#[track_caller]
pub fn send_big(address: SocketAddr, log: &mut Log) -> Answer {
    let request = log.len() as u64;
    let list: Vec<String> = (0..BIG_EVENTS).map(|i| event(request, i, BIG_PADDING_BYTES)).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("[{}]", list.join(",")).as_bytes()).unwrap();
    let data = escape(base64(&packed.finish().unwrap()).as_bytes());
    let body = format!("gzip=1&data_list={data}");
    let answer = http::post(address, "/sa?project=load", &[], body.as_bytes());
    let outcome =
        if answer.status == 200 { Outcome::Accepted } else { Outcome::Refused(answer.status) };
    log.insert(request, Sent { events: BIG_EVENTS, outcome });
    answer
}

/// Standard base64 with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
