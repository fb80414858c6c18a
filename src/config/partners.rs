//! `[[partner]]` and `[[blocked]]`.

use super::daemon::ONE_STREAM;
use super::read::{At, Section};
use super::{fqdn, host_name};
use crate::addr::{Domain, Jid};
use crate::policy::{
    self, Block, BlockedRow, Need, Partner, PartnerKind, Proxy, Strength, TableBuilder, Terms, written,
};
use std::ops::Range;

const DEFAULT_XMPP_PORT: u64 = 5269;

/// `[[partner]]`.
pub(super) fn partners(root: &mut Section<'_>, builder: &mut TableBuilder, ours: &[Domain]) {
    for mut section in root.sections("partner", "[[partner]]") {
        let domain = section.required("domain", fqdn);
        let additional = section.list("additional_domains", fqdn).unwrap_or_default();
        let description = section.parsed("description", |text| Ok(text.to_owned()));
        let kinds = [
            ("federated", PartnerKind::Federated),
            ("public-verified", PartnerKind::PublicVerified),
            ("public-unverified", PartnerKind::PublicUnverified),
        ];
        let kind = section.choice("type", &kinds).map_or(PartnerKind::default(), |(kind, _)| kind);
        let terms = terms(&mut section);
        let limit = section.number("connection_limit", 1..=1_000_000);
        if limit == Some(1) {
            section.warn(&section.span_of("connection_limit"), "one stream for this partner", ONE_STREAM);
        }
        let keepalive = section.flag("keepalive", true);
        let proxy = section.parsed("proxy_fqdn", |text| Domain::parse(text).map_err(|e| e.to_string()));
        let port = section.number("proxy_port", 1..=65535);
        if port.is_some() && !section.has("proxy_fqdn") {
            let label = "add \"proxy_fqdn\"";
            section.error(&section.span_of("proxy_port"), "\"proxy_port\" without a proxy", label);
        }
        for (domain, span) in domain.iter().chain(&additional) {
            if ours.contains(domain) {
                let label = "what is served on one side is never dialled on the other";
                section.error(span, format!("\"{domain}\" is a [[domain]] of ours"), label);
            }
        }
        if let Some((domain, span)) = domain {
            let spans: Vec<At<Domain>> =
                std::iter::once((domain.clone(), span)).chain(additional.iter().cloned()).collect();
            let port = u16::try_from(port.unwrap_or(DEFAULT_XMPP_PORT)).unwrap_or_default();
            let partner = Partner {
                additional: additional.into_iter().map(|(domain, _)| domain).collect(),
                description: description.map(|(text, _)| text).unwrap_or_default(),
                kind,
                terms,
                connection_limit: limit.and_then(|limit| u32::try_from(limit).ok()),
                keepalive,
                proxy: proxy.map(|(host, _)| Proxy { host, port }),
                ..Partner::new(domain, policy::At::policy(section.line()))
            };
            for (domain, at) in builder.partner(partner).err().unwrap_or_default() {
                // Of a domain that stands twice in one entry, the second is wrong.
                let span = spans.iter().rev().find(|(known, _)| *known == domain).map(|(_, span)| span);
                let label = format!("the partner in line {} has it", at.line);
                let message = format!("\"{domain}\" is listed twice");
                section.error(span.unwrap_or(&section.span), message, label);
            }
        }
        section.done();
    }
}

