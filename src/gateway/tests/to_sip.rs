//! XMPP to SIP: what a MESSAGE looks like, and what becomes of it.

use super::net::{Net, Play, address, target, udp};
use super::texts::Sent;
use super::world::{Seen, World};
use super::{ALICE, BOB, ROMEO};
use std::time::Duration;

fn world() -> World {
    World::new(Net::works())
}

/// The MESSAGE that a stanza becomes.
#[track_caller]
fn sent(world: &mut World, stanza: &str) -> Sent {
    world.romeo(stanza);
    world.one_sip()
}

#[test]
fn f80_an_xmpp_message_becomes_a_message() {
    let mut world = world();
    let stanza = "<message from='romeo@capulet.example/orchard' to='alice@contoso.example' type='chat' \
                  id='m1'><body>O blessèd night 🌙\n&lt;fear&gt;</body></message>";
    let sent = sent(&mut world, stanza);
    assert!(sent.text.starts_with("MESSAGE sip:alice@contoso.example SIP/2.0\r\n"), "{}", sent.text);
    assert_eq!(sent.header("To"), Some("<sip:alice@contoso.example>"));
    assert_eq!(sent.header("Content-Type"), Some("text/plain;charset=UTF-8"));
    assert_eq!(sent.body(), "O blessèd night 🌙\n<fear>");
    world.answer(&sent, 200);
    assert!(world.take_xmpp().is_empty(), "a message that is delivered is not answered");
    assert_eq!(world.gateway.counts().delivered, [0, 1]);
    world.assert_quiet();
}

#[test]
fn check_018_subject_language_and_thread_become_headers() {
    let mut world = world();
    let stanza = "<message from='romeo@capulet.example' to='alice@contoso.example' xml:lang='de' id='m1'>\
                  <subject>Heute &amp;\nmorgen</subject><thread>e0ffe42b28561960c6b12b944a092794</thread>\
                  <body>Grüße</body></message>";
    let first = sent(&mut world, stanza);
    assert_eq!(first.header("Subject"), Some("Heute & morgen"));
    assert_eq!(first.header("Content-Language"), Some("de"));
    assert_eq!(first.header("Call-ID"), Some("e0ffe42b28561960c6b12b944a092794"));
    world.answer(&first, 200);
    // RFC 3261 §8.1.1.4: a further message has a Call-ID of its own, which holds the thread.
    let second = sent(&mut world, stanza);
    let call_id = second.header("Call-ID").unwrap();
    assert_ne!(Some(call_id), first.header("Call-ID"));
    assert_eq!(crate::bridge::to_sip::thread_of_call_id(call_id), "e0ffe42b28561960c6b12b944a092794");
    assert_ne!(first.header("CSeq"), second.header("CSeq"));
}

#[test]
fn check_019_the_language_of_the_body_is_the_content_language() {
    for (message, body, language) in [
        (" xml:lang='de'", "", Some("de")),
        ("", " xml:lang='fr-CA'", Some("fr-CA")),
        (" xml:lang='de'", " xml:lang='fr'", Some("fr")),
        ("", "", None),
        (" xml:lang='x\u{d}y'", "", None),
    ] {
        let mut world = world();
        let stanza =
            format!("<message from='{ROMEO}' to='{ALICE}'{message}><body{body}>Grüße</body></message>");
        assert_eq!(sent(&mut world, &stanza).header("Content-Language"), language, "{stanza}");
    }
}

#[test]
fn check_021_from_is_the_bare_address_with_the_resource_as_gr() {
    let mut world = world();
    let stanza =
        |from| format!("<message from='{from}' to='alice@contoso.example/desk'><body>x</body></message>");
    let full = sent(&mut world, &stanza("romeo@capulet.example/the orchard"));
    let from = full.header("From").unwrap();
    assert!(from.starts_with("<sip:romeo@capulet.example;gr=the%20orchard>;tag="), "{from}");
    assert!(full.text.starts_with("MESSAGE sip:alice@contoso.example;gr=desk SIP/2.0"), "{}", full.text);
    assert_eq!(full.header("To"), Some("<sip:alice@contoso.example>"), "To names the user");
    world.answer(&full, 200);
    let bare = sent(&mut world, &stanza(ROMEO));
    assert!(bare.header("From").unwrap().starts_with("<sip:romeo@capulet.example>;tag="));
}

