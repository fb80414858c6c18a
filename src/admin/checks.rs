//! `stoxd check` and `stoxd partner test`: which checks run, and in which order.
//!
//! What needs the network is looked at by [`Look`], which is given from outside: this room has no sockets
//! but the control socket. A check that was not asked for has no line; one that could not run is a SKIP.

use super::cert;
use super::check::{self, Finding, Outcome};
use super::cli::{ConfigFile, Output, say};
use crate::config::{self, Config, Problem};
use crate::now::Wall;
use crate::policy::Reason;
use crate::policy::partner::Partner;
use clap::{Args, ValueEnum};

/// What is to be looked at over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Our own records and those of partners and peers.
    pub dns: bool,
    /// Partners and peers, really dialled.
    pub connectivity: bool,
    /// Only this one: a domain of an XMPP partner, or the name or a domain of a SIP peer.
    pub whom: Option<String>,
    /// Dial a partner for each of our domains, not only for the first.
    pub every_domain: bool,
    /// Touch no network: all that needs it is a SKIP.
    pub offline: bool,
}

/// Looks at the network; made by whoever has sockets.
pub type Look = fn(Config, &Wanted) -> Vec<Finding>;

/// What `stoxd check` may be told to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Both files: keys, values, names, policy tests; and what else keeps the daemon from its start
    Config,
    /// The policy table and its tests
    Policy,
    /// Our certificates: names, chain, usage, expiry, the key's permissions
    Certs,
    /// Our SRV records, with the zone lines that mend them; the records of partners and SIP peers
    Dns,
    /// Partners and SIP peers, really dialled: DNS, TCP, TLS, certificate, authentication, OPTIONS
    Connectivity,
}

/// `stoxd check …`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// What to look at; all of it, if nothing is named
    #[arg(value_enum)]
    what: Option<What>,
    /// Of dns and connectivity only this one: a partner's domain, or a SIP peer's name or domain
    #[arg(long, value_name = "DOMAIN")]
    partner: Option<String>,
    /// Touch no network: what needs it is skipped
    #[arg(long)]
    offline: bool,
    /// Warnings, and what was skipped, count as problems
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    output: Output,
}

/// `stoxd partner test …`.
#[derive(Debug, Args)]
pub(super) struct PartnerTest {
    /// A domain of an XMPP partner, or the name or a domain of a SIP peer
    domain: String,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    output: Output,
}

/// `stoxd check`; the exit code.
pub(super) fn run(args: &CheckArgs, look: Look, now: Wall) -> u8 {
    let path = &args.file.config;
    let loaded = config::check(path);
    let is_wanted = |what| args.what.is_none_or(|wanted| wanted == what);
    let mut findings = Vec::new();
    if is_wanted(What::Config) {
        findings.push(check::config(path, &loaded));
        findings.extend(loaded.iter().flat_map(check::obstacles));
        // With all of it, the certificates have lines of their own.
        if let (Ok(_), Ok(ours), Some(_)) = (&loaded, cert::Ours::read(path), args.what) {
            findings.extend(cert::examine::faults(&ours));
        }
    }
    if is_wanted(What::Policy) {
        let mut policy = check::policy(path, &loaded);
        if args.what.is_none() {
            // They stand above already.
            policy.problems.clear();
        }
        findings.push(policy);
    }
    if is_wanted(What::Certs) {
        match (cert::Ours::read(path), args.what) {
            (Ok(ours), _) => findings.extend(cert::examine::findings(&ours, now)),
            (Err(_), None) => findings.push(skipped("certs", INVALID)),
            // What is wrong with the file is all that there is to say.
            (Err(_), Some(_)) => findings.push(check::config(path, &loaded)),
        }
    }
    let wanted = Wanted {
        dns: is_wanted(What::Dns),
        connectivity: is_wanted(What::Connectivity),
        whom: args.partner.clone(),
        every_domain: false,
        offline: args.offline,
    };
    if wanted.dns || wanted.connectivity {
        findings.extend(over_the_network(args, loaded, &wanted, look));
    }
    let (text, code) = check::render(&findings, args.strict, args.output.json);
    say(&text, code)
}

const INVALID: &str = "the configuration is invalid, so nothing was tried";

