//! The dialect: against what uWSGI makes of the same files, and what only rwsgi does.

use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;

use super::super::load::{Argument, read};
use super::*;

/// The corpus, with what uWSGI has shown of it.
fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/ini").canonicalize().unwrap()
}

fn ini(name: &str) -> Argument {
    Argument::File(RawOption::argument("ini", name, 1, &format!("--ini {name}")))
}

fn option(key: &str, value: &str) -> Argument {
    Argument::Option(RawOption::argument(key, value, 1, &format!("--{key}={value}")))
}

fn pairs(raw: &RawConfig) -> Vec<String> {
    let pair = |option: &RawOption| format!("{} = {}", option.key, option.value);
    raw.options.iter().map(pair).collect()
}

#[test]
fn the_corpus_means_what_it_means_to_uwsgi() {
    let directory = corpus();
    let context = Context { cwd: directory.clone(), ..Context::default() };
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".ini") else { continue };
        let sources = Sources {
            environment: vec![("DIALECT_HOME".into(), "/srv".into())],
            arguments: vec![ini(&name)],
            ..Sources::default()
        };
        let raw = read(&sources, &context).unwrap_or_else(|errors| panic!("{name}: {errors:?}")).0;
        let shown = std::fs::read_to_string(directory.join(format!("{stem}.uwsgi"))).unwrap();
        let shown = shown.replace("@DIR@", &directory.display().to_string());
        let expected: Vec<&str> = shown
            .lines()
            .filter(|line| {
                let key = line.split(" = ").next().unwrap_or_default();
                !is_directive(key) && !matches!(key, "show-config" | "no-server")
            })
            .collect();
        let found = pairs(&raw);
        assert_eq!(
            found.iter().map(|line| line.trim_end()).collect::<Vec<_>>(),
            expected.iter().map(|line| line.trim_end()).collect::<Vec<_>>(),
            "{name}"
        );
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn the_record_is_what_uwsgi_shows() {
    let has_uwsgi = Command::new("uwsgi").arg("--version").output().is_ok();
    if has_uwsgi {
        let output = Command::new(corpus().join("record")).arg("--check").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// A directory with files.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(place)
    }

    fn read(&self, arguments: Vec<Argument>) -> (Vec<String>, Findings) {
        self.read_with(Context::default(), arguments)
    }

    fn read_with(&self, context: Context, arguments: Vec<Argument>) -> (Vec<String>, Findings) {
        let context = Context { cwd: self.0.path().into(), ..context };
        let sources = Sources {
            environment: vec![("HOME".into(), "/root".into())],
            arguments,
            ..Sources::default()
        };
        let mut findings = Findings::default();
        let raw = super::super::load::collect(&sources, &context, &mut findings);
        (pairs(&raw), findings)
    }
}

fn main_ini(text: &str) -> (Vec<String>, Findings) {
    Files::new(&[("main.ini", &format!("[uwsgi]\n{text}"))]).read(vec![ini("main.ini")])
}

fn clean(text: &str) -> Vec<String> {
    let (pairs, findings) = main_ini(text);
    assert!(findings.errors.is_empty(), "{:?}", findings.errors);
    pairs
}

