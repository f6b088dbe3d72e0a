//! A service whose capacity is four sleeping slots, asked for twice, five and ten times of what it can do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use platform_core::context;
use platform_http::Server;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::served::Served;

/// The slots' work so far, in microseconds.
#[derive(Clone, Default)]
struct Worked(Arc<AtomicU64>);

fn routes(worked: &Worked) -> Router {
    let (slots, worked) = (Arc::new(Semaphore::new(SLOTS)), worked.clone());
    let work = move || {
        let (slots, worked) = (Arc::clone(&slots), worked.clone());
        async move {
            let _slot = slots.acquire().await.expect("nobody closes it");
            let begun = Instant::now();
            sleep(WORK).await;
            worked.0.fetch_add(begun.elapsed().as_micros() as u64, Relaxed);
            "done"
        }
    };
    Router::new().route("/", get(work))
}

/// One request that was answered, or not.
struct Told {
    came: Instant,
    ended: Instant,
    good: bool,
    critical: bool,
    /// What was said instead of an answer.
    why: String,
}

/// Requests come at their times, whatever becomes of those before; every `critical`th is important.
async fn ask(served: &Arc<Served>, per_second: f64, critical: usize, length: Duration) -> Vec<Told> {
    let (begun, mut asked, mut told) = (Instant::now(), JoinSet::new(), Vec::new());
    let many = (per_second * length.as_secs_f64()) as u32;
    for number in 0..many {
        sleep_until(begun + length * number / many).await;
        let (served, critical) = (Arc::clone(served), (number as usize).is_multiple_of(critical));
        let class = if critical { "critical" } else { "sheddable" };
        asked.spawn(context::scope(platform_core::Context::root(Instant::now()), async move {
            let headers = format!("platform-timeout-ms: 1000\r\nbaggage: platform-criticality={class}\r\n");
            let came = Instant::now();
            let reply = served.get("/", &headers).await;
            let good = reply.status == 200;
            let why = if good { String::new() } else { format!("{} {}", reply.status, reply.body) };
            Told { came, ended: Instant::now(), good, critical, why }
        }));
    }
    while let Some(Ok(one)) = asked.join_next().await {
        told.push(one);
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_leaves_the_goodput_where_it_was_and_what_is_important_is_served() {
    let worked = Worked::default();
    // The slots sleep: a machine that is busy with other tests is not what is looked at.
    let sources = "[server.policy.shed]\nsources = [\"queue_wait\"]\n";
    let served = Arc::new(Served::start(Server::new(routes(&worked)).canonical_lines(false), sources).await);
    let capacity = SLOTS as f64 / WORK.as_secs_f64();
    // Long enough for a limit to have been found.
    ask(&served, 0.7 * capacity, 1, Duration::from_secs(3)).await;
    let (mut important, mut lost) = (0, Vec::new());
    for (times, bar) in [(2, 0.95), (5, 0.92), (10, 0.90)] {
        let (begun, before) = (Instant::now(), worked.0.load(Relaxed));
        // What is important is half of what can be done.
        let told = ask(&served, f64::from(times) * capacity, 2 * times as usize, STORM).await;
        let end = begun + STORM;
        let after = Instant::now();
        let calm = ask(&served, 0.7 * capacity, 1, Duration::from_secs(3)).await;
        let good: Vec<&Told> = told.iter().filter(|one| one.good && one.ended <= end).collect();
        // What a slot's work really takes on this machine.
        let many = told.iter().chain(&calm).filter(|one| one.good).count();
        let mean = (worked.0.load(Relaxed) - before) as f64 / 1e6 / many.max(1) as f64;
        let goodput = good.len() as f64 * mean / (SLOTS as f64 * STORM.as_secs_f64());
        let of =
            |guard: &str| served.metric("platform_server_refusals_total", &[&format!("guard=\"{guard}\"")]);
        assert!(
            goodput >= bar,
            "{times}x: {:.1} % of what the slots can do; refused by shed {}, concurrency {}, limit {}",
            100.0 * goodput,
            of("shed"),
            of("concurrency"),
            served.metric("platform_server_concurrency_limit", &["default"])
        );
        important += told.iter().filter(|one| one.critical).count();
        let refused = told.iter().filter(|one| one.critical && !one.good);
        lost.extend(refused.map(|one| format!("{times}x after {:?}: {}", one.came - begun, one.why)));
        let late: Vec<&Told> = calm.iter().filter(|one| one.came >= after + Duration::from_secs(2)).collect();
        let bad = late.iter().filter(|one| !one.good).count();
        // A machine that stops for 50 ms is no service that is well, so one of fifty is its own.
        assert!(bad * 50 <= late.len(), "{times}x: {bad} of {} two seconds after it", late.len());
    }
    assert!(lost.len() * 1000 <= important * 6, "{} of {important} important ones: {lost:#?}", lost.len());
}

const SLOTS: usize = 4;
const WORK: Duration = Duration::from_millis(50);
const STORM: Duration = Duration::from_secs(4);
