//! nginx module: takes tracking requests, has every event checked by [`event::accept`], writes one record per request to the
//! ring and answers. Glue only: no policy and no parsing live here. Nothing in it waits on anything but nginx.
//!
//! The tables stand in the order nginx reads them: directives, context, module. Each directive is described in
//! `docs/directives.md`.

mod ack;
mod body;
mod conf;
mod guard;
mod handler;
mod merge;
mod metrics;
mod respond;
mod vars;
mod worker;

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::{addr_of, addr_of_mut, null_mut};

use ngx::ffi::{
    NGX_CONF_1MORE, NGX_CONF_FLAG, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_HTTP_LOC_CONF,
    NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_MODULE,
    NGX_HTTP_SRV_CONF, ngx_command_t, ngx_conf_set_enum_slot, ngx_conf_set_flag_slot,
    ngx_conf_set_msec_slot, ngx_conf_set_num_slot, ngx_conf_set_size_slot, ngx_http_module_t,
    ngx_module_t, ngx_str_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf};
use ngx::ngx_string;

use conf::{LocationConf, MainConf};

/// This module, for `ngx`'s typed access to configuration.
pub(crate) struct Tusk;

type Setter = unsafe extern "C" fn(
    *mut ngx::ffi::ngx_conf_t,
    *mut ngx_command_t,
    *mut c_void,
) -> *mut core::ffi::c_char;

/// A directive of the http block alone.
const fn http(
    name: ngx_str_t,
    arguments: u32,
    set: Setter,
    offset: usize,
    post: *mut c_void,
) -> ngx_command_t {
    ngx_command_t {
        name,
        type_: (NGX_HTTP_MAIN_CONF | arguments) as ngx_uint_t,
        set: Some(set),
        conf: NGX_HTTP_MAIN_CONF_OFFSET,
        offset,
        post,
    }
}

/// A directive of http, server and location, inherited inwards.
const fn anywhere(
    name: ngx_str_t,
    arguments: u32,
    set: Setter,
    offset: usize,
    post: *mut c_void,
) -> ngx_command_t {
    ngx_command_t {
        name,
        type_: (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | arguments)
            as ngx_uint_t,
        set: Some(set),
        conf: NGX_HTTP_LOC_CONF_OFFSET,
        offset,
        post,
    }
}

/// A directive that makes its location answer something of ours.
const fn page(name: ngx_str_t, set: Setter) -> ngx_command_t {
    ngx_command_t {
        name,
        type_: (NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS) as ngx_uint_t,
        set: Some(set),
        conf: NGX_HTTP_LOC_CONF_OFFSET,
        offset: 0,
        post: null_mut(),
    }
}

/// Shorthand: offset of a field of [`LocationConf`].
macro_rules! at {
    ($field:ident) => {
        offset_of!(LocationConf, $field)
    };
}

static mut COMMANDS: [ngx_command_t; 18] = [
    http(ngx_string!("tusk_ring"), NGX_CONF_1MORE, conf::set_ring, 0, null_mut()),
    http(
        ngx_string!("tusk_ack_timeout"),
        NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot,
        offset_of!(MainConf, ack_timeout_ms),
        null_mut(),
    ),
    http(
        ngx_string!("tusk_ack_waiters"),
        NGX_CONF_TAKE1,
        ngx_conf_set_num_slot,
        offset_of!(MainConf, ack_waiters),
        null_mut(),
    ),
    anywhere(ngx_string!("tusk"), NGX_CONF_FLAG, conf::set_on, at!(on), null_mut()),
    anywhere(ngx_string!("tusk_project"), NGX_CONF_TAKE1, conf::set_project, 0, null_mut()),
    anywhere(ngx_string!("tusk_tokens"), NGX_CONF_TAKE1, conf::set_tokens, 0, null_mut()),
    anywhere(ngx_string!("tusk_keys"), NGX_CONF_TAKE1, conf::set_keys, 0, null_mut()),
    anywhere(
        ngx_string!("tusk_max_body"),
        NGX_CONF_TAKE1,
        ngx_conf_set_size_slot,
        at!(body_bytes_max),
        null_mut(),
    ),
    anywhere(
        ngx_string!("tusk_max_inflated"),
        NGX_CONF_TAKE1,
        ngx_conf_set_size_slot,
        at!(inflated_bytes_max),
        null_mut(),
    ),
    anywhere(
        ngx_string!("tusk_max_events"),
        NGX_CONF_TAKE1,
        ngx_conf_set_num_slot,
        at!(events_max),
        null_mut(),
    ),
    anywhere(
        ngx_string!("tusk_max_record"),
        NGX_CONF_TAKE1,
        ngx_conf_set_size_slot,
        at!(record_bytes_max),
        null_mut(),
    ),
    anywhere(
        ngx_string!("tusk_rejected_rate"),
        NGX_CONF_TAKE1,
        ngx_conf_set_size_slot,
        at!(rejected_bytes_per_s),
        null_mut(),
    ),
    anywhere(
        ngx_string!("tusk_key_rate"),
        NGX_CONF_TAKE1,
        ngx_conf_set_num_slot,
        at!(key_ops_per_s),
        null_mut(),
    ),
    anywhere(
        ngx_string!("tusk_verdict"),
        NGX_CONF_TAKE1,
        ngx_conf_set_enum_slot,
        at!(verdict),
        conf::verdicts(),
    ),
    anywhere(
        ngx_string!("tusk_debug"),
        NGX_CONF_FLAG,
        ngx_conf_set_flag_slot,
        at!(debug),
        null_mut(),
    ),
    page(ngx_string!("tusk_metrics"), conf::set_metrics),
    page(ngx_string!("tusk_health"), conf::set_health),
    ngx_command_t::empty(),
];

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(Tusk::preconfiguration),
    postconfiguration: Some(Tusk::postconfiguration),
    create_main_conf: Some(Tusk::create_main_conf),
    init_main_conf: Some(Tusk::init_main_conf),
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(Tusk::create_loc_conf),
    merge_loc_conf: Some(merge::merge_loc_conf),
};

/// What nginx looks for in the file.
mod exported {
    use super::ngx_http_tusk_module;
    ngx::ngx_modules!(ngx_http_tusk_module);
}

/// The module as nginx finds it.
#[used]
#[allow(non_upper_case_globals, reason = "nginx's name for it")]
pub static mut ngx_http_tusk_module: ngx_module_t = ngx_module_t {
    ctx: addr_of!(CONTEXT) as *mut c_void,
    commands: addr_of_mut!(COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_module: Some(worker::init_module),
    init_process: Some(worker::init_process),
    exit_process: Some(worker::exit_process),
    ..ngx_module_t::default()
};

// SAFETY: `create_main_conf` of the trait makes exactly this type in our slot.
unsafe impl HttpModuleMainConf for Tusk {
    type MainConf = MainConf;
}

// SAFETY: `create_loc_conf` of the trait makes exactly this type in our slot.
unsafe impl HttpModuleLocationConf for Tusk {
    type LocationConf = LocationConf;
}
