//! Sessions at the gateway: a SIP user agent that talks as Lync's do, and partners on real streams.

mod auto;
mod journal;
mod limits;
mod msrp;
mod receipts;
mod receipts_msrp;
mod refused;
mod rights;
mod to_sip;
mod to_xmpp;
mod typing;
mod volume;

use super::net::Net;
use super::texts::{Sent, request};
use super::world::World;
use super::{ALICE, ROMEO};
use crate::gateway::{Im, SessionSettings, Settings};

/// What a Skype for Business client offers.
const OFFER: &str = "v=0\r\no=- 0 0 IN IP4 192.0.2.7\r\ns=session\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=message 5060 sip null\r\na=accept-types:text/plain multipart/alternative image/gif text/rtf text/html \
    application/x-ms-ink application/ms-imdn+xml text/x-msmsgsinvite\r\n";
const SDP: &str = "Content-Type: application/sdp\r\n";
const CONTACT: &str = "Contact: <sip:alice@edge.contoso.example:5061;transport=tls>\r\n";
const PLAIN: &str = "Content-Type: text/plain; charset=UTF-8\r\n";
/// "Wherefore art thou?"
const FIRST: &str =
    "ms-text-format: text/plain; charset=UTF-8;msgr=WAAtAE0A;ms-body=V2hlcmVmb3JlIGFydCB0aG91Pw==\r\n";

/// A world whose peer is written to as `im` says.
fn world(im: Im) -> World {
    world_with(Net::works(), im, |_| {})
}

fn world_with(net: Net, im: Im, change: impl FnOnce(&mut Settings)) -> World {
    World::with(net, |settings| {
        settings.peers[0].im = im;
        settings.sessions = SessionSettings::default();
        change(settings);
    })
}

/// One dialog as the SIP user's agent keeps it.
struct Dialog {
    call_id: String,
    /// Its own tag, and ours.
    local: String,
    remote: String,
    cseq: u32,
    /// Of our requests.
    ours: u32,
    user: String,
    contact: String,
}

impl Dialog {
    /// The SIP user invites romeo, and gets this answer.
    #[track_caller]
    fn invite(world: &mut World, n: u32, headers: &str, body: &str) -> (Self, Sent) {
        world.sip(&invite(n, headers, body));
        let sent = world.one_sip();
        (Self::of(n, &sent), sent)
    }

    fn of(n: u32, answer: &Sent) -> Self {
        let remote = answer.header("To").unwrap().split_once(";tag=").unwrap().1.to_owned();
        Self {
            call_id: format!("call{n}@edge"),
            local: format!("from{n}"),
            remote,
            cseq: 1,
            ours: 0,
            user: ALICE.into(),
            contact: ROMEO.into(),
        }
    }

    /// The dialog that an INVITE of ours makes.
    fn of_ours(invite: &Sent) -> Self {
        let tag = invite.header("From").unwrap().split_once(";tag=").unwrap().1;
        let address = |name: &str| {
            let value = invite.header(name).unwrap();
            value.split_once("<sip:").unwrap().1.split_once('>').unwrap().0.to_owned()
        };
        Self {
            call_id: invite.header("Call-ID").unwrap().to_owned(),
            local: "callee".to_owned(),
            remote: tag.to_owned(),
            cseq: 0,
            ours: 1,
            user: address("To"),
            contact: address("From"),
        }
    }

    /// Established: with text in it or not, and acknowledged.
    #[track_caller]
    fn open(world: &mut World, n: u32) -> Self {
        let (mut dialog, sent) = Self::invite(world, n, SDP, OFFER);
        assert_eq!(sent.status(), Some(200), "{}", sent.text);
        dialog.ack(world);
        dialog
    }

    fn text(&mut self, method: &str, headers: &str, body: &str) -> String {
        let cseq = match method {
            "ACK" => self.cseq,
            _ => {
                self.cseq += 1;
                self.cseq
            }
        };
        format!(
            "{method} sip:gw.contoso.example:5061;transport=tls SIP/2.0\r\n\
             Via: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bK{method}{}{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: \"Alice\"<sip:{}>;tag={};epid=1234\r\nTo: <sip:{}>;tag={}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.local,
            self.user,
            self.local,
            self.contact,
            self.remote,
            self.call_id,
            body.len()
        )
    }

    fn ack(&mut self, world: &mut World) {
        let ack = self.text("ACK", "", "");
        world.sip(&ack);
        world.assert_no_sip();
    }

    fn send(&mut self, world: &mut World, method: &str, headers: &str, body: &str) {
        let text = self.text(method, headers, body);
        world.sip(&text);
    }

    /// The status of the answer.
    #[track_caller]
    fn status(&mut self, world: &mut World, method: &str, headers: &str, body: &str) -> u16 {
        self.send(world, method, headers, body);
        world.one_sip().status().unwrap()
    }

    /// A text that becomes this stanza.
    #[track_caller]
    fn says(&mut self, world: &mut World, body: &str) -> String {
        assert_eq!(self.status(world, "MESSAGE", PLAIN, body), 200);
        world.one_xmpp()
    }

    /// Our next request in the dialog: its tags, Call-ID and CSeq are right.
    #[track_caller]
    fn ours(&mut self, sent: &Sent, method: &str) {
        self.ours += 1;
        assert!(sent.text.starts_with(&format!("{method} ")), "{}", sent.text);
        assert_eq!(sent.header("CSeq").unwrap(), format!("{} {method}", self.ours));
        assert_eq!(sent.header("Call-ID").unwrap(), self.call_id);
        assert!(sent.header("From").unwrap().ends_with(&format!(";tag={}", self.remote)), "{}", sent.text);
        assert!(sent.header("To").unwrap().ends_with(&format!(";tag={}", self.local)), "{}", sent.text);
    }
}

fn invite(n: u32, headers: &str, body: &str) -> String {
    request("INVITE", n, ALICE, ROMEO, &format!("{CONTACT}{headers}"), body)
}

/// romeo writes to alice, who takes the invitation: the dialog, with the MESSAGE still to be answered.
#[track_caller]
fn romeo_opens(world: &mut World, id: &str, body: &str) -> (Dialog, Sent) {
    world.say(id, ALICE, body);
    let invite = world.one_sip();
    assert!(invite.text.starts_with("INVITE sip:alice@contoso.example SIP/2.0\r\n"), "{}", invite.text);
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let mut sent = world.take_sip();
    assert_eq!(sent.len(), 2, "{sent:#?}");
    let mut dialog = Dialog::of_ours(&invite);
    // RFC 3261 §13.2.2.4: the ACK has the number of the INVITE.
    dialog.ours = 0;
    dialog.ours(&sent[0], "ACK");
    dialog.ours(&sent[1], "MESSAGE");
    (dialog, sent.remove(1))
}

/// A stanza of romeo with this in it.
fn romeo_sends(world: &mut World, inside: &str) {
    world.romeo(&format!(
        "<message from='romeo@capulet.example/orchard' to='{ALICE}' type='chat'>{inside}</message>"
    ));
}

const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
const GONE: &str = "<gone xmlns='http://jabber.org/protocol/chatstates'/>";
