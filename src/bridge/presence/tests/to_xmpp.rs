//! SIP to XMPP: documents read, presences written.

use super::*;
use crate::body::pidf::tests::samples;

#[test]
fn check_084_open_is_available_and_closed_is_unavailable() {
    let tuple =
        |id: &str, basic: &str| format!("<tuple id='{id}'><status><basic>{basic}</basic></status></tuple>");
    assert_eq!(first(&around(&tuple("ID-a", "open"))), ["/a'></presence>"]);
    // RFC 8048 §6.3, Example 21: nothing was shown, so it is the user who is not there.
    assert_eq!(first(&around(&tuple("ID-a", "closed"))), ["' type='unavailable'></presence>"]);
    assert_eq!(first(&around("")), ["' type='unavailable'></presence>"]);
    let mut shown = Shown::default();
    tell(&mut shown, &read(&around(&tuple("ID-a", "open"))), Now::at(0));
    assert!(shown.is_available());
    let closed = around(&tuple("ID-a", "closed"));
    assert_eq!(tell(&mut shown, &read(&closed), Now::at(1)), ["/a' type='unavailable'></presence>"]);
    assert_eq!(tell(&mut shown, &read(&closed), Now::at(2)), Vec::<String>::new(), "once is enough");
}

#[test]
fn check_085_show_notes_and_priority_cross() {
    let text = around(
        "<tuple id='ID-a'><status><basic>open</basic><show xmlns='jabber:client'>dnd</show></status>\
         <contact priority='0.504'>sip:alice@contoso.example;gr=a</contact><note xml:lang='en'> In a &lt;meeting>\n\
         </note><note xml:lang='fr'>En réunion</note><note xml:lang='fr'>encore</note><note> </note></tuple>",
    );
    assert_eq!(
        first(&text),
        ["/a'><show>dnd</show><status xml:lang='en'>In a &lt;meeting&gt;</status>\
          <status xml:lang='fr'>En réunion</status><priority>64</priority></presence>"]
    );
}

#[test]
fn notes_are_those_nearest_to_the_tuple() {
    let with = |tuple: &str, person: &str, top: &str| {
        first(&around(&format!(
            "<tuple id='a'><status><basic>open</basic></status>{tuple}</tuple>{top}<dm:person id='p'>{person}</dm:person>"
        )))
    };
    let status = |text: &str| [format!("/a'><status>{text}</status></presence>")];
    let (tuple, person, top) = ("<note>tuple</note>", "<dm:note>person</dm:note>", "<note>top</note>");
    assert_eq!(with(tuple, person, top), status("tuple"));
    assert_eq!(with("<note> </note>", person, top), status("person"));
    assert_eq!(with("", "", top), status("top"));
    assert_eq!(with("", "", ""), ["/a'></presence>"]);
}

#[test]
fn content_language_is_that_of_notes_without_one() {
    let text = around(
        "<tuple id='a'><status><basic>open</basic></status><note>ja</note><note xml:lang='en'>yes</note></tuple>",
    );
    let (user, watcher) = (alice(), juliet());
    let envelope = Envelope { user: &user, watcher: &watcher, notes: true, caps: None };
    let langs = |lang| {
        let mut langs = Vec::new();
        Shown::default().update(&read(&text), &envelope, lang, Now::at(0).wall, |one| {
            langs.extend(one.statuses.iter().map(|status| status.lang.clone()));
        });
        langs
    };
    assert_eq!(langs(Some("de")), [Some("de".into()), Some("en".into())]);
    assert_eq!(langs(Some("de, en")), [None, Some("en".into())]);
    assert_eq!(langs(None), [None, Some("en".into())]);
}

