//! `ms-diagnostics`: why a request was refused, as Microsoft's servers say and show it.
//!
//! ```text
//! ms-diagnostics: 1002;source="gw.contoso.example";reason="From URI is not authorized …"
//! ```
//!
//! It stands in responses only. Their servers do not send it to federated peers unless told to, and some
//! errors come as `ms-diagnostics-public`: both are read, for people.

use super::lex::digits;
use super::message::Message;
use super::name::Name;
use super::value::{Params, unquote};

/// The value that says `number` with `reason`; `source` is our host name. The reason is a fixed text of
/// ours, without quotes.
pub fn value(number: u16, source: &str, reason: &'static str) -> String {
    format!("{number};source=\"{source}\";reason=\"{reason}\"")
}

/// What a response says of its cause, for a person: the number, and the reason if there is one. None if it
/// says nothing that can be read.
pub fn read(message: &Message<'_>) -> Option<String> {
    let value =
        [Name::MsDiagnostics, Name::MsDiagnosticsPublic].into_iter().find_map(|name| message.header(name))?;
    let (number, rest) = value.split_at(value.find([';', '.', ' ']).unwrap_or(value.len()));
    digits(number)?;
    let params = rest.find(';').and_then(|at| Params::parse(rest.get(at..)?).ok());
    let reason = params.and_then(|params| params.value("reason").map(|reason| unquote(reason).into_owned()));
    Some(match reason {
        Some(reason) if !reason.is_empty() => format!("{number}: {reason}"),
        Some(_) | None => number.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(header: &str) -> Option<String> {
        let text = format!(
            "SIP/2.0 504 Server time-out\r\nVia: SIP/2.0/TLS a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n{header}Content-Length: 0\r\n\r\n"
        );
        read(&Message::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_a_server_says_of_the_cause_is_read() {
        for (header, expected) in [
            ("ms-diagnostics: 1002;reason=\"no, \\\"you\\\"\";source=\"a.example\"\r\n", "1002: no, \"you\""),
            (
                "ms-diagnostics-public: 4005;reason=\"Destination URI does not exist\"\r\n",
                "4005: Destination URI does not exist",
            ),
            ("ms-diagnostics: 1047.3;source=\"x\"\r\n", "1047"),
            ("ms-diagnostics: 1034\r\n", "1034"),
        ] {
            assert_eq!(said(header).as_deref(), Some(expected), "{header}");
        }
        for header in ["", "ms-diagnostics: \r\n", "ms-diagnostics: x;reason=\"y\"\r\n"] {
            assert_eq!(said(header), None, "{header}");
        }
    }

    #[test]
    fn ours_is_read_as_it_was_written() {
        let ours = value(1002, "gw.contoso.example", "not authorized");
        assert_eq!(said(&format!("ms-diagnostics: {ours}\r\n")).as_deref(), Some("1002: not authorized"));
    }
}
