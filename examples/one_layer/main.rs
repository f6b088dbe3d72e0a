//! Seven ways out, from gentle to complete: the same question to the inventory, with ever less of the platform.
//!
//! `GET /value`, `/policy`, `/layer`, `/wire`, `/guard`, `/engine` and `/nothing` each answer it in one way; the manual
//! (`platform_core::manual::take_one_layer`) says when to take which.

mod guard;
mod layer;
mod lines;

use std::{process::ExitCode, sync::Arc};

use axum::{Router, extract::State, http::HeaderMap, routing::get};
use platform_core::{
    App, Context, ErrorKind, Outcome, Result, Verdict,
    admission::{
        Gate, Place,
        bulkhead::{self, Bulkhead},
        metrics::Refusals,
    },
    config::Mode,
    context::wire::{self, Protocol, Trust},
    recovery::Recovery,
    telemetry::{Counter, catalogue::CounterSpec},
};
use platform_http::{Client, Problem};
use tokio::time::Instant;
use tower_layer::layer_fn;

use self::{guard::Guarded, layer::Signed, lines::Lines};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("shop").await?;
    let routes = routes(&app, "127.0.0.1:7070");
    platform_http::serve(app, routes).await
}

/// The seven ways; `lines` is where an old inventory speaks a protocol of its own.
fn routes(app: &App, lines: &str) -> Result<Router> {
    // 1. A value. Nothing is written here: `[clients.inventory.policy] timeout = "800ms"`, in the file, the environment
    //    or a flag.
    let value = Client::for_target(app, "inventory")?;

    // 2. The policy in code. `[clients.once]` is stronger still.
    let policy = Client::builder(app, "once")
        .target(value.settings().target.clone())
        .policy(|policy| policy.recovery = Recovery::None)
        .build()?;

    // 3. A layer of one's own, in one of three slots: here around each try, below the headers.
    let layer = Client::builder(app, "signed")
        .target(value.settings().target.clone())
        .around_attempt(layer_fn(Signed))
        .build()?;

    // 4. A wire of one's own: whatever is spoken, the client's whole order stands around it.
    let wire = Lines::new(app, "old-inventory", lines)?;

    // 5. One guard as a tower layer, in a stack of one's own.
    let guard = Guarded::new(value.clone());

    // 6. One guard without tower: ask, work, report.
    let place = Place { layer: "bulkhead", kind: ErrorKind::BulkheadFull };
    let few = bulkhead::Config { max_in_flight: AT_ONCE, ..bulkhead::Config::default() };
    let gate = Gate::new(Bulkhead::new(few), place, Mode::Enforce, Refusals::default());

    // 7. Nothing of the calls: the context, the metrics and the lifecycle work on their own.
    let counted = app.metrics().counter(&ASKED).with(&());

    Ok(Router::new()
        .route("/value", get(stock).with_state(value))
        .route("/policy", get(stock).with_state(policy))
        .route("/layer", get(stock).with_state(layer))
        .route(
            "/wire",
            get(async |State(wire): State<Lines>| Ok::<_, Problem>(wire.ask("stock").await?))
                .with_state(wire),
        )
        .route(
            "/guard",
            get(async |State(guard): State<Guarded>| Ok::<_, Problem>(guard.stock().await?))
                .with_state(guard),
        )
        .route("/engine", get(engine).with_state(Arc::new(gate)))
        .route("/nothing", get(nothing).with_state(counted)))
}

async fn stock(State(inventory): State<Client>) -> Result<String, Problem> {
    Ok(inventory.get("/stock").send().await?.error_for_status().await?.text().await?)
}

/// Counting the shelves takes memory, so only a few may do it at once. Who is dropped on the way gives its place back.
async fn engine(State(gate): State<Arc<Gate<Bulkhead>>>) -> Result<String, Problem> {
    let permit = gate.ask(&Context::root(Instant::now()))?;
    let counted = count_the_shelves().await;
    // A place is held until the reply has been read; here that is now.
    drop(permit.report(&Verdict::new(Outcome::Success, Instant::now())));
    Ok(counted.to_string())
}

async fn count_the_shelves() -> u32 {
    tokio::task::yield_now().await;
    7
}

/// What some other client would have to send: the context as headers, with the time that is left.
async fn nothing(State(asked): State<Counter>, head: HeaderMap) -> String {
    asked.inc();
    let arrived = wire::read(&head, Trust { internal: true, overrides: false }, Instant::now());
    let mut onwards = HeaderMap::new();
    wire::write(&arrived.context.child(Instant::now()), &mut onwards, Protocol::Http);
    onwards.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or_default())).collect()
}

/// `shop_asked_total`
static ASKED: CounterSpec<()> = CounterSpec::new("shop_asked", "Questions that somebody else's client asked");

