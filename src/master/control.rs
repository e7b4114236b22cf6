//! The control socket: one line of JSON asks, one line answers when it is done (docs/control.md).
//!
//! Who may connect may ask for everything, and the kernel says who may: the owner of the socket, its
//! group, and root (mode 0660). It is connected to only once it has its owner and mode.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, User, chown};
use rwsgi_core::config::Process;
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream, unix::UCred};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::reception;

/// Longest request, in bytes.
const LONGEST: u64 = 4096;
/// How long a client may take to ask, and to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients at a time; those who wait for a reload or a drain are among them.
const CLIENTS: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A reload; answered when it is complete or has failed.
    Reload,
    /// New workers of the same code; answered when all are replaced or one could not be.
    ReloadWorkers,
    /// A stop; answered when it has begun, the end of the connection is the end.
    Stop,
    /// The state, at once.
    Status {
        /// With the memory of each worker.
        memory: bool,
    },
    /// Where the Python threads of the workers are; answered when all have told, or in two seconds.
    Stacks,
    /// A pause; answered when no worker accepts any more.
    Pause,
    /// Its end.
    Resume,
    /// A pause; answered when nothing runs any more.
    Drain,
    /// The replacement of the worker of this number; answered at once.
    Replace(u32),
    /// So many workers; answered when they serve.
    Scale(u32),
}

impl Command {
    /// Whether it changes anything, and is logged.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Status { .. } | Self::Stacks)
    }
}

/// Something that is asked, and where the answer goes.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub command: Command,
    /// As the client has named it.
    pub name: String,
    /// Who asks.
    pub client: Option<UCred>,
    /// The same, as far as it waits.
    pub waiter: Waiter,
}

/// A client that waits for an answer.
#[derive(Debug)]
pub struct Waiter {
    /// The answer.
    pub answer: oneshot::Sender<Value>,
    /// A second descriptor of its connection, for who may have to answer it in the place of this
    /// program; `None` when there are no more descriptors.
    pub connection: Option<OwnedFd>,
}

/// Where the control socket of this process belongs: where the configuration says, or in the
/// runtime directory, if there is one.
pub fn path(process: &Process) -> Option<PathBuf> {
    process.control_socket.clone().or_else(|| path_by(|name| std::env::var(name).ok()))
}

/// In the runtime directory of a process with this environment.
pub fn path_by(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let directory =
        variable("RWSGI_RUNTIME_DIRECTORY").or_else(|| variable("RUNTIME_DIRECTORY"))?;
    let first = directory.split(':').next().filter(|first| !first.is_empty())?;
    Some(Path::new(first).join("control"))
}

/// A socket that is bound; removed when dropped, unless another one has its place.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    socket: Socket,
    /// O_PATH: whoever may look at our descriptors finds the socket by it, see [`path_of`].
    file: OwnedFd,
    /// What accepts its clients.
    task: Option<AbortHandle>,
}

