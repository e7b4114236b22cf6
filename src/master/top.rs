//! `rwsgi top`: workers and the requests that they run, live.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal as NixSignal, raise};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::ask;
use crate::commands::Call;
use crate::overview;
use crate::status::span;
use crate::table::{aligned, cause, harmless, mebibytes, number};
use crate::terminal::Terminal;

/// How long an instance may take to answer before the screen says so.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the lines are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Number,
    Rate,
    Memory,
    Longest,
    Restarts,
}

const ORDERS: [(u8, Order); 5] = [
    (b'n', Order::Number),
    (b'r', Order::Rate),
    (b'm', Order::Memory),
    (b't', Order::Longest),
    (b's', Order::Restarts),
];

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "number",
            Self::Rate => "requests a second",
            Self::Memory => "memory",
            Self::Longest => "time of the longest request",
            Self::Restarts => "restarts",
        })
    }
}

/// What is shown.
#[derive(Debug)]
struct Screen {
    order: Order,
    status: Value,
    /// Requests a second, by pid, and how many there were at the last look.
    rates: BTreeMap<u64, f64>,
    counted: BTreeMap<u64, u64>,
    looked: Option<Instant>,
    trouble: Option<String>,
}

/// Shows the instance at `path` until `q`; the text of one look where there is no terminal.
///
/// # Errors
/// It cannot be asked, or the terminal not be used.
pub async fn run(path: &Path, call: &Call) -> io::Result<String> {
    let mut screen = Screen::new(look(path).await?);
    if call.once || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(screen.lines(false).join("\n"));
    }
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
        .into_iter()
        .chain([SignalKind::quit()])
        .map(signal)
        .collect::<io::Result<Vec<_>>>()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut suspended = signal(SignalKind::from_raw(nix::libc::SIGTSTP))?;
    let mut turn = tokio::time::interval(call.interval);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    turn.tick().await;
    let mut terminal = Terminal::take()?;
    loop {
        Terminal::show(&screen.lines(true))?;
        tokio::select! {
            keys = terminal.keys() => {
                if keys.is_empty() || !keys.iter().all(|key| screen.press(*key)) {
                    return Ok(String::new());
                }
            }
            () = any(&mut ends) => return Ok(String::new()),
            _ = resized.recv() => {}
            _ = suspended.recv() => {
                // The shell gets the terminal as it was, and we take it again when we go on.
                drop(terminal);
                raise(NixSignal::SIGSTOP)?;
                terminal = Terminal::take()?;
            }
            _ = turn.tick() => screen.update(look(path).await),
        }
    }
}

