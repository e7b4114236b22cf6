//! The requests that run now: one entry for each Python thread of a worker, in shared memory.
//!
//! An entry has one writer, its thread, which may be killed between any two instructions, and
//! readers in other processes (who reaps the worker, `status`, deadlines). Its words:
//!
//! ```text
//! 0 sequence   odd while the entry is written; one more request, two more
//! 1 began      microseconds of CLOCK_MONOTONIC; 0 when nothing runs
//! 2 lengths    bytes of the method, of the path as kept, of the path as it was, of the name
//! 3 number     which request of the worker it is
//! 4 … 7        the method
//! 8 … 23       the path
//! 24 … 31      the name that a proxy gave it, if one did
//! ```
//!
//! What is read under one even sequence is of one request: a reader that finds another sequence
//! afterwards looks again. To end a request is one store (`began` = 0).

use std::sync::atomic::{
    AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence,
};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::log::escape_into;
use crate::request_id::{self, RequestId};

/// Threads of a worker that have an entry; what runs in others is counted but not shown.
pub const THREADS: usize = 64;
/// Bytes of a path that are kept.
pub const PATH_BYTES: usize = 128;
/// Bytes of a method that are kept.
const METHOD_BYTES: usize = 32;

const SEQUENCE: usize = 0;
const BEGAN: usize = 1;
const LENGTHS: usize = 2;
const NUMBER: usize = 3;
const METHOD: usize = 4;
const PATH: usize = METHOD + METHOD_BYTES / size_of::<u64>();
const NAME: usize = PATH + PATH_BYTES / size_of::<u64>();
/// Words of an entry: four cache lines, of which a request with a short path touches two.
const ENTRY: usize = NAME + request_id::LONGEST / size_of::<u64>();
/// Words of all entries of a worker.
pub(crate) const WORDS: usize = THREADS * ENTRY;

/// A reader that is disturbed this often gives up: requests come and go faster than they can be read.
const ATTEMPTS: usize = 16;

/// One request that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The number of its thread, 1 or more.
    pub thread: u16,
    /// The method; can neither end a line nor hide anything.
    pub method: String,
    /// The path as the client sent it, without the query, made harmless in the same way; with `…`
    /// at its end when it was longer than what is kept.
    pub path: String,
    /// When the application was called, on CLOCK_MONOTONIC.
    pub began: Duration,
    /// Its name.
    pub id: RequestId,
    /// Tells this request from the one before and the one after in the same thread.
    pub serial: u64,
}

impl Running {
    /// For how long it has run.
    pub fn age(&self) -> Duration {
        now(ClockId::CLOCK_MONOTONIC).saturating_sub(self.began)
    }
}

/// The entries of one worker, as the words that they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries<'a>(pub(crate) &'a [AtomicU64]);

impl<'a> Entries<'a> {
    fn entry(self, thread: u16) -> Option<Entry<'a>> {
        let start = usize::from(thread.checked_sub(1)?) * ENTRY;
        self.0.get(start..start + ENTRY).map(Entry)
    }

    /// A thread begins a request.
    pub(crate) fn begin(self, thread: u16, id: &RequestId, method: &str, path: impl AsRef<[u8]>) {
        if let Some(entry) = self.entry(thread) {
            entry.begin(id, method.as_bytes(), path.as_ref());
        }
    }

    /// A thread has done with its request.
    pub(crate) fn end(self, thread: u16) {
        if let Some(entry) = self.entry(thread) {
            entry.0[BEGAN].store(0, Relaxed);
        }
    }

    /// Nothing runs, and nothing has begun yet.
    pub(crate) fn clear(self) {
        for entry in self.0.chunks_exact(ENTRY) {
            entry[BEGAN].store(0, Relaxed);
            entry[SEQUENCE].store(0, Relaxed);
        }
    }

    /// How many requests a thread has begun; 0 for one that has no entry.
    pub(crate) fn begun(self, thread: u16) -> u64 {
        self.entry(thread).map_or(0, |entry| entry.0[SEQUENCE].load(Relaxed).div_ceil(2))
    }

    /// What runs, the longest first; `worker` is its number in the names of its requests.
    pub(crate) fn read(self, worker: u64) -> Vec<Running> {
        let entries = (1..).zip(self.0.chunks_exact(ENTRY));
        let mut running: Vec<_> =
            entries.filter_map(|(thread, words)| Entry(words).read(thread, worker)).collect();
        running.sort_by_key(|running| running.began);
        running
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry<'a>(&'a [AtomicU64]);

