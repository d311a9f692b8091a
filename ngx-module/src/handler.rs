//! One request: from nginx's hands to the ring and back.

use core::slice::from_raw_parts;

use event::record::Kind;
use event::{Accepted, Body, Headers, Method, Outcome, Request, Watch};
use ngx::ffi::{
    NGX_DONE, NGX_ERROR, NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_OPTIONS, NGX_HTTP_POST,
    NGX_HTTP_SPECIAL_RESPONSE, NGX_LOG_ERR, NGX_OK, ngx_http_discard_request_body,
    ngx_http_finalize_request, ngx_http_read_client_request_body, ngx_http_request_t, ngx_int_t,
    ngx_list_part_t, ngx_pcalloc, ngx_str_t, ngx_table_elt_t, ngx_timeofday,
};
use ngx::http::{HttpModule, HttpModuleLocationConf};
use ngx::ngx_log_error;
use shm_ring::{Meta, PushError};

use crate::conf::{Ack, LocationConf};
use crate::guard::guard;
use crate::respond::{self, Answer, Cors};
use crate::worker::{self, Worker};
use crate::{Tusk, ack, body};

/// What the module knows about a request; in the request's pool.
pub(crate) struct Context {
    /// `$tusk_result`.
    pub(crate) result: &'static str,
    /// Events kept, and what `$tusk_events` counts together with [`Context::rejected`].
    pub(crate) kept: u32,
    /// `$tusk_rejected`.
    pub(crate) rejected: u32,
    /// Bytes of the body received so far.
    pub(crate) body_bytes: u64,
    /// How many of them are kept.
    pub(crate) body_bytes_max: u64,
    /// `Origin` of the request.
    pub(crate) origin: Option<ngx_str_t>,
    /// The answer that waits for the journal, and its place in the queue.
    pub(crate) waiting: Option<(ack::Ticket, Answer)>,
}

impl Context {
    /// The request's context; `None` where the module does not run.
    ///
    /// # Safety
    /// `r` is live, and no other reference to its context is.
    pub(crate) unsafe fn of<'a>(r: *mut ngx_http_request_t) -> Option<&'a mut Self> {
        // SAFETY: every http module has a slot, and ours is null or set by `attach`.
        unsafe { (*(*r).ctx.add(Tusk::module().ctx_index)).cast::<Self>().as_mut() }
    }

    /// Gives the request a context; false if memory is short.
    ///
    /// # Safety
    /// `r` is live.
    unsafe fn attach(r: *mut ngx_http_request_t, body_bytes_max: u64) -> bool {
        // SAFETY: by this function's contract.
        let place: *mut Self = unsafe { ngx_pcalloc((*r).pool, size_of::<Self>()) }.cast();
        if place.is_null() {
            return false;
        }
        // SAFETY: just allocated for it, aligned for any type of C.
        unsafe {
            place.write(Self {
                result: "off",
                kept: 0,
                rejected: 0,
                body_bytes: 0,
                body_bytes_max,
                origin: None,
                waiting: None,
            });
            *(*r).ctx.add(Tusk::module().ctx_index) = place.cast();
        }
        true
    }
}

/// nginx's word for "an error: answer 500".
const FAILED: ngx_int_t = ngx::ffi::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;

fn method(r: &ngx_http_request_t) -> Option<Method> {
    Some(match r.method as u32 {
        NGX_HTTP_GET => Method::Get,
        NGX_HTTP_HEAD => Method::Head,
        NGX_HTTP_POST => Method::Post,
        NGX_HTTP_OPTIONS => Method::Options,
        _ => return None,
    })
}

/// The content handler of every location with `tusk on`.
pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx's contract is ours.
    guard(FAILED, || unsafe { start(r) })
}

/// # Safety
/// `r` is live and its content phase begins.
unsafe fn start(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: by this function's contract, here and below.
    let request = unsafe { &mut *r };
    let Some(config) = Tusk::location_conf(request).and_then(|conf| conf.config.as_ref()) else {
        return FAILED;
    };
    // SAFETY: as above.
    if !unsafe { Context::attach(r, config.limits.body_bytes_max as u64) } {
        return FAILED;
    }
    match method(request) {
        Some(Method::Post) => {
            request.set_request_body_in_single_buf(1);
            // SAFETY: as above. This may call `body_ready` at once, and with that end the request.
            let rc = unsafe { ngx_http_read_client_request_body(r, Some(body_ready)) };
            if rc >= NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t { rc } else { NGX_DONE as ngx_int_t }
        }
        Some(_) => {
            // SAFETY: as above.
            let rc = unsafe { ngx_http_discard_request_body(r) };
            if rc != NGX_OK as ngx_int_t {
                return rc;
            }
            // SAFETY: as above.
            match unsafe { answer(r) } {
                Next::Finalize(rc) => rc,
                Next::Wait => {
                    // The queue holds a reference, as the body's reader would.
                    // SAFETY: the main request outlives its parts.
                    unsafe {
                        let main = (*r).main;
                        (*main).set_count((*main).count() + 1);
                    }
                    NGX_DONE as ngx_int_t
                }
            }
        }
        None => {
            // SAFETY: as above.
            let rc = unsafe { ngx_http_discard_request_body(r) };
            if rc != NGX_OK as ngx_int_t {
                return rc;
            }
            let origin = received(request).find(|header| name(header) == b"origin");
            let origin = origin.map(|header| header.value);
            // SAFETY: as above.
            unsafe { respond::send(r, &Answer::NOT_ALLOWED, origin) }
        }
    }
}

