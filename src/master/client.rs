//! The client of the control socket: asks once, and waits for the answer, the end of its patience,
//! or Ctrl-C.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// What came of a question.
#[derive(Debug)]
pub enum Reply {
    /// It was answered.
    Answer(Value),
    /// It was not answered in time.
    Late,
    /// Somebody has pressed Ctrl-C.
    Interrupted,
}

/// Asks who listens at `path`; twice when nothing comes back: a program that has given way to its
/// successor in between has taken the question with it.
///
/// # Errors
/// Nobody does, or the answer is none.
pub async fn ask(path: &Path, question: &Value) -> io::Result<Value> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match ask_once(path, question).await {
        Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) => {
            ask_once(path, question).await.map_err(|_| error)
        }
        done => done,
    }
}

async fn ask_once(path: &Path, question: &Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(path).await?;
    // Who is turned away has an answer to read, and nobody reads the question.
    let written = stream.write_all(format!("{question}\n").as_bytes()).await;
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line).await;
    if line.is_empty() {
        written.and(read)?;
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection"));
    }
    Ok(serde_json::from_str(&line)?)
}

/// The same, with bounded patience.
///
/// # Errors
/// As for [`ask`].
pub async fn ask_within(
    path: &Path,
    question: &Value,
    patience: Option<Duration>,
) -> io::Result<Reply> {
    let late = async {
        match patience {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        answer = ask(path, question) => answer.map(Reply::Answer),
        () = late => Ok(Reply::Late),
        _ = tokio::signal::ctrl_c() => Ok(Reply::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_although_nobody_has_read_the_question() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        // Longer than a socket holds: it is still being written when the other side has left.
        let question = json!({ "command": "x".repeat(4 << 20) });
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.writable().await.unwrap();
            stream.try_write(b"{\"ok\": false}\n").unwrap();
        };
        let (answer, ()) = tokio::join!(ask(&path, &question), server);
        assert_eq!(answer.unwrap(), json!({"ok": false}));
    }
}
