//! `stoxd streams` and `stoxd links`: every connection, who is behind it and how that was verified; and
//! the ways out that are not there, with why and what to do (RFC 7590 §3.6).

use super::control::duration;
use serde::{Deserialize, Serialize};

/// The answer to `streams`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Streams that are open, either way.
    pub streams: Vec<StreamStatus>,
    /// Ways out to partners that have no stream, but something to say.
    pub partners: Vec<RouteStatus>,
}

/// The answer to `links`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Connections that are open, either way.
    pub links: Vec<LinkStatus>,
    /// Every peer.
    pub peers: Vec<RouteStatus>,
}

/// One XMPP stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// "in" or "out".
    pub direction: String,
    /// The domain pairs: "contoso.example capulet.example".
    pub pairs: Vec<String>,
    /// The same with how each was verified.
    #[serde(default)]
    pub verified: Vec<Verified>,
    /// The far end.
    pub address: String,
    /// "TLS 1.3, SASL EXTERNAL" and the like.
    pub security: String,
    /// What TLS showed.
    #[serde(default)]
    pub tls: Option<TlsStatus>,
    /// Octets that the far end has not taken yet.
    #[serde(default)]
    pub queued: usize,
    /// For how many seconds it is there.
    #[serde(default)]
    pub up: u64,
}

/// A domain pair that was proven on a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Our domain.
    pub local: String,
    /// The partner's.
    pub remote: String,
    /// By what: "SASL EXTERNAL", "dialback over TLS" and the like.
    pub by: String,
}

/// One SIP link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// "in" or "out".
    pub direction: String,
    /// The peer's name in the configuration, or "-".
    pub peer: String,
    /// The far end.
    pub address: String,
    /// "tls", "tcp" or "udp".
    pub transport: String,
    /// How it is known whose it is.
    #[serde(default)]
    pub verified: String,
    /// What TLS showed.
    #[serde(default)]
    pub tls: Option<TlsStatus>,
    /// Octets that the far end has not taken yet.
    #[serde(default)]
    pub queued: usize,
    /// For how many seconds it is there.
    #[serde(default)]
    pub up: u64,
}

/// What TLS showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsStatus {
    /// "1.2" or "1.3".
    pub version: String,
    /// The cipher suite, as IANA names it.
    pub suite: String,
    /// Names in the certificate that the far end presented, believed or not.
    pub names: Vec<String>,
    /// Its SHA-256.
    pub sha256: Option<String>,
    /// When it ends: RFC 3339.
    pub not_after: Option<String>,
}

/// A way out, to a partner or a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// "contoso.example fabrikam.example", or the peer's name.
    pub name: String,
    /// "established", "connecting", "down" or "idle".
    pub state: String,
    /// Items that wait for it.
    pub waiting: usize,
    /// How the last connection ended, or why there was none.
    pub last_end: Option<End>,
    /// What to do about it.
    pub next: Option<String>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why, for people.
    pub why: String,
    /// How many seconds ago.
    pub ago: u64,
    /// It was not an orderly end.
    pub failed: bool,
}

/// The streams as a person reads them.
pub fn streams(all: &Streams) -> String {
    let mut text = String::new();
    for stream in &all.streams {
        let StreamStatus { direction, verified, address, tls, queued, up, .. } = stream;
        text.push_str(&format!("{direction:<3}  {address}  up {}, {queued} octets wait\n", duration(*up)));
        if verified.is_empty() {
            text.push_str("     not authenticated\n");
        }
        for Verified { local, remote, by } in verified {
            text.push_str(&format!("     {remote} for {local}, verified by {by}\n"));
        }
        text.push_str(&encryption(tls.as_ref()));
    }
    for partner in &all.partners {
        text.push_str(&format!("out  {}", route(partner).trim_start()));
    }
    if text.is_empty() { "none\n".to_owned() } else { text }
}

