//! The rules between options, as an administrator meets them.

use super::super::load::{Argument, Sources, load};
use super::super::recycling::{Limit, Recycling};
use super::super::{ConfigError, Protocol, Severity, Target, Warning};
use super::super::{Log, LogTarget};
use super::*;
use crate::address::ListenAddr;

/// A project directory with an INI file in it.
struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rwsgi-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("book")).unwrap();
        std::fs::create_dir_all(path.join("venv/bin")).unwrap();
        std::fs::write(path.join("book/wsgi.py"), "").unwrap();
        std::fs::write(path.join("venv/bin/python"), "").unwrap();
        Self(path)
    }

    fn context(&self) -> Context {
        Context { cwd: self.0.clone(), ..Context::default() }
    }

    fn load_as(
        &self,
        text: &str,
        context: &Context,
    ) -> Result<(Config, Vec<Warning>), Vec<ConfigError>> {
        std::fs::write(self.0.join("uwsgi.ini"), format!("[uwsgi]\n{text}")).unwrap();
        let file = RawOptionForFile::named("uwsgi.ini");
        let sources = Sources { arguments: vec![file], ..Sources::default() };
        load(&sources, context)
    }

    fn load(&self, text: &str) -> Result<(Config, Vec<Warning>), Vec<ConfigError>> {
        self.load_as(text, &self.context())
    }

    /// Loads what has neither errors nor warnings.
    fn config(&self, text: &str) -> Config {
        let (config, warnings) = self.load(text).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        config
    }

    fn warnings(&self, text: &str) -> Vec<String> {
        let (_, warnings) = self.load(text).unwrap_or_else(|errors| panic!("{errors:?}"));
        warnings.iter().map(ToString::to_string).collect()
    }

    fn errors(&self, text: &str) -> Vec<String> {
        let errors = self.load(text).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    }

    fn error(&self, text: &str) -> String {
        let errors = self.errors(text);
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors[0].clone()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct RawOptionForFile;

impl RawOptionForFile {
    fn named(path: &str) -> Argument {
        let text = format!("--ini={path}");
        Argument::File(super::super::raw::RawOption::argument("ini", path, 1, &text))
    }
}

const BASE: &str = "http = 127.0.0.1:8000\nwsgi-file = book/wsgi.py\n";

fn with(text: &str) -> String {
    format!("{BASE}{text}")
}

#[test]
fn the_classic_file_runs_as_written() {
    let project = Project::new("classic");
    let text = "http=127.0.0.1:8000\nchdir=%d\nwsgi-file=book/wsgi.py\nmaster=true\nprocess=4\n\
                threads=2\npidfile=uwsgi.pid\ndaemonize=uwsgi.log\n";
    let (config, warnings) = project.load(text).unwrap();
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8000");
    assert_eq!(config.listeners[0].mode, 0o660);
    assert_eq!((config.processes, config.threads), (4, 2));
    assert_eq!(config.application.chdir.as_deref(), Some(&*project.0));
    let target = Target::File { path: "book/wsgi.py".into(), callable: "application".into() };
    assert_eq!(config.application.target, target);
    assert_eq!(config.process.pidfile, Some(project.0.join("uwsgi.pid")));
    assert_eq!(config.process.daemonize, Some(project.0.join("uwsgi.log")));
    assert_eq!(config.log.sinks.target, LogTarget::File(project.0.join("uwsgi.log")));
    assert_eq!(config.name, project.0.file_name().unwrap().to_str().unwrap());
    assert_eq!(config.options[4], ("process".to_owned(), "4".to_owned()));
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].to_string(),
        "warning: uwsgi.ini:6:1: `process` is taken for `processes`\n  |\n6 | process=4\n  | \
         ^^^^^^^\n  help: write `processes`: in a file, uWSGI ignores what is not spelled out"
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let project = Project::new("defaults");
    let config = project.config(BASE);
    assert_eq!(config.http, Http::default());
    assert_eq!((config.processes, config.threads, config.backlog), (1, 1, 1024));
    assert_eq!(config.mercy, Duration::from_secs(60));
    assert_eq!(config.log, Log::default());
    assert_eq!(config.process, Process::default());
    let mime_files = vec![PathBuf::from("/etc/mime.types")];
    assert_eq!(config.files, files::Files { mime_files, ..Default::default() });
    assert!(!config.lazy_apps);
}

