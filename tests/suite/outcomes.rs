//! One outcome a recipient, whatever happens.

use std::collections::HashMap;

use nexthop::testing::{Rules, ScriptedServer};
use nexthop::{
    Delivered, Deliverer, EnhancedCode, Envelope, Failure, LocalDelivery, LocalRequest, MemoryResolver,
    Message, Outcome, Report, Route, RouteRequest, RouteTable, Router, RouterError,
};

use crate::support::{
    CLIENT, SOON, builder, deliver, envelope, in_time, message, route, shown, timeouts, word,
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

const RCPT: [&str; 9] = [
    "250 ok",
    "250 ok",
    "250 ok",
    "250-a\n250 b",
    "450 4.2.1 later",
    "452 4.5.3 full",
    "550 5.1.1 no",
    "421 bye",
    "354 ?",
];
const FINAL: [&str; 7] =
    ["250 ok", "250 ok", "250-a\n250 b", "451 later", "554 no", "421 4.3.2 bye", "550 5.2.2 full"];

/// A server of which every answer is picked by chance.
fn by_chance(dice: &mut fastrand::Rng) -> Rules {
    let mut rules = if dice.bool() { ScriptedServer::lmtp() } else { ScriptedServer::smtp() };
    let mut pick = |replies: &[&'static str]| replies[dice.usize(..replies.len())];
    rules = rules
        .greeting(pick(&[
            "220 x",
            "220 x",
            "220 x",
            "220-x\n220 y",
            "421 busy",
            "554 no",
            "521 never",
            "what?",
        ]))
        .mail(pick(&["250 ok", "250 ok", "250 ok", "250 ok", "451 later", "550 no", "421 bye", "354 ?"]))
        .answer(
            "DATA",
            pick(&["354 go", "354 go", "354 go", "354 go", "451 later", "554 no", "250 ?", "421 bye"]),
        )
        .answer("RSET", pick(&["250 ok", "500 what"]))
        .answer("QUIT", pick(&["221 bye", "500 what", "??"]))
        .final_reply(pick(&FINAL));
    rules = if pick(&["", "lock-step"]).is_empty() { rules } else { rules.without("PIPELINING") };
    NAMES.iter().fold(rules, |rules, name| {
        let mailbox = format!("{name}@x.example");
        rules.recipient(&mailbox, pick(&RCPT)).final_for(&mailbox, pick(&FINAL))
    })
}

/// How often the servers said 2yz to a message for each mailbox.
fn accepted(servers: &[ScriptedServer]) -> HashMap<String, usize> {
    let mut accepted = HashMap::new();
    for transcript in servers.iter().flat_map(ScriptedServer::transcript) {
        let mut open: Vec<String> = Vec::new();
        let mut asked = Vec::new();
        let mut lmtp = false;
        for line in transcript {
            read_line(&line, &mut open, &mut asked, &mut lmtp, &mut accepted);
        }
    }
    accepted
}

/// Follows the commands and final lines of replies of a dialogue.
fn read_line(
    line: &str,
    open: &mut Vec<String>,
    asked: &mut Vec<String>,
    lmtp: &mut bool,
    accepted: &mut HashMap<String, usize>,
) {
    let (side, text) = line.split_at(3);
    if side == "C: " {
        *lmtp |= text.starts_with("LHLO");
        match text.starts_with("<content of") {
            true if *lmtp => asked.extend(open.iter().map(|mailbox| format!("final {mailbox}"))),
            _ => asked.push(text.to_owned()),
        }
        return;
    }
    if text.as_bytes().get(3) == Some(&b'-') || asked.is_empty() {
        return;
    }
    let command = asked.remove(0);
    let done = text.starts_with('2');
    if let Some(rest) = command.strip_prefix("RCPT TO:<")
        && done
    {
        open.push(rest.split('>').next().unwrap_or_default().to_owned());
    } else if command.starts_with("MAIL") || command.starts_with("RSET") {
        open.clear();
    } else if let Some(mailbox) = command.strip_prefix("final ") {
        *accepted.entry(mailbox.to_owned()).or_default() += usize::from(done);
    } else if command.starts_with("<content of") && done {
        open.iter().for_each(|mailbox| *accepted.entry(mailbox.clone()).or_default() += 1);
    }
}

fn delivered(report: &Report) -> HashMap<String, usize> {
    let mut delivered = HashMap::new();
    for (recipient, outcome) in report {
        *delivered.entry(recipient.to_string()).or_default() += usize::from(outcome.is_delivered());
    }
    delivered
}

fn without_zeros(counts: HashMap<String, usize>) -> HashMap<String, usize> {
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn check_286_random_servers_give_every_recipient_one_outcome_that_is_true() {
    for seed in 0..200 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut servers = Vec::new();
        for _ in 0..dice.usize(1..4) {
            servers.push(by_chance(&mut dice).listen_tcp().await.unwrap());
        }
        let names: Vec<_> = (0..dice.usize(1..8)).map(|_| NAMES[dice.usize(..NAMES.len())]).collect();
        let envelope = envelope(&names.join(" "));
        let route = route(&servers.iter().collect::<Vec<_>>());
        let deliverer = builder(&route).timeouts(timeouts(|_| ())).build().unwrap();
        let report = in_time(deliverer.deliver(&envelope, &message())).await;
        let reported = report.iter().map(|(recipient, _)| recipient.to_string());
        assert!(reported.eq(envelope.recipients().iter().map(ToString::to_string)), "seed {seed}");
        assert_eq!(
            without_zeros(delivered(&report)),
            without_zeros(accepted(&servers)),
            "seed {seed}: {report}"
        );
    }
}

#[derive(Debug)]
struct Unsure;

#[async_trait::async_trait]
impl Router for Unsure {
    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
        match request.recipient.to_string().as_str() {
            "lost@x.example" => Err(RouterError::new("the directory is away")),
            "no@x.example" => Ok(Route::refuse("gone, with comma")),
            "later@x.example" => Ok(Route::defer("hold")),
            "empty@x.example" => Ok(Route::relays(Vec::new())),
            _ => Ok(Route::Local),
        }
    }
}

/// Keeps the first recipient of a request and forgets the others.
#[derive(Debug)]
struct Forgetful;

#[async_trait::async_trait]
impl LocalDelivery for Forgetful {
    async fn deliver(&self, _: &LocalRequest<'_>) -> Vec<Outcome> {
        vec![Outcome::Delivered(Delivered::locally())]
    }
}

#[tokio::test]
async fn check_286_recipients_that_go_nowhere_have_their_outcome_too() {
    let nobody = MemoryResolver::builder().build().unwrap();
    let deliverer =
        Deliverer::builder(CLIENT).router(Unsure).resolver(nobody).local_delivery(Forgetful).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("lost no later a empty a"), &message())).await;
    let wanted = [
        "deferred routing - 4.4.3",
        "failed routing - 5.7.1",
        "deferred routing - 4.7.1",
        "delivered 2.0.0",
        "deferred local - 4.3.0",
        "deferred local - 4.3.0",
    ];
    assert_eq!(shown(&report), wanted);
    assert!(report.recipients()[1].outcome.to_string().contains("gone, with comma"));
}

