//! Which metrics are there, and what are they for?
//!
//! Each is declared once, as a constant in the room that writes it. The code counts through the constant, and
//! dashboards and alerts are made from it, so that neither can name a metric that does not exist.
//!
//! Every crate has a list, a line per room ([`platform_core::catalogue`](crate::catalogue)); a team adds its own.

mod expr;
mod labels;
mod scope;
mod served;
mod signal;
mod spec;

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};

pub use expr::{Expr, calls, max, min, number, quantile, rate, ratio, share, sum, time_left, within};
use labels::SCRAPED;
pub use labels::{CONSTANT_LABELS, Labels, NEVER_LABELS, check};
pub use scope::Scope;
pub use served::Served;
pub use signal::{Alert, Board, Line, Runbook, Signal, Threshold, Unit, above, at_least, below};
pub use spec::{CounterSpec, DURATION_BOUNDS, Declared, GaugeSpec, HistogramSpec, Kind, Spec};

/// The metrics and signals of some rooms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    rooms: Vec<Room>,
    served: Option<Served>,
}

/// What one room measures and shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// The room's name.
    pub name: &'static str,
    /// What it measures.
    pub metrics: Vec<Declared>,
    /// What it shows.
    pub signals: Vec<Signal>,
}

impl Catalogue {
    /// Adds a room.
    #[must_use]
    pub fn room(mut self, name: &'static str, metrics: Vec<Declared>, signals: Vec<Signal>) -> Self {
        self.rooms.push(Room { name, metrics, signals });
        self
    }

    /// Says how to tell what a service does for its callers; what is served over several protocols is counted as one.
    #[must_use]
    pub fn serves(mut self, served: Served) -> Self {
        self.served = Some(match self.served {
            Some(known) => known.and(served),
            None => served,
        });
        self
    }

    /// Adds another list's rooms.
    #[must_use]
    pub fn join(mut self, other: Catalogue) -> Self {
        self.rooms.extend(other.rooms);
        match other.served {
            Some(served) => self.serves(served),
            None => self,
        }
    }

    /// What a service does for its callers, over all protocols; objectives are judged by it.
    pub fn served(&self) -> Option<&Served> {
        self.served.as_ref()
    }

    /// The rooms, in order.
    pub fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    /// Every metric.
    pub fn metrics(&self) -> impl Iterator<Item = &Declared> {
        self.rooms.iter().flat_map(|room| &room.metrics)
    }

    /// Every metric as data, for `--describe` and for scripts.
    pub fn to_json(&self) -> Value {
        let metric = |room: &Room, metric: &Declared| {
            json!({
                "name": metric.series(), "room": room.name, "kind": metric.kind.as_str(), "labels": metric.labels,
                "help": metric.help,
            })
        };
        self.rooms.iter().flat_map(|room| room.metrics.iter().map(move |one| metric(room, one))).collect()
    }

    /// Every signal.
    pub fn signals(&self) -> impl Iterator<Item = &Signal> {
        self.rooms.iter().flat_map(|room| &room.signals)
    }

    /// Is every metric allowed, declared once, and every signal made of those?
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] naming the first that is not.
    pub fn check(&self) -> Result<()> {
        let mut seen: Vec<&Declared> = Vec::new();
        for declared in self.metrics() {
            check(declared)?;
            if seen.iter().any(|known| known.name == declared.name) {
                return refuse(format!("metric `{}` is declared by two rooms", declared.name));
            }
            seen.push(declared);
        }
        let mut runbooks = Vec::new();
        for signal in self.signals() {
            let asked = signal.lines().iter().flat_map(|line| line.expr.metrics());
            let unknown = asked.into_iter().find(|asked| !seen.contains(&asked));
            if let Some(Declared { name, .. }) = unknown {
                return refuse(format!("signal `{}` asks `{name}`, which no room declares", signal.title()));
            }
            let alerts = signal.alerts();
            if let Some(Alert { runbook: Runbook { name, .. }, .. }) = alerts.first() {
                if runbooks.contains(&name) {
                    return refuse(format!("two signals have the alert `{name}`; give each its own runbook"));
                }
                runbooks.push(name);
            }
            for pair in alerts.windows(2) {
                if pair[0].runbook != pair[1].runbook || pair[0].when.is_below() != pair[1].when.is_below() {
                    return refuse(format!(
                        "signal `{}` has alerts that are not one that gets worse; give them one runbook and one \
                         direction, or two signals",
                        signal.title()
                    ));
                }
            }
        }
        Ok(())
    }
}

fn refuse(why: String) -> Result<()> {
    Err(Error::new(ErrorKind::Internal, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    static ONE: GaugeSpec<()> = GaugeSpec::new("one", "One");
    static TWO: GaugeSpec<()> = GaugeSpec::new("two", "Two");

    #[test]
    fn two_rooms_cannot_share_a_name_nor_a_signal_ask_a_stranger() {
        let twice = Catalogue::default()
            .room("a", vec![ONE.declared()], vec![])
            .join(Catalogue::default().room("b", vec![ONE.declared()], vec![]));
        assert!(twice.check().unwrap_err().detail().contains("`one` is declared by two rooms"));
        let signal = Signal::new("Two", max(&TWO), Unit::Count);
        let stranger = Catalogue::default().room("a", vec![ONE.declared()], vec![signal]);
        assert!(stranger.check().unwrap_err().detail().contains("`Two` asks `two`"));
        const HIGH: Runbook = Runbook { name: "high", means: "", look: &[], act: &[] };
        let high = || Signal::new("One", max(&ONE), Unit::Count).page_when(above(1.0), HIGH);
        let twice = Catalogue::default().room("a", vec![ONE.declared()], vec![high(), high()]);
        assert!(twice.check().unwrap_err().detail().contains("two signals have the alert `high`"));
        let checked = |signal| Catalogue::default().room("a", vec![ONE.declared()], vec![signal]).check();
        checked(high().ticket_when(above(0.5), HIGH)).unwrap();
        let error = checked(high().ticket_when(below(0.5), HIGH)).unwrap_err();
        assert!(error.detail().contains("signal `One` has alerts that are not one"), "{error}");
    }
}
