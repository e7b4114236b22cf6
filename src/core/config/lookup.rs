//! From a name, as written, to the option that is meant. INI keys and arguments obey the same rules.

use super::error::Report;
use super::known::{KNOWN, Known};
use super::options::{OPTIONS, OptionSpec};
use super::raw::RawOption;

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// An option, by its name or an alias.
    Exact(&'static OptionSpec),
    /// An option, by the beginning of its name.
    Prefix(&'static OptionSpec),
    /// An option of uWSGI that rwsgi does not have.
    Known(&'static Known),
    /// The same by the beginning of its name, which is given.
    KnownPrefix(&'static Known, &'static str),
    /// Nothing; names that resemble it, best first.
    Unknown(Vec<&'static str>),
}

/// Finds what `name` means: exactly, as a member of a known family, or as the beginning of one
/// name only.
///
/// Where several names begin so, the plural is meant, if there is one: `thread` is `threads`, in
/// spite of `threaded-logger`.
pub fn lookup(name: &str) -> Lookup {
    if let Some(spec) = OPTIONS.iter().find(|spec| spec.names().any(|known| known == name)) {
        return Lookup::Exact(spec);
    }
    if let Some(known) = KNOWN.iter().find(|known| known.has(name)) {
        return Lookup::Known(known);
    }
    if let Some(known) = KNOWN.iter().find(|known| known.covers(name)) {
        return Lookup::Known(known);
    }
    let longer: Vec<Meant> = candidates().filter(|meant| meant.name.starts_with(name)).collect();
    let plural = longer.iter().filter(|meant| matches!(meant.rest(name), "s" | "es")).copied();
    if name.len() < SHORTEST {
        return Lookup::Unknown(similar(name));
    }
    match only(longer.iter().copied()).or_else(|| only(plural)) {
        Some(Meant { target: Target::Option(spec), .. }) => Lookup::Prefix(spec),
        Some(Meant { target: Target::Known(known), name }) => Lookup::KnownPrefix(known, name),
        None if longer.is_empty() => Lookup::Unknown(similar(name)),
        None => Lookup::Unknown(longer.iter().map(|meant| meant.name).take(SUGGESTED).collect()),
    }
}

/// The finding that `option` names nothing, with what it may have been meant for.
pub fn unknown(option: &RawOption, similar: &[&str]) -> Report {
    let report = Report::new(format!("there is no option `{}`", option.key)).at_key(&option.origin);
    if similar.is_empty() {
        if option.value.is_empty() && option.key.contains(':') {
            return report.help("key and value are separated by `=`");
        }
        return report
            .help("`rwsgi --help` lists all; a key for `%(key)` has to be used somewhere");
    }
    let names: Vec<_> = similar.iter().map(|name| format!("`{name}`")).collect();
    report.help(format!("did you mean {}?", names.join(" or ")))
}

/// The option with the letter `letter`.
pub fn by_letter(letter: char) -> Option<&'static str> {
    let own = OPTIONS.iter().find(|spec| spec.short == Some(letter)).map(|spec| spec.name);
    own.or_else(|| {
        let known = KNOWN.iter().find(|known| known.short == Some(letter))?;
        known.names.first().copied()
    })
}

/// Beginnings shorter than this are mistakes.
const SHORTEST: usize = 3;
/// How many names are suggested.
const SUGGESTED: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Meant {
    name: &'static str,
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Option(&'static OptionSpec),
    Known(&'static Known),
}

impl Meant {
    fn rest(&self, beginning: &str) -> &'static str {
        self.name.get(beginning.len()..).unwrap_or_default()
    }
}

impl OptionSpec {
    /// The name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

fn candidates() -> impl Iterator<Item = Meant> {
    let own = OPTIONS
        .iter()
        .flat_map(|spec| spec.names().map(|name| Meant { name, target: Target::Option(spec) }));
    let known = KNOWN.iter().flat_map(|known| {
        let plain = known.names.iter().filter(|name| !name.ends_with('*'));
        plain.map(|name| Meant { name, target: Target::Known(known) })
    });
    own.chain(known)
}

/// The one that is meant if all mean the same.
fn only(mut meant: impl Iterator<Item = Meant>) -> Option<Meant> {
    let first = meant.next()?;
    let same = |other: Meant| match (first.target, other.target) {
        (Target::Option(a), Target::Option(b)) => a == b,
        _ => first.name == other.name,
    };
    meant.all(same).then_some(first)
}

/// What people write who come from elsewhere, and what it is here.
const HINTS: &[(&str, &str)] = &[
    ("bind", "http"),
    ("port", "http"),
    ("host", "http"),
    ("address", "http"),
    ("app", "module"),
    ("application", "callable"),
    ("timeout", "http-timeout"),
    ("keepalive", "http-keepalive"),
    ("keep-alive", "http-keepalive"),
    ("logfile", "logto"),
    ("log-file", "logto"),
    ("user", "uid"),
    ("group", "gid"),
    ("pid-file", "pidfile"),
    ("daemon", "daemonize"),
    ("backlog", "listen"),
];

fn similar(name: &str) -> Vec<&'static str> {
    let plain = name.to_lowercase().replace('_', "-");
    if let Some((_, hint)) = HINTS.iter().find(|(known, _)| *known == plain) {
        return vec![hint];
    }
    let bound = if plain.len() <= 4 { 1 } else { 2 };
    let letters: Vec<char> = plain.chars().collect();
    let mut near: Vec<(usize, &'static str)> = candidates()
        .filter(|meant| meant.name.len().abs_diff(letters.len()) <= bound)
        .map(|meant| (distance(&letters, meant.name.as_bytes(), bound), meant.name))
        .filter(|(distance, _)| *distance <= bound)
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.dedup_by_key(|(_, name)| *name);
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.retain(|(distance, _)| *distance == best);
    near.into_iter().map(|(_, name)| name).take(SUGGESTED).collect()
}

/// How many letters to insert, delete, replace, or swap with their neighbour; where it is more than
/// `bound`, some number above that. `b` is ASCII, as all names of options are.
fn distance(a: &[char], b: &[u8], bound: usize) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != char::from(b[j - 1]));
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1
                && j > 1
                && a[i - 1] == char::from(b[j - 2])
                && a[i - 2] == char::from(b[j - 1])
            {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        // What comes can only add to the least of two rows.
        if row.iter().chain(&last).all(|distance| *distance > bound) {
            return bound + 1;
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::known::Class;
    use super::*;
    use proptest::prelude::*;

    fn described(name: &str) -> String {
        match lookup(name) {
            Lookup::Exact(spec) => format!("= {}", spec.name),
            Lookup::Prefix(spec) => format!("~ {}", spec.name),
            Lookup::Known(known) => format!("known {}", known.names[0]),
            Lookup::KnownPrefix(_, name) => format!("known ~ {name}"),
            Lookup::Unknown(names) => format!("? {}", names.join(" ")),
        }
    }

    #[test]
    fn names_and_aliases_are_exact() {
        assert_eq!(described("processes"), "= processes");
        assert_eq!(described("workers"), "= processes");
        assert_eq!(described("home"), "= virtualenv");
        assert_eq!(described("pp"), "= pythonpath");
        assert_eq!(described("http-socket"), "= http");
        assert_eq!(described("chmod"), "= chmod-socket");
    }

    #[test]
    fn the_beginning_of_one_name_is_enough() {
        assert_eq!(described("process"), "~ processes");
        assert_eq!(described("thread"), "~ threads");
        assert_eq!(described("worker"), "~ processes");
        assert_eq!(described("virtual"), "~ virtualenv");
        assert_eq!(described("max-request"), "~ max-requests");
        assert_eq!(described("threaded-log"), "known ~ threaded-logger");
    }

    #[test]
    fn the_beginning_of_several_names_is_not() {
        assert_eq!(described("chmod-"), "~ chmod-socket");
        assert!(described("http-").starts_with("? "));
        assert!(described("max").starts_with("? max-"));
        assert_eq!(described("um"), "? ");
    }

    #[test]
    fn mistakes_get_a_suggestion() {
        assert_eq!(described("vaccum"), "? vacuum");
        assert_eq!(described("proceses"), "? processes");
        assert_eq!(described("wsgi_file"), "? wsgi-file");
        assert_eq!(described("Master"), "? master");
        assert_eq!(described("porcesses"), "? processes");
        assert_eq!(described("disable-write-exceptions"), "? disable-write-exception");
        assert_eq!(described("bind"), "? http");
        assert_eq!(described("frobnicate"), "? ");
    }

    #[test]
    fn a_mistake_in_a_family_is_one() {
        let pairs = "touch-relaod=touch-reload harakiri-garce=harakiri-grace cheaper-stpe=cheaper-step \
            alarm-segfualt=alarm-segfault spooler-hrakiri=spooler-harakiri vassals-inculde=vassals-include \
            emperor-trottle=emperor-throttle reload-on-exception-typ3=reload-on-exception-type \
            legion-qourum=legion-quorum subscribe-frq=subscribe-freq https-session-contxt=https-session-context \
            ssl-verfy-depth=ssl-verify-depth sni-dri=sni-dir vhost-hots=vhost-host \
            hook-emperor-strat=hook-emperor-start call-as-emperor3=call-as-emperor \
            stats-psuh=stats-push carbon-rot=carbon-root fastrouter-quite=fastrouter-quiet \
            cgi-indx=cgi-index webdav-css2=webdav-css if-evn=if-env for-golb=for-glob \
            static-mpa=static-map error-route-statsu=error-route-status cache-stroe=cache-store";
        let unseen = |pair: &&str| {
            let (wrong, right) = pair.split_once('=').unwrap();
            !matches!(lookup(wrong), Lookup::Unknown(names) if names.contains(&right))
        };
        let unseen: Vec<_> = pairs.split_whitespace().filter(unseen).collect();
        assert!(unseen.is_empty(), "{}", unseen.join(" "));
    }

    #[test]
    fn what_real_configurations_contain_is_known() {
        let names = "master processes module socket chdir vacuum threads chmod-socket wsgi-file \
            enable-threads die-on-term buffer-size http pidfile max-requests home harakiri callable \
            uid gid static-map logto env http-socket daemonize memory-report lazy-apps need-app \
            offload-threads log-master if-env endif gevent log-format req-logger plugin strict \
            thunder-lock post-buffering pythonpath single-interpreter stats chown-socket listen \
            py-autoreload disable-logging http-timeout socket-timeout reload-on-rss logger \
            worker-reload-mercy disable-write-exception ignore-sigpipe ignore-write-errors \
            log-maxsize ini harakiri-verbose max-worker-lifetime attach-daemon log-4xx log-5xx \
            http-keepalive manage-script-name cheaper mount check-static touch-chain-reload \
            protocol reload-mercy log-date route vhost hook-master-start hook-accepting1 \
            py-call-uwsgi-fork-hooks touch-reload master-fifo cpu-affinity exec-asap no-orphans \
            lazy procname-prefix-spaced static-expires-type-mtime for log-reopen paste print \
            alarm-log umask include plugin-dir static-gzip-all import log-backupname \
            wsgi-disable-file-wrapper reload-on-as log-x-forwarded-for no-defer-accept route-if \
            http-auto-chunked http-enable-proxy-protocol max-fd hook-pre-app if-file \
            cheaper-busyness-max log-route unique-cron honour-stdin emperor spooler mule cache2 \
            cron https fastcgi-socket http11-socket safe-pidfile daemonize2 logto2 chroot limit-as \
            reuse-port idle die-on-idle shared-import catch-exceptions ini-paste";
        for name in names.split_whitespace() {
            assert!(matches!(lookup(name), Lookup::Exact(_) | Lookup::Known(_)), "{name}");
        }
    }

    #[test]
    fn every_option_of_uwsgi_is_known_by_name() {
        let names = include_str!("../../../tests/ini/uwsgi-options.txt");
        let names = names.lines().filter(|line| !line.starts_with('#'));
        let unknown: Vec<_> = names
            .filter(|name| !matches!(lookup(name), Lookup::Exact(_) | Lookup::Known(_)))
            .collect();
        assert!(unknown.is_empty(), "{}", unknown.join(" "));
    }

    #[test]
    fn letters_are_those_of_uwsgi() {
        let expected = "s=socket p=processes M=master t=harakiri H=virtualenv w=module d=daemonize \
            l=listen b=buffer-size z=http-timeout i=single-interpreter T=enable-threads \
            L=disable-logging R=max-requests C=chmod-socket m=memory-report x=xml y=yaml j=json \
            v=max-vars";
        for pair in expected.split_whitespace() {
            let (letter, name) = pair.split_once('=').unwrap();
            assert_eq!(by_letter(letter.chars().next().unwrap()), Some(name));
        }
        assert_eq!(by_letter('Q'), None);
    }

    #[test]
    fn every_beginning_that_is_taken_leads_to_the_name_itself() {
        for spec in OPTIONS {
            for end in 1..spec.name.len() {
                if let Lookup::Prefix(found) = lookup(&spec.name[..end]) {
                    assert!(found.names().any(|name| name.starts_with(&spec.name[..end])));
                }
            }
        }
        assert!(KNOWN.iter().any(|known| matches!(known.class, Class::OtherProtocol(_))));
    }

    proptest! {
        #[test]
        fn no_name_panics(name in "\\PC{0,30}") {
            let _ = lookup(&name);
        }
    }
}
