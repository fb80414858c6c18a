//! Each row of the table.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::bridge::to_sip::{PagerText, ToSip, translate};
use crate::xml::{self, Limits, Scope};
use crate::xmpp::error::Condition;
use crate::xmpp::stanza::StanzaKind;

const ALICE: &str = "alice@contoso.example";
const ROMEO: &str = "romeo@capulet.example/orchard";

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// A table where what was written lies.
struct Room {
    now: Now,
    terms: Terms,
    memory: Memory,
}

impl Room {
    fn new() -> Self {
        Self { now: Now::at(0), terms: Terms::default(), memory: Memory::new([1; 32]) }
    }

    /// What becomes of a message of Romeo's with these children.
    fn with<T>(&mut self, from: &str, id: &str, children: &str, look: impl FnOnce(ToSip<'_>) -> T) -> T {
        let text = format!("<message from='{from}' to='{ALICE}' type='chat' id='{id}'>{children}</message>");
        let element = xml::parse(&text, &Scope::server(), &Limits::default()).unwrap();
        let stanza = Stanza { kind: StanzaKind::Message, from: jid(from), to: jid(ALICE), element };
        let mut desk = Desk { now: self.now, terms: self.terms, memory: &mut self.memory };
        look(translate(&stanza, &mut desk))
    }

    fn body(&mut self, id: &str, children: &str) -> Option<String> {
        self.body_of(ROMEO, id, children)
    }

    fn body_of(&mut self, from: &str, id: &str, children: &str) -> Option<String> {
        self.with(from, id, children, |what| match what {
            ToSip::Message(text) => Some(text.body.into_owned()),
            ToSip::Nothing => None,
            other => panic!("{other:?}"),
        })
    }

    fn text(&mut self, children: &str, look: impl FnOnce(PagerText<'_>)) {
        self.with(ROMEO, "x", children, |what| match what {
            ToSip::Message(text) => look(text),
            other => panic!("{other:?}"),
        });
    }

    /// What Alice wrote to Romeo.
    fn alice(&mut self, id: &str, text: &str) {
        self.memory.remember(self.now, &jid(ALICE), &jid(ROMEO), id, text);
    }
}

#[test]
fn a_correction_of_ones_own_message_is_the_whole_text_with_a_star() {
    let mut room = Room::new();
    let correction = "<body>But soft, what light</body><replace id='m1' xmlns='urn:xmpp:message-correct:0'/>";
    assert_eq!(room.body("m0", correction).unwrap(), "But soft, what light", "of nothing that is known");
    assert_eq!(room.body("m1", "<body>But sot</body>").unwrap(), "But sot");
    assert_eq!(room.body("m2", correction).unwrap(), "* But soft, what light");
    // Another resource is the same person; another person is not.
    let other = "romeo@capulet.example/balcony";
    assert_eq!(room.body_of(other, "m3", correction).unwrap(), "* But soft, what light");
    assert_eq!(room.body_of("tybalt@capulet.example", "m4", correction).unwrap(), "But soft, what light");
    room.alice("a1", "mine");
    let hers = "<body>x</body><replace id='a1' xmlns='urn:xmpp:message-correct:0'/>";
    assert_eq!(room.body("m5", hers).unwrap(), "x", "what she wrote is not his to change");
    room.now = Now::at(4 * 3600);
    assert_eq!(room.body("m6", correction).unwrap(), "But soft, what light", "too long ago");
    let empty = "<replace id='m1' xmlns='urn:xmpp:message-correct:0'/>";
    assert_eq!(room.body("m7", empty), None);
}

#[test]
fn a_reply_keeps_its_quotation_or_gets_one() {
    let mut room = Room::new();
    room.alice("a1", "We should bake a cake\nwith cherries");
    let reply = "<reply to='alice@contoso.example' id='a1' xmlns='urn:xmpp:reply:0'/>";
    assert_eq!(
        room.body("m1", &format!("<body>Great idea!</body>{reply}")).unwrap(),
        "> We should bake a cake\nGreat idea!"
    );
    let quoted = format!(
        "<body>> Anna wrote:\n> We should bake a cake\nGreat idea!</body>{reply}\
         <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='38'/></fallback>"
    );
    assert_eq!(room.body("m2", &quoted).unwrap(), "> Anna wrote:\n> We should bake a cake\nGreat idea!");
    // What another namespace put there is nothing to strip, and no quotation.
    let other = format!(
        "<body>Great idea!</body>{reply}<fallback xmlns='urn:xmpp:fallback:0' for='urn:x'><body/></fallback>"
    );
    assert_eq!(room.body("m3", &other).unwrap(), "> We should bake a cake\nGreat idea!");
    let unknown = "<body>Great idea!</body><reply id='a9' xmlns='urn:xmpp:reply:0'/>";
    assert_eq!(room.body("m4", unknown).unwrap(), "Great idea!");
    // A reply to a reply quotes the words of that one, not what it quotes.
    let second = "<body>Yes</body><reply id='m2' xmlns='urn:xmpp:reply:0'/>";
    assert_eq!(room.body("m5", second).unwrap(), "> Great idea!\nYes");
}

#[test]
fn reactions_are_a_line_now_and_then_and_removals_are_nothing() {
    let mut room = Room::new();
    room.alice("a1", "Wherefore art thou, and is there anything else that I should know?");
    let reactions = |id: &str, inner: &str| {
        format!(
            "<reactions id='{id}' xmlns='urn:xmpp:reactions:0'>{inner}</reactions><store xmlns='urn:xmpp:hints'/>"
        )
    };
    let thumb = reactions("a1", "<reaction>👍</reaction>");
    assert_eq!(
        room.body("m1", &thumb).unwrap(),
        "romeo reacted 👍 to \"Wherefore art thou, and is there anythin…\""
    );
    assert_eq!(
        room.body("m2", &reactions("a1", "<reaction>👍</reaction><reaction>🐢</reaction>")),
        None,
        "too soon"
    );
    room.now = Now::at(10);
    assert_eq!(room.body("m3", &reactions("a1", "")), None, "a removal");
    let two =
        reactions("zz", "<reaction>👍</reaction><reaction>🐢</reaction><body xmlns='jabber:server'>x</body>");
    assert_eq!(room.body("m4", &two).unwrap(), "romeo reacted 👍🐢 to an earlier message");
    room.now = Now::at(20);
    let named = format!("{thumb}<nick xmlns='http://jabber.org/protocol/nick'>Romeo M.</nick>");
    assert!(room.body("m5", &named).unwrap().starts_with("Romeo M. reacted 👍 to \"Where"));
    room.now = Now::at(40);
    room.terms.reactions = false;
    assert_eq!(room.body("m6", &thumb), None, "switched off");
    assert_eq!(room.body("m7", &format!("<body>+1 from a fallback</body>{thumb}")), None);
}

#[test]
fn a_retraction_is_a_notice_that_claims_nothing() {
    let mut room = Room::new();
    for retraction in [
        "<retract id='m1' xmlns='urn:xmpp:message-retract:1'/><body>/me retracted a message</body>\
         <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/>",
        "<retract id='m1' xmlns='urn:xmpp:message-retract:1'/>",
        "<apply-to id='m1' xmlns='urn:xmpp:fasten:0'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>",
    ] {
        assert_eq!(room.body("m2", retraction).unwrap(), "(message withdrawn)");
    }
}

#[test]
fn a_link_to_a_file_is_said_once_with_name_and_size() {
    let mut room = Room::new();
    let url = "https://download.montague.lit/4a77/summit.jpg";
    let oob = format!("<x xmlns='jabber:x:oob'><url>{url}</url></x>");
    assert_eq!(room.body("m1", &format!("<body>{url}</body>{oob}")).unwrap(), url);
    assert_eq!(room.body("m2", &oob).unwrap(), url);
    assert_eq!(room.body("m3", &format!("<body>Look</body>{oob}")).unwrap(), format!("Look\n{url}"));
    let sfs = format!(
        "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'>\
         <media-type>image/jpeg</media-type><name>the summit.jpg</name><size>3032449</size></file><sources>\
         <jinglepub xmlns='urn:xmpp:jinglepub:1' from='romeo@montague.lit/r' id='9'/>\
         <url-data xmlns='http://jabber.org/protocol/url-data' target='{url}'/></sources></file-sharing>"
    );
    assert_eq!(room.body("m4", &sfs).unwrap(), format!("{url} (the summit.jpg, 3 MiB)"));
    assert_eq!(
        room.body("m5", &format!("<body>{url}</body>{oob}{sfs}")).unwrap(),
        format!("{url}\n(the summit.jpg, 3 MiB)")
    );
    let sims = format!(
        "<body>Look at the nice view.</body><reference xmlns='urn:xmpp:reference:0' begin='17' end='20' type='data'>\
         <media-sharing xmlns='urn:xmpp:sims:1'><file xmlns='urn:xmpp:jingle:apps:file-transfer:5'>\
         <name>summit.jpg</name><size>900</size></file><sources>\
         <reference xmlns='urn:xmpp:reference:0' type='data' uri='xmpp:romeo@montague.lit?jingle;id=9'/>\
         <reference xmlns='urn:xmpp:reference:0' type='data' uri='{url}'/></sources></media-sharing></reference>"
    );
    assert_eq!(room.body("m6", &sims).unwrap(), format!("Look at the nice view.\n{url} (900 B)"));
    let mention =
        "<body>Hi Anna</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:a@b'/>";
    assert_eq!(room.body("m7", mention).unwrap(), "Hi Anna");
    for bad in ["javascript:alert(1)", "file:///etc/passwd", "https://a b", "https://a\nb: c", ""] {
        let bad = format!("<x xmlns='jabber:x:oob'><url>{bad}</url></x>");
        assert_eq!(room.body("m8", &bad), None, "{bad}");
    }
}

#[test]
fn an_encrypted_file_is_a_link_that_cant_be_opened() {
    let mut room = Room::new();
    let url = "aesgcm://up.example/f.jpg#0a1b";
    let said = format!("{url}\n(The file is encrypted: this network cannot open it.)");
    assert_eq!(room.body("m1", &format!("<x xmlns='jabber:x:oob'><url>{url}</url></x>")).unwrap(), said);
    let both = format!("<body>{url}</body><x xmlns='jabber:x:oob'><url>{url}</url></x>");
    assert_eq!(room.body("m2", &both).unwrap(), said);
}

#[test]
fn what_is_encrypted_is_never_delivered() {
    let mut room = Room::new();
    let body = "<body>I sent you an OMEMO encrypted message</body>";
    for encryption in [
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
        "<encrypted xmlns='urn:xmpp:omemo:2'/>",
        "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>",
        "<x xmlns='jabber:x:encrypted'>x</x>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:x'/>",
    ] {
        for children in [format!("{body}{encryption}"), encryption.to_owned()] {
            assert!(room.with(ROMEO, "m", &children, |what| what == ToSip::Encrypted), "{children}");
        }
    }
    assert!(room.with(ROMEO, "m", "<body>?OTRv23?</body>", |what| what == ToSip::Encrypted));
}

#[test]
fn copies_of_other_conversations_are_dropped() {
    let mut room = Room::new();
    for copy in [
        "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></sent>",
        "<received xmlns='urn:xmpp:carbons:2'/>",
        "<result xmlns='urn:xmpp:mam:2' id='1'/>",
        "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>x</body></message></forwarded>",
    ] {
        assert_eq!(room.body("m", &format!("<body>x</body>{copy}")), None, "{copy}");
    }
}

#[test]
fn an_invitation_to_a_room_is_refused_with_a_reason() {
    let mut room = Room::new();
    for invitation in [
        "<x xmlns='jabber:x:conference' jid='room@muc.example'/>",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='romeo@capulet.example'/></x>",
    ] {
        for body in ["", "<body>Come</body>"] {
            let refusal = ToSip::Refuse(Condition::ServiceUnavailable, NO_ROOMS);
            assert!(room.with(ROMEO, "m", &format!("{body}{invitation}"), |what| what == refusal));
        }
    }
    // A private message out of a room has such a child, too.
    let private = "<body>psst</body><x xmlns='http://jabber.org/protocol/muc#user'/>";
    assert_eq!(room.body("m", private).unwrap(), "psst");
}

#[test]
fn a_nickname_is_a_name_on_one_line() {
    let mut room = Room::new();
    for (nick, name) in [
        ("Romeo M.", Some("Romeo M.")),
        ("  Ro\nmeo  ", Some("Ro meo")),
        ("\u{202e}oemoR\u{2066}", Some("oemoR")),
        (" \u{202e} ", None),
        ("", None),
    ] {
        let children = format!("<body>x</body><nick xmlns='http://jabber.org/protocol/nick'>{nick}</nick>");
        room.text(&children, |text| assert_eq!(text.name.as_deref(), name));
    }
    let long = "é".repeat(200);
    assert!(display_name(&long).unwrap().len() <= 128);
}

#[test]
fn what_has_no_text_gets_a_few_words() {
    let mut room = Room::new();
    let place =
        "<geoloc xmlns='http://jabber.org/protocol/geoloc'><lat>45.44</lat><lon>-12.33</lon></geoloc>";
    assert_eq!(room.body("m", place).unwrap(), "geo:45.44,-12.33");
    assert_eq!(room.body("m", &format!("<body>Here</body>{place}")).unwrap(), "Here");
    let nowhere = "<geoloc xmlns='http://jabber.org/protocol/geoloc'><lat>north</lat><lon>1e9</lon></geoloc>";
    assert_eq!(room.body("m", nowhere), None);
    assert_eq!(room.body("m", "<sticker xmlns='urn:xmpp:stickers:0' pack='x'/>").unwrap(), "(sticker)");
    let sticker = "<body>😘</body><sticker xmlns='urn:xmpp:stickers:0' pack='x'/>";
    assert_eq!(room.body("m", sticker).unwrap(), "😘");
    assert_eq!(room.body("m", "<vCard xmlns='vcard-temp'><FN>R</FN></vCard>").unwrap(), "(contact card)");
}

#[test]
fn check_039_hints_ids_styling_previews_and_the_unknown_leave_the_text_alone() {
    let mut room = Room::new();
    let children = "<body>*bold* `code`</body><store xmlns='urn:xmpp:hints'/>\
        <origin-id xmlns='urn:xmpp:sid:0' id='o'/><stanza-id xmlns='urn:xmpp:sid:0' id='s' by='x'/>\
        <unstyled xmlns='urn:xmpp:styling:0'/><markup xmlns='urn:xmpp:markup:0'/>\
        <html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>b</body></html>\
        <Description xmlns='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/><poll xmlns='urn:x:polls'/>";
    assert_eq!(room.body("m", children).unwrap(), "*bold* `code`");
    let without = children.replace("<body>*bold* `code`</body>", "");
    assert_eq!(room.body("m", &without), None);
}

#[test]
fn emoji_cross_untouched_unless_the_peer_cant_show_them() {
    let mut room = Room::new();
    let text = "<body>naïve 👩‍👩‍👧 👍🏽 :thumbsup:</body>";
    assert_eq!(room.body("m", text).unwrap(), "naïve 👩‍👩‍👧 👍🏽 :thumbsup:");
    room.terms.ascii_emoji = true;
    assert_eq!(room.body("m", text).unwrap(), "naïve (U+1F469) (yes) :thumbsup:");
}

#[test]
fn a_snippet_is_never_cut_inside_of_a_character() {
    assert_eq!(snippet(&"👩‍👩‍👧".repeat(5)), "👩‍👩‍👧".repeat(5));
    assert_eq!(snippet(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
    assert_eq!(snippet(&"e\u{301}".repeat(41)), format!("{}…", "e\u{301}".repeat(40)));
    assert_eq!(snippet("> quoted\n\n  own\twords  \nmore"), "own words");
    assert_eq!(snippet("> only quoted"), "> only quoted");
    assert_eq!(snippet(""), "");
}

#[test]
fn states_and_answers_without_a_text_are_told_apart() {
    use crate::bridge::receipts::{Answer, Asked, Outcome};
    use crate::bridge::typing::ChatState;
    let mut room = Room::new();
    let composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    assert!(room.with(ROMEO, "m", composing, |what| what == ToSip::State(ChatState::Composing)));
    let received = "<received xmlns='urn:xmpp:receipts' id='a1'/>";
    let answer = ToSip::Answer(Answer { id: "a1", outcome: Outcome::Delivered });
    assert!(room.with(ROMEO, "m", &format!("{received}{composing}"), |what| what == answer));
    assert_eq!(room.body("m", "<request xmlns='urn:xmpp:receipts'/>"), None);
    let asking =
        "<body>x</body><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>";
    room.text(asking, |text| assert_eq!(text.asked, Asked { delivery: true, display: true }));
    // XEP-0184 §5.6: what answers asks nothing.
    room.text(&format!("{asking}{received}"), |text| assert_eq!(text.asked, Asked::default()));
}
