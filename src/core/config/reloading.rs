//! How a new generation proves itself, how it takes over, and what starts one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Findings, Report, quoted};
use super::paths;
use super::settings::Settings;
use super::value::{Invalid, Value};

/// Reloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloading {
    /// What a new worker has to answer (`reload-probe`).
    pub probe: Option<Probe>,
    /// How long that may take (`reload-probe-timeout`).
    pub probe_timeout: Duration,
    /// How many workers are started at a time (`reload-overlap`); `u32::MAX`: all.
    pub overlap: u32,
    /// How long the application may take to be imported (`import-timeout`); `None`: for ever.
    pub import_timeout: Option<Duration>,
    /// Files that start a reload, absolute (`touch-reload`).
    pub touch: Vec<PathBuf>,
    /// Files that start a replacement of all workers, absolute (`touch-workers-reload`,
    /// `touch-chain-reload`).
    pub touch_workers: Vec<PathBuf>,
    /// Files that have the log opened anew, absolute (`touch-logreopen`).
    pub touch_log_reopen: Vec<PathBuf>,
    /// Files that have the log renamed and begun anew, absolute (`touch-logrotate`).
    pub touch_log_rotate: Vec<PathBuf>,
    /// A module that changes starts a reload after this time (`py-autoreload`).
    pub autoreload: Option<Duration>,
}

/// A request that has to be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked for.
    pub path: String,
    /// `Host`.
    pub host: String,
}

impl Default for Reloading {
    fn default() -> Self {
        Self {
            probe: None,
            probe_timeout: Duration::from_secs(10),
            overlap: 1,
            import_timeout: Some(Duration::from_secs(600)),
            touch: Vec::new(),
            touch_workers: Vec::new(),
            touch_log_reopen: Vec::new(),
            touch_log_rotate: Vec::new(),
            autoreload: None,
        }
    }
}

/// A path, or a URL whose host is the one to name.
pub(super) fn probe(text: &str) -> Result<Value, Invalid> {
    let (host, path) = if let Some(rest) = text.strip_prefix("http://") {
        let slash = rest.find('/').ok_or_else(|| {
            Invalid::new("has no path").help(format!("write `{text}/`, if that is meant"))
        })?;
        rest.split_at(slash)
    } else if text.starts_with('/') {
        ("localhost", text)
    } else {
        return Err(Invalid::new("is neither a path nor a URL of http"));
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if host.is_empty() || !plain(host) || host.contains('@') {
        return Err(Invalid::new("has no host that can be sent"));
    }
    if !plain(path) {
        return Err(Invalid::new("has characters that a URL cannot have")
            .help("write them as in `/caf%C3%A9`, with each `%` twice in an INI file"));
    }
    Ok(Value::Probe(Probe { path: path.to_owned(), host: host.to_owned() }))
}

/// What the options of this group mean. Files are relative to `base`.
pub(super) fn reloading(
    settings: &Settings<'_>,
    base: &Path,
    findings: &mut Findings,
) -> Reloading {
    let default = Reloading::default();
    let given = |name: &str| settings.number(name).map(Duration::from_secs);
    let probe = match settings.value("reload-probe") {
        Some(Value::Probe(probe)) => Some(probe),
        _ => None,
    };
    if let (Some(setting), None) = (settings.last("reload-probe-timeout"), &probe) {
        let report = Report::new(format!("{} has no effect", quoted(setting.raw)));
        findings.warn(report.at_key(&setting.raw.origin).help("name a path in `reload-probe`"));
    }
    let overlap = match settings.value("reload-overlap") {
        Some(Value::Text(_)) => u32::MAX,
        Some(Value::Number(number)) => u32::try_from(number).unwrap_or(u32::MAX),
        _ => default.overlap,
    };
    Reloading {
        probe,
        probe_timeout: given("reload-probe-timeout").unwrap_or(default.probe_timeout),
        overlap,
        import_timeout: given("import-timeout").filter(|time| !time.is_zero()),
        touch: files(settings, &["touch-reload"], base, findings),
        touch_workers: files(
            settings,
            &["touch-workers-reload", "touch-chain-reload"],
            base,
            findings,
        ),
        touch_log_reopen: files(settings, &["touch-logreopen"], base, findings),
        touch_log_rotate: files(settings, &["touch-logrotate"], base, findings),
        autoreload: given("py-autoreload").filter(|time| !time.is_zero()),
    }
}

/// A file that is missing is not wrong: it counts as soon as it is made.
fn files(
    settings: &Settings<'_>,
    names: &[&str],
    base: &Path,
    findings: &mut Findings,
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for setting in settings.all(names) {
        let Value::Path(path) = &setting.value else { continue };
        let path = paths::absolute(base, path);
        if !path.exists() {
            let message = format!("{}: `{}` does not exist", quoted(setting.raw), path.display());
            let report = Report::new(message).at_value(&setting.raw.origin);
            findings.warn(report.help("to make it will count as a touch"));
        }
        files.push(path);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), String> {
        match probe(text) {
            Ok(Value::Probe(Probe { path, host })) => Ok((host, path)),
            Ok(other) => panic!("{other:?}"),
            Err(invalid) => Err(invalid.problem),
        }
    }

    #[test]
    fn a_probe_is_a_path_or_a_url_with_one() {
        let ok = |host: &str, path: &str| Ok((host.to_owned(), path.to_owned()));
        assert_eq!(read("/healthz?deep=1"), ok("localhost", "/healthz?deep=1"));
        assert_eq!(read("http://shop.example:8000/"), ok("shop.example:8000", "/"));
        for bad in ["healthz", "https://shop/", "http://shop", "http:///x", "/a b", "/x\r\nA: b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
