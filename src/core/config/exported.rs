//! The configuration as an application sees it: `uwsgi.opt`.

use super::lookup::{Lookup, lookup};
use super::options::{Group, OptionSpec};
use super::value::{Kind, Value};

/// The value of an exported option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exported {
    /// A switch that is on.
    On,
    /// The text; of an option that was given several times the last one, as uWSGI has it with Python 3.
    Text(String),
}

/// What libraries look for to learn whether threads of theirs would run in a worker. In uWSGI it
/// has to be configured, here it is always so.
const ALWAYS: [&str; 3] = ["master", "enable-threads", "py-call-uwsgi-fork-hooks"];

/// All that was configured, under the names as written; one that was cut short also under its whole
/// name. Switches that are off are not there: uWSGI's text `false` is true for Python.
pub fn exported(options: &[(String, String)]) -> Vec<(String, Exported)> {
    let mut all: Vec<(String, Exported)> = Vec::new();
    for (key, text) in options {
        let (spec, name) = match lookup(key) {
            Lookup::Exact(spec) => (Some(spec), key.as_str()),
            Lookup::Prefix(spec) => (Some(spec), spec.name),
            Lookup::KnownPrefix(_, name) => (None, name),
            Lookup::Known(_) | Lookup::Unknown(_) => (None, key.as_str()),
        };
        add(&mut all, name, spec, text);
    }
    for name in ALWAYS {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.to_owned(), Exported::On));
        }
    }
    all
}

fn add(
    all: &mut Vec<(String, Exported)>,
    name: &str,
    spec: Option<&'static OptionSpec>,
    text: &str,
) {
    let value = match spec.map(|spec| (spec.group, spec.kind)) {
        // Whatever is written there, it is so.
        Some((Group::Always, _)) => Some(Exported::On),
        Some((_, kind @ (Kind::Switch | Kind::Always(_)))) => {
            matches!(kind.parse(text), Ok(Value::Switch(true))).then_some(Exported::On)
        }
        _ => Some(Exported::Text(text.to_owned())),
    };
    replace(all, name, value);
}

fn replace(all: &mut Vec<(String, Exported)>, name: &str, value: Option<Exported>) {
    all.retain(|(known, _)| known != name);
    all.extend(value.map(|value| (name.to_owned(), value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(options: &[(&str, &str)]) -> Vec<(String, Exported)> {
        let owned = options.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        exported(&owned.collect::<Vec<_>>())
    }

    fn value(options: &[(&str, &str)], name: &str) -> Option<Exported> {
        export(options).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn text(text: &str) -> Option<Exported> {
        Some(Exported::Text(text.to_owned()))
    }

    #[test]
    fn values_are_texts_and_of_several_the_last_counts() {
        assert_eq!(value(&[("threads", "2"), ("threads", "4")], "threads"), text("4"));
        assert_eq!(value(&[("env", "A=1"), ("env", "B=2")], "env"), text("B=2"));
        assert_eq!(value(&[("threads", "2")], "processes"), None);
    }

    #[test]
    fn switches_are_on_or_not_there() {
        assert_eq!(value(&[("lazy-apps", "true")], "lazy-apps"), Some(Exported::On));
        assert_eq!(value(&[("lazy-apps", "false")], "lazy-apps"), None);
        assert_eq!(value(&[("lazy-apps", "yes"), ("lazy-apps", "0")], "lazy-apps"), None);
    }

    #[test]
    fn names_are_as_written_or_whole() {
        assert_eq!(value(&[("workers", "4")], "workers"), text("4"));
        assert_eq!(value(&[("process", "4")], "processes"), text("4"));
        assert_eq!(value(&[("my-own-key", "x")], "my-own-key"), text("x"));
        assert_eq!(value(&[("cache2", "name=x")], "cache2"), text("name=x"));
    }

    #[test]
    fn what_is_always_so_is_said() {
        for name in ["master", "enable-threads", "py-call-uwsgi-fork-hooks"] {
            assert_eq!(value(&[], name), Some(Exported::On), "{name}");
        }
        assert_eq!(value(&[("enable-threads", "false")], "enable-threads"), Some(Exported::On));
    }
}
