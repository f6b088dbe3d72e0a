//! What single methods of a target have of their own.
//!
//! A target's guards and budgets know no methods: whoever is down is down for all of them. What differs between a
//! quick look and a long report is how long it may take and whether it is repeated, so a method has a policy of its
//! own for that, and the page is walked with it.

use std::{collections::HashMap, sync::Arc};

use platform_core::{
    App, Result,
    stack::{ClientPolicy, ClientStack, Parts, Row, Storey},
};

use super::{Inner, config::Settings, dialect::Dialect, mind::Minds};

/// What a protocol's words are made from.
#[derive(Debug)]
pub struct Making<'a> {
    /// The service.
    pub app: &'a App,
    /// What is called.
    pub target: &'a Arc<str>,
    /// The client's own section: `clients.NAME`.
    pub section: &'a str,
    /// What is set for all methods, and what is written for single ones.
    pub settings: &'a Settings,
}

/// What a protocol brings to a client.
#[derive(Debug)]
pub struct Spoken<D> {
    /// Its words.
    pub dialect: D,
    /// The policies of single methods (`film.Ratings/Get`, the path without the slash before it) and of all others of
    /// a service (`film.Ratings`). Of their guards the client's count.
    pub methods: Vec<(String, ClientPolicy)>,
    /// How endpoints are listened to, if they are.
    pub minds: Option<Minds>,
    /// Whose health they are asked for, where the protocol knows a name and `balance.health.service` has none.
    pub health_service: Option<String>,
}

/// The pages of a client.
pub(super) struct Pages {
    /// Of all methods that have none of their own.
    pub(super) stack: ClientStack,
    pub(super) methods: Methods,
}

/// The page of each method that has a policy of its own.
#[derive(Default)]
pub(super) struct Methods(HashMap<String, ClientStack>);

impl Pages {
    /// The page of a call of `path`.
    #[inline]
    pub(super) fn of(&self, path: &str) -> &ClientStack {
        self.methods.stack(path).unwrap_or(&self.stack)
    }
}

impl Methods {
    /// # Errors
    /// A policy that contradicts itself.
    pub(super) fn new(policies: Vec<(String, ClientPolicy)>, parts: &Arc<Parts>) -> Result<Self> {
        let stacks = policies.into_iter().map(|(name, policy)| {
            let stack = ClientStack::new(policy, Arc::clone(parts))?;
            Ok((name, stack))
        });
        Ok(Methods(stacks.collect::<Result<_>>()?))
    }

    /// That of the method at `path`; `None` where it has the client's.
    #[inline]
    fn stack(&self, path: &str) -> Option<&ClientStack> {
        if self.0.is_empty() { None } else { self.look(path) }
    }

    fn look(&self, path: &str) -> Option<&ClientStack> {
        let name = path.strip_prefix('/').unwrap_or(path);
        self.0.get(name).or_else(|| self.0.get(name.split_once('/')?.0))
    }
}

impl<D: Dialect> Inner<D> {
    /// The order of a call with what is set, and what single methods have of their own.
    pub(super) fn describe(&self) -> Vec<Row> {
        let pages = &self.pages;
        let mut rows = pages.stack.describe(&*self.wire);
        if pages.methods.0.is_empty() {
            return rows;
        }
        let all = pages.stack.policy();
        let mut own = Row::new(Storey::Call, METHODS, "What do single methods have of their own?");
        for (name, stack) in &pages.methods.0 {
            let all_of_them = if name.contains('/') { "" } else { "/*" };
            own.settings.insert(format!("{name}{all_of_them}"), stack.policy().differences(&all));
        }
        // Before what is asked of a call, because all of it goes by this.
        rows.insert(0, own);
        rows
    }
}

const METHODS: &str = "methods";