#[test]
fn a_queue_whose_length_was_not_chosen_is_patient() {
    let project = Project::new("queue");
    let default = project.config(BASE).queue;
    assert_eq!((default.most, default.patience), (1000, Duration::from_secs(1)));
    let chosen = project.config(&with("max-queue = 1000\n")).queue;
    assert_eq!((chosen.most, chosen.patience), (1000, Duration::from_millis(10)));
}

#[test]
fn every_option_arrives() {
    let project = Project::new("arrives");
    let config = project.config(&with(
        "processes=2\nthreads=3\nlazy-apps\nlisten=99\nchmod-socket=0600\nchown-socket=0:0\n\
         callable=make()\nenv=A=1\nenv=B=2=3\npythonpath=one\npythonpath=/two\nvirtualenv=venv\n\
         buffer-size=32k\nmax-fields=64\nlimit-post=10m\npost-buffering=0\n\
         response-buffering=1m\nminimum-rate=0\nmax-connections=50\nhttp-headers-timeout=5\nhttp-keepalive=0\nhttp-timeout=7\nworker-reload-mercy=8\n\
         uid=0\ngid=0\numask=022\nlogto=app.log\ndisable-logging\n",
    ));
    assert_eq!((config.processes, config.threads, config.lazy_apps), (2, 3, true));
    assert_eq!((config.listeners[0].mode, config.listeners[0].owner), (0o600, Some((0, Some(0)))));
    let application = &config.application;
    let target = Target::File { path: "book/wsgi.py".into(), callable: "make()".into() };
    assert_eq!(application.target, target);
    assert_eq!(application.env[1], ("B".to_owned(), "2=3".to_owned()));
    assert_eq!(application.pythonpath, [PathBuf::from("/two"), project.0.join("one")]);
    assert_eq!(application.virtualenv, Some(project.0.join("venv")));
    assert_eq!((config.http.head_bytes, config.http.max_fields), (32768, 64));
    assert_eq!((config.http.body_bytes, config.http.buffered_bytes), (Some(10 << 20), 0));
    assert_eq!((config.http.response_bytes, config.http.minimum_rate), (1 << 20, 0));
    assert_eq!(config.http.max_connections, 50);
    assert_eq!(config.http.head_timeout, Duration::from_secs(5));
    assert_eq!(config.http.idle_timeout, Duration::ZERO);
    assert_eq!((config.http.io_timeout.as_secs(), config.mercy.as_secs()), (7, 8));
    let Process { uid, gid, umask, .. } = config.process;
    assert_eq!((uid, gid, umask, config.backlog), (Some(0), Some(0), Some(0o022), 99));
    assert_eq!(config.log.file.owner, Some((0, Some(0))), "who serves can write it");
    assert_eq!(config.log.sinks.target, LogTarget::File(project.0.join("app.log")));
    assert!(!config.log.requests.enabled);
}

#[test]
fn of_scalars_the_last_counts_and_of_lists_all() {
    let project = Project::new("repeated");
    let config = project.config(&with("processes=2\nworkers=3\nhttp=:0\nhttp=:0\n"));
    assert_eq!((config.processes, config.listeners.len()), (3, 3));
    assert!(project.warnings(&with("http=127.0.0.1:8000"))[0].contains("is named twice"));
}

#[test]
fn all_errors_are_reported_at_once() {
    let project = Project::new("all");
    let errors = project.errors("processes=four\nthreads=0\nvaccum=true\nhttp=8000\n");
    assert_eq!(errors.len(), 5);
    assert_eq!(
        errors[0],
        "error: uwsgi.ini:2:11: `processes = four` is not a whole number\n  |\n\
         2 | processes=four\n  |           ^^^^\n\
         \x20 expected: a number of processes from 1 to 2048, or `auto`"
    );
    assert!(errors[1].contains("`threads = 0` is less than 1"));
    assert_eq!(
        errors[2],
        "error: uwsgi.ini:4:1: there is no option `vaccum`\n  |\n4 | vaccum=true\n  | ^^^^^^\n  \
         help: did you mean `vacuum`?"
    );
    assert!(errors[3].contains("help: write `:8000`, or `127.0.0.1:8000` for this machine only"));
    assert!(errors[4].contains("there is no application to serve"));
}

