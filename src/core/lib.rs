//! What rwsgi's master and its Python processes share; no Python, no HTTP, no policy.
//!
//! In reading order:
//! - [`config`]: from `uwsgi.ini`, environment and command line to one valid [`config::Config`];
//! - [`address`]: where a listener listens;
//! - [`ipc`]: the channel between the master and each process it starts, and its messages;
//! - [`scoreboard`]: shared memory in which workers say what they are doing;
//! - [`commons`]: shared memory of uWSGI's module: who is which worker, and locks;
//! - [`memory`]: what it is made of, in a size that nobody changes;
//! - [`running`]: which requests those are;
//! - [`age`]: when a worker is old enough to be replaced;
//! - [`log`]: one entry for each thing that happened, to the journal, stderr, a file or syslog;
//! - [`output`]: text that an application writes, cut into entries;
//! - [`cron`]: times of the kind of cron(8);
//! - [`cpus`]: how many processors there are for this process;
//! - [`hash`]: the hash of small tables that every request asks;
//! - [`hooks`]: what is done beside the application, and when;
//! - [`exit`]: the exit codes;
//! - [`title`]: what ps(1) calls a process;
//! - [`sys`]: the system calls for which there is no safe wrapper elsewhere.

pub mod address;
pub mod age;
pub mod cache;
pub mod commons;
pub mod config;
pub mod cpus;
pub mod cron;
pub mod durations;
pub mod exit;
pub mod hash;
pub mod hooks;
pub mod identity;
pub mod ipc;
pub mod lock;
pub mod log;
pub mod memory;
pub mod output;
pub mod reach;
pub mod request_id;
pub mod routing;
pub mod running;
pub mod scoreboard;
pub mod shell;
pub mod shortage;
#[expect(unsafe_code, reason = "one of the two files that may: raw system calls")]
pub mod sys;
pub mod title;

/// The version of the whole of rwsgi; master and extension must agree on it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
