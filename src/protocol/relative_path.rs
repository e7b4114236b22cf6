//! From PATH_INFO to a path below a directory, which it cannot leave by its text.
//!
//! What symbolic links do to it is not in the text: whoever opens the file has to look.

use std::borrow::Cow;

/// A path below a directory: no segment of it is empty, `.` or `..`, and it has no NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativePath<'a>(Cow<'a, [u8]>);

impl<'a> RelativePath<'a> {
    /// The path that PATH_INFO, which is decoded, names; `None` if it is none.
    ///
    /// Empty segments are dropped, as the kernel does. Dots are not resolved: clients do that
    /// before they send (RFC 3986, section 5.2.4), so a server only meets them in attacks. All other
    /// bytes are legal in names, backslashes and broken UTF-8 too.
    pub fn new(path_info: &'a [u8]) -> Option<Self> {
        let start = path_info.iter().position(|&byte| byte != b'/').unwrap_or(path_info.len());
        let end = path_info.iter().rposition(|&byte| byte != b'/').map_or(start, |last| last + 1);
        let inner = &path_info[start..end];
        if inner.contains(&b'\0') || inner.split(is_slash).any(|part| matches!(part, b"." | b".."))
        {
            return None;
        }
        Some(Self(if inner.windows(2).any(|pair| pair == b"//") {
            let parts: Vec<_> = inner.split(is_slash).filter(|part| !part.is_empty()).collect();
            Cow::Owned(parts.join(&b'/'))
        } else {
            Cow::Borrowed(inner)
        }))
    }

    /// The path, without a slash at its beginning or end; empty for the directory itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Component, Path};

    fn relative(path_info: &[u8]) -> Option<Vec<u8>> {
        RelativePath::new(path_info).map(|path| path.as_bytes().to_vec())
    }

    #[test]
    fn slashes_are_trimmed_and_empty_segments_dropped() {
        for path_info in ["/a/b.css", "a/b.css", "//a///b.css", "/a/b.css//"] {
            assert_eq!(relative(path_info.as_bytes()).unwrap(), b"a/b.css", "{path_info}");
        }
        for path_info in ["", "/", "///"] {
            assert_eq!(relative(path_info.as_bytes()).unwrap(), b"", "{path_info}");
        }
    }

    #[test]
    fn dots_and_nul_are_no_path() {
        for path_info in ["/..", "/../etc/passwd", "/a/../b", "/a/./b", "/.", "..", "/a/..", "/a\0"]
        {
            assert_eq!(relative(path_info.as_bytes()), None, "{path_info:?}");
        }
    }

    #[test]
    fn names_may_have_dots_backslashes_and_any_bytes() {
        let names: [&[u8]; 5] = [b"...", b".a", b"a..b", b"..\\..\\a", b"\xff\xfe "];
        for name in names {
            assert_eq!(relative(name).unwrap(), name);
        }
    }

    proptest! {
        #[test]
        fn no_path_leaves_its_directory(
            path_info in prop::collection::vec(prop::sample::select(&b"/.a\\\0\xff"[..]), 0..24),
        ) {
            if let Some(path) = RelativePath::new(&path_info) {
                let path = Path::new(OsStr::from_bytes(path.as_bytes()));
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(Path::new("/root").join(path).starts_with("/root"));
            }
        }

        #[test]
        fn plain_paths_stay_what_they_are(path in "[a-z0-9_-]{1,8}(/[a-z0-9_-]{1,8}){0,4}") {
            let path_info = format!("/{path}");
            let relative = RelativePath::new(path_info.as_bytes()).unwrap();
            prop_assert_eq!(relative.as_bytes(), path.as_bytes());
            prop_assert!(matches!(relative.0, Cow::Borrowed(_)));
        }
    }
}
