//! Static files: from a request to a file, or to the application.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use rwsgi_core::config;
use rwsgi_core::config::files::{Compressed, Expiry};
use rwsgi_protocol::accept_encoding::{Coding, accepted};

use crate::body::Answer;
use crate::error::FileError;
use crate::freshness::{self, Known};
use crate::media_type::MediaTypes;
use crate::open::{Opened, Thing, open};
use crate::place::Place;
use crate::representation;
use crate::root::{Root, admit};

/// All that is served from the disk.
#[derive(Debug)]
pub struct Files {
    places: Vec<Place>,
    pub(crate) safe: Vec<Root>,
    index: Vec<String>,
    skipped: Vec<String>,
    pub(crate) types: MediaTypes,
    expiries: Vec<Expiry>,
    compressed: Compressed,
    pub(crate) sendfile: Vec<Root>,
    pub(crate) accel: Vec<Place>,
}

/// What there is for a request.
#[derive(Debug)]
pub enum Found {
    /// A file, or what is to be said about it.
    Answer(Answer),
    /// Nothing: the application answers.
    Miss,
    /// A file that must not or cannot be sent. The application answers, and somebody should know.
    Refused(FileError),
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    method: &'a Method,
    path_info: &'a [u8],
    target: &'a [u8],
    fields: &'a dyn Fn() -> HeaderMap,
}

impl Files {
    /// Files as configured. Without any, nothing is looked for, not even tables of media types.
    pub fn new(config: &config::Files) -> Self {
        let checked = config.checked.iter().cloned().map(Place::everywhere);
        let mapped = config.maps.iter().map(Place::mapped);
        let mut files = Self {
            places: checked.chain(mapped).collect(),
            safe: Root::all(&config.safe),
            index: config.index.clone(),
            skipped: config.skipped.clone(),
            types: MediaTypes::default(),
            expiries: config.expiries.clone(),
            compressed: config.compressed.clone(),
            sendfile: Root::all(&config.sendfile),
            accel: config.accel.iter().map(Place::mapped).collect(),
        };
        if !files.is_empty() {
            files.types = MediaTypes::read(&config.mime_files);
        }
        files
    }

    /// Whether there is nothing to serve, and nothing that an application could name.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.sendfile.is_empty() && self.accel.is_empty()
    }

    /// The media type of a file of this name.
    pub fn media_type(&self, path: &Path) -> HeaderValue {
        self.types.of(path)
    }

    /// What there is for a request: `path_info` is the decoded path, `target` the path and query as
    /// they were sent.
    pub fn answer(
        &self,
        method: &Method,
        path_info: &[u8],
        target: &[u8],
        fields: &dyn Fn() -> HeaderMap,
    ) -> Found {
        let reads = *method == Method::GET || *method == Method::HEAD;
        if self.places.is_empty() || !reads || self.skips(path_info) {
            return Found::Miss;
        }
        let asked = Asked { method, path_info, target, fields };
        let mut refusal = None;
        for place in &self.places {
            match self.at(place, asked) {
                Ok(Some(answer)) => return Found::Answer(answer),
                Ok(None) => {}
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        refusal.map_or(Found::Miss, Found::Refused)
    }

    /// What there is in one place. A path that ends with a slash is never opened itself.
    fn at(&self, place: &Place, asked: Asked<'_>) -> Result<Option<Answer>, FileError> {
        let Some(path) = place.locate(asked.path_info) else { return Ok(None) };
        let has_slash = matches!(asked.path_info, [] | [.., b'/']);
        if !has_slash {
            match open(&path)? {
                Thing::File(opened) => return self.send(place, &path, opened, asked),
                Thing::Nothing => return Ok(None),
                Thing::Directory => {}
            }
        }
        for name in self.index.iter().filter(|name| !self.skips(name.as_bytes())) {
            let path = path.join(name);
            let Thing::File(opened) = open(&path)? else { continue };
            if has_slash {
                return self.send(place, &path, opened, asked);
            }
            let there = admit(&path, opened, self.roots(place))?;
            return Ok(there.and_then(|_| redirect(asked.target)));
        }
        Ok(None)
    }

    fn skips(&self, path: &[u8]) -> bool {
        self.skipped.iter().any(|end| path.ends_with(end.as_bytes()))
    }

    /// Where files of `place` may really be.
    pub(crate) fn roots<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Root> + Clone {
        std::iter::once(&place.root).chain(&self.safe)
    }

    /// Sends a file, or a compressed sibling of it.
    fn send(
        &self,
        place: &Place,
        path: &Path,
        opened: Opened,
        asked: Asked<'_>,
    ) -> Result<Option<Answer>, FileError> {
        let mut head = Response::new(());
        let ours = head.headers_mut();
        ours.insert(CONTENT_TYPE, self.types.of(path));
        let fields = (asked.fields)();
        let mut sibling = None;
        if self.has_siblings(path) {
            ours.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            sibling = self.sibling(place, path, &fields);
        }
        let opened = match sibling {
            Some((coding, opened)) => {
                ours.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
                opened
            }
            None => match admit(path, opened, self.roots(place))? {
                Some(opened) => opened,
                None => return Ok(None),
            },
        };
        let now = SystemTime::now();
        let Asked { method, path_info, target, .. } = asked;
        let known = Known { path, path_info, target, modified: opened.facts.modified().ok() };
        freshness::add(ours, &self.expiries, known, now);
        let body = representation::send(&mut head, opened, method, &fields, now);
        Ok(Some(Answer { head, body: (!body.segments.is_empty()).then_some(body) }))
    }

    fn has_siblings(&self, path: &Path) -> bool {
        let Compressed { all, patterns, prefixes, suffixes } = &self.compressed;
        let path = path.as_os_str().as_bytes();
        *all || patterns.iter().any(|pattern| pattern.matches(path))
            || prefixes.iter().any(|prefix| path.starts_with(prefix.as_os_str().as_bytes()))
            || suffixes.iter().any(|suffix| path.ends_with(suffix.as_bytes()))
    }

    /// The compressed sibling that the client likes best. One that cannot be sent is none: the file
    /// itself can.
    fn sibling(&self, place: &Place, path: &Path, fields: &HeaderMap) -> Option<(Coding, Opened)> {
        accepted(fields).find_map(|coding| {
            let mut path = path.as_os_str().to_owned();
            path.push(coding.suffix());
            let path = PathBuf::from(path);
            let Ok(Thing::File(opened)) = open(&path) else { return None };
            let opened = admit(&path, opened, self.roots(place)).ok()??;
            Some((coding, opened))
        })
    }
}

/// From a directory to its index, whose relative links need the slash: relative itself, since a
/// proxy in front may have another path.
fn redirect(target: &[u8]) -> Option<Answer> {
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let name = path.rsplit(|&byte| byte == b'/').next().filter(|name| !name.is_empty())?;
    // Without the dot, a name with a colon would be a scheme.
    let location = HeaderValue::from_bytes(&[b"./", name, b"/", query].concat()).ok()?;
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::MOVED_PERMANENTLY;
    head.headers_mut().insert(LOCATION, location);
    head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    Some(Answer { head, body: None })
}
