//! From keys and texts to options and typed values, one by one: what the tables say, applied.

use super::digest::Topic;
use super::error::{Findings, Report, quoted};
use super::known::{Class, Known};
use super::lookup::{Lookup, lookup, unknown};
use super::options::{Group, OPTIONS, OptionSpec};
use super::plugins;
use super::raw::{RawConfig, RawOption, Source};
use super::value::{Kind, Value};

/// One option that was set to something valid.
#[derive(Debug, Clone)]
pub(super) struct Setting<'a> {
    /// Which.
    pub spec: &'static OptionSpec,
    /// To what.
    pub value: Value,
    /// As written.
    pub raw: &'a RawOption,
}

/// All that was set, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings<'a> {
    set: Vec<Setting<'a>>,
    failed: Vec<&'static str>,
    /// Listeners for protocols that are not in this version.
    pub unspoken: Vec<(&'a RawOption, &'static str)>,
    /// `ignore-unsupported`.
    tolerant: bool,
}

impl<'a> Settings<'a> {
    /// Looks every key up and reads its value; all that is wrong goes to `findings`.
    pub fn read(raw: &'a RawConfig, findings: &mut Findings) -> Self {
        let mut settings = Self { tolerant: is_tolerant(raw), ..Self::default() };
        for option in &raw.options {
            settings.take(option, findings);
        }
        settings
    }

    /// The same, as if `ignore-unsupported` were on.
    pub fn read_all(raw: &'a RawConfig, findings: &mut Findings) -> Self {
        let mut settings = Self { tolerant: true, ..Self::default() };
        for option in &raw.options {
            settings.take(option, findings);
        }
        settings
    }

    /// The last of `name`, if there is one.
    pub fn last(&self, name: &str) -> Option<&Setting<'a>> {
        self.set.iter().rev().find(|setting| setting.spec.name == name)
    }

    /// All of these names, in order.
    pub fn all<'s>(&'s self, names: &'s [&str]) -> impl Iterator<Item = &'s Setting<'a>> {
        self.set.iter().filter(|setting| names.contains(&setting.spec.name))
    }

    /// All of this name, in order.
    pub fn each<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Setting<'a>> {
        self.set.iter().filter(move |setting| setting.spec.name == name)
    }

    /// All of this group, in order.
    pub fn of(&self, group: Group) -> impl Iterator<Item = &Setting<'a>> {
        self.set.iter().filter(move |setting| setting.spec.group == group)
    }

    /// Whether `name` was written with a value that is an error already.
    pub fn failed(&self, name: &str) -> bool {
        self.failed.contains(&name)
    }

    /// The value of `name`, or its default.
    pub fn value(&self, name: &str) -> Option<Value> {
        if let Some(setting) = self.last(name) {
            return Some(setting.value.clone());
        }
        let spec = OPTIONS.iter().find(|spec| spec.name == name)?;
        if spec.default.is_empty() {
            return None;
        }
        spec.kind.parse(spec.default).ok()
    }

    /// The number of `name`, or its default.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// A number that the table bounds to 32 bits.
    pub fn small(&self, name: &str) -> Option<u32> {
        self.number(name).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The switch `name`.
    pub fn switch(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Switch(true)))
    }

    /// The word of `name`, or its default.
    pub fn word(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Some(Value::Text(word)) => Some(word),
            _ => None,
        }
    }

    fn take(&mut self, option: &'a RawOption, findings: &mut Findings) {
        let environment = matches!(option.origin.source, Source::Environment { .. });
        match lookup(&option.key) {
            Lookup::Exact(spec) => self.set(spec, option, findings),
            Lookup::Known(known) => self.decline(known, option, findings),
            _ if option.placeholder => {}
            Lookup::Prefix(spec) if !environment => {
                findings.warn(abbreviated(option, spec.name));
                self.set(spec, option, findings);
            }
            Lookup::KnownPrefix(known, name) if !environment => {
                findings.warn(abbreviated(option, name));
                self.decline(known, option, findings);
            }
            Lookup::Unknown(_) | Lookup::Prefix(_) | Lookup::KnownPrefix(..) if environment => {
                let report = Report::new(format!("there is no option `{}`", option.key));
                findings.warn(report.at_key(&option.origin));
            }
            Lookup::Unknown(similar) => findings.error(unknown(option, &similar)),
            Lookup::Prefix(_) | Lookup::KnownPrefix(..) => {}
        }
    }

    fn set(&mut self, spec: &'static OptionSpec, raw: &'a RawOption, findings: &mut Findings) {
        match spec.kind.parse(&raw.value) {
            Ok(value) => {
                if let (Kind::Always(fact), Value::Switch(false)) = (spec.kind, &value) {
                    let report = Report::new(format!("{} has no effect: {fact}", quoted(raw)));
                    findings.inform(report.at_value(&raw.origin));
                }
                self.set.push(Setting { spec, value, raw });
            }
            Err(invalid) => {
                self.failed.push(spec.name);
                let message = if raw.value.is_empty() {
                    quoted(raw)
                } else {
                    format!("{} {}", quoted(raw), invalid.problem)
                };
                let report = Report::new(message).at_value(&raw.origin);
                let report = report.expected(spec.kind.expected());
                findings.error(match invalid.help {
                    Some(help) => report.help(help),
                    None => report,
                });
            }
        }
    }

    fn decline(&mut self, known: &'static Known, option: &'a RawOption, findings: &mut Findings) {
        let key = &option.key;
        let is_off =
            matches!(option.value.to_ascii_lowercase().as_str(), "0" | "false" | "off" | "no");
        let report = |message: String| {
            let report = Report::new(message).at_key(&option.origin);
            match known.instead {
                Some(instead) => report.help(instead),
                None => report,
            }
        };
        match known.class {
            Class::Message => {
                findings.inform(Report::new(option.value.clone()).at_value(&option.origin));
            }
            _ if is_off => {}
            Class::Ignored(why) => findings.decline(
                Topic::NotNeeded,
                key,
                report(format!("`{key}` is not needed: {why}")),
            ),
            Class::Plugins(why) => plugins(option, why, findings),
            Class::NotYet(effect) => {
                let (topic, what) = match known.instead {
                    Some(_) => (Topic::Replaced, "is replaced by something else here"),
                    None => (Topic::Missed, "is not in this version"),
                };
                findings.decline(topic, key, report(format!("`{key}` {what}: {effect}")));
            }
            Class::OtherProtocol(why) => self.unspoken.push((option, why)),
            Class::Refused(why) => {
                let report = report(format!("`{key}` cannot be obeyed: {why}"));
                if self.tolerant {
                    findings.decline(Topic::Tolerated, key, report);
                } else {
                    if plugins::EMPEROR.contains(&key.as_str()) {
                        self.failed.push(EMPEROR);
                    }
                    findings.error(report);
                }
            }
            // Obeyed already, unless it was not recognized as what it is.
            Class::Directive => {
                let report = Report::new(format!("`{key}` acts while the configuration is read"));
                findings.error(report.at_key(&option.origin).help("spell it out"));
            }
        }
    }
}