#[test]
fn check_022_a_message_carries_no_contact() {
    let mut world = world();
    world.say("m1", ALICE, "hi");
    let sent = world.one_sip();
    assert_eq!((sent.header("Contact"), sent.header("Record-Route")), (None, None), "{}", sent.text);
    assert_eq!(sent.header("Max-Forwards"), Some("70"));
}

#[test]
fn check_024_a_202_is_no_receipt() {
    let mut world = world();
    let stanza = format!(
        "<message from='{ROMEO}/r' to='{ALICE}' id='m1'><body>x</body><request xmlns='urn:xmpp:receipts'/>\
         <markable xmlns='urn:xmpp:chat-markers:0'/></message>"
    );
    let sent = sent(&mut world, &stanza);
    world.answer(&sent, 202);
    world.pass_secs(120);
    assert!(world.take_xmpp().is_empty());
    assert_eq!(world.gateway.counts().delivered, [0, 1]);
}

#[test]
fn check_025_026_udp_carries_no_more_than_1300_octets() {
    // Twice: when the link is known to be UDP, and while nobody knows yet.
    for known in [true, false] {
        let mut world = world();
        world.net.located = Some(Ok(vec![udp(1)]));
        if known {
            world.say("m0", ALICE, "short");
            let sent = world.one_sip();
            world.answer(&sent, 200);
        }
        world.say("m1", ALICE, &"x".repeat(1300));
        assert!(world.take_sip().is_empty(), "known: {known}");
        let error = world.one_xmpp();
        assert!(error.contains("id='m1' type='error'><error type='modify'><policy-violation"), "{error}");
        world.say("m2", ALICE, &"x".repeat(600));
        let sent = world.one_sip();
        assert!(sent.text.len() <= 1300 && sent.text.contains("Via: SIP/2.0/UDP "), "{}", sent.text);
        world.answer(&sent, 200);
        world.assert_quiet();
    }
}

#[test]
fn check_027_what_is_longer_goes_over_tls_and_via_says_so() {
    let mut world = world();
    world.say("m1", ALICE, &"x".repeat(5000));
    let sent = world.one_sip();
    assert!(sent.header("Via").unwrap().starts_with("SIP/2.0/TLS gw.contoso.example;branch=z9hG4bK"));
    assert_eq!((sent.body().len(), sent.to), (5000, None));
}

#[test]
fn check_026_a_peers_own_limit_is_kept_to() {
    let mut world = World::with(Net::works(), |settings| settings.peers[0].message_limit = Some(900));
    world.say("m1", ALICE, &"x".repeat(900));
    let error = world.one_xmpp();
    assert!(error.contains("id='m1' type='error'><error type='modify'><policy-violation"), "{error}");
    assert!(world.take_sip().is_empty());
}

#[test]
fn check_028_one_message_is_outstanding_for_each_target() {
    let mut world = world();
    for n in 0..3 {
        world.say(&format!("a{n}"), ALICE, &format!("to alice {n}"));
        // Resources are one target, and so are other senders.
        world.xmpp(
            "montague.example",
            &format!("<message from='j@montague.example' to='{ALICE}/desk'><body>also {n}</body></message>"),
        );
    }
    world.say("b0", BOB, "to bob");
    let first = world.take_sip();
    let bodies: Vec<&str> = first.iter().map(Sent::body).collect();
    assert_eq!(bodies, ["to alice 0", "to bob"]);
    let mut pending = first[0].clone();
    for expected in ["also 0", "to alice 1", "also 1", "to alice 2", "also 2"] {
        world.answer(&pending, 100);
        assert!(world.take_sip().is_empty(), "a provisional response ends nothing");
        world.answer(&pending, 200);
        pending = world.one_sip();
        assert_eq!(pending.body(), expected);
    }
    world.answer(&pending, 486);
    world.answer(&first[1], 200);
    world.assert_quiet();
}

