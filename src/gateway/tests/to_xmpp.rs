//! SIP to XMPP: what a stanza looks like, and how its request is answered.

use super::net::{Net, Play, address};
use super::texts::{message, message_with, request};
use super::world::World;
use super::{ALICE, ROMEO};
use crate::ids::Id;

fn world() -> World {
    World::new(Net::works())
}

/// The stanza that a request becomes.
#[track_caller]
fn sent(world: &mut World, request: &str) -> String {
    world.sip(request);
    world.one_xmpp()
}

/// The status of the answer to a request that becomes no stanza.
#[track_caller]
fn refused(world: &mut World, request: &str) -> u16 {
    world.sip(request);
    assert!(world.take_xmpp().is_empty());
    world.one_sip().status().unwrap()
}

#[test]
fn f79_check_022_check_023_a_message_becomes_a_stanza_and_is_answered_202() {
    let mut world = world();
    world.sip(&message(1, ALICE, ROMEO, "Wherefore art thou? ☂ <&>"));
    let stanza = world.one_xmpp();
    let (head, rest) = stanza.split_once(" id='").unwrap();
    let (id, rest) = rest.split_once('\'').unwrap();
    assert_eq!(head, "<message from='alice@contoso.example' to='romeo@capulet.example'");
    assert!(Id::owner_of(id).is_some(), "{id}");
    assert_eq!(
        rest,
        format!(
            "><body>Wherefore art thou? ☂ &lt;&amp;&gt;</body><thread>call1@edge</thread>\
             <origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>"
        )
    );
    let answer = world.one_sip();
    assert_eq!(answer.status(), Some(202));
    assert_eq!((answer.header("Contact"), answer.body()), (None, ""));
    assert_eq!(answer.header("Content-Length"), Some("0"));
    for line in ["From: <sip:alice@contoso.example>;tag=from1", "Call-ID: call1@edge", "CSeq: 1 MESSAGE"] {
        assert!(answer.text.contains(&format!("\r\n{line}\r\n")), "{}", answer.text);
    }
    assert!(answer.header("To").unwrap().starts_with("<sip:romeo@capulet.example>;tag="));
    world.assert_quiet();
}

#[test]
fn check_018_check_019_headers_become_subject_language_and_thread() {
    let mut world = world();
    let headers = "Content-Type: text/plain\r\nSubject: Heute & <morgen>\r\nContent-Language: de-AT\r\n";
    let stanza = sent(&mut world, &message_with(1, ALICE, ROMEO, headers, "Grüße"));
    for part in
        [" xml:lang='de-AT'", "<subject>Heute &amp; &lt;morgen&gt;</subject>", "<thread>call1@edge</thread>"]
    {
        assert!(stanza.contains(part), "{stanza}");
    }
    // A Call-ID that we made of a thread becomes that thread again.
    let call_id = crate::bridge::to_sip::call_id_of_thread("a thread", None).unwrap();
    let request = message(2, ALICE, ROMEO, "x").replace("call2@edge", &call_id);
    assert!(sent(&mut world, &request).contains("<thread>a thread</thread>"));
}

#[test]
fn check_020_a_pager_message_has_no_type() {
    let mut world = world();
    let stanza = sent(&mut world, &message(1, ALICE, ROMEO, "x"));
    assert!(!stanza.contains("type="), "{stanza}");
}

#[test]
fn a_gruu_is_the_resource_and_the_request_uri_decides() {
    let mut world = world();
    let request = message(1, ALICE, &format!("{ROMEO};gr=orchard"), "x")
        .replace("To: <sip:romeo@capulet.example;gr=orchard>", "To: <sip:somebody@else.example>");
    assert!(sent(&mut world, &request).contains(" to='romeo@capulet.example/orchard' "));
}

