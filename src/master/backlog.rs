//! How many connections wait to be accepted.
//!
//! One poll(2) for all listeners says whether any wait at all; only where that is so it is asked how
//! many: TCP says so itself (TCP_INFO), of UNIX sockets the kernel's diagnostics do (sock_diag(7)).
//! Where these are not to be had, one counts as waiting.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use nix::sys::stat::fstat;
use rwsgi_core::sys;

/// SOCK_DIAG_BY_FAMILY, linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// NLM_F_REQUEST, linux/netlink.h.
const REQUEST: u16 = 1;
/// TCP_LISTEN, net/tcp_states.h; UNIX sockets have it, too.
const LISTENING: u32 = 10;
/// UDIAG_SHOW_RQLEN and UNIX_DIAG_RQLEN, linux/unix_diag.h.
const SHOW_QUEUE: u32 = 0x10;
const QUEUE: u16 = 4;
/// The size of `struct nlmsghdr`, and of that and `struct unix_diag_msg`.
const HEADER: usize = 16;
const ANSWER: usize = HEADER + 16;

/// Who is asked about UNIX sockets.
#[derive(Debug, Default)]
pub struct Backlog {
    diagnostics: Option<OwnedFd>,
}

impl Backlog {
    /// Connections that wait at `listeners`, all together.
    pub fn waiting(&mut self, listeners: &[BorrowedFd<'_>]) -> u32 {
        let mut polled: Vec<_> =
            listeners.iter().map(|listener| PollFd::new(*listener, PollFlags::POLLIN)).collect();
        if !poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            return 0;
        }
        let ready = polled.iter().map(|one| one.any() == Some(true));
        let ready = listeners.iter().zip(ready).filter(|(_, is_ready)| *is_ready);
        let counts = ready.map(|(listener, _)| self.of(*listener).max(1));
        counts.fold(0, u32::saturating_add)
    }

    fn of(&mut self, listener: BorrowedFd<'_>) -> u32 {
        sys::tcp_backlog(listener).ok().or_else(|| self.of_unix(listener)).unwrap_or(1)
    }

    fn of_unix(&mut self, listener: BorrowedFd<'_>) -> Option<u32> {
        let inode = u32::try_from(fstat(listener).ok()?.st_ino).ok()?;
        if self.diagnostics.is_none() {
            self.diagnostics = socket(
                AddressFamily::Netlink,
                SockType::Datagram,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::NetlinkSockDiag,
            )
            .ok();
        }
        let diagnostics = self.diagnostics.as_ref()?.as_fd().as_raw_fd();
        send(diagnostics, &question(inode), MsgFlags::empty()).ok()?;
        // The kernel has answered before send(2) returns.
        let mut answer = [0; 512];
        let length = recv(diagnostics, &mut answer, MsgFlags::empty()).ok()?;
        queue(answer.get(..length)?, inode)
    }
}

/// `struct nlmsghdr` and `struct unix_diag_req`.
fn question(inode: u32) -> Vec<u8> {
    let header = [[40, 0, 0, 0], pair(BY_FAMILY, REQUEST), [0; 4], [0; 4]].concat();
    let family = [AddressFamily::Unix as u8, 0, 0, 0];
    let words = [1 << LISTENING, inode, SHOW_QUEUE, u32::MAX, u32::MAX].map(u32::to_ne_bytes);
    let mut question = header;
    // The length is in the byte order of the machine, as all else.
    question[..4].copy_from_slice(&40_u32.to_ne_bytes());
    question.extend(family);
    question.extend(words.concat());
    question
}

fn pair(one: u16, other: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (one.to_ne_bytes(), other.to_ne_bytes());
    [a, b, c, d]
}

/// The length of the queue in an answer about the socket `inode`.
fn queue(answer: &[u8], inode: u32) -> Option<u32> {
    let half = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    if half(4)? != BY_FAMILY || word(HEADER + 4)? != inode {
        return None;
    }
    let mut at = ANSWER;
    loop {
        let length = usize::from(half(at)?);
        if half(at + 2)? == QUEUE {
            return word(at + 4);
        }
        // Attributes begin at multiples of four.
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn those_who_wait_at_tcp_and_unix_sockets_are_counted() {
        let path = std::env::temp_dir().join(format!("rwsgi-backlog-{}", std::process::id()));
        let (tcp, unix) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
        let listeners = [tcp.as_fd(), unix.as_fd()];
        let mut backlog = Backlog::default();
        assert_eq!(backlog.waiting(&listeners), 0);
        let address = tcp.local_addr().unwrap();
        let mut here = Vec::new();
        for count in 1..=5 {
            here.push(TcpStream::connect(address).unwrap());
            assert_eq!(backlog.waiting(&listeners[..1]), count);
        }
        let there: Vec<_> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let unix_waiting = backlog.waiting(&listeners[1..]);
        // In a container without diagnostics, that somebody waits is all there is to know.
        let known = backlog.of_unix(unix.as_fd());
        assert_eq!(unix_waiting, known.unwrap_or(1));
        assert!(known.is_none_or(|count| count == 3));
        tcp.accept().unwrap();
        assert_eq!(backlog.waiting(&listeners), 4 + unix_waiting);
        std::fs::remove_file(&path).unwrap();
        drop((here, there));
    }

    #[test]
    fn answers_about_others_or_cut_short_say_nothing() {
        let attribute = |kind: u16, values: &[u32]| {
            let length = u16::try_from(4 + 4 * values.len()).unwrap();
            let mut bytes = pair(length, kind).to_vec();
            values.iter().for_each(|value| bytes.extend(value.to_ne_bytes()));
            bytes
        };
        let mut answer = [[0; 4], pair(BY_FAMILY, 0), [0; 4], [0; 4], [1, 1, 10, 0]].concat();
        answer.extend([7_u32, 0, 0].map(u32::to_ne_bytes).concat());
        answer.extend(attribute(0, &[9]));
        answer.extend(attribute(QUEUE, &[12, 128]));
        assert_eq!((queue(&answer, 7), queue(&answer, 8)), (Some(12), None));
        for length in 0..answer.len() - 4 {
            assert_eq!(queue(&answer[..length], 7), None, "{length}");
        }
        assert_eq!(queue(&[0; 64], 0), None);
    }
}
