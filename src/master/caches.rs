//! The caches that workers share (`cache2`): made before who uses them, kept over reloads, handed to the
//! program that takes over, and written to their stores.
//!
//! A cache belongs to its name and its size: a reload that changes the size begins with an empty one,
//! while workers of the generation before go on with theirs. Writing is done by a thread of its own,
//! at most one at a time; only the end of the instance waits for it.

use std::collections::BTreeSet;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
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
    /// Files where stores should be, that cannot be read as such and are not to be touched.
    foreign: BTreeSet<PathBuf>,
    writer: Option<JoinHandle<Vec<PathBuf>>>,
}

#[derive(Debug)]
struct Kept {
    name: String,
    cache: Arc<Cache>,
    /// Where it was stored last, and what had been written to the cache by then.
    stored: Option<(PathBuf, u64)>,
    due: Instant,
}

impl Kept {
    /// A cache that has what its store has.
    fn new(spec: &CacheSpec, cache: Cache) -> Self {
        let changes = cache.figures().changes;
        let stored = spec.store.as_ref().map(|store| (store.path.clone(), changes));
        let every = spec.store.as_ref().map_or(Duration::ZERO, |store| store.every);
        let (name, cache) = (spec.name.clone(), Arc::new(cache));
        Self { name, cache, stored, due: Instant::now() + every }
    }

    fn is(&self, spec: &CacheSpec) -> bool {
        self.name == spec.name && *self.cache.geometry() == spec.geometry
    }