fn over_the_network(
    args: &CheckArgs,
    loaded: Result<Config, Vec<Problem>>,
    wanted: &Wanted,
    look: Look,
) -> Vec<Finding> {
    match loaded {
        Ok(config) => look(config, wanted),
        Err(problems) => {
            let mut findings = Vec::new();
            for (name, is_wanted) in [("dns", wanted.dns), ("connectivity", wanted.connectivity)] {
                if is_wanted {
                    findings.push(skipped(name, INVALID));
                }
            }
            // Asked for alone, the reason is not above yet.
            if let (Some(_), Some(first)) = (args.what, findings.first_mut()) {
                first.problems = problems;
            }
            findings
        }
    }
}

/// `stoxd partner test`: whether the domain may, and whether it can be reached; the exit code.
pub(super) fn test(args: &PartnerTest, look: Look) -> u8 {
    let config = match config::check(&args.file.config) {
        Ok(config) => config,
        Err(problems) => {
            let invalid = check::config(&args.file.config, &Err(problems));
            let (text, code) = check::render(&[invalid], false, args.output.json);
            return say(&text, code);
        }
    };
    let mut findings = Vec::new();
    let is_peer = is_peer(&config, &args.domain);
    if !is_peer {
        findings.push(policy_of(&config, &args.domain));
    }
    if findings.iter().all(|finding| finding.outcome != Outcome::Fail) {
        let whom = Some(args.domain.clone());
        let wanted = Wanted { dns: !is_peer, connectivity: true, whom, every_domain: true, offline: false };
        findings.extend(look(config, &wanted));
    } else {
        findings.push(skipped("connectivity", "the policy lets nothing through, so nothing was tried"));
    }
    let (text, code) = check::render(&findings, false, args.output.json);
    say(&text, code)
}

/// Does `text` name a SIP peer, by its name or one of its domains?
pub fn is_peer(config: &Config, text: &str) -> bool {
    let served = |text: &str| config.domains.iter().any(|served| served.name.as_str() == text);
    let text = text.to_lowercase();
    config.sip.peers.iter().any(|peer| peer.name.to_lowercase() == text) || served(&text)
}

/// What the policy says of a partner's domain.
fn policy_of(config: &Config, domain: &str) -> Finding {
    let finding = |outcome, text: String, notes: Vec<String>| Finding {
        name: "policy",
        outcome,
        text,
        notes,
        problems: Vec::new(),
    };
    let Ok(domain) = crate::addr::Domain::parse(domain) else {
        return finding(Outcome::Fail, format!("{}: not a domain", domain.escape_debug()), Vec::new());
    };
    let refused = |why: &str, fix: String| finding(Outcome::Fail, format!("{domain}: {why}"), vec![fix]);
    match config.table.welcome(domain.as_str()) {
        Ok(partner) => {
            let notes = vec![terms_of(partner)];
            let text = format!("{domain}: an allowed partner, {}", config.table.show(partner.at));
            finding(Outcome::Pass, text, notes)
        }
        Err(Reason::FederationOff) => {
            refused("the organisation's switch is off", "fix: stoxd federation enable".to_owned())
        }
        Err(Reason::DomainBlocked) => {
            refused("the domain is blocked", format!("fix: stoxd unblock {domain}"))
        }
        Err(
            Reason::Unlisted
            | Reason::AddressBlocked
            | Reason::PolicyFederation
            | Reason::PolicyXmpp
            | Reason::NotAdded
            | Reason::Unverifiable,
        ) => refused("no partner, so nothing is let through", format!("fix: stoxd partner new {domain}")),
    }
}

/// The terms of a partner, in a line.
pub fn terms_of(partner: &Partner) -> String {
    let terms = partner.terms;
    let (tls, sasl) = (terms.tls.as_str(), terms.sasl.as_str());
    let dialback = if terms.dialback { "on" } else { "off" };
    format!("{}, tls {tls}, sasl {sasl}, dialback {dialback}", partner.kind.as_str())
}

/// A check that did not run.
pub fn skipped(name: &'static str, why: &str) -> Finding {
    let text = why.to_owned();
    Finding { name, outcome: Outcome::Skip, text, notes: Vec::new(), problems: Vec::new() }
}
