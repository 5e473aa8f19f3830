//! Deliveries to real servers: Dovecot by LMTP, Postfix by SMTP.
//!
//! Each test starts a server of its own on a loopback address, without privileges where that server can do
//! without, and stops it again. Nothing of the system's own mail service is touched or needed. Tests of a server
//! that is not installed say so and pass; with `NEXTHOP_INTEROP=require` in the environment they fail.

// unix sockets, /proc, and the paths of these servers
#![cfg(target_os = "linux")]

mod dialogue;
mod dovecot;
mod launcher;
mod lmtp;
mod postfix;
mod smtp;
mod stored;

/// A message that begins as if a server had been at it before, and has what a server may be tempted to change.
const MESSAGE: &[u8] =
    "Received: from earlier.example by client.example; Fri, 21 Nov 2025 09:00:00 +0000\r\n\
    From: Sender <sender>\r\n\
    Subject: folded\r\n\tand ended by a space \r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\
    \r\n\
    From here on text: ümläute, and\ttrailing\t\r\n\
    \r\n"
        .as_bytes();
