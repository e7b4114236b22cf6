//! rwsgi-generator(8): fits the units of systemd to the INI files and to the systemd that runs.
//!
//! It is this program by another name. systemd runs it at the start of the system, before file
//! systems are mounted and the network is up, and at each `systemctl daemon-reload`. A file that
//! is wrong costs its own instance only the drop-ins, and is told again when that starts.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Group, Uid, User};
use rwsgi_core::config::raw::RawOption;
use rwsgi_core::config::service::wants_autostart;
use rwsgi_core::config::{self, Argument, Context, Service, Sources};
use rwsgi_core::exit::ExitCode;

use crate::homes;
use crate::unit::{self, Account};

/// The name by which systemd calls it.
const NAME: &str = "rwsgi-generator";
/// Where the instances are described.
const INSTANCES: &str = "/etc/rwsgi";
/// Drop-ins that need a release of systemd, by its number: `247.conf`.
const FLOORS: &str = "/usr/lib/rwsgi/systemd";
/// The unit of every instance.
const TEMPLATE: &str = "/usr/lib/systemd/system/rwsgi@.service";
/// Who wants an instance that starts with the system.
const WITH_THE_SYSTEM: &str = "multi-user.target.wants";
/// Who starts, stops and reloads all instances: wants those that start with the system, by whatever means.
const WITH_THE_OTHERS: &str = "rwsgi.service.wants";
/// Where systemd has it write.
const GENERATED: &str = "/run/systemd/generator";
/// The file of what an INI file asks for.
const DROP_IN: &str = "50-ini.conf";
/// Where `systemctl enable` writes.
const ENABLED: &str = "/etc/systemd/system";

/// Whether this is the generator.
pub fn is_called() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.as_deref().and_then(Path::file_name).is_some_and(|name| name == NAME)
}

/// Writes into the first directory. Nothing that goes wrong here is to stop the boot.
pub fn run(mut directories: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(output) = directories.next() else {
        let _ = writeln!(io::stderr(), "usage: {NAME} DIRECTORY");
        return ExitCode::Usage;
    };
    let output = Output { directory: output.into(), enabled: ENABLED.into() };
    let mut troubles = floors(Path::new(FLOORS), running_systemd(), &output);
    troubles.extend(instances(Path::new(INSTANCES), &output));
    troubles.iter().for_each(|trouble| tell(trouble));
    ExitCode::Ok
}

/// Where units are written.
struct Output {
    directory: PathBuf,
    /// Where those are that the administrator has enabled.
    enabled: PathBuf,
}

impl Output {
    fn write(&self, unit: &str, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let directory = self.directory.join(format!("{unit}.d"));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(DROP_IN), text)
    }

    fn link(&self, target: &Path, directory: &str, name: &str) -> io::Result<()> {
        let directory = self.directory.join(directory);
        fs::create_dir_all(&directory)?;
        symlink(target, directory.join(name))
    }

    fn starts(&self, instance: &str, autostart: bool) -> io::Result<()> {
        let name = format!("rwsgi@{instance}.service");
        let template = Path::new(TEMPLATE);
        if autostart {
            self.link(template, WITH_THE_SYSTEM, &name)?;
        }
        let enabled = || self.enabled.join(WITH_THE_SYSTEM).join(&name).is_symlink();
        if autostart || enabled() {
            self.link(template, WITH_THE_OTHERS, &name)?;
        }
        Ok(())
    }
}

/// Links what the running release knows.
fn floors(from: &Path, running: Option<u32>, output: &Output) -> Vec<String> {
    let Some(running) = running else {
        return vec!["the release of systemd is not known: the units have what 237 knows".into()];
    };
    let floors = files(from, "conf").filter_map(|(release, file)| {
        let known = release.parse::<u32>().is_ok_and(|release| release <= running);
        known.then_some((release, file))
    });
    let linked = floors.map(|(release, file)| {
        output.link(&file, "rwsgi@.service.d", &format!("50-systemd-{release}.conf"))
    });
    linked.filter_map(Result::err).map(|error| error.to_string()).collect()
}

/// Writes what each INI file asks for.
fn instances(from: &Path, output: &Output) -> Vec<String> {
    let mut troubles = Vec::new();
    for (name, file) in files(from, "ini") {
        if let Err(trouble) = instance(&name, &file, output) {
            troubles.push(format!("{}: {trouble}", file.display()));
        }
    }
    troubles
}

/// What the generator writes for an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The drop-in of its service; empty where it needs none.
    pub service: String,
    /// That of its socket.
    pub socket: String,
    /// It starts with the system.
    pub autostart: bool,
    /// What is wrong, so that the unit stays as it is, in this or in all.
    pub trouble: Option<String>,
}

