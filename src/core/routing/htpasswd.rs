//! Files of htpasswd(1) for `basicauth`: who is in them, and with which password.
//!
//! Hashes are those of crypt(3), as the system's libcrypt knows them, and `{SHA}`. The file is looked at
//! for every request that has credentials, and read when it has changed.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    /// It cannot be read, or there is no libcrypt, or it does not know the hash of this user.
    pub fn knows(&self, credentials: &[u8]) -> io::Result<bool> {
        let Some((user, password)) = split(credentials) else { return Ok(false) };
        let content = || self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = {
            let mut content = content();
            content.follow(&self.path)?;
            let Some(hash) = content.hashes.get(user) else { return Ok(false) };
            if content.right.get(user).is_some_and(|right| text::equal(right, password)) {
                return Ok(true);
            }
            hash.clone()
        };
        let is_right = is_hash_of(&hash, password)?;
        let mut content = content();
        // It may be another one by now.
        if is_right && content.hashes.get(user) == Some(&hash) {
            content.right.insert(user.to_vec(), password.to_vec());
        }
        Ok(is_right)
    }
}

impl Content {
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        let stamp = Stamp(found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec());
        if self.stamp.as_ref() == Some(&stamp) {
            return Ok(());
        }
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
        *self = Self { stamp: Some(stamp), hashes, right: HashMap::new() };
        Ok(())
    }
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((line.get(..colon)?, line.get(colon + 1..)?))
}

fn is_hash_of(hash: &[u8], password: &[u8]) -> io::Result<bool> {
    if let Some(digest) = hash.strip_prefix(b"{SHA}") {
        let made = text::to_base64(&Sha1::from(password).digest().bytes());
        return Ok(text::equal(&made, digest));
    }
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

    fn file(text: &str) -> (tempfile::TempDir, Htpasswd) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        std::fs::write(&path, text).unwrap();
        (directory, Htpasswd::new(&path))
    }

    #[test]
    fn hashes_are_those_of_crypt() {
        let (_directory, file) = file(FILE);
        for user in ["des", "sha", "sha512", "bcrypt"] {
            let knows =
                |password: &str| file.knows(format!("{user}:{password}").as_bytes()).unwrap();
            assert!(knows("secret") && knows("secret"), "{user}");
            assert!(!knows("secretx") && !knows("") && !knows("secret\0"), "{user}");
        }
        for nobody in ["", ":", "none:secret", "des", "# staff:secret"] {
            assert!(!file.knows(nobody.as_bytes()).unwrap(), "{nobody}");
        }
        for user in ["apache", "empty"] {
            let error = file.knows(format!("{user}:").as_bytes()).unwrap_err();
            assert!(error.to_string().contains("htpasswd -B"), "{user}: {error}");
        }
    }

    #[test]
    fn a_file_that_has_changed_is_read_again() {
        let (directory, file) = file("des:abNANd1rDfiNc\n");
        assert!(file.knows(b"des:secret").unwrap());
        std::fs::write(file.path(), "other:abNANd1rDfiNc\n").unwrap();
        assert!(!file.knows(b"des:secret").unwrap() && file.knows(b"other:secret").unwrap());
        drop(directory);
        assert_eq!(file.knows(b"other:secret").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
