//! Revocation lists from where a certificate says that they are, over real HTTP on loopback.

use super::*;
use crate::net::crl::Fetcher;
use crate::net::dialer::Dialer;
use crate::net::dns::{Dns, DnsSettings};
use crate::net::edge::Edge;
use crate::net::tls::{CertFault, Lists, Lookup, Revocation};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// An HTTP server: what it says at each path, and what it was asked for.
struct Web {
    at: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (pages, asked) = (Arc::new(Mutex::new(HashMap::<String, Vec<u8>>::new())), Arc::default());
        let web = Self { at, pages, asked };
        let (pages, asked) = (web.pages.clone(), web.asked.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, mut request) = (socket.unwrap(), Vec::new());
                let mut octet = [0];
                while !request.ends_with(b"\r\n\r\n") && socket.read(&mut octet).unwrap_or(0) == 1 {
                    request.push(octet[0]);
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
                let answer = pages.lock().unwrap().get(&path).cloned().unwrap_or(missing);
                asked.lock().unwrap().push(path);
                let _ = socket.write_all(&answer);
            }
        });
        web
    }

    fn says(&self, path: &str, head: &str, body: &[u8]) {
        let mut answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(body);
        self.pages.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// A certificate of `ca` whose list is at `url`.
fn issue(ca: &Ca, url: &str) -> Issued {
    let (ask, key) = (Ask::dns("peer.example"), KeyPair::generate().unwrap());
    let mut params = ask.params();
    params.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris: vec![url.to_owned()] }];
    let own = params.signed_by(&key, &ca.issuer).unwrap();
    Issued { chain: vec![own.der().clone()], key }
}

/// A list of what `ca` has revoked, its `number`th.
fn list(ca: &Ca, revoked: &[&Issued], number: u8) -> Vec<u8> {
    let serial = |issued: &Issued| {
        SerialNumber::from_slice(X509Certificate::from_der(&issued.chain[0]).unwrap().1.raw_serial())
    };
    let revoked_certs = revoked.iter().map(|issued| RevokedCertParams {
        serial_number: serial(issued),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, number),
        next_update: date_time_ymd(2030, 1, 1),
        crl_number: SerialNumber::from(u64::from(number)),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&ca.issuer).unwrap().der().to_vec()
}

fn dialer(ca: &Ca, lookup: Lookup, private_addresses: bool, folder: Option<PathBuf>) -> Dialer {
    let settings = DnsSettings {
        servers: vec!["127.0.0.1:9".parse().unwrap()],
        dnssec: false,
        private_addresses,
        own_addresses: Vec::new(),
        hosts_file: false,
        timeout: Duration::from_secs(1),
    };
    let (edge, dns) = (Edge::start().unwrap(), Arc::new(Dns::new(settings).unwrap()));
    let lists = Arc::new(Lists::default());
    let revocation = Revocation::load(lookup, &[]).unwrap().with_fetched(lists.clone());
    let trust = Arc::new(Trust::anchors([ca.der.clone()]).unwrap().with(revocation));
    let fetcher = Fetcher::new(lists, dns.clone(), folder);
    Dialer::new(edge, no_certificate(), MinVersion::Tls12, trust, dns, Vec::new())
        .unwrap()
        .with_fetcher(fetcher)
}

