//! What does a call through the usual client stacks cost?
//!
//! The same service as on the lab's side, ready at once or pending once, in what a team would put around it.

mod network;
mod resilience;
mod seatbelt;
mod service;
mod tower;

use std::io;

use crate::child::{Orders, Taken, repeated, runtime};

/// Makes the calls of the variant `name`.
///
/// # Errors
/// No such variant, or it could not be set up.
pub(crate) fn call(name: &str, orders: Orders) -> io::Result<Taken> {
    let runtime = runtime()?;
    runtime.block_on(async {
        match name {
            "tower-a" => {
                let mut stack = tower::unshared(orders.pending);
                repeated(orders, async || tower::ask(&mut stack).await).await
            }
            "tower-b" => {
                let mut stack = tower::shared(orders.pending);
                repeated(orders, async || tower::ask(&mut stack).await).await
            }
            "tower-resilience" => {
                let mut stack = resilience::stack(service::Number { pending: orders.pending })?;
                repeated(orders, async || tower::ask(&mut stack).await).await
            }
            "seatbelt" => {
                let stack = seatbelt::stack(orders.pending);
                repeated(orders, async || seatbelt::ask(&stack).await).await
            }
            "client-reqwest" => network::reqwest(orders).await,
            "client-tower-resilience" => network::resilience(orders).await,
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no call is named {name}"))),
        }
    })
}
