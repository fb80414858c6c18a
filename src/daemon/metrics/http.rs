//! The endpoint: `/metrics`, `/healthz`, `/readyz`. hyper speaks HTTP/1.1; one request a connection.
//!
//! It runs in the first thread that carries messages and asks the others, so `/healthz` is well only while all of
//! them are. A client
//! costs a place of few and has a deadline; what comes beyond that is closed unread.

use super::super::Daemon;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE as EXPOSITION;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Connections at once.
const CONNECTIONS: usize = 16;
/// How long one may take in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long we wait when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(200);
const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers for ever.
///
/// # Errors
/// The socket can't be used by the runtime.
pub(in crate::daemon) async fn serve(listener: std::net::TcpListener, daemon: Rc<Daemon>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let seats = Rc::new(());
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // One is ours.
        if Rc::strong_count(&seats) > CONNECTIONS {
            continue;
        }
        let (seat, daemon) = (seats.clone(), daemon.clone());
        tokio::task::spawn_local(async move {
            let _seat = seat;
            // A client that is slow or speaks something else loses its connection, and nobody else anything.
            let _ = tokio::time::timeout(PATIENCE, connection(socket, &daemon)).await;
        });
    }
}

async fn connection(socket: TcpStream, daemon: &Rc<Daemon>) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(request.method(), request.uri().path(), daemon).await)
    });
    hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(8192)
        .serve_connection(TokioIo::new(socket), service)
        .await
}

async fn answer(method: &Method, path: &str, daemon: &Daemon) -> Response<String> {
    if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        return response(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".to_owned());
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned());
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => match daemon.exposition().await {
            Ok(text) => {
                let mut found = response(StatusCode::OK, text.to_string());
                found.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(EXPOSITION));
                found
            }
            Err(why) => response(StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")),
        },
        "/readyz" => match daemon.readiness() {
            Ok(()) => response(StatusCode::OK, "ready\n".to_owned()),
            Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        _ => match daemon.shard.ask_all(|_| ()).await {
            Ok(_) => response(StatusCode::OK, "alive\n".to_owned()),
            Err(silent) => response(StatusCode::SERVICE_UNAVAILABLE, format!("{silent}\n")),
        },
    }
}

fn response(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fixed = hyper::header::HeaderValue::from_static;
    response.headers_mut().insert(CONTENT_TYPE, fixed(PLAIN));
    response.headers_mut().insert(CACHE_CONTROL, fixed("no-store"));
    response
}
