//! What to do about a failure: one place, so that a check, a test and the daemon say the same.

use crate::net::probe::{Fault, Step};

/// What to do about a partner, `domain`, that could not be reached from `ours`.
pub fn for_partner(fault: &Fault, ours: &str, domain: &str) -> String {
    match fault.step {
        Step::Dns => format!(
            "fix: ask {domain} for its SRV record _xmpp-server._tcp.{domain}, or name its server: \
             stoxd partner set {domain} --proxy-fqdn HOST"
        ),
        Step::Connect => format!(
            "fix: see that nothing between here and {domain}'s server keeps port 5269 shut, and that it runs"
        ),
        Step::Tls => format!(
            "fix: {domain}'s server and [tls] min_version must have a TLS version in common; if it has no TLS at \
             all: stoxd partner set {domain} --tls optional"
        ),
        Step::Certificate => format!(
            "fix: {domain} needs a certificate for its name from an authority in [tls] trust; until then: stoxd \
             partner set {domain} --sasl optional"
        ),
        Step::Sasl => format!(
            "fix: our certificate must be for {ours}, fit for TLS clients and from an authority that {domain} \
             trusts (stoxd check certs); or let dialback do: stoxd partner set {domain} --sasl optional"
        ),
        Step::Dialback => format!(
            "fix: {domain} asks our server about the key: the daemon must run, and _xmpp-server._tcp.{ours} must \
             lead to it (stoxd check dns)"
        ),
        Step::Refused => format!("fix: ask {domain} whether it federates with {ours}"),
        Step::Timeout => format!(
            "fix: something between here and {domain}'s server swallows what is sent, or it hangs; see its log"
        ),
        Step::NotTried => "fix: run this as the daemon's user, or as root".to_owned(),
    }
}

/// What to do about the SIP peer `name`.
pub fn for_peer(fault: &Fault, name: &str) -> String {
    match fault.step {
        Step::Dns => format!("fix: give [[sip.peer]] {name} a route, or its domain SRV records (RFC 3263)"),
        Step::Connect => format!(
            "fix: see that {name} runs, that the route's port and transport are right, and that no firewall is \
             between"
        ),
        Step::Tls => {
            format!("fix: {name} must speak TLS at that port, and take our certificate (stoxd check certs)")
        }
        Step::Certificate => format!(
            "fix: identity of [[sip.peer]] {name} must name what stands in its certificate, and its authority must \
             be in [tls] trust"
        ),
        Step::Refused | Step::Sasl | Step::Dialback => {
            format!("fix: see why {name} closes: does it know our certificate or address as a trusted peer?")
        }
        Step::Timeout => {
            format!("fix: see that {name} takes requests from this machine; over UDP nothing else says so")
        }
        Step::NotTried => "fix: run this as the daemon's user, or as root".to_owned(),
    }
}
