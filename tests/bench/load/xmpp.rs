//! The XMPP server: it sends stanzas over its own stream, takes the gateway's, and counts.

use crate::tally::Tally;
use crate::{ClientTls, Fallible, Options, SIP_DOMAIN, ServerTls, Tls, XMPP_DOMAIN, body, numbers};
use rustls::pki_types::ServerName;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const OPEN: &str = "<stream:stream";
const STREAM_NS: &str = "xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'";

pub fn write_stanza(out: &mut Vec<u8>, number: usize, salt: u32, options: &Options) {
    let user = number % options.users;
    let text = format!(
        "<message from='v{user}@{XMPP_DOMAIN}/bench' to='u{user}@{SIP_DOMAIN}' id='{salt:x}-{number}' type='chat'>\
         <body>{}</body></message>",
        body(number, options.size)
    );
    out.extend_from_slice(text.as_bytes());
}

/// Opens a stream to the gateway and authenticates by certificate.
pub async fn dial_xmpp(address: &str, tls: &Tls) -> Fallible<ClientTls> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let open = format!(
        "<?xml version='1.0'?><stream:stream {STREAM_NS} from='{XMPP_DOMAIN}' to='{SIP_DOMAIN}' version='1.0'>"
    );
    let mut inbox = Vec::new();
    say(&mut socket, &open).await?;
    hear(&mut socket, &mut inbox, "</stream:features>").await?;
    say(&mut socket, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
    hear_tag(&mut socket, &mut inbox, "<proceed").await?;
    let mut stream = tls.connector.connect(ServerName::try_from(SIP_DOMAIN)?, socket).await?;
    inbox.clear();
    say(&mut stream, &open).await?;
    hear(&mut stream, &mut inbox, "</stream:features>").await?;
    say(&mut stream, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>").await?;
    hear_tag(&mut stream, &mut inbox, "<success").await?;
    inbox.clear();
    say(&mut stream, &open).await?;
    let end = hear_any(&mut stream, &mut inbox, &["</stream:features>", "<stream:features/>"]).await?;
    inbox.drain(..end);
    Ok(stream)
}

/// Takes a stream from the gateway, which must authenticate by certificate.
pub async fn accept_xmpp(mut socket: TcpStream, tls: &Tls) -> Fallible<ServerTls> {
    const HEAD_END: &str = "version='1.0'";
    socket.set_nodelay(true)?;
    let header = |id: u32| {
        format!(
            "<?xml version='1.0'?><stream:stream {STREAM_NS} from='{XMPP_DOMAIN}' to='{SIP_DOMAIN}' id='load{id}' {HEAD_END}>"
        )
    };
    let mut inbox = Vec::new();
    hear_tag(&mut socket, &mut inbox, OPEN).await?;
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
    say(&mut socket, &format!("{}<stream:features>{starttls}</stream:features>", header(1))).await?;
    hear_tag(&mut socket, &mut inbox, "<starttls").await?;
    say(&mut socket, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
    let mut stream = tls.acceptor.accept(socket).await?;
    inbox.clear();
    hear_tag(&mut stream, &mut inbox, OPEN).await?;
    let external =
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
    say(&mut stream, &format!("{}<stream:features>{external}</stream:features>", header(2))).await?;
    hear(&mut stream, &mut inbox, "<auth").await?;
    hear_any(&mut stream, &mut inbox, &["</auth>", "/>"]).await?;
    say(&mut stream, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await?;
    inbox.clear();
    hear_tag(&mut stream, &mut inbox, OPEN).await?;
    say(&mut stream, &format!("{}<stream:features/>", header(3))).await?;
    match inbox.is_empty() {
        true => Ok(stream),
        false => Err("the gateway did not wait for the features".into()),
    }
}

async fn say<W: AsyncWrite + Unpin>(writer: &mut W, text: &str) -> Fallible<()> {
    writer.write_all(text.as_bytes()).await?;
    Ok(writer.flush().await?)
}

/// Reads until one of the texts was read; the offset after it.
async fn hear_any<R: AsyncRead + Unpin>(
    reader: &mut R,
    inbox: &mut Vec<u8>,
    texts: &[&str],
) -> Fallible<usize> {
    loop {
        let found =
            texts.iter().find_map(|text| Some(memchr::memmem::find(inbox, text.as_bytes())? + text.len()));
        if let Some(end) = found {
            return Ok(end);
        }
        if reader.read_buf(inbox).await? == 0 {
            return Err(format!("waited for {texts:?}, got {}", String::from_utf8_lossy(inbox)).into());
        }
    }
}

/// As [`hear_any`]; what was read up to it is used up.
async fn hear<R: AsyncRead + Unpin>(reader: &mut R, inbox: &mut Vec<u8>, text: &str) -> Fallible<()> {
    let end = hear_any(reader, inbox, &[text]).await?;
    inbox.drain(..end);
    Ok(())
}

/// Reads until a tag was read to its end, and uses it up.
async fn hear_tag<R: AsyncRead + Unpin>(reader: &mut R, inbox: &mut Vec<u8>, tag: &str) -> Fallible<()> {
    hear(reader, inbox, tag).await?;
    hear(reader, inbox, ">").await
}

/// Counts messages, and errors for ours, until the stream ends.
pub async fn read_xmpp<R: AsyncRead + Unpin>(mut reader: R, tally: Rc<Tally>) {
    let mut inbox = Vec::with_capacity(1 << 18);
    loop {
        let whole = memchr::memmem::rfind(&inbox, b"</message>").map_or(0, |at| at + b"</message>".len());
        if whole > 0 {
            let mut now = tally.now.borrow_mut();
            if memchr::memmem::find(&inbox[..whole], b"<error").is_some() {
                now.refused += memchr::memmem::find_iter(&inbox[..whole], b"<error").count();
            } else {
                for number in numbers(&inbox[..whole]) {
                    now.on_arrival(number);
                }
            }
            drop(now);
            inbox.drain(..whole);
            tally.moved.notify_one();
        }
        match reader.read_buf(&mut inbox).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
