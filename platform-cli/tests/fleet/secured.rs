//! The commands and listeners with certificates: who asks is known by a certificate or by a token.

use std::{fs, path::Path};

use rcgen::{SanType, date_time_ymd};
use serde_json::Value;

use crate::{
    authority::{Authority, Issued},
    town::{Instance, Town},
};

/// A company: an authority, whose certificates its services have, and those of its people on call.
struct Company {
    town: Town,
    authority: Authority,
}

impl Company {
    fn new() -> Company {
        Company { town: Town::new(), authority: Authority::new() }
    }

    /// A service whose admin listener speaks TLS, knows a token of bob and whoever is on call by certificate.
    async fn start(&self, service: &'static str, instance: &str) -> Instance {
        let own = self.authority.issue(service, &format!("spiffe://shop/{service}"), |params| {
            params.subject_alt_names.push(SanType::DnsName(service.try_into().unwrap()));
        });
        let tokens = self.authority.folder.path().join("tokens");
        fs::write(&tokens, format!("bob:{TOKEN}\n")).unwrap();
        let toml = format!(
            "[service]\nowner = 'team-a'\n[admin]\ntoken_file = '{}'\npeers = ['spiffe://shop/on-call/*']\n\
             tls = {{ cert = '{}', key = '{}', client_ca = '{}' }}\n",
            tokens.display(),
            own.cert.display(),
            own.key.display(),
            self.authority.ca().display()
        );
        Instance::set(&self.town.registry(), service, instance, "east", &toml).await
    }

