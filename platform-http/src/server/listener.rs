//! Binds early and never stops accepting.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::FutureExt as _;
use platform_core::{App, Error, ErrorKind, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// An address that is ours. Nothing is accepted until it is served, but clients that connect earlier wait in the
/// kernel's queue and lose nothing.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    address: SocketAddr,
    /// After a failure that more trying would only make worse; kept here because waiting may be interrupted.
    resume: Option<Instant>,
    pause: Duration,
    complaint: Complaint,
}

impl Listener {
    /// Takes `address`, as in `127.0.0.1:8080`; port 0 takes any free one.
    ///
    /// # Errors
    /// [`ErrorKind::Start`] when the address cannot be had; the error says why and what to do.
    pub async fn bind(address: &str) -> Result<Listener> {
        let bound = match TcpListener::bind(address).await {
            Ok(inner) => inner.local_addr().map(|address| (inner, address)),
            Err(error) => Err(error),
        };
        let (inner, local) = bound.map_err(|error| cannot_listen(address, error))?;
        Ok(Listener {
            inner,
            address: local,
            resume: None,
            pause: FIRST_PAUSE,
            complaint: Complaint::default(),
        })
    }

    /// Where clients reach us; with the port that was taken for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Failures do not end the wait: a peer that left is forgotten, and when the process has
    /// no file or memory left it tries again after a pause that grows to a second.
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(resume) = self.resume {
                tokio::time::sleep_until(resume).await;
                self.resume = None;
            }
            match self.inner.accept().await {
                Ok(accepted) => {
                    self.pause = FIRST_PAUSE;
                    return accepted;
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => self.back_off(&error),
            }
        }
    }

    /// A connection that waits in the kernel's queue, if one does.
    pub(super) fn accept_waiting(&mut self) -> Option<(TcpStream, SocketAddr)> {
        self.inner.accept().now_or_never().and_then(io::Result::ok)
    }

    fn back_off(&mut self, error: &io::Error) {
        let now = Instant::now();
        if let Some(silent) = self.complaint.may_speak(now) {
            tracing::warn!(
                address = %self.address, %error, repeated = silent,
                "cannot accept connections, trying again; too many open files? see `ulimit -n` and server.limits.connections"
            );
        }
        self.resume = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }
}

/// Says something at most once a second, and how often it kept silent.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Option<Instant>,
    silent: u64,
}

impl Complaint {
    /// The number of times it kept silent, if it may speak now.
    pub(super) fn may_speak(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + COMPLAINT) {
            self.silent += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

/// Did the peer leave between connecting and being accepted? That is no trouble of ours.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused)
}

/// What is wrong with `address` as a place to listen, as far as it can be told before it is taken; goes on from the
/// key it was set by. `instead` is one that could be. The names of hosts are the resolver's business.
pub(crate) fn no_address(address: &str, instead: &str) -> Option<String> {
    let place = address.parse::<SocketAddr>().is_ok()
        || address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok()
        });
    let (host, port) = instead.rsplit_once(':').unwrap_or((instead, "8080"));
    let port =
        address.trim_start_matches(':').parse::<u16>().map_or(port.to_owned(), |port| port.to_string());
    (!place).then(|| format!("is {address:?}, which is no address; write IP:PORT, as in \"{host}:{port}\""))
}

/// A taken port is explained with its key, because that is where another one is chosen.
pub(crate) fn of_the_key(app: &App, key: &str, error: &Error) -> Error {
    let origin = app.config().origin(key).map_or_else(|| "default".to_owned(), |origin| origin.to_string());
    Error::new(error.kind(), format!("`{key}` ({origin}): {}", error.detail()))
}

fn cannot_listen(address: &str, error: io::Error) -> Error {
    use io::ErrorKind as Kind;
    let port = address.rsplit(':').next().unwrap_or_default();
    let why = match error.kind() {
        Kind::AddrInUse => format!(
            "address in use; stop whoever has it (`ss -ltnp 'sport = :{port}'` names the process), or choose \
             another port, or port 0 for any free one"
        ),
        Kind::PermissionDenied => {
            "not permitted; ports below 1024 need a privilege, choose a higher one".to_owned()
        }
        Kind::AddrNotAvailable => {
            "this machine has no such address; 0.0.0.0 is every address it has, 127.0.0.1 only itself"
                .to_owned()
        }
        Kind::InvalidInput => "that is no address; write IP:PORT, as in 0.0.0.0:8080".to_owned(),
        _ => format!("{error}; write IP:PORT of this machine, as in 0.0.0.0:8080"),
    };
    Error::new(ErrorKind::Start, format!("cannot listen on {address}: {why}")).with_source(error)
}

/// Short, because the connection that frees a file may end any moment.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Long enough to cost nothing while there is no file left.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// A full machine must not also fill its log.
const COMPLAINT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_explained() {
        let first = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().to_string();
        let error = Listener::bind(&address).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Start);
        assert_eq!(error.kind().exit_code(), 69);
        let told = error.to_string();
        assert!(told.contains(&format!("cannot listen on {address}: address in use")), "{told}");
        assert!(told.contains(&format!("sport = :{}", first.local_addr().port())), "{told}");
    }

    #[tokio::test]
    async fn an_address_that_is_none_or_not_ours_is_explained() {
        for (address, told) in [
            ("8080", "no address"),
            ("127.0.0.1", "no address"),
            ("127.0.0.1:99999", "no address"),
            ("192.0.2.1:0", "no such address"),
        ] {
            let error = Listener::bind(address).await.unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_known_before_it_is_taken() {
        for good in ["0.0.0.0:8080", "127.0.0.1:0", "[::]:8080", "localhost:8080", "orders.example:80"] {
            assert_eq!(no_address(good, "0.0.0.0:8080"), None, "{good}");
        }
        for bad in ["8080", ":8080", "", "127.0.0.1", "0.0.0.0:port", "0.0.0.0:99999", "::8080"] {
            let why = no_address(bad, "0.0.0.0:8080").expect(bad);
            assert!(why.contains("write IP:PORT, as in \"0.0.0.0:8080\""), "{why}");
        }
        assert!(no_address(":9000", "127.0.0.1:9464").unwrap().contains("\"127.0.0.1:9000\""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_complaint_is_made_once_a_second_and_counts_its_silence() {
        let mut complaint = Complaint::default();
        let now = Instant::now();
        assert_eq!(complaint.may_speak(now), Some(0));
        assert_eq!(complaint.may_speak(now + Duration::from_millis(1)), None);
        assert_eq!(complaint.may_speak(now + Duration::from_millis(999)), None);
        assert_eq!(complaint.may_speak(now + Duration::from_millis(1000)), Some(2));
    }
}
