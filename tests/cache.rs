//! Caches that workers share: `cache2`, `uwsgi.cache_get` and its kind.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::wait;

/// Evaluates what it is asked for, so that a test reads as what it expects.
const APP: &str = "
import os
import uwsgi
from urllib.parse import unquote

def application(environ, start_response):
    start_response('200 OK', [])
    try:
        answer = repr(eval(unquote(environ['QUERY_STRING'])))
    except Exception as error:
        answer = '%s: %s' % (type(error).__name__, error)
    return [answer.encode()]
";

fn setup(lines: &str) -> Setup {
    Setup::new(lines).app(APP)
}

fn eval(server: &Server, text: &str) -> String {
    let quoted: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    server.get(&format!("/?{quoted}")).expect(200).text()
}

#[test]
fn answers_are_those_of_uwsgi() {
    let lines = "cache2 = name=one,items=20,blocksize=4096\n\
                 cache2 = name=small,items=3,ignore_full=1\n\
                 cache2 = name=lru,items=3,purge_lru=1\n\
                 cache2 = name=chained,items=4,blocksize=1024,blocks=20,bitmap=1";
    let server = setup(lines).start();
    for (asked, answer) in [
        ("uwsgi.cache_set('a', b'1')", "True"),
        ("uwsgi.cache_set('a', b'2')", "None"),
        ("uwsgi.cache_get('a'), uwsgi.cache_get(b'a'), uwsgi.cache_get('z')", "(b'1', b'1', None)"),
        ("uwsgi.cache_update('a', b'3'), uwsgi.cache_update('new', 'str')", "(True, True)"),
        ("uwsgi.cache_get('a', 'one'), uwsgi.cache_get('new')", "(b'3', b'str')"),
        ("uwsgi.cache_exists('a'), uwsgi.cache_exists('q')", "(True, None)"),
        ("uwsgi.cache_del('a'), uwsgi.cache_del('a')", "(True, None)"),
        ("uwsgi.cache_keys(), uwsgi.cache_keys('one')", "([b'new'], [b'new'])"),
        ("uwsgi.cache_inc('n'), uwsgi.cache_num('n')", "(True, 1)"),
        ("uwsgi.cache_get('n')", r"b'\x01\x00\x00\x00\x00\x00\x00\x00'"),
        ("uwsgi.cache_inc('n', 5), uwsgi.cache_dec('n'), uwsgi.cache_num('n')", "(True, True, 5)"),
        ("uwsgi.cache_mul('n'), uwsgi.cache_mul('n', 10)", "(True, True)"),
        ("uwsgi.cache_div('n', 3), uwsgi.cache_num('n')", "(True, 33)"),
        ("uwsgi.cache_dec('n', 100), uwsgi.cache_num('n')", "(True, -67)"),
        ("uwsgi.cache_num('unknown'), uwsgi.cache_mul('m'), uwsgi.cache_num('m')", "(0, True, 0)"),
        ("uwsgi.cache_set('big', b'x' * 5000)", "None"),
        ("uwsgi.cache_set('k' * 3000, b'x'), uwsgi.cache_set('', b'x')", "(None, None)"),
        ("uwsgi.cache_set('neg', b'x', -1), uwsgi.cache_get('neg')", "(True, None)"),
        ("uwsgi.cache_set('b', bytearray(b'x')), uwsgi.cache_get('b')", "(True, b'x')"),
        (
            "[uwsgi.cache_set('i%d' % i, b'x', 0, 'small') for i in range(5)]",
            "[True, True, True, None, None]",
        ),
        (
            "[uwsgi.cache_set('i%d' % i, b'x', 0, 'lru') for i in range(5)]",
            "[True, True, True, True, True]",
        ),
        ("sorted(uwsgi.cache_keys('lru'))", "[b'i2', b'i3', b'i4']"),
        ("uwsgi.cache_get('i2', 'lru'), uwsgi.cache_set('i5', b'', 0, 'lru')", "(b'x', True)"),
        ("sorted(uwsgi.cache_keys('lru'))", "[b'i2', b'i4', b'i5']"),
        ("uwsgi.cache_set('big', b'x' * 5000, 0, 'chained')", "True"),
        ("uwsgi.cache_get('big', 'chained') == b'x' * 5000", "True"),
        ("uwsgi.cache_clear(), uwsgi.cache_keys()", "(True, [])"),
        ("uwsgi.cache_get('a', 'nope'), uwsgi.cache_set('a', b'', 0, 'nope')", "(None, None)"),
        ("uwsgi.cache_clear('nope'), uwsgi.cache_num('a', 'nope')", "(None, 0)"),
        ("uwsgi.cache_keys('nope')", "ValueError: no local uWSGI cache available"),
    ] {
        assert_eq!(eval(&server, asked), answer, "{asked}");
    }
    for (asked, answer) in [
        ("uwsgi.cache_set('x')", "TypeError: "),
        ("uwsgi.cache_set('f', 1)", "TypeError: a bytes-like object is required, not 'int'"),
        ("uwsgi.cache_set(key='f', value=b'')", "TypeError: "),
        ("uwsgi.cache_get('a', 'one@127.0.0.1:1')", "ValueError: `one@127.0.0.1:1` is a cache of"),
        ("uwsgi.cache_div('n', 0)", "ZeroDivisionError: "),
        (
            "uwsgi.cache_set('t', b'abc') and uwsgi.cache_inc('t')",
            "ValueError: what the cache `one`",
        ),
        ("uwsgi.cache_num('t')", "ValueError: what the cache `one` has for \"t\" is no number"),
    ] {
        let told = eval(&server, asked);
        assert!(told.starts_with(answer), "{asked}: {told}");
    }
    server.wait_for_log("there is no cache `nope`: nothing is kept", 1);
    server.wait_for_log("the cache `one` takes no value of more than 4096 bytes", 1);
    assert!(!server.log().contains("`small`"), "{}", server.log());
}

