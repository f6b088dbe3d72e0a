//! What is wrong where TLS fails: what, of which side, and what to do.

use std::{
    error::Error as StdError,
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use platform_core::error::one_line;
use rustls::{AlertDescription, CertificateError, Error as TlsError, pki_types::UnixTime};

use super::Config;

/// What `cause` says of TLS; nothing if it is about something else.
pub(super) fn of(cause: &(dyn StdError + 'static), config: &Config) -> Option<String> {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let tls = match inner {
        Some(inner) => inner.downcast_ref::<TlsError>(),
        None => cause.downcast_ref::<TlsError>(),
    };
    tls.map(|error| words(error, config))
}

/// What it means that a handshake ended without a word of TLS.
pub(super) fn of_an_end(error: &io::Error) -> String {
    format!("it ended the TLS handshake without a word of TLS ({error}); {NO_TLS}")
}

fn words(error: &TlsError, config: &Config) -> String {
    match error {
        TlsError::InvalidCertificate(wrong) => certificate(wrong, config),
        TlsError::AlertReceived(alert) => refused(*alert, config),
        TlsError::InvalidMessage(_) => format!("what answers speaks no TLS; {NO_TLS}"),
        other => format!("TLS failed: {}", one_line(&other.to_string())),
    }
}

/// The listener's own certificate.
fn certificate(wrong: &CertificateError, config: &Config) -> String {
    let ca = if config.insists() {
        named("ca", &config.ca)
    } else {
        "what this machine believes (`admin.fleet.ca` is not set)".to_owned()
    };
    match wrong {
        // An authority of the same name that has another key makes the signature a bad one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "its certificate was issued by nobody in {ca}; name the authority that issued it, all of its chain that the \
             listener does not send"
        ),
        CertificateError::Expired => "its certificate has ended; renew `admin.tls.cert` there".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate ended on {}; renew `admin.tls.cert` there", date(*not_after))
        }
        CertificateError::NotValidYet => {
            "its certificate has not begun; are both machines' clocks right?".to_owned()
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate begins on {}; are both machines' clocks right?", date(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is not for {}, it is for {}; say with `admin.fleet.server_name` which name they have",
            expected.to_str(),
            if presented.is_empty() {
                "nobody".to_owned()
            } else {
                one_line(&presented.join(", ")).into_owned()
            }
        ),
        other => format!("its certificate cannot be believed: {}", one_line(&other.to_string())),
    }
}

/// What the listener said before it left.
fn refused(alert: AlertDescription, config: &Config) -> String {
    let shown = if config.cert.as_os_str().is_empty() {
        "we showed none: set `admin.fleet.cert` and `admin.fleet.key`".to_owned()
    } else {
        format!("we showed {}", named("cert", &config.cert))
    };
    match alert {
        AlertDescription::CertificateRequired => {
            format!("it asks for a certificate (`admin.tls.clients` there is `required`), and {shown}")
        }
        AlertDescription::CertificateExpired => {
            format!("it says that our certificate has ended, and {shown}; renew it")
        }
        AlertDescription::AccessDenied
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError
        | AlertDescription::UnknownCA
        | AlertDescription::UnsupportedCertificate => format!(
            "it refuses our certificate (TLS alert {alert:?}), and {shown}; its `admin.tls.client_ca` says whom it believes"
        ),
        other => format!("it ended the TLS handshake with the alert {other:?}"),
    }
}

fn named(key: &str, path: &Path) -> String {
    format!("`admin.fleet.{key}` = \"{}\"", path.display())
}

fn date(time: UnixTime) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

const NO_TLS: &str = "its record or its address says that it does: has it a certificate (`admin.tls.cert`)?";