impl ControlSocket {
    /// Binds the socket at `path`, for `process`: its user, and its group.
    ///
    /// # Errors
    /// A sentence: what is in the way.
    pub fn bind(path: &Path, process: &Process) -> Result<Self, String> {
        let failed = |what: &'static str| {
            let shown = path.display();
            move |error: io::Error| format!("no control socket at {shown}: {what}: {error}")
        };
        clear(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed("socket"))?;
        socket.set_nonblocking(true).map_err(failed("socket"))?;
        let address = SockAddr::unix(path).map_err(failed("the path"))?;
        socket.bind(&address).map_err(failed("bind"))?;
        // From here on the file is ours to remove, whatever follows.
        let file = open_file(path).map_err(failed("open"));
        let made = file.map(|file| Self { path: path.to_owned(), socket, file, task: None })?;
        made.give_away(process).map_err(failed("its owner and mode cannot be set"))?;
        // Until here nobody could connect.
        made.socket.listen(BACKLOG).map_err(failed("listen"))?;
        Ok(made)
    }

    /// The one that an earlier program of this process has bound.
    pub fn resume(path: PathBuf, socket: OwnedFd, file: OwnedFd) -> Self {
        Self { path, socket: socket.into(), file, task: None }
    }

    /// Where it is, the socket, and the descriptor of its file.
    pub fn parts(&self) -> (&Path, BorrowedFd<'_>, BorrowedFd<'_>) {
        (&self.path, self.socket.as_fd(), self.file.as_fd())
    }

    fn give_away(&self, process: &Process) -> io::Result<()> {
        let is_root = nix::unistd::geteuid().is_root();
        let uid = process.uid.filter(|_| is_root);
        let user = uid.and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
        let own = process.gid.filter(|_| is_root).or(user.map(|user| user.gid.as_raw()));
        let gid = process.control_group.or(own);
        if uid.is_some() || gid.is_some() {
            chown(&self.path, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
        }
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o660))
    }

    /// Hands on what is asked, from now on.
    ///
    /// # Errors
    /// Those of fcntl(2) and epoll_ctl(2).
    pub fn serve(&mut self, requests: mpsc::UnboundedSender<Request>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.socket.try_clone()?.into())?;
        let busy = refusal(&format!("{CLIENTS} clients are here already: try again"));
        let busy = format!("{busy}\n").into_bytes();
        let serve = move |mut stream| {
            let requests = requests.clone();
            async move { answer(&mut stream, requests).await }
        };
        let name = "the control socket";
        let task = tokio::spawn(reception::receive(listener, name, CLIENTS, busy, serve));
        self.task = Some(task.abort_handle());
        Ok(())
    }

    /// Another one in the place of this one, if somebody has deleted its path.
    ///
    /// # Errors
    /// A sentence: what is in the way.
    pub fn anew(&self, process: &Process) -> Result<Option<Self>, String> {
        if self.has_its_path() {
            return Ok(None);
        }
        Self::bind(&self.path, process).map(Some)
    }

    fn has_its_path(&self) -> bool {
        let ours = nix::sys::stat::fstat(&self.file).map(|facts| (facts.st_dev, facts.st_ino));
        let there = std::fs::symlink_metadata(&self.path).map(|facts| (facts.dev(), facts.ino()));
        ours.ok() == there.ok()
    }
}

fn open_file(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(open(path, flags, Mode::empty())?)
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if self.has_its_path() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens at any more; nothing else.
fn clear(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(facts) if !facts.file_type().is_socket() => {
            return Err(format!("no control socket at {shown}: there is a file that is no socket"));
        }
        Ok(_) => {}
    }
    let probe = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    let error = probe().err().map(|error| error.kind());
    if matches!(error, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)) {
        let _ = std::fs::remove_file(path);
        return Ok(());
    }
    Err(format!("no control socket at {shown}: another instance listens there"))
}

/// Where the control socket of a process is: it has a descriptor of that file.
///
/// # Errors
/// Those of opendir(3): the process is somebody else's.
pub fn path_of(pid: i32) -> io::Result<Option<PathBuf>> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    // What is connected or listens is called `socket:[…]`; only a descriptor of the file has a path.
    let paths = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let is_socket = |path: &PathBuf| {
        path.is_absolute()
            && std::fs::symlink_metadata(path).is_ok_and(|facts| facts.file_type().is_socket())
    };
    Ok(paths.into_iter().find(is_socket))
}

async fn answer(stream: &mut UnixStream, requests: mpsc::UnboundedSender<Request>) {
    let client = stream.peer_cred().ok();
    let asked = match timeout(PATIENCE, ask(stream)).await {
        Ok(Ok(line)) => parse(&line),
        Ok(Err(why)) => Err(why),
        Err(_) => Err("no request has come in time: one line of JSON is expected".to_owned()),
    };
    match asked {
        Ok((command, name)) => {
            let (answer, answered) = oneshot::channel();
            let connection = stream.as_fd().try_clone_to_owned().ok();
            let waiter = Waiter { answer, connection };
            let _ = requests.send(Request { command, name, client, waiter });
            reply(stream, answered, command == Command::Stop).await;
        }
        Err(message) => say(stream, &refusal(&message)).await,
    }
}

/// Says what is answered, unless the client leaves before. The end of the instance is an answer, too:
/// one that is `wanted`, or not.
async fn reply(stream: &mut UnixStream, answered: oneshot::Receiver<Value>, wanted: bool) {
    let gone = json!({"ok": wanted, "message": "the instance has stopped"});
    let answer = tokio::select! {
        answer = answered => answer.unwrap_or(gone),
        () = departure(stream) => return,
    };
    say(stream, &answer).await;
}

async fn say(stream: &mut UnixStream, answer: &Value) {
    let _ = timeout(PATIENCE, stream.write_all(format!("{answer}\n").as_bytes())).await;
}

