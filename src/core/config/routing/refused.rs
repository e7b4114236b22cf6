//! Actions that a rule cannot have, and what to write in their place.

use super::phase::Phase;
use super::{Invalid, action};

/// Actions of uWSGI and its plugins that rwsgi does not have.
pub(super) const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "http",
            "httpdumb",
            "httpconnect",
            "proxyhttp",
            "proxyhttpconnect",
            "uwsgi",
            "proxyuwsgi",
            "hash",
            "cgi",
            "cgihelper",
            "fastcgi",
            "scgi",
        ],
        "rwsgi is no proxy: write it in the web server before it",
    ),
    (
        &[
            "cache",
            "cache-continue",
            "cache-store",
            "cachestore",
            "cacheset",
            "cachevar",
            "cacheinc",
            "cachedec",
            "cachemul",
            "cachediv",
            "memcached",
            "memcached-continue",
            "memcached-store",
            "memcachedstore",
            "redis",
            "redis-continue",
            "redis-store",
            "redisstore",
        ],
        "responses are cached by the web server before rwsgi, or by a middleware, which has uwsgi.cache_get()",
    ),
    (
        &["file", "file-next", "sendfile", "sendfile-next", "fastfile", "fastfile-next"],
        "write `static:FILE`, which is sent by the kernel where it can be",
    ),
    (
        &["static-next"],
        "write `route-if = isfile:FILE static:FILE`, which leaves the request alone without that file",
    ),
    (
        &["expires"],
        "write `addheader:Expires: ${httptime[SECONDS]}`, or `static-expires` for files",
    ),
    (
        &["harakiri"],
        "`harakiri` is for every request; one sets its own by uwsgi.set_user_harakiri()",
    ),
    (
        &[
            "gzip", "chunked", "toupper", "template", "tofile", "to-file", "offload", "ssi",
            "xslt", "toxslt",
        ],
        "bodies are sent as the application makes them: write a middleware",
    ),
    (
        &["flush", "fixcl", "forcecl"],
        "remove it: rwsgi sends what the application yields at once, and knows the length of what it has whole",
    ),
    (
        &["send", "send-crnl", "disableheaders"],
        "the head of a response is always whole: write `addheader`",
    ),
    (&["+", "-", "*", "/"], "there is no arithmetic in rules: compute it in the application"),
    (
        &["setapp", "sethome", "setfile", "setmodifier1", "setmodifier2", "xmldir", "gridfs"],
        "the application of a request is chosen by its path: write `mount`",
    ),
    (
        &["chdir", "setprocname"],
        "it would be for all requests of the worker: write `chdir` or `procname` for the instance",
    ),
    (
        &["ldapauth", "ldapauth-next", "radius", "radius-next", "spnego", "spnego-next", "access"],
        "there is `basicauth`; other ways to ask who it is are for the web server or a middleware",
    ),
    (
        &["metricinc", "metricdec", "metricmul", "metricdiv", "metricset"],
        "there are no metrics to set: `rwsgi status` and `stats` count requests",
    ),
    (
        &[
            "call",
            "rpc",
            "rpcret",
            "rpcblob",
            "rpcnext",
            "rpcraw",
            "rpcvar",
            "signal",
            "symcall",
            "symcall-next",
            "alarm",
        ],
        "rules call nothing: write a middleware",
    ),
];

/// What is said of an action that is not there.
pub(super) fn unknown(name: &str) -> Invalid {
    let problem = format!("has the action `{name}`, which rwsgi does not have");
    let advice = REFUSED.iter().find(|(names, _)| names.contains(&name)).map(|(_, advice)| *advice);
    Invalid::new(problem).help(advice.map_or_else(all, str::to_owned))
}

/// What there is.
fn all() -> String {
    let names: Vec<_> = action::names().collect();
    format!("there are {}; the rest is for the web server or a middleware", names.join(", "))
}

/// What is said of an action that comes too late, or too early.
pub(super) fn in_phase(name: &str, phase: Phase) -> Invalid {
    let (when, help) = match phase {
        Phase::Request => ("before there is a response", "write it as `response-route`"),
        Phase::Error | Phase::Response if name.starts_with("set") => {
            ("after the application has run", "write it as `route`, or `addvar` for the log")
        }
        Phase::Error | Phase::Response => ("after the application has run", "write it as `route`"),
        Phase::Final => ("after the response has left", "write it as `route` or `response-route`"),
    };
    Invalid::new(format!("has the action `{name}` {when}")).help(help)
}
