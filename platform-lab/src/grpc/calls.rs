//! A server, a client of it, and calls over and over, all in this process.

use std::{io, net::SocketAddr, process, sync::Arc, time::Duration};

use platform_core::{
    App, Error, ErrorKind, Result, config::Config, context, lifecycle::Phase, telemetry::log::Output,
};
use platform_grpc::{Channel, Services};
use platform_grpc_protos::{
    DESCRIPTORS, Word,
    echo_client::EchoClient,
    echo_server::{Echo, EchoServer},
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{self, server::TcpIncoming},
};

use crate::{
    child::{self, IN_FLIGHT, LIMIT, Orders, Taken, runtime},
    measure,
};

/// What this binary can be told to call.
pub(super) const VARIANTS: [(&str, Variant); 3] =
    [("tonic", Variant::Tonic), ("platform", Variant::Platform), ("platform+line", Variant::PlatformLine)];

/// Who stands around the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// tonic alone.
    Tonic,
    /// Ours, without a line for each request.
    Platform,
    /// Ours, with it; formatted and thrown away.
    PlatformLine,
}

/// Says what it hears.
#[derive(Clone, Default)]
pub(super) struct Says;

/// Makes the calls of a variant in this process, and prints what they took.
///
/// # Errors
/// No such variant, or words that make no sense, or the calls could not be made.
pub(crate) fn call(words: &[String]) -> Result<()> {
    let usage = |why: String| Error::new(ErrorKind::Usage, why);
    let (name, orders) = words.split_first().ok_or_else(|| usage("which call?".to_owned()))?;
    let own = VARIANTS.iter().find(|(known, _)| known == name);
    let (_, variant) = own.ok_or_else(|| usage(format!("no gRPC call is named {name}")))?;
    let orders =
        Orders::parse(orders.iter().map(String::as_str)).ok_or_else(|| usage(format!("{CALL} {name}: N")))?;
    let taken = runtime().and_then(|runtime| runtime.block_on(variant.calls(orders.calls)));
    let taken = taken.map_err(|error| {
        Error::new(ErrorKind::Start, format!("{name} cannot be called")).with_source(error)
    })?;
    println!("{taken}");
    Ok(())
}

impl Variant {
    async fn calls(self, calls: u64) -> io::Result<Taken> {
        match self {
            Variant::Tonic => {
                let address = tonic_server().await?;
                let channel = transport::Endpoint::from_shared(format!("http://{address}"));
                let channel = channel.map_err(io::Error::other)?.tcp_nodelay(true);
                let channel = channel.connect().await.map_err(io::Error::other)?;
                counted(EchoClient::new(channel), calls).await
            }
            Variant::Platform | Variant::PlatformLine => {
                let app = app().await?;
                let services = Services::new().service(EchoServer::new(Says)).descriptors(DESCRIPTORS);
                let server = services.into_server(&app).map_err(io::Error::other)?;
                app.add(server.canonical_lines(self == Variant::PlatformLine));
                context::spawn(app.clone().run_until_stopped());
                app.phases().reached(Phase::Ready).await;
                let address = app.address("http").expect("a server that is ready has its address");
                let channel = Channel::builder(&app, "echo")
                    .target(format!("fixed://{address}"))
                    .descriptors(DESCRIPTORS)
                    .policy(|policy| {
                        policy.timeout = Some(LIMIT);
                        policy.attempt_timeout = Some(LIMIT);
                    });
                counted(EchoClient::new(channel.build().map_err(io::Error::other)?), calls).await
            }
        }
    }
}

