//! An API server that knows EndpointSlices and the rules of list and watch.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::stream;
use platform_core::context;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{self, Instant},
};

/// A running server; ended with the test.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    pub(crate) cluster: Cluster,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    known: Mutex<Known>,
    changed: watch::Sender<u64>,
}

pub(crate) struct Known {
    version: u64,
    slices: BTreeMap<String, Value>,
    /// Every event and its version, for those who watch from an older one.
    log: Vec<(u64, Value)>,
    /// What is older than this is forgotten.
    compacted: u64,
    /// Grows when all connections are cut.
    cuts: u64,
    /// Every list and the version that every watch began from.
    pub(crate) lists: usize,
    pub(crate) watched_from: Vec<u64>,
    /// What is answered instead.
    pub(crate) refuse: Option<u16>,
    pub(crate) page: usize,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let known = Known {
            version: 10,
            slices: BTreeMap::new(),
            log: Vec::new(),
            compacted: 0,
            cuts: 0,
            lists: 0,
            watched_from: Vec::new(),
            refuse: None,
            page: 2,
        };
        let (changed, _) = watch::channel(0);
        let cluster = Cluster(Arc::new(Inner { known: Mutex::new(known), changed }));
        let routes = Router::new()
            .route("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", get(slices))
            .with_state(cluster.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let serving = context::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Double { address, cluster, serving }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Cluster {
    /// Until so many watches were begun. They move only while they are polled.
    pub(crate) async fn watched(&self, times: usize) {
        while self.known().watched_from.len() < times {
            time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().expect("nobody panics with it")
    }

    /// Adds or changes a slice.
    pub(crate) fn apply(&self, name: &str, mut slice: Value) {
        let mut known = self.known();
        known.version += 1;
        let version = known.version;
        slice["metadata"]["resourceVersion"] = json!(version.to_string());
        let kind =
            if known.slices.insert(name.to_owned(), slice.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        known.log.push((version, json!({"type": kind, "object": slice})));
        drop(known);
        self.tell();
    }

    pub(crate) fn delete(&self, name: &str) {
        let mut known = self.known();
        known.version += 1;
        let version = known.version;
        let mut slice = known.slices.remove(name).expect("it is there");
        slice["metadata"]["resourceVersion"] = json!(version.to_string());
        known.log.push((version, json!({"type": "DELETED", "object": slice})));
        drop(known);
        self.tell();
    }

    /// Everything else in the cluster changes, and a bookmark says so.
    pub(crate) fn bookmark(&self) {
        let mut known = self.known();
        known.version += 100;
        let version = known.version;
        known.log.push((
            version,
            json!({"type": "BOOKMARK", "object": {
                "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null},
                "addressType": "", "endpoints": null, "ports": null,
            }}),
        ));
        drop(known);
        self.tell();
    }

    /// Forgets the past, as etcd's compaction does.
    pub(crate) fn compact(&self) {
        let mut known = self.known();
        known.compacted = known.version;
        known.log.clear();
    }

    /// Cuts all connections that watch.
    pub(crate) fn cut(&self) {
        self.known().cuts += 1;
        self.tell();
    }

    fn tell(&self) {
        self.0.changed.send_modify(|changes| *changes += 1);
    }
}

async fn slices(
    State(cluster): State<Cluster>,
    Path(namespace): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if let Some(code) = cluster.known().refuse {
        return (StatusCode::from_u16(code).expect("a status"), Json(failure(code, "refused")))
            .into_response();
    }
    let selector = query.get("labelSelector").cloned().unwrap_or_default();
    let matches = move |slice: &Value| {
        let labels = &slice["metadata"]["labels"];
        let (key, value) = selector.split_once('=').unwrap_or_default();
        slice["metadata"]["namespace"] == namespace && labels[key] == value
    };
    if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        return watch_from(&cluster, &query, matches);
    }
    let mut known = cluster.known();
    known.lists += 1;
    let all: Vec<Value> = known.slices.values().filter(|slice| matches(slice)).cloned().collect();
    // A page at a time; the token says where to go on.
    let from: usize = query.get("continue").and_then(|from| from.parse().ok()).unwrap_or_default();
    let to = all.len().min(from + known.page);
    let mut metadata = json!({"resourceVersion": known.version.to_string()});
    if to < all.len() {
        metadata["continue"] = json!(to.to_string());
    }
    let list = json!({
        "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata, "items": all[from..to],
    });
    Json(list).into_response()
}

/// One line of JSON for each event behind a version, until the time is over or the connection is cut.
fn watch_from(
    cluster: &Cluster,
    query: &HashMap<String, String>,
    matches: impl Fn(&Value) -> bool + Send + 'static,
) -> Response {
    let from: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
    let seconds = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let bookmarks = query.get("allowWatchBookmarks").is_some_and(|allow| allow == "true");
    let end = Instant::now() + Duration::from_secs(seconds);
    let (compacted, cuts) = {
        let mut known = cluster.known();
        known.watched_from.push(from);
        (known.compacted, known.cuts)
    };
    if from < compacted {
        let gone = json!({"type": "ERROR", "object": failure(410, "too old resource version")});
        return format!("{gone}\n").into_response();
    }
    let (cluster, changes) = (cluster.clone(), cluster.0.changed.subscribe());
    let lines = stream::unfold((from, changes), move |(seen, mut changes)| {
        let cluster = cluster.clone();
        let matching = {
            let known = cluster.known();
            let events = known.log.iter().filter(|(version, _)| *version > seen);
            let events: Vec<_> = events
                .filter(|(_, event)| match event["type"].as_str() {
                    Some("BOOKMARK") => bookmarks,
                    _ => matches(&event["object"]),
                })
                .cloned()
                .collect();
            events
        };
        async move {
            if let Some((version, event)) = matching.first() {
                return Some((Ok(format!("{event}\n")), (*version, changes)));
            }
            loop {
                if cluster.known().cuts > cuts {
                    return Some((Err(std::io::Error::other("cut")), (seen, changes)));
                }
                if time::timeout_at(end, changes.changed()).await.is_err() {
                    return None;
                }
                if cluster.known().cuts == cuts {
                    // An empty line is nothing to a reader, and the next round looks at what there is.
                    return Some((Ok("\n".to_owned()), (seen, changes)));
                }
            }
        }
    });
    Body::from_stream(lines).into_response()
}

fn failure(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": if code == 410 { "Expired" } else { "Forbidden" }, "code": code,
    })
}
