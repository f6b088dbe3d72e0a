//! An agent with the rules of Consul's HTTP API, version 1: what its documentation says, and no more.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, put},
};
use platform_core::context;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{self, Instant},
};

/// A running agent; ended with the test.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    pub(crate) agent: Agent,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
pub(crate) struct Agent(Arc<Inner>);

struct Inner {
    catalogue: Mutex<Catalogue>,
    changed: watch::Sender<u64>,
}

pub(crate) struct Catalogue {
    index: u64,
    services: BTreeMap<String, Service>,
    /// Every question as it was asked.
    pub(crate) asked: Vec<String>,
    pub(crate) known_leader: bool,
    pub(crate) last_contact_ms: u64,
    /// Who has no such token sees nothing and may change nothing.
    pub(crate) token: Option<&'static str>,
    pub(crate) broken: bool,
    /// Does what it is told to register, and fails to say so.
    pub(crate) mute: bool,
}

struct Service {
    told: Value,
    status: String,
    /// When the check fails unless it is passed again.
    lease: Option<(Duration, Instant)>,
}

impl Double {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address")).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let catalogue = Catalogue {
            index: 10,
            services: BTreeMap::new(),
            asked: Vec::new(),
            known_leader: true,
            last_contact_ms: 0,
            token: None,
            broken: false,
            mute: false,
        };
        let (changed, _) = watch::channel(0);
        let agent = Agent(Arc::new(Inner { catalogue: Mutex::new(catalogue), changed }));
        let routes = Router::new()
            .route("/v1/health/service/{name}", get(health))
            .route("/v1/catalog/services", get(services))
            .route("/v1/agent/service/register", put(register))
            .route("/v1/agent/service/deregister/{id}", put(deregister))
            .route("/v1/agent/service/{id}", get(service))
            .route("/v1/agent/check/update/{check}", put(update))
            .with_state(agent.clone());
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let leases = agent.clone();
        let serving = context::spawn(async move {
            tokio::select! {
                served = async { axum::serve(listener, routes).await } => served.expect("it serves"),
                () = expire(leases) => {}
            }
        });
        Double { address, agent, serving }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Agent {
    pub(crate) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.0.catalogue.lock().expect("nobody panics with it")
    }

    /// Registers as a stranger would.
    pub(crate) fn put(&self, told: Value, status: &str) {
        let id = told["ID"].as_str().expect("an id").to_owned();
        self.change(|services| {
            services.insert(id, Service { told, status: status.to_owned(), lease: None });
        });
    }

    pub(crate) fn remove(&self, id: &str) {
        self.change(|services| {
            services.remove(id);
        });
    }

    /// The state of another day: an index that goes backwards, and all who wait are sent away.
    pub(crate) fn restore(&self, index: u64) {
        self.change(BTreeMap::clear);
        self.catalogue().index = index;
        self.0.changed.send_modify(|changes| *changes += 1);
    }

    /// Everything moves on but the services.
    pub(crate) fn busy(&self) {
        self.change(|_| ());
    }

    /// What the agent was told of a service, and its status.
    pub(crate) fn told(&self, id: &str) -> Option<(Value, String)> {
        self.catalogue().services.get(id).map(|service| (service.told.clone(), service.status.clone()))
    }

    fn change(&self, work: impl FnOnce(&mut BTreeMap<String, Service>)) {
        let mut catalogue = self.catalogue();
        work(&mut catalogue.services);
        catalogue.index += 1;
        drop(catalogue);
        self.0.changed.send_modify(|changes| *changes += 1);
    }

    /// Notes the question; an answer if it is refused.
    fn refuses(&self, question: String, headers: &HeaderMap) -> Option<Response> {
        let mut catalogue = self.catalogue();
        catalogue.asked.push(question);
        if catalogue.broken {
            return Some((StatusCode::INTERNAL_SERVER_ERROR, "rpc error: No cluster leader").into_response());
        }
        let shown = headers.get("x-consul-token").map(|token| token.to_str().unwrap_or_default());
        if catalogue.token.is_some() && shown.is_some() && shown != catalogue.token {
            return Some((StatusCode::FORBIDDEN, "ACL not found").into_response());
        }
        None
    }

    fn may(&self, headers: &HeaderMap) -> bool {
        let wanted = self.catalogue().token;
        wanted.is_none()
            || headers
                .get("x-consul-token")
                .is_some_and(|token| Some(token.to_str().unwrap_or_default()) == wanted)
    }
}

async fn expire(agent: Agent) {
    loop {
        time::sleep(Duration::from_millis(20)).await;
        let now = Instant::now();
        let is_over = |service: &Service| {
            service.status != "critical" && service.lease.is_some_and(|(_, ends)| ends <= now)
        };
        if agent.catalogue().services.values().any(is_over) {
            agent.change(|services| {
                for service in services.values_mut().filter(|service| is_over(service)) {
                    service.status = "critical".to_owned();
                }
            });
        }
    }
}

