//! Other people's programs read a live `/metrics`.

use super::{
    house::{app, ready},
    judges,
};

/// What a scraper gets from a service that has done something.
async fn scraped(accept: &str) -> String {
    let house = ready(app("").await).await;
    house.app.changes().record(platform_core::app::ChangeKind::Config, "ann", "a \"quoted\" \\ thing\n", "");
    let text = house.ask("GET", "/metrics", &[("accept", accept)], "").await.body;
    house.stop().await;
    text
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    judges::promtool_is_content(&scraped("*/*").await);
}

#[tokio::test]
async fn the_reference_parser_reads_it() {
    let text = scraped("application/openmetrics-text").await;
    let show =
        "print(family.name, family.type, sample.name, sample.labels.get('kind', ''), float(sample.value))";
    let Some(read) = judges::reference_parser_reads(&text, show) else { return };
    for line in [
        "platform_changes counter platform_changes_total config 1.0",
        "platform_service info platform_service_info  1.0",
    ] {
        assert!(read.lines().any(|known| known == line), "{line} is not in\n{read}");
    }
}
