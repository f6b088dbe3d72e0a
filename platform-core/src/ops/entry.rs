//! What does the company's catalog know of a service?
//!
//! An entry for Backstage: who owns it, why it runs, whom it calls, where its board and its runbook are.

use serde_json::{Value, json};

use super::{
    Operated, Tree,
    rules::{Places, is_address},
    yaml,
};

/// The entry of one service.
pub fn entry(service: &Operated, places: &Places) -> String {
    yaml::document(
        "Made by `platform ops catalog`; what is changed here is lost.",
        &component(service, places),
    )
}

/// The teams of a company, each with its parent.
pub fn company_entry(tree: &Tree) -> String {
    let groups: Vec<Value> = tree
        .teams()
        .iter()
        .map(|(name, team)| {
            let mut spec = json!({ "type": "team", "children": tree.children(name) });
            if !team.reports_to.is_empty() {
                spec["parent"] = json!(team.reports_to);
            }
            json!({
                "apiVersion": API, "kind": "Group", "metadata": { "name": name }, "spec": spec,
            })
        })
        .collect();
    yaml::documents("The teams, made by `platform ops catalog`; what is changed here is lost.", &groups)
}

fn component(service: &Operated, places: &Places) -> Value {
    let identity = &service.identity;
    let name = &identity.name;
    let grafana = places.grafana.trim_end_matches('/');
    let mut links = Vec::new();
    // A link of Backstage's is a whole URL.
    if !grafana.is_empty() {
        links.push(
            json!({ "title": "Board", "url": format!("{grafana}/d/platform-service?var-service={name}") }),
        );
    }
    if is_address(&identity.runbook) {
        links.push(json!({ "title": "Runbook", "url": identity.runbook }));
    }
    let mut metadata = json!({ "name": name });
    if !identity.why.is_empty() {
        metadata["description"] = json!(identity.why);
    }
    if !links.is_empty() {
        metadata["links"] = Value::Array(links);
    }
    let mut spec =
        json!({ "type": "service", "lifecycle": "production", "owner": format!("group:{}", identity.owner) });
    if !service.calls.is_empty() {
        let calls = service.calls.iter().map(|target| format!("component:{target}"));
        spec["dependsOn"] = calls.collect();
    }
    json!({ "apiVersion": API, "kind": "Component", "metadata": metadata, "spec": spec })
}

const API: &str = "backstage.io/v1alpha1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::Identity, ops::Teams};

    #[test]
    fn an_entry_says_whose_it_is_and_what_it_needs() {
        let orders = Operated {
            identity: Identity {
                name: "orders".to_owned(),
                owner: "team-orders".to_owned(),
                reports_to: "commerce".to_owned(),
                why: "takes orders".to_owned(),
                ..Identity::default()
            },
            calls: vec!["inventory".to_owned()],
            ..Operated::default()
        };
        let places = Places { grafana: "https://grafana.example".to_owned(), ..Places::default() };
        assert_eq!(
            entry(&orders, &places),
            "# Made by `platform ops catalog`; what is changed here is lost.\n\
             apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  description: 'takes orders'\n  links:\n    \
             - title: Board\n      url: 'https://grafana.example/d/platform-service?var-service=orders'\n  name: orders\n\
             spec:\n  dependsOn:\n    - 'component:inventory'\n  lifecycle: production\n  owner: 'group:team-orders'\n  \
             type: service\n"
        );
        let tree = Tree::of([&orders], &Teams::default()).unwrap();
        let groups = company_entry(&tree);
        assert!(
            groups.contains("  name: team-orders\nspec:\n  children: []\n  parent: commerce\n"),
            "{groups}"
        );
        assert!(groups.contains("\n---\n"), "{groups}");
    }
}
