//! Directives: what stands in `nginx.conf`, checked while nginx reads it, so that `nginx -t` tells and a reload with an error
//! changes nothing. Nothing is created or opened for writing here.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::{addr_of, null_mut};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{Config, KeyRing, Limits, Project, Projects, VerdictMode};
use ngx::core::NGX_CONF_ERROR;
use ngx::ffi::{
    NGX_CONF_UNSET, NGX_ERROR, NGX_LOG_EMERG, NGX_LOG_WARN, NGX_OK, ngx_array_t, ngx_command_t,
    ngx_conf_enum_t, ngx_conf_full_name, ngx_conf_set_flag_slot, ngx_conf_t, ngx_flag_t,
    ngx_http_conf_ctx_t, ngx_http_core_loc_conf_t, ngx_http_handler_pt, ngx_http_script_if_code,
    ngx_http_script_if_code_t, ngx_http_script_return_code, ngx_int_t, ngx_module_t, ngx_msec_t,
    ngx_parse_offset, ngx_str_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};
use ngx::{ngx_conf_log_error, ngx_log_error, ngx_string};

use crate::{Tusk, body, handler, metrics, vars};

/// nginx's word for success in a directive's handler.
const CONF_OK: *mut c_char = null_mut();
const CONF_ERROR: *mut c_char = NGX_CONF_ERROR as *mut c_char;
const UNSET: isize = NGX_CONF_UNSET as isize;
const UNSET_SIZE: usize = usize::MAX;

/// Smallest ring in bytes: some seconds of heavy traffic, and a record may take an eighth of it.
const RING_BYTES_MIN: u64 = 64 << 20;
const RING_BYTES_DEFAULT: u64 = 256 << 20;
/// A record may take this part of the ring.
const RING_RECORDS_MIN: u64 = 8;
const RECORD_BYTES_DEFAULT_MAX: u64 = 16 << 20;
/// A record holds at least what is kept of a request that is too large (64 KiB) and what is known about it.
const RECORD_BYTES_MIN: usize = 128 << 10;
const ACK_TIMEOUT_MS: ngx_msec_t = 2_000;
const ACK_WAITERS: isize = 1_024;

/// When a request is answered 200 (`ack=` of `tusk_ring`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// When the ring has it: it survives any process.
    Ring,
    /// When the shipper's journal has it on disk: it survives the machine.
    Journal,
}

/// `tusk_ring`.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) ack: Ack,
}

/// What is set once, in the http block.
#[derive(Debug)]
pub(crate) struct MainConf {
    pub(crate) ring: Option<Ring>,
    /// Longest wait for the journal.
    pub(crate) ack_timeout_ms: ngx_msec_t,
    /// Most requests of one worker that wait for the journal.
    pub(crate) ack_waiters: ngx_int_t,
}

impl Default for MainConf {
    fn default() -> Self {
        Self { ring: None, ack_timeout_ms: UNSET_SIZE, ack_waiters: UNSET }
    }
}

/// What is set per location, with nginx's markers for "not set".
#[derive(Debug)]
pub(crate) struct LocationConf {
    pub(crate) on: ngx_flag_t,
    /// File and line of `tusk on`, for messages.
    place: String,
    project: Option<Project>,
    tokens: Option<Arc<Projects>>,
    keys: Option<Arc<KeyRing>>,
    pub(crate) body_bytes_max: usize,
    pub(crate) inflated_bytes_max: usize,
    pub(crate) events_max: ngx_int_t,
    pub(crate) record_bytes_max: usize,
    pub(crate) rejected_bytes_per_s: usize,
    pub(crate) key_ops_per_s: ngx_int_t,
    pub(crate) verdict: ngx_uint_t,
    pub(crate) debug: ngx_flag_t,
    /// All of the above as `event` takes it; made where the module is on.
    pub(crate) config: Option<Box<Config>>,
}

impl Default for LocationConf {
    fn default() -> Self {
        Self {
            on: UNSET,
            place: String::new(),
            project: None,
            tokens: None,
            keys: None,
            body_bytes_max: UNSET_SIZE,
            inflated_bytes_max: UNSET_SIZE,
            events_max: UNSET,
            record_bytes_max: UNSET_SIZE,
            rejected_bytes_per_s: UNSET_SIZE,
            key_ops_per_s: UNSET,
            verdict: UNSET_SIZE,
            debug: UNSET,
            config: None,
        }
    }
}

/// Values of `tusk_verdict`, in the order of [`VERDICT_MODES`].
struct Verdicts([ngx_conf_enum_t; 4]);

// SAFETY: read only.
unsafe impl Sync for Verdicts {}

