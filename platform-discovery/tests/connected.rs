//! Who keeps connections says whether there is a way to an endpoint, and others are asked while there is none.

#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set fails")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use platform_core::{Context, identity::Identity, telemetry::Metrics};
use platform_discovery::{
    Balance, Config, Discovery, Endpoint, Target,
    balance::{self, Link},
    source::Hand,
};
use tokio::time::{self, Instant};

struct Scene {
    metrics: Metrics,
    discovery: Discovery,
    source: Hand,
    balance: Balance<Link>,
}

fn scene() -> Scene {
    let identity = Identity::default();
    let metrics = Metrics::new(&identity);
    let discovery = Discovery::of(Config::default(), &identity, &metrics).unwrap();
    let source = Hand::new();
    discovery.use_source("catalog", Arc::new(source.clone()));
    let target = Target::parse("catalog").unwrap();
    let balance = discovery.balance_linked(&target, &balance::Config::default(), |_, link| link).unwrap();
    Scene { metrics, discovery, source, balance }
}

fn endpoints(ports: std::ops::Range<u16>) -> impl Iterator<Item = Endpoint> {
    ports.map(|port| Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port))))
}

impl Scene {
    /// Everybody who may be asked, by port.
    async fn asked(&self) -> Vec<u16> {
        time::sleep(Duration::from_millis(1)).await;
        self.balance.ready().members().iter().map(|member| member.endpoint().address.port()).collect()
    }

    fn gauge(&self, state: &str) -> String {
        let label = format!("target=\"catalog\",state=\"{state}\"");
        let text = self.metrics.encode();
        text.lines().find(|line| line.contains(&label)).unwrap().rsplit(' ').next().unwrap().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_asked_once_there_is_a_way_to_it() {
    let scene = scene();
    scene.source.say(endpoints(1..3));
    assert_eq!(scene.asked().await, [1, 2], "a first set is asked at once");
    let links: Vec<Link> =
        scene.balance.ready().members().iter().map(|member| member.service().clone()).collect();

    scene.source.say(endpoints(1..4));
    assert_eq!(scene.asked().await, [1, 2]);
    assert_eq!((scene.gauge("ready").as_str(), scene.gauge("connecting").as_str()), ("2.0", "1.0"));
    let view = scene.discovery.targets().remove(0);
    assert_eq!(
        view.endpoints.iter().map(|endpoint| endpoint.connecting).collect::<Vec<_>>(),
        [false, false, true]
    );

    // Where there is no way to anybody, everybody is asked; so it is found who the third is.
    links.iter().for_each(|link| link.set(false));
    assert_eq!(scene.asked().await, [1, 2, 3]);
    assert_eq!((scene.gauge("ready").as_str(), scene.gauge("connecting").as_str()), ("0.0", "3.0"));
    let third = scene.balance.ready().members()[2].service().clone();
    third.set(true);
    assert_eq!(scene.asked().await, [3]);
    links[0].set(true);
    assert_eq!(scene.asked().await, [1, 3]);
    links[1].set(true);
    assert_eq!(scene.asked().await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_does_not_go_where_there_is_no_way() {
    let scene = scene();
    scene.source.say(endpoints(1..4));
    assert_eq!(scene.asked().await, [1, 2, 3]);
    let ready = scene.balance.ready();
    ready.members()[1].service().set(false);
    time::sleep(Duration::from_millis(1)).await;
    let context = Context::root(Instant::now());
    let avoid = [Arc::clone(ready.members()[0].label())];
    for roll in 0..50 {
        let picked = scene.balance.try_pick_other(&context, roll << 58, &avoid, true).unwrap();
        assert_eq!(picked.endpoint().address.port(), 3);
    }
}
