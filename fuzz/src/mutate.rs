//! Seeded mutation for the short runs: no coverage feedback, but the words of the protocol and real requests to start from.

/// splitmix64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; the same seed gives the same inputs.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.any() % (bound.max(1) as u64)) as usize
    }
}

/// Pieces that decoders look for.
const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"%",
    b"%7B",
    b"%22",
    b"%25",
    b"+",
    b"=",
    b"&",
    b"\0",
    b" ",
    b"\n",
    b"\r\n\r\n",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"123456789012345678901234567890",
    b"0.1",
    b"\\u0000",
    b"\\ud83d",
    b"\\ude00",
    b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xf0\x9f\x98\x80",
    b"\xff",
    b"\xef\xbb\xbf",
    b"data=",
    b"data_list=",
    b"crc=",
    b"ext=crc%3D1",
    b"gzip=9",
    b"project=",
    b"token=",
    b"\"type\":\"track\"",
    b"\"distinct_id\"",
    b"\"time\":1700000000000",
    b"\"properties\":{",
    b"\"event\"",
    b"\"_server\":{}",
    b"\"_flush_time\"",
    b"\"payload\"",
    b"\"payloads\":[",
    b"\"ekey\"",
    b"\"pkv\":1",
    b"\"key_id\":7",
    b"\"flush_time\"",
    b"\x1f\x8b\x08\0",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    b"GET ",
    b"POST ",
    b" HTTP/1.1\r\n",
    b"INSERT INTO ",
    b" FORMAT ",
    b"VALUES",
    b"SELECT ",
    b"'",
    b"`",
    b"/*",
    b"*/",
    b"--",
    b"$a$",
    b"\xe2\x80\x98",
    b"(",
    b")",
    b";",
];

/// Largest input that mutation makes, in bytes; large inputs have tests of their own.
const BYTES_MAX: usize = 64 << 10;

/// Changes `input` in 1 to 4 places; `other` is cut up for splices.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(10) {
            0 => flip(input, at, random),
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = random.any() as u8;
                }
            }
            2 => {
                let end = (at + 1 + random.below(16)).min(input.len());
                input.drain(at..end);
            }
            3 => input.truncate(at),
            4 | 5 => {
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            6 => {
                let word = WORDS[random.below(WORDS.len())];
                let end = (at + word.len()).min(input.len());
                input.splice(at..end, word.iter().copied());
            }
            7 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(256)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            8 => {
                let end = (at + random.below(64)).min(input.len());
                let copy = input[at..end].to_vec();
                for _ in 0..1 + random.below(8) {
                    input.splice(at..at, copy.iter().copied());
                }
            }
            _ => number(input, at, random),
        }
    }
    input.truncate(BYTES_MAX);
}

fn flip(input: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

/// Writes a number that is often a limit, in one of the widths of a header.
fn number(input: &mut [u8], at: usize, random: &mut Random) {
    const NUMBERS: &[u64] = &[
        0,
        1,
        7,
        8,
        31,
        32,
        255,
        4096,
        65_535,
        65_536,
        i32::MAX as u64,
        u32::MAX as u64,
        u64::MAX,
    ];
    let value = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
    let width = 1 << random.below(4);
    for (place, byte) in input.iter_mut().skip(at).zip(&value[..width]) {
        *place = *byte;
    }
}
