//! The answers that a server owes to an iq (RFC 6120 §8.2.3): discovery, ping, version, or an error.
//!
//! The gateway itself speaks for its domains; for its users every query is answered alike, so that
//! nobody learns who exists (RFC 6120 §13.10.2): disco#info at any resource says what such a user can
//! do, which is what the capabilities in presence stand for, and all else is `service-unavailable`.
//! Exactly one result or error answers a `get` or `set`, nothing answers a `result` or `error`.
//!
//! | to a domain | answer |
//! |---|---|
//! | `get` disco#info, without node or with our caps node | identities and features, the node echoed |
//! | `get` disco#info with another node | `item-not-found` |
//! | `get` disco#items | none |
//! | `get` ping | empty result |
//! | `get` version | name and version |
//! | any other `get` or `set` | `service-unavailable` |
//! | without id or child, or another type | `bad-request` |

use super::error::{Condition, StanzaError, write_error};
use super::ns;
use super::stanza::Iq;
use crate::xml::{Element, write};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What the answers say of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IqContext<'a> {
    /// The software's name (XEP-0092).
    pub name: &'a str,
    /// The software's version (XEP-0092).
    pub version: &'a str,
    /// The URI that stands for the software in entity capabilities (XEP-0115 §4).
    pub caps_node: &'a str,
}

/// An identity (XEP-0030 §3.1). The order is that of XEP-0115 §5.1: category, type, language, name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity<'a> {
    /// The category, such as `gateway`.
    pub category: &'a str,
    /// The type in the category, such as `sip`.
    pub type_: &'a str,
    /// The language of the name, "" for none.
    pub lang: &'a str,
    /// The name for people, "" for none.
    pub name: &'a str,
}

/// What our domains can do, in the order that XEP-0115 §5.1 sorts features.
pub const FEATURES: [&str; 6] =
    [ns::CAPS, ns::DISCO_INFO, ns::DISCO_ITEMS, ns::VERSION, ns::JID_ESCAPING, ns::PING];

/// What our domains are.
pub fn identities<'a>(context: &IqContext<'a>) -> [Identity<'a>; 2] {
    let identity = |category, type_| Identity { category, type_, lang: "", name: context.name };
    [identity("gateway", "sip"), identity("server", "im")]
}

/// What users behind us can do, likewise sorted. What a SIP server of theirs does not take is left out on
/// the way, not here: which of them serves whom is nobody's business.
pub const USER_FEATURES: [&str; 6] =
    [ns::CAPS, ns::CHAT_STATES, ns::DISCO_INFO, ns::JID_ESCAPING, ns::MARKERS, ns::RECEIPTS];

/// What users behind us are: somebody with a telephone or a program that speaks SIP.
pub fn user_identities<'a>(context: &IqContext<'a>) -> [Identity<'a>; 1] {
    [Identity { category: "client", type_: "phone", lang: "", name: context.name }]
}

/// The verification string of entity capabilities: base64 of the SHA-1 over sorted identities and
/// features (XEP-0115 §5.1). No forms.
pub fn caps_ver(identities: &[Identity<'_>], features: &[&str]) -> String {
    let (mut identities, mut features) = (identities.to_vec(), features.to_vec());
    identities.sort_unstable();
    features.sort_unstable();
    let mut hash = Sha1::new();
    for identity in identities {
        for part in [identity.category, "/", identity.type_, "/", identity.lang, "/", identity.name, "<"] {
            hash.update(part);
        }
    }
    for feature in features {
        hash.update(feature);
        hash.update("<");
    }
    STANDARD.encode(hash.finalize())
}

/// Whether an answer was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One was: it goes to the sender, on a stream in the other direction.
    Written,
    /// None is due: the iq is an answer itself.
    None,
}

/// Appends the answer to `iq`, if one is due.
pub fn answer(iq: &Iq<'_>, context: &IqContext<'_>, out: &mut Vec<u8>) -> Answer {
    let outcome = match iq.type_() {
        Some("result" | "error") => return Answer::None,
        Some("get") => query(iq).and_then(|query| get(iq, query, context, out)),
        Some("set") => query(iq).and(Err(Condition::ServiceUnavailable)),
        Some(_) | None => Err(Condition::BadRequest),
    };
    if let Err(condition) = outcome {
        write_error(out, &iq.answered(), &StanzaError::from(condition));
    }
    Answer::Written
}

