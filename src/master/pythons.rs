//! The interpreters that run applications: whether they take the extension, and who still fixes them.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::reach::{self, Who, Wish};

use crate::finding::Findings;

/// Prints version and that of the extension. `-I -S` keeps the code of the project out.
const SCRIPT: &str = "import sys\nfrom importlib import util\n\
                      if 't' in sys.abiflags: sys.exit('it is free-threaded, without the GIL that the extension needs')\n\
                      print('%d.%d.%d' % sys.version_info[:3])\n\
                      spec = util.spec_from_file_location('_rwsgi', sys.argv[1])\n\
                      module = util.module_from_spec(spec)\nspec.loader.exec_module(module)\n\
                      print(module.__version__)\n";

/// Until when python.org fixes Python 3.6, 3.7 and so on: the month, and its end in seconds since 1970.
const FIXED_UNTIL: [(&str, u64); 9] = [
    ("December 2021", 1_640_995_200),
    ("June 2023", 1_688_169_600),
    ("October 2024", 1_730_419_200),
    ("October 2025", 1_761_955_200),
    ("October 2026", 1_793_491_200),
    ("October 2027", 1_825_027_200),
    ("October 2028", 1_856_649_600),
    ("October 2029", 1_888_185_600),
    ("October 2030", 1_919_721_600),
];
const FIRST: usize = 6;

/// Looks at an interpreter, as it runs an application.
pub fn look(python: &Path, extension: &Path, findings: &mut Findings) {
    let shown = python.display();
    // Code of a project is never run as root.
    let who = Who::named("rwsgi").or_else(|| Who::named("nobody")).filter(|_| geteuid().is_root());
    let closed = |path| who.as_ref().and_then(|who| reach::barrier_for(who, path, Wish::Enter));
    if let Some(barrier) = closed(python) {
        return findings.warn("python", format!("{shown}: {barrier}"), barrier.remedy());
    }
    let said = match ask(python, extension, who.as_ref()) {
        Ok(said) => said,
        Err(why) => {
            let message =
                format!("{shown} does not take the extension {}: {why}", extension.display());
            let remedy =
                "apt install --reinstall rwsgi; or another interpreter: `python` or `virtualenv`";
            return findings.error(ExitCode::System, "python", message, remedy);
        }
    };
    let (version, theirs) = said.split_once('\n').unwrap_or((&said, ""));
    let (theirs, ours) = (theirs.trim(), rwsgi_core::VERSION);
    if theirs != ours {
        let message = format!(
            "the extension {} is of version {theirs}, the program of {ours}",
            extension.display()
        );
        let remedy = "apt install --reinstall rwsgi";
        return findings.error(ExitCode::System, "extension", message, remedy);
    }
    let Some(month) = fixes_ended(version, SystemTime::now()) else {
        return findings
            .ok("python", format!("{shown} is Python {version} and takes the extension"));
    };
    if is_of_distribution(python) {
        let message =
            format!("{shown} is Python {version}; since {month} only the distribution fixes it");
        return findings.ok("python", message);
    }
    let message = format!("{shown} is Python {version}, which nobody fixes since {month}");
    findings.warn(
        "python",
        message,
        "make the virtual environment anew with a newer one: python3 -m venv",
    );
}

fn ask(python: &Path, extension: &Path, who: Option<&Who>) -> Result<String, String> {
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-c", SCRIPT]).arg(extension).current_dir("/").stdin(Stdio::null());
    if let Some(who) = who {
        command.uid(who.uid).gid(who.groups.first().copied().unwrap_or(who.uid));
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(errors.trim_end().lines().last().unwrap_or("it said nothing").to_owned())
}

/// The month with which fixes of this version by python.org have ended.
fn fixes_ended(version: &str, now: SystemTime) -> Option<&'static str> {
    let minor: usize = version.strip_prefix("3.")?.split('.').next()?.parse().ok()?;
    let (month, end) = FIXED_UNTIL.get(minor.checked_sub(FIRST)?)?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (since.as_secs() >= *end).then_some(month)
}

fn is_of_distribution(python: &Path) -> bool {
    python.canonicalize().is_ok_and(|real| real.starts_with("/usr/bin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixes_end_with_a_month() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(fixes_ended("3.8.20", at(1_730_419_199)), None);
        assert_eq!(fixes_ended("3.8.20", at(1_730_419_200)), Some("October 2024"));
        assert_eq!(fixes_ended("3.6.9", at(1_730_419_200)), Some("December 2021"));
        assert_eq!(fixes_ended("3.15.0", at(1_919_721_600)), None);
        assert_eq!(fixes_ended("2.7.18", at(1_919_721_600)), None);
    }
}
