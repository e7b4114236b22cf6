//! `rwsgi stacks`: asks every worker where its Python threads are, and answers with what has come
//! when all have told or [`PATIENCE`] is over. A worker whose Python is stuck never answers.

use std::collections::BTreeMap;
use std::time::Duration;

use rwsgi_core::ipc::{ThreadStack, ToWorker};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::event::{Key, Ticket};
use crate::master::{Arrival, Master};
use crate::report;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The questions that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Inquiries {
    last: Ticket,
    open: BTreeMap<Ticket, Inquiry>,
}

#[derive(Debug)]
struct Inquiry {
    answer: oneshot::Sender<Value>,
    /// What each worker has told, if it has.
    told: BTreeMap<Key, Option<Vec<ThreadStack>>>,
}

impl Inquiries {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Inquiry {
    fn is_complete(&self) -> bool {
        self.told.values().all(Option::is_some)
    }
}

impl Master {
    pub(crate) fn ask_stacks(&mut self, answer: oneshot::Sender<Value>) {
        self.inquiries.last += 1;
        let ticket = self.inquiries.last;
        let alive = self.workers.iter().filter(|(_, worker)| worker.pid.is_some());
        let mut told = BTreeMap::new();
        for (key, worker) in alive {
            let _ = worker.channel.get_ref().send(&ToWorker::Stacks { ticket }, &[]);
            told.insert(*key, None);
        }
        self.inquiries.open.insert(ticket, Inquiry { answer, told });
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            let _ = arrivals.send(Arrival::StacksDue(ticket));
        });
        self.answer_stacks_if_complete(ticket);
    }

    pub(crate) fn on_stacks(&mut self, ticket: Ticket, key: Key, threads: Vec<ThreadStack>) {
        let inquiry = self.inquiries.open.get_mut(&ticket);
        if let Some(told) = inquiry.and_then(|inquiry| inquiry.told.get_mut(&key)) {
            *told = Some(threads);
            self.answer_stacks_if_complete(ticket);
        }
    }

    fn answer_stacks_if_complete(&mut self, ticket: Ticket) {
        if self.inquiries.open.get(&ticket).is_some_and(Inquiry::is_complete) {
            self.answer_stacks(ticket);
        }
    }

    /// Answers with what there is.
    pub(crate) fn answer_stacks(&mut self, ticket: Ticket) {
        let Some(Inquiry { answer, told }) = self.inquiries.open.remove(&ticket) else { return };
        let workers: Vec<_> =
            told.iter().filter_map(|(key, told)| self.stacks_of(*key, told.as_deref())).collect();
        let _ = answer.send(json!({"ok": true, "message": "", "workers": workers}));
    }

    /// `None`: it is gone.
    fn stacks_of(&self, key: Key, told: Option<&[ThreadStack]>) -> Option<Value> {
        let worker = self.workers.get(&key)?;
        let slot = self.instance.scoreboard.slot(worker.slot);
        let running = slot.map(|slot| slot.running()).unwrap_or_default();
        let of =
            |thread: &ThreadStack| running.iter().find(|one| Some(one.thread) == thread.number);
        let thread = |thread: &ThreadStack| {
            json!({
                "name": thread.name,
                "thread": thread.number,
                "running": of(thread).map(report::describe),
                "stack": thread.stack,
            })
        };
        let problem = match (told, worker.pid) {
            (Some(_), _) => None,
            (None, Some(pid)) if halt(pid).is_some() => Some("the process is stopped"),
            (None, _) => Some("Python does not answer: code that does not return holds its lock"),
        };
        Some(json!({
            "worker": worker.number,
            "pid": worker.pid,
            "problem": problem,
            "running": running.iter().map(report::describe).collect::<Vec<_>>(),
            "threads": told.map(|threads| threads.iter().map(thread).collect::<Vec<_>>()),
        }))
    }
}

/// Why a process does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// It was sent SIGSTOP, or the like.
    Stopped,
    /// A debugger has stopped it.
    Traced,
}

/// Why it does not run, if it does not (proc_pid_stat(5)).
pub(crate) fn halt(pid: i32) -> Option<Halt> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
        Some('T') => Some(Halt::Stopped),
        Some('t') => Some(Halt::Traced),
        _ => None,
    }
}

/// The answer as text.
pub fn text(answer: &Value) -> String {
    let mut text = String::new();
    for worker in members(answer, "workers") {
        let (number, pid) = (&worker["worker"], &worker["pid"]);
        text.push_str(&format!("worker {number} (pid {pid})\n"));
        if let Some(problem) = worker["problem"].as_str() {
            text.push_str(&format!("  {problem}\n"));
            for running in members(worker, "running") {
                text.push_str(&format!("  it runs {}\n", request(running)));
            }
        }
        for thread in members(worker, "threads") {
            let name = thread["name"].as_str().unwrap_or("");
            let running = &thread["running"];
            let what = match (running.is_null(), thread["thread"].is_null()) {
                (false, _) => format!(", runs {}", request(running)),
                (true, false) => ", idle".to_owned(),
                (true, true) => String::new(),
            };
            text.push_str(&format!("  thread {}{what}\n", harmless(name)));
            for line in thread["stack"].as_str().unwrap_or("").lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
    }
    text
}

fn members<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn request(running: &Value) -> String {
    let part = |key: &str| running[key].as_str().unwrap_or("");
    let seconds = running["seconds"].as_f64().unwrap_or(0.0);
    format!("{} {} ({seconds:.1} s)", part("method"), part("path"))
}

/// A name that the application gave, on one line.
fn harmless(name: &str) -> String {
    let mut text = String::new();
    rwsgi_core::log::escape_into(&mut text, name);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_worker_thread_and_request_before_the_stack() {
        let running = json!({"method": "GET", "path": "/report", "seconds": 2.31, "thread": 1});
        let threads = json!([
            {"name": "MainThread", "thread": 1, "running": running, "stack": "  File \"a\"\n    x()\n"},
            {"name": "rwsgi-2", "thread": 2, "running": null, "stack": ""},
            {"name": "ev\nil", "thread": null, "running": null, "stack": ""},
        ]);
        let stuck = json!({"worker": 2, "pid": 8, "problem": "stuck", "running": [running]});
        let answer = json!({"workers": [{"worker": 1, "pid": 7, "threads": threads}, stuck]});
        let expected = "worker 1 (pid 7)\n  thread MainThread, runs GET /report (2.3 s)\n    File \"a\"\n      x()\n  \
             thread rwsgi-2, idle\n  thread ev\\x0ail\nworker 2 (pid 8)\n  stuck\n  it runs GET /report (2.3 s)\n";
        assert_eq!(text(&answer), expected);
    }

    #[test]
    fn an_inquiry_is_complete_when_all_have_told() {
        let (answer, _) = oneshot::channel();
        let mut inquiry = Inquiry { answer, told: BTreeMap::from([(1, None), (2, None)]) };
        assert!(!inquiry.is_complete());
        inquiry.told.insert(1, Some(Vec::new()));
        assert!(!inquiry.is_complete());
        inquiry.told.insert(2, Some(Vec::new()));
        assert!(inquiry.is_complete());
    }
}
