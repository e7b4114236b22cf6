//! One reading of all sources: options in order, directives obeyed. What includes, repeats or asks
//! for something acts here; everything else is kept for later.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Context;
use super::blocks::{self, Block, Item};
use super::condition::{Scene, Verdict};
use super::error::{Findings, Report};
use super::ini::IniFile;
use super::known::Class;
use super::load::Sources;
use super::lookup::{Lookup, lookup};
use super::magic::Magic;
use super::raw::{Origin, RawConfig, RawOption, Source};
use super::resource::{Allowance, Missing, Resource};
use super::value::Kind;
use super::vars;

/// Files that include files.
const DEEPEST: usize = 16;
/// Options, and values that loops go through, in all.
const MOST: usize = 30_000;

/// All that is read for one start.
pub(super) struct Reading<'a> {
    sources: &'a Sources,
    context: &'a Context,
    findings: &'a mut Findings,
    raw: RawConfig,
    /// The file that was read before all others, as it was named.
    first: Option<PathBuf>,
    /// The files that are being read, the innermost last.
    open: Vec<Open>,
    /// What `inherit` names, and the files from which: they are read after everything else, as in
    /// uWSGI.
    inherited: VecDeque<(RawOption, Vec<Open>)>,
    /// Keys that directives have referred to.
    used: HashSet<String>,
    /// What is left of [`MOST`].
    left: usize,
    allowance: Allowance,
    is_over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    path: PathBuf,
    section: Option<String>,
}

/// Whether `key` acts while it is read.
fn is_directive(key: &str) -> bool {
    is_inclusion(key) || blocks::is_keyword(key) || is_setter(key) || key == "exit"
}

fn is_inclusion(key: &str) -> bool {
    matches!(key, "ini" | "include" | "inherit")
}

fn is_setter(key: &str) -> bool {
    matches!(key, "set" | "set-ph" | "set-placeholder")
}

impl<'a> Reading<'a> {
    pub fn new(sources: &'a Sources, context: &'a Context, findings: &'a mut Findings) -> Self {
        Self {
            sources,
            context,
            findings,
            raw: RawConfig::default(),
            first: None,
            open: Vec::new(),
            inherited: VecDeque::new(),
            used: HashSet::new(),
            left: MOST,
            allowance: match context.without_commands {
                true => Allowance::without_commands(),
                false => Allowance::default(),
            },
            is_over: false,
        }
    }

    /// Obeys options that stand in one place; their blocks begin and end there.
    pub fn obey_all(&mut self, options: Vec<RawOption>) {
        let items = blocks::parse(options, self.findings);
        self.run(&items, None);
    }

    /// What was read, `$(NAME)`, `@(path)` and `%(key)` replaced.
    pub fn finish(mut self) -> RawConfig {
        while let Some((option, open)) = self.inherited.pop_front() {
            self.open = open;
            if !self.is_over {
                self.include(option);
            }
        }
        let Self { mut raw, sources, context, findings, used, allowance, .. } = self;
        for option in &mut raw.options {
            option.placeholder |= used.contains(&option.key);
        }
        let environment = |name: &str| sources.variable(name);
        vars::expand(&mut raw.options, &environment, &context.cwd, &allowance, findings);
        raw
    }

    /// `each` is what `%(_)` is.
    fn run(&mut self, items: &[Item], each: Option<&str>) {
        for item in items {
            if self.is_over {
                return;
            }
            match item {
                Item::Option(option) => {
                    if let Some(option) = self.substituted(option, each) {
                        self.obey(option);
                    }
                }
                Item::Block(block) => self.block(block, each),
            }
        }
    }

    fn block(&mut self, block: &Block, each: Option<&str>) {
        let Some(mut head) = self.substituted(&block.head, each) else { return };
        self.spend(1, &head.origin);
        self.expand(&mut head);
        if let ("if-opt" | "if-not-opt", Some(key)) =
            (head.key.as_str(), head.value.split('=').next())
        {
            self.used.insert(key.to_owned());
        }
        let sources = self.sources;
        let known = &self.raw.options;
        let scene = Scene {
            cwd: &self.context.cwd,
            environment: &|name| sources.variable(name),
            known,
            is_reload: self.context.is_reload,
            left: &self.allowance,
        };
        match scene.judge(&head, self.findings) {
            Verdict::Yes(value) => self.run(&block.body, value.as_deref().or(each)),
            Verdict::No => self.run(&block.otherwise, each),
            // Line by line, as uWSGI does it: the first for each value, then the second.
            Verdict::Each(values) => {
                self.spend(values.len(), &head.origin);
                for item in &block.body {
                    for value in &values {
                        self.run(std::slice::from_ref(item), Some(value));
                    }
                }
            }
        }
    }

    /// Counts things that are done.
    fn spend(&mut self, count: usize, origin: &Origin) {
        self.left = self.left.saturating_sub(count);
        if self.left == 0 && !self.is_over {
            self.stop();
            let report = Report::new("the configuration becomes too large").at_key(origin);
            self.findings.error(
                report
                    .expected(format!("{MOST} options at most, what loops make of them included")),
            );
        }
    }

