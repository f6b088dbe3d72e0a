//! A fleet behind somebody else's proxy, restarted one instance after the other under load.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use platform_core::{App, config::Config, context, recovery::Recovery};
use platform_grpc::Channel;
use platform_grpc_protos::{DESCRIPTORS, Word, echo_client::EchoClient};
use platform_http::Client;
use tokio::{net::TcpStream, sync::watch};

use crate::{
    house::{House, nobody, soon, word},
    python::skipped,
};

/// nginx in front of three, over HTTP/1.1 and over gRPC.
struct Nginx {
    child: Child,
    http: SocketAddr,
    grpc: SocketAddr,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// `None`, and a line on stderr, where it is not installed.
    async fn start(fleet: &[SocketAddr]) -> Option<Nginx> {
        let folder = tempfile::tempdir().expect("a folder");
        // It cannot take a free port by itself and say which.
        let (http, grpc) = (nobody(), nobody());
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config(folder.path(), fleet, http, grpc)).expect("a file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return skipped(&format!("nginx cannot be started: {error}")),
        };
        let nginx = Nginx { child, http, grpc, folder };
        for address in [http, grpc] {
            for look in 0.. {
                if TcpStream::connect(address).await.is_ok() {
                    break;
                }
                assert!(look < 200, "nginx does not listen: {}", nginx.told());
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        Some(nginx)
    }

    fn told(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As it comes, but that its connections to the fleet are kept, and that it asks another instance where one does not
/// answer.
fn config(folder: &Path, fleet: &[SocketAddr], http: SocketAddr, grpc: SocketAddr) -> String {
    let at = folder.display();
    let mut servers = String::new();
    for address in fleet {
        let _ = write!(servers, "server {address} max_fails=1 fail_timeout=1s; ");
    }
    format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log info;
         events {{ worker_connections 512; }}
         http {{
             access_log off;
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
             upstream web {{ {servers} keepalive 8; }}
             upstream calls {{ {servers} keepalive 8; }}
             server {{ listen {http}; location / {{
                 proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection \"\";
                 proxy_set_header Host $host; }} }}
             server {{ listen {grpc} http2; location / {{ grpc_pass grpc://calls; }} }}
         }}"
    )
}

/// What became of the load so far.
#[derive(Clone, Copy, Default)]
struct Tally {
    over: bool,
    web: u32,
    calls: u32,
}

/// Until so many more requests and calls have ended well.
async fn more(tally: &watch::Sender<Tally>, by: u32) {
    let mut seen = tally.subscribe();
    let from = *seen.borrow();
    let enough = seen.wait_for(|now| now.web >= from.web + by && now.calls >= from.calls + by);
    soon(enough).await.expect("it is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_nginx_costs_no_request() {
    let mut fleet = vec![House::open("").await, House::open("").await, House::open("").await];
    let addresses: Vec<SocketAddr> = fleet.iter().map(|house| house.address).collect();
    let Some(nginx) = Nginx::start(&addresses).await else { return };

    // The users: nobody repeats anything, so that whatever goes wrong is seen.
    let toml =
        format!("[clients.web]\ntarget = 'fixed://{}'\npolicy = {{ recovery = 'none' }}\n", nginx.http);
    let users = App::builder("users").config(Config::builder().toml(toml).load().expect("TOML"));
    let users = users.start().await.expect("a start");
    let channel = Channel::builder(&users, "calls").target(format!("fixed://{}", nginx.grpc));
    let channel = channel.descriptors(DESCRIPTORS).policy(|policy| policy.recovery = Recovery::None);
    let (web, calls) =
        (Client::for_target(&users, "web").expect("a client"), channel.build().expect("a channel"));
    let tally = watch::Sender::new(Tally::default());
    let mut load = Vec::new();
    for _ in 0..4 {
        let (web, told) = (web.clone(), tally.clone());
        load.push(context::spawn(async move {
            while !told.borrow().over {
                let reply = web.get("/hello").send().await.expect("a reply");
                assert_eq!(reply.status(), 200);
                assert_eq!(reply.text().await.expect("a whole reply"), "hello");
                told.send_modify(|told| told.web += 1);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }));
        let (mut echo, told) = (EchoClient::new(calls.clone()), tally.clone());
        load.push(context::spawn(async move {
            while !told.borrow().over {
                let said = echo.say(Word { wait_ms: 5, ..word("hello") }).await.expect("an answer");
                assert_eq!(said.get_ref().text, "hello");
                // And a stream, which lasts longer than most of a drain.
                let mut words =
                    echo.repeat(Word { times: 3, wait_ms: 10, ..word("again") }).await.expect("a stream");
                let mut heard = 0;
                while let Some(word) = words.get_mut().message().await.expect("a whole stream") {
                    assert_eq!(word.text, "again");
                    heard += 1;
                }
                assert_eq!(heard, 3);
                told.send_modify(|told| told.calls += 2);
            }
        }));
    }
    // Each is replaced at its own address, as a host is.
    for address in &addresses {
        more(&tally, 100).await;
        fleet.remove(0).end().await;
        more(&tally, 50).await;
        fleet.push(House::open_at(*address).await);
    }
    more(&tally, 100).await;
    tally.send_modify(|told| told.over = true);
    for task in load {
        if let Err(failed) = soon(task).await {
            panic!("a request failed: {failed}\nnginx says:\n{}", nginx.told());
        }
    }
    let Tally { web, calls, .. } = *tally.borrow();
    println!("{web} requests and {calls} calls, none of which failed");
    assert!(web > 200 && calls > 100, "there was load: {web} requests, {calls} calls");
    for house in fleet {
        house.end().await;
    }
}
