//! `stoxd.toml`, apart from its SIP half.

use super::problem::Source;
use super::read::{At, Section};
use super::selftest::SOCKET_PATH;
use super::settings::{Dns, Gateway, Limits, Log, LogLevel, LogTarget, Xmpp};
use super::value::{self, Located};
use super::{NOT_BUILT, Surroundings, host_name};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// What a limit of one stream comes to (RFC 6120 §4.5, as it is between servers).
pub(super) const ONE_STREAM: &str = "a stream carries messages one way: the other way would have none";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a file that the configuration names must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Readable.
    Open,
    /// Readable, and not by everybody.
    Secret,
}

/// A file that the configuration names, to be looked at by whoever may read files.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) located: Located,
    pub(super) content: Content,
    pub(super) span: Range<usize>,
    pub(super) text: String,
}

/// What the sections share: the surroundings, and the files that were named.
pub(super) struct Context<'e> {
    pub(super) surroundings: &'e Surroundings,
    pub(super) named: RefCell<Vec<Named>>,
}

impl Context<'_> {
    /// The file under `key`; it is noted, so that it will be looked at.
    pub(super) fn file(
        &self,
        section: &mut Section<'_>,
        key: &'static str,
        content: Content,
    ) -> Option<PathBuf> {
        let folder = section.source.folder.clone();
        let credentials = self.surroundings.credentials.as_deref();
        let mut text = String::new();
        let (located, span) = section.parsed(key, |given| {
            text = given.to_owned();
            value::path(given, &folder, credentials)
        })?;
        Some(self.note(located, content, span, text))
    }

    /// Notes a file; its path, empty if that is not known.
    pub(super) fn note(
        &self,
        located: Located,
        content: Content,
        span: Range<usize>,
        text: String,
    ) -> PathBuf {
        let path = match &located {
            Located::At(path) => path.clone(),
            Located::NoCredentials => PathBuf::new(),
        };
        self.named.borrow_mut().push(Named { located, content, span, text });
        path
    }
}

/// `[gateway]`; `None` if it has no name.
pub(super) fn gateway(root: &mut Section<'_>, surroundings: &Surroundings) -> Option<Gateway> {
    let mut section = root.section("gateway", "[gateway]");
    let name = section.required("name", host_name);
    let folder = section.source.folder.clone();
    let state = section.parsed("state_dir", |text| plain_path(text, &folder));
    let policy = section.parsed("policy", |text| plain_path(text, &folder));
    let shards = section.number("shards", 0..=32).and_then(|shards| u8::try_from(shards).ok());
    section.done();
    let default_state = || surroundings.state.clone().unwrap_or_else(|| PathBuf::from("/var/lib/stoxd"));
    Some(Gateway {
        name: name?.0,
        state_dir: state.map_or_else(default_state, |(path, _)| path),
        policy: policy.map_or_else(|| folder.join("policy.toml"), |(path, _)| path),
        shards: shards.unwrap_or(1),
    })
}

/// The policy file that the document names, found even when the rest of `[gateway]` is wrong.
pub(super) fn policy_path(table: &toml::de::DeTable<'_>, source: &Source) -> PathBuf {
    let named = table.get("gateway").and_then(|gateway| gateway.get_ref().get("policy"));
    let text = named.and_then(|value| value.get_ref().as_str()).filter(|text| !text.is_empty());
    source.folder.join(text.unwrap_or("policy.toml"))
}

fn plain_path(text: &str, folder: &Path) -> Result<PathBuf, String> {
    match value::path(text, folder, None)? {
        Located::At(path) => Ok(path),
        Located::NoCredentials => Err("not a secret: give a path".into()),
    }
}

/// `[dns]`.
pub(super) fn dns(root: &mut Section<'_>) -> Dns {
    let mut section = root.section("dns", "[dns]");
    let servers = section.list("servers", socket_address).unwrap_or_default();
    let dnssec = section.flag("dnssec", false);
    let private_addresses = section.flag("private_addresses", false);
    section.done();
    Dns { servers: servers.into_iter().map(|(server, _)| server).collect(), dnssec, private_addresses }
}

