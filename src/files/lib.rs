//! Static files, and files that an application names: from a path to an open file and the head of
//! a response. It neither reads files nor writes to sockets: whoever has the connection does.
//!
//! In the order of a request: `place` (which directory has it) → `open` (a regular file, or what
//! else is there) → `root` (where it really is) → [`Files::answer`] or [`Files::sendfile`] →
//! `freshness` and `media_type` (header fields) → `representation` (conditions and ranges) →
//! `multipart` → [`FileBody`].
//!
//! # No path leaves its root
//!
//! `..` never reaches the disk (`rwsgi_protocol::relative_path`). Symbolic links are followed, by the
//! kernel, and then `/proc/self/fd` tells where the descriptor really is: below the root, or below
//! one of `static-safe`, or it is not sent. What is checked is the open file itself, so there is no
//! moment between check and use. `openat2(RESOLVE_BENEATH)` could save the readlink, but it needs a
//! descriptor of the root, which would stay in the old release when a deployment switches a link;
//! it refuses absolute links within the root; and it takes Linux 5.6.
//!
//! # System calls
//!
//! A miss is one `openat2` for each directory that is looked in. A hit is `openat2`, `statx`, and `close`
//! once it is sent; a compressed sibling that is sent for it adds the same three, one that is looked for in
//! vain an `openat2`. Where a link is followed, or the kernel has no openat2(2), `open` and `readlink` come
//! in addition.

mod body;
mod error;
mod files;
mod freshness;
mod media_type;
mod multipart;
mod open;
mod place;
mod representation;
mod root;
mod sendfile;

use http::HeaderName;
use http::header::{
    ACCEPT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    RANGE,
};

pub use body::{Answer, FileBody, Segment};
pub use error::FileError;
pub use files::{Files, Found};

/// The fields of a request that tell what of a file is to be sent, and as what.
pub const HEEDED: [HeaderName; 7] = [
    ACCEPT_ENCODING,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

#[cfg(test)]
mod files_tests;
#[cfg(test)]
mod sendfile_tests;
#[cfg(test)]
mod tree;
