//! What an application notes of a request while it works on it.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many names a request can have: to find one, all are looked at.
pub const MOST_NAMES: usize = 1000;

type Pairs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Names and values, and the thread that worked on it. Costs nothing while nobody notes anything.
#[derive(Debug, Default)]
pub struct Notes {
    pairs: Mutex<Pairs>,
    /// 0: none.
    thread: AtomicU16,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a value; the last of a name counts. `false`: there are [`MOST_NAMES`] others already.
    pub fn set(&self, name: &[u8], value: &[u8]) -> bool {
        let mut pairs = self.lock();
        if let Some((_, old)) = pairs.iter_mut().find(|(known, _)| **known == *name) {
            *old = value.into();
            return true;
        }
        let has_room = pairs.len() < MOST_NAMES;
        if has_room {
            pairs.push((name.into(), value.into()));
        }
        has_room
    }

    /// The value that was noted.
    pub fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.lock().iter().find(|(known, _)| **known == *name).map(|(_, value)| value.to_vec())
    }

    /// Thread `number`, from 1, works on it.
    pub fn set_thread(&self, number: u16) {
        self.thread.store(number, Relaxed);
    }

    /// The number of the thread that has worked on it, from 1.
    pub fn thread(&self) -> Option<u16> {
        Some(self.thread.load(Relaxed)).filter(|&number| number > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts() {
        let notes = Notes::default();
        assert!(notes.set(b"who", b"ann") && notes.set(b"who", b"bob"));
        assert_eq!((notes.get(b"who"), notes.get(b"what")), (Some(b"bob".to_vec()), None));
        assert_eq!(notes.thread(), None);
        notes.set_thread(2);
        assert_eq!(notes.thread(), Some(2));
    }

    #[test]
    fn there_is_an_end_to_names_and_not_to_values() {
        let notes = Notes::default();
        let set = |number: usize| notes.set(number.to_string().as_bytes(), b"x");
        assert!((0..MOST_NAMES).all(set) && !set(MOST_NAMES) && set(0));
    }
}
