//! What is done around the life of the application, and when: `hook-…`, and `exec-…` for commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{self, Action, Order};
use super::error::{Findings, Report, quoted};
use super::paths;
use super::settings::{Setting, Settings};
use super::value::{self, Invalid, Value};

/// How long a command may take, if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(600);

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// The configuration is read.
    Asap,
    /// Nothing is open yet; once.
    PreJail,
    /// The same, again at a reload.
    InJail,
    /// The last moment with the rights of the start; only for root.
    AsRoot,
    /// The process is the user that serves.
    AsUser,
    /// The application is about to be imported.
    PreApp,
    /// It is imported.
    PostApp,
    /// There are to be workers.
    MasterStart,
    /// A worker is there.
    PostFork,
    /// It is about to accept.
    Accepting,
    /// The same, if it is the first of its number and generation.
    AcceptingOnce,
    /// Worker 1 is about to accept.
    Accepting1,
    /// The same, if it is the first of its generation.
    Accepting1Once,
    /// The instance ends.
    AtExit,
    /// A file was touched.
    Touch,
}

/// The options of each stage, in the order in which they run.
const STAGES: [(Stage, &str, &str); 14] = [
    (Stage::Asap, "hook-asap", "exec-asap"),
    (Stage::PreJail, "hook-pre-jail", "exec-pre-jail"),
    (Stage::InJail, "hook-in-jail", "exec-in-jail"),
    (Stage::AsRoot, "hook-as-root", "exec-as-root"),
    (Stage::AsUser, "hook-as-user", "exec-as-user"),
    (Stage::PreApp, "hook-pre-app", "exec-pre-app"),
    (Stage::PostApp, "hook-post-app", "exec-post-app"),
    (Stage::MasterStart, "hook-master-start", ""),
    (Stage::PostFork, "hook-post-fork", ""),
    (Stage::Accepting, "hook-accepting", ""),
    (Stage::AcceptingOnce, "hook-accepting-once", ""),
    (Stage::Accepting1, "hook-accepting1", ""),
    (Stage::Accepting1Once, "hook-accepting1-once", ""),
    (Stage::AtExit, "hook-as-user-atexit", "exec-as-user-atexit"),
];

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When it runs.
    pub stage: Stage,
    /// The option.
    pub option: String,
    /// As written, unless it is secret.
    pub shown: Option<String>,
    /// Where: `shop.ini:7:9`.
    pub place: String,
    /// What it does.
    pub action: Action,
}

impl Hook {
    fn new(setting: &Setting<'_>, stage: Stage, order: Order) -> Self {
        Self {
            stage,
            option: setting.spec.name.to_owned(),
            shown: (!order.secret).then(|| setting.raw.value.clone()),
            place: setting.raw.origin.to_string(),
            action: order.action,
        }
    }
}

/// All hooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Those of the life of the instance, in the order in which they run.
    pub all: Vec<Hook>,
    /// Those of files that are touched, absolute (`hook-touch`).
    pub touch: Vec<(PathBuf, Hook)>,
    /// How long a command may take (`hook-timeout`); `None`: for ever.
    pub timeout: Option<Duration>,
}

impl Hooks {
    /// Those of one stage.
    pub fn of(&self, stage: Stage) -> impl Iterator<Item = &Hook> {
        self.all.iter().filter(move |hook| hook.stage == stage)
    }

    /// How long the processes of the application may take for them, beside what they take themselves;
    /// `None`: for ever.
    pub fn patience(&self) -> Option<Duration> {
        let theirs = |stage| (Stage::Asap..Stage::AtExit).contains(&stage);
        let commands = self
            .all
            .iter()
            .filter(|hook| theirs(hook.stage) && matches!(hook.action, Action::Exec { .. }));
        match u32::try_from(commands.count()) {
            Ok(0) => Some(Duration::ZERO),
            Ok(count) => self.timeout.map(|timeout| timeout * count),
            Err(_) => None,
        }
    }
}

