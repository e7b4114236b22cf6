//! The names of what clients and web servers say, and what becomes of it in environs.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rwsgi_core::hash::Seed;

use crate::ffi::latin1;

/// Names that are remembered; a client can send any.
const REMEMBERED: usize = 512;
/// The longest value that is remembered.
const LONGEST: usize = 256;
/// How often in succession a value is remembered in vain.
const TRIES: u8 = 16;
/// Fields, and variables of web servers, whose values come again and are no secrets: all others are kept no
/// longer than their requests.
const KEPT: [&str; 34] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "dnt",
    "document-root",
    "gateway-interface",
    "host",
    "https",
    "origin",
    "pragma",
    "priority",
    "remote-addr",
    "request-method",
    "request-scheme",
    "script-name",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "server-name",
    "server-port",
    "server-protocol",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
];

/// Names, as they come. They come in the same order again and again, so the one that came after the last
/// one is tried first.
pub(crate) struct Names<'py> {
    /// Behind one that is none, after which the first ones come.
    known: Vec<Known<'py>>,
    places: HashMap<Box<[u8]>, usize, Seed>,
}

/// A name that is remembered.
pub(crate) struct Known<'py> {
    name: Box<[u8]>,
    pub(crate) key: Key<'py>,
    last: Last<'py>,
    /// The place of the one that came after it.
    next: usize,
}

/// What becomes of a field or variable.
#[derive(Clone)]
pub(crate) enum Key<'py> {
    /// It must not reach the application.
    Dropped,
    /// It becomes this variable.
    Plain(Bound<'py, PyString>),
    /// The same, if who sent it may speak for others.
    Forwarding(Bound<'py, PyString>),
}

/// The value that came last: of many fields all clients send the same, and one client the same again.
struct Last<'py> {
    value: Option<(Box<[u8]>, Bound<'py, PyString>)>,
    /// How often in succession it was remembered in vain.
    misses: u8,
}

/// Where a walk through the names of a request is.
#[derive(Default)]
pub(crate) struct Walk {
    /// The place of the last one.
    before: usize,
}

impl<'py> Names<'py> {
    pub(crate) fn new() -> Self {
        let mut names = Self { known: Vec::new(), places: HashMap::default() };
        names.add(b"", Key::Dropped);
        names
    }

    /// What is known of the next name of a request.
    #[inline]
    pub(crate) fn find(&mut self, name: &[u8], walk: &mut Walk) -> Option<&mut Known<'py>> {
        let mut place = self.known.get(walk.before)?.next;
        if self.known.get(place).is_none_or(|known| *known.name != *name) {
            place = *self.places.get(name)?;
            self.known.get_mut(walk.before)?.next = place;
        }
        walk.before = place;
        self.known.get_mut(place)
    }

    /// What is known of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Known<'py>> {
        self.places.get(name).and_then(|place| self.known.get(*place))
    }

    /// Whether there is room for another one.
    pub(crate) fn have_room(&self) -> bool {
        self.known.len() < REMEMBERED
    }

    /// Remembers one.
    pub(crate) fn add(&mut self, name: &[u8], key: Key<'py>) {
        let place = self.known.len();
        self.places.insert(name.into(), place);
        self.known.push(Known { name: name.into(), key, last: Last::of(name), next: place + 1 });
    }
}

impl<'py> Known<'py> {
    /// Whether it never reaches an application.
    #[inline]
    pub(crate) fn is_dropped(&self) -> bool {
        matches!(self.key, Key::Dropped)
    }

    /// Sets it in an environ if it is plain: returns whether it is.
    #[inline]
    pub(crate) fn set(&mut self, environ: &Bound<'py, PyDict>, value: &[u8]) -> PyResult<bool> {
        let Key::Plain(key) = &self.key else { return Ok(false) };
        self.last.set(environ, key, value)?;
        Ok(true)
    }
}

impl<'py> Last<'py> {
    fn of(name: &[u8]) -> Self {
        let letter = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        let field = name.strip_prefix(b"HTTP_").unwrap_or(name);
        let is_kept = KEPT.iter().any(|kept| field.iter().map(letter).eq(kept.bytes()));
        Self { value: None, misses: if is_kept { 0 } else { TRIES } }
    }

    fn set(
        &mut self,
        environ: &Bound<'py, PyDict>,
        key: &Bound<'py, PyString>,
        value: &[u8],
    ) -> PyResult<()> {
        if let Some((known, string)) = &self.value
            && **known == *value
        {
            self.misses = 0;
            return environ.set_item(key, string);
        }
        let string = latin1(environ.py(), value)?;
        environ.set_item(key, &string)?;
        if self.misses < TRIES && value.len() <= LONGEST {
            self.misses += 1;
            self.value = Some((value.into(), string));
        }
        Ok(())
    }
}