/// `[xmpp]`.
pub(super) fn xmpp(root: &mut Section<'_>, context: &Context<'_>) -> Xmpp {
    let mut section = root.section("xmpp", "[xmpp]");
    let default = "[::]:5269".parse().map(|addr| vec![addr]).unwrap_or_default();
    let listen = section.list("listen", socket_address);
    if let Some(listen) = &listen {
        each_once(&section, listen, "listen");
    }
    let connections = section.number("connection_limit", 1..=1_000_000).unwrap_or(1000);
    let of_partner = section.number("partner_connection_limit", 1..=1_000_000).unwrap_or(20);
    let tick = Duration::from_millis(100);
    let xmpp = Xmpp {
        listen: listen.map_or(default, |listen| listen.into_iter().map(|(addr, _)| addr).collect()),
        connection_limit: usize::try_from(connections).unwrap_or(usize::MAX),
        partner_connection_limit: usize::try_from(of_partner).unwrap_or(usize::MAX),
        keepalive_interval: section.duration("keepalive_interval", tick..=DAY, SECOND * 300),
        stream_establishment_timeout: section.duration(
            "stream_establishment_timeout",
            tick..=SECOND * 3600,
            SECOND * 60,
        ),
        stream_inactivity_timeout: section.duration(
            "stream_inactivity_timeout",
            tick..=DAY * 7,
            SECOND * 600,
        ),
        dialback_secret: context.file(&mut section, "dialback_secret", Content::Secret),
    };
    if of_partner == 1 {
        let span = section.span_of("partner_connection_limit");
        section.warn(&span, "one stream for each partner", ONE_STREAM);
    }
    if of_partner > connections && section.has("partner_connection_limit") {
        let span = section.span_of("partner_connection_limit");
        let label = format!("the whole gateway has {connections}");
        section.error(&span, "\"partner_connection_limit\" is above \"connection_limit\"", label);
    }
    section.done();
    xmpp
}

