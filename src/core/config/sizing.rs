//! How many workers and threads there are: as many as was said, as the machine has CPUs for, or as
//! there is work for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Context;
use super::error::{Findings, Report, quoted};
use super::settings::Settings;
use super::value::Value;
use crate::cpus;

/// The most workers of an instance, configured (`processes`) or asked for (`rwsgi scale`). The scoreboard has
/// twice as many slots: during a reload there are those of two generations.
pub const MOST_WORKERS: u32 = 2048;

/// What `threads = auto` stands for: enough for a thread to run while others wait for a database, and
/// no more than can share one lock without being in each other's way.
const AUTO_THREADS: u32 = 4;

/// When there are how many workers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sizing {
    /// As many workers as there is work for (`cheaper`).
    pub cheaper: Option<Cheaper>,
    /// Without any worker until somebody connects (`cheap`).
    pub cheap: bool,
    /// And after no request for so long (`idle`).
    pub idle: Option<Duration>,
    /// The instance ends then (`die-on-idle`).
    pub die_on_idle: bool,
    /// What `auto` has found, in words.
    pub found: Vec<String>,
}

/// A number of workers that follows the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cheaper {
    /// The fewest (`cheaper`).
    pub least: u32,
    /// At first (`cheaper-initial`).
    pub initial: u32,
    /// How many come at a time (`cheaper-step`).
    pub step: u32,
    /// What decides.
    pub algorithm: Algorithm,
    /// Bytes that all workers may use before no more are added (`cheaper-rss-limit-soft`).
    pub rss_soft: Option<u64>,
    /// And before one is taken away (`cheaper-rss-limit-hard`).
    pub rss_hard: Option<u64>,
}

/// What decides how many workers there are (`cheaper-algo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// So many are to have nothing to do.
    Spare {
        /// One, or `cheaper` with `spare2`.
        spares: u32,
        /// How long more have to have had nothing to do before one goes.
        patience: Duration,
    },
    /// Connections that wait to be accepted.
    Backlog {
        /// More than so many are too many.
        limit: u32,
    },
    /// How much of their time they work.
    Busyness(Busyness),
    /// An administrator.
    Manual,
}

/// When workers are too busy, or not busy enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busyness {
    /// Time over which it is measured (`cheaper-overload`).
    pub window: Duration,
    /// Percent above which more are added (`cheaper-busyness-max`).
    pub max: u32,
    /// Percent below which one goes (`cheaper-busyness-min`) …
    pub min: u32,
    /// … after so many windows in succession (`cheaper-busyness-multiplier`) …
    pub multiplier: u32,
    /// … and so many more when the last one was missed at once (`cheaper-busyness-penalty`).
    pub penalty: u32,
    /// Connections that wait, above which workers are added at once (`cheaper-busyness-backlog-alert`)
    pub alert: u32,
    /// and how many (`cheaper-busyness-backlog-step`).
    pub alert_step: u32,
    /// The same when any has waited for so long (`cheaper-busyness-backlog-nonzero`).
    pub nonzero: Duration,
}

/// What the options of this group mean: `processes`, `threads`, and the rest.
pub(super) fn sizing(
    settings: &Settings<'_>,
    context: &Context,
    findings: &mut Findings,
) -> (u32, u32, Sizing) {
    let mut found = Vec::new();
    let is_auto =
        |name: &str| matches!(settings.value(name), Some(Value::Text(word)) if word == "auto");
    let processes = if is_auto("processes") {
        let cpus = cpus::available();
        found.push(format!("processes = auto: {} ({})", cpus.count, cpus.reason));
        cpus.count
    } else {
        settings.small("processes").unwrap_or(1)
    };
    let threads = if is_auto("threads") {
        found.push(format!("threads = auto: {AUTO_THREADS}"));
        AUTO_THREADS
    } else {
        settings.small("threads").unwrap_or(1)
    };
    let idle = settings.number("idle").filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let die_on_idle = settings.switch("die-on-idle");
    if die_on_idle {
        warn_of_the_end(settings, context, idle, findings);
    }
    let sizing = Sizing {
        cheaper: cheaper(settings, processes, is_auto("processes"), findings),
        cheap: settings.switch("cheap"),
        idle,
        die_on_idle: die_on_idle && idle.is_some(),
        found,
    };
    (processes, threads, sizing)
}

