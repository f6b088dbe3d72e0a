//! A service that says what it hears, on a free port, and a channel to it.

use std::{
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use futures_util::{Stream, StreamExt as _, stream};
use platform_core::{
    App, Error, ErrorKind, Result,
    app::Ended,
    config::Config,
    context,
    lifecycle::Phase,
    stack::ClientPolicy,
    telemetry::log::{Captured, Output},
};
use platform_grpc::{Channel, OrStatus as _, Services};
use platform_grpc_protos::{
    DESCRIPTORS, Word,
    echo_client::EchoClient,
    echo_server::{Echo, EchoServer},
};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status, Streaming};

/// One service, and its lines.
pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<AtomicU32>,
    lines: Captured,
    running: JoinHandle<Result<Ended>>,
}

/// Says what it hears, as the word wants it.
#[derive(Clone, Default)]
pub(crate) struct Says {
    asked: Arc<AtomicU32>,
}

impl Says {
    async fn say_so(&self, word: Word) -> Result<Word, Status> {
        self.asked.fetch_add(1, Relaxed);
        tokio::time::sleep(Duration::from_millis(word.wait_ms.into())).await;
        match word.text.as_str() {
            "panic" => panic!("as the word wanted"),
            "full" => {
                let error = Error::new(ErrorKind::Overloaded, "42 calls wait").at_layer("test");
                Err(error.retry_after(Duration::from_millis(30))).or_status()
            }
            _ if word.code != 0 => {
                Err(Status::new(Code::from_i32(word.code.try_into().expect("a code")), word.text))
            }
            "left" => {
                let left = context::with_current(|context| {
                    context.deadline().map(|deadline| deadline.remaining(context.now()).as_millis())
                });
                Ok(Word { text: format!("{:?}", left.flatten()), ..Word::default() })
            }
            "asked" => Ok(Word { text: self.asked.load(Relaxed).to_string(), ..Word::default() }),
            _ => Ok(word),
        }
    }
}

type Words = Pin<Box<dyn Stream<Item = Result<Word, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Says {
    async fn say(&self, request: Request<Word>) -> Result<Response<Word>, Status> {
        let text = request.metadata().get("echo-initial").cloned();
        let bytes = request.metadata().get_bin("echo-bin").cloned();
        let mut reply = Response::new(self.say_so(request.into_inner()).await?);
        if let (Some(text), Some(bytes)) = (text, bytes) {
            reply.metadata_mut().insert("echo-initial", text);
            reply.metadata_mut().insert_bin("echo-bin", bytes);
        }
        Ok(reply)
    }

    async fn add(&self, request: Request<Word>) -> Result<Response<Word>, Status> {
        Ok(Response::new(self.say_so(request.into_inner()).await?))
    }

    type RepeatStream = Words;

    async fn repeat(&self, request: Request<Word>) -> Result<Response<Words>, Status> {
        let (says, word) = (self.clone(), request.into_inner());
        let words = stream::iter(0..word.times).then(move |number| {
            let (says, word) = (says.clone(), word.clone());
            async move {
                let text = if word.text.is_empty() { number.to_string() } else { word.text.clone() };
                says.say_so(Word { text, ..word }).await
            }
        });
        Ok(Response::new(Box::pin(words)))
    }

    async fn join(&self, request: Request<Streaming<Word>>) -> Result<Response<Word>, Status> {
        let mut words = request.into_inner();
        let mut text = String::new();
        while let Some(word) = words.message().await? {
            text.push_str(&word.text);
        }
        Ok(Response::new(self.say_so(Word { text, ..Word::default() }).await?))
    }

    type ChatStream = Words;

    async fn chat(&self, request: Request<Streaming<Word>>) -> Result<Response<Words>, Status> {
        let says = self.clone();
        let words = request.into_inner().then(move |word| {
            let says = says.clone();
            async move { says.say_so(word?).await }
        });
        Ok(Response::new(Box::pin(words)))
    }
}

