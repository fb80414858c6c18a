//! What a SIP peer hears whose certificate is refused, and where revocation lists come from.

use super::cert::{house, made, sign};
use super::cert_live::{Link, has_link};
use super::rig::{House, Ran, run, wait_for};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// What openssl says that opens a SIP link with the certificate `pki/NAME.pem` and waits until we end it.
fn refused_link(house: &House, name: &str) -> Ran {
    let at = format!("{}:15061", house.ip);
    let (cert, key) = (format!("pki/{name}.pem"), format!("pki/{name}.key"));
    let words = ["s_client", "-quiet", "-connect", &at, "-cert", &cert, "-key", &key];
    run(Command::new("openssl").args(words).current_dir(house.path("")))
}

#[test]
fn f069_an_unknown_authority_is_an_alert_on_the_wire_and_a_reason_in_the_log() {
    let Some(house) = house() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    for (options, name) in [(&["--ca", "rogue"][..], "liar"), (&["--expired"][..], "old")] {
        let mut command = Command::new(script);
        command.args(options).arg(house.path("pki")).args([name, "DNS:contoso.example"]);
        assert_eq!(run(&mut command).code, 0);
    }
    let _daemon = house.start();
    for (name, alert, reason) in [
        ("liar", "alert unknown ca", "certificate refused: untrusted issuer \"stoxd test authority rogue\""),
        ("old", "alert certificate expired", "certificate refused: certificate expired"),
    ] {
        let heard = refused_link(&house, name).err;
        assert!(heard.contains(alert), "{name}: {heard}");
        wait_for(reason, || house.read("log").contains(reason).then_some(()));
    }
    assert!(!has_link(&house) && house.read("log").contains("link.refused"));
}

/// A web server with one list, whose octets may change.
struct Web {
    at: SocketAddr,
    list: Arc<Mutex<Vec<u8>>>,
}

impl Web {
    fn new(house: &House) -> Self {
        let listener = TcpListener::bind((house.ip.as_str(), 0)).unwrap();
        let web = Self { at: listener.local_addr().unwrap(), list: Arc::default() };
        let list = web.list.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, mut scratch) = (socket.unwrap(), [0; 2048]);
                let _ = socket.read(&mut scratch);
                let body = list.lock().unwrap().clone();
                let head = match body.is_empty() {
                    true => "HTTP/1.1 404 Not Found\r\n".to_owned(),
                    false => "HTTP/1.1 200 OK\r\n".to_owned(),
                };
                let _ = socket.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                let _ = socket.write_all(&body);
            }
        });
        web
    }
}

/// `pki/NAME.pem`, whose list is at `url`.
fn with_list(house: &House, name: &str, url: &str) {
    let (key, request, cert) = (format!("pki/{name}.key"), format!("{name}.csr"), format!("pki/{name}.pem"));
    let points = format!("crlDistributionPoints=URI:{url}");
    let words = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj"];
    let more = ["/CN=peer", "-addext", "subjectAltName=DNS:contoso.example", "-addext", &points];
    made(house, &[&words[..], &more[..]].concat());
    sign(house, &request, &cert, "30");
}

#[test]
fn f070_lists_are_fetched_and_a_live_link_ends_with_its_certificate() {
    let Some(house) = house() else { return };
    let web = Web::new(&house);
    with_list(&house, "peer", &format!("http://{}/ca.crl", web.at));
    let config = "[ca]\ndefault_ca = it\n[it]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\n";
    house.write("crl.cnf", config);
    house.write("index", "");
    house.write("number", "01\n");
    let ca = ["ca", "-config", "crl.cnf", "-cert", "pki/ca.pem", "-keyfile", "pki/ca.key"];
    made(&house, &[&ca[..], &["-revoke", "pki/peer.pem"]].concat());
    made(&house, &[&ca[..], &["-gencrl", "-crldays", "30", "-out", "full.crl"]].concat());
    let closed = TcpListener::bind((house.ip.as_str(), 0)).unwrap().local_addr().unwrap();
    with_list(&house, "lost", &format!("http://{closed}/ca.crl"));

    house.edit("[tls]\n", "[tls]\ncrl = \"off\"\n");
    *web.list.lock().unwrap() = std::fs::read(house.path("full.crl")).unwrap();
    let _daemon = house.start();
    {
        let _link = Link::open(&house, "peer");
        wait_for("the link, as nobody is asked", || has_link(&house).then_some(()));
    }
    wait_for("its end", || (!has_link(&house)).then_some(()));
    assert!(!house.read("log").contains("crl."), "{}", house.read("log"));

    house.edit("crl = \"off\"\n", "crl = \"soft\"\n");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    {
        // It is taken at first, and ends when the list has come.
        let _link = Link::open(&house, "peer");
        wait_for("the end of a live link", || house.read("log").contains("link.revoked").then_some(()));
        wait_for("its end", || (!has_link(&house)).then_some(()));
    }
    let heard = refused_link(&house, "peer").err;
    assert!(heard.contains("alert certificate revoked"), "{heard}");
    let logged = || house.read("log").contains("certificate refused: certificate revoked").then_some(());
    wait_for("the reason in the log", logged);
    {
        let _link = Link::open(&house, "lost");
        wait_for("the link, though the server is down", || has_link(&house).then_some(()));
    }
    wait_for("its end", || (!has_link(&house)).then_some(()));

    house.edit("crl = \"soft\"\n", "crl = \"hard\"\n");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let _link = Link::open(&house, "lost");
    let why =
        format!("it is not known whether it was revoked: no list of its issuer; http://{closed}/ca.crl: ");
    let alone = why.replace("no list of its issuer", "its revocation list was not to be had");
    wait_for("the refusal", || {
        let log = house.read("log");
        (log.contains(&why) || log.contains(&alone)).then_some(())
    });
    assert!(!has_link(&house));
}