    fn person(&self, name: &str) -> Issued {
        self.authority.issue(name, &format!("spiffe://shop/on-call/{name}"), |_| {})
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every change that is in force in an instance or has been: who made it, and of which kind.
fn changes(instance: &Instance) -> Vec<(String, String)> {
    let mut all = instance.app.changes().latest();
    all.retain(|change| change.why == "INC-7");
    all.iter().map(|change| (change.who.clone(), change.kind.as_str().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_asks_over_tls_by_certificate_and_by_token() {
    let company = Company::new();
    let town = &company.town;
    let stock = company.start("stock", "stock-1").await;
    let one = company.start("orders", "orders-1").await;
    let two = company.start("orders", "orders-2").await;
    assert_eq!(one.page().await, 200);
    let (ca, ann) = (company.authority.ca(), company.person("ann"));
    let file = company.authority.folder.path().join("bobs");
    fs::write(&file, TOKEN).unwrap();
    let by_certificate = ["--ca", text(&ca), "--cert", text(&ann.cert), "--key", text(&ann.key)];
    let by_token = ["--ca", text(&ca), "--token-file", text(&file)];
    let url = format!("https://{}", one.app.address("admin").unwrap());
    for (shown, who) in [(&by_certificate[..], "spiffe://shop/on-call/ann"), (&by_token, "bob")] {
        let before = changes(&one).len();
        for (command, told) in [
            (&["targets", "orders"][..], "stock-1"),
            (&["top", "--once", "orders", "stock"], "2/2"),
            (&["config", "explain", "service.instance", "orders"], "service.instance of orders-2"),
            (&["fault", "orders", "--target", "stock", "--abort", "503", "--why", "INC-7"], "orders-2  done"),
            (&["fault", "orders", "--clear", "--why", "INC-7"], "orders-2  done"),
            (&["mode", "orders", "breaker", "observe", "--why", "INC-7"], "orders-2  done"),
            (&["evacuate", "orders", "east", "--why", "INC-7"], "orders-2  done"),
            (&["undo", "orders", "--all", "--why", "INC-7"], "orders-2  done"),
        ] {
            let (status, said, wrong) = town.platform(&[command, shown].concat()).await;
            assert!(status == Some(0) && said.contains(told), "{command:?} as {who}: {said}{wrong}");
        }
        let made = changes(&one);
        assert!(
            made.len() - before >= 4 && made[..made.len() - before].iter().all(|(by, _)| by == who),
            "{made:?}"
        );
        assert_eq!(changes(&two).len(), made.len());
        let out = town.registry().with_file_name(format!("ops-{}", who.len()));
        let ops = ["ops", "rules", "--from", &url, "--out", text(&out), "--server-name", "orders"];
        let (status, said, wrong) = town.platform(&[&ops, shown].concat()).await;
        assert_eq!(status, Some(0), "{said}{wrong}");
        assert!(out.join("rules/orders.yaml").exists(), "{said}");
    }

    // From the environment, where a job has neither flags nor files of its own.
    let ca_key = ("PLATFORM__ADMIN__FLEET__CA", text(&ca));
    let variables = [ca_key, ("PLATFORM_ADMIN_TOKEN", TOKEN)];
    let drain = ["drain", "orders", "--instance", "orders-2", "--why", "INC-7"];
    let (status, said, wrong) = town.platform_with(&variables, &drain).await;
    assert_eq!(status, Some(0), "{said}{wrong}");
    assert!(changes(&two).contains(&("bob".to_owned(), "drain".to_owned())), "{:?}", changes(&two));
    assert_eq!(two.ended().await, 0);
    let (status, _, wrong) = town.platform_with(&[ca_key, ("PLATFORM_ADMIN_TOKEN", "ann: ")], &["top"]).await;
    assert!(status == Some(2) && wrong.contains("PLATFORM_ADMIN_TOKEN: there is no token in it"), "{wrong}");
    one.stop().await;
    stock.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_of_each_instance_and_no_secret_with_it() {
    let company = Company::new();
    let town = &company.town;
    let one = company.start("orders", "orders-1").await;
    let other = Authority::new();
    let (ca, stranger) = (company.authority.ca(), other.issue("eve", "spiffe://shop/on-call/eve", |_| {}));
    let late = company.authority.issue("late", "spiffe://shop/on-call/late", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let admin = one.app.address("admin").unwrap();
    let wrong_token = company.authority.folder.path().join("wrong");
    fs::write(&wrong_token, "eve:another-token").unwrap();
    let mode = ["mode", "orders", "breaker", "observe", "--why", "INC-7"];
    for (shown, status, told) in [
        (&["--ca", text(&other.ca())][..], 1, "its certificate was issued by nobody in `admin.fleet.ca`"),
        (&["--ca", text(&ca), "--server-name", "stock"], 1, "its certificate is not for stock, it is for "),
        (
            &["--ca", text(&ca), "--cert", text(&stranger.cert), "--key", text(&stranger.key)],
            1,
            "it refuses our certificate (TLS alert ",
        ),
        (
            &["--ca", text(&ca), "--cert", text(&late.cert), "--key", text(&late.key)],
            1,
            "it says that our certificate has ended",
        ),
        (
            &["--ca", text(&ca), "--token-file", text(&wrong_token)],
            1,
            "this token is not in `admin.token_file`",
        ),
        (
            &["--ca", text(&ca), "--cert", text(&stranger.cert)],
            78,
            "`admin.fleet.cert` and `key` belong together",
        ),
        (&["--ca", "nowhere.pem"], 78, "admin.fleet.ca = \"nowhere.pem\": "),
    ] {
        let (code, said, wrong) = town.platform(&[&mode[..], shown].concat()).await;
        let heard = format!("{said}{wrong}");
        assert!(code == Some(status) && heard.contains(told), "{shown:?}: {code:?} {heard}");
        assert!(code == Some(78) || heard.contains("orders-1  FAILED"), "{heard}");
        assert!(!heard.contains("another-token") && !heard.contains("PRIVATE"), "{heard}");
    }
    assert_eq!(changes(&one), []);

    // Nobody said whom to believe: then it is what the machine believes, or nobody at all.
    let (code, said, _) = town.platform(&mode).await;
    assert!(code == Some(1) && said.contains("admin.fleet.ca"), "{said}");

    // By a URL, in cleartext to a listener that speaks TLS, and without a token where one is needed.
    let ops = |url: &str| ["ops", "rules", "--out", "ops", "--from", url].map(str::to_owned);
    let plain = ops(&format!("http://{admin}"));
    let (code, _, wrong) = town.platform(&plain.each_ref().map(String::as_str)).await;
    assert!(code == Some(1) && wrong.contains("does it speak TLS?"), "{wrong}");

    // A record that says cleartext, of an address that is not on this machine, gets no token.
    let file = town.registry().join("orders/orders-1.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(record["admin_tls"], true, "its own record says how it is asked");
    for (field, value) in [("instance", "orders-9"), ("address", "192.0.2.1:1"), ("admin", "192.0.2.1:2")] {
        record[field] = value.into();
    }
    record.as_object_mut().unwrap().remove("admin_tls");
    fs::write(town.registry().join("orders/orders-9.json"), record.to_string()).unwrap();
    let lured = ["--ca", text(&ca), "--token-file", text(&wrong_token), "--instance", "orders-9"];
    let (code, said, _) = town.platform(&[&mode[..], &lured].concat()).await;
    assert!(code == Some(1) && said.contains("in which no token is shown"), "{said}");
    one.stop().await;
}

const TOKEN: &str = "a-token-of-bob";
