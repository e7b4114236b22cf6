//! What is served as it lies on the disk: which directories, under which paths, with what expiry.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Findings, quoted};
use super::paths::{self, Obstacle};
use super::pattern::{self, Pattern};
use super::quantity;
use super::settings::{Setting, Settings};
use super::value::{self, Invalid, Value};

/// Static files, and files that the application names in its responses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Files {
    /// Directories below which PATH_INFO is looked for, absolute (`check-static`).
    pub checked: Vec<PathBuf>,
    /// Prefixes of PATH_INFO and what lies there, in order (`static-map`, then `static-map2`).
    pub maps: Vec<Map>,
    /// Directories that symbolic links may lead to, absolute (`static-safe`).
    pub safe: Vec<PathBuf>,
    /// Names of the file that is sent for a directory, in order (`static-index`).
    pub index: Vec<String>,
    /// Ends of paths that are left to the application (`static-skip-ext`).
    pub skipped: Vec<String>,
    /// Tables of media types, absolute; the first that knows an extension counts (`mimefile`).
    pub mime_files: Vec<PathBuf>,
    /// How long clients may keep what; the first that matches counts (`static-expires…`).
    pub expiries: Vec<Expiry>,
    /// Which files have compressed siblings (`static-gzip…`).
    pub compressed: Compressed,
    /// Directories from which the application may send files, absolute (`x-sendfile`).
    pub sendfile: Vec<PathBuf>,
    /// The same by prefixes of its own (`x-accel-redirect`).
    pub accel: Vec<Map>,
    /// What rwsgi's own errors of a status have as body, absolute; the first that can be read counts
    /// (`error-page-403` and the like).
    pub error_pages: Vec<(u16, PathBuf)>,
}

/// A prefix of paths, and the directory or file that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Begins with a slash, and ends with none; empty for all paths.
    pub prefix: String,
    /// Absolute.
    pub target: PathBuf,
    /// Whether the prefix is part of the path below the target, too (`static-map2`).
    pub keeps_prefix: bool,
}

/// How long clients may keep some files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// Which.
    pub subject: Subject,
    /// How long.
    pub seconds: u32,
    /// Counted from the modification of the file, instead of from now.
    pub since_modified: bool,
}

/// What an expiry goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The path of the file.
    File(Pattern),
    /// The request target, with its query.
    Uri(Pattern),
    /// PATH_INFO.
    PathInfo(Pattern),
    /// The media type, without parameters, in lower case.
    Type(String),
}

/// Which files have compressed siblings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compressed {
    /// All (`static-gzip-all`).
    pub all: bool,
    /// Those whose path matches (`static-gzip`).
    pub patterns: Vec<Pattern>,
    /// Those whose path begins so, absolute (`static-gzip-dir`).
    pub prefixes: Vec<PathBuf>,
    /// Those whose name ends so (`static-gzip-ext`).
    pub suffixes: Vec<String>,
}

/// What the options of this group mean; relative paths begin at `base`.
pub(super) fn files(settings: &Settings<'_>, base: &Path, findings: &mut Findings) -> Files {
    let mut reader = Reader { settings, base, usable: base.is_dir(), findings };
    let mut maps = reader.maps("static-map");
    let kept = reader.maps("static-map2").into_iter();
    maps.extend(kept.map(|map| Map { keeps_prefix: true, ..map }));
    Files {
        checked: reader.directories("check-static"),
        maps,
        safe: reader.directories("static-safe"),
        index: reader.names("static-index"),
        skipped: reader.names("static-skip-ext"),
        mime_files: reader.mime_files(),
        expiries: settings.all(EXPIRIES).filter_map(expiry).collect(),
        compressed: Compressed {
            all: settings.switch("static-gzip-all"),
            patterns: settings.each("static-gzip").filter_map(expression).collect(),
            prefixes: reader.paths("static-gzip-dir").into_iter().map(|(_, path)| path).collect(),
            suffixes: reader.names("static-gzip-ext"),
        },
        sendfile: reader.directories("x-sendfile"),
        accel: reader.maps("x-accel-redirect"),
        error_pages: reader.error_pages(),
    }
}

/// A page of `error_pages`; the configuration has warned of one that cannot be read.
pub fn error_page(path: &Path) -> Option<Vec<u8>> {
    paths::read(path).ok()
}

const ERROR_PAGES: [(&str, u16); 3] =
    [("error-page-403", 403), ("error-page-404", 404), ("error-page-500", 500)];

const EXPIRIES: &[&str] = &[
    "static-expires",
    "static-expires-mtime",
    "static-expires-uri",
    "static-expires-uri-mtime",
    "static-expires-path-info",
    "static-expires-path-info-mtime",
    "static-expires-type",
    "static-expires-type-mtime",
];

fn expiry(setting: &Setting<'_>) -> Option<Expiry> {
    let name = setting.spec.name;
    let since_modified = name.ends_with("-mtime");
    let (subject, seconds) = match (name.trim_end_matches("-mtime"), &setting.value) {
        ("static-expires", Value::Expiry(pattern, seconds)) => {
            (Subject::File(pattern.clone()), *seconds)
        }
        ("static-expires-uri", Value::Expiry(pattern, seconds)) => {
            (Subject::Uri(pattern.clone()), *seconds)
        }
        ("static-expires-path-info", Value::Expiry(pattern, seconds)) => {
            (Subject::PathInfo(pattern.clone()), *seconds)
        }
        (_, Value::TypeExpiry(media_type, seconds)) => {
            (Subject::Type(media_type.clone()), *seconds)
        }
        _ => return None,
    };
    Some(Expiry { subject, seconds, since_modified })
}

fn expression(setting: &Setting<'_>) -> Option<Pattern> {
    match &setting.value {
        Value::Pattern(pattern) => Some(pattern.clone()),
        _ => None,
    }
}

