//! Reports and plans as JSON, to the letter of the interface that scripts depend on.

use nexthop::plan::PlanSettings;
use nexthop::testing::ScriptedServer;
use nexthop::{Attempt, Deliverer, Envelope, MemoryResolver, Route, RouteTable};
use serde_json::{Value, json};

use crate::support::{CLIENT, builder, deliver, envelope, in_time, message, script};

async fn report(servers: &[&ScriptedServer], to: &str) -> Value {
    serde_json::to_value(deliver(servers, to).await).unwrap()
}

fn hop(server: &ScriptedServer, protocol: &str) -> Value {
    let endpoint = server.address().to_string();
    json!({ "host": "127.0.0.1", "endpoint": endpoint, "protocol": protocol, "tls": null })
}

#[tokio::test]
async fn check_288_a_delivery() {
    let refusing = ScriptedServer::smtp().greeting("554 5.7.1 not you").listen_tcp().await.unwrap();
    let server =
        ScriptedServer::lmtp().final_reply("250-2.0.0 queued\n250 2.0.0 as 4711").listen_tcp().await.unwrap();
    let wanted = json!({
        "recipients": [{
            "recipient": "a@x.example",
            "outcome": "delivered",
            "status": "2.0.0",
            "kind": null,
            "stage": null,
            "detail": null,
            "may_have_arrived": false,
            "reply": { "code": 250, "enhanced": "2.0.0", "text": ["queued", "as 4711"] },
            "hop": hop(&server, "lmtp"),
            "attempts": [{
                "host": "127.0.0.1",
                "endpoint": refusing.address().to_string(),
                "kind": "refused",
                "detail": "the server said 554 5.7.1 not you to the connection",
            }],
        }],
        "tls_rpt": [],
    });
    assert_eq!(report(&[&refusing, &server], "a").await, wanted);
}

#[tokio::test]
async fn check_288_a_deferral() {
    let server =
        script(&["S: 220 x\nC: EHLO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\n\
        S: 354 go\nC: <content>\nS: <close>"])
        .await;
    let wanted = json!({
        "recipients": [{
            "recipient": "a@x.example",
            "outcome": "deferred",
            "status": "4.4.2",
            "kind": "disconnected",
            "stage": "final",
            "detail": "no answer to the message (the message may have arrived): the server closed the connection",
            "may_have_arrived": true,
            "reply": null,
            "hop": hop(&server, "smtp"),
            "attempts": [],
        }],
        "tls_rpt": [],
    });
    assert_eq!(report(&[&server], "a").await, wanted);
}

#[tokio::test]
async fn check_288_a_failure_and_a_duplicate() {
    let server = ScriptedServer::smtp().answer("RCPT", "550 4.4.4 nobody").listen_tcp().await.unwrap();
    let recipient = json!({
        "recipient": "a@x.example",
        "outcome": "failed",
        "status": "5.0.0",
        "kind": "refused",
        "stage": "rcpt-to",
        "detail": "the server said 550 4.4.4 nobody to RCPT TO",
        "may_have_arrived": false,
        "reply": { "code": 550, "enhanced": null, "text": ["4.4.4 nobody"] },
        "hop": hop(&server, "smtp"),
        "attempts": [],
    });
    assert_eq!(
        report(&[&server], "a a").await,
        json!({ "recipients": [recipient, recipient], "tls_rpt": [] })
    );
}

#[tokio::test]
async fn check_288_a_hop_that_was_not_reached() {
    let deliverer = builder("smtp://0.0.0.0:2525,lmtp+unix:///nonexistent/lmtp").build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    let report = serde_json::to_value(report).unwrap();
    let forbidden =
        "0.0.0.0 (0.0.0.0:2525) must not be dialled: 0.0.0.0/32 is the unspecified address (RFC 1122)";
    let connecting = "cannot connect to /nonexistent/lmtp: No such file or directory (os error 2)";
    let path = "/nonexistent/lmtp";
    let wanted = json!({
        "recipients": [{
            "recipient": "a@x.example",
            "outcome": "deferred",
            "status": "4.4.1",
            "kind": "connecting",
            "stage": null,
            "detail": connecting,
            "may_have_arrived": false,
            "reply": null,
            "hop": null,
            "attempts": [
                { "host": "0.0.0.0", "endpoint": "0.0.0.0:2525", "kind": "forbidden", "detail": forbidden },
                { "host": path, "endpoint": path, "kind": "connecting", "detail": connecting },
            ],
        }],
        "tls_rpt": [],
    });
    assert_eq!(report, wanted);
}

