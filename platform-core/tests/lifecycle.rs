//! When a process lives: what happens in which order, and what happens when something goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::{
    App, Error, ErrorKind, Result,
    app::{Announce, Bound, Boxed, ChangeKind, Ended, Serve, Served, Stage, Withdrawal},
    config::Config,
    lifecycle::{Drain, Need, OnDeath, Phase},
};
use tokio::{task::JoinHandle, time::Instant};

/// What happened, in order, with the seconds since the start of the test.
#[derive(Clone)]
struct Diary(Arc<Mutex<Vec<String>>>, Instant);

impl Diary {
    fn new() -> Self {
        Diary(Arc::default(), Instant::now())
    }

    fn write(&self, what: &str) {
        self.0.lock().unwrap().push(format!("{} {what}", self.1.elapsed().as_secs()));
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A server whose work in flight takes `busy` after the drain was asked for.
struct Scripted {
    name: &'static str,
    diary: Diary,
    busy: Duration,
    stage: Stage,
    bind: Result<()>,
}

impl Scripted {
    fn new(name: &'static str, diary: &Diary, busy: u64) -> Self {
        let stage = if name == "admin" { Stage::Admin } else { Stage::Service };
        Scripted { name, diary: diary.clone(), busy: Duration::from_secs(busy), stage, bind: Ok(()) }
    }
}

impl Serve for Scripted {
    fn bind<'a>(&'a mut self, _: &'a App) -> Boxed<'a, Result<Bound>> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        self.diary.write(&format!("{} bound", self.name));
        let bound = self.bind.clone().map(|()| Bound {
            name: self.name.to_owned(),
            address,
            protocol: "http1".to_owned(),
            tls: false,
        });
        Box::pin(async { bound })
    }

    fn serve(self: Box<Self>, drain: Drain, grace: Duration) -> Boxed<'static, Result<Served>> {
        Box::pin(async move {
            drain.asked().await;
            self.diary.write(&format!("{} asked to end", self.name));
            let cut = usize::from(self.busy > grace);
            tokio::time::sleep(self.busy.min(grace)).await;
            self.diary.write(&format!("{} ended", self.name));
            Ok(Served { cut })
        })
    }

    fn stage(&self) -> Stage {
        self.stage
    }
}

struct Announced(Diary, Result<()>);

impl Announce for Announced {
    fn announce<'a>(&'a self, bound: &'a [Bound]) -> Boxed<'a, Result<()>> {
        let names: Vec<_> = bound.iter().map(|bound| bound.name.as_str()).collect();
        self.0.write(&format!("announced {}", names.join(" and ")));
        Box::pin(async { self.1.clone() })
    }

    fn readiness(&self, ready: bool) -> Boxed<'_, Result<()>> {
        self.0.write(if ready { "said to be ready" } else { "said not to be ready" });
        Box::pin(async { Ok(()) })
    }

    fn withdraw(&self, step: Withdrawal) -> Boxed<'_, Result<()>> {
        self.0.write(&format!("withdrawn: {step:?}"));
        Box::pin(async { Ok(()) })
    }
}

/// A registry that takes what it is told and never answers.
struct Deaf {
    diary: Diary,
    announce: bool,
}

impl Announce for Deaf {
    fn announce<'a>(&'a self, _: &'a [Bound]) -> Boxed<'a, Result<()>> {
        self.diary.write("announced");
        if self.announce { Box::pin(std::future::pending()) } else { Box::pin(async { Ok(()) }) }
    }

    fn withdraw(&self, step: Withdrawal) -> Boxed<'_, Result<()>> {
        self.diary.write(&format!("withdrawn: {step:?}"));
        if self.announce { Box::pin(async { Ok(()) }) } else { Box::pin(std::future::pending()) }
    }
}

