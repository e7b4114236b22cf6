//! What is replaced in values after everything was read: `$(NAME)` by the environment, `@(path)` by
//! the content of a file, `%(key)` by the first value of another key.

use std::cell::RefCell;
use std::path::Path;

use super::error::{Findings, Report};
use super::paths;
use super::raw::RawOption;

/// Replaces all three in every value, one after the other, and marks the keys that are only there
/// to be referred to.
pub fn expand(
    options: &mut [RawOption],
    environment: &dyn Fn(&str) -> Option<String>,
    cwd: &Path,
    findings: &mut Findings,
) {
    let assigned: Vec<(String, String)> = options
        .iter()
        .filter(|option| option.key == "env")
        .filter_map(|option| option.value.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for option in options.iter_mut() {
        expand_environment(option, environment, &assigned, findings);
        expand_files(option, cwd, findings);
    }
    expand_placeholders(options, findings);
}

fn expand_environment(
    option: &mut RawOption,
    environment: &dyn Fn(&str) -> Option<String>,
    assigned: &[(String, String)],
    findings: &mut Findings,
) {
    let value = replaced(&option.value, "$(", |name| {
        let own = assigned.iter().rev().find(|(known, _)| known == name);
        let value = own.map(|(_, value)| value.clone()).or_else(|| environment(name));
        if value.is_none() {
            findings.warn(
                Report::new(format!("the environment has no variable `{name}`"))
                    .at_value(&option.origin)
                    .help(format!("`$({name})` stays as it is written")),
            );
        }
        value
    });
    option.value = value;
}

fn expand_files(option: &mut RawOption, cwd: &Path, findings: &mut Findings) {
    let value = replaced(&option.value, "@(", |name| {
        if name.contains("://") {
            let report = Report::new(format!("`@({name})` is not in this version"));
            findings.error(report.at_value(&option.origin).expected("`@(PATH)`"));
            return None;
        }
        match paths::read(&cwd.join(name)).map(String::from_utf8) {
            Ok(Ok(text)) => Some(text.strip_suffix('\n').unwrap_or(&text).to_owned()),
            Ok(Err(_)) => {
                let report = Report::new(format!("`{name}` is not UTF-8 text"));
                findings.error(report.at_value(&option.origin));
                None
            }
            Err(obstacle) => {
                findings.error(obstacle.report(&format!("`@({name})`"), &option.origin));
                None
            }
        }
    });
    option.value = value;
}

fn expand_placeholders(options: &mut [RawOption], findings: &mut Findings) {
    let resolver = Resolver { options, used: RefCell::default() };
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

struct Resolver<'a> {
    options: &'a [RawOption],
    used: RefCell<Vec<String>>,
}

/// What became of one `%(name)`.
enum Reference {
    Value(String),
    Unknown(String),
    Circular(String),
}

impl Resolver<'_> {
    fn value(&self, index: usize, option: &RawOption, findings: &mut Findings) -> String {
        let mut missed = Vec::new();
        let value = self.resolve(index, &mut vec![index], &mut missed);
        for reference in missed {
            match reference {
                Reference::Value(_) => {}
                Reference::Circular(name) => findings.error(
                    Report::new(format!("`%({name})` refers to itself")).at_value(&option.origin),
                ),
                Reference::Unknown(name) if is_arithmetic(&name) => findings.error(
                    Report::new(format!("arithmetic in `%({name})` is not in this version"))
                        .at_value(&option.origin)
                        .help("write the result"),
                ),
                Reference::Unknown(_) if is_log_format(&option.key) => {}
                Reference::Unknown(name) => findings.warn(
                    Report::new(format!("there is no key `{name}`"))
                        .at_value(&option.origin)
                        .help(format!("`%({name})` stays as it is written")),
                ),
            }
        }
        value
    }

    /// The value of option `index`; `path` are the options on the way to it.
    fn resolve(&self, index: usize, path: &mut Vec<usize>, missed: &mut Vec<Reference>) -> String {
        let Some(option) = self.options.get(index) else { return String::new() };
        replaced(&option.value, "%(", |name| match self.look_up(name, path, missed) {
            Reference::Value(value) => Some(value),
            other => {
                missed.push(other);
                None
            }
        })
    }

    fn look_up(&self, name: &str, path: &mut Vec<usize>, missed: &mut Vec<Reference>) -> Reference {
        let Some(target) = self.options.iter().position(|option| option.key == name) else {
            return Reference::Unknown(name.to_owned());
        };
        if path.contains(&target) {
            return Reference::Circular(name.to_owned());
        }
        self.used.borrow_mut().push(name.to_owned());
        path.push(target);
        let value = self.resolve(target, path, missed);
        path.pop();
        Reference::Value(value)
    }
}

fn is_arithmetic(name: &str) -> bool {
    name.split(' ').any(|token| matches!(token, "+" | "-" | "*" | "/" | "++" | "--"))
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
        expand(&mut options, &environment, Path::new("/"), &mut findings);
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
    fn circles_and_arithmetic_are_errors() {
        let (_, findings) = run(&[("a", "%(b)"), ("b", "%(a)")]);
        assert_eq!(findings.errors.len(), 2);
        assert!(findings.errors[0].to_string().contains("`%(a)` refers to itself"));
        let (_, findings) = run(&[("a", "%(b * 2)")]);
        assert!(findings.errors[0].to_string().contains("arithmetic in `%(b * 2)`"));
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
        assert_eq!(run(&[("env", "K=@(exec://date)")]).1.errors.len(), 1);
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