/// The one child of a request that has what a request must have (RFC 6120 §8.2.3).
fn query<'e, 'a>(iq: &'e Iq<'a>) -> Result<&'e Element<'a>, Condition> {
    let mut children = iq.element.children();
    match (iq.id(), children.next(), children.next()) {
        (Some(id), Some(query), None) if !id.is_empty() => Ok(query),
        _ => Err(Condition::BadRequest),
    }
}

fn get(
    iq: &Iq<'_>,
    query: &Element<'_>,
    context: &IqContext<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Condition> {
    let is_user = iq.to.local().is_some();
    match (query.ns(), query.name()) {
        (ns::DISCO_INFO, "query") if is_user && iq.to.resource().is_some() => {
            let about = About::user(context);
            return about.answer(iq, query, context, out);
        }
        _ if is_user || iq.to.resource().is_some() => return Err(Condition::ServiceUnavailable),
        _ => {}
    }
    match (query.ns(), query.name()) {
        (ns::DISCO_INFO, "query") => {
            return About::domain(context).answer(iq, query, context, out);
        }
        (ns::DISCO_ITEMS, "query") => result(iq, out, |out| {
            write::open(out, "query").xmlns(ns::DISCO_ITEMS).attr_opt("node", query.attr("node")).empty();
        }),
        (ns::PING, "ping") => result(iq, out, |_| {}),
        (ns::VERSION, "query") => result(iq, out, |out| {
            write::open(out, "query").xmlns(ns::VERSION).content(|out| {
                write::open(out, "name").text(context.name);
                write::open(out, "version").text(context.version);
            });
        }),
        _ => return Err(Condition::ServiceUnavailable),
    }
    Ok(())
}

fn result(iq: &Iq<'_>, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    write::open(out, "iq")
        .attr("from", iq.to.as_str())
        .attr("to", iq.from.as_str())
        .attr("id", iq.id().unwrap_or_default())
        .attr("type", "result")
        .content(payload);
}

/// What is said of somebody who is asked.
struct About<'a> {
    identities: Vec<Identity<'a>>,
    features: &'static [&'static str],
}

impl<'a> About<'a> {
    fn domain(context: &IqContext<'a>) -> Self {
        Self { identities: identities(context).to_vec(), features: &FEATURES }
    }

    /// Any user: the answer does not tell who exists.
    fn user(context: &IqContext<'a>) -> Self {
        Self { identities: user_identities(context).to_vec(), features: &USER_FEATURES }
    }

