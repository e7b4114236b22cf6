//! What systemd says about the unit of an instance.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::homes;

/// The properties of a unit, by name; as `systemctl show` prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    properties: HashMap<String, String>,
}

const ASKED: &str = "LoadState,ActiveState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload,User,Group,\
                     AmbientCapabilities,ProtectHome,ProtectSystem,ReadWritePaths,PrivateTmp,TriggeredBy,Listen,Result,MainPID,\
                     LimitNOFILE,TasksMax,MemoryCurrent,MemoryHigh,MemoryMax,LogRateLimitBurst";

impl Service {
    /// Asks systemd, if it runs.
    pub fn ask(unit: &str) -> Option<Self> {
        if !Path::new("/run/systemd/system").is_dir() {
            return None;
        }
        let mut command = Command::new("systemctl");
        command.args(["show", "--no-pager", "--property", ASKED, unit]).stderr(Stdio::null());
        let output = command.stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| Self::read(&String::from_utf8_lossy(&output.stdout)))
    }

    fn read(text: &str) -> Self {
        let mut properties: HashMap<String, String> = HashMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            // `Listen` comes once for each socket.
            let all = properties.entry(name.to_owned()).or_default();
            let between = if all.is_empty() { "" } else { " " };
            all.push_str(&format!("{between}{value}"));
        }
        Self { properties }
    }

    /// A property; empty when systemd does not know it.
    pub fn get(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }

    /// A property that is a number; `None` when it is `infinity` or not set.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok().filter(|number| *number != u64::MAX)
    }

    /// Whether there is such a unit.
    pub fn is_there(&self) -> bool {
        self.get("LoadState") == "loaded"
    }

    /// Whether a socket unit listens, or would listen, at `address`.
    pub fn listens(&self, address: &str) -> bool {
        self.is_there() && self.get("Listen").split_whitespace().any(|word| word == address)
    }

    /// Why `path` is not seen by the service as it is seen here.
    pub fn hides(&self, path: &Path) -> Option<String> {
        if matches!(self.get("ProtectHome"), "yes" | "tmpfs") && homes::has(path) {
            let value = self.get("ProtectHome");
            return Some(format!("ProtectHome={value} of the unit hides {}", path.display()));
        }
        let temporary = path.starts_with("/tmp") || path.starts_with("/var/tmp");
        (self.get("PrivateTmp") == "yes" && temporary)
            .then(|| format!("PrivateTmp=yes of the unit hides {}", path.display()))
    }
}

impl Service {
    /// Why nothing can be written to the directory `path`, whatever owner and mode allow.
    pub fn closes(&self, name: &str, path: &Path) -> Option<String> {
        let system = self.get("ProtectSystem");
        let home = homes::has(path) && !matches!(self.get("ProtectHome"), "no" | "");
        let everything = system == "strict";
        let usr = matches!(system, "yes" | "full") && path.starts_with("/usr");
        let etc = system == "full" && path.starts_with("/etc");
        let own = OWN.map(|base| Path::new(base).join(name));
        let open = OPEN.map(PathBuf::from).into_iter().chain(own).chain(self.writable());
        if !(everything || home || usr || etc) || open.into_iter().any(|it| path.starts_with(it)) {
            return None;
        }
        let key = if home && !everything { "ProtectHome" } else { "ProtectSystem" };
        let value = self.get(key);
        Some(format!("{key}={value} of the unit makes {} read-only", path.display()))
    }

    /// ReadWritePaths=, as `systemctl show` prints it: paths with blanks cannot be told from several.
    fn writable(&self) -> impl Iterator<Item = PathBuf> {
        let paths = self.get("ReadWritePaths").split_whitespace();
        paths.map(|path| {
            PathBuf::from(path.trim_start_matches(['"', '-', '+']).trim_end_matches('"'))
        })
    }
}

/// What ProtectSystem= leaves open, and the places of shared memory.
const OPEN: [&str; 5] = ["/tmp", "/var/tmp", "/dev", "/proc", "/sys"];
/// What rwsgi@.service gives each instance below.
pub const OWN: [&str; 4] = ["/run/rwsgi", "/var/lib/rwsgi", "/var/cache/rwsgi", "/var/log/rwsgi"];

/// What makes `path` writable for the service of the instance.
pub fn opening(name: &str, path: &Path) -> String {
    let directory = format!("/etc/systemd/system/rwsgi@{name}.service.d");
    format!(
        "move it to /var/lib/rwsgi/{name}, or: mkdir -p {directory} && printf '[Service]\\nReadWritePaths=-%s\\n' '{}' \
         >>{directory}/writable.conf && systemctl daemon-reload",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_unit_makes_read_only_is_told() {
        let unit = Service::read(
            "ProtectSystem=strict\nProtectHome=read-only\nReadWritePaths=-/srv -/var/www \"-/opt/shop/media\"\n",
        );
        let closed = |path: &str| unit.closes("shop", Path::new(path));
        for path in ["/srv/shop", "/var/lib/rwsgi/shop/db", "/tmp/x", "/opt/shop/media/2026"] {
            assert_eq!(closed(path), None, "{path}");
        }
        assert!(closed("/opt/shop/db").is_some_and(|why| why.contains("ProtectSystem=strict")));
        assert!(closed("/var/lib/rwsgi/other").is_some() && closed("/home/al/shop").is_some());
        let full = Service::read("ProtectSystem=full\nProtectHome=no\n");
        assert_eq!(full.closes("shop", Path::new("/opt/shop")), None);
        assert!(full.closes("shop", Path::new("/etc/shop")).is_some());
        let told = opening("shop", Path::new("/opt/shop"));
        assert!(
            told.contains(r"printf '[Service]\nReadWritePaths=-%s\n' '/opt/shop' >>"),
            "{told}"
        );
    }

    #[test]
    fn what_systemctl_prints_is_read() {
        let socket = Service::read(
            "LoadState=loaded\nListen=/run/x.sock (Stream)\nListen=[::]:80 (Stream)\n",
        );
        assert!(socket.is_there());
        assert!(socket.listens("/run/x.sock") && socket.listens("[::]:80"));
        assert!(!socket.listens("[::]:8") && !Service::default().is_there());
        assert_eq!(socket.get("User"), "");
    }

    #[test]
    fn what_the_unit_hides_is_told() {
        let unit = Service::read("ProtectHome=yes\nPrivateTmp=yes\n");
        assert!(
            unit.hides(Path::new("/home/al/shop")).is_some_and(|why| why.contains("ProtectHome"))
        );
        assert!(unit.hides(Path::new("/tmp/shop")).is_some_and(|why| why.contains("PrivateTmp")));
        assert_eq!(unit.hides(Path::new("/srv/homeless")), None);
        let unit = Service::read("ProtectHome=read-only\nPrivateTmp=no\n");
        assert_eq!(unit.hides(Path::new("/home/al")), None);
    }
}
