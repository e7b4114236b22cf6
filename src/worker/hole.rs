//! Bytes that are in a file: hyper has no name for them, so it is given a hole of the same length,
//! and where the hole would be written the file is sent instead, by sendfile(2).
//!
//! The hole is memory that nobody reads or writes. It is recognised by its address, which hyper keeps
//! because it queues the chunks of a body and does not copy them (`is_write_vectored`).

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use nix::errno::Errno;
use nix::libc::MSG_MORE;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, send, sendmsg};

use crate::connection::Connection;

/// The largest hole; its pages are never touched, so they are never there.
pub(crate) const LENGTH: usize = 1 << 20;
static HOLE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; LENGTH]));

/// The kind of an error that says why a file cannot be sent to its end, in a sentence for the log.
pub(crate) const FILE: io::ErrorKind = io::ErrorKind::InvalidData;

/// Head and body up to this many bytes together are copied into one buffer to be sent.
pub(crate) const JOIN: usize = 16 * 1024;

thread_local! {
    static BUFFER: std::cell::RefCell<Box<[u8]>> =
        std::cell::RefCell::new(vec![0; JOIN].into_boxed_slice());
}

/// A part of a file that is on its way.
#[derive(Debug)]
pub(crate) struct Extent {
    pub(crate) file: Arc<std::fs::File>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Puts a part of a file on its way: the hole that stands for it, of `length` bytes at most.
pub(crate) fn dig(
    connection: &Connection,
    file: &Arc<std::fs::File>,
    offset: u64,
    length: u64,
) -> Bytes {
    let length = usize::try_from(length).unwrap_or(LENGTH).min(LENGTH);
    let extent = Extent { file: Arc::clone(file), offset, length: length as u64 };
    connection.extents().push_back(extent);
    connection.has_extents.store(true, Relaxed);
    HOLE.slice(..length)
}

fn is_hole(part: &IoSlice<'_>) -> bool {
    HOLE.as_ptr_range().contains(&part.as_ptr())
}

/// Sends the first of `parts`, as many as one system call takes.
///
/// # Errors
/// Those of send(2), sendmsg(2) and sendfile(2); [`FILE`] when it is the file that is to blame.
pub(crate) fn write(
    connection: &Connection,
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let solid = match connection.has_extents.load(Relaxed) {
        true => parts.iter().position(is_hole).unwrap_or(parts.len()),
        false => parts.len(),
    };
    if solid == 0 {
        return fill(connection, fd);
    }
    let (parts, more) = (&parts[..solid], solid < parts.len());
    let flags = if more { flags | MsgFlags::from_bits_retain(MSG_MORE) } else { flags };
    if let [part] = parts {
        return Ok(send(fd.as_raw_fd(), part, flags)?);
    }
    let total: usize = parts.iter().map(|part| part.len()).sum();
    if total > JOIN {
        return Ok(sendmsg::<()>(fd.as_raw_fd(), parts, &[], flags, None)?);
    }
    // A small head and body: copying them costs less than a vector costs the kernel.
    BUFFER.with_borrow_mut(|buffer| {
        let mut end = 0;
        for part in parts {
            buffer[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        Ok(send(fd.as_raw_fd(), &buffer[..end], flags)?)
    })
}

/// Sends of the first extent.
fn fill(connection: &Connection, fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut extents = connection.extents();
    let Some(extent) = extents.front_mut() else {
        return Err(io::Error::other("a hole without a file"));
    };
    let mut offset = i64::try_from(extent.offset).map_err(io::Error::other)?;
    let length = usize::try_from(extent.length).unwrap_or(LENGTH);
    let sent = match sendfile64(fd, &*extent.file, Some(&mut offset), length) {
        Ok(0) => return Err(blame(&extent.file, &io::ErrorKind::UnexpectedEof.into())),
        Err(errno) if is_of_file(errno) => return Err(blame(&extent.file, &errno.into())),
        sent => sent?,
    };
    extent.offset += sent as u64;
    extent.length -= sent as u64;
    if extent.length == 0 {
        extents.pop_front();
        connection.has_extents.store(!extents.is_empty(), Relaxed);
    }
    Ok(sent)
}

/// Whether sendfile(2) has failed to read, not to send.
fn is_of_file(errno: Errno) -> bool {
    matches!(errno, Errno::EIO | Errno::EINVAL | Errno::EOVERFLOW | Errno::ESTALE | Errno::EUCLEAN)
}

/// That a file cannot be sent to its end, as it ends before or is not to be read.
pub(crate) fn blame(file: &std::fs::File, error: &io::Error) -> io::Error {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let path = path.unwrap_or_else(|_| "a file".into());
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "has become shorter while it was sent".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let message = format!("a response broke off: `{}` {why}", path.display());
    io::Error::new(FILE, message)
}
