//! A table that a person can read, and lines that a program can.

use std::fmt;

/// What a measurement hands back.
#[derive(Debug)]
pub(crate) struct Report {
    /// Prints first.
    pub(crate) table: Table,
    /// One remark each: what was left out and why, how to read the figures.
    pub(crate) remarks: Vec<String>,
    /// Prints last, as `result: KEY VALUE`.
    pub(crate) results: Vec<(String, String)>,
}

/// Rows under a heading; the first column is aligned left, figures right.
#[derive(Debug)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with its heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Table(vec![heading.iter().map(ToString::to_string).collect()])
    }

    /// Adds a row; missing cells at its end stay empty.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        self.0.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        for (number, row) in self.0.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join(GAP).trim_end())?;
            if number == 0 {
                let lines = widths.iter().map(|width| "-".repeat(*width));
                writeln!(f, "{}", lines.collect::<Vec<_>>().join(GAP))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table)?;
        for remark in &self.remarks {
            writeln!(f, "{remark}")?;
        }
        writeln!(f)?;
        for (key, value) in &self.results {
            writeln!(f, "result: {key} {value}")?;
        }
        Ok(())
    }
}

const GAP: &str = "  ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_ends_with_its_results() {
        let mut table = Table::new(&["server", "CPU µs", "allocations"]);
        table.row(vec!["axum".into(), "8.25".into(), "14.5".into()]);
        table.row(vec!["bare hyper".into(), "10.00".into()]);
        let results = vec![("server_cpu_us_axum".into(), "8.25".into())];
        let report = Report { table, remarks: vec!["valgrind is missing".into()], results };
        let expected = "\
server      CPU µs  allocations
----------  ------  -----------
axum          8.25         14.5
bare hyper   10.00

valgrind is missing

result: server_cpu_us_axum 8.25
";
        assert_eq!(report.to_string(), expected);
    }
}
