//! uWSGI's other options: those that rwsgi knows by name and does not have, and what that means.

use std::borrow::Cow;

use Class::{Ignored, NotYet, Refused};

use super::{foreign, plugins};

pub(super) const NOT_NEEDED: &str = "Not needed here";
pub(super) const MISSED: &str = "Not in this version";

/// Options of uWSGI that have the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Their names; one that ends with `*` stands for all that begin so: only where the start is
    /// refused anyway, for a typing error among them would go unseen.
    pub names: &'static [&'static str],
    /// The letter of the first.
    pub short: Option<char>,
    /// Whether they take a value on the command line.
    pub takes_value: bool,
    /// The answer.
    pub class: Class,
    /// What to write or use in its place.
    pub instead: Option<&'static str>,
}

/// What becomes of an option that rwsgi does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It is not needed here; why.
    Ignored(&'static str),
    /// It will be missed, or has another form here (`Known::instead`); what happens without it.
    NotYet(&'static str),
    /// To go on without it would do harm; why.
    Refused(&'static str),
    /// A listener that is not opened: refused if there is no other; why.
    OtherProtocol(&'static str),
    /// It is obeyed while the configuration is read.
    Directive,
    /// Its value is told, and that is all.
    Message,
    /// Its value names parts of uWSGI: those that rwsgi has nothing for are told; of the others, why
    /// they are not needed.
    Plugins(&'static str),
}

pub(super) const fn valued(names: &'static [&'static str], class: Class) -> Known {
    Known { names, short: None, takes_value: true, class, instead: None }
}

pub(super) const fn flag(names: &'static [&'static str], class: Class) -> Known {
    Known { names, short: None, takes_value: false, class, instead: None }
}

impl Known {
    pub(super) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    pub(super) const fn instead(mut self, text: &'static str) -> Self {
        self.instead = Some(text);
        self
    }

    /// Above what its names are listed with this value, and why; `None` if they are obeyed.
    pub fn answer(&self, value: &str) -> Option<(&'static str, Cow<'static, str>)> {
        let (heading, why) = match self.class {
            Class::Plugins(why) => return Some(plugins::answer(value, why)),
            Ignored(why) => (NOT_NEEDED, why),
            NotYet(why) if self.instead.is_some() => ("Replaced", why),
            NotYet(why) => (MISSED, why),
            Refused(why) | Class::OtherProtocol(why) => {
                ("Not supported: rwsgi does not start with these", why)
            }
            Class::Directive | Class::Message => return None,
        };
        Some((heading, why.into()))
    }

    /// Whether `name` is one of these, spelled out.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// Whether `name` begins as a family of these does.
    pub fn covers(&self, name: &str) -> bool {
        let stems = self.names.iter().filter_map(|known| known.strip_suffix('*'));
        stems.into_iter().any(|stem| name.len() > stem.len() && name.starts_with(stem))
    }
}

/// Not in rwsgi because its own way makes them unnecessary.
const UNNECESSARY: &[Known] = &[
    flag(&["thunder-lock"], Ignored("the kernel wakes one worker for each connection")),
    flag(&["no-orphans"], Ignored("a worker always leaves when its master is gone")),
    flag(
        &[
            "ignore-sigpipe",
            "ignore-write-errors",
            "disable-write-exception",
            "write-errors-tolerance",
        ],
        Ignored("a client that goes away is not an error of the application"),
    ),
    valued(
        &["plugin", "plugins", "need-plugin", "need-plugins"],
        Class::Plugins("Python and HTTP are built in"),
    ),
    valued(&["plugin-dir", "plugins-dir"], Ignored("Python and HTTP are built in")),
    flag(
        &["py-call-uwsgi-fork-hooks", "py-call-osafterfork"],
        Ignored("Python's own fork hooks always run"),
    ),
    flag(
        &[
            "http-auto-chunked",
            "http-chunked-input",
            "http-manage-expect",
            "http-raw-body",
            "wsgi-manage-chunked-input",
        ],
        Ignored("HTTP/1.1 is spoken in full"),
    ),
    flag(
        &["auto-procname", "procname-master"],
        Ignored("processes are always named after what they do"),
    ),
    flag(
        &["harakiri-no-arh", "no-harakiri-arh", "no-harakiri-after-req-hook"],
        Ignored("`harakiri` ends with the response of the application in any case"),
    ),
    flag(&["wsgi-strict"], Ignored("PEP 3333 is kept in any case")),
    flag(
        &["early-pythonpath"],
        Ignored("`pythonpath` is there before anything is imported in any case"),
    ),
    flag(
        &["harakiri-verbose"],
        Ignored("the log says where the request was, with the Python stack of its thread"),
    ),
    flag(&["log-master", "threaded-logger"], Ignored("logging never blocks a worker")),
    valued(&["log-master-bufsize"], Ignored("log entries have no such bound")),
    flag(
        &["memory-report"],
        Ignored("`systemctl status` and the log of each worker tell its memory"),
    )
    .short('m'),
    valued(
        &[
            "http-processes",
            "http-workers",
            "http-to",
            "http-connect-timeout",
            "http-buffer-size",
            "http-modifier1",
            "http-uid",
            "http-gid",
        ],
        Ignored("there is no router process"),
    ),
    valued(
        &["offload-threads"],
        Ignored("files and slow responses never hold a thread of the application"),
    ),
    flag(&["no-defer-accept"], Ignored("accepting is not deferred")),
    flag(
        &["tcp-nodelay", "http-server-name-as-http-host", "so-keepalive", "wsgi-accept-buffer"],
        Ignored("rwsgi always does so"),
    ),
    valued(&["max-vars"], Ignored("`max-fields` bounds the header of a request")).short('v'),
    valued(
        &["reload-mercy", "mule-reload-mercy"],
        Ignored("`worker-reload-mercy` bounds every exit"),
    ),
    valued(
        &["post-buffering-bufsize", "body-read-warning", "check-interval", "forkbomb-delay"],
        Ignored("rwsgi needs no such setting"),
    ),
    flag(
        &[
            "honour-stdin",
            "reaper",
            "close-on-exec",
            "close-on-exec2",
            "never-swap",
            "ksm",
            "skip-atexit",
            "no-threads-wait",
            "wsgi-disable-file-wrapper",
            "show-config",
        ],
        Ignored("it makes no difference to what is served"),
    ),
    valued(
        &["wsgi-env-behaviour", "wsgi-env-behavior"],
        Ignored("every request has an environ of its own"),
    ),
    valued(
        &["py-program-name", "py-programname", "py-executable", "py-sys-executable"],
        Ignored("sys.executable is the interpreter, as programs expect"),
    ),
    flag(&["reload-os-env"], Ignored("each generation starts with the environment as it is")),
    valued(&["print", "iprint"], Class::Message),
    valued(
        &["procname-prefix", "procname-prefix-spaced", "procname-append", "procname"],
        Ignored("process titles name the instance"),
    ),
];

/// Not in this version; the instance can serve without them.
const LATER: &[Known] = &[
    valued(&["max-fd"], NotYet("the limit of the service holds"))
        .instead("write LimitNOFILE= in its unit, or `ulimit -n` before the start"),
    valued(&["harakiri-queue-threshold"], NotYet("`harakiri` acts however many requests wait")),
    valued(
        &["harakiri-graceful-timeout", "harakiri-graceful-signal"],
        NotYet("a worker gets no signal at the end of `harakiri`"),
    )
        .instead("write `harakiri-grace = SECONDS`: the request is interrupted before, and so long after that the worker is ended"),
    valued(&["limit-as", "limit-nproc"], NotYet("a worker has no limit of its own"))
        .instead("write `memory-max` and `tasks-max`, for the service as a whole"),
    valued(
        &["cheaper-busyness-backlog-multiplier"],
        NotYet("the number of workers follows the load without it"),
    ),
    valued(&["touch-exec"], NotYet("nobody looks at the file"))
        .instead("write `hook-touch = FILE exec:COMMAND`"),
    valued(&["touch-signal", "fs-signal"], NotYet("nobody looks at the file"))
        .instead("call `uwsgi.add_file_monitor(SIGNAL, FILE)`"),
    valued(&["fs-reload"], NotYet("nobody looks at the file"))
        .instead("write `touch-reload = FILE`; `systemctl reload` and SIGHUP reload, too"),
    valued(
        &["py-auto-reload-ignore"],
        NotYet("`py-autoreload` reloads whichever module has changed, for it is for development"),
    ),
    flag(&["check-static-docroot"], NotYet("there is no DOCUMENT_ROOT"))
        .instead("use `check-static`"),
    valued(
        &["static-cache-paths", "static-cache-paths-name"],
        NotYet("where files are is asked of the kernel, which remembers it"),
    ),
    valued(&["file-serve-mode", "fileserve-mode"], NotYet("rwsgi sends the files itself")),
    valued(&["daemonize2"], NotYet("rwsgi stays in the foreground")).instead("use `daemonize`"),
    valued(&["pidfile2", "safe-pidfile", "safe-pidfile2"], NotYet("this file is not written"))
        .instead("use `pidfile`"),
    valued(&["alarm"], NotYet("no alarm is raised")).instead(foreign::MESSAGE_IDS),
    valued(
        &["legion-attach-daemon", "legion-smart-attach-daemon", "legion-smart-attach-daemon2"],
        NotYet("there are no legions, and the command is not started"),
    )
    .instead("write `attach-daemon = COMMAND`, which starts it in each instance"),
    valued(
        &["legion-cron", "cron-legion", "unique-legion-cron", "unique-cron-legion"],
        NotYet("there are no legions, and the command is not run"),
    )
    .instead("write `cron`, which runs it in each instance, or use a timer of systemd on one machine"),
    valued(
        &["spooler-import", "spooler-pyimport", "spooler-py-import", "spooler-python-import"],
        Refused("there is no spooler that would import it"),
    )
    .instead("take its jobs to a task queue, a service of its own"),
    valued(
        &[
            "spooler",
            "spooler-chdir",
            "spooler-external",
            "spooler-freq",
            "spooler-frequency",
            "spooler-harakiri",
            "spooler-max-tasks",
            "spooler-processes",
            "touch-spoolers-reload",
        ],
        NotYet("there is no spooler: its jobs are not done"),
    )
        .instead("take its jobs to a task queue, a service of its own"),
    valued(
        &["mule", "mules", "farm", "farms", "touch-mules-reload"],
        NotYet("there are no mules: their jobs are not done"),
    )
    .instead("make what they do a service of its own, or write `attach-daemon = COMMAND`"),
    valued(&["gevent", "async", "asyncio", "loop"], NotYet("requests run in `threads`"))
        .instead("set `threads` to as many as have to wait at once"),
    flag(
        &[
            "gevent-monkey-patch",
            "gevent-early-monkey-patch",
            "gevent-wait-for-hub",
            "ugreen",
            "greenlet",
        ],
        NotYet("requests run in `threads`"),
    ),
    valued(&["ugreen-stacksize", "tornado"], NotYet("requests run in `threads`")),
    valued(&["prio"], NotYet("workers keep the priority of the service"))
        .instead("use Nice= of the service"),
    valued(
        &["threads-stacksize", "thread-stacksize", "thread-stack-size", "threads-stack-size"],
        NotYet("threads have the stacks that the system gives them"),
    )
    .instead("use LimitSTACK= of the service"),
    valued(&["py-tracebacker"], NotYet("no sockets are made"))
        .instead("use `rwsgi stacks`, which shows where the Python threads are"),
    flag(
        &["catch-exceptions"],
        NotYet("an exception is answered with 500 and its traceback is in the log"),
    ),
    valued(
        &[
            "reload-on-exception-type",
            "reload-on-exception-value",
            "reload-on-exception-repr",
        ],
        NotYet("a worker stays after an exception"),
    ),
    flag(&["reload-on-exception"], NotYet("a worker stays after an exception")),
    valued(
        &["response-headers-limit"],
        NotYet("responses are sent as the application makes them"),
    ),
    valued(&["http-var"], NotYet("the environ has no such variable"))
        .instead("write `route-run = addvar:NAME=TEXT`"),
    flag(&["http-auto-gzip"], NotYet("responses are sent as the application makes them"))
        .instead("have the web server before rwsgi compress them, or a middleware"),
    flag(&["http-websockets"], NotYet("WSGI has no way to serve WebSockets"))
        .instead("serve them by an ASGI server behind the same web server"),
    valued(
        &["socket-sndbuf", "socket-rcvbuf", "tcp-fast-open"],
        NotYet("sockets keep the system's settings"),
    ),
    valued(&["so-send-timeout"], NotYet("it is no time of its own"))
        .instead("write `socket-timeout = SECONDS`"),
    valued(&["chunked-input-limit"], NotYet("a body in chunks is a body like others"))
        .instead("write `limit-post = BYTES`"),
    valued(&["chunked-input-timeout"], NotYet("a body in chunks is a body like others"))
        .instead("write `socket-timeout = SECONDS`"),
    flag(&["reuse-port", "freebind"], NotYet("sockets keep the system's settings")),
    flag(&["exit-on-reload"], NotYet("a reload is a reload"))
        .instead("use `systemctl restart` where it is to be a new start"),
    valued(&["upload-progress"], NotYet("the progress of uploads is not told")),
];

/// Without them the instance would be unreachable, unprotected, or not what was meant.
const NEVER_SILENT: &[Known] = &[
    valued(
        &[
            "upd",
            "fastcgi-socket",
            "scgi-socket",
            "fastcgi-nph-socket",
            "scgi-nph-socket",
            "raw-socket",
            "puwsgi-socket",
            "udp",
        ],
        Class::OtherProtocol("this version speaks HTTP and the uwsgi protocol"),
    ),
    valued(
        &[
            "https",
            "https2",
            "https-socket",
            "suwsgi-socket",
            "http-to-https",
            "https-socket-modifier1",
            "https-socket-modifier2",
            "https-session-context",
            "https-export-cert",
            "ssl-socket",
            "ssl-enable3",
            "ssl-enable-sslv3",
            "ssl-enable-tlsv1",
            "ssl-option",
            "ssl-sessions-use-cache",
            "ssl-session-use-cache",
            "ssl-sessions-timeout",
            "ssl-session-timeout",
            "ssl-tmp-dir",
            "ssl-verbose",
            "ssl-verify-depth",
            "sni",
            "sni-dir",
            "sni-dir-ciphers",
            "sni-regexp",
        ],
        Refused("TLS is not in this version: clients would find nothing there"),
    ),
    valued(
        &[
            "shared-socket",
            "map-socket",
            "zerg",
            "zerg-server",
            "zerg-pool",
            "zergpool",
            "abstract-socket",
        ],
        Refused("shared sockets are not in this version"),
    )
    .instead("name the address with `http`"),
    valued(
        &["chroot", "cap", "pivot-root", "pivot_root", "unshare", "setns", "cgroup"],
        Refused("the application would run unconfined"),
    )
    .instead("use RootDirectory=, CapabilityBoundingSet= and the like of the service"),
    valued(&["add-gid"], Refused("the privileges would not be those that were asked for"))
        .instead("make the user of `uid` a member of the group, or use SupplementaryGroups= of the service"),
    valued(
        &["immediate-uid", "immediate-gid"],
        Refused("the privileges would not be those that were asked for"),
    )
    .instead("use User= and Group= of the service, or write `uid` and `gid`, which hold before anything is imported"),
    flag(
        &["no-initgroups", "master-as-root", "drop-after-init", "drop-after-apps"],
        Refused("the privileges would not be those that were asked for"),
    )
    .instead("write `uid` and `gid` alone; what needs root is done by `hook-as-root` or ExecStartPre=+"),
    valued(
        plugins::EMPEROR,
        Refused("there is no emperor, systemd is"),
    )
    .instead(
        "put the INI file of each application into /etc/rwsgi, and `systemctl enable --now rwsgi@NAME` for NAME.ini; `touch-reload` reloads it when it changes",
    ),
    flag(&["vhost", "vhost-host"], Refused("applications are not chosen by the host"))
        .instead("run an instance for each"),
    valued(
        &["pecan", "web3", "pump", "wsgi-lite", "pyrun", "pyshell"],
        Refused("applications come from `wsgi-file`, `module`, `mount`, `eval` or `paste`"),
    ),
    valued(&["ini-paste"], Refused("it says two things at once"))
        .instead("write `ini = FILE` and `paste = config:FILE`"),
    valued(&["ini-paste-logged"], Refused("it says three things at once"))
        .instead("write `ini = FILE`, `paste = config:FILE` and `paste-logger = true`"),
    valued(&["config", "config-py"], Refused("configurations of other kinds are not read"))
        .instead("write `ini = FILE`"),
    valued(&["xml"], Refused("XML is not read")).instead("convert it to INI").short('x'),
    valued(&["yaml", "yml"], Refused("YAML is not read")).instead("convert it to INI").short('y'),
    valued(&["json", "js"], Refused("JSON is not read")).instead("convert it to INI").short('j'),
    valued(
        &["declare-option", "declare-option2", "blacklist", "whitelist"],
        Refused("rwsgi's options cannot be changed from a file"),
    ),
    valued(&["pause", "suspend", "resume"], Refused("it is a command"))
        .instead("write `rwsgi pause --pidfile FILE` and `rwsgi resume --pidfile FILE`"),
    valued(&["get"], Refused("it is a command, for the command line")).instead("run `rwsgi --get KEY FILE`"),
    flag(&["dump-options"], Refused("it is a command, for the command line")).instead("run `rwsgi --dump-options`"),
    flag(&["no-server"], Refused("with it there is no server"))
        .instead("run `rwsgi check FILE`, which imports the application and serves nothing"),
    valued(&["test"], Refused("it is a command, with which there is no server"))
        .instead("run `rwsgi check FILE`, which imports the application and serves nothing")
        .short('J'),
];

/// Obeyed while they are read, and never seen again.
const DIRECTIVES: &[Known] = &[
    valued(&["ini", "include", "inherit"], Class::Directive),
    valued(&["set", "set-ph", "set-placeholder", "exit"], Class::Directive).short('S'),
    valued(&["for", "for-glob", "for-times", "for-readline"], Class::Directive),
    valued(
        &[
            "if-env",
            "if-not-env",
            "if-exists",
            "if-not-exists",
            "if-file",
            "if-not-file",
            "if-dir",
            "if-not-dir",
            "if-directory",
            "if-not-directory",
            "if-opt",
            "if-not-opt",
            "if-plugin",
            "if-not-plugin",
            "if-hostname",
            "if-not-hostname",
            "if-hostname-match",
            "if-not-hostname-match",
            "ifenv",
            "ifexists",
            "ifdir",
            "ifplugin",
        ],
        Class::Directive,
    ),
    flag(
        &["if-reload", "if-not-reload", "else", "end", "endif", "end-if", "endfor", "end-for"],
        Class::Directive,
    ),
];

/// All of them, in groups.
pub static KNOWN: &[Known] = &join();

const GROUPS: [&[Known]; 8] = [
    UNNECESSARY,
    LATER,
    NEVER_SILENT,
    DIRECTIVES,
    foreign::UNNEEDED,
    foreign::MISSED,
    foreign::UNSUPPORTED,
    plugins::OPTIONS,
];

const COUNT: usize = {
    let (mut group, mut count) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
};

const fn join() -> [Known; COUNT] {
    let mut all = [UNNECESSARY[0]; COUNT];
    let (mut group, mut index) = (0, 0);
    while group < GROUPS.len() {
        let mut member = 0;
        while member < GROUPS[group].len() {
            all[index] = GROUPS[group][member];
            index += 1;
            member += 1;
        }
        group += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_cover_more_than_their_stem() {
        let family = valued(&["hook-*"], NotYet("x"));
        assert!(family.covers("hook-asap") && !family.covers("hook-") && !family.covers("hoo"));
        assert!(!family.has("hook-asap"));
    }

    #[test]
    fn families_are_refused_as_a_whole() {
        for known in KNOWN.iter().filter(|known| known.names.iter().any(|n| n.ends_with('*'))) {
            assert!(matches!(known.class, Refused(_)), "{:?}", known.names);
        }
    }

    #[test]
    fn each_answer_is_a_clause_without_a_full_stop() {
        for known in KNOWN {
            let (Ignored(why) | NotYet(why) | Refused(why) | Class::OtherProtocol(why)) =
                known.class
            else {
                continue;
            };
            for clause in std::iter::once(why).chain(known.instead) {
                assert!(!clause.is_empty() && !clause.ends_with('.'), "{:?}", known.names);
            }
        }
    }
}