#[tokio::test]
async fn check_093_288_a_forbidden_exchanger() {
    let dns =
        MemoryResolver::builder().mx("x.example", 10, "mx.x.example").ipv4("mx.x.example", [127, 0, 0, 1]);
    let deliverer = Deliverer::builder(CLIENT).resolver(dns.build().unwrap()).build().unwrap();
    let report = in_time(deliverer.deliver(&envelope("a"), &message())).await;
    let report = serde_json::to_value(report).unwrap();
    let detail = "mx.x.example (127.0.0.1:25) must not be dialled: 127.0.0.0/8 is loopback (RFC 1122)";
    let wanted = json!({
        "recipients": [{
            "recipient": "a@x.example",
            "outcome": "failed",
            "status": "5.4.4",
            "kind": "forbidden",
            "stage": null,
            "detail": detail,
            "may_have_arrived": false,
            "reply": null,
            "hop": null,
            "attempts": [
                { "host": "mx.x.example", "endpoint": "127.0.0.1:25", "kind": "forbidden", "detail": detail },
            ],
        }],
        "tls_rpt": [],
    });
    assert_eq!(report, wanted);
}

/// Exchangers of all sorts, a relay on a socket, and no way at all.
fn planner() -> Deliverer {
    let dns = MemoryResolver::builder()
        .mx("x.example", 10, "a.example")
        .mx("x.example", 20, "b.example")
        .mx("x.example", 30, "c.example")
        .ipv4("a.example", [198, 41, 0, 4])
        .ipv4("b.example", [127, 0, 0, 1])
        .name("c.example");
    let table = RouteTable::new(Route::mx());
    let table = table.domain("lists.example", "lmtp+unix:///run/lmtp".parse().unwrap()).unwrap();
    let table = table.domain("gone.example", Route::refuse("moved, sorry")).unwrap();
    let plan = PlanSettings::default();
    Deliverer::builder(CLIENT).router(table).resolver(dns.build().unwrap()).plan(plan).build().unwrap()
}

async fn plans(to: &[&str]) -> Value {
    let envelope = to.iter().fold(Envelope::new("").unwrap(), |envelope, to| envelope.to(to).unwrap());
    serde_json::to_value(planner().plans(&envelope, Attempt::default()).await).unwrap()
}

#[tokio::test]
async fn check_288_plans() {
    let mut plans = plans(&["a@x.example", "l@lists.example", "b@x.example", "g@gone.example"]).await;
    let denied = plans[0]["candidates"][1]["reason"].take();
    assert!(denied.as_str().unwrap().contains("127.0.0.0/8"), "{denied}");
    let wanted = json!([
        {
            "recipients": ["a@x.example", "b@x.example"],
            "route": "mx:x.example",
            "candidates": [
                { "host": "a.example", "preference": 10, "endpoint": "198.41.0.4:25", "verdict": "allowed", "reason": null, "tls": "opportunistic" },
                { "host": "b.example", "preference": 20, "endpoint": "127.0.0.1:25", "verdict": "denied", "reason": null, "tls": "opportunistic" },
                { "host": "c.example", "preference": 30, "endpoint": null, "verdict": "denied", "reason": "the host c.example has no addresses", "tls": "opportunistic" },
            ],
            "error": null,
        },
        {
            "recipients": ["l@lists.example"],
            "route": "lmtp+unix:///run/lmtp",
            "candidates": [
                { "host": "/run/lmtp", "preference": null, "endpoint": "/run/lmtp", "verdict": "allowed", "reason": null, "tls": "off" },
            ],
            "error": null,
        },
        {
            "recipients": ["g@gone.example"],
            "route": "refuse:moved, sorry",
            "candidates": [],
            "error": { "status": "5.7.1", "kind": "routing", "detail": "moved, sorry" },
        },
    ]);
    assert_eq!(plans, wanted);
}

#[tokio::test]
async fn check_288_a_plan_that_leads_nowhere() {
    let plans = plans(&["a@unknown.example"]).await;
    let detail = "the domain unknown.example does not exist";
    let error = json!({ "status": "5.1.2", "kind": "routing", "detail": detail });
    let wanted = json!([
        { "recipients": ["a@unknown.example"], "route": "mx:unknown.example", "candidates": [], "error": error },
    ]);
    assert_eq!(plans, wanted);
}
