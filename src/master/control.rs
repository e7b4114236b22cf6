//! The control socket: one line of JSON asks, one line answers when it is done.
//!
//! It lies in the instance's runtime directory, for its user and group only.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::shortage;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// Longest request, in bytes.
const LONGEST: u64 = 4096;
/// How long a shortage of descriptors is given to pass.
const RECOVERY: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A reload; answered when it is complete or has failed.
    Reload,
    /// A stop; answered when it has begun, the end of the connection is the end.
    Stop,
    /// The state, at once.
    Status,
    /// Where the Python threads of the workers are; answered when all have told, or in two seconds.
    Stacks,
}

/// Something that is asked, and where the answer goes.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub command: Command,
    /// The answer.
    pub answer: oneshot::Sender<Value>,
}

/// Where the control socket of this process belongs; `None` without a runtime directory.
pub fn path() -> Option<PathBuf> {
    path_by(|name| std::env::var(name).ok())
}

/// The same for a process with this environment.
pub fn path_by(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let directory =
        variable("RWSGI_RUNTIME_DIRECTORY").or_else(|| variable("RUNTIME_DIRECTORY"))?;
    let first = directory.split(':').next().filter(|first| !first.is_empty())?;
    Some(Path::new(first).join("control"))
}

/// Listens at `path`, mode 0660, and hands on what is asked.
///
/// # Errors
/// Those of bind(2) and chmod(2).
pub fn listen(path: &Path, requests: mpsc::UnboundedSender<Request>) -> std::io::Result<()> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(std::io::ErrorKind::AddrInUse.into());
    }
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    tokio::spawn(async move {
        let mut is_told = false;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    is_told = false;
                    tokio::spawn(answer(stream, requests.clone()));
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let error = shortage::explain(&error);
                        log::error(Said::SystemError, format!("the control socket: {error}"))
                            .send();
                    }
                    tokio::time::sleep(RECOVERY).await;
                }
            }
        }
    });
    Ok(())
}

async fn answer(mut stream: UnixStream, requests: mpsc::UnboundedSender<Request>) {
    let mut line = String::new();
    let mut reader = BufReader::new((&mut stream).take(LONGEST));
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let reply = match parse(&line) {
        Ok(command) => {
            let (answer, answered) = oneshot::channel();
            let _ = requests.send(Request { command, answer });
            let gone =
                json!({"ok": command == Command::Stop, "message": "the instance has stopped"});
            answered.await.unwrap_or(gone)
        }
        Err(message) => json!({"ok": false, "message": message}),
    };
    let _ = stream.write_all(format!("{reply}\n").as_bytes()).await;
}

fn parse(line: &str) -> Result<Command, String> {
    let request: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    match request.get("command").and_then(Value::as_str) {
        Some("reload") => Ok(Command::Reload),
        Some("stop") => Ok(Command::Stop),
        Some("status") => Ok(Command::Status),
        Some("stacks") => Ok(Command::Stacks),
        Some(other) => Err(format!("unknown command {other:?}: reload, stop, status or stacks")),
        None => Err("the request has no \"command\"".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_command_is_answered_by_name() {
        assert_eq!(parse(r#"{"command":"reload"}"#), Ok(Command::Reload));
        assert!(parse(r#"{"command":"dance"}"#).unwrap_err().contains("dance"));
        assert!(parse("{}").is_err());
        assert!(parse("GET / HTTP/1.1").is_err());
    }
}
