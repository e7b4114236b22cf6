//! The rest of uWSGI's options, which few configurations have. Their names are facts of uWSGI; what
//! they come to here is said as in [`super::known`].

use super::known::Class::{Ignored, NotYet, Refused};
use super::known::{Known, flag, valued};
use super::plugins;

const C_FUNCTION: &str = "it names a C function of uWSGI's process, and rwsgi is another program: write `exec-…` or \
                          `hook-…` for a command, `import` or `uwsgidecorators.postfork` for Python";
pub(super) const MESSAGE_IDS: &str = "watch the journal for the message ids of its entries, or use OnFailure= of the \
                                      service";
const CONFINED: &str = "the application would see other files: use BindPaths=, PrivateMounts= and the \
                        like of the service";
const FIGURES: &str = "write `stats = 127.0.0.1:9191`, which tells figures as JSON; those of the application: use \
                       `prometheus_client`";
const NO_SWEEPER: &str =
    "what has expired in a cache is not found, and goes when its room is needed";
const NO_EMPEROR: &str = "there is no emperor: systemd looks after each instance";
const NO_ROUTER: &str = "there is no router process";
const COMMAND: &str = "it is a command of uWSGI's program; see `rwsgi --help` for those of rwsgi";

/// What makes no difference here.
pub(super) const UNNEEDED: &[Known] = &[
    flag(
        &[
            "pcre-jit",
            "use-abort",
            "skip-zero",
            "persistent-ipcsem",
            "shutdown-sockets",
            "skip-atexit-teardown",
            "disable-sendfile",
            "print-sym",
            "print-symbol",
            "rsyslog-split-messages",
            "notfound-log",
        ],
        Ignored("it makes no difference to what is served"),
    ),
    flag(
        &["cheaper-busyness-verbose"],
        Ignored("the log says in numbers why there are more workers, or fewer"),
    ),
    flag(&["autoload"], Ignored("Python and HTTP are built in")),
    valued(
        &["hook-post-jail", "exec-post-jail"],
        Ignored(
            "there is no jail, and without one uWSGI does not run it either; `hook-in-jail` runs",
        ),
    ),
    flag(&["cgi-mode"], Ignored("requests are for the application only")).short('c'),
    valued(
        &["offload-thread"],
        Ignored("files and slow responses never hold a thread of the application"),
    ),
    valued(
        &[
            "backtrace-depth",
            "rsyslog-packet-size",
            "lock-engine",
            "ftok",
            "clock",
            "max-apps",
            "binsh",
            "mode",
            "signal-bufsize",
            "signals-bufsize",
        ],
        Ignored("rwsgi needs no such setting"),
    ),
    flag(
        &[
            "clock-list",
            "clocks-list",
            "loop-list",
            "loops-list",
            "logger-list",
            "loggers-list",
            "router-list",
            "routers-list",
            "alarms-list",
            "alarm-list",
            "cheaper-algo-list",
            "cheaper-algos-list",
            "cheaper-list",
            "imperial-monitor-list",
            "imperial-monitors-list",
            "plugin-list",
            "plugins-list",
        ],
        Ignored("what uWSGI has in plugins is not here"),
    ),
    valued(
        &[
            "raw-modifier1",
            "raw-modifier2",
            "scgi-modifier1",
            "scgi-modifier2",
            "fastcgi-modifier1",
            "fastcgi-modifier2",
            "http-socket-modifier1",
            "http-socket-modifier2",
            "http-modifier2",
            "allowed-modifiers",
            "remap-modifier",
        ],
        Ignored("all requests are for the application: there are no modifiers"),
    ),
    valued(&["cache-expire-freq"], Ignored(NO_SWEEPER)),
    flag(&["cache-no-expire", "cache-report-freed-items"], Ignored(NO_SWEEPER)),
    flag(&["cache-use-last-modified"], Ignored("nothing asks when a value of a cache was changed")),
    flag(&["wsgi-accept-buffers"], Ignored("rwsgi always does so")),
    flag(
        &[
            "refork",
            "re-fork",
            "refork-as-root",
            "re-fork-as-root",
            "refork-post-jail",
            "re-fork-post-jail",
        ],
        Ignored("workers are forked from the template in any case"),
    ),
    flag(
        &["write-errors-exception-only"],
        Ignored("a client that goes away is not an error of the application"),
    ),
    valued(
        &["log-master-stream", "log-master-req-stream"],
        Ignored("logging never blocks a worker"),
    ),
    flag(
        &[
            "http-cheap",
            "http-quiet",
            "http-manage-rtsp",
            "http-manage-source",
            "http-subscription-fallback-key",
        ],
        Ignored(NO_ROUTER),
    ),
    valued(
        &[
            "http-events",
            "http-fallback",
            "http-gracetime",
            "http-harakiri",
            "http-resubscribe",
            "http-use-base",
            "http-use-cache",
            "http-use-code-string",
            "http-use-pattern",
            "http-use-socket",
            "http-zerg",
            "http-stud-prefix",
        ],
        Ignored(NO_ROUTER),
    ),
    valued(plugins::ROUTER_SETTINGS, Ignored(NO_ROUTER)),
    flag(plugins::ROUTER_SWITCHES, Ignored(NO_ROUTER)),
    valued(&["weight", "vassal-sos", "vassal-sos-backlog", "heartbeat"], Ignored(NO_EMPEROR)),
    flag(&["auto-weight", "no-fd-passing", "propagate-touch"], Ignored(NO_EMPEROR)),
];

