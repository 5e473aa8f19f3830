//! What is remembered of a chain, and when it is judged again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::remembering::Remembering;
use super::settings::default_provider;
use super::verifier::{Pkix, not_after};

/// Midnight of 1 January 2025, 2026 and 2027.
const STARTS: u64 = 1_735_689_600;
const INTERMEDIATE_ENDS: u64 = 1_767_225_600;
const LEAF_ENDS: u64 = 1_798_761_600;

/// Counts how often the judge is asked.
#[derive(Debug)]
struct Counting(Pkix, AtomicUsize);

impl ServerCertVerifier for Counting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("never asked".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("the server does not have the key".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

type Chain = Vec<CertificateDer<'static>>;

/// A verifier that trusts one root, a chain of that root by way of an intermediate that ends a year before the leaf, and
/// one of another root for the same name.
struct Bed {
    verifier: Remembering,
    counting: Arc<Counting>,
    chain: Chain,
    foreign: Chain,
}

fn issuer() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2026, 1, 1));
    params
}

fn chain() -> (CertificateDer<'static>, Chain) {
    let root = CertifiedIssuer::self_signed(issuer(), KeyPair::generate().unwrap()).unwrap();
    let mut params = issuer();
    params.distinguished_name.push(rcgen::DnType::CommonName, "intermediate");
    let intermediate = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let mut params = CertificateParams::new(["mx.example".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2027, 1, 1));
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &intermediate).unwrap();
    (root.der().clone(), vec![leaf.der().clone(), intermediate.der().clone()])
}

impl Bed {
    fn new() -> Self {
        let ((root, chain), (_, foreign)) = (self::chain(), self::chain());
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = default_provider().unwrap();
        let pkix = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let counting = Arc::new(Counting(Pkix(pkix), AtomicUsize::new(0)));
        Self { verifier: Remembering::new(Arc::clone(&counting) as _), counting, chain, foreign }
    }

    /// Whether a chain is accepted for a name at a time, and whether the judge was asked for that.
    fn ask(&self, chain: &[CertificateDer<'_>], name: &str, now: u64) -> (bool, bool) {
        let (asked, now) = (self.asked(), UnixTime::since_unix_epoch(Duration::from_secs(now)));
        let name = ServerName::try_from(name).unwrap();
        let verdict = self.verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now);
        (verdict.is_ok(), self.asked() > asked)
    }

    fn asked(&self) -> usize {
        self.counting.1.load(Ordering::Relaxed)
    }

    /// With the chain accepted once, two hours after it began to be valid.
    fn accepted() -> (Self, u64) {
        let (bed, now) = (Self::new(), STARTS + 7200);
        assert_eq!(bed.ask(&bed.chain, "mx.example", now), (true, true));
        (bed, now)
    }
}

#[test]
fn the_same_chain_is_judged_once_for_a_name() {
    let (bed, now) = Bed::accepted();
    for later in [now, now + 1, INTERMEDIATE_ENDS] {
        assert_eq!(bed.ask(&bed.chain, "mx.example", later), (true, false), "{later}");
    }
}

#[test]
fn check_174_for_another_name_it_is_judged_again() {
    let (bed, now) = Bed::accepted();
    assert_eq!(bed.ask(&bed.chain, "other.example", now), (false, true));
}

#[test]
fn check_174_another_chain_is_judged() {
    let (bed, now) = Bed::accepted();
    assert_eq!(bed.ask(&bed.foreign, "mx.example", now), (false, true));
    let other_leaf = [bed.foreign[0].clone(), bed.chain[1].clone()];
    assert_eq!(bed.ask(&other_leaf, "mx.example", now), (false, true));
    let other_intermediate = [bed.chain[0].clone(), bed.foreign[1].clone()];
    assert_eq!(bed.ask(&other_intermediate, "mx.example", now), (false, true));
    assert_eq!(bed.ask(&bed.chain[..1], "mx.example", now), (false, true));
}

#[test]
fn check_174_it_is_judged_again_when_any_certificate_of_it_has_expired() {
    let (bed, _) = Bed::accepted();
    assert_eq!(bed.ask(&bed.chain, "mx.example", INTERMEDIATE_ENDS + 1), (false, true));
}

#[test]
fn check_174_it_is_judged_again_at_a_time_before_it_was_accepted() {
    let (bed, now) = Bed::accepted();
    assert_eq!(bed.ask(&bed.chain, "mx.example", STARTS - 1), (false, true));
    assert_eq!(bed.ask(&bed.chain, "mx.example", now - 1), (true, true));
}

#[test]
fn what_was_refused_is_not_remembered() {
    let (bed, now) = (Bed::new(), STARTS + 7200);
    for _ in 0..2 {
        assert_eq!(bed.ask(&bed.foreign, "mx.example", now), (false, true));
    }
    assert_eq!(bed.ask(&bed.chain, "mx.example", now), (true, true));
}

#[test]
fn a_chain_that_holds_who_knows_how_long_is_not_remembered() {
    let (bed, now) = (Bed::new(), STARTS + 7200);
    let odd = [&bed.chain[..], &[CertificateDer::from(vec![0; 8])]].concat();
    for _ in 0..2 {
        assert_eq!(bed.ask(&odd, "mx.example", now), (true, true));
    }
}

#[test]
fn the_end_of_a_certificate_is_read() {
    let ends = Bed::new().chain.iter().map(|each| not_after(each).unwrap().as_secs()).collect::<Vec<_>>();
    assert_eq!(ends, [LEAF_ENDS, INTERMEDIATE_ENDS]);
}
