//! From an XMPP domain to the addresses to dial, in order (RFC 6120 §3.2, XEP-0368).

use super::dns::{Dns, DnsFault};
use super::srv::{self, Mode, Plan, SrvAnswer, Target};
use crate::addr::Domain;
use crate::ids::Ids;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Addresses of one domain that are tried.
const MAX_DIALS: usize = 32;

/// One address to dial. The certificate is judged, and SNI set, by the domain; `host` is for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmppTarget {
    /// Where.
    pub addr: SocketAddr,
    /// How TLS starts there.
    pub mode: Mode,
    /// The host that the address is of.
    pub host: Box<str>,
}

/// Where the operator says that a partner is, whatever the DNS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// A host name in A-labels, or an address.
    pub host: Box<str>,
    /// The port; 5269 if not set otherwise.
    pub port: u16,
}

/// Why there is nothing to dial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The domain has no SRV records and no addresses.
    #[error("no SRV records and no addresses")]
    NotFound,
    /// The domain's SRV target is `.`.
    #[error("the domain says that it has no XMPP service (SRV target \".\")")]
    NotOffered,
    /// There are SRV records, but no target has an address.
    #[error("SRV records without a usable target: {0}")]
    Unusable(String),
    /// All addresses are private or our own.
    #[error("address {0} is private or our own, and [dns] private_addresses is false")]
    NotPublic(IpAddr),
    /// The DNS did not answer, or not well.
    #[error("DNS for {name}: {fault}")]
    Dns {
        /// The name that was asked.
        name: String,
        /// What came.
        fault: DnsFault,
    },
}

/// Finds where to dial `domain`, by `proxy` if there is one. Never empty, at most 32 addresses. What
/// is known at `deadline` is what counts.
///
/// # Errors
/// See [`LocateError`].
pub async fn locate(
    dns: &Dns,
    domain: &Domain,
    proxy: Option<&Proxy>,
    deadline: Duration,
    ids: &mut Ids,
) -> Result<Vec<XmppTarget>, LocateError> {
    let until = Instant::now() + deadline;
    if let Some(proxy) = proxy {
        let target = Target { mode: Mode::StartTls, host: proxy.host.clone(), port: proxy.port };
        // The operator wrote it down: it may be private.
        return resolve(dns, vec![target], until, |_| true, LocateError::NotFound).await;
    }
    let name = domain.to_ascii();
    let own = || vec![Target { mode: Mode::StartTls, host: name.as_ref().into(), port: srv::DEFAULT_PORT }];
    let public = |ip| dns.may_dial(ip);
    if domain.is_ip() {
        return resolve(dns, own(), until, public, LocateError::NotFound).await;
    }
    let (direct_name, starttls_name) =
        (format!("_xmpps-server._tcp.{name}"), format!("_xmpp-server._tcp.{name}"));
    let (direct, starttls) =
        tokio::join!(timeout_at(until, dns.srv(&direct_name)), timeout_at(until, dns.srv(&starttls_name)));
    let mut failure = None;
    let mut answer =
        |name: String, found: Result<Result<super::dns::Answer<srv::Srv>, DnsFault>, _>| match found
            .unwrap_or(Err(DnsFault::Timeout))
        {
            Ok(answer) => SrvAnswer::Records(answer.records),
            Err(fault) if fault.is_absent() => SrvAnswer::Absent,
            Err(fault) => {
                failure = Some((name, fault));
                SrvAnswer::Failed
            }
        };
    let (direct, starttls) = (answer(direct_name, direct), answer(starttls_name, starttls));
    match srv::plan(direct, starttls, ids) {
        Plan::Dial(targets) => {
            let hosts: Vec<&str> = targets.iter().take(3).map(|target| &*target.host).collect();
            let nowhere = LocateError::Unusable(hosts.join(", "));
            resolve(dns, targets, until, public, nowhere).await
        }
        Plan::Fallback => resolve(dns, own(), until, public, LocateError::NotFound).await,
        Plan::NotOffered => Err(LocateError::NotOffered),
        Plan::Unusable => Err(LocateError::Unusable("port 0".to_owned())),
        Plan::Unknown => {
            let (name, fault) = failure.unwrap_or_else(|| (name.into_owned(), DnsFault::Timeout));
            Err(LocateError::Dns { name, fault })
        }
    }
}

/// Looks the hosts of `targets` up, all at once, and lists their addresses in the order of the
/// targets. `nowhere` is the error when every host certainly has none.
async fn resolve(
    dns: &Dns,
    targets: Vec<Target>,
    until: Instant,
    may_dial: impl Fn(IpAddr) -> bool,
    nowhere: LocateError,
) -> Result<Vec<XmppTarget>, LocateError> {
    let mut found: HashMap<Box<str>, Result<Vec<IpAddr>, DnsFault>> = HashMap::new();
    let mut lookups = JoinSet::new();
    for target in &targets {
        if found.insert(target.host.clone(), Err(DnsFault::Timeout)).is_none() {
            let (dns, host) = (dns.clone(), target.host.clone());
            lookups.spawn(async move {
                let answer = dns.addresses(&host).await.map(|answer| answer.records);
                (host, answer)
            });
        }
    }
    while let Ok(Some(done)) = timeout_at(until, lookups.join_next()).await {
        if let Ok((host, answer)) = done {
            found.insert(host, answer);
        }
    }
    let (mut dials, mut refused, mut failure) = (Vec::new(), None, None);
    for target in targets {
        match found.get(&target.host) {
            Some(Ok(addresses)) => {
                for ip in addresses {
                    if !may_dial(*ip) {
                        refused = Some(*ip);
                    } else if dials.len() < MAX_DIALS {
                        let addr = SocketAddr::new(*ip, target.port);
                        dials.push(XmppTarget { addr, mode: target.mode, host: target.host.clone() });
                    }
                }
            }
            Some(Err(fault)) if !fault.is_absent() => {
                failure = Some(LocateError::Dns { name: target.host.into(), fault: fault.clone() });
            }
            Some(Err(_)) | None => {}
        }
    }
    if !dials.is_empty() {
        return Ok(dials);
    }
    Err(refused.map(LocateError::NotPublic).or(failure).unwrap_or(nowhere))
}

#[cfg(test)]
mod tests;
