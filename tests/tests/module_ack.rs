//! `ack=journal`: a 200 is sent when, and only when, the journal has the record. The test plays the shipper.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shm_ring::{Batch, Consumer};
use tusk_tests::conf::Conf;
use tusk_tests::http::{self, Answer, Connection, escape, message};
use tusk_tests::load::{Load, Outcome, Plan, base64};
use tusk_tests::ring::Drain;
use tusk_tests::{Dir, Nginx, Signal, free_port, is_alive, signal, wait_for};

#[path = "ack/h2.rs"]
mod h2;
use h2::H2;

fn body(name: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"u1","time":1700000000000,"properties":{{}}}}"#
    );
    format!("data={}", escape(base64(json.as_bytes()).as_bytes())).into_bytes()
}

fn conf(http: &str) -> Conf {
    Conf {
        workers: 1,
        ring: "size=64m ack=journal".into(),
        http: http.into(),
        server: "location = /metrics { tusk_metrics; } location = /health { tusk_health; }".into(),
        ..Conf::default()
    }
}

#[track_caller]
fn metric(address: SocketAddr, name: &str) -> u64 {
    let text = http::get(address, "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

/// The shipper as the test plays it: what it has read and not yet released.
struct Shipper {
    consumer: Consumer,
    read: Vec<(u64, u64)>,
}

impl Shipper {
    fn start(dir: &Dir) -> Self {
        Self { consumer: Consumer::open(&dir.ring()).unwrap(), read: Vec::new() }
    }

    /// Lives, and reads until it has `count` records that are not released.
    #[track_caller]
    fn read(&mut self, count: usize) {
        let mut batch = Batch::new();
        wait_for(20, &format!("{count} records"), || {
            self.consumer.heartbeat();
            self.consumer.refresh().unwrap();
            batch.clear();
            self.consumer.read(&mut batch, 1 << 20).unwrap();
            self.read.extend(batch.records().map(|record| (record.generation, record.end)));
            (self.read.len() >= count).then_some(())
        });
        assert_eq!(self.read.len(), count);
    }

    /// The journal has the oldest `count` of them.
    fn release(&mut self, count: usize) {
        for (generation, end) in self.read.drain(..count) {
            self.consumer.release(generation, end);
        }
        self.consumer.heartbeat();
    }
}

/// A request on its way.
fn send(address: SocketAddr, name: &str) -> Connection {
    let mut connection = Connection::open(address).unwrap();
    connection.write(&message("POST", "/sa", &[], &body(name))).unwrap();
    connection
}

/// Fails if an answer is there, or comes in the next moment.
#[track_caller]
fn no_answer(address: SocketAddr, stream: &TcpStream) {
    // Whatever nginx had to do before, it has done when it answers somebody else.
    assert_eq!(http::send(address, "OPTIONS", "/sa", &[], b"").status, 200);
    stream.set_nonblocking(true).unwrap();
    let mut byte = [0];
    let error = stream.peek(&mut byte).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
}

fn open(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// Status of the answer that comes.
#[track_caller]
fn status(stream: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

fn refused(answer: &Answer) -> bool {
    answer.status == 503 && answer.header("retry-after") == Some("5")
}

#[test]
fn an_answer_waits_for_its_own_record() {
    let dir = Dir::new("ack");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 20s;").text(&dir, port));
    let address = nginx.address();
    let mut shipper = Shipper::start(&dir);
    let post = message("POST", "/sa", &[], &body("Post"));
    let target = format!("/sa.gif?{}", String::from_utf8(body("Get")).unwrap());
    let mut first = open(address, &post);
    shipper.read(1);
    let mut second = open(address, &message("GET", &target, &[], b""));
    shipper.read(2);
    no_answer(address, &first);
    no_answer(address, &second);
    shipper.release(1);
    assert_eq!(status(&mut first), 200);
    no_answer(address, &second);
    shipper.release(1);
    assert_eq!(status(&mut second), 200);
    // The connection is kept, and serves the next in the same way.
    let mut connection = send(address, "Kept");
    for _ in 0..3 {
        shipper.read(1);
        shipper.release(1);
        assert_eq!(connection.answer(false).unwrap().status, 200);
        connection.write(&post).unwrap();
    }
    assert!(shipper.consumer.journal_ack_used(), "so the shipper syncs in small groups");
}

#[test]
fn what_holds_nothing_does_not_wait() {
    let dir = Dir::new("ack-nothing");
    let nginx = Nginx::start(&dir, |port| conf("").text(&dir, port));
    let _shipper = Shipper::start(&dir);
    for (method, target) in
        [("OPTIONS", "/sa"), ("HEAD", "/sa"), ("GET", "/config/x/Android.conf"), ("GET", "/sa")]
    {
        assert!(http::send(nginx.address(), method, target, &[], b"").status < 400, "{method}");
    }
    let dry = [("Dry-Run", "true")];
    assert_eq!(http::post(nginx.address(), "/sa", &dry, &body("Dry")).status, 200);
    assert_eq!(metric(nginx.address(), "tusk_edge_records_total"), 0);
}

#[test]
fn without_progress_503_comes_at_the_timeout() {
    let dir = Dir::new("ack-timeout");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 400ms;").text(&dir, port));
    let mut shipper = Shipper::start(&dir);
    let start = Instant::now();
    let mut waiting: Vec<Connection> = (0..3).map(|_| send(nginx.address(), "Late")).collect();
    shipper.read(3);
    for connection in &mut waiting {
        assert!(refused(&connection.answer(false).unwrap()));
    }
    // nginx counts whole milliseconds of a clock it reads once per turn of its loop: one turn may have begun before the request.
    assert!(start.elapsed() >= Duration::from_millis(398), "{:?}", start.elapsed());
    assert_eq!(metric(nginx.address(), "tusk_edge_ack_timeouts_total"), 3);
    // The journal gets there after all: nobody waits any more, and the next is served.
    shipper.release(3);
    let mut next = send(nginx.address(), "Next");
    shipper.read(1);
    shipper.release(1);
    assert_eq!(next.answer(false).unwrap().status, 200);
}

#[test]
fn without_a_living_shipper_503_comes_at_once_and_nothing_is_written() {
    let dir = Dir::new("ack-stale");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 20s;").text(&dir, port));
    let address = nginx.address();
    assert!(refused(&http::post(address, "/sa", &[], &body("Never"))), "there has never been one");
    let shipper = Shipper::start(&dir);
    let mut waiting = send(address, "Waits");
    wait_for(20, "the record", || (metric(address, "tusk_edge_records_total") == 1).then_some(()));
    // From here on the shipper is as good as stopped: its heartbeat grows old.
    wait_for(20, "the first refusal", || {
        let mut connection =
            Connection::open_with_limit(address, Duration::from_millis(50)).unwrap();
        connection.write(&message("POST", "/sa", &[], &body("Old"))).unwrap();
        connection.answer(false).ok().filter(refused)
    });
    let written = metric(address, "tusk_edge_records_total");
    let start = Instant::now();
    assert!(refused(&http::post(address, "/sa", &[], &body("Refused"))));
    assert!(start.elapsed() < Duration::from_secs(5), "at once: {:?}", start.elapsed());
    assert_eq!(metric(address, "tusk_edge_records_total"), written);
    assert!(metric(address, "tusk_edge_ack_stale_total") >= 3);
    assert_eq!(http::get(address, "/health").text(), "shipper\n");
    // It goes on: what waited is answered.
    let mut shipper = shipper;
    shipper.consumer.heartbeat();
    shipper.read(usize::try_from(written).unwrap());
    shipper.release(1);
    assert_eq!(waiting.answer(false).unwrap().status, 200);
}

#[test]
fn more_than_tusk_ack_waiters_are_refused_at_once_unwritten() {
    let dir = Dir::new("ack-waiters");
    let http = "tusk_ack_timeout 20s; tusk_ack_waiters 3;";
    let nginx = Nginx::start(&dir, |port| conf(http).text(&dir, port));
    let address = nginx.address();
    let mut shipper = Shipper::start(&dir);
    let mut waiting: Vec<Connection> = (0..3).map(|_| send(address, "In")).collect();
    shipper.read(3);
    assert!(refused(&http::post(address, "/sa", &[], &body("Out"))));
    assert_eq!(metric(address, "tusk_edge_records_total"), 3);
    assert_eq!(metric(address, "tusk_edge_ack_waiters_total"), 1);
    shipper.release(1);
    assert_eq!(waiting[0].answer(false).unwrap().status, 200);
    let mut next = send(address, "In");
    shipper.read(3);
    shipper.release(3);
    for connection in waiting[1..].iter_mut().chain([&mut next]) {
        assert_eq!(connection.answer(false).unwrap().status, 200);
    }
}

#[test]
fn a_client_that_leaves_is_taken_out_of_the_queue() {
    let dir = Dir::new("ack-abort");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 20s;").text(&dir, port));
    let address = nginx.address();
    let workers = nginx.workers();
    let mut shipper = Shipper::start(&dir);
    let mut waiting = Vec::new();
    for at in 0..5 {
        waiting.push(Some(send(address, "Abort")));
        shipper.read(at + 1);
    }
    // First, middle and last of the queue.
    for gone in [0, 2, 4] {
        waiting[gone] = None;
    }
    wait_for(20, "three to be seen leaving", || {
        shipper.consumer.heartbeat();
        (metric(address, "tusk_edge_aborted_total") == 3).then_some(())
    });
    shipper.release(5);
    for connection in waiting.iter_mut().flatten() {
        assert_eq!(connection.answer(false).unwrap().status, 200);
    }
    assert_eq!(nginx.workers(), workers);
    assert_eq!(metric(address, "tusk_edge_panics_total"), 0);
}

#[test]
fn a_client_that_had_left_before_its_request_was_read_is_seen_too() {
    let dir = Dir::new("ack-gone");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 20s;").text(&dir, port));
    let address = nginx.address();
    let mut shipper = Shipper::start(&dir);
    // The worker sleeps while request and end of the connection arrive together.
    let worker = nginx.workers()[0];
    signal(worker, Signal::STOP);
    drop(send(address, "Gone"));
    signal(worker, Signal::CONT);
    shipper.read(1);
    wait_for(5, "the end to be seen before the timeout", || {
        shipper.consumer.heartbeat();
        (metric(address, "tusk_edge_aborted_total") == 1).then_some(())
    });
}

#[test]
fn a_reset_stream_is_taken_out_and_the_others_are_answered() {
    let dir = Dir::new("ack-h2");
    let port = free_port();
    let mut conf = conf("tusk_ack_timeout 20s;");
    conf.server += &format!("listen 127.0.0.1:{port} http2;");
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let mut shipper = Shipper::start(&dir);
    let mut h2 = H2::connect(port);
    for (at, stream) in [1, 3, 5].into_iter().enumerate() {
        h2.post(stream, &body("Stream"));
        shipper.read(at + 1);
    }
    h2.frame(3, 0, 3, &8u32.to_be_bytes());
    wait_for(20, "the reset to be seen", || {
        shipper.consumer.heartbeat();
        (metric(nginx.address(), "tusk_edge_aborted_total") == 1).then_some(())
    });
    shipper.release(3);
    assert_eq!(h2.answer(), (1, 0x88));
    assert_eq!(h2.answer(), (5, 0x88));
    h2.post(7, &body("Stream"));
    shipper.read(1);
    shipper.release(1);
    assert_eq!(h2.answer(), (7, 0x88));
}

#[test]
fn a_reload_lets_those_who_wait_wait() {
    let dir = Dir::new("ack-reload");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 20s;").text(&dir, port));
    let mut shipper = Shipper::start(&dir);
    let old = nginx.workers();
    let mut waiting = open(nginx.address(), &message("POST", "/sa", &[], &body("Old")));
    shipper.read(1);
    signal(nginx.master(), Signal::HUP);
    wait_for(20, "a new worker", || (nginx.workers().len() == 2).then_some(()));
    let mut next = open(nginx.address(), &message("POST", "/sa", &[], &body("New")));
    shipper.read(2);
    assert!(is_alive(old[0]), "the old worker has somebody to answer");
    no_answer(nginx.address(), &waiting);
    shipper.release(1);
    assert_eq!(status(&mut waiting), 200);
    shipper.release(1);
    assert_eq!(status(&mut next), 200);
    wait_for(20, "the old worker to end", || (!is_alive(old[0])).then_some(()));
}

#[test]
fn another_size_lets_each_wait_for_its_own_generation() {
    let dir = Dir::new("ack-generation");
    let mut conf = conf("tusk_ack_timeout 20s;");
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let address = nginx.address();
    let mut shipper = Shipper::start(&dir);
    let mut old = open(address, &message("POST", "/sa", &[], &body("Old")));
    shipper.read(1);
    conf.ring = "size=80m ack=journal".into();
    dir.write("nginx.conf", conf.text(&dir, address.port()));
    let master = nginx.master();
    signal(master, Signal::HUP);
    wait_for(20, "a new worker", || (nginx.workers().len() == 2).then_some(()));
    // The listener is the new worker's as soon as the old one has seen the reload.
    wait_for(20, "the old worker to stop listening", || {
        dir.read("error.log").contains("gracefully shutting down").then_some(())
    });
    let mut new = open(address, &message("POST", "/sa", &[], &body("New")));
    shipper.read(2);
    assert_ne!(shipper.read[0].0, shipper.read[1].0, "two generations");
    // The newer one first: the older must not be answered by it.
    shipper.read.swap(0, 1);
    shipper.release(1);
    assert_eq!(status(&mut new), 200);
    no_answer(address, &old);
    shipper.release(1);
    assert_eq!(status(&mut old), 200);
}

#[test]
fn quit_answers_everybody_before_the_worker_ends() {
    let dir = Dir::new("ack-quit");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 2s;").text(&dir, port));
    let mut shipper = Shipper::start(&dir);
    let mut waiting: Vec<TcpStream> = (0..4)
        .map(|_| open(nginx.address(), &message("POST", "/sa", &[], &body("Quit"))))
        .collect();
    shipper.read(4);
    let master = nginx.master();
    signal(master, Signal::QUIT);
    wait_for(20, "the worker to shut down", || {
        dir.read("error.log").contains("gracefully shutting down").then_some(())
    });
    shipper.release(2);
    let answers: Vec<u16> = waiting.iter_mut().map(status).collect();
    assert_eq!(answers, [200, 200, 503, 503], "two by the journal, two by the timeout");
    wait_for(20, "nginx to end", || (!is_alive(master)).then_some(()));
}

#[test]
fn term_answers_everybody_on_its_way_out() {
    let dir = Dir::new("ack-term");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 20s;").text(&dir, port));
    let mut shipper = Shipper::start(&dir);
    let mut waiting: Vec<TcpStream> = (0..4)
        .map(|_| open(nginx.address(), &message("POST", "/sa", &[], &body("Term"))))
        .collect();
    shipper.read(4);
    let start = Instant::now();
    nginx.term();
    assert!(start.elapsed() < Duration::from_secs(10), "it does not wait: {:?}", start.elapsed());
    let answers: Vec<u16> = waiting.iter_mut().map(status).collect();
    assert_eq!(answers, [503; 4], "not confirmed: the clients keep their data");
}

#[test]
fn a_shipper_killed_before_it_told_is_followed_by_one_that_tells() {
    let dir = Dir::new("ack-kill");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 20s;").text(&dir, port));
    let mut shipper = Shipper::start(&dir);
    let mut waiting = open(nginx.address(), &message("POST", "/sa", &[], &body("Kill")));
    shipper.read(1);
    let read = shipper.read[0];
    // Its journal is synced, `durable` is not moved yet; now it dies.
    drop(shipper);
    let mut next = Shipper::start(&dir);
    next.read(1);
    assert_eq!(next.read[0], read, "the same record at the same place: it knows that it has it");
    no_answer(nginx.address(), &waiting);
    next.release(1);
    assert_eq!(status(&mut waiting), 200);
}

#[test]
fn under_load_with_reloads_and_killed_workers_a_200_means_read() {
    let dir = Dir::new("ack-load");
    let conf = Conf { workers: 2, ..conf("") };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let drain = Drain::start(&dir.ring());
    let load = Load::start(nginx.address(), Plan { connections: 6, rate: 400, seed: 11 });
    for turn in 0..6 {
        load.wait_accepted(60);
        if turn % 2 == 0 {
            nginx.reload();
        } else {
            signal(nginx.workers()[0], Signal::KILL);
        }
    }
    load.wait_accepted(60);
    let log = load.finish();
    let found: Vec<String> =
        drain.finish().into_iter().flat_map(|request| request.events).collect();
    for (request, sent) in &log {
        let mark = format!("\"request\":{request},");
        let here = found.iter().filter(|json| json.contains(&mark)).count();
        let whole = here == usize::try_from(sent.events).unwrap();
        // Refused may be stored: written, and not confirmed in time.
        let good = if sent.outcome == Outcome::Accepted { whole } else { whole || here == 0 };
        assert!(good, "request {request}: {sent:?}, {here} stored");
    }
}

#[test]
fn thousands_of_waits_with_clients_leaving_at_random_keep_the_worker_whole() {
    let dir = Dir::new("ack-storm");
    let nginx = Nginx::start(&dir, |port| conf("tusk_ack_timeout 500ms;").text(&dir, port));
    let address = nginx.address();
    let workers = nginx.workers();
    let drain = Drain::start(&dir.ring());
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut random = tusk_tests::random::Random::new(thread);
                let bytes = message("POST", "/sa", &[], &body("Storm"));
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = open(address, &bytes);
                    if random.below(2) == 0 {
                        assert!([200, 503].contains(&status(&mut stream)));
                    }
                }
            })
        })
        .collect();
    wait_for(60, "3,000 records", || {
        (metric(address, "tusk_edge_records_total") > 3_000).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(nginx.workers(), workers, "no worker died");
    assert_eq!(metric(address, "tusk_edge_panics_total"), 0);
    let written = metric(address, "tusk_edge_records_total");
    assert_eq!(drain.finish().len() as u64, written);
}
