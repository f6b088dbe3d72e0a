//! What does the operator see?
//!
//! On a terminal one table that is drawn over itself, with what happens above it; elsewhere plain lines, one every
//! few seconds. What a table says is a pure function of a [`View`].

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use super::{
    dependency::{Breaker, Dependency, HEADING},
    histogram::{Histogram, Quantile, short},
};

/// Everything on the screen at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) elapsed: Duration,
    pub(crate) length: Option<Duration>,
    pub(crate) rps: u32,
    pub(crate) rows: Vec<Row>,
    /// Whom the edge calls, and how it stands to them.
    pub(crate) dependencies: Vec<(&'static str, Dependency)>,
    /// Instances that were stopped, if that was asked for.
    pub(crate) kills: Option<usize>,
    /// Processes that ended by themselves.
    pub(crate) deaths: usize,
    /// What to open: a word and where.
    pub(crate) open: Vec<(&'static str, String)>,
}

/// One service, or the users.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Ready ones, and all; `None` for users.
    pub(crate) instances: Option<(usize, usize)>,
    pub(crate) rate: f64,
    pub(crate) errors: u64,
    pub(crate) p50: Option<Quantile>,
    pub(crate) p99: Option<Quantile>,
}

impl Row {
    /// A row from what was counted within `length`; `errors` are those since the start.
    pub(crate) fn new(name: &'static str, durations: &Histogram, errors: u64, length: Duration) -> Self {
        let rate = per_second(durations.total(), length);
        let (p50, p99) = (durations.quantile(0.5), durations.quantile(0.99));
        Row { name, instances: None, rate, errors, p50, p99 }
    }
}

/// Where the operator looks.
#[derive(Debug)]
pub(crate) struct Screen {
    live: bool,
    colour: bool,
    /// The block that is drawn now, to be drawn again below a new line.
    block: Vec<String>,
}

impl Screen {
    /// Standard output, as a terminal or not.
    pub(crate) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let wide = !terminal
            || rustix::termios::tcgetwinsize(io::stdout()).is_ok_and(|size| {
                // A terminal that tells no size is not narrow.
                size.ws_col == 0 || (size.ws_col >= WIDTH && size.ws_row >= HEIGHT)
            });
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen { live: terminal && wide && !dumb, colour: terminal && !plain && !dumb, block: Vec::new() }
    }

    /// Whether it is drawn over itself.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// One line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        let block = std::mem::take(&mut self.block);
        write(&format!("{}{line}\n{}", erase(block.len()), joined(&block)));
        self.block = block;
    }

    /// One line that stays and should be noticed.
    pub(crate) fn warn(&mut self, line: &str) {
        let line = self.paint(line, YELLOW);
        self.say(&line);
    }

    /// How far the start is; drawn over itself, or silent.
    pub(crate) fn progress(&mut self, ready: usize, of: usize, waiting: &[&str]) {
        if self.live {
            self.draw(vec![progress(ready, of, waiting)]);
        }
    }

    /// The table; on anything but a terminal one line.
    pub(crate) fn show(&mut self, view: &View) {
        if self.live {
            self.draw(table(view, self.colour));
        } else {
            self.say(&line(view));
        }
    }

    /// The last block stays where it is, or goes.
    pub(crate) fn settle(&mut self, stays: bool) {
        let block = std::mem::take(&mut self.block);
        if !stays {
            write(&erase(block.len()));
        }
    }

    fn draw(&mut self, block: Vec<String>) {
        write(&format!("{}{}", erase(self.block.len()), joined(&block)));
        self.block = block;
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        paint(text, colour, self.colour)
    }
}

/// `Starting  ########----  8 of 11  waiting for edge-1, edge-2`
fn progress(ready: usize, of: usize, waiting: &[&str]) -> String {
    let bar = "#".repeat(ready) + &"-".repeat(of - ready);
    let mut line = format!("Starting  {bar}  {ready} of {of}");
    if !waiting.is_empty() {
        line += &format!("  waiting for {}", waiting.join(", "));
    }
    line.chars().take(usize::from(WIDTH) - 1).collect()
}

