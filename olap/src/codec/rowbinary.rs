//! The head of `RowBinaryWithNamesAndTypes`.

/// Length of the head in bytes: number of columns, their names, their types, all lengths as LEB128. `None` if it is cut off.
#[must_use]
pub fn head_bytes(chunk: &[u8]) -> Option<usize> {
    let mut at = 0;
    let columns = number(chunk, &mut at)?;
    for _ in 0..columns.checked_mul(2)? {
        let length = number(chunk, &mut at)?;
        at = at.checked_add(length).filter(|at| *at <= chunk.len())?;
    }
    Some(at)
}

fn number(chunk: &[u8], at: &mut usize) -> Option<usize> {
    let (mut value, mut shift) = (0usize, 0u32);
    loop {
        let byte = *chunk.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_behind_the_last_type() {
        let chunk = b"\x02\x01a\x02bb\x06UInt64\x06Stringrest";
        assert_eq!(head_bytes(chunk), Some(chunk.len() - 4));
        for end in 0..chunk.len() - 4 {
            assert_eq!(head_bytes(&chunk[..end]), None, "{end}");
        }
        assert_eq!(head_bytes(b"\x00"), Some(1));
        assert_eq!(head_bytes(&[0xff; 64]), None);
    }
}
