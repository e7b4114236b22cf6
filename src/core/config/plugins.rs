//! uWSGI's plugins: which of them rwsgi has something for, and the options of those that are none of
//! its business.

use std::borrow::Cow;

use super::known::Class::Refused;
use super::known::{KNOWN, Known, MISSED, NOT_NEEDED, valued};

/// Whether rwsgi itself does what this plugin is for, or says of each of its options and actions what
/// becomes of it.
pub(super) fn is_built_in(plugin: &str) -> bool {
    let is_python3 = plugin == "python" || plugin.starts_with("python3");
    is_python3 || plugin.starts_with("router_") || BUILT_IN.contains(&plugin)
}

const BUILT_IN: &[&str] = &[
    "http",
    "corerouter",
    "cache",
    "cheaper_backlog2",
    "cheaper_busyness",
    "logfile",
    "logsocket",
    "rsyslog",
    "signal",
    "syslog",
    "systemd_logger",
];

/// The plugins that a value of `plugins` names and rwsgi has nothing for, each with the answer to the
/// option of the same name, if there is one.
pub(super) fn missing(value: &str) -> Vec<(&str, Option<&'static Known>)> {
    let words = value.split([',', ' ', '\t']).map(name).filter(|name| !name.is_empty());
    let missing = words.filter(|name| !is_built_in(name));
    let option = |name: &str| name.replace('_', "-");
    missing.map(|name| (name, KNOWN.iter().find(|known| known.has(&option(name))))).collect()
}

/// As [`Known::answer`], where `why` is that of a value with nothing missing.
pub(super) fn answer(value: &str, why: &'static str) -> (&'static str, Cow<'static, str>) {
    let names: Vec<_> = missing(value).into_iter().map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() {
        return (NOT_NEEDED, why.into());
    }
    (MISSED, format!("rwsgi has nothing for {}", names.join(", ")).into())
}

/// `python3` for `0:/usr/lib/uwsgi/plugins/python3_plugin.so`.
fn name(written: &str) -> &str {
    let file = written.rsplit(['/', ':']).next().unwrap_or(written);
    file.strip_suffix("_plugin.so").unwrap_or(file)
}

/// The options of the emperor, and those that it has for its vassals.
pub(super) const EMPEROR: &[&str] = &[
    "emperor",
    "early-emperor",
    "broodlord",
    "emperor-broodlord",
    "emperor-cap",
    "emperor-curse-tolerance",
    "emperor-extra-ext",
    "emperor-extra-extension",
    "emperor-freq",
    "emperor-graceful-shutdown",
    "emperor-magic-exec",
    "emperor-max-throttle",
    "emperor-no-blacklist",
    "emperor-nofollow",
    "emperor-on-demand-dir",
    "emperor-on-demand-directory",
    "emperor-on-demand-exec",
    "emperor-on-demand-ext",
    "emperor-on-demand-extension",
    "emperor-pidfile",
    "emperor-procname",
    "emperor-proxy-socket",
    "emperor-required-heartbeat",
    "emperor-stats",
    "emperor-stats-server",
    "emperor-throttle",
    "emperor-tyrant",
    "emperor-tyrant-nofollow",
    "emperor-use-clone",
    "emperor-wrapper",
    "emperor-wrapper-fallback",
    "emperor-wrapper-override",
    "vassal-cap",
    "vassals-cap",
    "vassal-set",
    "vassals-set",
    "vassals-include",
    "vassals-include-before",
    "vassals-inherit",
    "vassals-inherit-before",
    "vassals-start-hook",
    "vassals-stop-hook",
];

/// What only says how a router does its work.
pub(super) const ROUTER_SETTINGS: &[&str] = &[
    "fastrouter-buffer-size",
    "fastrouter-events",
    "fastrouter-fallback",
    "fastrouter-gid",
    "fastrouter-gracetime",
    "fastrouter-harakiri",
    "fastrouter-post-buffering",
    "fastrouter-post-buffering-dir",
    "fastrouter-processes",
    "fastrouter-quiet",
    "fastrouter-resubscribe",
    "fastrouter-resubscribe-bind",
    "fastrouter-subscription-fallback-key",
    "fastrouter-timeout",
    "fastrouter-to",
    "fastrouter-uid",
    "fastrouter-use-base",
    "fastrouter-use-cache",
    "fastrouter-use-code-string",
    "fastrouter-use-pattern",
    "fastrouter-use-socket",
    "fastrouter-workers",
    "fastrouter-zerg",
    "rawrouter-buffer-size",
    "rawrouter-events",
    "rawrouter-fallback",
    "rawrouter-gracetime",
    "rawrouter-harakiri",
    "rawrouter-max-retries",
    "rawrouter-processes",
    "rawrouter-quiet",
    "rawrouter-timeout",
    "rawrouter-to",
    "rawrouter-use-base",
    "rawrouter-use-cache",
    "rawrouter-use-code-string",
    "rawrouter-use-pattern",
    "rawrouter-use-socket",
    "rawrouter-workers",
    "rawrouter-zerg",
    "sslrouter-buffer-size",
    "sslrouter-events",
    "sslrouter-fallback",
    "sslrouter-gracetime",
    "sslrouter-harakiri",
    "sslrouter-max-retries",
    "sslrouter-processes",
    "sslrouter-quiet",
    "sslrouter-session-context",
    "sslrouter-timeout",
    "sslrouter-to",
    "sslrouter-use-base",
    "sslrouter-use-cache",
    "sslrouter-use-code-string",
    "sslrouter-use-pattern",
    "sslrouter-use-socket",
    "sslrouter-workers",
    "sslrouter-zerg",
    "forkptyrouter-cmd",
    "forkptyrouter-cols",
    "forkptyrouter-command",
    "forkptyrouter-events",
    "forkptyrouter-fallback",
    "forkptyrouter-harakiri",
    "forkptyrouter-processes",
    "forkptyrouter-rows",
    "forkptyrouter-timeout",
    "forkptyrouter-workers",
    "forkptyrouter-zerg",
    "forkpty-router-cmd",
    "forkpty-router-command",
];

