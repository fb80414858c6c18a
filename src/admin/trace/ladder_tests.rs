//! The picture, letter by letter.

use super::*;

fn step(after: u64, what: What) -> Step {
    Step { after, what, way: None, status: None, condition: None, detail: None }
}

fn way(name: &str, verified: &str) -> Option<Way> {
    Some(Way { name: name.into(), address: None, local: None, verified: verified.into() })
}

fn crossing(direction: &str, from: &str, to: &str, steps: Vec<Step>) -> Crossing {
    Crossing {
        trace: "00n8w3v5k2d9q7x1mz".into(),
        direction: direction.into(),
        kind: "message".into(),
        from: from.into(),
        to: to.into(),
        partner: "fabrikam.example".into(),
        peer: "edge".into(),
        begun: 0,
        outcome: "open".into(),
        policy: Some("Sales".into()),
        policy_at: Some("policy.toml:22".into()),
        why: None,
        steps,
    }
}

const ALICE: &str = "alice@contoso.example";
const ROMEO: &str = "romeo@fabrikam.example/orchard";

#[test]
fn a_message_each_way_is_drawn_as_it_went() {
    let there = vec![
        Step { way: way("in#7", "TLS, by certificate"), ..step(0, What::Came) },
        step(0, What::Allowed),
        Step { way: way("out#3", "TLS 1.3, SASL EXTERNAL"), ..step(620, What::Sent) },
        Step { status: Some(202), ..step(1_234_567, What::Told) },
    ];
    let back = vec![
        Step { way: way("in#4", "TLS 1.3, SASL EXTERNAL"), ..step(0, What::Came) },
        step(0, What::Allowed),
        step(0, What::WaitsForLink),
        Step { way: way("out#8", "TLS, by certificate"), ..step(5200, What::Sent) },
        Step { status: Some(404), ..step(6100, What::Answered) },
        step(6100, What::Failed),
        Step { condition: Some("item-not-found".into()), ..step(6100, What::Told) },
    ];
    let mut ladder = Ladder::default();
    let mut drawn = ladder.draw(&crossing("sip-to-xmpp", ALICE, ROMEO, there));
    let failed = crossing("xmpp-to-sip", ROMEO, ALICE, back);
    drawn.push_str(&ladder.draw(&Crossing { why: Some("Not\u{1b}[2J Found".into()), ..failed }));
    assert_eq!(
        drawn,
        "\x20t+ms   alice (SIP)    edge             stoxd                 fabrikam.example  romeo (XMPP)
   0.0      ├── MESSAGE ──▶├─── MESSAGE ───▶│ in#7 TLS, by certificate                      00n8w3v5k2d9q7x1mz
   0.0                                      ● ALLOW Sales (policy.toml:22)
   0.6                                      ├──── <message> ─────▶│ out#3 TLS 1.3, SASL EXTERNAL
1234.5      │◀──── 202 ────┤◀───── 202 ─────┤

 t+ms   alice (SIP)    edge             stoxd                 fabrikam.example  romeo (XMPP)
   0.0                                      │◀──── <message> ─────┤ in#4 TLS 1.3, SASL EXTERNAL  00n8w3v5k2d9q7x1mz
   0.0                                      ● ALLOW Sales (policy.toml:22)
   0.0                                      ● waits for a link to edge
   5.2                     │◀─── MESSAGE ───┤ out#8 TLS, by certificate
   6.1                     ├───── 404 ─────▶│
   6.1                                      ● FAILED Not [2J Found
   6.1                                      ├───── <error> ──────▶│ item-not-found
"
    );
}

#[test]
fn steps_of_one_crossing_that_come_one_by_one_stand_under_one_row_of_names() {
    let mut ladder = Ladder::default();
    let one = |step| crossing("sip-to-xmpp", ALICE, ROMEO, vec![step]);
    assert_eq!(ladder.draw(&one(step(0, What::Came))).lines().count(), 2);
    assert_eq!(ladder.draw(&one(step(10, What::Allowed))).lines().count(), 1);
    let other = Crossing { trace: "another".into(), ..one(step(0, What::Came)) };
    assert_eq!(ladder.draw(&other).lines().count(), 3, "an empty line, names, the step");
}

#[test]
fn long_names_do_not_push_the_lines_about() {
    let long = format!("{}@contoso.example", "x".repeat(200));
    let drawn = Ladder::default().draw(&crossing("sip-to-xmpp", &long, ROMEO, vec![step(0, What::Came)]));
    let names = drawn.lines().next().unwrap_or_default();
    assert_eq!(names.chars().skip(23).take(4).collect::<String>(), "edge", "{names}");
}
