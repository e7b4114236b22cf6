//! Daemons beside the workers: `attach-daemon` and its kin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User, geteuid};
use serde::{Deserialize, Serialize};

use super::error::{Findings, Report, quoted};
use super::paths;
use super::settings::Settings;
use super::value::{self, Invalid, Kind, Value};

/// Most daemons of an instance.
const MOST: usize = 64;

const NAMES: [&str; 5] = [
    "attach-daemon",
    "attach-control-daemon",
    "attach-daemon2",
    "smart-attach-daemon",
    "smart-attach-daemon2",
];

/// What can be written in `attach-daemon2`.
const EXPECTED: &str = "`cmd=COMMAND`, and any of `pidfile=FILE`, `daemonize=1`, `freq=SECONDS`, `control=1`, \
     `touch=FILE;FILE`, `stopsignal=SIGNAL`, `reloadsignal=SIGNAL`, `notifypid=1`, `uid=USER`, `gid=GROUP`, \
     `chdir=DIRECTORY`, `max_throttle=SECONDS`, with commas between; a comma in the command is `\\,`";

/// A daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonSpec {
    /// As it is called: by its program, with a number when another one has that name.
    pub name: String,
    /// For the shell.
    pub command: String,
    /// Where its pid is, absolute: it outlives reloads and the instance.
    pub pidfile: Option<PathBuf>,
    /// How long until the pid has to be there, and how often it is looked for where the kernel does
    /// not tell.
    pub freq: Duration,
    /// It does not write that file by itself, but stays in the foreground (`daemonize`).
    pub foreground: bool,
    /// When it ends, so does the instance.
    pub control: bool,
    /// Files whose touch restarts it, absolute.
    pub touch: Vec<PathBuf>,
    /// By which it is asked to end.
    pub stop_signal: i32,
    /// Which it is sent at a reload, instead of being ended.
    pub reload_signal: Option<i32>,
    /// It is told of reloads and the end, though it has a pidfile (`notifypid`).
    pub notify: bool,
    /// As whom it runs, if not as the workers.
    pub user: (Option<u32>, Option<u32>),
    /// Where, absolute, if not where the application is.
    pub chdir: Option<PathBuf>,
    /// The longest wait before it is started again, where that is shorter than usual.
    pub max_throttle: Option<Duration>,
}

impl DaemonSpec {
    fn new(command: &str) -> Self {
        Self {
            name: String::new(),
            command: command.trim().to_owned(),
            pidfile: None,
            freq: Duration::from_secs(10),
            foreground: false,
            control: false,
            touch: Vec::new(),
            stop_signal: Signal::SIGTERM as i32,
            reload_signal: None,
            notify: false,
            user: (None, None),
            chdir: None,
            max_throttle: None,
        }
    }
}

/// The daemons, in order. Relative paths begin at `base`; `uid` is who the instance becomes.
pub(super) fn daemons(
    settings: &Settings<'_>,
    base: &Path,
    uid: Option<u32>,
    findings: &mut Findings,
) -> Vec<DaemonSpec> {
    let mut daemons: Vec<DaemonSpec> = Vec::new();
    for setting in settings.all(&NAMES) {
        let Value::Text(text) = &setting.value else { continue };
        let read = match setting.spec.name {
            "attach-daemon2" => pairs_of(text),
            "smart-attach-daemon" => smart(text, false),
            "smart-attach-daemon2" => smart(text, true),
            name => {
                Ok(DaemonSpec { control: name == "attach-control-daemon", ..DaemonSpec::new(text) })
            }
        };
        let mut daemon = match read.and_then(|daemon| check(daemon, uid, &daemons)) {
            Ok(daemon) => daemon,
            Err(invalid) => {
                let message = format!("{} {}", quoted(setting.raw), invalid.problem);
                let report = Report::new(message).at_value(&setting.raw.origin);
                let report = match setting.spec.name {
                    "attach-daemon2" => report.expected(EXPECTED),
                    "smart-attach-daemon" | "smart-attach-daemon2" => {
                        report.expected("`PIDFILE COMMAND`, or `PIDFILE,SECONDS COMMAND`")
                    }
                    _ => report.expected("a command"),
                };
                findings.error(invalid.help.into_iter().fold(report, Report::help));
                continue;
            }
        };
        for path in daemon.pidfile.iter_mut().chain(&mut daemon.chdir).chain(&mut daemon.touch) {
            *path = paths::absolute(base, path);
        }
        let obstacles = [
            daemon
                .pidfile
                .as_deref()
                .map(|it| ("its pidfile cannot be written", paths::parent(it))),
            daemon.chdir.as_deref().map(|it| ("its chdir cannot be entered", paths::directory(it))),
        ];
        for (what, asked) in obstacles.into_iter().flatten() {
            if let Err(obstacle) = asked {
                let subject = format!("{}: {what}", quoted(setting.raw));
                findings.warn(obstacle.report(&subject, &setting.raw.origin));
            }
        }
        daemon.name =
            unique(program(&daemon.command), |name| daemons.iter().any(|other| other.name == name));
        daemons.push(daemon);
    }
    daemons
}

