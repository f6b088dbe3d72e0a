//! How does the lab talk with the servers it measures?
//!
//! Each server is a process of its own: the scheduler's run time, valgrind and the counting allocator then
//! see nothing else. The lab starts it, learns its port, asks its questions over standard input and closes
//! that to end it, so that a server never outlives its lab.
//!
//! The peers' workspace includes all of this but [`outside`] by path: both sides of the comparison run the
//! same allocator, the same runtime and the same connection loop.

mod connections;
mod counting;
mod inside;
mod outside;

pub(crate) use connections::serve;
pub(crate) use counting::Counting;
pub(crate) use inside::{Listening, answer};
pub(crate) use outside::{Child, Program};
