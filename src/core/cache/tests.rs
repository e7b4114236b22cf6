use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const SMALL: Geometry = Geometry {
    items: 6,
    blocks: 6,
    block_bytes: 16,
    key_bytes: 10,
    buckets: 2,
    chained: false,
    recency: false,
};

fn table(cache: &Cache) -> Table<'_> {
    cache.lock(Duration::ZERO).unwrap()
}

fn set(cache: &Cache, key: &str, value: &[u8], expires: u64) -> Result<(), Refusal> {
    let entry = Entry { key: key.as_bytes(), value, expires };
    table(cache).set(&entry, Write::Any, WhenFull::Refuse, 100)
}

fn sorted(mut keys: Vec<Vec<u8>>) -> Vec<String> {
    keys.sort();
    keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Set { key: u8, length: usize, lasts: Option<u64>, write: Write },
    Remove(u8),
    Get(u8),
    Add(u8, i64),
    Clear,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let write = prop_oneof![Just(Write::New), Just(Write::Any)];
    prop_oneof![
        6 => (0..9_u8, 0..50_usize, proptest::option::of(1..20_u64), write)
            .prop_map(|(key, length, lasts, write)| Step::Set { key, length, lasts, write }),
        2 => (0..9_u8).prop_map(Step::Remove),
        2 => (0..9_u8).prop_map(Step::Get),
        2 => (0..9_u8, -5..5_i64).prop_map(|(key, by)| Step::Add(key, by)),
        1 => Just(Step::Clear),
        2 => (1..15_u64).prop_map(Step::Wait),
    ]
}

/// A cache as it is meant: values with their expiry, in the order of use.
#[derive(Default)]
struct Model(Vec<(Vec<u8>, Vec<u8>, u64)>);

impl Model {
    fn expire(&mut self, now: u64) {
        self.0.retain(|(_, _, expires)| *expires == 0 || *expires > now);
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        self.0.iter().position(|(one, ..)| one == key)
    }

    fn blocks(&self) -> u64 {
        self.0.iter().map(|(_, value, _)| value.len().div_ceil(16) as u64).sum()
    }

    fn set(&mut self, geometry: &Geometry, entry: &Entry<'_>, write: Write) -> Result<(), Refusal> {
        let old = self.find(entry.key);
        if entry.value.len() as u64 > geometry.largest_value() {
            return Err(Refusal::TooLarge);
        }
        if old.is_some() && write == Write::New {
            return Err(Refusal::Exists);
        }
        let old = old.map(|old| self.0.remove(old));
        let blocks = if geometry.chained { u64::from(geometry.blocks) } else { u64::MAX };
        let needed = entry.value.len().div_ceil(16) as u64;
        while self.0.len() as u64 + 1 > geometry.items.into() || self.blocks() + needed > blocks {
            if !geometry.recency {
                self.0.extend(old);
                return Err(Refusal::Full);
            }
            self.0.remove(0);
        }
        self.0.push((entry.key.to_vec(), entry.value.to_vec(), entry.expires));
        Ok(())
    }
}

