//! The dialogue on standard error.

use nexthop::{Event, Observer};

/// Prints what is said, a line each: `C:` the client, `S:` the server, `A:` what may be shown of an
/// authentication, `-` what else happens.
#[derive(Debug)]
pub(crate) struct Transcript;

impl Observer for Transcript {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Connecting { connection, .. } => eprintln!("{connection} - connecting"),
            Event::Connected { connection, .. } => eprintln!("{connection} - connected"),
            Event::Secured { connection, what, .. } => eprintln!("{connection} - {what}"),
            Event::Sent { connection, line, .. } => eprintln!("{connection} C: {}", printable(line)),
            Event::Authentication { connection, line, .. } => {
                eprintln!("{connection} A: {}", printable(line))
            }
            Event::Received { connection, reply, .. } => {
                reply.wire_lines().for_each(|line| eprintln!("{connection} S: {line}"));
            }
            _ => {}
        }
    }
}

fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
