//! What should a person see of a process?

use super::{
    DROPPED,
    catalogue::{Board, Runbook, Signal, Unit, above, max, number, rate, ratio, sum},
    log, metrics, process,
};

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    vec![
        Signal::new(
            "Processes",
            number(&metrics::SERVICE_INFO).by(&["service_version", "variant"]),
            Unit::Count,
        )
        .on(Board::Runtime),
        Signal::new("Processors in use", rate(&process::CPU).by(&["service_version"]), Unit::Count)
            .on(Board::Runtime),
        Signal::new(
            "Memory of the largest",
            max(&process::RESIDENT_MEMORY).by(&["service_version"]),
            Unit::Bytes,
        )
        .on(Board::Runtime)
        .and("all", sum(&process::RESIDENT_MEMORY)),
        Signal::new("Threads", max(&process::THREADS).by(&["service_version"]), Unit::Count)
            .on(Board::Runtime),
        Signal::new(
            "File descriptors in use",
            ratio(max(&process::OPEN_FDS), max(&process::MAX_FDS)).by(&["service_version"]),
            Unit::Ratio,
        )
        .on(Board::Runtime)
        .page_when(above(0.9).for_minutes(5), FILE_DESCRIPTORS),
        Signal::new("Log volume", rate(&log::LOG_BYTES).by(&["level"]), Unit::BytesPerSecond)
            .on(Board::Runtime),
        Signal::new(
            "Log volume as a share of its budget",
            ratio(rate(&log::LOG_BYTES), sum(&log::LOG_BUDGET)).by(&["service_version"]),
            Unit::Ratio,
        )
        .on(Board::Runtime)
        .ticket_when(above(BEYOND_BUDGET).for_minutes(15), LOG_BILL),
        Signal::new(
            "Log lines suppressed",
            rate(&log::LOG_LINES_DROPPED).except("reason", &[log::OUTPUT]).by(&["reason", "level"]),
            Unit::PerSecond,
        )
        .on(Board::Runtime),
        Signal::new(
            "Log lines lost",
            rate(&log::LOG_LINES_DROPPED).only("reason", &[log::OUTPUT]).by(&["level"]),
            Unit::PerSecond,
        )
        .on(Board::Runtime)
        .ticket_when(above(0.0).for_minutes(15), LOG_LINES_LOST),
        Signal::new("Spans lost", rate(&DROPPED).by(&["signal"]), Unit::PerSecond)
            .on(Board::Runtime)
            .ticket_when(above(0.0).for_minutes(15), SPANS_LOST),
    ]
}

const FILE_DESCRIPTORS: Runbook = Runbook {
    name: "file-descriptors",
    means: "A process has nearly as many files and connections open as it may. At the limit it takes no new \
            connection and makes none: users see refused connections, and calls to others fail as unreachable.",
    look: &[
        "Is it one process or all? One alone leaks or is given too many connections; all of them are too few.",
        "Do open connections grow with the traffic (\"Requests in flight\") or without it? Without it, something is \
         opened and never closed: compare with the last change on the admin page.",
    ],
    act: &[
        "Drain the worst process (`POST /platform/drain`): it ends in order and its successor begins with none.",
        "If all are near their limit, raise the limit where the process is started, or run more of them.",
    ],
};

const LOG_BILL: Runbook = Runbook {
    name: "log-bill",
    means: "Processes write more log than their budget allows. Ordinary lines give way to it, so what is written beyond \
            it is what is never suppressed: warnings, errors, and the lines of requests that failed. Users notice \
            nothing of the log; what it is full of they may.",
    look: &[
        "\"Log volume\" by level: errors that grow with the requests that fail have their cause there, see the service's \
         board.",
        "Warnings or errors without failed requests: which place says them? A line that is said for every request is no \
         warning.",
    ],
    act: &[
        "Repair what fails.",
        "Make the loudest line info, or say it once for many.",
        "If all of it is wanted, raise `telemetry.log.bytes_per_second`; somebody pays for it.",
    ],
};

const LOG_LINES_LOST: Runbook = Runbook {
    name: "log-lines-lost",
    means: "The output does not take log lines as fast as they are written, so some are dropped instead of holding \
            up requests. Users notice nothing; whoever looks for a line may not find it.",
    look: &[
        "\"Log volume\" by level: did one level jump? Somebody may have raised the filter (the changes on the admin \
         page say who and until when).",
        "Does whatever collects the output hang? Other services on the same machine would lose lines as well.",
    ],
    act: &[
        "Undo the change of the filter, or lower it: `PUT /platform/log`.",
        "Repair the collector. What was lost is lost.",
    ],
};

const SPANS_LOST: Runbook = Runbook {
    name: "spans-lost",
    means: "The collector of traces does not take spans as fast as they are made. Users notice nothing; traces have \
            holes.",
    look: &["Does the collector live, and does the endpoint under `telemetry.traces` lead to it?"],
    act: &[
        "Repair the collector, or give it more room.",
        "Else record fewer traces: `telemetry.traces.ratio`.",
    ],
};
/// What must be said may be a little beyond the budget for a while; a fifth for a quarter of an hour is no burst, which is
/// ten seconds of the budget.
const BEYOND_BUDGET: f64 = 1.2;
