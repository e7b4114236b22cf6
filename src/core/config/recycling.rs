//! When a worker that serves is replaced by a fresh one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Findings, Report, quoted};
use super::settings::Settings;

/// What a worker may come to before it is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recycling {
    /// Requests that it answers (`max-requests`).
    pub requests: Option<Limit>,
    /// Seconds that it serves (`max-worker-lifetime`).
    pub lifetime: Option<Limit>,
    /// How old it is at least, unless `lifetime` is the reason (`min-worker-lifetime`).
    pub min_lifetime: Duration,
    /// What it may use.
    pub memory: MemoryLimits,
    /// The share of the time, in percent, that processes of the control group may wait for memory
    /// (`reload-on-memory-pressure`).
    pub pressure: Option<u32>,
    /// Time between two samples of that (`mem-collector-freq`).
    pub sample_every: Duration,
}

impl Default for Recycling {
    fn default() -> Self {
        Self {
            requests: None,
            lifetime: None,
            min_lifetime: Duration::from_secs(60),
            memory: MemoryLimits::default(),
            pressure: None,
            sample_every: Duration::from_secs(10),
        }
    }
}

/// A limit that each worker draws for itself, so that not all come to it together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The least.
    pub least: u64,
    /// By how much it may be more.
    pub delta: u64,
}

impl Limit {
    /// The limit for who has drawn `lot`, any number.
    pub fn draw(self, lot: u64) -> u64 {
        self.least.saturating_add(lot % self.delta.saturating_add(1))
    }
}

/// Bytes that a worker may use, by the ways to count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryLimits {
    /// Resident (`reload-on-rss`).
    pub rss: Option<u64>,
    /// Resident, what is shared in part (`reload-on-pss`).
    pub pss: Option<u64>,
    /// Its own (`reload-on-uss`).
    pub uss: Option<u64>,
    /// Address space (`reload-on-as`).
    pub address_space: Option<u64>,
}

impl MemoryLimits {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }
}

/// What the options of this group mean.
pub(super) fn recycling(settings: &Settings<'_>, findings: &mut Findings) -> Recycling {
    let default = Recycling::default();
    let seconds = |name: &str| settings.number(name).map(Duration::from_secs);
    let evil_rss = megabytes(settings, "evil-reload-on-rss");
    let evil_address_space = megabytes(settings, "evil-reload-on-as");
    warn_of_evil(settings, findings);
    warn_of_lifetimes(settings, findings);
    Recycling {
        requests: limit(settings, "max-requests", "max-requests-delta"),
        lifetime: limit(settings, "max-worker-lifetime", "max-worker-lifetime-delta"),
        min_lifetime: seconds("min-worker-lifetime").unwrap_or(default.min_lifetime),
        memory: MemoryLimits {
            rss: smaller(megabytes(settings, "reload-on-rss"), evil_rss),
            pss: megabytes(settings, "reload-on-pss"),
            uss: megabytes(settings, "reload-on-uss"),
            address_space: smaller(megabytes(settings, "reload-on-as"), evil_address_space),
        },
        pressure: settings.small("reload-on-memory-pressure").filter(|percent| *percent > 0),
        sample_every: seconds("mem-collector-freq").unwrap_or(default.sample_every),
    }
}

/// `max-worker-lifetime` is not held up by `min-worker-lifetime`: below it, that never counts.
fn warn_of_lifetimes(settings: &Settings<'_>, findings: &mut Findings) {
    let most = settings.number("max-worker-lifetime").filter(|most| *most > 0);
    let (Some(most), Some(setting)) = (most, settings.last("min-worker-lifetime")) else { return };
    if settings.number("min-worker-lifetime").is_some_and(|least| most < least) {
        let what = format!("{} is above `max-worker-lifetime = {most}`", quoted(setting.raw));
        let report = Report::new(format!("{what}: it has no effect")).at_value(&setting.raw.origin);
        findings.warn(report.help("remove it, or raise the other"));
    }
}

fn limit(settings: &Settings<'_>, name: &str, delta: &str) -> Option<Limit> {
    let least = settings.number(name).filter(|least| *least > 0)?;
    Some(Limit { least, delta: settings.number(delta).unwrap_or(least / 10) })
}

fn megabytes(settings: &Settings<'_>, name: &str) -> Option<u64> {
    settings.number(name).filter(|number| *number > 0).map(|number| number << 20)
}

fn smaller(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn warn_of_evil(settings: &Settings<'_>, findings: &mut Findings) {
    for name in ["evil-reload-on-rss", "evil-reload-on-as"] {
        let Some(setting) = settings.last(name) else { continue };
        if megabytes(settings, name).is_some() {
            let good = name.trim_start_matches("evil-");
            let what = format!("{} is taken for `{good}`", quoted(setting.raw));
            let report = Report::new(format!("{what}: the worker finishes its requests"));
            findings.warn(report.at_key(&setting.raw.origin).help(format!("write `{good}`")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_drawn_limit_is_between_the_least_and_the_most(
            least in 1..1u64 << 48,
            delta in 0..1u64 << 48,
            lot: u64,
        ) {
            let drawn = Limit { least, delta }.draw(lot);
            proptest::prop_assert!((least..=least + delta).contains(&drawn));
        }
    }

    #[test]
    fn every_limit_between_can_be_drawn() {
        let limit = Limit { least: 20, delta: 2 };
        let drawn: Vec<_> = (0..4).map(|lot| limit.draw(lot)).collect();
        assert_eq!(drawn, [20, 21, 22, 20]);
    }
}
