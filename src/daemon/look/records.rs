//! SRV records: those that lead partners to us, with the zone lines that mend them; those that lead us to
//! partners (RFC 6120 §3.2, XEP-0368) and to SIP peers (RFC 3263).

use super::{Whom, at, finding, in_order, ports};
use crate::addr::Domain;
use crate::admin::check::{Finding, Outcome};
use crate::config::Config;
use crate::config::settings::Srv as Service;
use crate::ids::{Ids, Owner};
use crate::net::dialer::{ENABLED, PeerNet, locate_sip, shown};
use crate::net::dns::{Answer, Dns, DnsFault};
use crate::net::srv::{Mode, Srv};
use crate::net::xmpp_locate::{self, LocateError, Proxy, XmppTarget};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long finding one server may take.
const LOCATE_TIMEOUT: Duration = Duration::from_secs(8);
/// Where partners and Lync's servers look by default.
const XMPP_PORT: u16 = 5269;
const FEDERATION_PORT: u16 = 5061;
/// Targets that a line names.
const SHOWN: usize = 4;

type Row = Pin<Box<dyn Future<Output = Finding>>>;

/// All records of `whom`, each set a finding.
pub(super) async fn findings(
    config: &Config,
    dns: &Arc<Dns>,
    peers: &[PeerNet],
    whom: &Whom,
    ids: &mut Ids,
) -> Vec<Finding> {
    let mut rows: Vec<Row> = Vec::new();
    if whom.is_everybody() {
        let wanted = Want { host: config.gateway.name.to_ascii().into(), ports: ports(&config.xmpp.listen) };
        for served in &config.domains {
            rows.push(Box::pin(ours(dns.clone(), served.name.clone(), wanted.clone())));
        }
        for peer in config.sip.peers.iter().filter(|peer| peer.srv == Service::Federation) {
            for domain in &peer.domains {
                rows.push(Box::pin(federation(dns.clone(), domain.clone(), peer.identity.clone())));
            }
        }
    }
    for (partner, domain) in whom.partners(config) {
        let proxy = partner.proxy.as_ref().map(|p| Proxy { host: p.host.to_ascii().into(), port: p.port });
        let ids = Ids::new(ids.octets(), Owner::default());
        rows.push(Box::pin(of_partner(dns.clone(), domain.clone(), proxy, ids)));
    }
    for (place, name, _) in whom.peers(config) {
        let Some(peer) = peers.get(place).cloned() else { continue };
        let ids = Ids::new(ids.octets(), Owner::default());
        rows.push(Box::pin(of_peer(dns.clone(), name, peer, ids)));
    }
    in_order(rows).await
}

/// Where our record should lead.
#[derive(Clone, Debug)]
struct Want {
    host: Box<str>,
    ports: Vec<u16>,
}

impl Want {
    fn port(&self) -> u16 {
        if self.ports.contains(&XMPP_PORT) {
            XMPP_PORT
        } else {
            self.ports.first().copied().unwrap_or(XMPP_PORT)
        }
    }
}

type Found = Result<Answer<Srv>, DnsFault>;

/// The records of one of our domains that partners look for.
async fn ours(dns: Arc<Dns>, domain: Domain, want: Want) -> Finding {
    let name = domain.to_ascii().into_owned();
    let (service, direct) = (format!("_xmpp-server._tcp.{name}"), format!("_xmpps-server._tcp.{name}"));
    let (starttls, direct, host) =
        tokio::join!(dns.srv(&service), dns.srv(&direct), dns.addresses(&want.host));
    let mut row = judge(&name, &want, &starttls, &direct);
    if let Err(fault) = host {
        row.outcome = Outcome::Fail;
        row.notes.push(format!("{}: {fault}; the record's target needs an address of ours", want.host));
        row.notes.push(format!("fix: {}. 3600 IN A ADDRESS-OF-THIS-GATEWAY", want.host));
    }
    signed(&dns, &mut row, starttls.as_ref().or(direct.as_ref()).ok().map(|answer| answer.secure));
    row
}

