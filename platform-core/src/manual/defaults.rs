//! Every default, with its reason.
//!
//! Tests hold the values equal to those of the code; each is a named constant there, and its comment says the same. What is set in a
//! running service, and from where, says its `--describe`. Those of the server's guards are on their own page
//! ([`serving`](super::serving)); `[slo]` has none, because nobody can promise for somebody else.
//!
//! # `[defaults]`
//! The same for `[clients.NAME]`, which alone has a `target`, `methods` and a `service_config`. What else stands there is
//! below.
//!
//! | key | value | because |
//! |---|---|---|
//! | `preset` | `internal` | most of what a service calls is the company's own |
//! | `criticality` | `inherit` | a call is as important as the request that it is made for |
//!
//! # A client's policy
//! `[defaults.policy]`, `[clients.NAME.policy]`: [`ClientPolicy`](crate::stack::ClientPolicy).
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
//!
//! # `[defaults.balance]`
//! The same for `[clients.NAME.balance]`: whom of all.
//!
//! | key | value | because |
//! |---|---|---|
//! | `pick` | `p2c` | the cheaper of two: almost as good as looking at all, and clients do not herd |
//! | `key` | `tenant` | whom `ring_hash` keeps together |
//! | `set.empty_wait` | `1s` | longer than a look at a registry, shorter than a caller's patience |
//! | `set.panic` | `0.5` | Envoy's: when fewer are well, the rest could not carry the load |
//! | `set.subset` | `12` | Finagle's least aperture: enough to choose from, and a client's connections stay countable |
//! | `variants` | `{}` | `stable` gets everything that asks for nothing else |
//! | `versions` | `{}` | the same |
//! | `load.ewma` | `10s` | Finagle's: longer than a hiccup, and a minute after a failure somebody looks again |
//! | `load.failure_penalty` | `5s` | a hundred ordinary latencies, so that a failure outweighs any queue |
//! | `load.slow_start` | `30s` | caches and pools warm up within that |
//! | `eject.mode` | `enforce` | whoever fails costs a repeat each time |
//! | `eject.consecutive` | `5` | Envoy's: one in a thousand of those that fail a quarter of all gets there by chance |
//! | `eject.base` | `30s` | Envoy's: long enough for a restart |
//! | `eject.max` | `5m` | Envoy's: who is sick for longer is removed by somebody |
//! | `eject.max_share` | `0.5` | a zone of three may be lost, and what is left carries twice its load |
//! | `health.mode` | `off` | gRPC's own default, and a stream to each endpoint that is asked, and for 5 s to each that joins, is a price that somebody should want to pay |
//! | `health.service` | `""` | the whole process |
//!
//! # `[defaults.connect]`
//! The same for `[clients.NAME.connect]`: how they are reached.
//!
//! | key | value | because |
//! |---|---|---|
//! | `timeout` | `1s` | within one data centre a connection takes a millisecond; who has not answered in a second is not there |
//! | `pool.idle` | `1m` | below the server's keep-alive, so that it is us who close, and never in the middle of a request |
//! | `pool.per_endpoint` | `32` | more idle connections than that are the remains of a peak |
//! | `protocol` | `auto` | an instance says itself what it speaks |
//! | `max_response` | `64MiB` | larger replies are streams and should be read as such |
//! | `tls.ca` | `""` | what the system trusts |
//! | `tls.cert` | `""` | most servers ask for none |
//! | `tls.key` | `""` | it belongs to `cert` |
//! | `tls.server_name` | `""` | the target's host or name is what its certificate should say |
//!
//! # `[clients.NAME.methods]`
//! What single methods of a gRPC target have of their own, as in `[clients.ratings.methods."film.Ratings/Get"]`. Of its
//! `policy` (`timeout`, `attempt_timeout`, `recovery`, `retry`, `hedge` without `extra`) what is not said is the client's.
//!
//! | key | value | because |
//! |---|---|---|
//! | `idempotent` | `false` | the proto says it (`idempotency_level`), and of what says nothing a repeat may do harm |
//! | `retry_codes` | `[]` | what a code means decides; a target that uses codes in its own way says which |
//! | `stream_timeout` | `none` | streams that are meant to last would end in the middle |
//! | `stream_idle` | `none` | how long silence is no sign of trouble only the target knows |
//! | `wait_for_ready` | `false` | a call that nobody can answer now is refused soon, so that its caller may do something else |
//!
//! # `[blocking.NAME]`
//! Threads for one kind of work that blocks: [`Blocking`](crate::blocking::Blocking).
//!
//! | key | value | because |
//! |---|---|---|
//! | `threads` | `16` | four times as many as a common container has processors: blocked threads mostly wait; at 2 MiB of stack each, what hangs holds no more than 32 MiB |
//! | `queue` | `64` | four pieces of work for each thread: more could not begin within `max_wait` unless each took a tenth of it |
//! | `max_wait` | `50ms` | that of a server's own line: who waits longer is served late |
//!
//! # `[server]`
//! Who may connect, and for how long.
//!
//! | key | value | because |
//! |---|---|---|
//! | `listen` | `0.0.0.0:8080` | others call it; the usual port where nobody may take 80 |
//! | `trust.inbound` | `internal` | a service is called by services; what faces strangers says `edge` |
//! | `trust.peers` | `[]` | of `mtls` only |
//! | `trust.overrides` | `false` | variants, faults and debugging by header are for those who were told so |
//! | `tls.cert` | `""` | cleartext: nobody can guess a certificate |
//! | `tls.key` | `""` | it belongs to `cert` |
//! | `tls.client_ca` | `""` | peers are asked for a certificate where somebody says whose |
//! | `tls.clients` | `required` | who names an authority wants to know who is there |
//! | `bearer.keys` | `[]` | nobody is asked for a token until somebody says who issues them |
//! | `bearer.issuer` | `""` | there is no usual one, and one is needed with `bearer.keys` |
//! | `bearer.audience` | `""` | likewise: a token for another service is none |
//! | `bearer.tenant` | `""` | no claim is the tenant's everywhere |
//! | `bearer.leeway` | `30s` | clocks that are kept differ by less than a second, those of a machine that just woke up by some |
//! | `bearer.tokens` | `required` | a route that somebody forgets is closed |
//! | `allow` | `{}` | routes serve everybody who may connect |
//! | `show.headers` | `[]` | headers hold secrets; nobody knows all of them |
//! | `show.query` | `[]` | so do queries |
//! | `limits.body` | `8MiB` | a JSON request is far smaller; an upload belongs to a route that streams |
//! | `limits.headers` | `64KiB` | cookies and tokens of a busy browser fit four times over |
//! | `limits.header_fields` | `100` | twice what proxies and browsers add together; as many as are parsed without an allocation |
//! | `limits.connections` | `10000` | an idle one costs about 10 KiB: 100 MiB when all are open, below usual file limits |
//! | `times.header` | `10s` | headers fit into few packets: it survives several lost ones, and is short for who trickles bytes |
//! | `times.body_idle` | `30s` | as long as a phone changes networks |
//! | `times.keep_alive` | `75s` | longer than the 60 s that clients and load balancers keep theirs, so that the client closes first |
//! | `times.connection_age` | `10m` | new instances get their share of long-lived connections, rarely enough to cost nothing |
//! | `classes` | `{}` | which requests are slow on purpose only their owner knows |
//!
//! # `[admin]`
//!
//! | key | value | because |
//! |---|---|---|
//! | `listen` | `127.0.0.1:9464` | what stands there is nobody else's business until somebody says so; OpenTelemetry's port for Prometheus |
//! | `token_file` | `""` | without one, and without `peers`, a listener that others reach shows health and metrics alone |
//! | `tls.cert` | `""` | in the cluster's own network probes and scrapers speak cleartext |
//! | `tls.key` | `""` | that of `tls.cert` |
//! | `tls.client_ca` | `""` | nobody is asked for a certificate until somebody says whose count |
//! | `tls.clients` | `optional` | probes and scrapers show none |
//! | `peers` | `[]` | nobody is let in by a certificate until somebody names him |
//! | `fleet.ca` | `""` | other listeners are believed as this machine believes, until a company names its own authority |
//! | `fleet.cert` | `""` | the fleet view asks for what is open to everybody; a listener may demand one all the same |
//! | `fleet.key` | `""` | that of `fleet.cert` |
//! | `fleet.server_name` | `{service}` | a service's certificate names the service, wherever it runs |
//!
//! # `[discovery]`
//!
//! | key | value | because |
//! |---|---|---|
//! | `registry` | `dir` | it needs no server: two services on one machine find each other at once |
//! | `start_wait` | `5s` | a busy registry answers in a second; who waits longer is down, and calls should fail fast |
//! | `removals.hold` | `10s` | Finagle's: longer than a registry's hiccup, shorter than a person's patience |
//! | `removals.mass` | `0.5` | deaths come one by one; what loses half of itself at once has more often lost its registry |
//! | `snapshot` | `""` | beside the registry's folder: a start should not need the registry |
//! | `dir.path` | `""` | the user's own runtime folder |
//! | `dir.poll` | `250ms` | a change is seen in an eighth of a second on average, for four cheap looks a second |
//! | `dns.suffix` | `""` | a name is looked up as the machine would |
//! | `dns.port` | `80` | HTTP's |
//! | `dns.server` | `""` | the system's |
//! | `etcd.endpoints` | `["http://127.0.0.1:2379"]` | etcd's own default |
//! | `etcd.prefix` | `/platform/services` | others may live in the same etcd |
//! | `etcd.user` | `""` | an etcd of one machine has none |
//! | `etcd.password_file` | `""` | the same |
//! | `etcd.tls.ca` | `""` | what the system trusts |
//! | `etcd.tls.cert` | `""` | asked for by few |
//! | `etcd.tls.key` | `""` | it belongs to `cert` |
//! | `consul.address` | `http://127.0.0.1:8500` | every machine has an agent of its own there |
//! | `consul.token_file` | `""` | an agent without access rules needs none |
//! | `consul.tls.ca` | `""` | what the system trusts |
//! | `consul.tls.cert` | `""` | asked for by few |
//! | `consul.tls.key` | `""` | it belongs to `cert` |
//! | `kubernetes.namespace` | `""` | the pod's own |
//! | `kubernetes.port` | `http` | what the generated manifest calls it |
//! | `register.mode` | `enforce` | who is not registered is not called |
//! | `register.advertise` | `""` | the listen address; for `0.0.0.0` the POD_IP |
//! | `register.lease` | `30s` | three renewals: two may be lost |
//! | `register.renew` | `10s` | a third of the lease |
//! | `register.weight` | `1` | all alike |
//!
//! # `[telemetry]`
//!
//! | key | value | because |
//! |---|---|---|
//! | `log.format` | `auto` | people read terminals, machines read the rest |
//! | `log.filter` | `info` | the one line per request says most of what is asked later |
//! | `log.bytes_per_second` | `256KiB` | the lines of 400 requests a second; 22 GB a day at most |
//! | `log.first` | `10` | what happens ten times a second is told each time |
//! | `log.then_every` | `100` | what is said in a loop is still heard, and costs a hundredth |
//! | `traces.endpoint` | `""` | nobody can guess where a collector is |
//! | `traces.protocol` | `grpc` | what collectors listen for first |
//! | `traces.ratio` | `0.01` | one trace in a hundred shows what is usual; what is rare is on the canonical lines |
//! | `traces.headers` | `{}` | credentials are somebody's own |
//! | `traces.timeout` | `10s` | OpenTelemetry's own |
//!
//! # `[lifecycle]`
//!
//! | key | value | because |
//! |---|---|---|
//! | `propagation` | `5s` | twice what a registry's watch or an endpoint slice takes on a bad day |
//! | `grace` | `20s` | longer than any request that a person waits for |
//! | `flush` | `3s` | together with the others under the 30 s that Kubernetes gives |