impl House {
    pub(crate) async fn open(toml: &str) -> House {
        House::with(toml, |services| services).await
    }

    /// One at this address.
    pub(crate) async fn open_at(address: SocketAddr) -> House {
        House::listening("", address, |services| services).await
    }

    pub(crate) async fn with(toml: &str, change: impl FnOnce(Services) -> Services) -> House {
        House::listening(toml, SocketAddr::from(([127, 0, 0, 1], 0)), change).await
    }

    async fn listening(toml: &str, address: SocketAddr, change: impl FnOnce(Services) -> Services) -> House {
        let config = Config::builder()
            .toml(toml)
            .set("server.listen", address.to_string())
            .set("admin.listen", "127.0.0.1:0")
            .set("discovery.register.mode", "off")
            .load()
            .expect("a good configuration");
        let lines = Captured::default();
        let app = App::builder("echo").config(config).log_to(Output::to(lines.clone()));
        let app = app.start().await.expect("a good start");
        for client in app.config().names("clients") {
            // It is made when the address is known, after the start.
            app.config().claim(&format!("clients.{client}")).expect("a name");
        }
        let says = Says::default();
        let asked = Arc::clone(&says.asked);
        let echo = EchoServer::new(says).max_decoding_message_size(1024 * 1024);
        let echo =
            echo.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
        let services = Services::new()
            .service(echo)
            .descriptors(DESCRIPTORS)
            .beside(Router::new().route("/hello", get(|| async { "hello" })));
        platform_grpc::prepare(&app, change(services)).expect("good services");
        let running = context::spawn(app.clone().run_until_stopped());
        soon(app.phases().reached(Phase::Ready)).await;
        let address = app.address("http").expect("ready, so it listens");
        House { app, address, asked, lines, running }
    }

    pub(crate) fn channel(&self, name: &str) -> Channel {
        Channel::builder(&self.app, name)
            .target(format!("fixed://{}", self.address))
            .descriptors(DESCRIPTORS)
            .build()
            .expect("a channel")
    }

    pub(crate) fn client(&self) -> EchoClient<Channel> {
        EchoClient::new(self.channel("echo"))
    }

    /// A client of its own policy.
    pub(crate) fn tuned(
        &self,
        change: impl FnOnce(&mut ClientPolicy) + Send + 'static,
    ) -> EchoClient<Channel> {
        let channel = Channel::builder(&self.app, "echo").target(format!("fixed://{}", self.address));
        EchoClient::new(channel.descriptors(DESCRIPTORS).policy(change).build().expect("a channel"))
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Relaxed)
    }

    /// The sum of the series of `name` that have all of `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.app.metrics().encode();
        let ours = text.lines().filter(|line| {
            line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
        });
        ours.filter_map(|line| line.split("} ").nth(1)?.split(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The canonical lines of calls so far, once there are `count`.
    pub(crate) async fn lines(&self, count: usize) -> Vec<Value> {
        for _ in 0..200 {
            self.app.logs().flush(Duration::from_secs(5));
            let text = self.lines.text();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
            let ours: Vec<_> = lines.filter(|line| line["message"] == "request").collect();
            if ours.len() >= count {
                return ours;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there are no {count} lines: {}", self.lines.text())
    }

    pub(crate) async fn stop(self) -> Ended {
        self.app.stop("test", "over");
        soon(self.running).await.expect("it does not panic").expect("it ends")
    }

    /// Stops, and nothing went wrong.
    pub(crate) async fn end(self) {
        let ended = self.stop().await;
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
}

pub(crate) fn word(text: &str) -> Word {
    Word { text: text.to_owned(), ..Word::default() }
}

/// An address at which nobody listens now.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

pub(crate) async fn soon<F: Future>(work: F) -> F::Output {
    timeout(SOON, work).await.expect("it takes far too long")
}

/// Whatever takes longer than this has failed.
const SOON: Duration = Duration::from_secs(20);
