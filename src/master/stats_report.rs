//! What the stats server tells: the JSON of uWSGI's, with its names in its order, and 0 where rwsgi counts
//! nothing (docs/control.md says where).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rwsgi_core::cache::Cache;
use rwsgi_core::commons::{Deed, Deeds, Portrait, Status};
use rwsgi_core::config::CronSpec;
use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::running::{Running, THREADS};
use rwsgi_core::scoreboard::Slot;
use rwsgi_core::sys::Taken;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::daemons::Daemon;
use crate::listeners;
use crate::master::{Master, WorkerProcess};
use crate::state::WorkerPhase;

/// All of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    version: &'static str,
    listen_queue: u32,
    listen_queue_errors: u64,
    signal_queue: usize,
    load: u32,
    pid: u32,
    uid: u32,
    gid: u32,
    cwd: String,
    daemons: Vec<DaemonFigures>,
    locks: Vec<BTreeMap<String, u8>>,
    caches: Vec<CacheFigures>,
    sockets: Vec<Socket>,
    workers: Vec<Worker>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    crons: Vec<CronFigures>,
}

#[derive(Debug, Serialize)]
struct DaemonFigures {
    cmd: String,
    pid: i32,
    respawns: u64,
}

#[derive(Debug, Serialize)]
struct CronFigures {
    minute: i8,
    hour: i8,
    day: i8,
    month: i8,
    week: i8,
    command: String,
    unique: u8,
    legion: &'static str,
    /// -1 before it has run.
    pid: i32,
    started_at: u64,
}

#[derive(Debug, Serialize)]
struct CacheFigures {
    name: String,
    hashsize: u32,
    keysize: u32,
    max_items: u32,
    blocks: u32,
    blocksize: u32,
    items: u64,
    hits: u64,
    miss: u64,
    full: u64,
    last_modified_at: u64,
}

#[derive(Debug, Serialize)]
struct Socket {
    name: String,
    proto: &'static str,
    queue: u32,
    max_queue: u32,
    shared: u8,
    can_offload: u8,
}

#[derive(Debug, Serialize)]
struct Worker {
    id: u32,
    pid: i32,
    accepting: u8,
    requests: u64,
    delta_requests: u64,
    exceptions: u64,
    harakiri_count: u64,
    signals: u64,
    signal_queue: u64,
    status: &'static str,
    rss: u64,
    vsz: u64,
    running_time: u64,
    last_spawn: u64,
    respawn_count: u64,
    tx: u64,
    avg_rt: u64,
    apps: Vec<App>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cores: Option<Vec<Core>>,
}

#[derive(Debug, Default, Serialize)]
struct App {
    id: u32,
    modifier1: u8,
    mountpoint: &'static str,
    startup_time: u64,
    requests: u64,
    exceptions: u64,
    chdir: &'static str,
}

/// A thread.
#[derive(Debug, Default, Serialize)]
struct Core {
    id: u16,
    requests: u64,
    static_requests: u64,
    routed_requests: u64,
    offloaded_requests: u64,
    write_errors: u64,
    read_errors: u64,
    in_request: u8,
    vars: Vec<String>,
    req_info: RequestInfo,
}

/// Empty when no request runs.
#[derive(Debug, Default, Serialize)]
struct RequestInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_start: Option<u64>,
}

impl Report {
    /// The text, with a line break at its end.
    pub fn json(&self, minified: bool) -> Vec<u8> {
        let mut text = Vec::new();
        // Memory takes all that is written: this cannot fail.
        let _ = if minified {
            self.serialize(&mut Serializer::new(&mut text))
        } else {
            let format = PrettyFormatter::with_indent(b"\t");
            self.serialize(&mut Serializer::with_formatter(&mut text, format))
        };
        text.push(b'\n');
        text
    }
}

impl DaemonFigures {
    fn of(daemon: &Daemon) -> Self {
        let (cmd, pid) = (daemon.spec.command.clone(), daemon.phase.pid().unwrap_or(0));
        Self { cmd, pid, respawns: daemon.restarts }
    }
}

impl CacheFigures {
    fn of(name: &str, cache: &Cache) -> Self {
        let (size, figures) = (cache.geometry(), cache.figures());
        Self {
            name: name.to_owned(),
            hashsize: size.buckets,
            keysize: size.key_bytes,
            max_items: size.items,
            blocks: size.blocks,
            blocksize: size.block_bytes,
            items: figures.items,
            hits: figures.hits,
            miss: figures.misses,
            full: figures.full,
            last_modified_at: 0,
        }
    }
}