#[test]
fn check_029_threat_110_order_is_kept_to_sip() {
    let mut world = world();
    world.net.links = Play::Silent;
    for n in 0..20 {
        world.say(&format!("m{n}"), ALICE, &n.to_string());
    }
    world.seen.retain(|seen| matches!(seen, Seen::DialSip { .. }));
    let (link, _) = world.dialled_link();
    world.link_up(link);
    for n in 0..20 {
        let sent = world.one_sip();
        assert_eq!(sent.body(), n.to_string());
        world.answer(&sent, if n % 3 == 0 { 404 } else { 200 });
    }
    world.assert_quiet();
}

#[test]
fn check_036_headlines_and_errors_are_never_answered_and_groupchat_is() {
    for (type_, answered) in [("headline", false), ("error", false), ("groupchat", true)] {
        let mut world = world();
        world.romeo(&format!(
            "<message from='{ROMEO}/r' to='{ALICE}' id='m1' type='{type_}'><body>x</body></message>"
        ));
        assert!(world.take_sip().is_empty(), "{type_}");
        let answers = world.take_xmpp();
        assert_eq!(answers.len(), usize::from(answered), "{type_}: {answers:?}");
        if answered {
            assert!(answers[0].contains("<error type='cancel'><service-unavailable"), "{answers:?}");
        }
    }
}

#[test]
fn check_037_a_delayed_message_keeps_its_stamp_as_date() {
    let mut world = world();
    let stanza = format!(
        "<message from='{ROMEO}' to='{ALICE}'><body>x</body>\
         <delay xmlns='urn:xmpp:delay' stamp='2026-11-22T23:00:00Z' from='capulet.example'/></message>"
    );
    let sent = sent(&mut world, &stanza);
    assert_eq!(sent.header("Date"), Some("Sun, 22 Nov 2026 23:00:00 GMT"));
}

#[test]
fn check_039_a_body_crosses_whatever_stands_beside_it() {
    let mut world = world();
    let stanza = format!(
        "<message from='{ROMEO}' to='{ALICE}' type='nonsense'><active xmlns='http://jabber.org/protocol/chatstates'/>\
         <body xml:lang='de'>nein</body><body>text</body><x xmlns='urn:y'><body>inner</body></x>\
         <body xmlns='urn:z'>foreign</body></message>"
    );
    assert_eq!(sent(&mut world, &stanza).body(), "text");
}

#[test]
fn a_stanza_without_text_crosses_silently_nowhere() {
    let mut world = world();
    for inner in [
        "<active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<received xmlns='urn:xmpp:receipts' id='x'/>",
        "<body> \n</body>",
        "<body/>",
        "",
    ] {
        world.romeo(&format!("<message from='{ROMEO}' to='{ALICE}' id='m1'>{inner}</message>"));
    }
    world.assert_nothing_sent();
    assert_eq!(world.gateway.counts(), crate::gateway::Counts::default());
}

#[test]
fn check_040_threat_105_a_refusal_comes_back_with_the_id_and_swapped_addresses() {
    for (status, error) in [
        (404, "<error type='cancel'><item-not-found"),
        (480, "<error type='wait'><recipient-unavailable"),
        (486, "<error type='wait'><recipient-unavailable"),
        (403, "<error type='auth'><forbidden"),
        (415, "<error type='modify'><not-acceptable"),
        (500, "<error type='cancel'><internal-server-error"),
        (503, "<error type='cancel'><internal-server-error"),
        (504, "<error type='wait'><remote-server-timeout"),
        (603, "<error type='wait'><recipient-unavailable"),
        (401, "<error type='auth'><not-authorized"),
        (407, "<error type='auth'><registration-required"),
    ] {
        let mut world = world();
        world.say("m&amp;1", ALICE, "hi");
        let sent = world.one_sip();
        world.answer(&sent, status);
        let answer = world.one_xmpp();
        let head = "<message from='alice@contoso.example' to='romeo@capulet.example/orchard' \
                    id='m&amp;1' type='error'>";
        assert!(answer.starts_with(&format!("{head}{error}")), "{status}: {answer}");
        // Copies and later answers change nothing.
        world.answer(&sent, status);
        world.answer(&sent, 200);
        world.pass_secs(60);
        world.assert_nothing_sent();
        assert_eq!(world.gateway.counts().failed, [0, 1]);
        world.assert_quiet();
    }
}

