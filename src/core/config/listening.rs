//! Where to listen, from `http`, `socket` and what systemd passed.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::{Findings, Report, quoted};
use super::raw::{Origin, RawOption};
use super::settings::{Setting, Settings};
use super::value::Value;
use super::{Context, Listen, Protocol, paths};
use crate::address::ListenAddr;

/// The listeners; empty only together with an error.
pub(super) fn listeners(
    settings: &Settings<'_>,
    context: &Context,
    base: &Path,
    findings: &mut Findings,
) -> Vec<Listen> {
    let sockets_speak_http = settings.word("protocol").as_deref() == Some("http");
    let mut addresses = Vec::new();
    let mut unspoken: Vec<(&RawOption, &str)> = settings.unspoken.clone();
    for setting in settings.all(&["http", "socket"]) {
        if setting.spec.name == "http" || sockets_speak_http {
            add(setting, base, &mut addresses, findings);
        } else {
            unspoken.push((setting.raw, "this version speaks HTTP only"));
        }
    }
    if addresses.is_empty() {
        for name in &context.inherited {
            let address = ListenAddr::Systemd(name.clone());
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    let missing = addresses.is_empty() && !settings.failed("http") && !settings.failed("socket");
    if missing && unspoken.is_empty() {
        findings.error(
            Report::new("there is nowhere to listen")
                .help("add a line such as\nhttp = 127.0.0.1:8000"),
        );
    }
    for (option, why) in unspoken {
        let report = decline(option, why);
        if missing { findings.error(report) } else { findings.warn(report) }
    }
    addresses.into_iter().map(|address| listen(address, settings)).collect()
}

fn add(
    setting: &Setting<'_>,
    base: &Path,
    addresses: &mut Vec<ListenAddr>,
    findings: &mut Findings,
) {
    let Value::Address(address) = &setting.value else { return };
    let origin = &setting.raw.origin;
    let address = match address {
        ListenAddr::Unix(path) => ListenAddr::Unix(paths::absolute(base, path)),
        other => other.clone(),
    };
    check_length(&address, origin, findings);
    if let ListenAddr::Unix(path) = &address
        && let Err(obstacle) = paths::parent(path)
    {
        let subject = format!("{} cannot be made", quoted(setting.raw));
        findings.warn(obstacle.report(&subject, origin));
    }
    let port_is_chosen = matches!(&address, ListenAddr::Tcp(tcp) if tcp.port() == 0);
    if addresses.contains(&address) && !port_is_chosen {
        findings.warn(Report::new(format!("`{address}` is named twice")).at_value(origin));
    } else {
        addresses.push(address);
    }
}

/// The most bytes of a UNIX socket's name, by unix(7).
const LONGEST: usize = 107;

fn check_length(address: &ListenAddr, origin: &Origin, findings: &mut Findings) {
    let length = match address {
        ListenAddr::Unix(path) => path.as_os_str().as_bytes().len(),
        ListenAddr::Abstract(name) => name.len(),
        ListenAddr::Tcp(_) | ListenAddr::Systemd(_) | ListenAddr::Fd(_) => 0,
    };
    if length > LONGEST {
        let report = Report::new(format!("the name of the socket, `{address}`, is too long"));
        findings.error(report.at_value(origin).expected(format!("at most {LONGEST} bytes")));
    }
}

fn decline(option: &RawOption, why: &str) -> Report {
    let report =
        Report::new(format!("{} is not opened: {why}", quoted(option))).at_value(&option.origin);
    if option.key.starts_with("fastcgi") || option.key.starts_with("scgi") {
        return report.help(format!("write `http = {}`", option.value));
    }
    let address = &option.value;
    let upstream = if address.contains('/') {
        format!("http://unix:{address}")
    } else {
        format!("http://{address}")
    };
    report.help(format!(
        "write `http = {address}`, and in nginx `proxy_pass {upstream};` in place of `uwsgi_pass`"
    ))
}

fn listen(address: ListenAddr, settings: &Settings<'_>) -> Listen {
    let owner = match settings.value("chown-socket") {
        Some(Value::Owner(user, group)) => Some((user, group)),
        _ => None,
    };
    let mode = settings.small("chmod-socket").unwrap_or(0o660);
    Listen { address, protocol: Protocol::Http, mode, owner }
}