/// nginx calls this when the whole body is there: at once, or from its event loop later.
unsafe extern "C" fn body_ready(r: *mut ngx_http_request_t) {
    // SAFETY: nginx's contract is ours; a read body holds a reference to the request.
    let next = guard(Next::Finalize(FAILED), || unsafe { answer(r) });
    if let Next::Finalize(rc) = next {
        // SAFETY: as above.
        unsafe { ngx_http_finalize_request(r, rc) };
    }
}

/// What to do with a request that was decided.
enum Next {
    /// End it with this.
    Finalize(ngx_int_t),
    /// It stays, held by the queue of those that wait for the journal.
    Wait,
}

/// Decides the request and sends the answer.
///
/// # Safety
/// `r` is live with its body, if any, and has a context.
unsafe fn answer(r: *mut ngx_http_request_t) -> Next {
    // SAFETY: by this function's contract, here and below.
    let Some(context) = (unsafe { Context::of(r) }) else { return Next::Finalize(FAILED) };
    let decided = guard(None, || {
        #[cfg(debug_assertions)]
        // SAFETY: as above.
        panic_when_asked(unsafe { &*r });
        worker::with(|worker| {
            // SAFETY: as above.
            let answer = unsafe { decide(worker, r, context) };
            worker.count_key_ops();
            answer
        })
    });
    let (answer, origin) = (decided.unwrap_or(Answer::FAILED), context.origin);
    if context.waiting.is_some() {
        // SAFETY: as above.
        if unsafe { ack::hold(r) } {
            return Next::Wait;
        }
        return Next::Finalize(FAILED);
    }
    // SAFETY: as above.
    Next::Finalize(unsafe { respond::send(r, &answer, origin) })
}

/// Checks the events, stores the record. The answer is in static memory or the request's pool.
///
/// # Safety
/// As for [`answer`].
unsafe fn decide(worker: &mut Worker, r: *mut ngx_http_request_t, context: &mut Context) -> Answer {
    // SAFETY: by this function's contract, here and below.
    let request = unsafe { &*r };
    let config = Tusk::location_conf(request).and_then(|conf: &LocationConf| conf.config.as_ref());
    let (Some(config), Some(method)) = (config, method(request)) else { return Answer::FAILED };
    let ack = worker.ack();
    let Some(producer) = worker.producer.as_mut() else { return Answer::UNAVAILABLE };
    producer.counters().requests.add(1);
    let body = if method == Method::Post {
        // SAFETY: as above.
        match unsafe { body::read(r, config.limits.body_bytes_max, &mut worker.body) } {
            Ok(body) => body,
            Err(body::ReadError(error)) => {
                // SAFETY: a live request has a connection with a log.
                let log = unsafe { (*request.connection).log };
                ngx_log_error!(
                    NGX_LOG_ERR,
                    log,
                    "tusk: reading the body's temporary file: {error}"
                );
                return Answer::FAILED;
            }
        }
    } else {
        &[]
    };
    let body_bytes = context.body_bytes.max(body.len() as u64);
    if body_bytes > body.len() as u64 {
        producer.counters().bodies_cut.add(1);
    }
    let (path, query) = target(request);
    let headers = headers(request);
    context.origin = headers.origin.map(respond::view);
    let time = ngx_timeofday();
    let recv_ns = time.sec as u64 * 1_000_000_000 + time.msec as u64 * 1_000_000;
    let watch = producer.control();
    let request = Request {
        method,
        path,
        query,
        headers,
        body,
        body_bytes,
        // SAFETY: a live request has a connection.
        client_ip: bytes(unsafe { &(*request.connection).addr_text }),
        recv_ns,
        watch: Watch { followed: &watch.followed, sample_every: watch.sample_every },
    };
    let accepted = event::accept(&request, config, &mut worker.scratch);
    context.result = accepted.outcome.word();
    context.kept = accepted.kept;
    context.rejected = accepted.rejected;
    let answer = reply(r, &accepted);
    let counters = producer.counters();
    if answer.tells {
        counters.verdicts.add(1);
    }
    let Some(kind) = accepted.store else {
        match accepted.outcome {
            Outcome::DryRun => counters.dry_runs.add(1),
            Outcome::Config => counters.config.add(1),
            _ => counters.empty.add(1),
        }
        return answer;
    };
    if kind == Kind::Sealed {
        counters.sealed.add(1);
    }
    if ack == Ack::Journal && !worker.waiters.may_wait(producer) {
        context.result = "full";
        return Answer::UNAVAILABLE;
    }
    let meta = Meta {
        kind: kind as u8,
        flags: 0,
        kept: u16::try_from(accepted.kept).unwrap_or(u16::MAX),
        rejected: u16::try_from(accepted.rejected).unwrap_or(u16::MAX),
        recv_ns,
    };
    let mut heads = [[0; 8]; 5];
    match producer.push(&meta, &accepted.sections(&mut heads)) {
        Ok(position) => {
            if ack == Ack::Journal {
                let ticket = worker.waiters.add(r, position.end);
                context.waiting = Some((ticket, answer));
            }
            answer
        }
        Err(error) => {
            context.result = match error {
                PushError::Full | PushError::TooLarge => "full",
                PushError::Locked => "locked",
                PushError::Closed => "off",
            };
            if error == PushError::Closed {
                worker.detach_later();
            }
            Answer::UNAVAILABLE
        }
    }
}