/// A service of the platform, whose lines and spans go nowhere.
pub(super) async fn app() -> io::Result<App> {
    let config = Config::builder()
        .set("server.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .set("discovery.register.mode", "off")
        .set("telemetry.log.format", "json")
        // Every line is told, however many there are: one that is suppressed costs less.
        .set("telemetry.log.bytes_per_second", "none")
        // One call in a hundred is recorded, for nobody.
        .set("telemetry.traces.endpoint", "http://127.0.0.1:9")
        .load()
        .map_err(io::Error::other)?;
    let app = App::builder("echo").config(config).log_to(Output::to(io::sink()));
    app.start().await.map_err(io::Error::other)
}

/// tonic's server without anything, on a free port.
pub(super) async fn tonic_server() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    context::spawn(
        transport::Server::builder().add_service(EchoServer::new(Says)).serve_with_incoming(incoming),
    );
    Ok(address)
}

async fn counted<T>(client: EchoClient<T>, calls: u64) -> io::Result<Taken>
where
    T: tonic::client::GrpcService<tonic::body::Body> + Clone + Send + Sync + 'static,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    T::Future: Send,
{
    each(&client, WARM_UP).await;
    let (allocations, since) = (child::allocations(), run_time().await?);
    let failed = each(&client, calls.div_ceil(IN_FLIGHT)).await;
    let allocations = child::allocations() - allocations;
    // A thread that ended meanwhile took its time with it.
    let took = run_time().await?.saturating_sub(since);
    let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Ok(Taken { failed, allocations, nanoseconds })
}

/// `calls` calls in each of the tasks; says how many failed.
async fn each<T>(client: &EchoClient<T>, calls: u64) -> u64
where
    T: tonic::client::GrpcService<tonic::body::Body> + Clone + Send + Sync + 'static,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    T::Future: Send,
{
    let text: Arc<str> = "a".repeat(TEXT).into();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (mut client, text) = (client.clone(), Arc::clone(&text));
        tasks.spawn(async move {
            let mut failed = 0;
            for _ in 0..calls {
                let word = Word { text: text.to_string(), ..Word::default() };
                let heard = client.say(word).await;
                failed += u64::from(!heard.is_ok_and(|word| word.get_ref().text.len() == TEXT));
            }
            failed
        });
    }
    tasks.join_all().await.into_iter().sum()
}

/// Of the whole process: lines are written by a thread of their own.
async fn run_time() -> io::Result<Duration> {
    // The scheduler's account is exact for threads that sleep.
    sleep(QUIET).await;
    measure::run_time(process::id()).map_err(io::Error::other)
}

type Words = futures_util::stream::Empty<Result<Word, Status>>;

#[tonic::async_trait]
impl Echo for Says {
    async fn say(&self, request: Request<Word>) -> Result<Response<Word>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn add(&self, request: Request<Word>) -> Result<Response<Word>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    type RepeatStream = Words;

    async fn repeat(&self, _: Request<Word>) -> Result<Response<Words>, Status> {
        Err(Status::unimplemented("only unary calls are measured"))
    }

    async fn join(&self, _: Request<Streaming<Word>>) -> Result<Response<Word>, Status> {
        Err(Status::unimplemented("only unary calls are measured"))
    }

    type ChatStream = Words;

    async fn chat(&self, _: Request<Streaming<Word>>) -> Result<Response<Words>, Status> {
        Err(Status::unimplemented("only unary calls are measured"))
    }
}

/// The hidden first argument that makes this binary a caller of itself.
pub(crate) const CALL: &str = "call-grpc";
/// Calls of each task before the count: connections, tasks and buffers exist then.
const WARM_UP: u64 = 10;
/// What is said, in bytes: a small message, where what stands around it weighs most.
const TEXT: usize = 100;
/// Long enough for the thread that writes lines to have written the last.
const QUIET: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_answers_as_often_as_it_is_called() {
        for (name, variant) in VARIANTS {
            let taken = runtime().unwrap().block_on(variant.calls(100)).unwrap();
            assert_eq!(taken.failed, 0, "{name}");
        }
    }

    #[test]
    fn a_call_that_does_not_exist_is_refused() {
        for words in [&[][..], &["curl"], &["tonic"], &["tonic", "many"]] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(call(&words).unwrap_err().kind(), ErrorKind::Usage, "{words:?}");
        }
    }
}
