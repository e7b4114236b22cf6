//! A directory to test with, and what is sent from it.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use rwsgi_core::config;
use rwsgi_core::config::files::Map;

use crate::{Answer, FileBody, Files, Found, Segment};

/// Sun, 06 Nov 1994 08:49:37 GMT and a half.
pub(crate) const MODIFIED: Duration = Duration::from_millis(784_111_777_500);

/// A directory that goes away with the test.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    /// `public` with some files, and `secret` beside it.
    pub(crate) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.write("public/a.css", "body { color: red }");
        tree.write("public/docs/index.html", "index");
        tree.write("public/docs/deep/b.txt", "0123456789");
        tree.write("public/empty", "");
        tree.write("secret/key", "secret");
        tree
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    /// Writes a file, modified in 1994.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        modify(&path, UNIX_EPOCH + MODIFIED);
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }

    /// `/static` is `public`.
    pub(crate) fn config(&self) -> config::Files {
        config::Files { maps: vec![self.map("/static", "public")], ..Default::default() }
    }

    pub(crate) fn map(&self, prefix: &str, target: &str) -> Map {
        Map { prefix: prefix.to_owned(), target: self.path(target), keeps_prefix: false }
    }

    pub(crate) fn files(&self) -> Files {
        Files::new(&self.config())
    }
}

pub(crate) fn modify(path: &Path, time: SystemTime) {
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// What arrives at a client.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: Response<()>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn new(head: Response<()>, body: Option<&FileBody>) -> Self {
        Self { head, body: body.map(read).unwrap_or_default() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// A field; empty when it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.head.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl From<Answer> for Received {
    fn from(answer: Answer) -> Self {
        Self::new(answer.head, answer.body.as_ref())
    }
}

fn read(body: &FileBody) -> String {
    let mut all = Vec::new();
    for segment in &body.segments {
        match segment {
            Segment::Bytes(bytes) => all.extend_from_slice(bytes),
            Segment::File { offset, length } => {
                assert_ne!(*length, 0);
                let mut piece = vec![0; usize::try_from(*length).unwrap()];
                body.file.read_exact_at(&mut piece, *offset).unwrap();
                all.extend(piece);
            }
        }
    }
    String::from_utf8(all).unwrap()
}

pub(crate) fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, text): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(text).unwrap())
    };
    lines.iter().map(pair).collect()
}

/// What there is for a GET of `target`, which has no escapes in it.
pub(crate) fn find(files: &Files, target: &str) -> Found {
    find_with(files, &Method::GET, target, &HeaderMap::new())
}

fn find_with(files: &Files, method: &Method, target: &str, fields: &HeaderMap) -> Found {
    let path_info = target.split('?').next().unwrap();
    files.answer(method, path_info.as_bytes(), target.as_bytes(), &|| fields.clone())
}

pub(crate) fn misses(files: &Files, path: &str) -> bool {
    matches!(find(files, path), Found::Miss)
}

/// The answer to a GET with these fields.
pub(crate) fn get_with(files: &Files, path: &str, lines: &[(&'static str, &str)]) -> Received {
    ask(files, &Method::GET, path, lines)
}

pub(crate) fn get(files: &Files, path: &str) -> Received {
    get_with(files, path, &[])
}

pub(crate) fn ask(
    files: &Files,
    method: &Method,
    path: &str,
    lines: &[(&'static str, &str)],
) -> Received {
    match find_with(files, method, path, &fields(lines)) {
        Found::Answer(answer) => answer.into(),
        other => panic!("{path}: {other:?}"),
    }
}
