//! The duplicate window: an exact set of the keys of the last hour. No filter that may be wrong.

use hashbrown::HashTable;
use std::collections::VecDeque;

/// Keys seen within a window of receive time. About 25 bytes a key.
#[derive(Debug)]
pub(super) struct DupWindow {
    window_s: u32,
    keys_max: usize,
    /// Keys and when they came, oldest first; an entry's number is `first + place`.
    keys: VecDeque<u64>,
    seconds: VecDeque<u32>,
    first: u32,
    /// Numbers of entries, found by key.
    table: HashTable<u32>,
    pub(super) evicted: u64,
}

impl DupWindow {
    pub(super) fn new(window_s: u32, keys_max: u32) -> Self {
        Self {
            window_s,
            keys_max: keys_max as usize,
            keys: VecDeque::new(),
            seconds: VecDeque::new(),
            first: 0,
            table: HashTable::new(),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether `key` came within the window; if not, it is remembered. A resend does not renew its key's time.
    pub(super) fn seen(&mut self, key: u64, second: u32) -> bool {
        if self.window_s == 0 || self.keys_max == 0 {
            return false;
        }
        while self.seconds.front().is_some_and(|old| old.saturating_add(self.window_s) < second) {
            self.forget_oldest();
        }
        let (keys, first) = (&self.keys, self.first);
        let same = |number: &u32| keys.get(number.wrapping_sub(first) as usize) == Some(&key);
        if self.table.find(key, same).is_some() {
            return true;
        }
        if self.keys.len() >= self.keys_max {
            self.forget_oldest();
            self.evicted += 1;
        }
        self.insert(key, second);
        false
    }

    /// Remembers without asking (snapshot).
    pub(super) fn insert(&mut self, key: u64, second: u32) {
        #[expect(clippy::cast_possible_truncation, reason = "numbers wrap; at most keys_max apart")]
        let number = self.first.wrapping_add(self.keys.len() as u32);
        self.keys.push_back(key);
        self.seconds.push_back(second);
        let (keys, first) = (&self.keys, self.first);
        // The key is a keyed hash already.
        self.table.insert_unique(key, number, |number| {
            keys.get(number.wrapping_sub(first) as usize).copied().unwrap_or_default()
        });
    }

    fn forget_oldest(&mut self) {
        let Some(key) = self.keys.front().copied() else { return };
        let first = self.first;
        if let Ok(entry) = self.table.find_entry(key, |number| *number == first) {
            entry.remove();
        }
        self.keys.pop_front();
        self.seconds.pop_front();
        self.first = self.first.wrapping_add(1);
    }

    /// Keys and seconds, oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u32)> {
        self.keys.iter().copied().zip(self.seconds.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::double::Rng;

    #[test]
    fn it_agrees_with_a_naive_twin() {
        let mut rng = Rng(7);
        let mut fast = DupWindow::new(100, 1_000_000);
        let mut naive: Vec<(u64, u32)> = Vec::new();
        let mut now = 0;
        let mut hits = 0;
        for _ in 0..20_000 {
            now += (rng.below(4) == 0) as u32;
            let key = rng.below(600);
            let seen = naive.iter().any(|(k, s)| *k == key && s + 100 >= now);
            if !seen {
                naive.push((key, now));
            }
            naive.retain(|(_, s)| s + 100 >= now);
            assert_eq!(fast.seen(key, now), seen);
            hits += seen as u32;
            assert_eq!(fast.len(), naive.len());
        }
        assert!(hits > 1000 && hits < 19_000, "{hits}");
    }

    #[test]
    fn above_its_limit_the_oldest_leave_and_are_counted() {
        let mut window = DupWindow::new(3600, 10);
        for key in 0..25 {
            assert!(!window.seen(key, 1));
        }
        assert_eq!((window.len(), window.evicted), (10, 15));
        assert!(window.seen(24, 2) && !window.seen(3, 2));
    }
}
