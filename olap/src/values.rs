//! What goes to the library and comes back beside SQL and data.

/// Pointers to texts, for C …
pub(crate) type Texts = *const *const u8;
/// … and their lengths.
pub(crate) type Sizes = *const usize;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Reads.
    Reads,
    /// Changes data or tables.
    Writes,
    /// Changes what lies outside of databases.
    Global,
    /// Controls the engine or reaches files: SET, USE, SYSTEM, KILL, BACKUP, INTO OUTFILE, INSERT INTO FUNCTION.
    Control,
    /// The parser does not understand it.
    Unknown,
}

/// Values for `{name:Type}` in SQL: the engine binds them, nothing is pasted into the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Adds one.
    pub fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    /// Runs `call` with the five arguments C wants, alive during the call.
    pub(crate) fn with<R>(&self, call: impl FnOnce(Texts, Sizes, Texts, Sizes, usize) -> R) -> R {
        let of = |pick: fn(&(String, String)) -> &String| -> (Vec<*const u8>, Vec<usize>) {
            self.0.iter().map(|pair| (pick(pair).as_ptr(), pick(pair).len())).unzip()
        };
        let (names, name_sizes) = of(|pair| &pair.0);
        let (values, value_sizes) = of(|pair| &pair.1);
        call(
            names.as_ptr(),
            name_sizes.as_ptr(),
            values.as_ptr(),
            value_sizes.as_ptr(),
            self.0.len(),
        )
    }
}

/// Rows and bytes a statement read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows read from tables.
    pub read_rows: u64,
    /// Bytes read from tables.
    pub read_bytes: u64,
    /// Rows written.
    pub written_rows: u64,
    /// Bytes written.
    pub written_bytes: u64,
}
