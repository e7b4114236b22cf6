//! Into the background, and back with the news whether it serves.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rwsgi_core::config::logging::LogFile;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::sys::{self, Forked};

/// Which side of the fork this is.
pub enum Side {
    /// Who typed the command: what it has to say and to exit with.
    Caller(ExitCode),
    /// The daemon: tells the caller how it went.
    Daemon(Caller),
}

/// The caller that waits.
#[derive(Debug)]
pub struct Caller {
    pipe: UnixStream,
}

const READY: u8 = b'+';

/// Forks. The child becomes a session of its own, with stdout and stderr in `log`; the parent waits
/// until the child serves, prints what went wrong otherwise, and tells the code to exit with.
///
/// # Errors
/// Those of open(2), fork(2) and setsid(2).
pub fn daemonize(log: &Path, rules: &LogFile) -> io::Result<Side> {
    let file = rwsgi_core::log::open_file(log, rules)?;
    // Nobody who inherits it expects that it does not wait.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    let null = std::fs::File::open("/dev/null")?;
    let (waiting, telling) = UnixStream::pair()?;
    if let Forked::Parent(_) = sys::fork_single_threaded()? {
        drop(telling);
        return Ok(Side::Caller(wait(waiting, log)));
    }
    drop(waiting);
    nix::unistd::setsid()?;
    sys::replace_standard_stream(null.as_fd(), 0)?;
    sys::replace_standard_stream(file.as_fd(), 1)?;
    sys::replace_standard_stream(file.as_fd(), 2)?;
    Ok(Side::Daemon(Caller { pipe: telling }))
}

impl Caller {
    /// It serves.
    pub fn ready(mut self) {
        let _ = self.pipe.write_all(&[READY]);
    }

    /// It does not, and why.
    pub fn failed(mut self, code: ExitCode, why: &str) {
        let _ = self.pipe.write_all(&[code as u8]);
        let _ = self.pipe.write_all(why.as_bytes());
    }
}

fn wait(mut pipe: UnixStream, log: &Path) -> ExitCode {
    let mut answer = Vec::new();
    let _ = pipe.read_to_end(&mut answer);
    match answer.split_first() {
        Some((&READY, _)) => ExitCode::Ok,
        Some((&code, text)) => {
            let _ = io::stderr().write_all(text);
            let _ = io::stderr().write_all(b"\n");
            [ExitCode::Config, ExitCode::System, ExitCode::Permission]
                .into_iter()
                .find(|known| *known as u8 == code)
                .unwrap_or(ExitCode::Application)
        }
        None => {
            let log = log.display();
            let _ = writeln!(io::stderr(), "rwsgi died while it started; see {log}");
            ExitCode::System
        }
    }
}
