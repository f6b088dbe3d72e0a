//! A peer scripted by hand: it remembers what it heard, and does what it is told.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use platform_core::{App, config::Config, context};
use platform_http::{Client, client::Builder};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What the peer does with a request.
pub(crate) enum Does {
    /// Writes these bytes and keeps the connection.
    Say(String),
    /// Writes these bytes and says no more, without closing.
    Begin(String),
    /// Writes these bytes and closes.
    End(String),
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

type Script = Arc<dyn Fn(&Heard) -> Does + Send + Sync>;

impl Heard {
    /// The values under a name, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

impl Peer {
    pub(crate) async fn open(script: impl Fn(&Heard) -> Does + Send + Sync + 'static) -> Peer {
        Peer::accepting(script, |tcp| async { Some(tcp) }).await
    }

    /// The same at an address.
    pub(crate) async fn at(
        address: SocketAddr,
        script: impl Fn(&Heard) -> Does + Send + Sync + 'static,
    ) -> Peer {
        let listener = TcpListener::bind(address).await.expect("it is free");
        Peer::on(listener, script, |tcp| async { Some(tcp) })
    }

    /// The same behind something that is done to each connection first.
    pub(crate) async fn accepting<F, Fut, S>(
        script: impl Fn(&Heard) -> Does + Send + Sync + 'static,
        accept: F,
    ) -> Peer
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        Peer::on(listener, script, accept)
    }

    fn on<F, Fut, S>(
        listener: TcpListener,
        script: impl Fn(&Heard) -> Does + Send + Sync + 'static,
        accept: F,
    ) -> Peer
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let script: Script = Arc::new(script);
        let (into, counted) = (Arc::clone(&heard), Arc::clone(&connections));
        context::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Relaxed);
                let accepted = accept(tcp);
                let (script, heard) = (Arc::clone(&script), Arc::clone(&into));
                context::spawn(async move {
                    if let Some(stream) = accepted.await {
                        converse(stream, &script, &heard).await;
                    }
                });
            }
        });
        Peer { address, connections, heard }
    }

    pub(crate) fn target(&self) -> String {
        format!("fixed://{}", self.address)
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no peer panics").clone()
    }

    /// The only request that it heard.
    pub(crate) fn only(&self) -> Heard {
        let heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.into_iter().next().expect("one")
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: &Script,
    heard: &Mutex<Vec<Heard>>,
) {
    let mut read = Vec::new();
    while let Some(request) = listen(&mut stream, &mut read).await {
        let does = script(&request);
        heard.lock().expect("no test panics with it").push(request);
        let (Does::Say(text) | Does::Begin(text) | Does::End(text)) = &does;
        if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match does {
            Does::Say(_) => {}
            Does::Begin(_) => std::future::pending().await,
            Does::End(_) => return,
        }
    }
}

async fn listen<S: AsyncRead + Unpin>(stream: &mut S, read: &mut Vec<u8>) -> Option<Heard> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).expect("a head is text");
    let mut lines = head.split("\r\n").map(str::to_owned);
    let line = lines.next().unwrap_or_default();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        read.drain(..end + 4);
        let body = chunks(stream, read).await?;
        return Some(Heard { line, headers, body });
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().expect("a length"));
    while read.len() < end + 4 + length {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    let body = read[end + 4..end + 4 + length].to_vec();
    read.drain(..end + 4 + length);
    Some(Heard { line, headers, body })
}

/// A body of unknown length, to its last chunk.
async fn chunks<S: AsyncRead + Unpin>(stream: &mut S, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        while let Some(end) = read.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&read[..end]).ok()?;
            let size = usize::from_str_radix(size, 16).expect("a chunk begins with its size");
            if read.len() < end + 2 + size + 2 {
                break;
            }
            body.extend_from_slice(&read[end + 2..end + 2 + size]);
            read.drain(..end + 2 + size + 2);
            if size == 0 {
                return Some(body);
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// A reply in full.
pub(crate) fn reply(status: &str, headers: &[(&str, &str)], body: &str) -> Does {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").expect("writing to a String cannot fail");
    }
    Does::Say(text + "\r\n" + body)
}

pub(crate) fn ok(body: &str) -> Does {
    reply("200 OK", &[], body)
}

/// A service with this configuration.
pub(crate) async fn app(toml: &str) -> App {
    let config = Config::builder().toml(toml).load().expect("TOML");
    App::builder("edge").version("1.4.2").config(config).start().await.expect("an App")
}

/// A client named `catalog` of one peer.
pub(crate) fn builder(app: &App, peer: &Peer) -> Builder {
    Client::builder(app, "catalog").target(peer.target())
}

pub(crate) async fn client(peer: &Peer) -> Client {
    builder(&app("").await, peer).build().expect("a client")
}
