//! Clients that are slow, silent, or many: none of them holds a Python thread, and none is for ever.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::memory::own_bytes;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// A megabyte for each number in the query, in pieces, and one that ends with its `close`.
const LARGE: &str = r#"
class Large:
    def __init__(self, environ):
        self.environ = environ
        self.pieces = iter([b'x' * 65536] * (16 * int(environ['QUERY_STRING'] or 1)))

    def __iter__(self):
        return self.pieces

    def close(self):
        self.environ['wsgi.errors'].write('closed\n')
        self.environ['wsgi.errors'].flush()


def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/large':
        return Large(environ)
    return [environ['wsgi.input'].read()]
"#;

const GET: &str = "GET /ok HTTP/1.1\r\nHost: test\r\n\r\n";

fn large(lines: &str) -> Server {
    Setup::new(lines).app(LARGE).start()
}

fn reader(server: &Server, megabytes: usize) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /large?{megabytes} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client
}

#[test]
fn a_response_that_nobody_reads_does_not_hold_the_only_thread() {
    let server = large("");
    let mut slow = reader(&server, 16);
    server.get("/ok").expect(200);
    server.wait_for_log("closed", 1);
    assert_eq!(slow.response().expect(200).body.len(), 16 << 20);
}

#[test]
fn a_response_larger_than_its_buffer_waits_for_the_client_and_arrives_whole() {
    let server = large("response-buffering=1m");
    let mut slow = reader(&server, 16);
    let mut busy = server.connect();
    busy.send(GET);
    assert_eq!(slow.response().expect(200).body.len(), 16 << 20);
    busy.response().expect(200);
    server.wait_for_log("closed", 1);
}

#[test]
fn a_reader_that_leaves_ends_its_response_and_the_file_behind_it() {
    let server = large("response-buffering=1m");
    let slow = reader(&server, 64);
    drop(slow);
    server.wait_for_log("closed", 1);
    server.get("/ok").expect(200);
    let worker = server.workers()[0];
    wait::until("no deleted file is held open", || {
        let open = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().flatten();
        let names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let held = names.filter(|name| name.to_string_lossy().contains("(deleted)"));
        (held.filter(|name| !name.to_string_lossy().contains("memfd")).count() == 0).then_some(())
    });
}

#[test]
fn bodies_above_the_buffer_are_in_a_file_and_read_like_any_other() {
    for limit in [1000, 150_000] {
        let server = large(&format!("post-buffering={limit}"));
        for size in [0, 1, 999, 1000, 1001, 200_000, 3_000_000] {
            let body: String = ('a'..='z').cycle().take(size).collect();
            let request = format!(
                "POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{body}"
            );
            assert!(server.ask(&request).expect(200).text() == body, "{size} bytes");
        }
        // More chunks, and smaller ones, than are written at a time.
        let chunks: Vec<String> = (0..2000).map(|number| format!("{number};").repeat(30)).collect();
        let framed: String =
            chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{framed}0\r\n\r\n"
        );
        assert!(server.ask(&request).expect(200).text() == chunks.concat(), "chunks");
    }
    let kitchen = Server::new("post-buffering=3");
    let got = |kind: &str| {
        let request = format!(
            "POST /parts?{kind} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 12\r\n\r\nab\ncdefg\n\nhi"
        );
        kitchen.ask(&request).expect(200).text()
    };
    assert_eq!(got("read"), "ab\n|cde|fg\n|\nhi||");
    assert_eq!(got("readline"), "ab\n|cdefg\n|\n|hi||");
    assert_eq!(got("readline4"), "ab\n|cdef|g\n|\n|hi||");
    assert_eq!(got("readlines"), "ab\n|cdefg\n|\n|hi||");
    assert_eq!(got("iterate"), "ab\n|cdefg\n|\n|hi||");
}

#[test]
fn a_body_that_cannot_be_stored_is_503_and_told() {
    let setup = Setup::new("post-buffering=1000").app(LARGE);
    let directory = setup.place.join("spool");
    std::fs::create_dir(&directory).unwrap();
    let server = setup.variable("TMPDIR", &directory.display().to_string()).start();
    std::fs::remove_dir(&directory).unwrap();
    let body = "x".repeat(1 << 20);
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = server.connect();
    client.send(request);
    client.response().expect(503);
    server.wait_for_log("cannot store the body of a request", 1);
    server.wait_for_log("make room, or set TMPDIR", 1);
    server.get("/ok").expect(200);
}

