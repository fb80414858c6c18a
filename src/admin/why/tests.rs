//! What is said of each outcome.

use super::*;
use crate::admin::trace::{Step, What};

fn step(what: What) -> Step {
    Step { after: 700, what, way: None, status: None, condition: None, detail: None }
}

fn why(direction: &str, outcome: &str, steps: Vec<Step>) -> Why {
    let (alice, romeo) = ("alice@contoso.example", "romeo@fabrikam.example");
    let (from, to) = if direction == "sip-to-xmpp" { (alice, romeo) } else { (romeo, alice) };
    Why {
        crossings: vec![Crossing {
            trace: "00n8w3v5k2d9q7x1mz".into(),
            direction: direction.into(),
            kind: "message".into(),
            from: from.into(),
            to: to.into(),
            partner: "fabrikam.example".into(),
            peer: "edge".into(),
            begun: 1_795_000_000_000_000,
            outcome: outcome.into(),
            policy: Some("Sales".into()),
            policy_at: Some("policy.toml:22".into()),
            why: None,
            steps,
        }],
        pair: Some(About {
            policy: Policy { allowed: true, text: "ALLOW\n".into(), ..Policy::default() },
            partner: "fabrikam.example".into(),
            peer: "edge".into(),
            ..About::default()
        }),
        since: 600,
        ..Why::default()
    }
}

fn todo(why: &Why) -> String {
    advice::advice(why).join("\n")
}

#[test]
fn the_exit_code_says_what_became_of_the_newest() {
    for (outcome, is) in [("delivered", 0), ("open", 0), ("denied", 3), ("failed", 3), ("ended", 3)] {
        assert_eq!(code(&why("sip-to-xmpp", outcome, Vec::new())), is, "{outcome}");
    }
    assert_eq!(code(&Why::default()), 1);
}

#[test]
fn each_way_to_fail_has_its_own_advice() {
    let answered = |status| Step { status: Some(status), ..step(What::Answered) };
    let at_sip = |status| {
        todo(&why("xmpp-to-sip", "failed", vec![step(What::Sent), answered(status), step(What::Failed)]))
    };
    for (status, said) in [
        (401, "digest of its [[sip.peer]]"),
        (403, "by its own rules"),
        (404, "edge does not know alice@contoso.example"),
        (480, "is not registered at edge"),
        (415, "does not take messages in this form"),
        (482, "in a circle"),
        (503, "edge is in trouble"),
        (699, "refused it with 699"),
    ] {
        assert!(at_sip(status).contains(said), "{status}: {}", at_sip(status));
    }
    let silent = todo(&why("xmpp-to-sip", "failed", vec![step(What::Sent), step(What::Failed)]));
    assert!(silent.contains("took it and did not answer"), "{silent}");
    let returned = Step { condition: Some("service-unavailable".into()), ..step(What::Returned) };
    let returned = todo(&why("sip-to-xmpp", "failed", vec![step(What::Sent), returned]));
    assert!(
        returned.contains("returned service-unavailable") && returned.contains("00n8w3v5k2d9q7x1mz"),
        "{returned}"
    );
    let no_stream = todo(&why("sip-to-xmpp", "failed", vec![step(What::WaitsForStream), step(What::Failed)]));
    assert!(no_stream.contains("STOXD_EVENT=stream.down STOXD_PARTNER=fabrikam.example"), "{no_stream}");
    let no_link = todo(&why("xmpp-to-sip", "failed", vec![step(What::WaitsForLink), step(What::Failed)]));
    assert!(no_link.contains("STOXD_EVENT=link.down STOXD_PEER=edge"), "{no_link}");
    let mut long = why("sip-to-xmpp", "failed", vec![step(What::Failed)]);
    for (reason, said) in [
        ("over the rate limit", "user_rate"),
        ("the message is longer than the partner takes", "message_size"),
        ("the body is not what crosses", "text/plain"),
        ("something else", "STOXD_TRACE=00n8w3v5k2d9q7x1mz"),
    ] {
        long.crossings[0].why = Some(reason.into());
        assert!(todo(&long).contains(said), "{reason}: {}", todo(&long));
    }
}

#[test]
fn the_answer_is_a_sentence_the_steps_and_what_to_do() {
    let mut denied = why(
        "sip-to-xmpp",
        "denied",
        vec![
            step(What::Came),
            Step { detail: Some("policy-xmpp".into()), ..step(What::Denied) },
            Step { status: Some(403), ..step(What::Told) },
        ],
    );
    let text = text::render(&denied);
    assert_eq!(
        text.lines().next(),
        Some(
            "Denied by policy (policy-xmpp, policy Sales at policy.toml:22): the message from \
             sip:alice@contoso.example to xmpp:romeo@fabrikam.example."
        )
    );
    assert!(text.contains("      0.7 ms  denied: policy-xmpp\n"), "{text}");
    assert!(text.contains("the policy table was changed since; now it says\nALLOW\n"), "{text}");
    if let Some(about) = &mut denied.pair {
        about.policy =
            Policy { allowed: false, text: "DENY\n to allow: stoxd x\n".into(), ..Policy::default() };
        about.stream_fault = Some(Fault { ago: 90, why: "no\u{1b}[2J route".into() });
    }
    let text = text::render(&denied);
    assert!(text.contains("\nthe policy table\nDENY\n to allow: stoxd x\n"), "{text}");
    assert!(text.contains("  last error 1 min ago: no [2J route\n"), "{text}");
    let nothing = Why { crossings: Vec::new(), ..denied };
    assert!(todo(&nothing).contains("would be refused"), "{}", todo(&nothing));
    assert!(text::render(&Why::default()).starts_with("No crossing of that name"), "names that are unknown");
}