impl Entry<'_> {
    fn begin(self, id: &RequestId, method: &[u8], path: &[u8]) {
        let (number, name) = match id {
            RequestId::Own { number, .. } => (*number, &b""[..]),
            RequestId::Given(name) => (0, &name.as_bytes()[..name.len().min(request_id::LONGEST)]),
        };
        let method = &method[..method.len().min(METHOD_BYTES)];
        let kept = &path[..path.len().min(PATH_BYTES)];
        // A predecessor that was killed while it wrote has left an odd number behind.
        let writing = self.0[SEQUENCE].load(Relaxed).wrapping_add(1) | 1;
        self.0[SEQUENCE].store(writing, Relaxed);
        fence(Release);
        // The coarse clock is as old as a tick of the kernel at most, and costs a few nanoseconds.
        self.0[BEGAN].store(micros(now(ClockId::CLOCK_MONOTONIC_COARSE)), Relaxed);
        self.0[LENGTHS].store(Lengths::of(method, kept, path, name).pack(), Relaxed);
        self.0[NUMBER].store(number, Relaxed);
        write(&self.0[METHOD..PATH], method);
        write(&self.0[PATH..NAME], kept);
        if !name.is_empty() {
            write(&self.0[NAME..], name);
        }
        self.0[SEQUENCE].store(writing.wrapping_add(1), Release);
    }

    fn read(self, thread: u16, worker: u64) -> Option<Running> {
        (0..ATTEMPTS).find_map(|_| self.try_read(thread, worker)).flatten()
    }

    /// `Some(None)`: nothing runs. `None`: it changed meanwhile.
    fn try_read(self, thread: u16, worker: u64) -> Option<Option<Running>> {
        let serial = self.0[SEQUENCE].load(Acquire);
        let began = self.0[BEGAN].load(Relaxed);
        if began == 0 {
            return Some(None);
        }
        let lengths = Lengths::unpack(self.0[LENGTHS].load(Relaxed));
        let method: [u8; METHOD_BYTES] = read(&self.0[METHOD..PATH]);
        let path: [u8; PATH_BYTES] = read(&self.0[PATH..NAME]);
        let name: [u8; request_id::LONGEST] = read(&self.0[NAME..]);
        let number = self.0[NUMBER].load(Relaxed);
        fence(Acquire);
        if serial % 2 == 1 || self.0[SEQUENCE].load(Relaxed) != serial {
            return None;
        }
        let (method, path) = (method.get(..lengths.method)?, path.get(..lengths.kept)?);
        let cut = lengths.whole > lengths.kept;
        Some(Some(Running {
            thread,
            method: harmless(method, false),
            path: harmless(path, cut),
            began: Duration::from_micros(began),
            id: match request_id::legal(name.get(..lengths.name)?) {
                Some(name) => RequestId::Given(name.into()),
                None => RequestId::Own { worker, number },
            },
            serial,
        }))
    }
}

/// Writes what fits, eight bytes at a time, and nothing into words that are not needed.
fn write(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks();
    for (word, bytes) in words.iter().zip(whole) {
        word.store(u64::from_le_bytes(*bytes), Relaxed);
    }
    if let Some(word) = words.get(whole.len()) {
        word.store(rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)), Relaxed);
    }
}