#[test]
fn without_a_cache_nothing_is_kept_and_the_log_says_so_once() {
    let server = setup("").start();
    for _ in 0..3 {
        assert_eq!(
            eval(&server, "uwsgi.cache_update('a', b'1'), uwsgi.cache_get('a')"),
            "(None, None)"
        );
    }
    server.wait_for_log("there is no cache: nothing is kept; add", 1);
    assert_eq!(server.log().matches("nothing is kept").count(), 1);
}

#[test]
fn what_has_expired_is_not_there_and_makes_room() {
    let server = setup("cache2 = items=1").start();
    assert_eq!(
        eval(&server, "uwsgi.cache_set('a', b'1', 1), uwsgi.cache_exists('a')"),
        "(True, True)"
    );
    assert_eq!(eval(&server, "uwsgi.cache_set('b', b'2')"), "None");
    wait::until("the end of a second", || {
        (eval(&server, "uwsgi.cache_get('a')") == "None").then_some(())
    });
    assert_eq!(eval(&server, "uwsgi.cache_keys(), uwsgi.cache_exists('a')"), "([], None)");
    assert_eq!(eval(&server, "uwsgi.cache_set('b', b'2'), uwsgi.cache_get('b')"), "(True, b'2')");
}

#[test]
fn all_workers_and_the_next_generation_have_the_same() {
    let server = setup("processes = 2\ncache = 50\ncache-blocksize = 100").start();
    let mut pids = std::collections::BTreeSet::new();
    wait::until("both workers", || {
        let two: Vec<_> =
            (0..4).map(|_| server.connect_and_send("/?uwsgi.cache_inc('n')*os.getpid()")).collect();
        pids.extend(two.into_iter().map(|mut one| one.response().text()));
        (pids.len() == 2).then_some(())
    });
    let count = eval(&server, "uwsgi.cache_num('n', 'default')");
    assert!(count.parse::<u32>().unwrap() >= 4, "{count}");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("reloaded: ", 1);
    assert_eq!(eval(&server, "uwsgi.cache_num('n')"), count);
}

