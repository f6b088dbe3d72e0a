//! What a client is made from: settings, the parts of its target, endpoints, connections.

use std::sync::Arc;

use http::HeaderValue;
use platform_core::{
    App, Error, Result,
    config::Name,
    identity::Identity,
    stack::{ClientPolicy, ClientStack, Row, Targets},
};
use platform_discovery::{
    Balance, Endpoint, Target,
    balance::{self, Link},
};
use tower_layer::Layer;

use super::{
    Caller, Client, Inner,
    config::{self, Code, Connect, Preset, Protocol, Settings},
    connect::{Connection, Connector},
    dialect::Dialect,
    methods::{Making, Methods, Pages, Spoken},
    metrics::Meters,
    mind::Minds,
    protocol::Http,
    slots::{Around, Rest, Slot, Slots},
    speech::Plain,
};
use crate::wire::Reader;

/// A client in the making. What is said here is stronger than `[defaults]` and weaker than the client's own
/// section.
#[must_use = "a builder makes nothing until it is built"]
pub struct Builder {
    app: App,
    name: String,
    code: Code,
    slots: Slots,
    /// Nothing but HTTP/2 will do.
    h2: bool,
}

impl Builder {
    pub(super) fn new(app: &App, name: &str) -> Self {
        Builder {
            app: app.clone(),
            name: name.to_owned(),
            code: Code::default(),
            slots: Slots::default(),
            h2: false,
        }
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

    /// Puts a layer into the slot `call`: around all that stands below the call's deadline. Of several in a slot the
    /// first sees a call first. See [`slots`](super::slots).
    pub fn around_call<L>(self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.slot(Slot::Call, layer)
    }

    /// Puts a layer into the slot `attempt`: around each try, below the headers. See [`slots`](super::slots).
    pub fn around_attempt<L>(self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.slot(Slot::Attempt, layer)
    }

    /// Puts a layer into the slot `endpoint`: one for each endpoint, around its connections. See
    /// [`slots`](super::slots).
    pub fn around_endpoint<L>(self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.slot(Slot::Endpoint, layer)
    }

    fn slot<L>(mut self, slot: Slot, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.slots.put(slot, layer);
        self
    }

    /// The client.
    ///
    /// # Errors
    /// As [`Client::for_target`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<Client> {
        let inner = self.assemble(|&Making { app, target, section, settings }| {
            if !settings.methods.is_empty() {
                let why = "is for clients that speak gRPC; HTTP has paths, and a client for each kind of them does it";
                return Err(Error::config(format!("`{section}.methods` {why}")));
            }
            if !settings.service_config.as_os_str().is_empty() {
                let why = "is for clients that speak gRPC; write what is set under [clients.NAME.policy]";
                return Err(Error::config(format!("`{section}.service_config` {why}")));
            }
            // What is written for all clients is for those that can.
            if settings.balance.health.mode.is_on()
                && app.config().has(&format!("{section}.balance.health.mode"))
            {
                let why = "is for clients that speak gRPC; HTTP has no word for it, leave it out";
                return Err(Error::config(format!("`{section}.balance.health` {why}")));
            }
            let meters = app.once(target, || Ok(Meters::new(target, app.metrics())))?;
            Ok(Spoken { dialect: Plain { meters }, methods: Vec::new(), minds: None, health_service: None })
        })?;
        Ok(Client(inner))
    }

    /// The same in another protocol over HTTP/2, which `speech` makes.
    ///
    /// # Errors
    /// As [`Client::for_target`]; what `speech` fails with; and `connect.protocol = "http1"`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn speaking<D: Dialect>(
        mut self,
        speech: impl FnOnce(&Making<'_>) -> Result<Spoken<D>>,
    ) -> Result<Caller<D>> {
        self.h2 = true;
        Ok(Caller(self.assemble(speech)?))
    }

    fn assemble<D: Dialect>(
        self,
        speech: impl FnOnce(&Making<'_>) -> Result<Spoken<D>>,
    ) -> Result<Arc<Inner<D>>> {
        let Builder { app, name, code, mut slots, h2 } = self;
        let name = Name::parse(&name).map_err(|why| Error::config(format!("a client's name: {why}")))?;
        let mut settings = config::resolve(app.config(), name.as_str(), code)?;
        if h2 {
            if settings.connect.protocol == Protocol::Http1 {
                let why = "is \"http1\", over which this client cannot speak; leave it out";
                return Err(Error::config(format!("`clients.{name}.connect.protocol` {why}")));
            }
            settings.connect.protocol = Protocol::H2;
        }
        let target = Target::parse(&settings.target)
            .map_err(|error| Error::config(format!("[clients.{name}]: {}", error.detail())))?
            .named(name.as_str());

        let target_name = target.name();
        let targets = Targets::of(&app);
        let parts = targets.parts(&app, target_name);
        let section = format!("clients.{name}");
        let Spoken { dialect, methods, minds, health_service } =
            speech(&Making { app: &app, target: target_name, section: &section, settings: &settings })?;
        // What is shown is what counts, and clients that ask for different names share nothing.
        settings.balance.health.service = health_service.unwrap_or(settings.balance.health.service);
        let (rows, slotted) = (slots.rows(), slots.attempts());
        let balance = balance(&app, &target, &settings, slots.endpoints(), minds)?;
        let stranger = settings.preset == Preset::External || target.is_stranger();
        let wire = Arc::new(Http {
            target: Arc::clone(target_name),
            balance,
            reader: if stranger { Reader::Outsider } else { Reader::Ours },
            agent: agent(app.identity()),
            criticality: settings.criticality,
            dialect,
            traces: app.traces().clone(),
            faults: app.faults().clone(),
            settings,
            slots: rows,
            slotted,
        });
        let stack = ClientStack::new(wire.settings.policy, Arc::clone(&parts))?;
        let pages = Arc::new(Pages { stack, methods: Methods::new(methods, &parts)? });
        let around = slots.calls(&pages, &wire);
        let client = Arc::new(Inner { pages, wire, around });
        targets.show(client.pages.stack.target(), &client, Inner::describe);
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

/// Clients that reach the same endpoints in the same way share their connections and what they know of load; one with
/// layers before its connections has them for itself.
fn balance(
    app: &App,
    target: &Target,
    settings: &Settings,
    behind: Option<impl Fn(Connection) -> Connection + Send + Sync + 'static>,
    minds: Option<Minds>,
) -> Result<Arc<Balance<Connection>>> {
    let alike = serde_json::to_string(&(&settings.balance, &settings.connect, minds.is_some()))
        .map_err(|error| Error::config(format!("client {}: {error}", target.name())))?;
    let agent = agent(app.identity());
    let connect = || {
        let connector = Connector::new(target, &settings.connect)?;
        Ok::<_, Error>(move |endpoint: &Endpoint, link: Link| {
            let connection = connector.to(endpoint, link.clone());
            match &minds {
                Some(minds) => {
                    let label = endpoint.address.to_string().into();
                    connection.minded(minds, link, label, agent.clone())
                }
                None => connection,
            }
        })
    };
    let discovery = crate::discovery(app)?;
    if let Some(behind) = behind {
        let connect = connect()?;
        let make = move |endpoint: &Endpoint, link| behind(connect(endpoint, link));
        return discovery.balance_linked(target, &settings.balance, make).map(Arc::new);
    }
    app.once(&format!("{} {target} {alike}", target.name()), || {
        discovery.balance_linked(target, &settings.balance, connect()?)
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
