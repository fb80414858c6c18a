use super::*;
use crate::gateway::tests::texts::message;

#[test]
fn a_correction_and_a_reaction_go_as_texts() {
    let mut world = world();
    romeo(&mut world, "m1", "<body>But sot</body>");
    let sent = world.one_sip();
    world.answer(&sent, 200);
    romeo(&mut world, "m2", "<body>But soft</body><replace id='m1' xmlns='urn:xmpp:message-correct:0'/>");
    let sent = world.one_sip();
    assert_eq!(sent.body(), "* But soft");
    world.answer(&sent, 200);
    world.sip(&message(1, ALICE, ROMEO, "Wherefore art thou?"));
    let stanza = world.one_xmpp();
    let id = stanza.split(" id='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    world.take_sip();
    let reaction =
        format!("<reactions id='{id}' xmlns='urn:xmpp:reactions:0'><reaction>👍</reaction></reactions>");
    romeo(&mut world, "m3", &reaction);
    let sent = world.one_sip();
    assert_eq!(sent.body(), "romeo reacted 👍 to \"Wherefore art thou?\"");
    world.answer(&sent, 200);
    world.assert_quiet();
}

#[test]
fn a_peers_switches_are_its_own() {
    let mut world = World::with(Net::works(), |settings| {
        settings.peers[0].talk.beyond.reactions = false;
        settings.peers[0].talk.beyond.ascii_emoji = true;
    });
    romeo(
        &mut world,
        "m1",
        "<reactions id='x' xmlns='urn:xmpp:reactions:0'><reaction>👍</reaction></reactions>",
    );
    world.assert_nothing_sent();
    romeo(&mut world, "m2", "<body>fine 👍</body>");
    let sent = world.one_sip();
    assert_eq!(sent.body(), "fine (yes)");
}

#[test]
fn an_encrypted_message_comes_back_and_is_noticed_once_a_day_if_switched_on() {
    let encrypted = "<body>I sent you an OMEMO encrypted message</body>\
                     <encrypted xmlns='eu.siacs.conversations.axolotl'/>";
    for notice in [false, true] {
        let mut world = World::with(Net::works(), |settings| settings.talk.encrypted_notice = notice);
        for n in 0..3 {
            romeo(&mut world, &format!("m{n}"), encrypted);
            let error = world.one_xmpp();
            assert!(
                error.contains(&format!("id='m{n}' type='error'><error type='modify'><not-acceptable")),
                "{error}"
            );
            assert!(error.contains("cannot read encrypted messages"), "{error}");
            let sent = world.take_sip();
            assert_eq!(sent.len(), usize::from(notice && n == 0), "{sent:?}");
            for sent in sent {
                assert!(!sent.body().contains("OMEMO"), "{}", sent.text);
                world.answer(&sent, 200);
            }
        }
        world.pass_secs(24 * 3600);
        romeo(&mut world, "m9", encrypted);
        assert_eq!(world.take_sip().len(), usize::from(notice));
    }
}

#[test]
fn a_nickname_is_the_display_name_in_from_and_back_once_a_day() {
    let mut world = world();
    romeo(
        &mut world,
        "m1",
        "<body>x</body><nick xmlns='http://jabber.org/protocol/nick'>Romeo \"M\" \\</nick>",
    );
    let sent = world.one_sip();
    let from = sent.header("From").unwrap();
    assert!(
        from.starts_with("\"Romeo \\\"M\\\" \\\\\" <sip:romeo@capulet.example;gr=orchard>;tag="),
        "{from}"
    );
    world.answer(&sent, 200);
    let named = |n: u32| message(n, ALICE, ROMEO, "x").replace("From: <", "From: \"Alice <A>\u{202e}\" <");
    for (n, has) in [(1, true), (2, false)] {
        world.sip(&named(n));
        let stanza = world.one_xmpp();
        let nick = "<nick xmlns='http://jabber.org/protocol/nick'>Alice &lt;A&gt;</nick>";
        assert_eq!(stanza.contains(nick), has, "{stanza}");
    }
    world.pass_secs(24 * 3600);
    world.sip(&named(3));
    assert!(world.one_xmpp().contains("<nick "));
}

#[test]
fn an_invitation_to_a_room_is_answered() {
    let mut world = world();
    romeo(&mut world, "m1", "<x xmlns='jabber:x:conference' jid='room@muc.example'/>");
    let error = world.one_xmpp();
    assert!(error.contains("<service-unavailable") && error.contains("group chat does not cross"), "{error}");
    assert!(world.take_sip().is_empty());
}

#[test]
fn a_text_from_sip_has_an_id_that_archives_keep() {
    let mut world = world();
    world.sip(&message(1, ALICE, ROMEO, "hello"));
    let stanza = world.one_xmpp();
    let id = stanza.split(" id='").nth(1).unwrap().split('\'').next().unwrap();
    assert!(stanza.contains(&format!("<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>")), "{stanza}");
}