fn error(text: &str) -> String {
    let errors = main_ini(text).1.errors;
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

#[test]
fn blocks_nest_and_have_an_else() {
    let text = "for = a b\nfor-times = 2\nx = %(_)\nendfor\nif-env = NOPE\ny = 1\nelse\n\
                z = %(_)\nendif\nendfor\n";
    assert_eq!(clean(text), ["x = 1", "x = 2", "x = 1", "x = 2", "z = a", "z = b"]);
    let text = "for = a b\nif-opt = want=%(_)\ngot = %(_)\nendif\nendfor\nwant = b\n";
    assert!(!clean(text).iter().any(|pair| pair.starts_with("got")));
    assert_eq!(clean(&format!("want = b\n{text}"))[1], "got = b");
}

#[test]
fn what_acts_at_once_sees_what_was_read_before() {
    let files = Files::new(&[
        (
            "main.ini",
            "[uwsgi]\nbase = parts\nini = %(base)/a.ini\nif-exists = %(base)/a.ini\nx = 1\nendif\n",
        ),
        ("parts/a.ini", "[uwsgi]\ninner = 1\n"),
    ]);
    let (pairs, findings) = files.read(vec![ini("main.ini")]);
    assert_eq!(pairs, ["base = parts", "inner = 1", "x = 1"]);
    assert!(findings.errors.is_empty() && findings.warnings.is_empty());
}

#[test]
fn arguments_have_blocks_and_includes_in_their_place() {
    let files = Files::new(&[("a.ini", "[uwsgi]\nthreads = 2\n")]);
    let arguments = vec![
        option("threads", "1"),
        option("if-env", "HOME"),
        option("include", "a.ini"),
        option("endif", "true"),
        option("threads", "3"),
    ];
    assert_eq!(files.read(arguments).0, ["threads = 1", "threads = 2", "threads = 3"]);
}

#[test]
fn a_place_in_an_included_file_has_its_chain() {
    let files = Files::new(&[
        ("main.ini", "[uwsgi]\nini = b.ini\n"),
        ("b.ini", "[uwsgi]\n\n  include = c.ini\n"),
        ("c.ini", "[uwsgi]\nset = wrong\n"),
    ]);
    let errors = files.read(vec![ini("main.ini")]).1.errors;
    assert_eq!(
        errors[0].to_string(),
        "error: c.ini:2:7: `set` does not set anything\n  |\n2 | set = wrong\n  |       ^^^^^\n  \
         included by b.ini:3:13\n  included by main.ini:2:7\n  expected: `KEY=VALUE`"
    );
}

#[test]
fn circles_and_towers_of_files_are_refused_with_the_chain() {
    let files =
        Files::new(&[("a.ini", "[uwsgi]\nini = b.ini\n"), ("b.ini", "[uwsgi]\nini = a.ini\n")]);
    let errors = files.read(vec![ini("a.ini")]).1.errors;
    assert_eq!(errors.len(), 1);
    let text = errors[0].to_string();
    assert!(text.starts_with("error: b.ini:2:7: `a.ini` includes itself"), "{text}");
    assert!(text.ends_with("help: a.ini → b.ini → a.ini"), "{text}");
    let tower: Vec<_> =
        (0..40).map(|n| (format!("{n}.ini"), format!("[uwsgi]\nini = {}.ini\n", n + 1))).collect();
    let tower: Vec<_> = tower.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let text = Files::new(&tower).read(vec![ini("0.ini")]).1.errors[0].to_string();
    assert!(text.contains("files include files too deeply") && text.contains("0.ini → 1.ini"));
    assert!(error("ini = :x\n[x]\nini = :x\n").contains("`main.ini:x` includes itself"));
}

#[test]
fn an_inherited_file_counts_last_and_may_inherit() {
    let files = Files::new(&[
        ("a.ini", "[uwsgi]\ninherit = b.ini\nx = a\n"),
        ("b.ini", "[uwsgi]\ninherit = a.ini\nx = b\n"),
    ]);
    let (pairs, findings) = files.read(vec![ini("a.ini")]);
    assert_eq!(pairs, ["x = a", "x = b"]);
    assert!(findings.errors[0].to_string().contains("`a.ini` includes itself"));
}

#[test]
fn what_would_have_no_end_is_refused() {
    assert!(error("for-times = 1000000000\nx = 1\nendfor\n").contains("from 0 to 10000"));
    let nested = "for-times = 1000\nfor-times = 1000\nx = 1\nendfor\nendfor\n";
    assert!(error(nested).contains("the configuration becomes too large"));
    let empty = "for-times = 9999\nfor-times = 9999\nfor-times = 9999\nendfor\nendfor\nendfor\n";
    assert!(error(empty).contains("the configuration becomes too large"));
}

#[test]
fn files_of_other_kinds_and_places_are_refused_with_what_to_write() {
    assert!(error("ini = app.yml\n").contains("help: YAML is not read: write `key = value`"));
    assert!(error("include = app.xml\n").contains("help: XML is not read"));
    assert!(error("ini = http://x/y.ini\n").contains("`http://` is not read"));
    assert!(error("ini =\n").contains("`ini` names no file"));
    let files = Files::new(&[("etc/a.ini", "[uwsgi]\nini = b.ini\n"), ("etc/b.ini", "")]);
    let text = files.read(vec![ini("etc/a.ini")]).1.errors[0].to_string();
    assert!(text.contains("where rwsgi is started: write `%db.ini`"), "{text}");
}

#[test]
fn a_section_that_is_missing_is_shown_where_it_was_asked_for() {
    let text = error("ini = :nope\n");
    assert!(
        text.starts_with("error: main.ini:2:7: main.ini: there is no section [nope]"),
        "{text}"
    );
    let text = Files::new(&[]).read(vec![ini(":x")]).1.errors[0].to_string();
    assert!(text.contains("there is no file that this section could be of"));
}

#[test]
fn the_end_is_reached_by_exit() {
    let (pairs, findings) = main_ini("x = 1\nif-not-env = HOME\nexit = 1\nendif\ny = 1\n");
    assert_eq!((pairs.len(), findings.errors.len()), (2, 0));
    let (pairs, findings) = main_ini("x = 1\nif-env = HOME\nexit = 1\nendif\ny = 1\n");
    assert_eq!((pairs.len(), findings.errors.len()), (1, 1));
    assert!(findings.errors[0].to_string().starts_with("error: main.ini:4:1: "));
}

#[test]
fn a_reload_is_known_as_such() {
    let files = Files::new(&[("a.ini", "[uwsgi]\nif-reload\nx = again\nelse\nx = first\nendif\n")]);
    assert_eq!(files.read(vec![ini("a.ini")]).0, ["x = first"]);
    let context = Context { is_reload: true, ..Context::default() };
    assert_eq!(files.read_with(context, vec![ini("a.ini")]).0, ["x = again"]);
}

#[test]
fn nothing_that_acts_can_be_set() {
    assert!(error("set = ini=other.ini\n").contains("it needs a line of its own"));
    assert!(error("set-ph = processes=4\n").contains("`processes` is an option"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_sequence_of_directives_panics_or_hangs(
        lines in proptest::collection::vec(
            "(for|for-times|if-env|if-opt|if-not-exists|else|endif|endfor|ini|include|inherit|set|x|exit|print)( = (%\\(_\\)|%\\(x \\+ 1\\)|HOME|x=1|3|:a|main.ini|\\$\\(HOME\\)|%\\(x\\)){0,3})?",
            0..24,
        ),
    ) {
        let (_, findings) = main_ini(&format!("{}\n[a]\nx = 1\nini = :uwsgi\n", lines.join("\n")));
        for error in &findings.errors {
            prop_assert!(error.to_string().starts_with("error: "));
        }
    }
}

#[test]
fn a_few_lines_cannot_fill_the_memory() {
    let place = tempfile::tempdir().unwrap();
    let context = Context { cwd: place.path().into(), ..Context::default() };
    let word = "x".repeat(1 << 20);
    let big = format!("[uwsgi]\n;{}\n", "x".repeat(4_000_000));
    std::fs::write(place.path().join("big"), big).unwrap();
    let texts = [
        format!("for = {word}\nset-ph = a={}\nendfor =", "%(_)".repeat(100_000)),
        format!("for-times = 9999\nset-ph = a={word}\nendfor ="),
        "for-times = 9999\nini = big\nendfor =".to_owned(),
    ];
    for text in texts {
        std::fs::write(place.path().join("a.ini"), format!("[uwsgi]\n{text}\n")).unwrap();
        let sources = Sources { arguments: vec![ini("a.ini")], ..Sources::default() };
        let errors = read(&sources, &context).unwrap_err();
        let shown = errors[0].to_string();
        assert!(shown.contains("the configuration becomes larger than 64 MiB"), "{shown:.300}");
        assert!(errors.len() < 3, "{}", errors.len());
    }
}
