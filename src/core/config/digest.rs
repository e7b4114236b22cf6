//! What becomes of the options that were written, by class: told once, not for each line.

use super::error::{ConfigError, Severity, Warning};
use super::known::{Class, Known};
use super::lookup::{Lookup, lookup};
use super::plugins;
use super::raw::RawConfig;

/// Why an option is not obeyed, although its meaning is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// rwsgi does without.
    NotNeeded,
    /// It has another form here.
    Replaced,
    /// Something will be missed.
    Missed,
    /// The start would be refused, but for `ignore-unsupported`.
    Tolerated,
}

impl Topic {
    fn heading(self) -> (Severity, &'static str) {
        match self {
            Self::NotNeeded => (Severity::Info, "not needed here"),
            Self::Replaced => (Severity::Warning, "replaced by something else here"),
            Self::Missed => (Severity::Warning, "not in this version"),
            Self::Tolerated => {
                (Severity::Warning, "not supported, and ignored as `ignore-unsupported` says")
            }
        }
    }
}

/// The entries for the log: one for each topic, with the names; one for each other finding.
pub fn digest(warnings: &[Warning]) -> Vec<(Severity, String)> {
    let mut entries = Vec::new();
    for topic in [Topic::NotNeeded, Topic::Replaced, Topic::Missed, Topic::Tolerated] {
        let mut names: Vec<&str> = Vec::new();
        for (_, name) in warnings.iter().filter_map(Warning::topic).filter(|(t, _)| *t == topic) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            let (severity, heading) = topic.heading();
            let names = names.join(", ");
            entries.push((severity, format!("{heading}: {names}; `rwsgi check` says why")));
        }
    }
    let others = warnings.iter().filter(|warning| warning.topic().is_none());
    entries.extend(others.map(|warning| (warning.severity, warning.line())));
    entries
}

/// What becomes of each name that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    /// It is obeyed.
    pub obeyed: Vec<String>,
    /// rwsgi does without.
    pub not_needed: Vec<String>,
    /// It has another form here.
    pub replaced: Vec<String>,
    /// Something will be missed.
    pub missed: Vec<String>,
    /// The start is refused, unless `ignore-unsupported` is on.
    pub unsupported: Vec<String>,
    /// It would be obeyed, but an error says what is wrong with it.
    pub wrong: Vec<String>,
    /// Nobody knows it.
    pub unknown: Vec<String>,
    /// Only there to be referred to by `%(name)`.
    pub placeholders: Vec<String>,
}

impl Classes {
    /// Classes of the options of `raw`, of which `errors` tells what is wrong; each name once.
    pub fn of(raw: &RawConfig, errors: &[ConfigError]) -> Self {
        let mut classes = Self::default();
        for option in &raw.options {
            let is_wrong = errors.iter().any(|error| error.origin() == Some(&option.origin));
            let (class, name) = match lookup(&option.key) {
                Lookup::Exact(_) | Lookup::Prefix(_) if is_wrong => {
                    (&mut classes.wrong, option.key.as_str())
                }
                Lookup::Exact(_) => (&mut classes.obeyed, option.key.as_str()),
                Lookup::Known(known) => (classes.known(known, &option.value), option.key.as_str()),
                _ if option.placeholder => (&mut classes.placeholders, option.key.as_str()),
                Lookup::Prefix(spec) => (&mut classes.obeyed, spec.name),
                Lookup::KnownPrefix(known, name) => (classes.known(known, &option.value), name),
                Lookup::Unknown(_) => (&mut classes.unknown, option.key.as_str()),
            };
            if !class.iter().any(|known| known == name) {
                class.push(name.to_owned());
            }
        }
        classes
    }

    fn known(&mut self, known: &Known, value: &str) -> &mut Vec<String> {
        match known.class {
            Class::Plugins(_) if !plugins::missing(value).is_empty() => &mut self.missed,
            Class::Plugins(_) => &mut self.not_needed,
            Class::Ignored(_) => &mut self.not_needed,
            Class::NotYet(_) if known.instead.is_some() => &mut self.replaced,
            Class::NotYet(_) => &mut self.missed,
            Class::Refused(_) | Class::OtherProtocol(_) => &mut self.unsupported,
            Class::Directive | Class::Message => &mut self.obeyed,
        }
    }

    /// In one sentence.
    pub fn summary(&self) -> String {
        let counted = |count: usize| match count {
            1 => "1 option is obeyed".to_owned(),
            count => format!("{count} options are obeyed"),
        };
        let mut parts = vec![counted(self.obeyed.len())];
        for (heading, names) in [
            ("not needed", &self.not_needed),
            ("replaced", &self.replaced),
            ("not in this version", &self.missed),
            ("not supported", &self.unsupported),
            ("wrong", &self.wrong),
            ("unknown", &self.unknown),
        ] {
            if !names.is_empty() {
                parts.push(format!("{heading}: {}", names.join(", ")));
            }
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::{Findings, Report};
    use super::super::raw::RawOption;
    use super::*;

    #[test]
    fn each_class_is_told_once_with_its_names() {
        let mut findings = Findings::default();
        let report = || Report::new("x");
        findings.decline(Topic::Missed, "cron", report());
        findings.warn(report());
        findings.decline(Topic::NotNeeded, "plugin", report());
        findings.decline(Topic::Missed, "spooler", report());
        findings.decline(Topic::Missed, "cron", report());
        let entries = digest(&findings.warnings);
        assert_eq!(
            entries,
            [
                (Severity::Info, "not needed here: plugin; `rwsgi check` says why".to_owned()),
                (
                    Severity::Warning,
                    "not in this version: cron, spooler; `rwsgi check` says why".to_owned()
                ),
                (Severity::Warning, "x".to_owned()),
            ]
        );
    }

    #[test]
    fn a_configuration_is_classified_by_name() {
        let keys = ["http", "process", "http", "pcre-jit", "chroot", "upload-progress", "nonsense"];
        let options = keys.iter().map(|key| RawOption::argument(key, "1", 1, key)).collect();
        let mut raw = RawConfig { options, ..RawConfig::default() };
        let told =
            "not needed: pcre-jit; not in this version: upload-progress; not supported: chroot";
        let summary = Classes::of(&raw, &[]).summary();
        assert_eq!(summary, format!("2 options are obeyed; {told}; unknown: nonsense"));
        raw.options.retain(|option| option.key != "http");
        let error = Report::new("x").at_value(&raw.options[0].origin).into();
        let summary = Classes::of(&raw, &[error]).summary();
        assert_eq!(
            summary,
            format!("0 options are obeyed; {told}; wrong: process; unknown: nonsense")
        );
    }
}
