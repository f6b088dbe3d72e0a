//! What a server's guards promise, in paused time: a service of four slots of 10 ms behind them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use platform_core::{
    Context, ErrorKind, Outcome, Tick,
    context::{Criticality, Deadline, Tenant},
    identity::Identity,
    stack::{Entry, Guarding, ServerGuards, ServerPolicy},
    telemetry::Metrics,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// A service behind its guards.
#[derive(Clone)]
struct Service {
    guards: Arc<ServerGuards>,
    slots: Arc<Semaphore>,
    /// How long it takes to serve each.
    takes: fn(&mut fastrand::Rng) -> Duration,
    dice: Arc<Mutex<fastrand::Rng>>,
    metrics: Metrics,
}

impl Service {
    fn with(policy: &ServerPolicy) -> Self {
        let metrics = Metrics::new(&Identity::default());
        let guards = ServerGuards::new(policy, &[], &metrics, Instant::now());
        let dice = Arc::new(Mutex::new(fastrand::Rng::with_seed(7)));
        Service {
            guards,
            slots: Arc::new(Semaphore::new(4)),
            takes: |_| Duration::from_millis(10),
            dice,
            metrics,
        }
    }

    /// Another service, of so many slots.
    fn of(slots: usize, takes: fn(&mut fastrand::Rng) -> Duration, seed: u64) -> Self {
        let mut service = Service::with(&ServerPolicy::default());
        (service.slots, service.takes) = (Arc::new(Semaphore::new(slots)), takes);
        service.dice.lock().expect("nobody panicked").seed(seed);
        service
    }

    /// Serves a request, or says which layer refused it.
    async fn serve(&self, mut context: Context) -> Result<(), String> {
        let entered = match self.guards.enter(0, &context) {
            Entry::Now(entered) => entered,
            Entry::Wait(place) => self.guards.wait(0, place, &mut context).await,
        };
        let slot = entered.map_err(|refusal| {
            assert!(matches!(refusal.kind(), ErrorKind::Overloaded | ErrorKind::RateLimited), "{refusal}");
            refusal.layer().to_owned()
        })?;
        let place = self.slots.acquire().await.expect("nobody closes it");
        let takes = (self.takes)(&mut self.dice.lock().expect("nobody panicked"));
        let until = Instant::now() + takes;
        // A server of ours ends with its caller's deadline.
        let deadline = context.deadline().map(Deadline::instant);
        let cut = deadline.is_some_and(|deadline| deadline < until);
        sleep_until(deadline.map_or(until, |deadline| deadline.min(until))).await;
        drop(place);
        if let Some(slot) = slot {
            slot.report(if cut { Outcome::Timeout } else { Outcome::Success }, Tick::now());
        }
        Ok(())
    }

    /// So many requests a second for so long, each made by `make` of its number; the share of each group that was
    /// served, of those that came after the first two seconds: the service starts cold in the flood.
    async fn flood(
        &self,
        per_second: u32,
        seconds: u32,
        make: impl Fn(u32, &mut Context) -> usize,
    ) -> Vec<f64> {
        let due = (0..per_second * seconds).map(|number| Duration::from_secs(1) * number / per_second);
        self.arrive(due, 2 * per_second, make).await
    }

    /// The same, and those of the first two seconds count too.
    async fn flood_from_start(
        &self,
        per_second: u32,
        seconds: u32,
        make: impl Fn(u32, &mut Context) -> usize,
    ) -> Vec<f64> {
        let due = (0..per_second * seconds).map(|number| Duration::from_secs(1) * number / per_second);
        self.arrive(due, 0, make).await
    }

    /// The same, as people come: at any moment as likely as at any other.
    async fn poisson(
        &self,
        per_second: f64,
        seconds: u64,
        seed: u64,
        make: impl Fn(u32, &mut Context) -> usize,
    ) -> Vec<f64> {
        let (mut dice, mut at) = (fastrand::Rng::with_seed(seed), 0.0);
        let due = std::iter::from_fn(move || {
            at -= (1.0 - dice.f64()).ln() / per_second;
            (at < seconds as f64).then(|| Duration::from_secs_f64(at))
        });
        self.arrive(due, 0, make).await
    }

