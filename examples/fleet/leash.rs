//! Leash: an instance does not outlive its operator.
//!
//! The operator holds the other end of standard input and never writes. When it is gone, however it went, the end
//! of input is read here, and the service drains as if it had been asked to.

use std::{
    io::{self, Read as _},
    thread,
};

use rustix::process::{Signal, getpid, kill_process};

/// Stops this process with SIGTERM when standard input ends.
pub(crate) fn hold() -> io::Result<()> {
    let wait = || {
        let mut nothing = [0; 64];
        let mut input = io::stdin().lock();
        while input.read(&mut nothing).is_ok_and(|read| read > 0) {}
        // A process can always signal itself.
        let _ = kill_process(getpid(), Signal::TERM);
    };
    thread::Builder::new().name("leash".to_owned()).spawn(wait).map(drop)
}
