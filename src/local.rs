//! [`LocalDelivery`]: recipients that the host keeps.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::mail::{Envelope, Message, Recipient};
use crate::outcome::Outcome;

/// Takes in the recipients whose route is [`Route::Local`](crate::Route::Local).
///
/// # Contract
/// The answer has one outcome for each of the request's recipients, in their order. Where outcomes are missing
/// the recipients are deferred; surplus ones are left out. When the future is dropped, nothing may have been
/// stored half.
///
/// # Implementing
/// ```
/// use nexthop::{Delivered, Failure, LocalDelivery, LocalRequest, Outcome};
///
/// #[derive(Debug)]
/// struct FullStore;
///
/// #[async_trait::async_trait]
/// impl LocalDelivery for FullStore {
///     async fn deliver(&self, request: &LocalRequest<'_>) -> Vec<Outcome> {
///         let full = Failure::local_for_now("the disk is full");
///         request.recipients.iter().map(|_| Outcome::Deferred(full.clone())).collect()
///     }
/// }
/// ```
#[async_trait]
pub trait LocalDelivery: Debug + Send + Sync + 'static {
    /// Stores one message for some recipients of an envelope.
    async fn deliver(&self, request: &LocalRequest<'_>) -> Vec<Outcome>;
}

/// What a [`LocalDelivery`] is asked.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LocalRequest<'a> {
    /// The envelope that the recipients are of.
    pub envelope: &'a Envelope,
    /// The recipients to be kept.
    pub recipients: &'a [&'a Recipient],
    /// The message.
    pub message: &'a Message,
}

impl<'a> LocalRequest<'a> {
    /// A request.
    pub fn new(envelope: &'a Envelope, recipients: &'a [&'a Recipient], message: &'a Message) -> Self {
        Self { envelope, recipients, message }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: LocalDelivery + ?Sized> LocalDelivery for Arc<T> {
    async fn deliver(&self, request: &LocalRequest<'_>) -> Vec<Outcome> {
        (**self).deliver(request).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: LocalDelivery + ?Sized> LocalDelivery for Box<T> {
    async fn deliver(&self, request: &LocalRequest<'_>) -> Vec<Outcome> {
        (**self).deliver(request).await
    }
}
