//! A domain that is handed to an LMTP server on this host, and a stranger's mail exchanger that may not be.
//!
//! Without arguments it needs nothing installed: it starts a small LMTP server of its own on a loopback port and
//! on a unix socket. With `--lmtp` it delivers to a server that is there.

mod real;
mod show;

use std::process::ExitCode;

use clap::Parser;
use nexthop::testing::ScriptedServer;
use nexthop::{Attempt, DefaultPolicy, Deliverer, Envelope, MemoryResolver, Message, Route, RouteTable};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const MESSAGE: &str = "From: News <news@example.net>\n\
    To: ann@lists.example\n\
    Subject: Minutes\n\
    Date: Thu, 01 Jan 2026 00:00:00 +0000\n\
    Message-ID: <1@example.net>\n\
    \n\
    Here they are.\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match real::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return show::usage(error),
    };
    if arguments.lmtp.is_some() {
        return real::deliver(&arguments).await;
    }
    match demonstrate().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => show::trouble(&*error),
    }
}

async fn demonstrate() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let over_tcp = lmtp_server().listen_tcp().await?;
    let over_unix = lmtp_server().listen_unix(folder.path().join("lmtp")).await?;
    let port = over_tcp.address().port();

    // This is what a host writes: one line for each domain that it wants elsewhere.
    let routes = RouteTable::new(Route::mx())
        .domain("lists.example", format!("lmtp://localhost:{port}").parse()?)?
        .domain("news.example", format!("lmtp://127.0.0.1:{port}").parse()?)?
        .domain("club.example", over_unix.url().parse()?)?;

    // The DNS of this demonstration: a stranger whose mail exchanger points to this host.
    let dns = MemoryResolver::builder()
        .mx("trap.example", 10, "mx.trap.example")
        .ipv4("mx.trap.example", [127, 0, 0, 1])
        .build()?;

    let deliverer = Deliverer::builder("mail.example.net")
        .router(routes)
        .resolver(dns)
        .address_policy(DefaultPolicy::default())
        .build()?;
    let message = Message::from_text(MESSAGE)?;

    show::title("Three ways to one LMTP server, and what an operator can ask for before anything is sent");
    let all = envelope(&["ann@lists.example", "ann@news.example", "ann@club.example", "ann@trap.example"])?;
    show::plans(&deliverer.plans(&all, Attempt::default()).await);

    for domain in ["lists.example", "news.example", "club.example"] {
        show::title(&format!("To two recipients at {domain}: the server knows ann, and does not know bob"));
        let envelope = envelope(&[&format!("ann@{domain}"), &format!("bob@{domain}")])?;
        show::report(&deliverer.deliver(&envelope, &message).await);
    }

    show::title("To a stranger whose MX points here: the route is the stranger's word, not the operator's");
    show::report(&deliverer.deliver(&envelope(&["ann@trap.example"])?, &message).await);

    let taken = over_tcp.messages().len() + over_unix.messages().len();
    println!(
        "\nThe server was connected to {} times and took {taken} messages.",
        connections(&over_tcp, &over_unix)
    );
    Ok(())
}

/// A server that takes mail for everybody but bob.
fn lmtp_server() -> nexthop::testing::Rules {
    ["lists.example", "news.example", "club.example"].iter().fold(ScriptedServer::lmtp(), |server, domain| {
        server.recipient(&format!("bob@{domain}"), "550 5.1.1 no such user here")
    })
}

fn connections(over_tcp: &ScriptedServer, over_unix: &ScriptedServer) -> usize {
    over_tcp.connections() + over_unix.connections()
}

fn envelope(recipients: &[&str]) -> Outcome<Envelope> {
    let envelope = Envelope::new("news@example.net")?;
    Ok(recipients.iter().try_fold(envelope, |envelope, recipient| envelope.to(recipient))?)
}