/// The same, without a value.
pub(super) const ROUTER_SWITCHES: &[&str] = &[
    "fastrouter-cheap",
    "fastrouter-fallback-on-no-key",
    "rawrouter-cheap",
    "rawrouter-xclient",
    "sslrouter-cheap",
    "sslrouter-sni",
    "forkptyrouter-cheap",
];

/// What tells of them.
pub(super) const ROUTER_STATS: &[&str] = &[
    "http-stats",
    "http-stats-server",
    "http-ss",
    "fastrouter-stats",
    "fastrouter-stats-server",
    "fastrouter-ss",
    "rawrouter-stats",
    "rawrouter-stats-server",
    "rawrouter-ss",
    "sslrouter-stats",
    "sslrouter-stats-server",
    "sslrouter-ss",
    "forkptyrouter-stats",
    "forkptyrouter-stats-server",
    "forkptyrouter-ss",
];

/// Those of plugins that do something else than serve a WSGI application.
pub(super) const OPTIONS: &[Known] = &[
    valued(
        &[
            "fastrouter",
            "rawrouter",
            "sslrouter",
            "sslrouter2",
            "forkptyrouter",
            "forkptyurouter",
            "forkpty-router",
            "forkpty-urouter",
            "tuntap-router",
        ],
        Refused("there is no router process, and nobody would find anything there"),
    )
    .instead("have a web server or HAProxy pass what comes in to the instances"),
    valued(
        &[
            "cgi",
            "cgi-allowed-ext",
            "cgi-async-max-attempts",
            "cgi-buffer-size",
            "cgi-close-stdin-on-eof",
            "cgi-do-not-kill-on-error",
            "cgi-from-docroot",
            "cgi-helper",
            "cgi-index",
            "cgi-loadlib",
            "cgi-map-helper",
            "cgi-optimize",
            "cgi-optimized",
            "cgi-path-info",
            "cgi-safe",
            "cgi-timeout",
            "cgi-unset",
        ],
        Refused("rwsgi serves a WSGI application, and no CGI programs beside it"),
    )
    .instead("have the web server before rwsgi run them"),
    valued(
        &[
            "webdav-add-collection-prop",
            "webdav-add-collection-prop-comp",
            "webdav-add-collection-prop-href",
            "webdav-add-object-prop",
            "webdav-add-object-prop-comp",
            "webdav-add-object-prop-href",
            "webdav-add-option",
            "webdav-add-prop",
            "webdav-add-prop-comp",
            "webdav-add-prop-href",
            "webdav-add-rtype-collection-prop",
            "webdav-add-rtype-object-prop",
            "webdav-add-rtype-prop",
            "webdav-class-directory",
            "webdav-css",
            "webdav-div",
            "webdav-javascript",
            "webdav-js",
            "webdav-lock-cache",
            "webdav-mount",
            "webdav-principal-base",
            "webdav-skip-prop",
        ],
        Refused("rwsgi serves no WebDAV"),
    )
    .instead("have the web server before rwsgi do it, or an application such as WsgiDAV"),
    valued(
        &[
            "tuntap-device",
            "tuntap-device-rule",
            "tuntap-router-firewall-in",
            "tuntap-router-firewall-out",
            "tuntap-router-route",
            "tuntap-router-stats",
            "tuntap-use-credentials",
            "pty-connect",
            "pty-exec",
            "pty-input",
            "pty-log",
            "pty-no-isig",
            "pty-socket",
            "pty-uconnect",
        ],
        Refused("rwsgi has neither networks nor terminals of its own"),
    ),
    // Families as a whole: the options of other languages are of no use here, whatever comes after.
    valued(
        &[
            "psgi",
            "perl-*",
            "plshell",
            "plshell-oneshot",
            "php-*",
            "rack",
            "rails",
            "rb-*",
            "ruby-*",
            "rbrequire",
            "rubyrequire",
            "rbshell",
            "rbshell-oneshot",
            "rbthreads",
            "gemset",
            "rvm-*",
            "lua",
            "lua-*",
            "luashell",
            "jvm-*",
            "jwsgi",
            "ring-*",
            "clojure-*",
            "mono-*",
            "v8-*",
            "gccgo",
            "gccgo-*",
            "go",
            "go-*",
            "goroutines",
            "pypy-*",
            "erlang",
            "erlang-*",
            "coroae",
            "fiber",
        ],
        Refused("rwsgi serves applications of CPython, and of no other language"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rwsgi_has_nothing_for_is_missing() {
        let names = |value| missing(value).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let built_in = "python, python3 python311,http,router_static,0:/usr/lib/python3_plugin.so";
        assert_eq!(names(built_in), Vec::<&str>::new());
        assert_eq!(names("python3,gevent,/x/psgi_plugin.so"), ["gevent", "psgi"]);
        assert!(missing("gevent")[0].1.is_some() && missing("ssi")[0].1.is_none());
    }
}
