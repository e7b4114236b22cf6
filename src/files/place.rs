//! Which directory has what a path asks for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rwsgi_core::config::files::Map;
use rwsgi_protocol::relative_path::RelativePath;

use crate::root::Root;

/// A root, and the paths that stand for what is in it.
#[derive(Debug)]
pub(crate) struct Place {
    /// Without a slash at its end; empty for all paths.
    prefix: Box<[u8]>,
    keeps_prefix: bool,
    pub(crate) root: Root,
}

impl Place {
    pub(crate) fn everywhere(path: PathBuf) -> Self {
        Self { prefix: Box::default(), keeps_prefix: false, root: Root::new(path) }
    }

    pub(crate) fn mapped(map: &Map) -> Self {
        Self {
            prefix: map.prefix.as_bytes().into(),
            keeps_prefix: map.keeps_prefix,
            root: Root::new(map.target.clone()),
        }
    }

    /// Where in it a decoded path is; `None` if it is not for here. `/static` is not the beginning
    /// of `/statically`.
    pub(crate) fn locate(&self, path: &[u8]) -> Option<PathBuf> {
        let rest = path.strip_prefix(&*self.prefix)?;
        if !matches!(rest, [] | [b'/', ..]) {
            return None;
        }
        let relative = RelativePath::new(if self.keeps_prefix { path } else { rest })?;
        let (root, relative) = (self.root.path(), OsStr::from_bytes(relative.as_bytes()));
        let mut full = PathBuf::with_capacity(root.as_os_str().len() + 1 + relative.len());
        full.push(root);
        // Joining an empty path would add a slash, and a root may be a file.
        if !relative.is_empty() {
            full.push(relative);
        }
        Some(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(prefix: &str, keeps_prefix: bool) -> Place {
        let map = Map { prefix: prefix.to_owned(), target: "/no/such".into(), keeps_prefix };
        Place::mapped(&map)
    }

    fn located(place: &Place, path: &str) -> Option<String> {
        place.locate(path.as_bytes()).map(|path| path.into_os_string().into_string().unwrap())
    }

    #[test]
    fn a_prefix_ends_with_a_segment() {
        let removed = place("/static", false);
        assert_eq!(located(&removed, "/static/a.css").as_deref(), Some("/no/such/a.css"));
        assert_eq!(located(&removed, "/static").as_deref(), Some("/no/such"));
        assert_eq!(located(&removed, "/static/").as_deref(), Some("/no/such"));
        for path in ["/statically", "/static../x", "/Static/a", "/", "", "/static/../a"] {
            assert_eq!(located(&removed, path), None, "{path}");
        }
    }

    #[test]
    fn a_prefix_may_stay_or_be_empty() {
        let kept = place("/static", true);
        assert_eq!(located(&kept, "/static/a").as_deref(), Some("/no/such/static/a"));
        let all = place("", false);
        assert_eq!(located(&all, "/a//b").as_deref(), Some("/no/such/a/b"));
        assert_eq!(located(&all, "*"), None);
    }
}