    /// A copy in which `%(_)` is `each`; `None` if that is too much, and the end of it all.
    fn substituted(&mut self, option: &RawOption, each: Option<&str>) -> Option<RawOption> {
        const EACH: &str = "%(_)";
        let times = each.map_or(0, |_| option.value.matches(EACH).count());
        let more = times.saturating_mul(each.map_or(0, str::len));
        // What is not in a loop was counted when its file was read.
        let bytes = each.map_or(0, |_| option.value.len()).saturating_add(more);
        if let Err(missing) = self.allowance.spend(bytes) {
            self.stop();
            self.findings.error(missing.report(&format!("`{}`", option.key), &option.origin));
            return None;
        }
        let mut option = option.clone();
        if let Some(each) = each.filter(|_| times > 0) {
            option.value = option.value.replace(EACH, each);
        }
        Some(option)
    }

    fn stop(&mut self) {
        self.is_over = true;
        self.raw.is_partial = true;
    }

    fn obey(&mut self, option: RawOption) {
        self.spend(1, &option.origin);
        match option.key.as_str() {
            "inherit" => self.inherited.push_back((option, self.open.clone())),
            key if is_inclusion(key) => self.include(option),
            key if is_setter(key) => self.set(option),
            "exit" => {
                self.stop();
                let report = Report::new("the configuration ends the start here");
                let report = report.at_key(&option.origin);
                self.findings.error(report.help("`exit` is reached: see the block that it is in"));
            }
            _ => self.raw.options.push(option),
        }
    }

    /// `set = key=value` is `key = value`.
    fn set(&mut self, mut option: RawOption) {
        let Some((key, value)) = option.value.split_once('=') else {
            let report = Report::new(format!("`{}` does not set anything", option.key));
            self.findings.error(report.at_value(&option.origin).expected("`KEY=VALUE`"));
            return;
        };
        let is_option = matches!(lookup(key), Lookup::Exact(_) | Lookup::Known(_));
        let problem = if is_directive(key) {
            Some(format!("`{key}` cannot be set: it needs a line of its own"))
        } else if option.key != "set" && is_option {
            Some(format!("`{key}` is an option, not a placeholder"))
        } else {
            None
        };
        if let Some(problem) = problem {
            self.findings.error(Report::new(problem).at_value(&option.origin));
            return;
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        option.placeholder = true;
        (option.key, option.value) = (key, value);
        self.raw.options.push(option);
    }

    /// Replaces references now, by what was read so far.
    fn expand(&mut self, option: &mut RawOption) {
        let sources = self.sources;
        let environment = |name: &str| sources.variable(name);
        let known = &self.raw.options;
        let cwd = &self.context.cwd;
        let used =
            vars::expand_now(option, known, &environment, cwd, &self.allowance, self.findings);
        self.used.extend(used);
    }

    fn include(&mut self, mut option: RawOption) {
        self.expand(&mut option);
        let read = self.wanted(&option).and_then(|wanted| {
            self.open.push(wanted.clone());
            let read = self.read(&wanted, &option);
            self.open.pop();
            read
        });
        if let Err(report) = read {
            self.raw.is_partial = true;
            self.findings.error(*report);
        }
    }

    /// The file, and the section, that `option` names, unless it cannot be included here.
    fn wanted(&self, option: &RawOption) -> Result<Open, Box<Report>> {
        let report = |text: String| Report::new(text).at_value(&option.origin);
        if option.value.is_empty() {
            let report = report(format!("`{}` names no file", option.key));
            return Err(Box::new(report.expected("FILE or FILE:SECTION")));
        }
        let (path, section) = match (option.value.strip_prefix(':'), self.open.last()) {
            (Some(section), Some(open)) => (open.path.clone(), Some(section.to_owned())),
            (Some(_), None) => {
                let report = report("there is no file that this section could be of".to_owned());
                return Err(Box::new(report.expected("FILE:SECTION")));
            }
            (None, _) => split_section(&option.value),
        };
        if let Some(help) = other_format(&path) {
            let report = report(format!("`{}` is no INI file", path.display()));
            return Err(Box::new(report.help(help)));
        }
        let wanted = Open { path, section };
        let chain: Vec<_> = self.open.iter().map(Open::to_string).collect();
        let chain = chain.join(" → ");
        if self.open.contains(&wanted) {
            let report = report(format!("`{wanted}` includes itself"));
            return Err(Box::new(report.help(format!("{chain} → {wanted}"))));
        }
        if self.open.len() >= DEEPEST {
            let report = report("files include files too deeply".to_owned());
            let report = report.expected(format!("{DEEPEST} levels at most"));
            return Err(Box::new(report.help(chain)));
        }
        Ok(wanted)
    }

    fn read(&mut self, wanted: &Open, option: &RawOption) -> Result<(), Box<Report>> {
        let Open { path, section } = wanted;
        let first = self.first.get_or_insert_with(|| path.clone()).clone();
        let asked = section.as_deref().unwrap_or_default();
        let cwd = &self.context.cwd;
        let magic = Magic::new(path, &first, asked, cwd);
        let resource = Resource::parse(&path.to_string_lossy());
        if matches!(resource, Ok(Resource::File(_))) {
            self.raw.file.get_or_insert_with(|| magic.path().to_owned());
        }
        let bytes = resource
            .and_then(|resource| resource.read(cwd, &self.sources.stdin, &self.allowance))
            .map_err(|missing| unreadable(missing, path, &option.origin, cwd))?;
        let is_included = matches!(option.origin.source, Source::File { .. });
        let included_by = is_included.then(|| Arc::new(option.origin.clone()));
        let shown = if path == Path::new("-") { Path::new("stdin") } else { path };
        let file = IniFile::parse_included(shown, included_by, &bytes, self.findings);
        let found = file.sections.clone();
        let names = section.as_deref().map_or(vec!["uwsgi", "rwsgi"], |section| vec![section]);
        let mut options = file.select(&names).ok_or_else(|| {
            let report = no_section(path, &names, &found);
            Box::new(if is_included { report.at_value(&option.origin) } else { report })
        })?;
        for option in &mut options {
            self.expand_magic(option, &magic);
        }
        self.obey_all(options);
        Ok(())
    }

    fn expand_magic(&mut self, option: &mut RawOption, magic: &Magic) {
        let (key, _) = magic.expand(&option.key);
        if is_strftime(&key) && !option.value.contains("%%") {
            // `%d` is a day there, and the directory only for who writes `%%Y`, as uWSGI wants it.
            option.key = key;
            return;
        }
        let (value, unknown) = magic.expand(&option.value);
        option.key = key;
        option.value = value;
        if matches!(lookup(&option.key), Lookup::Known(known) if known.class != Class::Directive) {
            return;
        }
        for name in unknown {
            let report = Report::new(format!("there is no variable `%{name}`"));
            self.findings.warn(
                report
                    .at_value(&option.origin)
                    .help(format!("it is kept as text: write `%%{name}` if that is meant")),
            );
        }
    }
}

/// Whether the value of `key` has formats of strftime(3), whose `%d` looks like a magic variable.
fn is_strftime(key: &str) -> bool {
    matches!(lookup(key), Lookup::Exact(spec) if matches!(spec.kind, Kind::SwitchOrText | Kind::Encoder))
}

impl std::fmt::Display for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.section {
            Some(section) => write!(f, ":{section}"),
            None => Ok(()),
        }
    }
}

