//! dnsmasq: another reading of the same pages.

use std::net::SocketAddr;

use crate::ground::{Heard, Outside, free_port};

async fn start(address: SocketAddr, records: &[&str]) -> Option<Outside> {
    let port = format!("--port={}", address.port());
    let mut arguments = vec![
        port.as_str(),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        "--pid-file=",
        "--user=",
        "--local=/shop/",
        "--local-ttl=1",
        "--neg-ttl=1",
    ];
    arguments.extend(records);
    Outside::start("dnsmasq", &arguments, address).await
}

#[tokio::test]
async fn its_answers_are_understood_and_a_restart_with_others_is_seen() {
    let address = free_port();
    let records = [
        "--srv-host=_http._tcp.catalog.shop,a.shop,8081,10,0",
        "--srv-host=_http._tcp.catalog.shop,b.shop,8082,10,5",
        "--srv-host=_http._tcp.catalog.shop,c.shop,8083,20,5",
        "--host-record=a.shop,10.0.0.1",
        "--host-record=b.shop,10.0.0.2",
        "--host-record=c.shop,10.0.0.3",
        "--cname=alias.shop,a.shop",
    ];
    let Some(first) = start(address, &records).await else { return };
    assert_eq!(Heard::of(address, "dns://alias.shop").addresses().await, ["10.0.0.1:80"]);
    assert!(Heard::of(address, "dns://nobody.shop").addresses().await.is_empty());
    let mut heard = Heard::of(address, "dns+srv://_http._tcp.catalog.shop");
    let answer = heard.next().await.expect("an answer");
    let weights: Vec<u32> = answer.found().iter().map(|found| found.endpoint.weight).collect();
    assert_eq!(weights, [1, 500], "a 0 beside others is hardly ever");
    drop(first);
    let _second = start(address, &records[1..]).await.expect("it was there before");
    loop {
        // The outage may or may not have been noticed.
        if let Ok(answer) = heard.next().await
            && answer.found().len() == 1
        {
            assert_eq!(answer.found()[0].endpoint.instance, "b.shop:8082");
            break;
        }
    }
}
