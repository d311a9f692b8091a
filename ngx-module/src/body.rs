//! The request's body: cut at `tusk_max_body` while nginx reads it, then handed on as one slice.

use core::ptr::null_mut;
use std::cell::Cell;

use ngx::ffi::{
    NGX_OK, ngx_chain_t, ngx_http_request_body_filter_pt, ngx_http_request_t,
    ngx_http_top_request_body_filter, ngx_int_t,
};

use crate::guard::guard;
use crate::handler::Context;

/// Why a body could not be read: its temporary file.
#[derive(Debug)]
pub(crate) struct ReadError(pub(crate) std::io::Error);

/// The filter after ours. Set in the master before it forks and never afterwards.
struct Next(Cell<ngx_http_request_body_filter_pt>);

// SAFETY: nginx's processes have one thread that runs modules.
unsafe impl Sync for Next {}

static NEXT: Next = Next(Cell::new(None));

/// Puts our filter in front of nginx's own, which saves what passes to memory or a temporary file.
///
/// # Safety
/// Called in nginx's postconfiguration phase: the core module has started the chain anew by then.
pub(crate) unsafe fn install_filter() {
    // SAFETY: by this function's contract nobody else uses the chain now.
    unsafe {
        NEXT.0.set(ngx_http_top_request_body_filter);
        ngx_http_top_request_body_filter = Some(filter);
    }
}

/// Counts the body's bytes and lets the first [`Context::body_bytes_max`] through. What is over is read and dropped: an
/// answer before the end of the body would reset the connection, and apps delete their batch at a 413.
unsafe extern "C" fn filter(r: *mut ngx_http_request_t, chain: *mut ngx_chain_t) -> ngx_int_t {
    // SAFETY: a live request.
    let context = unsafe { Context::of(r) };
    let pass = context.is_none_or(|context| chain.is_null() || guard(true, || cut(context, chain)));
    // An empty call moves buffers on, and must arrive: it is how what came before gets out of the way.
    let chain = if pass { chain } else { null_mut() };
    match NEXT.0.get() {
        // SAFETY: nginx's own arguments, or none.
        Some(next) => unsafe { next(r, chain) },
        None => NGX_OK as ngx_int_t,
    }
}

/// Cuts what is over the limit out of `chain`'s buffers; false if nothing is left to pass on.
fn cut(context: &mut Context, chain: *mut ngx_chain_t) -> bool {
    let mut pass = false;
    for buffer in Links(chain) {
        // SAFETY: a buffer that nginx has just filled: its ends lie in one allocation.
        let (length, last) =
            unsafe { ((*buffer).last.offset_from_unsigned((*buffer).pos), (*buffer).last_buf()) };
        let room = context.body_bytes_max.saturating_sub(context.body_bytes);
        context.body_bytes += length as u64;
        if room < length as u64 {
            // An emptied buffer counts as used up, so nginx fills it again.
            // SAFETY: `room` is less than the buffer's length.
            unsafe { (*buffer).last = (*buffer).pos.add(room as usize) };
        }
        pass |= room > 0 || last != 0;
    }
    pass
}

/// The buffers of a chain.
struct Links(*mut ngx_chain_t);

impl Iterator for Links {
    type Item = *mut ngx::ffi::ngx_buf_t;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: null or a link nginx keeps alive for the call.
        let link = unsafe { self.0.as_ref() }?;
        self.0 = link.next;
        Some(link.buf)
    }
}

/// A request's body as one slice: nginx's own memory where it is in one piece, else copied to `copy` once.
///
/// At most `limit_bytes` are taken: a subrequest's body was read by its parent, past our filter.
///
/// # Safety
/// `r` is live and its body has been read. The slice is valid until the request is finalized.
pub(crate) unsafe fn read(
    r: *mut ngx_http_request_t,
    limit_bytes: usize,
    copy: &mut Vec<u8>,
) -> Result<&[u8], ReadError> {
    // SAFETY: by this function's contract.
    let body = unsafe { (*r).request_body.as_ref() };
    let first = body.map_or(null_mut(), |body| body.bufs);
    let mut pieces = Links(first).filter_map(|buffer| {
        // SAFETY: nginx keeps the buffers of a read body until the request ends.
        let buffer = unsafe { &*buffer };
        if buffer.in_file() != 0 {
            let length = usize::try_from(buffer.file_last - buffer.file_pos).unwrap_or(0);
            // SAFETY: a buffer in a file has one.
            let fd = unsafe { (*buffer.file).fd };
            return Some(Piece::File { fd, at: buffer.file_pos, length });
        }
        // SAFETY: both ends lie in one allocation.
        let length = unsafe { buffer.last.offset_from_unsigned(buffer.pos) };
        // SAFETY: as above.
        (length > 0)
            .then(|| Piece::Memory(unsafe { core::slice::from_raw_parts(buffer.pos, length) }))
    });
    let Some(first) = pieces.next() else { return Ok(&[]) };
    let second = pieces.next();
    if let (Piece::Memory(bytes), None) = (&first, &second) {
        return Ok(&bytes[..bytes.len().min(limit_bytes)]);
    }
    copy.clear();
    for piece in [Some(first), second].into_iter().flatten().chain(pieces) {
        let room = limit_bytes - copy.len();
        match piece {
            Piece::Memory(bytes) => copy.extend_from_slice(&bytes[..bytes.len().min(room)]),
            Piece::File { fd, at, length } => append(copy, fd, at, length.min(room))?,
        }
    }
    Ok(copy)
}

enum Piece<'a> {
    Memory(&'a [u8]),
    File { fd: i32, at: libc::off_t, length: usize },
}

/// Appends `length` bytes of the file from `at` on.
fn append(out: &mut Vec<u8>, fd: i32, mut at: libc::off_t, length: usize) -> Result<(), ReadError> {
    let start = out.len();
    out.resize(start + length, 0);
    let mut place = &mut out[start..];
    while !place.is_empty() {
        // SAFETY: the place is ours and as long as said.
        let got = unsafe { libc::pread(fd, place.as_mut_ptr().cast(), place.len(), at) };
        let Ok(got) = usize::try_from(got) else {
            let error = std::io::Error::last_os_error();
            if error.kind() == std::io::ErrorKind::Interrupted {
                continue;
            }
            return Err(ReadError(error));
        };
        if got == 0 {
            return Err(ReadError(std::io::ErrorKind::UnexpectedEof.into()));
        }
        at += got as libc::off_t;
        place = &mut place[got..];
    }
    Ok(())
}
