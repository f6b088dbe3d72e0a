//! Every default of the client policy, with its reason.
//!
//! A test holds the values equal to [`ClientPolicy::default`](crate::stack::ClientPolicy).
//!
//! | key | value | because |
//! |---|---|---|
//! | `timeout` | `10s` | longer than people wait for a page, shorter than a caller's patience with a dependency |
//! | `attempt_timeout` | `3s` | three attempts fit into a call |
//! | `recovery` | `retry` | hedging costs load that a team should have asked for |
//! | `retry.mode` | `enforce` | most failures are one instance's, and another one answers |
//! | `retry.max_attempts` | `3` | what AWS and Google's SRE book settled on |
//! | `retry.backoff` | `50ms` | with full jitter: long enough to spread, short enough for a page |
//! | `retry.backoff_throttled` | `1s` | who has too much to do wants more than a breath |
//! | `retry.backoff_max` | `20s` | longer waits are a batch's, and it has its own queue |
//! | `retry.body` | `64KiB` | Linkerd's replay buffer: calls, and not uploads |
//! | `hedge.mode` | `enforce` | in `recovery = "hedge"` only |
//! | `hedge.quantile` | `0.95` | one call in twenty is late by definition |
//! | `hedge.extra` | `0.05` | and one in twenty is what its hedges may cost |
//! | `hedge.min_delay` | `1ms` | below it a timer is not exact |
//! | `budget.ratio` | `0.1` | simulated: a budget of 10 % keeps what 20 % loses after a slow-down |
//! | `budget.window` | `10s` | a burst of failures is paid from the calls just before it |
//! | `budget.floor_per_second` | `10` | a quiet client may repeat; divided by the known instances of the client |
//! | `throttle.mode` | `observe` | until it has been seen to be right |
//! | `throttle.k` | `2.0` | sends twice what is accepted, so that a recovery is noticed |
//! | `throttle.memory` | `1s` | with 10 s a client turns away 79 % for seconds after a spike is over |
//! | `throttle.max_share` | `0.8` | something always goes through |
//! | `rate_limit.mode` | `off` | nobody but the target's owner knows the number |
//! | `rate_limit.per_second` | `100.0` | a place to begin |
//! | `rate_limit.burst` | `100` | a second's worth |
//! | `bulkhead.mode` | `enforce` | a dependency must not hold all our memory |
//! | `bulkhead.max_in_flight` | `1000` | .NET's, Envoy's and the largest that guards memory and not load |
//! | `bulkhead.max_wait` | `10ms` | a burst passes; more would be a queue |
//! | `breaker.mode` | `enforce` | asking a dead target costs both a timeout |
//! | `breaker.window` | `10s` | Hystrix's: long enough to judge, short enough to forget |
//! | `breaker.min_calls` | `20` | below it a ratio is an accident |
//! | `breaker.failure_ratio` | `0.5` | below it, repeats within budget are cheaper than cutting everyone off |
//! | `breaker.consecutive` | `7` | Linkerd's: at a tenth of failures, one run in ten million |
//! | `breaker.slow_after` | `2s` | two thirds of an attempt: what answers so late is as good as silent |
//! | `breaker.slow_ratio` | `0.8` | nearly all |
//! | `breaker.open` | `1s` | a restart is over in seconds |
//! | `breaker.open_max` | `1m` | a minute is the longest that a recovery may go unnoticed |
//! | `breaker.count_overload` | `false` | limit, budget and push-back throttle an overloaded target; cutting it off makes an outage |
//! | `concurrency.mode` | `observe` | the target's own limit is better placed |
//! | `concurrency.start` | `20` | Netflix', Uber's and failsafe-go's |
//! | `concurrency.min` | `1` | one always tells whether it is better |
//! | `concurrency.max` | `1000` | the bulkhead's |
