//! The wire layer as a whole: octets in, what a UAS sees out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;
mod differential;
mod laws;
mod pitfalls;
mod torture;

use super::Fault;
use super::frame::{Frame, FrameError, Limits, datagram};
use super::message::Message;
use super::name::Name;
use super::value::{Malformed, Warning, retry_after, unquote};

/// What a UAS makes of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes up to the agent.
    Accept,
    /// It is answered with this status code.
    Refuse(u16),
    /// It is dropped.
    Drop,
}

/// Cuts, parses and reads every typed value that is there.
fn verdict(octets: &[u8]) -> Verdict {
    let mut octets = octets.to_vec();
    let framed = match datagram(&mut octets, &Limits::default()) {
        Ok(Frame::Message(message)) => message,
        Ok(Frame::Ping) => return Verdict::Drop,
        Err(error) => return refusal(error.fault, error.readable().is_some()),
    };
    match Message::parse(framed) {
        Ok(message) => match (touch(&message), message.status()) {
            (Ok(()), _) => Verdict::Accept,
            (Err(Malformed), None) => Verdict::Refuse(400),
            (Err(Malformed), Some(_)) => Verdict::Drop,
        },
        Err(error) => refusal(error.fault, error.readable.is_some()),
    }
}

fn refusal(fault: Fault, answerable: bool) -> Verdict {
    if answerable { Verdict::Refuse(fault.status()) } else { Verdict::Drop }
}

/// Reads every typed value; an error in one that decides what happens to the message is one.
/// Date, Expires and the informational headers are read too, but a bad one is as if it were absent.
fn touch(message: &Message<'_>) -> Result<(), Malformed> {
    let _ = (message.method(), message.status(), message.target().map(|uri| uri.params().count()));
    let _ = (message.via().branch, message.vias().count(), message.via_count());
    for party in [message.from(), message.to()] {
        let _ = (party.display(), party.tag, party.address.param("gr"), party.params.iter().count());
    }
    let _ = (message.call_id(), message.cseq(), message.max_forwards(), message.date());
    let _ = (message.seconds(Name::Expires), message.seconds(Name::MinExpires));
    let _ = message.header(Name::RetryAfter).map(retry_after);
    let _ = message.values(Name::Warning).map(|value| Warning::parse(value?)).count();
    let _ = message.content_type().map(|media| (media.is("text", "plain"), media.param("charset")));
    for header in message.all_headers() {
        let _ = unquote(header.value);
        let _ = message.header_spelt(header.spelt);
    }
    for name in [Name::Route, Name::RecordRoute, Name::PAssertedIdentity, Name::ReplyTo, Name::ReferTo] {
        message.addresses(name).try_for_each(|address| address.map(drop))?;
    }
    for name in [Name::Require, Name::Supported, Name::Allow, Name::AllowEvents, Name::ContentEncoding] {
        message.tokens(name).try_for_each(|token| token.map(drop))?;
    }
    for name in [Name::Event, Name::SubscriptionState, Name::ContentDisposition] {
        message.tagged(name).transpose()?;
    }
    message.contacts().try_for_each(|contact| contact.map(drop))?;
    message.accepts().try_for_each(|media| media.map(drop))
}

/// `octets` as one framed message.
fn framed(octets: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut octets = octets.to_vec();
    match datagram(&mut octets, &Limits::default())? {
        Frame::Message(message) => Ok(message.to_vec()),
        Frame::Ping => Ok(Vec::new()),
    }
}

/// A well-formed MESSAGE with `headers` among its headers; their lines end in CRLF.
fn with(headers: &str) -> Vec<u8> {
    format!(
        "MESSAGE sip:juliet@example.com SIP/2.0\r\n\
         Via: SIP/2.0/TLS a.example;branch=z9hG4bKa\r\n\
         From: <sip:romeo@example.net>;tag=1\r\n\
         To: <sip:juliet@example.com>\r\n\
         Call-ID: 1@a.example\r\n\
         CSeq: 1 MESSAGE\r\n\
         Max-Forwards: 70\r\n\
         {headers}Content-Length: 2\r\n\r\nhi"
    )
    .into_bytes()
}

fn fault_of(octets: &[u8]) -> Option<Fault> {
    match framed(octets) {
        Ok(octets) => Message::parse(&octets).err().map(|error| error.fault),
        Err(error) => Some(error.fault),
    }
}