fn read<const BYTES: usize>(words: &[AtomicU64]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.load(Relaxed).to_le_bytes();
    }
    bytes
}

/// Numbers of bytes.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    method: usize,
    kept: usize,
    whole: usize,
    name: usize,
}

impl Lengths {
    fn of(method: &[u8], kept: &[u8], path: &[u8], name: &[u8]) -> Self {
        // Of a length only a 16-bit number is kept, which tells well enough that a path was cut.
        let whole = path.len().min(usize::from(u16::MAX));
        Self { method: method.len(), kept: kept.len(), whole, name: name.len() }
    }

    fn pack(self) -> u64 {
        (self.method | self.kept << 16 | self.whole << 32 | self.name << 48) as u64
    }

    fn unpack(word: u64) -> Self {
        let part = |shift: u32| usize::from((word >> shift) as u16);
        Self { method: part(0), kept: part(16), whole: part(32), name: part(48) }
    }
}

/// Text of a client that can be shown: one line, no control characters, valid UTF-8.
fn harmless(bytes: &[u8], cut: bool) -> String {
    // Where it was cut it may have been cut within a character.
    let bytes = match std::str::from_utf8(bytes) {
        Err(error) if cut && error.error_len().is_none() => &bytes[..error.valid_up_to()],
        Ok(_) | Err(_) => bytes,
    };
    let mut text = String::with_capacity(bytes.len() + 4);
    escape_into(&mut text, &String::from_utf8_lossy(bytes));
    if cut {
        text.push('…');
    }
    text
}