/// Names and all of their tags.
async fn services(State(agent): State<Agent>, headers: HeaderMap) -> Response {
    if let Some(refused) = agent.refuses("services".to_owned(), &headers) {
        return refused;
    }
    let mut names: BTreeMap<String, Vec<Value>> = BTreeMap::from([("consul".to_owned(), Vec::new())]);
    if agent.may(&headers) {
        for service in agent.catalogue().services.values() {
            let name = service.told["Name"].as_str().unwrap_or_default().to_owned();
            names
                .entry(name)
                .or_default()
                .extend(service.told["Tags"].as_array().into_iter().flatten().cloned());
        }
    }
    Json(names).into_response()
}

async fn health(
    State(agent): State<Agent>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut question: Vec<_> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    question.sort_unstable();
    if let Some(refused) = agent.refuses(format!("health {name} {}", question.join(" ")), &headers) {
        return refused;
    }
    let mut changes = agent.0.changed.subscribe();
    if let Some(after) =
        query.get("index").and_then(|index| index.parse::<u64>().ok()).filter(|index| *index > 0)
    {
        let wait = query.get("wait").and_then(|wait| wait.strip_suffix('s')?.parse().ok()).unwrap_or(300);
        let end = Instant::now() + Duration::from_secs(wait);
        // An index from before a restore waits as long as any other; whoever waits when it happens is sent away.
        let mut restored = false;
        while agent.catalogue().index <= after && !restored && Instant::now() < end {
            let known = agent.catalogue().index;
            if time::timeout_at(end, changes.changed()).await.is_err() {
                break;
            }
            restored = agent.catalogue().index < known;
        }
    }
    let may = agent.may(&headers);
    let catalogue = agent.catalogue();
    let tag = query.get("tag");
    let has_tag = |told: &Value| {
        tag.is_none_or(|tag| told["Tags"].as_array().is_some_and(|tags| tags.iter().any(|has| has == tag)))
    };
    let entries: Vec<Value> = catalogue
        .services
        .values()
        .filter(|service| may && service.told["Name"] == name && has_tag(&service.told))
        .map(|service| {
            let told = &service.told;
            let mut shown = told.clone();
            shown["Service"] = told["Name"].clone();
            json!({
                "Node": {"Node": "n1", "Address": "10.0.0.1"},
                "Service": shown,
                "Checks": [
                    {"CheckID": "serfHealth", "Status": "passing"},
                    {"CheckID": format!("service:{}", told["ID"].as_str().unwrap_or_default()), "Status": service.status},
                ],
            })
        })
        .collect();
    let stale = query.contains_key("stale");
    let said = [
        ("x-consul-index", catalogue.index.to_string()),
        ("x-consul-knownleader", (!stale || catalogue.known_leader).to_string()),
        ("x-consul-lastcontact", if stale { catalogue.last_contact_ms } else { 0 }.to_string()),
        ("x-consul-results-filtered-by-acls", (!may).to_string()),
    ];
    (said.map(|(name, value)| (name, value)), Json(entries)).into_response()
}

async fn register(State(agent): State<Agent>, headers: HeaderMap, Json(told): Json<Value>) -> Response {
    let id = told["ID"].as_str().unwrap_or_default().to_owned();
    if let Some(refused) = agent.refuses(format!("register {id}"), &headers) {
        return refused;
    }
    if !agent.may(&headers) {
        return (
            StatusCode::FORBIDDEN,
            "Permission denied: anonymous token lacks permission 'service:write'",
        )
            .into_response();
    }
    let check = &told["Check"];
    let lease =
        check["TTL"].as_str().and_then(|ttl| ttl.strip_suffix("ms")?.parse().ok()).map(Duration::from_millis);
    let status = check["Status"].as_str().unwrap_or("critical").to_owned();
    let lease = lease.map(|lease| (lease, Instant::now() + lease));
    agent.change(|services| {
        services.insert(id, Service { told, status, lease });
    });
    if agent.catalogue().mute {
        return (StatusCode::INTERNAL_SERVER_ERROR, "rpc error").into_response();
    }
    StatusCode::OK.into_response()
}

async fn deregister(State(agent): State<Agent>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = agent.refuses(format!("deregister {id}"), &headers) {
        return refused;
    }
    if agent.told(&id).is_none() {
        return (StatusCode::NOT_FOUND, format!("Unknown service ID {id:?}")).into_response();
    }
    agent.remove(&id);
    StatusCode::OK.into_response()
}

async fn service(State(agent): State<Agent>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = agent.refuses(format!("service {id}"), &headers) {
        return refused;
    }
    match agent.told(&id) {
        Some((told, _)) => Json(told).into_response(),
        None => (StatusCode::NOT_FOUND, format!("unknown service ID: {id}")).into_response(),
    }
}

async fn update(
    State(agent): State<Agent>,
    Path(check): Path<String>,
    headers: HeaderMap,
    Json(told): Json<Value>,
) -> Response {
    if let Some(refused) = agent.refuses(format!("update {check}"), &headers) {
        return refused;
    }
    let id = check.strip_prefix("service:").unwrap_or_default();
    if agent.told(id).is_none() {
        return (StatusCode::NOT_FOUND, format!("Unknown check ID {check:?}")).into_response();
    }
    agent.change(|services| {
        if let Some(service) = services.get_mut(id) {
            service.status = told["Status"].as_str().unwrap_or_default().to_owned();
            service.lease = service.lease.map(|(lease, _)| (lease, Instant::now() + lease));
        }
    });
    StatusCode::OK.into_response()
}
