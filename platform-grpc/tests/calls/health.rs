//! What `grpc.health.v1` says.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use platform_core::{Error, ErrorKind, lifecycle::Need};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::house::{House, soon};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn a_service_serves_while_the_process_is_ready_and_its_own_check_passes() {
    let house = House::open("").await;
    let well = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&well);
    house.app.health().check(ECHO, Need::Optional, move || {
        let well = asked.load(Relaxed);
        async move { if well { Ok(()) } else { Err(Error::new(ErrorKind::Internal, "out of words")) } }
    });
    let mut health = HealthClient::new(house.channel("health"));
    let mut status =
        async |service: &str| soon(health.check(of(service))).await.map(|said| said.into_inner().status());
    assert_eq!(status("").await.unwrap(), ServingStatus::Serving);
    assert_eq!(status(ECHO).await.unwrap(), ServingStatus::Serving);
    assert_eq!(status("nobody").await.unwrap_err().code(), Code::NotFound);
    well.store(false, Relaxed);
    assert_eq!(status("").await.unwrap(), ServingStatus::Serving);
    assert_eq!(status(ECHO).await.unwrap(), ServingStatus::NotServing);
    house.app.health().degrade("disk", "full");
    assert_eq!(status("").await.unwrap(), ServingStatus::NotServing);
    house.end().await;
}

#[tokio::test]
async fn a_watch_is_told_changes_and_ends_with_the_drain() {
    let house = House::open("").await;
    let mut health = HealthClient::new(house.channel("health"));
    let mut watch = soon(health.watch(of(ECHO))).await.unwrap().into_inner();
    let mut unknown = soon(health.watch(of("nobody"))).await.unwrap().into_inner();
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(soon(unknown.message()).await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    house.app.health().degrade("disk", "full");
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    house.app.health().recover("disk");
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopped = platform_core::context::spawn(house.end());
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(soon(watch.message()).await.unwrap(), None, "it does not hold up the stop");
    soon(stopped).await.unwrap();
}

const ECHO: &str = "platform.test.Echo";