/// What is said of the records that were found for our domain `name`.
fn judge(name: &str, want: &Want, starttls: &Found, direct: &Found) -> Finding {
    let zone = |port| format!("fix: _xmpp-server._tcp.{name}. 3600 IN SRV 0 0 {port} {}.", want.host);
    let fail = |text: String| finding("", Outcome::Fail, text, vec![zone(want.port())]);
    let mut records: Vec<(&str, &Srv)> = Vec::new();
    for (service, found) in [("_xmpp-server._tcp", starttls), ("_xmpps-server._tcp", direct)] {
        records.extend(found.iter().flat_map(|answer| &answer.records).map(|record| (service, record)));
    }
    let wanted = at(&want.host, want.port());
    if records.is_empty() {
        return match (starttls, direct) {
            // Nobody knows what partners see.
            (Err(fault), _) | (_, Err(fault)) if !fault.is_absent() => {
                let text = format!("{name}: _xmpp-server._tcp SRV: {fault}");
                finding("", Outcome::Fail, text, vec!["fix: see that [dns] servers answer".to_owned()])
            }
            _ => fail(format!("{name}: no _xmpp-server._tcp SRV record; want {wanted}")),
        };
    }
    let text = |records: &[(&str, &Srv)]| {
        let shown = records.iter().take(SHOWN);
        let all: Vec<String> = shown
            .map(|(service, record)| format!("{service} SRV → {}", at(host_of(record), record.port)))
            .collect();
        all.join(", ")
    };
    let (to_us, elsewhere): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|(_, record)| record.target.eq_ignore_ascii_case(&want.host));
    let (listening, deaf): (Vec<_>, Vec<_>) =
        to_us.iter().copied().partition(|(_, record)| want.ports.contains(&record.port));
    if to_us.is_empty() {
        return fail(format!("{name}: {}; want {}", text(&elsewhere), want.host));
    }
    if listening.is_empty() {
        // There may be something in front that forwards the port.
        let ports: Vec<String> = want.ports.iter().map(u16::to_string).collect();
        let text = format!("{name}: {}; we listen on port {}", text(&deaf), ports.join(", "));
        return finding("", Outcome::Warn, text, vec![zone(want.port())]);
    }
    if !elsewhere.is_empty() || !deaf.is_empty() {
        let others: Vec<_> = elsewhere.iter().chain(&deaf).copied().collect();
        let text = format!("{name}: {}; also {}", text(&listening), text(&others));
        let note = "partners may go to the others, which are not this gateway".to_owned();
        return finding("", Outcome::Warn, text, vec![note]);
    }
    finding("", Outcome::Pass, format!("{name}: {}", text(&listening)), Vec::new())
}

fn host_of(record: &Srv) -> &str {
    if record.target.is_empty() { "." } else { &record.target }
}

/// The record by which a Lync server's domain is found.
async fn federation(dns: Arc<Dns>, domain: Domain, identity: Vec<Domain>) -> Finding {
    let name = domain.to_ascii().into_owned();
    let found = dns.srv(&format!("_sipfederationtls._tcp.{name}")).await;
    let secure = found.as_ref().ok().map(|answer| answer.secure);
    let mut row = judge_federation(&name, &identity, &found);
    signed(&dns, &mut row, secure);
    row
}

fn judge_federation(name: &str, identity: &[Domain], found: &Found) -> Finding {
    let host = identity.first().map_or_else(|| "HOST".to_owned(), |host| host.to_ascii().into_owned());
    let zone = format!("fix: _sipfederationtls._tcp.{name}. 3600 IN SRV 0 0 {FEDERATION_PORT} {host}.");
    match found {
        Err(fault) if fault.is_absent() => {
            let text =
                format!("{name}: no _sipfederationtls._tcp SRV record; want {}", at(&host, FEDERATION_PORT));
            finding("", Outcome::Fail, text, vec![zone])
        }
        Err(fault) => {
            let text = format!("{name}: _sipfederationtls._tcp SRV: {fault}");
            finding("", Outcome::Fail, text, vec!["fix: see that [dns] servers answer".to_owned()])
        }
        Ok(answer) => {
            let targets: Vec<String> =
                answer.records.iter().take(SHOWN).map(|srv| at(host_of(srv), srv.port)).collect();
            let text = format!("{name}: _sipfederationtls._tcp SRV → {}", targets.join(", "));
            let is_known =
                |srv: &Srv| identity.iter().any(|host| host.to_ascii().eq_ignore_ascii_case(&srv.target));
            if answer.records.iter().all(is_known) {
                return finding("", Outcome::Pass, text, Vec::new());
            }
            let note = "its target is no identity of the peer, so its certificate has to name one that is";
            finding("", Outcome::Warn, text, vec![note.to_owned()])
        }
    }
}