#[test]
fn a_reload_that_changes_the_size_begins_with_an_empty_one_and_leaves_the_others() {
    let server = setup("cache2 = name=a,items=5\ncache2 = name=b,items=5").start();
    let both = "[uwsgi.cache_get('k', name) for name in ('a', 'b')]";
    eval(&server, "[uwsgi.cache_set('k', b'1', 0, name) for name in ('a', 'b')]");
    let ini = server.place.read("app.ini").replace("name=a,items=5", "name=a,items=6");
    server.place.write("app.ini", &ini);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("reloaded: ", 1);
    assert_eq!(eval(&server, both), "[None, b'1']");
}

#[test]
fn a_program_that_takes_over_has_it_too() {
    let server = replaceable(setup("cache2 = items=5")).start();
    eval(&server, "uwsgi.cache_set('k', b'1')");
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    server.wait_for_log(" has taken over from ", 1);
    server.wait_for_log("reloaded: 1 worker", 1);
    assert_eq!(eval(&server, "uwsgi.cache_get('k')"), "b'1'");
}

#[test]
fn a_store_brings_it_over_a_restart_and_nothing_else_does() {
    let first = setup("cache2 = name=lost,items=5\ncache2 = name=kept,items=5,store=kept.cache");
    let path = first.place.join("kept.cache");
    let lines =
        format!("cache2 = name=lost,items=5\ncache2 = name=kept,items=5,store={}", path.display());
    let both = "[uwsgi.cache_get('k', name) for name in ('kept', 'lost')]";
    let mut first = first.start();
    eval(&first, "[uwsgi.cache_set('k', b'1', 0, name) for name in ('kept', 'lost')]");
    assert!(first.stop().success());
    let mut second = setup(&lines).start();
    second.wait_for_log("the cache `kept` begins with 1 items of ", 1);
    assert_eq!(eval(&second, both), "[b'1', None]");
    assert!(second.stop().success());
    std::fs::write(&path, "somebody else's\n").unwrap();
    let mut third = setup(&lines).start();
    third.wait_for_log("the cache `kept` begins empty: ", 1);
    eval(&third, "uwsgi.cache_set('k', b'1', 0, 'kept')");
    assert!(third.stop().success());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's\n");
}

#[test]
fn what_is_no_store_is_not_written_by_the_program_that_takes_over_either() {
    let setup = replaceable(setup("cache2 = items=5,store=it.cache,store_sync=1"));
    setup.place.write("it.cache", "somebody else's\n");
    let mut server = setup.start();
    server.wait_for_log("the cache `default` begins empty: ", 1);
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("reloaded: 1 worker", 1);
    eval(&server, "uwsgi.cache_set('k', b'1')");
    assert!(server.stop().success());
    assert_eq!(server.place.read("it.cache"), "somebody else's\n");
}

#[test]
fn a_reload_looks_at_a_new_store_before_it_is_written() {
    let mut server = setup("cache2 = items=5,store=it.cache").start();
    eval(&server, "uwsgi.cache_set('k', b'1')");
    server.place.write("other", "somebody else's\n");
    let ini = server.place.read("app.ini").replace("it.cache", "other");
    server.place.write("app.ini", &ini);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("the cache `default` is not stored: ", 1);
    server.wait_for_log("reloaded: ", 1);
    assert!(server.stop().success());
    assert_eq!(server.place.read("other"), "somebody else's\n");
}