/// Has a client answered whose request an earlier program of this process has read.
///
/// # Errors
/// Those of fcntl(2) and epoll_ctl(2).
pub fn resume(connection: OwnedFd) -> io::Result<Waiter> {
    let spare = connection.try_clone().ok();
    let stream = std::os::unix::net::UnixStream::from(connection);
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    let (answer, answered) = oneshot::channel();
    tokio::spawn(async move { reply(&mut stream, answered, false).await });
    Ok(Waiter { answer, connection: spare })
}

fn refusal(message: &str) -> Value {
    json!({"ok": false, "message": message})
}

/// Reads one line.
async fn ask(stream: &mut UnixStream) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(LONGEST));
    let read = reader.read_until(b'\n', &mut line).await;
    match read {
        Err(error) => Err(error.to_string()),
        Ok(_) if line.len() as u64 == LONGEST && !line.ends_with(b"\n") => {
            Err(format!("the request is longer than {LONGEST} bytes"))
        }
        Ok(_) => Ok(line),
    }
}

/// Waits until the client has left. One that has only closed its own side still wants its answer.
async fn departure(stream: &UnixStream) {
    let mut rest = [0; 512];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut rest) {
            Ok(0) => break,
            // One line is all that is read.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
    let mut state = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let _ = poll(&mut state, PollTimeout::ZERO);
    if !state[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
        std::future::pending::<()>().await;
    }
}

fn parse(line: &[u8]) -> Result<(Command, String), String> {
    let request: Value =
        serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
    let name = request.get("command").and_then(Value::as_str);
    let name = name.ok_or("the request has no \"command\"")?;
    let number = |key: &str| match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            number.map(Some).ok_or(format!("\"{key}\" is no number: {value}"))
        }
    };
    let command = match name {
        "reload" if request["workers"] == true => Command::ReloadWorkers,
        "reload" => Command::Reload,
        "stop" => Command::Stop,
        "status" => Command::Status { memory: request["memory"] == true },
        "stacks" => Command::Stacks,
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        "scale" => Command::Scale(number("workers")?.ok_or("scale needs \"workers\", a number")?),
        "drain" => number("worker")?.map_or(Command::Drain, Command::Replace),
        other => {
            let all = "reload, stop, status, stacks, pause, resume, drain or scale";
            return Err(format!("unknown command {other:?}: {all}"));
        }
    };
    Ok((command, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<Command, String> {
        parse(line.as_bytes()).map(|(command, _)| command)
    }

    #[test]
    fn a_command_may_have_members() {
        assert_eq!(command(r#"{"command":"reload"}"#), Ok(Command::Reload));
        assert_eq!(command(r#"{"command":"status"}"#), Ok(Command::Status { memory: false }));
        let memory = r#"{"memory":true,"command":"status"}"#;
        assert_eq!(command(memory), Ok(Command::Status { memory: true }));
        assert_eq!(command(r#"{"command":"drain","worker":2}"#), Ok(Command::Replace(2)));
        assert_eq!(command(r#"{"command":"scale","workers":4}"#), Ok(Command::Scale(4)));
        assert!(command(r#"{"command":"scale"}"#).is_err());
        assert_eq!(command(r#"{"command":"drain","worker":null}"#), Ok(Command::Drain));
    }

    #[test]
    fn what_is_no_command_is_answered_by_name() {
        assert!(command(r#"{"command":"dance"}"#).unwrap_err().contains("dance"));
        assert!(command(r#"{"command":"drain","worker":-2}"#).unwrap_err().contains("no number"));
        assert!(command("{}").is_err());
        assert!(command("[]").is_err());
        assert!(command("GET / HTTP/1.1").is_err());
        assert!(parse(b"\xff\xfe").is_err());
    }

    #[test]
    fn only_a_socket_that_nobody_has_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let process = Process::default();
        std::fs::write(&path, "precious").unwrap();
        assert!(ControlSocket::bind(&path, &process).unwrap_err().contains("no socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        let first = ControlSocket::bind(&path, &process).unwrap();
        assert!(ControlSocket::bind(&path, &process).unwrap_err().contains("another instance"));
        assert_eq!(path_of(std::process::id() as i32).unwrap(), Some(path.clone()));
        std::fs::remove_file(&path).unwrap();
        let second = ControlSocket::bind(&path, &process).unwrap();
        drop(first);
        assert!(path.exists(), "it is another one's");
        drop(second);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(ControlSocket::bind(&path, &process).unwrap());
    }
}
