//! Files of htpasswd(1) for `basicauth`: who is in them, and with which password.
//!
//! Hashes are those of crypt(3), as the system's libcrypt knows them, and `{SHA}`. The file is looked at
//! for every request that has credentials, and read when it has changed.
//!
//! To make a hash of crypt(3) takes long, on purpose. So who asks gets a [`Doubt`], and has it settled
//! where nobody else waits.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::libc::O_NONBLOCK;
use sha1_smol::Sha1;

use super::text;
use crate::sys;

/// Larger than any that is looked through for a request.
const LARGEST: u64 = 4 << 20;

/// One file.
#[derive(Debug)]
pub struct Htpasswd {
    path: PathBuf,
    content: Mutex<Content>,
}

/// Whether somebody is in a file, as far as that can be said at once.
#[derive(Debug)]
pub enum Known {
    /// It can.
    Surely(bool),
    /// There is a hash to be made.
    Perhaps(Doubt),
}

/// A password that may be the one of a hash.
pub struct Doubt {
    file: Arc<Htpasswd>,
    user: Vec<u8>,
    password: Vec<u8>,
    hash: Vec<u8>,
}

impl std::fmt::Debug for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doubt").field("file", &self.file.path).finish_non_exhaustive()
    }
}

impl Doubt {
    /// Makes the hash, which takes long, unless the same password has turned out to be right meanwhile.
    ///
    /// # Errors
    /// There is no libcrypt, or it does not know the hash of this user.
    pub fn settle(self) -> io::Result<bool> {
        let Self { file, user, password, hash } = self;
        if file.content().remembers(&user, &password) {
            return Ok(true);
        }
        let is_right = is_hash_of(&hash, &password)?;
        let mut content = file.content();
        // It may be another one by now.
        if is_right && content.hashes.get(&user) == Some(&hash) {
            content.right.insert(user, password);
        }
        Ok(is_right)
    }

    /// Of which file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

/// What was in it when it was read.
#[derive(Default)]
struct Content {
    stamp: Option<Stamp>,
    /// Hashes by user; the first of a name counts.
    hashes: HashMap<Vec<u8>, Vec<u8>>,
    /// The passwords that were right: to make a hash takes long, on purpose, and browsers send the same
    /// one with every request.
    right: HashMap<Vec<u8>, Vec<u8>>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}

/// A file that has another one has changed.
#[derive(PartialEq, Eq)]
struct Stamp(u64, u64, u64, i64, i64);

impl Htpasswd {
    /// A file that is read when it is needed.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), content: Mutex::default() }
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `credentials`, which are `USER:PASSWORD`, are in it.
    ///
    /// # Errors
    /// It cannot be read, or is too large.
    pub fn knows(self: &Arc<Self>, credentials: &[u8]) -> io::Result<Known> {
        let Some((user, password)) = split(credentials) else { return Ok(Known::Surely(false)) };
        let mut content = self.content();
        content.follow(&self.path)?;
        let Some(hash) = content.hashes.get(user) else { return Ok(Known::Surely(false)) };
        if content.remembers(user, password) {
            return Ok(Known::Surely(true));
        }
        if let Some(digest) = hash.strip_prefix(b"{SHA}") {
            let made = text::to_base64(&Sha1::from(password).digest().bytes());
            return Ok(Known::Surely(text::equal(&made, digest)));
        }
        let (user, password, hash) = (user.to_vec(), password.to_vec(), hash.clone());
        Ok(Known::Perhaps(Doubt { file: Arc::clone(self), user, password, hash }))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// Whether this password was right before.
    fn remembers(&self, user: &[u8], password: &[u8]) -> bool {
        self.right.get(user).is_some_and(|right| text::equal(right, password))
    }

    fn follow(&mut self, path: &Path) -> io::Result<()> {
        // A FIFO keeps nobody waiting.
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
        let found = file.metadata()?;
        let stamp = Stamp(found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec());
        if self.stamp.as_ref() == Some(&stamp) {
            return Ok(());
        }
        if !found.is_file() || found.len() > LARGEST {
            let kind = format!("it is no file of at most {} MiB", LARGEST >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, kind));
        }
        *self = Self { stamp: Some(stamp), hashes: read(file)?, right: HashMap::new() };
        Ok(())
    }
}

fn read(file: File) -> io::Result<HashMap<Vec<u8>, Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    let mut hashes = HashMap::new();
    for line in bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some((user, hash)) = split(line).filter(|_| !line.starts_with(b"#")) {
            // What follows a second colon is a comment.
            let hash = hash.split(|&byte| byte == b':').next().unwrap_or_default();
            hashes.entry(user.to_vec()).or_insert_with(|| hash.to_vec());
        }
    }
    Ok(hashes)
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((line.get(..colon)?, line.get(colon + 1..)?))
}

