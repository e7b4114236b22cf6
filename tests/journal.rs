//! What the application says, in the journal: `logging`, exceptions, standard streams.

use std::fs;
use std::process::Stdio;

use crate::support::journal::{Entry, Journal};
use crate::support::server::Server;
use crate::support::setup::Setup;

const INI: &str = "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\nlogging = journal\n\
    trusted-proxies = unix\ntrusted-proxy-headers = x-request-id\n";

/// It does what a request says.
const APP: &str = r#"
import importlib.util, logging, logging.config, os, subprocess, sys, threading
assert importlib.util.find_spec('rwsgi') and 'rwsgi.logging' not in sys.modules
logging.config.dictConfig({
    'version': 1,
    'formatters': {'short': {'format': '[%(levelname)s] %(message)s'}},
    'handlers': {
        'journal': {'class': 'rwsgi.logging.JournalHandler', 'formatter': 'short'},
        'audit': {'class': 'rwsgi.logging.JournalHandler', 'identifier': 'audit'},
    },
    'loggers': {'audit': {'handlers': ['audit'], 'propagate': False}},
    'root': {'handlers': ['journal'], 'level': 'DEBUG'},
})
log = logging.getLogger('shop.orders')
log.warning('while importing', extra={'book': 'a\nb'})

class Missing(Exception):
    pass

class Mute:
    def __str__(self):
        raise ValueError('no')

def levels():
    for level in (10, 20, 25, 30, 40, 50):
        log.log(level, 'level %d', level)

def extra():
    log.info('with extra', extra={
        'book_id': 7, 'price-€': b'\xff1', 'lines': 'a\nb', '9lives': True, '_x': None, 'MESSAGE_ID': 'x',
        'code_file': 'mine', 'mute': Mute(), '__': 1, 'surrogate': '\udc80', 'n' * 100: 'long'})

def audit():
    logging.getLogger('audit').warning('who was it')

def exception():
    import json
    try:
        json.loads('{')
    except ValueError as error:
        try:
            raise Missing('book') from error
        except Missing:
            log.exception('cannot sell')

def large():
    log.error('large', extra={'dump': 'x' * 1000000})

def thread():
    def logs():
        log.info('from elsewhere', extra={'request_id': 'asked'})
        log.info('of nobody')
    thread = threading.Thread(target=logs, name='mailer')
    thread.start()
    thread.join()

def ends():
    thread = threading.Thread(target=lambda: {}['book'], name='mailer')
    thread.start()
    thread.join()
    silent = threading.Thread(target=sys.exit)
    silent.start()
    silent.join()

def ignored():
    class Broken:
        def __del__(self):
            raise Missing('on the way out')
    Broken()

def forks():
    pid = os.fork()
    if pid == 0:
        log.warning('in the child')
        print('printed in the child')
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)

def raises():
    import json
    json.loads('{')

def prints():
    print('<3>failed\nmore\n<5>noted')
    print('nul \0 here')
    print('no end', end='')

def together():
    barrier = threading.Barrier(4)
    def write(name):
        for _ in range(50):
            barrier.wait()
            print(name, name, name)
    threads = [threading.Thread(target=write, args=(name * 3,)) for name in 'abcd']
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

def program():
    script = rb'''
import os
os.write(1, b'not utf-8: \xff, nul: \0\n')
os.write(2, b'<4>warned\n<9>plain\n')
os.write(1, chr(233).encode() * 100000)
os.write(1, b'\nno end')
'''
    subprocess.call([sys.executable, '-c', script])

def application(environ, start_response):
    globals()[environ['PATH_INFO'].strip('/')]()
    start_response('200 OK', [])
    return []
"#;

struct Running {
    server: Server,
    journal: Journal,
}

impl Running {
    fn start(lines: &str) -> Option<Self> {
        let (setup, journal) = Journal::of(Setup::classic(&format!("{INI}{lines}")).app(APP))?;
        Some(Self { server: setup.start(), journal })
    }

