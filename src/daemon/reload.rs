//! Reload: everything is made ready first, away from the thread that carries messages; then it is put
//! in place at once. A mistake changes nothing.
//!
//! | taken at a reload | taken at the next start |
//! |---|---|
//! | `policy.toml`, certificates, trust, revocation lists, `[limits]`, `[bridge]`, `[presence]`, `[selftest]`, `subscription_refresh_interval`, connection limits, timeouts, `tel_domain`, `session_idle_timeout`, a peer's identity, addresses, passwords, `im`, message limit and what its users get beside texts | what [`Fixed`] holds: names, domains, listeners, peers and their routes, DNS, the log |
//!
//! Streams that are up keep their TLS. A stream whose partner lost its right ends; a link whose peer
//! has another identity now ends, so that it proves itself anew.

use super::manager::{self, Note};
use super::setup;
use super::{Daemon, journal};
use crate::addr::Domain;
use crate::admin::check;
use crate::config;
use crate::config::settings::{Config, Dns, Log, Route, SipListen, Srv, TlsVersion, Trust};
use crate::gateway::Settings;
use crate::net::shard::Shard;
use crate::net::tls::{self, CertStore};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// A configuration, and all that had to be read or tried for it.
pub(super) struct Ready {
    pub(super) config: Config,
    pub(super) certificates: CertStore,
    pub(super) trust: tls::Trust,
    pub(super) settings: Settings,
}

impl Ready {
    /// Reads the certificates, the trust anchors and the secrets of `config`.
    ///
    /// # Errors
    /// All that is wrong with them, a line each.
    pub(super) fn new(config: Config, lists: &Arc<tls::Lists>) -> Result<Self, String> {
        let certificates = CertStore::load(setup::certificates(&config));
        let trust = match &config.tls.trust {
            Trust::System => tls::Trust::system(),
            Trust::Bundle(path) => tls::Trust::bundle(path),
        };
        let revocation = tls::Revocation::load(setup::lookup(&config), &config.tls.crl_files);
        let settings = setup::gateway(&config, journal::wants_deliveries());
        match (certificates, trust, settings, revocation) {
            (Ok(certificates), Ok(trust), Ok(settings), Ok(revocation)) => {
                let revocation = match config.tls.crl_fetch {
                    true => revocation.with_fetched(lists.clone()),
                    false => revocation,
                };
                Ok(Self { config, certificates, trust: trust.with(revocation), settings })
            }
            (certificates, trust, settings, revocation) => {
                let mut faults: Vec<String> =
                    certificates.err().unwrap_or_default().iter().map(ToString::to_string).collect();
                faults.extend(trust.err().map(|error| format!("[tls] trust: {error}")));
                faults.extend(revocation.err().map(|error| format!("[tls] crl_files: {error}")));
                faults.extend(settings.err());
                Err(faults.join("\n"))
            }
        }
    }

    fn load(path: &Path, lists: &Arc<tls::Lists>) -> Result<Self, String> {
        let config =
            config::load(path).map_err(|problems| check::problems(&problems).trim_end().to_owned())?;
        Self::new(config, lists)
    }
}

/// What stays as it was at the start, whatever the files say now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    name: Domain,
    state_dir: PathBuf,
    shards: u8,
    domains: Vec<(Domain, Option<usize>)>,
    peers: Vec<PeerRoute>,
    min_version: TlsVersion,
    dns: Dns,
    xmpp: Vec<SocketAddr>,
    sip: Vec<SipListen>,
    msrp: Vec<SocketAddr>,
    dialback_secret: Option<PathBuf>,
    log: Log,
    metrics: Option<SocketAddr>,
    socket: PathBuf,
}

/// A peer's name, domains, route and SRV service.
type PeerRoute = (String, Vec<Domain>, Option<Route>, Srv);

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        let peers = config.sip.peers.iter();
        Self {
            name: config.gateway.name.clone(),
            state_dir: config.gateway.state_dir.clone(),
            shards: config.gateway.shards,
            domains: config.domains.iter().map(|served| (served.name.clone(), served.peer)).collect(),
            peers: peers.map(|p| (p.name.clone(), p.domains.clone(), p.route.clone(), p.srv)).collect(),
            min_version: config.tls.min_version,
            dns: config.dns.clone(),
            xmpp: config.xmpp.listen.clone(),
            sip: config.sip.listen.clone(),
            msrp: config.msrp.listen.clone(),
            dialback_secret: config.xmpp.dialback_secret.clone(),
            log: Log { message_bodies: false, ..config.log },
            metrics: config.metrics,
            socket: config.admin_socket.clone(),
        }
    }

    /// Do the two serve the same domains, by the same peers at the same places?
    fn same_peers(&self, other: &Self) -> bool {
        self.domains == other.domains && self.peers == other.peers
    }

    /// The settings of `new` that wait for a restart.
    fn waiting(&self, new: &Self) -> Vec<&'static str> {
        let compared = [
            ("[gateway] name", self.name == new.name),
            ("[gateway] state_dir", self.state_dir == new.state_dir),
            ("[gateway] shards", self.shards == new.shards),
            ("the list of domains", self.domains == new.domains),
            ("the list of SIP peers, their domains and routes", self.peers == new.peers),
            ("[tls] min_version", self.min_version == new.min_version),
            ("[dns]", self.dns == new.dns),
            ("[xmpp] listen", self.xmpp == new.xmpp),
            ("[xmpp] dialback_secret", self.dialback_secret == new.dialback_secret),
            ("[sip] listen", self.sip == new.sip),
            ("[msrp] listen", self.msrp == new.msrp),
            ("[log]", self.log == new.log),
            ("[metrics]", self.metrics == new.metrics),
            ("[admin] socket", self.socket == new.socket),
        ];
        compared.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
    }
}

