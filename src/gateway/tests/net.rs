//! What the network plays, and the configuration that all tests start from.

use crate::config::{self, FileFault, Files, Surroundings};
use crate::daemon::setup;
use crate::gateway::Settings;
use crate::policy::Table;
use crate::sip::locate::{Target, Transport};
use crate::xmpp::Condition;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

pub(super) const DAEMON: &str = r#"
[gateway]
name = "gw.contoso.example"
[[domain]]
name = "contoso.example"
[[domain]]
name = "tailspin.example"
[[tls.certificate]]
id = "gateway"
chain = "gateway.crt"
key = "gateway.key"
[[sip.peer]]
name = "edge"
domains = ["contoso.example", "tailspin.example"]
route = "sip:edge.contoso.example"
identity = ["edge.contoso.example"]
im = "pager"
[limits]
user_rate = 0
partner_rate = 0
"#;

/// Everybody may, but `denied`; capulet and montague are partners.
pub(super) const POLICY: &str = r#"
[federation]
enabled = true
[[policy]]
scope = "global"
federation = true
xmpp = true
[[policy]]
scope = "user"
name = "Nothing"
[[grant]]
user = "sip:denied@contoso.example"
policy = "Nothing"
[[partner]]
domain = "capulet.example"
additional_domains = ["verona.capulet.example"]
type = "federated"
[[partner]]
domain = "montague.example"
type = "federated"
[[partner]]
domain = "bücher.example"
type = "federated"
[[partner]]
domain = "public.example"
type = "public-unverified"
[[blocked]]
address = "xmpp:mallory@capulet.example"
"#;

/// What a dialled connection comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// It is up at once.
    Up,
    /// It fails at once.
    Fail,
    /// The test says.
    Silent,
}

/// How the network behaves.
#[derive(Clone, Debug)]
pub(super) struct Net {
    /// What the store says of each change; None: the test says.
    pub(super) durable: Option<bool>,
    pub(super) streams: Play,
    /// What those hear who wait for a stream that fails.
    pub(super) condition: Condition,
    pub(super) links: Play,
    /// Addresses at which nobody is.
    pub(super) dead: Vec<SocketAddr>,
    /// None: the test says.
    pub(super) located: Option<Result<Vec<Target>, &'static str>>,
    /// The kernel takes every stanza at once.
    pub(super) written: bool,
    /// A stream that the gateway closes is down at once.
    pub(super) closes: bool,
    /// Every MESSAGE to the peer gets this status at once.
    pub(super) status: Option<u16>,
}

impl Net {
    /// Everything works; requests are answered by the test.
    pub(super) fn works() -> Self {
        Self {
            durable: Some(true),
            streams: Play::Up,
            condition: Condition::RemoteServerTimeout,
            links: Play::Up,
            dead: Vec::new(),
            located: Some(Ok(vec![target(1)])),
            written: true,
            closes: false,
            status: None,
        }
    }

    /// Nothing happens unless the test says so.
    pub(super) fn silent() -> Self {
        Self {
            durable: None,
            streams: Play::Silent,
            links: Play::Silent,
            located: None,
            written: false,
            ..Self::works()
        }
    }
}

/// The peer's server with this last octet, over TLS.
pub(super) fn target(last: u8) -> Target {
    Target {
        identity: "edge.contoso.example".into(),
        host: format!("edge{last}.contoso.example").into(),
        address: address(last),
        transport: Transport::Tls,
    }
}

pub(super) fn udp(last: u8) -> Target {
    Target { transport: Transport::Udp, ..target(last) }
}

pub(super) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5061))
}

struct Memory<'t>(&'t str, &'t str);

impl Files for Memory<'_> {
    fn read(&self, path: &Path, _limit: u64) -> Result<String, FileFault> {
        match path.file_name().unwrap().to_str().unwrap() {
            "stoxd.toml" => Ok(self.0.to_owned()),
            "policy.toml" => Ok(self.1.to_owned()),
            _ => Ok(String::new()),
        }
    }

    fn mode(&self, _path: &Path) -> Result<u32, FileFault> {
        Ok(0o400)
    }
}

/// Settings and table of these two files. They are read once: many worlds have the same.
pub(super) fn configured(daemon: &str, policy: &str) -> (Settings, Arc<Table>) {
    type Known = BTreeMap<(String, String), (Settings, Arc<Table>)>;
    static KNOWN: Mutex<Known> = Mutex::new(Known::new());
    let mut known = KNOWN.lock().unwrap();
    let read = || {
        let files = Memory(daemon, policy);
        let path = Path::new("/etc/stoxd/stoxd.toml");
        match config::parse(path, &files, &Surroundings::default(), config::Purpose::Run) {
            Ok(config) => (setup::gateway(&config, true).unwrap(), Arc::new(config.table)),
            Err(problems) => panic!("{}", problems[0]),
        }
    };
    known.entry((daemon.to_owned(), policy.to_owned())).or_insert_with(read).clone()
}
