//! `$tusk_result`, `$tusk_events`, `$tusk_rejected` for `log_format`.

use core::fmt::Write;

use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_VAR_NOCACHEABLE, NGX_OK, ngx_conf_t, ngx_http_add_variable,
    ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t, ngx_pnalloc, ngx_str_t, ngx_uint_t,
};

use crate::guard::guard;
use crate::handler::Context;

/// Largest number of a variable in text.
const DIGITS: usize = 10;

/// What `data` of a variable selects.
const RESULT: usize = 0;
const EVENTS: usize = 1;
const REJECTED: usize = 2;

const VARIABLES: [(&str, usize); 3] =
    [("tusk_result", RESULT), ("tusk_events", EVENTS), ("tusk_rejected", REJECTED)];

/// Makes the variables known; must run before the configuration is read.
///
/// # Safety
/// `cf` is nginx's, in its preconfiguration phase.
pub(crate) unsafe fn add(cf: *mut ngx_conf_t) -> bool {
    for (name, data) in VARIABLES {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        // SAFETY: by this function's contract; nginx copies the name.
        let variable = unsafe {
            ngx_http_add_variable(cf, &raw mut name, NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t)
        };
        // SAFETY: null or a variable nginx has just made.
        let Some(variable) = (unsafe { variable.as_mut() }) else { return false };
        variable.get_handler = Some(get);
        variable.data = data;
    }
    true
}

unsafe extern "C" fn get(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    data: usize,
) -> ngx_int_t {
    guard(NGX_ERROR as ngx_int_t, || {
        // SAFETY: nginx passes a live request and a value to fill.
        let (context, value) = unsafe { (Context::of(r), &mut *value) };
        value.set_valid(1);
        value.set_no_cacheable(0);
        value.set_not_found(0);
        let number = match (data, context) {
            (RESULT, context) => {
                let word = context.map_or("off", |context| context.result);
                value.set_len(word.len() as u32);
                value.data = word.as_ptr().cast_mut();
                return NGX_OK as ngx_int_t;
            }
            (EVENTS, Some(context)) => context.kept + context.rejected,
            (REJECTED, Some(context)) => context.rejected,
            (_, _) => {
                value.set_not_found(1);
                return NGX_OK as ngx_int_t;
            }
        };
        // SAFETY: the pool of a live request.
        let place: *mut u8 = unsafe { ngx_pnalloc((*r).pool, DIGITS) }.cast();
        if place.is_null() {
            return NGX_ERROR as ngx_int_t;
        }
        // SAFETY: just allocated with this size.
        let mut text = Text { bytes: unsafe { &mut *place.cast::<[u8; DIGITS]>() }, used: 0 };
        let _ = write!(text, "{number}");
        value.set_len(text.used as u32);
        value.data = place;
        NGX_OK as ngx_int_t
    })
}

/// Formats into memory of nginx.
struct Text<'a> {
    bytes: &'a mut [u8; DIGITS],
    used: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.used + text.len();
        let place = self.bytes.get_mut(self.used..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}
