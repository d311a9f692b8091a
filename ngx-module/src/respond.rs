//! Sending an answer.

use core::ptr::null_mut;

use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_OK, ngx_buf_t, ngx_chain_t,
    ngx_http_output_filter, ngx_http_request_t, ngx_http_send_header, ngx_int_t, ngx_list_push,
    ngx_pcalloc, ngx_pnalloc, ngx_pool_t, ngx_str_t, ngx_table_elt_t, ngx_uint_t,
};

/// Seconds after which a client may try again; SDKs keep to their own times, proxies and crawlers to this.
const RETRY_AFTER_S: &str = "5";
/// How long a browser remembers a preflight's answer, in seconds.
const PREFLIGHT_S: &str = "86400";

/// An answer; its bytes are static or in the request's pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: ngx_str_t,
    pub(crate) cors: Cors,
    /// `Retry-After`.
    pub(crate) retry: bool,
    /// `Cache-Control: no-store`: an image must be asked for each time.
    pub(crate) no_store: bool,
    /// The body tells what became of the events.
    pub(crate) tells: bool,
}

/// Headers that let a page of another origin see the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cors {
    /// Not for pages.
    None,
    /// Of a request for data.
    Simple,
    /// Of OPTIONS: what may be sent.
    Preflight,
}

impl Answer {
    /// The answer where a request cannot be held: SDKs that can keep their data try again later.
    pub(crate) const UNAVAILABLE: Self =
        Self { status: 503, cors: Cors::Simple, retry: true, ..Self::EMPTY };
    /// Any method but GET, HEAD, POST and OPTIONS; no SDK uses one.
    pub(crate) const NOT_ALLOWED: Self = Self { status: 405, cors: Cors::Preflight, ..Self::EMPTY };
    /// A bug.
    pub(crate) const FAILED: Self = Self { status: 500, cors: Cors::Simple, ..Self::EMPTY };
    pub(crate) const EMPTY: Self = Self {
        status: 200,
        content_type: "",
        body: ngx_str_t { len: 0, data: null_mut() },
        cors: Cors::None,
        retry: false,
        no_store: false,
        tells: false,
    };
}

/// Copies `bytes` into the pool.
///
/// # Safety
/// The pool is valid; the result lives as long as it.
pub(crate) unsafe fn in_pool(pool: *mut ngx_pool_t, bytes: &[u8]) -> Option<ngx_str_t> {
    // SAFETY: by this function's contract.
    let data: *mut u8 = unsafe { ngx_pnalloc(pool, bytes.len()) }.cast();
    if data.is_null() {
        return None;
    }
    // SAFETY: just allocated with this length.
    unsafe { data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Some(ngx_str_t { len: bytes.len(), data })
}

/// Text that lives for ever, for nginx.
fn text(text: &'static str) -> ngx_str_t {
    view(text.as_bytes())
}

/// The bytes as nginx names them; whoever keeps the result answers for their life.
pub(crate) fn view(bytes: &[u8]) -> ngx_str_t {
    ngx_str_t { len: bytes.len(), data: bytes.as_ptr().cast_mut() }
}

/// Sends the answer's header and body; the result is for `ngx_http_finalize_request`.
///
/// # Safety
/// `r` is live and nothing has been sent for it.
pub(crate) unsafe fn send(
    r: *mut ngx_http_request_t,
    answer: &Answer,
    origin: Option<ngx_str_t>,
) -> ngx_int_t {
    // SAFETY: by this function's contract, here and below.
    let out = unsafe { &mut (*r).headers_out };
    out.status = ngx_uint_t::from(answer.status);
    out.content_length_n = answer.body.len as i64;
    if !answer.content_type.is_empty() {
        out.content_type = text(answer.content_type);
        out.content_type_len = answer.content_type.len();
        out.content_type_lowcase = null_mut();
    }
    // SAFETY: as above.
    if unsafe { headers(r, answer, origin) }.is_none() {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    }
    // SAFETY: as above.
    let (pool, whole) = unsafe { ((*r).pool, r == (*r).main) };
    // SAFETY: as above; zeroed is what nginx's own ngx_calloc_buf gives.
    let buffer: *mut ngx_buf_t = unsafe { ngx_pcalloc(pool, size_of::<ngx_buf_t>()) }.cast();
    // SAFETY: null or just allocated.
    let Some(buffer) = (unsafe { buffer.as_mut() }) else {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    };
    if answer.body.len > 0 {
        buffer.pos = answer.body.data;
        // SAFETY: the body's end.
        buffer.last = unsafe { answer.body.data.add(answer.body.len) };
        buffer.set_memory(1);
    }
    buffer.set_last_buf(u32::from(whole));
    buffer.set_last_in_chain(1);
    if answer.body.len == 0 && !whole {
        buffer.set_sync(1);
    }
    // SAFETY: as above.
    let rc = unsafe { ngx_http_send_header(r) };
    // SAFETY: as above.
    let header_only = unsafe { (*r).header_only() } != 0;
    if rc == NGX_ERROR as ngx_int_t || rc > NGX_OK as ngx_int_t || header_only {
        return rc;
    }
    let mut chain = ngx_chain_t { buf: buffer, next: null_mut() };
    // SAFETY: nginx copies the link where it keeps it; the buffer is in the pool.
    unsafe { ngx_http_output_filter(r, &raw mut chain) }
}

/// # Safety
/// As for [`send`].
unsafe fn headers(
    r: *mut ngx_http_request_t,
    answer: &Answer,
    origin: Option<ngx_str_t>,
) -> Option<()> {
    let push = |key: &'static str, value: ngx_str_t| {
        // SAFETY: the list of a live request.
        let place = unsafe { ngx_list_push(&raw mut (*r).headers_out.headers) };
        let header: *mut ngx_table_elt_t = place.cast();
        // SAFETY: null or room for one element; all zero is a valid one, whatever nginx's version adds to it.
        unsafe {
            if header.is_null() {
                return None;
            }
            header.write(core::mem::zeroed());
            (*header).hash = 1;
            (*header).key = text(key);
            (*header).value = value;
        }
        Some(())
    };
    if answer.cors != Cors::None {
        push("Access-Control-Allow-Origin", origin.unwrap_or_else(|| text("*")))?;
        if origin.is_some() {
            // A beacon always comes with cookies, and then the browser wants both the origin and this.
            push("Access-Control-Allow-Credentials", text("true"))?;
        }
    }
    if answer.cors == Cors::Preflight {
        push("Access-Control-Allow-Methods", text("GET, POST, OPTIONS"))?;
        push(
            "Access-Control-Allow-Headers",
            // `Cache-Control`: Chromium asks for it when a page that goes still has a cross-origin image to send.
            text("Cache-Control, Content-Type, Dry-Run, X-Requested-With, X-Tusk-Verdict"),
        )?;
        push("Access-Control-Max-Age", text(PREFLIGHT_S))?;
    }
    if answer.status == Answer::NOT_ALLOWED.status {
        push("Allow", text("GET, HEAD, POST, OPTIONS"))?;
    }
    if answer.retry {
        push("Retry-After", text(RETRY_AFTER_S))?;
    }
    if answer.no_store {
        push("Cache-Control", text("no-store"))?;
    }
    Some(())
}