#[test]
fn a_body_slower_than_the_minimum_rate_is_408() {
    let server = Server::new("minimum-rate=10k\nhttp-timeout=60");
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n");
    let began = Instant::now();
    let mut stream = client.raw();
    // A byte now and then: the pause between two is never too long.
    let answered = wait::within(Duration::from_secs(30), || {
        let _ = stream.write_all(b"x");
        let mut peeked = [0];
        (stream.peek(&mut peeked).is_ok_and(|count| count > 0)).then_some(())
    });
    assert!(answered.is_some());
    assert!(began.elapsed() > Duration::from_secs(4), "the first seconds are free");
    client.response().expect(408);
    server.wait_for_log("did not come in time", 1);
}

#[test]
fn a_reader_slower_than_the_minimum_rate_is_cut_off() {
    let server = large("minimum-rate=1m\nhttp-timeout=60");
    let mut slow = reader(&server, 64);
    let mut stream = slow.raw();
    let cut = wait::within(Duration::from_secs(40), || match stream.read(&mut [0; 512]) {
        Ok(0) | Err(_) => Some(()),
        Ok(_) => None,
    });
    // What was in flight may still be read; then the connection ends before the response does.
    assert!(cut.is_some() || !slow.try_response(true).is_ok_and(|response| response.complete));
    server.wait_for_log("(aborted)", 1);
    server.wait_for_log("127.0.0.1: response cut: the client takes it too slowly", 1);
}

#[test]
fn a_reader_that_is_slow_and_steady_is_cut_off_too() {
    let server = large("minimum-rate=1m\nhttp-timeout=60");
    let slow = reader(&server, 64);
    let mut stream = slow.raw();
    stream.set_nonblocking(true).unwrap();
    // Some hundred kilobytes a second: there is room for more all the time.
    let cut = wait::within(Duration::from_secs(40), || match stream.read(&mut [0; 2048]) {
        Ok(0) => Some(()),
        Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Some(()),
        _ => server.log().contains("(aborted)").then_some(()),
    });
    assert!(cut.is_some());
    server.wait_for_log("(aborted)", 1);
}

#[test]
fn a_reader_that_is_fast_enough_is_left_alone_however_long_it_takes() {
    let server = large("minimum-rate=1k\nhttp-timeout=4");
    let mut slow = reader(&server, 4);
    let mut stream = slow.raw();
    let began = Instant::now();
    let mut count = 0;
    let took = wait::within(Duration::from_secs(30), || {
        count += stream.read(&mut [0; 512]).unwrap();
        (began.elapsed() > Duration::from_secs(11)).then_some(())
    });
    assert!(took.is_some() && count > 0);
    let rest = slow.rest();
    assert!(count + rest.len() > 4 << 20, "{count} + {} bytes", rest.len());
}

#[test]
fn five_hundred_slow_clients_of_each_kind_leave_the_only_thread_to_the_others() {
    let server =
        large("http-headers-timeout=600\nhttp-timeout=600\nminimum-rate=0\nmax-connections=3000");
    let address = server.address();
    let connect = |request: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let mut slow = Vec::new();
    for _ in 0..500 {
        slow.push(connect("GET /ok HTTP/1.1\r\nHost: te"));
        slow.push(connect(
            "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 999999\r\n\r\nabc",
        ));
        slow.push(connect("GET /large?4 HTTP/1.1\r\nHost: test\r\n\r\n"));
    }
    for _ in 0..20 {
        for (index, stream) in slow.iter_mut().enumerate() {
            if index % 3 == 2 {
                let _ = stream.read(&mut [0]);
            } else {
                stream.write_all(b"s").unwrap();
            }
        }
        assert_eq!(server.get("/ok").expect(200).body, b"");
    }
}

