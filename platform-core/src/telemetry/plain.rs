//! How do readers of the older text format see our metrics?
//!
//! prometheus-client writes OpenMetrics only. `curl | promtool check metrics`, and agents that do not ask for
//! OpenMetrics, read Prometheus' text format 0.0.4: it names a counter's family with its `_total`, knows no
//! info, no unit and no end mark, and takes an exemplar for a broken timestamp.

/// The same metrics in text format 0.0.4.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            // The help waits for the type, which decides the name.
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([without_exemplar(line), "\n"]);
        }
    }
    out
}

/// Cuts ` # {…} …` behind the value; a ` # ` inside a label's value stays.
fn without_exemplar(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line[..index].trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_same_in_the_older_words() {
        let new = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{a=\"x # {\\\"\"} 3\n\
                   # HELP me About.\n# TYPE me info\nme_info{why=\"\"} 1\n\
                   # HELP t_seconds Time.\n# TYPE t_seconds histogram\n# UNIT t_seconds seconds\n\
                   t_seconds_sum{} 0.5\nt_seconds_count{} 1\n\
                   t_seconds_bucket{le=\"+Inf\"} 1 # {trace_id=\"ab\"} 0.5 1.5\n# EOF\n";
        let old = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{a=\"x # {\\\"\"} 3\n\
                   # HELP me_info About.\n# TYPE me_info gauge\nme_info{why=\"\"} 1\n\
                   # HELP t_seconds Time.\n# TYPE t_seconds histogram\n\
                   t_seconds_sum{} 0.5\nt_seconds_count{} 1\nt_seconds_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(from_openmetrics(new), old);
    }
}