#[test]
fn a_value_that_is_missing_is_an_error() {
    let project = Project::new("missing");
    let error = project.error(&with("processes =\n"));
    assert!(error.starts_with("error: uwsgi.ini:4:12: `processes` has no value\n"), "{error}");
}

#[test]
fn one_application_is_needed_and_no_more() {
    let project = Project::new("one-app");
    assert_eq!(
        project.error("http=:8000"),
        "error: there is no application to serve\n  help: add two lines such as\n        \
         chdir = /srv/bookstore\n        wsgi-file = BookStore/wsgi.py"
    );
    let error = project.error(&with("module=book.wsgi"));
    assert!(
        error.contains("`wsgi-file = book/wsgi.py` and `module = book.wsgi` contradict each other")
    );
}

#[test]
fn a_module_may_name_its_callable_once() {
    let project = Project::new("callable");
    let config = project.config("http=:0\nmodule=book.wsgi:app\ncallable=app\n");
    let target = Target::Module { module: "book.wsgi".into(), callable: "app".into() };
    assert_eq!(config.application.target, target);
    let error = project.error("http=:0\nmodule=book.wsgi:app\ncallable=other\n");
    assert!(error.contains("name different callables"));
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_place() {
    let project = Project::new("no-file");
    let root = project.0.display();
    assert_eq!(
        project.error("http=:0\nwsgi-file = book/wsgy.py\n"),
        format!(
            "error: uwsgi.ini:3:13: `wsgi-file = book/wsgy.py` cannot be read: \
             `{root}/book/wsgy.py` does not exist\n  |\n3 | wsgi-file = book/wsgy.py\n  |             \
             ^^^^^^^^^^^^\n  expected: a Python file, relative to `chdir`"
        )
    );
    let error = project.error("http=:0\nwsgi-file = book.wsgi:app\n");
    assert!(error.ends_with("help: if it is a module, write `module = book.wsgi:app`"));
}

#[test]
fn a_directory_that_is_not_there_is_one_error() {
    let project = Project::new("no-chdir");
    let error = project.error("http=:0\nchdir=nowhere\nwsgi-file=wsgi.py\n");
    assert!(error.contains("`chdir = nowhere` cannot be entered: "), "{error}");
    let quoted = project.error("http=:0\nchdir=\"book\"\nmodule=wsgi\n");
    assert!(quoted.contains("quotes are part of the value"), "{quoted}");
}

#[test]
fn paths_are_relative_to_chdir_or_to_the_start() {
    let project = Project::new("relative");
    let text = "http=app.sock\nchdir=book\nwsgi-file=wsgi.py\npidfile=x.pid\n";
    let config = project.config(text);
    let socket = ListenAddr::Unix(project.0.join("book/app.sock"));
    assert_eq!(config.listeners[0].address, socket);
    assert_eq!(config.process.pidfile, Some(project.0.join("x.pid")));
}

#[test]
fn a_virtual_environment_has_an_interpreter() {
    let project = Project::new("venv");
    let error = project.error(&with("home=book\n"));
    assert!(error.contains("`home = book` is not a virtual environment"), "{error}");
    assert!(error.contains("python3 -m venv"));
    let warning = &project.warnings(&with("home=venv\npython=python3\n"))[0];
    assert!(warning.contains("`python` is used in place of `home = venv`"));
}

#[test]
fn somewhere_to_listen_is_needed() {
    let project = Project::new("nowhere");
    assert_eq!(
        project.error("wsgi-file=book/wsgi.py"),
        "error: there is nowhere to listen\n  help: add a line such as\n        \
         http = 127.0.0.1:8000"
    );
}

#[test]
fn sockets_of_systemd_are_listeners_unless_http_is_written() {
    let project = Project::new("inherited");
    let inherited = vec!["web".to_owned(), "web".to_owned(), "admin".to_owned()];
    let context = Context { inherited, ..project.context() };
    let (config, _) = project.load_as("wsgi-file=book/wsgi.py", &context).unwrap();
    let addresses: Vec<_> = config.listeners.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(addresses, ["systemd:web", "systemd:admin"]);
    let (config, _) = project.load_as(BASE, &context).unwrap();
    assert_eq!(config.listeners.len(), 1);
}

#[test]
fn sockets_speak_what_their_option_says() {
    let project = Project::new("protocols");
    let spoken = |text: &str| -> Vec<Protocol> {
        let config = project.config(&format!("wsgi-file=book/wsgi.py\n{text}"));
        config.listeners.iter().map(|listener| listener.protocol).collect()
    };
    let both = spoken("socket=:1\nhttp=:2\nuwsgi-socket=:3\n");
    assert_eq!(both, [Protocol::Uwsgi, Protocol::Http, Protocol::Uwsgi]);
    let http = spoken("socket=:1\nuwsgi-socket=:2\nprotocol=http\n");
    assert_eq!(http, [Protocol::Http, Protocol::Uwsgi]);
    let scgi = project.error("socket=:1\nprotocol=scgi\nwsgi-file=book/wsgi.py\n");
    assert!(scgi.contains("`socket = :1` is not opened: this version speaks HTTP and"), "{scgi}");
    assert!(project.error("fastcgi-socket=:1\nwsgi-file=book/wsgi.py").contains("is not opened"));
}

#[test]
fn sockets_of_systemd_speak_what_protocol_says_else_what_their_name_says_else_http() {
    let project = Project::new("inherited-protocol");
    let inherited = ["web", "uwsgi"].map(str::to_owned).to_vec();
    let context = Context { inherited, ..project.context() };
    let (http, uwsgi) = (Protocol::Http, Protocol::Uwsgi);
    let cases = [("", [http, uwsgi]), ("uwsgi", [uwsgi; 2]), ("http", [http; 2])];
    for (word, protocols) in cases {
        let line = if word.is_empty() { String::new() } else { format!("protocol={word}\n") };
        let (config, _) =
            project.load_as(&format!("wsgi-file=book/wsgi.py\n{line}"), &context).unwrap();
        let spoken = config.listeners.iter().map(|listen| listen.protocol);
        assert_eq!(spoken.collect::<Vec<_>>(), protocols);
        assert_eq!(["web", "uwsgi"].map(|name| config.protocol_of(name)), protocols);
    }
}

#[test]
fn the_proxy_protocol_is_expected_where_it_is_said_to_be() {
    let project = Project::new("proxy-protocol");
    let config = project.config(&with("socket=:1\nproxy-protocol=:1\n"));
    let expected =
        |index: usize| config.proxy_protocol.is_expected_at(&config.listeners[index].address);
    assert!(!expected(0) && expected(1));
    assert!(project.config(&with("enable-proxy-protocol\n")).proxy_protocol.everywhere);
    let error = project.error(&with("proxy-protocol=:9\n"));
    assert!(error.contains("`proxy-protocol = :9` is no address that is listened at"), "{error}");
}

#[test]
fn trusted_proxies_are_a_list() {
    let project = Project::new("proxies");
    let config = project.config(&with(
        "trusted-proxies=10.0.0.0/8\ntrusted-proxies=unix\ntrusted-proxy-count=2\n\
         trusted-proxy-headers=Forwarded\n",
    ));
    assert_eq!(config.proxies.trusted.as_ref().map(Vec::len), Some(2));
    assert_eq!(config.proxies.count, Some(2));
    assert_eq!(config.proxies.fields, ["forwarded"]);
    assert_eq!(project.config(BASE).proxies, Proxies::default());
}

#[test]
fn socket_names_have_a_limit() {
    let project = Project::new("long");
    let text = format!("http=@{}\nmodule=x\n", "a".repeat(108));
    assert!(project.error(&text).contains("expected: at most 107 bytes"));
}

#[test]
fn the_log_has_one_destination() {
    let project = Project::new("log");
    let file = |name: &str| LogTarget::File(project.0.join(name));
    assert_eq!(project.config(&with("logging=journal")).log.sinks.target, LogTarget::Journal);
    assert_eq!(project.config(&with("daemonize=x.log")).log.sinks.target, file("x.log"));
    let both = with("daemonize=x.log\nlogto=y.log");
    assert_eq!(project.load(&both).unwrap().0.log.sinks.target, file("y.log"));
    assert_eq!(project.load(&both).unwrap().1[0].severity, Severity::Info);
    assert_eq!(project.config(&with("daemonize=x\nlogto=x")).log.sinks.target, file("x"));
    let daemon = project.config(&with("daemonize=x.log\nlogging=syslog"));
    assert_eq!(daemon.log.sinks.target, LogTarget::Syslog(logging::SyslogTarget::default()));
    assert!(project.error(&with("logto=x\nlogging=stderr")).contains("contradict each other"));
    assert!(project.error(&with("daemonize=x\nlogging=stderr")).contains("no standard error"));
    let udp = project.config(&with("logto=127.0.0.1:514")).log.sinks.target;
    assert_eq!(udp, LogTarget::Datagram("127.0.0.1:514".to_owned()));
    assert!(project.error(&with("pidfile=x\ndaemonize=./x")).contains("name the same file"));
    assert!(project.error(&with("logto=book")).contains("`logto = book` is a directory"));
    assert!(project.warnings(&with("pidfile=no/x"))[0].contains("cannot be written"));
}

#[test]
fn a_log_file_is_of_who_serves_or_of_whom_it_is_given_to() {
    let project = Project::new("log-owner");
    let owner = |line| {
        let text = with(&format!("uid=33\ngid=34\nlogto=x\n{line}\n"));
        project.config(&text).log.file.owner
    };
    let who_serves = Some((33, Some(34)));
    assert_eq!([owner(""), owner("logfile-chown"), owner("logfile-chown=1")], [who_serves; 3]);
    assert_eq!(owner("logfile-chown=false"), Some((0, Some(0))));
    assert_eq!(owner("logfile-chown=35"), Some((35, None)));
}

#[test]
fn an_emperor_needs_no_application() {
    let errors = Project::new("emperor").errors("emperor=vassals\nemperor-tyrant=true\n");
    assert!(errors[0].contains("`emperor` cannot be obeyed"), "{errors:?}");
    assert!(!errors.iter().any(|error| error.contains("no application")), "{errors:?}");
}

#[test]
fn other_options_of_uwsgi_are_answered_by_class() {
    let project = Project::new("classes");
    let text =
        "thunder-lock=true\nupload-progress=1\nmaster=false\nmax-requests=0\nmax-request=9\n";
    let warnings = project.warnings(&with(text));
    assert_eq!(warnings.len(), 4, "{warnings:#?}");
    assert!(warnings[0].starts_with("info: uwsgi.ini:4:1: `thunder-lock` is not needed: "));
    assert!(
        warnings[1]
            .starts_with("warning: uwsgi.ini:5:1: `upload-progress` is not in this version: ")
    );
    assert!(warnings[2].starts_with("info: uwsgi.ini:6:8: `master = false` has no effect: "));
    assert!(warnings[3].contains("`max-request` is taken for `max-requests`"));
    let error = project.error(&with("chroot=/srv"));
    assert!(error.starts_with("error: uwsgi.ini:4:1: `chroot` cannot be obeyed: "), "{error}");
    assert!(project.error(&with("includ=x.ini")).contains("acts while the configuration is read"));
    assert!(project.warnings(&with("print=hello"))[0].starts_with("info: uwsgi.ini:4:7: hello"));
}

#[test]
fn a_worker_is_replaced_for_what_was_written_and_for_nothing_else() {
    let project = Project::new("recycling");
    let read = |text: &str| project.config(&with(text)).recycling;
    assert_eq!(read("max-requests=0\nmax-worker-lifetime=0\nreload-on-rss=0"), read(""));
    assert_eq!(read(""), Recycling::default());
    let limit = |least, delta| Some(Limit { least, delta });
    assert_eq!(read("max-requests=5000").requests, limit(5000, 500));
    assert_eq!(read("max-requests=50\nmax-requests-delta=7").requests, limit(50, 7));
    assert_eq!(read("max-requests=5\nmax-requests-delta=0").requests, limit(5, 0));
    assert_eq!(read("max-worker-lifetime=3600").lifetime, limit(3600, 360));
    let lives = "max-worker-lifetime=9\nmax-worker-lifetime-delta=2\nmin-worker-lifetime=5";
    assert_eq!(read(lives).lifetime, limit(9, 2));
    assert_eq!(read(lives).min_lifetime, Duration::from_secs(5));
    let text = "reload-on-rss=1\nreload-on-pss=2\nreload-on-uss=3\nreload-on-as=4";
    let memory = read(text).memory;
    let limits = [memory.rss, memory.pss, memory.uss, memory.address_space];
    assert_eq!(limits, [1, 2, 3, 4].map(|megabytes| Some(megabytes << 20)));
    assert_eq!(read("mem-collector-freq=3").sample_every, Duration::from_secs(3));
}

#[test]
fn an_evil_limit_is_a_limit_with_a_warning() {
    let project = Project::new("evil");
    let text = with("evil-reload-on-rss=64\nreload-on-rss=128\nevil-reload-on-as=0");
    let (config, warnings) = project.load(&text).unwrap();
    assert_eq!((config.recycling.memory.rss, warnings.len()), (Some(64 << 20), 1));
    assert!(warnings[0].to_string().contains(
        "`evil-reload-on-rss = 64` is taken for `reload-on-rss`: the worker finishes its requests"
    ));
}

#[test]
fn deadlines_of_requests_are_off_until_they_are_set() {
    let project = Project::new("harakiri");
    let second = Duration::from_secs;
    let harakiri = |lines: &str| project.config(&with(lines)).harakiri;
    let off = Harakiri { deadline: None, warn: None, grace: second(5) };
    assert_eq!(harakiri(""), off);
    assert_eq!(harakiri("harakiri=0\nharakiri-warn=0"), off);
    let all = Harakiri { deadline: Some(second(30)), warn: Some(second(5)), grace: second(9) };
    assert_eq!(harakiri("harakiri=30\nharakiri-warn=5\nharakiri-grace=9"), all);
}

#[test]
fn a_warning_that_comes_too_late_is_told() {
    let project = Project::new("harakiri-late");
    let warnings = project.warnings(&with("harakiri=30\nharakiri-warn=30"));
    assert!(warnings[0].contains("`harakiri-warn = 30` has no effect"), "{warnings:#?}");
    assert!(project.warnings(&with("harakiri-warn=30")).is_empty());
}

#[test]
fn spelling_mistakes_are_explained() {
    let project = Project::new("spelling");
    assert!(project.error(&with("buffer_size=1")).contains("did you mean `buffer-size`?"));
    assert!(project.error(&with("Master=true")).contains("did you mean `master`?"));
    assert!(project.error(&with("key : v")).contains("separated by `=`"));
    assert!(project.error(&with("frobnicate=1")).contains("`rwsgi --help` lists all"));
}

#[test]
fn a_key_that_is_referred_to_may_have_any_name() {
    let project = Project::new("placeholder");
    let text = "base = %d\nhttp=:0\nchdir=%(base)book\nset-ph = n=3\nprocesses=%(n)\n\
                module=wsgi\n";
    let config = project.config(text);
    assert_eq!(config.application.chdir, Some(project.0.join("book")));
    assert_eq!(config.processes, 3);
    assert!(project.error(&with("base=/srv")).contains("there is no option `base`"));
    let circle = project.error(&with("base=%(base)/srv"));
    assert!(circle.contains("`%(base)` refers to itself"), "{circle}");
    assert!(!circle.contains("there is no option"), "{circle}");
}

#[test]
fn the_name_is_given_or_that_of_the_file() {
    let project = Project::new("name");
    let named = Context { name: Some("shop".to_owned()), ..project.context() };
    assert_eq!(project.load_as(BASE, &named).unwrap().0.name, "shop");
    assert_eq!(project.config(BASE).name, "rwsgi");
    assert_eq!(project.config("http=:0\nchdir=book\nmodule=x").name, "book");
}

#[test]
fn a_reload_tells_what_takes_a_restart() {
    let project = Project::new("restart");
    let old = project.config(&with("processes=2\nlisten=5\nuid=0\n"));
    let new = project.config(&with("processes=4\nlisten=5\nlisten=6\nhttp=:0\n"));
    assert_eq!(needs_restart(&old, &new), ["http", "listen", "uid"]);
    assert!(needs_restart(&old, &old).is_empty());
}

#[test]
fn static_files_are_relative_to_chdir() {
    let project = Project::new("static");
    std::fs::create_dir_all(project.0.join("book/static")).unwrap();
    std::fs::write(project.0.join("book/icon.png"), "").unwrap();
    std::fs::write(project.0.join("book/types"), "").unwrap();
    let files = project
        .config(
            "http=:0\nchdir=book\nwsgi-file=wsgi.py\nstatic-map2=/static=.\n\
             static-map=/static/ = static\nstatic-map=/favicon.ico=icon.png\n\
             check-static=static\nstatic-safe=%d\nmimefile=types\nx-sendfile=/tmp\n\
             x-accel-redirect=/=static\nstatic-gzip-dir=static/\n",
        )
        .files;
    let book = |path: &str| project.0.join("book").join(path);
    let map = |prefix: &str, target: PathBuf, keeps_prefix| files::Map {
        prefix: prefix.to_owned(),
        target,
        keeps_prefix,
    };
    let maps = [
        map("/static", book("static"), false),
        map("/favicon.ico", book("icon.png"), false),
        map("/static", project.0.join("book"), true),
    ];
    assert_eq!(files.maps, maps);
    assert_eq!(files.checked, [book("static")]);
    assert_eq!(files.safe, std::slice::from_ref(&project.0));
    assert_eq!(files.mime_files, [book("types")]);
    assert_eq!(files.sendfile, [PathBuf::from("/tmp")]);
    assert_eq!(files.accel, [map("", book("static"), false)]);
    assert_eq!(files.compressed.prefixes, [book("static")]);
}

#[test]
fn expiries_keep_their_order_and_say_what_they_go_by() {
    let project = Project::new("expiries");
    let files = project
        .config(&with(
            "static-expires-type=Text/CSS=5\nstatic-expires-uri-mtime=^/a 6s\n\
             static-expires=b$ 7\nstatic-expires-path-info=c 0\nstatic-index=index.html\n\
             static-skip-ext=.py\nstatic-gzip=d\nstatic-gzip-ext=.js\nstatic-gzip-all\n",
        ))
        .files;
    let pattern = |text: &str| text.parse().unwrap();
    let expiry =
        |subject, seconds, since_modified| files::Expiry { subject, seconds, since_modified };
    let expected = [
        expiry(files::Subject::Type("text/css".to_owned()), 5, false),
        expiry(files::Subject::Uri(pattern("^/a")), 6, true),
        expiry(files::Subject::File(pattern("b$")), 7, false),
        expiry(files::Subject::PathInfo(pattern("c")), 0, false),
    ];
    assert_eq!(files.expiries, expected);
    assert_eq!((files.index, files.skipped), (vec!["index.html".into()], vec![".py".into()]));
    let compressed = files::Compressed {
        all: true,
        patterns: vec![pattern("d")],
        prefixes: vec![],
        suffixes: vec![".js".into()],
    };
    assert_eq!(files.compressed, compressed);
}

#[test]
fn static_files_that_are_not_there_are_a_warning() {
    let project = Project::new("no-static");
    let root = project.0.display();
    let lines = "static-map=/s=static\ncheck-static=book/wsgi.py\nmimefile=no\nx-sendfile=no\n";
    let warnings = project.warnings(&with(lines));
    assert_eq!(
        warnings[0],
        format!(
            "warning: uwsgi.ini:4:12: `static-map = /s=static` has no effect: `{root}/static` does \
             not exist\n  |\n4 | static-map=/s=static\n  |            ^^^^^^^^^\n  expected: a \
             prefix and a directory, relative to `chdir`"
        )
    );
    assert!(warnings.iter().any(|text| text.contains("wsgi.py` is not a directory")));
    assert_eq!(warnings.len(), 4, "{warnings:#?}");
    let errors = project.errors("http=:0\nchdir=no\nmodule=x\ncheck-static=static\n");
    assert_eq!(errors.len(), 1, "{errors:#?}");
}

#[test]
fn values_for_static_files_are_checked() {
    let project = Project::new("bad-static");
    let error = project.error(&with("static-map=static"));
    assert!(error.contains("help: write `/static=static`"), "{error}");
    let error = project.error(&with("static-map=static=/srv"));
    assert!(error.contains("help: write `/static=/srv`"), "{error}");
    assert_eq!(
        project.error(&with("static-expires=*.css 60")),
        "error: uwsgi.ini:4:16: `static-expires = *.css 60` is not a regular expression: repetition \
         operator missing expression\n  |\n4 | static-expires=*.css 60\n  |                \
         ^^^^^^^^\n  expected: a regular expression and seconds, such as `\\.css$ 3600`\n  help: it \
         is not a wildcard: write `.*.css`"
    );
    for line in [
        "static-expires=60",
        "static-expires=x y",
        "static-expires=x 9999999999",
        "static-expires-type=css=5",
        "static-expires-type=text/css 5",
        "static-gzip=(",
        "static-index=a/b",
        "static-skip-ext=",
        "static-map=/a=",
        "x-accel-redirect=/a",
    ] {
        assert!(project.error(&with(line)).contains("expected: "), "{line}");
    }
    assert!(project.error(&with("static-mapp=/a=b")).contains("did you mean `static-map`"));
}