/// The table, line by line.
pub(crate) fn table(view: &View, colour: bool) -> Vec<String> {
    let mut lines = vec![String::new(), format!("  {}", headline(view)), String::new()];
    let heading = ["service", "ready", "rate", "errors", "p50", "p99"].map(str::to_owned);
    lines.push(paint(&cells(&heading), DIM, colour));
    for row in &view.rows {
        if row.instances.is_none() {
            lines.push(String::new());
        }
        lines.push(paint(&cells(&texts(row)), tint(row), colour && !tint(row).is_empty()));
    }
    if !view.dependencies.is_empty() {
        lines.push(String::new());
        lines.push(paint(&cells(&HEADING.map(str::to_owned)), DIM, colour));
    }
    for (target, dependency) in &view.dependencies {
        let tint = match dependency.breaker {
            Breaker::Closed => "",
            Breaker::HalfOpen => YELLOW,
            Breaker::Open => RED,
        };
        lines.push(paint(&cells(&dependency.texts(target)), tint, colour && !tint.is_empty()));
    }
    if !view.open.is_empty() {
        lines.push(String::new());
    }
    lines.extend(view.open.iter().map(|(word, place)| format!("  {word:<6} {place}")));
    lines
}

/// `[ 10s] users 200.1/s 0 errors p50 1.9ms p99 6.2ms | edge 2/2 200/s | …`
pub(crate) fn line(view: &View) -> String {
    let each = view.rows.iter().map(|row| {
        let [name, ready, rate, errors, p50, p99] = texts(row);
        let ready = if ready.is_empty() { ready } else { format!(" {ready}") };
        let errors = if row.errors > 0 || row.instances.is_none() {
            format!(" {errors} errors")
        } else {
            String::new()
        };
        format!("{name}{ready} {rate}{errors} p50 {p50} p99 {p99}")
    });
    // Users first: on one long line they are what matters.
    let (users, services): (Vec<_>, Vec<_>) =
        each.zip(&view.rows).partition(|(_, row)| row.instances.is_none());
    let parts: Vec<String> = users.into_iter().chain(services).map(|(text, _)| text).collect();
    let guards = view.dependencies.iter().map(|(target, dependency)| dependency.line(target));
    format!("[{:>3}s] {}{}", view.elapsed.as_secs(), parts.join(" | "), guards.collect::<String>())
}

fn headline(view: &View) -> String {
    let mut line = format!("{}s", view.elapsed.as_secs());
    if let Some(length) = view.length {
        line += &format!(" of {}s", length.as_secs());
    }
    line += &format!("   {} requests a second   ", view.rps);
    if let Some(kills) = view.kills {
        line += &format!("{kills} stopped and started   ");
    }
    if view.deaths > 0 {
        line += &format!("{} died   ", view.deaths);
    }
    line + "Ctrl-C ends"
}

fn texts(row: &Row) -> [String; 6] {
    let ready = row.instances.map_or_else(String::new, |(ready, all)| format!("{ready}/{all}"));
    let quantile = |q: Option<Quantile>| q.map_or_else(|| "-".to_owned(), |q| q.to_string());
    let rate = if row.rate < 10.0 { format!("{:.1}/s", row.rate) } else { format!("{:.0}/s", row.rate) };
    [row.name.to_owned(), ready, rate, row.errors.to_string(), quantile(row.p50), quantile(row.p99)]
}

/// The first column to the left, figures to the right.
pub(crate) fn cells(texts: &[String; 6]) -> String {
    let [name, ready, rate, errors, p50, p99] = texts;
    format!("  {name:<16}{ready:>7}{rate:>11}{errors:>9}{p50:>10}{p99:>10}")
}

/// What should be noticed first: errors, then who is missing.
fn tint(row: &Row) -> &'static str {
    match row.instances {
        _ if row.errors > 0 => RED,
        Some((ready, all)) if ready < all => YELLOW,
        Some(_) => "",
        None => BOLD,
    }
}

fn paint(text: &str, colour: &str, on: bool) -> String {
    if on { format!("{colour}{text}{RESET}") } else { text.to_owned() }
}

