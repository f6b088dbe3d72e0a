//! What the tests of the small examples stand on: a service in this process, on free ports and known to nobody.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use platform_core::{
    App, Result, app::Ended, config::Config, context, lifecycle::Phase, recovery::Recovery,
    telemetry::log::Output,
};
use platform_http::{Client, Server, client::RequestBuilder, prepare};
use tokio::{task::JoinHandle, time::Instant};

pub(crate) struct Running {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    ended: JoinHandle<Result<Ended>>,
}

/// What can be served: routes, and gRPC's services.
pub(crate) trait Serves {
    fn serve(self, app: &App) -> Result<()>;
}

impl Serves for Router {
    fn serve(self, app: &App) -> Result<()> {
        prepare(app, Server::new(self))
    }
}

#[cfg(feature = "fleet")]
impl Serves for platform_grpc::Services {
    fn serve(self, app: &App) -> Result<()> {
        platform_grpc::prepare(app, self)
    }
}

impl Running {
    /// Starts `name` with the configuration `toml` and what `served` makes of it.
    pub(crate) async fn start<S: Serves>(
        name: &str,
        toml: &str,
        served: impl FnOnce(&App) -> Result<S>,
    ) -> Running {
        let config = Config::builder()
            .toml(toml)
            .set("server.listen", "127.0.0.1:0")
            .set("admin.listen", "127.0.0.1:0")
            .set("discovery.register.mode", "off")
            .load()
            .expect("a good configuration");
        let app = App::builder(name).config(config).log_to(Output::to(std::io::sink()));
        let app = app.start().await.expect("a good start");
        served(&app).expect("good routes").serve(&app).expect("it can be served");
        let ended = context::spawn(app.clone().run_until_stopped());
        app.phases().reached(Phase::Ready).await;
        let address = app.address("http").expect("who is ready listens");
        Running { app, address, ended }
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let client = Client::builder(&self.app, "itself").target(format!("fixed://{}", self.address));
        // A test wants to see what is answered, and not what becomes of it.
        let client = client.policy(|policy| policy.recovery = Recovery::None);
        client.build().expect("a client")
    }

    /// Status and body of what is asked.
    pub(crate) async fn ask(request: RequestBuilder) -> (u16, String) {
        let reply = request.send().await.expect("a reply");
        (reply.status().as_u16(), reply.text().await.expect("a text"))
    }

    pub(crate) async fn stop(self) {
        let began = Instant::now();
        self.app.stop("the test", "it is over");
        assert_eq!(self.ended.await.expect("it does not panic").expect("it ran").code(), 0);
        // `lifecycle.flush` is how long a task is waited for that goes on.
        assert!(began.elapsed() < Duration::from_secs(3), "a task did not hear of the drain");
    }
}