    /// Where it is written to, if it is one of the configuration that serves.
    fn store<'a>(&self, serving: &'a Config) -> Option<&'a Store> {
        serving.caches.iter().find(|spec| self.is(spec))?.store.as_ref()
    }

    /// What will have been stored when it is written to `path` now; `None` when that is so already.
    fn news(&self, path: &Path) -> Option<(PathBuf, u64)> {
        let news = (path.to_owned(), self.cache.figures().changes);
        (self.stored.as_ref() != Some(&news)).then_some(news)
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

    /// Those that an earlier program has handed over, and the stores that it would not have written to.
    /// One that has another layout is not used: then it begins empty.
    ///
    /// # Errors
    /// A sentence, when a descriptor is missing.
    pub fn resume(
        config: &Config,
        handed: Vec<(String, Geometry, RawFd)>,
        foreign: Vec<PathBuf>,
        mut take: impl FnMut(RawFd) -> Result<OwnedFd, String>,
    ) -> Result<Self, String> {
        let foreign = foreign.into_iter().collect();
        let mut caches = Self { foreign, ..Self::default() };
        for (name, geometry, fd) in handed {
            let fd = take(fd)?;
            let is_same = |spec: &&CacheSpec| spec.name == name && spec.geometry == geometry;
            let Some(spec) = config.caches.iter().find(is_same) else { continue };
            match Cache::open(fd, geometry) {
                Ok(cache) => {
                    caches.kept.push(Kept { stored: None, ..Kept::new(spec, cache) });
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
            if self.kept.iter().any(|kept| kept.is(spec)) {
                self.inspect(spec);
                continue;
            }
            let cache = Cache::create(spec.geometry).map_err(|error| {
                let name = &spec.name;
                format!("cannot make the memory of the cache `{name}`: {error}; make it smaller")
            })?;
            self.fill(&cache, spec);
            self.kept.push(Kept::new(spec, cache));
        }
        Ok(())
    }

    /// Fills a new cache from its store.
    fn fill(&mut self, cache: &Cache, spec: &CacheSpec) {
        let Some(store) = &spec.store else { return };
        self.foreign.remove(&store.path);
        match store::load(cache, &store.path) {
            Ok(0) => {}
            Ok(count) => {
                let (name, path) = (&spec.name, store.path.display());
                let message = format!("the cache `{name}` begins with {count} items of {path}");
                log::info(Said::Cache, message).send();
            }
            Err(why) => self.refuse(spec, store, "begins empty", &why),
        }
    }

    /// Looks at the store that a cache is to have from now on: what else is there stays.
    fn inspect(&mut self, spec: &CacheSpec) {
        let Some(store) = &spec.store else { return };
        match store::is_there(&store.path) {
            seen if store.replace || seen == Ok(false) => {
                self.foreign.remove(&store.path);
            }
            Err(why) if !self.foreign.contains(&store.path) => {
                self.refuse(spec, store, "is not stored", &why);
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn refuse(&mut self, spec: &CacheSpec, store: &Store, outcome: &str, why: &str) {
        let what = if store.replace {
            "it will be replaced"
        } else {
            self.foreign.insert(store.path.clone());
            "it is left as it is and not written: remove it, or add `store_delete=1`"
        };
        let (name, path) = (&spec.name, store.path.display());
        let message = format!("the cache `{name}` {outcome}: {path}: {why}; {what}");
        log::warning(Said::Cache, message).send();
    }

    /// The memories of those of `config`, in its order.
    pub fn memories(&self, config: &Config) -> Vec<BorrowedFd<'_>> {
        let of = |spec| self.kept.iter().find(|kept| kept.is(spec));
        config.caches.iter().filter_map(of).map(|kept| kept.cache.memory()).collect()
    }

    /// All of them, by name.
    pub fn each(&self) -> impl Iterator<Item = (&str, &Cache)> {
        self.kept.iter().map(|kept| (kept.name.as_str(), &*kept.cache))
    }

    /// All of them, to hand over.
    pub fn parts(&self) -> impl Iterator<Item = (&str, Geometry, BorrowedFd<'_>)> {
        self.kept
            .iter()
            .map(|kept| (kept.name.as_str(), *kept.cache.geometry(), kept.cache.memory()))
    }

    /// Files that cannot be read as a store and are not to be touched.
    pub fn foreign(&self) -> Vec<PathBuf> {
        self.foreign.iter().cloned().collect()
    }

    /// When the next one is to be looked at.
    fn due(&self, serving: &Config) -> Option<Instant> {
        let is_regular = |kept: &&Kept| kept.store(serving).is_some_and(|it| !it.every.is_zero());
        self.kept.iter().filter(is_regular).map(|kept| kept.due).min()
    }

    /// Has what is due, and has changed, be written. Only for the configuration that serves: other
    /// caches are there, too, of a reload that goes on, has failed or has changed a size.
    fn save_due(&mut self, serving: &Config, now: Instant) {
        if self.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            self.await_writer();
        }
        let (is_writing, mut due) = (self.writer.is_some(), Vec::new());
        for kept in &mut self.kept {
            let Some(store) = kept.store(serving).filter(|store| !store.every.is_zero()) else {
                continue;
            };
            if kept.due > now {
                continue;
            }
            kept.due = now + store.every;
            let is_ours = !is_writing && !self.foreign.contains(&store.path);
            if let Some(news) = kept.news(&store.path).filter(|_| is_ours) {
                due.push((kept.name.clone(), Arc::clone(&kept.cache), store.path.clone()));
                kept.stored = Some(news);
            }
        }
        if due.is_empty() {
            return;
        }
        let paths: Vec<_> = due.iter().map(|(_, _, path)| path.clone()).collect();
        let write = move || {
            signals::block_all();
            due.retain(|(name, cache, path)| !save(name, cache, path));
            due.into_iter().map(|(_, _, path)| path).collect()
        };
        match std::thread::Builder::new().stack_size(256 * 1024).spawn(write) {
            Ok(writer) => self.writer = Some(writer),
            // It is written when the instance ends, or the next time.
            Err(_) => self.forget_stored(&paths),
        }
    }

    /// Waits for the thread; what it could not write is tried again.
    fn await_writer(&mut self) {
        if let Some(failed) = self.writer.take().and_then(|writer| writer.join().ok()) {
            self.forget_stored(&failed);
        }
    }

    fn forget_stored(&mut self, paths: &[PathBuf]) {
        for kept in &mut self.kept {
            kept.stored.take_if(|(path, _)| paths.contains(path));
        }
    }

    /// Writes all that has changed, and waits until that is done.
    fn save_all(&mut self, serving: &Config) {
        self.await_writer();
        for kept in &self.kept {
            let store = kept.store(serving).filter(|store| !self.foreign.contains(&store.path));
            if let Some(Store { path, .. }) = store
                && kept.news(path).is_some()
            {
                save(&kept.name, &kept.cache, path);
            }
        }
    }
}

/// Whether it was written.
fn save(name: &str, cache: &Cache, path: &Path) -> bool {
    let saved = store::save(cache, path);
    if let Err(error) = &saved {
        let path = path.display();
        let message = format!("the cache `{name}` cannot be written to {path}: {error}");
        log::error(Said::Cache, message).send();
    }
    saved.is_ok()
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
        self.instance.caches.due(&self.instance.config)
    }

    pub(crate) fn save_caches_if_due(&mut self) {
        let instance = &mut self.instance;
        instance.caches.save_due(&instance.config, Instant::now());
    }

    /// No worker is left that writes.
    pub(crate) fn save_caches(&mut self) {
        let instance = &mut self.instance;
        instance.caches.save_all(&instance.config);
    }
}