/// Says of good news that they are bad, and of a failure for now that it is for good.
#[derive(Debug)]
struct Confused;

#[async_trait::async_trait]
impl LocalDelivery for Confused {
    async fn deliver(&self, _: &LocalRequest<'_>) -> Vec<Outcome> {
        let for_now = Failure::local_for_now("the disk is full");
        let for_good =
            Failure::local_for_good(EnhancedCode::parse("5.2.1").unwrap(), "the mailbox is closed");
        vec![Outcome::Failed(for_now), Outcome::Deferred(for_good), Outcome::Delivered(Delivered::locally())]
    }
}

#[tokio::test]
async fn check_286_the_outcomes_of_a_store_agree_with_their_failures_and_surplus_ones_are_left_out() {
    let deliverer = builder("local").local_delivery(Confused).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a b"), &message())).await;
    assert_eq!(shown(&report), ["deferred local - 4.3.0", "failed local - 5.2.1"]);
}

/// The slower, the earlier a recipient stands.
#[derive(Debug)]
struct LastFirst(HashMap<String, Route>);

#[async_trait::async_trait]
impl Router for LastFirst {
    async fn route(&self, request: &RouteRequest<'_>) -> Result<Route, RouterError> {
        let recipients = request.envelope.recipients();
        let place = recipients.iter().position(|recipient| recipient == request.recipient).unwrap();
        for _ in place..recipients.len() {
            tokio::task::yield_now().await;
        }
        Ok(self.0[&request.recipient.to_string()].clone())
    }
}