#[test]
fn check_105_threat_107_a_redirect_is_told_and_not_followed() {
    for (status, condition) in [(301, "gone"), (302, "redirect")] {
        let mut world = world();
        world.say("m1", ALICE, "hi");
        let sent = world.one_sip();
        world.answer_with(&sent, status, "Contact: <sip:alice@elsewhere.example>\r\n");
        let answer = world.one_xmpp();
        let text = format!(
            "<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:alice@elsewhere.example</{condition}>"
        );
        assert!(answer.contains(&text), "{answer}");
        world.pass_secs(60);
        world.assert_nothing_sent();
    }
}

#[test]
fn check_140_unknown_users_get_the_same_error_by_bare_and_full_address() {
    let mut answers = Vec::new();
    for to in ["nobody@contoso.example", "nobody@contoso.example/desk"] {
        let mut world = world();
        world.say("m1", to, "hi");
        let sent = world.one_sip();
        world.answer(&sent, 404);
        answers.push(world.one_xmpp().replace("/desk", ""));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("item-not-found"));
}

#[test]
fn a_message_to_the_domain_itself_reaches_nobody() {
    let mut world = world();
    world.say("m1", "contoso.example", "hi");
    assert!(world.one_xmpp().contains("id='m1' type='error'><error type='cancel'><service-unavailable"));
    world.say("m2", "contoso.example/x", "hi");
    assert!(world.one_xmpp().contains("<service-unavailable"));
    world.romeo(&format!(
        "<message from='{ROMEO}' to='contoso.example' type='headline'><body>x</body></message>"
    ));
    world.assert_nothing_sent();
}

#[test]
fn f78_every_domain_of_ours_federates() {
    let mut world = World::new(Net { status: Some(200), ..Net::works() });
    for domain in ["contoso.example", "tailspin.example"] {
        world.seen.clear();
        world.say("m1", &format!("alice@{domain}"), "hi");
        assert!(world.one_sip().text.starts_with(&format!("MESSAGE sip:alice@{domain} SIP/2.0")));
        let from = format!("alice@{domain}");
        world.sip(&super::texts::message(u32::try_from(domain.len()).unwrap(), &from, ROMEO, "hi"));
        assert!(world.one_xmpp().starts_with(&format!("<message from='alice@{domain}' ")));
        // Each has a stream of its own to a partner.
        let pairs: Vec<&str> = world.gateway.pairs.up().map(|pair| pair.local.as_str()).collect();
        assert!(pairs.contains(&domain), "{pairs:?}");
    }
    assert_eq!(world.gateway.counts().delivered, [2, 2]);
}

#[test]
fn check_151_a_message_on_udp_is_answered_although_its_transaction_lives_on() {
    let mut world = world();
    world.net.located = Some(Ok(vec![udp(1)]));
    world.say("m1", ALICE, "one");
    world.say("m2", ALICE, "two");
    let first = world.one_sip();
    assert_eq!(first.to, Some(address(1)));
    // Timer E.
    world.pass(Duration::from_millis(1600));
    let again = world.take_sip();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|copy| copy.text == first.text), "a retransmission is a copy");
    world.answer(&first, 200);
    let second = world.one_sip();
    assert_eq!(second.body(), "two");
    // A copy of the answer is absorbed by Timer K.
    world.answer(&first, 200);
    world.assert_nothing_sent();
    world.answer(&second, 404);
    assert!(world.one_xmpp().contains("id='m2' type='error'"));
    world.pass_secs(40);
    world.assert_nothing_sent();
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([0, 1], [0, 1]));
    world.assert_quiet();
}

