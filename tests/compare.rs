//! The same configurations, questions and requests for uWSGI and for rwsgi: what is answered differently is
//! in the table of `docs/uwsgi.md`, with the reason, and nothing else is in it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::packet::Packet;
use crate::support::place::Place;
use crate::support::setup::{Setup, python};
use crate::support::uwsgi::{Flavour, free_port};
use crate::support::{extension, wait};

const APP: &str = include_str!("support/apps/questions.py");
const QUESTIONS: &str = include_str!("support/apps/questions.txt");

/// Answers, by question.
type Answers = BTreeMap<String, String>;

/// uWSGI's answer and that of rwsgi, by question.
type Differences = BTreeMap<String, (String, String)>;

/// Who is asked.
#[derive(Clone)]
enum Oracle {
    Uwsgi(Flavour),
    Rwsgi,
}

impl Oracle {
    fn command(&self) -> Command {
        match self {
            Self::Uwsgi(flavour) => Command::new(&flavour.program),
            Self::Rwsgi => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_rwsgi"));
                command.env("RWSGI_EXTENSION", extension::path()).env("RWSGI_PYTHON", python());
                command
            }
        }
    }

    fn plugins(&self) -> String {
        match self {
            Self::Uwsgi(Flavour { plugins: Some(plugins), .. }) => format!("plugins = {plugins}\n"),
            _ => String::new(),
        }
    }

    /// Starts it with these lines; `http = ROUTER` has a free port, as its sockets have.
    fn start(&self, lines: &str) -> Running {
        let (place, ports) = self.prepare(lines);
        self.run(place, ports)
    }

    /// A directory with `uwsgi.ini`, and where that listens.
    fn prepare(&self, lines: &str) -> (Place, [SocketAddr; 3]) {
        let place = Setup::classic("").app("").place;
        place.write("questions.py", APP);
        let ports = [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let [uwsgi, socket, router] = ports;
        let head = format!("[uwsgi]\n{}socket = {uwsgi}\nhttp-socket = {socket}\n", self.plugins());
        let lines = lines.replace("ROUTER", &router.to_string());
        place.write("uwsgi.ini", &format!("{head}{lines}\n"));
        (place, ports)
    }

    fn run(&self, place: Place, ports: [SocketAddr; 3]) -> Running {
        let child = self.spawn(&place, &["--ini", "uwsgi.ini"]);
        Running { place, child, ports, misses_signals: matches!(self, Self::Uwsgi(_)) }
    }

    fn spawn(&self, place: &Place, arguments: &[&str]) -> Child {
        let log = std::fs::File::create(place.join("log")).unwrap();
        let mut command = self.command();
        command.args(arguments).current_dir(place.path()).stdin(Stdio::null());
        command.stderr(log.try_clone().unwrap()).stdout(log).spawn().unwrap()
    }

    /// The exit code of a start with these arguments.
    fn code(&self, place: &Place, arguments: &[&str]) -> String {
        let mut child = self.spawn(place, arguments);
        let status = wait::until("the end", || child.try_wait().unwrap());
        status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
    }
}

/// One that runs, until this value is dropped.
struct Running {
    place: Place,
    child: Child,
    ports: [SocketAddr; 3],
    /// A master of uWSGI that is about to wait for signals may miss one.
    misses_signals: bool,
}

impl Running {
    const UWSGI: usize = 0;
    const SOCKET: usize = 1;

    /// The whole answer to these bytes, or none.
    fn ask(&self, port: usize, bytes: &[u8]) -> Option<String> {
        let mut client = Client::try_connect(self.ports[port]).ok()?;
        client.try_send(bytes).ok()?;
        let text = String::from_utf8_lossy(&client.remainder().0).into_owned();
        (!text.is_empty()).then_some(text)
    }

