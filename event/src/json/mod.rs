//! JSON in one pass, made for tracking events: checks the whole grammar and hands out where things are; builds nothing.
//!
//! Only the search for the end of a string is accelerated: a 64-byte block gives a mask of the bytes that matter, kept
//! from call to call, so that a short string costs one shift. Recursion follows the code, never the text: nested values
//! nobody asks for are skipped with a stack of bits. Every position is below 4 GiB; longer texts are refused by the caller.
//!
//! It accepts what serde_json accepts and three things more, each reported so that one event is rejected and not the
//! whole text: nesting beyond any depth, numbers beyond a double, lone surrogate escapes.

mod mask;
mod memo;
mod number;
mod repair;
mod scalar;
mod text;

pub(crate) use memo::Memo;
pub(crate) use number::{exceeds, to_i64};
pub(crate) use repair::Repair;
pub(crate) use text::{chars, unescape};

use crate::Code;

/// The text is not JSON; [`Scanner::fault`] says why and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Result of a step: usually the position behind what was read.
pub(crate) type Step<T = usize> = Result<T, Broken>;

/// What a value is. Numbers by their text: `-0` and integers of any length are `Int`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not there.
    #[default]
    Missing,
    /// Text as it stands.
    Text,
    /// Text with escapes in it.
    Escaped,
    /// Digits with or without a sign.
    Int,
    /// With a point.
    Float,
    /// With an exponent.
    Exponent,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Kind {
    /// Whether it is a number.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Exponent)
    }

    /// Whether it is text.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Escaped)
    }
}

/// Where a value is; for text without the quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    /// First byte.
    pub(crate) at: u32,
    /// Behind its last byte.
    pub(crate) end: u32,
    /// What it is.
    pub(crate) kind: Kind,
}

impl Value {
    /// Its bytes; empty if it is missing.
    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.at as usize..self.end as usize).unwrap_or_default()
    }
}

/// A member's name, without the quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    /// First byte.
    pub(crate) at: usize,
    /// Behind its last byte.
    pub(crate) end: usize,
    /// It has escapes.
    pub(crate) escaped: bool,
}

/// What a [`Scanner`] keeps from text to text.
#[derive(Debug, Default)]
pub(crate) struct ScanMemory {
    /// One bit per open container while skipping: set for an object.
    open: Vec<u64>,
    /// Where lone surrogate escapes stand, in order.
    pub(crate) lone: Vec<u32>,
}

impl ScanMemory {
    /// Gives memory above `keep_bytes` back.
    pub(crate) fn shrink(&mut self, keep_bytes: usize) {
        self.lone.clear();
        self.lone.shrink_to(keep_bytes / 4);
        self.open.clear();
        self.open.shrink_to(keep_bytes / 8);
    }
}

/// Reads one text.
pub(crate) struct Scanner<'t> {
    text: &'t [u8],
    block: usize,
    mask: u64,
    /// Deepest nesting that is not remarked upon.
    depth_max: u32,
    memory: &'t mut ScanMemory,
    /// First place nested too deeply since it was last cleared.
    pub(crate) too_deep: Option<u32>,
    /// First number no double can hold since it was last cleared.
    pub(crate) out_of_range: Option<u32>,
    at: usize,
}

/// A position as it is stored.
#[expect(
    clippy::cast_possible_truncation,
    reason = "texts above 4 GiB are refused before they are scanned"
)]
pub(crate) const fn pos(at: usize) -> u32 {
    at as u32
}

impl<'t> Scanner<'t> {
    /// Longest text in bytes: positions are u32.
    pub(crate) const TEXT_BYTES: usize = u32::MAX as usize - 64;

    /// Starts on `text`, which must be UTF-8 (not checked here: a scan of other bytes is harmless but means nothing)
    /// and at most [`Self::TEXT_BYTES`] long.
    pub(crate) fn new(text: &'t [u8], depth_max: u32, memory: &'t mut ScanMemory) -> Self {
        memory.lone.clear();
        let mask = mask::special(text, 0);
        Self { text, block: 0, mask, depth_max, memory, too_deep: None, out_of_range: None, at: 0 }
    }

