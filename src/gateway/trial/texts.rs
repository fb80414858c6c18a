//! What a trial says on the wire, in the place of whoever would.

use crate::addr::{Domain, Jid, map};
use crate::crossing::Kind;
use crate::ids::Ids;
use crate::now::{Now, Wall};
use crate::sip::locate::Transport;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::subscription::{PACKAGE, PIDF};
use crate::sip::write::{Party, Request, Writer};
use crate::xml::write;
use crate::xmpp::{CertFault, CertVerdict, PeerIdentity, Ways};

/// The peer of a trial's stream, for whom the operator vouches.
pub(super) struct Vouched(pub(super) Box<str>);

impl PeerIdentity for Vouched {
    fn judge(&self, domain: &Domain, _now: Now) -> CertVerdict {
        match domain.as_str() == &*self.0 {
            true => CertVerdict::Valid,
            false => CertVerdict::Invalid(CertFault::WrongName),
        }
    }

    fn not_after(&self) -> Option<Wall> {
        None
    }

    fn tls_version(&self) -> &'static str {
        "none"
    }

    fn presented(&self) -> bool {
        true
    }
}

/// What the server of `remote` says until its pair is proven, by the best of `ways`.
pub(super) fn greeting(ways: Ways, remote: &str, local: &str) -> Vec<String> {
    let mut hello = Vec::new();
    hello.extend_from_slice(b"<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback'");
    hello.extend_from_slice(b" xmlns:stream='http://etherx.jabber.org/streams' version='1.0'");
    write::attr(&mut hello, "from", remote);
    write::attr(&mut hello, "to", local);
    hello.push(b'>');
    let hello = String::from_utf8(hello).unwrap_or_default();
    if ways.sasl {
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>".to_owned();
        return vec![hello.clone(), auth, hello];
    }
    let mut key = Vec::new();
    write::open(&mut key, "db:result").attr("from", remote).attr("to", local).text("trial");
    vec![hello, String::from_utf8(key).unwrap_or_default()]
}

/// A message, or the probe that asks for presence.
pub(super) fn stanza_text(kind: Kind, (from, to): (&Jid, &Jid), id: &str, text: &str) -> String {
    let mut out = Vec::new();
    let name = match kind {
        Kind::Message => "message",
        Kind::Presence => "presence",
    };
    let tag = write::open(&mut out, name).attr("from", from.as_str()).attr("to", to.as_str()).attr("id", id);
    match kind {
        Kind::Message => tag.content(|out| write::open(out, "body").text(text)),
        Kind::Presence => tag.attr("type", "probe").empty(),
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A MESSAGE, or the SUBSCRIBE that fetches presence.
pub(super) fn write_request(
    kind: Kind,
    (from, to): (&Jid, &Jid),
    text: &str,
    name: &str,
    ids: &mut Ids,
    out: &mut Vec<u8>,
) {
    let (mut from_uri, mut to_uri) = (Vec::new(), Vec::new());
    map::uri_from_jid(from, &mut from_uri);
    map::uri_from_jid(to, &mut to_uri);
    let (branch, tag, call_id) = (format!("z9hG4bK{}", ids.mint().as_str()), ids.mint(), ids.mint());
    let method = match kind {
        Kind::Message => Method::Message,
        Kind::Presence => Method::Subscribe,
    };
    let request = Request {
        method,
        uri: &to_uri,
        transport: Transport::Tls,
        sent_by: name,
        branch: &branch,
        max_forwards: 70,
        from: Party { display: None, uri: &from_uri, tag: Some(tag.as_str()) },
        to: Party { display: None, uri: &to_uri, tag: None },
        call_id: call_id.as_str(),
        cseq: 1,
    };
    let mut writer = Writer::request(out, &request);
    match kind {
        Kind::Message => writer.body("text/plain;charset=UTF-8", text.as_bytes()),
        Kind::Presence => {
            writer.party(Name::Contact, &Party { display: None, uri: &from_uri, tag: None });
            writer.header(Name::Event, PACKAGE).header(Name::Accept, PIDF).number(Name::Expires, 0);
            writer.end();
        }
    }
}
