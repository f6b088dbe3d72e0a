//! A service with one dependency, over HTTP.
//!
//! The handler knows nothing of repeats, limits or deadlines: the client has them, and `[clients.inventory]` sets them.
//! What it does know is what an answer of inventory means to somebody who orders.

use std::process::ExitCode;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use platform_core::{App, Error, ErrorKind, Result};
use platform_http::{Client, Problem, segment};
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("orders").await?;
    let routes = routes(&app);
    platform_http::serve(app, routes).await
}

fn routes(app: &App) -> Result<Router> {
    let inventory = Client::for_target(app, "inventory")?;
    let routes = Router::new().route("/stock/{item}", get(stock)).route("/orders", post(order));
    Ok(routes.with_state(inventory))
}

/// What inventory says of an item; what else it says is not read.
#[derive(Serialize, Deserialize)]
struct Stock {
    items: u32,
}

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

/// A question: whoever fails is asked again, another instance first.
async fn stock(State(inventory): State<Client>, Path(item): Path<String>) -> Result<Json<Stock>, Problem> {
    // Somebody else's text: a slash in it is no further segment.
    let reply = inventory.get(format!("/stock/{}", segment(&item))).send().await?;
    if reply.status() == StatusCode::NOT_FOUND {
        return Err(Error::new(ErrorKind::NotFound, format!("nobody sells {item:?}")).into());
    }
    Ok(Json(reply.json().await?))
}

/// A change: it is sent once, or again where it was surely not begun. The key says that it is the same order, so that
/// it may be repeated too; inventory remembers the keys that it has seen.
async fn order(State(inventory): State<Client>, Json(order): Json<Order>) -> Result<StatusCode, Problem> {
    if order.count == 0 {
        return Err(Error::new(ErrorKind::Invalid, "an order is for one item or more").into());
    }
    let key = format!("{:016x}", fastrand::u64(..));
    let taken = inventory.post("/taken").header("idempotency-key", key).json(&order);
    taken.send().await?.error_for_status().await?;
    Ok(StatusCode::CREATED)
}

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Arc, Mutex},
    };

    use axum::http::HeaderMap;

    use super::{ground::Running, *};

    /// An inventory that fails as often as it is told to.
    #[derive(Clone, Default)]
    struct Inventory(Arc<Mutex<Books>>);

    #[derive(Default)]
    struct Books {
        fails: usize,
        asked: Vec<HeaderMap>,
        keys: HashSet<String>,
        taken: u32,
    }

    impl Inventory {
        /// Both services, and a client of orders.
        async fn open(&self, fails: usize) -> (Running, Running, Client) {
            self.0.lock().unwrap().fails = fails;
            let theirs = Router::new()
                .route("/stock/{item}", get(has))
                .route("/taken", post(take))
                .with_state(self.clone());
            let inventory = Running::start("inventory", "", |_| Ok(theirs)).await;
            let toml = format!(
                "[clients.inventory]\ntarget = \"fixed://{}\"\npolicy = {{ retry = {{ backoff = \"1ms\" }} }}\n",
                inventory.address
            );
            let orders = Running::start("orders", &toml, routes).await;
            let client = orders.client();
            (orders, inventory, client)
        }

        fn fails(&self, head: HeaderMap) -> bool {
            let mut books = self.0.lock().unwrap();
            books.asked.push(head);
            books.asked.len() <= books.fails
        }

        fn asked(&self) -> usize {
            self.0.lock().unwrap().asked.len()
        }
    }

    async fn has(
        State(inventory): State<Inventory>,
        Path(item): Path<String>,
        head: HeaderMap,
    ) -> (StatusCode, &'static str) {
        match (inventory.fails(head), item.as_str()) {
            (true, _) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            (false, "left/right shoes") => (StatusCode::OK, "{\"items\": 7, \"shelf\": \"b\"}"),
            _ => (StatusCode::NOT_FOUND, ""),
        }
    }

    async fn take(
        State(inventory): State<Inventory>,
        head: HeaderMap,
        Json(order): Json<Order>,
    ) -> StatusCode {
        let key = head["idempotency-key"].to_str().unwrap().to_owned();
        {
            // It has done it, and whoever asked does not hear of that.
            let mut books = inventory.0.lock().unwrap();
            if books.keys.insert(key) {
                books.taken += order.count;
            }
        }
        if inventory.fails(head) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CREATED }
    }

    #[tokio::test]
    async fn who_fails_once_is_asked_again_and_knows_what_time_is_left() {
        let inventory = Inventory::default();
        let (orders, theirs, client) = inventory.open(1).await;
        let page = Running::ask(client.get("/stock/left%2Fright%20shoes")).await;
        assert_eq!(page, (200, "{\"items\":7}".to_owned()));
        let seen = inventory.0.lock().unwrap().asked.clone();
        assert_eq!(seen.len(), 2);
        for head in &seen {
            let left: u32 = head["platform-timeout-ms"].to_str().unwrap().parse().unwrap();
            assert!((1..=10_000).contains(&left), "{left} ms, of 10 s for the whole call");
        }
        assert!(!seen[0].contains_key("platform-previous-attempts"));
        assert_eq!(seen[1]["platform-previous-attempts"], "1");
        assert_eq!(Running::ask(client.get("/stock/hats")).await.0, 404);
        orders.stop().await;
        theirs.stop().await;
    }

    #[tokio::test]
    async fn an_order_that_is_repeated_is_one_order() {
        let inventory = Inventory::default();
        let (orders, theirs, client) = inventory.open(1).await;
        let ask = |count| client.post("/orders").json(&Order { item: "hat".to_owned(), count });
        assert_eq!(Running::ask(ask(0)).await.0, 400);
        assert_eq!(inventory.asked(), 0, "nobody is asked about what makes no sense");
        assert_eq!(Running::ask(ask(2)).await.0, 201);
        assert_eq!((inventory.asked(), inventory.0.lock().unwrap().taken), (2, 2));
        orders.stop().await;
        theirs.stop().await;
    }

    #[tokio::test]
    async fn who_fails_for_good_is_named() {
        let inventory = Inventory::default();
        let (orders, theirs, client) = inventory.open(usize::MAX).await;
        let (status, problem) = Running::ask(client.get("/stock/hats")).await;
        assert_eq!(status, 502);
        assert!(problem.contains("\"target\":\"inventory\""), "{problem}");
        assert_eq!(inventory.asked(), 3, "three attempts, as the library has it");
        orders.stop().await;
        theirs.stop().await;
    }
}
