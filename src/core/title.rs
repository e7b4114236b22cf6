//! What ps(1) and top(1) call this process.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

/// Where the arguments of the process are in its memory, of the fields after the name in
/// /proc/PID/stat (proc_pid_stat(5)).
const ARG_START: usize = 48 - 3;
const ARG_END: usize = 49 - 3;

/// Writes `title` over the arguments of this process, which nobody reads there any more.
///
/// # Errors
/// It cannot be written: /proc is not there, or not that of this process.
pub fn set(title: &str) -> io::Result<()> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (start, length) = arguments(&stat).ok_or(io::ErrorKind::InvalidData)?;
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&padded(title, length), start)
}

/// Names the calling thread, of which the kernel keeps 15 bytes. That of the first thread is that of
/// the process where there is no room for arguments.
///
/// # Errors
/// `name` has a NUL in it.
pub fn set_short(name: &str) -> io::Result<()> {
    Ok(nix::sys::prctl::set_name(&CString::new(name)?)?)
}

/// Address and size of the arguments.
fn arguments(stat: &str) -> Option<(u64, usize)> {
    // The name, in parentheses, may have anything in it.
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    let start: u64 = fields.nth(ARG_START)?.parse().ok()?;
    let end: u64 = fields.nth(ARG_END - ARG_START - 1)?.parse().ok()?;
    let length = usize::try_from(end.checked_sub(start)?).ok()?;
    (start > 0 && length > 0).then_some((start, length))
}

/// The title with zeros up to the end, the last byte always one: the kernel takes another for the
/// sign that the title goes on in the environment.
fn padded(title: &str, length: usize) -> Vec<u8> {
    let mut bytes = title.as_bytes().to_vec();
    bytes.truncate(length.saturating_sub(1));
    bytes.resize(length, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_found_behind_any_name() {
        let mut fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        fields[48 - 4] = "140000".to_owned();
        fields[49 - 4] = "140100".to_owned();
        let stat = format!("17 (a) b (c 9) S {}", fields.join(" "));
        assert_eq!(arguments(&stat), Some((140_000, 100)));
        assert_eq!(arguments("17 (a) S 1 2"), None);
    }

    #[test]
    fn a_kernel_without_the_right_to_tell_says_zero() {
        let zeros = vec!["0"; 49].join(" ");
        assert_eq!(arguments(&format!("17 (a) S {zeros}")), None);
    }

    #[test]
    fn a_title_ends_before_the_arguments_do() {
        assert_eq!(padded("abc", 6), b"abc\0\0\0");
        assert_eq!(padded("abcdef", 4), b"abc\0");
    }
}
