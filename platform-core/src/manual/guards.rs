//! Each guard: where its page is.
//!
//! All pages have the same shape: the question and why it is asked, the **defaults** with their reasons, the **signals** that an
//! operator sees, the **traps** that others have fallen into.
//!
//! | guard | the question | page |
//! |---|---|---|
//! | deadline | How long may it take? | [`deadline`](crate::deadline) |
//! | retry, hedge, budget | What if it failed? | [`recovery`](crate::recovery) |
//! | breaker | Is this target worth asking? | [`admission::breaker`](crate::admission::breaker) |
//! | bulkhead | How much of us may this target hold? | [`admission::bulkhead`](crate::admission::bulkhead) |
//! | concurrency limit | How much can this target bear right now? | [`admission::concurrency`](crate::admission::concurrency) |
//! | rate limit | How often may this key ask? | [`admission::rate_limit`](crate::admission::rate_limit) |
//! | throttle | Is it worth sending at all? | [`admission::throttle`](crate::admission::throttle) |
//! | fallback | What do we answer without it? | [`fallback`](crate::fallback) |
//! | faults | What if it went wrong on purpose? | [`fault`](crate::fault) |
//! | balancer | Which one do we ask? | [`platform_discovery::balance`](../../../platform_discovery/balance/index.html) |
//! | ejection | Who is left out for a while? | [`platform_discovery::balance::eject`](../../../platform_discovery/balance/eject/index.html) |
//! | the server's guards | What does a request pass before a handler is run? | [`serving`](super::serving) |
//! | the server's line | Who waits for a slot, and who goes next? | [`admission::line`](crate::admission::line) |
//! | shedding, fair shares | Whose request goes, when not all can stay? | [`admission::shed`](crate::admission::shed) |
//! | the server's connections | Who may connect, for how long, and what answers them? | [`platform_http::server`](../../../platform_http/server/index.html) |
//! | threads for blocking work | Who may hold a thread, and for how long may others wait? | [`blocking`](crate::blocking) |
//! | TLS, identity | Who is on the other side? | [`platform_http::tls`](../../../platform_http/tls/index.html) |
//! | tokens | Whose token is it? | [`platform_http::bearer`](../../../platform_http/bearer/index.html) |
//! | registration | How do others find us? | [`platform_discovery::register`](../../../platform_discovery/register/index.html) |
//! | drain | When does a process live? | [`lifecycle`](crate::lifecycle) |
//! | logging | What does a service say, and who is made to wait for it? | [`telemetry::log`](crate::telemetry::log) |
//!
//! Modes are switched while a service runs (`platform mode orders breaker observe --why INC-42`), for a time and on the record. A
//! guard that nobody dares to switch on is switched to `observe`: `platform_client_refusals_total{mode="observe"}` says what it
//! would have refused.
//!
//! # Few endpoints, few calls
//! What breaker and ejection do with 1, 2, 3, 5 or 10 endpoints at 0.1 to 100 calls a second is a table that a test plays again:
//! [`platform_discovery::balance::few`](../../../platform_discovery/balance/few/index.html).
