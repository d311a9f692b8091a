//! The part of libchdb's C interface that is used here, loaded at run time and never unloaded.
//!
//! The contract, from the library's header (26.7.3): handles are opaque; strings of the `_n` functions are pointer and length and need
//! no NUL; calls may come from any thread, one at a time per connection; a result lives until it is destroyed, whatever becomes of its
//! connection; `chdb_stream_append` copies.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::OnceLock;

use libloading::Library;

use crate::error::Exception;
pub use crate::values::{Class, Parameters, Stats};
use crate::values::{Sizes, Texts};

type Raw = *mut c_void;
/// Connection, SQL, format, parameters: what all three kinds of statement begin with.
type Begin = unsafe extern "C" fn(
    Raw,
    *const u8,
    usize,
    *const u8,
    usize,
    Texts,
    Sizes,
    Texts,
    Sizes,
    usize,
) -> Raw;

/// What is wrong with a library.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be loaded, or lacks a function.
    #[error("{0}")]
    Library(#[from] libloading::Error),
    /// Another one is loaded.
    #[error("a library is loaded already")]
    Twice,
}

macro_rules! functions {
    ($($name:ident: $type:ty;)*) => {
        #[derive(Debug)]
        struct Functions { $($name: $type,)* }

        impl Functions {
            /// # Safety
            /// `library` is a libchdb whose functions have these types.
            unsafe fn of(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self { $(
                    // SAFETY: by the contract of `of`.
                    $name: unsafe { *library.get(concat!(stringify!($name), "\0").as_bytes())? },
                )* })
            }
        }
    };
}

functions! {
    chdb_version: unsafe extern "C" fn() -> *const c_char;
    chdb_set_signal_handlers_enabled: unsafe extern "C" fn(c_int);
    chdb_connect: unsafe extern "C" fn(c_int, *const *const c_char) -> *mut Raw;
    chdb_close_conn: unsafe extern "C" fn(*mut Raw);
    chdb_shutdown: unsafe extern "C" fn() -> c_int;
    chdb_query_with_params_n: Begin;
    chdb_stream_query_with_params_n: Begin;
    chdb_stream_fetch_result: unsafe extern "C" fn(Raw, Raw) -> Raw;
    chdb_stream_cancel_query: unsafe extern "C" fn(Raw, Raw);
    chdb_destroy_query_result: unsafe extern "C" fn(Raw);
    chdb_result_buffer: unsafe extern "C" fn(Raw) -> *const u8;
    chdb_result_length: unsafe extern "C" fn(Raw) -> usize;
    chdb_result_error: unsafe extern "C" fn(Raw) -> *const c_char;
    chdb_result_storage_rows_read: unsafe extern "C" fn(Raw) -> u64;
    chdb_result_storage_bytes_read: unsafe extern "C" fn(Raw) -> u64;
    chdb_result_rows_written: unsafe extern "C" fn(Raw) -> u64;
    chdb_result_bytes_written: unsafe extern "C" fn(Raw) -> u64;
    chdb_stream_insert_with_params_n: Begin;
    chdb_stream_append: unsafe extern "C" fn(Raw, *const u8, usize) -> c_int;
    chdb_stream_done: unsafe extern "C" fn(Raw) -> Raw;
    chdb_stream_cancel_insert: unsafe extern "C" fn(Raw);
    chdb_stream_insert_error: unsafe extern "C" fn(Raw) -> *const c_char;
    chdb_destroy_insert_stream: unsafe extern "C" fn(Raw);
    chdb_classify_query_n:
        unsafe extern "C" fn(Raw, *const u8, usize, *const u8, usize, *mut Analysis) -> c_int;
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// The loaded library. Whoever holds one may call it.
#[derive(Clone, Copy, Debug)]
pub struct Chdb(&'static Functions);

impl Chdb {
    /// Loads the library for the life of the process: it has threads and an allocator of its own, so it cannot be unloaded. The
    /// handlers it would put on SIGSEGV, SIGABRT and others are switched off here, before there is a connection: with them a crash of
    /// the engine hangs the process instead of ending it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: running the library's initialisers is what is wanted; the caller has started no other thread.
        let library = unsafe { Library::new(path) }?;
        // SAFETY: the types above are those of the library's header; a library without these names is refused.
        let functions = unsafe { Functions::of(&library) }?;
        std::mem::forget(library);
        FUNCTIONS.set(functions).map_err(|_| LoadError::Twice)?;
        let chdb = Self(FUNCTIONS.get().ok_or(LoadError::Twice)?);
        // SAFETY: takes a plain number; no connection exists.
        unsafe { (chdb.0.chdb_set_signal_handlers_enabled)(0) };
        Ok(chdb)
    }

    /// Version of the library, such as `26.7.3`.
    #[must_use]
    pub fn version(self) -> String {
        // SAFETY: no arguments; the answer is a constant of the library or null.
        text(unsafe { (self.0.chdb_version)() }).unwrap_or_default()
    }

    /// Opens a session: settings and current database of its own, one statement at a time. The first one starts the engine, and
    /// `--path=` and `--config-file=` count only there; a further one takes about 0.2 ms.
    ///
    /// # Errors
    /// The engine did not start; it says why on stderr only.
    pub fn connect(self, arguments: &[String]) -> Result<Connection, Exception> {
        let words = ["clickhouse"].into_iter().chain(arguments.iter().map(String::as_str));
        let words: Vec<CString> =
            words.map(CString::new).collect::<Result<_, _>>().map_err(|_| {
                Exception::new(36, "BAD_ARGUMENTS", "an argument of the engine contains a NUL byte")
            })?;
        let pointers: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
        // SAFETY: `count` NUL-terminated strings that outlive the call, which copies them.
        let handle = unsafe { (self.0.chdb_connect)(count, pointers.as_ptr()) };
        let handle = NonNull::new(handle)
            // SAFETY: not null, so it points to a connection, which is null if it failed.
            .filter(|handle| unsafe { !(*handle.as_ptr()).is_null() });
        match handle {
            Some(handle) => Ok(Connection { chdb: self, handle }),
            None => {
                Err(Exception::unknown("the engine did not start; its reason stands on stderr"))
            }
        }
    }

    /// Ends the engine after the last connection is closed; false if it kept threads. There is no way back.
    #[must_use]
    pub fn shutdown(self) -> bool {
        // SAFETY: no arguments; the engine itself checks that no connection is left.
        unsafe { (self.0.chdb_shutdown)() == 0 }
    }

    fn answer(self, raw: Raw) -> Result<Answer, Exception> {
        let Some(raw) = NonNull::new(raw) else {
            return Err(Exception::unknown("the engine gave no answer"));
        };
        let answer = Answer { chdb: self, raw };
        // SAFETY: a living result; the text lives as long as it does.
        match text(unsafe { (self.0.chdb_result_error)(raw.as_ptr()) }) {
            Some(error) => Err(Exception::parse(&error)),
            None => Ok(answer),
        }
    }
}

/// A C string of the library, copied; `None` if null.
fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: the library's texts are NUL-terminated and alive during the call that got them.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// What the parser says about a query.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Analysis {
    size: u32,
    /// Number of statements.
    pub statements: u32,
    /// Unused here.
    pub flags: u32,
    /// See [`Class`].
    class: u32,
}

