//! Servers that the tests start and end, and what is heard of them.

use std::{
    env,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::StreamExt as _;
use platform_core::Result;
use platform_discovery::{Resolve as _, Snapshot, Snapshots, Target, config, source::Dns};
use tokio::time::{Instant, sleep, timeout};

/// A program of others; ended when the test is over, however that ends.
pub(crate) struct Outside(Child);

impl Outside {
    /// Starts it and waits until it listens at `address`; `None` where it is missing and may be.
    pub(crate) async fn start(program: &str, arguments: &[&str], address: SocketAddr) -> Option<Self> {
        let mut command = Command::new(program);
        // Where Debian keeps servers; an ordinary user's path has it not.
        command.env("PATH", format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default()));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                missing(program, &error);
                return None;
            }
        };
        let mut outside = Outside(child);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = outside.0.try_wait().expect("it is our child");
            assert!(
                ended.is_none(),
                "{program} ended at once ({ended:?}); may it read the temporary folder?"
            );
            assert!(begun.elapsed() < Duration::from_secs(20), "{program} does not listen at {address}");
            sleep(Duration::from_millis(10)).await;
        }
        Some(outside)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Skips with a line, or fails where every outside program has to be there.
pub(crate) fn missing(program: &str, error: &std::io::Error) {
    let required = env::var("PLATFORM_REQUIRE_OUTSIDE").is_ok_and(|required| required == "1");
    assert!(!required, "{program}: {error}");
    eprintln!("skipped: {program} is not installed ({error})");
}

/// A port of loopback that is free for both of DNS' transports.
pub(crate) fn free_port() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = tcp.local_addr().expect("it is bound");
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// What one target's source says.
pub(crate) struct Heard(Snapshots);

impl Heard {
    pub(crate) fn of(server: SocketAddr, target: &str) -> Self {
        let config = config::Dns { server: server.to_string(), ..config::Dns::default() };
        Heard(Dns::of(&config).resolve(&Target::parse(target).expect("a target")))
    }

    pub(crate) async fn next(&mut self) -> Result<Snapshot> {
        let next = timeout(Duration::from_secs(15), self.0.next()).await;
        next.expect("the source says something").expect("the source goes on")
    }

    /// The addresses of the next answer, which must be one.
    pub(crate) async fn addresses(&mut self) -> Vec<String> {
        addresses(&self.next().await.expect("an answer"))
    }

    /// The detail of the next answer, which must be none.
    pub(crate) async fn error(&mut self) -> String {
        self.next().await.expect_err("no answer").detail().to_owned()
    }

    /// Waits until the source says these addresses; an error on the way is a failure.
    pub(crate) async fn until(&mut self, wanted: &[&str]) -> Duration {
        let begun = Instant::now();
        loop {
            let said = self.addresses().await;
            if said == wanted {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{said:?} and not {wanted:?}");
        }
    }
}

pub(crate) fn addresses(snapshot: &Snapshot) -> Vec<String> {
    snapshot.found().iter().map(|found| found.endpoint.address.to_string()).collect()
}
