//! What does a server do when it always has something to do?
//!
//! A closed loop over raw HTTP/1: each connection sends its next request when the last is answered. No HTTP
//! library: the generator must cost less than what it measures, or the server would wait for it and its
//! wake-ups would be counted as work.

use std::net::Ipv4Addr;

use platform_core::{Error, ErrorKind, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

/// Open connections to one server, quiet between runs.
pub(crate) struct Load {
    connections: Vec<Connection>,
    asking: Asking,
}

/// What is asked over and over, and how every answer has to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    request: &'static [u8],
    answer: &'static str,
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this many requests on each connection.
    Each(u64),
    /// With the first answer after this moment, on each connection.
    Time(Instant),
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Load {
    /// Opens `connections` connections to a port of this machine.
    ///
    /// # Errors
    /// The server does not accept.
    pub(crate) async fn connect(port: u16, connections: usize, asking: Asking) -> Result<Self> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            open.push(Connection { stream, buffer: Vec::with_capacity(BUFFER) });
        }
        Ok(Load { connections: open, asking })
    }

    /// Asks on all connections; says how many requests were answered. Afterwards nothing is under way.
    ///
    /// # Errors
    /// A connection is lost, or an answer is another one or has no length.
    pub(crate) async fn run(&mut self, until: Until) -> Result<u64> {
        let mut under_way = JoinSet::new();
        for connection in self.connections.drain(..) {
            under_way.spawn(connection.run(until, self.asking));
        }
        let mut answered = 0;
        while let Some(ended) = under_way.join_next().await {
            let (connection, count) = ended.expect("a connection neither panics nor is aborted")?;
            self.connections.push(connection);
            answered += count;
        }
        Ok(answered)
    }
}

impl Until {
    fn wants_more(self, done: u64) -> bool {
        match self {
            Until::Each(requests) => done < requests,
            Until::Time(end) => Instant::now() < end,
        }
    }
}

impl Connection {
    async fn run(mut self, until: Until, asking: Asking) -> Result<(Self, u64)> {
        let mut done = 0;
        while until.wants_more(done) {
            self.ask(asking).await?;
            done += 1;
        }
        Ok((self, done))
    }

    async fn ask(&mut self, asking: Asking) -> Result<()> {
        self.stream.write_all(asking.request).await.map_err(lost)?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await.map_err(lost)? == 0 {
                return Err(Error::new(ErrorKind::Upstream, "the server closed a connection in the middle"));
            }
            match answer_length(&self.buffer, asking.answer)? {
                Some(length) if length == self.buffer.len() => return Ok(()),
                Some(length) if length < self.buffer.len() => {
                    return Err(Error::new(ErrorKind::Upstream, "the server sent more than its answer"));
                }
                _ => {}
            }
        }
    }
}

/// Bytes of the whole answer, head and body, once its head is complete; it has to begin as `expected`.
fn answer_length(bytes: &[u8], expected: &str) -> Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = &bytes[..head];
    let refused = |why: &str| {
        let head = String::from_utf8_lossy(text);
        Err(Error::new(ErrorKind::Upstream, format!("{why}: {head}")))
    };
    if !text.starts_with(expected.as_bytes()) {
        return refused(&format!("the answer does not begin with `{expected}`"));
    }
    let mut lines = text.split(|byte| *byte == b'\n');
    match lines.find_map(content_length) {
        Some(body) => Ok(Some(head + 4 + body)),
        None => refused("the answer has no content-length"),
    }
}

fn content_length(line: &[u8]) -> Option<usize> {
    let (name, value) = line.split_at_checked(LENGTH.len())?;
    if !name.eq_ignore_ascii_case(LENGTH) {
        return None;
    }
    str::from_utf8(value).ok()?.trim().parse().ok()
}

fn lost(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the server's connection is lost").with_source(error)
}

const LENGTH: &[u8] = b"content-length:";
/// What a small client really sends.
pub(crate) const HELLO: Asking = Asking {
    request: b"GET /hello HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: platform-lab\r\naccept: application/json\r\n\r\n",
    answer: "HTTP/1.1 200 ",
};
/// The same when nobody waits for the answer any more, which a guard refuses whatever else is asked.
pub(crate) const EXPIRED: Asking = Asking {
    request:
        b"GET /hello HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: platform-lab\r\naccept: application/json\r\n\
        platform-timeout-ms: 0\r\n\r\n",
    answer: "HTTP/1.1 504 ",
};
/// Larger than any answer that is measured, so that one read takes it whole.
const BUFFER: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_content_length_says() {
        // Bytes so far, and how many are still to come; `None` while the head does not yet say.
        let rows: [(&str, Option<usize>); 5] = [
            ("", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", Some(2)),
            ("HTTP/1.1 200 OK\r\nContent-Length:2\r\nx: y\r\n\r\n{}", Some(0)),
            ("HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 19\r\n\r\n{", Some(18)),
        ];
        for (bytes, to_come) in rows {
            let expected = to_come.map(|to_come| bytes.len() + to_come);
            assert_eq!(answer_length(bytes.as_bytes(), HELLO.answer).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_counted_is_an_error() {
        let rows = [
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        ];
        for bytes in rows {
            let error = answer_length(bytes.as_bytes(), HELLO.answer).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Upstream, "{bytes:?}");
        }
    }
}
