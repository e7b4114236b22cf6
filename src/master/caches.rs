//! The caches that workers share (`cache2`): made before who uses them, kept over reloads, handed to the
//! program that takes over, and written to their stores.
//!
//! A cache belongs to its name and its size: a reload that changes the size begins with an empty one,
//! while workers of the generation before go on with theirs. Writing is done by a thread of its own,
//! at most one at a time; only the end of the instance waits for it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rwsgi_core::cache::{Cache, Geometry, store};
use rwsgi_core::config::caches::Store;
use rwsgi_core::config::{CacheSpec, Config};
use rwsgi_core::log::{self, Event as Said};

use crate::event::Generation;
use crate::master::Master;
use crate::signals;

/// All that there are.
#[derive(Debug, Default)]
pub struct Caches {
    kept: Vec<Kept>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Kept {
    name: String,
    cache: Arc<Cache>,
    /// Where it is written to.
    store: Option<Store>,
    /// What is there cannot be read, and is not to be touched.
    is_foreign: bool,
    /// What had been written to the cache when it was last stored.
    stored: u64,
    due: Instant,
}

impl Kept {
    fn new(spec: &CacheSpec, cache: Cache) -> Self {
        let every = spec.store.as_ref().map_or(Duration::ZERO, |store| store.every);
        let stored = cache.figures().changes;
        let (name, cache, store) = (spec.name.clone(), Arc::new(cache), spec.store.clone());
        Self { name, cache, store, is_foreign: false, stored, due: Instant::now() + every }
    }

    fn is(&self, spec: &CacheSpec) -> bool {
        self.name == spec.name && *self.cache.geometry() == spec.geometry
    }

    /// The store, if something has been written to the cache since.
    fn outdated(&self) -> Option<&Store> {
        let store = self.store.as_ref().filter(|_| !self.is_foreign);
        store.filter(|_| self.cache.figures().changes != self.stored)
    }
}

impl Caches {
    /// Those of `config`, all of them there.
    ///
    /// # Errors
    /// A sentence: which one cannot be made, and why.
    pub fn make(config: &Config) -> Result<Self, String> {
        let mut caches = Self::default();
        caches.provide(config, config)?;
        Ok(caches)
    }

    /// Those that an earlier program has handed over. One that has another layout is not used: then
    /// it begins empty.
    ///
    /// # Errors
    /// A sentence, when a descriptor is missing.
    pub fn resume(
        config: &Config,
        handed: Vec<(String, Geometry, RawFd)>,
        mut take: impl FnMut(RawFd) -> Result<OwnedFd, String>,
    ) -> Result<Self, String> {
        let mut caches = Self::default();
        for (name, geometry, fd) in handed {
            let fd = take(fd)?;
            let is_same = |spec: &&CacheSpec| spec.name == name && spec.geometry == geometry;
            let Some(spec) = config.caches.iter().find(is_same) else { continue };
            match Cache::open(fd, geometry) {
                Ok(cache) => {
                    let kept = Kept::new(spec, cache);
                    caches.kept.push(Kept { stored: u64::MAX, ..kept });
                }
                Err(why) => {
                    log::warning(Said::Cache, format!("the cache `{name}` begins empty: {why}"))
                        .send();
                }
            }
        }
        Ok(caches)
    }

    /// Has all caches of `config` be there, and forgets those that neither that nor `serving` has.
    ///
    /// # Errors
    /// A sentence: which one cannot be made, and why.
    pub fn provide(&mut self, config: &Config, serving: &Config) -> Result<(), String> {
        let wanted = || config.caches.iter().chain(&serving.caches);
        self.kept.retain(|kept| wanted().any(|spec| kept.is(spec)));
        for spec in &config.caches {
            if let Some(kept) = self.kept.iter_mut().find(|kept| kept.is(spec)) {
                if kept.store != spec.store {
                    kept.store.clone_from(&spec.store);
                    kept.is_foreign = false;
                    kept.stored = u64::MAX;
                }
                continue;
            }
            let cache = Cache::create(spec.geometry).map_err(|error| {
                let name = &spec.name;
                format!("cannot make the memory of the cache `{name}`: {error}; make it smaller")
            })?;
            let is_usable = fill(&cache, spec);
            let mut kept = Kept::new(spec, cache);
            kept.is_foreign = !is_usable;
            self.kept.push(kept);
        }
        Ok(())
    }