#[test]
fn a_reload_that_fails_does_not_change_what_is_stored_and_where() {
    let mut server = setup("cache2 = items=5,store=it.cache").start();
    eval(&server, "uwsgi.cache_set('needle', b'1')");
    let failing = format!("{APP}\nuwsgi.cache_set('chaff', b'1')\nimport nowhere\n");
    server.place.write("app.py", &failing);
    for (number, with) in ["items=6,store=it.cache", "items=5,store=other"].iter().enumerate() {
        let ini = server.place.read("app.ini");
        server.place.write("app.ini", &ini.replace("items=5,store=it.cache", with));
        server.signal(Signal::SIGHUP);
        server.wait_for_log("reload failed", number + 1);
        server.place.write("app.ini", &ini);
    }
    assert!(server.stop().success());
    let stored = std::fs::read(server.place.join("it.cache")).unwrap();
    let has = |text: &[u8]| stored.windows(text.len()).any(|part| part == text);
    assert!(has(b"needle") && !server.place.join("other").exists());
}

#[test]
fn a_store_that_is_a_fifo_keeps_nobody_waiting() {
    let setup = setup("cache2 = items=5,store=it.cache");
    nix::unistd::mkfifo(&setup.place.join("it.cache"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = setup.start();
    server.wait_for_log("it.cache: it is no file; it is left as it is", 1);
    assert_eq!(eval(&server, "uwsgi.cache_set('k', b'1')"), "True");
}

#[test]
fn a_store_is_written_while_the_instance_runs() {
    let mut server = setup("cache2 = items=5,store=it.cache,store_sync=1").start();
    eval(&server, "uwsgi.cache_set('needle', b'1')");
    let path = server.place.join("it.cache");
    wait::until("the store", || {
        let text = std::fs::read(&path).ok()?;
        text.windows(6).any(|bytes| bytes == b"needle").then_some(())
    });
    assert!(server.stop().success());
}

#[test]
fn workers_that_are_killed_while_they_write_leave_it_whole_and_usable() {
    let writing = "open('writer', 'w').write('%d' % os.getpid()) and [uwsgi.cache_update(\
                   'k%d' % (i % 40), bytes([i % 251]) * (i % 900)) for i in range(10**9)]";
    let lines = "processes = 2\nthreads = 2\nworker-reload-mercy = 1\n\
                 cache2 = items=20,blocksize=100,blocks=80,bitmap=1,purge_lru=1";
    let server = setup(lines).start();
    let torn = "[k for k in uwsgi.cache_keys() if len(set(uwsgi.cache_get(k) or b'')) > 1]";
    let quoted: String = writing.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for round in 1..=4 {
        let _writer = server.connect_and_send(&format!("/?{quoted}"));
        wait::until("a writer", || {
            (eval(&server, "len(uwsgi.cache_keys()) > 5") == "True").then_some(())
        });
        let writer = server.place.read("writer").parse().unwrap();
        kill(Pid::from_raw(writer), Signal::SIGKILL).unwrap();
        wait::until("workers again", || {
            let mut client = server.connect();
            client.try_response_to("/?1").ok().map(drop)
        });
        assert_eq!(eval(&server, torn), "[]", "{round}");
        assert_eq!(
            eval(&server, "uwsgi.cache_update('k', b'1'), uwsgi.cache_get('k')"),
            "(True, b'1')"
        );
        assert_eq!(eval(&server, "uwsgi.cache_clear()"), "True");
    }
}

#[test]
fn bad_values_are_refused_with_their_place() {
    for (lines, texts) in [
        ("cache2 = name=x", ["app.ini:5", "does not say how many items it can hold"]),
        ("cache2 = items=5,foo=1", ["app.ini:5", "has `foo`, which no cache has"]),
        ("cache = none", ["app.ini:5", "a number of items from 1"]),
        ("cache2 = items=1\ncache2 = items=2", ["app.ini:6", "name of another cache, `default`"]),
        ("cache2 = items=1,nodes=10.0.0.1:1", ["app.ini:5", "not spread over machines"]),
    ] {
        setup(lines).run().refuses(78, &texts);
    }
}
