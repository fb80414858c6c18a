//! One GET over HTTP/1.1, to an address that may be asked.

use crate::net::dns::Dns;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// Redirections that are followed.
const REDIRECTS: usize = 3;
/// Addresses of one host that are tried.
const ADDRESSES: usize = 4;
/// How long one of them may take to answer.
const CONNECT: Duration = Duration::from_secs(3);
/// Octets of an answer's headers.
const HEADERS: usize = 32 * 1024;

/// The body at `url`, of `most` octets.
///
/// # Errors
/// Why there is none, for people.
pub(super) async fn get(dns: &Dns, url: &str, most: usize) -> Result<Vec<u8>, String> {
    let mut url: Uri = url.parse().map_err(|_| "no http address".to_owned())?;
    for _ in 0..=REDIRECTS {
        match ask(dns, &url, most).await? {
            Answer::Body(octets) => return Ok(octets),
            Answer::Elsewhere(next) => url = next,
        }
    }
    Err(format!("more than {REDIRECTS} redirections"))
}

enum Answer {
    Body(Vec<u8>),
    Elsewhere(Uri),
}

async fn ask(dns: &Dns, url: &Uri, most: usize) -> Result<Answer, String> {
    let authority = url.authority().filter(|_| url.scheme_str() == Some("http")).ok_or("no http address")?;
    if authority.as_str().contains('@') {
        return Err("no http address".to_owned());
    }
    let socket = connect(dns, authority.host(), authority.port_u16().unwrap_or(80)).await?;
    let broken = |error: hyper::Error| format!("HTTP: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADERS)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(socket))
        .await
        .map_err(broken)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, concat!("stoxd/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            return location
                .and_then(|location| elsewhere(url, location))
                .map(Answer::Elsewhere)
                .ok_or_else(|| format!("HTTP status {}, to nowhere that we follow", status.as_u16()));
        }
        if status != hyper::StatusCode::OK {
            return Err(format!("HTTP status {}", status.as_u16()));
        }
        let body =
            Limited::new(response.into_body(), most).collect().await.map_err(|error| match error
                .is::<LengthLimitError>(
            ) {
                true => format!("longer than {} MiB", most >> 20),
                false => format!("HTTP: {error}"),
            })?;
        Ok(Answer::Body(body.to_bytes().to_vec()))
    };
    // The connection moves as long as it is waited for, and ends with this.
    tokio::pin!(connection);
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        ended = &mut connection => match ended {
            // What it had read already is still there.
            Ok(()) => answered.await,
            Err(error) => Err(broken(error)),
        },
    }
}

/// Where `location` leads from `url`.
fn elsewhere(url: &Uri, location: &str) -> Option<Uri> {
    match location.starts_with('/') {
        true => format!("http://{}{location}", url.authority()?).parse().ok(),
        false => location.parse().ok(),
    }
}

async fn connect(dns: &Dns, host: &str, port: u16) -> Result<TcpStream, String> {
    let found = dns.addresses(host).await.map_err(|fault| format!("DNS: {fault}"))?;
    let mut why = "all its addresses are private or our own, and [dns] private_addresses is false".to_owned();
    for ip in found.records.into_iter().filter(|ip| dns.may_dial(*ip)).take(ADDRESSES) {
        match tokio::time::timeout(CONNECT, TcpStream::connect((ip, port))).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => why = format!("{ip}: {error}"),
            Err(_) => why = format!("{ip}: no answer within {CONNECT:?}"),
        }
    }
    Err(why)
}
