//! What is replaced in values after everything was read: `$(NAME)` by the environment, `@(path)` by
//! the content of a file, `%(key)` by the first value of another key, `%(key * 2)` by what that gives.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::arithmetic::{self, Problem};
use super::error::{Findings, Report};
use super::raw::RawOption;
use super::resource::{Allowance, Resource, Stdin, is_unrun};

/// Replaces all three in every value, one after the other, and marks the keys that are only there
/// to be referred to.
pub fn expand(
    options: &mut [RawOption],
    environment: &dyn Fn(&str) -> Option<String>,
    cwd: &Path,
    left: &Allowance,
    findings: &mut Findings,
) {
    let assigned = assigned(options);
    for option in options.iter_mut() {
        expand_environment(option, environment, &assigned, left, findings);
        expand_files(option, cwd, left, findings);
    }
    expand_placeholders(options, findings);
}

/// Replaces all three in the value of an option that is obeyed while others are still read: `known`
/// are those before it. The names that it referred to.
pub fn expand_now(
    option: &mut RawOption,
    known: &[RawOption],
    environment: &dyn Fn(&str) -> Option<String>,
    cwd: &Path,
    left: &Allowance,
    findings: &mut Findings,
) -> HashSet<String> {
    if !["$(", "@(", "%("].iter().any(|open| option.value.contains(open)) {
        return HashSet::new();
    }
    let resolver = Resolver::new(known);
    option.value = resolver.value(usize::MAX, option, findings);
    expand_environment(option, environment, &assigned(known), left, findings);
    expand_files(option, cwd, left, findings);
    resolver.used.into_inner()
}

