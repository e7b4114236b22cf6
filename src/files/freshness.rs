//! How long clients may keep a file without asking (`static-expires…`).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES};
use http::{HeaderMap, HeaderValue};
use rwsgi_core::config::files::{Expiry, Subject};
use rwsgi_protocol::date;

use crate::media_type::essence;

/// What a file is known by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) path: &'a Path,
    pub(crate) path_info: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) modified: Option<SystemTime>,
}

/// Adds Cache-Control, and Expires as uWSGI does, if the file has an expiry. `fields` has its media
/// type.
pub(crate) fn add(fields: &mut HeaderMap, expiries: &[Expiry], known: Known<'_>, now: SystemTime) {
    let Some(expiry) = expiries.iter().find(|expiry| applies(&expiry.subject, known, fields))
    else {
        return;
    };
    let begin = if expiry.since_modified { known.modified } else { Some(now) };
    let lifetime = Duration::from_secs(expiry.seconds.into());
    let Some(end) = begin.and_then(|begin| begin.checked_add(lifetime)) else { return };
    let left = end.duration_since(now).unwrap_or_default().as_secs();
    if let Ok(value) = HeaderValue::try_from(format!("max-age={left}")) {
        fields.insert(CACHE_CONTROL, value);
    }
    if let Some(date) = date::format(end) {
        fields.insert(EXPIRES, date);
    }
}

fn applies(subject: &Subject, known: Known<'_>, fields: &HeaderMap) -> bool {
    match subject {
        Subject::File(pattern) => pattern.matches(known.path.as_os_str().as_bytes()),
        Subject::Uri(pattern) => pattern.matches(known.target),
        Subject::PathInfo(pattern) => pattern.matches(known.path_info),
        Subject::Type(name) => fields.get(CONTENT_TYPE).is_some_and(|ours| essence(ours) == *name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn added(subject: Subject, seconds: u32, since_modified: bool) -> Option<(String, String)> {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let known = Known {
            path: Path::new("/srv/a.css"),
            path_info: b"/static/a b.css",
            target: b"/static/a%20b.css?v=1",
            modified: Some(at(1000)),
        };
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
        let never = Expiry {
            subject: Subject::File("^never$".parse().unwrap()),
            seconds: 1,
            since_modified: false,
        };
        let expiries = [never, Expiry { subject, seconds, since_modified }];
        add(&mut fields, &expiries, known, at(3000));
        let text =
            |name| fields.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
        text(CACHE_CONTROL).zip(text(EXPIRES))
    }

    #[test]
    fn each_subject_is_looked_at() {
        let pattern = |text: &str| text.parse().unwrap();
        let subjects = [
            (Subject::File(pattern(r"^/srv/a\.css$")), true),
            (Subject::File(pattern("static")), false),
            (Subject::Uri(pattern(r"%20b\.css\?v=1$")), true),
            (Subject::Uri(pattern(" ")), false),
            (Subject::PathInfo(pattern(r"a b\.css$")), true),
            (Subject::PathInfo(pattern("v=1")), false),
            (Subject::Type("text/css".to_owned()), true),
            (Subject::Type("text".to_owned()), false),
        ];
        for (subject, expected) in subjects {
            assert_eq!(added(subject.clone(), 5, false).is_some(), expected, "{subject:?}");
        }
    }

    #[test]
    fn the_lifetime_begins_now_or_with_the_modification() {
        let css = || Subject::Type("text/css".to_owned());
        let date = |text: &str| format!("Thu, 01 Jan 1970 {text} GMT");
        assert_eq!(added(css(), 600, false), Some(("max-age=600".into(), date("01:00:00"))));
        assert_eq!(added(css(), 2600, true), Some(("max-age=600".into(), date("01:00:00"))));
        assert_eq!(added(css(), 1000, true), Some(("max-age=0".into(), date("00:33:20"))));
    }
}
