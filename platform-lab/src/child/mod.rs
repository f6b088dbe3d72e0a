//! How does the lab talk with the processes it measures?
//!
//! Each is a process of its own: the scheduler's run time, valgrind and the counting allocator then see
//! nothing else. A server is started, says its port, is asked over standard input and ends when that is
//! closed, so that it never outlives its lab. A caller is told how many calls to make, and ends with one line
//! that says what they took.
//!
//! The peers' workspace includes all of this but [`outside`] by path: both sides of the comparison run the
//! same allocator, the same runtime and the same connection loop.

mod calling;
mod connections;
mod counting;
mod inside;
mod loading;
mod on_cpu;
mod outside;

pub(crate) use calling::{Answer, LIMIT, Orders, Taken, repeated, runtime};
pub(crate) use connections::serve;
pub(crate) use counting::{Counting, allocations};
pub(crate) use inside::{Listening, answer};
pub(crate) use loading::{IN_FLIGHT, loaded};
pub(crate) use outside::{Child, Program, take};
