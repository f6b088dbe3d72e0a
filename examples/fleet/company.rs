//! Which services are there, and how many of each?

use platform_core::{Error, ErrorKind, Result};

/// One service of the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    Edge,
    Catalog,
    Ratings,
    Recommendations,
}

impl Role {
    /// Every service, callers above what they call: they stop in this order and start in the reverse.
    pub(crate) const ALL: [Role; 4] = [Role::Edge, Role::Catalog, Role::Ratings, Role::Recommendations];

    /// Its name in the registry.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::Edge => "edge",
            Role::Catalog => "catalog",
            Role::Ratings => "ratings",
            Role::Recommendations => "recommendations",
        }
    }

    /// Whom it asks.
    pub(crate) const fn calls(self) -> &'static [Role] {
        match self {
            Role::Edge => &[Role::Catalog, Role::Ratings, Role::Recommendations],
            Role::Catalog | Role::Ratings | Role::Recommendations => &[],
        }
    }

    /// Whether anybody asks it.
    pub(crate) fn is_called(self) -> bool {
        Role::ALL.iter().any(|caller| caller.calls().contains(&self))
    }

    /// The service of this name.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        Role::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| Error::new(ErrorKind::Usage, format!("the company has no service named {name:?}")))
    }
}

/// One process of the company, as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) role: Role,
    /// `catalog-1`; the same again after a restart.
    pub(crate) instance: String,
    pub(crate) zone: &'static str,
    pub(crate) version: &'static str,
    pub(crate) variant: &'static str,
    /// What differs from the service's defaults, beyond its identity.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// Every process of the company. With `port`, the first edge listens there.
pub(crate) fn posts(port: Option<u16>) -> Vec<Post> {
    let mut posts = Vec::new();
    for (role, count) in [(Role::Edge, 2), (Role::Catalog, 3), (Role::Ratings, 3), (Role::Recommendations, 2)]
    {
        for (number, zone) in (1..=count).zip(ZONES.into_iter().cycle()) {
            let instance = format!("{}-{number}", role.name());
            posts.push(Post {
                role,
                instance,
                zone,
                version: STABLE,
                variant: "stable",
                settings: Vec::new(),
            });
        }
    }
    posts.push(Post {
        role: Role::Recommendations,
        instance: "recommendations-canary-1".to_owned(),
        zone: "c",
        version: CANARY,
        variant: "canary",
        settings: vec![("settings.order", "newest".to_owned())],
    });
    for post in posts.iter_mut().filter(|post| post.role == Role::Edge) {
        // Strangers call the edge; whatever of ours they send is dropped there.
        post.settings.push(("server.trust.inbound", "edge".to_owned()));
    }
    let mut asked = port;
    for post in &mut posts {
        let port = if post.role == Role::Edge { asked.take() } else { None };
        post.settings.push(("server.listen", format!("127.0.0.1:{}", port.unwrap_or(0))));
    }
    posts
}

const ZONES: [&str; 3] = ["a", "b", "c"];
const STABLE: &str = "1.4.2";
const CANARY: &str = "1.5.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_company_is_as_large_as_it_says() {
        let posts = posts(None);
        let of = |role: Role| posts.iter().filter(|post| post.role == role).collect::<Vec<_>>();
        let zones = |role| of(role).iter().map(|post| post.zone).collect::<Vec<_>>();
        assert_eq!(of(Role::Edge).len(), 2);
        assert_eq!(zones(Role::Catalog), ["a", "b", "c"]);
        assert_eq!(zones(Role::Ratings), ["a", "b", "c"]);
        let variants: Vec<_> =
            of(Role::Recommendations).iter().map(|post| (post.variant, post.version)).collect();
        assert_eq!(variants, [("stable", STABLE), ("stable", STABLE), ("canary", CANARY)]);
        assert!(Role::ALL.into_iter().all(|role| Role::parse(role.name()).unwrap() == role));
        assert_eq!(Role::parse("payroll").unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn only_the_first_edge_listens_on_the_port_asked_for() {
        let listens = |port| {
            let posts = posts(port);
            posts
                .iter()
                .map(|post| {
                    let listen = post.settings.iter().find(|(key, _)| *key == "server.listen").unwrap();
                    (post.instance.clone(), listen.1.clone())
                })
                .filter(|(_, listen)| listen != "127.0.0.1:0")
                .collect::<Vec<_>>()
        };
        assert_eq!(listens(None), []);
        assert_eq!(listens(Some(8080)), [("edge-1".to_owned(), "127.0.0.1:8080".to_owned())]);
    }
}
