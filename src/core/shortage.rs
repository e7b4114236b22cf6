//! What to do about an error of a system call that something is short.

use std::io;

use nix::errno::Errno;

/// The error, and which limit to look at where one is the cause.
pub fn explain(error: &io::Error) -> String {
    let remedy = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "too few files may be open: LimitNOFILE= of the unit, `ulimit -n`",
        Some(Errno::ENFILE) => "the system has no descriptor left: sysctl fs.file-max",
        Some(Errno::EAGAIN) => {
            "too many processes and threads: TasksMax= and LimitNPROC= of the unit, `ulimit -u`"
        }
        Some(Errno::ENOMEM) => "no memory: fewer processes, or MemoryMax= of the unit",
        Some(Errno::ENOSPC | Errno::EDQUOT) => "the disk is full",
        Some(Errno::EROFS) => "the file system is read-only: ReadWritePaths= of the unit",
        _ => return error.to_string(),
    };
    format!("{error} ({remedy})")
}

/// The error number in a sentence that has an error of the system in it, as [`io::Error`] writes it.
/// What fails at the start is told in sentences; this is what systemd wants to know of them (ERRNO=).
pub fn errno_in(sentence: &str) -> Option<i32> {
    let (_, rest) = sentence.split_once("(os error ")?;
    let (number, _) = rest.split_once(')')?;
    number.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_error_and_garbage_has_none() {
        let told = format!("cannot listen on :80: {}; use 8080", explain(&Errno::EACCES.into()));
        assert_eq!(errno_in(&told), Some(13));
        let without = ["", "(os error", "(os error )", "(os error x)", "(os error 0)", "it is 13"];
        assert_eq!(without.map(errno_in), [None; 6]);
    }

    #[test]
    fn a_shortage_names_its_limit_and_other_errors_are_as_they_are() {
        let told = explain(&Errno::EAGAIN.into());
        assert!(
            told.starts_with("Resource temporarily unavailable (os error 11) (too many"),
            "{told}"
        );
        assert!(told.contains("TasksMax="), "{told}");
        let other = io::Error::from(Errno::ENOENT);
        assert_eq!(explain(&other), other.to_string());
        assert_eq!(explain(&io::ErrorKind::InvalidInput.into()), "invalid input parameter");
    }
}
