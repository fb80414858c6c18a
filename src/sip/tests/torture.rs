//! The 49 messages of RFC 4475, each with what that document says of it.

use super::{Verdict, framed, verdict};
use crate::addr::uri::Scheme;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::value::Contact;
use Verdict::{Accept, Drop, Refuse};

macro_rules! torture {
    ($($section:literal $name:literal $want:expr, $why:literal;)*) => {
        /// Section, name, octets, verdict, and the reason where the document leaves a choice or
        /// another layer decides.
        pub(super) const TORTURE: &[(&str, &str, &[u8], Verdict, &str)] = &[$((
            $section,
            $name,
            include_bytes!(concat!("../../../tests/torture/", $name, ".dat")),
            $want,
            $why,
        ),)*];
    };
}

torture! {
    "3.1.1.1" "wsinv" Accept, "";
    "3.1.1.2" "intmeth" Accept, "501 is the agent's";
    "3.1.1.3" "esc01" Accept, "";
    "3.1.1.4" "escnull" Accept, "%00 is refused by the address mapping";
    "3.1.1.5" "esc02" Accept, "501 is the agent's";
    "3.1.1.6" "lwsdisp" Accept, "";
    "3.1.1.7" "longreq" Accept, "";
    "3.1.1.8" "dblreq" Accept, "the octets behind the body are dropped";
    "3.1.1.9" "semiuri" Accept, "";
    "3.1.1.10" "transports" Accept, "";
    "3.1.1.11" "mpart01" Accept, "";
    "3.1.1.12" "unreason" Accept, "";
    "3.1.1.13" "noreason" Accept, "";
    "3.1.2.1" "badinv01" Refuse(400), "";
    "3.1.2.2" "clerr" Refuse(400), "on a stream: waits, the driver's timer closes";
    "3.1.2.3" "ncl" Refuse(400), "";
    "3.1.2.4" "scalar02" Refuse(400), "for CSeq";
    "3.1.2.5" "scalarlg" Drop, "for CSeq";
    "3.1.2.6" "quotbal" Refuse(400), "";
    "3.1.2.7" "ltgtruri" Refuse(400), "";
    "3.1.2.8" "lwsruri" Refuse(400), "";
    "3.1.2.9" "lwsstart" Refuse(400), "may be refused";
    "3.1.2.10" "trws" Refuse(400), "may be refused";
    "3.1.2.11" "escruri" Refuse(400), "may be refused";
    "3.1.2.12" "baddate" Accept, "Date is not needed, so a bad one is ignored as the document advises";
    "3.1.2.13" "regbadct" Refuse(400), "where Contact is read";
    "3.1.2.14" "badaspec" Refuse(400), "may be refused";
    "3.1.2.15" "baddn" Refuse(400), "may be refused";
    "3.1.2.16" "badvers" Refuse(505), "";
    "3.1.2.17" "mismatch01" Refuse(400), "";
    "3.1.2.18" "mismatch02" Refuse(501), "preferred to 400";
    "3.1.2.19" "bigcode" Drop, "";
    "3.2.1" "badbranch" Accept, "falls back to RFC 2543 matching: it has no branch id";
    "3.3.1" "insuf" Refuse(400), "";
    "3.3.2" "unkscm" Accept, "416 is the agent's";
    "3.3.3" "novelsc" Accept, "416 is the agent's";
    "3.3.4" "unksm2" Accept, "REGISTER is refused by the agent";
    "3.3.5" "bext01" Accept, "420 is the agent's";
    "3.3.6" "invut" Accept, "415 is the agent's";
    "3.3.7" "regaut01" Accept, "405 is the agent's";
    "3.3.8" "multi01" Refuse(400), "";
    "3.3.9" "mcl01" Refuse(400), "";
    "3.3.10" "bcast" Accept, "discarded by the agent: two Vias in a response";
    "3.3.11" "zeromf" Accept, "483 is the agent's";
    "3.3.12" "cparam01" Accept, "";
    "3.3.13" "cparam02" Accept, "";
    "3.3.14" "regescrt" Accept, "";
    "3.3.15" "sdp01" Accept, "406 is the agent's";
    "3.4.1" "inv2543" Accept, "";
}

fn octets(name: &str) -> Vec<u8> {
    let (_, _, octets, _, _) = TORTURE.iter().find(|row| row.1 == name).unwrap();
    framed(octets).unwrap()
}

