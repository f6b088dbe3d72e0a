//! What does this process use?
//!
//! Prometheus' standard `process_*` metrics, read from `/proc` when scraped. Where there is no `/proc` they
//! are absent, which a panel shows as a gap and never as a zero.

use std::{fmt, fs, path::Path};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use super::catalogue::{CounterSpec, Declared, GaugeSpec, Kind, Spec as _};

/// Reads `/proc/self` on every scrape.
#[derive(Debug)]
pub struct Process {
    /// When the machine started, in seconds since 1970: read once, the file is long on large machines.
    boot: Option<f64>,
    /// Clock ticks a second and bytes a page, as the kernel told this process.
    ticks: Option<f64>,
    page: Option<f64>,
}

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading {
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    threads: Option<f64>,
    virtual_bytes: Option<f64>,
    resident_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

/// What this process uses now; a value is absent where the system does not tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor time since it started, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory that it holds, in bytes.
    pub resident_bytes: Option<f64>,
}

impl Process {
    /// The process that asks.
    pub fn of_this_process() -> Self {
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text));
        let vector = fs::read("/proc/self/auxv").unwrap_or_default();
        Process { boot, ticks: auxiliary(&vector, AT_CLKTCK), page: auxiliary(&vector, AT_PAGESZ) }
    }

    /// One short file of `/proc` is read for it.
    pub fn usage(&self) -> Usage {
        let Reading { cpu_seconds, resident_bytes, .. } =
            self.parse(&fs::read_to_string("/proc/self/stat").unwrap_or_default());
        Usage { cpu_seconds, resident_bytes }
    }

    fn read(&self) -> Reading {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Reading {
            // The folder that is being read is open as well, so it is one of those counted.
            open_fds: count_entries(Path::new("/proc/self/fd")),
            max_fds: max_open_files(&limits),
            ..self.parse(&stat)
        }
    }

    /// `pid (name) state …`: the name may hold spaces and brackets, so fields are counted from the last one.
    fn parse(&self, stat: &str) -> Reading {
        let Some((_, rest)) = stat.rsplit_once(") ") else { return Reading::default() };
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - FIRST_AFTER_NAME)?.parse::<f64>().ok();
        Reading {
            cpu_seconds: self.ticks.and_then(|ticks| Some((field(14)? + field(15)?) / ticks)),
            start_seconds: self
                .boot
                .zip(self.ticks)
                .and_then(|(boot, ticks)| Some(boot + field(22)? / ticks)),
            threads: field(20),
            virtual_bytes: field(23),
            resident_bytes: self.page.and_then(|page| Some(field(24)? * page)),
            ..Reading::default()
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reading = self.read();
        let values = [
            reading.cpu_seconds,
            reading.open_fds,
            reading.max_fds,
            reading.virtual_bytes,
            reading.resident_bytes,
            reading.start_seconds,
            reading.threads,
        ];
        for (declared, value) in declared().iter().zip(values) {
            let Some(value) = value else { continue };
            let unit = declared.unit();
            let stem =
                unit.map_or(declared.name, |unit| &declared.name[..declared.name.len() - unit.len() - 1]);
            let unit = unit.map(|unit| Unit::Other(unit.to_owned()));
            let (counter, gauge) = (ConstCounter::new(value), ConstGauge::new(value));
            let metric: &dyn EncodeMetric = if declared.kind == Kind::Counter { &counter } else { &gauge };
            let help = format!("{}.", declared.help);
            metric.encode(encoder.encode_descriptor(stem, &help, unit.as_ref(), metric.metric_type())?)?;
        }
        Ok(())
    }
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// An entry of the vector that the kernel hands to every process: pairs of machine words, key and value.
fn auxiliary(vector: &[u8], key: usize) -> Option<f64> {
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    vector
        .chunks_exact(2 * size_of::<usize>())
        .map(|pair| pair.split_at(size_of::<usize>()))
        .find(|(known, _)| word(known) == Some(key))
        .and_then(|(_, value)| word(value))
        .map(|value| value as f64)
}

fn max_open_files(limits: &str) -> Option<f64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn count_entries(folder: &Path) -> Option<f64> {
    Some(fs::read_dir(folder).ok()?.count() as f64)
}

/// In the order of the readings.
pub(super) fn declared() -> [Declared; 7] {
    [
        CPU.declared(),
        OPEN_FDS.declared(),
        MAX_FDS.declared(),
        VIRTUAL_MEMORY.declared(),
        RESIDENT_MEMORY.declared(),
        START_TIME.declared(),
        THREADS.declared(),
    ]
}

// Prometheus' standard names.
pub(super) static CPU: CounterSpec<()> =
    CounterSpec::new("process_cpu_seconds", "Processor time used by this process");
pub(super) static OPEN_FDS: GaugeSpec<()> = GaugeSpec::new("process_open_fds", "Open file descriptors");
pub(super) static MAX_FDS: GaugeSpec<()> =
    GaugeSpec::new("process_max_fds", "Most file descriptors that may be open");
static VIRTUAL_MEMORY: GaugeSpec<()> = GaugeSpec::new("process_virtual_memory_bytes", "Virtual memory");
pub(super) static RESIDENT_MEMORY: GaugeSpec<()> =
    GaugeSpec::new("process_resident_memory_bytes", "Resident memory");
static START_TIME: GaugeSpec<()> =
    GaugeSpec::new("process_start_time_seconds", "When this process started, since 1970");
pub(super) static THREADS: GaugeSpec<()> =
    GaugeSpec::new("process_threads", "Threads of the operating system");

/// `proc(5)` counts from 1, and the state behind the name is number 3.
const FIRST_AFTER_NAME: usize = 3;
/// `getauxval(3)`: bytes a page.
const AT_PAGESZ: usize = 6;
/// `getauxval(3)`: clock ticks a second.
const AT_CLKTCK: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_of_proc_even_behind_an_ugly_name() {
        let process = Process { boot: Some(1_700_000_000.0), ticks: Some(100.0), page: Some(4096.0) };
        let stat = "42 (a ) b) S 1 1 1 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 7 0 12300 8192000 500 1 0";
        let expected = Reading {
            cpu_seconds: Some(3.0),
            start_seconds: Some(1_700_000_123.0),
            threads: Some(7.0),
            virtual_bytes: Some(8_192_000.0),
            resident_bytes: Some(2_048_000.0),
            ..Reading::default()
        };
        assert_eq!(process.parse(stat), expected);
        assert_eq!(process.parse("nonsense"), Reading::default());
    }

    #[test]
    fn reads_the_other_files_of_proc() {
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nx 1"), Some(1_700_000_000.0));
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024      4096   files\n";
        assert_eq!(max_open_files(limits), Some(1024.0));
        assert_eq!(max_open_files("Max open files            unlimited unlimited files"), None);
        let vector: Vec<u8> =
            [6_usize, 4096, 17, 100, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(auxiliary(&vector, AT_CLKTCK), Some(100.0));
        assert_eq!(auxiliary(&vector, 99), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let reading = Process::of_this_process().read();
        assert!(reading.resident_bytes > Some(1e6), "{reading:?}");
        assert!(reading.start_seconds > Some(1.6e9) && reading.open_fds >= Some(3.0), "{reading:?}");
        assert!(reading.threads >= Some(1.0) && reading.cpu_seconds >= Some(0.0), "{reading:?}");
    }
}
