//! [`Pki`]: certificates of a root of the tests' own, right and wrong.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use nexthop::testing::ServerIdentity;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use tempfile::TempDir;

/// The name of the hop that most tests deliver to.
pub(crate) const HOST: &str = "good.example";

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A root, and a folder for files.
pub(crate) struct Pki {
    root: Issuer,
    folder: TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let (root, folder) = (root("root"), tempfile::tempdir().unwrap());
        let pki = Self { root, folder };
        pki.write("roots.pem", &pki.root.pem());
        pki
    }

    /// The file with the root.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for these names, as it should be.
    pub(crate) fn good_for(&self, names: &[&str]) -> ServerIdentity {
        self.issued(params(names))
    }

    pub(crate) fn good(&self) -> ServerIdentity {
        self.good_for(&[HOST])
    }

    /// For the loopback address, and no name.
    pub(crate) fn of_address(&self) -> ServerIdentity {
        let mut params = params(&[]);
        params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
        self.issued(params)
    }

    pub(crate) fn wrong_name(&self) -> ServerIdentity {
        self.good_for(&["bad.example"])
    }

    pub(crate) fn expired(&self) -> ServerIdentity {
        let mut params = params(&[HOST]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.issued(params)
    }

    pub(crate) fn self_signed(&self) -> ServerIdentity {
        let key = KeyPair::generate().unwrap();
        let certificate = params(&[HOST]).self_signed(&key).unwrap();
        identity(vec![certificate.der().to_vec()], &key)
    }

    pub(crate) fn unknown_issuer(&self) -> ServerIdentity {
        issued_by(&root("another root"), params(&[HOST]), &[])
    }

    /// The host's name as common name, and no other.
    pub(crate) fn common_name_alone(&self) -> ServerIdentity {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, HOST);
        self.issued(params)
    }

    /// Behind an intermediate of the root; these certificates are sent as well.
    pub(crate) fn with_intermediate(&self, others: &[Issuer]) -> ServerIdentity {
        let intermediate = intermediate("intermediate", &self.root);
        let chain: Vec<_> = std::iter::once(&intermediate).chain(others).collect();
        issued_by(&intermediate, params(&[HOST]), &chain)
    }

    /// So many intermediates between the host and the root.
    pub(crate) fn behind(&self, count: usize) -> ServerIdentity {
        let mut chain: Vec<Issuer> = Vec::new();
        for index in 0..count {
            let issuer = chain.last().unwrap_or(&self.root);
            chain.push(intermediate(&format!("intermediate {index}"), issuer));
        }
        let sent: Vec<_> = chain.iter().rev().collect();
        issued_by(sent.first().unwrap_or(&&self.root), params(&[HOST]), &sent)
    }

    /// A certificate and a key for a client, as files, and the certificate in DER.
    pub(crate) fn client(&self) -> (PathBuf, PathBuf, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params(&["client.example"]).signed_by(&key, &self.root).unwrap();
        let files = [("client.pem", certificate.pem()), ("client.key", key.serialize_pem())];
        let [chain, key] = files.map(|(name, content)| self.write(name, &content));
        (chain, key, certificate.der().to_vec())
    }

    pub(crate) fn issued(&self, params: CertificateParams) -> ServerIdentity {
        issued_by(&self.root, params, &[])
    }
}

pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

/// A root that nobody trusts unless it is told to.
pub(crate) fn root(name: &str) -> Issuer {
    Issuer::self_signed(issuer_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(name: &str, issuer: &Issuer) -> Issuer {
    Issuer::signed_by(issuer_params(name), KeyPair::generate().unwrap(), issuer).unwrap()
}

fn issuer_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn issued_by(issuer: &Issuer, params: CertificateParams, sent: &[&Issuer]) -> ServerIdentity {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let chain = sent.iter().map(|issuer| issuer.der().to_vec());
    identity(std::iter::once(certificate.der().to_vec()).chain(chain).collect(), &key)
}

fn identity(chain: Vec<Vec<u8>>, key: &KeyPair) -> ServerIdentity {
    ServerIdentity::new(chain, key.serialize_der()).unwrap()
}
