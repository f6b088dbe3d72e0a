//! The fleet view, where admin listeners have certificates and ask for others'.

use std::fs;

use axum::{Router, routing::get};
use rcgen::SanType;
use serde_json::{Value, json};

use crate::{
    authority::Authority,
    fleet::{fleet, service},
    town::{House, Town},
};

/// Instance 1 of a service whose admin listener lets nobody in without a certificate.
async fn secured(town: &Town, authority: &Authority, name: &'static str) -> House {
    let own = authority.issue(name, &format!("spiffe://shop/{name}"), |params| {
        params.subject_alt_names.push(SanType::DnsName(name.try_into().expect("a name")));
    });
    let toml = format!(
        "[admin]\npeers = ['spiffe://shop/on-call/*']\n\
         tls = {{ cert = '{}', key = '{}', client_ca = '{}', clients = 'required' }}\n",
        own.cert.display(),
        own.key.display(),
        authority.ca().display()
    );
    let instance = format!("{name}-1");
    town.open((name, &instance), &toml, |_| Router::new().route("/films/{id}", get(|| async { "{}" }))).await
}

/// The one instance of a service, as the view has it.
fn only<'a>(seen: &'a Value, name: &str) -> &'a Value {
    &service(seen, name)["versions"][0]["members"][0]
}

#[tokio::test]
async fn a_fleet_with_certificates_is_seen_by_who_has_one_and_a_renewed_file_is_enough() {
    let (town, authority, other) = (Town::new(), Authority::new(), Authority::new());
    let catalog = secured(&town, &authority, "catalog").await;
    let ratings = secured(&town, &authority, "ratings").await;
    // Signed by an authority that the view does not know yet.
    let films = secured(&town, &other, "films").await;
    let own = authority.issue("view", "spiffe://shop/fleet", |_| {});
    let ca = authority.ca();
    let toml = format!(
        "[admin.fleet]\nca = '{}'\ncert = '{}'\nkey = '{}'\n",
        ca.display(),
        own.cert.display(),
        own.key.display()
    );
    let edge = town.edge(&toml).await;
    let both = |seen: &Value| {
        ["catalog", "ratings"].iter().all(|name| only(seen, name)["state"] == "ready")
            && only(seen, "films")["state"] == "silent"
    };
    let seen = fleet(&edge, both).await;
    assert_eq!(only(&seen, "catalog")["admin_tls"], true, "{seen:#}");
    assert_eq!(only(&seen, "edge")["admin_tls"], false, "{seen:#}");
    let why = only(&seen, "films")["why"].as_str().expect("it is silent");
    let told = format!("{}: its certificate was issued by nobody in `admin.fleet.ca`", films.admin);
    assert!(why.starts_with(&told), "{why}");

    // The other authority is added, and that one asks for a certificate of its own.
    fs::write(&ca, authority.issuer.pem() + &other.issuer.pem()).expect("a file");
    let refused =
        |seen: &Value| only(seen, "films")["why"].as_str().is_some_and(|why| why.contains("TLS alert"));
    let seen = fleet(&edge, refused).await;
    assert!(both(&seen), "whoever is connected stays so: {seen:#}");
    fs::write(other.ca(), other.issuer.pem() + &authority.issuer.pem()).expect("a file");
    let all = |seen: &Value| {
        ["catalog", "ratings", "films", "edge"].iter().all(|name| only(seen, name)["state"] == "ready")
    };
    let seen = fleet(&edge, all).await;
    assert_eq!(seen["states"], json!({ "ready": 4 }), "{seen:#}");
    for house in [edge, catalog, ratings, films] {
        house.end().await;
    }
}

#[tokio::test]
async fn a_view_without_a_certificate_says_whose_listener_asks_for_one() {
    let (town, authority) = (Town::new(), Authority::new());
    let catalog = secured(&town, &authority, "catalog").await;
    let edge = town.edge(&format!("[admin.fleet]\nca = '{}'\n", authority.ca().display())).await;
    let seen = fleet(&edge, |seen| only(seen, "catalog")["state"] == "silent").await;
    let why = only(&seen, "catalog")["why"].as_str().expect("it is silent");
    assert!(why.contains("it asks for a certificate") && why.contains("set `admin.fleet.cert`"), "{why}");
    edge.end().await;
    catalog.end().await;
}
