//! What is counted over restarts of the service, in memory that systemd keeps ([`crate::fd_store`]).
//!
//! Requests are counted where they always are: in the [`Scoreboard`], by the workers, so that nothing is
//! lost whoever is killed. The ledger has what the master counts, and says which scoreboard belongs to
//! it. The next start adds up that scoreboard, and begins its own with the sums.
//!
//! It is two halves of [`HALF`] bytes, written in turn: who dies while it writes one leaves the other.
//! A half begins, in the byte order of the machine, with
//!
//! | bytes | |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 4 | [`FORMAT`] |
//! | 4 | the length of what follows the head |
//! | 8 | a number, one more for each writing |
//! | 8 | the checksum of this number and what follows |
//!
//! What follows is JSON, with the rules of [`crate::handover`]. What is not understood, or has been
//! changed by somebody else, is not used: everything is counted from 0 then.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rwsgi_core::log::{self, Event};
use rwsgi_core::memory;
use rwsgi_core::scoreboard::{self, Counters, Scoreboard};
use serde::{Deserialize, Serialize};

use crate::fd_store::{self, COUNTERS};
use crate::handover;
use crate::history::History;

const MAGIC: [u8; 8] = *b"rwsgicnt";
/// The version of what a half begins with, and of what its JSON means.
const FORMAT: u32 = 1;
/// Bytes of a half, its head among them: enough for what [`History::brief`] leaves, however it is escaped.
const HALF: usize = 128 * 1024;
/// Bytes before the JSON.
const HEAD: usize = 32;
/// More slots than any version has.
const MOST_SLOTS: usize = 1 << 16;
/// A sum that no instance comes to (and that a JSON number still tells exactly).
const INCREDIBLE: u64 = 1 << 53;

/// The ledger of an instance.
#[derive(Debug)]
pub struct Ledger {
    memory: File,
    /// Of the last writing.
    number: u64,
    /// What earlier starts have counted.
    earlier: Option<History>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// [`scoreboard::LAYOUT`].
    layout: u32,
    slots: usize,
    /// The inode of the scoreboard.
    scoreboard: u64,
    /// When the start that writes this began, on CLOCK_MONOTONIC.
    began: Duration,
    history: History,
}

impl Ledger {
    /// Goes on with what systemd has kept, if that can be used, else begins anew; the names of what has
    /// to stay in the store until this start has its own there. The sums of earlier starts are in
    /// `scoreboard` then, which nobody uses yet.
    ///
    /// # Errors
    /// Those of [`memory::create`].
    pub fn open(
        kept: Vec<(String, OwnedFd)>,
        scoreboard: &Scoreboard,
    ) -> io::Result<(Self, BTreeSet<String>)> {
        let anew = || -> io::Result<(Self, BTreeSet<String>)> {
            let memory = memory::create(c"rwsgi-counters", 2 * HALF)?.into();
            Ok((Self { memory, number: 0, earlier: None }, BTreeSet::new()))
        };
        if kept.is_empty() {
            return anew();
        }
        match Self::go_on(kept, scoreboard) {
            Ok(ledger) => Ok(ledger),
            Err(why) => {
                let message =
                    format!("counters of earlier starts are not used, all begin at 0: {why}");
                log::warning(Event::Starting, message).send();
                anew()
            }
        }
    }