/// Reads the options of this group, and looks whether what they name is there. What is not may be
/// there later, so that is a warning.
struct Reader<'a, 's> {
    settings: &'a Settings<'s>,
    base: &'a Path,
    /// When `chdir` is wrong, nothing in it can be found: one error is enough.
    usable: bool,
    findings: &'a mut Findings,
}

impl<'a, 's> Reader<'a, 's> {
    fn names(&self, name: &'a str) -> Vec<String> {
        let texts = self.settings.each(name).filter_map(|setting| match &setting.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        texts.collect()
    }

    fn paths(&self, name: &'a str) -> Vec<(&'a Setting<'s>, PathBuf)> {
        let paths = self.settings.each(name).filter_map(|setting| match &setting.value {
            Value::Path(path) => Some((setting, paths::absolute(self.base, path))),
            _ => None,
        });
        paths.collect()
    }

    fn directories(&mut self, name: &'a str) -> Vec<PathBuf> {
        let found = self.paths(name);
        for (setting, path) in &found {
            self.look(setting, paths::directory(path), "a directory, relative to `chdir`");
        }
        found.into_iter().map(|(_, path)| path).collect()
    }

    fn maps(&mut self, name: &'a str) -> Vec<Map> {
        let mut maps = Vec::new();
        for setting in self.settings.each(name) {
            let Value::Mapping(prefix, target) = &setting.value else { continue };
            let target = paths::absolute(self.base, target);
            let found = if target.is_file() { Ok(()) } else { paths::directory(&target) };
            self.look(setting, found, "a prefix and a directory, relative to `chdir`");
            maps.push(Map { prefix: prefix.clone(), target, keeps_prefix: false });
        }
        maps
    }

    fn mime_files(&mut self) -> Vec<PathBuf> {
        let written = self.paths("mimefile");
        for (setting, path) in &written {
            self.look(setting, paths::readable_file(path), "a file such as /etc/mime.types");
        }
        match self.settings.value("mimefile") {
            Some(Value::Path(default)) if written.is_empty() => vec![default],
            _ => written.into_iter().map(|(_, path)| path).collect(),
        }
    }

    fn error_pages(&mut self) -> Vec<(u16, PathBuf)> {
        let mut pages = Vec::new();
        for (name, status) in ERROR_PAGES {
            for (setting, path) in self.paths(name) {
                self.look(setting, paths::read(&path).map(drop), "a page of HTML");
                pages.push((status, path));
            }
        }
        pages
    }

    fn look(&mut self, setting: &Setting<'_>, found: Result<(), Obstacle>, expected: &str) {
        if let (Err(obstacle), true) = (found, self.usable) {
            let subject = format!("{} has no effect", quoted(setting.raw));
            self.findings.warn(obstacle.report(&subject, &setting.raw.origin).expected(expected));
        }
    }
}

/// Reads `/prefix=target`.
pub(super) fn mapping(text: &str) -> Result<Value, Invalid> {
    let Some((prefix, target)) = text.split_once('=') else {
        let is_prefix = text.starts_with('/') && !text.trim_matches('/').contains('/');
        let whole = if is_prefix { format!("{text}=DIRECTORY") } else { format!("/static={text}") };
        let help = format!("write `{whole}`: what is before `=` is the beginning of the paths");
        return Err(Invalid::new("lacks the prefix or the directory").help(help));
    };
    let (prefix, target) = (prefix.trim_end(), target.trim_start());
    if !prefix.starts_with('/') {
        return Err(Invalid::new("has a prefix that does not begin with a slash")
            .help(format!("write `/{prefix}={target}`")));
    }
    if target.is_empty() {
        return Err(Invalid::new("names no directory"));
    }
    let Value::Path(target) = value::path(target)? else { return Err(Invalid::new("is no path")) };
    Ok(Value::Mapping(prefix.trim_end_matches('/').to_owned(), target))
}

/// Reads `regex seconds`: all before the last blank is the expression.
pub(super) fn pattern_expiry(text: &str) -> Result<Value, Invalid> {
    let Some((expression, seconds)) = text.rsplit_once(char::is_whitespace) else {
        return Err(Invalid::new("lacks the expression or the seconds"));
    };
    Ok(Value::Expiry(pattern::read(expression.trim_end())?, lifetime(seconds)?))
}

/// Reads `type=seconds`.
pub(super) fn type_expiry(text: &str) -> Result<Value, Invalid> {
    let Some((media_type, seconds)) = text.split_once('=') else {
        return Err(Invalid::new("lacks the media type or the seconds"));
    };
    let media_type = media_type.trim_end().to_ascii_lowercase();
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c);
    let is_name = |name: &str| !name.is_empty() && name.chars().all(legal);
    if !media_type.split_once('/').is_some_and(|(top, sub)| is_name(top) && is_name(sub)) {
        return Err(Invalid::new("does not begin with a media type"));
    }
    Ok(Value::TypeExpiry(media_type, lifetime(seconds.trim_start())?))
}

/// Reads a file name, or the end of one.
pub(super) fn name(text: &str) -> Result<Value, Invalid> {
    if text.contains(['/', '\0']) {
        return Err(Invalid::new("is more than a name"));
    }
    Ok(Value::Text(text.to_owned()))
}

/// As long as a cache can count (RFC 9111, section 1.2.2).
const LONGEST: u64 = 1 << 31;

fn lifetime(text: &str) -> Result<u32, Invalid> {
    match quantity::within(quantity::seconds(text)?, 0, LONGEST)? {
        Value::Number(seconds) => u32::try_from(seconds).map_err(|_| Invalid::new("is too large")),
        _ => Err(Invalid::new("has no seconds")),
    }
}