/// `tls`, `sasl` and `dialback`, judged as one.
fn terms(section: &mut Section<'_>) -> Terms {
    let needs =
        [("required", Need::Required), ("optional", Need::Optional), ("not-supported", Need::NotSupported)];
    let written = ["tls", "sasl", "dialback"].map(|key| section.has(key));
    let tls = section.choice("tls", &needs).map_or(Need::default(), |(need, _)| need);
    let sasl = section.choice("sasl", &needs).map_or(Need::default(), |(need, _)| need);
    let dialback = section.flag("dialback", true);
    let terms = Terms { tls, sasl, dialback };
    let [tls_written, sasl_written, dialback_written] = written;
    let row = || {
        let value = |need: Need, written| format!("\"{}\"{}", need.as_str(), by_default(written));
        format!(
            "tls = {}, sasl = {}, dialback = {dialback}{}",
            value(tls, tls_written),
            value(sasl, sasl_written),
            by_default(dialback_written),
        )
    };
    match terms.strength() {
        Strength::Strong => {}
        Strength::Weak(reason) => {
            // The defaults alone are no reason to warn: dialback on is one of them.
            if terms.row() != 1 || dialback_written {
                let key = if terms.row() == 1 { "dialback" } else { "tls" };
                section.warn(&section.span_of(key), format!("weak negotiation: {reason}"), row());
            }
        }
        Strength::Invalid(reason) => {
            let key = match (sasl == Need::NotSupported, sasl_written) {
                (true, _) if dialback_written => "dialback",
                (false, false) => "tls",
                (_, true) => "sasl",
                (true, false) => "tls",
            };
            section.error(&section.span_of(key), format!("invalid negotiation: {reason}"), row());
        }
    }
    terms
}

fn by_default(written: bool) -> &'static str {
    if written { "" } else { " (default)" }
}

/// `[[blocked]]`.
pub(super) fn blocked(root: &mut Section<'_>, builder: &mut TableBuilder, ours: &[Domain]) {
    for mut section in root.sections("blocked", "[[blocked]]") {
        let domain = section.parsed("domain", block_of);
        let address = section.parsed("address", |text| written::xmpp(text).map_err(|e| e.to_string()));
        let description = section.parsed("description", |text| Ok(text.to_owned()));
        match (section.has("domain"), section.has("address")) {
            (true, true) | (false, false) => {
                let label = "one of the two";
                section.error(&section.span, "[[blocked]] needs a \"domain\" or an \"address\"", label);
            }
            (true, false) | (false, true) => {}
        }
        if let Some((block, span)) = domain.or_else(|| address.map(|(jid, span)| (Block::Address(jid), span)))
        {
            conflicts(&section, &block, &span, builder, ours);
            let description = description.map(|(text, _)| text).unwrap_or_default();
            let row = BlockedRow { block, description, at: policy::At::policy(section.line()) };
            if let Err(first) = builder.block(row) {
                section.error(&span, "blocked twice", format!("first in line {}", first.line));
            }
        }
        section.done();
    }
}

fn block_of(text: &str) -> Result<Block, String> {
    match text.strip_prefix("*.") {
        Some(rest) if !rest.contains('*') => host_name(rest).map(Block::Under),
        Some(_) => Err("a star stands only in front: *.evil.example".into()),
        None => fqdn(text).map(Block::Domain),
    }
}

/// What a block has against it: a partner entry for the same, or a domain of ours.
fn conflicts(
    section: &Section<'_>,
    block: &Block,
    span: &Range<usize>,
    builder: &TableBuilder,
    ours: &[Domain],
) {
    let is_ours = |domain: &str| ours.iter().any(|served| served.as_str() == domain);
    match block {
        Block::Domain(domain) => {
            if let Some(at) = builder.partner_at(domain.as_str()) {
                let label = format!("the partner in line {} has it", at.line);
                section.error(span, format!("\"{domain}\" is blocked and a partner"), label);
            }
            if is_ours(domain.as_str()) {
                section.error(span, format!("\"{domain}\" is a [[domain]] of ours"), "");
            }
        }
        Block::Under(parent) => {
            for listed in builder.listed_under(parent.as_str()) {
                let message = format!("\"{listed}\" stays a partner");
                section.warn(span, message, "its entry is more specific than this one");
            }
        }
        Block::Address(jid) => block_of_person(section, jid, span, builder, is_ours(jid.domain())),
    }
}

fn block_of_person(
    section: &Section<'_>,
    jid: &Jid,
    span: &Range<usize>,
    builder: &TableBuilder,
    is_ours: bool,
) {
    if is_ours {
        let label = "grant a policy that is off instead";
        section.error(span, format!("\"{}\" is a user of ours", jid.bare_str()), label);
    } else if builder.partner_at(jid.domain()).is_none() {
        let message = format!("\"{}\" is no partner", jid.domain());
        section.warn(span, message, "nothing of it crosses anyway");
    }
}