impl Analysis {
    /// What it does.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.class {
            0 => Class::Reads,
            1 => Class::Writes,
            2 => Class::Global,
            3 => Class::Control,
            _ => Class::Unknown,
        }
    }
}

/// A session. Not `Sync`, and statements borrow it: one at a time.
#[derive(Debug)]
pub struct Connection {
    chdb: Chdb,
    handle: NonNull<Raw>,
}

// SAFETY: the library allows calls from any thread, one at a time per connection, which `&mut` enforces.
unsafe impl Send for Connection {}

impl Connection {
    fn raw(&self) -> Raw {
        // SAFETY: the handle points to the connection until `drop`.
        unsafe { *self.handle.as_ptr() }
    }

    /// Calls one of the three functions that begin a statement.
    fn begin(&self, function: Begin, sql: &[u8], format: &str, parameters: &Parameters) -> Raw {
        parameters.with(|names, name_sizes, values, value_sizes, count| {
            // SAFETY: a living connection that no other statement uses; every pointer is good for its length during the call.
            unsafe {
                function(
                    self.raw(),
                    sql.as_ptr(),
                    sql.len(),
                    format.as_ptr(),
                    format.len(),
                    names,
                    name_sizes,
                    values,
                    value_sizes,
                    count,
                )
            }
        })
    }

    /// Runs a statement; the whole answer is in the engine's memory.
    ///
    /// # Errors
    /// The engine's.
    pub fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<Answer, Exception> {
        let raw = self.begin(self.chdb.0.chdb_query_with_params_n, sql, format, parameters);
        self.chdb.answer(raw)
    }

    /// Runs a statement without parameters whose answer is small.
    ///
    /// # Errors
    /// The engine's.
    pub fn run(&mut self, sql: &str) -> Result<Answer, Exception> {
        self.query(sql.as_bytes(), "TabSeparated", &Parameters::default())
    }

    /// Runs a SELECT whose answer comes in chunks; the engine refuses everything else here.
    ///
    /// # Errors
    /// The engine's.
    pub fn stream(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<Stream<'_>, Exception> {
        let raw = self.begin(self.chdb.0.chdb_stream_query_with_params_n, sql, format, parameters);
        let answer = self.chdb.answer(raw)?;
        Ok(Stream { connection: self, answer })
    }

    /// Begins an insert; `head` is the statement without `FORMAT` and data.
    ///
    /// # Errors
    /// The engine's.
    pub fn insert(
        &mut self,
        head: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<Insert<'_>, Exception> {
        let raw =
            self.begin(self.chdb.0.chdb_stream_insert_with_params_n, head, format, parameters);
        let Some(raw) = NonNull::new(raw) else {
            return Err(Exception::unknown("the engine began no insert"));
        };
        let insert = Insert { connection: self, raw };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }

