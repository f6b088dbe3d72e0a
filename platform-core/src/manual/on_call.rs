//! What somebody does who was woken.
//!
//! An alert says whose service it is, what is broken, which version or instance is worst, and has three links: the runbook, the
//! board, the admin page. Open the admin page of the worst instance; the live page in a browser is in the order of these questions.
//!
//! | ask | where |
//! |---|---|
//! | **What changed?** | `/platform/changes`: the last 200, with who and why. A new version is in "Processes" on the board. Take it back first and look later |
//! | **Is it meant to be so?** | `/platform/faults`: somebody may be rehearsing. `DELETE /platform/faults` ends all of it at once |
//! | **Is it us or them?** | "Attempts by outcome", by target: `server` and `timeout` are the target's, `unreachable` is the way to it, `local` is our own guards |
//! | **Who of them?** | `/platform/targets`: each endpoint with its latency, its failures, and why it is left out |
//! | **Which guard refuses?** | `/platform/stack`: the order, with what is in force and what each guard has seen |
//! | **What became of one request?** | its canonical line: `why` says what was repeated, refused or degraded, and `trace_id` finds the others |
//! | **Is it more than we can do?** | `platform_server_pressure_ratio` by source, and who is refused by importance |
//!
//! # What can be done, without a deployment
//! Everything but a drain goes back by itself (30 min unless it is said otherwise). It is recorded with a name and a reason, and is
//! sent to every instance by `platform`:
//!
//! ```text
//! platform top                                                           # rates, errors, latencies, versions, open breakers
//! platform mode orders breaker observe --target payments --why INC-42    # a guard that is wrong
//! platform drain orders --instance orders-7d4f --why "bad disk"          # one instance
//! platform evacuate orders eu-1b --why INC-43                            # a zone
//! platform fault orders --target payments --delay 300ms --for 10m --why "game day"
//! platform undo orders --why "it is over"                                # the last of these, wherever it is in force
//! ```
//!
//! By hand, on the admin listener of one process: `PUT /platform/log` (a finer filter for ten minutes), `PUT
//! /platform/breakers/TARGET` (`open` keeps calls away from a target that should be left alone, `closed` overrules a breaker that
//! is wrong), `PUT /platform/policy/CLIENT` (a part of a policy: a longer timeout, no repeats), `PUT /platform/zones/ZONE`.
//!
//! # The alerts
//! A test holds this list equal to what `platform ops rules` writes. The runbook of each is a file of its name.
//!
//! | alert | wakes somebody | first look |
//! |---|---|---|
//! | `error-budget-burn` | yes | what changed; then which dependency |
//! | `breaker-open` | yes | the target's own board: it has failed for minutes |
//! | `no-endpoints` | yes | who should be running, and whether the registry knows them |
//! | `certificate-ends` | in its last 2 days, or the last 21st of a shorter life | whoever renews certificates |
//! | `dependency-failing` | no | the target's owner |
//! | `budget-empty` | no | the target: repeats have stopped helping |
//! | `registry-silent` | no | the registry; calls go on with what was known |
//! | `target-vanished` | no | did many instances really go at once? They are still believed in |
//! | `panics` | no | the log has the place in the code |
//! | `file-descriptors` | no | what is held open |
//! | `log-bill` | no | which warnings or errors are said without end |
//! | `log-lines-lost`, `spans-lost` | no | a slow disk, a collector that is away |
//!
//! # Afterwards
//! Write what you learned into the runbook's file; it is not written over. If a guard was wrong, its numbers belong into
//! `platform.toml`, where they survive a restart. If nobody could have known, there is a signal missing: a metric of one's own with
//! a panel and an alert is the example `own_metric`, and `platform ops boards|rules --from PROGRAM` renders them. And rehearse it: `platform fault` makes it happen on a quiet afternoon.
