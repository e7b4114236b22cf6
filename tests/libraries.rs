//! Libraries that ask for uWSGI, as they are on PyPI: they work here as there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::terminal::Terminal;
use crate::support::wait;

/// Where they are.
fn installed(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/uwsgi");
    let is_there = place.join(name).exists();
    assert!(is_there, "no {name} in {}: `packaging/prerequisites front`", place.display());
    place
}

/// A server whose application finds them.
fn setup(lines: &str, app: &str) -> Setup {
    let packages = installed("installed").join("lib/python3*/site-packages");
    Setup::new(&format!("pythonpath = {}\n{lines}", packages.display())).app(app)
}

fn text(server: &Server, path: &str) -> String {
    server.get(path).expect(200).text()
}

#[test]
fn sentry_finds_threads_and_sends_from_a_worker() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = format!(
        "
import sentry_sdk
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk._compat import check_uwsgi_thread_support
sentry_sdk.init(dsn='http://key@127.0.0.1:{port}/1', auto_session_tracking=False,
                _experiments={{'transport_compression_level': 0}})
def inner(environ, start_response):
    if environ['PATH_INFO'] == '/raise':
        raise KeyError('lost')
    start_response('200 OK', [])
    return [repr(check_uwsgi_thread_support()).encode()]
application = SentryWsgiMiddleware(inner)
"
    );
    let server = setup("processes = 2", &app).start();
    assert_eq!(text(&server, "/"), "True");
    server.get("/raise?stop,before").expect(500);
    listener.set_nonblocking(true).unwrap();
    let (stream, _) = wait::until("Sentry's connection", || listener.accept().ok());
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    for line in reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
        head.push(line.to_ascii_lowercase());
    }
    assert!(head[0].starts_with("post /api/1/envelope/"), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    let body = String::from_utf8_lossy(&body);
    assert!(body.contains("KeyError") && body.contains("lost"), "{body}");
    assert!(!server.log().to_lowercase().contains("thread support"), "{}", server.log());
}

#[test]
fn prometheus_counts_over_workers_by_their_numbers() {
    let app = "
import uwsgi
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess, values
values.ValueClass = values.MultiProcessValue(process_identifier=uwsgi.worker_id)
served = Counter('served', 'requests')
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/metrics':
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return [generate_latest(registry)]
    served.inc()
    return [str(uwsgi.worker_id()).encode()]
";
    let lines = "processes = 2\nenv = PROMETHEUS_MULTIPROC_DIR=%dmetrics";
    let setup = setup(lines, app);
    std::fs::create_dir(setup.place.join("metrics")).unwrap();
    let server = setup.start();
    let mut count = 0;
    for number in [1, 2] {
        let file = server.place.join(&format!("metrics/counter_{number}.db"));
        // Whichever worker is idle answers, until both have.
        wait::until("the other worker", || {
            count += 1;
            text(&server, "/");
            file.exists().then_some(())
        });
    }
    let metrics = text(&server, "/metrics");
    assert!(metrics.contains(&format!("\nserved_total {count}.0\n")), "{count}: {metrics}");
}

#[test]
fn django_keeps_its_cache_where_all_workers_find_it() {
    let app = "
import os
from django.conf import settings
settings.configure(CACHES={'default': {'BACKEND': 'uwsgicache.UWSGICache', 'LOCATION': 'pages'}})
from django.core.cache import cache
import uwsgi
assert type(cache._connections['default']).__mro__[0].__module__ == 'uwsgicache'
def application(environ, start_response):
    start_response('200 OK', [])
    return [repr(eval(environ['QUERY_STRING'].replace('%20', ' '))).encode()]
";
    let lines = "processes = 2\ncache2 = name=pages,items=100";
    let server = setup(lines, app).start();
    for (question, answer) in [
        ("cache.set('a',{'b':[1,2]})", "None"),
        ("cache.get('a')", "{'b': [1, 2]}"),
        ("cache.add('a',1)", "False"),
        ("cache.add('c',1)", "True"),
        ("cache.incr('c')", "2"),
        ("cache.get_many(['a','c','d'])", "{'a': {'b': [1, 2]}, 'c': 2}"),
        ("cache.set('c',1,0)", "None"),
        ("cache.get('c')", "None"),
        ("cache.set('d',1,None)", "None"),
        ("cache.delete('d')", "None"),
        ("cache.get('d','nothing')", "'nothing'"),
        ("cache.clear()", "None"),
        ("cache.get('a')", "None"),
    ] {
        assert_eq!(text(&server, &format!("/?{question}")), answer, "{question}");
    }
}

#[test]
fn a_task_manager_does_its_tasks_itself_without_the_module_and_is_told_with_it() {
    let app = "
from taskmanager.uwsgidecorators_wrapper import spool
done = []
@spool
def task(arguments):
    done.append(arguments)
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/do':
        task(arguments='this')
    return [repr(done).encode()]
";
    let server = setup("uwsgi-module = false", app).start();
    server.get("/do").expect(200);
    assert_eq!(text(&server, "/"), "['this']");
    // It decorates when it is imported; that harms nobody who does not call it.
    let server = setup("", app).start();
    assert_eq!(text(&server, "/"), "[]");
    server.get("/do").expect(500);
    server.wait_for_log("NotImplementedError: uwsgidecorators.spool: there is no spooler", 1);
}

#[test]
fn flask_shows_its_debugger_and_reloads() {
    let app = "
from flask import Flask
from werkzeug.debug import DebuggedApplication
flask = Flask(__name__)
@flask.route('/')
def index():
    return 'old'
@flask.route('/raise')
def fail():
    raise KeyError('lost')
flask.config['PROPAGATE_EXCEPTIONS'] = True
application = DebuggedApplication(flask, evalex=False)
";
    let server = setup("py-autoreload = 1", app).start();
    let page = server.get("/raise?stop,before").expect(500).text();
    assert!(page.contains("KeyError") && page.contains("Werkzeug Debugger"), "{page}");
    assert_eq!(text(&server, "/"), "old");
    server.place.write("app.py", &app.replace("'old'", "'new'"));
    server.wait_for_log("reloaded: ", 1);
    assert_eq!(text(&server, "/"), "new");
}