impl Worker {
    fn of(id: u32, portrait: &Portrait, accepting: bool, cores: Option<Vec<Core>>) -> Self {
        let person = &portrait.person;
        let (requests, exceptions) = (person.requests, person.exceptions);
        let cores = cores.map(|mut cores| {
            if let Some(first) = cores.first_mut() {
                first.count(person.deeds);
            }
            cores
        });
        Self {
            id,
            pid: person.pid,
            accepting: u8::from(accepting),
            requests,
            delta_requests: requests,
            exceptions,
            harakiri_count: person.deeds.of(Deed::Interrupted),
            signals: person.signals,
            signal_queue: 0,
            status: portrait.status.name(),
            rss: portrait.rss,
            vsz: portrait.vsz,
            running_time: portrait.running_micros(),
            last_spawn: person.since,
            respawn_count: portrait.respawns(),
            tx: person.bytes_sent,
            avg_rt: portrait.average_micros(),
            apps: vec![App { requests, exceptions, ..App::default() }],
            cores,
        }
    }
}

impl Core {
    /// Of a thread (1 or more) that has begun so many requests, and runs this one. `now` is in seconds since
    /// the epoch.
    fn of(thread: u16, begun: u64, running: Option<&Running>, now: u64) -> Self {
        let vars = running.map(|running| {
            let Running { method, path, .. } = running;
            vec![format!("REQUEST_METHOD={method}"), format!("REQUEST_URI={path}")]
        });
        Self {
            id: thread - 1,
            requests: begun.saturating_sub(u64::from(running.is_some())),
            in_request: u8::from(running.is_some()),
            vars: vars.unwrap_or_default(),
            req_info: RequestInfo {
                request_start: running.map(|one| now.saturating_sub(one.age().as_secs())),
            },
            ..Self::default()
        }
    }

    /// What no thread does, or any: the first one has it, so that the sum is right.
    fn count(&mut self, deeds: Deeds) {
        self.static_requests = deeds.of(Deed::File);
        self.routed_requests = deeds.of(Deed::Routed);
        self.write_errors = deeds.of(Deed::Unsent);
        self.read_errors = deeds.of(Deed::Unread);
    }
}

fn cores(slot: Option<&Slot>, threads: u32) -> Vec<Core> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let running = slot.map(Slot::running).unwrap_or_default();
    let last = u16::try_from(threads).unwrap_or(u16::MAX).min(THREADS as u16);
    let one = |thread| {
        let running = running.iter().find(|running| running.thread == thread);
        Core::of(thread, slot.map_or(0, |slot| slot.begun(thread)), running, now)
    };
    (1..=last).map(one).collect()
}

impl Master {
    /// The figures of this moment.
    pub(crate) fn report(&mut self) -> Report {
        let sockets = self.sockets();
        let waiting = sockets.iter().fold(0_u32, |sum, one| sum.saturating_add(one.queue));
        let numbers = self.workers.values().map(|worker| worker.number);
        let last = numbers.chain([self.instance.config.processes]).max().unwrap_or(0);
        Report {
            version: rwsgi_core::VERSION,
            listen_queue: waiting,
            listen_queue_errors: 0,
            signal_queue: self.schedules.held.len(),
            load: waiting,
            pid: std::process::id(),
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            cwd: self.instance.context.cwd.to_string_lossy().into_owned(),
            daemons: self.daemons.all().iter().map(DaemonFigures::of).collect(),
            locks: self.locks(),
            caches: self.instance.caches.each().map(|(n, c)| CacheFigures::of(n, c)).collect(),
            sockets,
            workers: (1..=last).map(|number| self.worker(number)).collect(),
            crons: self.crons().map(|(spec, runs)| self.cron(spec, runs)).collect(),
        }
    }

    fn cron(&self, spec: &CronSpec, running: Option<(i32, Duration)>) -> CronFigures {
        let when = spec.when;
        let age = running.map(|(_, began)| self.now().saturating_sub(began));
        let started = age.and_then(|age| SystemTime::now().checked_sub(age));
        let started = started.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        CronFigures {
            minute: when.minute,
            hour: when.hour,
            day: when.day,
            month: when.month,
            week: when.weekday,
            command: spec.command.clone(),
            unique: u8::from(spec.unique),
            legion: "",
            pid: running.map_or(-1, |(pid, _)| pid),
            started_at: started.map_or(0, |at| at.as_secs()),
        }
    }

