//! The configuration: what the administrator wrote, and what it means.
//!
//! [`Config`] is resolved, typed and always valid; the rest of rwsgi reads nothing else. It is made
//! once at start and once for each reload, and is handed to the template as it is.
//!
//! In the order of the data:
//! - [`mod@load`]: environment, arguments and files, in the order in which they count;
//! - `reading`: what includes, repeats or asks is obeyed; [`blocks`]: `if-…` and `for…` as a
//!   tree; `condition`: what they ask; `resource`: files, standard input, commands; `glob`;
//! - [`ini`]: the lines of a file; [`magic`]: its `%d`, `%n`, …; [`vars`]: `$(HOME)`, `%(key)`;
//!   [`arithmetic`]: `%(key * 2)`;
//! - [`raw`]: keys and values with their places;
//! - [`options`]: the table of options; [`known`], `foreign`, `plugins`: uWSGI's others; [`lookup`]: from name to option;
//! - [`value`]: from text to typed value; `quantity`: numbers; [`pattern`]: regular expressions;
//!   `target`: what names an application; `startup`: what is done around its import;
//! - [`resolve`](mod@resolve): the rules between options, and what the system has to say;
//!   [`mod@files`]: the same for static files; [`mod@recycling`]: for the renewal of workers;
//! - [`exported`]: what an application sees of it;
//!   [`mod@logging`]: for the log; [`mod@reloading`]: for reloads;
//!   [`mod@daemons`], [`mod@crontab`]: for what runs beside the workers;
//!   [`mod@sizing`]: for their number; [`mod@caches`]: for caches; [`mod@stats`]: for figures;
//! - [`mod@hooks`], [`action`]: what is done beside the application, and when;
//! - [`mod@routing`]: rules for requests (`route`), and fields of responses;
//! - [`mod@service`]: what the unit of systemd has to fit;
//! - [`mod@digest`]: what becomes of each option, by class; `convert`: the same configuration
//!   in rwsgi's words;
//! - [`error`]: how mistakes are shown; [`help`]: how the table is.

pub mod action;
mod application;
pub mod arithmetic;
pub mod blocks;
pub mod caches;
mod condition;
mod convert;
#[cfg(test)]
mod corpus_tests;
pub mod crontab;
pub mod daemons;
pub mod digest;
pub mod error;
pub mod exported;
pub mod files;
mod foreign;
mod glob;
pub mod help;
pub mod hooks;
pub mod ini;
pub mod known;
mod listening;
pub mod load;
mod logger;
pub mod logging;
pub mod lookup;
pub mod magic;
pub mod options;
mod paths;
pub mod pattern;
mod plugins;
mod quantity;
pub mod raw;
mod reading;
pub mod recycling;
pub mod reloading;
pub mod resolve;
pub mod resource;
pub mod routing;
pub mod service;
mod settings;
pub mod sizing;
mod startup;
pub mod stats;
mod target;
pub mod value;
pub mod vars;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::ListenAddr;

pub use caches::CacheSpec;
pub use convert::convert;
pub use crontab::CronSpec;
pub use daemons::DaemonSpec;
pub use digest::{Classes, digest};
pub use error::{ConfigError, Severity, Warning};
pub use files::{Files, error_page};
pub use hooks::Hooks;
pub use load::{Argument, Inspection, Sources, inspect, load, read};
pub use logging::{Log, LogTarget};
pub use reading::other_format;
pub use recycling::Recycling;
pub use reloading::Reloading;
pub use resolve::needs_restart;
pub use resource::Stdin;
pub use routing::Routing;
pub use service::Service;
pub use sizing::Sizing;
pub use startup::{Import, Startup};
pub use stats::Stats;
pub use target::{Mount, Target};

/// What a configuration is seen from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Where rwsgi was started, absolute: relative paths begin here.
    pub cwd: PathBuf,
    /// The instance's name, where the configuration does not decide it.
    pub name: Option<String>,
    /// Names of the listening sockets that systemd passed (LISTEN_FDNAMES).
    pub inherited: Vec<String>,
    /// A reload reads the configuration (`if-reload`).
    #[serde(default)]
    pub is_reload: bool,
    /// Commands (`exec://`) are not run: who reads only looks at the instances of others.
    #[serde(default)]
    pub without_commands: bool,
}

