//! What should a person see, and when should they be woken?

use super::Expr;

/// A panel of a dashboard, and perhaps an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    title: &'static str,
    expr: Expr,
    unit: Unit,
    board: Board,
    alert: Option<Alert>,
}

/// What a value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Things.
    Count,
    /// Things a second.
    PerSecond,
    /// 0 to 1.
    Ratio,
    /// Seconds.
    Seconds,
}

/// Where a panel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Board {
    /// What others need from this service.
    Service,
    /// What this service needs from others.
    Dependencies,
    /// What it uses.
    Resources,
}

/// When somebody is told, and what to do then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alert {
    /// What must hold.
    pub when: Threshold,
    /// Wakes somebody; otherwise it waits for the morning.
    pub page: bool,
    /// The runbook's name.
    pub runbook: &'static str,
}

/// A bound that is reached, for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    operator: &'static str,
    bound: f64,
    minutes: u32,
}

/// From `bound` up.
pub const fn at_least(bound: f64) -> Threshold {
    Threshold { operator: ">=", bound, minutes: 0 }
}

/// Above `bound`.
pub const fn above(bound: f64) -> Threshold {
    Threshold { operator: ">", bound, minutes: 0 }
}

/// Below `bound`.
pub const fn below(bound: f64) -> Threshold {
    Threshold { operator: "<", bound, minutes: 0 }
}

impl Threshold {
    /// Not before it has held so long.
    #[must_use]
    pub const fn for_minutes(self, minutes: u32) -> Self {
        Threshold { minutes, ..self }
    }

    /// How long it must hold.
    pub const fn minutes(&self) -> u32 {
        self.minutes
    }
}

impl Signal {
    /// A panel on the service's board.
    pub fn new(title: &'static str, expr: Expr, unit: Unit) -> Self {
        Signal { title, expr, unit, board: Board::Service, alert: None }
    }

    /// On another board.
    #[must_use]
    pub fn on(self, board: Board) -> Self {
        Signal { board, ..self }
    }

    /// Wakes somebody.
    #[must_use]
    pub fn page_when(self, when: Threshold, runbook: &'static str) -> Self {
        Signal { alert: Some(Alert { when, page: true, runbook }), ..self }
    }

    /// Is looked at in the morning.
    #[must_use]
    pub fn ticket_when(self, when: Threshold, runbook: &'static str) -> Self {
        Signal { alert: Some(Alert { when, page: false, runbook }), ..self }
    }

    /// The panel's title.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// What it shows.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// What it is counted in.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Where it stands.
    pub fn board(&self) -> Board {
        self.board
    }

    /// When somebody is told.
    pub fn alert(&self) -> Option<Alert> {
        self.alert
    }

    /// The alert's condition in PromQL, rates taken over `window`.
    pub fn condition(&self, window: &str) -> Option<String> {
        let Alert { when: Threshold { operator, bound, .. }, .. } = self.alert?;
        Some(format!("{} {operator} {bound}", self.expr.promql(window)))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{GaugeSpec, max},
        *,
    };

    #[test]
    fn an_alert_is_the_panels_question_with_a_bound() {
        static OPEN: GaugeSpec<()> = GaugeSpec::new("open", "Open");
        let signal = Signal::new("Open", max(&OPEN), Unit::Count).on(Board::Dependencies);
        assert_eq!(signal.condition("5m"), None);
        let signal = signal.page_when(at_least(2.0).for_minutes(5), "breaker-open");
        assert_eq!(signal.condition("5m").as_deref(), Some("max(open) >= 2"));
        let alert = signal.alert().unwrap();
        assert_eq!((alert.page, alert.when.minutes(), alert.runbook), (true, 5, "breaker-open"));
        let ticket = signal.ticket_when(below(0.5), "idle");
        assert_eq!(ticket.condition("5m").as_deref(), Some("max(open) < 0.5"));
    }
}