static VERDICTS: Verdicts = Verdicts([
    ngx_conf_enum_t { name: ngx_string!("off"), value: 0 },
    ngx_conf_enum_t { name: ngx_string!("asked"), value: 1 },
    ngx_conf_enum_t { name: ngx_string!("always"), value: 2 },
    ngx_conf_enum_t { name: ngx_str_t::empty(), value: 0 },
]);
const VERDICT_MODES: [VerdictMode; 3] = [VerdictMode::Off, VerdictMode::Asked, VerdictMode::Always];

/// The list for `ngx_conf_set_enum_slot`.
pub(crate) const fn verdicts() -> *mut c_void {
    addr_of!(VERDICTS.0).cast_mut().cast()
}

impl HttpModule for Tusk {
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx changes the module's table only before it calls into it.
        unsafe { &*addr_of!(crate::ngx_http_tusk_module) }
    }

    unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: nginx's contract is ours.
        if unsafe { vars::add(cf) } { NGX_OK as ngx_int_t } else { NGX_ERROR as ngx_int_t }
    }

    unsafe extern "C" fn postconfiguration(_: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: this is the phase.
        unsafe { body::install_filter() };
        NGX_OK as ngx_int_t
    }

    unsafe extern "C" fn init_main_conf(_: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
        // SAFETY: what `create_main_conf` made.
        let conf = unsafe { &mut *conf.cast::<MainConf>() };
        if conf.ack_timeout_ms == UNSET_SIZE {
            conf.ack_timeout_ms = ACK_TIMEOUT_MS;
        }
        if conf.ack_waiters == UNSET {
            conf.ack_waiters = ACK_WAITERS;
        }
        CONF_OK
    }
}

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

/// A directive's arguments, its name first.
///
/// # Safety
/// `cf` is nginx's, calling a directive's handler.
unsafe fn arguments<'a>(cf: *mut ngx_conf_t) -> Result<Vec<&'a str>, String> {
    // SAFETY: by this function's contract.
    let arguments = unsafe { (*(*cf).args).as_slice::<ngx_str_t>() };
    let text =
        |argument: &'a ngx_str_t| argument.to_str().map_err(|_| "is not UTF-8 text".to_owned());
    arguments.iter().map(text).collect()
}

/// Runs a directive's handler; its error is shown with file and line, after the directive's name.
///
/// # Safety
/// The pointers are nginx's, for a directive of `Conf`'s level.
unsafe fn directive<Conf>(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    set: impl FnOnce(&mut Conf, &[&str]) -> Result<(), String>,
) -> *mut c_char {
    // SAFETY: by this function's contract.
    let arguments = unsafe { arguments(cf) };
    let set = |arguments: Vec<&str>| {
        // SAFETY: by this function's contract.
        set(unsafe { &mut *conf.cast::<Conf>() }, &arguments)
            .map_err(|message| format!("\"{}\" {message}", arguments[0]))
    };
    match crate::guard::guard(Err("bug".to_owned()), || arguments.and_then(set)) {
        Ok(()) => CONF_OK,
        Err(message) => {
            ngx_conf_log_error!(NGX_LOG_EMERG, cf, "{message}");
            CONF_ERROR
        }
    }
}

/// `path` as nginx understands it: relative to the configuration file's folder or, with `to_prefix`, to nginx's prefix.
///
/// # Safety
/// `cf` is nginx's, calling a directive's handler.
unsafe fn full_path(cf: *mut ngx_conf_t, path: &str, to_prefix: bool) -> Result<PathBuf, String> {
    let mut name = ngx_str_t { len: path.len(), data: path.as_ptr().cast_mut() };
    // SAFETY: nginx copies where it changes; an absolute path is left alone, and none of ours needs its final zero.
    let rc =
        unsafe { ngx_conf_full_name((*cf).cycle, &raw mut name, ngx_uint_t::from(!to_prefix)) };
    if rc != NGX_OK as ngx_int_t {
        return Err("could not be resolved: out of memory".to_owned());
    }
    let text = name.to_str().map_err(|_| "is not UTF-8 text".to_owned())?;
    Ok(PathBuf::from(text))
}

