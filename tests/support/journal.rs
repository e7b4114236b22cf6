//! A journal of a test's own, in the place of journald's.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt,
};

use super::place::Place;
use super::setup::Setup;
use super::wait;

/// Fields of an entry, by name and value.
#[derive(Debug, Clone)]
pub struct Entry {
    fields: Vec<(String, String)>,
    /// Whether who sent it was still there when it was read, so that journald finds its unit.
    pub has_sender: bool,
}

impl Entry {
    /// The value of a field that occurs once, or nothing.
    pub fn get(&self, name: &str) -> &str {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} is there {} times: {self:?}", values.len());
        values.first().copied().unwrap_or("")
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str()).collect()
    }

    fn parse(bytes: &[u8], has_sender: bool) -> Self {
        let (mut fields, mut rest) = (Vec::new(), bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            let (name, value) = match line.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    rest = &rest[end + 1..];
                    (&line[..at], &line[at + 1..])
                }
                None => {
                    let (length, value) = rest[end + 1..].split_at(8);
                    let length = u64::from_le_bytes(length.try_into().unwrap());
                    let (value, after) = value.split_at(usize::try_from(length).unwrap());
                    rest = after.strip_prefix(b"\n").unwrap();
                    (line, value)
                }
            };
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            fields.push((text(name), text(value)));
        }
        assert_eq!(rest, b"");
        Self { fields, has_sender }
    }
}

/// What has been logged.
pub struct Journal {
    socket: PathBuf,
    entries: Arc<Mutex<Vec<Entry>>>,
    listen: Sender<()>,
}

/// What ends the thread that listens.
const FAREWELL: &[u8] = b"END";

/// In a namespace of its own /run is empty but for the test's journal.
const SCRIPT: &str = "exec unshare --user --map-root-user --mount sh -c '\
    mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
    mount --bind \"$PWD/journal\" /run/systemd/journal && exec \"$@\"' sh \"$@\"";

impl Journal {
    /// A server that logs there, not yet started. `None` where namespaces of users are not allowed.
    pub fn of(setup: Setup) -> Option<(Setup, Self)> {
        let (setup, journal) = Self::of_patient(setup)?;
        journal.listen();
        Some((setup, journal))
    }

    /// The same with a journal that reads nothing yet.
    pub fn of_patient(setup: Setup) -> Option<(Setup, Self)> {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--user",
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "none",
            "/run",
        ]);
        let made = unshare.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: no namespaces here");
            return None;
        }
        let journal = Self::at(&setup.place);
        Some((setup.shell(SCRIPT, Stdio::null()), journal))
    }

    fn at(place: &Place) -> Self {
        std::fs::create_dir(place.join("journal")).unwrap();
        let path = place.join("journal/socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        setsockopt(&socket, sockopt::PassCred, &true).unwrap();
        let (listen, wait) = mpsc::channel();
        let entries = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&entries);
        std::thread::spawn(move || {
            let _ = wait.recv();
            while let Some((bytes, has_sender)) = receive(&socket) {
                theirs.lock().unwrap().push(Entry::parse(&bytes, has_sender));
            }
        });
        Self { socket: path, entries, listen }
    }

    /// Reads from now on.
    pub fn listen(&self) {
        self.listen.send(()).unwrap();
    }

    /// All entries so far in which a field has this value.
    pub fn all(&self, name: &str, value: &str) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap();
        entries.iter().filter(|entry| entry.all(name).contains(&value)).cloned().collect()
    }

    /// Waits for the first entry in which a field has this value.
    pub fn wait_for(&self, name: &str, value: &str) -> Entry {
        let found = wait::within(wait::DEADLINE, || self.all(name, value).into_iter().next());
        found.unwrap_or_else(|| {
            let entries = self.entries.lock().unwrap().clone();
            panic!("no {name}={value} in {entries:?}");
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(FAREWELL, &self.socket));
    }
}

/// One entry as it was sent, in a datagram or in a file.
fn receive(socket: &UnixDatagram) -> Option<(Vec<u8>, bool)> {
    let mut buffer = vec![0; 1 << 20];
    let mut space = nix::cmsg_space!([i32; 1], UnixCredentials);
    let (length, file, sender) = {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags).ok()?;
        let (mut file, mut sender) = (None, 0);
        for control in message.cmsgs().ok()? {
            match control {
                ControlMessageOwned::ScmRights(fds) => file = fds.first().copied(),
                ControlMessageOwned::ScmCredentials(who) => sender = who.pid(),
                _ => {}
            }
        }
        (message.bytes, file, sender)
    };
    let has_sender = std::fs::read(format!("/proc/{sender}/cgroup")).is_ok_and(|it| !it.is_empty());
    let bytes = match file {
        Some(fd) => {
            let bytes = std::fs::read(format!("/proc/self/fd/{fd}"));
            nix::unistd::close(fd).ok()?;
            bytes.ok()
        }
        None => Some(buffer[..length].to_vec()).filter(|bytes| bytes != FAREWELL),
    };
    bytes.map(|bytes| (bytes, has_sender))
}
