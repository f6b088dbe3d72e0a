//! What happens when something vanishes, and what it looks like.
//!
//! | what | what callers get | what an operator sees |
//! |---|---|---|
//! | one instance refuses connections | the answer of another: nothing was sent, so any method goes on there | attempts `unreachable` and `retry` |
//! | one instance answers 500 | another's answer, if the call may be done twice; else the 500 | attempts `server`; the error says "not repeated: …" |
//! | one instance is silent | another's answer after `attempt_timeout`; in mode hedge after the 95th percentile | attempts `timeout` or `abandoned`, `hedge` |
//! | one instance fails five times in a row, or far more than the others | nothing more of it: it is left out for half a minute, longer each time, and comes back through one call | `platform_balance_ejections_total`; `sick` in `/platform/targets` says why |
//! | more than half of the instances are sick | all are asked again, because the rest could not carry the load | a warning; `panic` in `/platform/targets` |
//! | all instances fail | the failure, and after seven in a row `breaker_open` at once, with the time of the next probe | `platform_breaker_state` 2, refusals of `breaker` |
//! | all fail, and are back | one probe, then a tenth, doubling each second: no second trip from the first wave | state 1, then 0 |
//! | the target is too busy (429, 503 with a word) | the answer of another instance; where a delay is named, after it, and never sooner | attempts `overload` |
//! | failures everywhere | one failure each: repeats end with the budget, and whoever gave up says so above | `platform_retry_budget_ratio` 0 |
//! | the caller leaves | nothing; every permit is reported as abandoned, or timed out if its deadline had passed | attempts `abandoned` |
//! | the deadline has passed on arrival | a refusal before any slot is taken | outcome `local` |
//! | the registry is down, frozen or unreachable | nothing: the last good set stays, however long | `platform_discovery_age_seconds` grows, updates `error`; `failing` on `/platform/targets` |
//! | the registry forgets everybody (wiped, or frozen past the leases) | nothing: who vanishes is believed in for `removals.hold`, and is registered again before that | a warning of each instance, which registers anew |
//! | an instance is killed | the answer of another, until its lease ends or its next life takes the name | attempts `unreachable` and `retry` |
//! | a dependency that is optional | the page without it, marked `platform-degraded` ([`fallback`](crate::fallback)) | `platform_server_degraded_requests_total` |
//! | more is asked of a service than it can serve | what it could serve before is served; who cannot be is refused within 50 ms, the least important and the noisiest first, and is told to go elsewhere or to come back | `platform_server_refusals_total`, `platform_server_pressure_ratio`; `overload` on the line |
//! | a service's memory or processors run out | the same, before it is killed | pressure of `memory`, `cpu` or `scheduling_delay` |
//!
//! # What is cancelled
//! A deadline drops the work where it stands. Right for a slot, wrong for work that must finish: give that to
//! [`spawn_detached`](crate::context::spawn_detached).
//!
//! # Streams
//! A slot is held until a reply has been read. A stream without an end holds it without an end: call such a target
//! with a policy of its own, whose bulkhead is as large as the number of streams and whose concurrency limit is off.