async fn app(toml: &str) -> App {
    let config = Config::builder().toml(toml).load().unwrap();
    App::builder("orders").version("1.2.3").config(config).start().await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test's App runs beside the test")]
fn run(app: &App) -> JoinHandle<Result<Ended>> {
    tokio::spawn(app.clone().run_until_stopped())
}

async fn ready(app: &App) {
    app.phases().reached(Phase::Ready).await;
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_starts_and_stops_in_order() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 2));
    app.add(Scripted::new("admin", &diary, 0));
    app.announce(Announced(diary.clone(), Ok(())));
    for name in ["first", "second"] {
        let (start, stop) = (diary.clone(), diary.clone());
        app.on_start(name, move || async move {
            start.write(&format!("start hook {name}"));
            Ok(())
        });
        app.on_stop(name, move || async move {
            stop.write(&format!("stop hook {name}"));
            Ok(())
        });
    }
    let task = diary.clone();
    app.spawn("feed", OnDeath::End, move |drain| {
        let diary = task.clone();
        async move {
            drain.asked().await;
            diary.write("task asked to end");
            Ok(())
        }
    });

    let running = run(&app);
    ready(&app).await;
    app.stop("ann", "a new version");
    let ended = running.await.unwrap().unwrap();

    assert_eq!((ended.cut, ended.code()), (0, 0));
    assert_eq!(
        diary.read(),
        [
            "0 admin bound",
            "0 start hook first",
            "0 start hook second",
            "0 http bound",
            "0 announced admin and http",
            "0 withdrawn: Draining",
            "5 withdrawn: Gone",
            "5 http asked to end",
            "7 http ended",
            "7 task asked to end",
            "7 stop hook second",
            "7 stop hook first",
            "7 admin asked to end",
            "7 admin ended",
        ]
    );
    let changes: Vec<_> =
        app.changes().latest().into_iter().map(|change| (change.who, change.what, change.why)).collect();
    assert_eq!(changes[0], ("ann".to_owned(), "draining".to_owned(), "a new version".to_owned()));
    assert!(changes[2].1.starts_with("orders 1.2.3 (stable) started as "), "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_world_that_was_never_told() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 0));
    let running = run(&app);
    ready(&app).await;
    app.stop("ann", "");
    assert_eq!(running.await.unwrap().unwrap().code(), 0);
    assert_eq!(diary.read(), ["0 http bound", "0 http asked to end", "0 http ended"]);
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_grace_is_cut_and_the_status_says_so() {
    let diary = Diary::new();
    let app = app("[lifecycle]\ngrace = \"3s\"").await;
    app.add(Scripted::new("http", &diary, 60));
    let running = run(&app);
    ready(&app).await;
    app.stop("ann", "");
    let ended = running.await.unwrap().unwrap();
    assert_eq!((ended.cut, ended.code()), (1, 1));
    assert_eq!(diary.read().last().unwrap(), "3 http ended");
}

#[tokio::test(start_paused = true)]
async fn a_failing_start_hook_stops_the_start_and_is_named() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 0));
    app.add(Scripted::new("admin", &diary, 0));
    app.on_start("schema", || async {
        Err(Error::new(ErrorKind::Unreachable, "no database at 127.0.0.1:5432"))
    });
    let error = run(&app).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "unreachable: start hook \"schema\" failed: no database at 127.0.0.1:5432");
    assert_eq!(
        diary.read(),
        ["0 admin bound", "0 admin asked to end", "0 admin ended"],
        "nobody was told of us"
    );
    assert_eq!(app.phases().current(), Phase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_taken_port_stops_the_start_with_its_own_status() {
    let diary = Diary::new();
    let app = app("").await;
    let taken = Error::new(ErrorKind::Start, "cannot listen on 127.0.0.1:8080");
    app.add(Scripted { bind: Err(taken), ..Scripted::new("http", &diary, 0) });
    app.announce(Announced(diary.clone(), Ok(())));
    let error = run(&app).await.unwrap().unwrap_err();
    assert_eq!(error.kind().exit_code(), 69);
    assert_eq!(diary.read(), ["0 http bound"]);
}

#[tokio::test(start_paused = true)]
async fn a_taken_admin_port_ends_what_was_begun() {
    let diary = Diary::new();
    let app = app("").await;
    let taken = Error::new(ErrorKind::Start, "cannot listen on 127.0.0.1:9464");
    app.add(Scripted { bind: Err(taken), ..Scripted::new("admin", &diary, 0) });
    app.add(Scripted::new("http", &diary, 0));
    let stop = diary.clone();
    app.on_stop("pool", || async move {
        stop.write("stop hook pool");
        Ok(())
    });
    let error = run(&app).await.unwrap().unwrap_err();
    assert_eq!(error.kind().exit_code(), 69);
    assert_eq!(diary.read(), ["0 admin bound", "0 stop hook pool"]);
    assert_eq!(app.phases().current(), Phase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_hangs_does_not_keep_a_stop_from_being_in_order() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 2));
    app.announce(Deaf { diary: diary.clone(), announce: true });
    let running = run(&app);
    ready(&app).await;
    app.stop("ann", "");
    let ended = running.await.unwrap().unwrap();
    assert_eq!(ended.code(), 0);
    assert_eq!(
        diary.read(),
        [
            "0 http bound",
            "0 announced",
            "0 withdrawn: Draining",
            "5 withdrawn: Gone",
            "5 http asked to end",
            "7 http ended"
        ],
        "what was served is served to its end, and whoever heard of us hears that we go"
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_does_not_take_the_withdrawal_delays_the_stop_a_second_at_most() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 0));
    app.announce(Deaf { diary: diary.clone(), announce: false });
    let running = run(&app);
    ready(&app).await;
    app.stop("ann", "");
    let ended = tokio::time::timeout(Duration::from_secs(60), running).await.expect("it ends");
    assert_eq!(ended.unwrap().unwrap().code(), 0);
    assert_eq!(
        diary.read()[2..],
        ["0 withdrawn: Draining", "5 withdrawn: Gone", "6 http asked to end", "6 http ended"]
    );
}

