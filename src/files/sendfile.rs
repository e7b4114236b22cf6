//! X-Sendfile and X-Accel-Redirect: an application decides who may have a file, and names it; rwsgi
//! sends it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use rwsgi_protocol::path::percent_decode;
use rwsgi_protocol::response::status_forbids_content;

use crate::body::FileBody;
use crate::error::FileError;
use crate::files::Files;
use crate::open::{Opened, Thing, open};
use crate::representation;
use crate::root::{Root, admit};

const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");
const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");

/// What an application says of its own empty body, or what rwsgi knows better.
const REPLACED: [HeaderName; 5] =
    [CONTENT_LENGTH, CONTENT_RANGE, ACCEPT_RANGES, ETAG, LAST_MODIFIED];

impl Files {
    /// Whether a response of the application names a file, so that [`Files::sendfile`] is to
    /// complete it.
    pub fn replaces(&self, head: &Response<()>) -> bool {
        let names = |name: HeaderName| head.headers().contains_key(name);
        (!self.sendfile.is_empty() && names(X_SENDFILE))
            || (!self.accel.is_empty() && names(X_ACCEL_REDIRECT))
    }

    /// Completes a response of the application that names a file. `Some`: this is the body, in place
    /// of the application's, even if it is empty. `None`: no file was named, or the status allows no
    /// content.
    ///
    /// The field is removed in any case, if its option is set; without, it may be meant for a server
    /// in front. Status and fields stay as the application set them, but for those that tell length,
    /// state and part; Content-Type is added where it is missing. As in nginx, the application's own
    /// entity tag does not count: frameworks make it of the empty body.
    ///
    /// # Errors
    /// The file cannot be sent: to be answered with [`FileError::status`].
    pub fn sendfile(
        &self,
        head: &mut Response<()>,
        method: &Method,
        fields: &HeaderMap,
    ) -> Result<Option<FileBody>, FileError> {
        let sendfile = take(head, X_SENDFILE, self.sendfile.is_empty());
        let accel = take(head, X_ACCEL_REDIRECT, self.accel.is_empty());
        if status_forbids_content(head.status()) {
            return Ok(None);
        }
        let (path, opened) = match (&sendfile, &accel) {
            (Some(value), _) => self.by_path(value)?,
            (None, Some(value)) => self.by_prefix(value)?,
            (None, None) => return Ok(None),
        };
        let ours = head.headers_mut();
        for name in REPLACED {
            ours.remove(name);
        }
        ours.entry(CONTENT_TYPE).or_insert_with(|| self.types.of(&path));
        Ok(Some(representation::send(head, opened, method, fields, SystemTime::now())))
    }

    /// The file that X-Sendfile names by its absolute path.
    fn by_path(&self, value: &HeaderValue) -> Result<(Box<Path>, Opened), FileError> {
        let path = Path::new(OsStr::from_bytes(value.as_bytes()));
        if !path.is_absolute() {
            return Err(unmapped(value));
        }
        let opened = only_file(path, self.sendfile.iter().chain(&self.safe))?;
        opened.map(|opened| (path.into(), opened)).ok_or_else(|| FileError::Missing(path.into()))
    }

    /// The file that X-Accel-Redirect names by a path of its own, which is percent-encoded and may
    /// have a query that means nothing here.
    fn by_prefix(&self, value: &HeaderValue) -> Result<(Box<Path>, Opened), FileError> {
        let path = value.as_bytes().split(|&byte| byte == b'?').next().unwrap_or_default();
        let decoded = percent_decode(path);
        let mut failure = unmapped(value);
        for place in &self.accel {
            let Some(path) = place.locate(&decoded) else { continue };
            match only_file(&path, self.roots(place)) {
                Ok(Some(opened)) => return Ok((path.into(), opened)),
                Ok(None) => failure = FileError::Missing(path),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

fn take(head: &mut Response<()>, name: HeaderName, is_off: bool) -> Option<HeaderValue> {
    if is_off { None } else { head.headers_mut().remove(name) }
}

fn only_file<'a>(
    path: &Path,
    roots: impl Iterator<Item = &'a Root> + Clone,
) -> Result<Option<Opened>, FileError> {
    match open(path)? {
        Thing::File(opened) => admit(path, opened, roots),
        Thing::Directory | Thing::Nothing => Ok(None),
    }
}

fn unmapped(value: &HeaderValue) -> FileError {
    FileError::Unmapped(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
