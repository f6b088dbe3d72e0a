//! Who is called, and who after that?
//!
//! Every service says who owns it, and may say whom its owner reports to; a company may say more in one file. Together
//! that is a tree. Alertmanager gets a route for each team, within that of its parent, so that whoever cannot be called
//! is answered for by the parent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Operated, yaml};
use crate::error::{Error, Result};

/// What a company knows of its teams beside what the services say, by name.
pub type Teams = BTreeMap<String, Team>;

/// One team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Team {
    /// Its parent.
    pub reports_to: String,
    /// The webhook that wakes somebody.
    pub page: String,
    /// The webhook that makes a ticket.
    pub ticket: String,
}

/// Who reports to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    teams: BTreeMap<String, Team>,
}

impl Tree {
    /// The tree of these services and of what a company says beside them.
    ///
    /// # Errors
    /// A service without an owner; a team that reports to two, or in a circle to itself; a name that no catalog takes.
    pub fn of<'a>(services: impl IntoIterator<Item = &'a Operated>, teams: &Teams) -> Result<Self> {
        let mut all = teams.clone();
        let mut said: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for Operated { identity, .. } in services {
            let (name, owner, parent) = (&identity.name, &identity.owner, &identity.reports_to);
            if owner.is_empty() {
                return Err(Error::config(format!(
                    "{name} has no owner, so nobody could be called; set `owner` in its [service]"
                )));
            }
            let team = all.entry(owner.clone()).or_default();
            if parent.is_empty() {
                continue;
            }
            if team.reports_to.is_empty() {
                team.reports_to.clone_from(parent);
            } else if team.reports_to != *parent {
                let (other, by) =
                    said.get(owner.as_str()).copied().unwrap_or((&team.reports_to, "the company's file"));
                return Err(Error::config(format!(
                    "{owner} reports to {parent} says {name}, and to {other} says {by}; a team has one parent"
                )));
            }
            said.entry(owner).or_insert((parent, name));
        }
        let parents: BTreeSet<String> = all.values().map(|team| team.reports_to.clone()).collect();
        for parent in parents.into_iter().filter(|parent| !parent.is_empty()) {
            all.entry(parent).or_default();
        }
        if let Some(name) = all.keys().find(|name| !is_name(name)) {
            return Err(Error::config(format!(
                "a team is named {name:?}; names are letters and digits, with `-`, `_` or `.` between them, 63 at most"
            )));
        }
        let tree = Tree { teams: all };
        tree.teams.keys().try_for_each(|team| tree.parents(team).map(|_| ()))?;
        Ok(tree)
    }

    /// Every team, by name.
    pub fn teams(&self) -> &BTreeMap<String, Team> {
        &self.teams
    }

    /// Whom `team` reports to, nearest first.
    ///
    /// # Errors
    /// A team that nobody has named, and a circle.
    pub fn parents(&self, team: &str) -> Result<Vec<&str>> {
        let mut chain: Vec<&str> = Vec::new();
        let mut at = self.teams.get(team).ok_or_else(|| {
            Error::config(format!("nobody has named the team {team:?}; it owns no service of this company"))
        })?;
        while !at.reports_to.is_empty() {
            let parent = at.reports_to.as_str();
            if parent == team || chain.contains(&parent) {
                chain.push(parent);
                return Err(Error::config(format!(
                    "{team} reports in a circle: {team} to {}",
                    chain.join(" to ")
                )));
            }
            chain.push(parent);
            at = self.teams.get(parent).unwrap_or(&NOBODY);
        }
        Ok(chain)
    }

    /// The teams that report to `parent`; to nobody where it is empty.
    pub fn children(&self, parent: &str) -> Vec<&str> {
        let all = self.teams.iter().filter(|(_, team)| team.reports_to == parent);
        all.map(|(name, _)| name.as_str()).collect()
    }

    /// `team` and all below it.
    fn below<'a>(&'a self, team: &'a str) -> Vec<&'a str> {
        let children = self.children(team);
        let deeper = children.iter().flat_map(|child| self.below(child)).collect::<Vec<_>>();
        [vec![team], deeper].concat()
    }

    /// Alertmanager's configuration.
    pub fn alertmanager(&self) -> String {
        let mut receivers = vec![json!({ "name": UNROUTED })];
        for (name, team) in &self.teams {
            for (severity, hook) in [(PAGE, &team.page), (TICKET, &team.ticket)] {
                if hook.is_empty() && self.answered_for(name, severity).is_some() {
                    continue;
                }
                let mut receiver = json!({ "name": receiver(name, severity) });
                if !hook.is_empty() {
                    receiver["webhook_configs"] = json!([{ "url": hook, "send_resolved": true }]);
                }
                receivers.push(receiver);
            }
        }
        let value = json!({
            "route": {
                "receiver": UNROUTED,
                "group_by": ["alertname", "service", "team"],
                "group_wait": GROUP_WAIT, "group_interval": GROUP_INTERVAL, "repeat_interval": REPEAT,
                "routes": self.children("").into_iter().map(|team| self.route(team)).collect::<Vec<_>>(),
            },
            "receivers": receivers,
            "inhibit_rules": [{
                "source_matchers": [format!("severity = {PAGE}")],
                "target_matchers": [format!("severity = {TICKET}")],
                "equal": ["service"],
            }],
        });
        yaml::document(ABOUT, &value)
    }

    /// Who is told of what goes to `team`: what is missing, and who gets it instead.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for name in self.teams.keys() {
            for severity in [PAGE, TICKET] {
                if let Some(parent) = self.answered_for(name, severity) {
                    notes.push(format!("{name} has no `{severity}`, so {parent} gets its {severity}s"));
                }
            }
        }
        notes
    }

    /// One team's route, and within it those of whoever reports to it.
    fn route(&self, team: &str) -> Value {
        let mut routes = Vec::new();
        for severity in [PAGE, TICKET] {
            // Whoever has nothing of this kind is answered for by whoever is above.
            let answers = self.answered_for(team, severity).unwrap_or(team);
            let mut route = json!({
                "matchers": [format!("team = {team:?}"), format!("severity = {severity}")],
                "receiver": receiver(answers, severity),
            });
            if severity == PAGE {
                route["group_wait"] = json!(PAGE_WAIT);
                route["repeat_interval"] = json!(PAGE_REPEAT);
            }
            routes.push(route);
        }
        routes.extend(self.children(team).into_iter().map(|child| self.route(child)));
        let everybody = self.below(team).join("|").replace('.', "\\.");
        json!({ "matchers": [format!("team =~ {everybody:?}")], "routes": routes })
    }

    /// The nearest parent with a webhook of this kind, where `team` has none.
    fn answered_for(&self, team: &str, severity: &str) -> Option<&str> {
        let has = |name: &str| self.teams.get(name).is_some_and(|team| !hook(team, severity).is_empty());
        if has(team) {
            return None;
        }
        self.parents(team).ok()?.into_iter().find(|parent| has(parent))
    }
}