fn now(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

fn micros(time: Duration) -> u64 {
    // 0 means that nothing runs.
    (time.as_secs().wrapping_mul(1_000_000) + u64::from(time.subsec_micros())).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const ID: RequestId = RequestId::Own { worker: 7, number: 3 };

    fn words() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn told(entries: Entries<'_>) -> Vec<(u16, String)> {
        let told =
            |running: Running| (running.thread, format!("{} {}", running.method, running.path));
        entries.read(7).into_iter().map(told).collect()
    }

    #[test]
    fn what_has_begun_is_told_until_it_ends() {
        let words = words();
        let entries = Entries(&words);
        assert_eq!(entries.read(7), []);
        entries.begin(1, &ID, "GET", "/reports/7");
        entries.begin(THREADS as u16, &ID, "POST", "");
        let both = [(1, "GET /reports/7".to_owned()), (THREADS as u16, "POST ".to_owned())];
        assert_eq!(told(entries), both);
        entries.end(1);
        assert_eq!(told(entries), both[1..]);
        entries.clear();
        assert_eq!(entries.read(7), []);
    }

    #[test]
    fn what_has_run_longest_comes_first() {
        let words = words();
        let entries = Entries(&words);
        entries.begin(1, &ID, "GET", "/second");
        entries.begin(2, &ID, "GET", "/first");
        entries.entry(2).unwrap().0[BEGAN].store(1, Relaxed);
        assert_eq!(told(entries)[0].1, "GET /first");
        assert!(entries.read(7)[0].age() >= entries.read(7)[1].age());
    }

    #[test]
    fn an_age_is_the_time_since_the_call() {
        let words = words();
        let entries = Entries(&words);
        let before = now(ClockId::CLOCK_MONOTONIC);
        entries.begin(1, &ID, "GET", "/");
        let running = entries.read(7).remove(0);
        // A tick of the coarse clock is 10 ms at most.
        assert!(running.began + Duration::from_millis(20) >= before, "{running:?} {before:?}");
        assert!(running.age() <= now(ClockId::CLOCK_MONOTONIC) - running.began);
    }

    #[test]
    fn each_request_of_a_thread_has_its_own_serial() {
        let words = words();
        let entries = Entries(&words);
        entries.begin(1, &ID, "GET", "/");
        let first = entries.read(7)[0].serial;
        entries.end(1);
        entries.begin(1, &ID, "GET", "/");
        assert_ne!(entries.read(7)[0].serial, first);
    }

    #[test]
    fn a_request_is_told_with_its_name() {
        let words = words();
        let entries = Entries(&words);
        let given = |length| RequestId::Given("n".repeat(length).into());
        for id in [ID, given(request_id::LONGEST), given(5), ID] {
            entries.begin(1, &id, "GET", "/".repeat(PATH_BYTES));
            assert_eq!(entries.read(7)[0].id, id);
        }
    }

    #[test]
    fn threads_beyond_the_last_entry_are_not_shown_and_harm_nobody() {
        let words = words();
        let entries = Entries(&words);
        for thread in [0, THREADS as u16 + 1, u16::MAX] {
            entries.begin(thread, &ID, "GET", "/");
            entries.end(thread);
        }
        assert_eq!(entries.read(7), []);
    }

    #[test]
    fn what_a_killed_thread_was_writing_is_not_told_and_its_successor_writes_again() {
        let words = words();
        let entries = Entries(&words);
        entries.begin(1, &ID, "GET", "/old");
        let sequence = &entries.entry(1).unwrap().0[SEQUENCE];
        sequence.fetch_add(1, Relaxed);
        assert_eq!(entries.read(7), []);
        entries.begin(1, &ID, "GET", "/new");
        assert_eq!(told(entries), [(1, "GET /new".to_owned())]);
    }

    #[test]
    fn a_reader_never_sees_half_of_two_requests() {
        let words = words();
        let entries = Entries(&words);
        let (short, long) = (format!("/{}", "a".repeat(30)), format!("/{}", "b".repeat(100)));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    for (method, path) in [("GET", &short), ("OPTIONS", &long)] {
                        entries.begin(1, &ID, method, path);
                        std::hint::spin_loop();
                        entries.end(1);
                    }
                }
            });
            let read = || entries.entry(1)?.read(1, 7);
            let whole = (0..50_000).filter_map(|_| read()).all(|running| match &*running.method {
                "GET" => running.path == short,
                "OPTIONS" => running.path == long,
                _ => false,
            });
            let seen = (0..1_000_000).any(|_| read().is_some());
            stop.store(true, Relaxed);
            assert!(whole && seen);
        });
    }

    #[test]
    fn a_long_path_is_cut_between_two_characters() {
        let words = words();
        let entries = Entries(&words);
        entries.begin(1, &ID, "GET", format!("/{}", "é".repeat(PATH_BYTES)));
        let path = entries.read(7).remove(0).path;
        assert_eq!(path, format!("/{}…", "é".repeat((PATH_BYTES - 1) / 2)));
        entries.begin(1, &ID, &"M".repeat(100), "/".repeat(PATH_BYTES));
        let running = entries.read(7).remove(0);
        assert_eq!(running.method.len(), METHOD_BYTES);
        assert_eq!(running.path, "/".repeat(PATH_BYTES));
    }

    #[test]
    fn a_path_cannot_forge_a_line() {
        assert_eq!(
            harmless(b"/a\n[1] root\x1b[2J\x7f\xff\\", false),
            "/a\\x0a[1] root\\x1b[2J\\x7f\u{fffd}\\\\"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_told_on_one_line(method: String, path: String, cut: bool) {
            let words = words();
            let entries = Entries(&words);
            entries.begin(1, &ID, &method, &path);
            let running = entries.read(7).remove(0);
            for text in [running.method, running.path, harmless(path.as_bytes(), cut)] {
                proptest::prop_assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }

        #[test]
        fn any_plain_path_comes_back_as_it_was(path in "/[a-z/%0-9]{0,127}") {
            let words = words();
            let entries = Entries(&words);
            entries.begin(7, &ID, "GET", &path);
            proptest::prop_assert_eq!(told(entries), [(7, format!("GET {path}"))]);
        }
    }
}