    /// The text.
    pub(crate) fn text(&self) -> &'t [u8] {
        self.text
    }

    /// Where lone surrogate escapes stand so far.
    pub(crate) fn lone(&mut self) -> &mut Vec<u32> {
        &mut self.memory.lone
    }

    /// Why a step was [`Broken`], and at which byte.
    pub(crate) fn fault(&self) -> (Code, u32) {
        let code = if self.at >= self.text.len() { Code::J008 } else { Code::J001 };
        (code, pos(self.at.min(self.text.len())))
    }

    /// The byte at `p`; behind the end 0, which no grammar rule accepts.
    #[inline(always)]
    pub(crate) fn byte(&self, p: usize) -> u8 {
        match self.text.get(p) {
            Some(byte) => *byte,
            None => 0,
        }
    }

    #[cold]
    fn broken<T>(&mut self, at: usize) -> Step<T> {
        self.at = at;
        Err(Broken)
    }

    /// Skips blanks.
    #[inline(always)]
    pub(crate) fn blanks(&self, p: usize) -> usize {
        if self.byte(p) > b' ' { p } else { self.blanks_slow(p) }
    }

    #[cold]
    #[inline(never)]
    fn blanks_slow(&self, mut p: usize) -> usize {
        while matches!(self.byte(p), b' ' | b'\n' | b'\r' | b'\t') {
            p += 1;
        }
        p
    }

    /// First special byte at or behind `from`; the text's end if there is none.
    #[inline(always)]
    fn special(&mut self, from: usize) -> usize {
        if from.wrapping_sub(self.block) >= mask::BLOCK {
            self.block = from & !(mask::BLOCK - 1);
            self.mask = mask::special(self.text, self.block);
        }
        let mut mask = self.mask & (u64::MAX << (from & (mask::BLOCK - 1)));
        while mask == 0 {
            if self.text.len() - self.block.min(self.text.len()) <= mask::BLOCK {
                return self.text.len();
            }
            self.block += mask::BLOCK;
            self.mask = mask::special(self.text, self.block);
            mask = self.mask;
        }
        self.block + mask.trailing_zeros() as usize
    }

    /// Reads any value at `p`; a container there has `depth`.
    #[inline(always)]
    pub(crate) fn value(&mut self, p: usize, depth: u32) -> Step<(usize, Kind)> {
        match self.byte(p) {
            b'{' => Ok((self.skip(p, depth)?, Kind::Object)),
            b'[' => Ok((self.skip(p, depth)?, Kind::List)),
            _ => self.scalar(p),
        }
    }

    /// The value between `at` and `end` as it is handed out.
    #[inline(always)]
    pub(crate) fn seen(&self, at: usize, end: usize, kind: Kind) -> Value {
        let quote = usize::from(kind.is_text());
        Value { at: pos(at + quote), end: pos(end - quote), kind }
    }

    /// Skips the container at `p`, of any depth, checking all of it. Memory: one bit per open container.
    #[inline(never)]
    pub(crate) fn skip(&mut self, start: usize, depth: u32) -> Step {
        let mut object = self.byte(start) == b'{';
        let mut level = 0usize;
        let mut fresh = true; // just behind an opening bracket
        self.remark_depth(start, depth);
        let mut p = self.blanks(start + 1);
        loop {
            if !fresh || self.byte(p) != closing(object) {
                if object {
                    (_, p) = self.name(p)?;
                }
                if matches!(self.byte(p), b'{' | b'[') {
                    self.push(level, object);
                    level += 1;
                    self.remark_depth(p, depth.saturating_add(pos(level)));
                    object = self.byte(p) == b'{';
                    p = self.blanks(p + 1);
                    fresh = true;
                    continue;
                }
                (p, _) = self.scalar(p)?;
                p = self.blanks(p);
            }
            while self.byte(p) == closing(object) {
                p += 1;
                if level == 0 {
                    return Ok(p);
                }
                level -= 1;
                object = self.pop(level);
                p = self.blanks(p);
            }
            if self.byte(p) != b',' {
                return self.broken(p);
            }
            p = self.blanks(p + 1);
            fresh = false;
        }
    }

    fn push(&mut self, level: usize, object: bool) {
        let open = &mut self.memory.open;
        if level / 64 >= open.len() {
            open.push(0);
        }
        let bit = 1 << (level % 64);
        if let Some(word) = open.get_mut(level / 64) {
            *word = if object { *word | bit } else { *word & !bit };
        }
    }

    fn pop(&self, level: usize) -> bool {
        self.memory.open.get(level / 64).is_some_and(|word| word >> (level % 64) & 1 == 1)
    }

    #[inline(always)]
    fn remark_depth(&mut self, at: usize, depth: u32) {
        if depth > self.depth_max {
            self.too_deep.get_or_insert(pos(at));
        }
    }

    /// Reads a member's name at `p` and its colon; gives the name and where the value starts.
    #[inline(always)]
    fn name(&mut self, p: usize) -> Step<(Name, usize)> {
        if self.byte(p) != b'"' {
            return self.broken(p);
        }
        let (close, escaped) = self.string(p)?;
        let mut colon = close + 1;
        if self.byte(colon) != b':' {
            colon = self.blanks_slow(colon);
            if self.byte(colon) != b':' {
                return self.broken(colon);
            }
        }
        Ok((Name { at: p + 1, end: close, escaped }, self.blanks(colon + 1)))
    }

    /// Reads the object at `p`, which has `depth`; `member` gets the scanner, each name and where its value starts, and
    /// gives the position behind the value.
    #[inline(always)]
    pub(crate) fn object(
        &mut self,
        p: usize,
        depth: u32,
        mut member: impl FnMut(&mut Self, Name, usize) -> Step,
    ) -> Step {
        self.remark_depth(p, depth);
        let mut p = self.blanks(p + 1);
        if self.byte(p) == b'}' {
            return Ok(p + 1);
        }
        loop {
            let (name, value) = self.name(p)?;
            p = member(self, name, value)?;
            if self.byte(p) != b',' {
                p = self.blanks(p);
                match self.byte(p) {
                    b'}' => return Ok(p + 1),
                    b',' => {}
                    _ => return self.broken(p),
                }
            }
            p = self.blanks(p + 1);
        }
    }

    /// As [`Self::object`], with the names' usual order in `memo`. `tag` says of a name without escapes what is worth
    /// remembering, if anything; `member` gets it too.
    #[inline(always)]
    pub(crate) fn object_like<const N: usize>(
        &mut self,
        p: usize,
        depth: u32,
        memo: &mut Memo<N>,
        tag: impl Fn(&Self, Name) -> Option<u8>,
        mut member: impl FnMut(&mut Self, Name, Option<u8>, usize) -> Step,
    ) -> Step {
        self.remark_depth(p, depth);
        let mut p = self.blanks(p + 1);
        if self.byte(p) == b'}' {
            return Ok(p + 1);
        }
        let mut trail = memo::Trail::default();
        loop {
            let (name, known, value) = if let Some(hit) = memo.hit(self.text, p, &mut trail) {
                let end = p + 1 + hit.length;
                let name = Name { at: p + 1, end, escaped: false };
                (name, Some(hit.tag), self.blanks(end + 2))
            } else {
                let (name, value) = self.name(p)?;
                let known = if name.escaped { None } else { tag(self, name) };
                if let Some(tag) = known {
                    memo.learn(&self.text[name.at..name.end], tag, &mut trail);
                }
                (name, known, value)
            };
            p = member(self, name, known, value)?;
            if self.byte(p) != b',' {
                p = self.blanks(p);
                match self.byte(p) {
                    b'}' => return Ok(p + 1),
                    b',' => {}
                    _ => return self.broken(p),
                }
            }
            p = self.blanks(p + 1);
        }
    }

    /// Reads the list at `p`, which has `depth`; `item` gets the scanner and where each value starts, and gives the
    /// position behind it.
    #[inline(always)]
    pub(crate) fn list(
        &mut self,
        p: usize,
        depth: u32,
        mut item: impl FnMut(&mut Self, usize) -> Step,
    ) -> Step {
        self.remark_depth(p, depth);
        let mut p = self.blanks(p + 1);
        if self.byte(p) == b']' {
            return Ok(p + 1);
        }
        loop {
            p = item(self, p)?;
            p = self.blanks(p);
            match self.byte(p) {
                b',' => p = self.blanks(p + 1),
                b']' => return Ok(p + 1),
                _ => return self.broken(p),
            }
        }
    }

    /// Reads to the end of the text behind its last value.
    pub(crate) fn end(&mut self, p: usize) -> Step<()> {
        let p = self.blanks(p);
        if p == self.text.len() { Ok(()) } else { self.broken(p) }
    }

    /// A name's bytes, escapes as they stand.
    #[inline(always)]
    pub(crate) fn raw(&self, name: Name) -> &'t [u8] {
        &self.text[name.at..name.end]
    }

    /// Whether `name`, free of escapes, consists of the bytes a name may have and does not start with a digit.
    #[inline(always)]
    pub(crate) fn is_name(&self, name: Name) -> bool {
        is_name(self.text, name.at, name.end)
    }
}

/// Whether `text[at..end]` consists of the bytes a name may have and does not start with a digit.
#[inline(always)]
pub(crate) fn is_name(text: &[u8], at: usize, end: usize) -> bool {
    at < end && !text[at].is_ascii_digit() && mask::is_name(text, at, end)
}

#[inline(always)]
const fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}