    /// What the parser says about `sql`, which is not run.
    pub fn classify(&mut self, sql: &[u8]) -> Analysis {
        let mut found = Analysis {
            #[expect(clippy::cast_possible_truncation, reason = "16")]
            size: size_of::<Analysis>() as u32,
            statements: 0,
            flags: 0,
            class: u32::MAX,
        };
        // SAFETY: a living connection; `found` is as large as its first member says; no database is named.
        unsafe {
            let classify = self.chdb.0.chdb_classify_query_n;
            classify(self.raw(), sql.as_ptr(), sql.len(), std::ptr::null(), 0, &raw mut found);
        }
        found
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: a living connection that no statement borrows any more.
        unsafe { (self.chdb.0.chdb_close_conn)(self.handle.as_ptr()) }
    }
}

/// An answer; it stays in the engine's memory until dropped.
#[derive(Debug)]
pub struct Answer {
    chdb: Chdb,
    raw: NonNull<c_void>,
}

// SAFETY: a result belongs to whoever holds it and is only read, by functions without state.
unsafe impl Send for Answer {}

impl Answer {
    /// What the statement read and wrote.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (functions, raw) = (self.chdb.0, self.raw.as_ptr());
        // SAFETY: a living result.
        unsafe {
            Stats {
                read_rows: (functions.chdb_result_storage_rows_read)(raw),
                read_bytes: (functions.chdb_result_storage_bytes_read)(raw),
                written_rows: (functions.chdb_result_rows_written)(raw),
                written_bytes: (functions.chdb_result_bytes_written)(raw),
            }
        }
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: a living result.
        let (start, length) = unsafe {
            let raw = self.raw.as_ptr();
            ((self.chdb.0.chdb_result_buffer)(raw), (self.chdb.0.chdb_result_length)(raw))
        };
        if start.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: the buffer is that long and unchanged as long as the result lives.
        unsafe { std::slice::from_raw_parts(start, length) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: a living result that nobody borrows any more.
        unsafe { (self.chdb.0.chdb_destroy_query_result)(self.raw.as_ptr()) }
    }
}

/// A SELECT under way.
#[derive(Debug)]
pub struct Stream<'c> {
    connection: &'c mut Connection,
    answer: Answer,
}

impl Stream<'_> {
    /// The next chunk, `None` at the end. Every chunk is a whole document of its format, with a head of its own.
    ///
    /// # Errors
    /// The engine's.
    pub fn chunk(&mut self) -> Result<Option<Answer>, Exception> {
        let chdb = self.connection.chdb;
        // SAFETY: a living connection and the stream that runs on it.
        let raw = unsafe {
            (chdb.0.chdb_stream_fetch_result)(self.connection.raw(), self.answer.raw.as_ptr())
        };
        let chunk = chdb.answer(raw)?;
        Ok((!chunk.as_ref().is_empty()).then_some(chunk))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let cancel = self.connection.chdb.0.chdb_stream_cancel_query;
        // SAFETY: a living connection and the stream that runs on it, or ran to its end.
        unsafe { cancel(self.connection.raw(), self.answer.raw.as_ptr()) }
    }
}

/// An insert under way. Dropped before [`Insert::commit`]: nothing of it stays.
#[derive(Debug)]
pub struct Insert<'c> {
    connection: &'c mut Connection,
    raw: NonNull<c_void>,
}

impl Insert<'_> {
    fn error(&self) -> Option<Exception> {
        // SAFETY: a living insert; the text lives as long as it does.
        text(unsafe { (self.connection.chdb.0.chdb_stream_insert_error)(self.raw.as_ptr()) })
            .map(|error| Exception::parse(&error))
    }

    fn failed(&self) -> Exception {
        self.error().unwrap_or_else(|| Exception::unknown("the insert failed without a reason"))
    }

    /// Gives more data; borders of calls need not be borders of rows. Blocks while the engine is behind.
    ///
    /// # Errors
    /// The engine's.
    pub fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: a living insert; the data is copied during the call.
        let result = unsafe {
            (self.connection.chdb.0.chdb_stream_append)(
                self.raw.as_ptr(),
                data.as_ptr(),
                data.len(),
            )
        };
        if result == 0 { Ok(()) } else { Err(self.failed()) }
    }

    /// Ends the data and waits until the rows are stored.
    ///
    /// # Errors
    /// The engine's; nothing is stored then, or it is unknown.
    pub fn commit(self) -> Result<Stats, Exception> {
        // SAFETY: a living insert; afterwards only errors are asked of it and it is destroyed.
        let raw = unsafe { (self.connection.chdb.0.chdb_stream_done)(self.raw.as_ptr()) };
        if raw.is_null() {
            return Err(self.failed());
        }
        self.connection.chdb.answer(raw).map(|answer| answer.stats())
    }

    /// Gives it up; nothing is stored.
    pub fn cancel(self) {
        // SAFETY: a living insert.
        unsafe { (self.connection.chdb.0.chdb_stream_cancel_insert)(self.raw.as_ptr()) }
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: a living insert; the library gives it up first if it was not ended.
        unsafe { (self.connection.chdb.0.chdb_destroy_insert_stream)(self.raw.as_ptr()) }
    }
}
