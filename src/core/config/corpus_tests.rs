//! Every option of the table, with a good value and what that comes to, and with a bad one and what
//! is said of it: the files of `tests/corpus`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::load::{self, Argument, Sources};
use super::lookup::{Lookup, lookup};
use super::options::{Group, OPTIONS, OptionSpec};
use super::raw::{RawConfig, RawOption};
use super::resolve::resolve;
use super::{Context, Severity, convert, service};

/// What is expected is written anew when this variable is set.
const RECORD: &str = "RWSGI_TEST_RECORD";

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").canonicalize().unwrap()
}

/// Its INI files, by name.
fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus().join(directory)).unwrap().flatten().map(|e| e.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension() == Some("ini".as_ref())).collect();
    files.sort();
    files
}

/// A directory with what the files of the corpus name.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for directory in ["media", "public", "../again", "lib", "plugins/one", "plugins/two"] {
            fs::create_dir_all(site.path().join("site").join(directory)).unwrap();
        }
        for (name, text) in [
            ("shop/wsgi.py", ""),
            ("shop/hooks.py", ""),
            ("static/icon.png", ""),
            ("venv/bin/python", ""),
            ("env/SECRET", "sesame\n"),
            ("env/OLD", ""),
            ("production.ini", "[app:main]\n"),
            ("mime.types", "text/css css\n"),
            ("reload.txt", ""),
            ("workers.txt", ""),
            ("chain.txt", ""),
            ("errors/403.html", "no"),
            ("errors/404.html", "no"),
            ("errors/500.html", "no"),
            ("restart.txt", ""),
        ] {
            let path = site.path().join("site").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn context(&self) -> Context {
        let inherited = vec!["shop".to_owned()];
        Context { cwd: self.path().to_owned(), inherited, ..Context::default() }
    }

    /// `text`, as the file `name` of this directory.
    fn sources(&self, name: &str, text: &str, section: &str) -> Sources {
        fs::write(self.path().join(name), text).unwrap();
        let file = format!("{name}:{section}");
        let argument = RawOption::argument("ini", &file, 1, &format!("--ini={file}"));
        Sources { arguments: vec![Argument::File(argument)], ..Sources::default() }
    }

    /// What `raw` comes to, one line for each fact; or what is wrong.
    fn meaning(&self, raw: &RawConfig) -> Result<Vec<String>, String> {
        let (config, findings) = resolve(raw, &self.context());
        let config = config.filter(|_| findings.errors.is_empty());
        let config = config.ok_or_else(|| told(&findings.errors))?;
        let mut facts = Vec::new();
        let mut config = serde_json::to_value(config).unwrap();
        config.as_object_mut().unwrap().remove("options");
        flatten("", &config, &mut facts);
        Ok(facts)
    }

    /// What the unit of systemd has to fit, likewise.
    fn unit(&self, sources: &Sources) -> Result<Vec<String>, String> {
        let unit = service::service(sources, &self.context()).map_err(|errors| told(&errors))?;
        let mut facts = Vec::new();
        flatten("unit", &serde_json::to_value(unit).unwrap(), &mut facts);
        Ok(facts)
    }

    fn hidden(&self, text: &str) -> String {
        text.replace(&self.path().display().to_string(), "@DIR@")
    }
}

fn told<T: ToString>(findings: &[T]) -> String {
    findings.iter().map(|finding| finding.to_string() + "\n").collect()
}

fn flatten(name: &str, value: &Json, facts: &mut Vec<String>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Json::Object(members) if !members.is_empty() => {
            // Where it is written makes no difference to what it means.
            for (key, value) in members.iter().filter(|(key, _)| *key != "place") {
                flatten(&below(key), value, facts);
            }
        }
        Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&below(&index.to_string()), item, facts);
            }
        }
        value => facts.push(format!("{name} = {value}")),
    }
}

/// The sections of a file, in their order.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'))
}

fn spec(key: &str) -> Option<&'static OptionSpec> {
    match lookup(key) {
        Lookup::Exact(spec) => Some(spec),
        _ => None,
    }
}

/// A section of a good file.
struct Good {
    path: PathBuf,
    section: String,
    sources: Sources,
    raw: RawConfig,
}