#[tokio::test]
async fn check_286_neither_slow_routers_nor_slow_servers_mix_recipients_up() {
    let silent = crate::support::script(&["S: <silence>"]).await;
    let good = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let routes = [("a", silent.url()), ("b", good.url()), ("c", "refuse:no".into()), ("d", good.url())];
    let table = routes.map(|(name, route)| (format!("{name}@x.example"), route.parse().unwrap()));
    let impatient = timeouts(|timeouts| timeouts.greeting = SOON);
    let builder = builder("local").router(LastFirst(table.into())).timeouts(impatient);
    let report = in_time(builder.build().unwrap().deliver(&envelope("a b c d"), &message())).await;
    let ok = "delivered 2.0.0";
    assert_eq!(shown(&report), ["deferred timed-out greeting 4.4.2", ok, "failed routing - 5.7.1", ok]);
    assert!(
        report
            .iter()
            .map(|(recipient, _)| recipient.to_string())
            .eq(["a", "b", "c", "d"].map(|name| format!("{name}@x.example")))
    );
}

#[tokio::test]
async fn check_286_an_envelope_without_recipients_has_no_outcomes() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let report = deliver(&[&server], "").await;
    assert_eq!((report.recipients().len(), server.connections()), (0, 0));
}

#[tokio::test]
async fn check_061_a_session_budget_ends_what_its_steps_would_not() {
    let server = crate::support::script(&["S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: <silence>"]).await;
    let limited = timeouts(|timeouts| timeouts.session = Some(3 * SOON));
    let deliverer = builder(&server.url()).timeouts(limited).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    assert_eq!(shown(&report), ["deferred timed-out mail-from 4.4.2"]);
}

#[tokio::test]
async fn check_068_equal_domains_in_other_writings_are_delivered_together() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let table = RouteTable::new(Route::mx()).domain("ex.example", server.url().parse().unwrap()).unwrap();
    let nobody = MemoryResolver::builder().build().unwrap();
    let deliverer = Deliverer::builder(CLIENT).router(table).resolver(nobody).build().unwrap();
    let envelope = Envelope::new("").unwrap().to("A@EX.example").unwrap().to("b@ex.Example").unwrap();
    let report = in_time(deliverer.deliver(&envelope, &message())).await;
    assert!(report.iter().all(|(_, outcome)| word(outcome) == "delivered 2.0.0"), "{report}");
    assert_eq!(server.connections(), 1);
}

/// A server on 127.0.0.1 that is reached by a name whose IPv6 address is dead.
#[tokio::test]
async fn check_287_a_dead_address_of_a_host_does_not_hide_what_the_host_said() {
    let server = ScriptedServer::smtp().without("8BITMIME").listen_tcp().await.unwrap();
    let hop = format!("smtp://localhost:{}", server.address().port());
    let deliverer = Deliverer::builder("mail.example.net")
        .resolver(MemoryResolver::default())
        .router(RouteTable::new(hop.parse().unwrap()))
        .build()
        .unwrap();
    let envelope = Envelope::new("s@example.net").unwrap().to("ann@x.example").unwrap();
    let message = Message::from_bytes("Subject: x\r\n\r\n\u{fc}\r\n").unwrap();
    let report = deliverer.deliver(&envelope, &message).await;
    let failure = report.recipients()[0].outcome.failure().unwrap();
    assert_eq!((failure.is_permanent(), failure.status().to_string().as_str()), (true, "5.6.3"), "{report}");
}

#[tokio::test]
async fn law_1_an_envelope_without_recipients_is_not_delivered() {
    let server = ScriptedServer::smtp().listen_tcp().await.unwrap();
    let report = deliver(&[&server], "").await;
    assert_eq!((report.recipients().len(), report.is_delivered(), server.connections()), (0, false, 0));
}
