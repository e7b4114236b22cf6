//! `import uwsgi`, `import uwsgidecorators`.

use std::fs;

use serde_json::Value;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const HEAD: &str = "
import json
import os
import uwsgi
import uwsgidecorators

def note(what):
    with open('noted', 'a') as file:
        file.write('%s\\n' % what)

def application(environ, start_response):
    start_response('200 OK', [])
    return [str(globals()[environ['PATH_INFO'].strip('/')]()).encode()]

def ok():
    return 'ok'
";

fn setup(lines: &str, app: &str) -> Setup {
    Setup::new(lines).app(&format!("{HEAD}{app}"))
}

fn noted(server: &Server) -> Vec<String> {
    let mut lines: Vec<_> = server.place.read("noted").lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn it_says_what_is_so() {
    let app = "
at_import = uwsgi.worker_id()

def tell():
    opt = {key: value if value is True else repr(value) for key, value in uwsgi.opt.items()}
    return json.dumps({
        'version': type(uwsgi.version).__name__, 'info': uwsgi.version_info[:2],
        'opt': opt, 'numproc': uwsgi.numproc, 'cores': uwsgi.cores, 'threads': uwsgi.has_threads,
        'at_import': at_import, 'worker': uwsgi.worker_id(), 'master': uwsgi.masterpid(),
        'host': uwsgi.hostname.decode(),
    })
";
    let lines = "process=2\nthreads=3\nlazy-apps=false\ndisable-logging=true\nenv=A=1\nenv=B=2";
    let server = setup(lines, app).start();
    let told: Value = serde_json::from_str(&server.get("/tell").expect(200).text()).unwrap();
    assert_eq!((&told["version"], &told["info"][0]), (&"bytes".into(), &2.into()));
    assert_eq!((&told["numproc"], &told["cores"]), (&2.into(), &3.into()));
    assert_eq!(told["at_import"], 0);
    assert!([1, 2].contains(&told["worker"].as_i64().unwrap()), "{told}");
    assert_eq!(told["master"], i64::from(server.pid()));
    assert_eq!(told["host"], nix::unistd::gethostname().unwrap().to_str().unwrap());
    let opt = &told["opt"];
    assert_eq!((&opt["processes"], &opt["threads"]), (&"b'2'".into(), &"b'3'".into()));
    assert_eq!(opt["env"], "b'B=2'");
    assert_eq!((&opt["lazy-apps"], &opt["disable-logging"]), (&Value::Null, &true.into()));
    assert_eq!((&opt["master"], &opt["enable-threads"]), (&true.into(), &true.into()));
}

#[test]
fn what_is_not_there_says_what_to_use_instead() {
    let app = "
def missing():
    told = []
    for name in ['spool', 'mule_msg', 'rpc', 'sharedarea_read', 'queue_push', 'snmp_set_gauge',
                 'websocket_handshake', 'wait_fd_read', 'async_sleep', 'suspend', 'metric_inc',
                 'connection_fd', 'chunked_read', 'sendfile', 'scrolls', 'signal_wait', 'alarm']:
        for arguments in [(), (1, b'x')]:
            try:
                getattr(uwsgi, name)(*arguments)
            except NotImplementedError as error:
                told.append(str(error).startswith('uwsgi.%s: ' % name) and len(str(error)) > 40)
    for name in ['spool', 'mule', 'rpc', 'farm']:
        try:
            getattr(uwsgidecorators, name)(lambda: None)()
        except NotImplementedError as error:
            told.append(str(error).startswith('uwsgidecorators.%s: there ' % name))
    return len(told), all(told)
";
    assert_eq!(setup("", app).start().get("/missing").expect(200).text(), "(38, True)");
}

/// Of uWSGI 2.0.21 with a master, without what begins with `cache_`: `cache.rs`.
const NAMES: &str = "SPOOL_IGNORE SPOOL_OK SPOOL_RETRY accepting add_cron add_file_monitor add_rb_timer \
    add_timer add_var alarm applications async_connect async_sleep buffer_size call chunked_read \
    chunked_read_nb cl close connect connection_fd cores disconnect embedded_data extract \
    farm_get_msg farm_msg get_logvar green_schedule has_threads hostname i_am_the_lord \
    i_am_the_spooler in_farm is_a_reload is_connected is_locked listen_queue lock log \
    log_this_request logsize loop lord_scroll magic_table masterpid mem metric_dec metric_div \
    metric_get metric_inc metric_mul metric_set metric_set_max metric_set_min micros \
    mule_get_msg mule_id mule_msg numproc offload opt parsefile ready ready_fd recv \
    register_rpc register_signal reload request_id route rpc rpc_list scrolls send sendfile \
    set_logvar set_user_harakiri set_warning_message setprocname signal signal_received \
    signal_registered signal_wait sockets start_response started_on stop suspend \
    total_requests unbit unlock version version_info wait_fd_read wait_fd_write \
    websocket_handshake websocket_recv websocket_recv_nb websocket_send websocket_send_binary \
    worker_id workers";

#[test]
fn every_name_of_uwsgi_is_there() {
    let app = format!(
        "
def names():
    return [name for name in '{NAMES}'.split() if not hasattr(uwsgi, name)]
"
    );
    assert_eq!(setup("", &app).start().get("/names").expect(200).text(), "[]");
}

#[test]
fn workers_are_told_with_their_figures() {
    let app = "
def fail():
    raise KeyError('x')

def tell():
    workers = [dict(one, status=one['status'].decode(), apps=None) for one in uwsgi.workers()]
    return json.dumps({
        'workers': workers, 'total': uwsgi.total_requests(), 'mine': uwsgi.request_id(),
        'mem': uwsgi.mem(), 'pid': os.getpid(), 'reload': uwsgi.is_a_reload, 'queue': uwsgi.listen_queue(),
    })
";
    let server = setup("processes=1", app).start();
    server.get("/ok").expect(200);
    server.get("/fail").expect(500);
    let told =
        || -> Value { serde_json::from_str(&server.get("/tell").expect(200).text()).unwrap() };
    let first = told();
    let worker = &first["workers"][0];
    assert_eq!((&worker["id"], &worker["pid"]), (&1.into(), &first["pid"]));
    assert_eq!((&worker["requests"], &worker["exceptions"]), (&2.into(), &1.into()));
    assert_eq!((&worker["status"], &worker["respawn_count"]), (&"busy".into(), &0.into()));
    assert_eq!(
        (&first["total"], &first["mine"], &first["queue"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!(first["reload"], false);
    assert!(worker["rss"].as_u64().unwrap() > 1 << 20, "{worker}");
    assert!(worker["running_time"].as_u64().unwrap() >= worker["avg_rt"].as_u64().unwrap());
    server.reload(1);
    let second = told();
    let worker = &second["workers"][0];
    assert_eq!((&worker["requests"], &worker["respawn_count"]), (&0.into(), &1.into()));
    assert_eq!((&second["total"], &second["reload"]), (&3.into(), &true.into()));
    assert_eq!(worker["pid"], second["pid"]);
}

#[test]
fn a_worker_that_does_not_run_is_cheap() {
    let app = "
def tell():
    return [(one['id'], one['status'], one['pid'] == os.getpid()) for one in uwsgi.workers()]
";
    let server = setup("processes=2\ncheaper=1", app).start();
    let told = server.get("/tell").expect(200).text();
    assert_eq!(told, "[(1, b'busy', True), (2, b'cheap', False)]");
}

#[test]
fn a_response_ends_where_the_application_disconnects() {
    let app = "
def application(environ, start_response):
    write = start_response('200 OK', [])
    write(b'all there is')
    uwsgi.disconnect()
    note('goes on')
    with open('gate') as gate:
        gate.read()
    return [b'and more']
";
    let setup = setup("", app);
    nix::unistd::mkfifo(&setup.place.join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = setup.start();
    assert_eq!(server.get("/").expect(200).text(), "all there is");
    wait::until("the rest", || (noted(&server) == ["goes on"]).then_some(()));
    server.place.write("gate", "");
}

#[test]
fn it_can_be_switched_off() {
    let app = "
def application(environ, start_response):
    found = []
    for name in ['uwsgi', 'uwsgidecorators']:
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    start_response('200 OK', [])
    return [repr(found).encode()]
";
    let found = |lines| Setup::new(lines).app(app).start().get("/").expect(200).text();
    assert_eq!(found("uwsgi-module=false"), "[]");
    assert_eq!(found(""), "['uwsgi', 'uwsgidecorators']");
}

const HOOKS: &str = "
def plain():
    note('hook of %d' % uwsgi.worker_id())

uwsgi.post_fork_hook = plain

@uwsgidecorators.postfork
def first():
    note('first of %d' % uwsgi.worker_id())

@uwsgidecorators.postfork(2)
def second():
    note('second of %d' % uwsgi.worker_id())

def call():
    first()
    return 'called'
";

#[test]
fn post_fork_hooks_run_before_a_worker_serves() {
    for lines in ["processes=2", "processes=2\nlazy-apps=true"] {
        let server = setup(lines, HOOKS).start();
        let expected = ["first of 1", "first of 2", "hook of 1", "hook of 2", "second of 2"];
        assert_eq!(noted(&server), expected, "{lines}");
        // The name still stands for the function.
        server.get("/call").expect(200);
        assert_eq!(noted(&server).len(), 6);
    }
}

const FAILING: &str = "
@uwsgidecorators.postfork
def connect():
    raise KeyError('no database')
";

#[test]
fn a_post_fork_hook_that_raises_is_a_failed_start() {
    for lines in ["", "lazy-apps=true"] {
        let ended = setup(lines, FAILING).run();
        ended.refuses(70, &["a post-fork hook", "in connect\n", "KeyError: 'no database'"]);
    }
}

#[test]
fn a_post_fork_hook_that_raises_is_a_failed_reload() {
    let server = setup("processes=2", "").start();
    server.place.write("app.py", &format!("{HEAD}{FAILING}"));
    server.reload(1);
    server.wait_for_log("KeyError: 'no database'", 1);
    server.get("/ok").expect(200);
    server.place.write("app.py", HEAD);
    server.reload(2);
    server.get("/ok").expect(200);
}

#[test]
fn the_exit_hook_runs_when_a_worker_ends() {
    let app = "uwsgi.atexit = lambda: note('exit of %d' % uwsgi.worker_id())";
    let mut server = setup("processes=2", app).start();
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(noted(&server), ["exit of 1", "exit of 2"]);
}

#[test]
fn an_exit_hook_that_raises_is_told_and_the_worker_ends() {
    let mut server = setup("", "uwsgi.atexit = lambda: 1 / 0").start();
    assert_eq!(server.stop().code(), Some(0));
    server.wait_for_log("uwsgi.atexit: ZeroDivisionError", 1);
}

#[test]
fn it_reloads_and_stops_and_logs() {
    let app = "
def reload():
    return uwsgi.reload()

def stop():
    uwsgi.log('said by the application')
    return uwsgi.stop()
";
    let mut server = setup("", app).start();
    assert_eq!(server.get("/reload").expect(200).text(), "True");
    server.wait_for_notification("READY=1", 2);
    assert_eq!(server.get("/stop").expect(200).text(), "True");
    assert_eq!(server.wait().code(), Some(0));
    server.wait_for_log("said by the application\n", 1);
}

#[test]
fn a_decorated_function_runs_in_a_thread() {
    let app = "
import threading

@uwsgidecorators.thread
def run(what):
    note('%s in %s' % (what, threading.current_thread().daemon))

def begin():
    run('running')
    return 'ok'
";
    let server = setup("", app).start();
    server.get("/begin").expect(200);
    wait::until("the thread", || (noted(&server) == ["running in True"]).then_some(()));
}

/// What ps(1) shows.
fn title(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    text.trim_end_matches('\0').replace('\0', " ")
}

#[test]
fn processes_are_named_after_what_they_are_or_want_to_be() {
    let app = "
def rename():
    return uwsgi.setprocname('bookstore: selling')
";
    let server = setup("processes=2", app).start();
    let mut titles: Vec<_> = server.workers().into_iter().map(title).collect();
    titles.sort();
    assert_eq!(titles, ["rwsgi: worker 1 of app", "rwsgi: worker 2 of app"]);
    let all: Vec<_> = server.place.processes().into_iter().map(title).collect();
    assert!(all.contains(&"rwsgi: template of app".to_owned()), "{all:?}");
    server.get("/rename").expect(200);
    assert!(server.workers().into_iter().any(|pid| title(pid) == "bookstore: selling"));
}