#[test]
fn f31_f33_f36_statuses_are_for_those_who_may_see_notes() {
    let document = around(
        "<tuple id='a'><status><basic>open</basic></status><note>Secret</note></tuple><note>Secret</note>\
         <dm:person id='p'><dm:note>Secret</dm:note></dm:person>",
    );
    let mut shown = Shown::default();
    assert_eq!(tell_with(&mut shown, &read(&document), false, Now::at(0)), ["/a'></presence>"]);
    assert_eq!(
        tell_with(&mut shown, &read(&document), true, Now::at(1)),
        ["/a'><status>Secret</status></presence>"]
    );
    // The right went away in between: what was kept is not written.
    let (user, watcher) = (alice(), juliet());
    let envelope = Envelope { user: &user, watcher: &watcher, notes: false, caps: None };
    let mut out = Vec::new();
    shown.repeat(Now::at(2).wall, |one| one.write_presence(&envelope, &mut out));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<presence from='alice@contoso.example/a' to='juliet@example.com'></presence>"
    );
    let closed = around("<tuple id='a'><status><basic>closed</basic></status><note>Secret</note></tuple>");
    assert_eq!(
        tell_with(&mut shown, &read(&closed), false, Now::at(3)),
        ["/a' type='unavailable'></presence>"]
    );
}

#[test]
fn caps_and_addresses_are_those_of_the_envelope() {
    let (user, watcher) =
        (Jid::parse("o\\27malley@contoso.example/x").unwrap(), Jid::parse("juliet@example.com/b").unwrap());
    let envelope = Envelope { user: &user, watcher: &watcher, notes: true, caps: Some(CAPS) };
    let mut out = Vec::new();
    let mut shown = Shown::default();
    // The entity of the document is nobody's address.
    let text = samples::RFC_8048;
    shown
        .update(&read(text), &envelope, None, Now::at(0).wall, |one| one.write_presence(&envelope, &mut out));
    shown.end(&envelope, Now::at(1).wall, |one| one.write_presence(&envelope, &mut out));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<presence from='o\\27malley@contoso.example/yn0cl4bnw0yr3vym' to='juliet@example.com/b'>\
         <show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://stoxd.example' \
         ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>\
         <presence from='o\\27malley@contoso.example/yn0cl4bnw0yr3vym' to='juliet@example.com/b' \
         type='unavailable'></presence>"
    );
}

#[test]
fn check_088_what_vanished_is_unavailable_and_the_rest_is_not_told_again() {
    let open = |id: &str| format!("<tuple id='{id}'><status><basic>open</basic></status></tuple>");
    let mut shown = Shown::default();
    let mut step = |inner: String, now| tell(&mut shown, &read(&around(&inner)), Now::at(now));
    assert_eq!(step(open("a") + &open("b"), 0), ["/a'></presence>", "/b'></presence>"]);
    assert_eq!(step(open("b") + &open("a"), 1), Vec::<String>::new());
    assert_eq!(step(open("b"), 2), ["/a' type='unavailable'></presence>"]);
    // A new id for the same user agent: it never seems to be away.
    assert_eq!(step(open("c"), 3), ["/c'></presence>", "/b' type='unavailable'></presence>"]);
    let last =
        "<tuple id='c'><status><basic>closed</basic></status><note>Gone home</note></tuple>".to_owned();
    assert_eq!(step(last, 4), ["/c' type='unavailable'><status>Gone home</status></presence>"]);
    assert_eq!(step(String::new(), 5), Vec::<String>::new());
    assert_eq!(step(open("c"), 6), ["/c'></presence>"]);
    assert_eq!(step(String::new(), 7), ["/c' type='unavailable'></presence>"]);
}

#[test]
fn check_088_a_bad_document_or_none_leaves_what_was_shown() {
    let mut shown = Shown::default();
    tell(&mut shown, &read(samples::LINPHONE), Now::at(0));
    assert!(pidf::read(b"<presence", &Limits::default()).is_err());
    let mut repeated = Vec::new();
    shown.repeat(Now::at(1).wall, |one| repeated.push((one.state, one.name.clone().unwrap())));
    assert_eq!(repeated, [(State::Dnd, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into())]);
    let mut nothing = 0;
    Shown::default().repeat(Now::at(1).wall, |_| nothing += 1);
    assert_eq!(nothing, 0, "nothing was shown, nothing is repeated");
    let (user, watcher) = (alice(), juliet());
    let envelope = Envelope { user: &user, watcher: &watcher, notes: true, caps: None };
    let mut states = Vec::new();
    shown.end(&envelope, Now::at(2).wall, |one| states.push(one.state));
    shown.end(&envelope, Now::at(3).wall, |one| states.push(one.state));
    assert_eq!(states, [State::Offline]);
    shown.repeat(Now::at(4).wall, |one| states.push(one.state));
    assert_eq!(states, [State::Offline, State::Offline]);
}

