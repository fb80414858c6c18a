//! The answers that a server owes to an iq (RFC 6120 §8.2.3): discovery, ping, version, or an error.
//!
//! The gateway itself speaks for its domains; for its users every query is answered alike, with
//! `service-unavailable`, so that nobody learns who exists (RFC 6120 §13.10.2). Exactly one result or
//! error answers a `get` or `set`, nothing answers a `result` or `error`.
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
    if iq.to.local().is_some() || iq.to.resource().is_some() {
        return Err(Condition::ServiceUnavailable);
    }
    match (query.ns(), query.name()) {
        (ns::DISCO_INFO, "query") => {
            let node = query.attr("node");
            if !node.is_none_or(|node| is_caps_node(node, context)) {
                return Err(Condition::ItemNotFound);
            }
            result(iq, out, |out| disco_info(node, context, out));
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

/// Whether `node` is our caps node with the hash of our features (XEP-0115 §6.2).
fn is_caps_node(node: &str, context: &IqContext<'_>) -> bool {
    node.rsplit_once('#').is_some_and(|(name, ver)| {
        name == context.caps_node && ver == caps_ver(&identities(context), &FEATURES)
    })
}

fn disco_info(node: Option<&str>, context: &IqContext<'_>, out: &mut Vec<u8>) {
    write::open(out, "query").xmlns(ns::DISCO_INFO).attr_opt("node", node).content(|out| {
        for identity in identities(context) {
            write::open(out, "identity")
                .attr("category", identity.category)
                .attr("type", identity.type_)
                .attr("name", identity.name)
                .empty();
        }
        for feature in FEATURES {
            write::open(out, "feature").attr("var", feature).empty();
        }
    });
}
