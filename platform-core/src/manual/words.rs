//! For people who come from resilience4j, Finagle, go-zero or Polly.
//!
//! What differs everywhere: all of it is on unless somebody switches it off, in one order that is fixed
//! ([`ordering`](super::ordering)), for every client of a target together; and repeats and hedges are paid from one budget.
//!
//! # resilience4j
//!
//! | there | here |
//! |---|---|
//! | `CircuitBreaker`, a registry of them | [`breaker`](crate::admission::breaker), one per target and process |
//! | `slidingWindowSize`, `minimumNumberOfCalls` 100 | `breaker.window` (time, 10 s), `breaker.min_calls` 20; and a rule that needs no window: `consecutive` 7 |
//! | `failureRateThreshold` 50, `slowCallRateThreshold`, `slowCallDurationThreshold` | `breaker.failure_ratio` 0.5, `slow_ratio`, `slow_after` |
//! | `waitDurationInOpenState` 60 s | `breaker.open` 1 s, doubled to `open_max` 60 s |
//! | `permittedNumberOfCallsInHalfOpenState` 10 | one probe, then a ramp of 4 s; nothing sticks in half-open, a probe that is dropped gives its turn back |
//! | `METRICS_ONLY`, `DISABLED`, `FORCED_OPEN` | `mode` `observe`, `off`; `PUT /platform/breakers/TARGET` |
//! | `Retry`, `maxAttempts` 3, `intervalFunction` | [`recovery`](crate::recovery): `retry.max_attempts` 3 (with the first), full jitter from `backoff`; what may not be done twice is not repeated |
//! | a retry budget (asked for) | `budget` |
//! | `Bulkhead` 25, `ThreadPoolBulkhead` | [`bulkhead`](crate::admission::bulkhead) 1000: it guards memory; the load is the concurrency limit's. `ThreadPoolBulkhead` is [`Blocking`](crate::blocking::Blocking): threads and a short line for each kind of work |
//! | `RateLimiter`, `limitForPeriod` | [`rate_limit`](crate::admission::rate_limit): `per_second`, `burst`, without a period's edge |
//! | `TimeLimiter` | `attempt_timeout`, and `timeout` for the whole call |
//! | the order of decorators | fixed, with a reason a line |
//! | a fallback method | [`fallback`](crate::fallback), in the handler, and marked in the reply |
//! | an event consumer | metrics, and `why` on the canonical line |
//!
//! # Finagle
//!
//! | there | here |
//! |---|---|
//! | `Service`, `Filter`, `Stack` | a tower service, a layer in a slot, [`ClientStack`](crate::stack::ClientStack) |
//! | `Http.client.newService("inventory")` | `Client::for_target(&app, "inventory")` |
//! | `Name`, `Dtab`, `Dtab.local` | a target; `platform-route: checkout:pr-123` in baggage, believed where `trust.overrides` says so |
//! | `Var[Addr]`, Serversets | a source that yields whole sets ([`Resolve`](../../../platform_discovery/trait.Resolve.html)) and a watch that keeps the last good one |
//! | P2C, peak EWMA, aperture | `pick = "p2c"`: latency times load, failures as slow answers; `set.subset`, which needs no contiguous numbers |
//! | failure accrual | [`eject`](../../../platform_discovery/balance/eject/index.html), which never takes the last one and counts exactly for few |
//! | `RetryBudget` 20 %, 10 a second | `budget`: 10 %, a floor of 10 a second that all instances share; hedges pay too |
//! | requeues, `BackupRequestFilter` | attempts of kind `requeue`; `recovery = "hedge"` |
//! | nack, `Failure.NonRetryable` | `platform-retry: safe`, `platform-retry: never` |
//! | `ResponseClassifier` | [`Classify`](crate::Classify), one verdict that all guards read |
//! | NACK admission control | [`throttle`](crate::admission::throttle), which counts no refusals of its own |
//! | `Contexts.broadcast`, `Deadline` | [`Context`](crate::Context), of which the deadline is enforced |
//! | timeouts that are off | `timeout` 10 s, `attempt_timeout` 3 s, and a server's 30 s |
//! | dark mode | `mode = "observe"`, of every guard |
//! | TwitterServer's admin, lame duck | the admin listener, the drain |
//!
//! # go-zero
//!
//! | there | here |
//! |---|---|
//! | `goctl api new`, `goctl rpc new` | `platform new --http`, `--grpc`, `--both` |
//! | `.api` files | an axum `Router`; protos stay protos |
//! | the adaptive breaker (Google's, always on) | [`throttle`](crate::admission::throttle) for overload, [`breaker`](crate::admission::breaker) for failures |
//! | `CpuThreshold` 900, the shedder | `server.policy.shed`: waiting, scheduling delay, memory, processors of the container; the least important first |
//! | `MaxConns` | `server.limits.connections`, and `server.policy.concurrency`, which finds itself |
//! | `Timeout` 3000 | `server.policy.timeout`, `clients.NAME.policy.timeout`; the caller's deadline counts if it is nearer |
//! | `PeriodLimit`, `TokenLimit` over Redis | [`rate_limit`](crate::admission::rate_limit), in each process; by tenant on a server |
//! | P2C with EWMA, etcd discovery | the same ideas: `pick`, `registry = "etcd"` |
//! | `logx`, the stat log | [`telemetry::log`](crate::telemetry::log), one canonical line a request |
//! | `proc.AddShutdownListener` | `App::on_stop`; requests that were begun are finished first |
//! | `ServiceGroup` | `App::add`, `App::spawn` |
//! | `mr.Finish` | `tokio::try_join!`, with the context in every branch |
//!
//! # Polly and Microsoft.Extensions.Http.Resilience
//!
//! | there | here |
//! |---|---|
//! | `AddServiceDefaults()`, `AddStandardResilienceHandler()` | `App::start`, and every client |
//! | `ResiliencePipelineBuilder`, strategies in the order of their addition | [`ClientPolicy`](crate::stack::ClientPolicy), one fixed order; `Around` for what is no HTTP |
//! | `TotalRequestTimeout` 30 s, `AttemptTimeout` 10 s | `timeout` 10 s, `attempt_timeout` 3 s; preset `external` is 30 s and 10 s |
//! | `Retry.MaxRetryAttempts` 3 (four tries) | `retry.max_attempts` 3: tries, the first included |
//! | retries of POST, `DisableForUnsafeHttpMethods()` | never, unless `idempotency-key` or `.idempotent()` says so |
//! | `CircuitBreaker`: `FailureRatio` 0.1, `MinimumThroughput` 100, `SamplingDuration` 30 s, `BreakDuration` 5 s | `failure_ratio` 0.5, `min_calls` 20, `window` 10 s, `open` 1 s and doubled |
//! | `Hedging` | `recovery = "hedge"`: after the 95th percentile that was learned, not after a fixed 2 s |
//! | `RateLimiter` 1000 permits | `bulkhead.max_in_flight` 1000; `rate_limit` is a rate |
//! | `Fallback` | [`fallback`](crate::fallback) |
//! | `ResilienceContext`, `ResiliencePropertyKey` | [`Context`](crate::Context), [`Item`](crate::context::Item), which also cross the wire |
//! | `ShouldHandle` | [`Classify`](crate::Classify) |
//! | chaos strategies (Simmy) | [`fault`](crate::fault), for a time, with a kill switch |
//! | `CircuitBreakerManualControl` | `PUT /platform/breakers/TARGET` |
//! | reloads of options | switches of the admin listener for a time; files at the next start |
//! | the Aspire dashboard | the live page at `:9464`, in production too; OTLP goes to Aspire as well |
