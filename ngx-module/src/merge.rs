//! Inner blocks take over what they leave open; where the module is on, everything is checked together.

use core::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

use event::{Config, Limits};
use ngx::ffi::{
    NGX_LOG_EMERG, NGX_LOG_WARN, ngx_array_t, ngx_conf_t, ngx_http_conf_ctx_t,
    ngx_http_core_loc_conf_t, ngx_http_script_if_code, ngx_http_script_if_code_t,
    ngx_http_script_return_code,
};
use ngx::http::{HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};
use ngx::ngx_log_error;

use crate::conf::{CONF_ERROR, CONF_OK, LocationConf, Ring, UNSET, UNSET_SIZE, VERDICT_MODES};
use crate::{Tusk, handler};

/// A record may take this part of the ring.
const RING_RECORDS_MIN: u64 = 8;
const RECORD_BYTES_DEFAULT_MAX: u64 = 16 << 20;
/// A record holds at least what is kept of a request that is too large (64 KiB) and what is known about it.
const RECORD_BYTES_MIN: usize = 128 << 10;

/// nginx merges an outer block into an inner one.
pub(crate) unsafe extern "C" fn merge_loc_conf(
    cf: *mut ngx_conf_t,
    previous: *mut c_void,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: what `create_loc_conf` made for the outer and the inner block.
    let (previous, conf) =
        unsafe { (&*previous.cast::<LocationConf>(), &mut *conf.cast::<LocationConf>()) };
    // SAFETY: while merging, `cf` stands in the inner block.
    match unsafe { merge(cf, previous, conf) } {
        Ok(()) => CONF_OK,
        Err(message) => {
            // SAFETY: nginx's log while it reads the configuration.
            let log = unsafe { (*cf).log };
            ngx_log_error!(NGX_LOG_EMERG, log, "{message}");
            CONF_ERROR
        }
    }
}

/// Takes over from the outer block what the inner one leaves open, and checks where the module is on.
///
/// # Safety
/// nginx is merging, and `cf`'s context is the inner block's.
unsafe fn merge(
    cf: *mut ngx_conf_t,
    previous: &LocationConf,
    conf: &mut LocationConf,
) -> Result<(), String> {
    fn take<T: PartialEq + Copy>(inner: &mut T, outer: T, unset: T) {
        if *inner == unset {
            *inner = outer;
        }
    }
    let said_here = conf.on == 1;
    take(&mut conf.on, previous.on, UNSET);
    take(&mut conf.body_bytes_max, previous.body_bytes_max, UNSET_SIZE);
    take(&mut conf.inflated_bytes_max, previous.inflated_bytes_max, UNSET_SIZE);
    take(&mut conf.events_max, previous.events_max, UNSET);
    take(&mut conf.record_bytes_max, previous.record_bytes_max, UNSET_SIZE);
    take(&mut conf.rejected_bytes_per_s, previous.rejected_bytes_per_s, UNSET_SIZE);
    take(&mut conf.key_ops_per_s, previous.key_ops_per_s, UNSET);
    take(&mut conf.verdict, previous.verdict, UNSET_SIZE);
    take(&mut conf.debug, previous.debug, UNSET);
    conf.project = conf.project.take().or_else(|| previous.project.clone());
    conf.tokens = conf.tokens.take().or_else(|| previous.tokens.clone());
    conf.keys = conf.keys.take().or_else(|| previous.keys.clone());
    if conf.place.is_empty() {
        conf.place.clone_from(&previous.place);
    }
    if conf.on != 1 {
        return Ok(());
    }
    // SAFETY: by this function's contract; the core module has a configuration in every block.
    let (main, core) = unsafe {
        (
            Tusk::main_conf(&*cf).ok_or("tusk: no http block")?,
            NgxHttpCoreModule::location_conf_mut(&*cf).ok_or("tusk: no location")?,
        )
    };
    let place = &conf.place;
    let Some(ring) = &main.ring else {
        return Err(format!(
            "\"tusk on\" in {place} needs a ring: add \"tusk_ring PATH size=256m;\" to the http block"
        ));
    };
    if said_here {
        // SAFETY: as above.
        unsafe { refuse_rivals(cf, core, place) }?;
    }
    if core.handler.is_none() {
        core.handler = Some(handler::content_handler);
    }
    let config = config(conf, ring)?;
    let limit = core.client_max_body_size;
    if said_here && limit != 0 && limit < config.limits.body_bytes_max as i64 {
        // SAFETY: nginx's log while it reads the configuration.
        let log = unsafe { (*cf).log };
        ngx_log_error!(
            NGX_LOG_WARN,
            log,
            "client_max_body_size is {limit} bytes at \"tusk on\" in {place}: nginx answers 413 to larger batches and \
             apps then delete them; set \"client_max_body_size 0;\", tusk_max_body is the limit that keeps what it cuts"
        );
    }
    conf.config = Some(Box::new(config));
    Ok(())
}

