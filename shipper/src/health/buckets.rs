//! Sums over time, by bucket; only buckets that hold something take room.

use serde::{Deserialize, Serialize};

/// Sums by bucket (minute, hour or day since 1970), oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Buckets<V>(Vec<(u32, V)>);

impl<V: Default> Buckets<V> {
    /// The sums of `bucket`, to add to. Of the newest `span` buckets; `None` if it is older.
    pub(super) fn at(&mut self, bucket: u32, span: u32) -> Option<&mut V> {
        let list = &mut self.0;
        let newest = list.last().map_or(bucket, |last| last.0.max(bucket));
        if newest - bucket >= span {
            return None;
        }
        let at = match list.last() {
            // Nearly always.
            Some(last) if last.0 == bucket => list.len() - 1,
            Some(last) if last.0 > bucket => {
                let at = list.partition_point(|item| item.0 < bucket);
                if list.get(at).is_none_or(|item| item.0 != bucket) {
                    list.insert(at, (bucket, V::default()));
                }
                at
            }
            _ => {
                list.retain(|item| newest - item.0 < span);
                list.push((bucket, V::default()));
                list.len() - 1
            }
        };
        list.get_mut(at).map(|item| &mut item.1)
    }

    /// What is in it, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &V)> {
        self.0.iter().map(|(bucket, value)| (*bucket, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_ones_find_their_place_and_old_ones_go() {
        let mut buckets = Buckets::<u32>::default();
        for bucket in [10, 12, 11, 12, 10] {
            *buckets.at(bucket, 3).unwrap() += 1;
        }
        assert_eq!(buckets.iter().collect::<Vec<_>>(), [(10, &2), (11, &1), (12, &2)]);
        assert!(buckets.at(9, 3).is_none(), "older than the span");
        *buckets.at(14, 3).unwrap() += 1;
        assert_eq!(buckets.iter().collect::<Vec<_>>(), [(12, &2), (14, &1)]);
    }
}
