//! `[selftest]`: whom `stoxd test` takes when nobody is named, and how often the daemon tests by itself.
//! And what keeps a start from succeeding that one section alone does not show.

use super::read::Section;
use super::settings::{SelfTest, Sip, Transport, Xmpp};
use crate::policy::written;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// `[selftest]`; `None` if nothing is in it.
pub(super) fn selftest(root: &mut Section<'_>, serves: impl Fn(&str) -> bool) -> Option<SelfTest> {
    let mut section = root.section("selftest", "[selftest]");
    // A table with all its keys left out is a comment.
    if ["from", "to", "every"].iter().all(|key| !section.has(key)) {
        section.done();
        return None;
    }
    let address =
        |text: &str| written::person(text).map(|_| text.to_owned()).map_err(|error| error.to_string());
    let from = section.required("from", address);
    let to = section.required("to", address);
    let every = section.has("every").then(|| section.duration("every", SECOND * 5..=WEEK, WEEK));
    let test = match (from, to) {
        (Some((from, _)), Some((to, span))) => {
            if let Err((_, error)) = written::Pair::parse(&from, &to, serves) {
                section.error(&span, "\"from\" and \"to\" are no pair to be tested", error.to_string());
            }
            Some(SelfTest { from, to, every })
        }
        (_, _) => None,
    };
    section.done();
    test
}

/// Octets that the path of a Unix socket may have: `sun_path` without its NUL (unix(7)).
pub(super) const SOCKET_PATH: usize = 107;

/// Reports TCP addresses that two listeners want, where each is right in its own section: the second
/// would be refused at the start.
pub(super) fn one_listener_each(root: &Section<'_>, xmpp: &Xmpp, sip: &Sip) {
    let has = |transport, addr| sip.listen.iter().any(|one| one.transport == transport && one.addr == addr);
    for listen in sip.listen.iter().filter(|listen| listen.addr.port() != 0) {
        let addr = listen.addr;
        // RFC 3261 §18.2.1: who listens on UDP listens on TCP at the same port.
        let is_implied = listen.transport == Transport::Udp;
        if is_implied && has(Transport::Tcp, addr) {
            continue;
        }
        let label = match (xmpp.listen.contains(&addr), is_implied && has(Transport::Tls, addr)) {
            (true, _) => "[xmpp] listen has it too",
            (false, true) => "udp has tcp at the same port (RFC 3261 §18.2.1), and that is taken by tls",
            (false, false) => continue,
        };
        root.error(&root.span_of("sip"), format!("two tcp listeners for {addr}"), label);
    }
}