/// Bytes of memory that a process has for itself, and its processor time in clock ticks.
fn footprint(pid: i32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (own_bytes(pid), fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

#[test]
fn ten_thousand_idle_connections_cost_little_memory_and_no_time() {
    raise_limit();
    let server = Setup::new("max-connections=11000\ndisable-logging=true")
        .shell("ulimit -n $(ulimit -H -n); exec \"$@\"", Stdio::null())
        .start();
    let worker = server.workers()[0];
    let address = server.address();
    let browser = "GET /ok HTTP/1.1\r\nHost: test\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\n\
        Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\nCookie: a=1; b=2\r\n\r\n";
    let ask = |stream: &mut TcpStream| {
        stream.write_all(browser.as_bytes()).unwrap();
        assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    };
    // What the first connections leave in the allocator is not the price of an idle one.
    let mut warm: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    warm.iter_mut().for_each(ask);
    drop(warm);
    let (before, _) = footprint(worker);
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        let mut stream = TcpStream::connect(address).unwrap();
        ask(&mut stream);
        idle.push(stream);
    }
    let each = |memory: u64| memory.saturating_sub(before) / 10_000;
    let small =
        wait::within(wait::DEADLINE, || (each(footprint(worker).0) < 8 * 1024).then_some(()));
    let (after, _) = footprint(worker);
    assert!(small.is_some(), "{} bytes for an idle connection", each(after));
    let quiet = wait::within(wait::DEADLINE, || {
        let (_, began) = footprint(worker);
        let pause = wait::within(Duration::from_secs(1), || None::<()>);
        let (_, ended) = footprint(worker);
        (pause.is_none() && ended == began).then_some(())
    });
    assert!(quiet.is_some(), "idle connections take processor time");
    for stream in idle.iter_mut().step_by(97) {
        ask(stream);
    }
}

#[test]
fn idle_connections_whose_requests_came_at_once_cost_no_more() {
    const COUNT: u64 = 2000;
    raise_limit();
    let server = Setup::new("max-connections=3000\ndisable-logging=true")
        .shell("ulimit -n $(ulimit -H -n); exec \"$@\"", Stdio::null())
        .start();
    let worker = server.workers()[0];
    let fields: String = (0..12).map(|number| format!("X-{number}: {number:040}\r\n")).collect();
    // The former are answered by hyper.
    let asked =
        ["HEAD", "GET"].map(|method| format!("{method} /ok HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let asked = || asked.iter().cycle();
    server.ask(&asked().next().unwrap().replace("HEAD", "GET")).expect(200);
    let (before, _) = footprint(worker);
    let mut idle: Vec<_> =
        (0..COUNT).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    // All that they ask for is there before the worker sees the first of it.
    kill(Pid::from_raw(worker), Signal::SIGSTOP).unwrap();
    for (stream, request) in idle.iter_mut().zip(asked()) {
        stream.write_all(request.as_bytes()).unwrap();
    }
    kill(Pid::from_raw(worker), Signal::SIGCONT).unwrap();
    for stream in &mut idle {
        assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    }
    let each = || footprint(worker).0.saturating_sub(before) / COUNT;
    let small = wait::within(wait::DEADLINE, || (each() < 8 * 1024).then_some(()));
    assert!(small.is_some(), "{} bytes for an idle connection", each());
}

/// As many descriptors as this process may have.
fn raise_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

#[test]
fn the_longest_idle_connection_makes_room_for_a_new_one() {
    let server = Server::new("max-connections=10");
    let mut idle: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.get("/ok").expect(200);
    }
    for _ in 0..30 {
        server.get("/ok").expect(200);
    }
}

#[test]
fn connections_over_the_limit_wait_while_all_are_busy() {
    let server = Server::new("max-connections=3\nthreads=4");
    let mut busy: Vec<_> = ["a", "b", "c"]
        .map(|gate| {
            let mut client = server.connect();
            client.send(format!("GET /gate?{gate} HTTP/1.1\r\nHost: test\r\n\r\n"));
            server.place.wait_for_gate(gate);
            client
        })
        .into();
    let mut next = server.connect();
    next.send(GET);
    assert!(next.is_silent_for(Duration::from_millis(300)));
    ["a", "b", "c"].iter().for_each(|gate| server.place.open_gate(gate));
    next.response().expect(200);
    busy.iter_mut().for_each(|client| drop(client.response().expect(200)));
}

#[test]
fn running_out_of_descriptors_never_stops_accepting_for_good() {
    let server = Setup::new("threads=2").shell("ulimit -n 96; exec \"$@\"", Stdio::null()).start();
    let address = server.address();
    for _ in 0..3 {
        let crowd: Vec<_> = (0..150)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                let _ = stream.write_all(b"GET /ok HTTP/1.1\r\nHos");
                stream
            })
            .collect();
        drop(crowd);
        server.get("/ok").expect(200);
    }
}
