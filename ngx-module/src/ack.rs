//! `ack=journal`: a request is answered when the shipper's journal has its record on disk.
//!
//! Such a request is suspended: the queue holds a reference to it. While the queue is not empty a timer compares, every
//! millisecond, how far the journal is. A worker's positions rise from one push to the next and all waits are equally long,
//! so the queue is in order of both, and only its front is looked at.

use std::collections::VecDeque;

use ngx::ffi::{
    NGX_OK, ngx_add_timer, ngx_connection_t, ngx_del_timer, ngx_event_t, ngx_handle_read_event,
    ngx_http_finalize_request, ngx_http_request_t, ngx_http_run_posted_requests,
    ngx_http_test_reading, ngx_int_t, ngx_log_t, ngx_msec_t, ngx_pool_cleanup_add, ngx_post_event,
    ngx_posted_events,
};
use shm_ring::Producer;

use crate::conf::MainConf;
use crate::guard::guard;
use crate::handler::Context;
use crate::respond::{self, Answer};
use crate::worker::{self, now_ms};

/// How often the journal's progress is looked at.
const TICK_MS: ngx_msec_t = 1;
/// A shipper silent for longer is taken for dead: nothing is written that it would have to confirm.
const HEARTBEAT_MS_MAX: u64 = 1_000;

/// Place in the queue; counts up for ever.
pub(crate) type Ticket = u64;

/// The requests of one worker that wait for the journal, oldest first.
pub(crate) struct Waiters {
    /// `None`: left before its turn.
    queue: VecDeque<Option<Waiter>>,
    /// Ticket of the queue's front.
    first: Ticket,
    count_max: usize,
    timeout_ms: ngx_msec_t,
    timer: Box<ngx_event_t>,
    /// nginx's debug log prints the connection an event belongs to.
    _connection: Box<ngx_connection_t>,
}

struct Waiter {
    request: *mut ngx_http_request_t,
    /// The journal has the record when `durable` is here.
    end: u64,
    since_ms: ngx_msec_t,
}