/// Two directives of one location that both answer the request: only one of them would ever run, so say so.
///
/// # Safety
/// As for [`merge`].
unsafe fn refuse_rivals(
    cf: *mut ngx_conf_t,
    core: &ngx_http_core_loc_conf_t,
    place: &str,
) -> Result<(), String> {
    if core.handler.is_some() {
        return Err(format!(
            "\"tusk on\" in {place} shares its location with a directive that answers the request itself \
             (proxy_pass, empty_gif, fastcgi_pass, stub_status, tusk_metrics …): keep one of the two, \
             or give the other a location of its own"
        ));
    }
    // SAFETY: by this function's contract.
    if unsafe { returns_always(cf) } {
        return Err(format!(
            "\"tusk on\" in {place} shares its block with \"return\", which would answer every request before it: \
             keep one of the two (\"return\" inside an \"if\" is fine)"
        ));
    }
    Ok(())
}

/// Whether the block has a `return` of the rewrite module outside of every `if`.
///
/// The module keeps its program as bytes: an array of pointer-sized words, where each instruction begins with the address of
/// its function and an `if` says how many bytes to jump.
///
/// # Safety
/// As for [`merge`].
unsafe fn returns_always(cf: *mut ngx_conf_t) -> bool {
    /// First member of the rewrite module's location configuration.
    #[repr(C)]
    struct Rewrite {
        codes: *const ngx_array_t,
    }
    // SAFETY: nginx's list of modules ends with null; the context has one slot per http module.
    let rewrite = unsafe {
        let mut module = (*(*cf).cycle).modules;
        loop {
            let Some(found) = (*module).as_ref() else { return false };
            let name = found.name;
            if !name.is_null() && CStr::from_ptr(name) == c"ngx_http_rewrite_module" {
                let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
                break (*(*context).loc_conf.add(found.ctx_index)).cast::<Rewrite>().as_ref();
            }
            module = module.add(1);
        }
    };
    // SAFETY: null or the array described above.
    let Some(codes) = rewrite.and_then(|rewrite| unsafe { rewrite.codes.as_ref() }) else {
        return false;
    };
    let word = size_of::<usize>();
    // SAFETY: the array's element is a byte, its memory is aligned for words, and it holds `nelts` bytes.
    let words =
        unsafe { core::slice::from_raw_parts(codes.elts.cast::<usize>(), codes.nelts / word) };
    let next = core::mem::offset_of!(ngx_http_script_if_code_t, next) / word;
    let mut at = 0;
    while let Some(&code) = words.get(at) {
        if code == ngx_http_script_return_code as *const () as usize {
            return true;
        }
        let jump = match words.get(at + next) {
            Some(&bytes) if code == ngx_http_script_if_code as *const () as usize => bytes / word,
            _ => 1,
        };
        at += jump.max(1);
    }
    false
}

/// The settings as `event` takes them.
fn config(conf: &LocationConf, ring: &Ring) -> Result<Config, String> {
    let place = &conf.place;
    let mut config = Config { seal: true, ..Config::default() };
    let limits = &mut config.limits;
    let record_max = ring.size_bytes / RING_RECORDS_MIN;
    limits.record_bytes_max = record_max.min(RECORD_BYTES_DEFAULT_MAX) as usize;
    if conf.body_bytes_max != UNSET_SIZE {
        limits.body_bytes_max = conf.body_bytes_max;
    }
    if conf.inflated_bytes_max != UNSET_SIZE {
        limits.inflated_bytes_max = conf.inflated_bytes_max;
    }
    if conf.record_bytes_max != UNSET_SIZE {
        limits.record_bytes_max = conf.record_bytes_max;
        let range = RECORD_BYTES_MIN as u64..=record_max;
        if !range.contains(&(conf.record_bytes_max as u64)) {
            return Err(format!(
                "\"tusk_max_record\" for {place} must be 128k to an eighth of the ring, here {record_max} bytes"
            ));
        }
    }
    if conf.events_max != UNSET {
        limits.events_max = u32::try_from(conf.events_max)
            .ok()
            .filter(|count| (1..=Limits::EVENTS).contains(count))
            .ok_or_else(|| {
                format!("\"tusk_max_events\" for {place} must be 1 to {}", Limits::EVENTS)
            })?;
    }
    if conf.rejected_bytes_per_s != UNSET_SIZE {
        config.rejected_bytes_per_s = u32::try_from(conf.rejected_bytes_per_s).unwrap_or(u32::MAX);
    }
    if conf.key_ops_per_s != UNSET {
        config.key_ops_per_s = u32::try_from(conf.key_ops_per_s).unwrap_or(u32::MAX);
    }
    if let Some(mode) = VERDICT_MODES.get(conf.verdict) {
        config.verdict = *mode;
    }
    if let Some(project) = &conf.project {
        config.project = project.clone();
    }
    if let Some(keys) = &conf.keys {
        config.keys = Arc::clone(keys);
    }
    config.projects.clone_from(&conf.tokens);
    config.debug = conf.debug == 1;
    Ok(config)
}
