//! Every phase meets every input.

use super::*;
use crate::xmpp::stream::table::{Input, Rule, rule};

/// The table as text: a row for each input, a column for each phase of the role.
fn snapshot(role: Role) -> String {
    let phases: Vec<Phase> = Phase::ALL.into_iter().filter(|phase| reached(role, *phase)).collect();
    let mut text = String::new();
    for input in Input::ALL {
        text += &format!("{input:?}");
        for phase in &phases {
            text += &match rule(role, *phase, input) {
                Rule::Take => " take".to_owned(),
                Rule::Drop => " -".to_owned(),
                Rule::Refuse(condition) => format!(" {condition}"),
            };
        }
        text.push('\n');
    }
    text
}

fn reached(role: Role, phase: Phase) -> bool {
    match phase {
        Phase::Clear | Phase::Secure => role == Role::Receiving,
        Phase::Features | Phase::Proceed | Phase::Success | Phase::Result | Phase::Ready => {
            role == Role::Initiating
        }
        Phase::Header | Phase::Handshake | Phase::Up | Phase::Closing | Phase::Closed => true,
    }
}

#[test]
fn the_receiving_table_is_this() {
    // Header Clear Secure Handshake Up Closing Closed
    let expected = "\
Header take not-well-formed not-well-formed - not-well-formed - -
Features not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type - -
StartTls not-well-formed take take - take - -
Proceed not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type - -
TlsFailure not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type - -
Auth not-well-formed policy-violation take - policy-violation - -
SaslReply not-well-formed policy-violation take - policy-violation - -
Challenge not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type - -
Success not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type - -
SaslFailure not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type - -
ResultAsk not-well-formed take take - take - -
ResultAnswer not-well-formed - - - - - -
VerifyAsk not-well-formed take take - take - -
VerifyAnswer not-well-formed - - - - - -
Stanza not-authorized not-authorized not-authorized - take take -
StreamError not-well-formed take take - take take -
WrongNamespace not-well-formed invalid-namespace invalid-namespace - invalid-namespace - -
Prefixed not-well-formed bad-namespace-prefix bad-namespace-prefix - bad-namespace-prefix - -
Foreign not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type - -
Footer take take take - take take -
";
    assert_eq!(snapshot(Role::Receiving), expected);
}

#[test]
fn the_initiating_table_is_this() {
    // Header Features Proceed Handshake Success Result Ready Up Closing Closed
    let expected = "\
Header take not-well-formed not-well-formed - not-well-formed not-well-formed not-well-formed not-well-formed - -
Features not-well-formed take unsupported-stanza-type - unsupported-stanza-type - - - - -
StartTls not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
Proceed not-well-formed unsupported-stanza-type take - unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
TlsFailure not-well-formed unsupported-stanza-type take - unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
Auth not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
SaslReply not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
Challenge not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
Success not-well-formed unsupported-stanza-type unsupported-stanza-type - take unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
SaslFailure not-well-formed unsupported-stanza-type unsupported-stanza-type - take unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
ResultAsk not-well-formed - - - - - - - - -
ResultAnswer not-well-formed - - - - take - take - -
VerifyAsk not-well-formed - - - - - - - - -
VerifyAnswer not-well-formed - - - - - take take - -
Stanza not-authorized not-authorized not-authorized - not-authorized not-authorized not-authorized not-authorized - -
StreamError not-well-formed take take - take take take take take -
WrongNamespace not-well-formed invalid-namespace invalid-namespace - invalid-namespace invalid-namespace invalid-namespace invalid-namespace - -
Prefixed not-well-formed bad-namespace-prefix bad-namespace-prefix - bad-namespace-prefix bad-namespace-prefix bad-namespace-prefix bad-namespace-prefix - -
Foreign not-well-formed unsupported-stanza-type unsupported-stanza-type - unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type unsupported-stanza-type - -
Footer take take take - take take take take take -
";
    assert_eq!(snapshot(Role::Initiating), expected);
}

/// A stream in that phase.
fn stream_in(role: Role, phase: Phase) -> One {
    let mut one = match (role, phase) {
        (Role::Receiving, Phase::Header) => One::receiving(usual()),
        (Role::Receiving, Phase::Clear) => {
            // Optional, so that dialback is taken here too.
            let mut one = One::receiving(terms(Need::Optional, Need::Optional, true));
            one.feed(&header_from(PARTNER));
            one
        }
        (Role::Receiving, Phase::Handshake) => {
            let mut one = stream_in(role, Phase::Clear);
            one.feed(STARTTLS);
            one
        }
        (Role::Receiving, Phase::Secure) => One::secured(usual(), Names::valid(PARTNER)),
        (Role::Receiving, _) => One::up(usual()),
        (Role::Initiating, Phase::Handshake) => One::initiating(usual(), Purpose::Send, TlsMode::Direct),
        (Role::Initiating, Phase::Ready) => {
            let mut one = One::initiating(usual(), Purpose::Verify, TlsMode::Direct);
            one.stream.handle_tls(Names::valid(PARTNER));
            one.feed(&response("s"));
            one.feed(FEATURES_DIALBACK);
            one
        }
        (Role::Initiating, _) => {
            let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
            let steps = [
                (Phase::Header, response("s")),
                (Phase::Features, FEATURES_TLS.to_owned()),
                (Phase::Proceed, PROCEED.to_owned()),
            ];
            for (at, step) in steps {
                if phase == at {
                    one.out();
                    return one;
                }
                one.feed(&step);
            }
            let identity = match phase {
                Phase::Result => Names::faulty(CertFault::Expired),
                _ => Names::valid(PARTNER),
            };
            one.stream.handle_tls(identity);
            one.feed(&response("s"));
            one.feed(FEATURES_AUTH);
            if !matches!(phase, Phase::Success | Phase::Result) {
                one.feed(SUCCESS);
                one.feed(&response("s"));
                one.feed(FEATURES_DIALBACK);
            }
            one
        }
    };
    match phase {
        Phase::Closing => {
            one.stream.close(one.now, None);
            one.events();
        }
        Phase::Closed => {
            one.stream.handle_eof();
            one.events();
        }
        _ => {}
    }
    one.out();
    assert_eq!(one.stream.phase(), phase, "{role:?}");
    one
}