/// What is written for the instance `name` that `file` describes.
pub fn plan(name: &str, file: &Path) -> Plan {
    let path = file.to_string_lossy();
    let sources = Sources {
        arguments: vec![Argument::File(RawOption::argument("ini", &path, 1, &path))],
        ..Sources::default()
    };
    let cwd = Path::new("/var/lib/rwsgi").join(name);
    // This is root, at a time when nothing is there that a command could need.
    let context = Context { cwd, without_commands: true, ..Context::default() };
    let refused = |why: &str, autostart: bool| {
        let trouble = Some(format!("its unit is left as it is: {}", why.trim()));
        Plan { autostart, trouble, ..Plan::default() }
    };
    let service = match config::service::service(&sources, &context) {
        Ok(service) => service,
        Err(errors) => {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            return refused(&first, wants_autostart(&sources, &context));
        }
    };
    if let Some(text) = unit::inexpressible(name, &service) {
        return refused(&format!("no unit can name {text:?}"), service.autostart);
    }
    let (account, trouble) = account(&service, file);
    Plan {
        service: unit::service(name, &service, &account),
        socket: unit::socket(&service),
        autostart: service.autostart,
        trouble,
    }
}

impl Plan {
    /// The units that are not yet as this plan has them: systemd has not read the file since it was changed.
    pub fn outdated(&self, name: &str) -> Vec<String> {
        self.outdated_in(Path::new(GENERATED), name)
    }

    fn outdated_in(&self, generated: &Path, name: &str) -> Vec<String> {
        let units = [("service", &self.service), ("socket", &self.socket)];
        let differs = |unit: &String, text: &str| {
            let file = generated.join(format!("{unit}.d")).join(DROP_IN);
            fs::read_to_string(file).unwrap_or_default() != text
        };
        let units = units.map(|(kind, text)| (format!("rwsgi@{name}.{kind}"), text));
        let found = units.into_iter().filter(|(unit, text)| differs(unit, text));
        found.map(|(unit, _)| unit).collect()
    }
}

fn instance(name: &str, file: &Path, output: &Output) -> Result<(), String> {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err("its name can be that of no unit: use letters, digits, `-`, `_` and `.`".into());
    }
    let plan = plan(name, file);
    let written = output
        .write(&format!("rwsgi@{name}.service"), &plan.service)
        .and_then(|()| output.write(&format!("rwsgi@{name}.socket"), &plan.socket))
        .and_then(|()| output.starts(name, plan.autostart));
    written.map_err(|error| error.to_string())?;
    plan.trouble.map_or(Ok(()), Err)
}

/// As whom it is to run, and what is refused of that: an application is not run as root.
fn account(service: &Service, file: &Path) -> (Account, Option<String>) {
    let mut account = Account::default();
    if service.uid == Some(0) || service.gid == Some(0) {
        let refused =
            "an application is not run as root: name another uid and gid, or none for `rwsgi`";
        account.hides_homes = !homes::are_needed(service, file, None);
        return (account, Some(refused.into()));
    }
    let entry = service.uid.and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    account.user =
        service.uid.map(|uid| entry.as_ref().map_or(uid.to_string(), |e| e.name.clone()));
    let home = entry.as_ref().map(|entry| entry.dir.as_path());
    account.hides_homes = !homes::are_needed(service, file, home);
    let gid = service.gid.or(entry.map(|entry| entry.gid.as_raw()).filter(|gid| *gid != 0));
    account.group = gid.map(|gid| match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.name,
        _ => gid.to_string(),
    });
    (account, None)
}

/// Files of a directory that end so, in order, by the name without its end.
fn files(directory: &Path, end: &str) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == end))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .collect();
    found.sort();
    found.into_iter()
}

/// The release that runs, which after an upgrade of the distribution need not be the one on disk.
fn running_systemd() -> Option<u32> {
    let first = Path::new("/proc/1/exe");
    let is_systemd = fs::read_link(first).is_ok_and(|path| {
        path.to_string_lossy().trim_end_matches(" (deleted)").ends_with("/systemd")
    });
    let on_disk = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].map(Path::new);
    let candidates = is_systemd.then_some(first).into_iter().chain(on_disk);
    candidates.into_iter().find_map(|program| {
        let said = Command::new(program).arg("--version").output().ok()?;
        release(&String::from_utf8_lossy(&said.stdout))
    })
}

/// Of `systemd 257 (257.13-1~deb13u1)`, the 257.
fn release(said: &str) -> Option<u32> {
    let word = said.strip_prefix("systemd ")?;
    word.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// To standard error; where systemd has put that to /dev/null, to the log of the kernel, the only one
/// that there is so early.
fn tell(trouble: &str) {
    let line = format!("{NAME}: {}\n", trouble.replace(char::is_control, " "));
    let heard = fs::metadata("/proc/self/fd/2").is_ok_and(|stderr| {
        let null = fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == stderr.rdev());
        !(stderr.file_type().is_char_device() && null)
    });
    if heard {
        let _ = io::stderr().write_all(line.as_bytes());
    } else if let Ok(mut kernel) = fs::OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = kernel.write_all(format!("<4>{line}").as_bytes());
    }
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
