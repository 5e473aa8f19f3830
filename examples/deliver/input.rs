//! What is delivered: the envelope and the message.

use std::io::{self, Read};
use std::path::Path;

use nexthop::mail::{LineEndError, MessageError};
use nexthop::{Envelope, Message, Recipient};

use crate::arguments::Arguments;
use crate::common::exit::{DATA, Trouble, USAGE};

/// The exit status for input that cannot be read.
pub(crate) const NO_INPUT: u8 = 66;

/// The envelope of the command line. An address that is not acceptable is named.
pub(crate) fn envelope(arguments: &Arguments) -> Result<Envelope, Trouble> {
    let mut envelope = Envelope::new(&arguments.from).map_err(|error| Trouble::new(DATA, error))?;
    if let Some(ret) = arguments.dsn_ret {
        envelope = envelope.with_ret(ret);
    }
    if let Some(id) = &arguments.dsn_envid {
        envelope = envelope.with_envelope_id(id.clone());
    }
    if arguments.no_smtp_utf8 {
        envelope = envelope.without_smtp_utf8();
    }
    let to = arguments.to.iter().map(|to| recipient(arguments, to));
    envelope.extend(to.collect::<Result<Vec<_>, _>>()?);
    envelope.require_recipients().map_err(|error| Trouble::new(USAGE, error))
}

fn recipient(arguments: &Arguments, to: &str) -> Result<Recipient, Trouble> {
    let mut recipient = Recipient::parse(to).map_err(|error| Trouble::new(DATA, error))?;
    if let Some(notify) = arguments.dsn_notify {
        recipient = recipient.with_notify(notify);
    }
    if let Some(original) = &arguments.dsn_orcpt {
        recipient = recipient.with_original_recipient(original.clone());
    }
    Ok(recipient)
}

/// The message of the file or of standard input, and what is declared of it.
pub(crate) async fn message(arguments: &Arguments) -> Result<Message, Trouble> {
    let mut message = read(arguments).await?;
    if arguments.eight_bit {
        message = message.declared_eight_bit();
    }
    if arguments.smtp_utf8 {
        message = message.declared_smtp_utf8();
    }
    Ok(message)
}

/// A file with CRLF line ends, or a binary one, is not read into memory.
async fn read(arguments: &Arguments) -> Result<Message, Trouble> {
    match (arguments.file.as_deref().filter(|path| *path != Path::new("-")), arguments.binary) {
        (Some(path), false) => from_file(path).await,
        (Some(path), true) => from_binary_file(path).await,
        (None, false) => Message::from_text(stdin()?).map_err(trouble),
        (None, true) => Ok(Message::from_binary(stdin()?)),
    }
}

async fn from_binary_file(path: &Path) -> Result<Message, Trouble> {
    match is_regular(path) {
        true => Message::from_binary_file(path).await.map_err(trouble),
        false => content(path).map(Message::from_binary),
    }
}

async fn from_file(path: &Path) -> Result<Message, Trouble> {
    if is_regular(path) {
        match Message::from_file(path).await {
            Err(MessageError::LineEnd(LineEndError::BareLineFeed(_))) => {}
            message => return message.map_err(trouble),
        }
    }
    Message::from_text(content(path)?).map_err(trouble)
}

/// Only what is a file can be read more than once.
fn is_regular(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn content(path: &Path) -> Result<Vec<u8>, Trouble> {
    std::fs::read(path).map_err(|error| unreadable(&path.display().to_string(), &error))
}

fn stdin() -> Result<Vec<u8>, Trouble> {
    let mut content = Vec::new();
    io::stdin().read_to_end(&mut content).map_err(|error| unreadable("standard input", &error))?;
    Ok(content)
}

fn unreadable(what: &str, error: &io::Error) -> Trouble {
    Trouble::new(NO_INPUT, format!("cannot read {what}: {error}"))
}

fn trouble(error: MessageError) -> Trouble {
    let status = if matches!(error, MessageError::File { .. }) { NO_INPUT } else { DATA };
    Trouble::new(status, error)
}