fn is_hash_of(hash: &[u8], password: &[u8]) -> io::Result<bool> {
    let unknown = || {
        let kind = "the hash of this user is none of crypt(3): `htpasswd -B` makes one";
        io::Error::new(io::ErrorKind::InvalidData, kind)
    };
    // A shorter one is no hash, and crypt(3) may take the password for its own.
    if hash.len() < 13 || hash.starts_with(b"$apr1$") {
        return Err(unknown());
    }
    // A NUL would end it early.
    let Ok(password) = CString::new(password) else { return Ok(false) };
    let setting = CString::new(hash).map_err(|_| unknown())?;
    let made = sys::crypt(&password, &setting)?.ok_or_else(unknown)?;
    Ok(text::equal(&made, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of `secret`, made with crypt(3) and htpasswd(1).
    const FILE: &str = "# staff
des:abNANd1rDfiNc
sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
sha512:$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.:a comment
bcrypt:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a
sha:{SHA}other
apache:$apr1$abcdefgh$x
empty:
";

    fn file(text: &str) -> (tempfile::TempDir, Arc<Htpasswd>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        std::fs::write(&path, text).unwrap();
        (directory, Arc::new(Htpasswd::new(&path)))
    }

    fn knows(file: &Arc<Htpasswd>, credentials: &str) -> io::Result<bool> {
        match file.knows(credentials.as_bytes())? {
            Known::Surely(known) => Ok(known),
            Known::Perhaps(doubt) => doubt.settle(),
        }
    }

    #[test]
    fn hashes_are_those_of_crypt() {
        let (_directory, file) = file(FILE);
        for user in ["des", "sha", "sha512", "bcrypt"] {
            let knows = |password: &str| knows(&file, &format!("{user}:{password}")).unwrap();
            assert!(knows("secret") && knows("secret"), "{user}");
            assert!(!knows("secretx") && !knows("") && !knows("secret\0"), "{user}");
        }
        for nobody in ["", ":", "none:secret", "des", "# staff:secret"] {
            assert!(!knows(&file, nobody).unwrap(), "{nobody}");
        }
        for user in ["apache", "empty"] {
            let error = knows(&file, &format!("{user}:")).unwrap_err();
            assert!(error.to_string().contains("htpasswd -B"), "{user}: {error}");
        }
    }

    #[test]
    fn a_password_that_was_right_is_not_hashed_again() {
        let (_directory, file) = file(FILE);
        let Ok(Known::Perhaps(doubt)) = file.knows(b"bcrypt:secret") else { panic!() };
        assert!(doubt.settle().unwrap());
        assert!(matches!(file.knows(b"bcrypt:secret"), Ok(Known::Surely(true))));
        assert!(matches!(file.knows(b"bcrypt:secre"), Ok(Known::Perhaps(_))));
        // Who asked before that was known finds it known.
        let (file, user) = (Arc::clone(&file), b"bcrypt".to_vec());
        let doubt = Doubt { file, user, password: b"secret".to_vec(), hash: b"none".to_vec() };
        assert!(doubt.settle().unwrap());
    }

    #[test]
    fn a_file_that_has_changed_is_read_again() {
        let (directory, file) = file("des:abNANd1rDfiNc\n");
        assert!(knows(&file, "des:secret").unwrap());
        std::fs::write(file.path(), "other:abNANd1rDfiNc\n").unwrap();
        assert!(!knows(&file, "des:secret").unwrap() && knows(&file, "other:secret").unwrap());
        drop(directory);
        assert_eq!(knows(&file, "other:secret").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_takes_the_place_of_the_file_lets_nobody_pass() {
        let (directory, file) = file("des:abNANd1rDfiNc\n");
        assert!(knows(&file, "des:secret").unwrap());
        std::fs::write(file.path(), vec![b'x'; 5 << 20]).unwrap();
        let says = || knows(&file, "des:secret").unwrap_err().to_string();
        assert!(says().contains("at most 4 MiB"), "{}", says());
        std::fs::remove_file(file.path()).unwrap();
        nix::unistd::mkfifo(file.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(says().contains("no file"), "{}", says());
        std::fs::remove_file(file.path()).unwrap();
        std::fs::create_dir(file.path()).unwrap();
        assert!(says().contains("no file"), "{}", says());
        std::fs::remove_dir(file.path()).unwrap();
        std::fs::write(file.path(), "des:abNANd1rDfiNc\n").unwrap();
        assert!(knows(&file, "des:secret").unwrap());
        drop(directory);
    }
}
