//! What does a running process say of itself? (its admin listener)

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    path::Path,
    time::Duration,
};

use platform_core::{
    Error, Result,
    identity::Identity,
    ops::{Objectives, Operated},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::binary::{Client, operated};

/// As much of `/platform/info` as is asked here.
#[derive(Deserialize)]
struct Info {
    identity: Identity,
    slo: Objectives,
}

/// Asks an admin listener: `http://127.0.0.1:9464`.
///
/// # Errors
/// An address that is none, a listener that does not answer or wants a token.
pub(super) fn read(url: &str, token_file: Option<&Path>) -> Result<Operated> {
    let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let Some(address) = address.filter(|rest| !rest.is_empty() && !rest.contains('/')) else {
        return Err(Error::config(format!(
            "{url} is no admin listener; write http://HOST:PORT, as the `admin` of its record in the registry says"
        )));
    };
    let token = token_file.map(token).transpose()?;
    let Info { identity, slo } = ask(address, "/platform/info", token.as_deref())?;
    let stack: Vec<Client> = ask(address, "/platform/stack", token.as_deref())?;
    Ok(operated(identity, slo, &stack))
}

/// The first token of a file of lines `NAME:TOKEN`.
fn token(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)
        .map_err(|error| Error::config(format!("cannot read {}: {error}", file.display())))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let token = line.map(|line| line.split_once(':').map_or(line, |(_, token)| token.trim()));
    let token = token.filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
    token.map(str::to_owned).ok_or_else(|| {
        Error::config(format!(
            "{} has no token; write NAME:TOKEN, as in the listener's own file",
            file.display()
        ))
    })
}

fn ask<T: DeserializeOwned>(address: &str, path: &str, token: Option<&str>) -> Result<T> {
    let refused = |why: String| Error::config(format!("http://{address}{path} {why}"));
    let reply =
        exchange(address, path, token).map_err(|error| refused(format!("does not answer: {error}")))?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(|| refused("sent no reply".to_owned()))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let advice =
            if matches!(status, "401" | "403") { "; name its token with --token-file FILE" } else { "" };
        return Err(refused(format!("answered {status}{advice}: {}", body.trim())));
    }
    serde_json::from_str(body)
        .map_err(|error| refused(format!("is no admin listener of this platform: {error}")))
}

/// One question on one connection: the reply ends with it.
fn exchange(address: &str, path: &str, token: Option<&str>) -> std::io::Result<String> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
    for socket in address.to_socket_addrs()? {
        let connected = TcpStream::connect_timeout(&socket, PATIENCE);
        let mut stream = match connected {
            Ok(stream) => stream,
            Err(error) => {
                last = error;
                continue;
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let authorization =
            token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        // HTTP/1.0: no chunks, and the connection ends with the reply.
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nhost: {address}\r\naccept: application/json\r\n{authorization}\r\n"
        )?;
        let mut bytes = Vec::new();
        stream.take(LARGEST).read_to_end(&mut bytes)?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    Err(last)
}

/// An admin listener has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any process has to say of itself, and an end for what is none.
const LARGEST: u64 = 16 * 1024 * 1024;
