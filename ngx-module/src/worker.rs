//! Life of a process: the master makes the ring, each worker attaches to it. What a worker owns lives here.

use std::cell::RefCell;

use event::Scratch;
use ngx::ffi::{
    NGX_LOG_ALERT, NGX_LOG_NOTICE, NGX_OK, NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_core_conf_t,
    ngx_core_module, ngx_current_msec, ngx_cycle, ngx_cycle_t, ngx_int_t, ngx_log_t, ngx_msec_t,
    ngx_process, ngx_test_config, ngx_uint_t,
};
use ngx::http::HttpModuleMainConf;
use ngx::ngx_log_error;
use shm_ring::{Options, Producer};

use crate::Tusk;
use crate::ack::{self, Waiters};
use crate::conf::{Ack, MainConf, Ring};
use crate::guard::{guard, log_panics};

/// Memory a worker keeps for bodies from one request to the next, in bytes.
const KEEP_BYTES: usize = 1 << 20;
/// How often a worker without a ring tries to attach.
const ATTACH_EVERY_MS: ngx_msec_t = 1_000;

/// What one worker has.
pub(crate) struct Worker {
    ring: Ring,
    /// Access to the ring; `None` while it cannot be had: every request gets 503.
    pub(crate) producer: Option<Producer>,
    /// Memory of `event::accept`.
    pub(crate) scratch: Scratch,
    /// Bodies that are not in one piece.
    pub(crate) body: Vec<u8>,
    /// Requests that wait for the journal.
    pub(crate) waiters: Waiters,
    /// Private-key operations of `scratch` that are in the ring's sum.
    key_ops: u64,
    /// When to try again to attach.
    attach_at_ms: ngx_msec_t,
    /// The ring is damaged: attach anew before the next request.
    detach: bool,
    /// Bugs that happened while there was no ring to count them in.
    panics: u64,
}

/// The worker's state. nginx's processes have one thread that runs modules; the cell catches a callback within a callback.
struct Slot(RefCell<Option<Worker>>);

// SAFETY: see above.
unsafe impl Sync for Slot {}

static WORKER: Slot = Slot(RefCell::new(None));

/// Lends the worker's state; `None` in processes that are no workers, without a ring in the configuration, or within itself.
pub(crate) fn with<T>(work: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    let mut slot = WORKER.0.try_borrow_mut().ok()?;
    let worker = slot.as_mut()?;
    worker.refresh();
    Some(work(worker))
}

/// Takes back what a panic left half done, and counts it.
pub(crate) fn after_panic() {
    if let Ok(mut slot) = WORKER.0.try_borrow_mut()
        && let Some(worker) = slot.as_mut()
    {
        worker.scratch = Scratch::new();
        worker.key_ops = 0;
        worker.body = Vec::new();
        worker.panics += 1;
        worker.count_panics();
    }
}

impl Worker {
    fn new(conf: &MainConf, ring: &Ring, log: *mut ngx_log_t) -> Self {
        Self {
            ring: ring.clone(),
            producer: None,
            scratch: Scratch::new(),
            body: Vec::new(),
            key_ops: 0,
            waiters: Waiters::new(conf, log),
            attach_at_ms: now_ms(),
            detach: false,
            panics: 0,
        }
    }

    /// When a request may be answered 200.
    pub(crate) fn ack(&self) -> Ack {
        self.ring.ack
    }

    /// Brings the ring's sum of private-key operations up to date.
    pub(crate) fn count_key_ops(&mut self) {
        let now = self.scratch.key_ops();
        if let Some(producer) = self.producer.as_ref().filter(|_| now != self.key_ops) {
            producer.counters().key_ops.add(now - self.key_ops);
            self.key_ops = now;
        }
    }

    /// The ring is of no use any more; the next request finds another or none.
    pub(crate) fn detach_later(&mut self) {
        self.detach = true;
    }