/// Shelves that are counted at the same time.
const AT_ONCE: u32 = 2;

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::http::StatusCode;
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::TcpListener,
    };

    use super::{ground::Running, *};

    /// An inventory that fails as often as it is told to, over HTTP and in lines.
    #[derive(Clone, Default)]
    struct Inventory(Arc<Mutex<(usize, Vec<HeaderMap>)>>);

    impl Inventory {
        fn fail(&self, times: usize) {
            *self.0.lock().unwrap() = (times, Vec::new());
        }

        fn asked(&self) -> usize {
            self.0.lock().unwrap().1.len()
        }

        /// Is this one answered?
        fn answers(&self, head: HeaderMap) -> bool {
            let mut told = self.0.lock().unwrap();
            told.1.push(head);
            told.1.len() > told.0
        }

        async fn lines(self, listener: TcpListener) {
            while let Ok((stream, _)) = listener.accept().await {
                let mut lines = BufReader::new(stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let says = match self.answers(HeaderMap::new()) {
                        true => format!("7 of {line}\n"),
                        false => break,
                    };
                    lines.get_mut().write_all(says.as_bytes()).await.unwrap();
                }
            }
        }
    }

    async fn has(State(inventory): State<Inventory>, head: HeaderMap) -> (StatusCode, &'static str) {
        if inventory.answers(head) { (StatusCode::OK, "7") } else { (StatusCode::INTERNAL_SERVER_ERROR, "") }
    }

    #[tokio::test]
    async fn each_way_answers_and_keeps_what_it_says() {
        let inventory = Inventory::default();
        let theirs = Router::new().route("/stock", get(has)).with_state(inventory.clone());
        let http = Running::start("inventory", "", |_| Ok(theirs)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lines = listener.local_addr().unwrap().to_string();
        let old = platform_core::context::spawn(inventory.clone().lines(listener));
        let toml = format!(
            "[clients.inventory]\ntarget = \"fixed://{}\"\npolicy = {{ timeout = \"800ms\", retry = {{ backoff = \"1ms\" }} }}\n",
            http.address
        );
        let shop = Running::start("shop", &toml, |app| routes(app, &lines)).await;
        let client = shop.client();

        // A failure of each, and how often the inventory was asked.
        for (way, status, asked) in [
            ("/value", 200, 2),  // repeated
            ("/policy", 502, 1), // the policy says no
            ("/layer", 200, 2),
            ("/wire", 200, 2),
            ("/guard", 200, 2), // its own client repeats
        ] {
            inventory.fail(1);
            let (was, page) = Running::ask(client.get(way)).await;
            assert_eq!((was, inventory.asked()), (status, asked), "{way}: {page}");
        }

        inventory.fail(0);
        assert_eq!(Running::ask(client.get("/value")).await, (200, "7".to_owned()));
        let left = inventory.0.lock().unwrap().1[0]["platform-timeout-ms"].clone();
        let left: u32 = left.to_str().unwrap().parse().unwrap();
        assert!(left <= 800, "{left} ms of what the file says");
        assert_eq!(Running::ask(client.get("/layer")).await.0, 200);
        // As whoever is asked checks it.
        let heard = inventory.0.lock().unwrap().1[1].clone();
        let host = heard["host"].to_str().unwrap();
        assert_eq!(heard["signature"], layer::signature("GET", "/stock", host), "of {host}");
        assert_eq!(Running::ask(client.get("/wire")).await, (200, "7 of stock".to_owned()));
        assert_eq!(Running::ask(client.get("/engine")).await, (200, "7".to_owned()));

        let reply = client.get("/nothing").send().await.expect("a reply");
        // A request without an id of its own is named by its trace.
        let trace = reply.headers()["x-request-id"].to_str().unwrap().to_owned();
        let page = reply.text().await.unwrap();
        assert!(page.contains(&format!("traceparent: 00-{trace}-")), "{page}");
        assert!(page.contains("platform-timeout-ms: "), "{page}");
        assert!(shop.app.metrics().encode().contains("shop_asked_total"));

        shop.stop().await;
        http.stop().await;
        old.abort();
    }

    #[tokio::test]
    async fn a_breaker_of_ones_own_opens_without_the_rest() {
        let inventory = Inventory::default();
        inventory.fail(usize::MAX);
        let theirs = Router::new().route("/stock", get(has)).with_state(inventory.clone());
        let http = Running::start("inventory", "", |_| Ok(theirs)).await;
        let toml = format!(
            "[clients.inventory]\ntarget = \"fixed://{}\"\npolicy = {{ recovery = \"none\", breaker = {{ mode = \"off\" }} }}\n",
            http.address
        );
        let shop = Running::start("shop", &toml, |app| routes(app, "127.0.0.1:1")).await;
        let client = shop.client();
        for _ in 0..guard::IN_A_ROW {
            assert_eq!(Running::ask(client.get("/guard")).await.0, 502);
        }
        let (status, problem) = Running::ask(client.get("/guard")).await;
        assert_eq!((status, inventory.asked()), (503, guard::IN_A_ROW as usize), "{problem}");
        assert!(problem.contains("\"layer\":\"own-breaker\""), "{problem}");
        shop.stop().await;
        http.stop().await;
    }
}
