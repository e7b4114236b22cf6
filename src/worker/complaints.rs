//! What clients and shortages can cause at any rate, logged at a bounded one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rwsgi_core::log::{self, Entry, Event};

use crate::deadlines::NEVER;

/// How long a count lasts, in milliseconds.
const WINDOW: u64 = 10_000;
/// Entries of one peer in that time.
const OF_A_PEER: u32 = 5;
/// Entries of all in that time.
const OF_ALL: u32 = 50;
/// Peers that are counted one by one.
const PEERS: usize = 1024;

/// Counts what was complained about, by peer.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    window: u64,
    by_peer: HashMap<Box<str>, u32>,
    logged: u32,
    silent: u32,
}

impl Complaints {
    /// Logs `entry` unless `peer`, or everybody together, has caused too many of its kind.
    pub(crate) fn add(&self, now: u64, peer: &str, entry: Entry) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let window = now / WINDOW;
        if counts.window != window {
            counts.begin(window);
        }
        if !counts.allows(peer) {
            counts.silent += 1;
            return;
        }
        drop(counts);
        if peer.is_empty() {
            entry.send();
        } else {
            entry.about(peer).field("REMOTE_ADDR", peer.to_owned()).send();
        }
    }
}

impl Complaints {
    /// Tells how many were not logged one by one, if it is time; returns when it will be.
    pub(crate) fn look(&self, now: u64) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.silent == 0 {
            return NEVER;
        }
        if counts.window != now / WINDOW {
            counts.begin(now / WINDOW);
            return NEVER;
        }
        (counts.window + 1) * WINDOW
    }

    /// The same, for nothing will be added.
    pub(crate) fn end(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).begin(0);
    }
}

impl Counts {
    fn begin(&mut self, window: u64) {
        if self.silent > 0 {
            let seconds = WINDOW / 1000;
            let message = format!(
                "{} more bad requests or shortages within {seconds} s were not logged one by one",
                self.silent
            );
            log::info(Event::ClientError, message).send();
        }
        *self = Self { window, ..Self::default() };
    }

    fn allows(&mut self, peer: &str) -> bool {
        if self.logged >= OF_ALL {
            return false;
        }
        if self.by_peer.len() < PEERS || self.by_peer.contains_key(peer) {
            let count = self.by_peer.entry(peer.into()).or_default();
            *count += 1;
            if *count > OF_A_PEER {
                return false;
            }
        }
        self.logged += 1;
        true
    }
}
