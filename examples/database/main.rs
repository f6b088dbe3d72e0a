//! A database: what is called over no wire of ours is guarded alike.
//!
//! [`Around`] puts a client's whole order around a function: limits, repeats, a breaker, metrics, switches by name. Its
//! numbers stand in `[clients.films-db] policy`. SQLite holds the thread that asks it, so it is asked on threads that may be
//! held ([`Blocking`], `[blocking.films-db]`); a thread cannot be taken back, so a query that nobody waits for any more is
//! told to end.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use platform_core::{
    App, Error, ErrorKind, Result,
    blocking::{self, Blocking},
    stack::{Around, ClientPolicy},
};
use platform_http::Problem;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("films").await?;
    let routes = routes(&app);
    platform_http::serve(app, routes).await
}

/// `[settings]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The file, which somebody else has made.
    database: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { database: PathBuf::from("films.db") }
    }
}

fn routes(app: &App) -> Result<Router> {
    let Settings { database } = app.settings()?;
    let mut policy =
        ClientPolicy { timeout: Some(CALL), attempt_timeout: Some(ATTEMPT), ..Default::default() };
    policy.bulkhead.max_in_flight = MOST;
    // A query that was cut holds its thread a little longer than its place.
    let threads = blocking::Config { threads: MOST, ..Default::default() };
    let threads = Blocking::of(app, "films-db", &threads)?;
    let films = Films {
        around: Around::of(app, "films-db", policy)?,
        database: Arc::new(Database { file: database, threads, idle: Mutex::default() }),
    };
    Ok(Router::new().route("/films/{id}", get(film)).with_state(films))
}

#[derive(Clone)]
struct Films {
    around: Around,
    database: Arc<Database>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Film {
    id: i64,
    title: String,
}

async fn film(State(films): State<Films>, Path(id): Path<i64>) -> Result<Json<Film>, Problem> {
    // A question may be asked twice; what changes something goes through `call`.
    Ok(Json(films.around.idempotent(|_| films.database.ask(move |db| find(db, id))).await?))
}

fn find(db: &Connection, id: i64) -> rusqlite::Result<Film> {
    let sql = "SELECT id, title FROM films WHERE id = ?1";
    db.query_row(sql, [id], |row| Ok(Film { id: row.get(0)?, title: row.get(1)? }))
}

/// Connections to one file; the bulkhead says how many there can be.
struct Database {
    file: PathBuf,
    threads: Blocking,
    idle: Mutex<Vec<Connection>>,
}

impl Database {
    /// Asks on a thread that it may hold. Whoever drops this ends the query, and its connection with it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        // What another thread left when it panicked is a list of connections as ever.
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let file = self.file.clone();
        let work = self.threads.run(move |wanted| {
            let mut db = idle.map_or_else(|| open(&file), Ok)?;
            db.progress_handler(STEPS, Some(move || !wanted.is_wanted()))?;
            let answer = question(&db);
            Ok((db, answer))
        });
        let (db, answer) = work.await?.map_err(|error| failed(&error))?;
        let answer = answer.map_err(|error| failed(&error));
        // Whatever else failed may be the connection's fault.
        if answer.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::NotFound) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        }
        answer
    }
}

fn open(file: &PathBuf) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(LOCKED)?;
    Ok(db)
}

/// What it means for those who decide about repeats and for the breaker: a row that is not there is no failure.
fn failed(error: &rusqlite::Error) -> Error {
    let kind = match error {
        rusqlite::Error::QueryReturnedNoRows => ErrorKind::NotFound,
        // Nothing was asked yet, so that anything may be repeated.
        error if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => ErrorKind::Unreachable,
        _ => ErrorKind::Upstream,
    };
    Error::new(kind, format!("films-db: {error}"))
}

