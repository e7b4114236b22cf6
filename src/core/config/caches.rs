//! Caches in shared memory: `cache2`, and `cache` for one without a name.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Context;
use super::error::{Findings, Report, quoted};
use super::paths;
use super::quantity;
use super::settings::Settings;
use super::value::{self, Invalid, Value};
use crate::cache::{Geometry, WhenFull};

/// Most caches of an instance; each is a descriptor.
pub const MOST: usize = 32;
/// The name of the cache of `cache`, as in uWSGI.
pub const DEFAULT: &str = "default";
/// Largest cache: what is not used is not there, but a slip of the pen is not meant either.
const LARGEST: u64 = 1 << 40;

/// What can be written in `cache2`.
pub const EXPECTED: &str = "`items=NUMBER`, and any of `name=`, `blocksize=`, `blocks=`, `bitmap=1`, `keysize=`, \
     `hashsize=`, `purge_lru=1`, `clear_on_full=1`, `ignore_full=1`, `store=FILE`, \
     `store_sync=SECONDS`, `store_delete=1`, with commas between";

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSpec {
    /// By which the application calls it.
    pub name: String,
    /// Its size.
    pub geometry: Geometry,
    /// What gives way.
    pub when_full: WhenFull,
    /// It is not logged that there is no room (`ignore_full`).
    pub quiet: bool,
    /// Where it is kept over a restart.
    pub store: Option<Store>,
}

/// A file that has what a cache holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// The file, absolute; in [`Value::Cache`] as written.
    pub path: PathBuf,
    /// How often it is written while the instance runs; zero: when that ends.
    pub every: Duration,
    /// A file that cannot be used is replaced (`store_delete`); otherwise it stays, and nothing is written.
    pub replace: bool,
}

const fn geometry(items: u32) -> Geometry {
    Geometry {
        items,
        blocks: items,
        block_bytes: 65536,
        key_bytes: 2048,
        buckets: 65536,
        chained: false,
        recency: false,
    }
}

/// The caches, in order; the first one is meant where the application names none.
pub(super) fn caches(
    settings: &Settings<'_>,
    context: &Context,
    findings: &mut Findings,
) -> Vec<CacheSpec> {
    let mut caches: Vec<CacheSpec> = Vec::new();
    for setting in settings.all(&["cache", "cache2"]) {
        let mut spec = match &setting.value {
            Value::Cache(spec) => (**spec).clone(),
            Value::Number(items) => simple(u32::try_from(*items).unwrap_or(u32::MAX), settings),
            _ => continue,
        };
        let report = |why: &str| {
            Report::new(format!("{} {why}", quoted(setting.raw))).at_value(&setting.raw.origin)
        };
        if let Some(store) = &mut spec.store {
            store.path = paths::absolute(&context.cwd, &store.path);
            if let Err(obstacle) = paths::parent(&store.path) {
                let subject = format!("{}: its store cannot be written", quoted(setting.raw));
                findings.warn(obstacle.report(&subject, &setting.raw.origin));
            }
        }
        let store = |spec: &CacheSpec| spec.store.as_ref().map(|store| store.path.clone());
        if caches.iter().any(|other| other.name == spec.name) {
            let why = format!("has the name of another cache, `{}`", spec.name);
            findings.error(report(&why).expected("a `name=` of its own"));
        } else if spec.store.is_some() && caches.iter().any(|other| store(other) == store(&spec)) {
            findings.error(report("has the store of another cache").expected("a file of its own"));
        } else if caches.len() == MOST {
            findings.error(report("is one too many").expected(format!("{MOST} caches at most")));
        } else {
            caches.push(spec);
        }
    }
    for name in ["cache-blocksize", "cache-store", "cache-store-sync"] {
        if let (Some(setting), None) = (settings.last(name), settings.last("cache")) {
            let report = Report::new(format!("{} has no effect", quoted(setting.raw)));
            let report = report.at_key(&setting.raw.origin);
            findings.warn(report.help("it is for the cache of `cache = NUMBER`"));
        }
    }
    caches
}

fn simple(items: u32, settings: &Settings<'_>) -> CacheSpec {
    let mut geometry = geometry(items);
    if let Some(bytes) = settings.small("cache-blocksize") {
        geometry.block_bytes = bytes;
    }
    let every = Duration::from_secs(settings.number("cache-store-sync").unwrap_or(0));
    let store = match settings.value("cache-store") {
        Some(Value::Path(path)) => Some(Store { path, every, replace: false }),
        _ => None,
    };
    let name = DEFAULT.to_owned();
    CacheSpec { name, geometry, when_full: WhenFull::Refuse, quiet: false, store }
}

