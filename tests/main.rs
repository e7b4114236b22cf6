//! The tests of the whole: the binary, the extension and a Python, over sockets and signals. Each
//! file is a noun, each test the failure that it prevents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "these are tests, helpers included"
)]

// A server in a directory of its own, and a client on raw sockets.
mod support;

// The log of requests.
mod access_log;
// As many workers as there is work for.
mod adaptive;
mod advice;
// What may be an application, and how it is called.
mod application;
// What PEP 3333 lets the application return.
mod body;
// Starts that fail, and what they say.
mod boot_failure;
// Bodies in chunks.
mod cache;
mod check;
mod chunked;
// The command line.
mod cli;
// The same questions for uWSGI and for rwsgi.
mod compare;
// What the shells complete.
mod completion;
// What is wrong with a configuration, with the place.
mod config_errors;
// The control socket, and most commands to it.
mod control;
// What keeps failing.
mod crash_loop;
// Commands at certain times.
mod crontab;
// The classic INI file: background, pidfile, log file.
mod daemonize;
// What runs beside the workers, as long as they do.
mod daemons;
// Clients that are too slow.
mod deadlines;
// uWSGI's dialect of INI files.
mod dialect;
// What `docs/` says is proven.
mod documents;
// What the application is told of a request.
mod doctor;
mod draft;
mod environ;
// `wsgi.errors`.
mod error_stream;
// What the application raises, and when.
mod exception;
// `Expect: 100-continue`.
mod expect;
// Common requests are answered past hyper, and nobody can tell.
mod express;
// Who always has another request takes nobody else's share.
mod fairness;
// Header fields.
mod fields;
// What systemd keeps over a restart.
mod fd_store;
// What is counted over restarts.
mod ledger;
// Commands of one letter.
mod fifo;
// Who the client is behind proxies.
mod forwarded;
// What a worker has of its template.
mod fork;
// Where a request ends.
mod framing;
// Behind Apache.
mod front_apache;
// The examples for web servers.
mod front_examples;
// Behind HAProxy.
mod front_haproxy;
// Behind nginx.
mod front_nginx;
// Requests that take too long.
mod harakiri;
// The time in which a worker was stopped does not count.
mod harakiri_after_suspend;
// What is done beside the application, and when.
mod hooks;
// For whom a request is.
mod host;
// HTTP/1.1 on raw sockets.
mod http1;
// What an import leaves behind.
mod inheritance;
// Scale to zero, and back.
mod idle;
// The request body.
mod input;
// INI files of the package.
mod ini_examples;
// Every Python there is.
mod interpreters;
// What the application says, in the journal.
mod journal;
// SIGKILL, in whichever state.
mod killed;
mod leaks;
// What PyPI has that asks for uWSGI.
mod libraries;
// Where connections come from.
mod listen;
// Logs that are stuck, full or gone.
mod log_sinks;
// The master dies: nothing is left, nothing is lost.
mod master_killed;
// Memory that is short.
mod memory_pressure;
// Several applications, and what is done around their import.
mod mounts;
// What a supervisor is told, and when.
mod notify_ready;
mod notify_socket;
// Requests for which no thread is free.
mod overload;
// Nothing new reaches the application, and nobody is refused.
mod pause;
// Connections that go on, and those that end.
mod persistence;
// Requests that do not wait for responses.
mod pipelining;
// What a new worker has to answer.
mod probe;
// The PROXY protocol on raw sockets.
mod proxy_protocol;
// Workers that have served enough.
mod recycling;
// What becomes of those who are refused.
mod refusal;
// Connections of busy workers.
mod relay;
// Reloads under load.
mod reload;
// Reloads of code that cannot be imported.
mod reload_bad_application;
// Reloads of a configuration that is wrong.
mod reload_bad_config;
// How long the application allows itself.
mod request_deadline;
// What names a request in the log.
mod request_id;
// The first line of a request.
mod request_line;
// How one generation follows another.
mod rollout;
// Too little of something.
mod shortages;
// Another number of workers, by command.
mod scale;
// Rules for requests, and fields of responses.
mod routing;
// Signals to the master.
mod signals;
// Clients that are slow, silent, or many.
mod slow_clients;
// `rwsgi stacks`: where Python is.
mod stacks;
// How the application begins a response.
mod start_response;
// Figures for uwsgitop and its like.
mod stats;
// Files without the application, or named by it.
mod static_files;
// A new program takes over from the one that runs.
mod takeover;
// What others have begun, and goes on under a new program.
mod takeover_keeps;
// What a new program meets that takes over in the middle of something.
mod takeover_meanwhile;
// Programs that cannot take over.
mod takeover_refused;
// What runs at the same time.
mod threads;
// `rwsgi top`.
mod top;
// `import uwsgi`.
mod uwsgi_locks;
mod uwsgi_module;
// Files that start a reload, and new workers of the same code.
mod touch;
// Uploads of a known length.
mod uploads;
// The uwsgi protocol on raw sockets.
mod uwsgi_protocol;
// What is no request of it.
mod uwsgi_refusals;
// `uwsgi.register_signal`, and what sends signals.
mod uwsgi_signals;
// What an application is asked before there are workers.
mod warm_up;
// Who hangs is found.
mod watchdog;
// A worker dies: another comes.
mod worker_killed;
// The reference implementation's own check of servers.
mod wsgiref_validate;