/// `tusk_ring PATH [size=SIZE] [ack=ring|journal]`.
pub(crate) unsafe extern "C" fn set_ring(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx's contract is ours, in the whole function.
    unsafe {
        directive(cf, conf, |conf: &mut MainConf, arguments| {
            if conf.ring.is_some() {
                return Err("is duplicate: one ring serves all servers".to_owned());
            }
            let path = full_path(cf, arguments[1], true)?;
            let (mut size_bytes, mut ack) = (RING_BYTES_DEFAULT, Ack::Ring);
            for argument in &arguments[2..] {
                match argument.split_once('=') {
                    Some(("size", size)) => size_bytes = ring_bytes(size)?,
                    Some(("ack", "ring")) => ack = Ack::Ring,
                    Some(("ack", "journal")) => ack = Ack::Journal,
                    _ => {
                        return Err(format!(
                            "does not know \"{argument}\": allowed are size=SIZE, ack=ring, ack=journal"
                        ));
                    }
                }
            }
            if path.exists() && !path.is_dir() {
                return Err(format!("{} is a file: the ring needs a folder", path.display()));
            }
            if !path.parent().is_some_and(Path::is_dir) {
                return Err(format!(
                    "{}: the folder it is in does not exist; create it, writable by nginx's and the shipper's user",
                    path.display()
                ));
            }
            conf.ring = Some(Ring { path, size_bytes, ack });
            Ok(())
        })
    }
}

fn ring_bytes(size: &str) -> Result<u64, String> {
    let mut text = ngx_str_t { len: size.len(), data: size.as_ptr().cast_mut() };
    // SAFETY: nginx reads the text and nothing else.
    let bytes = unsafe { ngx_parse_offset(&raw mut text) };
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| (RING_BYTES_MIN..=shm_ring::SIZE_BYTES_MAX).contains(bytes))
        .ok_or_else(|| format!("size={size} must be 64m or more, such as size=256m"))
}

/// `tusk on|off`.
pub(crate) unsafe extern "C" fn set_on(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx's contract is ours, in the whole function.
    unsafe {
        let result = ngx_conf_set_flag_slot(cf, command, conf);
        if !result.is_null() {
            return result;
        }
        directive(cf, conf, |conf: &mut LocationConf, _| {
            let file = (*cf).conf_file;
            let name = (*file).file.name.to_str().unwrap_or("nginx.conf");
            conf.place = format!("{name}:{}", (*file).line);
            Ok(())
        })
    }
}

/// `tusk_project NAME | *`.
pub(crate) unsafe extern "C" fn set_project(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx's contract is ours.
    unsafe {
        directive(cf, conf, |conf: &mut LocationConf, arguments| {
            once(&conf.project)?;
            conf.project = Some(Project::parse(arguments[1]).map_err(|error| error.to_string())?);
            Ok(())
        })
    }
}

/// `tusk_tokens FILE`.
pub(crate) unsafe extern "C" fn set_tokens(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx's contract is ours.
    unsafe {
        directive(cf, conf, |conf: &mut LocationConf, arguments| {
            once(&conf.tokens)?;
            let path = full_path(cf, arguments[1], false)?;
            let text = secret(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let projects =
                Projects::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            conf.tokens = Some(Arc::new(projects));
            Ok(())
        })
    }
}

/// `tusk_keys FILE`.
pub(crate) unsafe extern "C" fn set_keys(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx's contract is ours.
    unsafe {
        directive(cf, conf, |conf: &mut LocationConf, arguments| {
            once(&conf.keys)?;
            let path = full_path(cf, arguments[1], false)?;
            let text = secret(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let folder = path.parent().unwrap_or(Path::new("/")).to_path_buf();
            let keys = KeyRing::parse(&text, &mut |file| secret(&folder.join(file)))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            conf.keys = Some(Arc::new(keys));
            Ok(())
        })
    }
}

fn once<T>(value: &Option<T>) -> Result<(), String> {
    if value.is_some() { Err("is duplicate".to_owned()) } else { Ok(()) }
}

/// Text of a file that holds secrets; refused if every user of the machine can read it.
fn secret(path: &Path) -> io::Result<String> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "holds secrets and other users may access it (mode {:o}): chmod o= it",
                mode & 0o777
            ),
        ));
    }
    std::fs::read_to_string(path)
}

/// `tusk_metrics`.
pub(crate) unsafe extern "C" fn set_metrics(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx's contract is ours.
    unsafe { set_handler(cf, conf, Some(metrics::metrics_handler)) }
}

/// `tusk_health`.
pub(crate) unsafe extern "C" fn set_health(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx's contract is ours.
    unsafe { set_handler(cf, conf, Some(metrics::health_handler)) }
}

/// # Safety
/// As for [`directive`].
unsafe fn set_handler(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    handler: ngx_http_handler_pt,
) -> *mut c_char {
    // SAFETY: by this function's contract; `cf` stands in the location's block.
    unsafe {
        directive(cf, conf, |_: &mut LocationConf, _| {
            let core = NgxHttpCoreModule::location_conf_mut(&*cf).ok_or("has no location")?;
            if core.handler.is_some() {
                return Err("shares its location with another directive that answers the request"
                    .to_owned());
            }
            core.handler = handler;
            Ok(())
        })
    }
}
