//! What did all services say about one request?

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde_json::Value;

use super::folder::Folder;

/// What one service said about the request: its canonical line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) instance: String,
    line: Value,
}

/// The canonical lines of the request with this id, in the order of time: the trace id of the one that the edge
/// wrote, then every line of that trace. `None` if no log knows the id.
pub(crate) fn of_request(
    folder: &Folder,
    instances: &[String],
    request_id: &str,
) -> Option<(String, Vec<Told>)> {
    let all = |word: &str| {
        let each = instances.iter().map(|instance| canonical(&folder.log(instance), instance, word));
        each.flatten().collect::<Vec<Told>>()
    };
    let found = all(request_id).into_iter().find(|told| told.text("request_id") == request_id)?;
    let trace = found.text("trace_id").to_owned();
    let mut lines = all(&trace);
    lines.retain(|told| told.text("trace_id") == trace);
    // Written when a request ends: callers after whom they called.
    lines.sort_by(|a, b| a.text("timestamp").cmp(b.text("timestamp")));
    Some((trace, lines))
}

impl Told {
    /// `catalog-2  12:03:04.123456  GET /films  200  0.4ms  ok  attempts 0  trace 4bf9…`
    pub(crate) fn show(&self) -> String {
        let time = self.text("timestamp").split(['T', 'Z']).nth(1).unwrap_or_default();
        let number = |key: &str| self.line.get(key).map(Value::to_string).unwrap_or_default();
        let (method, route, status) = match self.text("rpc.method") {
            "" => (
                self.text("http.request.method"),
                self.text("http.route"),
                number("http.response.status_code"),
            ),
            call => ("rpc", call, self.text("rpc.response.status_code").to_owned()),
        };
        let took = self.line.get("duration_ms").and_then(Value::as_f64).unwrap_or_default();
        format!(
            "{:<24} {time:<15} {:<4} {:<22} {} {took:>8.3}ms {} attempts={} trace_id={}",
            self.instance,
            method,
            route,
            status,
            self.text("outcome"),
            number("attempts"),
            self.text("trace_id"),
        )
    }

    fn text(&self, key: &str) -> &str {
        self.line.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The canonical lines of a log that contain `word`.
fn canonical(log: &Path, instance: &str, word: &str) -> Vec<Told> {
    // An instance without a log said nothing.
    let lines =
        File::open(log).into_iter().flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
    lines
        .filter(|line| line.contains(word))
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter(|line| line.get("message").and_then(Value::as_str) == Some("request"))
        .map(|line| Told { instance: instance.to_owned(), line })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_request_is_followed_through_the_logs_of_all() {
        let folder = Folder::create(false).unwrap();
        let line = |at: &str, message: &str, trace: &str, request: &str, route: &str| {
            format!(
                r#"{{"timestamp":"2026-01-01T00:00:0{at}Z","level":"info","message":"{message}","trace_id":"{trace}","request_id":"{request}","http.request.method":"GET","http.route":"{route}","http.response.status_code":200,"duration_ms":1.204,"outcome":"ok","attempts":2}}"#
            )
        };
        let edge = [
            line("1", "request", "t0", "r0", "/"),
            "error: not JSON r1".to_owned(),
            line("3", "something about r1", "t1", "r1", "/"),
            line("4", "request", "t1", "r1", "/"),
        ];
        fs::write(folder.log("edge-1"), edge.join("\n")).unwrap();
        fs::write(folder.log("catalog-2"), line("2", "request", "t1", "t1", "/films")).unwrap();
        let call = r#"{"timestamp":"2026-01-01T00:00:03Z","message":"request","trace_id":"t1","request_id":"t1","rpc.method":"film.Ratings/Get","rpc.response.status_code":"OK","duration_ms":0.3,"outcome":"ok","attempts":0}"#;
        fs::write(folder.log("ratings-1"), call).unwrap();
        let instances = ["edge-1", "catalog-2", "ratings-1"].map(str::to_owned);

        let (trace, lines) = of_request(&folder, &instances, "r1").unwrap();
        assert_eq!(trace, "t1");
        let shown: Vec<String> = lines.iter().map(Told::show).collect();
        assert_eq!(
            shown,
            [
                "catalog-2                00:00:02        GET  /films                 200    1.204ms ok attempts=2 trace_id=t1",
                "ratings-1                00:00:03        rpc  film.Ratings/Get       OK    0.300ms ok attempts=0 trace_id=t1",
                "edge-1                   00:00:04        GET  /                      200    1.204ms ok attempts=2 trace_id=t1",
            ]
        );
        assert_eq!(of_request(&folder, &instances, "r9"), None);
    }
}
