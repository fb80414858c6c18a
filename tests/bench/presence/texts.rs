//! What the neighbours say, of the size that it usually has: a Kamailio with a presence server behind it, and
//! an XMPP server.

use std::io::Write as _;

/// XMPP users that a SIP user is joined to.
pub const CONTACTS: usize = 10;

/// One watch of a population of `users` SIP users and as many XMPP users, ten contacts each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Couple {
    pub user: usize,
    pub friend: usize,
}

impl Couple {
    /// Watch number `number`.
    pub fn of(number: usize, users: usize) -> Self {
        let user = number / CONTACTS;
        Self { user, friend: (user + number % CONTACTS * 1009) % users }
    }

    /// The number of this watch.
    pub fn number(self, users: usize) -> Option<usize> {
        let first = self.user * CONTACTS;
        (first..first + CONTACTS).find(|number| Self::of(*number, users) == self)
    }

    /// The SIP user's address.
    pub fn sip(self) -> String {
        format!("user{:05}@contoso.example", self.user)
    }

    /// The XMPP user's.
    pub fn xmpp(self) -> String {
        format!("friend{:05}@capulet.example", self.friend)
    }

    /// The couple whose addresses stand in `text`, wherever.
    pub fn read(text: &[u8]) -> Option<Self> {
        Some(Self { user: number_behind(text, b"user")?, friend: number_behind(text, b"friend")? })
    }
}

fn number_behind(text: &[u8], name: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(text, name)? + name.len();
    std::str::from_utf8(text.get(at..at + 5)?).ok()?.parse().ok()
}

/// What stands between `before` and `after`.
pub fn between<'t>(text: &'t [u8], before: &str, after: &str) -> Option<&'t [u8]> {
    let rest = &text[memchr::memmem::find(text, before.as_bytes())? + before.len()..];
    Some(&rest[..memchr::memmem::find(rest, after.as_bytes())?])
}

/// The dialog of a SUBSCRIBE of the gateway, as its notifier keeps it.
#[derive(Clone, Copy)]
pub struct Dialog {
    call_id: [u8; 40],
    tag: [u8; 40],
    lengths: [u8; 2],
    /// The CSeq number of the newest NOTIFY.
    notified: u16,
}

impl Dialog {
    /// One that nobody asked for yet. Its octets are not zero, so that room for many is really there.
    pub const NONE: Self = Self { call_id: [b'-'; 40], tag: [b'-'; 40], lengths: [0; 2], notified: 0 };

    /// That of `subscribe`.
    pub fn of(subscribe: &[u8]) -> Option<Self> {
        let (mut call_id, mut tag) = ([0; 40], [0; 40]);
        let id = between(subscribe, "\r\nCall-ID: ", "\r\n")?;
        let from = between(subscribe, "\r\nFrom: ", "\r\n")?;
        let from = &from[memchr::memmem::rfind(from, b";tag=")? + 5..];
        call_id.get_mut(..id.len())?.copy_from_slice(id);
        tag.get_mut(..from.len())?.copy_from_slice(from);
        Some(Self { call_id, tag, lengths: [id.len() as u8, from.len() as u8], notified: 0 })
    }

    fn texts(&self) -> (&str, &str) {
        let [id, tag] = self.lengths;
        let text = |octets| std::str::from_utf8(octets).unwrap();
        (text(&self.call_id[..usize::from(id)]), text(&self.tag[..usize::from(tag)]))
    }

    /// Appends a NOTIFY that says active, with a document that has `note`.
    pub fn notify(&mut self, couple: Couple, note: &str, out: &mut Vec<u8>) {
        self.notified += 1;
        let (number, (call_id, tag)) = (self.notified, self.texts());
        let (sip, xmpp) = (couple.sip(), couple.xmpp());
        let document = document(&sip, note);
        let _ = write!(
            out,
            "NOTIFY sip:gw.contoso.example:5061;transport=tls SIP/2.0\r\n\
             Via: SIP/2.0/TLS edge.contoso.example:5061;branch=z9hG4bK{call_id}.{number}.0\r\n\
             To: <sip:{xmpp}>;tag={tag}\r\n\
             From: <sip:{sip}>;tag=a6a1c5f60faecf035a1ae5b6e96e979a-4f1c2d\r\n\
             CSeq: {number} NOTIFY\r\nCall-ID: {call_id}\r\nMax-Forwards: 70\r\n\
             Record-Route: <sip:edge.contoso.example:5061;transport=tls;lr>\r\n\
             User-Agent: kamailio (5.6.3 (x86_64/linux))\r\nEvent: presence\r\n\
             Contact: <sip:192.0.2.17:5061;transport=tls>\r\n\
             Subscription-State: active;expires=28800\r\nContent-Type: application/pidf+xml\r\n\
             Content-Length: {}\r\n\r\n{document}",
            document.len()
        );
    }
}