fn check(
    daemon: DaemonSpec,
    uid: Option<u32>,
    others: &[DaemonSpec],
) -> Result<DaemonSpec, Invalid> {
    let same = |other: &DaemonSpec| other.pidfile.is_some() && other.pidfile == daemon.pidfile;
    if daemon.command.is_empty() {
        return Err(Invalid::new("has no command"));
    }
    if daemon.command.contains('\0') {
        return Err(Invalid::new("contains a NUL character"));
    }
    if others.len() == MOST {
        return Err(Invalid::new("is one too many").help(format!("{MOST} daemons at most")));
    }
    if others.iter().any(same) {
        return Err(Invalid::new("has the pidfile of another daemon"));
    }
    let lacks = |what: &str| Err(Invalid::new(format!("has `{what}=` without `pidfile=`")));
    match &daemon.pidfile {
        None if daemon.foreground => return lacks("daemonize"),
        None if daemon.notify => return lacks("notifypid"),
        Some(_) if daemon.control => {
            return Err(Invalid::new("has `control=`, and a pidfile: it outlives the instance"));
        }
        _ => {}
    }
    // To become somebody takes a group, which only root can.
    let becomes = geteuid().is_root() && uid.is_none_or(|uid| uid == 0);
    if let (Some(user), None) = daemon.user
        && becomes
        && User::from_uid(Uid::from_raw(user)) == Ok(None)
    {
        return Err(Invalid::new(format!("is to run as user {user}, who has no group"))
            .help("write `gid=GROUP`, too"));
    }
    match (daemon.user.0, uid) {
        (Some(user), Some(uid)) if user != uid => Err(Invalid::new(format!(
            "is to run as user {user}, and the instance gives up being root for `uid={uid}`"
        ))
        .help("make it a service of its own, with User=")),
        _ => Ok(daemon),
    }
}

/// `PIDFILE[,SECONDS] COMMAND`.
fn smart(text: &str, foreground: bool) -> Result<DaemonSpec, Invalid> {
    let Some((file, command)) = text.trim().split_once(|c: char| c.is_ascii_whitespace()) else {
        return Err(Invalid::new("has no command after the pidfile"));
    };
    let mut daemon = DaemonSpec { foreground, ..DaemonSpec::new(command) };
    let (file, freq) = file.split_once(',').map_or((file, None), |(file, freq)| (file, Some(freq)));
    if let Some(freq) = freq {
        daemon.freq = seconds("freq", freq, 1)?;
    }
    daemon.pidfile = Some(file.into());
    Ok(daemon)
}

