//! What a request passes before a handler is run, every default of the server's policy, and why.
//!
//! # Order
//! [`ServerGuards`](crate::stack::ServerGuards) asks these in turn, after the request's head was read and before its
//! body is; `/platform/stack` shows the same list of a running service. A test holds this table equal to it.
//!
//! | guard | refuses | why here |
//! |---|---|---|
//! | `expired` | a request whose deadline has passed (504) | R9: dead work takes no slot, and without a cap, which would keep a collapse alive |
//! | `rate-limit` | a tenant beyond its rate (429) | R2: arithmetic only; one tenant's flood is its own |
//! | `fair-share` | tenants that ask for more than others, while not all can stay (503) | before importance, because whoever floods may call everything important |
//! | `shed` | the least important, while not all can stay (503) | importance decides before capacity does |
//! | `concurrency` | who finds no slot within `queue_wait` (503) | learns what can be borne; its slot is held until the reply has been sent |
//!
//! What is refused runs no handler and reads no body, says `platform-retry: safe`, and names its guard as `layer`. The
//! admin listener, with health and metrics, is behind none of this.
//!
//! # Defaults
//! | key | value | because |
//! |---|---|---|
//! | `timeout` | `30s` | browsers and proxies give up after 30 to 60 s |
//! | `expired.mode` | `enforce` | deadlines are relative, so no clock can be wrong |
//! | `concurrency.mode` | `enforce` | a limit that is found by itself, and rises as long as nothing waits |
//! | `concurrency.start` | `20` | Netflix', Uber's and failsafe-go's |
//! | `concurrency.min` | `1` | one always tells whether it is better |
//! | `concurrency.max` | `1000` | a ceiling of 200 refuses a healthy service with a second's latency |
//! | `concurrency.queue_wait` | `50ms` | simulated: with it every load recovers; longer than a burst, shorter than people notice |
//! | `shed.mode` | `enforce` | does nothing until something is short |
//! | `shed.sources` | `["queue_wait","scheduling_delay","memory","cpu"]` | each names itself in `platform_server_pressure_ratio` |
//! | `fair_share.mode` | `enforce` | does nothing with one tenant, or with equal ones |
//! | `rate_limit.mode` | `off` | nobody but the service's owner knows the number |
//! | `rate_limit.per_second` | `100.0` | a place to begin |
//! | `rate_limit.burst` | `200` | two seconds' worth |
//! | `rate_limit.max_keys` | `100000` | some ten megabytes; who made up more names forgets others like them |
//!
//! # Signals
//! `platform_server_refusals_total` by guard, class and criticality; `platform_server_pressure_ratio` by source;
//! `platform_server_queue_wait_seconds`; `overload` on the canonical line. The board is "Overload".
//!
//! # Traps
//! *A limit of one's own around the routes*: it refuses what was admitted, and learns nothing. *A known limit* is written as
//! `start`, `min` and `max` alike. *Everything critical* is nothing critical: lower what nobody waits for. *Slow on purpose* beside
//! quick needs a class of its own, or the quick ones look like a queue.
//!
//! # What counts as pressure
//! | source | reading | nothing below | nearly all at |
//! |---|---|---|---|
//! | `queue_wait` | what came less what got a slot, in the last 100 ms, while somebody always waited | all got one | none did |
//! | `scheduling_delay` | the least of the last ten delays of a task, in half a second | 20 ms | 200 ms |
//! | `memory` | the container's working set of its limit (cgroup v2 or v1), else this process's of the machine's | 85 % | 97 % |
//! | `cpu` | this process's of what it may use, while tasks wait for 5 ms | 90 % | 105 % |
//!
//! # Classes
//! What is slow on purpose gets a limit of its own: `Server::class("slow", ["/reports/{id}"])`, and
//! `[server.classes.slow]`. A reply that is made while it is sent (events, a stream of messages) gives its slot back at
//! the first moment that it has nothing to send, and counts as class `stream`.
//!
//! # Bodies that do not come
//! A slow body needs no capacity, and a few dozen stalled ones would fill every place there is. So a handler that has waited
//! for its caller for 25 ms, in all its waits together, lends its place to others while nothing comes. When something does,
//! it has the next free place, before all who wait outside, and reads on: it was let in, and is refused nothing any more. The
//! limit stays exact, and learns nothing from what callers took. A body that stops is cut after `server.times.body_idle`; a
//! stream of messages lasts as long as its call.
//!
//! # Work that holds a thread
//! A file, an embedded database, a password's hash: on threads of its own ([`Blocking`](crate::blocking::Blocking)), so many
//! at a time for each kind of work, with a short line (`[blocking.NAME]`). What holds a thread of the runtime instead is
//! counted in `platform_runtime_slow_polls_total` by route, and is `slow_poll_ms` on the canonical line.
//!
//! # At night
//! A guard's mode is switched for a time by `PUT /platform/modes/server/GUARD`, on the live page, or for every instance by
//! `platform mode SERVICE GUARD observe --server --why TEXT`.