/// A document of one device, as user agents publish them.
fn document(sip: &str, note: &str) -> String {
    format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<presence xmlns='urn:ietf:params:xml:ns:pidf' \
         xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' \
         entity='sip:{sip}'>\n  <tuple id='t7f3a91'>\n    <status>\n      <basic>open</basic>\n    </status>\n    \
         <contact priority='0.8'>sip:{sip}</contact>\n    <note>{note}</note>\n    \
         <timestamp>2026-11-23T09:12:44Z</timestamp>\n  </tuple>\n  <dm:person id='p88d1'>\n    \
         <rpid:activities><rpid:away/></rpid:activities>\n  </dm:person>\n</presence>\n"
    )
}

/// Appends the answer to a SUBSCRIBE of the gateway.
pub fn accept(subscribe: &[u8], out: &mut Vec<u8>) {
    answer(
        subscribe,
        "Record-Route: <sip:edge.contoso.example:5061;transport=tls;lr>\r\n\
         Contact: <sip:192.0.2.17:5061;transport=tls>\r\nExpires: 28800\r\n",
        out,
    );
}

/// Appends a 200 to `request`, with further header lines.
pub fn answer(request: &[u8], headers: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    let head = std::str::from_utf8(request).unwrap().split("\r\n\r\n").next().unwrap();
    for line in head.split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        if matches!(name, "Via" | "From" | "To" | "Call-ID" | "CSeq") {
            out.extend_from_slice(line.as_bytes());
            if name == "To" && !line.contains(";tag=") {
                out.extend_from_slice(b";tag=a6a1c5f60faecf035a1ae5b6e96e979a-4f1c2d");
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(headers.as_bytes());
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// Appends the SUBSCRIBE of a SIP user for a day.
pub fn subscribe(couple: Couple, number: usize, out: &mut Vec<u8>) {
    let (sip, xmpp) = (couple.sip(), couple.xmpp());
    let _ = write!(
        out,
        "SUBSCRIBE sip:{xmpp} SIP/2.0\r\n\
         Record-Route: <sip:edge.contoso.example:5061;transport=tls;lr>\r\n\
         Via: SIP/2.0/TLS edge.contoso.example:5061;branch=z9hG4bK7f3a.{number:08x}.0\r\n\
         Via: SIP/2.0/TLS 192.0.2.77:40123;received=192.0.2.77;branch=z9hG4bK.{number:08x};rport=40123\r\n\
         From: <sip:{sip}>;tag=4DQeK~{number:05x}\r\nTo: <sip:{xmpp}>\r\nCSeq: 20 SUBSCRIBE\r\n\
         Call-ID: 8Jn2m5Tq~v.{number:06x}\r\nMax-Forwards: 69\r\nSupported: replaces, outbound, gruu\r\n\
         Event: presence\r\nExpires: 86400\r\nAccept: application/pidf+xml, application/xpidf+xml\r\n\
         Contact: <sip:user{:05}@192.0.2.77:40123;transport=tls>\r\n\
         User-Agent: Linphone/5.1.65 (belle-sip/5.2.0)\r\nContent-Length: 0\r\n\r\n",
        couple.user
    );
}

/// Appends a presence of the XMPP user that has a type of its own.
pub fn plain(couple: Couple, type_: &str, number: usize, out: &mut Vec<u8>) {
    let (sip, xmpp) = (couple.sip(), couple.xmpp());
    let _ = write!(out, "<presence from='{xmpp}' to='{sip}' type='{type_}' id='{type_}-{number}'/>");
}

/// Appends the XMPP user's presence.
pub fn presence(couple: Couple, note: &str, out: &mut Vec<u8>) {
    let (sip, xmpp) = (couple.sip(), couple.xmpp());
    let _ = write!(
        out,
        "<presence from='{xmpp}/gajim.8KQ2XW3L' to='{sip}' xml:lang='en'><show>away</show><status>{note}</status>\
         <priority>50</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
         node='https://gajim.org' ver='kIwW5u7u3ATRr5Oi8qhs5FQYOa4='/>\
         <x xmlns='vcard-temp:x:update'><photo>9a3e7c1d0b5f46829a3e7c1d0b5f46829a3e7c1d</photo></x></presence>"
    );
}