/// `[limits]`.
pub(super) fn limits(root: &mut Section<'_>) -> Limits {
    const MIB: u64 = 1 << 20;
    let mut section = root.section("limits", "[limits]");
    // RFC 6120 §13.12: a stanza limit is at least 10000 octets.
    let stanza_size = section.size("stanza_size", 10_000..=16 * MIB).unwrap_or(256 << 10);
    let message_size = section.size("message_size", 1..=16 * MIB).unwrap_or(64 << 10);
    if message_size > stanza_size {
        let key = if section.has("message_size") { "message_size" } else { "stanza_size" };
        let label = format!("{message_size} octets of text, {stanza_size} of a stanza");
        section.error(&section.span_of(key), "\"message_size\" is above \"stanza_size\"", label);
    }
    let rate =
        |number: Option<u64>, default| number.map_or(default, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let count = |number: Option<u64>, default| number.map_or(default, |n| usize::try_from(n).unwrap_or(0));
    let sessions = count(section.number("session_limit", 0..=10_000_000), 50_000);
    let limits = Limits {
        message_size,
        stanza_size,
        partner_rate: rate(section.number("partner_rate", 0..=1_000_000), 2000),
        user_rate: rate(section.number("user_rate", 0..=1_000_000), 50),
        discovered_rate: rate(section.number("discovered_rate", 0..=1_000_000), 20),
        discovered_contacts: section
            .number("discovered_contacts", 0..=1_000_000)
            .map_or(1000, |n| usize::try_from(n).unwrap_or(0)),
        queue: section.number("queue", 0..=1_000_000).map_or(1000, |n| usize::try_from(n).unwrap_or(0)),
        queue_timeout: section.duration("queue_timeout", SECOND / 10..=SECOND * 300, SECOND * 10),
        sessions,
        user_sessions: count(section.number("user_session_limit", 0..=1_000_000), 100),
        partner_sessions: count(section.number("partner_session_limit", 0..=10_000_000), 20_000),
    };
    for (key, value) in
        [("user_session_limit", limits.user_sessions), ("partner_session_limit", limits.partner_sessions)]
    {
        // Below a lower limit in all, a default that is left out has no effect.
        if value > sessions && section.has(key) {
            let label = format!("the whole gateway has {sessions}");
            section.error(&section.span_of(key), format!("\"{key}\" is above \"session_limit\""), label);
        }
    }
    section.done();
    limits
}

/// `[log]`.
pub(super) fn log(root: &mut Section<'_>) -> Log {
    let mut section = root.section("log", "[log]");
    let targets = [
        ("auto", LogTarget::Auto),
        ("journal", LogTarget::Journal),
        ("stderr", LogTarget::Stderr),
        ("json", LogTarget::Json),
    ];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let target = section.choice("target", &targets).map_or(LogTarget::Auto, |(target, _)| target);
    let level = section.choice("level", &levels).map_or(LogLevel::Info, |(level, _)| level);
    let message_bodies = section.flag("message_bodies", false);
    if message_bodies {
        let label = "whoever reads the log reads them";
        section.warn(&section.span_of("message_bodies"), "texts of messages are in the log", label);
    }
    section.done();
    Log { target, level, message_bodies }
}

/// `[admin]`: the socket.
pub(super) fn admin(root: &mut Section<'_>, surroundings: &Surroundings) -> PathBuf {
    let mut section = root.section("admin", "[admin]");
    let folder = section.source.folder.clone();
    let socket = section.parsed("socket", |text| {
        let path = plain_path(text, &folder)?;
        let octets = path.as_os_str().len();
        if octets > SOCKET_PATH {
            return Err(format!("the path has {octets} octets, and that of a socket {SOCKET_PATH} at most"));
        }
        Ok(path)
    });
    if let Some((text, span)) = section.text("web")
        && !text.is_empty()
    {
        section.error(&span, format!("the panel is {NOT_BUILT}"), "leave it empty");
    }
    section.done();
    let run = || surroundings.runtime.clone().unwrap_or_else(|| PathBuf::from("/run/stoxd"));
    socket.map_or_else(|| run().join("admin.sock"), |(path, _)| path)
}

/// `[metrics]`: where it listens, if anywhere.
pub(super) fn metrics(root: &mut Section<'_>) -> Option<SocketAddr> {
    let mut section = root.section("metrics", "[metrics]");
    let listen = match section.text("listen") {
        Some(("", _)) => None,
        Some(_) => section.parsed("listen", socket_address).map(|(address, _)| address),
        None => Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
    };
    if let Some(address) = listen.filter(|address| !address.ip().is_loopback()) {
        let label = "there is no password: let a firewall say who may ask";
        section.warn(
            &section.span_of("listen"),
            format!("{address} tells others our partners' names"),
            label,
        );
    }
    section.done();
    listen
}

/// `[storage]`: only what means "embedded" is taken.
pub(super) fn not_built(root: &mut Section<'_>) {
    let mut storage = root.section("storage", "[storage]");
    if let Some((true, span)) = storage.choice("kind", &[("embedded", false), ("cluster", true)]) {
        storage.error(&span, format!("storage in a cluster is {NOT_BUILT}"), "use \"embedded\"");
    }
    storage.done();
}

/// Reports every address of `list` that stands in it twice.
pub(super) fn each_once<T: PartialEq + std::fmt::Debug>(section: &Section<'_>, list: &[At<T>], key: &str) {
    for (index, (value, span)) in list.iter().enumerate() {
        if list.iter().take(index).any(|(earlier, _)| earlier == value) {
            section.error(span, format!("{value:?} stands in \"{key}\" twice"), "");
        }
    }
}

/// An address and port.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an address and a port: \"192.0.2.1:5269\" or \"[::]:5269\"".into())
}

/// A name that files, logs and commands can carry.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.trim() != text || text.is_empty() {
        return Err("a name is needed".into());
    }
    if text.chars().count() > 256 || text.chars().any(char::is_control) {
        return Err("256 characters at most, none of them a control character".into());
    }
    Ok(text.to_owned())
}
