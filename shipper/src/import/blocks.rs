//! A file as blocks of whole lines: plain, gzip or zstd, also several packed one after the other.

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};

/// A block ends with the first line that reaches this size. The same lines always give the same blocks: the register counts on it.
const BLOCK_BYTES: usize = 4 << 20;
/// A longer line is no request: nginx and `tusk_max_body` stop at 8 MiB, twice that leaves room for escapes.
const LINE_BYTES_MAX: usize = 16 << 20;
/// What is kept of it, as the edge keeps of a body over its limit.
const CUT_BYTES: usize = 64 << 10;
/// Largest window of a zstd file, as a power of two: 128 MiB, what `zstd -d` takes without being asked.
const WINDOW_LOG_MAX: u32 = 27;

/// Unpacks `input` by its first bytes.
///
/// # Errors
/// The reader's.
pub fn unpack<'r>(input: impl Read + 'r) -> io::Result<Box<dyn BufRead + 'r>> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let mut head = [0; 4];
    let mut held = 0;
    // A pipe may give less at first.
    while held < head.len() {
        match input.read(&mut head[held..])? {
            0 => break,
            n => held += n,
        }
    }
    let start = io::Cursor::new(head[..held].to_vec());
    let input = start.chain(input);
    Ok(match head {
        [0x1f, 0x8b, ..] => {
            Box::new(BufReader::with_capacity(256 << 10, MultiGzDecoder::new(input)))
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(BufReader::with_capacity(256 << 10, decoder))
        }
        _ => Box::new(input),
    })
}

/// Cuts lines into blocks.
pub struct Blocks<R> {
    input: R,
    ended: bool,
    /// Lines that were too long and lost their end.
    pub cut_lines: u64,
}

impl<R> std::fmt::Debug for Blocks<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl<R: BufRead> Blocks<R> {
    /// Blocks of `input`.
    pub fn new(input: R) -> Self {
        Self { input, ended: false, cut_lines: 0 }
    }

    /// Puts the next block into `out`: whole lines with their line feeds; the very last line may lack it. Returns whether another
    /// one follows, or `None` after the last. A line over 16 MiB comes with its first 64 KiB and a zero byte behind them.
    ///
    /// # Errors
    /// The reader's: what came before it is in `out`, ends with a whole line, and is the last block.
    pub fn next(&mut self, out: &mut Vec<u8>) -> io::Result<Option<bool>> {
        out.clear();
        if self.ended {
            return Ok(None);
        }
        loop {
            let line = out.len();
            match self.line(out) {
                Ok(false) => {
                    self.ended = true;
                    return Ok(Some(false));
                }
                Ok(true) if out.len() >= BLOCK_BYTES => return Ok(Some(true)),
                Ok(true) => {}
                Err(error) => {
                    self.ended = true;
                    out.truncate(line);
                    return Err(error);
                }
            }
        }
    }

    /// One line; `false` at the end of the input.
    fn line(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let start = out.len();
        let mut cut = false;
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = memchr::memchr(b'\n', bytes);
            let take = end.map_or(bytes.len(), |at| at + 1);
            if !cut && out.len() - start + take > LINE_BYTES_MAX + 1 {
                out.extend_from_slice(bytes);
                out.truncate(start + CUT_BYTES);
                out.extend_from_slice(b"\0\n");
                out.shrink_to(2 * LINE_BYTES_MAX);
                self.cut_lines += 1;
                cut = true;
            } else if !cut {
                out.extend_from_slice(&bytes[..take]);
            }
            let ended = bytes.is_empty();
            self.input.consume(take);
            if end.is_some() || ended {
                return Ok(!ended);
            }
        }
    }
}

/// Lines of a block as (content without its line feed, content's end in the block).
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= block.len() {
            return None;
        }
        let end = memchr::memchr(b'\n', &block[at..]).map_or(block.len(), |found| at + found);
        let line = &block[at..end];
        at = end + 1;
        Some((line, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(input: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let mut blocks = Blocks::new(unpack(input).unwrap());
        let (mut out, mut found) = (Vec::new(), Vec::new());
        while let Some(more) = blocks.next(&mut out).unwrap() {
            found.push((out.clone(), more));
        }
        found
    }

    #[test]
    fn blocks_end_where_lines_end_whatever_the_packing() {
        let line = [vec![b'x'; 999], vec![b'\n']].concat();
        let text: Vec<u8> = line.iter().copied().cycle().take(9_000_500).collect();
        let plain = all(&text);
        assert_eq!(plain.len(), 3);
        assert_eq!(plain[0].0.len(), 4_195_000);
        assert_eq!(plain.iter().map(|(_, more)| *more).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(plain.concat_bytes(), text);
        let (a, b) = text.split_at(1_234_567);
        let mut gzip = Vec::new();
        let mut zst = Vec::new();
        for part in [a, b] {
            let mut encoder = flate2::write::GzEncoder::new(&mut gzip, flate2::Compression::fast());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap();
            zst.extend(zstd::encode_all(part, 1).unwrap());
        }
        assert!(all(&gzip) == plain && all(&zst) == plain);
        assert_eq!(all(b""), [(Vec::new(), false)]);
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }
    impl Concat for Vec<(Vec<u8>, bool)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
        }
    }

    #[test]
    fn a_huge_line_costs_64_kib() {
        let huge = std::io::repeat(b'y').take(100 << 20);
        let input = BufReader::new(huge.chain(&b"\nnext"[..]));
        let mut blocks = Blocks::new(input);
        let mut out = Vec::new();
        assert_eq!(blocks.next(&mut out).unwrap(), Some(false));
        assert_eq!(blocks.cut_lines, 1);
        assert_eq!(out.len(), CUT_BYTES + 2 + 4);
        assert!(out.ends_with(b"y\0\nnext"), "{:?}", &out[out.len() - 10..]);
    }

    #[test]
    fn damage_keeps_the_lines_before_it() {
        let mut gzip = Vec::new();
        let mut encoder = flate2::write::GzEncoder::new(&mut gzip, flate2::Compression::fast());
        for n in 0..10_000 {
            writeln!(encoder, "line {n} {}", n * 7_919 % 1_000).unwrap();
        }
        encoder.finish().unwrap();
        gzip.truncate(gzip.len() / 2);
        let mut blocks = Blocks::new(unpack(&gzip[..]).unwrap());
        let mut out = Vec::new();
        assert!(blocks.next(&mut out).is_err());
        assert!(out.ends_with(b"\n") && out.len() > 1000);
        assert_eq!(blocks.next(&mut out).unwrap(), None);
    }
}