fn warn_of_the_end(
    settings: &Settings<'_>,
    context: &Context,
    idle: Option<Duration>,
    findings: &mut Findings,
) {
    let Some(setting) = settings.last("die-on-idle") else { return };
    let at = |report: Report| report.at_key(&setting.raw.origin);
    if idle.is_none() {
        let report = at(Report::new("`die-on-idle` has no effect without `idle`"));
        findings.warn(report.help("add how long it may be idle, such as\nidle = 600"));
    } else if context.inherited.is_empty() {
        let report = at(Report::new(
            "nothing will start the instance again: with `die-on-idle` it ends, and no socket of \
             systemd is there that would keep listening",
        ));
        findings.warn(report.help(
            "use a socket unit, such as rwsgi@NAME.socket; or leave `die-on-idle` out, and only \
             the workers go",
        ));
    }
}

fn cheaper(
    settings: &Settings<'_>,
    processes: u32,
    is_auto: bool,
    findings: &mut Findings,
) -> Option<Cheaper> {
    let Some(setting) = settings.last("cheaper") else {
        for other in settings.all(&OPTIONS) {
            let report =
                Report::new(format!("{} has no effect without `cheaper`", quoted(other.raw)));
            let report = report.at_key(&other.raw.origin);
            findings.warn(
                report.help("add the fewest workers that there are to be, such as\ncheaper = 1"),
            );
        }
        return None;
    };
    let least = settings.small("cheaper")?;
    if least >= processes {
        let report = Report::new(format!(
            "{} is not fewer than `processes`, which is {processes}",
            quoted(setting.raw)
        ));
        let report = report.at_value(&setting.raw.origin);
        let report = report.expected("the fewest workers; `processes` is the most");
        // What is right on one machine is no error on a smaller one.
        if is_auto {
            findings.warn(report);
        } else {
            findings.error(report);
        }
        return None;
    }
    let initial = settings.small("cheaper-initial").unwrap_or(least);
    if let Some(setting) = settings.last("cheaper-initial")
        && !(least..=processes).contains(&initial)
    {
        let report = Report::new(format!("{} cannot be", quoted(setting.raw)));
        let report = report.at_value(&setting.raw.origin);
        let expected = format!("a number from {least}, `cheaper`, to {processes}, `processes`");
        findings.error(report.expected(expected));
    }
    let bytes = |name: &str| settings.number(name).filter(|bytes| *bytes > 0);
    Some(Cheaper {
        least,
        initial: initial.clamp(least, processes),
        step: settings.small("cheaper-step").unwrap_or(1),
        algorithm: algorithm(settings, least, findings),
        rss_soft: bytes("cheaper-rss-limit-soft"),
        rss_hard: bytes("cheaper-rss-limit-hard"),
    })
}

/// All that need `cheaper`.
const OPTIONS: [&str; 14] = [
    "cheaper-initial",
    "cheaper-step",
    "cheaper-algo",
    "cheaper-overload",
    "cheaper-idle",
    "cheaper-busyness-max",
    "cheaper-busyness-min",
    "cheaper-busyness-multiplier",
    "cheaper-busyness-penalty",
    "cheaper-busyness-backlog-alert",
    "cheaper-busyness-backlog-step",
    "cheaper-busyness-backlog-nonzero",
    "cheaper-rss-limit-soft",
    "cheaper-rss-limit-hard",
];

fn algorithm(settings: &Settings<'_>, least: u32, findings: &mut Findings) -> Algorithm {
    let number = |name: &str| settings.small(name).unwrap_or(0);
    let seconds = |name: &str| Duration::from_secs(number(name).into());
    match settings.word("cheaper-algo").as_deref() {
        Some("backlog" | "backlog2") => Algorithm::Backlog { limit: number("cheaper-overload") },
        Some("busyness") => {
            let busyness = Busyness {
                window: seconds("cheaper-overload"),
                max: number("cheaper-busyness-max"),
                min: number("cheaper-busyness-min"),
                multiplier: number("cheaper-busyness-multiplier"),
                penalty: number("cheaper-busyness-penalty"),
                alert: number("cheaper-busyness-backlog-alert"),
                alert_step: number("cheaper-busyness-backlog-step"),
                nonzero: seconds("cheaper-busyness-backlog-nonzero"),
            };
            let setting = settings.all(&["cheaper-busyness-min", "cheaper-busyness-max"]).last();
            if let (Some(setting), true) = (setting, busyness.min >= busyness.max) {
                let Busyness { min, max, .. } = busyness;
                let report = Report::new(format!(
                    "`cheaper-busyness-min`, which is {min}, is not less than \
                     `cheaper-busyness-max`, which is {max}"
                ));
                findings.error(report.at_value(&setting.raw.origin));
            }
            Algorithm::Busyness(busyness)
        }
        Some("manual") => Algorithm::Manual,
        Some("spare2") => Algorithm::Spare { spares: least, patience: seconds("cheaper-idle") },
        _ => Algorithm::Spare { spares: 1, patience: seconds("cheaper-overload") },
    }
}

#[cfg(test)]
#[path = "sizing_tests.rs"]
mod tests;
