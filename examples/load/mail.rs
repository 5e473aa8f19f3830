//! What is delivered.

use nexthop::{Envelope, Message};

use crate::arguments::Arguments;
use crate::common::exit::{DATA, Trouble};

const HEADER: &str = "From: <load@load.example>\r\nSubject: load\r\n\r\n";
/// Octets of a line with its end.
const LINE: usize = 78;

pub(crate) fn envelope(arguments: &Arguments) -> Result<Envelope, Trouble> {
    let envelope = Envelope::new("load@load.example").map_err(|error| Trouble::new(DATA, error))?;
    let mut recipients = 0..arguments.recipients;
    let envelope =
        recipients.try_fold(envelope, |envelope, index| envelope.to(&format!("r{index}@load.example")));
    envelope.map_err(|error| Trouble::new(DATA, error))
}

pub(crate) fn message(arguments: &Arguments) -> Result<Message, Trouble> {
    Message::from_bytes(content(arguments.size)).map_err(|error| Trouble::new(DATA, error))
}

/// A message of exactly so many octets, two at least; the header is left out where there is no room for it.
fn content(size: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(size);
    let rest = size.checked_sub(HEADER.len()).filter(|rest| *rest != 1);
    if rest.is_some() {
        content.extend_from_slice(HEADER.as_bytes());
    }
    while content.len() < size {
        let left = size - content.len();
        // one octet alone would be no line
        let line = if left <= LINE + 1 { left } else { LINE };
        content.resize(content.len() + line - 2, b'x');
        content.extend_from_slice(b"\r\n");
    }
    content
}
