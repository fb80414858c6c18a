//! What a session costs, without sockets: octets in, octets out, virtual time.
//!
//! `cargo bench --bench sessions -- [SESSIONS]`, by default 10000. SIP users invite XMPP users as Lync does, and
//! one text goes each way in each session. Memory is what is left a minute later, when no transaction is open.
//! CPU time is that of framing, parsing, the gate, the machines and writing; TLS and the kernel come on top.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the benchmark of messages counts allocations")]
#[path = "../presence/measure.rs"]
mod measure;
#[allow(dead_code, reason = "the benchmark of presence uses all of it")]
#[path = "../presence/world.rs"]
mod world;

use measure::Memory;
use std::time::Duration;
use world::World;

/// Contacts of each SIP user.
const CONTACTS: usize = 10;
/// Sessions that begin in a second of virtual time.
const MADE: usize = 500;
const OFFER: &str = "v=0\r\no=- 0 0 IN IP4 192.0.2.7\r\ns=session\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=message 5060 sip null\r\na=accept-types:text/plain multipart/alternative text/rtf text/html\r\n";

fn main() {
    let sessions = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(10_000);
    let mut world = World::new();
    // Streams and links are up before anything is counted.
    let mut first = Dialog::new(sessions);
    first.begin(&mut world);
    world.pass(Duration::from_secs(60));
    world.take();
    let mut dialogs: Vec<Dialog> = (0..sessions).map(Dialog::new).collect();
    for dialog in &mut dialogs {
        // The tags are kept by the one who measures, too.
        dialog.remote.reserve_exact(64);
    }
    let before = Memory::now();
    let mut made = Duration::ZERO;
    for (number, dialog) in dialogs.iter_mut().enumerate() {
        made += world.timed(|world| dialog.begin(world));
        if number % MADE == MADE - 1 {
            world.pass(Duration::from_secs(1));
        }
    }
    world.pass(Duration::from_secs(60));
    world.take();
    let each = before.each(sessions);
    assert_eq!(world.gateway.session_count(), sessions + 1);
    let mut texts = Duration::ZERO;
    for dialog in &mut dialogs {
        texts += world.timed(|world| dialog.talk(world));
    }
    world.pass(Duration::from_secs(60));
    world.take();
    let later = before.each(sessions);
    let micros = |time: Duration, count: usize| time.as_secs_f64() * 1e6 / count as f64;
    println!("{sessions} sessions of {} SIP users", sessions.div_ceil(CONTACTS));
    println!("  live octets of each, open             {:>8.0}", each.live);
    println!("  the same after a text each way        {:>8.0}", later.live);
    println!("  resident octets of each               {:>8.0}", later.resident);
    println!("  CPU time to begin one                 {:>8.1} µs", micros(made, sessions));
    println!("  CPU time of a text and its answer     {:>8.1} µs", micros(texts, 2 * sessions));
    for dialog in &mut dialogs {
        dialog.end(&mut world);
    }
    assert_eq!(world.gateway.session_count(), 1);
}

struct Dialog {
    number: usize,
    user: String,
    contact: String,
    /// Our tag.
    remote: String,
    cseq: u32,
}

impl Dialog {
    fn new(number: usize) -> Self {
        Self {
            number,
            user: format!("user{}@contoso.example", number / CONTACTS),
            contact: format!("contact{number}@capulet.example"),
            remote: String::new(),
            cseq: 0,
        }
    }

    fn request(&mut self, method: &str, headers: &str, body: &str) -> String {
        let Self { number, user, contact, remote, .. } = self;
        let tag = if remote.is_empty() { String::new() } else { format!(";tag={remote}") };
        if method != "ACK" {
            self.cseq += 1;
        }
        let cseq = self.cseq;
        format!(
            "{method} sip:{contact} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.17;branch=z9hG4bK{method}{number}x{cseq}\r\n\
             Record-Route: <sip:edge.contoso.example:5061;transport=tls;lr>\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}>;tag=9f1c2d5a77;epid=f2a8c4b1e0\r\nTo: <sip:{contact}>{tag}\r\n\
             Call-ID: {number}aa6e1c5f60faecf035a1ae5b6e96e979\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{user};opaque=user:epid:o6yX2cVhB1uA3pPqJ8k0CgAA;gruu>\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// INVITE, 200, ACK.
    fn begin(&mut self, world: &mut World) {
        let invite = self.request("INVITE", "Content-Type: application/sdp\r\n", OFFER);
        world.message(invite.as_bytes());
        let (sip, _) = world.take();
        let answer = std::str::from_utf8(sip.one()).unwrap();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
        self.remote.push_str(to.split_once(";tag=").unwrap().1.trim());
        let ack = self.request("ACK", "", "");
        world.message(ack.as_bytes());
    }

    /// A text each way.
    fn talk(&mut self, world: &mut World) {
        let text = self.request("MESSAGE", "Content-Type: text/plain; charset=UTF-8\r\n", "How are you?");
        world.message(text.as_bytes());
        let (sip, xmpp) = world.take();
        assert!(sip.one().starts_with(b"SIP/2.0 200 ") && xmpp.len() == 1);
        let stanza = format!(
            "<message from='{}/phone' to='{}' id='m{}' type='chat'><body>Fine, and you?</body></message>",
            self.contact, self.user, self.number
        );
        world.stanza(stanza.as_bytes());
        let (sip, _) = world.take();
        let sent = std::str::from_utf8(sip.one()).unwrap();
        assert!(sent.starts_with("MESSAGE ") && sent.ends_with("Fine, and you?"), "{sent}");
        world.message(ok(sent).as_bytes());
    }

    fn end(&mut self, world: &mut World) {
        let bye = self.request("BYE", "", "");
        world.message(bye.as_bytes());
        let (sip, _) = world.take();
        assert!(sip.one().starts_with(b"SIP/2.0 200 "));
    }
}

/// The 200 to a request of the gateway.
fn ok(request: &str) -> String {
    let head = request.split("\r\n\r\n").next().unwrap();
    let copied =
        |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> = head.lines().filter(copied).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"))
}