    /// Brings the state in order between requests.
    fn refresh(&mut self) {
        if self.body.capacity() > KEEP_BYTES {
            self.body = Vec::new();
        }
        // Those that wait belong to the ring they are in.
        if self.detach && self.waiters.is_empty() {
            self.detach = false;
            self.producer = None;
            self.attach_at_ms = now_ms().wrapping_add(ATTACH_EVERY_MS);
        }
        if self.producer.is_none() && now_ms().wrapping_sub(self.attach_at_ms) as isize >= 0 {
            self.attach();
        }
    }

    fn attach(&mut self) {
        self.attach_at_ms = now_ms().wrapping_add(ATTACH_EVERY_MS);
        match Producer::attach(&self.ring.path) {
            Ok(mut producer) => {
                producer.set_journal_ack(self.ring.ack == Ack::Journal);
                self.producer = Some(producer);
                self.count_panics();
            }
            Err(error) => {
                ngx_log_error!(
                    NGX_LOG_ALERT,
                    cycle_log(),
                    "tusk: no ring, every request gets 503: {error}"
                );
            }
        }
    }

    fn count_panics(&mut self) {
        if let Some(producer) = &self.producer {
            producer.counters().panics.add(self.panics);
            self.panics = 0;
        }
    }
}

/// nginx's clock of the event loop, in ms; only differences mean something.
pub(crate) fn now_ms() -> ngx_msec_t {
    // SAFETY: a word that nginx's only thread writes.
    unsafe { ngx_current_msec }
}

fn cycle_log() -> *mut ngx_log_t {
    // SAFETY: a running process has a cycle with a log.
    unsafe { (*ngx_cycle).log }
}

/// Master, before it makes workers: at start, at each reload, in the new master of a binary upgrade. Never fails: an error
/// here would end a running nginx; without a ring the workers answer 503 and say why.
pub(crate) unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guard((), || {
        // SAFETY: nginx's contract is ours.
        let (cycle, testing) = unsafe { (&*cycle, ngx_test_config != 0) };
        let ring = Tusk::main_conf(cycle).and_then(|conf| conf.ring.as_ref());
        let Some(ring) = ring.filter(|_| !testing) else { return };
        let options = Options {
            path: ring.path.clone(),
            size_bytes: ring.size_bytes,
            owner: worker_user(cycle),
        };
        if let Err(error) = shm_ring::prepare(&options) {
            ngx_log_error!(NGX_LOG_ALERT, cycle.log, "tusk: {error}");
        }
    });
    NGX_OK as ngx_int_t
}

/// User and group of the workers, where the master may give files away.
fn worker_user(cycle: &ngx_cycle_t) -> Option<(u32, u32)> {
    // SAFETY: asks the system and nothing else.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    // SAFETY: the core module's configuration is in its slot.
    let core =
        unsafe { (*cycle.conf_ctx.add(ngx_core_module.index)).cast::<ngx_core_conf_t>().as_ref() }?;
    Some((core.user, core.group))
}

/// Worker: attaches to the ring.
pub(crate) unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guard((), || {
        // SAFETY: nginx's contract is ours.
        let (cycle, process) = unsafe { (&*cycle, ngx_process) };
        // The cache manager and loader come here too.
        if process != NGX_PROCESS_WORKER as ngx_uint_t
            && process != NGX_PROCESS_SINGLE as ngx_uint_t
        {
            return;
        }
        log_panics();
        let Some(conf) = Tusk::main_conf(cycle) else { return };
        let Some(ring) = &conf.ring else { return };
        let mut worker = Worker::new(conf, ring, cycle.log);
        worker.attach();
        if let Some(producer) = &worker.producer {
            ngx_log_error!(
                NGX_LOG_NOTICE,
                cycle.log,
                "tusk: ring {} generation {:016x}",
                ring.path.display(),
                producer.generation()
            );
        }
        *WORKER.0.borrow_mut() = Some(worker);
    });
    NGX_OK as ngx_int_t
}

/// Worker: answers those that still wait, leaves the ring.
pub(crate) unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    guard((), || {
        ack::finish_all();
        *WORKER.0.borrow_mut() = None;
    });
}
