//! A map that forgets, for those that watch a run of any length.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Values of at most `MOST` keys: with one more, the key that was first heard of is forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Recent<K, V, const MOST: usize> {
    values: HashMap<K, V>,
    /// The keys in the order in which they were first heard of.
    order: VecDeque<K>,
}

impl<K, V, const MOST: usize> Default for Recent<K, V, MOST> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, V, const MOST: usize> Recent<K, V, MOST> {
    /// The value of a key, if it is known.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    /// The value of a key, if it is known.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key)
    }

    /// The value of a key; `new` if it is not known.
    pub(crate) fn get_or_insert_with(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if !self.values.contains_key(&key) {
            if self.order.len() == MOST
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.values.entry(key).or_insert_with(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_one_key_too_many_the_first_is_forgotten() {
        let mut recent: Recent<u32, u32, 100> = Recent::default();
        for key in 0..100 {
            *recent.get_or_insert_with(key, || 0) += 1;
            *recent.get_or_insert_with(key % 3, || unreachable!("it is known")) += 1;
        }
        assert_eq!((recent.get(&0), recent.get(&7), recent.get(&99)), (Some(&35), Some(&1), Some(&1)));
        assert_eq!(recent.get_or_insert_with(100, || 5), &5);
        assert_eq!([0, 1, 100].map(|key| recent.get_mut(&key).copied()), [None, Some(34), Some(5)]);
        assert_eq!((recent.values.len(), recent.order.len()), (100, 100));
    }
}
