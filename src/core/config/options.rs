//! THE table: one entry for each option. Command line, INI keys, environment, `--help`, the manual
//! page and `--show-config` all come from it; the order here is the order there.

use super::lookup::{Lookup, lookup};
use super::value::{Kind, MANY};

/// The most workers.
const WORKERS: u64 = super::sizing::MOST_WORKERS as u64;

/// 1 … `max` of something, or as many as fit the machine.
const fn or_auto(unit: &'static str, max: u64) -> Kind {
    Kind::NumberOrWord { min: 1, max, unit, word: "auto" }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpec {
    /// The name, as key and as `--name`.
    pub name: &'static str,
    /// uWSGI's other names for it.
    pub aliases: &'static [&'static str],
    /// The letter, as in `-p 4`.
    pub short: Option<char>,
    /// The chapter of the manual.
    pub group: Group,
    /// What its value can be.
    pub kind: Kind,
    /// The text of its default; empty where there is none.
    pub default: &'static str,
    /// What the option alone means on the command line; `None`: it needs a value.
    pub bare: Option<&'static str>,
    /// Whether every occurrence counts, instead of the last.
    pub list: bool,
    /// Whether a reload obeys a changed value; otherwise it takes a restart.
    pub reloadable: bool,
    /// One paragraph.
    pub doc: &'static str,
    /// A value, as one would write it.
    pub example: &'static str,
}

/// The chapters of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Where to listen.
    Listening,
    /// What to serve.
    Application,
    /// Who serves.
    Workers,
    /// Limits and timeouts.
    Http,
    /// Files that are sent as they are.
    Files,
    /// What rules do to requests, and fields of responses.
    Routing,
    /// What is done beside the application, and when.
    Hooks,
    /// What runs beside the workers.
    Beside,
    /// The process and its privileges.
    Process,
    /// The unit of systemd.
    Service,
    /// The log.
    Log,
    /// What uWSGI needs and rwsgi always does.
    Always,
}

impl Group {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Listening => "Listening",
            Self::Application => "Application",
            Self::Workers => "Workers",
            Self::Http => "HTTP limits and timeouts",
            Self::Files => "Static files",
            Self::Routing => "Internal routing",
            Self::Hooks => "Hooks",
            Self::Beside => "Beside the workers",
            Self::Process => "Process and privileges",
            Self::Service => "Service of systemd",
            Self::Log => "Log",
            Self::Always => "Accepted from uWSGI, always so in rwsgi",
        }
    }
}

const fn option(name: &'static str, group: Group, kind: Kind) -> OptionSpec {
    OptionSpec {
        name,
        aliases: &[],
        short: None,
        group,
        kind,
        default: "",
        bare: match kind {
            Kind::Switch | Kind::Always(_) | Kind::SecondsOrSwitch { .. } | Kind::SwitchOrText => {
                Some("true")
            }
            _ => None,
        },
        list: false,
        reloadable: true,
        doc: "",
        example: "",
    }
}

/// A rule of internal routing.
const fn rule(name: &'static str) -> OptionSpec {
    option(name, Group::Routing, Kind::Text).list()
}

/// A hook, and the option of the same stage for commands.
const fn hook(name: &'static str, doc: &'static str) -> OptionSpec {
    option(name, Group::Hooks, Kind::Hook).list().doc(doc)
}

const fn command(name: &'static str, doc: &'static str) -> OptionSpec {
    option(name, Group::Hooks, Kind::Command).list().doc(doc)
}

impl OptionSpec {
    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    const fn bare(mut self, text: &'static str) -> Self {
        self.bare = Some(text);
        self
    }

    const fn list(mut self) -> Self {
        self.list = true;
        self
    }

    const fn at_start(mut self) -> Self {
        self.reloadable = false;
        self
    }

    const fn example(mut self, value: &'static str) -> Self {
        self.example = value;
        self
    }

    const fn doc(mut self, text: &'static str) -> Self {
        self.doc = text;
        self
    }
}

/// Whether ` # text` after the value of `key` can only be a comment.
pub fn excludes_comments(key: &str) -> bool {
    match lookup(key) {
        Lookup::Exact(spec) | Lookup::Prefix(spec) => spec.kind.excludes_comments(),
        Lookup::Known(_) | Lookup::KnownPrefix(..) | Lookup::Unknown(_) => false,
    }
}

const DAY: u64 = 24 * 60 * 60;
const YEAR: u64 = 365 * DAY;
const PERCENT: Kind = Kind::Number { min: 0, max: 100, unit: "percent" };
const MEGABYTES: Kind = Kind::Number { min: 0, max: 1 << 30, unit: "megabytes" };

