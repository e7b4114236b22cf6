//! rwsgi: the command line, and the master process that supervises template and workers.
//!
//! How it starts: [`boot`]. A signal's way: [`signals`] → [`event`] → [`state`] → [`action`] →
//! [`master`] → a message to a worker.

mod action;
mod adaptive;
mod arrival;
mod backlog;
mod boot;
mod caches;
mod capture;
mod cgroup;
mod check;
mod cli;
mod client;
mod command;
mod commands;
mod completion;
mod control;
mod crash_loop;
mod crontab;
mod ctl;
mod daemonize;
mod daemons;
mod degraded;
mod delivery;
mod descriptors;
mod doctor;
mod doorbell;
mod draft;
mod event;
mod fd_store;
mod fifo;
mod finding;
mod gauge;
mod generated;
mod generator;
mod handover;
mod history;
mod homes;
mod hooks;
mod hush;
mod idle;
mod inherited;
mod instances;
mod interpreter;
mod keeper;
mod ledger;
mod leftovers;
mod limits;
mod listeners;
mod machine;
mod master;
mod memory;
mod notify;
mod notify_socket;
mod occupant;
mod oom;
mod overview;
mod patience;
mod pause;
mod perform;
mod pidfile;
mod pidfiles;
mod pressure;
mod privileges;
mod program;
mod project;
mod pythons;
mod reap;
mod reception;
mod renewal;
mod report;
mod respawn;
mod resume;
mod rollout;
mod round;
mod schedule;
mod service;
mod show;
mod signals;
mod size;
mod spawn;
mod stacks;
mod state;
mod stats;
mod stats_report;
mod status;
mod status_line;
mod table;
mod takeover;
mod team;
mod terminal;
mod top;
mod unfinished;
mod unit;
mod unix_socket;
mod usage;
mod watch;
mod watchdog;
mod workers;

use std::io::Write as _;

use cli::Mode;
use rwsgi_core::config;
use rwsgi_core::exit::ExitCode;

fn main() -> std::process::ExitCode {
    if generator::is_called() {
        return generator::run(std::env::args_os().skip(1)).into();
    }
    let mode = cli::parse(std::env::args_os().skip(1), std::env::vars_os());
    let code = match mode {
        Ok(Mode::Serve { sources }) => boot::serve(&sources),
        Ok(Mode::TakeoverCheck { sources }) => resume::check(&sources),
        Ok(Mode::Check { sources, name, json }) => boot::check(&sources, name.as_deref(), json),
        Ok(Mode::ShowConfig { sources }) => show::config(&sources),
        Ok(Mode::Get { sources, keys }) => show::values(&sources, &keys),
        Ok(Mode::Convert { sources }) => show::converted(&sources),
        Ok(Mode::DumpOptions) => print(&config::help::names()),
        Ok(Mode::Stop { pidfile }) => ctl::stop(&pidfile),
        Ok(Mode::Reload { pidfile }) => ctl::reload(&pidfile),
        Ok(Mode::Command(commands::Asked::Call(call))) => ctl::run(&call),
        Ok(Mode::Command(commands::Asked::Help(command))) => print(&commands::help(command)),
        Ok(Mode::New(asked)) => draft::run(&asked),
        Ok(Mode::Doctor(asked)) => doctor::run(&asked),
        Ok(Mode::Explain(help)) => print(&help.text()),
        Ok(Mode::Help) => print(&config::help::help()),
        Ok(Mode::Version) => print(concat!("rwsgi ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Mode::Generate(generated)) => print(&generated.text()),
        Err(errors) => {
            boot::print_errors(&errors);
            ExitCode::Usage
        }
    };
    code.into()
}

fn print(text: &str) -> ExitCode {
    let written = std::io::stdout().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::Ok } else { ExitCode::Failed }
}