impl Waiters {
    pub(crate) fn new(conf: &MainConf, log: *mut ngx_log_t) -> Self {
        // SAFETY: plain C structures: all zero is how nginx makes them.
        let (mut connection, mut timer): (Box<ngx_connection_t>, Box<ngx_event_t>) =
            unsafe { (Box::new(core::mem::zeroed()), Box::new(core::mem::zeroed())) };
        connection.fd = -1;
        timer.data = (&raw mut *connection).cast();
        timer.handler = Some(tick);
        timer.log = log;
        let count_max = usize::try_from(conf.ack_waiters).unwrap_or(0);
        Self {
            queue: VecDeque::with_capacity(count_max.min(1 << 16)),
            first: 0,
            count_max,
            timeout_ms: conf.ack_timeout_ms,
            timer,
            _connection: connection,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether one more may wait; else the answer is 503 at once and nothing is written.
    pub(crate) fn may_wait(&self, producer: &Producer) -> bool {
        if self.queue.len() >= self.count_max {
            producer.counters().ack_waiters.add(1);
            return false;
        }
        if producer.heartbeat_age_ms() > HEARTBEAT_MS_MAX {
            producer.counters().ack_stale.add(1);
            return false;
        }
        true
    }

    /// Puts a request whose record ends at `end` at the queue's end.
    pub(crate) fn add(&mut self, request: *mut ngx_http_request_t, end: u64) -> Ticket {
        self.queue.push_back(Some(Waiter { request, end, since_ms: now_ms() }));
        self.arm();
        self.first + self.queue.len() as u64 - 1
    }

    /// Takes a request out before its turn.
    fn remove(&mut self, ticket: Ticket) {
        let place = ticket.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(waiter) = place.and_then(|at| self.queue.get_mut(at)) {
            *waiter = None;
        }
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
    }

    /// The next request to answer, and whether the journal has it; with `all` those too whose time is not over.
    fn settle(
        &mut self,
        producer: Option<&Producer>,
        all: bool,
    ) -> Option<(*mut ngx_http_request_t, bool)> {
        while let Some(front) = self.queue.front() {
            if let Some(waiter) = front {
                let held = producer.is_some_and(|producer| producer.durable() >= waiter.end);
                let over = now_ms().wrapping_sub(waiter.since_ms) >= self.timeout_ms;
                if !(held || over || all) {
                    return None;
                }
                let request = waiter.request;
                self.queue.pop_front();
                self.first += 1;
                return Some((request, held));
            }
            self.queue.pop_front();
            self.first += 1;
        }
        None
    }

    /// Lets the timer run if anybody waits. It also keeps a worker alive that is shutting down.
    fn arm(&mut self) {
        if !self.queue.is_empty() && self.timer.timer_set() == 0 {
            // SAFETY: the event is ours, boxed, and removed in `drop`.
            unsafe { ngx_add_timer(&raw mut *self.timer, TICK_MS) };
        }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        if self.timer.timer_set() != 0 {
            // SAFETY: it is in nginx's tree of timers.
            unsafe { ngx_del_timer(&raw mut *self.timer) };
        }
    }
}

/// Suspends a request that is in the queue: from now on nginx watches whether its client leaves. False if it cannot be
/// watched; it is out of the queue then.
///
/// # Safety
/// `r` is live and its context has a ticket.
pub(crate) unsafe fn hold(r: *mut ngx_http_request_t) -> bool {
    // SAFETY: by this function's contract, here and below.
    let held = unsafe {
        let cleanup = ngx_pool_cleanup_add((*r).pool, 0);
        if let Some(cleanup) = cleanup.as_mut() {
            cleanup.handler = Some(left);
            cleanup.data = r.cast();
            (*r).read_event_handler = Some(ngx_http_test_reading);
            let read = (*(*r).connection).read;
            if !(*r).stream.is_null() {
                // A stream of HTTP/2 has no socket of its own.
                true
            } else if (*read).ready() != 0 {
                // What has already come, such as the client's end, is not told again.
                ngx_post_event(read, &raw mut ngx_posted_events);
                true
            } else {
                ngx_handle_read_event(read, 0) == NGX_OK as ngx_int_t
            }
        } else {
            false
        }
    };
    if !held {
        // SAFETY: as above.
        unsafe { forget(r) };
    }
    held
}

/// The request's pool goes: its client left, or it was answered.
unsafe extern "C" fn left(data: *mut core::ffi::c_void) {
    guard((), || {
        // SAFETY: the cleanup's data is the request, which is part of its pool and still there.
        if unsafe { forget(data.cast()) } {
            worker::with(|worker| {
                if let Some(producer) = &worker.producer {
                    producer.counters().aborted.add(1);
                }
            });
        }
    });
}

/// Takes a request out of the queue if it is there.
///
/// # Safety
/// `r` is live.
unsafe fn forget(r: *mut ngx_http_request_t) -> bool {
    // SAFETY: by this function's contract.
    let Some((ticket, _)) = (unsafe { Context::of(r) }).and_then(|context| context.waiting.take())
    else {
        return false;
    };
    worker::with(|worker| worker.waiters.remove(ticket)).is_some()
}

/// The timer.
unsafe extern "C" fn tick(_: *mut ngx_event_t) {
    guard((), || {
        answer_settled(false);
        worker::with(|worker| worker.waiters.arm());
    });
}

/// Answers everybody, because the worker ends: 200 to those whose record the journal has, else 503.
pub(crate) fn finish_all() {
    answer_settled(true);
}

fn answer_settled(all: bool) {
    // The state is lent anew for each, because answering runs nginx's code, which may call ours.
    while let Some((request, held)) = worker::with(|worker| {
        let settled = worker.waiters.settle(worker.producer.as_ref(), all)?;
        if let (false, Some(producer)) = (settled.1, &worker.producer) {
            producer.counters().ack_timeouts.add(1);
        }
        Some(settled)
    })
    .flatten()
    {
        // SAFETY: whoever was in the queue is live, and out of it since a moment ago.
        unsafe { finish(request, held) };
    }
}

/// # Safety
/// `r` is live, suspended by [`hold`] and no longer in the queue.
unsafe fn finish(r: *mut ngx_http_request_t, held: bool) {
    // SAFETY: by this function's contract, here and below.
    let (connection, context) = unsafe { ((*r).connection, Context::of(r)) };
    let Some(context) = context else { return };
    let Some((_, answer)) = context.waiting.take() else { return };
    let origin = context.origin;
    let answer = if held {
        answer
    } else {
        context.result = "full";
        Answer::UNAVAILABLE
    };
    // SAFETY: as above; nginx wants posted requests run by whoever is not its own event handler.
    unsafe {
        let rc = respond::send(r, &answer, origin);
        ngx_http_finalize_request(r, rc);
        ngx_http_run_posted_requests(connection);
    }
}