    fn ask(&self, path: &str, status: u16) {
        let id = path.trim_start_matches('/');
        let mut client = self.server.connect_locally();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Request-ID: {id}\r\n\r\n"));
        client.response().expect(status);
    }

    fn message(&self, message: &str) -> Entry {
        self.journal.wait_for("MESSAGE", message)
    }
}

fn line_of(text: &str) -> String {
    let line = APP.lines().position(|line| line.contains(text)).unwrap() + 1;
    line.to_string()
}

#[test]
fn a_record_of_logging_is_an_entry_with_its_fields() {
    let Some(running) = Running::start("") else { return };
    running.ask("/levels", 200);
    let names = ["DEBUG", "INFO", "Level 25", "WARNING", "ERROR", "CRITICAL"];
    let priorities = ["7", "6", "5", "4", "3", "2"];
    for ((level, name), priority) in [10, 20, 25, 30, 40, 50].iter().zip(names).zip(priorities) {
        let entry = running.message(&format!("[{name}] level {level}"));
        assert_eq!(entry.get("PRIORITY"), priority, "{name}");
        assert_eq!(entry.get("LOGGER"), "shop.orders");
        assert_eq!(entry.get("THREAD_NAME"), "MainThread");
        assert_eq!(entry.get("CODE_FUNC"), "levels");
        assert_eq!(entry.get("CODE_LINE"), line_of("'level %d'"));
        assert!(entry.get("CODE_FILE").ends_with("/app.py"), "{entry:?}");
        assert_eq!(entry.get("RWSGI_EVENT"), "application_log");
        assert_eq!(entry.get("RWSGI_WORKER"), "1");
        assert_eq!(entry.get("REQUEST_ID"), "levels");
        assert_eq!(entry.get("SYSLOG_IDENTIFIER"), "rwsgi");
    }
    running.ask("/audit", 200);
    assert_eq!(running.message("who was it").get("SYSLOG_IDENTIFIER"), "audit");
    let entry = running.message("template: [WARNING] while importing");
    assert_eq!((entry.get("LOGGER"), entry.get("BOOK")), ("shop.orders", "a\nb"));
    assert_eq!(entry.get("RWSGI_EVENT"), "application_log");
}

#[test]
fn what_is_extra_cannot_break_an_entry_or_pass_for_another_field() {
    let Some(running) = Running::start("") else { return };
    running.ask("/extra", 200);
    let entry = running.message("[INFO] with extra");
    for (name, value) in [
        ("BOOK_ID", "7"),
        ("PRICE__", "\\xff1"),
        ("LINES", "a\nb"),
        ("EXTRA_9LIVES", "True"),
        ("EXTRA_X", "None"),
        ("EXTRA_MESSAGE_ID", "x"),
        ("EXTRA_CODE_FILE", "mine"),
        ("MUTE", "<Mute without text: ValueError>"),
        ("REQUEST_ID", "extra"),
    ] {
        assert_eq!(entry.get(name), value, "{name}");
    }
    assert_eq!(entry.get(&"N".repeat(64)), "long");
    assert_eq!(entry.all("MESSAGE_ID").len(), 1);
    assert_ne!(entry.get("SURROGATE"), "");
    running.ask("/large", 200);
    assert_eq!(running.message("[ERROR] large").get("DUMP").len(), 1_000_000);
}

#[test]
fn an_exception_that_is_logged_is_one_entry_that_points_into_the_application() {
    let Some(running) = Running::start("") else { return };
    running.ask("/exception", 200);
    let entry = running.journal.wait_for("PYTHON_EXCEPTION", "uwsgi_file_app.Missing");
    let message = entry.get("MESSAGE");
    assert!(message.starts_with("[ERROR] cannot sell\nTraceback (most"), "{message}");
    assert!(message.contains("JSONDecodeError") && message.contains("Missing: book"), "{message}");
    assert_eq!(entry.get("RWSGI_EVENT"), "traceback");
    assert_eq!(entry.get("CODE_LINE"), line_of("raise Missing('book')"));
    assert_eq!(entry.get("REQUEST_ID"), "exception");
    running.ask("/raises", 500);
    let entry = running.journal.wait_for("PYTHON_EXCEPTION", "json.decoder.JSONDecodeError");
    assert_eq!((entry.get("CODE_FUNC"), entry.get("REQUEST_ID")), ("raises", "raises"));
}

