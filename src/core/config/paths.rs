//! Whether files and directories are there and may be used, and if not, what is in the way.

use std::fs::{File, Metadata, metadata};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::error::Report;
use super::raw::Origin;
use crate::reach::{self, Wish};

/// Bytes of a file that is part of a configuration. What is larger is something else, as /proc/kcore.
pub(super) const LARGEST: u64 = 4 << 20;

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// A sentence.
    pub problem: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Obstacle {
    /// As a finding about the value at `origin`, which begins with `subject`.
    pub fn report(self, subject: &str, origin: &Origin) -> Report {
        let report = Report::new(format!("{subject}: {}", self.problem)).at_value(origin);
        match self.help {
            Some(help) => report.help(help),
            None => report,
        }
    }
}

/// `path` seen from `base`, without needless dots and slashes.
pub(super) fn absolute(base: &Path, path: &Path) -> PathBuf {
    base.join(path).components().collect()
}

/// That `path` is a directory which can be entered.
pub(super) fn directory(path: &Path) -> Result<(), Obstacle> {
    let facts = facts(path)?;
    if !facts.is_dir() {
        return Err(Obstacle {
            problem: format!("`{}` is not a directory", path.display()),
            help: None,
        });
    }
    metadata(path.join(".")).map(drop).map_err(|error| denied(path, &error))
}

/// That `path` is a file which can be read.
pub(super) fn readable_file(path: &Path) -> Result<(), Obstacle> {
    let facts = facts(path)?;
    if !facts.is_file() {
        let what = if facts.is_dir() { "a directory" } else { "not a regular file" };
        return Err(Obstacle { problem: format!("`{}` is {what}", path.display()), help: None });
    }
    File::open(path).map(drop).map_err(|error| Obstacle {
        problem: format!("`{}` cannot be read: {}", path.display(), reason(&error)),
        help: reach::barrier(path, Wish::Read)
            .map(|barrier| format!("{barrier}: {}", barrier.remedy())),
    })
}

/// The content of a file that is part of a configuration. What could make a reader wait (a FIFO, a
/// terminal) or has no end is not opened: systemd's boot waits for who reads.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Obstacle> {
    readable_file(path)?;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    let problem = match read {
        Ok(length) if length as u64 > LARGEST => {
            format!("`{}` is larger than {} MiB", path.display(), LARGEST >> 20)
        }
        Ok(_) => return Ok(bytes),
        Err(error) => format!("`{}` cannot be read: {}", path.display(), reason(&error)),
    };
    Err(Obstacle { problem, help: None })
}

/// That the directory of `path`, a file to be made, is there.
pub(super) fn parent(path: &Path) -> Result<(), Obstacle> {
    path.parent().map_or(Ok(()), directory)
}

fn facts(path: &Path) -> Result<Metadata, Obstacle> {
    metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing(path),
        _ => denied(path, &error),
    })
}

fn missing(path: &Path) -> Obstacle {
    let above = path.ancestors().skip(1).find(|above| above.exists());
    let gap = above.filter(|above| Some(*above) != path.parent());
    if let Ok(target) = path.read_link() {
        let (path, target) = (path.display(), target.display());
        let problem = format!("`{path}` is a link to `{target}`, which does not exist");
        return Obstacle { problem, help: None };
    }
    Obstacle {
        problem: format!("`{}` does not exist", path.display()),
        help: gap.map(|above| format!("of its path, only `{}` exists", above.display())),
    }
}

/// Names the directory on the way to `path` that does not let this user through.
fn denied(path: &Path, error: &io::Error) -> Obstacle {
    let barrier = || reach::barrier(path, Wish::Enter);
    match Some(error.kind())
        .filter(|kind| *kind == ErrorKind::PermissionDenied)
        .and_then(|_| barrier())
    {
        Some(barrier) => Obstacle {
            problem: format!("permission denied: {barrier}"),
            help: Some(barrier.remedy()),
        },
        None => {
            Obstacle { problem: format!("`{}`: {}", path.display(), reason(error)), help: None }
        }
    }
}

/// The error without its number.
pub(super) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rwsgi-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("open/deep")).unwrap();
            std::fs::write(path.join("open/file"), "x").unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o700));
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_has_no_end_is_not_read() {
        let problem = |path: &str| read(Path::new(path)).unwrap_err().problem;
        assert_eq!(problem("/dev/zero"), "`/dev/zero` is not a regular file");
        let place = tempfile::tempdir().unwrap();
        let large = place.path().join("large");
        File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(problem(large.to_str().unwrap()).ends_with("large` is larger than 4 MiB"));
        File::create(&large).unwrap().set_len(LARGEST).unwrap();
        assert_eq!(read(&large).unwrap().len() as u64, LARGEST);
    }

    #[test]
    fn what_is_there_is_no_obstacle() {
        let scratch = Scratch::new("paths-there");
        assert_eq!(directory(&scratch.0.join("open")), Ok(()));
        assert_eq!(readable_file(&scratch.0.join("open/file")), Ok(()));
        assert_eq!(parent(&scratch.0.join("open/new")), Ok(()));
    }

    #[test]
    fn what_is_missing_or_something_else_is_named() {
        let scratch = Scratch::new("paths-missing");
        let deep = directory(&scratch.0.join("no/such")).unwrap_err();
        assert!(deep.problem.ends_with("no/such` does not exist"));
        assert!(deep.help.unwrap().contains("only `"));
        assert_eq!(readable_file(&scratch.0.join("nope")).unwrap_err().help, None);
        let file = directory(&scratch.0.join("open/file")).unwrap_err();
        assert!(file.problem.ends_with("is not a directory"));
        let below = directory(&scratch.0.join("open/file/x")).unwrap_err();
        assert!(below.problem.ends_with("Not a directory"), "{}", below.problem);
        assert!(readable_file(&scratch.0).unwrap_err().problem.ends_with("is a directory"));
    }

    #[test]
    fn a_closed_directory_is_named_instead_of_the_file_in_it() {
        if nix::unistd::geteuid().is_root() {
            return;
        }
        let scratch = Scratch::new("paths-closed");
        std::fs::set_permissions(&scratch.0, std::fs::Permissions::from_mode(0o000)).unwrap();
        let obstacle = readable_file(&scratch.0.join("open/file")).unwrap_err();
        let expected = format!("may not enter the directory {} (d---", scratch.0.display());
        assert!(obstacle.problem.contains(&expected), "{}", obstacle.problem);
    }

    #[test]
    fn paths_are_absolute_without_needless_parts() {
        let cases = [("%", "/a/%"), ("./b//c/.", "/a/b/c"), ("/x/", "/x"), ("../b", "/a/../b")];
        for (path, expected) in cases {
            assert_eq!(absolute(Path::new("/a"), Path::new(path)), PathBuf::from(expected));
        }
    }
}
