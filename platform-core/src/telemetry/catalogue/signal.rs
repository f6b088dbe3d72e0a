//! What should a person see, and when should they be woken?

use super::{Expr, Scope};

/// A panel of a dashboard, and perhaps alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    title: &'static str,
    lines: Vec<Line>,
    unit: Unit,
    board: Board,
    golden: bool,
    alerts: Vec<Alert>,
}

/// One question of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is called beside others; empty where its labels say enough.
    pub name: &'static str,
    /// What is asked.
    pub expr: Expr,
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
    /// What is turned away, and what is done without.
    Overload,
    /// Whom it knows, and how fresh that is.
    Discovery,
    /// What its processes use, write and lose.
    Runtime,
    /// What only this service has: a team's own signals ([`Builder::own`](crate::app::Builder::own)). The others are the
    /// same for every service.
    Own,
}

/// When somebody is told, and what to do then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alert {
    /// What must hold.
    pub when: Threshold,
    /// Wakes somebody; otherwise it waits for the morning.
    pub page: bool,
    /// What to do then.
    pub runbook: Runbook,
}

/// What somebody reads who was woken: in the words of the room that knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runbook {
    /// Its name, which is the alert's as well: `breaker-open`.
    pub name: &'static str,
    /// What has happened, and what it does to users.
    pub means: &'static str,
    /// Where to look, in this order.
    pub look: &'static [&'static str],
    /// What to do about it.
    pub act: &'static [&'static str],
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

    /// The bound.
    pub const fn bound(&self) -> f64 {
        self.bound
    }

    /// Is it the low values that are bad?
    pub fn is_below(&self) -> bool {
        self.operator.starts_with('<')
    }
}

impl Signal {
    /// A panel on the service's board.
    pub fn new(title: &'static str, expr: Expr, unit: Unit) -> Self {
        let lines = vec![Line { name: "", expr }];
        Signal { title, lines, unit, board: Board::Service, golden: false, alerts: Vec::new() }
    }

    /// What the first question is called, where others follow.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.lines[0].name = name;
        self
    }

    /// Another question of the same panel; alerts ask the first alone.
    #[must_use]
    pub fn and(mut self, name: &'static str, expr: Expr) -> Self {
        self.lines.push(Line { name, expr });
        self
    }

    /// One of the four that a service is asked first: traffic, errors, latency, saturation.
    #[must_use]
    pub fn golden(self) -> Self {
        Signal { golden: true, ..self }
    }

    /// On another board.
    #[must_use]
    pub fn on(self, board: Board) -> Self {
        Signal { board, ..self }
    }

    /// Wakes somebody. What is a ticket first and a page when it gets worse is said by both, with one runbook.
    #[must_use]
    pub fn page_when(mut self, when: Threshold, runbook: Runbook) -> Self {
        self.alerts.push(Alert { when, page: true, runbook });
        self
    }

    /// Is looked at in the morning.
    #[must_use]
    pub fn ticket_when(mut self, when: Threshold, runbook: Runbook) -> Self {
        self.alerts.push(Alert { when, page: false, runbook });
        self
    }

    /// The panel's title.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// What it shows, and what its alerts ask.
    pub fn expr(&self) -> &Expr {
        &self.lines[0].expr
    }

    /// Everything that it shows.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// What it is counted in.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Where it stands.
    pub fn board(&self) -> Board {
        self.board
    }

    /// Is it one of those that a service is asked first?
    pub fn is_golden(&self) -> bool {
        self.golden
    }

    /// When somebody is told.
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// An alert's condition in PromQL, asked within `scope`.
    pub fn condition(&self, when: Threshold, scope: &Scope) -> String {
        let Threshold { operator, bound, .. } = when;
        format!("{} {operator} {bound}", self.expr().promql_in(scope))
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
        const OPEN_LONG: Runbook = Runbook { name: "breaker-open", means: "", look: &[], act: &[] };
        let everywhere = Scope::over("5m");
        let signal = Signal::new("Open", max(&OPEN), Unit::Count).on(Board::Dependencies);
        assert!(signal.alerts().is_empty());
        let signal = signal.page_when(at_least(2.0).for_minutes(5), OPEN_LONG);
        let alert = signal.alerts()[0];
        assert_eq!(signal.condition(alert.when, &everywhere), "max(open) >= 2");
        assert_eq!((alert.page, alert.when.minutes(), alert.runbook), (true, 5, OPEN_LONG));
        let both = signal.ticket_when(below(0.5), OPEN_LONG);
        let [page, ticket] = both.alerts() else { panic!("two alerts, not {:?}", both.alerts()) };
        let orders = everywhere.only("service_name", "orders");
        assert_eq!(both.condition(ticket.when, &orders), "max(open{service_name=\"orders\"}) < 0.5");
        assert!(page.page && !ticket.page && ticket.when.is_below());
    }
}