    fn go_on(
        kept: Vec<(String, OwnedFd)>,
        scoreboard: &Scoreboard,
    ) -> Result<(Self, BTreeSet<String>), String> {
        let (ledgers, boards): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|(name, _)| name == COUNTERS);
        let (name, memory) = ledgers.into_iter().next().ok_or("systemd has not kept the ledger")?;
        let (mut ledger, record) = Self::read(memory)?;
        if record.layout != scoreboard::LAYOUT {
            let ours = scoreboard::LAYOUT;
            return Err(format!("their scoreboard has layout {}, not {ours}", record.layout));
        }
        let board = boards.into_iter().find(|(_, fd)| fd_store::inode(fd) == record.scoreboard);
        let (board_name, board) = board.ok_or("systemd has not kept their scoreboard")?;
        let sums = sums(board, record.slots).map_err(|why| format!("their scoreboard: {why}"))?;
        if let Some(slot) = scoreboard.slot(0) {
            slot.begin_with(sums);
        }
        let gap = now().saturating_sub(record.began);
        ledger.earlier = Some(record.history.go_on(gap, sums.requests));
        Ok((ledger, [name, board_name].into()))
    }

    /// The one that an earlier program of this process has written.
    pub fn resume(memory: OwnedFd) -> Option<Self> {
        Self::read(memory).ok().map(|(ledger, _)| ledger)
    }

    fn read(memory: OwnedFd) -> Result<(Self, Record), String> {
        memory::check(&memory, 2 * HALF)?;
        let memory = File::from(memory);
        let mut bytes = vec![0; 2 * HALF];
        memory.read_exact_at(&mut bytes, 0).map_err(|error| error.to_string())?;
        let halves = bytes.chunks_exact(HALF).filter_map(parse);
        let (number, text) = halves.max_by_key(|(number, _)| *number).ok_or("it is damaged")?;
        let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Ok((Self { memory, number, earlier: None }, record))
    }

    /// What earlier starts have counted, once.
    pub fn take_history(&mut self) -> History {
        self.earlier.take().unwrap_or_default()
    }

    /// Writes down what this start has counted, which began at `began` on CLOCK_MONOTONIC.
    pub fn write(
        &mut self,
        scoreboard: &Scoreboard,
        slots: usize,
        began: Duration,
        history: &History,
    ) {
        let record = Record {
            layout: scoreboard::LAYOUT,
            slots,
            scoreboard: fd_store::inode(scoreboard.memory()),
            began,
            history: history.brief(),
        };
        let Ok(text) = serde_json::to_vec(&record) else { return };
        let number = self.number.wrapping_add(1);
        let Some(half) = frame(number, &text) else { return };
        let place = if number.is_multiple_of(2) { 0 } else { HALF as u64 };
        // A memfd is memory that is there: nothing can fail but for want of it, and then the other half
        // is as good.
        if self.memory.write_all_at(&half, place).is_ok() {
            self.number = number;
        }
    }
}

impl AsFd for Ledger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// What the workers of an earlier scoreboard have counted.
fn sums(board: OwnedFd, slots: usize) -> Result<Counters, String> {
    if !(1..=MOST_SLOTS).contains(&slots) {
        return Err(format!("it has {slots} slots"));
    }
    memory::check(&board, Scoreboard::size(slots))?;
    let board = Scoreboard::open(board, slots).map_err(|error| error.to_string())?;
    let total = board.total();
    let Counters { requests, exceptions, bytes_sent, turned_away, .. } = total;
    let all = [requests, exceptions, bytes_sent, turned_away];
    match all.iter().find(|sum| **sum >= INCREDIBLE) {
        Some(sum) => Err(format!("a sum of {sum} cannot be")),
        None => Ok(total),
    }
}

/// A half with this text; `None` when that is too long.
fn frame(number: u64, text: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= HALF - HEAD)?;
    let mut half = Vec::with_capacity(HEAD + text.len());
    half.extend(MAGIC);
    half.extend(FORMAT.to_ne_bytes());
    half.extend(length.to_ne_bytes());
    half.extend(number.to_ne_bytes());
    half.extend(checksum(number, text).to_ne_bytes());
    half.extend(text);
    Some(half)
}

/// The number and the text of a half, if it is whole.
fn parse(half: &[u8]) -> Option<(u64, &[u8])> {
    let word = |from: usize| Some(u64::from_ne_bytes(half.get(from..from + 8)?.try_into().ok()?));
    let small = |from: usize| Some(u32::from_ne_bytes(half.get(from..from + 4)?.try_into().ok()?));
    if half.get(..8)? != MAGIC || small(8)? != FORMAT {
        return None;
    }
    let length = usize::try_from(small(12)?).ok()?;
    let (number, sum) = (word(16)?, word(24)?);
    let text = half.get(HEAD..HEAD.checked_add(length)?)?;
    (checksum(number, text) == sum).then_some((number, text))
}

/// FNV-1a, 64 bits: it finds what was half written, and is no secret.
fn checksum(number: u64, text: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = number.to_ne_bytes().into_iter().chain(text.iter().copied());
    bytes.fold(BASIS, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// The time on CLOCK_MONOTONIC; 0 if there is none.
fn now() -> Duration {
    handover::clock().unwrap_or_default()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