fn pairs_of(text: &str) -> Result<DaemonSpec, Invalid> {
    let mut daemon = DaemonSpec::new("");
    for (key, value) in pairs(text) {
        let (key, value) = (key.as_str(), value.as_str());
        match key {
            "cmd" | "command" | "exec" => daemon.command = value.to_owned(),
            "pidfile" => daemon.pidfile = Some(path(key, value)?),
            "freq" => daemon.freq = seconds(key, value, 1)?,
            "control" => daemon.control = switch(key, value)?,
            "daemonize" | "daemon" => daemon.foreground = switch(key, value)?,
            "touch" => {
                let files = value.split(';').filter(|file| !file.is_empty());
                daemon.touch = files.map(|file| path(key, file)).collect::<Result<_, _>>()?;
            }
            "stopsignal" | "stop_signal" => daemon.stop_signal = signal(key, value)?,
            "reloadsignal" | "reload_signal" => daemon.reload_signal = Some(signal(key, value)?),
            "notifypid" => daemon.notify = switch(key, value)?,
            "uid" => daemon.user.0 = Some(id(Kind::User, key, value)?),
            "gid" => daemon.user.1 = Some(id(Kind::Group, key, value)?),
            "chdir" => daemon.chdir = Some(path(key, value)?),
            "max_throttle" => {
                let most = seconds(key, value, 0)?;
                daemon.max_throttle = Some(most).filter(|most| !most.is_zero());
            }
            "stdin" => {
                return Err(Invalid::new("has `stdin=`: a daemon reads from /dev/null")
                    .help("leave it out; a file is read by `cmd=COMMAND < FILE`"));
            }
            "ns_pid" => {
                return Err(Invalid::new("has `ns_pid=`: a daemon has no namespace of its own")
                    .help(
                        "make it a service of its own, with PrivatePIDs=, or run it by unshare(1)",
                    ));
            }
            "legion" => {
                return Err(Invalid::new("has `legion=`: there are no legions")
                    .help("run it where it is wanted"));
            }
            _ => return Err(Invalid::new(format!("has `{key}`, which no daemon has"))),
        }
    }
    Ok(daemon)
}

/// `key=value,…`; a comma of a value is `\,`, a key alone is on.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, parts.last_mut()) {
            ('\\', Some(part)) if characters.next_if_eq(&',').is_some() => part.push(','),
            (',', _) => parts.push(String::new()),
            (other, Some(part)) => part.push(other),
            (_, None) => {}
        }
    }
    let pairs = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    let pair =
        |part: &str| part.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    pairs.map(|part| pair(part).unwrap_or_else(|| (part.to_owned(), "1".to_owned()))).collect()
}

fn about(key: &str, text: &str, invalid: Invalid) -> Invalid {
    Invalid { problem: format!("has `{key}={text}`, which {}", invalid.problem), ..invalid }
}

pub(super) fn seconds(key: &str, text: &str, least: u64) -> Result<Duration, Invalid> {
    let kind = Kind::Seconds { min: least, max: 86400 };
    match kind.parse(text) {
        Ok(Value::Number(seconds)) => Ok(Duration::from_secs(seconds)),
        Ok(_) => Err(about(key, text, Invalid::new("is no time"))),
        Err(invalid) => Err(about(key, text, invalid)),
    }
}

pub(super) fn switch(key: &str, text: &str) -> Result<bool, Invalid> {
    value::switch(text).map_err(|invalid| about(key, text, invalid))
}

fn path(key: &str, text: &str) -> Result<PathBuf, Invalid> {
    match Kind::Path.parse(text) {
        Ok(Value::Path(path)) => Ok(path),
        Ok(_) => Err(about(key, text, Invalid::new("is no path"))),
        Err(invalid) => Err(about(key, text, invalid)),
    }
}

fn id(kind: Kind, key: &str, text: &str) -> Result<u32, Invalid> {
    match kind.parse(text) {
        Ok(Value::Number(id)) => Ok(u32::try_from(id).unwrap_or(u32::MAX)),
        Ok(_) => Err(about(key, text, Invalid::new("is no number"))),
        Err(invalid) => Err(about(key, text, invalid)),
    }
}

/// By number, as in uWSGI, or by name.
fn signal(key: &str, text: &str) -> Result<i32, Invalid> {
    let name = format!("SIG{}", text.trim_start_matches("SIG"));
    let number = text.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
    number.or_else(|| name.parse().ok()).map(|signal| signal as i32).ok_or_else(|| {
        about(key, text, Invalid::new("is no signal"))
            .help("write a number such as `15` or a name such as `TERM`")
    })
}

/// What a command line runs, for people: its first word that is not a variable, without directories.
pub fn program(line: &str) -> &str {
    let is_variable = |word: &&str| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let words = line.split(|c: char| c.is_ascii_whitespace() || "\"';&|(){}".contains(c));
    let mut words = words.filter(|word| !word.is_empty() && *word != "exec" && !is_variable(word));
    let word = words.next().unwrap_or("command");
    word.rsplit('/').find(|part| !part.is_empty()).unwrap_or(word)
}

