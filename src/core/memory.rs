//! Memory with a descriptor, of one size for ever: who maps it is not killed by another process that
//! makes it smaller.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;

/// What is not allowed any more: to change the size, and to allow it again.
const FIXED: SealFlag =
    SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// Makes memory of `bytes`, all zero.
///
/// # Errors
/// Those of memfd_create(2), ftruncate(2) and fcntl(2).
pub fn create(name: &CStr, bytes: usize) -> io::Result<OwnedFd> {
    let memory = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let bytes = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    nix::unistd::ftruncate(&memory, bytes)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(FIXED))?;
    Ok(memory)
}

/// Looks at a descriptor that somebody else has kept: is it memory that [`create`] has made, of `bytes`?
///
/// # Errors
/// A clause that says what it is instead.
pub fn check(memory: impl AsFd, bytes: usize) -> Result<(), String> {
    // What is no memfd cannot have seals.
    let seals = fcntl(&memory, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    if !seals.is_ok_and(|seals| seals.contains(FIXED)) {
        return Err("it is no memory of a fixed size".into());
    }
    let size = fstat(&memory).map_err(|error| error.to_string())?.st_size;
    if usize::try_from(size) == Ok(bytes) {
        Ok(())
    } else {
        Err(format!("it has {size} bytes, not {bytes}"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn its_size_never_changes() {
        let memory = create(c"test", 64).unwrap();
        assert_eq!(check(&memory, 64), Ok(()));
        assert_eq!(check(&memory, 65), Err("it has 64 bytes, not 65".into()));
        assert!(
            [0, 65]
                .iter()
                .all(|size| File::from(memory.try_clone().unwrap()).set_len(*size).is_err())
        );
    }

    #[test]
    fn what_somebody_else_has_made_is_not_taken_for_it() {
        let foreign =
            memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        File::from(foreign.try_clone().unwrap()).set_len(64).unwrap();
        assert!(check(&foreign, 64).is_err());
        assert!(check(tempfile::tempfile().unwrap(), 0).is_err());
    }
}