proptest! {
    #[test]
    fn it_does_what_a_map_does(
        steps in proptest::collection::vec(step(), 1..120),
        chained: bool,
        blocks in 6..14_u32,
    ) {
        let geometry = Geometry { chained, blocks, ..SMALL };
        let cache = Cache::create(geometry).unwrap();
        let mut model = Model::default();
        let mut now = 100;
        for (count, step) in steps.iter().enumerate() {
            model.expire(now);
            match *step {
                Step::Set { key, length, lasts, write } => {
                    let value = vec![count as u8; length];
                    let expires = lasts.map_or(0, |lasts| now + lasts);
                    let entry = Entry { key: &[key, key], value: &value, expires };
                    let done = table(&cache).set(&entry, write, WhenFull::Refuse, now);
                    prop_assert_eq!(done, model.set(&geometry, &entry, write));
                }
                Step::Remove(key) => {
                    let found = model.find(&[key, key]);
                    prop_assert_eq!(table(&cache).remove(&[key, key], now), found.is_some());
                    found.map(|found| model.0.remove(found));
                }
                Step::Get(key) => {
                    let expected = model.find(&[key, key]).map(|found| model.0[found].1.clone());
                    prop_assert_eq!(cache.peek(&[key, key], now), Some(expected.clone()));
                    prop_assert_eq!(table(&cache).get(&[key, key], now), expected);
                }
                Step::Add(key, by) => {
                    let key = [key, key];
                    let old = model.find(&key).map(|found| model.0[found].1.clone());
                    let expected = match number(old.as_deref()) {
                        Number::Not(_) => Err(Refusal::NoNumber),
                        Number::Missing => {
                            let entry = Entry { key: &key, value: &by.to_le_bytes(), expires: 0 };
                            model.set(&geometry, &entry, Write::Any)
                        }
                        Number::Is(old) => {
                            let found = model.find(&key).unwrap();
                            model.0[found].1 = old.wrapping_add(by).to_le_bytes().to_vec();
                            Ok(())
                        }
                    };
                    let add = |number: i64| number.wrapping_add(by);
                    let done = table(&cache).compute((&key, 0), add, WhenFull::Refuse, now);
                    prop_assert_eq!(done, expected);
                }
                Step::Clear => {
                    table(&cache).clear();
                    model.0.clear();
                }
                Step::Wait(time) => now += time,
            }
            model.expire(now);
            let mut expected: Vec<_> = model.0.iter().map(|(key, ..)| key.clone()).collect();
            expected.sort();
            let mut keys = table(&cache).keys(now);
            keys.sort();
            prop_assert_eq!(keys, expected);
        }
    }

    #[test]
    fn what_was_not_used_for_longest_gives_way(
        uses in proptest::collection::vec((0..12_u8, any::<bool>()), 1..80),
    ) {
        let geometry = Geometry { recency: true, ..SMALL };
        let cache = Cache::create(geometry).unwrap();
        let mut model = Model::default();
        for (key, is_get) in uses {
            let key = [key];
            if is_get {
                let found = model.find(&key).map(|found| model.0.remove(found));
                let value = found.as_ref().map(|(_, value, _)| value.clone());
                model.0.extend(found);
                prop_assert_eq!(table(&cache).get(&key, 1), value);
            } else {
                let entry = Entry { key: &key, value: &key, expires: 0 };
                model.set(&geometry, &entry, Write::Any).unwrap();
                table(&cache).set(&entry, Write::Any, WhenFull::DropOldest, 1).unwrap();
            }
        }
        let mut expected: Vec<_> = model.0.into_iter().map(|(key, ..)| key).collect();
        let mut keys = table(&cache).keys(1);
        expected.sort();
        keys.sort();
        prop_assert_eq!(keys, expected);
    }
}

/// What is done while the process may die, and what may be there afterwards.
fn deadly(cache: &Cache, deed: usize) {
    let recency = cache.geometry().recency;
    let when_full = if recency { WhenFull::DropOldest } else { WhenFull::Refuse };
    let set = |key: &[u8], value: &[u8]| {
        let entry = Entry { key, value, expires: 0 };
        let _ = table(cache).set(&entry, Write::Any, when_full, 100);
    };
    match deed {
        0 => set(b"new", &[9; 40]),
        1 => set(b"k1", &[9; 40]),
        2 => set(b"expired", &[9; 40]),
        3 => drop(table(cache).remove(b"k1", 100)),
        4 => table(cache).clear(),
        5 => drop(table(cache).compute((b"count", 0), |count| count + 1, when_full, 100)),
        6 => drop(table(cache).get(b"k1", 100)),
        _ => set(b"k2", &[9; 70]),
    }
}

