//! What stands in certificate files, and what is wrong with it?
//!
//! Every refusal says which setting and which file, what is wrong, and what to do. None says what stands in a key.

use std::time::{Duration, SystemTime};

use platform_discovery::tls::{NamedFile, Wrong};
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    sign::CertifiedKey,
};

use super::validity::Validity;

/// A chain and its key, which belong together and are valid at `now`; and from when until when.
///
/// # Errors
/// One cannot be read, they do not belong together, or the certificate is not valid now.
pub(crate) fn pair_of(
    cert: NamedFile<'_>,
    key: NamedFile<'_>,
    now: SystemTime,
) -> Result<(CertifiedKey, Validity), Wrong> {
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
    let validity = valid(cert, &pair.cert[0], now)?;
    Ok((pair, validity))
}

/// From when until when `certificate`, which stands in `file`, is valid.
fn valid(file: NamedFile<'_>, certificate: &CertificateDer<'_>, now: SystemTime) -> Result<Validity, Wrong> {
    let until = match at(certificate, UnixTime::since_unix_epoch(END_OF_TIME)) {
        webpki::Error::CertExpired { not_after, .. } => moment(not_after),
        // Valid for ever, as RFC 5280 writes it.
        webpki::Error::UnknownIssuer => moment(UnixTime::since_unix_epoch(END_OF_TIME)),
        other => return Err(file.wrong(format!("its certificate cannot be used: {other}"))),
    };
    let from = match at(certificate, UnixTime::since_unix_epoch(Duration::ZERO)) {
        webpki::Error::CertNotValidYet { not_before, .. } => moment(not_before),
        // It began before 1970.
        _ => SystemTime::UNIX_EPOCH,
    };
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match at(certificate, UnixTime::since_unix_epoch(since_1970)) {
        webpki::Error::CertExpired { .. } => {
            Err(file.wrong(format!("its certificate ended on {}; renew it", httpdate::fmt_http_date(until))))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => Err(file.wrong(format!(
            "its certificate begins on {}; is this machine's clock right?",
            httpdate::fmt_http_date(moment(not_before))
        ))),
        _ => Ok(Validity { from, until }),
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