/// The variables that `env` sets.
fn assigned(options: &[RawOption]) -> Vec<(String, String)> {
    options
        .iter()
        .filter(|option| option.key == "env")
        .filter_map(|option| option.value.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn expand_environment(
    option: &mut RawOption,
    environment: &dyn Fn(&str) -> Option<String>,
    assigned: &[(String, String)],
    left: &Allowance,
    findings: &mut Findings,
) {
    let mut missed = BTreeSet::new();
    let mut too_much = None;
    option.value = replaced(&option.value, "$(", |name| {
        let own = assigned.iter().rev().find(|(known, _)| known == name);
        let value = own.map(|(_, value)| value.clone()).or_else(|| environment(name));
        let Some(value) = value else {
            missed.insert(name.to_owned());
            return None;
        };
        left.spend(value.len()).map_err(|missing| too_much = Some(missing)).ok().map(|()| value)
    });
    for name in missed {
        findings.warn(
            Report::new(format!("the environment has no variable `{name}`"))
                .at_value(&option.origin)
                .help(format!("`$({name})` stays as it is written")),
        );
    }
    if let Some(missing) = too_much {
        findings.error(missing.report("`$(…)`", &option.origin));
    }
}

fn expand_files(option: &mut RawOption, cwd: &Path, left: &Allowance, findings: &mut Findings) {
    let mut missed = BTreeMap::new();
    option.value = replaced(&option.value, "@(", |name| {
        if missed.contains_key(name) {
            return None;
        }
        let read = Resource::parse(name).and_then(|resource| match resource {
            Resource::Command(_) if left.is_without_commands() => Ok(None),
            Resource::Stdin => {
                Resource::File("-".into()).read(cwd, &Stdin::default(), left).map(Some)
            }
            other => other.read(cwd, &Stdin::default(), left).map(Some),
        });
        let report = match read.map(|text| text.map(String::from_utf8).transpose()) {
            Ok(Ok(text)) => {
                return text.map(|text| text.strip_suffix('\n').unwrap_or(&text).to_owned());
            }
            Ok(Err(_)) => {
                Report::new(format!("`@({name})` is not UTF-8 text")).at_value(&option.origin)
            }
            Err(missing) => missing.report(&format!("`@({name})`"), &option.origin),
        };
        missed.insert(name.to_owned(), report);
        None
    });
    missed.into_values().for_each(|report| findings.error(report));
}

fn expand_placeholders(options: &mut [RawOption], findings: &mut Findings) {
    let resolver = Resolver::indexed(options);
    let mut values = Vec::with_capacity(options.len());
    for (index, option) in options.iter().enumerate() {
        values.push(resolver.value(index, option, findings));
    }
    let used = resolver.used.into_inner();
    for (option, value) in options.iter_mut().zip(values) {
        option.value = value;
        option.placeholder |= used.contains(&option.key);
    }
}

/// Values that refer to values that refer to values.
const DEEPEST: usize = 64;
/// The longest value, in bytes, and what is spent on one.
const LONGEST: usize = 1 << 20;
/// What is spent on all.
const MOST: usize = 16 << 20;

struct Resolver<'a> {
    options: &'a [RawOption],
    /// Where each key is first; `None`: it is looked for, because few are asked for.
    places: Option<HashMap<&'a str, usize>>,
    used: RefCell<HashSet<String>>,
    /// Bytes of the value that is being made, with all that it is made of.
    spent: Cell<usize>,
    /// Bytes of all values before it.
    total: Cell<usize>,
}

/// What became of one `%(name)`.
enum Reference {
    Value(String),
    Unknown(String),
    Circular(String),
    TooLarge(String),
    Bad(String, Problem),
}

impl Reference {
    fn name(&self) -> &str {
        match self {
            Self::Value(name)
            | Self::Unknown(name)
            | Self::Circular(name)
            | Self::TooLarge(name)
            | Self::Bad(name, _) => name,
        }
    }
}

impl<'a> Resolver<'a> {
    fn new(options: &'a [RawOption]) -> Self {
        let (spent, total) = (Cell::new(0), Cell::new(0));
        Self { options, places: None, used: RefCell::default(), spent, total }
    }

    fn indexed(options: &'a [RawOption]) -> Self {
        let keys = options.iter().enumerate().rev().map(|(index, o)| (o.key.as_str(), index));
        Self { places: Some(keys.collect()), ..Self::new(options) }
    }

    fn place(&self, name: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(name).copied(),
            None => self.options.iter().position(|option| option.key == name),
        }
    }

    fn value(&self, index: usize, option: &RawOption, findings: &mut Findings) -> String {
        let mut missed = Vec::new();
        self.total.set(self.total.get().saturating_add(self.spent.take()));
        let value = self.resolve(&option.value, &mut vec![index], &mut missed);
        let mut told = HashSet::new();
        for reference in missed {
            // Once for each name, however often it stands there.
            if told.insert(reference.name().to_owned()) {
                report(reference, option, findings);
            }
        }
        value
    }

    /// `text` with the values; `path` are the options on the way to it.
    fn resolve(&self, text: &str, path: &mut Vec<usize>, missed: &mut Vec<Reference>) -> String {
        replaced(text, "%(", |name| match self.look_up(name, path, missed) {
            Reference::Value(value) => {
                self.spent.set(self.spent.get().saturating_add(value.len() + 1));
                Some(value)
            }
            other => {
                // The first reason is enough: those that follow from it may be without number.
                if missed.is_empty() || !matches!(other, Reference::TooLarge(_)) {
                    missed.push(other);
                }
                None
            }
        })
    }

    fn look_up(&self, name: &str, path: &mut Vec<usize>, missed: &mut Vec<Reference>) -> Reference {
        let plain = self.named(name, path, missed);
        if !matches!(plain, Reference::Unknown(_)) || !arithmetic::is_expression(name) {
            return plain;
        }
        let mut failed = None;
        let result = arithmetic::evaluate(name, |word| match self.named(word, path, missed) {
            Reference::Value(value) => Some(value),
            Reference::Unknown(_) => None,
            other => {
                failed = Some(other);
                None
            }
        });
        match (failed, result) {
            (Some(failed), _) => failed,
            (None, Ok(value)) => Reference::Value(value),
            // It is known only where commands are run.
            (None, Err(Problem::NoNumber(text))) if is_unrun(&text) => Reference::Value(text),
            (None, Err(problem)) if arithmetic::has_sign(name) => {
                Reference::Bad(name.to_owned(), problem)
            }
            (None, Err(_)) => plain,
        }
    }

    fn named(&self, name: &str, path: &mut Vec<usize>, missed: &mut Vec<Reference>) -> Reference {
        let Some(target) = self.place(name) else {
            return Reference::Unknown(name.to_owned());
        };
        // Also where it leads nowhere: it is meant as one.
        self.used.borrow_mut().insert(name.to_owned());
        if path.contains(&target) {
            return Reference::Circular(name.to_owned());
        }
        let is_too_much = self.spent.get() > LONGEST || self.total.get() > MOST;
        if path.len() > DEEPEST || is_too_much {
            return Reference::TooLarge(name.to_owned());
        }
        let Some(option) = self.options.get(target) else {
            return Reference::Unknown(name.to_owned());
        };
        path.push(target);
        let value = self.resolve(&option.value, path, missed);
        path.pop();
        Reference::Value(value)
    }
}

