//! The channel between the master and one process: a SOCK_SEQPACKET pair.
//!
//! One packet is one message: a JSON text, with descriptors beside it (SCM_RIGHTS, unix(7)).
//! The kernel keeps packets whole and tells of the other end's death, so there is no framing and no
//! heartbeat here.

mod message;

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use message::{
    DUMP, Failure, FromTemplate, FromWorker, Part, Place, Probing, SignalOrder, Target,
    ThreadStack, ToTemplate, ToWorker,
};

/// Largest message, in bytes: a configuration, or a traceback that was cut to fit.
pub const MAX_MESSAGE: usize = 192 * 1024;

/// Most descriptors beside one message (SCM_MAX_FD of Linux is 253).
pub const MAX_FDS: usize = 128;

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// What was received.
#[derive(Debug)]
pub enum Received<M> {
    /// A message and the descriptors beside it.
    Message(M, Vec<OwnedFd>),
    /// The other end is closed: its process is gone.
    Closed,
}

impl Channel {
    /// Both ends of a new channel; they do not survive exec(2).
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        for socket in [&one, &other] {
            nix::sys::socket::setsockopt(socket, sockopt::SndBuf, &(2 * MAX_MESSAGE))?;
        }
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// The end that `socket` is.
    pub fn from_fd(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one message with descriptors.
    ///
    /// # Errors
    /// Those of sendmsg(2), EPIPE when the other end is gone; `InvalidInput` when it is too large.
    pub fn send<M: Serialize>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_MESSAGE || fds.len() > MAX_FDS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too large"));
        }
        let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
        loop {
            let sent = sendmsg::<()>(
                self.socket.as_raw_fd(),
                &[IoSlice::new(&bytes)],
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            );
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Receives one message; waits for it unless the descriptor is non-blocking.
    ///
    /// # Errors
    /// Those of recvmsg(2), `WouldBlock` among them; `InvalidData` for what is no such message.
    pub fn receive<M: DeserializeOwned>(&self) -> io::Result<Received<M>> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let mut control = cmsg_space!([std::os::fd::RawFd; MAX_FDS]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let (length, fds) = loop {
            let received = recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            match received {
                Ok(received) => {
                    let mut fds = Vec::new();
                    for message in received.cmsgs()? {
                        if let ControlMessageOwned::ScmRights(rights) = message {
                            fds.extend(rights.into_iter().map(crate::sys::own_fd));
                        }
                    }
                    break (received.bytes, fds);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(Received::Closed),
                Err(error) => return Err(error.into()),
            }
        };
        if length == 0 {
            return Ok(Received::Closed);
        }
        let message = serde_json::from_slice(&bytes[..length])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Received::Message(message, fds))
    }

    /// Makes `receive` return `WouldBlock` instead of waiting, or the reverse.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        socket2::SockRef::from(&self.socket).set_nonblocking(nonblocking)
    }

    /// The descriptor itself, to hand on to a child.
    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (master, template) = Channel::pair().unwrap();
        let (worker, _) = Channel::pair().unwrap();
        let message = ToTemplate::Fork { worker: 3, slot: 2, probing: Probing::Required };
        master.send(&message, &[worker.as_fd()]).unwrap();
        match template.receive::<ToTemplate>().unwrap() {
            Received::Message(got, fds) => {
                assert_eq!(got, message);
                assert_eq!(fds.len(), 1);
            }
            Received::Closed => panic!("the other end is open"),
        }
    }

    #[test]
    fn what_every_version_has_said_is_understood_for_ever() {
        fn reads<M: DeserializeOwned + Serialize>(message: &serde_json::Value) {
            let read: M = serde_json::from_value(message.clone()).unwrap();
            let written = serde_json::to_value(read).unwrap();
            assert!(has_all_of(&written, message), "{message} is {written} now");
        }
        let lines = include_str!("messages_0.1.0.jsonl").lines();
        for line in lines {
            let (to, message): (String, serde_json::Value) = serde_json::from_str(line).unwrap();
            match to.as_str() {
                "ToTemplate" => reads::<ToTemplate>(&message),
                "FromTemplate" => reads::<FromTemplate>(&message),
                "ToWorker" => reads::<ToWorker>(&message),
                "FromWorker" => reads::<FromWorker>(&message),
                other => panic!("{other}"),
            }
        }
    }

    /// An older reader finds everything that it needs.
    fn has_all_of(written: &serde_json::Value, recorded: &serde_json::Value) -> bool {
        match (written.as_object(), recorded.as_object()) {
            (Some(written), Some(recorded)) => recorded.iter().all(|(key, value)| {
                written.get(key).is_some_and(|written| has_all_of(written, value))
            }),
            _ => written == recorded,
        }
    }

    #[test]
    fn what_is_not_understood_is_not_the_end() {
        let (master, worker) = Channel::pair().unwrap();
        for news in [serde_json::json!({"Dance": {"tempo": 3}}), serde_json::json!("Sing")] {
            worker.send(&news, &[worker.as_fd()]).unwrap();
            let error = master.receive::<FromWorker>().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        worker.send(&serde_json::json!({"Forked": {"pid": 7, "weather": "fine"}}), &[]).unwrap();
        let received = master.receive::<FromWorker>().unwrap();
        assert!(matches!(received, Received::Message(FromWorker::Forked { pid: 7 }, _)));
    }

    #[test]
    fn the_death_of_the_other_end_is_a_message() {
        let (master, template) = Channel::pair().unwrap();
        drop(master);
        assert!(matches!(template.receive::<ToTemplate>().unwrap(), Received::Closed));
        assert!(template.send(&ToTemplate::Leave, &[]).is_err());
    }

    #[test]
    fn nothing_there_is_not_the_end() {
        let (master, template) = Channel::pair().unwrap();
        template.set_nonblocking(true).unwrap();
        let error = template.receive::<ToTemplate>().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(master);
    }

    #[test]
    fn a_traceback_of_a_hundred_kilobytes_passes() {
        let (master, template) = Channel::pair().unwrap();
        let failure = Failure { traceback: "x".repeat(100 * 1024), ..Failure::plain("s".into()) };
        template.send(&FromTemplate::Failed(failure.clone()), &[]).unwrap();
        match master.receive::<FromTemplate>().unwrap() {
            Received::Message(FromTemplate::Failed(got), _) => assert_eq!(got, failure),
            other => panic!("{other:?}"),
        }
    }
}
