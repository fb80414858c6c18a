//! Partners and peers, really dialled: each report as a finding.

use super::{Attempt, Tools, advice, finding, in_order};
use crate::admin::check::{Finding, Outcome};
use crate::admin::checks::skipped;
use crate::ids::{Ids, Owner};
use crate::net::probe::{Fault, Step, sip, xmpp};
use crate::net::srv::Mode;
use crate::xmpp::{Auth, Features, Need, Terms};
use std::rc::Rc;
use std::time::Duration;

/// Makes all attempts; a finding for each, in their order.
pub(super) async fn findings(tools: Rc<Tools>, attempts: Vec<Attempt>, mut ids: Ids) -> Vec<Finding> {
    let works = attempts.into_iter().map(|attempt| {
        let tools = tools.clone();
        let mut ids = Ids::new(ids.octets(), Owner::default());
        async move {
            let Tools { dialer, clock } = &*tools;
            match attempt {
                Attempt::Partner(attempt) => {
                    of_partner(&attempt, &xmpp::probe(dialer, clock, &attempt, &mut ids).await)
                }
                Attempt::Peer(name, attempt) => {
                    of_peer(&name, &sip::probe(dialer, clock, &attempt, &mut ids).await)
                }
                Attempt::Skip(why) => skipped("", &why),
            }
        }
    });
    in_order(works.collect()).await
}

/// What a report on a partner comes to.
pub fn of_partner(attempt: &xmpp::Attempt, report: &xmpp::Report) -> Finding {
    let (ours, domain) = (attempt.pair.local.as_str(), attempt.pair.remote.as_str());
    let mut notes: Vec<String> = report.seen.iter().map(|seen| sight(seen, domain)).collect();
    notes.extend(report.passed.iter().map(|fault| format!("passed over: {fault}")));
    match &report.outcome {
        Ok(auth) => {
            let way = way(attempt, report, Some(*auth));
            let text = format!("xmpp {domain}  {way}  {}", millis(report.took));
            // Proven, but not as well as the certificate promises.
            let doubt = report.seen.as_ref().is_some_and(|seen| matches!(seen.certificate, Some(Err(_))));
            let weak = doubt || *auth == Auth::TcpDialback || !report.passed.is_empty();
            finding("", if weak { Outcome::Warn } else { Outcome::Pass }, text, notes)
        }
        Err(fault) => {
            let outcome = if fault.step == Step::NotTried { Outcome::Skip } else { Outcome::Fail };
            let way = way(attempt, report, None);
            let behind = if way.is_empty() { way } else { format!(" after {way}") };
            let text = format!("xmpp {domain} for {ours}: {}: {fault}{behind}", word(fault.step));
            if report.seen.is_some() {
                notes.push(fit(attempt.terms, report.seen.as_ref().and_then(|seen| seen.features)));
            }
            notes.push(advice::for_partner(fault, ours, domain));
            finding("", outcome, text, notes)
        }
    }
}

/// What a report on a SIP peer comes to.
fn of_peer(name: &str, report: &sip::Report) -> Finding {
    let mut notes: Vec<String> = report
        .seen
        .iter()
        .map(|seen| match seen.names.as_slice() {
            [] => seen.place(),
            names => format!("{}, certificate for {}", seen.place(), names.join(", ")),
        })
        .collect();
    notes.extend(report.passed.iter().map(|fault| format!("passed over: {fault}")));
    match &report.outcome {
        Ok(status) => {
            let transport = report.seen.as_ref().map_or_else(String::new, |seen| match seen.tls {
                Some(version) => format!("TLS {version}→"),
                None => format!("{}→", seen.target.transport.as_str()),
            });
            let text = format!("sip {name}  {transport}OPTIONS {status}  {}", millis(report.took));
            let outcome = if report.passed.is_empty() { Outcome::Pass } else { Outcome::Warn };
            finding("", outcome, text, notes)
        }
        Err(fault) => {
            notes.push(advice::for_peer(fault, name));
            finding("", Outcome::Fail, format!("sip {name}: {}: {fault}", word(fault.step)), notes)
        }
    }
}

/// The way that was gone: "SRV→TCP→STARTTLS 1.3→EXTERNAL".
fn way(attempt: &xmpp::Attempt, report: &xmpp::Report, auth: Option<Auth>) -> String {
    let Some(seen) = &report.seen else { return String::new() };
    let mut steps = vec![if attempt.proxy.is_some() { "proxy" } else { "DNS" }.to_owned(), "TCP".to_owned()];
    if let Some(version) = seen.tls {
        let start = match seen.mode {
            Mode::StartTls => "STARTTLS",
            Mode::DirectTls => "TLS",
        };
        steps.push(format!("{start} {version}"));
    }
    steps.extend(auth.map(|auth| {
        match auth {
            Auth::External => "EXTERNAL",
            Auth::Certificate => "dialback by certificate",
            Auth::TlsDialback => "dialback",
            Auth::TcpDialback => "dialback without TLS",
        }
        .to_owned()
    }));
    steps.join("→")
}

/// What was seen of the server, in a line.
fn sight(seen: &xmpp::Seen, domain: &str) -> String {
    let certificate = match &seen.certificate {
        None => "no TLS".to_owned(),
        Some(Ok(())) => format!("certificate valid for {domain}"),
        Some(Err(why)) => format!("certificate: {why}"),
    };
    let offers = match seen.features {
        None => "nothing offered yet",
        Some(Features { external: true, dialback: true }) => "offers EXTERNAL and dialback",
        Some(Features { external: true, dialback: false }) => "offers EXTERNAL",
        Some(Features { external: false, dialback: true }) => "offers dialback",
        Some(Features { external: false, dialback: false }) => "offers neither EXTERNAL nor dialback",
    };
    format!("{}: {certificate}, {offers}", seen.place())
}

/// What the terms leave open, beside what is offered.
fn fit(terms: Terms, features: Option<Features>) -> String {
    let need = |need| match need {
        Need::Required => "required",
        Need::Optional => "optional",
        Need::NotSupported => "not-supported",
    };
    let ways = terms.ways();
    let mut open = Vec::new();
    for (is_open, word) in [
        (ways.sasl, "EXTERNAL"),
        (ways.tls_dialback, "dialback over TLS"),
        (ways.tcp_dialback, "dialback without TLS"),
    ] {
        open.extend(is_open.then_some(word));
    }
    let unused = match features {
        Some(Features { dialback: true, .. }) if !ways.tls_dialback && !ways.tcp_dialback => {
            "; the partner offers dialback, which they exclude"
        }
        Some(_) | None => "",
    };
    let (tls, sasl) = (need(terms.tls), need(terms.sasl));
    format!("its terms (tls {tls}, sasl {sasl}) leave open: {}{unused}", open.join(", "))
}

/// One word for where it failed.
pub fn word(step: Step) -> &'static str {
    match step {
        Step::Dns => "DNS",
        Step::Connect => "no connection",
        Step::Tls => "TLS",
        Step::Certificate => "certificate",
        Step::Refused => "refused",
        Step::Sasl => "authentication",
        Step::Dialback => "dialback",
        Step::Timeout => "timeout",
        Step::NotTried => "not tried",
    }
}

fn millis(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// A fault without its step, for who says that elsewhere.
pub fn cause(fault: &Fault) -> String {
    format!("{}: {fault}", word(fault.step))
}