#[test]
fn f86_documents_of_servers_and_user_agents_become_presence() {
    for (sample, expected) in [
        (samples::RFC_8048, "/yn0cl4bnw0yr3vym'><show>away</show></presence>"),
        (samples::LYNC, "/0'><show>dnd</show></presence>"),
        (samples::LYNC_STATE, "/user:epid:Xy12'><show>dnd</show><priority>127</priority></presence>"),
        (samples::KAMAILIO, "/0x81475a0'><show>away</show><status>CPU:16 MEM:476</status></presence>"),
        (
            samples::LINPHONE,
            "/urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6'><show>dnd</show>\
             <status xml:lang='en'>On the phone</status><priority>102</priority></presence>",
        ),
        (
            samples::CISCO,
            "/cisco-upc'><show>dnd</show><status>Back at &lt;noon&gt;</status><priority>102</priority>\
             <idle xmlns='urn:xmpp:idle:1' since='2026-11-22T23:30:00Z'/></presence>",
        ),
        // The holiday is over, the computer idle; the assistant is somebody else.
        (
            samples::RPID,
            "/bs35r9'><show>away</show><status xml:lang='en'>Don't Disturb Please!</status>\
             <status xml:lang='fr'>Ne derangez pas, s'il vous plait</status><priority>102</priority>\
             <idle xmlns='urn:xmpp:idle:1' since='2026-11-22T23:00:00Z'/></presence>",
        ),
        (samples::MINIMAL, "' type='unavailable'></presence>"),
    ] {
        assert_eq!(first(sample), [expected], "{sample}");
    }
}

