//! Machine: how much memory and processor time is there, and how much of it is used?
//!
//! In a container that is what its control group says, of version 2 or 1, of the group or of one above it, whichever
//! allows less. Elsewhere it is what the machine has. What cannot be read is no pressure.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use crate::telemetry::Process;

/// What this process may use.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
    memory: Option<Memory>,
    /// Processors, and parts of one.
    cpus: f64,
    process: Process,
}

/// Where the limit of memory stands.
#[derive(Clone, Debug, PartialEq)]
enum Memory {
    /// A control group: all in it together have so many bytes.
    Group { limit: f64, used: PathBuf, stat: PathBuf, inactive: &'static str },
    /// The whole machine, of which only this process is ours.
    Whole { bytes: f64 },
}

impl Machine {
    /// The one this runs on. Limits are read once: a container keeps its own.
    pub fn here() -> Self {
        Machine::at(Path::new("/"))
    }

    fn at(root: &Path) -> Self {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let whole = || {
            let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
            let bytes = kibibytes(&text, "MemTotal:")?;
            Some(Memory::Whole { bytes })
        };
        Machine {
            root: root.to_owned(),
            memory: group_memory(root, &groups).or_else(whole),
            cpus: group_cpus(root, &groups)
                .unwrap_or_else(|| thread::available_parallelism().map_or(1.0, |many| many.get() as f64)),
            process: Process::of_this_process(),
        }
    }

    /// The part of the memory that is used, without what the kernel gives up at once.
    pub fn memory(&self) -> Option<f64> {
        match self.memory.as_ref()? {
            Memory::Group { limit, used, stat, inactive } => {
                let used = number(used)?;
                let stat = fs::read_to_string(stat).unwrap_or_default();
                let inactive = stat.lines().find_map(|line| line.strip_prefix(inactive)?.trim().parse().ok());
                Some((used - inactive.unwrap_or(0.0)).max(0.0) / limit)
            }
            Memory::Whole { bytes } => {
                let status = fs::read_to_string(self.root.join("proc/self/status")).ok()?;
                Some(kibibytes(&status, "VmRSS:")? / bytes)
            }
        }
    }

    /// Processor time of this process so far, in seconds of all its processors: a part of a second that passes.
    pub fn cpu_time(&self) -> Option<f64> {
        Some(self.process.usage().cpu_seconds? / self.cpus)
    }
}

/// The folder of each group in `hierarchy` from this process's up to the top.
fn folders(root: &Path, groups: &str, hierarchy: &str) -> Vec<PathBuf> {
    let of = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == hierarchy).then(|| path.to_owned())
    };
    let Some(path) = groups.lines().find_map(of) else { return Vec::new() };
    let mounts: &[&str] = match hierarchy {
        "" => &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
        "memory" => &["sys/fs/cgroup/memory"],
        _ => &["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"],
    };
    // In a container the path may be the host's and its own group be mounted as the top, which is the last here.
    let up = Path::new(&path).ancestors().map(|path| path.strip_prefix("/").unwrap_or(path).to_owned());
    let up: Vec<PathBuf> = up.collect();
    mounts.iter().flat_map(|mount| up.iter().map(move |path| root.join(mount).join(path))).collect()
}

fn group_memory(root: &Path, groups: &str) -> Option<Memory> {
    let of = |hierarchy, limit: &str, used: &str, inactive| -> Vec<Memory> {
        let folders = folders(root, groups, hierarchy);
        let memory = |folder: PathBuf| {
            let limit = number(&folder.join(limit)).filter(|limit| *limit < UNLIMITED)?;
            Some(Memory::Group { limit, used: folder.join(used), stat: folder.join("memory.stat"), inactive })
        };
        folders.into_iter().filter_map(memory).collect()
    };
    let mut all = of("", "memory.max", "memory.current", "inactive_file ");
    all.extend(of("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "));
    let limit = |memory: &Memory| match memory {
        Memory::Group { limit, .. } | Memory::Whole { bytes: limit } => *limit,
    };
    all.into_iter().min_by(|one, other| limit(one).total_cmp(&limit(other)))
}

fn group_cpus(root: &Path, groups: &str) -> Option<f64> {
    let two = folders(root, groups, "").into_iter().filter_map(|folder| {
        let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    });
    let one = folders(root, groups, "cpu").into_iter().filter_map(|folder| {
        // -1 is no quota.
        let quota = number(&folder.join("cpu.cfs_quota_us")).filter(|quota| *quota > 0.0)?;
        Some(quota / number(&folder.join("cpu.cfs_period_us"))?)
    });
    two.chain(one).filter(|cpus| cpus.is_finite() && *cpus > 0.0).min_by(f64::total_cmp)
}

/// A file that holds one number; `max` is none.
fn number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn kibibytes(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// Version 1 says "no limit" with the largest number of pages.
const UNLIMITED: f64 = (1_u64 << 60) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine's files.
    struct Files(tempfile::TempDir);

    impl Files {
        fn of(files: &[(&str, &str)]) -> Files {
            let folder = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Files(folder)
        }

        fn machine(&self) -> Machine {
            Machine::at(self.0.path())
        }
    }

    #[test]
    fn the_limits_of_a_container_of_version_2() {
        let files = Files::of(&[
            ("proc/self/cgroup", "0::/kubepods/pod1/app\n"),
            ("sys/fs/cgroup/kubepods/pod1/app/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "1000\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.current", "900\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.stat", "anon 5\ninactive_file 400\nactive_file 7\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "8000\n"),
            ("sys/fs/cgroup/kubepods/pod1/app/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "max 100000\n"),
            ("proc/meminfo", "MemTotal:  100 kB\n"),
        ]);
        let machine = files.machine();
        assert_eq!((machine.memory(), machine.cpus), (Some(0.5), 0.5), "{machine:?}");
    }

    #[test]
    fn a_container_that_sees_itself_as_the_top() {
        let files = Files::of(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "250\n"),
            ("sys/fs/cgroup/cpu.max", "250000 100000\n"),
        ]);
        let machine = files.machine();
        assert_eq!((machine.memory(), machine.cpus), (Some(0.25), 2.5), "{machine:?}");
    }

    #[test]
    fn the_limits_of_a_container_of_version_1() {
        let files = Files::of(&[
            (
                "proc/self/cgroup",
                "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
            ),
            // Its own group is mounted as the top.
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1900\n"),
            ("sys/fs/cgroup/memory/memory.stat", "cache 3\ntotal_inactive_file 100\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        let machine = files.machine();
        assert_eq!((machine.memory(), machine.cpus), (Some(0.9), 1.5), "{machine:?}");
    }

    #[test]
    fn without_a_limit_it_is_the_machine_and_this_process() {
        let files = Files::of(&[
            ("proc/self/cgroup", "4:cpu:/\n2:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("proc/meminfo", "MemFree: 1 kB\nMemTotal:       8000 kB\n"),
            ("proc/self/status", "Name:\tx\nVmRSS:\t    2000 kB\n"),
        ]);
        let machine = files.machine();
        assert_eq!(machine.memory(), Some(0.25), "{machine:?}");
        assert!(machine.cpus >= 1.0);
    }

    #[test]
    fn what_cannot_be_read_is_no_pressure() {
        let machine = Files::of(&[("proc/self/cgroup", "nonsense")]).machine();
        assert_eq!(machine.memory(), None);
    }
}