/// Back to the first line of the block, and everything below it gone.
fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\r\x1b[{lines}A\x1b[J") }
}

fn joined(block: &[String]) -> String {
    block.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// A closed output must not end the fleet in disorder.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// So many within `length`, by the second; none in no time.
pub(crate) fn per_second(count: u64, length: Duration) -> f64 {
    if length.is_zero() { 0.0 } else { count as f64 / length.as_secs_f64() }
}

/// A length in the words of a summary.
pub(crate) fn seconds(length: Duration) -> String {
    if length < Duration::from_secs(10) { short(length) } else { format!("{:.1}s", length.as_secs_f64()) }
}

/// What the table needs; on less it would wrap and could not be drawn over.
const WIDTH: u16 = 80;
const HEIGHT: u16 = 23;
const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Option<Quantile> {
        Some(Quantile::About(Duration::from_millis(ms)))
    }

    fn view() -> View {
        let below = Some(Quantile::Below(Duration::from_millis(5)));
        View {
            elapsed: Duration::from_millis(12_345),
            length: Some(Duration::from_secs(20)),
            rps: 200,
            rows: vec![
                Row {
                    name: "edge",
                    instances: Some((2, 2)),
                    rate: 199.8,
                    errors: 0,
                    p50: below,
                    p99: ms(14),
                },
                Row {
                    name: "catalog",
                    instances: Some((2, 3)),
                    rate: 8.25,
                    errors: 0,
                    p50: below,
                    p99: below,
                },
                Row {
                    name: "ratings",
                    instances: Some((3, 3)),
                    rate: 80.0,
                    errors: 2,
                    p50: below,
                    p99: below,
                },
                Row { name: "recommendations", instances: Some((3, 3)), ..Row::default() },
                Row { name: "users", instances: None, rate: 199.8, errors: 0, p50: ms(2), p99: ms(16) },
            ],
            dependencies: vec![
                ("catalog", Dependency { repeats: 3, budget: Some(0.98), ..Dependency::default() }),
                (
                    "ratings",
                    Dependency {
                        breaker: Breaker::Open,
                        repeats: 12,
                        refusals: 640,
                        degraded: 702,
                        budget: Some(0.8),
                    },
                ),
                ("recommendations", Dependency::default()),
            ],
            kills: Some(3),
            deaths: 0,
            open: vec![("edge", "http://127.0.0.1:8080/".to_owned())],
        }
    }

    #[test]
    fn the_table_is_one_picture() {
        let expected = "
  12s of 20s   200 requests a second   3 stopped and started   Ctrl-C ends

  service           ready       rate   errors       p50       p99
  edge                2/2      200/s        0      <5ms      14ms
  catalog             2/3      8.2/s        0      <5ms      <5ms
  ratings             3/3       80/s        2      <5ms      <5ms
  recommendations     3/3      0.0/s        0         -         -

  users                        200/s        0       2ms      16ms

  the edge calls   budget    breaker  refused   repeats  degraded
  catalog             98%     closed        0         3         0
  ratings             80%       open      640        12       702
  recommendations       -     closed        0         0         0

  edge   http://127.0.0.1:8080/";
        assert_eq!(table(&view(), false).join("\n"), expected);
    }

    #[test]
    fn colours_change_no_letter_and_mark_what_is_wrong() {
        let plain = table(&view(), false);
        let coloured = table(&view(), true);
        let stripped = |line: &String| {
            [RESET, BOLD, DIM, RED, YELLOW].iter().fold(line.clone(), |line, code| line.replace(code, ""))
        };
        assert_eq!(coloured.iter().map(stripped).collect::<Vec<_>>(), plain);
        let of = |name: &str| coloured.iter().find(|line| line.contains(name)).unwrap();
        assert!(of("catalog").starts_with(YELLOW), "one is missing");
        assert!(of("ratings").starts_with(RED), "errors");
        assert_eq!(of("edge  "), plain.iter().find(|line| line.contains("edge  ")).unwrap());
    }

    #[test]
    fn without_a_terminal_one_line_says_the_same() {
        assert_eq!(
            line(&view()),
            "[ 12s] users 200/s 0 errors p50 2ms p99 16ms | edge 2/2 200/s p50 <5ms p99 14ms | \
             catalog 2/3 8.2/s p50 <5ms p99 <5ms | ratings 3/3 80/s 2 errors p50 <5ms p99 <5ms | \
             recommendations 3/3 0.0/s p50 - p99 - | to catalog: 3 repeats budget 98% | \
             to ratings: breaker open 640 refused 12 repeats 702 degraded budget 80%"
        );
    }

    #[test]
    fn progress_fits_on_one_line() {
        assert_eq!(
            progress(2, 4, &["edge-1", "edge-2"]),
            "Starting  ##--  2 of 4  waiting for edge-1, edge-2"
        );
        assert_eq!(progress(4, 4, &[]), "Starting  ####  4 of 4");
        assert!(progress(0, 11, &["recommendations-1"; 11]).len() < 80);
    }

    #[test]
    fn a_rate_is_taken_over_its_length() {
        let mut durations = Histogram::default();
        durations.count(Duration::ZERO, Some(Duration::from_millis(5)), 50);
        assert_eq!(Row::new("edge", &durations, 0, Duration::from_secs(5)).rate, 10.0);
        assert_eq!(Row::new("edge", &durations, 0, Duration::ZERO).rate, 0.0);
    }
}
