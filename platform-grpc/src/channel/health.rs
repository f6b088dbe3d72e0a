//! What does an endpoint say of its health?
//!
//! gRFC A17: `grpc.health.v1.Health/Watch`, one stream for each endpoint that is asked, on one of its connections. What is
//! made of it is the balancer's: `balance.health`.
//!
//! | it says | that means |
//! |---|---|
//! | SERVING | it is asked |
//! | NOT_SERVING, SERVICE_UNKNOWN, or what nobody knows | others are asked, and where all say so, all |
//! | UNIMPLEMENTED | it is taken to be well; asked again after [`AGAIN`], when another process may stand there |
//! | nothing within [`PATIENCE`] of its first connection, or the stream ends | what it said last; well, if it has said nothing |
//!
//! A stream that ended is opened again after a random part of a longer and longer pause, as connections are (200 ms,
//! doubled to 9 s), which begins anew with each word. Nobody dials for its sake where there is no way.

use std::{
    task::{self, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, header};
use platform_core::Error;
use platform_discovery::balance::Health;
use platform_http::{
    Body,
    client::{Minded, Minds, backoff, slots::Rest},
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tower_service::Service;

/// Listens to the health of `service`; an empty name is the whole process.
pub(super) fn minds(service: &str) -> Minds {
    let service = service.to_owned();
    Minds::new(move |minded| listen(minded, service.clone()))
}

/// Never ends; whoever forgets the endpoint drops it.
async fn listen(minded: Minded, service: String) {
    let mut tries = 0;
    loop {
        minded.link.connected().await;
        let ended = watch(&minded, &service, &mut tries).await;
        taken_to_be_well(&minded);
        let pause = match ended {
            Err(status) if status.code() == Code::Unimplemented => {
                tracing::info!(endpoint = &*minded.label, "has no health service, so it is taken to be well");
                minded.link.says(Health::Unknown);
                AGAIN.mul_f64(1.0 + fastrand::f64() / 10.0)
            }
            _ => {
                tries += 1;
                backoff(tries, fastrand::f64())
            }
        };
        sleep(pause).await;
    }
}

/// One stream, to its end. Each word of it ends the count of `tries`.
async fn watch(minded: &Minded, service: &str, tries: &mut u32) -> Result<(), Status> {
    let mut client =
        HealthClient::new(Direct { rest: minded.connections.clone(), agent: minded.agent.clone() });
    let mut first = true;
    let opened = async {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut words = client.watch(request).await?.into_inner();
        let word = words.message().await?;
        Ok::<_, Status>((words, word))
    };
    let mut opened = std::pin::pin!(opened);
    // Who says nothing is not waited for, and listened to all the same.
    let heard = match timeout(PATIENCE, &mut opened).await {
        Ok(heard) => heard,
        Err(_) => {
            taken_to_be_well(minded);
            opened.await
        }
    };
    let (mut words, mut word) = heard?;
    while let Some(said) = word {
        *tries = 0;
        minded.link.says(meaning(said));
        if std::mem::take(&mut first) && said.status() == ServingStatus::ServiceUnknown {
            tracing::warn!(
                endpoint = &*minded.label,
                service,
                "knows no such service, which counts as not serving; is balance.health.service right?"
            );
        }
        word = words.message().await?;
    }
    Ok(())
}

/// Whoever has not said a first word by now is not waited for any more; what was said before still counts.
fn taken_to_be_well(minded: &Minded) {
    if minded.link.health() == Health::Awaited {
        minded.link.says(Health::Unknown);
    }
}

fn meaning(said: HealthCheckResponse) -> Health {
    if said.status() == ServingStatus::Serving { Health::Serving } else { Health::NotServing }
}

/// An endpoint's connections, as a generated client takes them: no policy, no guards.
#[derive(Clone)]
struct Direct {
    rest: Rest,
    agent: HeaderValue,
}

impl Service<Request<tonic::body::Body>> for Direct {
    type Response = Response<Body>;
    type Error = Error;
    type Future = <Rest as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        self.rest.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let mut request = request.map(Body::stream);
        request.headers_mut().insert(header::USER_AGENT, self.agent.clone());
        self.rest.call(request)
    }
}

/// A first word comes with the first reply; who takes longer than that has trouble that calls will find.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Rare enough to cost nothing, soon enough for a service that was replaced by one that says more.
pub const AGAIN: Duration = Duration::from_secs(60);
