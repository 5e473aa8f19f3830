//! A referee that reads a dialogue and finds commands that come when they must not (check 028).

/// Where a dialogue stands.
#[derive(Debug, Default)]
struct Standing {
    hello: bool,
    /// MAIL was accepted and its transaction not ended.
    open: bool,
    waiting: Vec<String>,
}

/// Reads the transcript of a lock-step session. The first command out of order is the error.
pub(crate) fn referee(transcript: &[String]) -> Result<(), String> {
    let mut standing = Standing::default();
    for line in transcript {
        match line.split_at(3) {
            ("C: ", command) => standing.command(command)?,
            (_, reply) if reply.as_bytes().get(3) == Some(&b'-') => {}
            (_, reply) => standing.reply(reply),
        }
    }
    Ok(())
}

impl Standing {
    fn command(&mut self, command: &str) -> Result<(), String> {
        let verb = command.split([' ', ':']).next().unwrap_or_default();
        let in_order = match verb {
            "EHLO" | "HELO" | "QUIT" | "RSET" => true,
            "MAIL" => self.hello && !self.open,
            "RCPT" | "DATA" | "<content" => self.open,
            _ => false,
        };
        let quiet = self.waiting.is_empty();
        self.waiting.push(verb.to_owned());
        (in_order && quiet).then_some(()).ok_or_else(|| format!("{command} out of order: {self:?}"))
    }

    fn reply(&mut self, reply: &str) {
        let done = reply.starts_with('2');
        let answered = if self.waiting.is_empty() { String::new() } else { self.waiting.remove(0) };
        match answered.as_str() {
            "EHLO" | "HELO" => self.hello = done,
            "MAIL" => self.open = done,
            "RSET" if done => self.open = false,
            "<content" => self.open = false,
            _ => {}
        }
    }
}

#[test]
fn the_referee_sees_what_is_out_of_order() {
    let read = |lines: &str| referee(&lines.lines().map(String::from).collect::<Vec<_>>());
    let opening = "S: 220 x\nC: EHLO c\nS: 250-x\nS: 250 y\nC: MAIL FROM:<>\nS: 250 ok\n";
    assert_eq!(read(opening), Ok(()));
    assert!(read("S: 220 x\nC: MAIL FROM:<>").is_err());
    assert!(read(&format!("{opening}C: MAIL FROM:<>")).is_err());
    assert!(read(&format!("{opening}C: RCPT TO:<a>\nC: DATA")).is_err());
    assert!(read(&format!("{opening}C: RSET\nS: 250 ok\nC: MAIL FROM:<>")).is_ok());
}