fn report(reference: Reference, option: &RawOption, findings: &mut Findings) {
    let origin = &option.origin;
    match reference {
        Reference::Value(_) => {}
        Reference::Circular(name) => {
            findings.error(Report::new(format!("`%({name})` refers to itself")).at_value(origin));
        }
        Reference::TooLarge(name) => findings.error(
            Report::new(format!("`%({name})` becomes too much"))
                .at_value(origin)
                .expected(format!("{LONGEST} bytes, and {DEEPEST} references to others, at most")),
        ),
        Reference::Unknown(_) | Reference::Bad(..) if is_log_format(&option.key) => {}
        Reference::Bad(name, problem) => {
            let what = match problem {
                Problem::NoNumber(text) => format!("`{text}` is not a whole number"),
                Problem::Unknown(key) => format!("there is no key `{key}`"),
                Problem::ByZero => "a division by zero".to_owned(),
                Problem::TooLarge => "the result is too large".to_owned(),
                Problem::Incomplete => "something is missing at the end".to_owned(),
            };
            let report = Report::new(format!("`%({name})`: {what}")).at_value(origin);
            findings.error(report.help("uWSGI goes on with 0, or with nothing"));
        }
        Reference::Unknown(name) => findings.warn(
            Report::new(format!("there is no key `{name}`"))
                .at_value(origin)
                .help(format!("`%({name})` stays as it is written")),
        ),
    }
}

/// In these `%(name)` is a field of the request.
fn is_log_format(key: &str) -> bool {
    key.starts_with("log-format") || key.starts_with("logformat") || key.contains("-encoder")
}

