//! Descriptions of deployed peers, hostile ones, and the law that what is read and written is read again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;

/// As Lync offers it, behind its Edge.
const LYNC: &str = "v=0\r\no=- 0 0 IN IP4 192.0.2.7\r\ns=session\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=message 5060 sip null\r\na=accept-types:text/plain multipart/alternative image/gif text/rtf text/html \
    application/x-ms-ink application/ms-imdn+xml text/x-msmsgsinvite\r\n";

const MSRP: &str = "v=0\r\no=romeo 2890844526 2890844527 IN IP6 2001:db8::2\r\ns= \r\nc=IN IP6 2001:db8::2\r\nt=0 0\r\n\
    m=audio 49170 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n\
    m=message 7313 TCP/TLS/MSRP *\r\na=accept-types:message/cpim text/plain\r\na=accept-wrapped-types:*\r\n\
    a=max-size:4096\r\na=setup:actpass\r\na=path:msrps://[2001:db8::2]:7313/ansp71weztas;tcp\r\n\
    a=fingerprint:SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\r\n";

fn read(text: &str) -> Description {
    Description::parse(text.as_bytes()).expect("a description")
}

fn ours(way: Way<'_>) -> Ours<'_> {
    Ours { host: "gw.example.com", session: 7, version: 1, accept: &["text/plain", "text/html"], way }
}

const OUR_MSRP: Way<'_> = Way::Msrp {
    tls: true,
    port: 2855,
    path: "msrps://gw.example.com:2855/s1;tcp",
    setup: Setup::Passive,
    accept_wrapped: &["*"],
    max_size: 65_536,
    fingerprint: None,
};

#[test]
fn an_offer_of_lync_is_a_session_of_sip_messages() {
    let media = read(LYNC).usable(Kind::Sip).expect("a message medium");
    assert_eq!((media.index, media.port), (0, 5060));
    assert!(media.takes("text/plain") && media.takes("TEXT/html") && !media.takes("message/cpim"));
    for spelled in [
        "m=x-ms-message 5060 sip null",
        "m=message 5060 sip sip:alice@contoso.example",
        "m=message 9 SIP null",
    ] {
        let media = read(&LYNC.replace("m=message 5060 sip null", spelled)).usable(Kind::Sip);
        assert!(media.is_some(), "{spelled}");
    }
}

#[test]
fn an_offer_of_msrp_says_path_types_size_and_who_connects() {
    let media = read(MSRP).usable(Kind::MsrpTls).expect("a message medium");
    assert_eq!((media.index, media.port, media.max_size), (1, 7313, Some(4096)));
    assert_eq!(media.setup, Some(Setup::ActPass));
    assert_eq!(media.path, ["msrps://[2001:db8::2]:7313/ansp71weztas;tcp"]);
    assert!(media.takes("message/cpim") && media.takes_in_cpim("text/html") && !media.takes("text/html"));
    assert_eq!(media.fingerprints.len(), 1);
    assert_eq!(media.fingerprints[0].fingerprint.len(), 20);
    assert!(read(MSRP).usable(Kind::Msrp).is_none());
    let holdconn = read(&MSRP.replace("actpass", "holdconn")).usable(Kind::MsrpTls);
    assert_eq!(holdconn.expect("a medium").setup, None);
}

/// RFC 7573 §5, RFC 3264 §6: the one that can be used is accepted, the others have port 0; without any
/// the caller has nothing to answer with but 488.
#[test]
fn check_042_a_usable_medium_is_answered_and_every_other_one_refused() {
    let offer = read(MSRP);
    let index = offer.usable(Kind::MsrpTls).expect("a medium").index;
    let answer = ours(OUR_MSRP).answer(&offer, index).expect("an answer");
    let answer = read(std::str::from_utf8(&answer).expect("text"));
    let media: Vec<Media> = answer.media().collect();
    assert_eq!(media.len(), 2);
    assert_eq!((media[0].kind, media[0].port), (Kind::Other, 0));
    assert_eq!((media[1].kind, media[1].port, media[1].setup), (Kind::MsrpTls, 2855, Some(Setup::Passive)));
    assert_eq!(media[1].max_size, Some(65_536));
    // A medium of another kind than ours, and one that is not there.
    assert!(ours(Way::Sip).answer(&offer, index).is_none() && ours(OUR_MSRP).answer(&offer, 2).is_none());

    let none = [
        LYNC.replace("m=message 5060", "m=message 0"),
        LYNC.replace("sip null", "TCP/MSRP *"),
        LYNC.replace("m=message", "m=audio"),
        format!("{LYNC}a=inactive\r\n"),
        LYNC.replace("t=0 0", "t=0 0\r\na=recvonly"),
        format!("{LYNC}a=file-selector:name:\"x.gif\"\r\n"),
    ];
    for text in none {
        let offer = read(&text);
        assert!(
            [Kind::Sip, Kind::Msrp, Kind::MsrpTls].iter().all(|kind| offer.usable(*kind).is_none()),
            "{text}"
        );
    }
}

