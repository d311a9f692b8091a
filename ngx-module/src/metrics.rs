//! `tusk_metrics` and `tusk_health`: what monitoring reads. Sums come from the ring's header, so any worker tells the same.

use std::fmt::Write;

use ngx::ffi::{
    NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_OK, ngx_http_discard_request_body, ngx_http_request_t,
    ngx_int_t,
};
use shm_ring::Producer;

use crate::conf::Ack;
use crate::guard::guard;
use crate::respond::{self, Answer};
use crate::worker;

const FAILED: ngx_int_t = NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
/// Above this part of the ring the edge is not healthy.
const USED_PERCENT_MAX: u64 = 95;
/// A shipper silent for longer than this is not healthy, in ms; a busy disk delays it by some seconds at most.
const HEARTBEAT_MS_MAX: u64 = 5_000;

/// Answers with the metrics in Prometheus' text format.
pub(crate) unsafe extern "C" fn metrics_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    guard(FAILED, || {
        let mut text = String::with_capacity(8 << 10);
        worker::with(|worker| match &worker.producer {
            Some(producer) => write_metrics(&mut text, producer),
            None => gauge(&mut text, "ring_up", "Whether this worker has a ring.", 0),
        });
        // SAFETY: nginx's contract is ours.
        unsafe { page(r, 200, "text/plain; version=0.0.4; charset=utf-8", &text) }
    })
}

/// Answers 200 `ok`, or 503 and one word.
pub(crate) unsafe extern "C" fn health_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    guard(FAILED, || {
        let trouble = worker::with(|worker| match &worker.producer {
            Some(producer) => trouble(producer, worker.ack()),
            None => Some("ring"),
        });
        let (status, word) = match trouble {
            Some(None) => (200, "ok\n"),
            Some(Some("full")) => (503, "full\n"),
            Some(Some("shipper")) => (503, "shipper\n"),
            Some(Some("journal")) => (503, "journal\n"),
            _ => (503, "ring\n"),
        };
        // SAFETY: nginx's contract is ours.
        unsafe { page(r, status, "text/plain", word) }
    })
}

/// Why the edge will soon refuse, or already does.
fn trouble(producer: &Producer, ack: Ack) -> Option<&'static str> {
    let heartbeat_ms_max = match ack {
        Ack::Ring => HEARTBEAT_MS_MAX,
        // Requests are refused from here on.
        Ack::Journal => 1_000,
    };
    if producer.journal_full() {
        Some("journal")
    } else if producer.used_bytes() * 100 > producer.capacity_bytes() * USED_PERCENT_MAX {
        Some("full")
    } else if producer.heartbeat_age_ms() > heartbeat_ms_max {
        Some("shipper")
    } else {
        None
    }
}

fn write_metrics(text: &mut String, producer: &Producer) {
    gauge(text, "ring_up", "Whether this worker has a ring.", 1);
    gauge(text, "ring_used_bytes", "Bytes of the ring in use.", producer.used_bytes());
    gauge(text, "ring_capacity_bytes", "Bytes of the ring.", producer.capacity_bytes());
    gauge(
        text,
        "journal_full",
        "Whether the shipper says that its journal is at the cap.",
        u64::from(producer.journal_full()),
    );
    let age_ms = producer.heartbeat_age_ms();
    let seconds = if age_ms == u64::MAX { -1.0 } else { age_ms as f64 / 1_000.0 };
    head(
        text,
        "shipper_heartbeat_age_seconds",
        "gauge",
        "Since the shipper's last sign of life; -1: never.",
    );
    let _ = writeln!(text, "tusk_edge_shipper_heartbeat_age_seconds {seconds}");
    for counter in producer.counters().values() {
        let name = format!("{}_total", counter.name);
        head(text, &name, "counter", counter.help);
        let _ = writeln!(text, "tusk_edge_{name} {}", counter.value);
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP tusk_edge_{name} {help}\n# TYPE tusk_edge_{name} {kind}");
}

fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    head(text, name, "gauge", help);
    let _ = writeln!(text, "tusk_edge_{name} {value}");
}

/// # Safety
/// `r` is live and its content phase runs.
unsafe fn page(
    r: *mut ngx_http_request_t,
    status: u16,
    content_type: &'static str,
    text: &str,
) -> ngx_int_t {
    // SAFETY: by this function's contract, here and below.
    let rc = unsafe { ngx_http_discard_request_body(r) };
    if rc != NGX_OK as ngx_int_t {
        return rc;
    }
    // SAFETY: as above.
    let Some(body) = (unsafe { respond::in_pool((*r).pool, text.as_bytes()) }) else {
        return FAILED;
    };
    let answer = Answer { status, content_type, body, no_store: true, ..Answer::EMPTY };
    // SAFETY: as above.
    unsafe { respond::send(r, &answer, None) }
}