#[test]
fn check_145_every_torture_message_is_taken_or_refused_as_rfc_4475_says() {
    assert_eq!(TORTURE.len(), 49);
    let wrong: Vec<_> = TORTURE
        .iter()
        .map(|(section, name, octets, want, _)| (section, name, want, verdict(octets)))
        .filter(|(_, _, want, got)| *want != got)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn check_145_wsinv_is_read_through_all_its_white_space() {
    let octets = octets("wsinv");
    let message = Message::parse(&octets).unwrap();
    assert_eq!(message.method(), Some(Method::Invite));
    assert_eq!(message.target().unwrap().param("unknownparam"), Some(None));
    assert_eq!(message.to().tag, Some("1918181833n"));
    assert_eq!(message.from().display().unwrap(), "J Rosenberg \\\"");
    assert_eq!((message.from().uri, message.from().tag), ("sip:jdrosen@example.com", Some("98asjd8")));
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!((message.cseq().number, message.cseq().method), (9, Method::Invite));
    let vias: Vec<_> = message.vias().map(|via| (via.transport, via.host, via.branch)).collect();
    assert_eq!(
        vias,
        [
            ("UDP", "192.0.2.2", Some("390skdjuw")),
            ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8")),
            ("UDP", "192.168.255.111", Some("z9hG4bK30239")),
        ]
    );
    assert_eq!(message.header(Name::Subject), Some(""));
    assert_eq!(message.header_spelt("UnknownHeaderWithUnusualValue"), Some(";;,,;;,;"));
    let route = message.addresses(Name::Route).next().unwrap().unwrap();
    assert_eq!(route.address.param("unknownwith"), Some(Some("value")));
    let Contact::Address(contact) = message.contacts().next().unwrap().unwrap() else { panic!() };
    assert_eq!(contact.display().unwrap(), "Quoted string \"\"");
    assert_eq!(contact.params.value("newparam"), Some("newvalue"));
    assert_eq!(contact.params.get("secondparam"), Some(None));
    assert_eq!(contact.params.value("q"), Some("0.33"));
    assert_eq!(message.body.len(), 150);
}

#[test]
fn check_145_intmeth_keeps_its_quoted_nul() {
    let octets = octets("intmeth");
    let message = Message::parse(&octets).unwrap();
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(message.method(), Some(Method::Other(method)));
    assert_eq!(message.to().display().unwrap(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    assert_eq!(message.from().spelt, "token1~` token2'+_ token3*%!.-");
    assert_eq!(message.from().tag, Some("_token~1'+`*%!-."));
    assert_eq!(message.from().params.value("fromParam''~+*_!.-%"), Some("\"работающий\""));
    assert_eq!(message.call_id(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
    assert_eq!(message.via().branch, Some("z9hG4bK-.!%66*_+`'~"));
    assert_eq!(message.header_spelt("extensionHeader-!.%*+_`'~"), Some("\u{feff}大停電"));
}

#[test]
fn check_145_percent_is_an_escape_in_uris_only() {
    let octets = octets("esc02");
    let message = Message::parse(&octets).unwrap();
    assert_eq!(message.method(), Some(Method::Other("RE%47IST%45R")));
    assert_eq!(message.to().display().unwrap(), "%Z%45");
    assert_eq!(message.contacts().count(), 2);
    assert_eq!(message.via().branch, Some("z9hG4bK209%fzsnel234"));
}

#[test]
fn check_145_what_is_read_of_the_others() {
    let bytes = octets("dblreq");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.method(), message.body), (Some(Method::Register), &b""[..]));

    let bytes = octets("longreq");
    assert_eq!(Message::parse(&bytes).unwrap().via_count(), 34);

    let bytes = octets("transports");
    let message = Message::parse(&bytes).unwrap();
    let transports: Vec<_> = message.vias().map(|via| via.transport).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);

    let bytes = octets("mpart01");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.body.len(), 553);
    assert_eq!(message.content_type().unwrap().param("boundary").unwrap(), "7a9cbec02ceef655");
    assert_eq!(message.date().unwrap().unwrap().as_secs(), 1_129_351_496);
    assert_eq!(message.via().rport, Some(None));

    let bytes = octets("badbranch");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.via().branch, Some("z9hG4bK"));

    let bytes = octets("baddate");
    assert!(Message::parse(&bytes).unwrap().date().unwrap().is_err());

    let bytes = octets("cparam01");
    let message = Message::parse(&bytes).unwrap();
    let Contact::Address(contact) = message.contacts().next().unwrap().unwrap() else { panic!() };
    assert_eq!((contact.address.params, contact.params.get("unknownparam")), ("", Some(None)));

    let bytes = octets("cparam02");
    let message = Message::parse(&bytes).unwrap();
    let Contact::Address(contact) = message.contacts().next().unwrap().unwrap() else { panic!() };
    assert_eq!((contact.address.params, contact.params.as_str()), ("unknownparam", ""));

    let bytes = octets("unkscm");
    let scheme = Message::parse(&bytes).unwrap().target().unwrap().scheme;
    assert_eq!(scheme, Scheme::Other("nobodyKnowsThisScheme"));

    let bytes = octets("bcast");
    assert_eq!(Message::parse(&bytes).unwrap().via_count(), 2);

    let bytes = octets("bext01");
    let message = Message::parse(&bytes).unwrap();
    let required: Vec<_> = message.tokens(Name::Require).map(Result::unwrap).collect();
    assert_eq!(required, ["nothingSupportsThis", "nothingSupportsThisEither"]);
}
