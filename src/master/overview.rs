//! The answer to `status`, for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::status::span;
use crate::status_line::span as span_of;
use crate::table::{harmless, mebibytes};

/// One line of what runs, and a line for each of its sides.
pub fn text(status: &Value) -> String {
    let mut text = headline(status) + "\n";
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:12} {value}");
        }
    };
    let word = |key: &str| harmless(status[key].as_str().unwrap_or("?"));
    line(
        "version",
        format!("rwsgi {}, Python {}, pid {}", word("version"), word("python"), status["pid"]),
    );
    line("generation", status["generation"].to_string());
    line("listeners", words(&status["listeners"]));
    line("workers", workers(status));
    line("requests", requests(status));
    line("counted", counted(status));
    line("connections", status["total"]["connections"].to_string());
    line("memory", memory(&status["memory"]));
    list(&status["daemons"]).iter().for_each(|one| line("daemon", daemon(one)));
    list(&status["crons"]).iter().for_each(|one| line("cron", cron(one)));
    unusual(status).into_iter().for_each(|what| line("unusual", what));
    text
}

/// `shop: serving since 3 d 4 h`.
pub fn headline(status: &Value) -> String {
    let name = harmless(status["name"].as_str().unwrap_or(""));
    let state = harmless(status["state"].as_str().unwrap_or("?"));
    format!("{name}: {state}, up {}", span(status["uptime_seconds"].as_u64().unwrap_or(0)))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn words(words: &Value) -> String {
    let words: Vec<_> = list(words).iter().filter_map(Value::as_str).map(harmless).collect();
    words.join(", ")
}

fn workers(status: &Value) -> String {
    let all = list(&status["workers"]);
    let counts = ["ready", "starting", "draining"]
        .map(|phase| (phase, all.iter().filter(|worker| worker["phase"] == phase).count()));
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<_> = counts.map(|(phase, count)| format!("{count} {phase}")).collect();
    format!("{} × {} threads: {}", status["processes"], status["threads"], counts.join(", "))
}

/// `celery: running since 7 min 3 s, pid 7, started again once; before it exited with code 1`.
fn daemon(daemon: &Value) -> String {
    let word = |key: &str| daemon[key].as_str().map(harmless);
    let mut text = word("daemon").unwrap_or_default();
    let phase = word("phase").unwrap_or_default();
    let _ = write!(text, ": {phase} since {}", span(daemon["seconds"].as_u64().unwrap_or(0)));
    if let Some(pid) = daemon["pid"].as_i64() {
        let _ = write!(text, ", pid {pid}");
    }
    match daemon["restarts"].as_u64() {
        None | Some(0) => {}
        Some(1) => text += ", started again once",
        Some(times) => drop(write!(text, ", started again {times} times")),
    }
    if let Some(end) = word("last_end") {
        let _ = write!(text, "; before it {end}");
    }
    text
}

/// `clean: run 3 times, runs now with pid 7; before it exited with code 1, 7 min 3 s ago`.
fn cron(cron: &Value) -> String {
    let word = |key: &str| cron[key].as_str().map(harmless);
    let mut text = word("cron").unwrap_or_default();
    match cron["runs"].as_u64() {
        None | Some(0) => text += ": not run yet",
        Some(1) => text += ": run once",
        Some(times) => drop(write!(text, ": run {times} times")),
    }
    if let Some(skipped) = cron["skipped"].as_u64().filter(|skipped| *skipped > 0) {
        let _ = write!(text, ", left out {skipped} times since it still ran");
    }
    if let Some(pid) = cron["pid"].as_i64() {
        let _ = write!(text, ", runs now with pid {pid}");
    }
    if let Some(end) = word("last_end") {
        let ago = span(cron["ended_seconds"].as_u64().unwrap_or(0));
        let _ = write!(text, "; last it {end}, {ago} ago");
    }
    text
}

/// What there was, what there is, and how fast it goes.
pub fn requests(status: &Value) -> String {
    let (total, rate) = (&status["total"], &status["per_second"]);
    let within = match rate["p95_ms"].as_f64() {
        Some(millis) => {
            format!(", 95 % within {}", span_of(Duration::from_secs_f64(millis / 1000.0)))
        }
        None => String::new(),
    };
    format!(
        "{} answered, {} running, {} waiting, {} a second{within} (of the last {} s), {} exceptions",
        total["requests"],
        total["running"],
        status["waiting"],
        rate["requests"],
        rate["over_seconds"],
        total["exceptions"]
    )
}

/// How long all of this has been counted; empty when that is since the start.
fn counted(status: &Value) -> String {
    match status["starts"].as_u64() {
        Some(starts @ 2..) => {
            let time = span(status["counted_seconds"].as_u64().unwrap_or(0));
            format!("since {time}, over {starts} starts and {} reloads", status["reloads"])
        }
        _ => String::new(),
    }
}

/// Of all workers together; empty when it was not asked for.
pub fn memory(memory: &Value) -> String {
    if memory.is_null() {
        return String::new();
    }
    let size = |key: &str| mebibytes(&memory[key]);
    format!("{} (PSS of all workers), {} (RSS)", size("pss"), size("rss"))
}

/// What an administrator should look at.
pub fn unusual(status: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(seconds) = status["paused_seconds"].as_u64() {
        all.push(format!("paused since {}: nothing new reaches the application", span(seconds)));
    }
    let loops = list(&status["crash_loops"]);
    if !loops.is_empty() {
        let numbers: Vec<_> = loops.iter().map(Value::to_string).collect();
        all.push(format!("keeps dying: worker {}; see the log", numbers.join(", ")));
    }
    let daemons = list(&status["daemons"]).iter().filter(|one| one["keeps_ending"] == true);
    let daemons = daemons.filter_map(|one| one["daemon"].as_str());
    all.extend(daemons.map(|name| format!("keeps ending: daemon {}; see the log", harmless(name))));
    if let Some(why) = status["degraded"].as_str() {
        all.push(format!("no worker can be replaced: {}", harmless(why)));
    }
    if let Some(why) = status["last_reload_failed"].as_str() {
        all.push(format!("the last reload failed: {}", harmless(why)));
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_side_has_a_line_and_what_is_unusual_one_more() {
        let mut status = json!({
            "name": "shop", "state": "serving", "uptime_seconds": 7500, "version": "0.1.0",
            "python": "3.12.3", "pid": 7, "generation": 2, "listeners": ["127.0.0.1:80", "/x"],
            "processes": 2, "threads": 4, "paused_seconds": null, "crash_loops": [],
            "last_reload_failed": null, "per_second": {"requests": 1.5, "over_seconds": 10.0, "p95_ms": 40.0}, "waiting": 2,
            "total": {"requests": 90, "running": 1, "exceptions": 0, "connections": 3},
            "memory": {"pss": 15 << 20, "rss": 31 << 20, "uss": 0},
            "workers": [{"phase": "ready"}, {"phase": "ready"}, {"phase": "draining"}],
            "daemons": [
                {"daemon": "celery", "phase": "running", "seconds": 61, "pid": 9, "restarts": 0},
                {"daemon": "beat", "phase": "waiting", "seconds": 2, "pid": null, "restarts": 7,
                 "last_end": "exited with code 1, after 0.1 s"},
            ],
            "crons": [
                {"cron": "clean", "runs": 0, "skipped": 0, "pid": null},
                {"cron": "sync", "runs": 3, "skipped": 2, "pid": 10, "ended_seconds": 61,
                 "last_end": "has ended, after 0.1 s"},
            ],
        });
        let expected = "\
shop: serving, up 2 h 5 min
  version      rwsgi 0.1.0, Python 3.12.3, pid 7
  generation   2
  listeners    127.0.0.1:80, /x
  workers      2 × 4 threads: 2 ready, 1 draining
  requests     90 answered, 1 running, 2 waiting, 1.5 a second, 95 % within 40 ms (of the last 10.0 s), 0 exceptions
  connections  3
  memory       15 MiB (PSS of all workers), 31 MiB (RSS)
  daemon       celery: running since 1 min 1 s, pid 9
  daemon       beat: waiting since 2 s, started again 7 times; before it exited with code 1, after 0.1 s
  cron         clean: not run yet
  cron         sync: run 3 times, left out 2 times since it still ran, runs now with pid 10; last it has ended, after 0.1 s, 1 min 1 s ago
";
        assert_eq!(text(&status), expected);
        status["paused_seconds"] = 61.into();
        status["crash_loops"] = json!([2]);
        status["daemons"][1]["keeps_ending"] = true.into();
        status["last_reload_failed"] = "no \u{1b}[2J module".into();
        let more = text(&status);
        let more = more.strip_prefix(expected).unwrap();
        assert_eq!(more.matches("  unusual      ").count(), 4, "{more}");
        assert!(more.contains("no \\x1b[2J module"), "{more}");
    }
}