#[test]
fn check_029_threat_110_order_is_kept_to_xmpp() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    for n in 0..20 {
        world.sip(&message(n, ALICE, ROMEO, &n.to_string()));
    }
    let stream = world.dialled_stream();
    assert!(world.seen.is_empty(), "one dial for all: {:?}", world.seen);
    world.stream_up(stream);
    for n in 20..25 {
        world.sip(&message(n, ALICE, ROMEO, &n.to_string()));
    }
    let bodies: Vec<String> = world
        .take_xmpp()
        .iter()
        .map(|text| text.split("<body>").nth(1).unwrap().split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(bodies, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(world.statuses(), [202; 25]);
    world.assert_quiet();
}

#[test]
fn check_035_an_expired_message_is_not_delivered() {
    let headers = |date: &str, expires: u32| {
        format!("Content-Type: text/plain\r\nDate: {date}\r\nExpires: {expires}\r\n")
    };
    let mut world = world();
    world.pass_secs(600);
    let (then, now) = ("Mon, 23 Nov 2026 00:00:00 GMT", "Mon, 23 Nov 2026 00:10:00 GMT");
    assert_eq!(refused(&mut world, &message_with(1, ALICE, ROMEO, &headers(then, 599), "old")), 480);
    let stanza = sent(&mut world, &message_with(2, ALICE, ROMEO, &headers(then, 600), "in time"));
    assert!(
        stanza
            .contains("<delay xmlns='urn:xmpp:delay' from='contoso.example' stamp='2026-11-23T00:00:00Z'/>")
    );
    let stanza = sent(&mut world, &message_with(3, ALICE, ROMEO, &headers(now, 10), "fresh"));
    assert!(!stanza.contains("<delay"), "{stanza}");
    let future = "Mon, 23 Nov 2026 09:00:00 GMT";
    assert!(!sent(&mut world, &message_with(4, ALICE, ROMEO, &headers(future, 10), "x")).contains("<delay"));
    let expires = "Content-Type: text/plain\r\nExpires: 1\r\n";
    sent(&mut world, &message_with(5, ALICE, ROMEO, expires, "no Date says when"));
}

#[test]
fn check_037_a_date_becomes_a_delay() {
    let mut world = world();
    let headers = "Content-Type: text/plain\r\nDate: Sun, 22 Nov 2026 20:00:00 GMT\r\n";
    let stanza = sent(&mut world, &message_with(1, ALICE, ROMEO, headers, "x"));
    assert!(stanza.contains("stamp='2026-11-22T20:00:00Z'"), "{stanza}");
}

#[test]
fn check_110_a_partner_that_is_not_found_or_not_reached() {
    use crate::xmpp::Condition;
    for (condition, status) in [(Condition::RemoteServerNotFound, 404), (Condition::RemoteServerTimeout, 504)]
    {
        let mut world = World::new(Net { streams: Play::Fail, condition, ..Net::works() });
        assert_eq!(refused(&mut world, &message(1, ALICE, ROMEO, "x")), status);
        assert_eq!(world.gateway.counts().failed, [1, 0]);
        world.assert_quiet();
    }
}

#[test]
fn f84_a_partner_that_does_not_answer_is_504_after_10_s() {
    let mut world = World::new(Net::silent());
    world.sip(&message(1, ALICE, ROMEO, "x"));
    let stream = world.dialled_stream();
    world.pass(std::time::Duration::from_millis(9_999));
    // RFC 4320 §4.1: it would be retransmitted every 4 s by now.
    assert_eq!(world.statuses(), [100]);
    world.pass(std::time::Duration::from_millis(1));
    assert_eq!(world.statuses(), [504]);
    // The stream comes late: nothing is delivered, ever.
    world.stream_up(stream);
    world.stream_down(stream);
    world.pass_secs(120);
    assert!(world.take_xmpp().is_empty() && world.take_sip().is_empty());
    world.assert_quiet();
}

#[test]
fn f83_a_late_error_becomes_one_notice() {
    let mut world = world();
    let stanza = sent(&mut world, &message(1, ALICE, "nobody@capulet.example", "x"));
    assert_eq!(world.statuses(), [202]);
    let id = stanza.split(" id='").nth(1).unwrap().split('\'').next().unwrap();
    let error = |id: &str| {
        format!(
            "<message from='nobody@capulet.example' to='{ALICE}' id='{id}' type='error'>\
             <error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
    };
    world.romeo(&error("forged"));
    world.assert_nothing_sent();
    world.romeo(&error(id));
    let notice = world.one_sip();
    assert!(notice.text.starts_with("MESSAGE sip:alice@contoso.example SIP/2.0"), "{}", notice.text);
    assert!(notice.header("From").unwrap().starts_with("<sip:nobody@capulet.example>"));
    assert!(notice.body().starts_with("Your last message to nobody@capulet.example was not delivered"));
    // Whatever becomes of it: a notice is not answered, and the same cause is not said again.
    world.answer(&notice, 404);
    world.romeo(&error(id));
    world.pass_secs(60);
    world.assert_nothing_sent();
    world.assert_quiet();
}

#[test]
fn nothing_to_deliver_is_delivered() {
    let mut world = world();
    assert_eq!(refused(&mut world, &message(1, ALICE, ROMEO, "  \r\n")), 202);
    let headers = "Content-Type: text/plain\r\nSubject: only this\r\n";
    let stanza = sent(&mut world, &message_with(2, ALICE, ROMEO, headers, ""));
    assert!(stanza.contains("<subject>only this</subject>") && !stanza.contains("<body"), "{stanza}");
}

#[test]
fn threat_104_a_body_over_the_limit_is_refused_not_cut() {
    let mut world = World::with(Net::works(), |settings| settings.message_size = 1000);
    assert_eq!(refused(&mut world, &message(1, ALICE, ROMEO, &"x".repeat(1001))), 413);
    assert!(sent(&mut world, &message(2, ALICE, ROMEO, &"x".repeat(1000))).contains(&"x".repeat(1000)));
    world.take_sip();
    // What escapes make of it counts as well.
    let mut world = World::with(Net::works(), |settings| settings.stanza_size = 10_000);
    assert_eq!(refused(&mut world, &message(1, ALICE, ROMEO, &"<".repeat(5000))), 413);
    world.assert_quiet();
}

#[test]
fn check_155_options_is_answered_with_what_we_do() {
    for headers in ["", "Require: 100rel\r\n"] {
        let mut world = world();
        world.sip(&request("OPTIONS", 1, ALICE, "contoso.example", headers, ""));
        let answer = world.one_sip();
        if headers.is_empty() {
            assert_eq!(answer.status(), Some(200));
            assert_eq!(answer.header("Allow"), Some(crate::sip::uas::ALLOW));
            assert_eq!(answer.header("Allow-Events"), Some("presence"));
            assert!(answer.header("Accept").unwrap().contains("text/plain"));
            assert!(answer.text.contains("\r\nSupported:"), "{}", answer.text);
        } else {
            assert_eq!((answer.status(), answer.header("Unsupported")), (Some(420), Some("100rel")));
        }
        world.assert_nothing_sent();
    }
}

#[test]
fn check_154_without_a_hop_left_only_options_is_answered() {
    let mut world = world();
    let spent = |text: String| text.replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(refused(&mut world, &spent(message(1, ALICE, ROMEO, "x"))), 483);
    world.sip(&spent(request("OPTIONS", 2, ALICE, ROMEO, "", "")));
    assert_eq!(world.statuses(), [200]);
    sent(&mut world, &message(3, ALICE, ROMEO, "x").replace("Max-Forwards: 70", "Max-Forwards: 1"));
}

#[test]
fn check_154_a_request_of_ours_that_comes_back_is_482() {
    let mut world = world();
    world.say("m1", ALICE, "round and round");
    let ours = world.one_sip();
    // By the Via list, and by the From tag where that was hidden.
    let hop = "Via: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bKhop\r\nVia:";
    world.sip(&ours.text.replacen("Via:", hop, 1));
    let mut hidden = ours.text.clone();
    let via = ours.header("Via").unwrap();
    hidden = hidden.replace(via, "SIP/2.0/TLS edge.contoso.example;branch=z9hG4bKother");
    world.sip(&hidden);
    assert_eq!(world.statuses(), [482, 482]);
    world.answer(&ours, 200);
    assert!(world.take_xmpp().is_empty());
    world.assert_quiet();
}

#[test]
fn check_154_a_merged_request_is_482() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    let first = message(1, ALICE, ROMEO, "x");
    world.sip(&first);
    world.sip(&first.replace("z9hG4bKpeer1", "z9hG4bKfork"));
    assert_eq!(world.statuses(), [482]);
    let stream = world.dialled_stream();
    world.stream_up(stream);
    assert_eq!(world.take_xmpp().len(), 1);
    assert_eq!(world.statuses(), [202]);
}

#[test]
fn threat_080_a_retransmission_gets_the_same_answer_and_is_delivered_once() {
    let mut world = world();
    let text = message(1, ALICE, ROMEO, "x");
    let udp = text.replace("SIP/2.0/TLS", "SIP/2.0/UDP");
    world.datagram(address(200), &udp);
    let first = world.one_sip();
    assert_eq!(world.take_xmpp().len(), 1);
    for _ in 0..3 {
        world.pass_secs(1);
        world.datagram(address(200), &udp);
        assert_eq!(world.one_sip(), first);
    }
    // On a connection likewise, for 32 s.
    world.sip(&text.replace("peer1", "peer2").replace("from1", "from2"));
    let first = world.one_sip();
    assert_eq!(world.take_xmpp().len(), 1);
    for _ in 0..3 {
        world.pass_secs(10);
        world.sip(&text.replace("peer1", "peer2").replace("from1", "from2"));
        assert_eq!(world.one_sip(), first);
    }
    assert!(world.take_xmpp().is_empty(), "delivered once");
    world.assert_quiet();
}

#[test]
fn threat_080_a_retransmission_while_the_first_waits_is_absorbed() {
    let mut world = World::new(Net::silent());
    let udp = message(1, ALICE, ROMEO, "x").replace("SIP/2.0/TLS", "SIP/2.0/UDP");
    world.datagram(address(200), &udp);
    let stream = world.dialled_stream();
    for _ in 0..3 {
        world.pass_secs(1);
        world.datagram(address(200), &udp);
    }
    // RFC 4320 §4.1: 100, but not before Timer E has reached T2.
    world.assert_nothing_sent();
    world.pass_secs(5);
    assert_eq!(world.statuses(), [100]);
    world.stream_up(stream);
    world.written(stream, 1);
    assert_eq!(world.take_xmpp().len(), 1);
    assert_eq!(world.statuses(), [202]);
}

#[test]
fn threat_081_a_new_cseq_in_the_same_call_is_a_new_message_in_order() {
    let mut world = world();
    for n in 1..=3 {
        let text = message(1, ALICE, ROMEO, &n.to_string())
            .replace("peer1", &format!("peer{n}"))
            .replace("CSeq: 1", &format!("CSeq: {n}"));
        assert!(sent(&mut world, &text).contains(&format!("<body>{n}</body>")));
    }
    assert_eq!(world.statuses(), [202; 3]);
}

#[test]
fn check_156_a_cancel_changes_nothing() {
    let mut world = World::new(Net::silent());
    let text = message(1, ALICE, ROMEO, "x");
    world.sip(&text);
    let stream = world.dialled_stream();
    let cancel = request("CANCEL", 1, ALICE, ROMEO, "", "");
    world.sip(&cancel);
    assert_eq!(world.statuses(), [200]);
    world.sip(&cancel.replace("peer1", "peer9"));
    assert_eq!(world.statuses(), [481]);
    world.stream_up(stream);
    world.written(stream, 1);
    assert_eq!(world.statuses(), [202]);
    assert_eq!(world.take_xmpp().len(), 1);
}