type End = fn() -> Result<Served>;

/// A server that ends in its own way, after the drain was asked for or after ten seconds.
struct Fickle(Diary, End, bool);

impl Serve for Fickle {
    fn bind<'a>(&'a mut self, _: &'a App) -> Boxed<'a, Result<Bound>> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Box::pin(async move {
            let name = "http".to_owned();
            Ok(Bound { name, address, protocol: "http1".to_owned(), tls: false })
        })
    }

    fn serve(self: Box<Self>, drain: Drain, _: Duration) -> Boxed<'static, Result<Served>> {
        Box::pin(async move {
            if self.2 {
                drain.asked().await;
            } else {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            self.0.write("http ended");
            (self.1)()
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_ends_the_process_with_status_one() {
    let deaths: [(End, &str); 3] = [
        (|| Ok(Served::default()), "internal: server \"http\" ended by itself"),
        (
            || Err(Error::new(ErrorKind::Internal, "no more files")),
            "internal: server \"http\" died; because internal: no more files",
        ),
        (|| panic!("oh"), "panic: server \"http\" died; because panic: oh"),
    ];
    for (death, told) in deaths {
        let diary = Diary::new();
        let app = app("").await;
        app.add(Fickle(diary.clone(), death, false));
        let running = run(&app);
        let ended =
            tokio::time::timeout(Duration::from_secs(60), running).await.expect(told).unwrap().unwrap();
        assert_eq!(ended.code(), 1);
        assert_eq!(format!("{:?}", ended.failure.unwrap()), told);
        assert_eq!(diary.read(), ["10 http ended"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_while_it_drains_is_not_a_clean_end() {
    let app = app("").await;
    app.add(Fickle(Diary::new(), || Err(Error::new(ErrorKind::Internal, "lost count")), true));
    let running = run(&app);
    ready(&app).await;
    app.stop("ann", "");
    let ended = running.await.unwrap().unwrap();
    assert_eq!(ended.code(), 1);
    let told = format!("{:?}", ended.failure.unwrap());
    assert_eq!(told, "internal: server \"http\" died; because internal: lost count");
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_every_part_hangs_ends_within_the_sum_of_its_limits() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 3600));
    app.announce(Announced(diary.clone(), Ok(())));
    app.spawn("deaf", OnDeath::Restart, |_| std::future::pending());
    for hook in ["one", "two", "three"] {
        app.on_stop(hook, std::future::pending);
    }
    let running = run(&app);
    ready(&app).await;
    let began = Instant::now();
    app.stop("ann", "");
    assert_eq!(running.await.unwrap().unwrap().cut, 1);
    let took = began.elapsed().as_secs_f64();
    assert!((25.0..28.1).contains(&took), "5 s propagation, 20 s grace, 3 s flush, not {took}");
}

#[tokio::test(start_paused = true)]
async fn others_hear_of_a_process_when_it_is_ready_and_while_it_is() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 0));
    app.announce(Announced(diary.clone(), Ok(())));
    let store = Arc::new(AtomicBool::new(false));
    let (asked, cache) = (Arc::clone(&store), Arc::new(AtomicBool::new(false)));
    let answer = |well: bool| if well { Ok(()) } else { Err(Error::new(ErrorKind::Unreachable, "no store")) };
    app.health().check("store", Need::Required, move || {
        let well = asked.load(Relaxed);
        async move { answer(well) }
    });
    app.health().check("cache", Need::Optional, move || {
        let well = cache.load(Relaxed);
        async move { answer(well) }
    });
    let running = run(&app);
    ready(&app).await;
    let wait = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    wait(20).await;
    assert_eq!(diary.read(), ["0 http bound"], "it serves, and nobody is told before it is ready");
    store.store(true, Relaxed);
    wait(10).await;
    assert_eq!(diary.read()[1..], ["20 announced http"]);
    // One miss is a hiccup.
    store.store(false, Relaxed);
    wait(4).await;
    store.store(true, Relaxed);
    wait(26).await;
    assert_eq!(diary.read().len(), 2);
    store.store(false, Relaxed);
    wait(20).await;
    store.store(true, Relaxed);
    wait(10).await;
    let said = diary.read();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[2].ends_with("said not to be ready") && said[3] == "80 said to be ready", "{said:?}");
    let at = |line: &str| line.split(' ').next().unwrap().parse::<u64>().unwrap();
    assert!((65..=70).contains(&at(&said[2])), "{said:?}");
    let changes = app.changes().latest();
    let what: Vec<_> = changes.iter().filter(|change| change.kind == ChangeKind::Ready).collect();
    assert!(what.iter().any(|change| change.why.contains("store: unreachable: no store")), "{what:?}");
    app.stop("ann", "");
    assert_eq!(running.await.unwrap().unwrap().code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_never_ready_is_stopped_without_having_been_announced() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 0));
    app.announce(Announced(diary.clone(), Ok(())));
    app.health().degrade("feed", "it never came");
    let running = run(&app);
    ready(&app).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    app.stop("ann", "");
    assert_eq!(running.await.unwrap().unwrap().code(), 0);
    assert!(!diary.read().iter().any(|line| line.contains("announced")), "{:?}", diary.read());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_does_not_stop_the_start() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 0));
    app.announce(Announced(diary.clone(), Err(Error::new(ErrorKind::Unreachable, "no registry"))));
    let running = run(&app);
    ready(&app).await;
    assert!(app.health().ready().await.ok);
    app.stop("ann", "");
    assert_eq!(running.await.unwrap().unwrap().code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_death_that_the_process_cannot_survive_drains_it_with_status_one() {
    let diary = Diary::new();
    let app = app("").await;
    app.add(Scripted::new("http", &diary, 1));
    app.spawn("feed", OnDeath::End, |_| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        panic!("the feed broke")
    });
    let ended = run(&app).await.unwrap().unwrap();
    assert_eq!(ended.code(), 1);
    let failure = format!("{:?}", ended.failure.unwrap());
    assert_eq!(failure, "panic: background task \"feed\" died; because panic: the feed broke");
    assert_eq!(
        diary.read(),
        ["0 http bound", "10 http asked to end", "11 http ended"],
        "in order, not at once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_starting_is_obeyed_at_once() {
    let app = app("").await;
    app.on_start("slow", || async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok(())
    });
    let (began, running) = (Instant::now(), run(&app));
    tokio::task::yield_now().await;
    app.stop("ann", "changed my mind");
    assert_eq!(running.await.unwrap().unwrap().code(), 0);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn tasks_and_hooks_that_hang_are_left_behind() {
    let app = app("").await;
    app.spawn("deaf", OnDeath::Restart, |_| std::future::pending());
    app.on_stop("hangs", std::future::pending);
    let ran = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ran);
    app.on_stop("runs", move || async move {
        counted.fetch_add(1, Relaxed);
        Ok(())
    });
    let (began, running) = (Instant::now(), run(&app));
    ready(&app).await;
    app.stop("ann", "");
    assert_eq!(running.await.unwrap().unwrap().code(), 0);
    assert_eq!(ran.load(Relaxed), 1);
    assert_eq!(began.elapsed().as_secs(), 6, "three seconds for the task, three for the hook");
}

