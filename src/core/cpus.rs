//! How many processors this process may use: what the machine has, less what a container, a service
//! or an affinity takes away.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Processors, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// How many; a part of one counts as one.
    pub count: u32,
    /// In words: `cpu.max 150000 100000 of /system.slice/rwsgi@shop.service`.
    pub reason: String,
}

/// Those of this process.
pub fn available() -> Cpus {
    within(affinity(), Path::new("/"))
}

/// Puts this thread, and those that it will start, on `each` CPUs of those that it may run on: the share
/// of worker `number`, which is 1 or more.
///
/// # Errors
/// That of sched_setaffinity(2).
pub fn take_share(number: u32, each: u32) -> nix::Result<()> {
    let mut set = CpuSet::new();
    for cpu in turn(&allowed()?, number, each) {
        set.set(cpu)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
}

fn turn(cpus: &[usize], number: u32, each: u32) -> impl Iterator<Item = usize> {
    let first = number.saturating_sub(1) as usize * each as usize;
    cpus.iter().copied().cycle().skip(first % cpus.len().max(1)).take(each as usize)
}

/// CPUs that the scheduler may put this thread on: the cpuset of its cgroup is in that, too.
fn allowed() -> nix::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect())
}

fn affinity() -> u32 {
    allowed().ok().and_then(|cpus| u32::try_from(cpus.len()).ok()).unwrap_or(1).max(1)
}

/// The same with `affinity` CPUs and the files below `root`: the smallest quota of the cgroup and
/// those above it counts.
fn within(affinity: u32, root: &Path) -> Cpus {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let quotas = cgroups.lines().flat_map(|line| quotas(line, root));
    let smallest = quotas.min_by(|(one, _), (other, _)| one.total_cmp(other));
    match smallest.filter(|(cpus, _)| *cpus < f64::from(affinity)) {
        // The quotient is less than `affinity`, and not negative.
        Some((cpus, reason)) => Cpus { count: (cpus.ceil() as u32).max(1), reason },
        None => {
            let plural = if affinity == 1 { "CPU" } else { "CPUs" };
            Cpus { count: affinity, reason: format!("{affinity} {plural} to run on, no quota") }
        }
    }
}

/// Reads the quota of a cgroup from its directory: in CPUs, and as it is written there.
type Reader = fn(&Path) -> Option<(f64, String)>;

/// Quotas, in CPUs, on the way from one cgroup of /proc/self/cgroup to the root of its hierarchy.
fn quotas(line: &str, root: &Path) -> Vec<(f64, String)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mounts, read): (&[&str], Reader) = match controllers {
        "" => (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], version_2),
        _ if controllers.split(',').any(|name| name == "cpu") => {
            (&["sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/cpu"], version_1)
        }
        _ => return Vec::new(),
    };
    // Before the root of a namespace there is nothing to be seen.
    let path = path.trim_start_matches("/..").trim_start_matches('/');
    let of = |mount: &&str| {
        let mount = root.join(mount);
        let groups: Vec<PathBuf> = Path::new(path).ancestors().map(Path::to_owned).collect();
        groups.into_iter().filter_map(move |group| {
            let (cpus, what) = read(&mount.join(&group))?;
            Some((cpus, format!("{what} of /{}", group.display())))
        })
    };
    mounts.iter().flat_map(of).collect()
}

/// `cpu.max`: quota, or `max`, and period, in microseconds (cgroup v2).
fn version_2(group: &Path) -> Option<(f64, String)> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    Some((share(quota, period)?, format!("cpu.max {quota} {period}")))
}

/// `cpu.cfs_quota_us`, -1 for none (cgroup v1).
fn version_1(group: &Path) -> Option<(f64, String)> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let (quota, period) = (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?);
    let (quota, period) = (quota.trim(), period.trim());
    Some((share(quota, period)?, format!("cpu.cfs_quota_us {quota}/{period}")))
}

fn share(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (u32, u32) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| f64::from(quota) / f64::from(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_turns_with_the_cpus_that_there_are() {
        let of = |number, each| turn(&[0, 2, 3, 7], number, each).collect::<Vec<_>>();
        assert_eq!((of(1, 1), of(4, 1), of(5, 1)), (vec![0], vec![7], vec![0]));
        assert_eq!((of(1, 3), of(2, 3)), (vec![0, 2, 3], vec![7, 0, 2]));
        assert_eq!(turn(&[], 1, 2).count(), 0);
    }

    /// A directory with these files, and what is found there by who may run on eight CPUs.
    fn found(name: &str, files: &[(&str, &str)]) -> (u32, String) {
        let root = std::env::temp_dir().join(format!("rwsgi-cpus-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let cpus = within(8, &root);
        fs::remove_dir_all(&root).unwrap();
        (cpus.count, cpus.reason)
    }

    #[test]
    fn a_quota_of_a_service_or_above_it_counts_and_a_part_of_a_cpu_is_one() {
        let cgroup = ("proc/self/cgroup", "0::/system.slice/shop.service\n");
        let (service, slice) = (
            "sys/fs/cgroup/system.slice/shop.service/cpu.max",
            "sys/fs/cgroup/system.slice/cpu.max",
        );
        let reason = "cpu.max 150000 100000 of /system.slice/shop.service".to_owned();
        assert_eq!(found("own", &[cgroup, (service, "150000 100000\n")]), (2, reason));
        let reason = "cpu.max 20000 100000 of /system.slice".to_owned();
        let both = [cgroup, (service, "400000 100000\n"), (slice, "20000 100000\n")];
        assert_eq!(found("above", &both), (1, reason));
    }

    #[test]
    fn no_quota_is_every_cpu_and_one_above_that_is_none() {
        let every = (8, "8 CPUs to run on, no quota".to_owned());
        assert_eq!(found("nothing", &[("proc/self/cgroup", "")]), every);
        for (name, quota) in [("max", "max 100000\n"), ("more", "1600000 100000"), ("odd", "so\n")]
        {
            let files = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", quota)];
            assert_eq!(found(name, &files), every, "{name}");
        }
    }

    #[test]
    fn a_container_sees_its_quota_at_the_root() {
        for (name, path) in [("inside", "/"), ("outside", "/../../pod7"), ("bare", "/docker/4711")]
        {
            let cgroup = format!("0::{path}\n");
            let files =
                [("proc/self/cgroup", &*cgroup), ("sys/fs/cgroup/cpu.max", "300000 100000")];
            assert_eq!(found(name, &files), (3, "cpu.max 300000 100000 of /".to_owned()), "{path}");
        }
    }

    #[test]
    fn the_first_version_of_cgroups_says_it_in_two_files() {
        let group = "sys/fs/cgroup/cpu,cpuacct/shop";
        let (quota, period) =
            (format!("{group}/cpu.cfs_quota_us"), format!("{group}/cpu.cfs_period_us"));
        let cgroup = ("proc/self/cgroup", "5:memory:/shop\n4:cpu,cpuacct:/shop\n0::/shop\n");
        let files = [cgroup, (&*quota, "250000\n"), (&*period, "100000\n")];
        let reason = "cpu.cfs_quota_us 250000/100000 of /shop".to_owned();
        assert_eq!(found("v1", &files), (3, reason));
        let files = [cgroup, (&*quota, "-1\n"), (&*period, "100000\n")];
        assert_eq!(found("v1-none", &files).0, 8);
    }

    #[test]
    fn this_process_may_run_somewhere() {
        assert!(available().count >= 1);
    }
}