/// A film is one row: whoever waits longer gets no better answer.
const CALL: Duration = Duration::from_millis(800);
const ATTEMPT: Duration = Duration::from_millis(250);
/// Threads that may be held, and so connections.
const MOST: u32 = 16;
/// Shorter than an attempt: a writer in the way is an error that says so, and not silence.
const LOCKED: Duration = Duration::from_millis(100);
/// Instructions of SQLite's machine between two looks whether somebody still waits: some microseconds.
const STEPS: i32 = 1_000;

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::{task::spawn_blocking, time::timeout};

    use super::{ground::Running, *};

    /// A database of one film, or one that takes long to find none.
    struct Shelf(TempDir);

    impl Shelf {
        fn new(films: &str) -> Shelf {
            let shelf = Shelf(TempDir::new().unwrap());
            shelf.writer().execute_batch(films).unwrap();
            shelf
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("films.db")
        }

        fn writer(&self) -> Connection {
            Connection::open(self.file()).unwrap()
        }

        async fn serve(&self, policy: &str) -> (Running, App) {
            let file = self.file();
            let toml =
                format!("[settings]\ndatabase = {file:?}\n[clients.films-db]\npolicy = {{ {policy} }}\n");
            let mut app = None;
            let running = Running::start("films", &toml, |own| {
                app = Some(own.clone());
                routes(own)
            });
            (running.await, app.unwrap())
        }
    }

    /// What the metrics say of the database, without the labels that every series has.
    fn counted(app: &App, series: &str, labels: &[&str]) -> Option<String> {
        let text = app.metrics().encode();
        let has = |line: &&str| {
            let own = line.starts_with(series) && line.contains("target=\"films-db\"");
            own && labels.iter().all(|label| line.contains(label))
        };
        Some(text.lines().find(has)?.rsplit_once(' ')?.1.to_owned())
    }

    async fn ask(service: &Running, id: &str) -> (u16, String) {
        Running::ask(service.client().get(format!("/films/{id}"))).await
    }

    #[tokio::test]
    async fn a_film_is_found_and_one_that_is_not_there_is_no_failure_of_the_database() {
        let shelf = Shelf::new(ONE_FILM);
        let (service, app) = shelf.serve("breaker = { consecutive = 1 }").await;
        assert_eq!(ask(&service, "8").await.0, 404);
        assert_eq!(ask(&service, "7").await, (200, "{\"id\":7,\"title\":\"Metropolis\"}".to_owned()));
        let attempts = |outcome| counted(&app, "platform_client_attempts_total", &[outcome]);
        assert_eq!(attempts("outcome=\"ok\"").as_deref(), Some("1"));
        assert_eq!(attempts("outcome=\"caller\"").as_deref(), Some("1"));
        service.stop().await;
    }

    #[tokio::test]
    async fn a_slow_database_is_cut_counted_and_refused_and_its_queries_end() {
        let shelf = Shelf::new(SLOW);
        let policy =
            "timeout = \"100ms\", recovery = \"none\", breaker = { consecutive = 3, open = \"60s\" }";
        let (service, app) = shelf.serve(policy).await;
        for _ in 0..3 {
            let (status, problem) = ask(&service, "7").await;
            assert_eq!(status, 504, "{problem}");
        }
        let (status, problem) = ask(&service, "7").await;
        assert_eq!(status, 503, "{problem}");
        assert!(problem.contains("films-db"), "{problem}");
        let attempts = counted(&app, "platform_client_attempts_total", &["outcome=\"timeout\""]);
        assert_eq!(attempts.as_deref(), Some("3"), "the fourth was not tried");
        let refused = ["guard=\"breaker\"", "mode=\"enforce\""];
        assert_eq!(counted(&app, "platform_client_refusals_total", &refused).as_deref(), Some("1"));

        // As long as somebody reads nobody can have it for himself.
        let writer = shelf.writer();
        writer.busy_timeout(PATIENCE).unwrap();
        let alone = spawn_blocking(move || writer.execute_batch("BEGIN EXCLUSIVE"));
        timeout(PATIENCE, alone).await.expect("no query is left").unwrap().expect("no query is left");
        service.stop().await;
    }

    #[tokio::test]
    async fn a_failing_database_is_asked_again_and_then_no_more() {
        let shelf = Shelf(TempDir::new().unwrap());
        let policy = "retry = { backoff = \"1ms\" }, breaker = { consecutive = 2, open = \"60s\" }";
        let (service, app) = shelf.serve(policy).await;
        let (status, problem) = ask(&service, "7").await;
        assert_eq!(status, 502, "{problem}");
        assert!(problem.contains("unable to open database file"), "{problem}");
        for _ in 0..5 {
            assert_eq!(ask(&service, "7").await.0, 503);
        }
        // A repeat of the first was the second failure in a row, and nothing was tried after it.
        let tried = |kind| {
            let labels = [kind, "outcome=\"unreachable\""];
            counted(&app, "platform_client_attempts_total", &labels)
        };
        assert_eq!(tried("kind=\"first\"").as_deref(), Some("1"));
        assert_eq!(tried("kind=\"requeue\"").as_deref(), Some("1"));
        service.stop().await;
    }

    const ONE_FILM: &str =
        "CREATE TABLE films (id INTEGER, title TEXT); INSERT INTO films VALUES (7, 'Metropolis');";
    /// Longer than anybody waits, and an end for a test that fails.
    const SLOW: &str =
        "CREATE TABLE shelf (id INTEGER, title TEXT); INSERT INTO shelf VALUES (8, 'Nosferatu');
        CREATE VIEW films AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000)
        SELECT id, title FROM n, shelf WHERE n.i < 0;";
    /// Nothing here takes so long unless it hangs.
    const PATIENCE: Duration = Duration::from_secs(3);
}
