//! Whom does a TLS connection believe, and who are we to the other side?

use std::path::Path;
#[cfg(feature = "tls")]
use std::{fmt::Display, sync::Arc};

use platform_core::{Error, Result};
#[cfg(feature = "tls")]
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// The files of a section's `tls`; an empty path is none.
#[cfg(feature = "tls")]
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// Whom to believe; none is what this machine believes.
    pub ca: &'a Path,
    /// Our own certificate, the chain after it.
    pub cert: &'a Path,
    /// Its key.
    pub key: &'a Path,
}

/// How to speak TLS with these files, without a protocol on top. Blocks: files are read.
///
/// # Errors
///
/// [`ErrorKind::Config`](platform_core::ErrorKind::Config), naming the key below `section` and the file.
#[cfg(feature = "tls")]
pub fn client_config(files: Files<'_>, section: &str) -> Result<ClientConfig> {
    // Said here and not left to a process-wide default, which any other crate could set first.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config(format!("{section}: {error}")))?;
    let believing = versions.with_root_certificates(roots(files.ca, &format!("{section}.ca"))?);
    if files.cert.as_os_str().is_empty() {
        return Ok(believing.with_no_client_auth());
    }
    let (cert, key) = (format!("{section}.cert"), format!("{section}.key"));
    let chain = certificates(files.cert, &cert)?;
    let read =
        PrivateKeyDer::from_pem_file(files.key).map_err(|error| unreadable(&key, files.key, &error))?;
    believing.with_client_auth_cert(chain, read).map_err(|error| unreadable(&cert, files.cert, &error))
}

/// The file of what this machine believes.
///
/// # Errors
///
/// [`ErrorKind::Config`](platform_core::ErrorKind::Config) where there is none; `key` is what to set then.
pub(crate) fn the_systems(key: &str) -> Result<&'static Path> {
    BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists()).ok_or_else(|| {
        Error::config(format!(
            "this machine has no certificates to believe ({}); set {key}",
            BUNDLES.join(", ")
        ))
    })
}

#[cfg(feature = "tls")]
fn roots(ca: &Path, key: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if !ca.as_os_str().is_empty() {
        for certificate in certificates(ca, key)? {
            roots.add(certificate).map_err(|error| unreadable(key, ca, &error))?;
        }
        return Ok(roots);
    }
    let bundle = the_systems(key)?;
    // A bundle of the world holds a few that no library reads; the others are what counts.
    let (added, _ignored) = roots.add_parsable_certificates(certificates(bundle, key)?);
    if added == 0 {
        return Err(unreadable(key, bundle, &"no certificate in it can be used"));
    }
    Ok(roots)
}

#[cfg(feature = "tls")]
fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unreadable(key, path, &"there is no PEM certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(key, path, &error)),
    }
}

#[cfg(feature = "tls")]
fn unreadable(key: &str, path: &Path, why: &dyn Display) -> Error {
    Error::config(format!("{key} = \"{}\": {why}", path.display()))
}

/// Where systems keep what they believe: Debian and Alpine, Fedora, openSUSE, FreeBSD and macOS.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
