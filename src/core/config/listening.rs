//! Where to listen, from `http`, `socket` and what systemd passed.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::{Findings, Report, quoted};
use super::raw::{Origin, RawOption};
use super::settings::{Setting, Settings};
use super::value::Value;
use super::{Context, Listen, Protocol, ProxyProtocol, paths};
use crate::address::ListenAddr;

/// The options that name a listener.
const LISTENERS: [&str; 3] = ["http", "socket", "uwsgi-socket"];

/// The listeners; empty only together with an error.
pub(super) fn listeners(
    settings: &Settings<'_>,
    context: &Context,
    base: &Path,
    findings: &mut Findings,
) -> Vec<Listen> {
    let word = settings.word("protocol");
    let mut listeners = Vec::new();
    let mut unspoken: Vec<(&RawOption, &str)> = settings.unspoken.clone();
    for setting in settings.all(&LISTENERS) {
        let protocol = match (setting.spec.name, word.as_deref()) {
            ("http", _) | ("socket", Some("http")) => Protocol::Http,
            ("uwsgi-socket", _) | ("socket", Some("uwsgi")) => Protocol::Uwsgi,
            _ => {
                unspoken.push((setting.raw, "this version speaks HTTP and the uwsgi protocol"));
                continue;
            }
        };
        if let Some(address) = address(setting, base, &listeners, findings) {
            listeners.push(listen(address, protocol, settings));
        }
    }
    if listeners.is_empty() {
        for name in &context.inherited {
            let address = ListenAddr::Systemd(name.clone());
            let protocol = inherited_protocol(settings);
            let protocol = protocol.unwrap_or_else(|| Protocol::by_name(name));
            if !listeners.iter().any(|listener| listener.address == address) {
                listeners.push(listen(address, protocol, settings));
            }
        }
    }
    let missing = listeners.is_empty() && !LISTENERS.iter().any(|name| settings.failed(name));
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
    listeners
}

/// What is spoken on a socket of systemd that no option names, where `protocol` is written.
pub(super) fn inherited_protocol(settings: &Settings<'_>) -> Option<Protocol> {
    match &settings.last("protocol")?.value {
        Value::Text(word) if word == "uwsgi" => Some(Protocol::Uwsgi),
        _ => Some(Protocol::Http),
    }
}

/// Which listeners expect the PROXY protocol.
pub(super) fn proxy_protocol(
    settings: &Settings<'_>,
    listeners: &[Listen],
    base: &Path,
    findings: &mut Findings,
) -> ProxyProtocol {
    let mut expected = ProxyProtocol::default();
    for setting in settings.all(&["proxy-protocol"]) {
        match &setting.value {
            Value::Switch(everywhere) => expected.everywhere = *everywhere,
            Value::Address(address) => {
                let address = absolute(address, base);
                if !listeners.iter().any(|listener| listener.address == address) {
                    let report = Report::new(format!(
                        "{} is no address that is listened at",
                        quoted(setting.raw)
                    ));
                    let report = report.at_value(&setting.raw.origin);
                    findings.error(report.expected(setting.spec.kind.expected()));
                }
                expected.addresses.push(address);
            }
            _ => {}
        }
    }
    expected
}

pub(super) fn absolute(address: &ListenAddr, base: &Path) -> ListenAddr {
    match address {
        ListenAddr::Unix(path) => ListenAddr::Unix(paths::absolute(base, path)),
        other => other.clone(),
    }
}

/// The address of a listener; `None` when it is one of `others` already.
fn address(
    setting: &Setting<'_>,
    base: &Path,
    others: &[Listen],
    findings: &mut Findings,
) -> Option<ListenAddr> {
    let Value::Address(address) = &setting.value else { return None };
    let origin = &setting.raw.origin;
    let address = absolute(address, base);
    check_length(&address, origin, findings);
    if let ListenAddr::Unix(path) = &address
        && let Err(obstacle) = paths::parent(path)
    {
        let subject = format!("{} cannot be made", quoted(setting.raw));
        findings.warn(obstacle.report(&subject, origin));
    }
    let port_is_chosen = matches!(&address, ListenAddr::Tcp(tcp) if tcp.port() == 0);
    let is_known = others.iter().any(|listener| listener.address == address);
    if is_known && !port_is_chosen {
        findings.warn(Report::new(format!("`{address}` is named twice")).at_value(origin));
        return None;
    }
    Some(address)
}

/// The most bytes of a UNIX socket's name, by unix(7).
const LONGEST: usize = 107;

pub(super) fn check_length(address: &ListenAddr, origin: &Origin, findings: &mut Findings) {
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
    report.help(format!("write `http = {0}` or `uwsgi-socket = {0}`", option.value))
}

/// A listener with the mode and the owner of all of them.
pub(super) fn listen(address: ListenAddr, protocol: Protocol, settings: &Settings<'_>) -> Listen {
    let owner = match settings.value("chown-socket") {
        Some(Value::Owner(user, group)) => Some((user, group)),
        _ => None,
    };
    let mode = settings.small("chmod-socket").unwrap_or(0o660);
    Listen { address, protocol, mode, owner }
}