/// What comes of a connection whose peer shows `issued`.
fn verdict(dialer: &Dialer, issued: &Issued) -> Result<(), CertFault> {
    run(dialer.identity(issued.chain.clone(), "TLSv1.3", NOW)).judge_xmpp(&domain("peer.example"), NOW)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Waits for the next list; dialling went on before.
fn arrival(arrived: &mut tokio::sync::watch::Receiver<u64>) {
    run(async { tokio::time::timeout(Duration::from_secs(20), arrived.changed()).await.unwrap().unwrap() });
}

#[test]
fn f070_hard_waits_for_the_list_and_off_asks_nobody() {
    let (ca, web) = (Ca::new("test"), Web::new());
    let (good, bad) = (issue(&ca, &web.url("/ca.crl")), issue(&ca, &web.url("/ca.crl")));
    web.says("/ca.crl", "200 OK", &list(&ca, &[&bad], 1));
    let off = dialer(&ca, Lookup::Off, true, None);
    assert_eq!(verdict(&off, &bad), Ok(()));
    assert_eq!(web.asked(), 0, "nobody was asked");
    let hard = dialer(&ca, Lookup::Hard, true, None);
    assert_eq!(verdict(&hard, &good), Ok(()));
    assert_eq!(verdict(&hard, &bad), Err(CertFault::Revoked));
    assert_eq!(verdict(&hard, &good), Ok(()));
    assert_eq!(web.asked(), 1, "the list is kept until it ends");
}

#[test]
fn f070_soft_does_not_wait_and_looks_again_when_the_list_has_come() {
    let (ca, web) = (Ca::new("test"), Web::new());
    let bad = issue(&ca, &web.url("/ca.crl"));
    web.says("/ca.crl", "200 OK", &list(&ca, &[&bad], 1));
    let soft = dialer(&ca, Lookup::Soft, true, None);
    let mut arrived = soft.fetcher().unwrap().arrived();
    let live = run(soft.identity(bad.chain.clone(), "TLSv1.3", NOW));
    arrival(&mut arrived);
    assert_eq!(run(soft.look_again(live.clone(), NOW)), Err(CertFault::Revoked));
    assert_eq!(live.judge_xmpp(&domain("peer.example"), NOW), Err(CertFault::Revoked), "and so it stays");
    assert_eq!(verdict(&soft, &bad), Err(CertFault::Revoked), "the next one");
}

#[test]
fn f070_where_no_list_comes_soft_accepts_and_hard_refuses_with_the_reason() {
    let (ca, web) = (Ca::new("test"), Web::new());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = Ca::new("test");
    web.says("/liar.crl", "200 OK", &list(&other, &[], 1));
    web.says("/junk.crl", "200 OK", b"<html>");
    web.says("/loop", &format!("302 Found\r\nLocation: {}", web.url("/loop")), b"");
    web.says("/file", "302 Found\r\nLocation: https://127.0.0.1/ca.crl", b"");
    for (url, why) in [
        (format!("http://{closed}/ca.crl"), "127.0.0.1: "),
        (web.url("/missing.crl"), "HTTP status 404"),
        (web.url("/liar.crl"), "not signed by the issuer"),
        (web.url("/junk.crl"), ""),
        (web.url("/loop"), "more than 3 redirections"),
        (web.url("/file"), "no http address"),
    ] {
        let issued = issue(&ca, &url);
        assert_eq!(verdict(&dialer(&ca, Lookup::Soft, true, None), &issued), Ok(()), "{url}");
        let hard = dialer(&ca, Lookup::Hard, true, None);
        let refused = verdict(&hard, &issued).unwrap_err().to_string();
        assert!(refused.contains(&format!("{url}: ")) && refused.contains(why), "{refused}");
    }
    // Once in a minute, and not at each connection.
    let hard = dialer(&ca, Lookup::Hard, true, None);
    let (issued, before) = (issue(&ca, &web.url("/missing.crl")), web.asked());
    for _ in 0..3 {
        assert!(verdict(&hard, &issued).is_err());
    }
    assert_eq!(web.asked(), before + 1);
}

#[test]
fn f070_no_private_address_is_asked_unless_that_is_allowed() {
    let (ca, web) = (Ca::new("test"), Web::new());
    let issued = issue(&ca, &web.url("/ca.crl"));
    web.says("/ca.crl", "200 OK", &list(&ca, &[], 1));
    let refused = verdict(&dialer(&ca, Lookup::Hard, false, None), &issued).unwrap_err().to_string();
    assert!(refused.contains("[dns] private_addresses is false"), "{refused}");
    assert_eq!(web.asked(), 0);
}

#[test]
fn f070_a_stranger_makes_us_ask_nobody() {
    let (ca, rogue, web) = (Ca::new("test"), Ca::new("rogue"), Web::new());
    web.says("/ca.crl", "200 OK", &list(&rogue, &[], 1));
    let stranger = issue(&rogue, &web.url("/ca.crl"));
    // Neither by its own certificate, nor by one that it adds to a good chain.
    let mut chain = issue(&ca, "ldap://ca.example/").chain;
    chain.push(stranger.chain[0].clone());
    let added = Issued { chain, key: KeyPair::generate().unwrap() };
    let hard = dialer(&ca, Lookup::Hard, true, None);
    assert!(matches!(verdict(&hard, &stranger), Err(CertFault::UntrustedIssuer { .. })));
    assert!(matches!(verdict(&hard, &added), Err(CertFault::RevocationUnknown(_))));
    assert_eq!(web.asked(), 0);
}

#[test]
fn f070_a_list_follows_redirections_and_outlives_the_process() {
    let (ca, web, folder) = (Ca::new("test"), Web::new(), tempfile::tempdir().unwrap());
    let (good, bad) = (issue(&ca, &web.url("/old")), issue(&ca, &web.url("/old")));
    web.says("/old", "301 Moved Permanently\r\nLocation: /new", b"");
    web.says("/new", "200 OK", &list(&ca, &[&bad], 2));
    let place = || Some(folder.path().join("crl"));
    assert_eq!(verdict(&dialer(&ca, Lookup::Hard, true, place()), &good), Ok(()));
    assert_eq!(web.asked(), 2);
    let again = dialer(&ca, Lookup::Hard, true, place());
    assert_eq!((verdict(&again, &good), verdict(&again, &bad)), (Ok(()), Err(CertFault::Revoked)));
    assert_eq!(web.asked(), 2, "from the folder");
    // What lies in the folder is believed for its signature alone.
    for entry in std::fs::read_dir(folder.path().join("crl")).unwrap() {
        std::fs::write(entry.unwrap().path(), list(&Ca::new("test"), &[], 3)).unwrap();
    }
    assert_eq!(verdict(&dialer(&ca, Lookup::Hard, true, place()), &bad), Err(CertFault::Revoked));
    assert_eq!(web.asked(), 4, "it was fetched anew");
}

#[test]
fn f070_an_intermediate_has_a_list_of_its_own() {
    let (ca, web) = (Ca::new("test"), Web::new());
    let (mut params, key) = (Ca::params("middle"), KeyPair::generate().unwrap());
    params.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris: vec![web.url("/root.crl")] }];
    let der = params.signed_by(&key, &ca.issuer).unwrap().der().clone();
    let middle = Ca { der, issuer: Issuer::new(params, key) };
    let issued = issue(&middle, &web.url("/middle.crl")).via(&middle);
    web.says("/middle.crl", "200 OK", &list(&middle, &[], 1));
    web.says("/root.crl", "200 OK", &list(&ca, &[], 1));
    assert_eq!(verdict(&dialer(&ca, Lookup::Hard, true, None), &issued), Ok(()));
    let as_issued = Issued { chain: vec![middle.der.clone()], key: KeyPair::generate().unwrap() };
    web.says("/root.crl", "200 OK", &list(&ca, &[&as_issued], 2));
    assert_eq!(verdict(&dialer(&ca, Lookup::Hard, true, None), &issued), Err(CertFault::Revoked));
}