/// `text` with each `open name )` replaced by what `find` has for the name, or kept.
fn replaced(text: &str, open: &str, mut find: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let Some((name, tail)) = after.split_once(')') else { break };
        out.push_str(before);
        match find(name) {
            Some(value) => out.push_str(&value),
            None => {
                out.push_str(open);
                out.push_str(name);
                out.push(')');
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(pairs: &[(&str, &str)]) -> (Vec<RawOption>, Findings) {
        let mut findings = Findings::default();
        let mut options: Vec<_> =
            pairs.iter().map(|(key, value)| RawOption::variable("X", key, value)).collect();
        let environment = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let left = Allowance::default();
        expand(&mut options, &environment, Path::new("/"), &left, &mut findings);
        (options, findings)
    }

    fn values(pairs: &[(&str, &str)]) -> Vec<String> {
        let (options, findings) = run(pairs);
        assert!(findings.errors.is_empty() && findings.warnings.is_empty(), "{findings:?}");
        options.into_iter().map(|option| option.value).collect()
    }

    #[test]
    fn the_environment_is_known_with_what_env_adds() {
        assert_eq!(values(&[("chdir", "$(HOME)/x$(HOME)")]), ["/root/x/root"]);
        assert_eq!(values(&[("env", "A=1"), ("chdir", "/$(A)")]), ["A=1", "/1"]);
    }

    #[test]
    fn an_unset_variable_is_kept_with_a_warning() {
        let (options, findings) = run(&[("chdir", "$(NOPE)/x")]);
        assert_eq!(options[0].value, "$(NOPE)/x");
        assert!(findings.warnings[0].to_string().contains("no variable `NOPE`"));
    }

    #[test]
    fn placeholders_see_all_keys_before_and_after_and_through_others() {
        let pairs = [("a", "%(b)/a"), ("b", "%(c)/b"), ("c", "c"), ("d", "%(a)%(c)")];
        assert_eq!(values(&pairs), ["c/b/a", "c/b", "c", "c/b/ac"]);
        let (options, _) = run(&pairs);
        let marked: Vec<_> = options.iter().map(|option| option.placeholder).collect();
        assert_eq!(marked, [true, true, true, false]);
    }

    #[test]
    fn the_first_of_several_values_counts() {
        assert_eq!(values(&[("a", "1"), ("a", "2"), ("b", "%(a)")])[2], "1");
    }

    #[test]
    fn circles_and_bad_arithmetic_are_errors() {
        let (options, findings) = run(&[("a", "%(a)x")]);
        assert!(options[0].placeholder && findings.errors.len() == 1);
        let (_, findings) = run(&[("a", "%(b)"), ("b", "%(a)")]);
        assert_eq!(findings.errors.len(), 2);
        assert!(findings.errors[0].to_string().contains("`%(a)` refers to itself"));
        let (_, findings) = run(&[("a", "%(b * 2)")]);
        assert!(findings.errors[0].to_string().contains("`%(b * 2)`: there is no key `b`"));
    }

    #[test]
    fn numbers_are_computed_with_keys_that_refer_to_others() {
        let pairs = [("a", "%(b * 2 + 1)%(c)"), ("b", "%(c)5"), ("c", "1")];
        assert_eq!(values(&pairs), ["311", "15", "1"]);
        assert_eq!(values(&[("log-format", "%(uri - x)")]), ["%(uri - x)"]);
    }

    #[test]
    fn values_do_not_grow_without_bound() {
        let mut pairs = vec![("k0".to_owned(), "0123456789".to_owned())];
        for n in 1..60 {
            pairs.push((format!("k{n}"), format!("%(k{0})%(k{0})", n - 1)));
        }
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let (_, findings) = run(&pairs);
        assert!(findings.errors[0].to_string().contains("becomes too much"));
        let chain: Vec<_> = (0..500).map(|n| (format!("k{n}"), format!("%(k{})", n + 1))).collect();
        let chain: Vec<_> = chain.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert!(!run(&chain).1.errors.is_empty());
    }

    #[test]
    fn an_unknown_placeholder_is_kept_with_a_warning_but_not_in_log_formats() {
        let (options, findings) = run(&[("chdir", "/%(nope)"), ("log-format", "%(uri)")]);
        assert_eq!((&*options[0].value, &*options[1].value), ("/%(nope)", "%(uri)"));
        assert_eq!(findings.warnings.len(), 1);
    }

    #[test]
    fn files_are_read_without_their_last_newline() {
        let file = std::env::temp_dir().join(format!("rwsgi-vars-{}", std::process::id()));
        std::fs::write(&file, "secret\n\n").unwrap();
        let text = format!("K=@({})", file.display());
        assert_eq!(values(&[("env", &text)]), ["K=secret\n"]);
        std::fs::remove_file(file).unwrap();
        assert_eq!(run(&[("env", "K=@(/no/such/file)")]).1.errors.len(), 1);
        assert_eq!(run(&[("env", "K=@(fd://3)")]).1.errors.len(), 1);
        assert_eq!(values(&[("env", "K=@(exec://echo 4)")]), ["K=4"]);
    }

    #[test]
    fn files_and_variables_do_not_fill_the_memory_and_are_told_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; 4 << 20]).unwrap();
        let files = format!("@({})", file.path().display()).repeat(100);
        let variable = format!("A={}", "x".repeat(4 << 20));
        for pairs in
            [vec![("a", files.as_str())], vec![("env", &variable), ("a", &"$(A)".repeat(100))]]
        {
            let (options, findings) = run(&pairs);
            assert_eq!(findings.errors.len(), 1);
            assert!(findings.errors[0].to_string().contains("becomes larger than 64 MiB"));
            assert!(options.iter().map(|option| option.value.len()).sum::<usize>() < 70 << 20);
        }
        for text in ["$(N)", "%(N)", "@(/no/such)"] {
            let (_, findings) = run(&[("a", &text.repeat(10_000))]);
            assert_eq!(findings.errors.len() + findings.warnings.len(), 1, "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_text() {
        assert_eq!(values(&[("a", "$(HOME"), ("b", "%("), ("c", "@(")]), ["$(HOME", "%(", "@("]);
    }

    proptest! {
        #[test]
        fn no_text_panics(values in proptest::collection::vec("[ab$%@(). +]{0,12}", 0..6)) {
            let pairs: Vec<_> = values.iter().map(|value| ("a", value.as_str())).collect();
            let _ = run(&pairs);
        }
    }
}
