//! A TCP proxy between a sink and its real server: the network's bad days, switchable while connections are open.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::random::Random;

/// How soon a changed way is noticed by a connection on which nothing moves.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes taken at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    Pass,
    /// Each connection carries so many a second in each direction.
    Slow {
        /// Bytes.
        bytes_per_s: u64,
    },
    /// Each answer waits so long.
    Late(Duration),
    /// A connection ends when it has carried so many towards the server since this way was set: in the middle of a request.
    CutRequest {
        /// Bytes.
        after_bytes: u64,
    },
    /// One connection ends in place of an answer: the server has the request, the client never learns what became of it. Then all
    /// pass again.
    CutAnswer {
        /// Requests shorter than this are answered: so hand-shakes can be left alone.
        request_bytes_min: u64,
        /// So many answers to longer ones pass before.
        after_answers: u64,
    },
    /// Connections are taken, and nothing moves.
    BlackHole,
    /// Nobody listens, and open connections end.
    Refuse,
}

/// What was seen, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections taken.
    pub connections: u64,
    /// Connections that a way ended.
    pub cuts: u64,
    /// Bytes towards the server.
    pub request_bytes: u64,
    /// Bytes towards the client.
    pub answer_bytes: u64,
}

/// A running proxy. Dropped: its connections end.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    now: Mutex<Now>,
    stop: AtomicBool,
    connections: AtomicU64,
    cuts: AtomicU64,
    request_bytes: AtomicU64,
    answer_bytes: AtomicU64,
}

#[derive(Debug)]
struct Now {
    way: Way,
    /// Counts changes of the way.
    turn: u64,
    /// Answers that `CutAnswer` let pass.
    passed: u64,
    server: Option<SocketAddr>,
    listener: Option<TcpListener>,
}

/// One connection, seen by its two directions.
struct Pair {
    shared: Arc<Shared>,
    client: TcpStream,
    server: TcpStream,
    /// Bytes towards the server since the last answer.
    asked: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    /// Starts one that leads nowhere yet: connections end at once.
    #[must_use]
    pub fn start() -> Self {
        let (listener, address) = listen();
        let now =
            Now { way: Way::Pass, turn: 0, passed: 0, server: None, listener: Some(listener) };
        let shared = Arc::new(Shared {
            now: Mutex::new(now),
            stop: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            answer_bytes: AtomicU64::new(0),
        });
        let all = Arc::clone(&shared);
        let thread = Some(std::thread::spawn(move || accept(&all)));
        Self { shared, address, thread }
    }

    /// Starts one in front of a server on this machine.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let proxy = Self::start();
        proxy.lead_to(port);
        proxy
    }

    /// Leads new connections to this port of this machine.
    pub fn lead_to(&self, port: u16) {
        self.shared.now().server = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Port of [`Proxy::address`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the way, for open connections too.
    ///
    /// # Panics
    /// If its port was taken by another while it refused.
    pub fn set(&self, way: Way) {
        let mut now = self.shared.now();
        now.way = way;
        now.turn += 1;
        now.passed = 0;
        if way == Way::Refuse {
            now.listener = None;
        } else if now.listener.is_none() {
            let listener = TcpListener::bind(self.address).unwrap();
            listener.set_nonblocking(true).unwrap();
            now.listener = Some(listener);
        }
    }

    /// The way now: a cut that was made is over.
    #[must_use]
    pub fn way(&self) -> Way {
        self.shared.now().way
    }

    /// What was seen.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            connections: of(&self.shared.connections),
            cuts: of(&self.shared.cuts),
            request_bytes: of(&self.shared.request_bytes),
            answer_bytes: of(&self.shared.answer_bytes),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A listener below the ports that the system gives to outgoing connections: while it is closed nobody takes its place.
fn listen() -> (TcpListener, SocketAddr) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut random = Random::new(u64::from(now.subsec_nanos()) ^ u64::from(std::process::id()));
    loop {
        let port = 12_000 + u16::try_from(random.below(20_000)).unwrap_or_default();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            listener.set_nonblocking(true).unwrap();
            return (listener, SocketAddr::from(([127, 0, 0, 1], port)));
        }
    }
}