#[test]
fn the_old_name_of_the_medium_is_answered_with_the_old_name() {
    let offer = read(&LYNC.replace("m=message", "m=x-ms-message"));
    let answer = ours(Way::Sip).answer(&offer, 0).expect("an answer");
    assert!(String::from_utf8(answer).expect("text").contains("\r\nm=x-ms-message 5060 sip null\r\n"));
}

#[test]
fn our_offer_reads_as_written() {
    let text = String::from_utf8(ours(Way::Sip).offer()).expect("text");
    let expected = "v=0\r\no=- 7 1 IN IP4 gw.example.com\r\ns=-\r\nc=IN IP4 gw.example.com\r\nt=0 0\r\n\
        m=message 5060 sip null\r\na=accept-types:text/plain text/html\r\n";
    assert_eq!(text, expected);
    let six = Ours { host: "[2001:db8::1]", ..ours(OUR_MSRP) };
    let text = String::from_utf8(six.offer()).expect("text");
    assert!(text.contains("c=IN IP6 2001:db8::1\r\n"), "{text}");
    assert!(read(&text).usable(Kind::MsrpTls).is_some());
    // What could break a line does not.
    let broken = Ours { host: "gw\r\na=x", ..ours(Way::Sip) };
    assert!(!String::from_utf8(broken.offer()).expect("text").contains("\na=x"));
}

#[test]
fn two_message_media_give_the_first_of_a_kind() {
    let two = format!("{LYNC}m=message 7 sip null\r\n");
    assert_eq!(read(&two).usable(Kind::Sip).expect("a medium").port, 5060);
    let refused = two.replace("m=message 5060", "m=message 0");
    assert_eq!(read(&refused).usable(Kind::Sip).expect("a medium").index, 1);
}

#[test]
fn what_deployed_peers_leave_out_is_not_missed() {
    assert!(read("v=0\nm=message 5060 sip null\na=accept-types:text/plain").usable(Kind::Sip).is_some());
    let no_types = read("v=0\r\nm=message 5060 sip null\r\n").usable(Kind::Sip).expect("a medium");
    assert!(no_types.accept.is_empty() && !no_types.takes("text/plain"));
}

#[test]
fn hostile_descriptions_are_refused() {
    let malformed: &[&[u8]] = &[
        b"",
        b"m=message 5060 sip null\r\n",
        b"v=1\r\n",
        b"v=0\rm=message 5060 sip null\r",
        b"v=0\r\nm=message 5060 sip null\ra=accept-types:*\r\n",
        b"v=0\r\nm=message 65536 sip null\r\n",
        b"v=0\r\nm=message -1 sip null\r\n",
        b"v=0\r\nm=message 5060 sip\r\n",
        b"v=0\r\nm=message\r\n",
        b"v=0\r\nm=message 5060 s\xffp null\r\n",
        b"v=0\r\nhello\r\n",
        b"v=0\r\ns=a\0b\r\n",
    ];
    for octets in malformed {
        assert_eq!(Description::parse(octets), Err(SdpError::Malformed), "{}", octets.escape_ascii());
    }
    let long = format!("v=0\r\ns={}\r\n", "x".repeat(OCTETS_MAX));
    let lines = format!("v=0\r\n{}", "a=x\r\n".repeat(LINES_MAX));
    let media = format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(MEDIA_MAX + 1));
    for text in [long, lines, media] {
        assert_eq!(Description::parse(text.as_bytes()), Err(SdpError::TooLarge));
    }
    let path = format!("v=0\r\nm=message 1 TCP/MSRP *\r\na=path:{}\r\n", "x ".repeat(30_000));
    assert_eq!(read(&path).usable(Kind::Msrp).expect("a medium").path.len(), LIST_MAX);
}

proptest! {
    #[test]
    fn what_was_read_and_written_is_read_again_the_same(lines in prop::collection::vec(line(), 0..20)) {
        let text = format!("v=0\r\n{}", lines.concat());
        if let Ok(one) = Description::parse(text.as_bytes()) {
            let mut copy = Vec::new();
            one.write(&mut copy);
            let again = Description::parse(&copy).expect("it was written by us");
            prop_assert_eq!(again.media().collect::<Vec<_>>(), one.media().collect::<Vec<_>>());
            let mut third = Vec::new();
            again.write(&mut third);
            prop_assert_eq!(copy, third);
        }
    }

    #[test]
    fn no_octets_are_a_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut all = b"v=0\r\n".to_vec();
        all.extend(octets);
        if let Ok(one) = Description::parse(&all) {
            let _ = one.media().count();
        }
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "m=(message|audio|x-ms-message) [0-9]{1,5}(/2)? (sip|TCP/MSRP|TCP/TLS/MSRP|RTP/AVP) (null|\\*|0 8|sip:a@b)\r\n",
        "a=(accept-types|accept-wrapped-types|path|max-size|setup|fingerprint)(:[ -~]{0,40})?\r?\n",
        "a=(sendrecv|inactive|sendonly|file-selector)\r\n",
        "[a-z]=[ -~]{0,30}\r\n",
    ]
}
