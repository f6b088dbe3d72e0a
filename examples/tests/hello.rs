//! The service of the README: it answers, and it ends when asked.

#![cfg(unix)]

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

#[tokio::test]
async fn hello_answers_and_drains() {
    let registry = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_hello"))
        .args(["--set", "server.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"])
        .arg("--set")
        .arg(format!("discovery.dir.path={}", registry.path().join("registry").display()))
        .current_dir(registry.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = timeout(LIMIT, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it said that it is ready");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "ready" {
                // "admin 127.0.0.1:9464, http 127.0.0.1:8080"
                let mut addresses = line["addresses"].as_str().unwrap().split(", ");
                return addresses.find_map(|each| each.strip_prefix("http ")).unwrap().to_owned();
            }
        }
    });
    let address = address.await.unwrap();

    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET /hello/ann HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    timeout(LIMIT, stream.read_to_string(&mut reply)).await.unwrap().unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\nHello, ann!\n"), "{reply}");
    assert!(reply.contains("\r\nx-request-id: "), "{reply}");
    // A server that closes first waits a little for its peer to follow.
    drop(stream);

    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

const LIMIT: Duration = Duration::from_secs(30);