fn text_of(input: Input) -> &'static str {
    match input {
        Input::Header => {
            "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>"
        }
        Input::Features => "<stream:features/>",
        Input::StartTls => STARTTLS,
        Input::Proceed => PROCEED,
        Input::TlsFailure => "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        Input::Auth => "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
        Input::SaslReply => "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        Input::Challenge => "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        Input::Success => SUCCESS,
        Input::SaslFailure => "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><aborted/></failure>",
        Input::ResultAsk => "<db:result from='xmpp.example' to='sip.example'>k</db:result>",
        Input::ResultAnswer => "<db:result from='xmpp.example' to='sip.example' type='valid'/>",
        Input::VerifyAsk => "<db:verify from='xmpp.example' to='sip.example' id='i'>k</db:verify>",
        Input::VerifyAnswer => "<db:verify from='xmpp.example' to='sip.example' id='i' type='valid'/>",
        Input::Stanza => MESSAGE,
        Input::StreamError => "<stream:error/>",
        Input::WrongNamespace => "<iq xmlns='jabber:client'/>",
        Input::Prefixed => "<s:iq xmlns:s='jabber:server'/>",
        Input::Foreign => "<r xmlns='urn:xmpp:sm:3'/>",
        Input::Footer => "</stream:stream>",
    }
}

/// In every phase of both roles, each input on the wire does what the table says: nothing, the error
/// that is named, or something else. In Header only a header can be framed.
#[test]
fn every_phase_and_input_does_on_the_wire_what_the_table_says() {
    for role in [Role::Receiving, Role::Initiating] {
        for phase in Phase::ALL.into_iter().filter(|phase| reached(role, *phase)) {
            for input in Input::ALL {
                // A second header is a processing instruction or an unknown element to the framer,
                // and before the header there is nothing to frame.
                if phase == Phase::Header || input == Input::Header {
                    continue;
                }
                let mut one = stream_in(role, phase);
                let events = one.feed(text_of(input));
                let out = one.out();
                let at = format!("{role:?} {phase:?} {input:?}: {events} / {out}");
                match rule(role, phase, input) {
                    Rule::Drop => {
                        assert_eq!((events.as_str(), out.as_str()), ("", ""), "{at}");
                        assert_eq!(one.stream.phase(), phase, "{at}");
                    }
                    Rule::Refuse(condition) => {
                        assert_eq!(events, format!("down: stream error sent: {condition}"), "{at}");
                        assert_error(&out, condition.name());
                    }
                    Rule::Take => {
                        let quiet = events.is_empty() && out.is_empty();
                        // An answer that fits no question is taken and dropped.
                        let stray = matches!(
                            (phase, input),
                            (Phase::Up, Input::ResultAnswer)
                                | (Phase::Up | Phase::Ready, Input::VerifyAnswer)
                        );
                        assert_eq!(quiet, stray, "{at}");
                        assert!(!events.contains("stream error sent"), "{at}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_phase_survives_every_other_call() {
    for role in [Role::Receiving, Role::Initiating] {
        for phase in Phase::ALL.into_iter().filter(|phase| reached(role, *phase)) {
            for call in 0..8 {
                let mut one = stream_in(role, phase);
                let stranger = Verify {
                    stream: StreamId(1),
                    pair: pair(OURS, PARTNER),
                    id: "x".into(),
                    key: "k".into(),
                };
                match call {
                    0 => one.stream.handle_timeout(one.now),
                    1 => one.stream.handle_timeout(Now::at(1_000_000)),
                    2 => one.stream.handle_eof(),
                    3 => one.stream.close(one.now, None),
                    4 => one.stream.close(one.now, Some(StreamCondition::SystemShutdown.into())),
                    5 => one.stream.handle_verified(one.now, &stranger.answer(Outcome::Valid)),
                    6 => one.stream.handle_reload(&one.realm),
                    _ => one.stream.handle_tls(Names::valid(PARTNER)),
                }
                let events = one.events();
                let down = events.matches("down: ").count();
                let at = format!("{role:?} {phase:?} call {call}: {events}");
                match (call, phase) {
                    (0 | 5 | 6 | 7, _) => assert_eq!(down, 0, "{at}"),
                    (_, Phase::Closed) => assert_eq!(down, 0, "{at}"),
                    (2 | 4, _) => assert_eq!(down, 1, "{at}"),
                    (1 | 3, _) => assert!(down == 1 || one.stream.phase() == Phase::Closing, "{at}"),
                    _ => {}
                }
                assert_eq!(one.stream.phase() == Phase::Closed, one.stream.deadline().is_none(), "{at}");
            }
        }
    }
}
