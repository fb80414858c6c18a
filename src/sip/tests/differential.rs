//! The same octets to our parser and to `sipx-sip`: who takes them, and what both read.

use super::checks::{Random, mutate};
use super::framed;
use super::torture::TORTURE;
use crate::sip::message::{Message, Start};
use sipx_sip as peer;

/// What both must read alike.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    start: String,
    vias: Vec<(String, Option<u16>, Option<String>)>,
    parties: Vec<(String, Option<String>, Option<String>)>,
    call_id: String,
    cseq: u32,
    body: Vec<u8>,
}

fn ours(octets: &[u8]) -> Result<Key, String> {
    let framed = framed(octets).map_err(|error| format!("{:?}", error.fault))?;
    let message = Message::parse(&framed).map_err(|error| format!("{:?}", error.fault))?;
    let party = |party: &crate::sip::value::NameAddr<'_>| {
        let uri = &party.address;
        // An opaque URI has no host; an address is compared by what it means.
        (
            host(uri.host),
            uri.user.filter(|_| !uri.host.is_empty()).map(String::from),
            party.tag.map(String::from),
        )
    };
    let start = match message.start {
        Start::Request { method, .. } => {
            format!("{method} {}", host(message.target().map(|target| target.host).unwrap_or_default()))
        }
        Start::Response { status, .. } => status.to_string(),
    };
    Ok(Key {
        start,
        vias: message.vias().map(|via| (host(via.host), via.port, via.branch.map(String::from))).collect(),
        parties: vec![party(message.from()), party(message.to())],
        call_id: message.call_id().into(),
        cseq: message.cseq().number,
        body: message.body.to_vec(),
    })
}

fn host(spelt: &str) -> String {
    let bare = spelt.trim_matches(['[', ']']);
    bare.parse().map_or_else(|_| bare.to_owned(), |ip: std::net::IpAddr| ip.to_string())
}

fn theirs(octets: &[u8]) -> Result<Key, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let message = peer::parse_datagram(octets.to_vec().into(), &peer::Limits::datagram())
        .map_err(|error| format!("{error:?}"))?;
    if let Some(finding) = peer::validate(&message).into_iter().find(|finding| !finding.is_repairable()) {
        return Err(format!("{finding:?}"));
    }
    let uri_host = |uri: &peer::Uri| uri.host().map(|host| text(&host.to_bytes())).unwrap_or_default();
    let party = |address: &peer::Address| {
        (uri_host(&address.uri), address.uri.user().map(text), address.tag().map(text))
    };
    let headers = message.headers();
    let vias: Result<Vec<_>, _> = headers.typed_all::<peer::Via>().collect();
    let vias = vias.map_err(|error| format!("{error:?}"))?;
    let error = |error: Option<_>| format!("{error:?}");
    let from =
        headers.typed::<peer::headers::From>().and_then(Result::ok).ok_or_else(|| error(Some("From")))?;
    let to = headers.typed::<peer::headers::To>().and_then(Result::ok).ok_or_else(|| error(Some("To")))?;
    let cseq = headers.typed::<peer::CSeq>().and_then(Result::ok).ok_or_else(|| error(Some("CSeq")))?;
    let call_id =
        headers.typed::<peer::CallId>().and_then(Result::ok).ok_or_else(|| error(Some("Call-ID")))?;
    let start = match &message {
        peer::Message::Request(request) => {
            format!("{} {}", text(request.method.as_bytes()), uri_host(&request.uri))
        }
        peer::Message::Response(response) => response.status.code().to_string(),
    };
    Ok(Key {
        start,
        vias: vias.iter().map(|via| (text(&via.host.to_bytes()), via.port, via.branch().map(text))).collect(),
        parties: vec![party(&from.0), party(&to.0)],
        call_id: text(&call_id.0),
        cseq: cseq.sequence,
        body: message.body().to_vec(),
    })
}

#[test]
fn the_torture_messages_are_read_alike() {
    for (_, name, octets, _, _) in TORTURE {
        match (ours(octets), theirs(octets)) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{name}"),
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{name}: {ours:?} {theirs:?}"),
        }
    }
}

/// What we refuse and the peer takes, with the reason.
fn reviewed(ours: &str) -> bool {
    [
        // RFC 3261 §25.1: all text is UTF-8. The peer keeps octets.
        "NotUtf8",
        // No control characters outside of quoted pairs; the peer looks at CR, LF and NUL.
        "Control",
        // RFC 3261 §7.3.1: headers are folded, start lines not.
        "Folded",
        // Which '@' ends the user part; what is no scheme; what is twice in the parameters.
        "RequestUri(",
        // The peer does not look at Content-Type, and takes any octets as a Call-ID.
        "Value(ContentType)",
        "Value(CallId)",
        // Tokens, hosts whose last label starts with a digit, parameters that are there twice,
        // commas in a bare addr-spec.
        "Value(Via)",
        "Value(From)",
        "Value(To)",
        // More headers than the peer's few may be there once only.
        "Twice(",
    ]
    .iter()
    .any(|known| ours.starts_with(known))
}

#[test]
fn mutants_are_read_alike() {
    let mut random = Random(0x0d1f_f001);
    let (mut alike, mut stricter, mut laxer) = (0, 0, 0);
    for round in 0..15_000 {
        let (_, _, seed, _, _) = TORTURE[round % TORTURE.len()];
        let (_, _, other, _, _) = TORTURE[random.below(TORTURE.len())];
        let mut octets = seed.to_vec();
        mutate(&mut octets, &mut random, other);
        let shown = String::from_utf8_lossy(&octets);
        match (ours(&octets), theirs(&octets)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "{shown:?}");
                alike += 1;
            }
            (Err(_), Err(_)) => {}
            (Err(ours), Ok(_)) => {
                assert!(reviewed(&ours), "refused by us for {ours}: {shown:?}");
                stricter += 1;
            }
            // White space around the colon of sent-by, and '=' in a parameter's value.
            (Ok(_), Err(theirs)) => {
                assert!(
                    theirs.starts_with("MalformedRequiredHeader"),
                    "refused by the peer for {theirs}: {shown:?}"
                );
                laxer += 1;
            }
        }
    }
    assert!(alike > 1_500 && stricter < 500 && laxer < 10, "{alike} {stricter} {laxer}");
}
