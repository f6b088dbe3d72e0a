//! Records as services of Consul's agent.

use std::{net::SocketAddr, time::Duration};

use http::{Method, StatusCode};
use platform_core::{Error, ErrorKind, Result};
use serde_json::json;
use tokio::{sync::Mutex, task};

use super::{Pending, Register, taken};
use crate::{
    config,
    consul::{Agent, QUICK},
    endpoint::{Endpoint, State},
    record::Record,
    source::consul_entries,
};

/// Registers with the agent: a service with a check whose time to live is the lease, renewed by passing it.
///
/// The service's id is `NAME:INSTANCE`, its tag the variant, and its meta the rest of the record. An instance that
/// drains says so in its meta and fails its check, so that those who do not read our meta leave it alone too. One
/// that dies is critical when its lease ends, and Consul forgets it a minute later or after the lease, whichever is
/// longer; a minute is the least that it allows.
#[derive(Debug)]
pub struct Consul {
    agent: Agent,
    lease: Duration,
    /// What the agent was told last. Held while it is told something else.
    told: Mutex<Option<Record>>,
}

impl Consul {
    /// The agent of this configuration, with leases of this length.
    pub fn of(config: &config::Consul, lease: Duration) -> Self {
        Consul { agent: Agent::of(config), lease, told: Mutex::default() }
    }

    async fn write(&self, record: Record) -> Result<()> {
        let mut told = self.told.lock().await;
        if let Some(known) = told.as_ref()
            && same(known, &record)
            && self.renew(&record).await?
        {
            return Ok(());
        }
        if told.is_none() {
            self.refuse_taken(&record).await?;
        }
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        self.agent.done(Method::PUT, path, self.service(&record)).await?;
        // Whether an agent takes the status of a check that it knew already depends on its age.
        self.renew(&record).await?;
        *told = Some(record);
        Ok(())
    }

    /// Passes the check; false if the agent does not know it any more.
    async fn renew(&self, record: &Record) -> Result<bool> {
        let body = json!({"Status": status(record), "Output": record.state.as_str()}).to_string();
        let path = format!("/v1/agent/check/update/service:{}", id(record));
        let reply = self.agent.ask(Method::PUT, &path, body, QUICK).await?;
        match reply.status {
            status if status.is_success() => Ok(true),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(self.agent.refused(&reply)),
            // Agents of different ages say it with different numbers. Registering anew shows what is wrong.
            _ => Ok(false),
        }
    }

    fn service(&self, record: &Record) -> String {
        let mut meta = serde_json::Map::new();
        let admin = record.admin.map(|admin| admin.to_string()).unwrap_or_default();
        for (key, value) in [
            ("instance", record.instance.as_str()),
            ("admin", &admin),
            ("protocol", record.protocol.as_str()),
            ("state", record.state.as_str()),
            ("zone", &record.zone),
            ("version", &record.version),
            ("variant", &record.variant),
            ("owner", &record.owner),
        ] {
            if !value.is_empty() {
                meta.insert(key.to_owned(), value.into());
            }
        }
        let lease = self.lease.as_millis();
        // Consul takes no 0, and no more than DNS can say.
        let weight = record.weight.clamp(1, u16::MAX.into());
        let forget = self.lease.max(LEAST_FORGET).as_secs();
        json!({
            "ID": id(record),
            "Name": record.name,
            "Address": record.address.ip().to_string(),
            "Port": record.address.port(),
            "Tags": [record.variant],
            "Meta": meta,
            "Weights": {"Passing": weight, "Warning": weight},
            "Check": {
                "CheckID": format!("service:{}", id(record)),
                "Name": "the lease of this instance",
                "TTL": format!("{lease}ms"),
                "Status": status(record),
                "DeregisterCriticalServiceAfter": format!("{forget}s"),
            },
        })
        .to_string()
    }

    /// A living instance elsewhere keeps its name.
    async fn refuse_taken(&self, record: &Record) -> Result<()> {
        let path = format!("/v1/health/service/{}", record.name);
        let reply = self.agent.done(Method::GET, &path, String::new()).await?;
        let (known, _) = consul_entries(&reply.body).map_err(|error| {
            self.agent
                .failed(ErrorKind::Unreachable, "answered with what is no list of instances")
                .with_source(error)
        })?;
        for other in known {
            if is_taken(&other, record) && !is_deserted(other.address).await {
                return Err(Error::new(
                    ErrorKind::Start,
                    format!(
                        "another {} registered in Consul as \"{}\" at {}; give this one (at {}) a service.instance of \
                         its own, or wait",
                        record.name, record.instance, other.address, record.address
                    ),
                ));
            }
        }
        Ok(())
    }

    async fn erase(&self, record: Record) -> Result<()> {
        let mut told = self.told.lock().await;
        // What was never said by us may be another's.
        if told.is_none() {
            return Ok(());
        }
        let path = format!("/v1/agent/service/deregister/{}", id(&record));
        let reply = self.agent.ask(Method::PUT, &path, String::new(), QUICK).await?;
        if !reply.status.is_success() && reply.status != StatusCode::NOT_FOUND {
            return Err(self.agent.refused(&reply));
        }
        *told = None;
        Ok(())
    }

    async fn is_known(&self, record: &Record) -> Result<bool> {
        let path = format!("/v1/agent/service/{}", id(record));
        let reply = self.agent.ask(Method::GET, &path, String::new(), QUICK).await?;
        Ok(reply.status != StatusCode::NOT_FOUND)
    }
}

impl Register for Consul {
    fn publish(&self, record: Record) -> Pending<'_, ()> {
        Box::pin(self.write(record))
    }

    fn remove(&self, record: Record) -> Pending<'_, ()> {
        Box::pin(self.erase(record))
    }

    fn holds<'a>(&'a self, record: &'a Record) -> Pending<'a, bool> {
        Box::pin(self.is_known(record))
    }
}

/// Whether a renewal is all that is needed.
fn same(known: &Record, record: &Record) -> bool {
    Record { expires_unix_ms: 0, ..known.clone() } == Record { expires_unix_ms: 0, ..record.clone() }
}

fn id(record: &Record) -> String {
    format!("{}:{}", record.name, record.instance)
}

fn status(record: &Record) -> &'static str {
    match record.state {
        State::Ready => "passing",
        State::Draining => "critical",
    }
}

fn is_taken(other: &Endpoint, own: &Record) -> bool {
    other.instance == own.instance && other.address != own.address && other.state == State::Ready
}

/// Off the runtime's threads: it knocks at a door.
async fn is_deserted(address: SocketAddr) -> bool {
    task::spawn_blocking(move || taken::is_deserted(address)).await.unwrap_or(false)
}

/// Consul takes less for this much.
const LEAST_FORGET: Duration = Duration::from_secs(60);