/// Where a partner's servers are.
async fn of_partner(dns: Arc<Dns>, domain: Domain, proxy: Option<Proxy>, mut ids: Ids) -> Finding {
    let located = xmpp_locate::locate(&dns, &domain, proxy.as_ref(), LOCATE_TIMEOUT, &mut ids).await;
    let mut row = judge_partner(&domain, proxy.as_ref(), &located);
    if proxy.is_none() && dns.settings().dnssec {
        let srv = dns.srv(&format!("_xmpp-server._tcp.{}", domain.to_ascii())).await;
        signed(&dns, &mut row, srv.ok().map(|answer| answer.secure));
    }
    row
}

fn judge_partner(
    domain: &Domain,
    proxy: Option<&Proxy>,
    located: &Result<Vec<XmppTarget>, LocateError>,
) -> Finding {
    match located {
        Ok(targets) => {
            let how = |mode| match mode {
                Mode::StartTls => "",
                Mode::DirectTls => " direct TLS",
            };
            let shown: Vec<String> = targets
                .iter()
                .take(SHOWN)
                .map(|target| format!("{} {}{}", target.host, shown(target.addr), how(target.mode)))
                .collect();
            let by = if proxy.is_some() { " by proxy_fqdn" } else { "" };
            finding("", Outcome::Pass, format!("xmpp {domain}{by} → {}", shown.join(", ")), Vec::new())
        }
        Err(error) => {
            let fix = match error {
                LocateError::NotPublic(_) => {
                    "fix: if the partner is really there: [dns] private_addresses = true".to_owned()
                }
                LocateError::Dns { .. } => {
                    "fix: see that [dns] servers answer, and that the partner's do".to_owned()
                }
                LocateError::NotFound | LocateError::NotOffered | LocateError::Unusable(_) => format!(
                    "fix: ask {domain} for its record _xmpp-server._tcp.{domain}, or name its server: stoxd partner \
                     set {domain} --proxy-fqdn HOST"
                ),
            };
            finding("", Outcome::Fail, format!("xmpp {domain}: {error}"), vec![fix])
        }
    }
}

/// Where a SIP peer's servers are.
async fn of_peer(dns: Arc<Dns>, name: String, peer: PeerNet, mut ids: Ids) -> Finding {
    let by = match (peer.is_static, peer.host.to_ascii().parse::<IpAddr>().is_ok()) {
        (true, true) => {
            let text = format!("sip {name}: the route is an address, DNS is not asked");
            return finding("", Outcome::Pass, text, Vec::new());
        }
        (true, false) => " by its route",
        (false, _) => "",
    };
    match locate_sip(&dns, &peer, ENABLED, &mut ids).await {
        Ok(targets) => {
            let shown: Vec<String> = targets
                .iter()
                .take(SHOWN)
                .map(|t| format!("{} {} {}", t.transport.as_str().to_lowercase(), t.host, shown(t.address)))
                .collect();
            finding("", Outcome::Pass, format!("sip {name}{by} → {}", shown.join(", ")), Vec::new())
        }
        Err(why) => {
            let fix = format!(
                "fix: give [[sip.peer]] {name} a route that has an address, or {} SRV records",
                peer.host
            );
            finding("", Outcome::Fail, format!("sip {name}{by}: {why}"), vec![fix])
        }
    }
}

