//! Who sends how much to an endpoint that is dead?
//!
//! Two endpoints, one of which nobody listens at, and calls one after the other.

use std::{io, net::SocketAddr};

use platform_grpc::Channel;
use platform_grpc_protos::{DESCRIPTORS, Word, echo_client::EchoClient};
use tokio::net::TcpListener;
use tonic::transport::{self, Endpoint};

use super::calls::{app, tonic_server};

/// The shares of the attempts that went to the dead endpoint, and of the calls that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    pub(super) sent: f64,
    pub(super) failed: f64,
}

/// tonic's balanced channel: an attempt that goes there is a call that fails.
///
/// # Errors
/// No server can be had.
pub(super) async fn tonic(calls: u32) -> io::Result<Shares> {
    let endpoint = |address: SocketAddr| Endpoint::from_shared(format!("http://{address}"));
    let both =
        [tonic_server().await?, nobody().await?].map(|address| endpoint(address).map_err(io::Error::other));
    let [one, other] = both;
    let channel = transport::Channel::balance_list([one?, other?].into_iter());
    let mut client = EchoClient::new(channel);
    let mut failed = 0_u32;
    for _ in 0..calls {
        failed += u32::from(client.say(Word::default()).await.is_err());
    }
    let share = f64::from(failed) / f64::from(calls);
    Ok(Shares { sent: share, failed: share })
}

/// Ours, with what is on by default.
///
/// # Errors
/// No server can be had.
pub(super) async fn platform(calls: u32) -> io::Result<Shares> {
    let app = app().await?;
    let (alive, dead) = (tonic_server().await?, nobody().await?);
    let channel =
        Channel::builder(&app, "echo").target(format!("fixed://{alive},{dead}")).descriptors(DESCRIPTORS);
    let mut client = EchoClient::new(channel.build().map_err(io::Error::other)?);
    let mut failed = 0_u32;
    for _ in 0..calls {
        failed += u32::from(client.say(Word::default()).await.is_err());
    }
    let text = app.metrics().encode();
    let attempts = |label: &str| -> f64 {
        let ours = text.lines().filter(|line| line.starts_with(ATTEMPTS) && line.contains(label));
        ours.filter_map(|line| line.split("} ").nth(1)?.split(' ').next()?.parse::<f64>().ok()).sum()
    };
    let sent = attempts("error_type=\"unreachable\"") / attempts("");
    Ok(Shares { sent, failed: f64::from(failed) / f64::from(calls) })
}

/// Where nobody listens.
async fn nobody() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").await?.local_addr()
}

const ATTEMPTS: &str = "rpc_client_call_duration_seconds_count{";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_dead_endpoint_costs_ours_no_call() {
        let ours = platform(100).await.unwrap();
        assert_eq!(ours.failed, 0.0);
        assert!((0.0..0.1).contains(&ours.sent), "{ours:?}");
    }
}