/// The links as a person reads them.
pub fn links(all: &Links) -> String {
    let mut text = String::new();
    for link in &all.links {
        let LinkStatus { direction, peer, address, transport, verified, tls, queued, up } = link;
        text.push_str(&format!(
            "{direction:<3}  {peer}  {address}  {transport}  up {}, {queued} octets wait\n     {verified}\n",
            duration(*up)
        ));
        text.push_str(&encryption(tls.as_ref()));
    }
    if !all.peers.is_empty() {
        text.push_str("PEERS\n");
        text.extend(all.peers.iter().map(route));
    }
    if text.is_empty() { "none\n".to_owned() } else { text }
}

fn encryption(tls: Option<&TlsStatus>) -> String {
    let Some(TlsStatus { version, suite, names, sha256, not_after }) = tls else {
        return "     not encrypted\n".to_owned();
    };
    let mut text = format!("     TLS {version}, {suite}\n");
    match sha256 {
        Some(sha256) => text.push_str(&format!(
            "     certificate of {}, until {}, sha256 {sha256}\n",
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") },
            not_after.as_deref().unwrap_or("an unknown time"),
        )),
        None => text.push_str("     no certificate\n"),
    }
    text
}

/// A way out: a line, or more where there is something to say.
pub(super) fn route(route: &RouteStatus) -> String {
    let RouteStatus { name, state, waiting, last_end, next } = route;
    let mut text = format!("  {name}  {state}");
    if *waiting > 0 {
        text.push_str(&format!(", {waiting} {}", if *waiting == 1 { "waits" } else { "wait" }));
    }
    text.push('\n');
    if let Some(End { why, ago, failed }) = last_end {
        let what = if *failed { "failed" } else { "ended" };
        text.push_str(&format!("     {what} {} ago: {why}\n", duration(*ago)));
    }
    if let Some(next) = next {
        text.push_str(&format!("     next: {next}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> TlsStatus {
        TlsStatus {
            version: "1.3".into(),
            suite: "TLS_AES_256_GCM_SHA384".into(),
            names: vec!["fabrikam.example".into()],
            sha256: Some("ab12".into()),
            not_after: Some("2027-01-02T00:00:00Z".into()),
        }
    }

    #[test]
    fn a_stream_says_who_is_there_how_that_was_verified_and_how_it_is_encrypted() {
        let all = Streams {
            streams: vec![StreamStatus {
                direction: "in".into(),
                verified: vec![Verified {
                    local: "contoso.example".into(),
                    remote: "fabrikam.example".into(),
                    by: "SASL EXTERNAL".into(),
                }],
                address: "192.0.2.1:40000".into(),
                tls: Some(seen()),
                queued: 7,
                up: 90,
                ..StreamStatus::default()
            }],
            partners: vec![RouteStatus {
                name: "contoso.example tailspin.example".into(),
                state: "down".into(),
                waiting: 2,
                last_end: Some(End { why: "no such name".into(), ago: 5, failed: true }),
                next: Some("look".into()),
            }],
        };
        assert_eq!(
            streams(&all),
            "in   192.0.2.1:40000  up 1 min, 7 octets wait\n     fabrikam.example for contoso.example, verified \
             by SASL EXTERNAL\n     TLS 1.3, TLS_AES_256_GCM_SHA384\n     certificate of fabrikam.example, until \
             2027-01-02T00:00:00Z, sha256 ab12\nout  contoso.example tailspin.example  down, 2 wait\n     failed 5 s \
             ago: no such name\n     next: look\n"
        );
        assert_eq!(streams(&Streams::default()), "none\n");
    }

    #[test]
    fn a_link_without_tls_says_so_and_a_peer_without_a_link_is_there() {
        let all = Links {
            links: vec![LinkStatus {
                direction: "out".into(),
                peer: "edge".into(),
                address: "192.0.2.2:5060".into(),
                transport: "tcp".into(),
                verified: "by its address".into(),
                ..LinkStatus::default()
            }],
            peers: vec![RouteStatus { name: "edge".into(), state: "idle".into(), ..RouteStatus::default() }],
        };
        assert_eq!(
            links(&all),
            "out  edge  192.0.2.2:5060  tcp  up 0 s, 0 octets wait\n     by its address\n     not encrypted\nPEERS\n  \
             edge  idle\n"
        );
        assert_eq!(links(&Links::default()), "none\n");
    }
}