/// Says whether DNSSEC vouches for what was found, where that is asked for.
fn signed(dns: &Dns, row: &mut Finding, secure: Option<bool>) {
    match secure.filter(|_| dns.settings().dnssec) {
        Some(true) => row.text.push_str(", signed (DNSSEC)"),
        Some(false) => row.text.push_str(", not signed (DNSSEC)"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn srv(host: &str, port: u16) -> Srv {
        Srv { priority: 0, weight: 0, port, target: host.into() }
    }

    fn found(records: &[(&str, u16)]) -> Found {
        if records.is_empty() {
            return Err(DnsFault::NoSuchName);
        }
        let records = records.iter().map(|(host, port)| srv(host, *port)).collect();
        Ok(Answer { records, secure: false, ttl: Duration::ZERO })
    }

    fn judged(starttls: &Found, direct: &Found) -> Finding {
        let want = Want { host: "gw.contoso.example".into(), ports: vec![5269] };
        judge("contoso.example", &want, starttls, direct)
    }

    #[test]
    fn walk_11_a_record_that_leads_elsewhere_is_told_with_the_zone_line_that_mends_it() {
        let row = judged(&found(&[("old-edge.contoso.example", 5269)]), &found(&[]));
        assert_eq!(row.outcome, Outcome::Fail);
        assert_eq!(
            row.text,
            "contoso.example: _xmpp-server._tcp SRV → old-edge.contoso.example:5269; want gw.contoso.example"
        );
        let zone = "fix: _xmpp-server._tcp.contoso.example. 3600 IN SRV 0 0 5269 gw.contoso.example.";
        assert_eq!(row.notes, [zone]);
        let none = judged(&found(&[]), &found(&[]));
        assert_eq!((none.outcome, none.notes), (Outcome::Fail, vec![zone.to_owned()]));
    }

    #[test]
    fn walk_11_a_record_that_leads_to_us_passes_by_either_service() {
        let to_us = || found(&[("GW.contoso.example", 5269)]);
        assert_eq!(judged(&to_us(), &found(&[])).outcome, Outcome::Pass);
        assert_eq!(judged(&found(&[]), &to_us()).outcome, Outcome::Pass);
        assert_eq!(judged(&to_us(), &to_us()).outcome, Outcome::Pass);
    }

    #[test]
    fn walk_11_what_is_only_half_right_is_a_warning() {
        let two = found(&[("gw.contoso.example", 5269), ("old.contoso.example", 5269)]);
        assert_eq!(judged(&two, &found(&[])).outcome, Outcome::Warn);
        let port = judged(&found(&[("gw.contoso.example", 5270)]), &found(&[]));
        assert_eq!(port.outcome, Outcome::Warn);
        assert!(port.text.contains("we listen on port 5269"), "{}", port.text);
    }

    #[test]
    fn walk_11_a_question_that_nobody_answered_is_not_an_absent_record() {
        let row = judged(&Err(DnsFault::Timeout), &found(&[]));
        assert_eq!(row.outcome, Outcome::Fail);
        assert!(row.text.ends_with("no answer in time"), "{}", row.text);
        assert!(row.notes.iter().all(|note| !note.contains("IN SRV")), "{:?}", row.notes);
    }

    #[test]
    fn walk_11_the_record_of_a_lync_domain_is_compared_with_the_peers_identity() {
        let edge = [Domain::parse("edge.contoso.example").unwrap()];
        let row = judge_federation("contoso.example", &edge, &found(&[]));
        let zone = "fix: _sipfederationtls._tcp.contoso.example. 3600 IN SRV 0 0 5061 edge.contoso.example.";
        assert_eq!((row.outcome, row.notes), (Outcome::Fail, vec![zone.to_owned()]));
        let row = judge_federation("contoso.example", &edge, &found(&[("edge.contoso.example", 5061)]));
        assert_eq!(row.outcome, Outcome::Pass);
        let row = judge_federation("contoso.example", &edge, &found(&[("other.contoso.example", 5061)]));
        assert_eq!(row.outcome, Outcome::Warn);
    }
}