/// A name that nobody else has.
pub(super) fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut names = (1..).map(|number| match number {
        1 => name.to_owned(),
        _ => format!("{name} {number}"),
    });
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DaemonSpec, String> {
        let daemon = pairs_of(text).and_then(|daemon| check(daemon, Some(33), &[]));
        daemon.map_err(|invalid| invalid.problem)
    }

    #[test]
    fn what_is_not_said_is_as_in_uwsgi() {
        let daemon = read("cmd=celery -A shop worker").unwrap();
        assert_eq!(daemon, DaemonSpec::new("celery -A shop worker"));
        assert_eq!((daemon.stop_signal, daemon.freq.as_secs()), (15, 10));
    }

    #[test]
    fn everything_can_be_said() {
        let text =
            r"cmd=A=1 run -a x\,y --b=2,freq=3,pidfile=x.pid,daemonize=1,touch=a;b,stopsignal=2,\
                     reloadsignal=HUP,notifypid=1,uid=33,gid=34,chdir=/srv,max_throttle=7"
                .replace("\\\n                     ", "");
        let daemon = read(&text).unwrap();
        assert_eq!(daemon.command, "A=1 run -a x,y --b=2");
        assert_eq!((daemon.pidfile, daemon.foreground), (Some("x.pid".into()), true));
        assert_eq!(daemon.touch, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!((daemon.stop_signal, daemon.reload_signal), (2, Some(1)));
        assert_eq!((daemon.user, daemon.chdir), ((Some(33), Some(34)), Some("/srv".into())));
        assert_eq!((daemon.freq.as_secs(), daemon.max_throttle), (3, Some(Duration::from_secs(7))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, problem) in [
            ("freq=3", "has no command"),
            ("cmd=", "has no command"),
            ("cmd=x,colour=red", "has `colour`, which no daemon has"),
            ("cmd=x,freq=0", "`freq=0`, which is less than 1"),
            ("cmd=x,stopsignal=WINDY", "`stopsignal=WINDY`, which is no signal"),
            ("cmd=x,reloadsignal=99", "which is no signal"),
            ("cmd=x,control=perhaps", "neither on nor off"),
            ("cmd=x,uid=nobody-at-all", "names no user"),
            ("cmd=x,uid=0", "is to run as user 0, and the instance gives up being root"),
            ("cmd=x,daemonize=1", "without `pidfile=`"),
            ("cmd=x,notifypid=1", "without `pidfile=`"),
            ("cmd=x,pidfile=a,control=1", "it outlives the instance"),
            ("cmd=x,stdin=1", "reads from /dev/null"),
            ("cmd=x,ns_pid=1", "no namespace"),
            ("cmd=x,legion=a", "no legions"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }

    #[test]
    fn who_becomes_a_user_without_groups_has_to_say_one() {
        let daemon = |text| pairs_of(text).and_then(|daemon| check(daemon, None, &[]));
        let found = daemon("cmd=x,uid=3999999999");
        let is_refused = found.is_err_and(|found| found.problem.contains("who has no group"));
        assert_eq!(is_refused, geteuid().is_root());
        assert!(daemon("cmd=x,uid=3999999999,gid=1").is_ok());
        assert!(daemon("cmd=x,uid=0").is_ok());
    }

    #[test]
    fn a_pidfile_comes_first_and_its_time_with_it() {
        let daemon = smart("/run/m.pid,3 memcached -d -P /run/m.pid", false).unwrap();
        assert_eq!(
            (daemon.pidfile.as_deref(), daemon.freq.as_secs()),
            (Some(Path::new("/run/m.pid")), 3)
        );
        assert_eq!(daemon.command, "memcached -d -P /run/m.pid");
        assert!(smart("/run/m.pid", false).is_err() && smart("/run/m.pid,x run", false).is_err());
        assert!(check(daemon.clone(), None, &[daemon]).is_err());
    }

    #[test]
    fn a_daemon_is_called_by_what_it_runs() {
        let named = [
            ("celery -A shop worker", "celery"),
            ("/srv/venv/bin/celery -A shop", "celery"),
            ("LANG=C TZ=UTC exec ./bin/run", "run"),
            ("( (cd /srv; ls))", "cd"),
            ("'/opt/x y'/run", "x"),
            ("  ", "command"),
            ("/", "/"),
        ];
        for (line, name) in named {
            assert_eq!(program(line), name, "{line}");
        }
        let taken = ["celery", "celery 2"];
        assert_eq!(unique("celery", |name| taken.contains(&name)), "celery 3");
    }
}