/// Everything that was configured, valid and complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The instance's name, in the log and in process titles: the stem of the INI file, or `rwsgi`.
    pub name: String,
    /// Where to listen, in the order of the configuration; at least one.
    pub listeners: Vec<Listen>,
    /// Connections that may wait to be accepted, for each listener (`listen`).
    pub backlog: u32,
    /// What to serve and with which interpreter.
    pub application: Application,
    /// Worker processes, 1 or more; the most that there are by themselves (`processes`).
    pub processes: u32,
    /// Python threads of each worker, 1 or more (`threads`).
    pub threads: u32,
    /// CPUs that each worker runs on; 0: all that there are (`cpu-affinity`).
    pub cpu_affinity: u32,
    /// When there are how many workers.
    pub sizing: Sizing,
    /// Each worker imports the application by itself (`lazy-apps`).
    pub lazy_apps: bool,
    /// The application can `import uwsgi` (`uwsgi-module`).
    pub uwsgi_module: bool,
    /// The last of the locks of that module (`locks`).
    pub locks: u32,
    /// Caches in shared memory (`cache2`).
    #[serde(default)]
    pub caches: Vec<CacheSpec>,
    /// Daemons beside the workers (`attach-daemon`).
    #[serde(default)]
    pub daemons: Vec<DaemonSpec>,
    /// Commands at certain times (`cron`).
    #[serde(default)]
    pub crons: Vec<CronSpec>,
    /// Where figures are told (`stats`).
    #[serde(default)]
    pub stats: Option<Stats>,
    /// Process and privileges.
    pub process: Process,
    /// Log.
    pub log: Log,
    /// Limits and timeouts of HTTP.
    pub http: Http,
    /// How long the application may take.
    pub harakiri: Harakiri,
    /// What may wait for a thread.
    pub queue: QueueLimits,
    /// Who may say on whose behalf it asks.
    pub proxies: Proxies,
    /// What is spoken on sockets of systemd that no option names, if `protocol` says so.
    pub inherited_protocol: Option<Protocol>,
    /// Which listeners expect the PROXY protocol (`proxy-protocol`).
    pub proxy_protocol: ProxyProtocol,
    /// Static files, and files that the application names.
    pub files: Files,
    /// What rules do to requests, and which fields responses have.
    pub routing: Routing,
    /// How long a worker may take to finish its requests when it is to leave
    /// (`worker-reload-mercy`).
    pub mercy: Duration,
    /// When a worker is replaced.
    pub recycling: Recycling,
    /// How a new generation takes over, and what starts one.
    pub reloading: Reloading,
    /// What is done beside the application, and when (`hook-…`, `exec-…`).
    #[serde(default)]
    pub hooks: Hooks,
    /// Pairs as written, in order, for `uwsgi.opt` and `--show-config`.
    pub options: Vec<(String, String)>,
}

impl Config {
    /// What is spoken on a socket of systemd that no option names, and that is called `name`.
    pub fn protocol_of(&self, name: &str) -> Protocol {
        self.inherited_protocol.unwrap_or_else(|| Protocol::by_name(name))
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// Where.
    pub address: ListenAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Permission bits of a UNIX socket (`chmod-socket`).
    pub mode: u32,
    /// Owner of a UNIX socket, numeric user and group (`chown-socket`).
    pub owner: Option<(u32, Option<u32>)>,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http,
    /// The uwsgi protocol, as nginx and Apache speak it.
    Uwsgi,
}

impl Protocol {
    /// What a socket unit means by its FileDescriptorName=.
    pub(crate) fn by_name(name: &str) -> Self {
        if name == "uwsgi" { Self::Uwsgi } else { Self::Http }
    }

    /// The name before `://`, for people.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Uwsgi => "uwsgi",
        }
    }
}

/// Which listeners expect a header of the PROXY protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxyProtocol {
    /// Every one.
    pub everywhere: bool,
    /// These.
    pub addresses: Vec<ListenAddr>,
}

impl ProxyProtocol {
    /// Whether connections to `address` begin with such a header.
    pub fn is_expected_at(&self, address: &ListenAddr) -> bool {
        self.everywhere || self.addresses.contains(address)
    }
}

/// Proxies before rwsgi, and what they are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxies {
    /// Who is believed (`trusted-proxies`); `None` when that was not said.
    pub trusted: Option<Vec<value::Peers>>,
    /// How many proxies there are (`trusted-proxy-count`); `None`: as long as they are trusted.
    pub count: Option<u32>,
    /// The fields that they set, in lower case (`trusted-proxy-headers`).
    pub fields: Vec<String>,
}

impl Default for Proxies {
    fn default() -> Self {
        let fields = ["x-forwarded-for", "x-forwarded-proto"];
        Self { trusted: None, count: None, fields: fields.map(str::to_owned).to_vec() }
    }
}