/// Reads the value of `cache2`.
pub(super) fn cache(text: &str) -> Result<Value, Invalid> {
    let mut spec = CacheSpec {
        name: DEFAULT.to_owned(),
        geometry: geometry(0),
        when_full: WhenFull::Refuse,
        quiet: false,
        store: None,
    };
    let (mut blocks, mut path) = (None, None);
    let (mut every, mut replace) = (Duration::ZERO, false);
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').map_or((pair, "1"), |(k, v)| (k.trim(), v.trim()));
        let number = |least: u64, most: u64| bounded(key, value, least, most);
        match key {
            "name" => spec.name = name(value)?,
            "items" | "max_items" | "maxitems" => spec.geometry.items = number(1, 1 << 30)?,
            "blocks" => blocks = Some(number(1, 1 << 31)?),
            "blocksize" | "block_size" => spec.geometry.block_bytes = number(8, 1 << 30)?,
            "keysize" | "key_size" => spec.geometry.key_bytes = number(1, 65535)?,
            "hashsize" | "hash_size" => spec.geometry.buckets = number(1, 1 << 30)?,
            "bitmap" | "use_blocks_bitmap" => spec.geometry.chained = switch(key, value)?,
            "purge_lru" | "lru" => {
                spec.geometry.recency = switch(key, value)?;
                if spec.geometry.recency {
                    spec.when_full = WhenFull::DropOldest;
                }
            }
            "clear_on_full" => {
                if switch(key, value)? && spec.when_full == WhenFull::Refuse {
                    spec.when_full = WhenFull::Clear;
                }
            }
            "ignore_full" => spec.quiet = switch(key, value)?,
            "store" if !value.is_empty() => path = Some(PathBuf::from(value)),
            "store_sync" | "storesync" => every = Duration::from_secs(number(0, 86400)?.into()),
            "store_delete" | "storedelete" => replace = switch(key, value)?,
            // Nothing sweeps, so there is nothing to say of it; and the hash is chosen already.
            "sweep_on_full" | "lazy" | "lazy_expire" | "no_expire" | "hash" | "expire_freq"
            | "lastmod" | "use_last_modified" | "math_initial" => {}
            "nodes" | "node" | "udp" | "udpservers" | "udp_servers" | "sync" => {
                return Err(Invalid::new(format!(
                    "has `{key}=`: caches are not spread over machines"
                ))
                .help("remove it, or use a cache server such as memcached or Redis"));
            }
            _ => return Err(Invalid::new(format!("has `{key}`, which no cache has"))),
        }
    }
    if spec.geometry.items == 0 {
        return Err(Invalid::new("does not say how many items it can hold")
            .help("write `items=`, such as `name=pages,items=1000`"));
    }
    spec.geometry.blocks = blocks.unwrap_or(spec.geometry.items);
    if !spec.geometry.chained && spec.geometry.blocks < spec.geometry.items {
        let (blocks, items) = (spec.geometry.blocks, spec.geometry.items);
        return Err(Invalid::new(format!("has fewer blocks ({blocks}) than items ({items})"))
            .help("each item has a block, unless there is `bitmap=1`"));
    }
    let bytes = spec.geometry.bytes().map(|bytes| bytes as u64);
    if bytes.is_none_or(|bytes| bytes > LARGEST) {
        return Err(Invalid::new("is larger than 1 TiB")
            .help("its size is `items` times `keysize` and `blocks` times `blocksize`"));
    }
    match path {
        Some(path) => spec.store = Some(Store { path, every, replace }),
        None if every.is_zero() && !replace => {}
        None => return Err(Invalid::new("has no `store=` for `store_sync` and `store_delete`")),
    }
    Ok(Value::Cache(Box::new(spec)))
}

fn bounded<N: TryFrom<u64>>(key: &str, text: &str, least: u64, most: u64) -> Result<N, Invalid> {
    let number = quantity::bytes(text).ok().filter(|number| (least..=most).contains(number));
    number.and_then(|number| N::try_from(number).ok()).ok_or_else(|| {
        let expected = format!("write a number from {least} to {most}");
        Invalid::new(format!("has `{key}={text}`")).help(expected)
    })
}

fn switch(key: &str, text: &str) -> Result<bool, Invalid> {
    value::switch(text).map_err(|_| {
        Invalid::new(format!("has `{key}={text}`")).help(format!("write `{key}=1` or `{key}=0`"))
    })
}

fn name(text: &str) -> Result<String, Invalid> {
    if text.is_empty() || text.contains('@') {
        let problem = format!("has `name={text}`: what the application calls it by cannot be that");
        return Err(Invalid::new(problem).help("write a name without `@`"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CacheSpec, String> {
        match cache(text) {
            Ok(Value::Cache(spec)) => Ok(*spec),
            Ok(other) => panic!("{other:?}"),
            Err(invalid) => Err(invalid.problem),
        }
    }

    #[test]
    fn what_is_not_said_is_as_in_uwsgi() {
        let spec = read("name=pages,items=100").unwrap();
        assert_eq!((spec.name.as_str(), spec.geometry), ("pages", geometry(100)));
        assert_eq!((spec.when_full, spec.quiet, spec.store), (WhenFull::Refuse, false, None));
        assert_eq!(read("items=5").unwrap().name, DEFAULT);
    }

    #[test]
    fn everything_can_be_said() {
        let text = "name=a, items=10, blocksize=4k, blocks=40, bitmap=1, keysize=64, hashsize=7, \
                    purge_lru=1, ignore_full=1, store=x.cache, store_sync=30, store_delete, lazy=1";
        let spec = read(text).unwrap();
        let Geometry { items, blocks, block_bytes, key_bytes, buckets, chained, recency } =
            spec.geometry;
        assert_eq!((items, blocks, block_bytes, key_bytes, buckets), (10, 40, 4096, 64, 7));
        assert_eq!((chained, recency, spec.quiet), (true, true, true));
        assert_eq!(spec.when_full, WhenFull::DropOldest);
        let store = spec.store.unwrap();
        assert_eq!(
            (store.path, store.every.as_secs(), store.replace),
            ("x.cache".into(), 30, true)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, problem) in [
            ("name=x", "does not say how many items"),
            ("items=0", "`items=0`"),
            ("items=many", "`items=many`"),
            ("items=1,foo=1", "has `foo`"),
            ("items=9,blocks=5", "fewer blocks (5) than items (9)"),
            ("items=9,bitmap=perhaps", "`bitmap=perhaps`"),
            ("items=9,name=a@b", "`name=a@b`"),
            ("items=9,nodes=10.0.0.1:3031", "not spread over machines"),
            ("items=9,store_sync=3", "no `store=`"),
            ("items=1g,blocksize=1g", "larger than 1 TiB"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
