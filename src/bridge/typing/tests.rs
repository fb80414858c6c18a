#![allow(clippy::unwrap_used)]
use super::*;
use crate::addr::Jid;
use crate::now::Now;
use crate::xml::{self, Scope};
use iscomposing::State;
use proptest::prelude::*;

const RFC: Terms = Terms { dialect: Dialect::IsComposing, idle: ChatState::Active };
const LYNC: Terms = Terms { dialect: Dialect::Keyboard, idle: ChatState::Active };

fn at(seconds: u64) -> Mono {
    Now::at(seconds).mono
}

fn active() -> Heard {
    IsComposing { state: State::Active, refresh: None }.into()
}

fn idle() -> Heard {
    IsComposing::idle().into()
}

/// Whose XMPP user showed chat states.
fn known() -> Conversation {
    let mut conversation = Conversation::default();
    conversation.on_stanza(at(0), Some(ChatState::Active), true, &RFC);
    conversation
}

#[test]
fn chat_states_become_status_messages() {
    let mut conversation = Conversation::default();
    let mut say = |state| conversation.on_stanza(at(1), Some(state), false, &RFC);
    assert_eq!(say(ChatState::Active), None, "nobody wrote");
    assert_eq!(say(ChatState::Composing), Some(State::Active));
    assert_eq!(say(ChatState::Composing), None);
    assert_eq!(say(ChatState::Paused), Some(State::Idle));
    assert_eq!(say(ChatState::Inactive), None);
    for ends in [ChatState::Active, ChatState::Inactive, ChatState::Paused] {
        assert_eq!(say(ChatState::Composing), Some(State::Active));
        assert_eq!(say(ends), Some(State::Idle), "{ends:?}");
    }
    assert_eq!(say(ChatState::Composing), Some(State::Active));
    assert_eq!(say(ChatState::Gone), None);
    assert_eq!(conversation.deadline(), None);
}

#[test]
fn active_is_said_again_while_the_user_composes_and_ten_minutes_at_most() {
    for (terms, repeat, times) in [(RFC, 90, 6), (LYNC, 5, 119)] {
        let mut conversation = Conversation::default();
        let said = conversation.on_stanza(at(0), Some(ChatState::Composing), false, &terms);
        assert_eq!(said, Some(State::Active));
        let mut again = 0;
        while let Some(next) = conversation.deadline() {
            assert_eq!(
                conversation.on_timer(Mono::from_micros(next.as_micros() - 1), &terms),
                Say::default()
            );
            if conversation.on_timer(next, &terms).to_sip == Some(State::Active) {
                again += 1;
                assert_eq!(next, at(again * repeat));
            }
        }
        assert_eq!(again, times, "{terms:?}");
    }
}

#[test]
fn a_new_composing_keeps_it_going() {
    let mut conversation = Conversation::default();
    conversation.on_stanza(at(0), Some(ChatState::Composing), false, &RFC);
    conversation.on_stanza(at(500), Some(ChatState::Composing), false, &RFC);
    assert_eq!(conversation.on_timer(at(1000), &RFC).to_sip, Some(State::Active));
    assert_eq!(conversation.on_timer(at(1100), &RFC).to_sip, None);
    assert_eq!(conversation.deadline(), None);
}

#[test]
fn a_text_implies_idle_both_ways() {
    let mut conversation = known();
    conversation.on_stanza(at(1), Some(ChatState::Composing), false, &RFC);
    assert_eq!(conversation.on_stanza(at(2), Some(ChatState::Active), true, &RFC), None);
    assert_eq!(conversation.deadline(), None, "nothing is said again");
    assert_eq!(conversation.on_stanza(at(3), Some(ChatState::Paused), false, &RFC), None);

    assert_eq!(conversation.on_status(at(4), active(), &RFC), Some(ChatState::Composing));
    assert!(conversation.on_text(), "the text says active");
    assert_eq!(conversation.deadline(), None);
    assert_eq!(conversation.on_status(at(5), idle(), &RFC), None, "it was said with the text");
    assert_eq!(conversation.on_status(at(6), active(), &RFC), Some(ChatState::Composing));
}

#[test]
fn check_054_composing_expires_after_what_was_told_or_two_minutes() {
    let short = IsComposing::active(Duration::from_secs(60)).into();
    for (heard, seconds) in [(active(), 120), (short, 60), (KeyboardActivity::Type.into(), 15)] {
        for idle in [ChatState::Active, ChatState::Paused] {
            let terms = Terms { idle, ..RFC };
            let mut conversation = known();
            assert_eq!(conversation.on_status(at(10), heard, &terms), Some(ChatState::Composing));
            assert_eq!(conversation.deadline(), Some(at(10 + seconds)));
            assert_eq!(conversation.on_timer(at(9 + seconds), &terms), Say::default());
            let say = conversation.on_timer(at(10 + seconds), &terms);
            assert_eq!(say, Say { to_sip: None, to_xmpp: Some(idle) });
            assert_eq!(conversation.on_timer(at(9999), &terms), Say::default());
        }
    }
}

