//! What a client is made from: settings, the parts of its target, endpoints, connections.

use std::sync::Arc;

use http::HeaderValue;
use platform_core::{
    App, Error, Result,
    config::Name,
    identity::Identity,
    stack::{ClientPolicy, ClientStack, Row, Targets},
};
use platform_discovery::{Balance, Endpoint, Target, balance};

use super::{
    Client, Inner,
    config::{self, Code, Connect, Preset, Settings},
    connect::{Connection, Connector},
    metrics::Meters,
    protocol::Http,
};
use crate::wire::Reader;

/// A client in the making. What is said here is stronger than `[defaults]` and weaker than the client's own
/// section.
#[must_use = "a builder makes nothing until it is built"]
pub struct Builder {
    app: App,
    name: String,
    code: Code,
}

impl Builder {
    pub(super) fn new(app: &App, name: &str) -> Self {
        Builder { app: app.clone(), name: name.to_owned(), code: Code::default() }
    }

    /// The values that suit a kind of dependency.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.code.preset = Some(preset);
        self
    }

    /// What is called, if not the service of the client's name: `dir://NAME`, `fixed://IP:PORT`, `https://HOST`.
    pub fn target(self, target: impl Into<String>) -> Self {
        let target = target.into();
        self.edit(move |settings| settings.target = target)
    }

    /// Changes the policy.
    pub fn policy(self, change: impl FnOnce(&mut ClientPolicy) + Send + 'static) -> Self {
        self.edit(move |settings| change(&mut settings.policy))
    }

    /// Changes how endpoints are chosen.
    pub fn balance(self, change: impl FnOnce(&mut balance::Config) + Send + 'static) -> Self {
        self.edit(move |settings| change(&mut settings.balance))
    }

    /// Changes how endpoints are reached.
    pub fn connect(self, change: impl FnOnce(&mut Connect) + Send + 'static) -> Self {
        self.edit(move |settings| change(&mut settings.connect))
    }

    /// The client.
    ///
    /// # Errors
    /// As [`Client::for_target`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<Client> {
        let Builder { app, name, code } = self;
        let name = Name::parse(&name).map_err(|why| Error::config(format!("a client's name: {why}")))?;
        let settings = config::resolve(app.config(), name.as_str(), code)?;
        let target = Target::parse(&settings.target)
            .map_err(|error| Error::config(format!("[clients.{name}]: {}", error.detail())))?
            .named(name.as_str());

        let target_name = target.name();
        let targets = Targets::of(&app);
        let parts = targets.parts(&app, target_name);
        let meters = app.once(target_name, || Ok(Meters::new(target_name, app.metrics())))?;
        let balance = balance(&app, &target, &settings)?;
        let stranger = settings.preset == Preset::External || target.is_stranger();
        let wire = Http {
            target: Arc::clone(target_name),
            balance,
            reader: if stranger { Reader::Outsider } else { Reader::Ours },
            agent: agent(app.identity()),
            criticality: settings.criticality,
            meters,
            traces: app.traces().clone(),
            faults: app.faults().clone(),
            settings,
        };
        let stack = ClientStack::new(wire.settings.policy, parts)?;
        let client = Client(Arc::new(Inner { stack, wire }));
        targets.show(client.target(), &client.0, |inner| inner.stack.describe(&inner.wire));
        Ok(client)
    }

    fn edit(mut self, edit: impl FnOnce(&mut Settings) + Send + 'static) -> Self {
        self.code.edits.push(Box::new(edit));
        self
    }
}

/// The order of every client there is, by target, with what is in force now; for the admin page.
pub fn described(app: &App) -> Vec<(Arc<str>, Vec<Row>)> {
    Targets::of(app).described()
}

/// Clients that reach the same endpoints in the same way share their connections and what they know of load.
fn balance(app: &App, target: &Target, settings: &Settings) -> Result<Arc<Balance<Connection>>> {
    let alike = serde_json::to_string(&(&settings.balance, &settings.connect))
        .map_err(|error| Error::config(format!("client {}: {error}", target.name())))?;
    app.once(&format!("{} {target} {alike}", target.name()), || {
        let connector = Connector::new(target, &settings.connect)?;
        let make = move |endpoint: &Endpoint, link| connector.to(endpoint, link);
        crate::discovery(app)?.balance_linked(target, &settings.balance, make)
    })
}

/// `edge/1.4.2 platform/0.1.0`; what no header can carry is left out.
fn agent(identity: &Identity) -> HeaderValue {
    let version = identity.version.as_str();
    let slash = if version.is_empty() { "" } else { "/" };
    let text = format!("{}{slash}{version} {PLATFORM}", identity.name);
    HeaderValue::from_str(text.trim()).unwrap_or(HeaderValue::from_static(PLATFORM))
}

const PLATFORM: &str = concat!("platform/", env!("CARGO_PKG_VERSION"));
