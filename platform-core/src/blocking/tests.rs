use std::{sync::mpsc, time::Duration};

use super::*;
use crate::{
    context::{Deadline, Notes},
    identity::Identity,
};

const MS: Duration = Duration::from_millis(1);

fn pool(threads: u32, queue: u32, max_wait: Duration) -> (Blocking, Metrics) {
    let metrics = Metrics::new(&Identity::default());
    let pool = Blocking::new("files", &Config { threads, queue, max_wait }, &metrics);
    (pool.expect("good numbers"), metrics)
}

/// Work that holds its thread until somebody says a word, and says when it has begun.
fn hold(
    pool: &Blocking,
) -> (tokio::task::JoinHandle<Result<()>>, tokio::sync::oneshot::Receiver<()>, mpsc::Sender<()>) {
    let (tell, begun) = tokio::sync::oneshot::channel();
    let (let_go, held) = mpsc::channel();
    let pool = pool.clone();
    let work = context::spawn(async move {
        pool.run(move |_| {
            let _ = tell.send(());
            let _ = held.recv();
        })
        .await
    });
    (work, begun, let_go)
}

fn count(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.encode();
    let lines =
        text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains("pool=\"files\""));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn so_many_at_a_time_and_the_rest_is_refused_with_the_reason() {
    let (pool, metrics) = pool(2, 0, MS);
    let (one, begun, let_one) = hold(&pool);
    begun.await.expect("it begins");
    let (two, begun, let_two) = hold(&pool);
    begun.await.expect("it begins");
    assert_eq!((pool.in_use(), count(&metrics, "platform_blocking_threads")), (2, 2.0));
    let refused = pool.run(|_| ()).await.expect_err("both are held");
    assert_eq!((refused.kind(), refused.layer()), (ErrorKind::Overloaded, "blocking"));
    assert_eq!(
        refused.detail(),
        "all 2 threads of `files` are held (blocking.files.threads), and 0 wait already (queue = 0)"
    );
    assert_eq!(count(&metrics, "platform_blocking_refusals_total"), 1.0);
    let_one.send(()).expect("it waits");
    one.await.expect("no panic").expect("it ends well");
    assert_eq!(pool.run(|_| 7).await.expect("one is free"), 7);
    let_two.send(()).expect("it waits");
    two.await.expect("no panic").expect("it ends well");
    assert_eq!((pool.in_use(), count(&metrics, "platform_blocking_threads")), (0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_order_and_no_longer_than_it_may() {
    let (pool, metrics) = pool(1, 1, Duration::from_millis(20));
    let (held, begun, let_go) = hold(&pool);
    begun.await.expect("it begins");
    // Time stands still as long as a thread is held.
    let later = async {
        tokio::task::yield_now().await;
        tokio::time::advance(20 * MS).await;
    };
    let (first, second, ()) = tokio::join!(pool.run(|_| ()), pool.run(|_| ()), later);
    let late = first.expect_err("nobody lets go");
    assert!(late.detail().ends_with("and none was free within 20ms (max_wait)"), "{late}");
    assert!(second.expect_err("one may wait").detail().ends_with("and 1 wait already (queue = 1)"));
    assert_eq!((pool.waiting(), count(&metrics, "platform_blocking_queue")), (0, 0.0));
    let waiting = pool.run(|_| 7);
    let let_go_soon = async {
        tokio::task::yield_now().await;
        let_go.send(()).expect("it waits");
    };
    assert_eq!(tokio::join!(waiting, let_go_soon).0.expect("it was in time"), 7);
    held.await.expect("no panic").expect("it ends well");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_the_wait_and_the_work_and_the_work_hears_of_it() {
    let (pool, _) = pool(1, 8, Duration::from_secs(60));
    let under = |left: Duration| {
        let mut context = Context::root(Instant::now());
        context.narrow(Deadline::at(Instant::now() + left));
        context
    };
    let (tell, told) = mpsc::channel();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let long = pool.run(move |wanted| {
        let _ = begins.send(());
        while wanted.is_wanted() {
            std::thread::yield_now();
        }
        let _ = tell.send(());
    });
    let later = |length: Duration| async move {
        tokio::task::yield_now().await;
        tokio::time::advance(length).await;
    };
    let over = async {
        begun.await.expect("it begins");
        tokio::time::advance(20 * MS).await;
    };
    let (cut, ()) = tokio::join!(context::scope(under(20 * MS), long), over);
    let cut = cut.expect_err("it never ends by itself");
    assert_eq!((cut.kind(), cut.layer()), (ErrorKind::Timeout, "blocking"));
    tokio::task::spawn_blocking(move || told.recv()).await.expect("no panic").expect("it heard of it");

    let (held, begun, let_go) = hold(&pool);
    begun.await.expect("it begins");
    let never = pool.run(|_| -> () { panic!("it never begins") });
    let (waited, ()) = tokio::join!(context::scope(under(5 * MS), never), later(5 * MS));
    assert_eq!(waited.expect_err("its time is over").kind(), ErrorKind::Expired);
    let_go.send(()).expect("it waits");
    held.await.expect("no panic").expect("it ends well");
}

#[tokio::test]
async fn the_work_has_the_context_of_its_request() {
    let (pool, _) = pool(1, 1, MS);
    let notes = Arc::new(Notes::default());
    let mut context = Context::root(Instant::now());
    context.set_notes(Arc::clone(&notes));
    let trace = context.trace().trace_id();
    let seen = pool.run(|_| {
        context::note("rows", "7");
        context::current().map(|context| context.trace().trace_id())
    });
    assert_eq!(context::scope(context, seen).await.expect("it is free"), Some(trace));
    assert_eq!(
        pool.run(|_| context::current().map(|context| context.deadline())).await.expect("free"),
        Some(None)
    );
}

#[tokio::test]
async fn who_leaves_the_line_leaves_nothing_behind_and_a_panic_gives_its_thread_back() {
    let (pool, metrics) = pool(1, 4, Duration::from_secs(60));
    let (held, begun, let_go) = hold(&pool);
    begun.await.expect("it begins");
    {
        let mut waiting = Box::pin(pool.run(|_| ()));
        assert!(futures_poll_once(waiting.as_mut()).await.is_none());
        assert_eq!(pool.waiting(), 1);
    }
    assert_eq!((pool.waiting(), count(&metrics, "platform_blocking_queue")), (0, 0.0));
    let_go.send(()).expect("it waits");
    held.await.expect("no panic").expect("it ends well");
    let panics = pool.clone();
    let panicked = context::spawn(async move { panics.run(|_| -> () { panic!("a bug") }).await }).await;
    assert!(panicked.expect_err("it panics here too").is_panic());
    assert_eq!(pool.run(|_| 7).await.expect("the thread came back"), 7);
}

/// One look at a future.
async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut future).poll(cx) {
        std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_service_has_one_of_each_name_and_its_section_is_stronger() {
    let toml = "[blocking.files]\nthreads = 3";
    let config = crate::config::Config::builder().toml(toml).load().expect("good TOML");
    let app = App::builder("orders").config(config).start().await.expect("a good start");
    let wanted = Config { threads: 9, queue: 5, ..Config::default() };
    let (one, other) =
        (Blocking::of(&app, "files", &wanted).unwrap(), Blocking::of(&app, "files", &wanted).unwrap());
    assert!(Arc::ptr_eq(&one.0, &other.0));
    assert_eq!(one.0.config, Config { threads: 3, ..wanted });
    assert_eq!(Blocking::of(&app, "No Name", &wanted).unwrap_err().kind(), ErrorKind::Config);
}
