//! An ip2region file (`.xdb`, version 2): the place of an IPv4 address, as the text `国家|区域|省份|城市|ISP`, `0` where unknown.
//!
//! ```text
//!   0 version u16 (2) | index u16 (1) | made u32 | first index entry u32 | last index entry u32     little-endian
//! 256 for each first and second byte of an address: first entry u32 | last entry u32
//! …   texts, then entries of 14 bytes: first address u32 | last address u32 | length u16 | place of the text u32
//! ```
//! Whatever the bytes are: every place is checked, a search ends.

const VECTOR: usize = 256;
const VECTOR_ENTRY: usize = 8;
const TEXTS: usize = VECTOR + 256 * 256 * VECTOR_ENTRY;
const ENTRY: usize = 14;

/// A file in memory.
pub(super) struct Xdb {
    bytes: Vec<u8>,
}

impl Xdb {
    /// Checks the head.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let (version, index) = (u16_at(&bytes, 0), u16_at(&bytes, 2));
        if bytes.len() < TEXTS + ENTRY {
            return Err(format!("{} bytes are no ip2region file", bytes.len()));
        }
        if (version, index) != (Some(2), Some(1)) {
            let version = version.unwrap_or(0);
            return Err(format!("version {version} of the format is not known, only 2"));
        }
        Ok(Self { bytes })
    }

    /// When it was made, seconds since 1970.
    pub(super) fn made(&self) -> u32 {
        u32_at(&self.bytes, 4).unwrap_or(0)
    }

    /// Country, province and city; an empty one is not known.
    pub(super) fn place(&self, address: u32) -> Option<[&str; 3]> {
        let at = VECTOR + (address >> 16) as usize * VECTOR_ENTRY;
        let first = u32_at(&self.bytes, at)? as usize;
        let last = u32_at(&self.bytes, at + 4)? as usize;
        let (mut low, mut high) = (0, last.checked_sub(first)? / ENTRY + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = first + middle * ENTRY;
            // The last one may be told as the end of the index.
            let Some(from) = u32_at(&self.bytes, at) else {
                high = middle;
                continue;
            };
            if address < from {
                high = middle;
            } else if address > u32_at(&self.bytes, at + 4)? {
                low = middle + 1;
            } else {
                let length = usize::from(u16_at(&self.bytes, at + 8)?);
                let text = u32_at(&self.bytes, at + 10)? as usize;
                return fields(self.bytes.get(text..text.checked_add(length)?)?);
            }
        }
        None
    }
}

fn fields(text: &[u8]) -> Option<[&str; 3]> {
    let fields: Vec<&str> = std::str::from_utf8(text).ok()?.split('|').collect();
    let [country, _area, province, city, ..] = fields.as_slice() else { return None };
    Some([country, province, city].map(|name| if **name == *"0" { "" } else { name }))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A file of such ranges, in order: for tests.
#[cfg(test)]
pub(super) fn file(ranges: &[(u32, u32, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; TEXTS];
    bytes[0] = 2;
    bytes[2] = 1;
    bytes[4..8].copy_from_slice(&1_700_000_000_u32.to_le_bytes());
    let mut texts = Vec::new();
    for (_, _, text) in ranges {
        texts.push(u32::try_from(bytes.len()).unwrap());
        bytes.extend_from_slice(text.as_bytes());
    }
    let start = bytes.len();
    for ((from, to, text), place) in ranges.iter().zip(texts) {
        assert_eq!(from >> 16, to >> 16, "an entry stays within its two bytes");
        let at = u32::try_from(bytes.len()).unwrap();
        let vector = VECTOR + (from >> 16) as usize * VECTOR_ENTRY;
        if u32_at(&bytes, vector) == Some(0) {
            bytes[vector..vector + 4].copy_from_slice(&at.to_le_bytes());
        }
        // As the makers write it: the end of the last entry.
        let end = at + u32::try_from(ENTRY).unwrap();
        bytes[vector + 4..vector + 8].copy_from_slice(&end.to_le_bytes());
        bytes.extend_from_slice(&from.to_le_bytes());
        bytes.extend_from_slice(&to.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&place.to_le_bytes());
    }
    bytes[8..12].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> u32 {
        u32::from(text.parse::<std::net::Ipv4Addr>().unwrap())
    }

    fn example() -> Vec<u8> {
        file(&[
            (ip("1.0.0.0"), ip("1.0.0.255"), "澳大利亚|0|0|0|0"),
            (ip("1.0.1.0"), ip("1.0.3.255"), "中国|0|福建省|福州市|电信"),
            (ip("1.0.8.0"), ip("1.0.8.0"), "中国|0|广东省|0|电信"),
            (ip("203.0.0.0"), ip("203.0.255.255"), "中国|0|浙江省|杭州市|联通"),
        ])
    }

    #[test]
    fn an_address_has_the_place_of_its_range_or_none() {
        let xdb = Xdb::new(example()).unwrap();
        for (address, place) in [
            ("1.0.0.0", Some(["澳大利亚", "", ""])),
            ("1.0.0.255", Some(["澳大利亚", "", ""])),
            ("1.0.1.0", Some(["中国", "福建省", "福州市"])),
            ("1.0.3.255", Some(["中国", "福建省", "福州市"])),
            ("1.0.4.0", None),
            ("1.0.8.0", Some(["中国", "广东省", ""])),
            ("1.0.8.1", None),
            ("203.0.113.9", Some(["中国", "浙江省", "杭州市"])),
            ("9.9.9.9", None),
            ("255.255.255.255", None),
        ] {
            assert_eq!(xdb.place(ip(address)), place, "{address}");
        }
    }

    #[test]
    fn damaged_bytes_harm_nothing() {
        assert!(Xdb::new(b"no file".to_vec()).is_err());
        let mut newer = example();
        newer[0] = 3;
        assert_eq!(Xdb::new(newer).err().unwrap(), "version 3 of the format is not known, only 2");
        let whole = example();
        let addresses = ["1.0.0.7", "1.0.8.0", "203.0.113.9", "0.0.0.0"].map(ip);
        let mut at = VECTOR + 256 * VECTOR_ENTRY;
        while at < whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let xdb = Xdb::new(bytes).unwrap();
            addresses.iter().for_each(|address| _ = xdb.place(*address));
            // Densely where there is something.
            at += if at < TEXTS { 997 } else { 1 };
        }
        for cut in TEXTS + ENTRY..whole.len() {
            let xdb = Xdb::new(whole[..cut].to_vec()).unwrap();
            addresses.iter().for_each(|address| _ = xdb.place(*address));
        }
    }
}