#[test]
fn a_thread_of_the_application_may_say_for_which_request_it_works() {
    let Some(running) = Running::start("") else { return };
    running.ask("/thread", 200);
    let entry = running.message("[INFO] from elsewhere");
    assert_eq!((entry.get("REQUEST_ID"), entry.get("THREAD_NAME")), ("asked", "mailer"));
    assert_eq!(running.message("[INFO] of nobody").get("REQUEST_ID"), "");
}

#[test]
fn what_a_thread_dies_of_is_an_entry_and_what_python_ignores_is_one() {
    let Some(running) = Running::start("") else { return };
    running.ask("/ends", 200);
    let entry = running.journal.wait_for("PYTHON_EXCEPTION", "KeyError");
    assert_eq!(entry.get("PRIORITY"), "3");
    let python = running.journal.wait_for("RWSGI_EVENT", "imported");
    // Without the hook Python prints as it always did.
    if ["Python 3.6.", "Python 3.7."].iter().any(|old| python.get("MESSAGE").starts_with(old)) {
        return;
    }
    assert_eq!(entry.get("THREAD_NAME"), "mailer");
    assert!(entry.get("MESSAGE").starts_with("thread mailer has ended: KeyError: 'book'\n"));
    running.ask("/ignored", 200);
    let entry = running.journal.wait_for("PYTHON_EXCEPTION", "uwsgi_file_app.Missing");
    assert_eq!((entry.get("CODE_FUNC"), entry.get("PRIORITY")), ("__del__", "4"));
}

#[test]
fn processes_that_the_application_forks_log_on() {
    let Some(running) = Running::start("threads = 2") else { return };
    for _ in 0..20 {
        running.ask("/forks", 200);
    }
    running.message("[WARNING] in the child");
    assert_eq!(running.message("printed in the child").get("REQUEST_ID"), "forks");
    crate::support::wait::until("all children", || {
        let said = running.journal.all("MESSAGE", "[WARNING] in the child");
        (said.len() == 20).then_some(())
    });
    running.ask("/audit", 200);
    running.message("who was it");
}

#[test]
fn what_is_printed_is_told_apart_by_lines_levels_and_threads() {
    let Some(mut running) = Running::start("") else { return };
    running.ask("/prints", 200);
    assert_eq!(running.message("failed\nmore").get("PRIORITY"), "3");
    assert_eq!(running.message("noted").get("PRIORITY"), "5");
    running.message("nul \0 here");
    running.ask("/together", 200);
    // What had no end is not the beginning of what another request prints, nor lost at the end.
    for name in ["aaa", "bbb", "ccc", "ddd"] {
        let line = [name; 3].join(" ");
        running.message(&line);
        crate::support::wait::until("all lines", || {
            (running.journal.all("MESSAGE", &line).len() == 50).then_some(())
        });
    }
    assert!(running.server.stop().success());
    assert_eq!(running.message("no end").get("REQUEST_ID"), "prints");
}

#[test]
fn what_programs_write_is_text_whatever_it_is() {
    let Some(running) = Running::start("") else { return };
    running.ask("/program", 200);
    running.message("worker 1: not utf-8: \u{fffd}, nul: \0");
    assert_eq!(running.message("worker 1: warned").get("PRIORITY"), "4");
    assert_eq!(running.message("worker 1: <9>plain").get("PRIORITY"), "6");
    running.message("worker 1: no end");
    let entries = running.journal.all("RWSGI_EVENT", "application_output");
    let cut = entries.iter().map(|entry| entry.get("MESSAGE").trim_start_matches("worker 1: "));
    let long: String = cut.filter(|text| text.starts_with('é')).collect();
    assert_eq!(long, "é".repeat(100_000), "a character was cut");
}

