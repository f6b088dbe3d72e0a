//! What is seen of one service that no other has?
//!
//! Whoever renders the boards and alerts of a company knows the platform's signals; those of a team stand in its code
//! alone. So its program tells of them ([`Builder::own`](crate::app::Builder::own), `--describe`): its board and its
//! runbooks as they are, its alerts as far as it knows them. Whom they wake up the chain and where their links lead is
//! known where all services are ([`alerts`](super::alerts)).

use serde::{Deserialize, Serialize};

use super::{
    Rendered,
    board::own_board,
    rules::{Draft, signalled},
    runbook,
};
use crate::{
    error::{Error, ErrorKind, Result},
    telemetry::catalogue::{Board, Catalogue},
};

/// What only one service has: its board, its alerts, and a page for each of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Own {
    /// Its board; none where nothing is shown.
    pub board: Option<Rendered>,
    /// A beginning of a page for each alert.
    pub runbooks: Vec<Rendered>,
    pub(super) alerts: Vec<Draft>,
}

impl Own {
    /// What `service` has beside what all have: the signals of a catalogue of its own, all of them on [`Board::Own`].
    ///
    /// ```
    /// # use platform_core::{ops::Own, telemetry::catalogue::{Board, Catalogue, CounterSpec, Signal, Spec as _, Unit, rate}};
    /// static SOLD: CounterSpec<()> = CounterSpec::new("tickets_sold", "Tickets that were sold");
    ///
    /// # fn main() -> platform_core::Result<()> {
    /// let signal = Signal::new("Tickets sold", rate(&SOLD), Unit::PerSecond).on(Board::Own);
    /// let own = Own::of("shop", &Catalogue::default().room("tickets", vec![SOLD.declared()], vec![signal]))?;
    /// assert!(own.board.is_some_and(|board| board.name == "own-shop.json"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for a catalogue that [`check`](Catalogue::check) refuses, and for a signal on a board that
    /// is the same for every service.
    pub fn of(service: &str, catalogue: &Catalogue) -> Result<Self> {
        catalogue.check()?;
        if let Some(signal) = catalogue.signals().find(|signal| signal.board() != Board::Own) {
            let why = format!(
                "signal `{}` would stand on a board that is the same for every service; put it on Board::Own",
                signal.title()
            );
            return Err(Error::new(ErrorKind::Internal, why));
        }
        let alerts =
            catalogue.signals().flat_map(|signal| signal.alerts().iter().map(move |one| (signal, one)));
        Ok(Own {
            board: catalogue.signals().next().map(|_| own_board(service, catalogue)),
            runbooks: runbook::declared(catalogue),
            alerts: alerts.map(|(signal, alert)| signalled(service, signal, *alert)).collect(),
        })
    }

    /// Does it wake anybody, or wait for the morning?
    pub fn has_alerts(&self) -> bool {
        !self.alerts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::App,
        config::Config,
        identity::Identity,
        ops::{Operated, Places, Teams, Tree, alerts},
        telemetry::catalogue::{CounterSpec, GaugeSpec, Runbook, Signal, Spec as _, Unit, above, rate, sum},
    };

    static WAITING: GaugeSpec<()> = GaugeSpec::new("parcels_waiting", "Parcels that wait to be fetched");

    fn waiting(board: Board, runbook: &'static str) -> Result<Own> {
        let runbook = Runbook { name: runbook, means: "Full.", look: &["Here."], act: &["Order a lorry."] };
        let signal = Signal::new("Parcels that wait", sum(&WAITING), Unit::Count)
            .on(board)
            .page_when(above(1_000.0).for_minutes(5), runbook)
            .ticket_when(above(100.0), runbook);
        Own::of("parcels", &catalogue(signal))
    }

    fn catalogue(signal: Signal) -> Catalogue {
        Catalogue::default().room("parcels", vec![WAITING.declared()], vec![signal])
    }

