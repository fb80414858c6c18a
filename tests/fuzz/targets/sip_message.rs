//! One datagram: every accessor is called, and the answer to it is one message again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::sip::frame::{Frame, Limits, datagram};
use stoxd::sip::message::Message;
use stoxd::sip::name::Name;
use stoxd::sip::value::{Warning, retry_after, unquote};
use stoxd::sip::write::{Writer, refusal_tail, response_tail};

fn touch(message: &Message<'_>) {
    assert_eq!(message.vias().count(), message.via_count());
    for party in [message.from(), message.to()] {
        let _ = (party.display(), party.address.param("gr"), party.params.iter().count());
    }
    for name in Name::ALL {
        message.addresses(*name).for_each(drop);
        message.tokens(*name).for_each(drop);
        let _ = (message.tagged(*name), message.seconds(*name));
        for value in message.headers(*name) {
            let _ = (retry_after(value), unquote(value));
        }
        message.values(*name).for_each(|value| {
            let _ = value.map(Warning::parse);
        });
    }
    message.contacts().for_each(drop);
    message.accepts().for_each(drop);
    let _ = (message.date(), message.content_type().map(|media| media.param("charset")));
}

fuzz_target!(|data: &[u8]| {
    let mut octets = data.to_vec();
    let source = Some(([192, 0, 2, 1], 5060).into());
    let (mut tail, mut out) = (Vec::new(), Vec::new());
    match datagram(&mut octets, &Limits::default()) {
        Ok(Frame::Ping) => {}
        Ok(Frame::Message(framed)) => match Message::parse(framed) {
            Ok(message) => {
                touch(&message);
                // What the answer adds may be more than we take ourselves.
                if message.via().params.iter().count() > 60 || message.to().params.iter().count() > 60 {
                    return;
                }
                response_tail(&message, "tag", source, &mut tail);
                Writer::response(&mut out, 200, &tail).end();
                let answer = Message::parse(&out).expect("an answer is a message");
                assert_eq!(answer.call_id(), message.call_id());
                assert_eq!(answer.cseq(), message.cseq());
                assert_eq!(answer.via().branch, message.via().branch);
                assert_eq!(answer.via_count(), message.via_count());
                assert_eq!(answer.from().tag, message.from().tag);
                assert!(answer.to().tag.is_some());
            }
            Err(error) => {
                if let Some(readable) = &error.readable {
                    refusal_tail(readable, "tag", source, &mut tail);
                    Writer::response(&mut out, error.status(), &tail).end();
                    assert_one_message(&out);
                }
            }
        },
        Err(error) => {
            if let Some(readable) = error.readable() {
                refusal_tail(&readable, "tag", source, &mut tail);
                Writer::response(&mut out, error.fault.status(), &tail).end();
                assert_one_message(&out);
            }
        }
    }
});

/// Its only empty line is its last.
fn assert_one_message(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("text");
    let end = text.find("\r\n\r\n").expect("an end");
    assert_eq!(end + 4, text.len());
    assert!(text.lines().skip(1).take_while(|line| !line.is_empty()).all(|line| line.contains(": ")));
}
