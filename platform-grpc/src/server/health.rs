//! What does `grpc.health.v1` answer?
//!
//! What the App's health says, asked when somebody asks. The name `""` is the process; a service serves if the
//! process is ready and no check that bears the service's name fails. So a check named `film.Ratings` that is
//! optional takes one service out and leaves the others in.
//!
//! A watch is told every change within [`LOOK`], NOT_SERVING when the process drains, and then ends: a stream that
//! nobody ends would hold up the stop.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use platform_core::{
    App,
    lifecycle::{Health, Phase, Phases, Report},
};
use tokio::{sync::Mutex, time::Instant};
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{self, HealthServer},
};

/// Answers for the services of one server.
pub(super) struct Answers(Arc<Inner>);

struct Inner {
    health: Health,
    phases: Phases,
    names: Vec<&'static str>,
    /// What was found, and when: many who watch cost as much as one.
    last: Mutex<Option<(Instant, Report)>>,
}

/// The health service of `app` for the services of these names.
pub(super) fn service(app: &App, names: &[&'static str]) -> HealthServer<Answers> {
    HealthServer::new(Answers(Arc::new(Inner {
        health: app.health().clone(),
        phases: app.phases().clone(),
        names: names.to_vec(),
        last: Mutex::default(),
    })))
}

impl Inner {
    /// `None` for a service that is not here.
    async fn look(&self, service: &str, oldest: Duration) -> Option<ServingStatus> {
        if !service.is_empty() && !self.names.contains(&service) {
            return None;
        }
        let mut last = self.last.lock().await;
        let fresh = last.as_ref().is_some_and(|(at, report)| {
            at.elapsed() < oldest && report.phase == self.phases.current().as_str()
        });
        if !fresh {
            *last = Some((Instant::now(), self.health.ready().await));
        }
        let (_, report) = last.as_ref().expect("looked just now");
        let serves = report.ok && report.checks.iter().all(|found| found.ok || found.name != service);
        Some(if serves { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

#[async_trait]
impl health_server::Health for Answers {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        match self.0.look(&service, Duration::ZERO).await {
            Some(status) => Ok(Response::new(said(status))),
            None => Err(Status::not_found(format!("there is no service \"{service}\""))),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watch = Watch { inner: Arc::clone(&self.0), service: request.into_inner().service, told: None };
        Ok(Response::new(Box::pin(stream::unfold(watch, Watch::next))))
    }
}

/// One who watches a service.
struct Watch {
    inner: Arc<Inner>,
    service: String,
    told: Option<ServingStatus>,
}

impl Watch {
    /// The next change; `None` when there will be none.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let draining = self.inner.phases.current() >= Phase::Draining;
            let status = self.inner.look(&self.service, LOOK).await.unwrap_or(ServingStatus::ServiceUnknown);
            if self.told != Some(status) {
                self.told = Some(status);
                return Some((Ok(said(status)), self));
            }
            if draining {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.inner.phases.reached(Phase::Draining) => {}
            }
        }
    }
}

fn said(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// Checks are asked at most so often for all who watch; as often as a balancer looks.
const LOOK: Duration = Duration::from_secs(1);