    async fn arrive(
        &self,
        due: impl Iterator<Item = Duration>,
        from: u32,
        make: impl Fn(u32, &mut Context) -> usize,
    ) -> Vec<f64> {
        let (begun, mut asked) = (Instant::now(), JoinSet::new());
        for (number, due) in (0..).zip(due) {
            sleep_until(begun + due).await;
            let mut context = Context::root(Instant::now());
            let group = make(number, &mut context);
            let (service, counts) = (self.clone(), number >= from);
            asked.spawn(platform_core::context::scope(context.clone(), async move {
                let good = service.serve(context).await.is_ok();
                (counts.then_some(group), good)
            }));
        }
        let mut groups: Vec<(u32, u32)> = Vec::new();
        while let Some(Ok((group, good))) = asked.join_next().await {
            let Some(group) = group else { continue };
            groups.resize(groups.len().max(group + 1), (0, 0));
            groups[group].0 += u32::from(good);
            groups[group].1 += 1;
        }
        groups.into_iter().map(|(good, all)| f64::from(good) / f64::from(all.max(1))).collect()
    }

    fn refusals(&self, label: &str) -> f64 {
        let text = self.metrics.encode();
        let lines = text.lines().filter(|line| line.starts_with("platform_server_refusals_total{"));
        lines
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// The mode of all guards.
fn policy(mode: platform_core::config::Mode) -> ServerPolicy {
    let mut policy = ServerPolicy::default();
    policy.expired.mode = mode;
    policy.concurrency.mode = mode;
    policy.shed.mode = mode;
    policy.fair_share.mode = mode;
    policy
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_well_refuses_nobody() {
    fastrand::seed(1);
    let service = Service::with(&ServerPolicy::default());
    assert_eq!(service.flood(240, 5, |_, _| 0).await, [1.0]);
    assert_eq!(service.refusals(""), 0.0);
}

#[tokio::test(start_paused = true)]
async fn at_three_times_too_much_the_important_half_of_the_capacity_is_served() {
    fastrand::seed(1);
    let service = Service::with(&ServerPolicy::default());
    let served = service
        .flood(1_200, 6, |number, context| {
            let important = number % 6 == 0;
            context.lower(if important { Criticality::Critical } else { Criticality::Sheddable });
            usize::from(!important)
        })
        .await;
    // 200 a second are important and 400 can be served: of the other 1,000 a fifth.
    assert!(served[0] >= 0.994 && (0.15..0.25).contains(&served[1]), "{served:?}");
    assert!(service.refusals("guard=\"shed\"") > 100.0);
    assert!(service.refusals("criticality=\"critical\"") < service.refusals("") / 10.0);
}

/// A length whose deviation is as large as its mean, as those of many services are.
fn log_normal(dice: &mut fastrand::Rng, mean: Duration) -> Duration {
    let normal = (-2.0 * (1.0 - dice.f64()).ln()).sqrt() * (std::f64::consts::TAU * dice.f64()).cos();
    let variance = std::f64::consts::LN_2;
    mean.mul_f64((variance.sqrt() * normal - variance / 2.0).exp())
}

/// From the first moment of the flood on, at twice of what can be served.
#[tokio::test(start_paused = true)]
async fn a_tenant_below_its_equal_share_is_refused_nothing_while_another_is_above() {
    for seed in 1..4 {
        fastrand::seed(seed);
        let service = Service::of(4, |dice| log_normal(dice, Duration::from_millis(10)), seed);
        let tenant = |number: u32| Tenant::parse(&format!("tenant-{number}")).expect("a token");
        let calm = |number: u32, context: &mut Context| {
            context.set_tenant(tenant(1 + number % 9));
            0
        };
        assert_eq!(service.flood(240, 5, calm).await, [1.0]);
        let served = service
            .flood_from_start(800, 6, |number, context| {
                let quiet = number % 10 == 0;
                context.set_tenant(tenant(if quiet { 1 + number / 10 % 9 } else { 0 }));
                usize::from(!quiet)
            })
            .await;
        assert!(served[0] >= 0.999 && served[1] >= 0.35, "seed {seed}: {served:?}");
        assert!(service.refusals("guard=\"fair-share\"") > 100.0);
    }
}

/// Nothing is known of a service whose requests take a second each, and nothing is wrong with it.
#[tokio::test(start_paused = true)]
async fn a_cold_start_of_slow_requests_refuses_nobody() {
    let mut refused = Vec::new();
    for seed in 1..41 {
        fastrand::seed(seed);
        let service = Service::of(1_000, |dice| log_normal(dice, Duration::from_secs(1)), seed);
        // One in twenty takes longer than its caller has time for, which is no overload.
        let patient = |_: u32, context: &mut Context| {
            context.narrow(Deadline::at(Instant::now() + Duration::from_secs(3)));
            0
        };
        service.poisson(150.0, 30, seed, patient).await;
        refused.push(service.refusals(""));
    }
    assert!(refused.iter().all(|refused| *refused == 0.0), "{refused:?}");
}

/// Nine of ten requests are one tenant's, the others come from five; the second group is the noisy one.
fn one_noisy_tenant(number: u32, context: &mut Context) -> usize {
    let quiet = number.is_multiple_of(10);
    let name = if quiet { format!("quiet-{}", number / 10 % 5) } else { "noisy".to_owned() };
    context.set_tenant(Tenant::parse(&name).expect("a token"));
    usize::from(!quiet)
}

#[tokio::test(start_paused = true)]
async fn a_noisy_tenant_pays_for_itself() {
    fastrand::seed(1);
    let service = Service::with(&ServerPolicy::default());
    let served = service.flood(1_000, 6, one_noisy_tenant).await;
    assert!(served[0] >= 0.99 && (0.25..0.40).contains(&served[1]), "{served:?}");
    assert!(service.refusals("guard=\"fair-share\"") > 100.0);
}

#[tokio::test(start_paused = true)]
async fn in_mode_observe_everybody_is_let_in_and_counted() {
    fastrand::seed(1);
    let service = Service::with(&policy(platform_core::config::Mode::Observe));
    // More than the maximum under way: at 100 s of queue nobody would have been let in.
    assert_eq!(service.flood(2_000, 3, |_, _| 0).await, [1.0]);
    assert!(service.refusals("mode=\"observe\"") > 100.0);
    assert_eq!(service.refusals("mode=\"enforce\""), 0.0);
}

#[tokio::test(start_paused = true)]
async fn in_mode_off_nobody_is_asked() {
    let service = Service::with(&policy(platform_core::config::Mode::Off));
    assert_eq!(service.flood(2_000, 3, |_, _| 0).await, [1.0]);
    assert_eq!(service.refusals(""), 0.0);
}

#[tokio::test(start_paused = true)]
async fn expired_work_is_refused_in_mode_enforce_alone() {
    let mut context = Context::root(Instant::now());
    context.narrow(Deadline::at(Instant::now()));
    let service = Service::with(&ServerPolicy::default());
    let refusal = service.guards.expired(0, &context).unwrap_err();
    assert_eq!((refusal.kind(), refusal.layer()), (ErrorKind::Expired, "expired"));
    for (mode, counted) in
        [(platform_core::config::Mode::Observe, 1.0), (platform_core::config::Mode::Off, 0.0)]
    {
        let before = service.refusals("mode=\"observe\"");
        service.guards.set_mode(Guarding::Expired, mode);
        assert!(service.guards.expired(0, &context).is_ok());
        assert_eq!(service.refusals("mode=\"observe\"") - before, counted);
    }
}

#[tokio::test(start_paused = true)]
async fn fairness_that_only_looks_on_counts_whom_it_would_refuse() {
    fastrand::seed(1);
    let mut policy = ServerPolicy::default();
    policy.fair_share.mode = platform_core::config::Mode::Observe;
    let service = Service::with(&policy);
    let served = service.flood(1_000, 6, one_noisy_tenant).await;
    // Everybody pays alike, and it is known who should.
    assert!(served[0] < 0.8, "{served:?}");
    assert_eq!(service.refusals("guard=\"fair-share\",mode=\"enforce\""), 0.0);
    assert!(service.refusals("guard=\"fair-share\",mode=\"observe\"") > 100.0);
}