impl Good {
    fn all(site: &Site) -> Vec<Self> {
        let mut all = Vec::new();
        for path in files("") {
            let text = fs::read_to_string(&path).unwrap();
            for section in sections(&text).map(str::to_owned) {
                let sources = site.sources(name(&path), &text, &section);
                let (raw, warnings) = load::read(&sources, &site.context())
                    .unwrap_or_else(|errors| panic!("{}", told(&errors)));
                assert!(warnings.is_empty(), "{}", told(&warnings));
                all.push(Self { path: path.clone(), section, sources, raw });
            }
        }
        all
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Fails, with the lines that differ, unless `found` is what the file at `path` has.
fn assert_recorded(path: &Path, found: &str) {
    if std::env::var_os(RECORD).is_some() {
        return fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same;
    let tail =
        old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..old.len() - tail], &new[same..new.len() - tail]);
    let shown: String = old
        .iter()
        .map(|line| format!("- {line}\n"))
        .chain(new.iter().map(|line| format!("+ {line}\n")))
        .collect();
    assert!(
        expected == found,
        "{}:{}:\n{shown}{RECORD}=1 writes it as it is now",
        path.display(),
        same + 1
    );
}

#[test]
fn the_good_files_mean_what_is_beside_them() {
    let site = Site::new();
    let facts = |sources: &Sources| {
        let raw = load::read(sources, &site.context()).unwrap().0;
        let mut facts = site.meaning(&raw).unwrap_or_else(|errors| panic!("{errors}"));
        facts.extend(site.unit(sources).unwrap_or_else(|errors| panic!("{errors}")));
        facts
    };
    let plain = "[plain]\nhttp = 127.0.0.1:8000\nmodule = shop.wsgi\n";
    let plain: BTreeSet<_> =
        facts(&site.sources("plain.ini", plain, "plain")).into_iter().collect();
    let mut recorded: BTreeMap<PathBuf, String> = BTreeMap::new();
    for good in Good::all(&site) {
        let differs = |fact: &String| !plain.contains(fact) && !fact.starts_with("name = ");
        let facts = facts(&good.sources).into_iter().filter(differs);
        let facts: String = facts.map(|fact| fact + "\n").collect();
        let text = recorded.entry(good.path.with_extension("means")).or_default();
        *text += &format!("[{}]\n{}\n", good.section, site.hidden(&facts));
    }
    for (path, found) in recorded {
        assert_recorded(&path, &found);
    }
}

#[test]
fn each_option_has_a_line_without_which_the_configuration_is_another() {
    let site = Site::new();
    let able = OPTIONS.iter().filter(|spec| spec.group != Group::Always);
    let mut idle: BTreeSet<_> = able.map(|spec| spec.name).collect();
    for good in Good::all(&site) {
        let meaning = |raw: &RawConfig| {
            let lines =
                raw.options.iter().map(|option| format!("{}={}\n", option.key, option.value));
            let text = format!("[x]\n{}", lines.collect::<String>().replace('%', "%%"));
            (site.meaning(raw), site.unit(&site.sources("x.ini", &text, "x")))
        };
        let whole = meaning(&good.raw);
        for (at, option) in good.raw.options.iter().enumerate() {
            let mut rest = good.raw.clone();
            rest.options.remove(at);
            if meaning(&rest) != whole {
                idle.remove(option.key.as_str());
            }
        }
    }
    assert_eq!(
        idle,
        BTreeSet::new(),
        "these have no line in tests/corpus/*.ini that does anything"
    );
}

#[test]
fn each_other_name_of_an_option_means_the_same() {
    let site = Site::new();
    for good in Good::all(&site) {
        let whole = site.meaning(&good.raw);
        for (at, option) in good.raw.options.iter().enumerate() {
            for alias in spec(&option.key).map_or(&[][..], |spec| spec.aliases) {
                let mut renamed = good.raw.clone();
                (*alias).clone_into(&mut renamed.options[at].key);
                assert_eq!(site.meaning(&renamed), whole, "{}: {alias}", good.path.display());
            }
        }
    }
}

#[test]
fn what_is_converted_means_the_same_and_has_nothing_to_be_warned_of() {
    let site = Site::new();
    for good in Good::all(&site) {
        let converted = convert(&good.sources, &site.context());
        let converted = converted.unwrap_or_else(|errors| panic!("{}", told(&errors)));
        let again = site.sources(&format!("again/{}", name(&good.path)), &converted, "rwsgi");
        let (_, warnings) = load::load(&again, &site.context())
            .unwrap_or_else(|errors| panic!("{}\n{converted}", told(&errors)));
        let severe = warnings.iter().filter(|warning| warning.severity == Severity::Warning);
        assert_eq!(severe.count(), 0, "{}\n{converted}", told(&warnings));
        let again = load::read(&again, &site.context()).unwrap().0;
        assert_eq!(site.meaning(&again), site.meaning(&good.raw), "{converted}");
    }
}

#[test]
fn the_bad_files_are_told_as_beside_them_and_no_option_is_missing() {
    let site = Site::new();
    let mut unharmed: BTreeSet<_> = OPTIONS.iter().map(|spec| spec.name).collect();
    for path in files("bad") {
        let text = fs::read_to_string(&path).unwrap();
        let mut all = String::new();
        for section in sections(&text) {
            let sources = site.sources(name(&path), &text, section);
            let Err(errors) = load::load(&sources, &site.context()) else {
                panic!("{}:{section} is a good one", path.display());
            };
            for origin in errors.iter().filter_map(|error| error.origin()) {
                unharmed.remove(origin.text.split('=').next().unwrap_or_default().trim());
            }
            all += &format!("[{section}]\n{}\n", told(&errors));
        }
        assert_recorded(&path.with_extension("told"), &site.hidden(&all));
    }
    assert_eq!(unharmed, BTreeSet::new(), "these have no bad value in tests/corpus/bad");
}
