//! How does it all fit together? Documentation only.
//!
//! | page | |
//! |---|---|
//! | [`start`] | from nothing to services that call each other |
//! | [`concepts`] | the words, in the order of the questions that a call raises |
//! | [`ordering`] | what a call passes, in which order, and why |
//! | [`serving`] | what a request passes before a handler is run, every default of the server's policy, and why |
//! | [`guards`] | each guard: where its page is |
//! | [`defaults`] | every default, with its reason |
//! | [`running`] | on one machine, on etcd, on Kubernetes |
//! | [`on_call`] | what somebody does who was woken |
//! | [`failure_modes`] | what happens when something vanishes, and what it looks like |
//! | [`take_one_layer`] | seven ways out, from a value in a file to nothing at all |
//! | [`words`] | for people who come from resilience4j, Finagle, go-zero or Polly |
//!
//! What a test can hold equal to the code, a test does: the order, the guards, the defaults, the alerts.

pub mod concepts;
pub mod defaults;
pub mod failure_modes;
pub mod guards;
pub mod on_call;
pub mod ordering;
pub mod running;
pub mod serving;
pub mod start;
pub mod take_one_layer;
pub mod words;
