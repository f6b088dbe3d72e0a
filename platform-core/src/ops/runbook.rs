//! What does somebody read who was woken?
//!
//! One page per alert, in the words of the room that knows. A team writes what it learns into the same file: it is a
//! beginning and not a product, so it is written once and never again.

use std::fmt::Write as _;

use super::Rendered;
use crate::telemetry::catalogue::{Catalogue, Runbook, Signal};

/// A page for each alert of the catalogue, and one for objectives.
pub fn runbooks(catalogue: &Catalogue) -> Vec<Rendered> {
    let burn = page("The error budget burns too fast", true, true, &BURN_RUNBOOK);
    std::iter::once(burn).chain(declared(catalogue)).collect()
}

/// A page for each alert of the catalogue.
pub(super) fn declared(catalogue: &Catalogue) -> Vec<Rendered> {
    let page_of = |signal: &Signal| {
        let alerts = signal.alerts();
        let wakes = alerts.iter().any(|alert| alert.page);
        let waits = alerts.iter().any(|alert| !alert.page);
        Some(page(signal.title(), wakes, waits, &alerts.first()?.runbook))
    };
    catalogue.signals().filter_map(page_of).collect()
}

fn page(title: &str, wakes: bool, waits: bool, runbook: &Runbook) -> Rendered {
    let Runbook { name, means, look, act } = runbook;
    let mut text = format!("# {title}\n\n{means}\n\n");
    if wakes && waits {
        text += "At first this wakes nobody. Where it is worse: ";
    }
    text += if wakes {
        "This wakes the service's owner, and after 30 minutes the owner's parent as well. Whoever works on it silences \
         it, so that nobody else has to.\n"
    } else {
        "This wakes nobody.\n"
    };
    text += "\n## Look\n\n";
    list(look, &mut text);
    text += "\n## Act\n\n";
    list(act, &mut text);
    text += "\n## What we have learned\n\nWrite here what it was, how you found out, and what you wish had stood above.\n";
    Rendered { name: format!("{name}.md"), text }
}

fn list(points: &[&str], text: &mut String) {
    for (number, point) in (1..).zip(points) {
        let _ = writeln!(text, "{number}. {point}");
    }
}

/// For every objective.
pub(super) const BURN_RUNBOOK: Runbook = Runbook {
    name: "error-budget-burn",
    means: "The service fails its users, or is too slow for them, so often that what it promised for a month will be \
            broken early. The alert says which promise, and which version is worst.",
    look: &[
        "What changed? The admin page lists the last changes of a process; a new version is in \"Processes\".",
        "The service's board: which route, since when, only one version or zone?",
        "The board of its dependencies: is a breaker open, does a target fail? Then the owner of that one is who can \
         help.",
        "Is somebody injecting a fault on purpose? \"Injected faults\", and `/platform/faults` on the admin page.",
        "One request: a dot on the latency panel is a trace, and its canonical line says `why`.",
    ],
    act: &[
        "If it is one version, take it back, or give it no share: `balance.variants` and `balance.versions` of its \
         callers.",
        "If it is one zone, evacuate it: `PUT /platform/zones/ZONE`.",
        "If it is a dependency, answer without it where that is better than an error.",
        "If it is load, see the overload board; what is refused on purpose keeps the rest alive.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_a_page_for_a_person() {
        let pages = runbooks(&crate::catalogue());
        let page = pages.iter().find(|page| page.name == "breaker-open.md").unwrap();
        for part in
            ["# Refused by an open breaker\n", "This wakes", "\n## Look\n\n1. ", "\n## Act\n\n1. Call"]
        {
            assert!(page.text.contains(part), "{part:?} in\n{}", page.text);
        }
        for page in &pages {
            assert!(page.text.matches("\n1. ").count() == 2, "{}", page.text);
        }
    }
}
