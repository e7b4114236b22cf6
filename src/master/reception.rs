//! Lets in who connects to a socket of the master: so many at a time, and with patience while
//! descriptors are short.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rwsgi_core::log::{self, Event};
use rwsgi_core::shortage;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// How long a shortage of descriptors is given to pass.
const RECOVERY: Duration = Duration::from_millis(200);

/// A socket that accepts.
pub trait Door: Send + Sync + 'static {
    /// Who comes.
    type Client: Send + 'static;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Client>> + Send;

    /// Says as much as it takes without waiting.
    fn say(client: &Self::Client, bytes: &[u8]);
}

impl Door for UnixListener {
    type Client = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(Self::accept(self).await?.0)
    }

    fn say(client: &UnixStream, bytes: &[u8]) {
        let _ = client.try_write(bytes);
    }
}

impl Door for TcpListener {
    type Client = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(Self::accept(self).await?.0)
    }

    fn say(client: &TcpStream, bytes: &[u8]) {
        let _ = client.try_write(bytes);
    }
}

/// Lets clients in for ever, `places` at a time; who comes when all are taken gets `refusal`. `name` is
/// the socket's, for the log.
pub async fn receive<D: Door, S: Future<Output = ()> + Send + 'static>(
    door: D,
    name: &'static str,
    places: usize,
    refusal: Vec<u8>,
    serve: impl Fn(D::Client) -> S,
) {
    let places = Arc::new(Semaphore::new(places));
    let mut is_told = false;
    loop {
        let client = match door.accept().await {
            Ok(client) => client,
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    let message = format!("{name}: {}", shortage::explain(&error));
                    log::error(Event::SystemError, message).send();
                }
                tokio::time::sleep(RECOVERY).await;
                continue;
            }
        };
        is_told = false;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            D::say(&client, &refusal);
            continue;
        };
        let served = serve(client);
        tokio::spawn(async move {
            served.await;
            drop(place);
        });
    }
}