    fn get(&self, target: &str, fields: &str) -> Option<String> {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n{fields}\r\n"
        );
        self.ask(Self::SOCKET, head.as_bytes())
    }

    /// Answers to questions that come by one of the three ways.
    fn answers(&self, way: usize, questions: &[String]) -> Vec<String> {
        let body = serde_json::to_string(questions).unwrap();
        let target = "/a%20b/c?x=1&y";
        let request = if way == Self::UWSGI {
            let packet = Packet::post(target, body.len()).var("HTTP_X_ONE", "1, 2");
            packet.var("HTTP_COOKIE", "a=b").with(&body)
        } else {
            format!(
                "POST {target} HTTP/1.1\r\nHost: shop.test:81\r\nX-One: 1\r\nX-One: 2\r\nCookie: a=b\r\n\
                 Authorization: Basic dTpw\r\nContent-Type: text/x\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        let text = wait::until("an answer", || self.ask(way, &request));
        let body = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}")).1;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn wait_until_it_serves(&self) {
        wait::until("it serves", || self.get("/", ""));
    }

    fn worker(&self) -> Option<String> {
        let question = [String::from("os.getpid()")];
        let body = serde_json::to_string(&question).unwrap();
        let length = body.len();
        let fields =
            format!("Host: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        self.ask(Self::SOCKET, format!("POST / HTTP/1.1\r\n{fields}").as_bytes())
            .and_then(|text| Some(text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// What `look` finds after `order`.
    fn after<T>(
        &mut self,
        order: impl Fn(&Self),
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        order(self);
        if self.misses_signals {
            if let Some(found) = wait::within(wait::DEADLINE / 2, || look(self)) {
                return found;
            }
            order(self);
        }
        wait::until("something to follow", || look(self))
    }

    /// What follows upon `signal`.
    fn after_signal(mut self, signal: Signal) -> String {
        let before = self.worker();
        self.after(
            |running| running.signal(signal),
            |running| {
                if let Some(status) = running.child.try_wait().unwrap() {
                    return Some(ended(status));
                }
                let worker = running.worker()?;
                (Some(worker) != before).then(|| "serves on, with new workers".to_owned())
            },
        )
    }
}

fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("ends, exit code {code}"))
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // Its workers end with it.
            self.signal(Signal::SIGINT);
            if wait::within(wait::DEADLINE, || self.child.try_wait().unwrap()).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}

/// What the application is told by the module, and of the process.
fn module(oracle: &Oracle) -> Answers {
    let lines = "module = questions\nmaster = true\nprocesses = 2\nthreads = 2\nenv = A=1\nenv = B=2\n\
                 pyargv = one two\nharakiri = 30\ndisable-logging = true\nlazy-apps = false\nlocks = 2\n\
                 pidfile = x.pid\ncache2 = name=pages,items=10,blocksize=64,keysize=8\nset-ph = place=holder\n\
                 pythonpath = .\npythonpath = /srv/lib";
    let running = oracle.start(lines);
    running.wait_until_it_serves();
    let questions: Vec<String> = QUESTIONS.lines().map(str::to_owned).collect();
    let answers = running.answers(Running::SOCKET, &questions);
    let plain = |text: String| text.replace(&running.place.path().display().to_string(), "DIR");
    questions.into_iter().zip(answers.into_iter().map(plain)).collect()
}

/// The ways of a request, in the order of the ports.
const WAYS: [&str; 3] = ["`socket`", "`http-socket`", "`http`"];

/// What is of its own in each run: asked for otherwise.
const OBJECTS: [&str; 6] = [
    "callable(environ['wsgi.input'].readline)",
    "callable(environ['wsgi.errors'].write)",
    "callable(environ['wsgi.file_wrapper'])",
    "environ.get('REMOTE_PORT', '').isdigit()",
    "'uwsgi.core' in environ",
    "environ['SERVER_PORT'] in uwsgi.opt['http-socket'].decode() + uwsgi.opt['http'].decode()",
];

/// The environ of a request, key by key, by each way.
fn environ(oracle: &Oracle) -> Answers {
    // uWSGI's router passes what comes by it to the first socket. Nobody else here has one: a reload does not wait
    // for its end before it binds its address.
    let running = oracle.start("http = ROUTER\nmodule = questions\nmaster = true\nthreads = 2");
    running.wait_until_it_serves();
    let mut answers = Answers::new();
    for (way, name) in WAYS.into_iter().enumerate() {
        let keys = &running.answers(way, &["' '.join(sorted(environ))".to_owned()])[0];
        let own = ["wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "uwsgi.core"];
        let own = own.into_iter().chain(["REMOTE_PORT", "SERVER_PORT", "CONTENT_LENGTH"]);
        let own: BTreeSet<_> = own.collect();
        let keys = keys.trim_matches('\'').split(' ').filter(|key| !own.contains(key));
        let questions: Vec<_> =
            keys.map(|key| format!("environ['{key}']")).chain(OBJECTS.map(str::to_owned)).collect();
        for (question, answer) in questions.iter().zip(running.answers(way, &questions)) {
            let answer = answer.replace(env!("CARGO_PKG_VERSION"), "VERSION");
            answers.insert(format!("`{question}`, by {name}"), answer);
        }
    }
    answers
}

/// What `differs` has for all ways alike is one difference.
fn by_way(differs: &Differences) -> Differences {
    let mut joined = Differences::new();
    for (question, pair) in differs {
        let Some((stem, _)) = question.rsplit_once(", by ") else {
            joined.insert(question.clone(), pair.clone());
            continue;
        };
        let alike = |way: &&str| differs.get(&format!("{stem}, by {way}")) == Some(pair);
        let all = WAYS.iter().all(alike);
        joined.insert(if all { stem.to_owned() } else { question.clone() }, pair.clone());
    }
    joined
}

/// How it starts, ends and fails.
fn life(oracle: &Oracle) -> Answers {
    let mut answers = Answers::new();
    let mut note = |question: &str, answer: String| {
        answers.insert(question.to_owned(), answer);
    };
    let start = |lines: &str| {
        let running = oracle.start(&format!("module = questions\nmaster = true\n{lines}"));
        running.wait_until_it_serves();
        running
    };
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        note(&format!("the master gets {signal}"), start("").after_signal(signal));
    }
    note(
        "the master gets SIGTERM, `die-on-term`",
        start("die-on-term = true").after_signal(Signal::SIGTERM),
    );

    let mut running = start("pidfile = x.pid");
    let number = running.place.read("x.pid");
    note(
        "`pidfile` has the number of the master",
        (number.trim() == running.child.id().to_string()).to_string(),
    );
    let code = Cell::new(None);
    let status = running.after(
        |running| code.set(Some(oracle.code(&running.place, &["--stop", "x.pid"]))),
        |running| running.child.try_wait().unwrap(),
    );
    note("`--stop PIDFILE`", code.take().unwrap_or_default());
    note("the instance after `--stop PIDFILE`", ended(status));
    note(
        "`pidfile` after the end",
        if running.place.join("x.pid").exists() { "is there" } else { "is gone" }.to_owned(),
    );
    note(
        "`--stop` of a file that is not there",
        oracle.code(&running.place, &["--stop", "nothing.pid"]),
    );
    running.place.write("dead.pid", "4194303\n");
    note(
        "`--stop` of a process that is not there",
        oracle.code(&running.place, &["--stop", "dead.pid"]),
    );

    for (question, lines) in [
        ("`processes = -1`", "module = questions\nprocesses = -1"),
        ("`chdir` to where nothing is", "module = questions\nchdir = /nowhere"),
        ("`chmod-socket = 0o660`", "module = questions\nchmod-socket = 0o660"),
        (
            "`strict`, and an option that does not exist",
            "module = questions\nstrict = true\nprocesess = 2",
        ),
        (
            "`need-app`, and an application that cannot be imported",
            "module = nothing\nneed-app = true\nmaster = true",
        ),
    ] {
        let mut running = oracle.start(lines);
        let status = wait::until("the end", || running.child.try_wait().unwrap());
        note(question, ended(status));
    }
    answers.extend(background(oracle));
    answers.extend(renewal(oracle));
    answers
}

/// In the background.
fn background(oracle: &Oracle) -> Answers {
    let lines = "module = questions\nmaster = true\ndaemonize = d.log\npidfile = d.pid";
    let (place, ports) = oracle.prepare(lines);
    let started = oracle.code(&place, &["--ini", "uwsgi.ini"]);
    let answer = || {
        let mut client = Client::try_connect(ports[Running::SOCKET]).ok()?;
        client.try_send("GET / HTTP/1.0\r\n\r\n").ok()?;
        Some(client.remainder().0).filter(|bytes| !bytes.is_empty())
    };
    wait::until("it serves", answer);
    let mode = |name: &str| {
        let mode = std::fs::metadata(place.join(name)).unwrap().permissions().mode();
        format!("{:o}", mode & 0o777)
    };
    let (log, pidfile) = (mode("d.log"), mode("d.pid"));
    wait::until("the end", || {
        // Again: see `misses_signals`.
        oracle.code(&place, &["--stop", "d.pid"]);
        Client::try_connect(ports[Running::SOCKET]).is_err().then_some(())
    });
    let (broken, _) =
        oracle.prepare("module = nothing\nneed-app = true\nmaster = true\ndaemonize = d.log");
    let failed = oracle.code(&broken, &["--ini", "uwsgi.ini"]);
    let answers = [
        ("a start with `daemonize`", started),
        ("the mode of the file of `daemonize`", log),
        ("the mode of `pidfile` with `daemonize`", pidfile),
        ("a start with `daemonize` of an application that cannot be imported", failed),
    ];
    answers.map(|(question, answer)| (question.to_owned(), answer)).into()
}

/// What makes new workers.
fn renewal(oracle: &Oracle) -> Answers {
    let mut answers = Answers::new();
    for (question, lines) in [
        ("`touch-reload`", "touch-reload = touched"),
        ("`touch-workers-reload`", "touch-workers-reload = touched\nlazy-apps = true"),
        ("`max-requests = 3`", "max-requests = 3\nmin-worker-lifetime = 0\nmax-requests-delta = 0"),
    ] {
        let lines = lines.replace(
            "max-requests-delta = 0",
            match oracle {
                // PyPI's has it, and Debian's not yet.
                Oracle::Uwsgi(_) => "",
                Oracle::Rwsgi => "max-requests-delta = 0",
            },
        );
        let running = oracle.start(&format!("module = questions\nmaster = true\n{lines}"));
        running.place.write("touched", "");
        running.wait_until_it_serves();
        let first = wait::until("a worker", || running.worker());
        let renewed = wait::within(wait::DEADLINE, || {
            if question.contains("touch") {
                // Again and again: uWSGI looks once a second, for another second of its time.
                running.place.write("touched", "x");
            }
            running.worker().filter(|worker| *worker != first)
        });
        let answer = if renewed.is_some() { "new workers" } else { "the same workers" };
        answers.insert(question.to_owned(), answer.to_owned());
    }
    answers
}

/// How an application is named, and what is answered by it.
fn names(oracle: &Oracle) -> Answers {
    const APP: &str = "
import os
import sys
def make(name):
    def application(environ, start_response):
        start_response('200 OK', [])
        where = os.getcwd() == os.path.dirname(os.path.abspath(__file__))
        return [('%s of %s, %s, %s' % (name, __name__, where, sys.argv[1:])).encode()]
    return application
def create():
    return make('created')
class holder:
    held = staticmethod(make('held'))
application, other = make('application'), make('other')
";
    let mut answers = Answers::new();
    for lines in [
        "module = shop",
        "module = shop:other",
        "module = shop:create()",
        "module = shop:holder.held",
        "module = shop, callable = other",
        "wsgi-file = shop.py",
        "wsgi-file = shop.py, callable = other",
        "file = shop.py, pyargv = a b",
        "chdir = sub, module = within",
        "chdir = sub, wsgi-file = within.py",
        "chdir = sub, pythonpath = .., module = shop",
        "mount = /=shop.py",
        "eval = import shop; application = shop.other",
    ] {
        let (place, ports) = oracle.prepare(&lines.replace(", ", "\n"));
        std::fs::create_dir(place.join("sub")).unwrap();
        place.write("shop.py", APP);
        place.write("sub/within.py", APP);
        let mut running = oracle.run(place, ports);
        let answer = wait::until("an answer, or the end", || {
            let is_over = running.child.try_wait().unwrap().is_some();
            running.get("/", "").or_else(|| is_over.then(|| "the end".to_owned()))
        });
        let answer = answer.rsplit("\r\n").next().unwrap_or_default().to_owned();
        answers.insert(format!("`{lines}`"), answer);
    }
    answers
}

/// Files, exceptions and deadlines, as a client sees them.
fn responses(oracle: &Oracle) -> Answers {
    let place = Place::new();
    std::fs::create_dir(place.join("static")).unwrap();
    place.write("static/a.css", "a { }\n");
    // What was changed this very second may change once more within it, and is sent.
    let file = std::fs::File::options().write(true).open(place.join("static/a.css")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    place.write("secret", "sesame\n");
    std::os::unix::fs::symlink("../secret", place.join("static/link")).unwrap();
    let files = place.join("static").display().to_string();
    let lines =
        format!("module = questions\nmaster = true\nharakiri = 1\nstatic-map = /static={files}");
    let running = oracle.start(&lines);
    running.wait_until_it_serves();
    let mut answers = Answers::new();
    for (question, target, fields) in [
        ("a file of `static-map`", "/static/a.css", ""),
        ("a part of one", "/static/a.css", "Range: bytes=0-1\r\n"),
        (
            "one that is not modified",
            "/static/a.css",
            "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n",
        ),
        ("a symbolic link that leads out of `static-map`", "/static/link", ""),
        ("`..` out of `static-map`", "/static/../secret", ""),
        ("an exception of the application", "/raise", ""),
        ("a request that outlasts `harakiri`", "/slow", ""),
    ] {
        let text = running.get(target, fields);
        let text = text
            .as_deref()
            .map_or("nothing", |text| text.split_once(' ').map_or(text, |(_, rest)| rest));
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.lines().next().unwrap_or_default();
        let length = if status.starts_with("200") || status.starts_with("206") {
            format!(", {} bytes", body.len())
        } else {
            String::new()
        };
        answers.insert(question.to_owned(), format!("{status}{length}"));
    }
    answers
}

/// What uWSGI and rwsgi answer differently; fails where Debian's uWSGI and PyPI's do.
fn differences(ask: fn(&Oracle) -> Answers) -> Differences {
    let [debian, pypi] = Flavour::both().map(|flavour| ask(&Oracle::Uwsgi(flavour)));
    let own = ask(&Oracle::Rwsgi);
    let absent = |question: &str| {
        assert!(question.starts_with("`environ['"), "somebody has not answered {question}");
        "KeyError".to_owned()
    };
    let of = |answers: &Answers, question: &String| {
        answers.get(question).cloned().unwrap_or_else(|| absent(question))
    };
    let questions: BTreeSet<_> = debian.keys().chain(own.keys()).chain(pypi.keys()).collect();
    let mut differs = Differences::new();
    for question in questions {
        let (theirs, ours) = (of(&debian, question), of(&own, question));
        assert_eq!(theirs, of(&pypi, question), "uWSGI of Debian and of PyPI: {question}");
        if theirs != ours {
            differs.insert(question.clone(), (theirs, ours));
        }
    }
    by_way(&differs)
}

/// The rows below a heading of the document: question → both answers.
fn documented(heading: &str) -> Differences {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/uwsgi.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let row = row.trim_matches('|').replace("\\|", "\u{1}");
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        let [question, theirs, ours, why] = <[String; 4]>::try_from(cells).unwrap();
        assert!(why.len() > 3, "no reason: {question}");
        (question, (theirs, ours))
    })
    .collect()
}

fn assert_documented(heading: &str, differs: Differences, is_code: bool) {
    let cell = |text: String| {
        let text = text.replace('|', "\\|");
        if is_code { format!("`{text}`") } else { text }
    };
    let row = |(question, (theirs, ours)): (String, (String, String))| {
        let question =
            if question.contains('`') || !is_code { question } else { format!("`{question}`") };
        format!("| {question} | {} | {} |", cell(theirs), cell(ours))
    };
    let found: BTreeSet<_> = differs.into_iter().map(row).collect();
    let documented: BTreeSet<_> = documented(heading)
        .into_iter()
        .map(|(question, (theirs, ours))| {
            format!(
                "| {question} | {} | {} |",
                theirs.replace('|', "\\|"),
                ours.replace('|', "\\|")
            )
        })
        .collect();
    let missing: Vec<_> = found.difference(&documented).cloned().collect();
    let wrong: Vec<_> = documented.difference(&found).cloned().collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "docs/uwsgi.md, {heading}\nlacks:\n{}\nhas, but it is not so:\n{}",
        missing.join("\n"),
        wrong.join("\n")
    );
}

#[test]
fn the_module_answers_as_uwsgi_or_as_documented() {
    assert_documented("The modules", differences(module), true);
}

#[test]
fn the_environ_has_the_keys_of_uwsgi_or_those_documented() {
    assert_documented("The environ", differences(environ), true);
}

#[test]
fn it_starts_and_ends_as_uwsgi_or_as_documented() {
    assert_documented("Start and end", differences(life), false);
}

#[test]
fn the_application_is_found_as_by_uwsgi_or_as_documented() {
    assert_documented("Names of the application", differences(names), true);
}

#[test]
fn clients_get_what_uwsgi_sends_or_what_is_documented() {
    assert_documented("Responses", differences(responses), false);
}