#[test]
fn whoever_dies_at_any_store_leaves_whole_items_and_no_others() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    for (deed, recency, fill) in
        (0..8).flat_map(|deed| [(deed, false, 2), (deed, true, 5), (deed, false, 5)])
    {
        for stores in 0.. {
            let geometry = Geometry { chained: true, blocks: 12, recency, ..SMALL };
            let cache = Cache::create(geometry).unwrap();
            for index in 0..fill {
                set(&cache, &format!("k{index}"), &[index; 20], 0).unwrap();
            }
            set(&cache, "count", &7_i64.to_le_bytes(), 0).unwrap();
            set(&cache, "expired", &[1; 4], 50).ok();
            let before: HashMap<_, _> = contents(&cache);
            crash::after(Some(stores));
            let died = catch_unwind(AssertUnwindSafe(|| deadly(&cache, deed))).is_err();
            crash::after(None);
            // The recovery may die as well, anywhere.
            crash::after(Some(stores / 2));
            let _ = catch_unwind(AssertUnwindSafe(|| drop(cache.lock(Duration::ZERO))));
            crash::after(None);
            let after = contents(&cache);
            for (key, value) in &after {
                let is_old = before.get(key) == Some(value);
                let is_new = value.iter().all(|byte| *byte == 9) && value.len() >= 40
                    || *value == 8_i64.to_le_bytes();
                assert!(is_old || is_new, "{deed} {stores}: {key:?} {value:?}");
            }
            let untouched = deed != 4 && !recency;
            assert!(!untouched || after.contains_key(&b"k0"[..]), "{deed} {stores}");
            assert_usable(&cache);
            if !died {
                break;
            }
        }
    }
    std::panic::set_hook(quiet);
}

fn contents(cache: &Cache) -> HashMap<Vec<u8>, Vec<u8>> {
    let table = table(cache);
    table.keys(100).into_iter().map(|key| (key.clone(), table.get(&key, 100).unwrap())).collect()
}

/// All of its room is there, once.
fn assert_usable(cache: &Cache) {
    table(cache).clear();
    assert_eq!((cache.figures().items, cache.figures().blocks), (0, 0));
    for index in 0..6 {
        set(cache, &format!("u{index}"), &[index; 32], 0).unwrap();
    }
    assert_eq!(set(cache, "more", b"x", 0), Err(Refusal::Full));
    for index in 0..6 {
        let expected = Some(vec![index; 32]);
        assert_eq!(table(cache).get(format!("u{index}").as_bytes(), 100), expected);
    }
}

/// Not a test: what [`processes_that_are_killed_while_they_write_tear_nothing`] starts and kills.
#[test]
fn writer_that_is_killed() {
    let Ok(path) = std::env::var("RWSGI_TEST_CACHE") else { return };
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let cache = Cache::open(file.into(), LARGER).unwrap();
    for round in 0_u64.. {
        let key = format!("k{}", round % 60);
        let value = vec![(round % 251) as u8; (round % 90) as usize];
        let entry = Entry { key: key.as_bytes(), value: &value, expires: 0 };
        let table = cache.lock(PATIENCE).unwrap();
        table.set(&entry, Write::Any, WhenFull::DropOldest, 1).unwrap();
        if round % 7 == 0 {
            table.remove(format!("k{}", round % 59).as_bytes(), 1);
        }
    }
}

const LARGER: Geometry =
    Geometry { items: 40, blocks: 100, buckets: 8, chained: true, recency: true, ..SMALL };

#[test]
fn processes_that_are_killed_while_they_write_tear_nothing() {
    use std::os::fd::AsRawFd as _;
    let cache = Cache::create(LARGER).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), cache.memory().as_raw_fd());
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cache::tests::writer_that_is_killed", "--test-threads=1"])
            .env("RWSGI_TEST_CACHE", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut writers: Vec<_> = (0..2).map(|_| start()).collect();
    let mut seen = cache.figures().changes;
    for round in 0..30 {
        // Until somebody has written, which says that nobody hangs.
        while cache.figures().changes < seen + 50 + round * 37 {
            std::thread::yield_now();
        }
        let writer = &mut writers[round as usize % 2];
        writer.kill().unwrap();
        writer.wait().unwrap();
        let table = cache.lock(PATIENCE).unwrap();
        seen = cache.figures().changes;
        for key in table.keys(1) {
            let value = table.get(&key, 1).unwrap();
            assert!(value.windows(2).all(|two| two[0] == two[1]), "{key:?}: {value:?}");
        }
        drop(table);
        writers[round as usize % 2] = start();
    }
    for mut writer in writers {
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
}

#[test]
fn readers_without_the_lock_see_whole_values() {
    let cache = Cache::create(SMALL).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..20_000_u32 {
                set(&cache, "k", &[round as u8; 16][..(round % 16) as usize + 1], 0).unwrap();
            }
        });
        let mut seen = 0;
        while !writer.is_finished() || seen == 0 {
            if let Some(Some(value)) = cache.peek(b"k", 100) {
                assert_eq!(value.len(), usize::from(value[0] % 16) + 1);
                assert!(value.iter().all(|byte| *byte == value[0]));
                seen += 1;
            }
        }
    });
}

