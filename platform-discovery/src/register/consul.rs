//! Records as services of Consul's agent.

use std::time::Duration;

use http::{Method, StatusCode};
use platform_core::{ErrorKind, Result};
use serde_json::json;
use tokio::sync::Mutex;

use super::{
    Pending, Register,
    taken::{is_taken, taken},
};
use crate::{
    config,
    consul::{self, Agent, QUICK, id},
    record::Record,
    task::aside,
};

/// Registers with the agent: a service with a check whose time to live is the lease, renewed by passing it.
///
/// The service's id is `NAME:INSTANCE`, its tag the variant, and its meta the rest of the record. An instance that
/// drains says so in its meta and fails its check, so that those who do not read our meta leave it alone too. One
/// that dies is critical when its lease ends, and Consul forgets it a minute later or after the lease, whichever is
/// longer; a minute is the least that it allows.
///
/// An id knows no owner: who has it now is told by the service's address, which is looked at before anything is
/// renewed or removed. What a successor under the same name wrote stays his.
#[derive(Debug)]
pub struct Consul {
    agent: Agent,
    lease: Duration,
    /// What the agent was told last. Held while it is told something else.
    told: Mutex<Option<Record>>,
}

/// Whose an id is, on our agent.
enum Holder {
    Nobody,
    Us,
    Another,
}

impl Consul {
    /// The agent of this configuration, with leases of this length; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a certificate cannot be read.
    pub fn of(config: &config::Consul, lease: Duration) -> Result<Self> {
        Ok(Consul { agent: Agent::of(config)?, lease, told: Mutex::default() })
    }

    async fn write(&self, record: Record) -> Result<()> {
        let mut told = self.told.lock().await;
        let holder = self.holder(&record).await?;
        let is_renewal = told.as_ref().is_some_and(|told| told.says_the_same(&record));
        if is_renewal && matches!(holder, Holder::Us) && self.renew(&record).await? {
            return Ok(());
        }
        if told.is_none() || matches!(holder, Holder::Another) {
            self.refuse_taken(&record).await?;
        }
        *told = None;
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        self.agent.done(Method::PUT, path, consul::service(&record, self.lease)).await?;
        // Whether an agent takes the status of a check that it knew already depends on its age.
        self.renew(&record).await?;
        *told = Some(record);
        Ok(())
    }

    /// Passes the check; false if the agent does not know it any more.
    async fn renew(&self, record: &Record) -> Result<bool> {
        let body = json!({"Status": consul::status(record), "Output": record.state.as_str()}).to_string();
        let path = format!("/v1/agent/check/update/service:{}", id(record));
        let reply = self.agent.ask(Method::PUT, &path, body, QUICK).await?;
        match reply.status {
            status if status.is_success() => Ok(true),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(self.agent.refused(&reply)),
            // Agents of different ages say it with different numbers. Registering anew shows what is wrong.
            _ => Ok(false),
        }
    }

    /// A living instance elsewhere keeps its name.
    async fn refuse_taken(&self, record: &Record) -> Result<()> {
        let path = format!("/v1/health/service/{}", record.name);
        let reply = self.agent.done(Method::GET, &path, String::new()).await?;
        let (known, _) = consul::read(&reply.body).map_err(|error| {
            self.agent
                .failed(ErrorKind::Unreachable, "answered with what is no list of instances")
                .with_source(error)
        })?;
        for other in known.into_iter().filter(|other| other.instance == record.instance) {
            let (address, state, own) = (other.address, other.state, record.clone());
            if aside(move || is_taken(address, state, &own)).await? {
                return Err(taken(address, record, None));
            }
        }
        Ok(())
    }

    async fn erase(&self, record: Record) -> Result<()> {
        let mut told = self.told.lock().await;
        if let Holder::Us = self.holder(&record).await? {
            let path = format!("/v1/agent/service/deregister/{}", id(&record));
            let reply = self.agent.ask(Method::PUT, &path, String::new(), QUICK).await?;
            if !reply.status.is_success() && reply.status != StatusCode::NOT_FOUND {
                return Err(self.agent.refused(&reply));
            }
        }
        *told = None;
        Ok(())
    }

    async fn holder(&self, record: &Record) -> Result<Holder> {
        let path = format!("/v1/agent/service/{}", id(record));
        let reply = self.agent.ask(Method::GET, &path, String::new(), QUICK).await?;
        match reply.status {
            status if status.is_success() => Ok(match consul::address(&reply.body) {
                Some(address) if address == record.address => Holder::Us,
                _ => Holder::Another,
            }),
            StatusCode::NOT_FOUND => Ok(Holder::Nobody),
            _ => Err(self.agent.refused(&reply)),
        }
    }

    async fn is_known(&self, record: &Record) -> Result<bool> {
        Ok(matches!(self.holder(record).await?, Holder::Us))
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
