//! A cache in a file: what it holds, to begin with at the next start.
//!
//! ```text
//! "rwsgi cache 1\n"   then for each item:
//! key length u32 │ value length u64 │ expiry u64 │ key │ value     then: u32::MAX │ hash of all u64
//! ```
//! Numbers are little-endian; the expiry is in milliseconds since 1970, 0 for never. The file is written
//! beside and renamed, so it is whole or the earlier one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::hash::hash;
use super::{Cache, Entry, Item, WhenFull, now};

const HEADING: &[u8] = b"rwsgi cache 1\n";
const END: u32 = u32::MAX;

/// Reads and writes, and knows the hash of all that went through.
struct Hashed<F> {
    file: F,
    hash: u64,
}

impl<F> Hashed<F> {
    fn new(file: F) -> Self {
        Self { file, hash: 0 }
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hash = hash(bytes, [self.hash, bytes.len() as u64]);
    }
}

impl<F: Write> Hashed<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.note(bytes);
        self.file.write_all(bytes)
    }
}

impl<F: Read> Hashed<F> {
    fn read(&mut self, length: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let got = self.file.by_ref().take(length).read_to_end(&mut bytes);
        let got = got.map_err(|error| error.to_string())? as u64;
        if got < length {
            return Err("it ends in the middle".into());
        }
        self.note(&bytes);
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.read(N as u64)?;
        bytes.try_into().map_err(|_| "it ends in the middle".into())
    }
}

/// Milliseconds since 1970.
fn calendar() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Writes what `cache` holds to `path`, mode 0600. The file beside has the process in its name: another
/// instance may have the same store.
///
/// # Errors
/// Those of open(2), write(2), fsync(2) and rename(2), and of [`Cache::lock`]: an item that cannot be read
/// is none that is not there.
pub fn save(cache: &Cache, path: &Path) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    // Of an instance that was killed.
    let _ = std::fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = write_to(cache, file).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn write_to(cache: &Cache, file: File) -> io::Result<()> {
    let (now, calendar) = (now(), calendar());
    let mut out = Hashed::new(BufWriter::new(file));
    out.write(HEADING)?;
    let mut index = 0;
    while let Some(item) = cache.item(index, now)? {
        index += 1;
        let Some(Item { key, value, expires }) = item else { continue };
        let expires = if expires == 0 { 0 } else { calendar.saturating_add(expires - now) };
        out.write(&(key.len() as u32).to_le_bytes())?;
        out.write(&(value.len() as u64).to_le_bytes())?;
        out.write(&expires.to_le_bytes())?;
        out.write(&key)?;
        out.write(&value)?;
    }
    out.write(&END.to_le_bytes())?;
    let hash = out.hash;
    out.file.write_all(&hash.to_le_bytes())?;
    let file = out.file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Whether there is a store at `path`; only its beginning is read.
///
/// # Errors
/// A clause: what is there is something else, or cannot be read.
pub fn is_there(path: &Path) -> Result<bool, String> {
    let Some(file) = open(path)? else { return Ok(false) };
    heading(&mut Hashed::new(file)).map(|()| true)
}

/// The file, if there is one. A FIFO would keep who opens it waiting.
fn open(path: &Path) -> Result<Option<File>, String> {
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(Some(file)),
        Ok(_) => Err("it is no file".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn heading(from: &mut Hashed<impl Read>) -> Result<(), String> {
    if from.read(HEADING.len() as u64).is_ok_and(|read| read == HEADING) {
        return Ok(());
    }
    Err("it was not written by this version of rwsgi".into())
}

/// Fills `cache`, which is empty, with what `path` has; how many items. What has expired meanwhile is
/// left out, and so is what does not fit any more.
///
/// # Errors
/// A clause: the file cannot be read, or is not whole. Then the cache stays empty.
pub fn load(cache: &Cache, path: &Path) -> Result<u64, String> {
    let Some(file) = open(path)? else { return Ok(0) };
    let loaded = read_from(cache, file);
    if loaded.is_err()
        && let Ok(table) = cache.lock(super::PATIENCE)
    {
        table.clear();
    }
    loaded
}

fn read_from(cache: &Cache, file: File) -> Result<u64, String> {
    let (now, calendar) = (now(), calendar());
    let mut from = Hashed::new(BufReader::new(file));
    heading(&mut from)?;
    let mut count = 0;
    loop {
        let key_length = u32::from_le_bytes(from.number()?);
        if key_length == END {
            let (expected, mut found) = (from.hash, [0; 8]);
            from.file.read_exact(&mut found).map_err(|_| "it ends in the middle")?;
            let is_whole = u64::from_le_bytes(found) == expected;
            return if is_whole { Ok(count) } else { Err("it is damaged".into()) };
        }
        let length = u64::from_le_bytes(from.number()?);
        let expires = u64::from_le_bytes(from.number()?);
        let (key, value) = (from.read(key_length.into())?, from.read(length)?);
        let left = if expires == 0 { Some(0) } else { expires.checked_sub(calendar) };
        let Some(left) = left.filter(|left| expires == 0 || *left > 0) else { continue };
        let expires = if expires == 0 { 0 } else { now.saturating_add(left) };
        let table = cache.lock(super::PATIENCE).map_err(|error| error.to_string())?;
        let entry = Entry { key: &key, value: &value, expires };
        count += u64::from(table.set(&entry, super::Write::Any, WhenFull::Refuse, now).is_ok());
    }
}