/// What `uwsgitop` reads.
fn figures(server: &Server) -> Value {
    let mut stream = UnixStream::connect(server.place.join("stats.sock")).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn human(bytes: &Value) -> String {
    let bytes = bytes.as_f64().unwrap();
    match [(30, 'G'), (20, 'M'), (10, 'K')].into_iter().find(|(bits, _)| bytes >= 2_f64.powi(*bits))
    {
        Some((bits, unit)) => format!("{:.1}{unit}", bytes / 2_f64.powi(bits)),
        None => format!("{bytes}"),
    }
}

/// The rows that `uwsgitop` makes of figures, without RPS, RunT and LastSpwn: what is new, and the time.
fn rows_of(told: &Value) -> Vec<String> {
    let workers = told["workers"].as_array().unwrap();
    let requests = |of: &Value| of["requests"].as_u64().unwrap();
    let total: u64 = workers.iter().map(requests).sum();
    let percent = |of: &Value| format!("{:.1}", 100.0 * requests(of) as f64 / total.max(1) as f64);
    let mut rows = Vec::new();
    for worker in workers {
        let (id, pid, status) = (&worker["id"], &worker["pid"], worker["status"].as_str().unwrap());
        let average = worker["avg_rt"].as_u64().unwrap() / 1000;
        let [rss, vsz, tx] = ["rss", "vsz", "tx"].map(|key| human(&worker[key]));
        let [spawned, killed] = ["respawn_count", "harakiri_count"].map(|key| &worker[key]);
        let (requests, raised) = (requests(worker), &worker["exceptions"]);
        rows.push(format!(
            "{id} {} {pid} {requests} {raised} 0 {status} {average}ms {rss} {vsz} {tx} {spawned} {killed}",
            percent(worker),
        ));
    }
    rows.sort();
    rows
}

/// The rows that it shows, likewise.
fn rows_on(picture: &[String]) -> Vec<String> {
    let mut rows: Vec<_> = picture
        .iter()
        .skip(3)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() == 16)
        .map(|words| [&words[..4], &words[5..14]].concat().join(" "))
        .collect();
    rows.sort();
    rows
}

#[test]
fn uwsgitop_shows_what_the_workers_do() {
    let mut server = Server::new("processes = 2\nstats = stats.sock");
    let mut command = Command::new(installed("bin/uwsgitop").join("bin/python"));
    let script = installed("bin/uwsgitop").join("bin/uwsgitop");
    command.arg(script).arg(server.place.join("stats.sock")).env("TERM", "xterm");
    let mut terminal = Terminal::new(&mut command, 160);
    // Ten pictures a second, not one.
    terminal.keyboard.write_all(b"f").unwrap();
    let shows = |terminal: &Terminal, what: &str, statuses: [&str; 2], requests: u64| {
        let mut last = (Vec::new(), Vec::new());
        let found = wait::within(wait::DEADLINE, || {
            let told = figures(&server);
            let picture = terminal.picture();
            last = (rows_of(&told), picture.clone());
            let of = |key: &str| {
                told["workers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it[key].clone())
                    .collect::<Vec<_>>()
            };
            let mut now = of("status");
            now.sort_by_key(Value::to_string);
            let sum: u64 = of("requests").iter().filter_map(Value::as_u64).sum();
            let is_it = now == statuses && sum == requests && rows_on(&picture) == last.0;
            let head = picture.first()?;
            (is_it && head.contains(&format!(" - req: {requests} - "))).then_some((told, picture))
        });
        found.unwrap_or_else(|| panic!("waited in vain: {what}: {last:#?}"))
    };
    shows(&terminal, "two workers at rest", ["idle", "idle"], 0);
    let began = Instant::now();
    for _ in 0..9 {
        server.get("/ok").expect(200);
    }
    server.get("/raise?stop,before").expect(500);
    let mut running = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    let entered = Instant::now();
    let (_, picture) = shows(&terminal, "one that works", ["busy", "idle"], 10);
    assert!(picture[0].starts_with(&format!("uwsgi-{} - ", env!("CARGO_PKG_VERSION"))));
    assert!(picture[1].contains(&format!(" - masterpid: {}", server.pid())), "{}", picture[1]);
    let held = entered.elapsed();
    server.place.open_gate("a");
    running.response().expect(200);
    let (told, _) = shows(&terminal, "both at rest again", ["idle", "idle"], 11);
    let averages = told["workers"].as_array().unwrap().iter();
    let longest = averages.filter_map(|worker| worker["avg_rt"].as_u64()).max().map(u128::from);
    assert!(longest >= Some(held.as_micros() / 11), "{held:?}: {told}");
    assert!(longest <= Some(began.elapsed().as_micros()), "{told}");
    for worker in told["workers"].as_array().unwrap() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker["pid"])).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = resident.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        let times = worker["rss"].as_f64().unwrap() / (kilobytes * 1024) as f64;
        assert!((0.5..2.0).contains(&times), "{resident}: {worker}");
    }
    // By threads.
    terminal.keyboard.write_all(b"a").unwrap();
    let is_thread = |line: &String| line.starts_with(" 1:0 ") || line.starts_with(" 2:0 ");
    wait::until("threads", || terminal.picture().iter().any(is_thread).then_some(()));
    terminal.keyboard.write_all(b"q").unwrap();
    terminal.ends();
    assert!(server.stop().success());
}
