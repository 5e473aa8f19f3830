//! The dialogue of the server: commands are executed strictly in order, as RFC 5321, RFC 2033 and RFC 3030 have it.

use std::io;

use nexthop::Protocol;

use crate::connection::Connection;
use crate::fault::{Kind, Step};
use crate::ledger::{Decision, Key};
use crate::plan::Plan;

/// A mail transaction.
#[derive(Debug)]
struct Transaction {
    /// Number of the message; `None` for a message that is not of the test.
    message: Option<usize>,
    accepted: Vec<usize>,
    chunks: Vec<u8>,
    /// Whether a chunk was refused, so that RSET is due.
    has_failed: bool,
}

/// A session on a connection.
#[derive(Debug)]
struct Session {
    connection: Connection,
    transaction: Option<Transaction>,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(connection: Connection) {
    let mut session = Session { connection, transaction: None };
    // the end of a connection is a part of the dialogue
    let _ = session.run().await;
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        self.answer(Step::Greeting, 220, None).await?;
        loop {
            let line = self.connection.line().await?;
            self.execute(&line).await?;
        }
    }

    async fn execute(&mut self, line: &str) -> io::Result<()> {
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        let is_known =
            ["EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT"].contains(&verb);
        if line.contains("forged") || !is_known {
            self.connection.server.ledger().forged.push(line.to_owned());
        }
        match verb {
            "EHLO" | "LHLO" => self.hello().await,
            "MAIL" => self.mail(line).await,
            "RCPT" => self.rcpt(line).await,
            "DATA" => self.data().await,
            "BDAT" => self.bdat(line).await,
            "RSET" => self.reset().await,
            "NOOP" => self.out_of_order(250).await,
            "QUIT" => {
                self.answer(Step::Quit, 221, None).await?;
                self.connection.flush().await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            _ => self.out_of_order(500).await,
        }
    }

    async fn hello(&mut self) -> io::Result<()> {
        let kind = self.connection.server.strike(Step::Hello, None);
        let code = kind.code(Step::Hello, 250);
        let transport = self.connection.server.cell().transport;
        let mut lines = vec!["judge.example"];
        lines.extend(transport.pipelining.then_some("PIPELINING"));
        lines.extend(transport.chunking.then_some("CHUNKING"));
        lines.push("ENHANCEDSTATUSCODES");
        if code != 250 {
            lines.truncate(1);
        }
        let last = lines.len() - 1;
        let mark = |index| if index == last { ' ' } else { '-' };
        let reply = lines.iter().enumerate().map(|(index, line)| format!("{code}{}{line}\r\n", mark(index)));
        let reply: String = reply.collect();
        self.connection.reply(kind, &reply, None).await
    }

    async fn mail(&mut self, line: &str) -> io::Result<()> {
        if self.transaction.is_some() {
            return self.out_of_order(503).await;
        }
        let message = number(line, "<m");
        let code =
            self.decide(Step::Mail, self.plan(message).mail(), message, self.everyone(message)).await?;
        if code == 250 {
            let (accepted, chunks) = (Vec::new(), Vec::new());
            self.transaction = Some(Transaction { message, accepted, chunks, has_failed: false });
        }
        Ok(())
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<()> {
        let Some(message) = self.open().map(|transaction| transaction.message) else {
            return self.out_of_order(503).await;
        };
        let recipient = number(line, "<r").unwrap_or_default();
        let planned = self.plan(message).rcpt(recipient, self.connection.server.cell().recipients);
        let keys = keys(message, &[recipient]);
        let code = self.decide(Step::Rcpt(recipient), planned, message, keys).await?;
        if let Some(transaction) = self.transaction.as_mut().filter(|_| code == 250) {
            transaction.accepted.push(recipient);
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        let Some((message, accepted)) = self.addressed() else { return self.out_of_order(503).await };
        if accepted.is_empty() {
            return self.out_of_order(554).await;
        }
        let code = self.decide(Step::Data, 354, message, keys(message, &accepted)).await?;
        if code != 354 {
            return Ok(());
        }
        let content = self.connection.dotted_content().await?;
        self.finish(&content, false).await
    }

    async fn bdat(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.split(' ').skip(1);
        let count = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let is_last = words.next() == Some("LAST");
        let addressed = self.addressed().filter(|(_, accepted)| !accepted.is_empty());
        let is_unread = addressed.is_none() && self.connection.server.cell().transport.unread_chunk;
        let chunk = if is_unread { Vec::new() } else { self.connection.chunk(count).await? };
        let (Some((message, accepted)), Some(transaction)) = (addressed, &mut self.transaction) else {
            if let Some(transaction) = &mut self.transaction {
                transaction.has_failed = true;
            }
            return self.out_of_order(503).await;
        };
        transaction.chunks.extend_from_slice(&chunk);
        if is_last {
            let content = std::mem::take(&mut transaction.chunks);
            return self.finish(&content, true).await;
        }
        let code = self.decide(Step::Chunk, 250, message, keys(message, &accepted)).await?;
        if let Some(transaction) = self.transaction.as_mut().filter(|_| code != 250) {
            transaction.has_failed = true;
        }
        Ok(())
    }

    /// Answers the complete content.
    async fn finish(&mut self, content: &[u8], is_chunked: bool) -> io::Result<()> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        let (message, accepted) = (transaction.message, transaction.accepted);
        let server = self.connection.server.clone();
        if let Some(message) = message.filter(|message| server.content(*message) != content) {
            server.ledger().altered.push(message);
        }
        if self.connection.is_followed() {
            server.ledger().followed.extend(message);
        }
        let (plan, count) = (self.plan(message), server.cell().recipients);
        if server.cell().transport.protocol == Protocol::Smtp {
            let code = self.accept(Step::Final(0), plan.content(), message, &accepted).await?;
            if is_chunked && code != 250 {
                let (accepted, chunks) = (Vec::new(), Vec::new());
                self.transaction = Some(Transaction { message, accepted, chunks, has_failed: true });
            }
            return Ok(());
        }
        // the content is taken for all of them before the first reply is written
        let faults: Vec<_> =
            accepted.iter().map(|index| server.strike(Step::Final(*index), message)).collect();
        let code =
            |(index, kind): (&usize, &Kind)| kind.code(Step::Final(*index), plan.content_of(*index, count));
        let codes: Vec<_> = accepted.iter().zip(&faults).map(code).collect();
        for (index, _) in accepted.iter().zip(&codes).filter(|(_, code)| **code == 250) {
            server.ledger().take(&keys(message, &[*index]));
        }
        self.connection.finals_left = accepted.len();
        for ((index, kind), code) in accepted.iter().zip(faults).zip(codes) {
            self.connection.finals_left -= 1;
            let decision = Decision { keys: keys(message, &[*index]), code, is_accepted: code == 250 };
            self.connection.reply(kind, &reply(code, Step::Final(*index), message), Some(decision)).await?;
        }
        Ok(())
    }

    /// Takes or refuses the content for some recipients, with one reply.
    async fn accept(
        &mut self,
        step: Step,
        planned: u16,
        message: Option<usize>,
        recipients: &[usize],
    ) -> io::Result<u16> {
        let kind = self.connection.server.strike(step, message);
        let code = kind.code(step, planned);
        let keys = keys(message, recipients);
        if code == 250 {
            self.connection.server.ledger().take(&keys);
        }
        let decision = Decision { keys, code, is_accepted: code == 250 };
        self.connection.reply(kind, &reply(code, step, message), Some(decision)).await?;
        Ok(code)
    }

    async fn reset(&mut self) -> io::Result<()> {
        self.transaction = None;
        self.answer(Step::Reset, 250, None).await
    }

    /// Answers a command that decides about recipients if it is refused.
    async fn decide(
        &mut self,
        step: Step,
        planned: u16,
        message: Option<usize>,
        keys: Vec<Key>,
    ) -> io::Result<u16> {
        let kind = self.connection.server.strike(step, message);
        let code = kind.code(step, planned);
        let decision = (code >= 400).then_some(Decision { keys, code, is_accepted: false });
        self.connection.reply(kind, &reply(code, step, message), decision).await?;
        Ok(code)
    }

    /// Answers a command that decides nothing.
    async fn answer(&mut self, step: Step, planned: u16, message: Option<usize>) -> io::Result<()> {
        let kind = self.connection.server.strike(step, message);
        let code = kind.code(step, planned);
        self.connection.reply(kind, &reply(code, step, message), None).await
    }

    /// Refuses a command that the client should not have sent. Says nothing about any recipient.
    async fn out_of_order(&mut self, code: u16) -> io::Result<()> {
        self.connection.reply(Kind::None, &format!("{code} 5.5.1 out of order\r\n"), None).await
    }

    fn plan(&self, message: Option<usize>) -> Plan {
        message.map_or(Plan::Accept, |message| self.connection.server.cell().plan_of(message))
    }

    /// Returns the transaction that takes recipients and content.
    fn open(&self) -> Option<&Transaction> {
        self.transaction.as_ref().filter(|transaction| !transaction.has_failed)
    }

    fn addressed(&self) -> Option<(Option<usize>, Vec<usize>)> {
        self.open().map(|transaction| (transaction.message, transaction.accepted.clone()))
    }

    fn everyone(&self, message: Option<usize>) -> Vec<Key> {
        let all: Vec<_> = (0..self.connection.server.cell().recipients).collect();
        keys(message, &all)
    }
}

fn keys(message: Option<usize>, recipients: &[usize]) -> Vec<Key> {
    let key = |recipient: &usize| message.map(|message| Key { message, recipient: *recipient });
    recipients.iter().filter_map(key).collect()
}

fn reply(code: u16, step: Step, message: Option<usize>) -> String {
    let about = message.map_or_else(String::new, |message| format!(" m{message}"));
    match step {
        Step::Greeting => format!("{code} judge.example {step}\r\n"),
        _ => format!("{code} {}.0.0 {step}{about}\r\n", code / 100),
    }
}

/// Returns the number behind a prefix.
fn number(line: &str, prefix: &str) -> Option<usize> {
    let (_, rest) = line.split_once(prefix)?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}