/// The policy's answer, its body where it outlives the worker's scratch memory.
fn reply(r: *mut ngx_http_request_t, accepted: &Accepted<'_>) -> Answer {
    let reply = &accepted.reply;
    let cors = match accepted.outcome {
        Outcome::Preflight => Cors::Preflight,
        _ => Cors::Simple,
    };
    let body = match reply.body {
        Body::Json(b"{}") => ngx_str_t { len: 2, data: c"{}".as_ptr().cast_mut().cast() },
        Body::Empty => ngx_str_t::empty(),
        Body::Gif => {
            let gif: &'static [u8] = Body::Gif.bytes();
            ngx_str_t { len: gif.len(), data: gif.as_ptr().cast_mut() }
        }
        Body::Html(page) => ngx_str_t { len: page.len(), data: page.as_ptr().cast_mut() },
        Body::Json(text) => {
            // SAFETY: the pool of a live request.
            let Some(copy) = (unsafe { respond::in_pool((*r).pool, text) }) else {
                return Answer::FAILED;
            };
            copy
        }
    };
    Answer {
        status: reply.status,
        content_type: reply.body.content_type().unwrap_or_default(),
        body,
        cors,
        retry: false,
        no_store: reply.body == Body::Gif,
        tells: matches!(reply.body, Body::Json(text) if text != b"{}"),
    }
}

/// Path and query as sent: an internal redirect changes neither.
fn target(request: &ngx_http_request_t) -> (&[u8], &[u8]) {
    let target = bytes(&request.unparsed_uri);
    let query = bytes(&request.args);
    match target.iter().position(|&byte| byte == b'?') {
        Some(end) => (&target[..end], query),
        None => (target, query),
    }
}

/// The headers the decoder looks at.
fn headers(request: &ngx_http_request_t) -> Headers<'_> {
    fn value<'a>(header: *const ngx_table_elt_t) -> Option<&'a [u8]> {
        // SAFETY: null or a header of a live request.
        unsafe { header.as_ref() }.map(|header| bytes(&header.value))
    }
    let known = &request.headers_in;
    let mut headers = Headers {
        content_type: value(known.content_type),
        user_agent: value(known.user_agent),
        host: value(known.host),
        ..Headers::default()
    };
    for header in received(request) {
        match name(header) {
            b"origin" => headers.origin = Some(bytes(&header.value)),
            b"dry-run" => headers.dry_run = Some(bytes(&header.value)),
            b"x-tusk-verdict" => headers.verdict = Some(bytes(&header.value)),
            b"content-encoding" => headers.content_encoding = Some(bytes(&header.value)),
            _ => {}
        }
    }
    headers
}

/// Name of a header in lower case.
fn name(header: &ngx_table_elt_t) -> &[u8] {
    if header.lowcase_key.is_null() {
        return &[];
    }
    // SAFETY: nginx makes it as long as the name.
    unsafe { from_raw_parts(header.lowcase_key, header.key.len) }
}

/// All headers of the request.
fn received(request: &ngx_http_request_t) -> impl Iterator<Item = &ngx_table_elt_t> {
    let mut part: *const ngx_list_part_t = &raw const request.headers_in.headers.part;
    let mut at = 0;
    std::iter::from_fn(move || {
        // SAFETY: the list's parts live as long as the request, and each holds `nelts` headers.
        unsafe {
            while at >= (*part).nelts {
                part = (*part).next;
                at = 0;
                if part.is_null() {
                    // Not called again after the end.
                    return None;
                }
            }
            at += 1;
            (*part).elts.cast::<ngx_table_elt_t>().add(at - 1).as_ref()
        }
    })
    .fuse()
}

/// The bytes of nginx's string; they live as long as the string's owner.
fn bytes(text: &ngx_str_t) -> &[u8] {
    text.as_bytes()
}

/// Tests of the panic guard ask for a bug; a release build has no such door.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "that is its purpose")]
fn panic_when_asked(request: &ngx_http_request_t) {
    if received(request).any(|header| name(header) == b"x-tusk-test-panic") {
        panic!("asked for by a test");
    }
}

const _: () = assert!(NGX_ERROR < 0 && NGX_DONE < 0);
