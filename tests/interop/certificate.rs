//! Certificates of servers, good and bad, and the issuer that clients are to trust.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::launcher::Home;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// It is for another host.
    WrongName,
    Expired,
    SelfSigned,
    /// Nobody trusts the issuer.
    UnknownIssuer,
}

/// A certificate for `localhost` and its address, in files that every server can read.
#[derive(Debug)]
pub(crate) struct Certificate {
    home: Home,
}

impl Certificate {
    pub(crate) fn with(flaw: Flaw) -> Self {
        let (home, trusted, key) = (Home::new(), issuer("Trusted"), key());
        let parameters = parameters(flaw);
        let certificate = match flaw {
            Flaw::SelfSigned => parameters.self_signed(&key),
            Flaw::UnknownIssuer => parameters.signed_by(&key, &issuer("Unknown")),
            Flaw::None | Flaw::WrongName | Flaw::Expired => parameters.signed_by(&key, &trusted),
        };
        let (chain, key) = (certificate.expect("sound parameters").pem(), key.serialize_pem());
        home.write("roots.pem", &trusted.pem(), &[]);
        home.write("chain.pem", &chain, &[]);
        home.write("key.pem", &key, &[]);
        home.write("both.pem", &(key + &chain), &[]);
        Self { home }
    }

    /// The issuer that is trusted.
    pub(crate) fn roots(&self) -> PathBuf {
        self.home.join("roots.pem")
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.home.join("chain.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.home.join("key.pem")
    }

    /// Key and chain in one file.
    pub(crate) fn key_and_chain(&self) -> PathBuf {
        self.home.join("both.pem")
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(parameters, key()).expect("sound parameters")
}

fn parameters(flaw: Flaw) -> CertificateParams {
    let names: &[&str] =
        if flaw == Flaw::WrongName { &["elsewhere.example"] } else { &["localhost", "127.0.0.1"] };
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).expect("sound names");
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(if flaw == Flaw::Expired { 2020 } else { 2120 }, 2, 1);
    parameters
}