/// What will be missed.
pub(super) const MISSED: &[Known] = &[
    valued(
        &["add-cache-item", "load-file-in-cache", "load-file-in-cache-gzip"],
        NotYet("the cache has what the application puts there"),
    )
    .instead("call `uwsgi.cache_set` where the application is imported"),
    valued(
        &["cache-sync", "cache-udp-node", "cache-udp-server"],
        NotYet("a cache is that of one instance"),
    )
    .instead("use Redis or memcached, which several machines share"),
    valued(&["check-cache"], NotYet("no response is taken from a cache"))
        .instead("have the web server before rwsgi cache them, or a middleware"),
    valued(
        &["queue", "queue-blocksize", "queue-store", "queue-store-sync"],
        NotYet("there are no shared queues"),
    )
    .instead("use a broker, such as Redis"),
    valued(&["sharedarea", "py-sharedarea"], NotYet("there are no shared areas"))
        .instead("use `multiprocessing.shared_memory`, or a file and `mmap`"),
    valued(&["rpc", "rpc-max"], NotYet("there are no remote procedures"))
        .instead("have one service ask the other by HTTP"),
    valued(
        &[
            "websocket-max-size",
            "websockets-max-size",
            "websocket-ping-freq",
            "websockets-ping-freq",
            "websocket-pong-tolerance",
            "websockets-pong-tolerance",
        ],
        NotYet("WSGI has no way to serve WebSockets"),
    )
    .instead("serve them by an ASGI server behind the same web server"),
    valued(
        &["mule-msg-size", "mule-harakiri"],
        NotYet("there are no mules: their jobs are not done"),
    ),
    valued(
        &["timer", "rbtimer", "signal-timer", "signal-rbtimer"],
        NotYet("the signal is not sent"),
    )
    .instead("call `uwsgi.add_timer`, or use a timer of systemd"),
    flag(
        &["spooler-ordered", "spooler-quiet"],
        NotYet("there is no spooler: its jobs are not done"),
    )
    .instead("take its jobs to a task queue, a service of its own"),
    flag(&["daemons-honour-stdin"], NotYet("daemons read from /dev/null"))
        .instead("write `attach-daemon = COMMAND < FILE`"),
    valued(
        &[
            "hook-emperor-start",
            "hook-emperor-stop",
            "hook-emperor-reload",
            "hook-emperor-lost",
            "hook-as-emperor",
            "exec-as-emperor",
            "call-as-emperor",
            "call-as-emperor1",
            "call-as-emperor2",
            "call-as-emperor4",
        ],
        NotYet(NO_EMPEROR),
    ),
    valued(
        &[
            "hook-as-vassal",
            "exec-as-vassal",
            "call-as-vassal",
            "call-as-vassal1",
            "call-as-vassal3",
        ],
        NotYet("there is no emperor that starts this instance"),
    )
    .instead("use `hook-asap` or ExecStartPre="),
    valued(&["hook-as-mule"], NotYet("there are no mules: their jobs are not done")),
    valued(&["hook-as-gateway"], NotYet(NO_ROUTER)),
    valued(&["file-write"], NotYet("the file is not written"))
        .instead("write `hook-asap = write:FILE TEXT`"),
    valued(
        &[
            "wait-for-dir",
            "wait-for-file",
            "wait-for-fs",
            "wait-for-mountpoint",
            "wait-for-socket",
            "wait-for-iface",
            "wait-for-interface",
            "wait-iface",
            "wait-interface",
            "wait-for-fs-timeout",
            "wait-for-socket-timeout",
            "wait-for-iface-timeout",
            "wait-for-interface-timeout",
            "wait-iface-timeout",
            "wait-interface-timeout",
        ],
        NotYet("the start does not wait"),
    )
    .instead("use After=, RequiresMountsFor= and the like of the service"),
    valued(
        &["check-mount", "check-mountpoint", "mount-check", "mountpoint-check"],
        NotYet("nothing looks at the file system"),
    )
    .instead("use RequiresMountsFor= of the service"),
    valued(&["flock", "flock2", "flock-wait", "flock-wait2"], NotYet("no lock is taken"))
        .instead("write `pidfile = FILE`, which keeps a second instance away"),
    valued(
        &[
            "alarm-backlog",
            "alarm-cheap",
            "alarm-fd",
            "alarm-freq",
            "alarm-listen-queue",
            "alarm-log",
            "alarm-lq",
            "alarm-metric",
            "alarm-msg-size",
            "alarm-segfault",
            "backlog-alarm",
            "lq-alarm",
            "listen-queue-alarm",
            "segfault-alarm",
            "metric-alarm",
            "log-alarm",
            "not-alarm-log",
            "not-log-alarm",
        ],
        NotYet("no alarm is raised"),
    )
    .instead(MESSAGE_IDS),
    valued(
        &[
            "metric",
            "metric-dir",
            "metrics-dir",
            "metric-threshold",
            "snmp",
            "snmp-community",
            "rrdtool",
            "rrdtool-freq",
            "rrdtool-lib",
            "zabbix-template",
        ],
        NotYet("there are no metrics"),
    )
    .instead(FIGURES),
    valued(plugins::ROUTER_STATS, NotYet(NO_ROUTER))
        .instead("write `stats = 127.0.0.1:9191`, which tells of the workers"),
    flag(&["stats-no-metrics"], Ignored("there are no metrics among the figures of `stats`")),
    flag(
        &["enable-metrics", "metric-dir-restore", "metrics-dir-restore", "metrics-no-cores"],
        NotYet("there are no metrics"),
    )
    .instead(FIGURES),
    valued(
        &[
            "multicast",
            "multicast-ttl",
            "multicast-loop",
            "subscribe",
            "st",
            "subscription-algo",
            "subscription-notify-socket",
            "subscription-tolerance",
            "subscriptions-credentials-check",
            "subscriptions-sign-check",
            "subscriptions-sign-check-tolerance",
            "subscriptions-sign-skip-uid",
            "subscriptions-use-credentials",
            "subscribe-to",
            "subscribe2",
            "subscribe-freq",
            "subscribe-with-modifier1",
            "http-subscription-server",
            "fastrouter-subscription-server",
            "fastrouter-subscription-slot",
            "rawrouter-subscription-server",
            "rawrouter-subscription-slot",
            "sslrouter-subscription-server",
        ],
        NotYet("there are no subscriptions"),
    ),
    valued(
        &[
            "legion",
            "legion-mcast",
            "legion-node",
            "legion-freq",
            "legion-tolerance",
            "legion-skew-tolerance",
            "legion-death-on-lord-error",
            "legion-death",
            "legion-lord",
            "legion-unlord",
            "legion-setup",
            "legion-join",
            "legion-node-joined",
            "legion-node-left",
            "legion-quorum",
            "legion-scroll",
            "legion-scroll-max-size",
            "legion-scroll-list-max-size",
        ],
        NotYet("there are no legions, and nobody becomes a lord"),
    ),
    valued(
        &[
            "curl-cron",
            "cron-curl",
            "legion-curl-cron",
            "legion-cron-curl",
            "curl-cron-legion",
            "cron-curl-legion",
        ],
        NotYet("the address is not asked"),
    )
    .instead("write `cron = MINUTE HOUR DAY MONTH WEEKDAY curl ADDRESS`"),
    valued(&["pam", "pam-user"], NotYet("no session of PAM is opened"))
        .instead("use PAMName= of the service"),
    valued(&["log-zeromq"], NotYet("nothing is written there"))
        .instead("write `logger = socket:HOST:PORT`"),
    flag(
        &["subscription-dotsplit", "start-unsubscribed", "unsubscribe-on-graceful-reload"],
        NotYet("there are no subscriptions"),
    ),
    valued(
        &["reload-on-fd", "brutal-reload-on-fd", "fs-brutal-reload"],
        NotYet("nobody looks at the file"),
    )
    .instead("write `touch-reload = FILE`; `systemctl reload` and SIGHUP reload, too"),
    valued(&["safe-fd", "fd-safe"], NotYet("descriptors of the start are not for the application")),
    valued(&["notify-socket"], NotYet("it is not opened"))
        .instead("give commands by `control-socket`"),
    valued(&["fallback-config"], NotYet("nothing takes its place"))
        .instead("use OnFailure= of the service"),
    valued(&["early-envdir"], NotYet("the environment stays")).instead("use `envdir`"),
    valued(&["log-prefix"], NotYet("nothing is written before the lines"))
        .instead("write `log-encoder = prefix TEXT`"),
    valued(&["exception-handler"], NotYet("an exception is answered with 500 and is in the log")),
    valued(&["profiler"], NotYet("nothing is profiled"))
        .instead("use py-spy, or `rwsgi stacks`, which shows where threads are"),
    flag(
        &["start_response-nodelay"],
        NotYet("the head is sent with the first bytes of the body, as PEP 3333 has it"),
    ),
    flag(&["ignore-script-name"], NotYet("SCRIPT_NAME is what the web server says")),
    valued(&["tcp-fastopen"], NotYet("sockets keep the system's settings")),
    valued(
        &["so-write-timeout", "socket-send-timeout", "socket-write-timeout"],
        NotYet("it is no time of its own"),
    )
    .instead("write `socket-timeout = SECONDS`"),
    flag(
        &["tcp-fast-open-client", "tcp-fastopen-client"],
        NotYet("sockets keep the system's settings"),
    ),
];

