#![allow(clippy::unwrap_used)]
use super::*;
use crate::xml::{self, Scope};

const ALICE: &str = "alice@contoso.example";
const JULIET: &str = "juliet@capulet.example/balcony";

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn all() -> Notify {
    Asked { delivery: true, display: true }.notify()
}

/// Juliet asked about a message to Alice.
fn asked(notify: Notify) -> Question {
    Question::new(jid(JULIET), jid(ALICE), "richard2-4.1.247", notify)
}

fn written(question: &Question, outcome: Outcome) -> String {
    let mut out = Vec::new();
    AnswerStanza { question, from: &jid(ALICE), id: "new", outcome }.write(&mut out);
    let text = String::from_utf8(out).unwrap();
    xml::parse(&text, &Scope::server(), &xml::Limits::default()).unwrap();
    text
}

#[test]
fn check_059_a_request_asks_for_success_and_failure() {
    let request = Asked { delivery: true, display: false };
    assert!(request.success_report());
    let notify = request.notify();
    assert_eq!(
        (notify.delivery, notify.failure, notify.display, notify.processing),
        (true, true, false, false)
    );
    let markable = Asked { delivery: false, display: true };
    assert!(!markable.success_report());
    assert!(markable.notify().failure && markable.notify().display);
    assert_eq!(Asked::default().notify(), Notify::default());
    assert_eq!(Asked::of(all()), Asked { delivery: true, display: true });
    assert_eq!(Asked::of(Notify { failure: true, processing: true, ..Notify::default() }), Asked::default());
}

#[test]
fn check_059_the_answer_names_the_original_id() {
    let question = asked(all());
    assert_eq!(
        written(&question, Outcome::Delivered),
        "<message from='alice@contoso.example' to='juliet@capulet.example/balcony' id='new'>\
         <received xmlns='urn:xmpp:receipts' id='richard2-4.1.247'/></message>"
    );
    let chat = Question { chat: true, ..question };
    assert_eq!(
        written(&chat, Outcome::Displayed),
        "<message from='alice@contoso.example' to='juliet@capulet.example/balcony' id='new' type='chat'>\
         <displayed xmlns='urn:xmpp:chat-markers:0' id='richard2-4.1.247'/></message>"
    );
    let failed = written(&chat, Outcome::Failed);
    assert!(failed.starts_with("<message from='alice@contoso.example' to='juliet@capulet.example/balcony' id='richard2-4.1.247' type='error'>"), "{failed}");

    // The other way: Alice asked.
    let question = Question::new(jid(ALICE), jid(JULIET), "34jk324j", all());
    let imdn = notification(&question, Outcome::Delivered, "2026-11-29T00:00:00Z");
    assert_eq!(Imdn::read(imdn.write().as_bytes(), None).unwrap(), imdn);
    assert_eq!(imdn.message_id, "34jk324j");
    assert_eq!(imdn.recipient.as_deref(), Some("sip:juliet@capulet.example"));
    assert_eq!((imdn.kind, imdn.status), (Kind::Delivery, Status::Delivered));
    assert_eq!(imdn.date.as_deref(), Some("2026-11-29T00:00:00Z"));
    let dated = Question { date: Some("2026-11-28T00:00:00Z".into()), ..question };
    let imdn = notification(&dated, Outcome::Displayed, "2026-11-29T00:00:00Z");
    assert_eq!((imdn.kind, imdn.status), (Kind::Display, Status::Displayed));
    assert_eq!(imdn.date.as_deref(), Some("2026-11-28T00:00:00Z"));
}

