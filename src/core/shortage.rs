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

#[cfg(test)]
mod tests {
    use super::*;

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
