//! `rwsgi convert`: the same configuration in rwsgi's own words. What was included, repeated,
//! computed or referred to is written out, with the line that it comes from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Context;
use super::error::{ConfigError, Findings, Report};
use super::known::Known;
use super::load::{self, Sources};
use super::lookup::{Lookup, lookup};
use super::options::{self, Group, OptionSpec};
use super::raw::{Origin, RawConfig, RawOption};
use super::settings::Settings;

/// Reads the arguments of `sources` (options of the environment are not part of a file) and writes
/// what they come to.
///
/// # Errors
/// What cannot be read or has no meaning. What rwsgi does not support is a comment instead.
pub fn convert(sources: &Sources, context: &Context) -> Result<String, Vec<ConfigError>> {
    let mut findings = Findings::default();
    let raw = load::collect_arguments(sources, context, &mut findings);
    Settings::read_all(&raw, &mut findings);
    let text = Converted::of(&raw, &mut findings).text();
    findings.into_result(text).map(|(text, _)| text)
}

/// What protects characters that would mean something else, as `%(KEY)`.
const PROTECTORS: [(&str, &str); 4] =
    [("nothing", ""), ("dollar", "$"), ("at", "@"), ("percent", "%%")];

#[derive(Default)]
struct Converted<'a> {
    /// What is obeyed, and the text of its value.
    options: Vec<(&'static OptionSpec, &'a RawOption, String)>,
    /// What is not, and why.
    others: Others<'a>,
}

impl<'a> Converted<'a> {
    fn of(raw: &'a RawConfig, findings: &mut Findings) -> Self {
        let mut converted = Self::default();
        let specs: Vec<_> = raw.options.iter().map(|option| spec(&option.key)).collect();
        let named = specs.iter().enumerate().filter_map(|(at, spec)| Some(((*spec)?.name, at)));
        let last: BTreeMap<&str, usize> = named.collect();
        let names: Vec<&str> = last.keys().copied().collect();
        for (index, (option, spec)) in raw.options.iter().zip(specs).enumerate() {
            if let Some(spec) = spec {
                if !spec.list && last.get(spec.name) != Some(&index) {
                    continue;
                }
                match value(spec, option, &names) {
                    Ok(text) => converted.options.push((spec, option, text)),
                    Err(report) => findings.error(*report),
                }
            } else {
                converted.others.add(option);
            }
        }
        converted.tame();
        converted.options.sort_by_key(|(spec, ..)| spec.group);
        converted
    }

    /// `evil-reload-on-rss` becomes `reload-on-rss`, which it is taken for: of both, the smaller counts.
    fn tame(&mut self) {
        let limit = |text: &str| text.parse().ok().filter(|limit: &u64| *limit > 0);
        let all = std::mem::take(&mut self.options);
        let (evil, good): (Vec<_>, _) =
            all.into_iter().partition(|(spec, ..)| spec.name.starts_with("evil-"));
        self.options = good;
        for (evil, option, value) in evil {
            let Some(good) = spec(evil.name.trim_start_matches("evil-")) else { continue };
            let other = self.options.iter().position(|(spec, ..)| *spec == good);
            let least = other.and_then(|at| limit(&self.options[at].2));
            if limit(&value).is_some_and(|new| least.is_none_or(|old| new < old)) {
                other.map(|at| self.options.remove(at));
                self.options.push((good, option, value));
            }
        }
    }

    fn text(&self) -> String {
        let mut out =
            format!("; Written by rwsgi {} (`rwsgi convert`).\n[rwsgi]\n", crate::VERSION);
        for (name, text) in PROTECTORS {
            let reference = format!("%({name})");
            if self.options.iter().any(|(.., value)| value.contains(&reference)) {
                let _ = writeln!(out, "set-ph = {name}={text}");
            }
        }
        let mut chapter: Option<Group> = None;
        for (spec, option, value) in &self.options {
            if chapter != Some(spec.group) {
                let _ = write!(out, "\n; {}\n", spec.group.title());
                chapter = Some(spec.group);
            }
            if !is_plain(option, spec.name) {
                let _ = writeln!(out, "; {}", place(&option.origin));
            }
            let _ = writeln!(out, "{}", format!("{} = {value}", spec.name).trim_end());
        }
        self.others.write(&mut out);
        out
    }
}