/// What to serve, and with which interpreter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The callable for every request that is for no other: the only one, or, where there are but
    /// mounts, the first of them.
    pub target: Target,
    /// Callables below a prefix (`mount`), in the order of the configuration.
    pub mounts: Vec<Mount>,
    /// Which of them is asked is in the path, and not in SCRIPT_NAME (`manage-script-name`).
    pub manage_script_name: bool,
    /// What is for no mount is not found (`no-default-app`).
    pub only_mounts: bool,
    /// One that cannot be imported is a failed start (`need-app`).
    pub needs_all: bool,
    /// What is done around the import.
    pub startup: Startup,
    /// Working directory, absolute (`chdir`); as started when `None`.
    pub chdir: Option<PathBuf>,
    /// Directories put before `sys.path`, in this order, absolute (`pythonpath`).
    pub pythonpath: Vec<PathBuf>,
    /// The virtual environment, absolute (`virtualenv`, `home`, `venv`).
    pub virtualenv: Option<PathBuf>,
    /// The interpreter, an absolute path or a name to look up (`python`).
    pub python: Option<PathBuf>,
    /// How Python optimizes (`optimize`).
    #[serde(default)]
    pub optimize: u32,
    /// Python starts without its module `site` (`no-site`).
    #[serde(default)]
    pub no_site: bool,
    /// Variables added to the application's environment (`env`, `envdir`).
    pub env: Vec<(String, String)>,
    /// Variables taken from it (`unenv`).
    pub unset: Vec<String>,
}

impl Application {
    /// An application of which nothing else is said.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            mounts: Vec::new(),
            manage_script_name: false,
            only_mounts: false,
            needs_all: true,
            startup: Startup::default(),
            chdir: None,
            pythonpath: Vec::new(),
            virtualenv: None,
            python: None,
            optimize: 0,
            no_site: false,
            env: Vec::new(),
            unset: Vec::new(),
        }
    }

    /// All callables: the one at the root, then those of the mounts.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.target).chain(self.mounts.iter().map(|mount| &mount.target))
    }
}

/// Process and privileges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Process {
    /// File that holds the master's pid, absolute (`pidfile`).
    pub pidfile: Option<PathBuf>,
    /// Run in the background and log to this file, absolute (`daemonize`).
    pub daemonize: Option<PathBuf>,
    /// Numeric user to become (`uid`).
    pub uid: Option<u32>,
    /// Numeric group to become (`gid`).
    pub gid: Option<u32>,
    /// File mode creation mask (`umask`).
    pub umask: Option<u32>,
    /// The control socket, absolute (`control-socket`).
    pub control_socket: Option<PathBuf>,
    /// Its numeric group (`control-group`).
    pub control_group: Option<u32>,
    /// FIFOs for commands of one letter, absolute (`master-fifo`).
    pub fifos: Vec<PathBuf>,
}

/// How long the application may take for a request, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Harakiri {
    /// Then it is interrupted (`harakiri`).
    pub deadline: Option<Duration>,
    /// Then the log says where it is (`harakiri-warn`).
    pub warn: Option<Duration>,
    /// So long after the deadline its worker is given up (`harakiri-grace`).
    pub grace: Duration,
}

/// Requests that wait while all threads of their worker are busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueLimits {
    /// How many, in each worker (`max-queue`).
    pub most: u32,
    /// How long one of more than these has waited, at least, when others are refused: a moment where the
    /// number was chosen, so that no pause of the machine counts.
    #[serde(default = "long_patience")]
    pub patience: Duration,
    /// How long each (`queue-timeout`).
    pub timeout: Option<Duration>,
}

/// Where the number was not chosen.
const fn long_patience() -> Duration {
    Duration::from_secs(1)
}

/// Limits and timeouts of HTTP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// Largest request head, in bytes (`buffer-size`); above it 431.
    pub head_bytes: u32,
    /// Most header fields of a request (`max-fields`); above it 431.
    pub max_fields: u32,
    /// Largest request body, in bytes (`limit-post`); above it 413. `None`: no limit.
    pub body_bytes: Option<u64>,
    /// Body bytes that are kept in memory, not in a file, until the application is called
    /// (`post-buffering`); 0: it is called at once.
    pub buffered_bytes: u64,
    /// Response bytes that may wait in a file for a slow client (`response-buffering`).
    pub response_bytes: u64,
    /// Bytes a second of a body or a response below which a client is cut off (`minimum-rate`);
    /// 0: never.
    pub minimum_rate: u64,
    /// Open connections of a worker (`max-connections`).
    pub max_connections: u32,
    /// From the first byte of a head to its last (`http-headers-timeout`).
    pub head_timeout: Duration,
    /// Between two requests of a connection (`http-keepalive`); zero: one request a connection.
    pub idle_timeout: Duration,
    /// Between two reads of a body or two writes of a response (`http-timeout`).
    pub io_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            head_bytes: 65536,
            max_fields: 128,
            body_bytes: None,
            buffered_bytes: 256 << 10,
            response_bytes: 64 << 20,
            minimum_rate: 240,
            max_connections: 10_000,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            io_timeout: Duration::from_secs(60),
        }
    }
}
