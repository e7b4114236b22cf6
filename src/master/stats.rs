//! The stats server: whoever connects gets a [`Report`] and the end of the connection (docs/control.md).
//!
//! The loop makes the report; a task of its own writes it, so that a slow client keeps nobody else
//! waiting but, in the end, others who come for figures.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::{Config, Listen, Stats};
use rwsgi_core::log::{self, Event as Said};
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::inherited::local_address;
use crate::listeners;
use crate::master::{Arrival, Master, complain};
use crate::reception;
use crate::stats_report::Report;
use crate::unix_socket::{FileId, SocketFile};

/// How long a client may take for its report.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients at a time.
const CLIENTS: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// What a client may send, in bytes: a request of HTTP, which nobody reads.
const MOST_READ: usize = 64 * 1024;

const NAME: &str = "the stats server";

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    /// After the head of an HTTP response.
    http: bool,
    /// Without white space.
    minified: bool,
}

/// A socket that is bound. Its file is removed when it is dropped, unless another one has its place.
#[derive(Debug)]
pub struct StatsServer {
    listen: Listen,
    socket: Socket,
    file: Option<SocketFile>,
    /// What accepts its clients.
    task: Option<AbortHandle>,
}

impl StatsServer {
    /// The one that `config` asks for, if it does.
    ///
    /// # Errors
    /// A sentence with a remedy.
    pub fn open(config: &Config) -> Result<Option<Self>, String> {
        Self::renew(None, config)
    }

    /// The same, unless `current` is that one already.
    ///
    /// # Errors
    /// A sentence with a remedy.
    pub fn renew(current: Option<&Self>, config: &Config) -> Result<Option<Self>, String> {
        match &config.stats {
            Some(Stats { listen, .. }) if !current.is_some_and(|one| one.is_at(listen)) => {
                Self::bind(listen).map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }

    fn bind(listen: &Listen) -> Result<Self, String> {
        let address = &listen.address;
        let failed = |why| format!("cannot tell figures at {address} (stats): {why}");
        let (socket, file) = listeners::bind(listen, BACKLOG, None).map_err(failed)?;
        let shown = local_address(&socket).unwrap_or_else(|| address.clone());
        log::info(Said::Listening, format!("figures are told at {shown} (stats)")).send();
        Ok(Self { listen: listen.clone(), socket, file, task: None })
    }

    /// The one that an earlier program of this process has bound.
    pub fn resume(listen: Listen, socket: OwnedFd, file: Option<FileId>) -> Self {
        let file = match (&listen.address, file) {
            (ListenAddr::Unix(path), Some(id)) => Some(SocketFile::new(path, id)),
            _ => None,
        };
        Self { listen, socket: socket.into(), file, task: None }
    }

    /// What [`StatsServer::resume`] needs, with the number by which its socket is kept.
    pub fn hand_over<'a>(
        &'a self,
        keep: &mut impl FnMut(BorrowedFd<'a>) -> RawFd,
    ) -> (Listen, RawFd, Option<FileId>) {
        let file = self.file.as_ref().map(SocketFile::id);
        (self.listen.clone(), keep(self.socket.as_fd()), file)
    }

    fn is_at(&self, listen: &Listen) -> bool {
        self.listen.address == listen.address && self.file.as_ref().is_none_or(SocketFile::is_there)
    }

    /// Its file gets the mode and the owner of today.
    fn fit(&mut self, listen: &Listen) {
        if self.listen == *listen {
            return;
        }
        self.listen.clone_from(listen);
        if let Some(Err(error)) = self.file.as_ref().map(|file| file.fit(listen)) {
            let address = &listen.address;
            let message = format!("mode and owner of {address} (stats) cannot be set: {error}");
            log::warning(Said::SystemError, message).send();
        }
    }

    /// Hands on who asks, from now on.
    fn serve(&mut self, form: Form, asked: mpsc::UnboundedSender<Answer>) -> io::Result<()> {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let socket = self.socket.try_clone()?;
        let task = if matches!(self.listen.address, ListenAddr::Tcp(_)) {
            tokio::spawn(receive(TcpListener::from_std(socket.into())?, form, asked))
        } else {
            tokio::spawn(receive(UnixListener::from_std(socket.into())?, form, asked))
        };
        self.task = Some(task.abort_handle());
        Ok(())
    }
}

impl Drop for StatsServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// Where a report goes.
type Answer = oneshot::Sender<Report>;

async fn receive<D>(door: D, form: Form, asked: mpsc::UnboundedSender<Answer>)
where
    D: reception::Door<Client: AsyncRead + AsyncWrite + Unpin>,
{
    let serve = move |client| {
        let (answer, answered) = oneshot::channel();
        let _ = asked.send(answer);
        async move {
            if let Ok(report) = answered.await {
                let _ = timeout(PATIENCE, tell(client, form.write(&report))).await;
            }
        }
    };
    reception::receive(door, NAME, CLIENTS, form.refusal(), serve).await;
}

/// Writes all, and waits until the client has it: to close while something of it is unread would take
/// back what is on its way.
async fn tell(mut client: impl AsyncRead + AsyncWrite + Unpin, text: Vec<u8>) -> io::Result<()> {
    client.write_all(&text).await?;
    client.shutdown().await?;
    let (mut rest, mut most) = ([0; 1024], MOST_READ);
    loop {
        let read = client.read(&mut rest).await?;
        most = most.saturating_sub(read);
        if read == 0 || most == 0 {
            return Ok(());
        }
    }
}

impl Form {
    fn write(self, report: &Report) -> Vec<u8> {
        self.framed("200 OK", report.json(self.minified))
    }

    /// What is said when all places are taken.
    fn refusal(self) -> Vec<u8> {
        let why = format!("{{\"error\":\"{CLIENTS} clients are here already: try again\"}}\n");
        self.framed("503 Service Unavailable", why.into_bytes())
    }

    fn framed(self, status: &str, body: Vec<u8>) -> Vec<u8> {
        if !self.http {
            return body;
        }
        let head = format!(
            "HTTP/1.0 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\n\r\n",
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

impl Master {
    /// Has the stats server, if there is one, be as the configuration says.
    pub(crate) fn open_stats(&mut self) {
        let Some(Stats { listen, http, minified, .. }) = self.instance.config.stats.clone() else {
            return;
        };
        let asked = self.forward(Arrival::Stats);
        if let Some(server) = &mut self.instance.stats {
            server.fit(&listen);
            complain(NAME, server.serve(Form { http, minified }, asked));
        }
    }

    /// The configuration is another one, which needs this server if it needs a new one.
    pub(crate) fn change_stats(&mut self, new: Option<StatsServer>) {
        if new.is_some() || self.instance.config.stats.is_none() {
            self.instance.stats = new;
        }
        self.open_stats();
    }

    /// Somebody has come for figures.
    pub(crate) fn answer_stats(&mut self, answer: Answer) {
        let _ = answer.send(self.report());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_json_with_a_head_where_one_is_expected() {
        let plain = Form { http: false, minified: true }.refusal();
        let value: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(value["error"], "32 clients are here already: try again");
        let text = String::from_utf8(Form { http: true, minified: true }.refusal()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(body.as_bytes(), plain);
    }
}
