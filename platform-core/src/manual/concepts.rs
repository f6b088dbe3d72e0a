//! The words, in the order of the questions that a call raises.
//!
//! **What is called?** A *target*: a name (`inventory`), or an address with a scheme (`https://rates.example`). Behind a name
//! are *endpoints*, the instances that answer for it; a *registry* knows them, and a *watch* keeps what it last said, however
//! long the registry is away. An *instance* is one process, with a *version* and a *variant* (`stable`, `canary`, `pr-123`).
//!
//! **What travels along?** A [`Context`](crate::Context): the deadline, the trace, how important it is, whose it is (tenant,
//! cohort), and what was asked for in particular (a variant, a fault). It only narrows on its way: a callee's deadline is never
//! later than its caller's, nor is its work more important. A stranger gets the trace and nothing else.
//!
//! **How long may it take?** A *call* is what the caller's code makes, and may consist of several *attempts*. Both have a limit;
//! what counts is the nearest of the caller's deadline, the call's and the attempt's. See [`deadline`](crate::deadline).
//!
//! **May it go on?** *Admission*: rate limit and bulkhead for the call, throttle, breaker and concurrency limit for each attempt.
//! Each has a *mode*: `off`, `observe` (it counts what it would refuse) or `enforce`. See [`guards`](super::guards).
//!
//! **Whom of all?** The *balancer* draws two endpoints and takes the cheaper. *Ejection* leaves out who fails; a *zone* is
//! preferred, a *variant* gets its share, a *subset* is enough where there are very many.
//!
//! **What did it mean?** One *verdict* per attempt, an [`Outcome`](crate::Outcome) and what the target said about coming back
//! ([`Hint`](crate::Hint)). Every guard reads the same one, so that they agree; a caller's mistake is held against nobody.
//!
//! **What if it failed?** *Recovery*: a *retry* (again, after a pause, elsewhere), a *requeue* (at once, because nothing was
//! sent) or a *hedge* (a second one beside a slow first). All of it is paid from one *budget* per target. Unsafe work is repeated
//! only where it surely was not begun: a method that may be done twice, or an `idempotency-key`, says more. A call that gave up
//! says `never` upwards, so that nobody repeats what was repeated already. See [`recovery`](crate::recovery).
//!
//! **What is answered without it?** A *fallback*, by the team that owns the page, marked as *degraded*. See
//! [`fallback`](crate::fallback).
//!
//! **What if more is asked of us than we can do?** The server's limit finds itself; a line of 50 ms stands before it; under
//! *pressure* the least important (*criticality*), and of those whole groups of users (*cohort*), and the noisiest tenants go
//! first. A refusal says `safe`: nothing was begun. See [`serving`](super::serving).
//!
//! **What was seen?** Metrics, one *canonical line* per request with its `why`, and a span of what is sampled, all with the
//! service's *identity*. A metric is declared once; boards and alerts are made from the declarations. See
//! [`telemetry`](crate::telemetry) and [`ops`](crate::ops).
//!
//! **Who is called?** The *owner*. An *objective* says what is promised, a *burn rate* how fast it is used up; a *page* wakes
//! somebody, a *ticket* waits for the morning, and each has a *runbook*. See [`on_call`](super::on_call).
//!
//! **When does it end?** A *drain*: not ready, said so in the registry, finished, flushed, gone. See
//! [`lifecycle`](crate::lifecycle).
//!
//! **Where do such things live in the code?** A *room* is a module that answers one question. A *policy* is plain data; the
//! *stack* is one page that asks the rooms in a fixed order ([`ordering`](super::ordering)).