/// uWSGI's options that are not obeyed, as comments.
#[derive(Default)]
pub(super) struct Others<'a>(Vec<(&'static str, &'a RawOption, Cow<'static, str>, &'static Known)>);

impl<'a> Others<'a> {
    /// Adds `option`, if it is one of them.
    pub fn add(&mut self, option: &'a RawOption) {
        if let Some(known) = known(&option.key)
            && let Some((heading, why)) = known.answer(&option.value)
        {
            self.0.push((heading, option, why, known));
        }
    }

    /// Appends them, by class.
    pub fn write(&self, out: &mut String) {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|(heading, ..)| *heading);
        let mut last = "";
        for (heading, option, why, known) in sorted {
            if last != *heading {
                let _ = write!(out, "\n; {heading}:\n");
                last = heading;
            }
            let line = format!("{} = {}", option.key, one_line(&option.value));
            let _ = writeln!(out, ";   {}\n;     {why}", line.trim_end());
            if let Some(instead) = known.instead {
                let _ = writeln!(out, ";     instead: {instead}");
            }
        }
    }
}

fn spec(key: &str) -> Option<&'static OptionSpec> {
    match lookup(key) {
        Lookup::Exact(spec) | Lookup::Prefix(spec) => Some(spec),
        Lookup::Known(_) | Lookup::KnownPrefix(..) | Lookup::Unknown(_) => None,
    }
}

fn known(key: &str) -> Option<&'static Known> {
    match lookup(key) {
        Lookup::Known(known) | Lookup::KnownPrefix(known, _) => Some(known),
        Lookup::Exact(_) | Lookup::Prefix(_) | Lookup::Unknown(_) => None,
    }
}

/// Whether the line says already what it says here.
fn is_plain(option: &RawOption, name: &str) -> bool {
    let mut words = option.origin.text.splitn(2, '=');
    let key = words.next().unwrap_or_default().trim();
    key == name && words.next().unwrap_or_default().trim() == option.value
}

fn place(origin: &Origin) -> String {
    format!("{origin}: {}", one_line(origin.text.trim()))
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The text after `=` that gives the value of `option` again.
fn value(spec: &OptionSpec, option: &RawOption, names: &[&str]) -> Result<String, Box<Report>> {
    let value = option.value.as_str();
    if value.chars().any(|c| c.is_control() && c != '\t') {
        let report = Report::new(format!("the value of `{}` is more than a line", option.key));
        return Err(Box::new(report.at_value(&option.origin).help("an INI file cannot say it")));
    }
    let plain = protected(spec, value, "%%(");
    let mut refers = names.iter().chain(PROTECTORS.iter().map(|(name, _)| name));
    let is_ambiguous = refers.any(|name| value.contains(name))
        || PROTECTORS.iter().any(|(name, _)| plain.contains(&format!("%({name})")));
    let has_reference = value.contains("%(");
    let text =
        if has_reference && is_ambiguous { protected(spec, value, "%(percent)(") } else { plain };
    Ok(text)
}

/// `value` so that reading gives it again; `percent` is what `%(` becomes.
fn protected(spec: &OptionSpec, value: &str, percent: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut before = ' ';
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        let opens = rest.peek() == Some(&'(');
        match c {
            '%' if opens => {
                text.push_str(percent);
                rest.next();
            }
            '%' => text.push_str("%%"),
            '$' if opens => text.push_str("%(dollar)"),
            '@' if opens => text.push_str("%(at)"),
            '#' | ';' if matches!(before, ' ' | '\t') && options::excludes_comments(spec.name) => {
                text.push_str("%(nothing)");
                text.push(c);
            }
            c => text.push(c),
        }
        before = c;
    }
    if text.starts_with([' ', '\t']) {
        text.insert_str(0, "%(nothing)");
    }
    if text.ends_with([' ', '\t']) {
        text.push_str("%(nothing)");
    }
    text
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
