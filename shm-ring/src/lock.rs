//! The producers' lock: a robust process-shared pthread mutex in the mapped header.

use std::{cell::UnsafeCell, marker::PhantomData, mem::MaybeUninit};

unsafe extern "C" {
    /// glibc 2.30; the `libc` crate does not declare it.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        deadline: *const libc::timespec,
    ) -> libc::c_int;
}

/// Two cache lines of the header that hold the mutex.
#[repr(C, align(64))]
pub(crate) struct Lock {
    mutex: UnsafeCell<MaybeUninit<[u8; 128]>>,
}

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= 128);
const _: () = assert!(align_of::<libc::pthread_mutex_t>() <= 64);
const _: () = assert!(size_of::<Lock>() == 128);

// SAFETY: the bytes are reached only through pthread's functions, which are made for use by many threads and processes.
unsafe impl Sync for Lock {}

/// Why a lock was not got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoLock {
    /// Held by someone who lives.
    Held,
    /// The mutex is in no usable state.
    Broken,
}

/// A held lock. `recovered`: its last holder died with it.
pub(crate) struct Held<'l> {
    lock: &'l Lock,
    pub(crate) recovered: bool,
    /// Only the thread that locked may unlock, so this must not be sent to another.
    not_send: PhantomData<*const ()>,
}

impl Lock {
    fn raw(&self) -> *mut libc::pthread_mutex_t {
        self.mutex.get().cast()
    }

    /// Makes a new mutex of these bytes.
    ///
    /// # Safety
    /// Nobody else uses the lock yet: the file has no name so far.
    pub(crate) unsafe fn init(&self) -> Result<(), std::io::Error> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: a place of the right type; initialised here before any other use.
        check(unsafe { libc::pthread_mutexattr_init(attributes) })?;
        // SAFETY: initialised above.
        check(unsafe {
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
        })?;
        // SAFETY: initialised above.
        check(unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) })?;
        // SAFETY: `raw` is large and aligned enough (asserted above) and not in use, by our contract.
        let made = check(unsafe { libc::pthread_mutex_init(self.raw(), attributes) });
        // SAFETY: initialised above, not used after.
        unsafe { libc::pthread_mutexattr_destroy(attributes) };
        made
    }

    /// Takes the lock if it is free or its holder is dead.
    ///
    /// # Errors
    /// [`NoLock`].
    pub(crate) fn try_lock(&self) -> Result<Held<'_>, NoLock> {
        // SAFETY: the mutex was initialised before its file got a name (`prepare`).
        let result = unsafe { libc::pthread_mutex_trylock(self.raw()) };
        self.taken(result)
    }

    /// Waits at most `limit_ms` for the lock.
    ///
    /// # Errors
    /// [`NoLock`].
    pub(crate) fn lock(&self, limit_ms: u32) -> Result<Held<'_>, NoLock> {
        let mut deadline = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a valid place for the answer.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut deadline) };
        let nanos = deadline.tv_nsec + libc::c_long::from(limit_ms % 1000) * 1_000_000;
        deadline.tv_sec += libc::time_t::from(limit_ms / 1000) + nanos / 1_000_000_000;
        deadline.tv_nsec = nanos % 1_000_000_000;
        // The monotonic clock: a stepped wall clock must not turn 20 ms into hours.
        // SAFETY: initialised as above; `deadline` outlives the call.
        let result = unsafe {
            pthread_mutex_clocklock(self.raw(), libc::CLOCK_MONOTONIC, &raw const deadline)
        };
        self.taken(result)
    }

    fn held(&self, recovered: bool) -> Held<'_> {
        Held { lock: self, recovered, not_send: PhantomData }
    }

    fn taken(&self, result: libc::c_int) -> Result<Held<'_>, NoLock> {
        match result {
            0 => Ok(self.held(false)),
            libc::EOWNERDEAD => {
                // `tail` moves last, so what the dead holder left is a whole ring: there is nothing to repair.
                // SAFETY: we hold the mutex, in the inconsistent state that this call is for.
                let result = unsafe { libc::pthread_mutex_consistent(self.raw()) };
                if result == 0 { Ok(self.held(true)) } else { Err(NoLock::Broken) }
            }
            libc::EBUSY | libc::ETIMEDOUT => Err(NoLock::Held),
            _ => Err(NoLock::Broken),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread holds the mutex: `Held` is made only by taking it, and is not `Send`.
        unsafe { libc::pthread_mutex_unlock(self.lock.raw()) };
    }
}

fn check(result: libc::c_int) -> Result<(), std::io::Error> {
    if result == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(result)) }
}
