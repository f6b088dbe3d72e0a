//! Work that nobody waits for: a queue, and a task that works it off.
//!
//! The queue is bounded, because an endless one is a memory leak with a delay: who finds it full is told when to come
//! back. A drain works off what is queued, within `lifecycle.flush`; what must not be lost is written down first.

use std::{process::ExitCode, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use platform_core::{
    App, Error, ErrorKind, Result,
    lifecycle::{Drain, OnDeath},
    stack::{Around, ClientPolicy},
};
use platform_http::Problem;
use tokio::sync::{Mutex, mpsc};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("letters").await?;
    let routes = routes(&app, Printer);
    platform_http::serve(app, routes).await
}

/// Whatever does the work.
trait Work: Clone + Send + Sync + 'static {
    fn work(&self, letter: &str) -> impl Future<Output = Result<()>> + Send;
}

/// Writes a letter.
#[derive(Clone)]
struct Printer;

impl Work for Printer {
    async fn work(&self, letter: &str) -> Result<()> {
        tracing::info!(letter, "printed");
        Ok(())
    }
}

fn routes(app: &App, printer: impl Work) -> Result<Router> {
    let (queue, letters) = mpsc::channel(MOST);
    // A task that died begins again, and takes the queue with what is in it.
    let letters = Arc::new(Mutex::new(letters));
    // Repeats, limits and a breaker around the work, as around a call.
    let around = Around::of(app, "printer", ClientPolicy::default())?;
    app.spawn("letters", OnDeath::Restart, move |drain| {
        work_off(Arc::clone(&letters), around.clone(), printer.clone(), drain)
    });
    Ok(Router::new().route("/letters", post(put)).with_state(queue))
}

/// `POST /letters`: 202 when it is queued; 503 with a `retry-after` when the queue is full.
async fn put(State(queue): State<mpsc::Sender<String>>, letter: String) -> Result<StatusCode, Problem> {
    queue.try_send(letter).map_err(|_| {
        let full = Error::new(ErrorKind::Overloaded, format!("{MOST} letters wait to be printed"));
        full.retry_after(COME_BACK)
    })?;
    Ok(StatusCode::ACCEPTED)
}

async fn work_off(
    letters: Arc<Mutex<mpsc::Receiver<String>>>,
    around: Around,
    printer: impl Work,
    drain: Drain,
) -> Result<()> {
    let mut letters = letters.lock().await;
    loop {
        let letter = tokio::select! {
            letter = letters.recv() => letter,
            () = drain.asked() => letters.try_recv().ok(),
        };
        let Some(letter) = letter else { return Ok(()) };
        // Printed twice is better than never: what may not be done twice goes through `call`.
        let printed = around.idempotent(|_| printer.work(&letter)).await;
        if let Err(error) = printed {
            tracing::error!(letter, error = error.detail(), "could not be printed");
        }
    }
}

/// A second's work: whoever waits longer than that should hear of it.
const MOST: usize = 100;
const COME_BACK: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::sync::Semaphore;

    use super::{ground::Running, *};

    /// Prints when it may, and fails at its first letter.
    #[derive(Clone)]
    struct Slow {
        may: Arc<Semaphore>,
        tries: Arc<AtomicUsize>,
        printed: Arc<AtomicUsize>,
    }

    impl Slow {
        fn new(may: usize) -> Self {
            Slow { may: Arc::new(Semaphore::new(may)), tries: Arc::default(), printed: Arc::default() }
        }
    }

    impl Work for Slow {
        async fn work(&self, _letter: &str) -> Result<()> {
            let _may = self.may.acquire().await.expect("it is never closed");
            if self.tries.fetch_add(1, Relaxed) == 0 {
                return Err(Error::new(ErrorKind::Upstream, "no paper"));
            }
            self.printed.fetch_add(1, Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_queued_is_worked_off_before_the_end_and_a_failure_is_repeated() {
        let printer = Slow::new(1);
        let slow = printer.clone();
        let service = Running::start("letters", "", |app| routes(app, slow)).await;
        for letter in ["a", "b", "c"] {
            let (status, _) = Running::ask(service.client().post("/letters").body(letter)).await;
            assert_eq!(status, 202);
        }
        service.stop().await;
        assert_eq!((printer.printed.load(Relaxed), printer.tries.load(Relaxed)), (3, 4));
    }

    #[tokio::test]
    async fn a_full_queue_says_when_to_come_back() {
        let printer = Slow::new(0);
        let slow = printer.clone();
        let service = Running::start("letters", "", |app| routes(app, slow)).await;
        let client = service.client();
        let mut refused = None;
        // One is being printed, and a hundred wait.
        for _ in 0..MOST + 2 {
            let reply = client.post("/letters").body("a").send().await.expect("a reply");
            if reply.status() == 503 {
                refused = reply.headers().get("retry-after").cloned();
            }
        }
        assert_eq!(refused.expect("the last was refused"), "1");
        printer.may.add_permits(1);
        service.stop().await;
    }
}
