//! Seeds reach what they are for: targets that reject everything would find nothing.

use std::path::Path;

use crate::campaign::seeds;
use crate::targets;

fn seed(target: &str, name: &str) -> Option<Vec<u8>> {
    // a package has no seeds
    let is_package = !Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").exists();
    let seed = seeds(target).remove(name);
    assert!(seed.is_some() || is_package, "there is no seed {target}/{name}");
    seed
}

#[test]
fn scripts_lead_to_deliveries_and_failures() {
    for (name, result) in [
        ("lock_step", "delivered (250 2.0.0 queued)"),
        ("bare_codes", "delivered (250)"),
        ("pipelined_pieces", "delivered (250 2.0.0 queued)"),
        ("chunks", "delivered (250 2.0.0 queued)"),
        ("single_flight", "delivered (250 2.0.0 queued)"),
        ("helo", "delivered (250 2.0.0 queued)"),
        ("lmtp", "deferred (4.2.2): the server said 452 4.2.2 full to the message"),
        ("lmtp_chunks", "deferred (4.2.1): the server said 450 4.2.1 busy to the message"),
        ("two", "delivered (250 2.0.0 queued)"),
        ("two_with_rset", "delivered (250 2.0.0 queued)"),
        ("mixed_codes", "failed (5.0.0): the server said 250-ok / 550 no to RCPT TO"),
        ("early_refusal", "the server said 552 too large to a part of the content"),
        ("deaf", "the server said 552 too large to a part of the content"),
        ("lost", "no answer to the message (the message may have arrived)"),
        ("silent", "no answer to the message (the message may have arrived)"),
        ("surplus", "more replies than commands"),
        ("endless_ehlo", "a reply that is too long"),
        ("line_without_end", "a reply line that is too long"),
    ] {
        let Some(seed) = seed("replies", name) else { return };
        let outcomes = targets::replies::outcomes(&seed);
        assert!(outcomes.iter().any(|outcome| outcome.contains(result)), "{name}: {outcomes:#?}");
    }
}

#[test]
fn exchanges_lead_to_successes_and_failures() {
    for (name, result) in [
        ("scram_sha256_plus", "Ok"),
        ("scram_sha1_plus", "Ok"),
        ("scram_sha256", "Ok"),
        ("scram_sha1", "Ok"),
        ("scram_bound", "Ok"),
        ("scram_not_offered", "Ok"),
        ("scram_acting_as", "Ok"),
        ("scram_long", "Ok"),
        ("scram_wrong_signature", "Err(Mechanism(WrongSignature))"),
        ("scram_no_signature", "Err(Mechanism(Premature))"),
        ("scram_prefix", "Err(Mechanism(MandatoryExtension))"),
        ("scram_rounds", "Err(Mechanism(Iterations(100000)))"),
        ("scram_nonce", "Err(Mechanism(ForeignNonce))"),
        ("scram_complaint", "channel-bindings-dont-match"),
        ("cram", "Ok"),
        ("plain", "Ok"),
        ("login", "Ok"),
        ("oauth", "Ok"),
        ("oauth_refused", "invalid_token"),
        ("external", "Ok"),
        ("endless", "Err(Mechanism(UnexpectedChallenge))"),
    ] {
        let Some(seed) = seed("logins", name) else { return };
        let found = targets::logins::result(&seed);
        assert!(found.contains(result), "{name}: {found}");
    }
}

#[test]
fn datagrams_lead_to_records_and_failures() {
    for (name, result) in [
        ("mx", "mail.a.test"),
        ("null_mx", "Null"),
        ("mx_address", "Invalid"),
        ("a", "a.test Records([\"192.0.2.1\", \"192.0.2.2\"])"),
        ("alias", "b.test Records([\"192.0.2.1\"])"),
        ("alias_in_parts", "b.test Records([\"192.0.2.1\"])"),
        ("alias_loop", "loop"),
        ("nxdomain", "NoSuchName"),
        ("nodata", "a.test Records([])"),
        ("other_question", "mx.example"),
        ("other_id", "Ignored"),
        ("other_case", "another case"),
        ("aimed_mx", "mail.a.test"),
    ] {
        let Some(seed) = seed("dns", name) else { return };
        let found = targets::dns::result(&seed);
        assert!(found.contains(result), "{name}: {found}");
    }
}