    /// The memories of those of `config`, in its order.
    pub fn memories(&self, config: &Config) -> Vec<BorrowedFd<'_>> {
        let of = |spec| self.kept.iter().find(|kept| kept.is(spec));
        config.caches.iter().filter_map(of).map(|kept| kept.cache.memory()).collect()
    }

    /// All of them, to hand over.
    pub fn parts(&self) -> impl Iterator<Item = (&str, Geometry, BorrowedFd<'_>)> {
        self.kept
            .iter()
            .map(|kept| (kept.name.as_str(), *kept.cache.geometry(), kept.cache.memory()))
    }

    /// When the next one is to be looked at.
    fn due(&self) -> Option<Instant> {
        let is_regular = |store: &Store| !store.every.is_zero();
        let regular = self.kept.iter().filter(|kept| kept.store.as_ref().is_some_and(is_regular));
        regular.map(|kept| kept.due).min()
    }

    /// Has what is due, and has changed, be written.
    fn save_due(&mut self, now: Instant) {
        let mut due = Vec::new();
        let is_writing = self.writer.as_ref().is_some_and(|writer| !writer.is_finished());
        for kept in &mut self.kept {
            let Some(every) = kept.store.as_ref().map(|store| store.every) else { continue };
            if every.is_zero() || kept.due > now {
                continue;
            }
            kept.due = now + every;
            let path = kept.outdated().map(|store| store.path.clone());
            if let (Some(path), false) = (path, is_writing) {
                kept.stored = kept.cache.figures().changes;
                due.push((kept.name.clone(), Arc::clone(&kept.cache), path));
            }
        }
        if !due.is_empty() {
            let write = move || {
                signals::block_all();
                for (name, cache, path) in due {
                    tell(&name, &path, store::save(&cache, &path));
                }
            };
            // Without a thread it is written when the instance ends.
            self.writer = std::thread::Builder::new().stack_size(256 * 1024).spawn(write).ok();
        }
    }

    /// Writes all that has changed, and waits until that is done.
    fn save_all(&mut self) {
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        for kept in &self.kept {
            if let Some(Store { path, .. }) = kept.outdated() {
                tell(&kept.name, path, store::save(&kept.cache, path));
            }
        }
    }
}

/// Fills a new cache from its store. Whether that can be written to afterwards.
fn fill(cache: &Cache, spec: &CacheSpec) -> bool {
    let Some(Store { path, replace, .. }) = &spec.store else { return true };
    let loaded = store::load(cache, path);
    let (name, path) = (&spec.name, path.display());
    match loaded {
        Ok(0) => true,
        Ok(count) => {
            let message = format!("the cache `{name}` begins with {count} items of {path}");
            log::info(Said::Cache, message).send();
            true
        }
        Err(why) => {
            let what = if *replace {
                "it will be replaced"
            } else {
                "it is left as it is and not written: remove it, or add `store_delete=1`"
            };
            let message = format!("the cache `{name}` begins empty: {path}: {why}; {what}");
            log::warning(Said::Cache, message).send();
            *replace
        }
    }
}

fn tell(name: &str, path: &std::path::Path, saved: io::Result<()>) {
    if let Err(error) = saved {
        let path = path.display();
        let message = format!("the cache `{name}` cannot be written to {path}: {error}");
        log::error(Said::Cache, message).send();
    }
}

impl Master {
    /// Has the caches of `generation` be there.
    pub(crate) fn provide_caches(&mut self, generation: Generation) -> Result<(), String> {
        let Self { instance, pending, state, .. } = self;
        let pending = pending.as_ref().filter(|_| generation != state.generation());
        let serving = &instance.config;
        instance.caches.provide(pending.map_or(serving, |pending| &pending.config), serving)
    }

    pub(crate) fn caches_due(&self) -> Option<Instant> {
        self.instance.caches.due()
    }

    pub(crate) fn save_caches_if_due(&mut self) {
        self.instance.caches.save_due(Instant::now());
    }

    /// No worker is left that writes.
    pub(crate) fn save_caches(&mut self) {
        self.instance.caches.save_all();
    }
}