fn hook<'a>(team: &'a Team, severity: &str) -> &'a str {
    if severity == PAGE { &team.page } else { &team.ticket }
}

fn receiver(team: &str, severity: &str) -> String {
    format!("{team}-{severity}")
}

/// As Backstage has it for every name.
fn is_name(name: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= 63
        && ends(name.chars().next())
        && ends(name.chars().next_back())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

const ABOUT: &str = "The call tree, made by `platform ops alertmanager`; what is changed here is lost.\nA team's webhooks \
                     stand in the company's file.";
static NOBODY: Team = Team { reports_to: String::new(), page: String::new(), ticket: String::new() };
const PAGE: &str = "page";
const TICKET: &str = "ticket";
/// Alerts of no team end here: there are none of ours, and a visible place for those of others.
const UNROUTED: &str = "unrouted";
/// Alertmanager's own: what breaks together is told together.
const GROUP_WAIT: &str = "30s";
const GROUP_INTERVAL: &str = "5m";
/// A ticket that nobody took is told again once a day.
const REPEAT: &str = "24h";
/// Somebody sleeps: first tell, then group.
const PAGE_WAIT: &str = "5s";
/// An hour after a page that still fires somebody should know that it does.
const PAGE_REPEAT: &str = "1h";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn service(name: &str, owner: &str, reports_to: &str) -> Operated {
        let [name, owner, reports_to] = [name, owner, reports_to].map(str::to_owned);
        Operated {
            identity: Identity { name, owner, reports_to, ..Identity::default() },
            ..Operated::default()
        }
    }

    fn team(reports_to: &str, page: &str) -> Team {
        Team { reports_to: reports_to.to_owned(), page: page.to_owned(), ticket: String::new() }
    }

    #[test]
    fn services_and_the_companys_file_make_one_tree() {
        let services = [service("orders", "team-orders", "commerce"), service("pay", "team-pay", "commerce")];
        let teams = Teams::from([("commerce".to_owned(), team("product", ""))]);
        let tree = Tree::of(&services, &teams).unwrap();
        assert_eq!(tree.parents("team-orders").unwrap(), ["commerce", "product"]);
        assert_eq!(tree.parents("product").unwrap(), Vec::<&str>::new());
        assert_eq!(tree.children("commerce"), ["team-orders", "team-pay"]);
        assert_eq!(tree.below("product"), ["product", "commerce", "team-orders", "team-pay"]);
        assert!(tree.parents("payroll").unwrap_err().detail().contains("nobody has named"));
    }

    #[test]
    fn what_is_no_tree_is_refused_by_name() {
        let table: [(&[Operated], Teams, &str); 5] = [
            (&[service("orders", "", "")], Teams::new(), "orders has no owner"),
            (
                &[service("a", "team", "x"), service("b", "team", "y")],
                Teams::new(),
                "team reports to y says b, and to x says a",
            ),
            (
                &[service("a", "team", "x")],
                Teams::from([("team".to_owned(), team("y", ""))]),
                "and to y says the company's file",
            ),
            (
                &[service("a", "team", "x")],
                Teams::from([("x".to_owned(), team("team", ""))]),
                "team reports in a circle: team to x to team",
            ),
            (&[service("a", "team orders", "")], Teams::new(), "a team is named \"team orders\""),
        ];
        for (services, teams, why) in table {
            let error = Tree::of(services, &teams).unwrap_err();
            assert!(error.detail().contains(why), "{error}");
        }
    }

    #[test]
    fn whoever_cannot_be_called_is_answered_for_by_the_nearest_parent_who_can() {
        let services = [service("orders", "team-orders", "commerce")];
        let teams = Teams::from([
            ("commerce".to_owned(), team("product", "http://pager/commerce")),
            ("product".to_owned(), team("", "http://pager/product")),
        ]);
        let tree = Tree::of(&services, &teams).unwrap();
        assert_eq!(tree.answered_for("team-orders", PAGE), Some("commerce"));
        assert_eq!(tree.answered_for("team-orders", TICKET), None, "nobody has one, so it has its own");
        assert_eq!(tree.notes(), ["team-orders has no `page`, so commerce gets its pages"]);
        let yaml = tree.alertmanager();
        assert!(yaml.contains("name: commerce-page") && !yaml.contains("name: team-orders-page"), "{yaml}");
    }
}