#[test]
fn threat_108_a_silent_server_costs_one_error_within_45_s() {
    for heard in [false, true] {
        let mut world = world();
        world.say("m1", ALICE, "one");
        world.say("m2", ALICE, "two");
        world.say("m3", BOB, "to bob");
        let sent = world.take_sip();
        world.pass_secs(20);
        if heard {
            world.answer(&sent[0], 100);
        }
        world.answer(&sent[1], 200);
        world.pass_secs(11);
        assert!(world.take_xmpp().is_empty());
        world.pass_secs(2);
        let errors = world.take_xmpp();
        assert_eq!(errors.len(), 2, "the queue fails together: {errors:?}");
        for (error, id) in errors.iter().zip(["m1", "m2"]) {
            assert!(error.contains(&format!("id='{id}' type='error'")), "{error}");
            assert!(error.contains("<remote-server-timeout"), "{error}");
        }
        // A final response that comes too late changes nothing.
        world.answer(&sent[0], 200);
        world.pass_secs(60);
        world.assert_nothing_sent();
        world.assert_quiet();
    }
}

#[test]
fn check_110_a_peer_that_dns_does_not_know_is_not_found() {
    let mut world = world();
    for (located, condition) in [
        (Err("DNS did not answer"), "<remote-server-not-found"),
        (Ok(Vec::new()), "<remote-server-not-found"),
    ] {
        world.net.located = Some(located);
        world.say("m1", ALICE, "one");
        assert!(world.one_xmpp().contains(condition));
        assert!(world.take_sip().is_empty());
        world.pass_secs(60);
        world.seen.clear();
    }
    world.net.located = Some(Ok(vec![target(1)]));
    world.net.links = Play::Fail;
    world.say("m1", ALICE, "one");
    assert!(world.one_xmpp().contains("<remote-server-timeout"));
    world.assert_quiet();
}

#[test]
fn check_038_threat_106_a_challenge_is_answered_once_and_the_refusal_is_told() {
    let mut world = World::with(Net::works(), |settings| {
        settings.peers[0].credentials = Some(crate::sip::digest::Credentials {
            realm: "contoso.example".into(),
            username: "gateway".into(),
            password: "secret".into(),
        });
    });
    world.say("m1", ALICE, "one");
    let first = world.one_sip();
    let challenge =
        "WWW-Authenticate: Digest realm=\"contoso.example\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";
    world.answer_with(&first, 401, challenge);
    let second = world.one_sip();
    let authorization = second.header("Authorization").unwrap();
    assert!(authorization.contains("username=\"gateway\"") && !second.text.contains("secret"), "{second:?}");
    for name in ["Call-ID", "From"] {
        assert_eq!(first.header(name), second.header(name));
    }
    assert_ne!(first.header("Via"), second.header("Via"), "a new transaction");
    let number =
        |sent: &Sent| sent.header("CSeq").unwrap().split(' ').next().unwrap().parse::<u32>().unwrap();
    assert_eq!(number(&second), number(&first) + 1);
    world.answer_with(&second, 401, challenge);
    assert!(world.one_xmpp().contains("<not-authorized"));
    assert!(world.take_sip().is_empty(), "no storm");
    // Without credentials at once.
    let mut world = self::world();
    world.say("m1", ALICE, "one");
    let sent = world.one_sip();
    world.answer_with(&sent, 401, challenge);
    assert!(world.one_xmpp().contains("<not-authorized"));
    world.assert_quiet();
}

#[test]
fn check_038_a_challenge_that_comes_late_is_told_as_it_is() {
    let mut world = World::with(Net::works(), |settings| {
        settings.peers[0].credentials = Some(crate::sip::digest::Credentials {
            realm: "contoso.example".into(),
            username: "gateway".into(),
            password: "secret".into(),
        });
    });
    world.say("m1", ALICE, "one");
    let first = world.one_sip();
    world.pass_secs(20);
    world.answer_with(&first, 401, "WWW-Authenticate: Digest realm=\"contoso.example\", nonce=\"n1\"\r\n");
    assert!(world.take_sip().is_empty(), "its time on the wire is over");
    assert!(world.one_xmpp().contains("<not-authorized"));
    world.assert_quiet();
}
