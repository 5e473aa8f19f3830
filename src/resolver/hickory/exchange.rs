//! [`Client`]: one question to one name server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Message, Query as Question, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::proto::serialize::binary::DecodeError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::reply::reply_to;
use super::servers::Server;
use super::settings::ResolverSettings;
use super::udp::exchange_over_udp;

/// How questions are put to a server.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) settings: &'a ResolverSettings,
    pub(super) wants: Wants,
}

/// What is asked for beside the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// Nothing.
    Answer,
    /// The server's verdict on DNSSEC: the AD bit (RFC 6840 section 5.7).
    Verdict,
    /// No validation, so that also what is bogus comes: the CD bit (RFC 4035 section 3.2.2).
    AnyAnswer,
}

/// Why a server is of no use for a question.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    #[error("silent for {0:?}")]
    Silent(Duration),
    #[error("answered {}", ResponseCode::ServFail)]
    Failed {
        /// What validation found wrong, if the server says so.
        bogus: Option<&'static str>,
    },
    #[error("answered {0}")]
    Code(ResponseCode),
    #[error("answered with a referral, it does not resolve for others")]
    Referral,
    #[error("answered another question")]
    OtherQuestion,
    #[error("answered without a question")]
    WithoutQuestion,
    #[error("answered in another case")]
    OtherCase,
    #[error("sent what cannot be read")]
    Malformed(#[from] DecodeError),
    #[error("could not be asked: the query cannot be encoded")]
    Encoding(#[from] ProtoError),
    #[error("could not be asked")]
    Net(#[source] io::Error),
    #[error("could not be asked over TCP")]
    Tcp(#[from] io::Error),
}

impl ServerError {
    /// Nothing was heard of the server at all.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Net(_))
    }

    /// Returns `true` if the server may not know EDNS, so that it may answer the same query without OPT (RFC 6891
    /// sections 6.2.2 and 7).
    fn may_be_for_edns(&self) -> bool {
        matches!(
            self,
            Self::Code(ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS)
                | Self::Malformed(_)
                | Self::WithoutQuestion
        )
    }
}

impl Client<'_> {
    /// The response, complete, with NOERROR or NXDOMAIN.
    ///
    /// A server that rejects OPT is asked again without it. Only a reply that matches source, port and id causes that, so it
    /// is no easier to forge than an answer.
    pub(super) async fn ask(&self, server: &Server, question: &Question) -> Result<Message, ServerError> {
        if server.edns.is_rejected() {
            return self.ask_without_edns(server, question).await;
        }
        let reply = self.exchange(server, &self.request(question, true)).await;
        if let Ok(reply) = &reply
            && reply.edns.is_some()
        {
            server.edns.was_used();
        }
        let rejection = match reply.and_then(usable) {
            Err(error) if error.may_be_for_edns() => error,
            result => return result,
        };
        let result = self.ask_without_edns(server, question).await;
        // a server that uses EDNS has failed for this name: that does not prove that the name is unsigned
        let is_insecure = matches!(&result, Ok(message) if !message.metadata.authentic_data);
        if is_insecure
            && self.wants == Wants::Verdict
            && server.edns.was_used_within(self.settings.edns_memory)
        {
            return Err(rejection);
        }
        // the server itself replied to a query without OPT, so it is OPT that it rejects; a forged error would not show that
        if !matches!(&result, Err(error) if error.may_be_for_edns() || error.is_silence()) {
            server.edns.was_rejected(self.settings.edns_memory);
        }
        result
    }

    /// Asks without OPT. The AD bit needs none: a server sets it for a client that asked with AD (RFC 6840 section 5.7).
    async fn ask_without_edns(&self, server: &Server, question: &Question) -> Result<Message, ServerError> {
        usable(self.exchange(server, &self.request(question, false)).await?)
    }

    /// Sends a query over UDP, and over TCP if the reply does not fit.
    async fn exchange(&self, server: &Server, request: &DnsRequest) -> Result<Message, ServerError> {
        match exchange_over_udp(server.address, request).await {
            Ok(reply) if reply.truncation => over_tcp(server.address, request).await,
            // the answer is forged, or the server does not preserve case. TCP, which is hard to forge, decides
            Err(ServerError::OtherCase) => over_tcp(server.address, request).await,
            reply => reply,
        }
    }

    fn request(&self, question: &Question, edns: bool) -> DnsRequest {
        let mut options = DnsRequestOptions::default();
        options.use_edns = edns;
        options.edns_payload_len = self.settings.udp_payload;
        options.case_randomization = self.settings.case_randomization;
        let mut request = DnsRequest::from_query(question.clone(), options);
        request.metadata.authentic_data = self.wants == Wants::Verdict;
        request.metadata.checking_disabled = self.wants == Wants::AnyAnswer;
        request
    }
}

async fn over_tcp(server: SocketAddr, request: &DnsRequest) -> Result<Message, ServerError> {
    let reply = exchange_over_tcp(server, &request.to_vec()?).await?;
    reply_to(request, &reply).unwrap_or(Err(ServerError::OtherQuestion))
}

/// One message there, one back, each behind its length (RFC 1035 section 4.2.2).
async fn exchange_over_tcp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes(), request].concat()).await?;
    let mut response = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut response).await?;
    Ok(response)
}

pub(super) fn usable(message: Message) -> Result<Message, ServerError> {
    match ServerError::of(&message) {
        Some(error) => Err(error),
        None if is_referral(&message) => Err(ServerError::Referral),
        None => Ok(message),
    }
}

/// Name servers instead of an answer (RFC 2308 section 2.2): taken for a denial it would deny what exists.
fn is_referral(message: &Message) -> bool {
    let has = |kind| message.authorities.iter().any(|record| record.record_type() == kind);
    let is_empty = message.response_code == ResponseCode::NoError && message.answers.is_empty();
    is_empty && has(RecordType::NS) && !has(RecordType::SOA)
}
