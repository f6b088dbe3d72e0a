//! What does a scene cost, played again and again in a process of its own?

use std::io;

use platform_core::{Error, ErrorKind, Result};

use crate::{
    child::{Orders, Program, Taken, take},
    measure::{has_valgrind, instructions_of_calls},
    options::Options,
    table::{Report, Table},
};

/// Scenes that this binary plays when the first of its arguments says so: `VERB SCENE N`.
pub(crate) struct Scenes<S: 'static> {
    pub(crate) verb: &'static str,
    pub(crate) all: &'static [S],
}

/// One that can be played.
pub(crate) trait Scene {
    /// What it is asked for by.
    fn name(&self) -> &'static str;

    /// Its row's first cell.
    fn about(&self) -> &'static str;

    /// What the result that tells its `instructions` or `allocations` is called.
    fn result(&self, what: &str) -> String;

    /// Plays it so many times.
    ///
    /// # Errors
    /// It cannot be set, or a play failed; a system that does not tell the time spent on a CPU.
    fn play(&self, orders: Orders) -> io::Result<Taken>;
}

impl<S: Scene> Scenes<S> {
    /// Plays the one that these words name, and prints what it took.
    ///
    /// # Errors
    /// A scene that does not exist; what [`Scene::play`] says.
    pub(crate) fn play(&self, words: &[String]) -> Result<()> {
        let usage = |why: String| Error::new(ErrorKind::Usage, why);
        let (name, orders) = words.split_first().ok_or_else(|| usage("which scene?".to_owned()))?;
        let scene = self.all.iter().find(|scene| scene.name() == name);
        let scene = scene.ok_or_else(|| usage(format!("no scene is named {name}")))?;
        let verb = self.verb;
        let orders = Orders::parse(orders.iter().map(String::as_str))
            .ok_or_else(|| usage(format!("{verb} {name}: N")))?;
        let taken = scene.play(orders).map_err(|error| {
            Error::new(ErrorKind::Start, format!("{verb} {name} cannot be done")).with_source(error)
        })?;
        println!("{taken}");
        Ok(())
    }

    /// What one play of each costs.
    ///
    /// # Errors
    /// A child cannot be run.
    pub(crate) fn cost(&self, options: &Options, remark: &str) -> Result<Report> {
        let mut report = Report {
            table: Table::new(&["what", "instructions", "ns", "allocations"]),
            remarks: vec![remark.to_owned()],
            results: Vec::new(),
        };
        let counts = options.instructions && has_valgrind();
        if options.instructions && !counts {
            report.remarks.push("Without valgrind no instructions are counted.".into());
        }
        for scene in self.all {
            let this = Program::this()?;
            let playing =
                |times: u64| this.with([self.verb, scene.name(), &times.to_string()].map(str::to_owned));
            let times = options.stretch.to;
            let taken = take(playing(times).under::<&str>(&[]))?;
            let each = |all: u64| all as f64 / times as f64;
            let instructions =
                if counts { Some(instructions_of_calls(playing, &[], options.stretch)?) } else { None };
            let shown = instructions.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
            let allocations = format!("{:.2}", each(taken.allocations));
            report.table.row(vec![
                scene.about().to_owned(),
                shown.clone(),
                format!("{:.0}", each(taken.nanoseconds)),
                allocations.clone(),
            ]);
            if instructions.is_some() {
                report.results.push((scene.result("instructions"), shown));
            }
            report.results.push((scene.result("allocations"), allocations));
        }
        Ok(report)
    }
}
