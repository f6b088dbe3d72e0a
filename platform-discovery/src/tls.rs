//! Whom does a TLS connection believe, and who are we to the other side?

use std::path::Path;
#[cfg(feature = "tls")]
use std::{fmt::Display, fs, io, sync::Arc};

use platform_core::{Error, Result};
#[cfg(feature = "tls")]
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};

/// A file, and the setting that names it.
#[cfg(feature = "tls")]
#[derive(Clone, Copy, Debug)]
pub struct NamedFile<'a> {
    /// `server.tls.cert`.
    pub key: &'a str,
    /// What it is set to.
    pub path: &'a Path,
}

/// What is wrong, in words.
#[cfg(feature = "tls")]
pub type Wrong = String;

#[cfg(feature = "tls")]
impl NamedFile<'_> {
    /// Its certificates, in their order.
    ///
    /// # Errors
    ///
    /// It cannot be read, or there is no certificate in it.
    pub fn certificates(self) -> Result<Vec<CertificateDer<'static>>, Wrong> {
        let text = self.read()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.wrong("there is no PEM certificate in it")),
            Ok(found) => Ok(found),
            Err(error) => Err(self.wrong(format!("it is not PEM: {error}"))),
        }
    }

    /// Its first key.
    ///
    /// # Errors
    ///
    /// It cannot be read, or there is no key in it.
    pub fn private_key(self) -> Result<PrivateKeyDer<'static>, Wrong> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => self.wrong("there is no PEM private key in it"),
            // Another error could show what it stumbled over.
            _ => self.wrong("it is not a PEM private key"),
        })
    }

    /// All its certificates, to be believed.
    ///
    /// # Errors
    ///
    /// It cannot be read, or one of them cannot be used.
    pub fn roots(self) -> Result<RootCertStore, Wrong> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.wrong(format!("a certificate in it: {error}")))?;
        }
        Ok(roots)
    }

    /// `why`, with the name of the file before it.
    pub fn wrong(self, why: impl Display) -> Wrong {
        format!("{} = \"{}\": {why}", self.key, self.path.display())
    }

    /// What stands in it. Blocks.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read(self) -> Result<Vec<u8>, Wrong> {
        fs::read(self.path).map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::NotFound => "; is it mounted, and is the name right?",
                io::ErrorKind::PermissionDenied => "; let this process's user read it",
                _ => "",
            };
            self.wrong(format!("{error}{what}"))
        })
    }
}

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
    let cert = NamedFile { key: &cert, path: files.cert };
    let key = NamedFile { key: &key, path: files.key };
    let (chain, private) = (cert.certificates(), key.private_key());
    let (chain, private) = (chain.map_err(Error::config)?, private.map_err(Error::config)?);
    believing.with_client_auth_cert(chain, private).map_err(|error| Error::config(cert.wrong(error)))
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
    if !ca.as_os_str().is_empty() {
        return NamedFile { key, path: ca }.roots().map_err(Error::config);
    }
    let bundle = NamedFile { key, path: the_systems(key)? };
    let mut roots = RootCertStore::empty();
    // A bundle of the world holds a few that no library reads; the others are what counts.
    let (added, _ignored) = roots.add_parsable_certificates(bundle.certificates().map_err(Error::config)?);
    if added == 0 {
        return Err(Error::config(bundle.wrong("no certificate in it can be used")));
    }
    Ok(roots)
}

/// Where systems keep what they believe: Debian and Alpine, Fedora, openSUSE, FreeBSD and macOS.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
