//! System calls that have no safe wrapper in `nix` or the standard library, each as a safe function.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::MsgFlags;
use nix::unistd::Gid;
use socket2::{SockAddr, SockAddrStorage};

/// Takes ownership of a descriptor that the kernel has just created for this process.
///
/// Private duty of the callers in this crate: `fd` comes fresh from recvmsg(2), systemd, or the program
/// that was executed before in this process.
pub(crate) fn own_fd(fd: RawFd) -> OwnedFd {
    // SAFETY: all callers pass a number that the kernel has just installed and nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A descriptor of our own for what number `fd` refers to: what this process was started with (see
/// `SD_LISTEN_FDS_START`, or the channel on standard input), or what Python has open.
///
/// # Errors
/// EBADF when the number is not an open descriptor; EMFILE.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only looks at the number.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // A duplicate is ours whatever else believes to own the original.
    // SAFETY: `fd` is open, as just seen, for the length of this call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned()
}

/// Reads the beginning of what number `fd` refers to, if it is a file that can be read. It needs no
/// descriptor of its own: to close one would give up the locks that this process has on the file.
///
/// # Errors
/// Those of pread(2).
pub fn read_beginning(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is as long as said; a number that is no open descriptor is an error.
    let length = unsafe { libc::pread(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// Takes ownership of descriptors that an earlier program has left open for this one when it executed
/// it in its own process (execve(2)), and closes them on the next exec; by their numbers.
///
/// # Errors
/// EBADF when one is not open; `InvalidInput` for a standard stream, for a number that is there twice,
/// and at a second call: a number has one owner.
pub fn adopt(fds: &[RawFd]) -> io::Result<BTreeMap<RawFd, OwnedFd>> {
    static ADOPTED: AtomicBool = AtomicBool::new(false);
    let distinct: BTreeSet<RawFd> = fds.iter().copied().filter(|fd| *fd > 2).collect();
    if distinct.len() < fds.len() || ADOPTED.swap(true, Relaxed) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let adopt = |fd| {
        // SAFETY: F_SETFD fails for what is not open, and changes nothing but a flag.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((fd, own_fd(fd)))
    };
    distinct.into_iter().map(adopt).collect()
}

/// The groups of this thread alone: those of libc's setgroups(2) are of all threads.
///
/// # Errors
/// EPERM without CAP_SETGID.
pub fn set_own_groups(groups: &[Gid]) -> nix::Result<()> {
    let groups: Vec<libc::gid_t> = groups.iter().map(|group| group.as_raw()).collect();
    // SAFETY: the kernel reads so many numbers from there, and keeps no pointer.
    let done = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    Errno::result(done).map(drop)
}

/// Has all descriptors from number `first` on be closed in programs that this process executes. What
/// is no descriptor of this process is left as it is, so there is no error.
pub fn close_on_exec(first: RawFd) {
    // From Linux 5.11 on it is one call.
    // SAFETY: it changes a flag of descriptors, and neither closes nor reads any.
    let done = unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if done == 0 {
        return;
    }
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.flatten().filter_map(|one| one.file_name().to_str()?.parse().ok());
    for fd in numbers.filter(|fd: &RawFd| *fd >= first) {
        // SAFETY: F_SETFD fails for what is not open, and changes nothing but a flag.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// The path by which this program was executed, as it was given to execve(2) (AT_EXECFN, getauxval(3)).
pub fn executed_path() -> Option<PathBuf> {
    // SAFETY: the kernel has put a string there that nobody changes, or the answer is 0.
    let path = unsafe {
        let path = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
        if path.is_null() {
            return None;
        }
        CStr::from_ptr(path)
    };
    Some(OsStr::from_bytes(path.to_bytes()).into())
}

/// Which side of fork(2) this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The process that called; the child's pid.
    Parent(i32),
    /// The new process.
    Child,
}

/// fork(2). Refused when the process has more than one thread, since only the calling one would
/// live on, with the locks of the others for ever taken.
///
/// # Errors
/// EAGAIN or ENOMEM of fork(2); EDEADLK when there is a second thread.
pub fn fork_single_threaded() -> io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    fork_unchecked()
}

/// fork(2) for the template, whose application may have started threads: the child is only used to
/// call Python's own `os.fork()` at once and to leave by [`exit_now`].
///
/// # Errors
/// EAGAIN or ENOMEM of fork(2).
pub fn fork_unchecked() -> io::Result<Forked> {
    // SAFETY: no Rust thread of ours exists in the callers, or one that is in waitpid(2) for a hook; threads
    // of the application stay behind, as with Python's os.fork().
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// _exit(2): ends the process without running anything of Rust, Python or C.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit does not return and touches no memory.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Makes `fd` the standard stream `target` (0, 1 or 2), as dup2(2).
///
/// # Errors
/// Those of dup2(2).
pub fn replace_standard_stream(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    debug_assert!((0..=2).contains(&target));
    // SAFETY: both are plain numbers; standard streams are never owned by an `OwnedFd` of ours.
    if unsafe { libc::dup2(fd.as_raw_fd(), target) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has `target` be what `fd` is, and closes what it was, while others may be using it.
///
/// # Errors
/// Those of dup3(2).
pub fn replace(target: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open; the number of `target` remains open, and its owner's to close.
    if unsafe { libc::dup3(fd.as_raw_fd(), target.as_raw_fd(), libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Maps the first `bytes` of a memfd, shared with all who do.
fn map_shared(memory: BorrowedFd<'_>, bytes: usize) -> io::Result<NonNull<libc::c_void>> {
    let size = nix::sys::stat::fstat(memory)?.st_size;
    if usize::try_from(size).map_or(true, |size| size < bytes) || bytes == 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a fresh mapping of a file that is large enough; the result is checked.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            memory.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?)
}

/// Appends what has come at a socket to `bytes`, `room` bytes at most; returns how many. They are where
/// the kernel has put them: none is copied, and the room is not zeroed before. It does not wait. With
/// `stays` they are at the socket afterwards, too.
///
/// # Errors
/// Those of recv(2).
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    room: usize,
    stays: bool,
) -> io::Result<usize> {
    bytes.reserve_exact(room);
    let count = receive_at(socket, &mut bytes.spare_capacity_mut()[..room], stays)?;
    // SAFETY: the kernel has written so many.
    unsafe { bytes.set_len(bytes.len() + count) };
    Ok(count)
}

/// The same for memory of any kind: the first bytes of `room`, as many as are returned, are set then.
///
/// # Errors
/// Those of recv(2).
pub fn receive_at(
    socket: BorrowedFd<'_>,
    room: &mut [MaybeUninit<u8>],
    stays: bool,
) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | if stays { libc::MSG_PEEK } else { 0 };
    let (start, length) = (room.as_mut_ptr().cast(), room.len());
    // SAFETY: recv(2) writes at most `length` bytes, and there is room for so many.
    let count = unsafe { libc::recv(socket.as_raw_fd(), start, length, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Appends a part of a file to `bytes`: `length` bytes that begin at `offset`. The room is not zeroed before.
///
/// # Errors
/// Those of pread(2); UnexpectedEof when the file ends before. Some of it may have been appended then.
pub fn read_at(
    file: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    mut offset: u64,
    length: usize,
) -> io::Result<()> {
    bytes.reserve(length);
    let mut left = length;
    while left > 0 {
        let room = &mut bytes.spare_capacity_mut()[..left];
        let place = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: pread(2) writes at most `left` bytes, and there is room for so many.
        let count =
            unsafe { libc::pread64(file.as_raw_fd(), room.as_mut_ptr().cast(), left, place) };
        match usize::try_from(count) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                // SAFETY: the kernel has written so many.
                unsafe { bytes.set_len(bytes.len() + count) };
                (left, offset) = (left - count, offset + count as u64);
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

/// Memory shared between processes: an array of atomics in a memfd.
#[derive(Debug)]
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the memory is only reachable as atomics, which any thread may use.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps the first `len` words of `memory`, which must be a memfd at least that large.
    ///
    /// # Errors
    /// Those of mmap(2); EINVAL when `memory` is smaller.
    pub fn map(memory: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let start = map_shared(memory, len * size_of::<AtomicU64>())?;
        Ok(Self { start: start.cast(), len })
    }

    /// All words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, `len` words long, zeroed by the kernel at creation,
        // lives as long as `self`, and is only ever accessed as atomics.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the mapping made in `map`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<AtomicU64>()) };
    }
}

/// What came of the attempt to take a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is ours.
    Free,
    /// It is ours, and its last owner has died with it.
    AfterDeath,
    /// It was somebody else's all the time.
    No,
}

/// Words that a lock in shared memory takes; all zero before it is made.
pub const LOCK_WORDS: usize = 8;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= LOCK_WORDS * size_of::<AtomicU64>());

/// Locks in shared memory: robust mutexes that check who unlocks (pthread_mutexattr_setrobust(3)). The
/// mapping has to outlive the thread that has one of them.
impl SharedWords {
    fn mutex(&self, at: usize) -> io::Result<*mut libc::pthread_mutex_t> {
        let words = self.words().get(at..).and_then(|words| words.get(..LOCK_WORDS));
        Ok(words.ok_or(io::ErrorKind::InvalidInput)?.as_ptr().cast_mut().cast())
    }

    /// Makes a lock of the words from `at` on, which nobody uses yet.
    ///
    /// # Errors
    /// Those of pthread_mutex_init(3); `InvalidInput` when the memory ends before.
    pub fn make_lock(&self, at: usize) -> io::Result<()> {
        let mutex = self.mutex(at)?;
        let mut kind = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let kind = kind.as_mut_ptr();
        // SAFETY: the attributes live on this stack from init to destroy; the mutex is in the mapping,
        // aligned to a word, large enough as asserted above, and only used by these functions.
        let error = unsafe {
            let mut error = libc::pthread_mutexattr_init(kind);
            if error == 0 {
                error = [
                    libc::pthread_mutexattr_settype(kind, libc::PTHREAD_MUTEX_ERRORCHECK),
                    libc::pthread_mutexattr_setpshared(kind, libc::PTHREAD_PROCESS_SHARED),
                    libc::pthread_mutexattr_setrobust(kind, libc::PTHREAD_MUTEX_ROBUST),
                    libc::pthread_mutex_init(mutex, kind),
                ]
                .into_iter()
                .find(|error| *error != 0)
                .unwrap_or(0);
                libc::pthread_mutexattr_destroy(kind);
            }
            error
        };
        if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    /// Takes the lock that [`make_lock`](Self::make_lock) has made at `at`, after `patience` at most;
    /// zero: at once or not at all.
    ///
    /// # Errors
    /// EDEADLK when this very thread has it; `InvalidInput` when the memory ends before.
    pub fn take_lock(&self, at: usize, patience: std::time::Duration) -> io::Result<Taken> {
        let mutex = self.mutex(at)?;
        // SAFETY: the mutex was made before anybody else could map it, and is never destroyed.
        let mut error = unsafe { libc::pthread_mutex_trylock(mutex) };
        if error == libc::EBUSY && !patience.is_zero() {
            let until = nix::time::ClockId::CLOCK_REALTIME.now()? + patience.into();
            // SAFETY: as above; the time lives for the length of the call.
            error = unsafe { libc::pthread_mutex_timedlock(mutex, until.as_ref()) };
        }
        match error {
            0 => Ok(Taken::Free),
            libc::ETIMEDOUT | libc::EBUSY => Ok(Taken::No),
            libc::EOWNERDEAD => {
                // SAFETY: this thread has the mutex, in the state which this call ends.
                unsafe { libc::pthread_mutex_consistent(mutex) };
                Ok(Taken::AfterDeath)
            }
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Gives the lock at `at` back.
    ///
    /// # Errors
    /// EPERM when this thread does not have it; `InvalidInput` when the memory ends before.
    pub fn give_lock(&self, at: usize) -> io::Result<()> {
        let mutex = self.mutex(at)?;
        // SAFETY: as for `take_lock`; the mutex checks who calls.
        match unsafe { libc::pthread_mutex_unlock(mutex) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Has `command` ignore what a terminal sends to all of its processes: the master decides what
/// Ctrl-C, Ctrl-Z and a hang-up mean. Everything else is as for a fresh program.
pub fn ignore_terminal_signals(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let in_child = || {
        // SAFETY: both calls are async-signal-safe, and the dispositions have no handlers.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_IGN);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            libc::signal(libc::SIGQUIT, libc::SIG_IGN);
            libc::signal(libc::SIGTSTP, libc::SIG_IGN);
        }
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe calls and touches no memory of the parent.
    unsafe { command.pre_exec(in_child) };
}

/// Has `command` run as somebody else, with no other rights than `groups`, `gid` and `uid` have. Only root can.
pub fn run_as(
    command: &mut std::process::Command,
    groups: Vec<Gid>,
    gid: Option<Gid>,
    uid: Option<nix::unistd::Uid>,
) {
    use std::os::unix::process::CommandExt as _;
    let in_child = move || {
        nix::unistd::setgroups(&groups)?;
        gid.map_or(Ok(()), nix::unistd::setgid)?;
        uid.map_or(Ok(()), nix::unistd::setuid)?;
        Ok(())
    };
    // SAFETY: the closure only makes system calls, and touches no memory of the parent but to read it.
    unsafe { command.pre_exec(in_child) };
}

/// Has `command` lead a session of its own: no terminal, and a process group that can be sent signals as
/// one. Signals mean to it what they mean to a fresh program. When it is `bound`, it is sent SIGTERM as
/// soon as this process, whose main thread has to start it, is gone.
pub fn lead_session(command: &mut std::process::Command, bound: bool) {
    use std::os::unix::process::CommandExt as _;
    let starter = nix::unistd::getpid();
    let in_child = move || {
        nix::unistd::setsid()?;
        // What its starter holds back is for the starter.
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        // SAFETY: it is async-signal-safe, and the disposition has no handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
        if bound {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
            if nix::unistd::getppid() != starter {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe calls and touches no memory of the parent.
    unsafe { command.pre_exec(in_child) };
}

/// Has a SIGTERM to this very process send a byte to `socket`. A process that the application forks has
/// the handler as well, but it is not meant: there the signal does what it does by default.
///
/// # Errors
/// Those of sigaction(2).
pub fn tell_of_sigterm(socket: OwnedFd) -> io::Result<()> {
    use signal_hook::consts::SIGTERM;
    use signal_hook::low_level::{emulate_default_handler, register};
    let own = nix::unistd::getpid();
    let handler = move || {
        let errno = Errno::last_raw();
        if nix::unistd::getpid() == own {
            // EAGAIN: it says so already.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = nix::sys::socket::send(socket.as_raw_fd(), b"t", flags);
        } else {
            let _ = emulate_default_handler(SIGTERM);
        }
        Errno::set_raw(errno);
    };
    // SAFETY: all that the handler does is async-signal-safe.
    unsafe { register(SIGTERM, handler) }.map(drop)
}

/// Has write(2) fail with EFBIG at RLIMIT_FSIZE; without this it ends the process (SIGXFSZ).
pub fn ignore_file_size_signal() {
    // SAFETY: the disposition has no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Makes this process the one that inherits orphans among its descendants
/// (PR_SET_CHILD_SUBREAPER, prctl(2)).
///
/// # Errors
/// Those of prctl(2).
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Waits until process `pid` has ended, `timeout` at most; `true` when it has.
///
/// # Errors
/// Those of pidfd_open(2) other than ESRCH, and of poll(2).
pub fn wait_for_exit(pid: i32, timeout: std::time::Duration) -> io::Result<bool> {
    let fd = match open_process(pid) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(true),
        opened => opened?,
    };
    use std::os::fd::AsFd as _;
    let mut poll = [nix::poll::PollFd::new(fd.as_fd(), nix::poll::PollFlags::POLLIN)];
    let timeout = nix::poll::PollTimeout::try_from(timeout).unwrap_or(nix::poll::PollTimeout::MAX);
    Ok(nix::poll::poll(&mut poll, timeout)? > 0)
}

/// A descriptor that can be read as soon as process `pid` has ended, whoever's child it is.
///
/// # Errors
/// Those of pidfd_open(2): ESRCH when there is none, ENOSYS before Linux 5.3.
pub fn open_process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: two numbers go in, a descriptor or -1 comes out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(own_fd(RawFd::try_from(fd).unwrap_or(-1)))
}

/// Has the kernel hand over a connection only when its client has sent something, or after `time`
/// (TCP_DEFER_ACCEPT, tcp(7); whole seconds).
///
/// # Errors
/// Those of setsockopt(2).
pub fn defer_accept(listener: BorrowedFd<'_>, time: std::time::Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(time.as_secs()).unwrap_or(libc::c_int::MAX);
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

/// Has who waits for a socket be woken only when so many bytes are there, or its end (SO_RCVLOWAT,
/// socket(7)).
///
/// # Errors
/// Those of setsockopt(2).
pub fn wake_at(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

/// Sets an option whose value is an int.
fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let (place, length) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the value lives for the length of the call.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, place, length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Connections that wait to be accepted from a TCP listener (`tcpi_unacked`, TCP_INFO in tcp(7)).
///
/// # Errors
/// Those of getsockopt(2); EOPNOTSUPP for a socket that is not one of TCP.
pub fn tcp_backlog(listener: BorrowedFd<'_>) -> io::Result<u32> {
    // The first eight bytes of `struct tcp_info` and six words up to that number; it only grows at
    // its end.
    let mut words = [0_u32; 7];
    let mut length = size_of_val(&words) as libc::socklen_t;
    // SAFETY: the kernel writes `length` bytes at the most, and says how many it wrote.
    let done = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(words[6]) }
}

/// Bytes that were sent on a stream socket and that its peer has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// Those of ioctl(2).
pub fn unsent(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is open, and TIOCOUTQ, which SIOCOUTQ is, writes one int.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::try_from(count).unwrap_or(0)) }
}

/// Columns and lines of a terminal; `None` when it is none, or does not know.
pub fn terminal_size(terminal: BorrowedFd<'_>) -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and TIOCGWINSZ writes one winsize.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    let known = done == 0 && size.ws_row > 0 && size.ws_col > 0;
    known.then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Whether something keeps the clock of the machine right (adjtimex(2)), by NTP or else; `None` where one may
/// not ask.
pub fn clock_is_kept() -> Option<bool> {
    // SAFETY: a timex of zeros is one; its mode 0 only asks.
    let state = unsafe {
        let mut facts: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut facts)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

/// Gives memory that was freed back to the system (malloc_trim(3)), as far as the C library can.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and nothing that is in use is touched.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes a connection from a listener, close-on-exec and non-blocking from its first moment
/// (accept4(2)): sendfile(2) has no flag for a single call, as send(2) has.
///
/// # Errors
/// Those of accept4(2).
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let take = |storage: *mut SockAddrStorage, length: *mut libc::socklen_t| {
        // SAFETY: the listener is open; socket2 passes storage for any address and its length.
        let fd = unsafe { libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags) };
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(own_fd(fd)) }
    };
    // SAFETY: accept4(2) writes the peer's address and its length, or nothing and fails.
    unsafe { SockAddr::try_init(take) }
}

/// A number that nobody can guess, and no other process gets (getrandom(2)).
///
/// # Errors
/// Those of getrandom(2).
pub fn random() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer is as long as said. So few bytes come at once, and all of them.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::from_ne_bytes(bytes)) }
}

/// What crypt_r(3) of the system's libcrypt makes of a password; `None`: it does not know the kind of hash
/// that `setting` asks for.
///
/// # Errors
/// There is no libcrypt.
pub fn crypt(password: &CStr, setting: &CStr) -> io::Result<Option<Vec<u8>>> {
    type Text = *const libc::c_char;
    type Crypt = unsafe extern "C" fn(Text, Text, *mut u64) -> Text;
    static CRYPT: std::sync::OnceLock<Option<Crypt>> = std::sync::OnceLock::new();
    let find = || {
        // That of Debian and most others, and that of Fedora.
        let library = [c"libcrypt.so.1", c"libcrypt.so.2"].iter().find_map(|name| {
            // SAFETY: the name ends with a NUL, and this library does nothing when it is loaded. It stays.
            NonNull::new(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) })
        })?;
        // SAFETY: the library is loaded, the name ends with a NUL.
        let found = NonNull::new(unsafe { libc::dlsym(library.as_ptr(), c"crypt_r".as_ptr()) })?;
        // SAFETY: crypt_r(3) takes two strings and its memory, and returns a string or NULL.
        Some(unsafe { std::mem::transmute::<*mut libc::c_void, Crypt>(found.as_ptr()) })
    };
    let missing = || io::Error::new(io::ErrorKind::Unsupported, "there is no libcrypt");
    let crypt = CRYPT.get_or_init(find).ok_or_else(missing)?;
    // `struct crypt_data` is 32 KiB in libxcrypt, and 128 KiB and a bit in glibc before that.
    let mut memory = vec![0_u64; 32 * 1024];
    // SAFETY: both strings end with a NUL, the memory is zeroed and larger than what is asked for.
    let made = unsafe { crypt(password.as_ptr(), setting.as_ptr(), memory.as_mut_ptr()) };
    if made.is_null() {
        return Ok(None);
    }
    // SAFETY: it is a string in `memory`, which is still there.
    let made = unsafe { CStr::from_ptr(made) }.to_bytes();
    // `*0` and `*1` are no hashes (crypt(5)).
    Ok(Some(made.to_vec()).filter(|made| !made.starts_with(b"*")))
}

/// Has these functions be called around every fork(2) of this process: in the forking thread before it,
/// after it in this process, and in the new one (pthread_atfork(3)).
///
/// # Errors
/// ENOMEM.
pub fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) -> io::Result<()> {
    // SAFETY: the functions are safe to call, and there for as long as the process: neither the
    // program nor the extension is ever unloaded.
    let error = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_part_of_a_file_is_read_as_a_whole_or_said_to_be_missing() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut bytes = b"head ".to_vec();
        read_at(file.as_fd(), &mut bytes, 2, 3).unwrap();
        assert_eq!(bytes, b"head 234");
        read_at(file.as_fd(), &mut bytes, 10, 0).unwrap();
        for (offset, length) in [(8, 3), (10, 1), (u64::MAX, 1)] {
            read_at(file.as_fd(), &mut bytes, offset, length).unwrap_err();
        }
        let error = read_at(file.as_fd(), &mut bytes, 8, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
