//! Decides whether a message is the reply to a query, and which errors it reports.

use hickory_resolver::proto::op::{DnsRequest, Message, ResponseCode};

use super::exchange::ServerError;
use super::extended_error;

/// Size of the header in bytes (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// The QR bit, in the third byte of the header.
const IS_REPLY: u8 = 0x80;
/// The bits of the response code, in the fourth byte of the header.
const CODE: u8 = 0x0f;

/// Returns the reply to a query, or `None` if the bytes are a reply to something else.
///
/// Id and QR bit must match before anything else is read. An error needs no question, because some servers report errors
/// with a header alone. Any other reply needs the question of the query.
pub(super) fn reply_to(request: &DnsRequest, bytes: &[u8]) -> Option<Result<Message, ServerError>> {
    let header = bytes.first_chunk::<HEADER>()?;
    let is_reply = header[..2] == request.id.to_be_bytes() && header[2] & IS_REPLY != 0;
    if !is_reply {
        return None;
    }
    let message = match Message::from_vec(bytes) {
        Ok(message) => message,
        // some servers send a header alone, with the counts of the query
        Err(error) => {
            let code = ResponseCode::from_low(header[3] & CODE);
            return Some(Err(if is_error(code) { ServerError::code(code) } else { error.into() }));
        }
    };
    if message.queries.is_empty() {
        return Some(if is_error(message.response_code) {
            Ok(message)
        } else {
            Err(ServerError::WithoutQuestion)
        });
    }
    (message.queries == request.queries).then_some(Ok(message))
}

/// Returns `true` if the names in the question of a reply have the case of the query.
pub(super) fn has_same_case(request: &DnsRequest, reply: &Message) -> bool {
    let mut names = reply.queries.iter().zip(&request.queries);
    names.all(|(reply, query)| reply.name().eq_case(query.name()))
}

/// Returns `true` for codes that are neither an answer nor a denial.
fn is_error(code: ResponseCode) -> bool {
    !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

impl ServerError {
    /// Returns the error for a response code.
    pub(super) fn code(code: ResponseCode) -> Self {
        match code {
            ResponseCode::ServFail => Self::Failed { bogus: None },
            code => Self::Code(code),
        }
    }

    /// Returns the error that a reply reports, with the reason in its OPT record.
    pub(super) fn of(message: &Message) -> Option<Self> {
        match message.response_code {
            code if !is_error(code) => None,
            ResponseCode::ServFail => Some(Self::Failed { bogus: extended_error::bogus(message) }),
            code => Some(Self::Code(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{DnsRequestOptions, Query};
    use hickory_resolver::proto::rr::{Name, RecordType};

    use super::*;

    fn request() -> DnsRequest {
        let name = Name::from_ascii("a.test.").unwrap();
        DnsRequest::from_query(Query::query(name, RecordType::MX), DnsRequestOptions::default())
    }

    /// A header with this code and this number of questions, followed by `rest`.
    fn reply(request: &DnsRequest, code: u8, questions: u8, rest: &[u8]) -> Vec<u8> {
        let header = [0x81, 0x80 | code, 0, questions, 0, 0, 0, 0, 0, 0];
        [&request.id.to_be_bytes()[..], &header, rest].concat()
    }

    const QUESTION: &[u8] = b"\x01a\x04test\0\0\x0f\0\x01";

    #[test]
    fn an_error_reply_needs_no_question() {
        let request = request();
        for code in
            [ResponseCode::FormErr, ResponseCode::ServFail, ResponseCode::NotImp, ResponseCode::Refused]
        {
            let header = reply(&request, code.low(), 0, b"");
            let message = reply_to(&request, &header).unwrap().unwrap();
            assert_eq!(message.response_code, code);
        }
    }

    #[test]
    fn an_error_reply_may_count_a_question_that_is_missing() {
        let request = request();
        let header = reply(&request, ResponseCode::FormErr.low(), 1, b"");
        let error = reply_to(&request, &header).unwrap().unwrap_err();
        assert!(matches!(error, ServerError::Code(ResponseCode::FormErr)), "{error:?}");
        let header = reply(&request, ResponseCode::ServFail.low(), 1, b"");
        let error = reply_to(&request, &header).unwrap().unwrap_err();
        assert!(matches!(error, ServerError::Failed { bogus: None }), "{error:?}");
    }

    #[test]
    fn attack_a09_an_answer_or_a_denial_needs_its_question() {
        let request = request();
        for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
            let error = reply_to(&request, &reply(&request, code.low(), 0, b"")).unwrap().unwrap_err();
            assert!(matches!(error, ServerError::WithoutQuestion), "{error:?}");
            let error = reply_to(&request, &reply(&request, code.low(), 1, b"")).unwrap().unwrap_err();
            assert!(matches!(error, ServerError::Malformed(_)), "{error:?}");
            assert!(reply_to(&request, &reply(&request, code.low(), 1, QUESTION)).unwrap().is_ok());
        }
    }

    #[test]
    fn attack_a09_another_id_a_query_and_fewer_bytes_than_a_header_are_no_reply() {
        let request = request();
        let good = reply(&request, ResponseCode::FormErr.low(), 0, b"");
        assert!(reply_to(&request, &good).is_some());
        let mut other_id = good.clone();
        other_id[1] ^= 1;
        let mut query = good.clone();
        query[2] &= !IS_REPLY;
        for bytes in [&other_id[..], &query, &good[..HEADER - 1], b""] {
            assert!(reply_to(&request, bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn attack_a09_another_question_is_no_reply_and_another_case_is_told_apart() {
        let request = request();
        for other in [&b"\x01b\x04test\0\0\x0f\0\x01"[..], b"\x01a\x04test\0\0\x01\0\x01"] {
            assert!(reply_to(&request, &reply(&request, 0, 1, other)).is_none());
            assert!(reply_to(&request, &reply(&request, 1, 1, other)).is_none());
        }
        for (question, is_same) in [(QUESTION, true), (b"\x01A\x04test\0\0\x0f\0\x01", false)] {
            let message = reply_to(&request, &reply(&request, 0, 1, question)).unwrap().unwrap();
            assert_eq!(has_same_case(&request, &message), is_same);
        }
    }
}
