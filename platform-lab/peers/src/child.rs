//! The lab's own side of a child process, so that nothing but the stacks differs.

#[path = "../../src/child/calling.rs"]
mod calling;
#[path = "../../src/child/connections.rs"]
mod connections;
#[path = "../../src/child/counting.rs"]
mod counting;
#[path = "../../src/child/inside.rs"]
mod inside;
#[path = "../../src/child/loading.rs"]
mod loading;
#[path = "../../src/child/on_cpu.rs"]
mod on_cpu;

pub(crate) use calling::{Answer, LIMIT, Orders, Taken, repeated, runtime};
pub(crate) use connections::serve;
pub(crate) use counting::Counting;
pub(crate) use inside::{Listening, answer};
pub(crate) use loading::loaded;