    fn rules(own: Own, shorten: u64) -> Result<String> {
        let [name, owner, reports_to] = ["parcels", "team-parcels", "commerce"].map(str::to_owned);
        let identity = Identity { name, owner, reports_to, ..Identity::default() };
        let service = Operated { identity, own, ..Operated::default() };
        let tree = Tree::of([&service], &Teams::default())?;
        let places = Places { grafana: "https://grafana.example".to_owned(), shorten, ..Places::default() };
        Ok(alerts(&service, &crate::catalogue(), &tree, &places)?.yaml())
    }

    #[test]
    fn a_teams_alerts_stand_beside_the_platforms_after_a_way_as_text() {
        let own = waiting(Board::Own, "shelves-full").unwrap();
        let told = serde_json::to_string(&own).unwrap();
        let heard: Own = serde_json::from_str(&told).unwrap();
        assert_eq!(heard, own);
        assert_eq!(heard.board.as_ref().unwrap().name, "own-parcels.json");
        assert_eq!(heard.runbooks[0].name, "shelves-full.md");

        let rules = rules(heard, 1).unwrap();
        assert_eq!(
            rules.matches("alert: ShelvesFull").count(),
            3,
            "a ticket, a page, and the parent's: {rules}"
        );
        for part in [
            "name: parcels-own",
            "alert: BreakerOpen",
            "sum by (service_name) (parcels_waiting{service_name=\"parcels\"}) > 1000",
            "https://grafana.example/d/own-parcels?var-service=parcels",
            "runbook: runbooks/shelves-full.md",
            "for: '35m'",
        ] {
            assert!(rules.contains(part), "{part} in {rules}");
        }
    }

    #[test]
    fn a_drill_shortens_the_windows_of_a_teams_alerts_too() {
        static LOST: CounterSpec<()> = CounterSpec::new("parcels_lost", "Parcels that nobody finds");
        const GONE: Runbook = Runbook { name: "parcels-lost", means: "", look: &[], act: &[] };
        let signal =
            Signal::new("Lost", rate(&LOST), Unit::PerSecond).on(Board::Own).page_when(above(0.0), GONE);
        let catalogue = Catalogue::default().room("parcels", vec![LOST.declared()], vec![signal]);
        let own = Own::of("parcels", &catalogue).unwrap();
        for (shorten, window) in [(1, "5m"), (60, "5s")] {
            let rules = rules(own.clone(), shorten).unwrap();
            let asked = format!("(rate(parcels_lost_total{{service_name=\"parcels\"}}[{window}])) ");
            assert!(rules.matches(&asked).count() >= 2, "{asked} of it, and of the worst instance: {rules}");
            assert!(!rules.contains("[$"), "{rules}");
        }
    }

    #[tokio::test]
    async fn whoever_has_alerts_has_an_owner_and_the_name_that_it_runs_under() {
        const FULL: Runbook = Runbook { name: "shelves-full", means: "", look: &[], act: &[] };
        let waiting = || Signal::new("Waiting", sum(&WAITING), Unit::Count).on(Board::Own);
        let service = |signal: Signal| App::builder("parcels").own(catalogue(signal));
        let quiet = service(waiting()).start().await.unwrap();
        assert!(!quiet.own().has_alerts() && quiet.own().board.is_some());
        let loud = || service(waiting().page_when(above(1.0), FULL));
        let error = loud().start().await.err().unwrap();
        assert!(error.detail().contains("alerts of its own and no owner"), "{error}");
        let config = Config::builder().set("service.name", "post").load().unwrap();
        let post = loud().owner("team-parcels").config(config).start().await.unwrap();
        assert_eq!(post.own().board.as_ref().unwrap().name, "own-post.json");
    }

    #[test]
    fn what_would_hide_among_that_of_all_is_refused() {
        let error = waiting(Board::Service, "shelves-full").unwrap_err();
        assert!(error.detail().contains("`Parcels that wait` would stand on a board"), "{error}");
        for taken in ["breaker-open", "error-budget-burn"] {
            let error = rules(waiting(Board::Own, taken).unwrap(), 1).unwrap_err();
            assert!(error.detail().contains(&format!("`{taken}` of its own")), "{error}");
        }
        assert_eq!(Own::of("parcels", &Catalogue::default()).unwrap(), Own::default());
    }
}