/// The hooks, in uWSGI's order: by stage, and in each those of `hook-…` first. Files that are touched are
/// relative to `base`.
pub(super) fn hooks(settings: &Settings<'_>, base: &Path, findings: &mut Findings) -> Hooks {
    let mut all = Vec::new();
    for (stage, hook, exec) in STAGES {
        for setting in settings.each(hook).chain(settings.each(exec)) {
            let Value::Order(order) = &setting.value else { continue };
            if order.action == Action::AlwaysSo {
                let report =
                    Report::new(format!("{} is not needed: it is always so", quoted(setting.raw)));
                findings.inform(report.at_value(&setting.raw.origin));
                continue;
            }
            all.push(Hook::new(setting, stage, (**order).clone()));
        }
    }
    let mut touch = Vec::new();
    for setting in settings.each("hook-touch") {
        let Value::Touch(path, order) = &setting.value else { continue };
        let path = paths::absolute(base, path);
        if let Action::Enter(_) | Action::SetVariable(..) | Action::AlwaysSo = order.action {
            let report = Report::new(format!("{} has no effect", quoted(setting.raw)));
            findings.warn(report.at_value(&setting.raw.origin).help("nothing follows it"));
            continue;
        }
        touch.push((path, Hook::new(setting, Stage::Touch, (**order).clone())));
    }
    let timeout = settings.number("hook-timeout").map_or(TIMEOUT, Duration::from_secs);
    Hooks { all, touch, timeout: (!timeout.is_zero()).then_some(timeout) }
}

/// Reads the value of `hook-touch`.
pub(super) fn touch(text: &str) -> Result<Value, Invalid> {
    let Some((path, order)) = text.split_once(' ') else {
        return Err(Invalid::new("does not say what is to be done")
            .help("write the file, a blank and the action: `/run/flush exec:./flush`"));
    };
    match value::path(path)? {
        Value::Path(path) => Ok(Value::Touch(path, Box::new(action::order(order.trim_start())?))),
        other => Ok(other),
    }
}

/// Reads the value of `exec-…`.
pub(super) fn command(text: &str) -> Result<Value, Invalid> {
    let action = action::command(text, true)?;
    Ok(Value::Order(Box::new(Order { action, secret: false })))
}

#[cfg(test)]
mod tests {
    use super::super::raw::{RawConfig, RawOption};
    use super::*;

    fn read(options: &[(&str, &str)]) -> (Hooks, Findings) {
        let options = options
            .iter()
            .map(|(key, value)| RawOption::argument(key, value, 2, &format!("--{key}={value}")));
        let raw = RawConfig { options: options.collect(), ..RawConfig::default() };
        let mut findings = Findings::default();
        let settings = Settings::read(&raw, &mut findings);
        (hooks(&settings, Path::new("/srv/shop"), &mut findings), findings)
    }

    #[test]
    fn they_run_by_stage_and_hooks_before_commands() {
        let (hooks, findings) = read(&[
            ("exec-pre-app", "second"),
            ("hook-post-fork", "cd:/x"),
            ("hook-pre-app", "exec:first"),
            ("exec-asap", "zeroth"),
            ("hook-touch", "flush print:it is flushed"),
        ]);
        assert!(findings.errors.is_empty(), "{:?}", findings.errors);
        let order: Vec<_> = hooks.all.iter().map(|hook| hook.option.as_str()).collect();
        assert_eq!(order, ["exec-asap", "hook-pre-app", "exec-pre-app", "hook-post-fork"]);
        assert_eq!(hooks.touch[0].0, Path::new("/srv/shop/flush"));
        assert_eq!(hooks.of(Stage::PreApp).count(), 2);
        assert_eq!(hooks.patience(), Some(TIMEOUT * 3));
        assert_eq!(read(&[("exec-asap", "x"), ("hook-timeout", "0")]).0.patience(), None);
        assert_eq!(read(&[("hook-touch", "x exec:y")]).0.patience(), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_always_so_is_told_and_runs_nowhere() {
        let (hooks, findings) =
            read(&[("hook-master-start", "unix_signal:15 gracefully_kill_them_all")]);
        assert!(hooks.all.is_empty() && findings.errors.is_empty());
        assert!(findings.warnings[0].to_string().contains("is not needed"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value, problem) in [
            ("hook-touch", "flush", "does not say what is to be done"),
            ("hook-touch", "flush flush", "names no action"),
            ("exec-pre-app", " ", "no command"),
            ("hook-pre-app", "exec", "names no action"),
            ("hook-timeout", "soon", "not"),
        ] {
            let (_, findings) = read(&[(key, value)]);
            let error = findings.errors.first().map(ToString::to_string).unwrap_or_default();
            assert!(error.contains(problem), "{key}: {error}");
        }
    }
}