#[test]
fn who_holds_the_lock_for_ever_is_waited_for_with_patience() {
    let cache = Cache::create(SMALL).unwrap();
    let held = table(&cache);
    let waited = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let busy = cache.lock(Duration::ZERO).err().map(|error| error.raw_os_error());
            let late = cache.lock(Duration::from_millis(20)).err().map(|error| error.kind());
            (busy, late)
        });
        other.join().unwrap()
    });
    drop(held);
    let busy = Some(Some(nix::libc::EBUSY));
    assert_eq!(waited, (busy, Some(io::ErrorKind::TimedOut)));
    drop(table(&cache));
}

#[test]
fn memory_of_another_shape_is_refused() {
    let cache = Cache::create(SMALL).unwrap();
    let fd = || cache.memory().try_clone_to_owned().unwrap();
    assert!(Cache::open(fd(), SMALL).is_ok());
    let other = Geometry { items: 7, blocks: 7, ..SMALL };
    assert!(Cache::open(fd(), other).unwrap_err().contains("bytes, not"));
    let other = Geometry { recency: true, ..SMALL };
    assert!(Cache::open(fd(), other).unwrap_err().contains("divided"));
}

#[test]
fn a_file_brings_back_what_has_not_expired() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("cache");
    let cache = Cache::create(SMALL).unwrap();
    assert_eq!(store::load(&cache, &path), Ok(0));
    set(&cache, "stays", b"1", 0).unwrap();
    set(&cache, "lasts", b"22", now() + 60_000).unwrap();
    set(&cache, "empty", b"", 0).unwrap();
    store::save(&cache, &path).unwrap();
    let next = Cache::create(SMALL).unwrap();
    assert_eq!(store::load(&next, &path), Ok(3));
    assert_eq!(sorted(table(&next).keys(now())), ["empty", "lasts", "stays"]);
    assert_eq!(sorted(table(&next).keys(now() + 61_000)), ["empty", "stays"]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn what_a_writer_that_has_died_leaves_is_stored() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("cache");
    let cache = Cache::create(SMALL).unwrap();
    set(&cache, "one", b"1", 0).unwrap();
    std::thread::scope(|scope| {
        let dies = || {
            crash::after(Some(2));
            let _ = set(&cache, "two", b"22", 0);
        };
        assert!(scope.spawn(dies).join().is_err());
    });
    assert_eq!(cache.peek(b"one", now()), None, "it was not in the middle of it");
    store::save(&cache, &path).unwrap();
    let next = Cache::create(SMALL).unwrap();
    assert_eq!(store::load(&next, &path), Ok(1));
}

#[test]
fn a_file_that_is_cut_or_changed_anywhere_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("cache");
    let cache = Cache::create(SMALL).unwrap();
    set(&cache, "one", b"1", 0).unwrap();
    set(&cache, "two", b"22", 0).unwrap();
    store::save(&cache, &path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for index in 0..whole.len() {
        for text in [whole[..index].to_vec(), {
            let mut changed = whole.clone();
            changed[index] ^= 0x55;
            changed
        }] {
            std::fs::write(&path, text).unwrap();
            let next = Cache::create(SMALL).unwrap();
            assert!(store::load(&next, &path).is_err(), "{index}");
            assert_eq!(table(&next).keys(now()), Vec::<Vec<u8>>::new());
        }
    }
}