#[test]
fn check_061_each_disposition_is_answered_once() {
    let (alice, juliet) = (jid(ALICE), jid("juliet@capulet.example"));
    let mut question = asked(all());
    assert!(question.answer(&alice, &juliet, Outcome::Delivered));
    assert!(!question.answer(&alice, &juliet, Outcome::Delivered));
    assert!(question.is_open());
    assert!(question.answer(&alice, &juliet, Outcome::Displayed));
    assert!(!question.answer(&alice, &juliet, Outcome::Displayed));
    assert!(!question.answer(&alice, &juliet, Outcome::Failed), "it was delivered");
    assert!(!question.is_open());

    let mut question = asked(all());
    assert!(question.answer(&alice, &juliet, Outcome::Failed));
    for outcome in [Outcome::Failed, Outcome::Delivered, Outcome::Displayed] {
        assert!(!question.answer(&alice, &juliet, outcome), "{outcome:?} after a failure");
    }
}

#[test]
fn check_063_nobody_answers_what_was_not_asked_or_for_somebody_else() {
    let (alice, juliet) = (jid(ALICE), jid(JULIET));
    let mut question = asked(Notify { delivery: true, ..Notify::default() });
    assert!(!question.answer(&jid("bob@contoso.example"), &juliet, Outcome::Delivered), "another user");
    assert!(!question.answer(&alice, &jid("romeo@capulet.example"), Outcome::Delivered), "another asker");
    assert!(!question.answer(&alice, &juliet, Outcome::Displayed), "not asked");
    assert!(!question.answer(&alice, &juliet, Outcome::Failed), "not asked");
    assert!(question.answer(&jid("alice@contoso.example/desk"), &juliet, Outcome::Delivered));
}

#[test]
fn check_063_only_what_says_so_is_a_receipt() {
    let imdn = |kind, status| {
        Outcome::of(&Imdn { message_id: "x".into(), date: None, recipient: None, kind, status })
    };
    assert_eq!(imdn(Kind::Delivery, Status::Delivered), Some(Outcome::Delivered));
    assert_eq!(imdn(Kind::Display, Status::Displayed), Some(Outcome::Displayed));
    assert_eq!(imdn(Kind::Delivery, Status::Failed), Some(Outcome::Failed));
    for kind in [Kind::Delivery, Kind::Display, Kind::Processing] {
        for status in [Status::Forbidden, Status::Error] {
            assert_eq!(imdn(kind, status), None, "{kind:?} {status:?}");
        }
    }
    for status in [Status::Processed, Status::Stored] {
        assert_eq!(imdn(Kind::Processing, status), None, "{status:?}");
    }
}

#[test]
fn check_047_a_report_is_a_receipt_if_it_is_about_the_whole_message() {
    for (status, whole, outcome) in [
        (200, true, Some(Outcome::Delivered)),
        (200, false, None),
        (202, true, None),
        (408, false, Some(Outcome::Failed)),
        (413, true, Some(Outcome::Failed)),
        (0, true, None),
    ] {
        assert_eq!(Outcome::of_report(status, whole), outcome, "{status} {whole}");
    }
    assert_eq!(Outcome::Delivered.report(), Some(200));
    assert_eq!(Outcome::Failed.report(), Some(400));
    assert_eq!(Outcome::Displayed.report(), None);
}

#[test]
fn answers_are_read_from_stanzas() {
    for (child, outcome) in [
        ("<received xmlns='urn:xmpp:receipts' id='m1'/>", Some(Outcome::Delivered)),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>", Some(Outcome::Displayed)),
        ("<acknowledged xmlns='urn:xmpp:chat-markers:0' id='m1'/>", Some(Outcome::Displayed)),
        ("<received xmlns='urn:xmpp:chat-markers:0' id='m1'/>", None),
        ("<received xmlns='urn:xmpp:receipts'/>", None),
        ("<received xmlns='urn:xmpp:receipts' id=''/>", None),
        ("<request xmlns='urn:xmpp:receipts' id='m1'/>", None),
        ("<received xmlns='urn:x' id='m1'/>", None),
    ] {
        let element = xml::parse(child, &Scope::server(), &xml::Limits::default()).unwrap();
        let expected = outcome.map(|outcome| Answer { id: "m1", outcome });
        assert_eq!(Answer::of(&element), expected, "{child}");
    }
}
