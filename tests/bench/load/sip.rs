//! The SIP server: it sends MESSAGEs, answers those that it gets, and counts.

use crate::tally::Tally;
use crate::{ClientTls, Fallible, Options, SIP_DOMAIN, ServerTls, Tls, XMPP_DOMAIN, body, numbers};
use rustls::pki_types::ServerName;
use std::fmt::Write as _;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn write_message(out: &mut Vec<u8>, number: usize, salt: u32, options: &Options) {
    let (user, body) = (number % options.users, body(number, options.size));
    let mut text = String::with_capacity(512 + body.len());
    let _ = write!(
        text,
        "MESSAGE sip:v{user}@{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bK{salt:x}n{number}\r\n\
         Max-Forwards: 69\r\nFrom: <sip:u{user}@{SIP_DOMAIN}>;tag={salt:x}\r\nTo: <sip:v{user}@{XMPP_DOMAIN}>\r\n\
         Call-ID: {number}.{salt:x}@edge.contoso.example\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    out.extend_from_slice(text.as_bytes());
}

pub async fn dial_sip(address: &str, tls: &Tls) -> Fallible<ClientTls> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(tls.connector.connect(ServerName::try_from("gw.contoso.example")?, socket).await?)
}

/// Takes a link from the gateway, which must show its certificate.
pub async fn accept_sip(socket: TcpStream, tls: &Tls) -> Fallible<ServerTls> {
    socket.set_nodelay(true)?;
    Ok(tls.acceptor.accept(socket).await?)
}

/// Counts responses, and counts and answers requests, until the link ends.
pub async fn read_sip<R, W>(mut reader: R, writer: Rc<tokio::sync::Mutex<W>>, tally: Rc<Tally>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (mut inbox, mut out) = (Vec::with_capacity(1 << 18), Vec::new());
    while let Ok(read) = reader.read_buf(&mut inbox).await {
        if read == 0 {
            return;
        }
        let mut used = 0;
        while let Some((head, body, length)) = sip_message(&inbox[used..]) {
            used += length;
            let mut now = tally.now.borrow_mut();
            if let Some(status) = head.strip_prefix("SIP/2.0 ") {
                let number = header(head, "Call-ID").and_then(|id| id.split('.').next()?.parse().ok());
                if let Some(number) = number.filter(|_| !status.starts_with('1')) {
                    now.on_answer(number, status.starts_with('2'));
                }
            } else {
                for number in numbers(body.as_bytes()) {
                    now.on_arrival(number);
                }
                answer(head, &mut out);
            }
        }
        inbox.drain(..used);
        tally.moved.notify_one();
        if !out.is_empty() {
            let mut writer = writer.lock().await;
            if writer.write_all(&out).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            out.clear();
        }
    }
}

/// The first message in `octets`: its head, its body, its length; None while it is not whole.
pub fn sip_message(octets: &[u8]) -> Option<(&str, &str, usize)> {
    let blank = octets.iter().take_while(|&&octet| octet == b'\r' || octet == b'\n').count();
    let end = blank + memchr::memmem::find(&octets[blank..], b"\r\n\r\n")?;
    let head = std::str::from_utf8(&octets[blank..end]).ok()?;
    let length: usize = header(head, "Content-Length").or_else(|| header(head, "l"))?.parse().ok()?;
    let body = octets.get(end + 4..end + 4 + length)?;
    Some((head, std::str::from_utf8(body).ok()?, end + 4 + length))
}

pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn answer(head: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for line in head.split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default().trim();
        if ["via", "v", "from", "f", "call-id", "i", "cseq"]
            .iter()
            .any(|kept| name.eq_ignore_ascii_case(kept))
        {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        } else if name.eq_ignore_ascii_case("to") || name.eq_ignore_ascii_case("t") {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b";tag=load\r\n");
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}
