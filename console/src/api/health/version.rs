//! Versions in the order people release them.

use std::cmp::Ordering;

/// `6.2.0` before `6.10.0`, a missing part before any other, numbers by value, words by spelling, numbers before words.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        let (x, y) = (a.next(), b.next());
        let order = match (x, y) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => part(x, y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn parts(version: &str) -> impl Iterator<Item = &str> {
    version.trim_start_matches(['v', 'V']).split(['.', '-', '_', '+', ' ']).filter(|part| !part.is_empty())
}

fn part(a: &str, b: &str) -> Ordering {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (digits(a), digits(b)) {
        (true, true) => {
            // By value, however long: leading zeroes do not count.
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_by_value() {
        let sorted = ["", "1", "1.9", "1.10", "1.10.0", "1.10.0.beta", "2", "02.1", "10.0", "beta"];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare("v6.2.0", "6.2.0"), Ordering::Equal);
        let long = "9".repeat(40);
        assert_eq!(compare(&long, &format!("1{long}")), Ordering::Less);
    }
}
