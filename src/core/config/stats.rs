//! The stats server: `stats` and the options that say how.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Findings, Report, quoted};
use super::listening;
use super::settings::Settings;
use super::value::Value;
use super::{Listen, Protocol};
use crate::address::ListenAddr;

/// What `stats` can be.
const EXPECTED: &str =
    "an address to bind: `HOST:PORT`, the path of a UNIX socket, or `@NAME` (abstract)";

/// Where figures are told to whoever connects, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The address (`stats`): TCP, UNIX or abstract.
    pub listen: Listen,
    /// After the head of an HTTP response (`stats-http`).
    pub http: bool,
    /// Without white space (`stats-minified`).
    pub minified: bool,
    /// Without the threads of workers (`stats-no-cores`).
    #[serde(default)]
    pub coreless: bool,
}

/// The stats server, if there is to be one.
pub(super) fn stats(
    settings: &Settings<'_>,
    base: &Path,
    listeners: &[Listen],
    findings: &mut Findings,
) -> Option<Stats> {
    let Some(setting) = settings.last("stats") else {
        let forms = ["stats-http", "stats-minified", "stats-no-cores"];
        if let Some(form) = settings.all(&forms).find(|_| !settings.failed("stats")) {
            let report = Report::new(format!("{} has no effect", quoted(form.raw)));
            let report = report.at_key(&form.raw.origin);
            findings.warn(report.help("say where: `stats = 127.0.0.1:9191`"));
        }
        return None;
    };
    let Value::Address(address) = &setting.value else { return None };
    let (address, origin) = (listening::absolute(address, base), &setting.raw.origin);
    let wrong = |what: &str| Report::new(format!("{} {what}", quoted(setting.raw)));
    match &address {
        ListenAddr::Systemd(_) | ListenAddr::Fd(_) => {
            let report = wrong("is a socket that somebody else has opened");
            findings.error(report.at_value(origin).expected(EXPECTED));
            return None;
        }
        ListenAddr::Tcp(tcp) if !tcp.ip().is_loopback() => {
            let report = wrong("can be read from other machines, and nobody is asked who he is");
            let remedy = format!("write `stats = 127.0.0.1:{}`", tcp.port());
            findings.warn(report.at_value(origin).help(remedy));
        }
        ListenAddr::Tcp(_) | ListenAddr::Unix(_) | ListenAddr::Abstract(_) => {}
    }
    listening::check_length(&address, origin, findings);
    let is_chosen = matches!(&address, ListenAddr::Tcp(tcp) if tcp.port() == 0);
    if !is_chosen && listeners.iter().any(|listener| listener.address == address) {
        let report = wrong("is the address of a listener, too");
        findings.error(report.at_value(origin).expected("an address of its own"));
        return None;
    }
    Some(Stats {
        listen: listening::listen(address, Protocol::Http, settings),
        http: settings.switch("stats-http"),
        minified: settings.switch("stats-minified"),
        coreless: settings.switch("stats-no-cores"),
    })
}
