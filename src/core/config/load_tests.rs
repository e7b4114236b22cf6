//! Sources and their order.

use std::path::PathBuf;

use super::*;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rwsgi-load-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.0.join(name), text).unwrap();
        self
    }

    fn read(
        &self,
        environment: &[(&str, &str)],
        arguments: Vec<Argument>,
    ) -> Result<(RawConfig, Vec<Warning>), Vec<ConfigError>> {
        let environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let context = Context { cwd: self.0.clone(), ..Context::default() };
        read(&Sources { environment, arguments, ..Sources::default() }, &context)
    }

    fn pairs(&self, environment: &[(&str, &str)], arguments: Vec<Argument>) -> Vec<String> {
        let (raw, warnings) = self.read(environment, arguments).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        raw.options.iter().map(|option| format!("{}={}", option.key, option.value)).collect()
    }

    fn error(&self, arguments: Vec<Argument>) -> String {
        let errors = self.read(&[], arguments).unwrap_err();
        assert_eq!(errors.len(), 1);
        errors[0].to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn file(name: &str) -> Argument {
    Argument::File(RawOption::argument("ini", name, 1, &format!("--ini={name}")))
}

fn option(key: &str, value: &str) -> Argument {
    Argument::Option(RawOption::argument(key, value, 1, &format!("--{key}={value}")))
}

#[test]
fn environment_comes_first_then_arguments_in_order_with_files_in_place() {
    let directory = Directory::new("order").file("a.ini", "[uwsgi]\nthreads = 2\n");
    let environment = [("RWSGI_LISTEN", "9"), ("UWSGI_MAX_FIELDS", "64"), ("HOME", "/root")];
    let arguments = vec![option("threads", "1"), file("a.ini"), option("threads", "3")];
    assert_eq!(
        directory.pairs(&environment, arguments),
        ["max-fields=64", "listen=9", "threads=1", "threads=2", "threads=3"]
    );
}

#[test]
fn variables_that_are_no_options_are_left_alone() {
    let directory = Directory::new("no-options");
    let environment = [
        ("UWSGI_RELOADS", "1"),
        ("UWSGI_EMPEROR_FD_CONFIG", "3"),
        ("RWSGI_EXTENSION", "x"),
        ("RWSGI_LOG_LEVEL", "debug"),
        ("RWSGI_RUNTIME_DIRECTORY", "/run"),
        ("RWSGI_TAKEOVER", "1:4"),
    ];
    assert!(directory.pairs(&environment, Vec::new()).is_empty());
}

#[test]
fn the_environment_may_name_the_file() {
    let directory = Directory::new("env-ini").file("a.ini", "[rwsgi]\nmaster = 1\n");
    assert_eq!(directory.pairs(&[("UWSGI_INI", "a.ini")], Vec::new()), ["master=1"]);
}

#[test]
fn an_unknown_variable_is_only_a_warning() {
    let directory = Directory::new("env-unknown");
    let context = Context { cwd: directory.0.clone(), ..Context::default() };
    let environment = vec![("UWSGI_FROB".into(), "1".into()), ("RWSGI_PROCES".into(), "1".into())];
    let arguments = vec![option("http", ":0"), option("module", "x")];
    let (config, warnings) =
        load(&Sources { environment, arguments, ..Sources::default() }, &context).unwrap();
    assert_eq!((config.processes, warnings.len()), (1, 2));
    assert_eq!(
        warnings[0].to_string(),
        "warning: environment: there is no option `frob`\n |\n | UWSGI_FROB=1\n | ^^^^^^^^^^"
    );
}

#[test]
fn sections_are_asked_for_after_a_colon() {
    let directory = Directory::new("section").file("a.ini", "[one]\nname = %x\n[two]\nname = 2\n");
    assert_eq!(directory.pairs(&[], vec![file("a.ini:one")]), ["name=one"]);
    assert_eq!(directory.pairs(&[], vec![file("a.ini:two")]), ["name=2"]);
    assert_eq!(
        directory.error(vec![file("a.ini")]),
        "error: a.ini: there is no section [uwsgi] or [rwsgi]\n  \
         help: it has [one], [two]; `a.ini:one` asks for the first"
    );
    let empty = Directory::new("no-section").file("b.ini", "# nothing\n");
    assert!(empty.error(vec![file("b.ini:x")]).contains("begin it with a line `[rwsgi]`"));
}

#[test]
fn a_file_that_is_missing_is_shown_where_it_was_named() {
    let directory = Directory::new("no-file");
    let path = directory.0.join("nope.ini");
    assert_eq!(
        directory.error(vec![file("nope.ini")]),
        format!(
            "error: command line: the INI file cannot be read: `{}` does not exist\n |\n | \
             --ini=nope.ini\n |       ^^^^^^^^",
            path.display()
        )
    );
}

#[test]
fn magic_variables_are_of_files_only() {
    let directory = Directory::new("magic").file("shop.ini", "[uwsgi]\nenv = A=%n-%d\n");
    let shown = format!("env=A=shop-{}/", directory.0.display());
    let arguments = vec![file("shop.ini"), option("env", "B=%n")];
    assert_eq!(directory.pairs(&[], arguments), [shown, "env=B=%n".to_owned()]);
}

#[test]
fn a_magic_variable_that_does_not_exist_is_kept_with_a_warning() {
    let directory = Directory::new("unknown").file("a.ini", "[uwsgi]\nenv = A=5%z\nlogdate=%Y\n");
    let (raw, warnings) = directory.read(&[], vec![file("a.ini")]).unwrap();
    assert_eq!(raw.options[0].value, "A=5%z");
    assert_eq!(
        warnings[0].to_string(),
        "warning: a.ini:2:7: there is no variable `%z`\n  |\n2 | env = A=5%z\n  |       ^^^^^\n  \
         help: it is kept as text: write `%%z` if that is meant"
    );
    assert_eq!(warnings.len(), 1);
}

#[test]
fn the_day_of_a_date_is_not_the_directory() {
    let text = "[uwsgi]\nlog-date = %Y-%m-%d\nlog-date = %%Y/%%m/%%d\n";
    let directory = Directory::new("day").file("a.ini", text);
    let pairs = directory.pairs(&[], vec![file("a.ini")]);
    assert_eq!(pairs, ["log-date=%Y-%m-%d", "log-date=%Y/%m/%d"]);
}

#[test]
fn places_stay_those_of_the_line_after_expansion() {
    let directory = Directory::new("places").file("a.ini", "[uwsgi]\nchdir = %d$(X)x\n");
    let (raw, _) = directory.read(&[("X", "/long/value")], vec![file("a.ini")]).unwrap();
    assert_eq!(raw.options[0].origin.value.width, 7);
    assert_eq!(raw.options[0].origin.to_string(), "a.ini:2:9");
    assert_eq!(raw.file, Some(directory.0.join("a.ini")));
}

#[test]
fn set_is_another_way_to_write_a_key() {
    let directory = Directory::new("set");
    let arguments = vec![option("set", "threads=2"), option("set-ph", "n=a=b")];
    assert_eq!(directory.pairs(&[], arguments), ["threads=2", "n=a=b"]);
    assert!(directory.error(vec![option("set", "x")]).contains("expected: `KEY=VALUE`"));
    let error = directory.error(vec![option("set-placeholder", "master=1")]);
    assert!(error.contains("`master` is an option, not a placeholder"));
}
