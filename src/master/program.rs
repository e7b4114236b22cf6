//! The program that runs, and whether another one lies in its place, as after an upgrade.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rwsgi_core::sys;

/// The file that this process executes.
const RUNNING: &str = "/proc/self/exe";
/// What the kernel appends to the name of a file that is not there any more (proc_pid_exe(5)).
const DELETED: &[u8] = b" (deleted)";

/// The program of this process.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    running: Option<Identity>,
    /// One that could not take over.
    refused: Option<Identity>,
}

/// One file, told from all that can be put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Program {
    /// That of this process, which was started in `cwd`.
    pub fn of_this_process(cwd: &Path) -> Self {
        let running = Identity::of(Path::new(RUNNING)).ok();
        // By what name it was started counts: a link may lead to another program tomorrow.
        let called = sys::executed_path().map(|path| cwd.join(path).components().collect());
        let path =
            called.filter(|path: &PathBuf| Identity::of(path).ok() == running && running.is_some());
        let path = path.or_else(|| fs::read_link(RUNNING).ok().map(existing));
        Self { path: path.unwrap_or_else(|| RUNNING.into()), running, refused: None }
    }

    /// Where it lies, and where its successor will lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another program lies there. One that is gone, or that cannot be seen, has no successor.
    pub fn is_replaced(&self) -> bool {
        Identity::of(&self.path).is_ok_and(|there| self.running != Some(there))
    }

    /// The one that lies there cannot take over.
    pub fn refuse(&mut self) {
        self.refused = Identity::of(&self.path).ok();
    }

    /// Whether the one that lies there is known not to be able to take over.
    pub fn is_refused(&self) -> bool {
        Identity::of(&self.path).is_ok_and(|there| self.refused == Some(there))
    }
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The name without the kernel's remark.
fn existing(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    match bytes.strip_suffix(DELETED) {
        Some(name) => std::ffi::OsString::from_vec(name.to_vec()).into(),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> Program {
        Program { path: path.into(), running: Identity::of(path).ok(), refused: None }
    }

    #[test]
    fn the_program_of_a_process_that_was_just_started_is_in_its_place() {
        let program = Program::of_this_process(&std::env::current_dir().unwrap());
        assert!(!program.is_replaced(), "{program:?}");
        assert!(program.path().is_absolute() && program.path().exists(), "{program:?}");
    }

    #[test]
    fn what_is_renamed_over_it_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
        fs::write(&old, "program").unwrap();
        fs::copy(&old, &new).unwrap();
        let mut program = at(&old);
        assert!(!program.is_replaced());
        fs::rename(&new, &old).unwrap();
        assert!(program.is_replaced() && !program.is_refused());
        program.refuse();
        assert!(program.is_replaced() && program.is_refused());
        fs::write(&old, "another").unwrap();
        assert!(program.is_replaced() && !program.is_refused());
        fs::remove_file(&old).unwrap();
        assert!(!program.is_replaced(), "there is nothing to execute");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two, link] = ["one", "two", "link"].map(|name| directory.path().join(name));
        [&one, &two].iter().for_each(|path| fs::write(path, "program").unwrap());
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let program = at(&link);
        assert!(!program.is_replaced());
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&two, &link).unwrap();
        assert!(program.is_replaced());
    }

    #[test]
    fn the_remark_of_the_kernel_is_no_part_of_the_name() {
        assert_eq!(existing("/usr/bin/rwsgi (deleted)".into()), Path::new("/usr/bin/rwsgi"));
        assert_eq!(existing("/usr/bin/rwsgi".into()), Path::new("/usr/bin/rwsgi"));
    }
}
