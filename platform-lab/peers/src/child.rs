//! The lab's own side of a child process, so that nothing but the stacks differs.

#[path = "../../src/child/connections.rs"]
mod connections;
#[path = "../../src/child/counting.rs"]
mod counting;
#[path = "../../src/child/inside.rs"]
mod inside;

pub(crate) use connections::serve;
pub(crate) use counting::Counting;
pub(crate) use inside::{Listening, answer};
