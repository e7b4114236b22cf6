//! uWSGI's magic variables: `%d`, `%n` and so on, which an INI file has for itself and its system.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::{Group, User, getgid, gethostname, getuid};

/// What the variables of one file stand for.
#[derive(Debug, Clone)]
pub struct Magic {
    own: FileFacts,
    first: FileFacts,
    section: String,
    cwd: PathBuf,
}

/// What a file is called, in parts.
#[derive(Debug, Clone)]
struct FileFacts {
    given: PathBuf,
    path: PathBuf,
    directory: PathBuf,
}

impl FileFacts {
    fn new(given: &Path, cwd: &Path) -> Self {
        let path = normalized(&cwd.join(given));
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        Self { given: given.to_owned(), path, directory }
    }
}

/// The path without `.` and `..`, by its text alone: links stay what they are called.
pub fn normalized(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

impl Magic {
    /// The variables for the file `given`, of which `section` was asked. `first` is the file that
    /// was read before all others.
    pub fn new(given: &Path, first: &Path, section: &str, cwd: &Path) -> Self {
        Self {
            own: FileFacts::new(given, cwd),
            first: FileFacts::new(first, cwd),
            section: section.to_owned(),
            cwd: cwd.to_owned(),
        }
    }

    /// The absolute path of the file.
    pub fn path(&self) -> &Path {
        &self.own.path
    }

    /// Replaces the variables in `text`. Those that do not exist are kept and listed.
    pub fn expand(&self, text: &str) -> (String, Vec<char>) {
        let mut out = String::with_capacity(text.len());
        let mut unknown = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match rest.peek().copied() {
                Some(name) if c == '%' && name != '(' => {
                    rest.next();
                    if let Some(value) = self.value(name) {
                        out.push_str(&value);
                    } else {
                        unknown.push(name);
                        out.extend(['%', name]);
                    }
                }
                _ => out.push(c),
            }
        }
        (out, unknown)
    }

    fn value(&self, name: char) -> Option<String> {
        match name {
            '%' => Some("%".to_owned()),
            '[' => Some("\u{1b}".to_owned()),
            '0'..='9' => Some(self.component(name)),
            'x' | 'X' => Some(self.section.clone()),
            _ if name.is_ascii_uppercase() => {
                system(name).or_else(|| of_file(&self.first, name.to_ascii_lowercase()))
            }
            'v' => Some(self.cwd.display().to_string()),
            _ => system(name).or_else(|| of_file(&self.own, name)),
        }
    }

    /// The n-th part of the directory; empty when it has fewer.
    fn component(&self, digit: char) -> String {
        let index = digit.to_digit(10).unwrap_or_default() as usize;
        self.own.directory.iter().nth(index + 1).map(lossy).unwrap_or_default()
    }
}

fn of_file(file: &FileFacts, name: char) -> Option<String> {
    let value = match name {
        'n' => file.path.file_stem().map(lossy).unwrap_or_default(),
        's' => file.path.file_name().map(lossy).unwrap_or_default(),
        'e' => file.path.extension().map(lossy).unwrap_or_default(),
        'p' => file.path.display().to_string(),
        'd' => directory(&file.directory),
        'c' => file.directory.file_name().map(lossy).unwrap_or_default(),
        'o' => file.given.display().to_string(),
        'i' => std::fs::metadata(&file.path).map_or(0, |facts| facts.ino()).to_string(),
        'j' => hash(file.path.as_os_str()),
        _ => return None,
    };
    Some(value)
}

fn system(name: char) -> Option<String> {
    let (user, group) = (getuid(), getgid());
    let value = match name {
        'b' => std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
        'h' => gethostname().map(|name| lossy(&name)).unwrap_or_default(),
        'k' => std::thread::available_parallelism().map_or(1, usize::from).to_string(),
        't' => since_epoch().as_secs().to_string(),
        'T' => since_epoch().as_micros().to_string(),
        'u' => user.to_string(),
        'g' => group.to_string(),
        'U' => match User::from_uid(user) {
            Ok(Some(user)) => user.name,
            _ => user.to_string(),
        },
        'G' => match Group::from_gid(group) {
            Ok(Some(group)) => group.name,
            _ => group.to_string(),
        },
        'V' => crate::VERSION.to_owned(),
        _ => return None,
    };
    Some(value)
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

/// With a slash at the end, so that `%dapp.sock` works.
fn directory(path: &Path) -> String {
    let mut text = path.display().to_string();
    if !text.ends_with('/') {
        text.push('/');
    }
    text
}

/// Bernstein's hash of the path, hexadecimal.
fn hash(path: &OsStr) -> String {
    let hash = path
        .as_bytes()
        .iter()
        .fold(5381u32, |hash, byte| (hash << 5).wrapping_add(hash) ^ u32::from(*byte));
    let mut text = String::new();
    let _ = write!(text, "{hash:x}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn magic() -> Magic {
        let first = Path::new("/etc/rwsgi/main.ini");
        Magic::new(Path::new("conf/../web.ini"), first, "uwsgi", Path::new("/srv/book/shop"))
    }

    fn expand(text: &str) -> String {
        let (text, unknown) = magic().expand(text);
        assert!(unknown.is_empty(), "{unknown:?}");
        text
    }

    #[test]
    fn a_file_knows_its_name_in_parts() {
        assert_eq!(expand("%n|%s|%e"), "web|web.ini|ini");
        assert_eq!(expand("%p|%d|%c"), "/srv/book/shop/web.ini|/srv/book/shop/|shop");
        assert_eq!(expand("%0|%1|%2|%3"), "srv|book|shop|");
        assert_eq!(expand("%o|%x|%v"), "conf/../web.ini|uwsgi|/srv/book/shop");
        assert_eq!(expand("%dapp.sock"), "/srv/book/shop/app.sock");
    }

    #[test]
    fn capitals_name_the_first_file() {
        assert_eq!(expand("%N|%S|%D|%C"), "main|main.ini|/etc/rwsgi/|rwsgi");
    }

    #[test]
    fn the_system_is_known_too() {
        assert_eq!(expand("%u"), getuid().to_string());
        assert_eq!(expand("%V"), crate::VERSION);
        assert!(expand("%k").parse::<u32>().unwrap() > 0);
        assert!(!expand("%U%G%h%b%t%T").contains('%'));
    }

    #[test]
    fn percent_signs_are_doubled_and_placeholders_stay() {
        assert_eq!(expand("%%Y-%%m|%(name)|50%"), "%Y-%m|%(name)|50%");
    }

    #[test]
    fn what_does_not_exist_is_kept_and_listed() {
        assert_eq!(magic().expand("50%z of %ü"), ("50%z of %ü".to_owned(), vec!['z', 'ü']));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = magic().expand(&text);
        }
    }
}
