//! A client that sends requests over kept connections, as fast as they are answered or by the clock, and notes when.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tusk_tests::http::Connection;

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Its number.
    pub request: u64,
    /// When its answer was there.
    pub done: Instant,
    /// Status; 0 = no answer.
    pub status: u16,
}

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections, each with a thread of its own.
    pub connections: u32,
    /// Requests a second over all connections, whatever becomes of earlier ones; `None` = the next when the last is answered.
    pub rate: Option<u32>,
    /// Requests in all.
    pub requests: u64,
}

/// Sends them and waits for all answers. `maker` makes a connection's source of requests, which is given their numbers.
pub fn drive<S: FnMut(u64) -> Vec<u8>>(
    address: SocketAddr,
    plan: Plan,
    maker: impl Fn(u32) -> S + Sync,
) -> Vec<Answered> {
    let start = Instant::now() + Duration::from_millis(20);
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let maker = &maker;
        let threads: Vec<_> = (0..plan.connections)
            .map(|number| {
                scope.spawn(move || connection(address, plan, number, start, maker(number)))
            })
            .collect();
        for thread in threads {
            all.extend(thread.join().unwrap_or_default());
        }
    });
    all.sort_by_key(|one| one.request);
    all
}

fn connection(
    address: SocketAddr,
    plan: Plan,
    number: u32,
    start: Instant,
    mut make: impl FnMut(u64) -> Vec<u8>,
) -> Vec<Answered> {
    let mut kept: Option<Connection> = None;
    let mut log = Vec::new();
    let mut request = u64::from(number);
    while request < plan.requests {
        let bytes = make(request);
        if let Some(rate) = plan.rate {
            // By the clock: a slow answer does not push later requests back.
            let due = start + Duration::from_secs_f64(request as f64 / f64::from(rate));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let status = send(address, &mut kept, &bytes).unwrap_or(0);
        log.push(Answered { request, done: Instant::now(), status });
        request += u64::from(plan.connections);
    }
    log
}

fn send(address: SocketAddr, kept: &mut Option<Connection>, bytes: &[u8]) -> std::io::Result<u16> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(address)?,
    };
    connection.write(bytes)?;
    let answer = connection.answer(false)?;
    if answer.header("connection") != Some("close") {
        *kept = Some(connection);
    }
    Ok(answer.status)
}

/// How many were answered 200.
///
/// # Errors
/// If any was not: what is measured would be something else.
pub fn all_accepted(sent: &[Answered]) -> Result<u64, crate::Error> {
    match sent.iter().find(|one| one.status != 200) {
        None => Ok(sent.len() as u64),
        Some(one) => {
            Err(format!("request {} was answered {} (0 = not at all)", one.request, one.status)
                .into())
        }
    }
}