    /// The answer to disco#info (XEP-0030 §3.1), for no node or our caps node with the hash of these
    /// features (XEP-0115 §6.2).
    fn answer(
        &self,
        iq: &Iq<'_>,
        query: &Element<'_>,
        context: &IqContext<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Condition> {
        let node = query.attr("node");
        let is_ours = |node: &str| {
            node.rsplit_once('#').is_some_and(|(name, ver)| {
                name == context.caps_node && ver == caps_ver(&self.identities, self.features)
            })
        };
        if !node.is_none_or(is_ours) {
            return Err(Condition::ItemNotFound);
        }
        result(iq, out, |out| {
            write::open(out, "query").xmlns(ns::DISCO_INFO).attr_opt("node", node).content(|out| {
                for identity in &self.identities {
                    write::open(out, "identity")
                        .attr("category", identity.category)
                        .attr("type", identity.type_)
                        .attr("name", identity.name)
                        .empty();
                }
                for feature in self.features {
                    write::open(out, "feature").attr("var", feature).empty();
                }
            });
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::xml::{self, Limits, Scope};
    use crate::xmpp::stanza::{self, Typed};

    const CONTEXT: IqContext<'static> =
        IqContext { name: "stoxd", version: "0.1.0", caps_node: "https://stoxd.example" };

    fn ask(text: &str) -> Option<String> {
        let element = xml::parse(text, &Scope::server(), &Limits::default()).unwrap();
        let Ok(Typed::Iq(iq)) = stanza::read(element) else { panic!("no iq: {text}") };
        let mut out = Vec::new();
        match answer(&iq, &CONTEXT, &mut out) {
            Answer::Written => Some(String::from_utf8(out).unwrap()),
            Answer::None => {
                assert!(out.is_empty());
                None
            }
        }
    }

    fn request(to: &str, type_: &str, payload: &str) -> String {
        format!("<iq from='juliet@xmpp.example/b' to='{to}' id='q&amp;1' type='{type_}'>{payload}</iq>")
    }

    fn result(to: &str, payload: &str) -> String {
        format!("<iq from='{to}' to='juliet@xmpp.example/b' id='q&amp;1' type='result'>{payload}</iq>")
    }

    fn error(to: &str, condition: Condition) -> String {
        format!(
            "<iq from='{to}' to='juliet@xmpp.example/b' id='q&amp;1' type='error'><error type='{}'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            condition.default_type().name()
        )
    }

    #[test]
    fn check_137_the_domain_answers_ping_version_and_discovery() {
        let get = |payload| ask(&request("sip.example", "get", payload)).unwrap();
        assert_eq!(get("<ping xmlns='urn:xmpp:ping'/>"), result("sip.example", ""));
        assert_eq!(
            get("<query xmlns='jabber:iq:version'/>"),
            result(
                "sip.example",
                "<query xmlns='jabber:iq:version'><name>stoxd</name><version>0.1.0</version></query>"
            )
        );
        assert_eq!(
            get("<query xmlns='http://jabber.org/protocol/disco#items'/>"),
            result("sip.example", "<query xmlns='http://jabber.org/protocol/disco#items'/>")
        );
        assert_eq!(
            get("<query xmlns='http://jabber.org/protocol/disco#info'/>"),
            result(
                "sip.example",
                "<query xmlns='http://jabber.org/protocol/disco#info'>\
                 <identity category='gateway' type='sip' name='stoxd'/>\
                 <identity category='server' type='im' name='stoxd'/>\
                 <feature var='http://jabber.org/protocol/caps'/>\
                 <feature var='http://jabber.org/protocol/disco#info'/>\
                 <feature var='http://jabber.org/protocol/disco#items'/>\
                 <feature var='jabber:iq:version'/>\
                 <feature var='jid\\20escaping'/>\
                 <feature var='urn:xmpp:ping'/></query>"
            )
        );
    }

    #[test]
    fn check_138_the_caps_node_is_echoed_and_its_hash_is_that_of_the_answer() {
        // XEP-0115 §5.2.
        let exodus = Identity { category: "client", type_: "pc", lang: "", name: "Exodus 0.9.1" };
        let features = [
            "http://jabber.org/protocol/muc",
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/disco#items",
            "http://jabber.org/protocol/caps",
        ];
        assert_eq!(caps_ver(&[exodus], &features), "QgayPKawpkPSDYmwT/WM94uAlu0=");

        let ver = caps_ver(&identities(&CONTEXT), &FEATURES);
        let node = format!("https://stoxd.example#{ver}");
        let query =
            |node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
        let answer = ask(&request("sip.example", "get", &query(&node))).unwrap();
        assert!(answer.contains(&format!(" node='{node}'>")), "{answer}");
        // What was answered hashes to what was asked for.
        let element = xml::parse(&answer, &Scope::server(), &Limits::default()).unwrap();
        let info = element.child("query", ns::DISCO_INFO).unwrap();
        let found: Vec<&str> = info.children().filter_map(|child| child.attr("var")).collect();
        let identities: Vec<Identity<'_>> = info
            .children()
            .filter(|child| child.name() == "identity")
            .map(|child| Identity {
                category: child.attr("category").unwrap(),
                type_: child.attr("type").unwrap(),
                lang: "",
                name: child.attr("name").unwrap(),
            })
            .collect();
        assert_eq!(caps_ver(&identities, &found), ver);
        for other in ["https://stoxd.example", "https://stoxd.example#x", "x", ""] {
            assert_eq!(
                ask(&request("sip.example", "get", &query(other))).unwrap(),
                error("sip.example", Condition::ItemNotFound)
            );
        }
        let items = "<query xmlns='http://jabber.org/protocol/disco#items' node='n'/>";
        assert_eq!(ask(&request("sip.example", "get", items)).unwrap(), result("sip.example", items));
    }

    #[test]
    fn check_109_threat_102_every_other_request_gets_one_error_from_the_address_asked() {
        for payload in [
            "<vCard xmlns='vcard-temp'/>",
            "<query xmlns='jabber:iq:register'/>",
            "<query xmlns='jabber:iq:roster'/>",
            "<query xmlns='urn:xmpp:mam:2'/>",
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'/>",
            "<jingle xmlns='urn:xmpp:jingle:1'/>",
            "<ping xmlns='urn:x'/>",
            "<query xmlns='urn:xmpp:ping'/>",
        ] {
            for to in ["sip.example", "romeo@sip.example", "romeo@sip.example/phone"] {
                for type_ in ["get", "set"] {
                    assert_eq!(
                        ask(&request(to, type_, payload)).unwrap(),
                        error(to, Condition::ServiceUnavailable)
                    );
                }
            }
        }
        let set = request("sip.example", "set", "<ping xmlns='urn:xmpp:ping'/>");
        assert_eq!(ask(&set).unwrap(), error("sip.example", Condition::ServiceUnavailable));
    }

    #[test]
    fn check_109_answers_are_never_answered_and_malformed_requests_are_bad() {
        for type_ in ["result", "error"] {
            assert_eq!(ask(&request("sip.example", type_, "")), None);
            assert_eq!(ask(&request("sip.example", type_, "<error/>")), None);
        }
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        let bad = error("sip.example", Condition::BadRequest);
        for (type_, payload) in [
            ("get", ""),
            ("set", ""),
            ("get", "text"),
            ("get", &format!("{ping}{ping}")),
            ("subscribe", ping),
            ("", ping),
        ] {
            assert_eq!(ask(&request("sip.example", type_, payload)).unwrap(), bad, "{type_} {payload}");
        }
        let without_id =
            "<iq from='juliet@xmpp.example/b' to='sip.example' type='get'><ping xmlns='urn:xmpp:ping'/></iq>";
        for request in [without_id, &without_id.replace(" type", " id='' type")] {
            assert!(ask(request).unwrap().contains("id='' type='error'"));
        }
        let without_type =
            "<iq from='a@xmpp.example' to='sip.example' id='1'><ping xmlns='urn:xmpp:ping'/></iq>";
        assert!(ask(without_type).unwrap().contains("<bad-request"));
    }

    #[test]
    fn the_capabilities_of_users_are_those_that_their_presence_stands_for() {
        let ver = caps_ver(&user_identities(&CONTEXT), &USER_FEATURES);
        let query =
            |node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
        let node = format!("https://stoxd.example#{ver}");
        for to in ["romeo@sip.example/x", "nobody@sip.example/ID-a_20b"] {
            let answer = ask(&request(to, "get", &query(&node))).unwrap();
            assert!(
                answer.contains("type='result'") && answer.contains(&format!("node='{node}'")),
                "{answer}"
            );
            assert!(answer.contains("<identity category='client' type='phone' name='stoxd'/>"), "{answer}");
            let plain = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
            assert!(ask(&request(to, "get", plain)).unwrap().contains("<feature var="));
            let other = ask(&request(to, "get", &query("https://stoxd.example#other"))).unwrap();
            assert!(other.contains("<item-not-found"), "{other}");
        }
    }

    #[test]
    fn check_140_users_are_answered_alike_whoever_and_whatever_they_are() {
        let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        for payload in [
            info,
            "<query xmlns='http://jabber.org/protocol/disco#items'/>",
            "<query xmlns='jabber:iq:version'/>",
            "<ping xmlns='urn:xmpp:ping'/>",
            "<query xmlns='jabber:iq:last'/>",
        ] {
            for to in ["romeo@sip.example", "nobody@sip.example", "romeo@sip.example/x", "sip.example/x"] {
                if payload == info && to == "romeo@sip.example/x" {
                    continue;
                }
                assert_eq!(
                    ask(&request(to, "get", payload)).unwrap(),
                    error(to, Condition::ServiceUnavailable)
                );
            }
        }
    }
}
