//! The judgement inside the handshake: what the peer hears as an alert, and what is kept as the reason.

use super::*;
use crate::net::tls::{CertFault, Judged, Lookup, Revocation, Strict, Wanted};
use rustls::{AlertDescription, Error};
use std::path::PathBuf;

/// Until both sides have said all; what each side says of it.
fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> [Result<(), Error>; 2] {
    let name = crate::net::tls::client::server_name(&domain("im.example")).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let mut said = [Ok(()), Ok(())];
    for _ in 0..6 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |mut part| server.read_tls(&mut part));
        said[1] = said[1].clone().and(server.process_new_packets().map(drop));
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |mut part| client.read_tls(&mut part));
        said[0] = said[0].clone().and(client.process_new_packets().map(drop));
    }
    said
}

/// Certificates that are refused, what the peer hears, and what the log says. In real time, as the clock of the
/// handshake is the system's.
fn refused() -> (Ca, Vec<(Issued, AlertDescription, &'static str)>) {
    let (ca, rogue) = (Ca::new("ours"), Ca::new("rogue"));
    let list = vec![
        (rogue.issue(&good()), AlertDescription::UnknownCA, "untrusted issuer \"rogue\""),
        (
            Issued::self_signed(&Ask { cn: Some("im.example"), ..good() }),
            AlertDescription::UnknownCA,
            "self-signed certificate",
        ),
        (ca.issue(&good().years(2020, 2021)), AlertDescription::CertificateExpired, "certificate expired"),
        (
            ca.issue(&good().years(2100, 2101)),
            AlertDescription::CertificateExpired,
            "certificate not yet valid",
        ),
        (
            ca.issue(&good().eku(&[Eku::CodeSigning])),
            AlertDescription::UnsupportedCertificate,
            "certificate is not for TLS",
        ),
    ];
    (ca, list)
}

fn good() -> Ask {
    Ask::dns("im.example").years(2020, 2090)
}

#[test]
fn f069_a_server_that_we_dial_hears_the_alert_and_the_reason_is_kept() {
    let (ca, mut list) = refused();
    let elsewhere = ca.issue(&Ask::dns("elsewhere.example").years(2020, 2090));
    let why = "certificate is not for im.example, but for DNS:elsewhere.example";
    list.push((elsewhere, AlertDescription::BadCertificate, why));
    let ours = ClientTls::new(no_certificate(), MinVersion::Tls12).unwrap();
    for wanted in [Wanted::Xmpp(domain("im.example")), Wanted::Sip(vec![domain("im.example")])] {
        let judged = |issued: &Issued| {
            let strict = Strict::new(ca.trust(), wanted.clone());
            let Judged { config, refused } = ours.judged(None, ClientRole::XmppStartTls, Some(strict));
            let said = shake(config, server_of(issued));
            (said, refused.fault().map(CertFault::to_string))
        };
        for (issued, alert, why) in &list {
            let ([ours, theirs], fault) = judged(issued);
            assert_eq!(theirs, Err(Error::AlertReceived(*alert)), "{why}");
            assert!(matches!(ours, Err(Error::InvalidCertificate(_))), "{why}: {ours:?}");
            assert!(fault.as_ref().is_some_and(|fault| fault.starts_with(why)), "{why}: {fault:?}");
        }
        assert_eq!(judged(&ca.issue(&good())), ([Ok(()), Ok(())], None));
    }
}

#[test]
fn f069_a_client_of_a_sip_listener_hears_the_alert_and_the_reason_is_kept() {
    let (ca, list) = refused();
    let listener = ServerTls::new(ca.issue(&good()).store(), MinVersion::Tls12).unwrap();
    let judged = |store: Arc<CertStore>| {
        let Judged { config, refused } = listener.sip_judged(Strict::new(ca.trust(), Wanted::Anybody));
        (shake(client_of(store), config), refused.fault().map(CertFault::to_string))
    };
    for (issued, alert, why) in &list {
        let ([theirs, _], fault) = judged(issued.store());
        assert_eq!(theirs, Err(Error::AlertReceived(*alert)), "{why}");
        assert!(fault.as_ref().is_some_and(|fault| fault.starts_with(why)), "{why}: {fault:?}");
    }
    // Whose a good one is, is asked later; who shows none is told in SIP.
    let stranger = ca.issue(&Ask::dns("elsewhere.example").years(2020, 2090));
    for store in [ca.issue(&good()).store(), stranger.store(), no_certificate()] {
        assert_eq!(judged(store), ([Ok(()), Ok(())], None));
    }
}

#[test]
fn f069_where_dialback_is_open_the_handshake_takes_any_certificate() {
    let (_, list) = refused();
    let ours = ClientTls::new(no_certificate(), MinVersion::Tls12).unwrap();
    for (issued, ..) in &list {
        let Judged { config, refused } = ours.judged(None, ClientRole::XmppStartTls, None);
        assert_eq!(shake(config, server_of(issued)), [Ok(()), Ok(())]);
        assert!(refused.fault().is_none());
    }
}

#[test]
fn f069_f070_who_is_revoked_or_of_whom_no_list_will_ever_speak_is_refused_in_the_handshake() {
    let (ca, dir) = (Ca::new("ours"), tempfile::tempdir().unwrap());
    let (fine, gone) = (ca.issue(&good()), ca.issue(&good()));
    let lists = [super::revocation::list(&ca, &[&gone.chain[0]], 2090, dir.path(), "ca.crl")];
    let ours = ClientTls::new(no_certificate(), MinVersion::Tls12).unwrap();
    let judged = |issued: &Issued, files: &[PathBuf]| {
        let trust = Trust::anchors([ca.der.clone()]).unwrap();
        let trust = trust.with(Revocation::load(Lookup::Hard, files).unwrap());
        let strict = Strict::new(Arc::new(trust), Wanted::Xmpp(domain("im.example")));
        let Judged { config, refused } = ours.judged(None, ClientRole::XmppStartTls, Some(strict));
        let [_, theirs] = shake(config, server_of(issued));
        (theirs, refused.fault().cloned())
    };
    let heard = Err(Error::AlertReceived(AlertDescription::CertificateRevoked));
    assert_eq!(judged(&gone, &lists), (heard, Some(CertFault::Revoked)));
    let (theirs, fault) = judged(&fine, &[]);
    assert_eq!(theirs, Err(Error::AlertReceived(AlertDescription::UnknownCA)));
    assert!(matches!(fault, Some(CertFault::RevocationUnknown(_))), "{fault:?}");
    assert_eq!(judged(&fine, &lists), (Ok(()), None));
}
