//! The line that `systemctl status` shows of an instance (STATUS=).
//!
//! It is sent when it has changed, at once when the instance does something else now, otherwise at
//! most every [`PAUSE`]. Of an instance that is idle nothing is sent.

use std::fmt::Write as _;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::history::Load;
use crate::master::Master;

/// Time between two lines that only differ in their figures.
const PAUSE: Duration = Duration::from_secs(3);

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct StatusLine {
    told: String,
    phase: &'static str,
    at: Option<Duration>,
    /// Something has changed since, and is told then.
    due: Option<Duration>,
}

impl StatusLine {
    /// When there is something to be told.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Whether it is too early for another line; then it comes later.
    fn is_early(&mut self, phase: &'static str, now: Duration) -> bool {
        let next = self.at.map_or(Duration::ZERO, |at| at + PAUSE);
        let early = phase == self.phase && now < next;
        self.due = early.then_some(next);
        early
    }

    /// Whether this line is another one.
    fn is_news(&mut self, phase: &'static str, line: &str, now: Duration) -> bool {
        let news = line != self.told;
        if news {
            line.clone_into(&mut self.told);
            (self.phase, self.at) = (phase, Some(now));
        }
        news
    }
}

impl Master {
    /// Has systemd know how it goes, if that is news and not too early.
    pub(crate) fn tell_status(&mut self) {
        let (phase, now) = (self.state_name(), self.now());
        if self.instance.supervisor.is_there() && !self.status_line.is_early(phase, now) {
            self.tell_status_now();
        }
    }

    /// The same, early or not.
    pub(crate) fn tell_status_now(&mut self) {
        let (phase, now) = (self.state_name(), self.now());
        let load = self.load();
        let mut line = format!("{phase}: {}", self.summary());
        if phase != "starting" {
            let _ = write!(line, "; {}", figures(&load));
        }
        if self.state.paused().is_some() && phase != "paused" {
            line.push_str("; paused");
        }
        if let Some(trouble) = &self.trouble {
            let _ = write!(line, "; the last reload failed: {trouble}");
        }
        if let Some(reason) = self.degraded.reason() {
            let _ = write!(line, "; degraded: no worker can be replaced: {reason}");
        }
        if let Some(time) = self.watchdog.silent() {
            let seconds = time.as_secs_f64();
            let _ = write!(line, "; Python has not answered for {seconds:.1} s in any worker");
        }
        if self.status_line.is_news(phase, &line, now) {
            self.instance.supervisor.tell(&[NotifyState::Status(&line)]);
        }
    }

    /// The same when its time has come.
    pub(crate) fn tell_status_if_due(&mut self) {
        if self.status_line.due().is_some_and(|due| self.now() >= due) {
            self.tell_status();
        }
    }

    /// How much there is to do.
    pub(crate) fn load(&mut self) -> Load {
        let now = self.now();
        let board = &self.instance.scoreboard;
        let (total, durations) = (board.total(), board.durations());
        let mut load = self.history.load(now, total.requests, durations);
        self.history.count(now, total.requests, durations);
        let listeners = self.instance.listeners.descriptors(&self.instance.config);
        load.waiting = total.waiting + u64::from(self.gauge.backlog.waiting(&listeners));
        load.running = total.running;
        load
    }
}

/// `12.5 requests/s, p95 40 ms, 3 waiting`.
fn figures(load: &Load) -> String {
    if load.per_second < 0.05 && load.running == 0 && load.waiting == 0 {
        return "idle".to_owned();
    }
    let mut figures = match load.per_second {
        rate if rate < 10.0 => format!("{rate:.1} requests/s"),
        rate => format!("{rate:.0} requests/s"),
    };
    if let Some(time) = load.p95 {
        let _ = write!(figures, ", p95 {}", span(time));
    }
    let _ = write!(figures, ", {} waiting", load.waiting);
    figures
}

/// `40 ms`, `1.2 s`.
pub fn span(time: Duration) -> String {
    match time.as_millis() {
        millis if millis < 1000 => format!("{} ms", millis.max(1)),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(per_second: f64, p95: Option<u64>, running: u64, waiting: u64) -> Load {
        let p95 = p95.map(Duration::from_millis);
        Load { per_second, over_seconds: 10.0, p95, running, waiting }
    }

    #[test]
    fn the_figures_are_short() {
        let told = [
            load(0.0, None, 0, 0),
            load(0.0, None, 1, 0),
            load(9.94, Some(40), 0, 3),
            load(1234.5, Some(1250), 8, 99),
        ];
        let expected = [
            "idle",
            "0.0 requests/s, 0 waiting",
            "9.9 requests/s, p95 40 ms, 3 waiting",
            "1234 requests/s, p95 1.2 s, 99 waiting",
        ];
        assert_eq!(told.map(|load| figures(&load)), expected);
        assert_eq!(span(Duration::from_micros(3)), "1 ms");
    }

    #[test]
    fn figures_alone_wait_for_their_turn_and_come_once() {
        let seconds = Duration::from_secs;
        let mut line = StatusLine::default();
        assert!(
            !line.is_early("starting", seconds(0)) && line.is_news("starting", "a", seconds(0))
        );
        assert!(line.is_early("starting", seconds(1)));
        assert_eq!(line.due(), Some(PAUSE));
        assert!(!line.is_early("serving", seconds(1)) && line.is_news("serving", "b", seconds(1)));
        assert_eq!(line.due(), None);
        assert!(!line.is_early("serving", seconds(4)) && !line.is_news("serving", "b", seconds(4)));
        assert_eq!(line.due(), None);
    }
}
