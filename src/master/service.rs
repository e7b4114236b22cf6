//! What systemd says about the unit of an instance.

use std::collections::HashMap;
use std::path::Path;
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

#[cfg(test)]
mod tests {
    use super::*;

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