#[tokio::test(start_paused = true)]
async fn a_stop_hook_that_panics_does_not_keep_the_others_from_their_work() {
    let app = app("").await;
    let ran = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ran);
    app.on_stop("runs", move || async move {
        counted.fetch_add(1, Relaxed);
        Ok(())
    });
    app.on_stop("lazy", || async { panic!("no pool") });
    app.on_stop("hasty", || -> std::future::Ready<Result<()>> { panic!("no pool") });
    let running = run(&app);
    ready(&app).await;
    app.stop("ann", "");
    assert_eq!(running.await.unwrap().unwrap().code(), 0);
    assert_eq!(ran.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_the_phase_and_every_required_check() {
    let app = app("").await;
    let healthy = Arc::new(AtomicU32::new(1));
    let looked = Arc::clone(&healthy);
    app.health().check("database", Need::Required, move || {
        let ok = looked.load(Relaxed) == 1;
        async move { if ok { Ok(()) } else { Err(Error::new(ErrorKind::Unreachable, "connection refused")) } }
    });
    app.health().check("cache", Need::Optional, || async { Err(Error::new(ErrorKind::Unreachable, "cold")) });
    app.health().check("slow", Need::Optional, std::future::pending);

    assert!(!app.health().ready().await.ok, "not while starting");
    assert!(!app.health().started().ok);
    let running = run(&app);
    ready(&app).await;
    let report = app.health().ready().await;
    assert!(report.ok, "{report:?}");
    assert_eq!(
        report.checks[2].reason, "timeout: no answer within 800ms",
        "a check that hangs hangs no probe"
    );

    healthy.store(0, Relaxed);
    let report = app.health().ready().await;
    assert_eq!((report.ok, report.checks[0].reason.as_str()), (false, "unreachable: connection refused"));
    assert!(app.health().live().ok, "a dependency never decides liveness");
    healthy.store(1, Relaxed);

    app.stop("ann", "");
    app.phases().reached(Phase::Draining).await;
    assert!(!app.health().ready().await.ok, "not while draining");
    let _ = running.await.unwrap();
}

#[tokio::test]
async fn a_check_that_panics_has_failed_and_says_so() {
    let app = app("").await;
    app.health().check("lazy", Need::Optional, || async { panic!("no such table") });
    app.health().check("hasty", Need::Required, || -> std::future::Ready<Result<()>> { panic!("no pool") });
    let reasons: Vec<_> = app.health().ready().await.checks.into_iter().map(|check| check.reason).collect();
    assert_eq!(reasons, ["panic: no such table", "panic: no pool"]);
}

#[tokio::test(start_paused = true)]
async fn an_app_runs_once() {
    let app = app("").await;
    let running = run(&app);
    ready(&app).await;
    let error = app.clone().run_until_stopped().await.unwrap_err();
    assert_eq!(error.to_string(), "internal: this App has run already; an App runs once");
    app.stop("ann", "");
    let _ = running.await.unwrap();
}

#[tokio::test]
async fn wrong_flags_and_wrong_settings_refuse_the_start() {
    let start = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        App::builder("orders").arguments(arguments).start()
    };
    let error = start(&["--confg"]).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 2, "{error}");
    let error = start(&["--set", "lifecycle.grace=soon"]).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 78, "{error}");
    assert!(error.to_string().contains("lifecycle.grace"), "{error}");
    let error = start(&["--config", "no-such-file.toml"]).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 78, "{error}");
    assert!(error.to_string().contains("no-such-file.toml"), "{error}");
    let error = App::builder("Orders!").start().await.unwrap_err();
    assert!(error.to_string().starts_with("config: code: `service.name`"), "{error}");
    for (set, told) in [
        ("service.name=Big Orders", "flag --set service.name: `service.name`"),
        ("telemetry.log.filter=inof", "flag --set telemetry.log.filter: `telemetry.log.filter` is \"inof\""),
        ("telemetry.traces.ratio=2.0", "flag --set telemetry.traces.ratio: `telemetry.traces.ratio` is 2"),
        (
            "telemetry.traces.endpoint=collector",
            "`telemetry.traces.endpoint` is \"collector\"; it must begin",
        ),
    ] {
        let error = start(&["--set", set]).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn identity_comes_from_code_and_is_overridden_by_what_is_set() {
    let environment = [("PLATFORM__SERVICE__ZONE", "eu-1"), ("POD_NAME", "orders-7d4f")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let app = App::builder("orders")
        .version("1.4.2")
        .owner("team-orders")
        .why("takes orders")
        .environment(environment)
        .arguments(["--set".to_owned(), "service.variant=canary".to_owned()])
        .start()
        .await
        .unwrap();
    let identity = app.identity();
    assert_eq!((identity.version.as_str(), identity.owner.as_str()), ("1.4.2", "team-orders"));
    assert_eq!((identity.zone.as_str(), identity.variant.as_str()), ("eu-1", "canary"));
    assert_eq!(identity.instance, "orders-7d4f");
    let metrics = app.metrics().encode();
    assert!(metrics.contains("service_version=\"1.4.2\""), "{metrics}");
}