impl Daemon {
    /// Reads both files and the certificates again; what was done, or why nothing was.
    pub(super) async fn reload(&self) -> Result<String, String> {
        let _one_at_a_time = self.reloading.lock().await;
        manager::tell(Note::Reloading);
        let (path, lists) = (self.path.clone(), self.lists.clone());
        let ready = tokio::task::spawn_blocking(move || Ready::load(&path, &lists)).await;
        let outcome = ready.unwrap_or_else(|error| Err(error.to_string()));
        let outcome = match outcome {
            Ok(ready) => self.adopt(ready).await,
            Err(why) => Err(why),
        };
        let (said, status) = match &outcome {
            Ok(said) => {
                tracing::info!(stoxd_event = "config.reload", "{said}");
                (said.clone(), "ready")
            }
            Err(why) => {
                tracing::error!(stoxd_event = "config.reject", "reload refused, nothing was changed\n{why}");
                (format!("refused, nothing was changed\n{why}"), "ready; the last reload was refused")
            }
        };
        *self.last_reload.borrow_mut() = Some(said);
        manager::tell(Note::Ready(status.to_string()));
        outcome
    }

    /// Puts what is ready in place: from here on nothing can fail.
    async fn adopt(&self, ready: Ready) -> Result<String, String> {
        let Ready { config, certificates, trust, mut settings } = ready;
        let running = self.shard.gateway().settings().clone();
        // What is served on one side is never dialled on the other.
        let clash =
            running.domain_names.iter().find(|domain| config.table.partner(domain.as_str()).is_some());
        if let Some(domain) = clash {
            return Err(format!(
                "{domain} is served until a restart, and {} has it as a partner",
                config.table.files().policy
            ));
        }
        let new = Fixed::of(&config);
        let peers = self.fixed.same_peers(&new).then(|| setup::peers(&config));
        if peers.is_none() {
            settings.domains.clone_from(&running.domains);
            settings.domain_names.clone_from(&running.domain_names);
            settings.tel_domain.clone_from(&running.tel_domain);
            settings.peers.clone_from(&running.peers);
        }
        settings.name.clone_from(&running.name);
        settings.sent_by = running.sent_by.clone();
        let mut said = format!("loaded: {}", check::policy_summary(&config));
        let waiting = self.fixed.waiting(&new);
        if !waiting.is_empty() {
            said.push_str("; these wait for a restart: ");
            said.push_str(&waiting.join(", "));
        }
        for warning in &config.warnings {
            tracing::warn!("{}", check::problems(std::slice::from_ref(warning)).trim_end());
        }

        let shard = &self.shard;
        self.certificates.adopt(certificates);
        self.certificates.advance(shard.clock.now().wall);
        self.renewed.notify_one();
        shard.dialer.set_trust(Arc::new(trust));
        shard.together.set_limits(setup::limits(&config));
        let strangers = peers.map(|peers| shard.dialer.set_peers(peers)).unwrap_or_default();
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let table = Arc::new(config.table.with_generation(generation));
        let settings = Arc::new(settings.share(shard.place.shards()));
        let change = move |shard: &Rc<Shard>| {
            shard.reload(|gateway, now| {
                gateway.set_settings(settings);
                gateway.reload(now, table)
            })
        };
        match shard.ask_all(change).await {
            // To free a million grants takes longer than messages may wait.
            Ok(before) => drop(tokio::task::spawn_blocking(move || drop(before))),
            Err(silent) => said.push_str(&format!("; {silent}: if it goes on, then with these files")),
        }
        // Only if it is another: each change begins its interval anew.
        if *self.selftest.borrow() != config.selftest {
            *self.selftest.borrow_mut() = config.selftest;
            self.retimed.notify_one();
        }
        *self.texts.borrow_mut() = config.texts;
        self.note_loaded();
        for peer in strangers {
            let close =
                move |shard: &Rc<Shard>| shard.close_links_of(peer, "the peer's identity was changed");
            (0..shard.place.shards()).for_each(|to| shard.hand(to, close));
        }
        Ok(said)
    }
}