/// Stands for it and its options among those that failed: such a file has no application of its own.
pub const EMPEROR: &str = "emperor";

/// What becomes of the plugins that `option` names: those that rwsgi has nothing for will be missed.
fn plugins(option: &RawOption, why: &str, findings: &mut Findings) {
    let key = &option.key;
    let missing = plugins::missing(&option.value);
    if missing.is_empty() {
        let report = Report::new(format!("`{key}` is not needed: {why}")).at_key(&option.origin);
        return findings.decline(Topic::NotNeeded, key, report);
    }
    for (name, known) in missing {
        let known_why = known.and_then(|known| known.answer("")).map(|(_, why)| why);
        let why = known_why.unwrap_or("uWSGI's plugins cannot be loaded".into());
        let message = format!("`{name}` of `{key}` is not in this version: {why}");
        let help = known.and_then(|known| known.instead).unwrap_or("remove it if nothing needs it");
        let report = Report::new(message).at_value(&option.origin).help(help);
        findings.decline(Topic::Missed, &format!("{key} = {name}"), report);
    }
}

/// Whether `ignore-unsupported` is on: it counts for what is above it, too.
fn is_tolerant(raw: &RawConfig) -> bool {
    let last = raw.options.iter().rev().find(|option| option.key == "ignore-unsupported");
    last.is_some_and(|option| Kind::Switch.parse(&option.value) == Ok(Value::Switch(true)))
}

fn abbreviated(option: &RawOption, name: &str) -> Report {
    Report::new(format!("`{}` is taken for `{name}`", option.key))
        .at_key(&option.origin)
        .help(format!("write `{name}`: in a file, uWSGI ignores what is not spelled out"))
}
