//! The ledger: what comes back, and what does not.

use super::*;

/// A start that has answered some requests and had a reload; what systemd has of it.
fn earlier() -> (Ledger, Scoreboard) {
    let board = Scoreboard::create(2).unwrap();
    let slot = board.slot(1).unwrap();
    for _ in 0..7 {
        slot.count_response(10, Duration::ZERO);
    }
    slot.count_exception();
    let (mut ledger, names) = Ledger::open(Vec::new(), &board).unwrap();
    assert!(names.is_empty());
    let mut history = ledger.take_history();
    history.note(1, "it is old", Duration::from_secs(3));
    history.note_reload();
    ledger.write(&board, 2, now().saturating_sub(Duration::from_secs(60)), &history);
    (ledger, board)
}

fn kept(ledger: &Ledger, board: &Scoreboard) -> Vec<(String, OwnedFd)> {
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    vec![
        ("rwsgi-scoreboard-1".into(), copy(board.memory())),
        (COUNTERS.into(), copy(ledger.as_fd())),
    ]
}

/// What a start counts from that finds this.
fn begins_with(kept: Vec<(String, OwnedFd)>) -> Counters {
    let board = Scoreboard::create(4).unwrap();
    Ledger::open(kept, &board).unwrap();
    board.total()
}

#[test]
fn the_next_start_goes_on_from_the_sums() {
    let (ledger, board) = earlier();
    let next = Scoreboard::create(4).unwrap();
    let (mut ledger, names) = Ledger::open(kept(&ledger, &board), &next).unwrap();
    assert_eq!(names.len(), 2);
    let sums = Counters { requests: 7, exceptions: 1, bytes_sent: 70, ..Counters::default() };
    assert_eq!(next.total(), sums);
    let mut history = ledger.take_history();
    assert_eq!((history.starts(), history.reloads(), history.restarts(1)), (2, 1, 1));
    let ago = history.last_restart(1, Duration::ZERO)["seconds_ago"].as_u64().unwrap();
    assert!((57..70).contains(&ago), "{ago}");
    history.note_reload();
    // And the one after it.
    next.slot(0).unwrap().count_response(30, Duration::ZERO);
    ledger.write(&next, 4, now(), &history);
    let last = Scoreboard::create(1).unwrap();
    let (mut ledger, _) = Ledger::open(kept(&ledger, &next), &last).unwrap();
    assert_eq!((last.total().requests, last.total().bytes_sent), (8, 100));
    let history = ledger.take_history();
    assert_eq!((history.starts(), history.reloads()), (3, 2));
}

#[test]
fn who_dies_while_it_writes_leaves_what_was_written_before() {
    let (mut ledger, board) = earlier();
    let before = Ledger::read(ledger.as_fd().try_clone_to_owned().unwrap()).unwrap().1;
    let mut history = before.history.clone();
    history.note_reload();
    ledger.write(&board, 2, before.began, &history);
    let place = if ledger.number.is_multiple_of(2) { 0 } else { HALF as u64 };
    ledger.memory.write_all_at(b"torn", place + 40).unwrap();
    let (again, record) = Ledger::read(ledger.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!((record, again.number + 1), (before, ledger.number));
}

#[test]
fn garbage_is_counted_from_zero() {
    let zero = Counters::default();
    let (ledger, board) = earlier();
    // Another memory, a file, nothing.
    let size = |bytes| memory::create(c"test", bytes).unwrap();
    let file = OwnedFd::from(tempfile::tempfile().unwrap());
    for foreign in [size(2 * HALF), size(8), file] {
        let mut kept = kept(&ledger, &board);
        kept[1].1 = foreign;
        assert_eq!(begins_with(kept), zero);
    }
    let both = kept(&ledger, &board);
    both.into_iter().for_each(|one| assert_eq!(begins_with(vec![one]), zero));
    // Another scoreboard, sums that cannot be.
    let other = Scoreboard::create(2).unwrap();
    assert_eq!(begins_with(kept(&ledger, &other)), zero);
    board.slot(0).unwrap().count_response(u64::MAX, Duration::ZERO);
    assert_eq!(begins_with(kept(&ledger, &board)), zero);
}

#[test]
fn every_byte_counts() {
    let (ledger, board) = earlier();
    let place = if ledger.number.is_multiple_of(2) { 0 } else { HALF as u64 };
    let mut half = [0; 400];
    ledger.memory.read_exact_at(&mut half, place).unwrap();
    let length = HEAD + u32::from_ne_bytes(half[12..16].try_into().unwrap()) as usize;
    for (index, byte) in half[..length].iter().enumerate() {
        let at = place + index as u64;
        ledger.memory.write_all_at(&[byte ^ 0x10], at).unwrap();
        assert_eq!(begins_with(kept(&ledger, &board)), Counters::default(), "byte {index}");
        ledger.memory.write_all_at(&[*byte], at).unwrap();
    }
    assert_eq!(begins_with(kept(&ledger, &board)).requests, 7);
}

#[test]
fn a_history_that_is_too_long_is_cut() {
    let (mut ledger, board) = earlier();
    let mut history = History::default();
    let cause = "\u{1}".repeat(5000);
    (0..5000).for_each(|number| history.note(number, &cause, Duration::from_secs(9)));
    let before = ledger.number;
    ledger.write(&board, 2, now(), &history);
    assert_eq!(ledger.number, before + 1);
}