    fn locks(&self) -> Vec<BTreeMap<String, u8>> {
        let locks = self.instance.commons.locks();
        let one = |number| {
            let found = locks.look(number);
            if matches!(found, Ok(Taken::AfterDeath)) {
                let message =
                    format!("who had lock {number} of uwsgi.lock() has died with it: it is free");
                log::warning(Said::ApplicationError, message).send();
            }
            let is_taken = matches!(found, Ok(Taken::No));
            BTreeMap::from([(format!("user {number}"), u8::from(is_taken))])
        };
        (0..locks.count()).map(one).collect()
    }

    fn sockets(&mut self) -> Vec<Socket> {
        let Self { instance, gauge, .. } = self;
        let backlog = instance.config.backlog;
        let max_queue = listeners::longest_queue().map_or(backlog, |limit| limit.min(backlog));
        let all = instance.listeners.spoken(&instance.config);
        all.map(|(name, protocol, socket)| Socket {
            name,
            proto: protocol.scheme(),
            queue: gauge.backlog.waiting(&[socket]),
            max_queue,
            shared: 0,
            can_offload: 0,
        })
        .collect()
    }

    fn worker(&self, number: u32) -> Worker {
        let scoreboard = &self.instance.scoreboard;
        let entry = self.instance.commons.entry(number);
        let portrait = entry.map(|entry| entry.portray(scoreboard)).unwrap_or_default();
        let pid = Some(portrait.person.pid);
        let process = self.workers.iter().find(|(_, one)| one.pid == pid && !one.gone);
        let config = &self.instance.config;
        let has_cores = !config.stats.as_ref().is_some_and(|stats| stats.coreless);
        let cores = |slot: Option<&Slot>| has_cores.then(|| cores(slot, config.threads));
        let Some((key, process)) = process else {
            // It has ended, and its pid may be another one's.
            return Worker::of(number, &Portrait::absent(&portrait.person), false, cores(None));
        };
        let phase = self.state.workers().get(key).map(|worker| worker.phase);
        let accepting = portrait.status != Status::Pause && accepts(process, phase);
        let slot = scoreboard.slot(process.slot);
        Worker::of(number, &portrait, accepting, cores(slot.as_ref()))
    }
}

fn accepts(process: &WorkerProcess, phase: Option<WorkerPhase>) -> bool {
    phase == Some(WorkerPhase::Ready) && !process.takes_nothing && !process.killed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rwsgi_core::request_id::RequestId;
    use rwsgi_core::scoreboard::Scoreboard;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_thread_tells_what_it_runs_and_what_it_has_run() {
        let board = Scoreboard::create(1).unwrap();
        let slot = board.slot(0).unwrap();
        let id = RequestId::Own { worker: 1, number: 1 };
        for _ in 0..3 {
            slot.begin_request(2, &id, "GET", "/reports/7");
            slot.end_request(2);
        }
        slot.begin_request(2, &id, "POST", "/orders");
        let cores = cores(Some(&slot), 2);
        let figures: Vec<_> =
            cores.iter().map(|core| (core.id, core.requests, core.in_request)).collect();
        assert_eq!(figures, [(0, 0, 0), (1, 3, 1)]);
        assert_eq!(cores[1].vars, ["REQUEST_METHOD=POST", "REQUEST_URI=/orders"]);
        assert!(cores[1].req_info.request_start.is_some_and(|at| at > 1_700_000_000));
        assert!(cores[0].req_info.request_start.is_none());
    }

    #[test]
    fn more_threads_than_the_scoreboard_has_entries_are_not_told() {
        assert_eq!(cores(None, 100_000).len(), THREADS);
    }

    #[test]
    fn both_forms_are_the_same_json() {
        let mut portrait = Portrait { status: Status::Busy, ..Portrait::default() };
        portrait.person.requests = 4;
        portrait.person.spawns = 3;
        portrait.person.took = Duration::from_millis(10);
        let worker = Worker::of(1, &portrait, true, Some(cores(None, 1)));
        let report = Report { workers: vec![worker], ..Report::default() };
        let (plain, minified) = (report.json(false), report.json(true));
        let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        assert_eq!(read(&plain), read(&minified));
        assert!(plain.starts_with(b"{\n\t\"version\": ") && plain.ends_with(b"\n}\n"));
        assert_eq!(minified.iter().filter(|byte| byte.is_ascii_whitespace()).count(), 1);
        let worker = &read(&plain)["workers"][0];
        assert_eq!((&worker["avg_rt"], &worker["respawn_count"]), (&2500.into(), &2.into()));
        assert_eq!((&worker["accepting"], &worker["status"]), (&1.into(), &"busy".into()));
        assert_eq!(worker["cores"][0]["req_info"], serde_json::json!({}));
    }
}
