//! Which of several applications a request is for (`mount`).

use std::cmp::Reverse;

use rwsgi_core::config::{Application, Mount};
use rwsgi_protocol::request::{Head, Request};

/// The prefixes of an instance, the longest first. Empty where there is one application.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    by_length: Vec<Mounted>,
    /// The path tells the mount, and loses it.
    splits: bool,
    /// What is for none is not found.
    only: bool,
}

/// One prefix.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Which callable: an index of `Callables`.
    pub(crate) index: usize,
    /// What the log calls it.
    pub(crate) number: u64,
    /// Begins with a slash and does not end with one.
    pub(crate) prefix: Box<str>,
}

/// A request and its mount.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) mounted: &'a Mounted,
    /// The prefix is to be taken off the path.
    pub(crate) splits: bool,
}

impl Mounts {
    pub(crate) fn new(application: &Application) -> Self {
        let all = application.mounts.iter().enumerate();
        // Before them, the callables have the one at the root, which is found without a prefix.
        let below_root = all.filter(|(_, mount)| !mount.prefix.is_empty());
        // Where there are but mounts, the first of them is the one at the root, too.
        let shared = application.mounts.first().is_some_and(|it| it.target == application.target);
        let first = usize::from(!shared);
        let mounted = |(index, mount): (usize, &Mount)| Mounted {
            index: index + 1,
            number: (index + first) as u64,
            prefix: mount.prefix.as_str().into(),
        };
        let mut by_length: Vec<_> = below_root.map(mounted).collect();
        by_length.sort_by_key(|mounted| Reverse(mounted.prefix.len()));
        Self { by_length, splits: application.manage_script_name, only: application.only_mounts }
    }

    /// The mount that a request is for; `None`: the application at the root.
    #[inline]
    pub(crate) fn find(&self, request: &Request) -> Option<Place<'_>> {
        if self.by_length.is_empty() { None } else { self.look_up(request) }
    }

    /// What of the path of a request is its mount, and not PATH_INFO.
    pub(crate) fn prefix(&self, request: &Request) -> &str {
        self.find(request).filter(|place| place.splits).map_or("", |place| &place.mounted.prefix)
    }

    /// Whether nobody is there for a request.
    #[inline]
    pub(crate) fn misses(&self, request: &Request) -> bool {
        self.only && self.find(request).is_none()
    }

    /// The mount that a path tells.
    pub(crate) fn at(&self, path: &[u8]) -> Option<Place<'_>> {
        let mut mounts = self.by_length.iter().filter(|_| self.splits);
        let mounted = mounts.find(|mounted| is_below(path, &mounted.prefix))?;
        Some(Place { mounted, splits: true })
    }

    fn look_up(&self, request: &Request) -> Option<Place<'_>> {
        let below = self.splits.then(|| self.at(&request.path_info())).flatten();
        if below.is_some() {
            return below;
        }
        let Head::Uwsgi { vars, .. } = &request.head else { return None };
        let named = vars.get(b"UWSGI_APPID").unwrap_or_else(|| vars.script_name());
        let end = named.iter().rposition(|&byte| byte != b'/')?;
        let mounted = self.by_length.iter().find(|it| it.prefix.as_bytes() == &named[..=end])?;
        Some(Place { mounted, splits: false })
    }
}

/// `/a` is the place of `/a` and `/a/b`, not of `/ab`.
fn is_below(path: &[u8], prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.as_bytes());
    matches!(rest.map(<[u8]>::first), Some(None | Some(b'/')))
}
