//! What the tests stand on: a folder with files, the binary, a running daemon, one end of a stream.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The password of the digest account, and the secret behind dialback keys.
pub const SECRETS: [&str; 2] = ["correct-horse-battery", "staple-9f8e7d"];

/// What a verb came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the binary to its end.
pub fn stoxd<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_stoxd")).args(args))
}

pub fn run(command: &mut Command) -> Ran {
    for name in ["CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    let done = command.stdin(Stdio::null()).output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    Ran { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
}

/// Polls `ask` until it has an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Does `program` run? Says SKIP if not.
pub fn has(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let there = command.status().is_ok_and(|status| status.success());
    if !there {
        println!("SKIP: {program} {} does not run here", args.join(" "));
    }
    there
}

/// A folder with the files of one gateway.
pub struct House {
    folder: tempfile::TempDir,
    /// Its address.
    pub ip: String,
}

impl House {
    /// A folder with `policy.toml`, and nothing that needs certificates.
    pub fn bare(policy: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let ip = format!("127.{}.{}.{}", 64 + next % 128, pid >> 8 & 255, pid & 255);
        let house = Self { folder: tempfile::tempdir().unwrap(), ip };
        house.write("policy.toml", policy);
        house
    }

    /// A whole gateway that can start; None where there is no openssl.
    pub fn new(policy: &str) -> Option<Self> {
        if !has("openssl", &["version"]) {
            return None;
        }
        let house = Self::bare(policy);
        house.certificate("gateway", &["DNS:gw.contoso.example", "DNS:contoso.example"]);
        for (name, secret) in ["password", "dialback"].iter().zip(SECRETS) {
            house.write(name, secret);
            house.chmod(name, 0o600);
        }
        house.write("stoxd.toml", &house.usual());
        Some(house)
    }

    /// alice asks to see `whom`, over UDP; nobody waits for an answer.
    pub fn subscribe(&self, whom: &str) {
        let socket = UdpSocket::bind((self.ip.as_str(), 0)).unwrap();
        let (at, port) = (&self.ip, socket.local_addr().unwrap().port());
        let request = format!(
            "SUBSCRIBE sip:{whom} SIP/2.0\r\nVia: SIP/2.0/UDP {at}:{port};branch=z9hG4bK{port};rport\r\n\
             From: <sip:alice@contoso.example>;tag=1\r\nTo: <sip:{whom}>\r\nCall-ID: {port}@{at}\r\n\
             CSeq: 1 SUBSCRIBE\r\nMax-Forwards: 70\r\nContact: <sip:alice@{at}:{port}>\r\nEvent: presence\r\n\
             Accept: application/pidf+xml\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(request.as_bytes(), (at.as_str(), 15060)).unwrap();
    }

    /// Makes `pki/NAME.pem` and `pki/NAME.key`.
    pub fn certificate(&self, name: &str, names: &[&str]) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
        let ran = run(Command::new(script).arg(self.path("pki")).arg(name).args(names));
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    /// The daemon file that most tests start with.
    pub fn usual(&self) -> String {
        let ip = &self.ip;
        // The whole suite can be run with several shards.
        let shards =
            std::env::var("STOXD_SHARDS").map_or(String::new(), |count| format!("shards = {count}\n"));
        format!(
            r#"[gateway]
{shards}name = "gw.contoso.example"
state_dir = "state"
[[domain]]
name = "contoso.example"
[tls]
trust = "pki/ca.pem"
[[tls.certificate]]
id = "gateway"
chain = "pki/gateway.pem"
key = "pki/gateway.key"
[dns]
servers = ["{ip}:15353"]
private_addresses = true
[xmpp]
listen = ["{ip}:15269"]
dialback_secret = "dialback"
[sip]
listen = [{{ addr = "{ip}:15061", transport = "tls" }}, {{ addr = "{ip}:15060", transport = "udp" }}]
[[sip.peer]]
name = "edge"
domains = ["contoso.example"]
route = "sip:{ip}:15062;transport=udp"
addresses = ["{ip}"]
digest = {{ user = "gw", password = "password" }}
[log]
level = "debug"
[metrics]
listen = ""
[admin]
socket = "admin.sock"
"#
        )
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Changes `stoxd.toml`; `from` must be in it.
    pub fn edit(&self, from: &str, to: &str) {
        let text = self.read("stoxd.toml");
        assert!(text.contains(from), "{from} is not in:\n{text}");
        self.write("stoxd.toml", &text.replacen(from, to, 1));
    }

    /// Switches the metrics on.
    #[allow(dead_code)]
    pub fn with_metrics(&self) {
        self.edit("[metrics]\nlisten = \"\"", &format!("[metrics]\nlisten = \"{}:{METRICS}\"", self.ip));
    }

    /// Runs a verb with this configuration.
    pub fn stoxd(&self, words: &[&str]) -> Ran {
        let config = self.path("stoxd.toml").into_os_string();
        let mut args: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        args.extend(["-c".into(), config]);
        stoxd(&args)
    }

    /// Starts the daemon; it may not come up.
    pub fn launch(&self) -> Daemon<'_> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stoxd"));
        command.arg("run").arg("-c").arg(self.path("stoxd.toml"));
        self.launch_as(command)
    }

    /// Starts `command`, which becomes the daemon.
    pub fn launch_as(&self, mut command: Command) -> Daemon<'_> {
        let heard = self.path("notify");
        let _ = fs::remove_file(&heard);
        let notify = UnixDatagram::bind(&heard).unwrap();
        notify.set_nonblocking(true).unwrap();
        let log = fs::File::create(self.path("log")).unwrap();
        for name in ["CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "JOURNAL_STREAM"] {
            command.env_remove(name);
        }
        let child = command
            .env("NOTIFY_SOCKET", &heard)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon { child, notify, heard: String::new(), house: self }
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn start(&self) -> Daemon<'_> {
        let mut daemon = self.launch();
        daemon.wait_ready();
        daemon
    }

    /// Starts a daemon that will not come up: its exit code, and what it said.
    pub fn start_in_vain(&self) -> (i32, String) {
        let mut daemon = self.launch();
        let code = daemon.wait_exit();
        (code, self.read("log"))
    }

    /// One end of a stream that opens, and what the gateway answers until `needle` or the end.
    pub fn greet(&self, from: &str, to: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect((self.ip.as_str(), 15269)).unwrap();
        write!(
            stream,
            "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
             xmlns:stream='http://etherx.jabber.org/streams' from='{from}' to='{to}' version='1.0'>"
        )
        .unwrap();
        let answer = read_until(&mut stream, "</stream:features>");
        (stream, answer)
    }

    /// Is `domain` a partner of the running gateway?
    pub fn welcomes(&self, domain: &str) -> bool {
        let (_, answer) = self.greet(domain, "contoso.example");
        match (answer.contains("<stream:features>"), answer.contains("<policy-violation ")) {
            (true, false) => true,
            (false, true) => false,
            _ => panic!("{answer}"),
        }
    }

    /// A TCP link from the address that is the SIP server's.
    pub fn sip_link(&self) -> TcpStream {
        use socket2::{Domain, Socket, Type};
        use std::net::SocketAddr;
        let at = |port| -> SocketAddr { format!("{}:{port}", self.ip).parse().unwrap() };
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&at(0).into()).unwrap();
        socket.connect(&at(15060).into()).unwrap();
        socket.into()
    }

    /// Sends a MESSAGE over UDP as the SIP server behind our domain; the status of the answer.
    pub fn sip_message(&self, from: &str, to: &str, text: &str) -> u16 {
        let socket = UdpSocket::bind((self.ip.as_str(), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (at, port) = (&self.ip, socket.local_addr().unwrap().port());
        let request = format!(
            "MESSAGE sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {at}:{port};branch=z9hG4bK{port};rport\r\n\
             From: <sip:{from}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {port}@{at}\r\nCSeq: 1 MESSAGE\r\n\
             Max-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        socket.send_to(request.as_bytes(), (self.ip.as_str(), 15060)).unwrap();
        let mut answer = [0; 4096];
        let (octets, _) = socket.recv_from(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..octets]).into_owned();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// A running daemon; it is killed when this is dropped.
pub struct Daemon<'h> {
    child: Child,
    notify: UnixDatagram,
    heard: String,
    house: &'h House,
}

impl Daemon<'_> {
    pub fn signal(&self, name: &str) {
        let ran = run(Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()));
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    /// How many descriptors it holds.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Octets of memory that it has; for the bench of grants.
    #[allow(dead_code)]
    pub fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// How long the thread that carries messages was at work; for the bench of grants.
    #[allow(dead_code)]
    pub fn at_work(&self) -> Duration {
        let id = self.child.id();
        let stat = fs::read_to_string(format!("/proc/{id}/task/{id}/schedstat")).unwrap();
        Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
    }

    /// The CPU time that it has used, in clock ticks (100 a second).
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// All that was said to systemd so far.
    pub fn heard(&mut self) -> &str {
        let mut octets = [0; 4096];
        loop {
            match self.notify.recv(&mut octets) {
                Ok(length) => self.heard.push_str(&String::from_utf8_lossy(&octets[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return &self.heard,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Does nothing more fit into the socket that systemd would read?
    pub fn is_full(&self) -> bool {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        let sent = sender.send_to(b"WATCHDOG=1\n", self.house.path("notify"));
        matches!(sent, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits until `word` was said to systemd `times` times.
    pub fn wait_heard(&mut self, word: &str, times: usize) {
        wait_for(word, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(self.heard().matches(word).count() >= times, "{status}: {}", self.house.read("log"));
            }
            (self.heard().matches(word).count() >= times).then_some(())
        });
    }

    pub fn wait_ready(&mut self) {
        self.wait_heard("READY=1\n", 1);
    }

    /// SIGHUP, and waits for its end.
    pub fn hang_up(&mut self) {
        let before = self.heard().matches("READY=1\n").count();
        self.signal("HUP");
        self.wait_heard("READY=1\n", before + 1);
    }

    pub fn wait_exit(&mut self) -> i32 {
        let status = wait_for("the end of the daemon", || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.house.read("log"));
        }
    }
}

/// Asks the metrics endpoint of the house: status and body, or None where nobody answers.
#[allow(dead_code)]
pub fn http(ip: &str, request: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect((ip, METRICS)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "{request} HTTP/1.1\r\nHost: {ip}\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Where metrics are, in tests that have them.
pub const METRICS: u16 = 19464;

/// Reads until `needle` has come, or the end of the stream.
pub fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut text, mut octet) = (Vec::new(), [0]);
    while !text.ends_with(needle.as_bytes()) {
        match stream.read(&mut octet) {
            Ok(0) => break,
            Ok(_) => text.push(octet[0]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&text)),
        }
    }
    String::from_utf8(text).unwrap()
}

/// Paths that differ from run to run, out of the way.
pub fn without(text: &str, path: &Path) -> String {
    text.replace(&path.display().to_string(), "DIR")
}

/// A policy that lets alice write to fabrikam.example.
pub const POLICY: &str = r#"[federation]
enabled = true
[[site]]
name = "Redmond"
members = ["*@contoso.example"]
[[policy]]
scope = "user"
name = "Sales"
federation = true
xmpp = true
[[grant]]
user = "sip:alice@contoso.example"
policy = "Sales"
[[policy]]
scope = "site"
site = "Redmond"
federation = true
[[partner]]
domain = "fabrikam.example"
type = "federated"
[[test]]
from = "sip:alice@contoso.example"
to = "xmpp:romeo@fabrikam.example"
expect = "allow"
"#;
