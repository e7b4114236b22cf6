//! The control group of this process (cgroups(7)): what the kernel allows it and counts of it.

use std::fs;
use std::path::{Path, PathBuf};

/// Where its files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryGroup {
    hierarchy: Hierarchy,
    /// Where the hierarchy is mounted.
    root: PathBuf,
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hierarchy {
    /// The memory controller's own, of cgroup v1.
    Memory,
    /// The only one, of cgroup v2.
    Unified,
}

impl MemoryGroup {
    /// The group that this process belongs to.
    pub(crate) fn own() -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::find(&membership, Path::new("/sys/fs/cgroup"))
    }

    /// `membership` as in /proc/self/cgroup, below what is mounted at `mount`.
    fn find(membership: &str, mount: &Path) -> Option<Self> {
        let (hierarchy, path) = parse_membership(membership)?;
        let root = match hierarchy {
            Hierarchy::Memory => mount.join("memory"),
            Hierarchy::Unified => mount.to_path_buf(),
        };
        let directory = root.join(path.trim_start_matches('/'));
        // In a container the path may be that of the host.
        let directory = if directory.is_dir() { directory } else { root.clone() };
        let group = Self { hierarchy, root, directory };
        group.oom_kills().is_some().then_some(group)
    }

    /// How many of its processes the kernel has killed for want of memory.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let name = match self.hierarchy {
            Hierarchy::Memory => "memory.oom_control",
            Hierarchy::Unified => "memory.events",
        };
        counter(&fs::read_to_string(self.directory.join(name)).ok()?, "oom_kill")
    }

    /// How many bytes it may use, by the tightest limit on it or a group around it.
    pub(crate) fn limit(&self) -> Option<u64> {
        let name = match self.hierarchy {
            Hierarchy::Memory => "memory.limit_in_bytes",
            Hierarchy::Unified => "memory.max",
        };
        let groups = self.directory.ancestors().take_while(|group| group.starts_with(&self.root));
        let limits = groups.filter_map(|group| fs::read_to_string(group.join(name)).ok());
        limits.filter_map(|text| limit(&text)).min()
    }

    /// The file that tells how long it waits for memory, where there can be one.
    pub(crate) fn pressure(&self) -> Option<PathBuf> {
        (self.hierarchy == Hierarchy::Unified).then(|| self.directory.join("memory.pressure"))
    }
}

/// Lines of /proc/self/cgroup: `4:memory:/a`, `0::/a`. The former counts where there are both.
fn parse_membership(text: &str) -> Option<(Hierarchy, &str)> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let of_memory = lines().find(|(controllers, _)| controllers.split(',').any(|c| c == "memory"));
    let unified = || lines().find(|(controllers, _)| controllers.is_empty());
    match of_memory {
        Some((_, path)) => Some((Hierarchy::Memory, path)),
        None => unified().map(|(_, path)| (Hierarchy::Unified, path)),
    }
}

/// The number in the line `NAME NUMBER`.
fn counter(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// `max`, or in v1 a number that no machine has, is no limit.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn of_two_hierarchies_the_one_with_the_controller_counts() {
        let hybrid = "12:cpu,cpuacct:/x\n4:memory:/system.slice/a\n0::/y\n";
        assert_eq!(parse_membership(hybrid), Some((Hierarchy::Memory, "/system.slice/a")));
        let unified = "0::/system.slice/system-rwsgi.slice/rwsgi@a:b.service\n";
        let path = "/system.slice/system-rwsgi.slice/rwsgi@a:b.service";
        assert_eq!(parse_membership(unified), Some((Hierarchy::Unified, path)));
        assert_eq!(parse_membership("1:name=systemd:/\n"), None);
        assert_eq!(parse_membership(""), None);
    }

    #[test]
    fn counters_and_limits_are_read_by_their_names() {
        let events = "low 0\nhigh 7\nmax 31\noom 2\noom_kill 3\noom_group_kill 0\n";
        assert_eq!(counter(events, "oom_kill"), Some(3));
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", "oom_kill"), Some(5));
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), None);
        assert_eq!(limit("536870912\n"), Some(512 << 20));
        assert_eq!((limit("max\n"), limit("9223372036854771712\n")), (None, None));
    }

    #[test]
    fn the_tightest_limit_around_it_is_found() {
        let place = tempfile::tempdir().unwrap();
        let slice = place.path().join("a.slice");
        write(&slice.join("memory.max"), "1000\n");
        write(&slice.join("b.service/memory.max"), "max\n");
        write(&slice.join("b.service/memory.events"), "oom_kill 4\n");
        let group = MemoryGroup::find("0::/a.slice/b.service\n", place.path()).unwrap();
        assert_eq!((group.limit(), group.oom_kills()), (Some(1000), Some(4)));
        assert_eq!(group.pressure(), Some(slice.join("b.service/memory.pressure")));
    }

    #[test]
    fn a_group_of_v1_and_one_without_counters_are_told_apart() {
        let place = tempfile::tempdir().unwrap();
        write(&place.path().join("memory/memory.limit_in_bytes"), "2000\n");
        assert_eq!(MemoryGroup::find("4:memory:/of/the/host\n", place.path()), None);
        write(&place.path().join("memory/memory.oom_control"), "oom_kill 0\n");
        let group = MemoryGroup::find("4:memory:/of/the/host\n", place.path()).unwrap();
        assert_eq!(
            (group.limit(), group.oom_kills(), group.pressure()),
            (Some(2000), Some(0), None)
        );
    }
}
