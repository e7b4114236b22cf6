use std::fs::OpenOptions;
use std::os::fd::OwnedFd;

use super::*;
use crate::config::logging::LogFile;

fn speaker() -> Speaker {
    Speaker { instance: "shop".into(), worker: Some(2) }
}

fn say(sink: &mut Sink, text: &str) {
    sink.write(&super::super::info(Event::Ready, text));
}

fn sink(path: &Path, stream: File) -> Sink {
    of(Kind::File(LogStream::open(path, &LogFile::default(), Some(stream)).unwrap()))
}

fn of(kind: Kind) -> Sink {
    Sink {
        speaker: speaker(),
        kind,
        dress: Dress::default(),
        lines: Lines::default(),
        loss: Loss::default(),
        rests: None,
        is_noted: false,
        reached: Reached::Once,
    }
}

fn open_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// A pipe that holds one page, its reading end, and nobody waits for it.
fn pipe() -> (File, File) {
    let (read, write): (OwnedFd, OwnedFd) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    for end in [&read, &write] {
        socket2::SockRef::from(end).set_nonblocking(true).unwrap();
    }
    (read.into(), write.into())
}

fn read(mut pipe: &File) -> String {
    let mut bytes = Vec::new();
    let _ = std::io::Read::read_to_end(&mut pipe, &mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_full_disk_costs_entries_which_are_counted_when_there_is_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut sink = sink(&path, OpenOptions::new().append(true).open("/dev/full").unwrap());
    say(&mut sink, "one");
    sink.tell_losses();
    say(&mut sink, "two");
    assert!(sink.has_losses());
    sink.reopen();
    say(&mut sink, "three");
    assert!(!sink.has_losses());
    let text = std::fs::read_to_string(path).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    assert!(first.contains("2 log entries were lost: No space left on device"), "{text}");
    assert!(second.ends_with("worker 2: three\n") && second.lines().count() == 1, "{text}");
}

#[test]
fn what_was_lost_last_is_told_although_nothing_follows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut sink = sink(&path, OpenOptions::new().append(true).open("/dev/full").unwrap());
    say(&mut sink, "one");
    sink.reopen();
    sink.tell_losses();
    sink.tell_losses();
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.matches("1 log entry was lost").count(), 1, "{text}");
}

#[test]
fn a_line_that_was_cut_off_ends_before_the_next_one() {
    let (reader, writer) = pipe();
    let mut sink = sink(Path::new("/nonexistent/log"), writer);
    say(&mut sink, &"x".repeat(10_000));
    let cut = read(&reader);
    assert!(!cut.ends_with('\n') && cut.len() == 4096);
    say(&mut sink, "next");
    let text = read(&reader);
    assert!(text.starts_with('\n') && text.contains("1 log entry was lost: nobody reads it"));
    assert!(text.ends_with("worker 2: next\n"), "{text}");
}

#[test]
fn a_file_that_was_removed_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut sink = sink(&path, open_file(&path).unwrap());
    say(&mut sink, "one");
    std::fs::remove_file(&path).unwrap();
    say(&mut sink, "two");
    assert!(std::fs::read_to_string(path).unwrap().ends_with(": two\n"));
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_kept_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut sink = sink(Path::new("/nonexistent/log"), open_file(&path).unwrap());
    sink.reopen();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("error: cannot reopen the log /nonexistent/log: No such file"), "{text}");
}

#[test]
fn a_journald_that_goes_and_comes_back_is_told_what_it_missed() {
    use std::os::unix::net::UnixDatagram;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let mut sink = of(Kind::Journal(Journal::to(&path).unwrap()));
    say(&mut sink, "before it is there");
    let receive = |journald: &UnixDatagram| {
        let mut bytes = [0; 4096];
        let length = journald.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    for reason in ["No such file", "Connection refused"] {
        let journald = UnixDatagram::bind(&path).unwrap();
        say(&mut sink, "it is there");
        let told = receive(&journald);
        assert!(told.contains("MESSAGE=1 log entry was lost: journald takes none: "), "{told}");
        assert!(told.contains(reason) && told.contains("RWSGI_LOST=1"), "{told}");
        assert!(receive(&journald).contains("MESSAGE=it is there"));
        drop(journald);
        say(&mut sink, "it is gone");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_peer_that_stalls_keeps_the_log_waiting_once_and_what_it_missed_is_told() {
    use std::os::unix::net::UnixDatagram;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let stalled = UnixDatagram::bind(&path).unwrap();
    let to = path.display().to_string();
    let wire = Wire::open(&datagrams(&to)).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"full", &path).is_ok() {}
    let mut sink = of(Kind::Datagram { to, wire: Some(wire) });
    say(&mut sink, "it has no room");
    let began = Instant::now();
    (0..100).for_each(|_| say(&mut sink, "it is left alone"));
    assert!(began.elapsed() < Duration::from_secs(10), "each entry has waited");
    stalled.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    while stalled.recv(&mut bytes).is_ok() {}
    sink.rests.as_mut().unwrap().until = began;
    sink.tell_losses();
    let length = stalled.recv(&mut bytes).unwrap();
    let told = String::from_utf8_lossy(&bytes[..length]);
    assert!(told.contains("101 log entries were lost: "), "{told}");
    assert!(!sink.has_losses());
}

#[test]
fn what_is_said_while_the_directory_of_the_file_is_gone_is_counted_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("logs");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("log");
    let mut sink = sink(&path, open_file(&path).unwrap());
    std::fs::remove_dir_all(&inner).unwrap();
    (0..3).for_each(|_| say(&mut sink, "nobody sees it"));
    sink.tell_losses();
    assert!(sink.has_losses(), "it was told to nobody");
    std::fs::create_dir(&inner).unwrap();
    sink.tell_losses();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("3 log entries were lost: the log file was removed"), "{text}");
    assert!(!sink.has_losses());
}
