//! How is one member of the cluster reached?

use std::{fs, path::Path, time::Duration};

use platform_core::{Error, Result};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{
    config::{Etcd, Tls},
    task::aside,
    tls::the_systems,
};

/// A way to a member; the connection is made by the first who asks. Certificates are read anew each time, because
/// they change while we run.
pub(super) async fn open(settings: &Etcd, member: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(member.to_owned())
        .map_err(|error| Error::config(format!("discovery.etcd.endpoints: {member}: {error}")))?
        .connect_timeout(CONNECT);
    if !is_tls(member) {
        return Ok(endpoint.connect_lazy());
    }
    let tls = settings.tls.clone();
    let tls = aside(move || certificates(&tls)).await??;
    let endpoint = endpoint.tls_config(tls).map_err(|error| {
        let what = "discovery.etcd.tls: the certificates cannot be used; are they PEM, and does the key belong to them?";
        Error::config(what).with_source(error)
    })?;
    Ok(endpoint.connect_lazy())
}

/// Reads every file once, so that a start is refused and not the first call.
pub(super) fn check(settings: &Etcd) -> Result<()> {
    if settings.endpoints.iter().any(|member| is_tls(member)) {
        certificates(&settings.tls)?;
    }
    if !settings.user.is_empty() {
        password(settings)?;
    }
    Ok(())
}

/// The password, as it is in the file now, without the line's end.
pub(super) fn password(settings: &Etcd) -> Result<String> {
    let bytes = read("password_file", &settings.password_file)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let path = settings.password_file.display();
        Error::config(format!("discovery.etcd.password_file = \"{path}\": it is no UTF-8 text"))
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn is_tls(member: &str) -> bool {
    member.starts_with("https://")
}

fn certificates(tls: &Tls) -> Result<ClientTlsConfig> {
    let ca =
        if tls.ca.as_os_str().is_empty() { the_systems("discovery.etcd.tls.ca")? } else { tls.ca.as_path() };
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("tls.ca", ca)?));
    if !tls.cert.as_os_str().is_empty() {
        let (cert, key) = (read("tls.cert", &tls.cert)?, read("tls.key", &tls.key)?);
        config = config.identity(Identity::from_pem(cert, key));
    }
    Ok(config)
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        Error::config(format!("discovery.etcd.{key} = \"{}\": {error}", path.display())).with_source(error)
    })
}

/// As long as a call: a machine that is gone is left as fast as one that is silent.
const CONNECT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::ErrorKind;
    use std::path::PathBuf;

    #[test]
    fn a_password_is_its_file_without_the_lines_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = Etcd { password_file: file.path().to_owned(), user: "ann".into(), ..Etcd::default() };
        for (written, read) in [("secret\n", "secret"), ("two words\r\n", "two words"), ("", "")] {
            fs::write(file.path(), written).unwrap();
            assert_eq!(password(&settings).unwrap(), read);
        }
        fs::write(file.path(), [0xff]).unwrap();
        assert!(check(&settings).unwrap_err().detail().contains("password_file"), "no text");
    }

    #[test]
    fn a_file_that_is_missing_is_told_at_once_and_only_where_it_is_needed() {
        let gone = PathBuf::from("/nonexistent/ca.pem");
        let tls = Tls { ca: gone.clone(), ..Tls::default() };
        let plain = Etcd { tls: tls.clone(), ..Etcd::default() };
        check(&plain).unwrap();
        let secured = Etcd { endpoints: vec!["https://127.0.0.1:2379".into()], tls, ..Etcd::default() };
        let error = check(&secured).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.detail().contains("discovery.etcd.tls.ca = \"/nonexistent/ca.pem\""), "{error}");
        let user = Etcd { user: "ann".into(), password_file: gone, ..Etcd::default() };
        assert!(check(&user).unwrap_err().detail().contains("discovery.etcd.password_file"));
    }
}
