//! Which mechanism is used.

use super::channel_binding::ChannelBinding;
use super::credentials::Credentials;
use super::mechanism::Mechanism;
use super::mechanism_set::MechanismSet;

/// What the host allows on this connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SaslPolicy {
    /// The one mechanism that may be used.
    pub(crate) only: Option<Mechanism>,
    /// Whether the server may learn the password or the token: it is known who it is and nobody can listen.
    pub(crate) plaintext_allowed: bool,
    /// Whether CRAM-MD5 may be used without being the only one.
    pub(crate) cram_md5_allowed: bool,
    /// `true` if a mechanism without channel binding may follow a refusal of one with it, because the certificate was
    /// verified. Otherwise the refusal may come from an attacker who relays the login.
    pub(crate) unbound_after_refusal: bool,
}

/// The strongest mechanism that the server offers, the policy allows, the credentials suit and that was not
/// tried before. The order of the server does not count (check 202).
pub(crate) fn choose(
    offered: MechanismSet,
    tried: MechanismSet,
    credentials: &Credentials,
    policy: &SaslPolicy,
    binding: Option<&ChannelBinding>,
) -> Option<Mechanism> {
    // RFC 5802 section 6: the bound form MUST be used where it is offered
    let bound_form_is_due = |mechanism: Mechanism| {
        let is_open = |bound| offered.contains(bound) && !tried.contains(bound);
        binding.is_some() && mechanism.bound().is_some_and(is_open)
    };
    let must_be_bound = tried.iter().any(Mechanism::is_bound) && !policy.unbound_after_refusal;
    offered
        .iter()
        .filter(|mechanism| !tried.contains(*mechanism) && credentials.suit(*mechanism))
        .filter(|mechanism| binding.is_some() || !mechanism.is_bound())
        .filter(|mechanism| mechanism.is_bound() || !must_be_bound)
        .filter(|mechanism| policy.allows(*mechanism))
        .find(|mechanism| policy.only.is_some() || !bound_form_is_due(*mechanism))
}

impl SaslPolicy {
    fn allows(&self, mechanism: Mechanism) -> bool {
        if mechanism.is_plaintext() && !self.plaintext_allowed {
            return false;
        }
        match self.only {
            Some(only) => only == mechanism,
            None => mechanism != Mechanism::CramMd5 || self.cram_md5_allowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: ChannelBinding = ChannelBinding([7; 32]);
    const OPEN: SaslPolicy = SaslPolicy {
        only: None,
        plaintext_allowed: true,
        cram_md5_allowed: false,
        unbound_after_refusal: true,
    };

    fn set(names: &str) -> MechanismSet {
        MechanismSet::from_names(names.split(' '))
    }

    fn chosen(offered: &str, policy: SaslPolicy, binding: Option<&ChannelBinding>) -> Option<Mechanism> {
        let credentials = Credentials::password("u", "p");
        choose(set(offered), MechanismSet::default(), &credentials, &policy, binding)
    }

    fn only(mechanism: Mechanism) -> SaslPolicy {
        SaslPolicy { only: Some(mechanism), ..OPEN }
    }

    #[test]
    fn check_202_the_strongest_comes_first_wherever_it_stands() {
        assert_eq!(chosen("PLAIN SCRAM-SHA-256", OPEN, None), Some(Mechanism::ScramSha256));
        assert_eq!(chosen("SCRAM-SHA-1 SCRAM-SHA-256", OPEN, None), Some(Mechanism::ScramSha256));
        assert_eq!(chosen("LOGIN PLAIN", OPEN, None), Some(Mechanism::Plain));
        assert_eq!(chosen("GSSAPI", OPEN, None), None);
    }

    #[test]
    fn check_196_plus_is_used_with_a_binding_and_never_without() {
        const BOTH: &str = "SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
        assert_eq!(chosen(BOTH, OPEN, Some(&BINDING)), Some(Mechanism::ScramSha256Plus));
        assert_eq!(chosen(BOTH, OPEN, None), Some(Mechanism::ScramSha256));
        assert_eq!(chosen("SCRAM-SHA-256-PLUS", OPEN, None), None);
        assert_eq!(
            chosen("SCRAM-SHA-256 SCRAM-SHA-1-PLUS", OPEN, Some(&BINDING)),
            Some(Mechanism::ScramSha1Plus)
        );
    }

    #[test]
    fn attack_a40_a_refused_plus_leads_to_the_form_without_only_where_the_server_is_known() {
        let offered = set("SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN");
        let tried = set("SCRAM-SHA-256-PLUS");
        let credentials = Credentials::password("u", "p");
        let next = |policy: &SaslPolicy| choose(offered, tried, &credentials, policy, Some(&BINDING));
        assert_eq!(next(&SaslPolicy { unbound_after_refusal: false, ..OPEN }), None);
        assert_eq!(next(&OPEN), Some(Mechanism::ScramSha256));
        let offered = set("SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS PLAIN");
        let unproved = SaslPolicy { unbound_after_refusal: false, ..OPEN };
        let next = choose(offered, tried, &credentials, &unproved, Some(&BINDING));
        assert_eq!(next, Some(Mechanism::ScramSha1Plus), "it is bound too");
    }

    #[test]
    fn check_196_a_named_form_without_binding_is_used_as_named() {
        let offered = "SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
        let named = only(Mechanism::ScramSha256);
        assert_eq!(chosen(offered, named, Some(&BINDING)), Some(Mechanism::ScramSha256));
    }

    #[test]
    fn check_187_what_was_tried_is_not_tried_again() {
        let (offered, tried) = (set("SCRAM-SHA-1 PLAIN LOGIN"), set("SCRAM-SHA-1 PLAIN"));
        let credentials = Credentials::password("u", "p");
        assert_eq!(choose(offered, tried, &credentials, &OPEN, None), Some(Mechanism::Login));
    }

    #[test]
    fn check_192_cram_md5_is_used_by_choice_only() {
        let allowed = SaslPolicy { cram_md5_allowed: true, ..OPEN };
        assert_eq!(chosen("CRAM-MD5", OPEN, None), None);
        assert_eq!(chosen("CRAM-MD5 PLAIN", allowed, None), Some(Mechanism::CramMd5));
        assert_eq!(chosen("CRAM-MD5 PLAIN", only(Mechanism::CramMd5), None), Some(Mechanism::CramMd5));
    }

    #[test]
    fn check_180_nothing_in_plain_where_it_is_not_allowed() {
        let closed = SaslPolicy { plaintext_allowed: false, ..OPEN };
        assert_eq!(chosen("PLAIN LOGIN", closed, None), None);
        assert_eq!(chosen("PLAIN SCRAM-SHA-1", closed, None), Some(Mechanism::ScramSha1));
        let token = Credentials::token("u", "t");
        let offered = set("OAUTHBEARER XOAUTH2");
        assert_eq!(choose(offered, MechanismSet::default(), &token, &closed, None), None);
        let named = SaslPolicy { plaintext_allowed: false, ..only(Mechanism::Plain) };
        assert_eq!(chosen("PLAIN", named, None), None);
    }

    #[test]
    fn attack_a40_a_named_mechanism_is_used_alone() {
        assert_eq!(chosen("PLAIN LOGIN", only(Mechanism::ScramSha256), None), None);
        assert_eq!(chosen("PLAIN SCRAM-SHA-256", only(Mechanism::Plain), None), Some(Mechanism::Plain));
        assert_eq!(chosen("PLAIN", only(Mechanism::XOAuth2), None), None, "the credentials do not suit");
    }
}