/// `app.ini:section` names a section. A colon before a slash belongs to the path.
fn split_section(text: &str) -> (PathBuf, Option<String>) {
    match text.rsplit_once(':') {
        Some((path, section))
            if !path.is_empty() && !section.is_empty() && !section.contains('/') =>
        {
            (PathBuf::from(path), Some(section.to_owned()))
        }
        _ => (PathBuf::from(text), None),
    }
}

/// What to do about a configuration that is written in another language.
pub fn other_format(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?;
    match extension.to_ascii_lowercase().as_str() {
        "yml" | "yaml" => Some(
            "YAML is not read: write `key = value` below a line `[uwsgi]`, for each entry of a list \
             a line",
        ),
        "json" | "js" => Some(
            "JSON is not read: write `key = value` below a line `[uwsgi]`, for each element of an \
             array a line",
        ),
        "xml" => Some("XML is not read: write `<key>value</key>` as `key = value` below `[uwsgi]`"),
        _ => None,
    }
}

/// Paths are seen from where rwsgi was started; perhaps the including file was meant.
fn unreadable(missing: Missing, path: &Path, origin: &Origin, cwd: &Path) -> Box<Report> {
    let report = missing.report("the INI file cannot be read", origin);
    let Source::File { path: above, .. } = &origin.source else { return Box::new(report) };
    let beside = above.parent().map(|directory| cwd.join(directory).join(path));
    if path.is_relative() && beside.is_some_and(|beside| beside.is_file()) {
        let name = path.display();
        let help = format!("relative paths are seen from where rwsgi is started: write `%d{name}`");
        return Box::new(report.help(help));
    }
    Box::new(report)
}

fn no_section(path: &Path, wanted: &[&str], found: &[String]) -> Report {
    let list = |names: &[&str], word: &str| {
        let names: Vec<_> = names.iter().map(|name| format!("[{name}]")).collect();
        names.join(word)
    };
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let what = format!("there is no section {}", list(wanted, " or "));
    let report = Report::new(format!("{}: {what}", path.display()));
    match found.first() {
        None => report.help("the file has no section: begin it with a line `[rwsgi]`"),
        Some(first) => report.help(format!(
            "it has {}; `{}:{first}` asks for the first",
            list(&found, ", "),
            path.display()
        )),
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