/// Every option that does something in this version.
pub static OPTIONS: &[OptionSpec] = &[
    option("http", Group::Listening, Kind::Address)
        .aliases(&["http-socket", "http11-socket", "httprouter"])
        .list()
        .at_start()
        .example("127.0.0.1:8000")
        .doc(
            "Listen for HTTP/1.1 at this address; may be given several times. `:8000` is every \
             IPv4 address, `[::]:8000` every address, a path is a UNIX socket relative to \
             `chdir`, `@name` is an abstract UNIX socket, `systemd:NAME` are the sockets that a \
             socket unit hands over under that name, `fd://3` is an open descriptor. There is no \
             router process: the workers speak HTTP themselves, with `http-socket` as with \
             `http`. Not needed when systemd passes sockets.",
        ),
    option("socket", Group::Listening, Kind::Address)
        .short('s')
        .list()
        .at_start()
        .example("127.0.0.1:3031")
        .doc(
            "Listen at this address, as for `http`, for a web server that speaks `protocol`: the \
             uwsgi protocol of nginx's `uwsgi_pass` and Apache's mod_proxy_uwsgi, if nothing \
             else is said. May be given several times.",
        ),
    option("uwsgi-socket", Group::Listening, Kind::Address)
        .list()
        .at_start()
        .example("/run/bookstore/uwsgi.sock")
        .doc(
            "Listen at this address for the uwsgi protocol, whatever `protocol` says. Who can \
             connect says who the client is: let only the web server in.",
        ),
    option("protocol", Group::Listening, Kind::Choice(&["http", "uwsgi", "fastcgi", "scgi"]))
        .aliases(&["socket-protocol"])
        .default("uwsgi")
        .at_start()
        .example("http")
        .doc(
            "What is spoken on the addresses of `socket`: `uwsgi` or `http`. Sockets that a \
             socket unit hands over and that no other option names speak it when it is written; \
             when it is not, uwsgi where FileDescriptorName= is `uwsgi`, else HTTP. FastCGI and SCGI are not in this version.",
        ),
    option("proxy-protocol", Group::Listening, Kind::AddressOrSwitch)
        .aliases(&["enable-proxy-protocol", "http-enable-proxy-protocol"])
        .list()
        .example("127.0.0.1:8000")
        .doc(
            "Every connection to this address, one of `http` or `socket`, begins with a header of \
             the PROXY protocol, version 1 or 2, that tells who the client is; `true` means \
             every address. A connection without it is refused. With `trusted-proxies`, only \
             these may connect.",
        ),
    option("trusted-proxies", Group::Listening, Kind::Network)
        .list()
        .example("10.0.0.0/8")
        .doc(
            "Addresses and networks of proxies whose `trusted-proxy-headers` are believed, so \
             that REMOTE_ADDR and wsgi.url_scheme are those of the client; `unix` means UNIX \
             sockets, `*` everybody. From everybody else, fields such as X-Forwarded-For are \
             removed. Without this option they are removed unless the connection comes from this \
             machine, and REMOTE_ADDR is always the peer. Only rwsgi has this option.",
        ),
    option("trusted-proxy-count", Group::Listening, Kind::Number { min: 1, max: 64, unit: "proxies" })
        .example("2")
        .doc(
            "How many proxies a request passes on its way: the client is that many entries from \
             the end of X-Forwarded-For. Without it, entries are followed from the end for as \
             long as they are `trusted-proxies`. Only rwsgi has this option.",
        ),
    option(
        "trusted-proxy-headers",
        Group::Listening,
        Kind::Words(&[
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "forwarded",
            "x-request-id",
        ]),
    )
    .default("x-forwarded-for x-forwarded-proto")
    .example("x-forwarded-for x-forwarded-proto x-forwarded-host")
    .doc(
        "The fields that the trusted proxies set, with blanks between: name only those that they \
         overwrite or append to, since they pass all others on as the client sent them. Those \
         that are not named are removed when `trusted-proxies` is set. With `x-request-id` the \
         log names a request as the proxy does, also one of the uwsgi protocol, whose web server \
         says HTTP_X_REQUEST_ID; without it rwsgi names it, and X-Request-ID reaches the \
         application as it came. Only rwsgi has this option.",
    ),
    option(
        "max-connections",
        Group::Listening,
        Kind::Number { min: 1, max: 1_000_000, unit: "connections" },
    )
    .default("10000")
    .example("2000")
    .doc(
        "Open connections of each worker. At that number, and when descriptors run out, the \
         connection that has been idle for longest makes room for a new one; when none is idle, \
         new ones wait. Only rwsgi has this option.",
    ),
    option("listen", Group::Listening, Kind::Number { min: 1, max: 65535, unit: "connections" })
        .short('l')
        .default("1024")
        .at_start()
        .example("4096")
        .doc(
            "Connections that may wait to be accepted, for each address. More than \
             net.core.somaxconn is reduced to that, with a warning.",
        ),
    option("chmod-socket", Group::Listening, Kind::SocketMode)
        .aliases(&["chmod"])
        .short('C')
        .default("660")
        .bare("666")
        .at_start()
        .example("660")
        .doc("Permission bits of UNIX sockets, whatever `umask` is; `1` is 666, as in uWSGI."),
    option("chown-socket", Group::Listening, Kind::Owner)
        .at_start()
        .example("www-data:www-data")
        .doc("Owner of UNIX sockets, `user` or `user:group`. Takes the privilege to do so."),
    option("chdir", Group::Application, Kind::Path).example("/srv/bookstore").doc(
        "Working directory of the application, relative to where rwsgi was started. \
             `wsgi-file`, `virtualenv`, `pythonpath` and UNIX sockets are relative to it; `%d` is \
             the directory of the INI file.",
    ),
    option("wsgi-file", Group::Application, Kind::Path)
        .aliases(&["file"])
        .example("BookStore/wsgi.py")
        .doc("The Python file that defines the WSGI application. Either this or `module`."),
    option("module", Group::Application, Kind::Module)
        .aliases(&["wsgi"])
        .short('w')
        .example("BookStore.wsgi:application")
        .doc(
            "The Python module that defines the WSGI application, with the callable after a \
             colon if it is not `application`. Either this or `wsgi-file`.",
        ),
    option("mount", Group::Application, Kind::Mount)
        .list()
        .example("/shop=shop/wsgi.py")
        .doc(
            "An application below a prefix of paths: a file, `module:callable` or `file.py:callable`; \
             may be given several times, and beside `module` or `wsgi-file`, which then serve the rest. \
             The longest prefix counts; `/shop` is not a prefix of `/shopping`. The prefix becomes SCRIPT_NAME \
             with `manage-script-name`; without it, the SCRIPT_NAME (or UWSGI_APPID) of a web server \
             that speaks the uwsgi protocol names the mount. All are imported into one interpreter, and one that \
             cannot be imported is a failed start. `/` is the root.",
        ),
    option("manage-script-name", Group::Application, Kind::Switch)
        .default("false")
        .example("true")
        .doc(
            "The path of a request tells which `mount` it is for: the prefix is taken off PATH_INFO and is \
             SCRIPT_NAME.",
        ),
    option("need-app", Group::Application, Kind::Switch)
        .default("true")
        .example("false")
        .doc(
            "A start or reload fails when one of the applications cannot be imported. `false`: the others serve, and \
             what is for that one is answered with 500; a start without any still fails.",
        ),
    option("no-default-app", Group::Application, Kind::Switch)
        .default("false")
        .example("true")
        .doc(
            "A request that is for no `mount` is answered with 404; otherwise it goes to `module` or \
             `wsgi-file`, or, where there are but mounts, to the first of them.",
        ),
    option("eval", Group::Application, Kind::Text)
        .example("from shop.app import create_app; application = create_app('production')")
        .doc("Python code that defines the application under the name of `callable`, in one line."),
    option("paste", Group::Application, Kind::Text)
        .example("config:production.ini")
        .doc(
            "The application is the one that PasteDeploy makes of this: `config:FILE`, with `#NAME` for one \
             that is not `main`, or `egg:PACKAGE`.",
        ),
    option("paste-logger", Group::Application, Kind::Switch)
        .default("false")
        .example("true")
        .doc("The file of `paste` configures `logging`, by its sections `loggers`, `handlers` and `formatters`."),
    option("callable", Group::Application, Kind::Callable)
        .default("application")
        .example("app")
        .doc(
            "The name of the application in the file or module. `name()` is called once, \
             without arguments, and has to return the application.",
        ),
    option("pythonpath", Group::Application, Kind::Path)
        .aliases(&["python-path", "pp"])
        .list()
        .example("lib")
        .doc(
            "A directory to put before sys.path; may be given several times, and be a pattern such as \
             `libs/*`. Of several, the last is searched first, as in uWSGI.",
        ),
    option("virtualenv", Group::Application, Kind::Path)
        .aliases(&["home", "venv", "pyhome"])
        .short('H')
        .example("/srv/bookstore/venv")
        .doc("The virtual environment whose Python runs the application."),
    option("python", Group::Application, Kind::Path).example("python3.12").doc(
        "The interpreter, a path or a name to look up; instead of `virtualenv` or of the \
             system's python3. Only rwsgi has this option.",
    ),
    option("optimize", Group::Application, Kind::Number { min: 0, max: 2, unit: "levels" })
        .default("0")
        .example("1")
        .doc(
            "How Python optimizes: `1` is -O (no `assert`, `__debug__` is false), `2` is -OO (no docstrings either).",
        ),
    option("no-site", Group::Application, Kind::Switch).default("false").example("true").doc(
        "Python starts without its module `site` (-S): site-packages, those of `virtualenv` too, and what *.pth \
         files name are not searched, only the standard library and `pythonpath`.",
    ),
    option("env", Group::Application, Kind::Variable)
        .list()
        .example("DJANGO_SETTINGS_MODULE=BookStore.settings")
        .doc(
            "A variable for the application's environment; may be given several times. \
             Everything after the first `=` is the value, comment signs too.",
        ),
    option("envdir", Group::Application, Kind::Path)
        .list()
        .example("/etc/bookstore/env")
        .doc(
            "A directory of files, each named after a variable of the application's environment and with its \
             value in the first line, as envdir(8) has it; an empty file takes the variable away. Counts after \
             `env`.",
        ),
    option("unenv", Group::Application, Kind::Text)
        .list()
        .example("PYTHONDONTWRITEBYTECODE")
        .doc("A variable that the application's environment is not to have."),
    option("pyargv", Group::Application, Kind::Text)
        .example("--settings production")
        .doc(
            "What sys.argv has after its first element, `rwsgi`, with blanks between; nothing else is split, and \
             there are no quotes.",
        ),
    option("import", Group::Application, Kind::Text)
        .aliases(&["pyimport", "py-import", "python-import"])
        .list()
        .example("shop.tasks")
        .doc(
            "A module, or a file, that is imported after the application; one that cannot be is a failed \
             start. With `lazy-apps`, every worker imports it.",
        ),
    option("shared-import", Group::Application, Kind::Text)
        .aliases(&["shared-pyimport", "shared-py-import", "shared-python-import"])
        .list()
        .example("shop.signals")
        .doc("The same as `import`: what is imported is in all workers."),
    option("pymodule-alias", Group::Application, Kind::Variable)
        .list()
        .example("settings=shop.settings.production")
        .doc("A name under which the application finds a module, or a file; made before it is imported."),
    option("post-pymodule-alias", Group::Application, Kind::Variable)
        .list()
        .example("api=shop.api.v2")
        .doc("The same as `pymodule-alias`, made after the application is imported."),
    option("chdir2", Group::Application, Kind::Path)
        .example("/var/lib/bookstore")
        .doc("The working directory after the application is imported, relative to `chdir`."),
    option("warm-up", Group::Application, Kind::Probe).list().example("/").doc(
        "A GET request that the application answers when it has been imported, before workers are \
         forked (with `lazy-apps`, in each worker before it serves); may be given several times. \
         Nobody gets the answer. What the application does with its first request, as to load \
         templates and routes, is so done before the first client comes, and once for all workers, \
         which share the memory of it. `Host` is `localhost`, or that of `http://host/path`; the \
         client is 127.0.0.1 with `User-Agent: rwsgi-warm-up`. What goes wrong is a warning; the \
         time that it takes counts for `import-timeout`. Name only what changes nothing, and what \
         leaves no connection open: Django's are closed, of others the log warns. Functions of \
         `uwsgidecorators.postfork` have not run then. Only rwsgi has this option.",
    ),
    option("uwsgi-module", Group::Application, Kind::Switch)
        .default("true")
        .example("false")
        .doc(
            "Whether the application finds the modules `uwsgi` and `uwsgidecorators`, those of \
             uWSGI. A function behind which there is nothing in rwsgi (spooler, mules, RPC, \
             WebSockets, …) says when it is called what to use instead. `false` is for an \
             application to which they are no good. Only rwsgi has this option.",
        ),
    option("locks", Group::Application, Kind::Number { min: 0, max: 4096, unit: "locks" })
        .default("0")
        .at_start()
        .example("4")
        .doc(
            "The number of the last lock of `uwsgi.lock(N)`; lock 0 is always there. Workers share \
             them, those of the generation that a reload replaces, too. The lock of a thread that \
             ends, or whose process dies, is free.",
        ),
    option("cache2", Group::Application, Kind::Cache)
        .list()
        .example("name=pages,items=1000,blocksize=4096")
        .doc(
            "A cache that all workers share, for `uwsgi.cache_get` and its kind: `name`, `items` that it \
             can hold, `blocksize` bytes of the largest value (64 KiB), `keysize` of the longest key \
             (2048). With `bitmap=1` a value may have any of `blocks` blocks. When it is full, a new \
             item is refused and that is logged (`ignore_full=1`: it is not), or what was not used for \
             longest goes (`purge_lru=1`), or everything (`clear_on_full=1`). It outlives reloads, and \
             a restart with `store=FILE`, which is written when the instance ends, and every \
             `store_sync` seconds. May be given several times; the first one is meant where the \
             application names none. Differences from uWSGI: `items=4` holds 4 items, not 3; what has \
             expired is never found; blocks of a value need not be neighbours; a value may be empty; \
             a store of uWSGI is not read.",
        ),
    option("cache", Group::Application, Kind::Number { min: 1, max: 1 << 30, unit: "items" })
        .example("1000")
        .doc("A cache with the name `default` and so many items, as `cache2 = items=1000`."),
    option("cache-blocksize", Group::Application, Kind::Bytes { min: 8, max: 1 << 30 })
        .default("65536")
        .example("4096")
        .doc("Bytes of the largest value in the cache of `cache`."),
    option("cache-store", Group::Application, Kind::Path)
        .example("/var/lib/bookstore/cache")
        .doc("The file in which the cache of `cache` outlives a restart."),
    option("cache-store-sync", Group::Application, Kind::Seconds { min: 0, max: 86400 })
        .default("0")
        .example("60")
        .doc("How often that file is written while the instance runs; 0: only when it ends."),
    option("processes", Group::Workers, or_auto("processes", WORKERS))
        .aliases(&["workers"])
        .short('p')
        .default("1")
        .example("4")
        .doc(
            "Worker processes; with `cheaper` the most. `auto` is one for each CPU that the instance \
             may use: the quota of its cgroup (CPUQuota=, cpu.max), rounded up, or the CPUs that it \
             may run on (AllowedCPUs=, CPUAffinity=); the log says what was found. `%k` is the \
             number of CPUs, too, to be written into other values.",
        ),
    option("threads", Group::Workers, or_auto("threads", 4096))
        .default("1")
        .example("2")
        .doc(
            "Python threads of each worker: requests that one worker runs at the same time. `auto` \
             is 4: while some wait for a database, others run; more rarely run sooner, because \
             all threads of a process share one lock.",
        ),
    option("cpu-affinity", Group::Workers, Kind::Number { min: 0, max: 1024, unit: "CPUs" })
        .default("0")
        .example("1")
        .doc(
            "CPUs that each worker runs on, and no others: worker 1 on the first so many of those that \
             the instance may run on, worker 2 on the next, and from the beginning again after the last; \
             0: on all of them. It helps where caches of CPUs matter more than that a busy worker finds a \
             free one. `CPUAffinity=` of the service is for all of them together.",
        ),
    option("cheaper", Group::Workers, Kind::Number { min: 1, max: WORKERS - 1, unit: "processes" })
        .example("2")
        .doc(
            "The number of workers follows the load: never fewer than these, never more than \
             `processes`. New ones are forked from the imported application within milliseconds; \
             those that are not needed finish their requests and leave, the highest number first. \
             The log says why, in numbers.",
        ),
    option("cheaper-initial", Group::Workers, Kind::Number { min: 1, max: WORKERS, unit: "processes" })
        .example("4")
        .doc(
            "How many workers there are at the start; a reload begins with as many as there are, but \
             not with fewer than these. Without it, `cheaper`.",
        ),
    option("cheaper-step", Group::Workers, Kind::Number { min: 1, max: WORKERS, unit: "processes" })
        .default("1")
        .example("2")
        .doc("How many workers are added at a time, at the least; one goes at a time."),
    option(
        "cheaper-algo",
        Group::Workers,
        Kind::Choice(&["spare", "spare2", "backlog", "backlog2", "busyness", "manual"]),
    )
    .default("spare")
    .example("busyness")
    .doc(
        "What decides how many workers there are. `spare`: one worker is to have a free thread; when \
         all are taken, and connections wait, as many come at once as those need. `spare2`: as many \
         as `cheaper` says are to have a free thread. `backlog`: more come while more connections \
         than `cheaper-overload` wait to be accepted; `backlog2` is the same. `busyness`: the share of their time for which \
         all threads work. `manual`: nobody but `rwsgi scale`.",
    ),
    option("cheaper-overload", Group::Workers, Kind::Number { min: 1, max: DAY, unit: "seconds" })
        .default("3")
        .example("30")
        .doc(
            "`spare`: the seconds for which a worker has to have been superfluous before it goes; \
             more and more (up to five minutes) when it was missed soon afterwards. `busyness`: the \
             seconds over which it is measured. `backlog`: the connections that may wait. Unlike \
             uWSGI, `spare` does not wait for so long before it adds workers.",
        ),
    option("cheaper-idle", Group::Workers, Kind::Seconds { min: 1, max: DAY })
        .default("10")
        .example("60")
        .doc("`spare2`: as `cheaper-overload` is for `spare`."),
    option(
        "cheaper-busyness-max",
        Group::Workers,
        Kind::Number { min: 1, max: 100, unit: "percent" },
    )
    .default("50")
    .example("70")
    .doc("`busyness`: workers are added above so many percent."),
    option(
        "cheaper-busyness-min",
        Group::Workers,
        Kind::Number { min: 0, max: 100, unit: "percent" },
    )
    .default("25")
    .example("20")
    .doc("`busyness`: one worker goes when it was below so many percent for long enough."),
    option(
        "cheaper-busyness-multiplier",
        Group::Workers,
        Kind::Number { min: 1, max: 10_000, unit: "windows" },
    )
    .default("10")
    .example("20")
    .doc("`busyness`: how long that is, in times of `cheaper-overload`."),
    option(
        "cheaper-busyness-penalty",
        Group::Workers,
        Kind::Number { min: 0, max: 10_000, unit: "windows" },
    )
    .default("2")
    .example("4")
    .doc("`busyness`: how much longer when the last one that went was missed soon afterwards."),
    option(
        "cheaper-busyness-backlog-alert",
        Group::Workers,
        Kind::Number { min: 0, max: MANY, unit: "connections" },
    )
    .default("33")
    .example("50")
    .doc("`busyness`: when more connections than these wait, workers are added at once."),
    option(
        "cheaper-busyness-backlog-step",
        Group::Workers,
        Kind::Number { min: 1, max: WORKERS, unit: "processes" },
    )
    .default("1")
    .example("4")
    .doc("`busyness`: how many these are."),
    option(
        "cheaper-busyness-backlog-nonzero",
        Group::Workers,
        Kind::Seconds { min: 1, max: DAY },
    )
    .default("60")
    .example("10")
    .doc("`busyness`: the same when for so long there was no moment in which none waited."),
    option("cheaper-rss-limit-soft", Group::Workers, Kind::Bytes { min: 0, max: u64::MAX })
        .example("2g")
        .doc(
            "No workers are added while all together use more memory than this (resident, what \
             they share counted for each).",
        ),
    option("cheaper-rss-limit-hard", Group::Workers, Kind::Bytes { min: 0, max: u64::MAX })
        .example("3g")
        .doc("One worker goes while all together use more than this, and more than `cheaper` are there."),
    option("idle", Group::Workers, Kind::Seconds { min: 0, max: YEAR })
        .example("600")
        .doc(
            "After so many seconds without a request all workers leave, and their memory is free. \
             The master and the imported application stay; the next connection is served within \
             milliseconds. `0` is never.",
        ),
    option("die-on-idle", Group::Workers, Kind::Switch).default("false").example("true").doc(
        "After `idle` the whole instance ends, with success. A socket unit of systemd keeps \
         listening and starts it again at the next connection.",
    ),
    option("cheap", Group::Workers, Kind::Switch).default("false").example("true").doc(
        "Start without workers: the application is imported, and the first connection has workers \
         forked.",
    ),
    option("lazy-apps", Group::Workers, Kind::Switch)
        .aliases(&["lazy"])
        .default("false")
        .example("true")
        .doc(
            "Each worker imports the application by itself. Otherwise it is imported once, and the \
             workers are forked from the process that has done it, so that they share its memory; \
             what the import has started or opened, threads and connections, is then not for \
             them, and the log names it. A reload imports anew in either case.",
        ),
    option("worker-reload-mercy", Group::Workers, Kind::Seconds { min: 1, max: DAY })
        .default("60")
        .example("30")
        .doc(
            "How long a worker that is to leave may take to finish its requests, before it is \
             killed.",
        ),
    option("reload-probe", Group::Workers, Kind::Probe).example("/healthz").doc(
        "A request that the application has to answer with 2xx or 3xx in each new worker of a \
         reload, before the worker takes in anything else and before anybody leaves in its favour. \
         It goes the way of all requests, and is in the log; it comes from 127.0.0.1 with \
         `User-Agent: rwsgi-probe`. `Host` is `localhost`, or that of \
         `http://host/path`, for applications that ask who is meant. If it fails, the reload has \
         failed and the old code serves on. The same is asked of a worker that is to replace one \
         that serves, as with `max-requests`. At the start of the instance the first worker is \
         asked, and a failure is a warning: there is nothing yet that could serve on. Only rwsgi \
         has this option.",
    ),
    option("reload-probe-timeout", Group::Workers, Kind::Seconds { min: 1, max: 3600 })
        .default("10")
        .example("30")
        .doc("How long the answer to `reload-probe` may take. Only rwsgi has this option."),
    option(
        "reload-overlap",
        Group::Workers,
        Kind::NumberOrWord { min: 1, max: WORKERS, unit: "workers", word: "all" },
    )
    .default("1")
    .example("2")
    .doc(
        "How many new workers a reload starts at a time, after the first one has proven that it \
         serves. As old ones make room only where it is needed, this is also by how much there are \
         more processes than `processes` meanwhile, not counting those that finish their requests. \
         With `all` the old ones leave when all new ones serve. Only rwsgi has this option.",
    ),
    option("import-timeout", Group::Workers, Kind::Seconds { min: 0, max: DAY })
        .default("600")
        .example("60")
        .doc(
            "How long the application may take to be imported, at the start, at a reload, or in a \
             worker of `lazy-apps`. Then the log says where in Python it is, and the process is \
             ended: a start or reload that never ends would wait for ever, as systemd is told to be \
             patient. `0` is no limit. Only rwsgi has this option.",
        ),
    option("touch-reload", Group::Workers, Kind::Path).list().example("reload.txt").doc(
        "Reload when this file or directory is touched: when its time of modification changes, or \
         it is another one, also because a symbolic link on the way to it is, or it is made. May be \
         given several times; relative to `chdir`. Changes are noticed at once, those of other \
         machines on a network file system not at all.",
    ),
    option("touch-workers-reload", Group::Workers, Kind::Path).list().example("workers.txt").doc(
        "As `touch-reload`, but only the workers are new, as with `rwsgi reload --workers`: \
         configuration and code stay, except with `lazy-apps`.",
    ),
    option("touch-chain-reload", Group::Workers, Kind::Path).list().example("workers.txt").doc(
        "The same as `touch-workers-reload`: in rwsgi workers are always replaced one by one.",
    ),
    option("py-autoreload", Group::Workers, Kind::Seconds { min: 0, max: 3600 })
        .aliases(&["py-auto-reload", "python-autoreload", "python-auto-reload"])
        .default("0")
        .example("1")
        .doc(
            "For development: reload so many seconds after the file of an imported module has \
             changed, in which more may change. A module that cannot be imported is watched, too: \
             the old code serves until it is mended. `0` is never.",
        ),
    option("max-requests", Group::Workers, Kind::Number { min: 0, max: MANY, unit: "requests" })
        .short('R')
        .default("0")
        .example("5000")
        .doc(
            "Replace a worker that has answered about so many requests. Its successor is forked \
             first, and only when that serves the old one finishes what it has and leaves: one \
             worker at a time, and never fewer than `processes` serve. `0` is no limit.",
        ),
    option(
        "max-requests-delta",
        Group::Workers,
        Kind::Number { min: 0, max: MANY, unit: "requests" },
    )
    .example("500")
    .doc(
        "Each worker draws its own limit at random, from `max-requests` to so many more, so that \
         they are not all replaced at once. Without it that is a tenth of `max-requests`; `0` is \
         the same limit for all. In uWSGI the limit grows by this with the number of the worker.",
    ),
    option("max-worker-lifetime", Group::Workers, Kind::Seconds { min: 0, max: YEAR })
        .default("0")
        .example("86400")
        .doc(
            "Replace a worker that has served for about so many seconds, as `max-requests` does; \
             also one that is younger than `min-worker-lifetime`. `0` is no limit.",
        ),
    option("max-worker-lifetime-delta", Group::Workers, Kind::Seconds { min: 0, max: YEAR })
        .example("3600")
        .doc(
            "Each worker draws its own lifetime at random, from `max-worker-lifetime` to so many \
             seconds more. Without it that is a tenth of `max-worker-lifetime`.",
        ),
    option("min-worker-lifetime", Group::Workers, Kind::Seconds { min: 0, max: YEAR })
        .default("60")
        .example("10")
        .doc(
            "How old a worker has to be before it is replaced for `max-requests` or for its \
             memory.",
        ),
    option("reload-on-rss", Group::Workers, MEGABYTES).default("0").example("512").doc(
        "Replace a worker, as `max-requests` does, when its resident memory has been larger than \
         so many megabytes in three samples in a row. It includes what is shared with other \
         processes. `0` is no limit.",
    ),
    option("reload-on-pss", Group::Workers, MEGABYTES).default("0").example("256").doc(
        "As `reload-on-rss`, for its proportional memory, of which a page that several processes \
         share counts for each of them in part.",
    ),
    option("reload-on-uss", Group::Workers, MEGABYTES)
        .default("0")
        .example("256")
        .doc("As `reload-on-rss`, for the memory that is its own and that nobody shares."),
    option("reload-on-as", Group::Workers, MEGABYTES)
        .default("0")
        .example("4096")
        .doc("As `reload-on-rss`, for its address space."),
    option("evil-reload-on-rss", Group::Workers, MEGABYTES).default("0").example("1024").doc(
        "The same as `reload-on-rss`, with a warning: uWSGI kills the worker amid its requests, \
         rwsgi never does. Of both, the smaller counts.",
    ),
    option("evil-reload-on-as", Group::Workers, MEGABYTES).default("0").example("8192").doc(
        "The same as `reload-on-as`, with a warning, as for `evil-reload-on-rss`.",
    ),
    option("reload-on-memory-pressure", Group::Workers, PERCENT).default("0").example("10").doc(
        "Replaces the worker with most memory of its own when memory is short in the control group \
         of the service: when processes have waited for it for more than this share of the time, \
         three times two seconds in a row. One at a time, at most every 30 seconds, and only who has \
         come to `min-worker-lifetime`. Needs cgroup v2 and systemd 254, or `Delegate=memory` in the \
         unit; without them a warning says so. 0 is never.",
    ),
    option("mem-collector-freq", Group::Workers, Kind::Seconds { min: 1, max: DAY })
        .default("10")
        .example("30")
        .doc(
            "How often the memory of workers is looked at, if it has a limit. In uWSGI the \
             default is 3 seconds.",
        ),
    option("harakiri", Group::Workers, Kind::Seconds { min: 0, max: DAY })
        .short('t')
        .default("0")
        .example("30")
        .doc(
            "How long the application may take for a request. Then the log says where its thread \
             is, the client gets 504 (or a response that breaks off, when it has begun), and \
             `rwsgi.RequestTimeout`, an `Exception`, is raised in the thread, so that `finally`, \
             transactions and the application's own handlers do their work. Only a request that \
             does not end in spite of that takes its worker with it, see `harakiri-grace`. The \
             time in which the process or the machine was stopped does not count. `0` is no limit. \
             The application can set another limit for a request: `rwsgi.set_deadline(SECONDS)`, \
             or `uwsgi.set_user_harakiri`. In uWSGI the worker is killed at once, with all of its requests, and the client gets \
             nothing.",
        ),
    option("harakiri-warn", Group::Workers, Kind::Seconds { min: 0, max: DAY })
        .default("0")
        .example("5")
        .doc(
            "After this time the log says, once for each request, where in Python its thread is. \
             `0` is never. Only rwsgi has this option.",
        ),
    option("harakiri-grace", Group::Workers, Kind::Seconds { min: 1, max: DAY })
        .default("5")
        .example("10")
        .doc(
            "How long after `harakiri` a request may take to end. Then its worker is replaced: the \
             exception arrives only between two steps of Python code, not in a call that waits. \
             A worker in which code that does not return holds Python's lock, so that nothing else \
             runs there, is killed. Only rwsgi has this option.",
        ),
    option(
        "max-queue",
        Group::Workers,
        Kind::Number { min: 1, max: 1_000_000, unit: "requests" },
    )
    .default("1000")
    .example("50")
    .doc(
        "Requests that may wait in a worker while all of its threads are busy and no other worker is \
         idle. What is too many is answered with 503 and `Retry-After`, as soon as one of them has waited \
         for 10 ms; where the number is not given, for a second, so that neither a crowd that is served \
         soon nor a pause of the machine costs anybody an answer. \
         Connections that no worker has accepted yet wait in the kernel, see `listen`; a worker \
         whose threads are all busy does not accept them at this number. Only rwsgi has this option.",
    ),
    option("queue-timeout", Group::Workers, Kind::Seconds { min: 0, max: DAY })
        .default("0")
        .example("20")
        .doc(
            "How long a request may wait for a thread of its worker. Then it is answered with 503 \
             and `Retry-After`; the application has not seen it. A good value is a little less than \
             that after which a proxy in front gives up. The time in the kernel, before a worker has \
             accepted the connection, and that in which the process was stopped do not count. `0` \
             is no limit. Only rwsgi has this option.",
        ),
    option("buffer-size", Group::Http, Kind::Bytes { min: 1024, max: 1 << 20 })
        .short('b')
        .default("65536")
        .example("32768")
        .doc(
            "Largest head of a request: its line and its header fields. A larger one is answered \
             with 431. uWSGI's default is 4096.",
        ),
    option("max-fields", Group::Http, Kind::Number { min: 8, max: 4096, unit: "header fields" })
        .default("128")
        .example("256")
        .doc(
            "Most header fields of a request; more are answered with 431. Only rwsgi has this \
             option.",
        ),
    option("limit-post", Group::Http, Kind::Bytes { min: 0, max: u64::MAX })
        .default("0")
        .example("10m")
        .doc("Largest body of a request; a larger one is answered with 413. `0` is no limit."),
    option("post-buffering", Group::Http, Kind::Bytes { min: 0, max: 1 << 30 })
        .default("256k")
        .example("1m")
        .doc(
            "Bodies are read to their end before the application is called; what is above this \
             many bytes waits in an unlinked file below TMPDIR, else /var/tmp or /tmp. `0` calls \
             the application at once, with the body still coming; so does a client that expects \
             `100 Continue`, which is sent when the application reads. In uWSGI `0` is the default.",
        ),
    option("response-buffering", Group::Http, Kind::Bytes { min: 0, max: 1 << 40 })
        .default("64m")
        .example("1g")
        .doc(
            "How much of a response may wait in an unlinked file for a client that reads it \
             slowly, so that the application can go on; beyond that its thread waits. Only rwsgi \
             has this option.",
        ),
    option("http-headers-timeout", Group::Http, Kind::Seconds { min: 1, max: DAY })
        .default("30")
        .example("10")
        .doc("How long the head of a request may take, from its first byte to its last."),
    option("http-keepalive", Group::Http, Kind::SecondsOrSwitch { max: DAY, on: 75 })
        .default("75")
        .example("20")
        .doc(
            "How long a connection may be idle between two requests. `true` (or `1`) is the \
             default of 75 seconds, `0` closes each connection after its response. In uWSGI it is \
             off by default, and `true` turns it off.",
        ),
    option("http-timeout", Group::Http, Kind::Seconds { min: 1, max: DAY })
        .aliases(&["socket-timeout"])
        .short('z')
        .default("60")
        .example("120")
        .doc(
            "How long a client may pause while it sends a body or receives a response. How long \
             the application takes does not count.",
        ),
    option("minimum-rate", Group::Http, Kind::Bytes { min: 0, max: 1 << 20 })
        .default("240")
        .example("1k")
        .doc(
            "Bytes a second that a client has to send of a body, or to take of a response, on \
             average after the first five seconds; it is cut off when it is slower. `0` lets it \
             take its time. Only rwsgi has this option.",
        ),
    option("static-map", Group::Files, Kind::Mapping)
        .list()
        .example("/static=/srv/bookstore/static")
        .doc(
            "Serve what lies below this directory at paths below this prefix, which is not part \
             of the path in the directory: `/static/a.css` is `/srv/bookstore/static/a.css`. The \
             directory may also be a file: `/favicon.ico=static/icon.png`. May be given several \
             times; the first that has the file counts, those of `check-static` before. What is \
             not there is left to the application.",
        ),
    option("static-map2", Group::Files, Kind::Mapping)
        .list()
        .example("/static=/srv/bookstore")
        .doc(
            "As `static-map`, but the prefix is part of the path in the directory, too: \
             `/static/a.css` is `/srv/bookstore/static/a.css`. May be given several times.",
        ),
    option("check-static", Group::Files, Kind::Path).aliases(&["static-check"]).list().example("/srv/bookstore/public").doc(
        "Before the application is called, look below this directory for a file at the path of \
         the request, and send that. May be given several times. Everything in it is public, \
         files with a dot at the beginning too.",
    ),
    option("static-index", Group::Files, Kind::Name).list().example("index.html").doc(
        "The file to send for a directory; may be given several times. Without it directories \
         are left to the application.",
    ),
    option("static-skip-ext", Group::Files, Kind::Name).list().example(".py").doc(
        "Leave paths that end so to the application, even if there is a file. May be given \
         several times.",
    ),
    option("static-safe", Group::Files, Kind::Path).list().example("/srv/media").doc(
        "A directory that symbolic links may lead to; may be given several times. Links that \
         lead to elsewhere than below the directory they were found in are not followed.",
    ),
    option("mimefile", Group::Files, Kind::Path)
        .aliases(&["mime-file"])
        .default("/etc/mime.types")
        .list()
        .example("/etc/nginx/mime.types")
        .doc(
            "A table of media types and extensions; may be given several times, the first that \
             knows an extension counts. What none of them knows is in a table of rwsgi.",
        ),
    option("error-page-403", Group::Files, Kind::Path)
        .list()
        .example("errors/403.html")
        .doc(
            "A page of HTML for 403 Forbidden where rwsgi says it itself, as for a rule; not for what the application \
             answers, for which there is `error-route-status`. May be given several times: the first that can be read \
             counts. It is read when a worker starts.",
        ),
    option("error-page-404", Group::Files, Kind::Path)
        .list()
        .example("errors/404.html")
        .doc("As `error-page-403`, for 404 Not Found, as where there are but mounts and none fits."),
    option("error-page-500", Group::Files, Kind::Path)
        .list()
        .example("errors/500.html")
        .doc(
            "As `error-page-403`, for 500 Internal Server Error, as for an exception that the application raises.",
        ),
    option("static-expires", Group::Files, Kind::Expiry)
        .list()
        .example(r"\.[0-9a-f]{12}\.(css|js)$ 31536000")
        .doc(
            "Let clients keep files whose path matches this regular expression for so many \
             seconds, by Cache-Control and Expires. May be given several times; of all \
             `static-expires` options, the first that matches counts.",
        ),
    option("static-expires-mtime", Group::Files, Kind::Expiry)
        .list()
        .example(r"\.png$ 86400")
        .doc("As `static-expires`, counted from the last modification of the file."),
    option("static-expires-uri", Group::Files, Kind::Expiry)
        .list()
        .example(r"\?v=[0-9]+$ 31536000")
        .doc("As `static-expires`, for requests whose target, with its query, matches."),
    option("static-expires-uri-mtime", Group::Files, Kind::Expiry)
        .list()
        .example("^/img/ 86400")
        .doc("As `static-expires-uri`, counted from the last modification of the file."),
    option("static-expires-path-info", Group::Files, Kind::Expiry)
        .list()
        .example("^/static/ 86400")
        .doc("As `static-expires`, for requests whose decoded path matches."),
    option("static-expires-path-info-mtime", Group::Files, Kind::Expiry)
        .list()
        .example("^/img/ 86400")
        .doc("As `static-expires-path-info`, counted from the last modification of the file."),
    option("static-expires-type", Group::Files, Kind::TypeExpiry)
        .list()
        .example("text/css=86400")
        .doc("As `static-expires`, for files of this media type."),
    option("static-expires-type-mtime", Group::Files, Kind::TypeExpiry)
        .list()
        .example("image/png=86400")
        .doc("As `static-expires-type`, counted from the last modification of the file."),
    option("static-gzip", Group::Files, Kind::Pattern).list().example(r"\.(css|js|svg)$").doc(
        "Files whose path matches this regular expression have compressed siblings: where the \
         client takes it, `a.css.br`, `a.css.zst` or `a.css.gz` is sent for `a.css`, if it is \
         there. May be given several times.",
    ),
    option("static-gzip-dir", Group::Files, Kind::Path)
        .aliases(&["static-gzip-prefix"])
        .list()
        .example("/srv/bookstore/static")
        .doc("As `static-gzip`, for files whose path begins so. May be given several times."),
    option("static-gzip-ext", Group::Files, Kind::Name)
        .aliases(&["static-gzip-suffix"])
        .list()
        .example(".css")
        .doc("As `static-gzip`, for files whose name ends so. May be given several times."),
    option("static-gzip-all", Group::Files, Kind::Switch)
        .default("false")
        .example("true")
        .doc("As `static-gzip`, for all files."),
    option("x-sendfile", Group::Files, Kind::Path).list().example("/srv/bookstore/media").doc(
        "The application may name a file below this directory, by its absolute path, in the \
         field X-Sendfile of a response: rwsgi sends the file in place of the body. May be given \
         several times. Only rwsgi has this option.",
    ),
    option("x-accel-redirect", Group::Files, Kind::Mapping)
        .list()
        .example("/protected=/srv/bookstore/media")
        .doc(
            "As `x-sendfile`, for the field X-Accel-Redirect, as nginx has it: its value is a \
             path below this prefix, percent-encoded, and the file is in the directory. May be \
             given several times. Only rwsgi has this option.",
        ),
    rule("route")
        .example(r"^/old/(.*)$ redirect-permanent:/new/$1")
        .doc(
            "A rule for requests whose PATH_INFO, below their mount, matches the regular expression: `REGEX \
             ACTION`. Rules of all kinds act in their order, before static files, until one ends it: \
             `redirect:URL`, `redirect-permanent:URL`, `static:FILE`, `break:STATUS`, `return:STATUS`, \
             `rewrite:PATH`, `rewrite-last:PATH`, `last`, `continue`, `goto:LABEL`, `addheader:NAME: TEXT`, \
             `delheader:NAME`, `addvar:NAME=TEXT`, `setpathinfo:PATH`, `setscriptname:TEXT`, `fixpathinfo`, \
             `sethost:TEXT`, `seturi:TEXT`, `setqs:TEXT`, `setmethod:TEXT`, `setremoteaddr:TEXT`, \
             `setremoteuser:TEXT`, `setscheme:TEXT`, `setdocroot:TEXT`, `log:TEXT`, `logvar:NAME=TEXT`, \
             `donotlog`, `basicauth:REALM,USER:PASSWORD`, `basicauth:REALM,FILE` with a file of htpasswd, `basicauth-next:…`. In texts, `$1` is \
             a group and `${NAME}` a variable of CGI; `${cookie[NAME]}` is a cookie, `${qs[NAME]}` a parameter of \
             the query, `${mime[VARIABLE]}` a media type, `${base64[VARIABLE]}` and `${hex[VARIABLE]}` are \
             encoded, `${httptime[SECONDS]}`, `${time[unix]}` and `${time[micros]}` are times, `${uwsgi[…]}` is of \
             wid, pid, uuid, status, rtime and rsize. Expressions are those of Rust, without look-around and \
             backreferences. Other actions are refused.",
        ),
    rule("route-uri").example(r"^/search\?q=$ break:400").doc(
        "As `route`, of REQUEST_URI, which has the query and is as the client sent it.",
    ),
    rule("route-host").example(r"^www\.(.*)$ redirect-permanent:https://$1${REQUEST_URI}").doc(
        "As `route`, of HTTP_HOST.",
    ),
    rule("route-qs").aliases(&["route-query-string"]).example("(^|&)debug=1 break:403").doc(
        "As `route`, of QUERY_STRING.",
    ),
    rule("route-remote-addr").example(r"^192\.0\.2\. break:403").doc(
        "As `route`, of REMOTE_ADDR, which is the client's behind `trusted-proxies`.",
    ),
    rule("route-remote-user").example("^guest$ break:403").doc(
        "As `route`, of REMOTE_USER.",
    ),
    rule("route-user-agent").example("BadBot break:403").doc(
        "As `route`, of HTTP_USER_AGENT.",
    ),
    rule("route-referer").example(r"^https?://spam\. break:403").doc(
        "As `route`, of HTTP_REFERER.",
    ),
    rule("route-if")
        .example(r"equal:${HTTP_X_FORWARDED_PROTO};http redirect-permanent:https://${HTTP_HOST}${REQUEST_URI}")
        .doc(
            "A rule for requests for which a condition holds: `CONDITION:TEXT ACTION`, with actions as of \
             `route`. There are `equal:A;B`, `startswith:A;B`, `endswith:A;B`, `contains:A;B`, \
             `regexp:TEXT;REGEX`, `empty:TEXT`, `exists:PATH`, `isfile:PATH`, `isdir:PATH`, `islink:PATH`, \
             `isexec:PATH`, of numbers `ishigher:A;B`, `ishigherequal:A;B`, `islower:A;B` and `islowerequal:A;B`, \
             `ipv4in:ADDRESS;NETWORK` and `ipv6in:ADDRESS;NETWORK`.",
        ),
    rule("route-if-not")
        .example(r"ipv4in:${REMOTE_ADDR};10.0.0.0/8 break:403")
        .doc(
            "As `route-if`, for which the condition does not hold.",
        ),
    rule("route-run").example("addheader:X-Frame-Options: DENY").doc(
        "A rule for all requests: `ACTION`.",
    ),
    rule("route-label").example("end").doc(
        "A place that `goto:LABEL` of a rule above leads to.",
    ),
    rule("response-route").example("^/private addheader:Cache-Control: no-store").doc(
        "A rule for responses to requests whose PATH_INFO matches: `REGEX ACTION`, as of `route`. It acts \
         when the application, a rule or a static file has answered, whatever the status: see \
         `response-route-status`. There are `addheader`, `delheader`, `clearheaders:STATUS`, `redirect`, `static`, \
         `break`, `return`, `addvar`, `log`, `logvar`, `donotlog`, `goto`, `last` and `continue`.",
    ),
    rule("response-route-status").example("200 addheader:X-Kind: page").doc(
        "As `response-route`, for responses of this status.",
    ),
    rule("response-route-uri").example("^/api/ addheader:Cache-Control: no-store").doc(
        "As `response-route`, of REQUEST_URI.",
    ),
    rule("response-route-host").example("^shop addheader:Cache-Control: no-store").doc(
        "As `response-route`, of HTTP_HOST.",
    ),
    rule("response-route-qs").example("debug=1 addheader:Cache-Control: no-store").doc(
        "As `response-route`, of QUERY_STRING.",
    ),
    rule("response-route-remote-addr").example(r"^192\.0\.2\. addheader:Cache-Control: no-store").doc(
        "As `response-route`, of REMOTE_ADDR.",
    ),
    rule("response-route-remote-user").example("^guest$ addheader:Cache-Control: no-store").doc(
        "As `response-route`, of REMOTE_USER.",
    ),
    rule("response-route-user-agent").example("BadBot addheader:Cache-Control: no-store").doc(
        "As `response-route`, of HTTP_USER_AGENT.",
    ),
    rule("response-route-referer").example(r"^https?://spam\. addheader:Cache-Control: no-store").doc(
        "As `response-route`, of HTTP_REFERER.",
    ),
    rule("response-route-if").example("equal:${uwsgi[status]};403 log:refused: ${REMOTE_ADDR}").doc(
        "As `route-if`, among the rules of `response-route`.",
    ),
    rule("response-route-if-not").example("empty:${HTTP_COOKIE} addheader:Cache-Control: no-store").doc(
        "As `route-if-not`, among the rules of `response-route`.",
    ),
    rule("response-route-run").example("addheader:Cache-Control: no-store").doc(
        "As `route-run`, among the rules of `response-route`.",
    ),
    rule("response-route-label").example("end").doc(
        "As `route-label`, among the rules of `response-route`.",
    ),
    rule("error-route").example("^/private addheader:Cache-Control: no-store").doc(
        "As `response-route`, before those and before `collect-header`. As in uWSGI it is for every \
         status: for errors only write `error-route-status`.",
    ),
    rule("error-route-status").example("404 redirect:/").doc(
        "As `error-route`, for responses of this status.",
    ),
    rule("error-route-uri").example("^/api/ addheader:Cache-Control: no-store").doc(
        "As `error-route`, of REQUEST_URI.",
    ),
    rule("error-route-host").example("^shop addheader:Cache-Control: no-store").doc(
        "As `error-route`, of HTTP_HOST.",
    ),
    rule("error-route-qs").example("debug=1 addheader:Cache-Control: no-store").doc(
        "As `error-route`, of QUERY_STRING.",
    ),
    rule("error-route-remote-addr").example(r"^192\.0\.2\. addheader:Cache-Control: no-store").doc(
        "As `error-route`, of REMOTE_ADDR.",
    ),
    rule("error-route-remote-user").example("^guest$ addheader:Cache-Control: no-store").doc(
        "As `error-route`, of REMOTE_USER.",
    ),
    rule("error-route-user-agent").example("BadBot addheader:Cache-Control: no-store").doc(
        "As `error-route`, of HTTP_USER_AGENT.",
    ),
    rule("error-route-referer").example(r"^https?://spam\. addheader:Cache-Control: no-store").doc(
        "As `error-route`, of HTTP_REFERER.",
    ),
    rule("error-route-if").example("equal:${uwsgi[status]};403 log:refused: ${REMOTE_ADDR}").doc(
        "As `route-if`, among the rules of `error-route`.",
    ),
    rule("error-route-if-not").example("empty:${HTTP_COOKIE} addheader:Cache-Control: no-store").doc(
        "As `route-if-not`, among the rules of `error-route`.",
    ),
    rule("error-route-run").example("addheader:Cache-Control: no-store").doc(
        "As `route-run`, among the rules of `error-route`.",
    ),
    rule("error-route-label").example("end").doc(
        "As `route-label`, among the rules of `error-route`.",
    ),
    rule("final-route").example("^/health donotlog:").doc(
        "A rule for requests whose response has left, before the log tells of it: `log`, `logvar`, \
         `donotlog`, `addvar`, `goto`, `last` and `continue`.",
    ),
    rule("final-route-status").example("500 log:failed: ${REQUEST_URI}").doc(
        "As `final-route`, for responses of this status.",
    ),
    rule("final-route-uri").example("^/api/ donotlog:").doc(
        "As `final-route`, of REQUEST_URI.",
    ),
    rule("final-route-host").example("^shop donotlog:").doc(
        "As `final-route`, of HTTP_HOST.",
    ),
    rule("final-route-qs").example("debug=1 donotlog:").doc(
        "As `final-route`, of QUERY_STRING.",
    ),
    rule("final-route-remote-addr").example(r"^192\.0\.2\. donotlog:").doc(
        "As `final-route`, of REMOTE_ADDR.",
    ),
    rule("final-route-remote-user").example("^guest$ donotlog:").doc(
        "As `final-route`, of REMOTE_USER.",
    ),
    rule("final-route-user-agent").example("BadBot donotlog:").doc(
        "As `final-route`, of HTTP_USER_AGENT.",
    ),
    rule("final-route-referer").example(r"^https?://spam\. donotlog:").doc(
        "As `final-route`, of HTTP_REFERER.",
    ),
    rule("final-route-if").example("equal:${uwsgi[status]};403 log:refused: ${REMOTE_ADDR}").doc(
        "As `route-if`, among the rules of `final-route`.",
    ),
    rule("final-route-if-not").example("empty:${HTTP_COOKIE} donotlog:").doc(
        "As `route-if-not`, among the rules of `final-route`.",
    ),
    rule("final-route-run").example("donotlog:").doc(
        "As `route-run`, among the rules of `final-route`.",
    ),
    rule("final-route-label").example("end").doc(
        "As `route-label`, among the rules of `final-route`.",
    ),
    option("add-header", Group::Routing, Kind::Text)
        .list()
        .example(r"X-Frame-Options: DENY")
        .doc(
            "A field that every response has in addition, `Name: value`. Those that depend on the connection, \
             such as Content-Length, are refused.",
        ),
    option("del-header", Group::Routing, Kind::Text)
        .aliases(&["rem-header"])
        .list()
        .example(r"X-Powered-By")
        .doc(
            "A field that is taken from every response of the application.",
        ),
    option("collect-header", Group::Routing, Kind::Text)
        .aliases(&["response-header-collect"])
        .list()
        .example("X-User USER")
        .doc(
            "A field of responses that becomes a variable, `NAME VARIABLE`: for `%(var.VARIABLE)` of `log-format`, and \
             for rules of `response-route` and `final-route`.",
        ),
    option("pull-header", Group::Routing, Kind::Text)
        .list()
        .example("X-User USER")
        .doc("As `collect-header`, and the client does not get the field."),
    hook(
        "hook-asap",
        "Done as soon as the configuration is read, before a socket is open, with the rights of the start; \
         at a reload before the new code is imported, with those of the application. A hook is an action and \
         what it is about: `exec` runs a command by `/bin/sh` and `safeexec` one that may fail; `print` or \
         `log` writes a line to the log; `chdir` or `cd` and `putenv` count for what follows, the application \
         as well; `mkdir`, `create`, `write`, `append` (with `writen` and `appendn` the line ends), \
         `writefifo`, `unlink`, `chmod`, `sticky`, `chown` and `chown2` act on files. With `!` before it the \
         log does not show it. A hook that fails ends the start, or the reload, and the old code serves on. \
         All `hook-` of a stage run before its `exec-`, each in the order of the file. Differences from \
         uWSGI: each runs once where uWSGI runs `as-user` and `as-root` up to four times; a command has the \
         `PATH` of `virtualenv` and a time limit (`hook-timeout`); `mkdir` leaves a directory that is there.",
    )
    .example("mkdir:/run/bookstore/cache"),
    command(
        "exec-asap",
        "A command that is run by `/bin/sh` after what `hook-asap` says, and has to succeed.",
    )
    .example("./wait-for-database"),
    hook(
        "hook-pre-jail",
        "Done after `hook-asap`, at the start only.",
    )
    .at_start()
    .example("exec:./prepare"),
    command("exec-pre-jail", "A command of the same stage.").at_start().example("./prepare"),
    hook(
        "hook-in-jail",
        "Done after `hook-pre-jail`, and at a reload after `hook-asap`. There is no jail: the unit of \
         systemd confines the service.",
    )
    .example("exec:./prepare"),
    command("exec-in-jail", "A command of the same stage.").example("./prepare"),
    hook(
        "hook-as-root",
        "Done at the start, when rwsgi was started as root, before it becomes the user of `uid`. Without \
         root it is not done, which is told; in a service `rwsgi@` that is an error: write \
         `ExecStartPre=+COMMAND` in a drop-in of the service, which systemd runs as root.",
    )
    .at_start()
    .example("exec:chown -R shop /srv/shop/media"),
    command("exec-as-root", "A command of the same stage.")
        .at_start()
        .example("chown -R shop /srv/shop/media"),
    hook(
        "hook-as-user",
        "Done by the user that serves, in `chdir`, at the start and at each reload, before `hook-pre-app`.",
    )
    .example("exec:./manage.py collectstatic --no-input"),
    command("exec-as-user", "A command of the same stage.")
        .example("./manage.py collectstatic --no-input"),
    hook(
        "hook-pre-app",
        "Done before the application is imported: at the start, and at each reload before the new code is, \
         so that a migration that fails leaves the old code serving. Difference from uWSGI: with \
         `lazy-apps` it is done once, and not in each worker.",
    )
    .example("exec:./manage.py migrate --no-input"),
    command("exec-pre-app", "A command of the same stage.")
        .example("./manage.py migrate --no-input"),
    hook(
        "hook-post-app",
        "Done when the application is imported; with `lazy-apps` in each worker.",
    )
    .example("print:the application is there"),
    command("exec-post-app", "A command of the same stage.").example("./warm-up-caches"),
    hook(
        "hook-master-start",
        "Done after `hook-post-app`, before there are workers. `unix_signal:15 gracefully_kill_them_all`, \
         which has uWSGI stop gracefully, is what rwsgi always does.",
    )
    .example("unix_signal:15 gracefully_kill_them_all"),
    hook(
        "hook-post-fork",
        "Done in each worker when it begins, in front of functions of `uwsgidecorators.postfork`, and with \
         `lazy-apps` before it imports the application.",
    )
    .example("chdir:/srv/shop/data"),
    hook(
        "hook-accepting",
        "Done in each worker when it is about to accept requests.",
    )
    .example("exec:./warm-up"),
    hook(
        "hook-accepting-once",
        "Done in the same place, after it, and not again in a worker that takes the place of another of the \
         same code.",
    )
    .example("exec:./warm-up"),
    hook(
        "hook-accepting1",
        "Done in worker 1 when it is about to accept requests. A web server that waits for a file before it \
         starts, as on Heroku, is told so.",
    )
    .example("create:/tmp/app-initialized"),
    hook(
        "hook-accepting1-once",
        "Done in the same place, after it, and not again in a worker 1 that takes the place of another of the \
         same code.",
    )
    .example("create:/tmp/app-initialized"),
    option("hook-touch", Group::Hooks, Kind::TouchHook)
        .list()
        .example("/run/bookstore/flush exec:./flush-caches")
        .doc(
            "Done by the master when a file or directory is touched, as in `touch-reload`: the file, a blank, \
             and the action. What it is about is relative to `chdir`. One that fails is told, and that is all.",
        ),
    hook(
        "hook-as-user-atexit",
        "Done when the instance ends, after the last worker has. One that fails is told, and that is all. \
         Difference from uWSGI: not at a reload, which here ends nothing before what follows serves.",
    )
    .example("unlink:/tmp/app-initialized"),
    command("exec-as-user-atexit", "A command of the same stage.")
        .example("./tell-the-load-balancer"),
    option("hook-timeout", Group::Hooks, Kind::Seconds { min: 0, max: DAY })
        .default("600")
        .example("60")
        .doc(
            "How long a command of a hook may take. Then it is sent SIGTERM, with all that it has started, and \
             SIGKILL 5 seconds later, and the hook has failed. `0` is no limit. Only rwsgi has this option.",
        ),
    option("attach-daemon", Group::Beside, Kind::Text).list().example("celery -A shop worker").doc(
        "A command that runs beside the workers, as long as the instance does: `/bin/sh -c`, in the directory \
         and with the environment of the application, where programs of `virtualenv` are found first. It must \
         not go to the background. It is started when the application has been imported for the first time. \
         What it writes is logged under its name. When it ends, it is started again, at once and then after \
         1, 2, 4 … 30 s while it keeps ending within 10 s; requests are served meanwhile. A reload ends it, as \
         soon as the new code serves, and starts it anew; a reload that fails leaves it alone. At a stop it \
         ends after the workers, so that the last requests find it. It is asked to end by SIGTERM, all that \
         it has started with it, and killed when it does not within `worker-reload-mercy`. May be given \
         several times. Differences from uWSGI: there daemons end before the workers, and after 3 s.",
    ),
    option("attach-control-daemon", Group::Beside, Kind::Text)
        .list()
        .example("./tunnel --foreground")
        .doc("The same; when the command ends, the instance stops."),
    option("attach-daemon2", Group::Beside, Kind::Text)
        .list()
        .example("cmd=celery -A shop worker,stopsignal=INT,max_throttle=5")
        .doc(
            "The same in detail: `cmd=COMMAND`, and any of `stopsignal=SIGNAL` (by which it is asked to end; \
             15, `TERM`), `reloadsignal=SIGNAL` (which it is sent at a reload, to read its configuration \
             again or to end and be started anew, instead of being ended), `touch=FILE;FILE` (ended and \
             started anew when one changes), `chdir=DIRECTORY`, `max_throttle=SECONDS` (the longest wait \
             before it is started again), `control=1` (as `attach-control-daemon`), `uid=USER`, `gid=GROUP` \
             (only where the instance remains root), `pidfile=FILE` (as `smart-attach-daemon`), `freq=SECONDS` \
             (until the pid is there; 10), `daemonize=1` (as `smart-attach-daemon2`), `notifypid=1` (a daemon \
             with a pidfile is sent `reloadsignal`, SIGHUP by default, at a reload, and `stopsignal` at the \
             end). A comma in the command is `\\,`. uWSGI ignores other keys; here they are errors.",
        ),
    option("smart-attach-daemon", Group::Beside, Kind::Text)
        .list()
        .example("/run/shop/memcached.pid memcached -d -P /run/shop/memcached.pid")
        .doc(
            "A daemon that goes to the background by itself and writes its pid to a file: `PIDFILE COMMAND`, \
             or `PIDFILE,SECONDS COMMAND` for how long that may take (10). When no such process runs, the \
             command is started; as soon as the process ends, again. It outlives reloads, and the instance, \
             whose next start finds it; in a service it ends with that, as all of its processes do.",
        ),
    option("smart-attach-daemon2", Group::Beside, Kind::Text)
        .list()
        .example("/run/shop/tunnel.pid ./tunnel --foreground")
        .doc("The same for a command that stays in the foreground: the file is written for it."),
    option("cron", Group::Beside, Kind::Text).list().example("0 4 -1 -1 -1 ./manage.py clearsessions").doc(
        "A command that is run at certain times: `MINUTE HOUR DAY MONTH WEEKDAY COMMAND`, by numbers; -1 is \
         every one, -N each that N divides. Of a day of the month and a day of the week (0 and 7 are Sunday) \
         that are both named, one is enough. The clock is the local one (TZ, /etc/localtime): where it is put \
         forward, fixed times that are left out are made up for, and where it is put back, they do not come \
         twice. The command runs as those of `attach-daemon` do, also during a pause or a reload; a code \
         other than 0 is a warning. None is started while the instance stops, and who runs then is ended \
         after the workers. Each instance has its own: where several serve one application, write it in one. \
         May be given several times. Differences from uWSGI: the minute of the start is not obeyed, since it \
         is over in part; a command that runs at the end is not left behind; numbers that cannot be are errors.",
    ),
    option("unique-cron", Group::Beside, Kind::Text)
        .list()
        .example("-1 -1 -1 -1 -1 ./manage.py send_mail")
        .doc("The same; it is left out, with a warning, while the last one still runs."),
    option("cron2", Group::Beside, Kind::Text)
        .list()
        .example("minute=-15,unique=1,harakiri=600 ./manage.py sync")
        .doc(
            "The same by names: any of `minute`, `hour`, `day`, `month`, `week`, `unique=1` (as \
             `unique-cron`) and `harakiri=SECONDS` (0: as long as it takes), with commas and no blanks between, \
             a blank, and the command. What is not named is every one.",
        ),
    option("cron-harakiri", Group::Beside, Kind::Seconds { min: 0, max: DAY })
        .example("3600")
        .doc(
            "How long a command of `cron` may run, if it does not say that itself: then it is sent SIGTERM, \
             and SIGKILL 5 s later, with all that it has started.",
        ),
    option("uid", Group::Process, Kind::User)
        .at_start()
        .example("www-data")
        .doc("The user to become after the sockets are open, by name or number."),
    option("gid", Group::Process, Kind::Group)
        .at_start()
        .example("www-data")
        .doc("The group to become, by name or number."),
    option("umask", Group::Process, Kind::Mask)
        .at_start()
        .example("027")
        .doc("File mode creation mask, octal."),
    option("pidfile", Group::Process, Kind::Path).at_start().example("/run/bookstore.pid").doc(
        "The file that holds the number of the master process while it runs, for `--stop` and \
         `--reload`. Relative to where rwsgi was started.",
    ),
    option("control-socket", Group::Process, Kind::Path)
        .at_start()
        .example("/run/bookstore/control")
        .doc(
            "The UNIX socket of `rwsgi status`, `reload`, `pause` and the other commands, relative to where rwsgi \
             was started. A service of systemd has one in its runtime directory (RuntimeDirectory=) without being \
             told to; others have none. The commands find it by its path, or by `--pidfile`. Who may write to it \
             may give every command: its owner is the user of the instance, its mode 0660. Only rwsgi has this option.",
        ),
    option("control-group", Group::Process, Kind::Group)
        .at_start()
        .example("adm")
        .doc(
            "The group of the control socket, by name or number: its members may give every command. The instance \
             has to be a member itself, or to be started as root. Otherwise the socket has the group of the \
             instance. Only rwsgi has this option.",
        ),
    option("master-fifo", Group::Process, Kind::Path)
        .list()
        .at_start()
        .example("/run/bookstore/fifo")
        .doc(
            "A FIFO (mode 0600) that takes commands of one letter, relative to where rwsgi was started: `r` and `c` \
             reload, `q` stops, `Q` stops at once, `p` pauses and resumes, `l` opens the log file anew, `s` logs the \
             state. Several FIFOs have the numbers 0 to 9, of which the first is read; a digit changes to another one.",
        ),
    option("stats", Group::Process, Kind::Address)
        .aliases(&["stats-server"])
        .example("127.0.0.1:9191")
        .doc(
            "Tell figures as JSON to whoever connects to this address, in the form of uWSGI: for `uwsgitop` and other \
             tools. It is TCP, the path of a UNIX socket (with `chmod-socket` and `chown-socket`) or `@NAME`. Nobody is \
             asked who he is, and the paths of requests that run are among the figures: keep it to this machine.",
        ),
    option("stats-http", Group::Process, Kind::Switch)
        .default("false")
        .example("true")
        .doc("Put the head of an HTTP response before what `stats` tells, so that browsers and scrapers can read it."),
    option("stats-minified", Group::Process, Kind::Switch)
        .aliases(&["stats-min"])
        .default("false")
        .example("true")
        .doc("Tell the JSON of `stats` without line breaks and indentation."),
    option("stats-no-cores", Group::Process, Kind::Switch)
        .default("false")
        .example("true")
        .doc("Leave the threads of workers, and the requests that they work on, out of what `stats` tells."),
    option("daemonize", Group::Process, Kind::Path)
        .short('d')
        .at_start()
        .example("/var/log/bookstore.log")
        .doc(
            "Run in the background and log to this file, relative to where rwsgi was started. A \
             service of systemd needs neither.",
        ),
    option("ignore-unsupported", Group::Process, Kind::Switch)
        .default("false")
        .example("true")
        .doc(
            "Start even if the configuration has options of uWSGI that rwsgi does not support; the log \
             names them. Only rwsgi has this option.",
        ),
    option("autostart", Group::Service, Kind::Switch)
        .at_start()
        .default("false")
        .example("true")
        .doc(
            "Start the instance with the system, as `systemctl enable rwsgi@NAME` would. The options of this \
             chapter mean something for /etc/rwsgi/NAME.ini, the file of rwsgi@NAME.service: a generator makes its \
             unit fit them (rwsgi-generator(8)), at each start of the system and each `systemctl daemon-reload`. \
             Only rwsgi has them.",
        ),
    option("socket-activation", Group::Service, Kind::Switch)
        .at_start()
        .default("false")
        .example("true")
        .doc(
            "Have systemd open the sockets of `http` and `socket`, as rwsgi@NAME.socket, with their mode, owner \
             and queue. It does that by itself for TCP ports below 1024, for which a service has no privilege.",
        ),
    option("memory-high", Group::Service, Kind::Bytes { min: 1 << 20, max: MANY })
        .at_start()
        .example("800m")
        .doc("Memory of the whole instance above which it is slowed down and has to give some back (MemoryHigh=)."),
    option("memory-max", Group::Service, Kind::Bytes { min: 1 << 20, max: MANY })
        .at_start()
        .example("1g")
        .doc("The most memory of the whole instance; the kernel kills a worker that wants more (MemoryMax=)."),
    option("cpu-quota", Group::Service, Kind::Number { min: 1, max: 409_600, unit: "percent" })
        .at_start()
        .example("150")
        .doc("The most time of processors, in percent of one: `150` is one and a half (CPUQuota=)."),
    option("tasks-max", Group::Service, Kind::Number { min: 16, max: 1 << 22, unit: "tasks" })
        .at_start()
        .example("512")
        .doc("The most processes and threads of the instance, those that the application starts included (TasksMax=)."),
    option("logto", Group::Log, Kind::Path)
        .aliases(&["logto2"])
        .at_start()
        .example("/var/log/bookstore.log")
        .doc(
            "Log to this file, relative to where rwsgi was started, or by UDP to `host:port`. The file is \
             opened again by each worker, as the user that serves.",
        ),
    option("logging", Group::Log, Kind::Choice(&["auto", "stderr", "journal", "syslog"]))
        .default("auto")
        .at_start()
        .example("journal")
        .doc(
            "Where the log goes: to `stderr`, to the `journal`, to `syslog`, or by `auto` to the \
             journal where standard error is connected to it and to standard error elsewhere. Only rwsgi has this option.",
        ),
    option("logger", Group::Log, Kind::Logger(""))
        .list()
        .at_start()
        .example("syslog5424:udp://127.0.0.1:514")
        .doc(
            "Where the log goes, in uWSGI's form: `file:PATH`, `stdio` (standard error), `journal` (or \
             `systemd`), `syslog[:TAG[,FACILITY]]` (RFC 3164 to /dev/log), `rsyslog:HOST[:PORT][,TAG]` (the \
             same by UDP), `socket:HOST:PORT` or `socket:PATH` (each line a datagram), and, only in rwsgi, \
             `syslog5424:[TARGET][,TAG[,FACILITY]]` (RFC 5424 to `udp://HOST[:PORT]`, `tcp://HOST[:PORT]`, with \
             octet counting, or a path). Of several, each gets everything. With a name and a blank before it, it gets \
             what `log-route` sends there.",
        ),
    option("log-syslog", Group::Log, Kind::Logger("syslog:"))
        .list()
        .at_start()
        .example("bookstore")
        .doc("The same as `logger = syslog:TAG`."),
    option("log-socket", Group::Log, Kind::Logger("socket:"))
        .list()
        .at_start()
        .example("127.0.0.1:5140")
        .doc("The same as `logger = socket:HOST:PORT` or `logger = socket:PATH`."),
    option("log-drain", Group::Log, Kind::Pattern)
        .list()
        .at_start()
        .example("^DEBUG")
        .doc(
            "Entries that match the regular expression are left out of the log; those of requests, too, unless \
             `req-logger` takes them. What is matched is the message, without time and worker. Whatever \
             matches is nowhere, errors included: be precise.",
        ),
    option("log-filter", Group::Log, Kind::Pattern)
        .list()
        .at_start()
        .example("^(error|critical): ")
        .doc("Only entries that match the regular expression, or one of several, are logged; as for `log-drain`."),
    option("log-route", Group::Log, Kind::Route)
        .list()
        .at_start()
        .example("errors ^(error|critical): ")
        .doc(
            "Entries that match the regular expression go to the `logger` with this name, and not to those \
             without a name. What is matched is the message, without time and worker.",
        ),
    option("log-encoder", Group::Log, Kind::Encoder)
        .list()
        .at_start()
        .example(r#"json {"time":${unix},"message":"${msg}"}"#)
        .doc(
            "What becomes of a line that is written to a file, to standard error or to `socket`: `prefix TEXT`, \
             `suffix TEXT`, `nl` (a line feed), `format TEXT` and `json TEXT` with `${msg}`, `${msgnl}`, \
             `${unix}`, `${micros}`, `${strftime:FORMAT}`; in `json` the message is quoted. Several \
             work in their order; `NAME:LOGGER TEXT` only for the `logger` with this name. Time and worker are \
             then not written before the line.",
        ),
    option("log-date", Group::Log, Kind::SwitchOrText)
        .aliases(&["logdate"])
        .at_start()
        .example("%Y-%m-%d %H:%M:%S")
        .doc(
            "The format of the time before each line, of strftime(3); alone it stands for that of \
             ctime(3). The journal and syslog have their own time.",
        ),
    option("logfile-chmod", Group::Log, Kind::Mode)
        .default("640")
        .at_start()
        .example("644")
        .doc("Permission bits of a log file that is made."),
    option("logfile-chown", Group::Log, Kind::OwnerOrSwitch)
        .bare("true")
        .at_start()
        .example("www-data:adm")
        .doc(
            "Owner and group of a log file that is made; `true`, as by default: `uid` and `gid`, `false`: root. Root may give files away.",
        ),
    option("log-maxsize", Group::Log, Kind::Bytes { min: 0, max: MANY })
        .at_start()
        .example("100m")
        .doc(
            "A log file of this size is renamed and begun anew, by whichever process finds it so; the others \
             follow. 0: never.",
        ),
    option("log-backupname", Group::Log, Kind::Path)
        .at_start()
        .example("/var/log/bookstore.log.1")
        .doc(
            "To what name `log-maxsize` and `touch-logrotate` rename the file, in place of what had that name. \
             By default the seconds of the epoch are appended to its name.",
        ),
    option("log-truncate", Group::Log, Kind::Switch)
        .default("false")
        .at_start()
        .example("true")
        .doc("At the start, what is in the log file is discarded."),
    option("log-reopen", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc("A reload opens log files anew. SIGUSR1 always does."),
    option("touch-logreopen", Group::Log, Kind::Path)
        .list()
        .example("/run/bookstore/reopen")
        .doc("When this file is touched, log files are opened anew."),
    option("touch-logrotate", Group::Log, Kind::Path)
        .list()
        .example("/run/bookstore/rotate")
        .doc("When this file is touched, log files are renamed (see `log-backupname`) and begun anew."),
    option("disable-logging", Group::Log, Kind::Switch)
        .short('L')
        .default("false")
        .example("true")
        .doc("Do not log requests but those of `log-4xx` and the like; errors are logged all the same."),
    option("log-4xx", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc("With `disable-logging`: log requests with a status of 400 to 499."),
    option("log-5xx", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc("With `disable-logging`: log requests with a status of 500 to 599."),
    option("log-slow", Group::Log, Kind::Number { min: 1, max: MANY, unit: "milliseconds" })
        .example("500")
        .doc("With `disable-logging`: log requests that took at least so many milliseconds."),
    option("log-big", Group::Log, Kind::Bytes { min: 1, max: MANY })
        .example("10m")
        .doc("With `disable-logging`: log requests whose response has at least so many bytes."),
    option("log-zero", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc("With `disable-logging`: log requests whose response has no body."),
    option("log-ioerror", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc("With `disable-logging`: log requests whose client did not get everything."),
    option("log-sendfile", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc("With `disable-logging`: log requests whose response was sent as a file."),
    option("log-format", Group::Log, Kind::Text)
        .aliases(&["logformat"])
        .example("%(addr) %(method) %(uri) %(status) %(msecs)")
        .doc(
            "The line of a request. `rwsgi` is its own (the default), `uwsgi` the one that uWSGI writes, \
             `combined` that of Apache and nginx, `json` an object. Otherwise a text with uWSGI's variables, \
             such as `%(uri)`, `%(var.HTTP_ACCEPT)`, or `%(NAME)` of `uwsgi.set_logvar`; what is missing is `-`. \
             What a client sent is escaped; in a format that begins with `{` and ends with `}`, as JSON has it. \
             In a file nothing is written before the line.",
        ),
    option("log-format-strftime", Group::Log, Kind::Switch)
        .aliases(&["logformat-strftime"])
        .default("false")
        .example("true")
        .doc("`%(ftime)` has the format of `log-date`; otherwise it is `%(ltime)`."),
    option("log-micros", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc("The line of `log-format = uwsgi` has microseconds in place of milliseconds."),
    option("log-x-forwarded-for", Group::Log, Kind::Switch)
        .default("false")
        .example("true")
        .doc(
            "`%(addr)` is the whole X-Forwarded-For of a request that has one, which any client can send. \
             Where `trusted-proxies` is set, the address is the client's without this option.",
        ),
    option("req-logger", Group::Log, Kind::Logger(""))
        .aliases(&["logger-req"])
        .list()
        .at_start()
        .example("file:/var/log/bookstore-access.log")
        .doc("Where requests are logged, if not where everything is; as for `logger`."),
    option("log-req-route", Group::Log, Kind::Route)
        .list()
        .at_start()
        .example("static  /static/")
        .doc("As `log-route`, among the sinks of `req-logger`."),
    option("log-req-encoder", Group::Log, Kind::Encoder)
        .list()
        .at_start()
        .example("nl")
        .doc("As `log-encoder`, for the lines of requests."),
    option(
        "log-rate",
        Group::Log,
        Kind::NumberOrWord { min: 0, max: 1_000_000, unit: "requests a second", word: "auto" },
    )
    .default("auto")
    .example("500")
    .doc(
        "How many requests a second are logged, by all workers together, over some seconds; the rest is counted, \
         and the count is told. The last quarter is for requests that failed (5xx). `auto`: 2000 where journald \
         keeps the log, so that its own limit never drops another entry, and no limit elsewhere. 0: no limit. Only \
         rwsgi has this option.",
    ),
    option("master", Group::Always, Kind::Always("rwsgi always has a master process"))
        .short('M')
        .default("true")
        .example("true")
        .doc("A master process watches the workers."),
    option("die-on-term", Group::Always, Kind::Always("SIGTERM always stops rwsgi, gracefully"))
        .default("true")
        .example("true")
        .doc("SIGTERM stops, after the requests in flight are finished."),
    option("vacuum", Group::Always, Kind::Always("rwsgi always removes its sockets and pidfile"))
        .default("true")
        .example("true")
        .doc("UNIX sockets and the pidfile are removed at the end."),
    option("enable-threads", Group::Always, Kind::Always("threads of the application always run"))
        .short('T')
        .default("true")
        .example("true")
        .doc("Threads that the application starts do run."),
    option("single-interpreter", Group::Always, Kind::Always("a worker has one interpreter"))
        .short('i')
        .default("true")
        .example("true")
        .doc("There is one Python interpreter in a worker."),
    option("honour-range", Group::Always, Kind::Always("ranges of files are always honoured"))
        .default("true")
        .example("true")
        .doc("Of a static file, a client may ask for a part."),
    option("strict", Group::Always, Kind::Always("unknown options are always errors"))
        .default("true")
        .example("true")
        .doc(
            "Unknown options are errors, whatever is written here. In uWSGI this also forbids keys that are only \
             there for `%(KEY)`, but for those of `set-ph`; here they are good as long as something refers to them.",
        ),
];

#[cfg(test)]
mod tests {
    use super::super::known::KNOWN;
    use super::*;

    #[test]
    fn each_option_has_a_paragraph_and_an_example_that_parses() {
        for spec in OPTIONS {
            assert!(spec.doc.ends_with('.') && !spec.doc.contains('\n'), "{}", spec.name);
            if !matches!(spec.kind, Kind::User | Kind::Group | Kind::Owner | Kind::OwnerOrSwitch) {
                assert!(spec.kind.parse(spec.example).is_ok(), "{}", spec.name);
            }
            assert!(!spec.example.is_empty(), "{}", spec.name);
        }
    }

    #[test]
    fn defaults_and_bare_options_parse() {
        for spec in OPTIONS {
            for text in [Some(spec.default).filter(|text| !text.is_empty()), spec.bare] {
                assert!(text.is_none_or(|text| spec.kind.parse(text).is_ok()), "{}", spec.name);
            }
            assert!(spec.kind.placeholder().is_some() || spec.bare.is_some(), "{}", spec.name);
        }
    }

    #[test]
    fn no_name_or_letter_is_used_twice() {
        let own = OPTIONS.iter().flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases));
        let mut names: Vec<_> = own.chain(KNOWN.iter().flat_map(|known| known.names)).collect();
        names.sort();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        let mut letters: Vec<_> = OPTIONS.iter().filter_map(|spec| spec.short).collect();
        letters.extend(KNOWN.iter().filter_map(|known| known.short));
        letters.push('h');
        letters.sort_unstable();
        for pair in letters.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }

    #[test]
    fn names_are_lower_case_words() {
        for spec in OPTIONS {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(spec.name.chars().all(legal), "{}", spec.name);
        }
    }

    #[test]
    fn the_table_and_the_types_have_the_same_defaults() {
        let default = |name: &str| {
            let spec = OPTIONS.iter().find(|spec| spec.name == name).unwrap();
            match spec.kind.parse(spec.default) {
                Ok(super::super::value::Value::Number(number)) => number,
                other => panic!("{other:?}"),
            }
        };
        let http = super::super::Http::default();
        assert_eq!(default("buffer-size"), u64::from(http.head_bytes));
        assert_eq!(default("max-fields"), u64::from(http.max_fields));
        assert_eq!(default("post-buffering"), http.buffered_bytes);
        assert_eq!(default("http-headers-timeout"), http.head_timeout.as_secs());
        assert_eq!(default("http-keepalive"), http.idle_timeout.as_secs());
        assert_eq!(default("http-timeout"), http.io_timeout.as_secs());
        assert_eq!(default("response-buffering"), http.response_bytes);
        assert_eq!(default("minimum-rate"), http.minimum_rate);
        assert_eq!(default("max-connections"), u64::from(http.max_connections));
        let recycling = super::super::Recycling::default();
        assert_eq!(default("min-worker-lifetime"), recycling.min_lifetime.as_secs());
        assert_eq!(default("mem-collector-freq"), recycling.sample_every.as_secs());
    }
}
