//! Directives: what stands in `nginx.conf`, checked while nginx reads it, so that `nginx -t` tells and a reload with an error
//! changes nothing. Nothing is created or opened for writing here.

use core::ffi::{c_char, c_void};
use core::ptr::{addr_of, null_mut};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{Config, KeyRing, Project, Projects, VerdictMode};
use ngx::core::NGX_CONF_ERROR;
use ngx::ffi::{
    NGX_CONF_UNSET, NGX_ERROR, NGX_LOG_EMERG, NGX_OK, ngx_command_t, ngx_conf_enum_t,
    ngx_conf_full_name, ngx_conf_set_flag_slot, ngx_conf_t, ngx_flag_t, ngx_http_handler_pt,
    ngx_int_t, ngx_module_t, ngx_msec_t, ngx_parse_offset, ngx_str_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, NgxHttpCoreModule};
use ngx::{ngx_conf_log_error, ngx_string};

use crate::{Tusk, body, metrics, vars};

/// nginx's word for success in a directive's handler.
pub(crate) const CONF_OK: *mut c_char = null_mut();
pub(crate) const CONF_ERROR: *mut c_char = NGX_CONF_ERROR as *mut c_char;
pub(crate) const UNSET: isize = NGX_CONF_UNSET as isize;
pub(crate) const UNSET_SIZE: usize = usize::MAX;

/// Smallest ring in bytes: some seconds of heavy traffic, and a record may take an eighth of it.
const RING_BYTES_MIN: u64 = 64 << 20;
const RING_BYTES_DEFAULT: u64 = 256 << 20;
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
    pub(crate) place: String,
    pub(crate) project: Option<Project>,
    pub(crate) tokens: Option<Arc<Projects>>,
    pub(crate) keys: Option<Arc<KeyRing>>,
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
pub(crate) const VERDICT_MODES: [VerdictMode; 3] =
    [VerdictMode::Off, VerdictMode::Asked, VerdictMode::Always];

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