#[test]
fn resources_come_from_gruus_and_ids() {
    let name = |id: &str, contact: &str| {
        let document = around(&format!(
            "<tuple id='{id}'><status><basic>open</basic></status><contact>{contact}</contact></tuple>"
        ));
        let (user, watcher) = (alice(), juliet());
        let envelope = Envelope { user: &user, watcher: &watcher, notes: true, caps: None };
        let mut names = Vec::new();
        Shown::default().update(&read(&document), &envelope, None, Now::at(0).wall, |one| {
            names.push(one.name.as_deref().map(str::to_owned));
        });
        assert_eq!(names.len(), 1);
        names.remove(0)
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(name("x", "sip:alice@contoso.example;gr=urn:uuid:1"), some("urn:uuid:1"));
    assert_eq!(name("x", "sip:Alice@CONTOSO.example;gr=a%20b"), some("a b"));
    // Of somebody else, temporary, or broken.
    for contact in [
        "sip:bob@contoso.example;gr=a",
        "sip:tgruu.7hs@contoso.example;gr",
        "sip:alice@contoso.example;gr",
        "sip:alice@contoso.example;gr=%FF",
        "sip:alice@contoso.example",
        "sips:alice@contoso.example;gr=a",
        "mailto:alice@contoso.example",
        ";gr=a",
        "",
    ] {
        assert_eq!(name("x", contact), some("x"), "{contact}");
    }
    assert_eq!(name("ID-a_20b", ""), some("a b"));
    assert_eq!(name("ID-", ""), None);
    assert_eq!(name("", ""), None);
    // What can be no resourcepart has a name made of it, always the same.
    let long = "a".repeat(1024);
    let hashed = name(&long, "").unwrap();
    assert!(hashed.starts_with("__") && hashed.len() == 34, "{hashed}");
    assert_eq!(name(&long, "").as_deref(), Some(&*hashed));
    assert_eq!(name(&"a".repeat(1023), ""), Some("a".repeat(1023)));
    assert!(name("&#x85;", "").unwrap().starts_with("__"));
}

#[test]
fn of_two_tuples_with_one_resource_the_open_one_counts_and_then_the_first() {
    let tuple = |basic: &str, show: &str| {
        format!(
            "<tuple id='{basic}{show}'><status><basic>{basic}</basic><show xmlns='jabber:client'>{show}</show></status>\
             <contact>sip:alice@contoso.example;gr=a</contact></tuple>"
        )
    };
    let text = around(&(tuple("closed", "") + &tuple("open", "xa") + &tuple("open", "chat")));
    assert_eq!(first(&text), ["/a'><show>xa</show></presence>"]);
}

#[test]
fn a_tuple_that_says_nothing_about_availability_is_none() {
    for status in [
        "<status/>",
        "",
        "<status><x:geopriv xmlns:x='urn:x'/></status>",
        "<status><rpid:activities><rpid:tv/></rpid:activities></status>",
        "<status><basic>maybe</basic></status>",
    ] {
        let text = around(&format!("<tuple id='a'>{status}<note>x</note></tuple>"));
        assert_eq!(first(&text), ["' type='unavailable'></presence>"], "{status}");
    }
    let text = around("<tuple id='a'><status><show xmlns='jabber:client'>chat</show></status></tuple>");
    assert_eq!(first(&text), ["/a'><show>chat</show></presence>"]);
    let text = around(
        "<tuple id='a'><status><availability xmlns='http://schemas.microsoft.com/2006/09/sip/state'>18500\
         </availability></status></tuple>",
    );
    assert_eq!(first(&text), ["' type='unavailable'></presence>"]);
}

#[test]
fn idle_is_told_with_its_time_and_never_from_the_future() {
    let with = |input: &str| {
        first(&around(&format!("<tuple id='a'><status><basic>open</basic></status>{input}</tuple>")))
    };
    assert_eq!(with("<rpid:user-input>idle</rpid:user-input>"), ["/a'><show>away</show></presence>"]);
    assert_eq!(
        with("<rpid:user-input last-input='2026-11-22T18:00:00-05:00'>idle</rpid:user-input>"),
        ["/a'><show>away</show><idle xmlns='urn:xmpp:idle:1' since='2026-11-22T23:00:00Z'/></presence>"]
    );
    assert_eq!(
        with("<rpid:user-input last-input='2036-11-22T18:00:00Z'>idle</rpid:user-input>"),
        ["/a'><show>away</show><idle xmlns='urn:xmpp:idle:1' since='2026-11-23T00:00:00Z'/></presence>"]
    );
    for nothing in [
        "<rpid:user-input last-input='2026-11-22T18:00:00Z'>active</rpid:user-input>",
        "<rpid:user-input>perhaps</rpid:user-input>",
    ] {
        assert_eq!(with(nothing), ["/a'></presence>"]);
    }
    assert_eq!(
        with("<rpid:user-input last-input='-000001-01-01T00:00:00Z'>idle</rpid:user-input>"),
        ["/a'><show>away</show></presence>"]
    );
}

#[test]
fn f85_a_document_of_ours_is_understood_at_another_gateway() {
    let mut resources = Resources::default();
    hear(
        &mut resources,
        "desk",
        "xml:lang='en'",
        "<show>dnd</show><status>Busy</status><priority>5</priority>",
        Now::at(0),
    );
    hear(&mut resources, "phone", "", "", Now::at(0));
    let text = written(&mut resources, &PidfOptions::default(), Now::at(0));
    let (user, watcher) = (juliet(), alice());
    let envelope = Envelope { user: &user, watcher: &watcher, notes: true, caps: None };
    let mut out = Vec::new();
    Shown::default().update(&read(&text), &envelope, None, Now::at(0).wall, |one| {
        one.write_presence(&envelope, &mut out)
    });
    // The phone is not busy because the desk is, and does not say so.
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<presence from='juliet@example.com/desk' to='alice@contoso.example'><show>dnd</show>\
         <status xml:lang='en'>Busy</status><priority>5</priority></presence>\
         <presence from='juliet@example.com/phone' to='alice@contoso.example'></presence>"
    );
}

#[test]
fn threat_145_what_is_shown_is_bounded() {
    let tuple = |number: usize, note: &str| {
        format!("<tuple id='t{number}'><status><basic>open</basic></status><note>{note}</note></tuple>")
    };
    let many: String = (0..100).map(|number| tuple(number, "")).collect();
    assert_eq!(first(&around(&many)).len(), RESOURCES_MAX);
    let large: String = (0..100).map(|number| tuple(number, &"x".repeat(2000))).collect();
    let told = first(&around(&large));
    assert!(!told.is_empty() && told.iter().map(String::len).sum::<usize>() < OCTETS_MAX + 1000);
    assert!(told.iter().all(|presence| presence.matches('x').count() == STATUS_MAX));
}
