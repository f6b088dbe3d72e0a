//! A server's guards as data, for the admin page.

use super::{Guarding, ServerGuards};
use crate::stack::{Row, Storey, describe::settings};

impl ServerGuards {
    /// The guards in the order in which they are asked, with what is in force.
    pub fn describe(&self) -> Vec<Row> {
        let row = |guard: Guarding, question| Row::new(Storey::Request, guard.as_str(), question);
        let mut rows = vec![
            row(Guarding::Expired, "Does anybody wait for it?"),
            row(Guarding::RateLimit, "How often may this tenant ask?"),
            row(Guarding::FairShare, "Who asks for more than others, when not all can stay?"),
            row(Guarding::Shed, "Whose request goes, when not all can stay?"),
            row(Guarding::Concurrency, "How much can we bear right now, and who waits?"),
        ];
        rows[1].settings = settings(&self.policy.rate_limit);
        rows[3].settings = settings(&self.policy.shed);
        rows[4].settings = settings(&self.policy.concurrency);
        for (row, guard) in rows.iter_mut().zip(Guarding::ALL) {
            row.settings.insert("mode".to_owned(), self.mode(guard).to_string());
        }
        for class in &self.classes[1..] {
            let mut row = row(Guarding::Concurrency, "How much can this class of requests bear right now?");
            row.settings = settings(&class.policy.concurrency);
            row.settings.insert("class".to_owned(), class.name.to_string());
            row.settings.insert("mode".to_owned(), class.limits().to_string());
            rows.push(row);
        }
        rows
    }
}