async fn any(signals: &mut [Signal]) {
    std::future::poll_fn(|cx| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
        if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

async fn look(path: &Path) -> io::Result<Value> {
    let question = json!({"command": "status", "memory": true});
    let asked = tokio::time::timeout(PATIENCE, ask(path, &question)).await;
    asked.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")))
}

impl Screen {
    fn new(status: Value) -> Self {
        let (rates, counted) = (BTreeMap::new(), BTreeMap::new());
        let order = Order::Number;
        let mut screen =
            Self { order, status: Value::Null, rates, counted, looked: None, trouble: None };
        screen.update(Ok(status));
        screen
    }

    /// `false`: it is enough.
    fn press(&mut self, key: u8) -> bool {
        if let Some((_, order)) = ORDERS.iter().find(|(letter, _)| *letter == key) {
            self.order = *order;
        }
        key != b'q'
    }

    fn update(&mut self, looked: io::Result<Value>) {
        let status = match looked {
            Ok(status) => status,
            Err(error) => {
                self.trouble = Some(format!("it cannot be asked: {error}"));
                return;
            }
        };
        let now = Instant::now();
        let seconds = self.looked.map_or(0.0, |at| (now - at).as_secs_f64());
        let mut counted = BTreeMap::new();
        self.rates.clear();
        for worker in members(&status, "workers") {
            let requests = worker["counters"]["requests"].as_u64();
            let (Some(pid), Some(requests)) = (worker["pid"].as_u64(), requests) else { continue };
            counted.insert(pid, requests);
            if let Some(before) = self.counted.get(&pid).filter(|_| seconds > 0.0) {
                let more = u32::try_from(requests.saturating_sub(*before)).unwrap_or(u32::MAX);
                self.rates.insert(pid, f64::from(more) / seconds);
            }
        }
        (self.counted, self.looked, self.trouble, self.status) = (counted, Some(now), None, status);
    }

    fn lines(&self, live: bool) -> Vec<String> {
        let status = &self.status;
        let mut lines = vec![overview::headline(status), overview::requests(status)];
        lines.push(format!("memory: {}", overview::memory(&status["memory"])));
        lines.extend(overview::unusual(status));
        lines.extend(self.trouble.clone());
        if live {
            lines.push(format!(
                "by {}; n number, r requests a second, m memory, t time, s restarts; q quits",
                self.order
            ));
        }
        lines.push(String::new());
        lines.extend(self.table().lines().map(str::to_owned));
        lines
    }

    fn table(&self) -> String {
        let head = [
            "WORKER",
            "PID",
            "PHASE",
            "AGE",
            "REQ/S",
            "RSS",
            "PSS",
            "RESTARTS",
            "REQUEST, OR LAST CAUSE",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for worker in self.sorted() {
            let memory = &worker["memory"];
            rows.push(vec![
                number(&worker["worker"]),
                number(&worker["pid"]),
                harmless(worker["phase"].as_str().unwrap_or("?")),
                span(worker["age_seconds"].as_u64().unwrap_or(0)),
                self.rate(worker).map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
                mebibytes(&memory["rss"]),
                mebibytes(&memory["pss"]),
                number(&worker["restarts"]),
                match cause(&worker["last_restart"]) {
                    none if none == "-" => String::new(),
                    cause => format!("[{cause}]"),
                },
            ]);
            for running in members(worker, "running") {
                let mut row = vec![String::new(); head.len() - 1];
                row.push(request(running));
                rows.push(row);
            }
        }
        aligned(&rows, &[0, 1, 3, 4, 5, 6, 7])
    }

    fn rate(&self, worker: &Value) -> Option<f64> {
        self.rates.get(&worker["pid"].as_u64()?).copied()
    }

    fn sorted(&self) -> Vec<&Value> {
        let mut workers: Vec<_> = members(&self.status, "workers").iter().collect();
        let longest = |worker: &Value| {
            let seconds =
                members(worker, "running").iter().filter_map(|one| one["seconds"].as_f64());
            seconds.fold(-1.0, f64::max)
        };
        let descending = |key: &dyn Fn(&Value) -> f64, workers: &mut Vec<&Value>| {
            workers.sort_by(|a, b| key(b).total_cmp(&key(a)));
        };
        workers.sort_by_key(|worker| worker["worker"].as_u64());
        match self.order {
            Order::Number => {}
            Order::Rate => descending(&|w| self.rate(w).unwrap_or(-1.0), &mut workers),
            Order::Memory => {
                descending(&|w| w["memory"]["pss"].as_f64().unwrap_or(-1.0), &mut workers);
            }
            Order::Longest => descending(&longest, &mut workers),
            Order::Restarts => descending(&|w| w["restarts"].as_f64().unwrap_or(0.0), &mut workers),
        }
        workers
    }
}

fn members<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn request(running: &Value) -> String {
    let part = |key: &str| harmless(running[key].as_str().unwrap_or(""));
    let seconds = running["seconds"].as_f64().unwrap_or(0.0);
    format!("{}: {} {} ({seconds:.1} s)", running["thread"], part("method"), part("path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(requests: u64) -> Value {
        let evil = json!({"thread": 1, "method": "GET", "path": "/\u{1b}[2J", "seconds": 2.25});
        let last = json!({"cause": "max-requests", "seconds_ago": 3});
        json!({
            "name": "shop", "state": "serving", "uptime_seconds": 5, "paused_seconds": 4,
            "total": {}, "per_second": {},
            "workers": [
                {"worker": 1, "pid": 11, "phase": "ready", "age_seconds": 5, "restarts": 2, "last_restart": last,
                 "counters": {"requests": 7}, "memory": {"rss": 2 << 20, "pss": 1 << 20}, "running": []},
                {"worker": 2, "pid": 12, "phase": "ready", "age_seconds": 5, "restarts": 0, "last_restart": null,
                 "counters": {"requests": requests}, "memory": {"rss": 3 << 20, "pss": 2 << 20}, "running": [evil]},
            ],
        })
    }

    fn order(screen: &Screen) -> Vec<u64> {
        screen.sorted().iter().filter_map(|worker| worker["worker"].as_u64()).collect()
    }

    #[test]
    fn keys_sort_and_one_quits() {
        let mut screen = Screen::new(status(0));
        let mut by = |key| {
            assert!(screen.press(key));
            order(&screen)
        };
        assert_eq!(
            (by(b'n'), by(b'm'), by(b't'), by(b's')),
            (vec![1, 2], vec![2, 1], vec![2, 1], vec![1, 2])
        );
        assert_eq!(by(b'?'), [1, 2]);
        assert!(!screen.press(b'q'));
    }

    #[test]
    fn the_rate_is_that_between_two_looks() {
        let mut screen = Screen::new(status(0));
        assert!(screen.rates.is_empty());
        screen.looked = Some(Instant::now() - Duration::from_secs(2));
        screen.update(Ok(status(20)));
        assert!((screen.rates[&12] - 10.0).abs() < 0.5, "{:?}", screen.rates);
        screen.press(b'r');
        assert_eq!(order(&screen), [2, 1]);
    }

    #[test]
    fn a_request_is_a_line_below_its_worker_and_harms_no_terminal() {
        let screen = Screen::new(status(0));
        let lines = screen.lines(true);
        let line = lines.iter().position(|line| line.contains("1: GET /\\x1b[2J (2.2 s)"));
        let worker = lines.iter().position(|line| line.trim_start().starts_with("2     12"));
        let worker = worker.or_else(|| lines.iter().position(|line| line.contains(" 12  ready")));
        assert_eq!(line, worker.map(|worker| worker + 1), "{lines:#?}");
        assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
        assert!(lines.iter().any(|line| line.starts_with("paused since 4 s")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.ends_with("[max-requests (3 s ago)]")), "{lines:#?}");
    }

    #[test]
    fn an_instance_that_does_not_answer_keeps_its_last_picture() {
        let mut screen = Screen::new(status(0));
        screen.update(Err(io::ErrorKind::ConnectionRefused.into()));
        let lines = screen.lines(true).join("\n");
        assert!(lines.contains("it cannot be asked") && lines.contains(" 11  ready"), "{lines}");
    }
}
