//! What a call passes, in which order, and why.
//!
//! [`ClientStack`](crate::stack::ClientStack) is one page that asks these in turn; `/platform/stack` shows the same
//! list of a running service, with what is in force. A test holds this table equal to it.
//!
//! | storey | layer | rule | why here |
//! |---|---|---|---|
//! | call | `context` | | everything below reads it: the request's own, else the handler's, else a new root |
//! | call | `observe-call` | R1 | what the caller felt: waits, repeats and refusals included |
//! | call | `deadline` | R5, R9 | the nearer of caller's and policy's, above all that may wait; what is spent is refused before it takes a slot |
//! | call | `rate-limit` | R2 | arithmetic only; it counts calls, and the budget counts repeats |
//! | call | `bulkhead` | R2 | above recovery: a call asleep between two attempts still holds our memory |
//! | call | `recovery` | R5 | below the whole call's clock, above the attempt's; retry or hedge, never both |
//! | call | `budget` | | one ledger for all extra work on the target |
//! | attempt | `observe-attempt` | R1 | a refused try is still a try |
//! | attempt | `throttle` | R2 | refuses a share, so it stands above what refuses all |
//! | attempt | `breaker` | R4 | above the attempt's limit, so that silence counts against the target |
//! | attempt | `concurrency` | R3 | below the breaker, so that an open circuit never looks like spare capacity |
//! | attempt | `attempt-deadline` | R5 | the call's only timer, armed when the wire was once pending |
//!
//! A team's own layers have three places, and a row in the list while there are any: the slot `call` below `deadline`
//! (caches, answers of one's own: counted and cut like any call, and above all that costs the target something), the
//! slot `attempt` below `inject` (signatures: it sees the final headers, once per try), and below that the slot
//! `endpoint` (its layers are made once per endpoint, next to its connections).
//!
//! Below stands the wire, one per protocol. In HTTP: `balance` (as late as possible, so that a repeat may choose
//! another endpoint), `fault` (R6: below all that must survive it, so an injected delay is cut, repeated and counted as
//! a real one would be), `inject` (R7: headers last, so that the time on the wire is true), `connect`, `judge` (once
//! per attempt; all above read the same verdict).
//!
//! Breaker and ejection are both present on purpose: ejection judges an instance, the breaker the target as a whole.
