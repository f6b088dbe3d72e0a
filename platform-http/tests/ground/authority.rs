//! Certificates for both sides of TLS. Shared by the tests of several crates.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

/// An authority, and a folder for what it issues.
pub(crate) struct Authority {
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) folder: tempfile::TempDir,
}

/// The files of one certificate.
pub(crate) struct Issued {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let authority = Authority {
            issuer: issuer.expect("a certificate"),
            folder: tempfile::tempdir().expect("a folder"),
        };
        fs::write(authority.ca(), authority.issuer.pem()).expect("a file");
        authority
    }

    /// The file of its own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Writes `NAME.pem` and `NAME.key`: valid for loopback, with this URI, changed by `change`.
    pub(crate) fn issue(&self, name: &str, uri: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("a URI")));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        let issued = Issued { cert: file("pem"), key: file("key") };
        // The key first: between the two writes they do not belong together.
        fs::write(&issued.key, key.serialize_pem()).expect("a file");
        fs::write(&issued.cert, certificate.pem()).expect("a file");
        issued
    }
}