/// The module as it is where rwsgi does not run the application.
fn outside(script: &str) -> Setup {
    let setup = Setup::new("");
    fs::create_dir(setup.place.join("rwsgi")).unwrap();
    setup
        .file("rwsgi/__init__.py", include_str!("../src/worker/outside.py"))
        .file("rwsgi/logging.py", include_str!("../src/worker/logging.py"))
        .file("script.py", script)
        .binary(crate::support::setup::python().into())
        .arguments(&["script.py"])
}

const SCRIPT: &str = "
import logging, rwsgi, rwsgi.logging
assert rwsgi.request_id() is None
logging.getLogger().addHandler(rwsgi.logging.JournalHandler())
try:
    {}['book']
except KeyError:
    logging.getLogger('cron').exception('lost', extra={'dump': 'x' * 1000000, 'book': 7})
";

#[test]
fn outside_of_rwsgi_a_record_is_text_on_standard_error() {
    let ended = outside(SCRIPT).run();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("lost\nTraceback (most recent call last):\n"));
    assert!(ended.stderr.ends_with("KeyError: 'book'\n"), "{}", ended.stderr);
}

/// As by the script of `Journal`, and standard error counts as connected to it.
const CONNECTED: &str = "exec unshare --user --map-root-user --mount sh -c '\
    mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
    mount --bind \"$PWD/journal\" /run/systemd/journal && \
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"' sh \"$@\"";

#[test]
fn outside_of_rwsgi_a_record_is_an_entry_where_standard_error_is_the_journal() {
    let Some((setup, journal)) = Journal::of(outside(SCRIPT)) else { return };
    let ended = setup.shell(CONNECTED, Stdio::null()).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    let entry = journal.wait_for("LOGGER", "cron");
    assert_eq!((entry.get("PRIORITY"), entry.get("BOOK")), ("3", "7"));
    assert_eq!((entry.get("PYTHON_EXCEPTION"), entry.get("DUMP").len()), ("KeyError", 1_000_000));
    assert_eq!(entry.get("SYSLOG_IDENTIFIER"), "script.py");
}

#[test]
fn the_reason_of_a_failed_start_is_read_while_its_process_is_there() {
    let setup = Setup::classic(INI).app("import nothing_of_this_name\n");
    let Some((setup, journal)) = Journal::of_patient(setup) else { return };
    let mut server = Server::launch(setup);
    // It has said all by now, and is about to go.
    server.wait_for_notification("STATUS=the application cannot be imported", 1);
    journal.listen();
    assert_eq!(server.wait().code(), Some(70));
    let reason = journal.wait_for("PYTHON_EXCEPTION", "ModuleNotFoundError");
    assert!(reason.has_sender && reason.get("RWSGI_EVENT") == "failed", "{reason:?}");
    assert_eq!(reason.get("CODE_LINE"), "1");
}

#[test]
fn a_configuration_that_is_wrong_is_an_error_in_the_journal_of_a_service() {
    let setup = Setup::classic(
        "[rwsgi]\nhttp = app.sock\nprocesess = 2\nthreads = none\nwsgi-file = app.py\n",
    );
    let Some((setup, journal)) = Journal::of(setup) else { return };
    let ended = setup.shell(CONNECTED, Stdio::null()).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (78, ""));
    journal.wait_for("RWSGI_EVENT", "config_error");
    let entries = journal.all("RWSGI_EVENT", "config_error");
    assert_eq!(entries.len(), 2, "{entries:?}");
    for (entry, problem) in entries.iter().zip(["option `procesess`", "threads = none"]) {
        assert!(entry.get("MESSAGE").contains(problem), "{entry:?}");
        assert_eq!((entry.get("PRIORITY"), entry.get("RWSGI_APP")), ("3", "app"));
        assert!(entry.has_sender, "{entry:?}");
    }
}
