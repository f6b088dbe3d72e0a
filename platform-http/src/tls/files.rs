//! What stands in certificate files, and what is wrong with it?
//!
//! Every refusal says which setting and which file, what is wrong, and what to do. None says what stands in a key.

use std::{
    fmt::Display,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};

/// A file, and the setting that names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedFile<'a> {
    /// `server.tls.cert`.
    pub(crate) key: &'static str,
    /// What it is set to.
    pub(crate) path: &'a Path,
}

/// Tells a file that was changed from one that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// A link that was turned to a new folder, as Kubernetes does it, may keep times and lengths.
    inode: u64,
}

impl Stamp {
    /// Of the file behind all links; `None` if there is none to be seen.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Stamp { modified: found.modified().ok(), length: found.len(), inode })
    }
}

/// What is wrong, in words.
pub(crate) type Wrong = String;

impl NamedFile<'_> {
    /// # Errors
    /// It cannot be read, or there is no certificate in it.
    pub(crate) fn certificates(self) -> Result<Vec<CertificateDer<'static>>, Wrong> {
        let text = self.read()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.wrong("there is no PEM certificate in it")),
            Ok(found) => Ok(found),
            Err(error) => Err(self.wrong(format!("it is not PEM: {error}"))),
        }
    }

    /// # Errors
    /// It cannot be read, or there is no key in it.
    pub(crate) fn private_key(self) -> Result<PrivateKeyDer<'static>, Wrong> {
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
    /// It cannot be read, or one of them cannot be used.
    pub(crate) fn roots(self) -> Result<RootCertStore, Wrong> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.wrong(format!("a certificate in it: {error}")))?;
        }
        Ok(roots)
    }

    /// `why`, with the name of the file before it.
    pub(crate) fn wrong(self, why: impl Display) -> Wrong {
        format!("{} = \"{}\": {why}", self.key, self.path.display())
    }

    fn read(self) -> Result<Vec<u8>, Wrong> {
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

/// A chain and its key, which belong together and are valid at `now`; and until when.
///
/// # Errors
/// One cannot be read, they do not belong together, or the certificate is not valid now.
pub(crate) fn pair_of(
    cert: NamedFile<'_>,
    key: NamedFile<'_>,
    now: SystemTime,
) -> Result<(CertifiedKey, SystemTime), Wrong> {
    let (chain, private) = (cert.certificates()?, key.private_key()?);
    let signing =
        rustls::crypto::ring::default_provider().key_provider.load_private_key(private).map_err(|_| {
            key.wrong("this kind of key cannot be used; RSA, ECDSA (P-256, P-384) and Ed25519 can")
        })?;
    let pair = CertifiedKey::new(chain, signing);
    pair.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => key.wrong(format!(
            "it is not the key of the first certificate in {} = \"{}\"; write both from one issue, and the \
             service's own certificate before those of its authorities",
            cert.key,
            cert.path.display()
        )),
        other => cert.wrong(other),
    })?;
    let until = cert.valid(&pair.cert[0], now)?;
    Ok((pair, until))
}

impl NamedFile<'_> {
    /// Until when `certificate` is valid.
    fn valid(self, certificate: &CertificateDer<'_>, now: SystemTime) -> Result<SystemTime, Wrong> {
        let until = match at(certificate, UnixTime::since_unix_epoch(END_OF_TIME)) {
            webpki::Error::CertExpired { not_after, .. } => moment(not_after),
            // Valid for ever, as RFC 5280 writes it.
            webpki::Error::UnknownIssuer => moment(UnixTime::since_unix_epoch(END_OF_TIME)),
            other => return Err(self.wrong(format!("its certificate cannot be used: {other}"))),
        };
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match at(certificate, UnixTime::since_unix_epoch(since_1970)) {
            webpki::Error::CertExpired { .. } => {
                Err(self
                    .wrong(format!("its certificate ended on {}; renew it", httpdate::fmt_http_date(until))))
            }
            webpki::Error::CertNotValidYet { not_before, .. } => Err(self.wrong(format!(
                "its certificate begins on {}; is this machine's clock right?",
                httpdate::fmt_http_date(moment(not_before))
            ))),
            _ => Ok(until),
        }
    }
}

/// What a verifier that believes nobody says of a certificate at that moment: its validity comes first.
fn at(certificate: &CertificateDer<'_>, time: UnixTime) -> webpki::Error {
    let verified = webpki::EndEntityCert::try_from(certificate).and_then(|certificate| {
        let usage = webpki::KeyUsage::server_auth();
        certificate.verify_for_usage(&[], &[], &[], time, usage, None, None).map(drop)
    });
    // Nobody is believed, so there always is one.
    verified.err().unwrap_or(webpki::Error::UnknownIssuer)
}

fn moment(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

/// The end of the year 9999: the last that a certificate and a date in words can say.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);