/// What the start is refused for.
pub(super) const UNSUPPORTED: &[Known] = &[
    valued(
        &[
            "after-request-call",
            "after-request-hook",
            "call-asap",
            "call-in-jail",
            "call-pre-jail",
            "call-post-jail",
            "call-as-root",
            "call-as-user",
            "call-as-user-atexit",
            "call-pre-app",
            "call-post-app",
            "symcall",
            "symcall-use-next",
            "symcall-register-rpc",
            "symcall-post-fork",
        ],
        Refused(C_FUNCTION),
    ),
    valued(
        &[
            "mount-asap",
            "mount-in-jail",
            "mount-pre-jail",
            "mount-post-jail",
            "mount-as-root",
            "mount-as-vassal",
            "mount-as-emperor",
            "umount-asap",
            "umount-in-jail",
            "umount-pre-jail",
            "umount-post-jail",
            "umount-as-root",
            "umount-as-vassal",
            "umount-as-emperor",
            "worker-mount",
            "namespace-keep-mount",
        ],
        Refused(CONFINED),
    ),
    valued(
        &[
            "namespace",
            "ns",
            "namespace-net",
            "ns-net",
            "setns-socket",
            "setns-socket-skip",
            "setns-skip",
            "unshare2",
            "cgroup-opt",
            "cgroup-dir-mode",
        ],
        Refused("the application would run unconfined"),
    )
    .instead("use PrivateNetwork=, the cgroup's limits and the like of the service"),
    flag(&["setns-preopen", "jailed"], Refused("the application would run unconfined"))
        .instead("use the settings of the service"),
    valued(
        &[
            "stats-push",
            "stats-pusher-default-freq",
            "stats-pushers-default-freq",
            "carbon",
            "carbon-freq",
            "carbon-hostname-dots",
            "carbon-id",
            "carbon-idle-avg",
            "carbon-max-retry",
            "carbon-name-resolve",
            "carbon-no-workers",
            "carbon-resolve-names",
            "carbon-retry-delay",
            "carbon-root",
            "carbon-timeout",
            "carbon-use-metrics",
        ],
        Refused("no figures are pushed, and who waits for them would see none"),
    )
    .instead("write `stats = 127.0.0.1:9191` and have a collector read it"),
    valued(&["undeferred-shared-socket"], Refused("shared sockets are not in this version"))
        .instead("name the address with `http`"),
    valued(&["zerg-fallback"], Refused("shared sockets are not in this version")),
    valued(&["xmlconfig"], Refused("XML is not read")).instead("convert it to INI"),
    valued(&["force-cwd"], Refused("relative paths would be others"))
        .instead("use WorkingDirectory= of the service"),
    valued(&["resolve"], Refused("names are not looked up"))
        .instead("write `set-ph = NAME=ADDRESS`"),
    valued(&["inject-before", "inject-after"], Refused("texts are not put together"))
        .instead("write `ini = FILE`"),
    valued(
        &["worker-exec", "worker-exec2", "python-worker-override", "python-raw", "py"],
        Refused("workers serve a WSGI application, and nothing else"),
    ),
    valued(
        &["force-gateway", "dlopen", "end-blacklist", "end-whitelist"],
        Refused("rwsgi's parts cannot be changed from a file"),
    ),
    valued(
        &[
            "stop",
            "reload",
            "signal",
            "connect-and-read",
            "extract",
            "build-plugin",
            "binary-append-data",
            "privileged-binary-patch",
            "privileged-binary-patch-arg",
            "unprivileged-binary-patch",
            "unprivileged-binary-patch-arg",
        ],
        Refused(COMMAND),
    ),
    valued(&["nagios", "ping", "ping-timeout"], Refused(COMMAND))
        .instead("write `rwsgi status NAME`, or ask the application"),
    flag(
        &[
            "help",
            "usage",
            "version",
            "cflags",
            "dot-h",
            "binary-path",
            "command-mode",
            "python-version",
            "pyshell-oneshot",
        ],
        Refused(COMMAND),
    ),
];