fn accept(shared: &Arc<Shared>) {
    while !shared.stopped() {
        let taken = shared.now().listener.as_ref().and_then(|listener| listener.accept().ok());
        let Some((client, _)) = taken else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A connection that cannot be made ends, as one to a dead server does.
            let _ = connect(&shared, client);
        });
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    while shared.now().way == Way::BlackHole && !shared.stopped() {
        std::thread::sleep(LOOK);
    }
    let server = shared.now().server.ok_or(ErrorKind::ConnectionRefused)?;
    let server = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    for stream in [&client, &server] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let (asked, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let pair = Arc::new(Pair { shared: Arc::clone(shared), client, server, asked, ended });
    let other = Arc::clone(&pair);
    std::thread::spawn(move || other.pump(Direction::Answer));
    pair.pump(Direction::Request);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

impl Pair {
    fn pump(&self, direction: Direction) {
        let mut chunk = vec![0; CHUNK_BYTES];
        let (from, to) = match direction {
            Direction::Request => (&self.client, &self.server),
            Direction::Answer => (&self.server, &self.client),
        };
        let (mut turn, mut carried) = (0, 0);
        while !self.ended.load(Ordering::Relaxed) && !self.shared.stopped() {
            let (way, now) = self.way();
            if now != turn {
                (turn, carried) = (now, 0);
            }
            let most = match way {
                Way::Refuse => {
                    self.cut();
                    break;
                }
                Way::BlackHole => {
                    std::thread::sleep(LOOK);
                    continue;
                }
                Way::Slow { bytes_per_s } => bytes_per_s.div_ceil(50),
                Way::CutRequest { after_bytes } if direction == Direction::Request => {
                    after_bytes.saturating_sub(carried).max(1)
                }
                _ => u64::MAX,
            };
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(chunk.len());
            let bytes = match (&*from).read(chunk.get_mut(..most).unwrap_or_default()) {
                Ok(0) => {
                    // The other direction may still have something to say.
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(count) => chunk.get(..count).unwrap_or_default(),
                Err(error) if is_quiet(&error) => continue,
                Err(_) => break,
            };
            let count = bytes.len() as u64;
            if !self.holds(direction, count) || (&*to).write_all(bytes).is_err() {
                break;
            }
            carried += count;
            if let Way::CutRequest { after_bytes } = way
                && direction == Direction::Request
                && carried >= after_bytes
            {
                self.cut();
                break;
            }
        }
        self.end();
    }

    /// Keeps bytes as long as the way wants, which may have changed while nothing came; `false` = they do not pass.
    fn holds(&self, direction: Direction, count: u64) -> bool {
        let (way, turn) = self.way();
        let answer = direction == Direction::Answer;
        match way {
            Way::CutAnswer { request_bytes_min, after_answers }
                if answer && self.is_cut(request_bytes_min, after_answers) =>
            {
                self.cut();
                return false;
            }
            Way::Late(wait) if answer => self.wait(wait, turn),
            Way::BlackHole => self.wait(Duration::MAX, turn),
            Way::Slow { bytes_per_s } => {
                self.wait(Duration::from_millis(count * 1000 / bytes_per_s.max(1)), turn);
            }
            _ => {}
        }
        if self.way().0 == Way::Refuse {
            self.cut();
            return false;
        }
        if answer {
            self.asked.store(0, Ordering::Relaxed);
            self.shared.answer_bytes.fetch_add(count, Ordering::Relaxed);
        } else {
            self.asked.fetch_add(count, Ordering::Relaxed);
            self.shared.request_bytes.fetch_add(count, Ordering::Relaxed);
        }
        true
    }

    fn way(&self) -> (Way, u64) {
        let now = self.shared.now();
        (now.way, now.turn)
    }

    /// Whether this answer is the one that is cut; the way is over then.
    fn is_cut(&self, request_bytes_min: u64, after_answers: u64) -> bool {
        if self.asked.load(Ordering::Relaxed) < request_bytes_min.max(1) {
            return false;
        }
        let mut now = self.shared.now();
        // Another connection may have been quicker.
        if !matches!(now.way, Way::CutAnswer { .. }) {
            return false;
        }
        now.passed += 1;
        if now.passed <= after_answers {
            return false;
        }
        now.way = Way::Pass;
        now.turn += 1;
        true
    }

    /// Waits, as long as the way stays the same.
    fn wait(&self, long: Duration, turn: u64) {
        let start = Instant::now();
        while start.elapsed() < long && self.way().1 == turn && !self.shared.stopped() {
            std::thread::sleep(LOOK.min(long.saturating_sub(start.elapsed())));
        }
    }

    fn cut(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.shared.cuts.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        // Already ended by the other side is as good.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each line with the same line, and counts those it read whole.
    fn echo() -> (u16, Arc<AtomicU64>) {
        use std::io::{BufRead, BufReader};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let read = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&read);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    let (mut reader, mut line) = (BufReader::new(&stream), String::new());
                    // Half a line is none.
                    while reader.read_line(&mut line).is_ok() && line.ends_with('\n') {
                        count.fetch_add(1, Ordering::SeqCst);
                        if (&stream).write_all(line.as_bytes()).is_err() {
                            break;
                        }
                        line.clear();
                    }
                });
            }
        });
        (port, read)
    }

    /// Sends a line on a connection of its own and gives the answer.
    fn ask(proxy: &Proxy, line: &str, limit_ms: u64) -> io::Result<String> {
        let mut stream = TcpStream::connect(proxy.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(limit_ms)))?;
        writeln!(stream, "{line}")?;
        let (mut text, mut byte) = (String::new(), [0]);
        while !text.ends_with('\n') {
            if stream.read(&mut byte)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            text.push(char::from(byte[0]));
        }
        Ok(text.trim().to_owned())
    }

    #[test]
    fn each_way_does_what_it_says() {
        let (port, read) = echo();
        let proxy = Proxy::to(port);
        let long = "x".repeat(2_000);
        assert_eq!(ask(&proxy, "a", 5_000).unwrap(), "a");
        proxy.set(Way::Slow { bytes_per_s: 10_000 });
        let start = Instant::now();
        assert_eq!(ask(&proxy, &long, 5_000).unwrap(), long);
        assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
        proxy.set(Way::Late(Duration::from_secs(5)));
        assert!(ask(&proxy, "late", 300).is_err());
        proxy.set(Way::CutRequest { after_bytes: 500 });
        let before = read.load(Ordering::SeqCst);
        assert!(ask(&proxy, &long, 5_000).is_err());
        assert!(ask(&proxy, &long, 5_000).is_err(), "each connection");
        assert_eq!((read.load(Ordering::SeqCst), proxy.counts().cuts), (before, 2));
        proxy.set(Way::CutAnswer { request_bytes_min: 100, after_answers: 1 });
        assert_eq!(ask(&proxy, "short", 5_000).unwrap(), "short");
        assert_eq!(ask(&proxy, &long, 5_000).unwrap(), long, "one passes");
        assert!(ask(&proxy, &long, 5_000).is_err());
        assert_eq!(read.load(Ordering::SeqCst), before + 3, "the server had them all");
        assert_eq!((proxy.way(), proxy.counts().cuts), (Way::Pass, 3));
        assert_eq!(ask(&proxy, &long, 5_000).unwrap(), long);
        proxy.set(Way::BlackHole);
        let error = ask(&proxy, "hole", 200).unwrap_err();
        assert!(is_quiet(&error), "{error}");
        proxy.set(Way::Refuse);
        assert_eq!(ask(&proxy, "no", 200).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        proxy.set(Way::Pass);
        assert_eq!(ask(&proxy, "again", 5_000).unwrap(), "again");
    }

    #[test]
    fn an_open_connection_follows_a_change() {
        let (port, _) = echo();
        let proxy = Proxy::to(port);
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = [0; 2];
        writeln!(stream, "a").unwrap();
        stream.read_exact(&mut answer).unwrap();
        proxy.set(Way::BlackHole);
        writeln!(stream, "b").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(is_quiet(&stream.read_exact(&mut answer).unwrap_err()));
        proxy.set(Way::Pass);
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"b\n");
        proxy.set(Way::Refuse);
        assert!(matches!(stream.read(&mut answer), Ok(0) | Err(_)));
    }
}
