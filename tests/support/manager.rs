//! systemd in small, for one service: it keeps descriptors, and starts the service anew with them.

use std::io::{BufRead as _, BufReader, IoSlice, IoSliceMut, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::cmsg_space;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::sys::stat::fstat;
use nix::unistd::Pid;
use serde_json::Value;

use super::place::Place;
use super::setup::Setup;
use super::wait;

/// What ends the thread that listens.
const FAREWELL: &[u8] = b"END";

type Named = (String, OwnedFd);

/// What the service has said and stored.
#[derive(Default)]
struct Heard {
    ready: usize,
    stored: Vec<Named>,
}

/// A service with a store for descriptors.
pub struct Service {
    setup: Setup,
    sockets: Vec<Named>,
    heard: Arc<Mutex<Heard>>,
    child: Option<Child>,
}

impl Service {
    /// Not started yet.
    pub fn new(setup: Setup) -> Self {
        Self::of(setup.variable("FDSTORE", "64"))
    }

    /// The same, with whatever `FDSTORE` says.
    pub fn of(setup: Setup) -> Self {
        let path = setup.place.join("notify");
        let heard = listen(&UnixDatagram::bind(&path).unwrap());
        let setup = setup
            .file("launch.py", include_str!("launch.py"))
            .shell("exec \"$RWSGI_PYTHON\" launch.py \"$@\"", Stdio::null())
            .variable("NOTIFY_SOCKET", &path.display().to_string());
        Self { setup, sockets: Vec::new(), heard, child: None }
    }

    /// With the socket of a socket unit.
    pub fn socket(mut self, name: &str, listener: &TcpListener) -> Self {
        let listener = listener.try_clone().unwrap();
        self.sockets.push((name.into(), listener.into()));
        self
    }

    pub fn place(&self) -> &Place {
        &self.setup.place
    }

    /// What the current start has logged.
    pub fn log(&self) -> String {
        self.place().read("stderr")
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    /// Started, not yet ready.
    pub fn launch(&mut self) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let heard = self.heard.lock().unwrap();
        // systemd: sockets first, then what is stored.
        let all: Vec<&Named> = self.sockets.iter().chain(&heard.stored).collect();
        let fds: Vec<RawFd> = all.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let names = if names.is_empty() { "-".to_owned() } else { names.join(":") };
        let rights = [ControlMessage::ScmRights(&fds)];
        let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
        let parts = [IoSlice::new(names.as_bytes())];
        sendmsg::<()>(ours.as_raw_fd(), &parts, control, MsgFlags::empty(), None).unwrap();
        drop(heard);
        self.setup.stdin(Stdio::from(OwnedFd::from(theirs)));
        self.child = Some(self.setup.spawn().unwrap());
    }

    /// Started and ready.
    pub fn start(&mut self) {
        let before = self.heard.lock().unwrap().ready;
        self.launch();
        self.wait_for_ready(before);
    }

    /// `systemctl reload`.
    pub fn reload(&self) {
        let before = self.heard.lock().unwrap().ready;
        kill(Pid::from_raw(self.pid()), Signal::SIGHUP).unwrap();
        self.wait_for_ready(before);
    }

    /// What is to be stored has been when it says that it is ready.
    fn wait_for_ready(&self, before: usize) {
        let is_ready = || (self.heard.lock().unwrap().ready > before).then_some(());
        let ready = wait::within(wait::DEADLINE, is_ready);
        assert!(ready.is_some(), "it is not ready:\n{}", self.log());
    }

    /// Waits until this start has logged `text` so often.
    pub fn wait_for_log(&self, text: &str, count: usize) {
        let enough = || (self.log().matches(text).count() >= count).then_some(());
        let found = wait::within(wait::DEADLINE, enough);
        assert!(found.is_some(), "no `{text}` × {count} in the log:\n{}", self.log());
    }

    /// `systemctl restart`.
    pub fn restart(&mut self) {
        assert_eq!(self.end(Signal::SIGTERM).code(), Some(0), "{}", self.log());
        self.start();
    }

    /// The master crashes. Its workers live on: what `KillMode=process` would do.
    pub fn crash(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// What the master has left behind.
    pub fn kill_what_is_left(&self) {
        let kill_all = || {
            let left = self.place().processes();
            for pid in &left {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            left.is_empty().then_some(())
        };
        wait::until("nobody", kill_all);
    }

    /// Sends the signal, and waits for the end of the master.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
        let mut child = self.child.take().unwrap();
        let status = wait::within(wait::DEADLINE, || child.try_wait().unwrap());
        status.unwrap_or_else(|| panic!("it does not end:\n{}", self.log()))
    }

    /// Waits for the end of a start that fails.
    pub fn failed(&mut self, code: i32) {
        let mut child = self.child.take().unwrap();
        let status = wait::until("the end", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(code), "{}", self.log());
    }

    /// What `systemctl stop` does when the service has ended: the store is emptied.
    pub fn forget(&self) {
        self.heard.lock().unwrap().stored.clear();
    }

    /// The answer to `status`, of a service with `control-socket = control`.
    pub fn status(&self) -> Value {
        let mut stream = UnixStream::connect(self.place().join("control")).unwrap();
        stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        stream.write_all(b"{\"command\": \"status\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// A copy of what is stored under this name.
    pub fn taken(&self, name: &str) -> OwnedFd {
        let heard = self.heard.lock().unwrap();
        let found = heard.stored.iter().find(|(stored, _)| stored.starts_with(name));
        found.unwrap_or_else(|| panic!("no {name}")).1.try_clone().unwrap()
    }

    /// The names of what is stored, sorted.
    pub fn stored(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let mut names: Vec<_> = heard.stored.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// How many listeners are stored.
    pub fn listeners(&self) -> usize {
        self.stored().iter().filter(|name| name.starts_with("rwsgi-listener-")).count()
    }

    /// Has something stored that nobody has asked for, or something else than what is.
    pub fn store(&self, name: &str, fd: impl Into<OwnedFd>) {
        let mut heard = self.heard.lock().unwrap();
        heard.stored.retain(|(stored, _)| stored != name);
        heard.stored.push((name.into(), fd.into()));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- log ---\n{}", self.log());
        }
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            let _ = kill(pid, Signal::SIGTERM);
            let ended = wait::within(wait::DEADLINE, || child.try_wait().ok().flatten());
            if ended.is_none() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        let path = self.place().join("notify");
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(FAREWELL, path));
    }
}

fn listen(socket: &UnixDatagram) -> Arc<Mutex<Heard>> {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let (ours, socket) = (Arc::clone(&heard), socket.try_clone().unwrap());
    std::thread::spawn(move || {
        while let Some((text, fds)) = receive(&socket) {
            if text.as_bytes() == FAREWELL {
                return;
            }
            ours.lock().unwrap().hear(&text, fds);
        }
    });
    heard
}

fn receive(socket: &UnixDatagram) -> Option<(String, Vec<OwnedFd>)> {
    let mut buffer = [0; 4096];
    let mut control = cmsg_space!([RawFd; 8]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
    let mut fds = Vec::new();
    for message in received.cmsgs().ok()? {
        if let ControlMessageOwned::ScmRights(rights) = message {
            for fd in rights {
                fds.push(rwsgi_core::sys::duplicate(fd).ok()?);
                nix::unistd::close(fd).ok()?;
            }
        }
    }
    let length = received.bytes;
    Some((String::from_utf8_lossy(&buffer[..length]).into_owned(), fds))
}

impl Heard {
    fn hear(&mut self, text: &str, fds: Vec<OwnedFd>) {
        let says = |line: &str| text.lines().any(|said| said == line);
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
        let name = name.unwrap_or("stored");
        if says("READY=1") {
            self.ready += 1;
        }
        if says("FDSTOREREMOVE=1") {
            self.stored.retain(|(stored, _)| stored != name);
        } else if says("FDSTORE=1") {
            assert!(name.is_ascii() && !name.contains(':') && name.len() < 256, "{name}");
            for fd in fds {
                // As systemd: what is there already is not stored a second time.
                if !self.stored.iter().any(|(_, stored)| is_same(stored, &fd)) {
                    self.stored.push((name.to_owned(), fd));
                }
            }
        }
    }
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let id = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    id(one) == id(other)
}