#[test]
fn check_055_no_two_equal_states_in_a_row() {
    let mut conversation = known();
    assert_eq!(conversation.on_status(at(1), idle(), &RFC), None);
    assert_eq!(conversation.on_status(at(2), active(), &RFC), Some(ChatState::Composing));
    for refresh in 3..200 {
        assert_eq!(conversation.on_status(at(refresh), active(), &RFC), None);
        assert_eq!(conversation.on_timer(at(refresh), &RFC).to_xmpp, None);
    }
    assert_eq!(conversation.on_status(at(201), idle(), &RFC), Some(ChatState::Active));
    assert_eq!(conversation.on_status(at(202), idle(), &RFC), None);
    assert_eq!(conversation.on_end(), Some(ChatState::Gone));
    assert_eq!(conversation.on_end(), None);
}

#[test]
fn check_056_a_state_stanza_is_a_chat_with_one_child_and_thread() {
    let (from, to) =
        (Jid::parse("alice@contoso.example").unwrap(), Jid::parse("j@capulet.example/b").unwrap());
    for thread in [None, Some("t<1>")] {
        for (name, state) in
            [("composing", ChatState::Composing), ("paused", ChatState::Paused), ("gone", ChatState::Gone)]
        {
            let mut out = Vec::new();
            StateStanza { from: &from, to: &to, thread, state }.write(&mut out);
            let text = String::from_utf8(out).unwrap();
            let stanza = xml::parse(&text, &Scope::server(), &xml::Limits::default()).unwrap();
            assert_eq!(stanza.attr("type"), Some("chat"));
            // Hints are for servers (XEP-0334 §5).
            let children = stanza.children().filter(|child| child.ns() != "urn:xmpp:hints");
            let names: Vec<&str> = children.map(xml::Element::name).collect();
            assert_eq!(names, if thread.is_some() { vec![name, "thread"] } else { vec![name] });
            assert!(stanza.child("no-store", "urn:xmpp:hints").is_some());
            let of: Vec<_> = stanza.children().filter_map(ChatState::of).collect();
            assert_eq!(of, [state]);
        }
    }
}

#[test]
fn check_058_nothing_is_said_before_states_were_shown() {
    let mut conversation = Conversation::default();
    assert_eq!(conversation.on_status(at(1), active(), &RFC), None);
    assert!(!conversation.on_text());
    conversation.on_stanza(at(2), None, true, &RFC);
    assert_eq!(conversation.on_status(at(3), active(), &RFC), None);
    // A state alone shows it as well.
    conversation.on_stanza(at(4), Some(ChatState::Composing), false, &RFC);
    assert_eq!(conversation.on_status(at(5), active(), &RFC), Some(ChatState::Composing));
    // XEP-0085 §5.1: whoever answers without one does not want any.
    conversation.on_stanza(at(6), None, true, &RFC);
    assert_eq!(conversation.on_status(at(7), idle(), &RFC), None);
    assert!(!conversation.on_text());
    assert_eq!(conversation.on_end(), None);
    assert!(conversation.is_plain());
}

#[test]
fn both_dialects_write_what_their_readers_read() {
    for state in [State::Active, State::Idle] {
        let (content_type, body) = Dialect::IsComposing.body(state);
        assert_eq!(content_type, "application/im-iscomposing+xml");
        let read = IsComposing::read(body.as_bytes(), None).unwrap();
        assert_eq!((read.state, read.lasts()), (state, Duration::from_secs(120)));
        let (content_type, body) = Dialect::Keyboard.body(state);
        assert_eq!(content_type, "application/xml");
        assert_eq!(Heard::from(KeyboardActivity::read(body.as_bytes(), None).unwrap()).state, state);
    }
}

proptest! {
    #[test]
    fn check_055_holds_whatever_happens(steps in proptest::collection::vec((0u8..8, 0u64..200), 0..60)) {
        let mut conversation = Conversation::default();
        let (mut now, mut last) = (0, None);
        for (step, wait) in steps {
            now += wait;
            let said = match step {
                0 => conversation.on_status(at(now), active(), &RFC),
                1 => conversation.on_status(at(now), idle(), &RFC),
                2 => { if conversation.on_text() { last = Some(ChatState::Active) } else { last = None } None }
                3 => { conversation.on_stanza(at(now), None, true, &RFC); None }
                4 => { conversation.on_stanza(at(now), Some(ChatState::Composing), false, &RFC); None }
                5 => { conversation.on_stanza(at(now), Some(ChatState::Active), true, &RFC); None }
                6 => conversation.on_end(),
                _ => conversation.on_timer(at(now), &RFC).to_xmpp,
            };
            if said.is_some() {
                prop_assert!(conversation.shows_states());
                prop_assert_ne!(said, last);
                last = said;
            }
        }
    }
}
