//! What does the company do?
//!
//! Four services, each written as its team would write it in a repository of its own: a `main`, routes, and
//! handlers that know nothing of retries, deadlines or instances. They share no types, only JSON and one proto.

mod catalog;
mod edge;
pub(crate) mod film;
mod outbox;
mod ratings;
mod recommendations;

use std::process::ExitCode;

use platform_core::Result;

use crate::company::Role;

/// Runs one service with the flags that every service knows.
pub(crate) async fn run(role: Role, arguments: Vec<String>) -> Result<ExitCode> {
    match role {
        Role::Edge => edge::main(arguments).await,
        Role::Catalog => catalog::main(arguments).await,
        Role::Ratings => ratings::main(arguments).await,
        Role::Recommendations => recommendations::main(arguments).await,
    }
}
