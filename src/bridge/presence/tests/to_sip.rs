//! XMPP to SIP: presences heard, documents written.

use super::super::tuple_id;
use super::*;
use crate::addr::uri::Uri;
use crate::body::pidf::Basic;
use std::collections::BTreeSet;

const PLAIN: PidfOptions<'static> = PidfOptions {
    notes: true,
    last_input: true,
    status_activities: false,
    availability: false,
    dnd_note: None,
};

/// Tuples by id, basic status and show.
fn tuples(text: &str) -> Vec<(String, Option<Basic>, Option<&'static str>)> {
    let document = read(text);
    document.tuples.iter().map(|t| (t.id.to_string(), t.basic, t.show.map(|show| show.name()))).collect()
}

#[test]
fn check_084_available_is_open_and_unavailable_is_closed() {
    let mut resources = Resources::default();
    assert!(!resources.is_known());
    assert_eq!(hear(&mut resources, "balcony", "", "", Now::at(0)), Change::Changed);
    assert_eq!(
        written(&mut resources, &PLAIN, Now::at(0)),
        "<?xml version='1.0' encoding='UTF-8'?>\n\
         <presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='pres:juliet@example.com'>\
         <tuple id='ID-balcony'><status><basic>open</basic></status>\
         <rpid:user-input>active</rpid:user-input>\
         <contact priority='0'>sip:juliet@example.com;gr=balcony</contact>\
         <timestamp>2026-11-23T00:00:00Z</timestamp></tuple></presence>"
    );
    assert_eq!(hear(&mut resources, "balcony", "type='unavailable'", "", Now::at(9)), Change::Changed);
    assert!(resources.is_known() && !resources.is_available());
    let text = written(&mut resources, &PLAIN, Now::at(9));
    assert!(text.ends_with(
        "<tuple id='ID-balcony'><status><basic>closed</basic></status><contact>sip:juliet@example.com</contact>\
         <timestamp>2026-11-23T00:00:09Z</timestamp></tuple></presence>"
    ));
}

#[test]
fn check_085_show_and_statuses_cross_with_their_languages() {
    let mut resources = Resources::default();
    let inner = "<show>dnd</show><status> Wooing &lt;Juliet> </status><status xml:lang='cs'>Dvořím se</status>\
                 <status xml:lang='CS'>again</status><status xml:lang='not a tag'>x</status><status/>\
                 <status xmlns='urn:x'>no</status>";
    hear(&mut resources, "balcony", "xml:lang='en'", inner, Now::at(0));
    let text = written(&mut resources, &PidfOptions::default(), Now::at(0));
    assert!(text.contains(
        "<status><basic>open</basic><show xmlns='jabber:client'>dnd</show>\
         <activities xmlns='urn:ietf:params:xml:ns:pidf:status:rpid-status'><activity>busy</activity></activities>\
         </status>"
    ));
    let notes = |name| {
        format!(
            "<{name} xml:lang='en'>Wooing &lt;Juliet&gt;</{name}><{name} xml:lang='cs'>Dvořím se</{name}>\
             <{name}>x</{name}>"
        )
    };
    assert!(text.contains(&notes("note")), "{text}");
    assert!(text.contains(&format!(
        "<dm:person id='person'><rpid:activities><rpid:busy/></rpid:activities>{}</dm:person>",
        notes("dm:note")
    )));
}

#[test]
fn f33_f36_without_the_right_to_notes_no_status_crosses() {
    let mut resources = Resources::default();
    hear(&mut resources, "balcony", "", "<show>dnd</show><status>Secret</status>", Now::at(0));
    let options = PidfOptions { notes: false, ..PidfOptions::default() };
    let text = written(&mut resources, &options, Now::at(0));
    assert!(!text.contains("Secret") && !text.contains("note"), "{text}");
    assert!(written(&mut resources, &PidfOptions::default(), Now::at(0)).contains("<note>Secret</note>"));
    hear(&mut resources, "balcony", "type='unavailable'", "<status>Secret</status>", Now::at(1));
    assert!(!written(&mut resources, &options, Now::at(1)).contains("Secret"));
    assert!(written(&mut resources, &PidfOptions::default(), Now::at(1)).contains("<note>Secret</note>"));
}

#[test]
fn a_resource_in_dnd_can_say_so_in_words() {
    let options = PidfOptions { dnd_note: Some("Do not disturb"), ..PLAIN };
    let mut resources = Resources::default();
    hear(&mut resources, "a", "", "<show>dnd</show>", Now::at(0));
    assert!(written(&mut resources, &options, Now::at(0)).contains("<note>Do not disturb</note>"));
    hear(&mut resources, "a", "", "<show>dnd</show><status>Busy</status>", Now::at(1));
    assert!(!written(&mut resources, &options, Now::at(1)).contains("Do not disturb"));
    hear(&mut resources, "a", "", "", Now::at(2));
    assert!(!written(&mut resources, &options, Now::at(2)).contains("Do not disturb"));
}

#[test]
fn check_086_negative_priorities_are_not_mapped() {
    let mut resources = Resources::default();
    for (resource, priority) in [
        ("a", "<priority>-1</priority>"),
        ("b", "<priority>-128</priority>"),
        ("c", ""),
        ("d", "<priority> 127 </priority>"),
        ("e", "<priority>64</priority>"),
        ("f", "<priority>128</priority>"),
        ("g", "<priority>1</priority>"),
    ] {
        hear(&mut resources, resource, "", priority, Now::at(0));
    }
    let text = written(&mut resources, &PLAIN, Now::at(0));
    let document = read(&text);
    let found: Vec<_> =
        document.tuples.iter().map(|t| (&*t.id, t.contact.as_ref().unwrap().priority)).collect();
    assert_eq!(
        found,
        [
            ("ID-d", Some(1000)),
            ("ID-e", Some(504)),
            ("ID-g", Some(8)),
            ("ID-c", Some(0)),
            ("ID-f", Some(0)),
            ("ID-a", None),
            ("ID-b", None),
        ]
    );
    assert!(
        text.contains("priority='1'")
            && text.contains("priority='0.504'")
            && text.contains("priority='0.008'")
    );
}

#[test]
fn check_087_ids_are_unique_and_stable_and_contacts_are_gruus() {
    let long = "é".repeat(511) + "x";
    let names = ["balcony", "Balcony", "a b", "a_20b", "<&'\">", "1", "🌙", "a/b@c;d=1", &long];
    let mut resources = Resources::default();
    for name in names {
        hear(&mut resources, name, "", "", Now::at(0));
    }
    let text = written(&mut resources, &PLAIN, Now::at(0));
    let document = read(&text);
    let ids: BTreeSet<String> = document.tuples.iter().map(|tuple| tuple.id.to_string()).collect();
    assert_eq!(ids.len(), names.len());
    assert_eq!(ids, names.iter().map(|name| tuple_id::of_resource(Some(name))).collect());
    let mut back: Vec<String> = document
        .tuples
        .iter()
        .map(|tuple| {
            let uri = &tuple.contact.as_ref().unwrap().uri;
            let jid = crate::addr::map::jid_from_uri(&Uri::parse(uri).unwrap(), &Default::default()).unwrap();
            assert_eq!(jid.bare_str(), "juliet@example.com");
            jid.resource().unwrap().to_owned()
        })
        .collect();
    back.sort();
    let mut names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    names.sort();
    assert_eq!(back, names);
    // The same ids in the next document, whatever changes.
    hear(&mut resources, "balcony", "", "<show>away</show>", Now::at(5));
    let again = written(&mut resources, &PLAIN, Now::at(5));
    assert_eq!(read(&again).tuples.iter().map(|tuple| tuple.id.to_string()).collect::<BTreeSet<_>>(), ids);
}

#[test]
fn check_088_the_document_is_the_state_of_all_resources() {
    let open = |id: &str, show| (id.to_owned(), Some(Basic::Open), show);
    let mut resources = Resources::default();
    hear(&mut resources, "phone", "", "<show>away</show>", Now::at(0));
    hear(&mut resources, "desk", "", "<show>dnd</show>", Now::at(1));
    let text = written(&mut resources, &PLAIN, Now::at(1));
    assert_eq!(tuples(&text), [open("ID-desk", Some("dnd")), open("ID-phone", Some("away"))]);
    hear(&mut resources, "phone", "", "<priority>5</priority>", Now::at(2));
    let text = written(&mut resources, &PLAIN, Now::at(2));
    assert_eq!(tuples(&text), [open("ID-phone", None), open("ID-desk", Some("dnd"))]);
    hear(&mut resources, "desk", "type='unavailable'", "", Now::at(3));
    let text = written(&mut resources, &PLAIN, Now::at(3));
    assert_eq!(tuples(&text), [open("ID-phone", None)]);
    hear(&mut resources, "phone", "type='unavailable'", "", Now::at(4));
    let text = written(&mut resources, &PLAIN, Now::at(4));
    assert_eq!(tuples(&text), [("ID-phone".to_owned(), Some(Basic::Closed), None)]);
    hear(&mut resources, "desk", "", "", Now::at(5));
    assert_eq!(tuples(&written(&mut resources, &PLAIN, Now::at(5))), [open("ID-desk", None)]);
}

#[test]
fn the_person_is_what_the_best_resource_is() {
    let mut resources = Resources::default();
    let person = |resources: &mut Resources| {
        let text = written(resources, &PLAIN, Now::at(0));
        let document = read(&text);
        document.persons.first().map(|person| person.activities[0].set.iter().next().unwrap().name())
    };
    hear(&mut resources, "a", "", "<show>xa</show>", Now::at(0));
    assert_eq!(person(&mut resources), Some("away"));
    hear(&mut resources, "b", "", "<show>dnd</show>", Now::at(0));
    assert_eq!(person(&mut resources), Some("busy"));
    hear(&mut resources, "c", "", "", Now::at(0));
    assert_eq!(person(&mut resources), None);
    hear(&mut resources, "d", "", "<show>away</show><priority>1</priority>", Now::at(0));
    assert_eq!(person(&mut resources), Some("away"));
}

#[test]
fn only_presence_without_a_type_or_unavailable_is_a_notification() {
    let mut resources = Resources::default();
    for type_ in ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error", "available", ""]
    {
        let change = hear(&mut resources, "a", &format!("type='{type_}'"), "", Now::at(0));
        assert_eq!(change, Change::NotPresence, "{type_}");
    }
    let mut message = stanza("<message from='juliet@example.com/a' to='alice@contoso.example'/>");
    message.kind = StanzaKind::Message;
    assert_eq!(resources.update(&message, Now::at(0).wall), Change::NotPresence);
    assert!(!resources.is_known());
}

#[test]
fn what_shows_nothing_new_changes_nothing() {
    let mut resources = Resources::default();
    let inner = "<show>away</show><status>x</status><priority>3</priority>";
    assert_eq!(hear(&mut resources, "a", "", inner, Now::at(0)), Change::Changed);
    let caps = format!("{inner}<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>");
    assert_eq!(hear(&mut resources, "a", "id='2'", &caps, Now::at(1)), Change::Same);
    assert_eq!(resources.iter().next().unwrap().since, Now::at(0).wall);
    assert_eq!(hear(&mut resources, "b", "type='unavailable'", "", Now::at(2)), Change::Same);
    assert_eq!(hear(&mut resources, "", "", "", Now::at(3)), Change::Changed);
    assert_eq!(hear(&mut resources, "", "type='unavailable'", "", Now::at(4)), Change::Changed);
    assert!(!resources.is_available(), "unavailable from the bare JID is all of them");
    assert_eq!(hear(&mut resources, "", "type='unavailable'", "", Now::at(5)), Change::Same);
    assert_eq!(hear(&mut resources, "a", "type='unavailable'", "", Now::at(6)), Change::Same);
    resources.clear();
    assert!(!resources.is_known());
    assert_eq!(hear(&mut resources, "", "type='unavailable'", "", Now::at(7)), Change::Changed);
    assert_eq!(
        tuples(&written(&mut resources, &PLAIN, Now::at(7))),
        [("ID-".to_owned(), Some(Basic::Closed), None)]
    );
}

#[test]
fn check_089_documents_have_declaration_entity_and_namespace() {
    let user = Jid::parse("tschüss\\40x@bücher.example/r").unwrap();
    let mut resources = Resources::default();
    let mut out = Vec::new();
    resources.write_pidf(&user, &PLAIN, Now::at(0).wall, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with(
        "<?xml version='1.0' encoding='UTF-8'?>\n<presence xmlns='urn:ietf:params:xml:ns:pidf' \
         xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' \
         entity='pres:tsch%C3%BCss%40x@xn--bcher-kva.example'><tuple id='ID-'><status><basic>closed</basic>"
    ));
    // Unknown is closed, and a document that says so hides what is known.
    let mut known = Resources::default();
    hear(&mut known, "balcony", "", "<status>Secret</status>", Now::at(0));
    let mut out = Vec::new();
    known.write_closed(&user, Now::at(0).wall, &mut out);
    assert_eq!(out, text.into_bytes());
}

#[test]
fn check_090_no_stamp_is_in_two_documents() {
    let mut resources = Resources::default();
    let mut used = BTreeSet::new();
    let mut document = |resources: &mut Resources, now: Now| {
        let text = written(resources, &PLAIN, now);
        let document = read(&text);
        let mut stamps: Vec<_> =
            document.tuples.iter().map(|tuple| (tuple.timestamp.unwrap(), tuple.id.to_string())).collect();
        stamps.sort();
        assert!(stamps.iter().all(|(stamp, _)| used.insert(*stamp)), "repeated in {text}");
        assert!(used.iter().next_back() == stamps.last().map(|(stamp, _)| stamp), "not the newest: {text}");
        stamps.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    hear(&mut resources, "a", "", "", Now::at(0));
    hear(&mut resources, "b", "", "", Now::at(0));
    hear(&mut resources, "c", "", "", Now::at(1));
    assert_eq!(document(&mut resources, Now::at(1)).last().unwrap(), "ID-c");
    // Nothing changed, and it is another document all the same.
    assert_eq!(document(&mut resources, Now::at(1)).last().unwrap(), "ID-c");
    hear(&mut resources, "a", "", "<show>away</show>", Now::at(30));
    assert_eq!(document(&mut resources, Now::at(30)), ["ID-b", "ID-c", "ID-a"]);
    // The clock goes back.
    hear(&mut resources, "b", "", "<show>away</show>", Now::at(2));
    assert_eq!(document(&mut resources, Now::at(2)), ["ID-c", "ID-b", "ID-a"]);
    for name in ["", "a"] {
        hear(&mut resources, name, "type='unavailable'", "", Now::at(2));
        document(&mut resources, Now::at(2));
        hear(&mut resources, "a", "", "", Now::at(2));
        document(&mut resources, Now::at(2));
    }
    resources.clear();
    document(&mut resources, Now::at(2));
    document(&mut resources, Now::at(2));
}

#[test]
fn times_of_delayed_and_idle_presence_are_kept() {
    let of = |inner: &str, options: &PidfOptions<'_>| {
        let mut resources = Resources::default();
        hear(&mut resources, "a", "", inner, Now::at(60));
        let text = written(&mut resources, options, Now::at(60));
        let document = read(&text);
        let tuple = &document.tuples[0];
        let input = tuple.input.unwrap();
        (tuple.timestamp.unwrap().to_string(), input.is_idle, input.last.map(|last| last.to_string()))
    };
    let delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-11-22T23:00:00Z'/>";
    let idle = "<idle xmlns='urn:xmpp:idle:1' since='2026-11-22T22:00:00Z'/>";
    let away = "<show>away</show>";
    let hour = |hour: &str| Some(format!("2026-11-22T{hour}Z"));
    assert_eq!(of(delay, &PLAIN), ("2026-11-22T23:00:00Z".into(), false, None));
    assert_eq!(of(&format!("{away}{idle}"), &PLAIN), ("2026-11-23T00:01:00Z".into(), true, hour("22:00:00")));
    let last = "<query xmlns='jabber:iq:last' seconds='600'/>";
    assert_eq!(
        of(&format!("{away}{delay}{last}"), &PLAIN),
        ("2026-11-22T23:00:00Z".into(), true, hour("22:50:00"))
    );
    // Without away, XEP-0256 tells of the session before; and idle is what the table says.
    assert_eq!(of(last, &PLAIN).2, None);
    assert_eq!(of(idle, &PLAIN), ("2026-11-23T00:01:00Z".into(), false, None));
    assert_eq!(of(&format!("{away}{idle}"), &PidfOptions { last_input: false, ..PLAIN }).2, None);
    // Never in the future, never broken.
    let future = "<delay xmlns='urn:xmpp:delay' stamp='2036-11-22T23:00:00Z'/>\
                  <idle xmlns='urn:xmpp:idle:1' since='2037-11-22T23:00:00Z'/>";
    assert_eq!(
        of(&format!("{away}{future}"), &PLAIN),
        ("2026-11-23T00:01:00Z".into(), true, Some("2026-11-23T00:01:00Z".into()))
    );
    let broken = format!("{away}<query xmlns='jabber:iq:last' seconds='{}'/>", u64::MAX);
    assert_eq!(of(&broken, &PLAIN).2.as_deref(), Some("1970-01-01T00:00:00Z"));
    assert_eq!(of(&format!("{away}<query xmlns='jabber:iq:last' seconds='-1'/>"), &PLAIN).2, None);
}

#[test]
fn what_is_kept_of_a_watch_is_small() {
    assert!(size_of::<Resources>() <= 40 && size_of::<crate::bridge::presence::Shown>() <= 32);
    assert!(size_of::<Resource>() <= 72, "{}", size_of::<Resource>());
}

#[test]
fn threat_145_resources_and_texts_are_bounded() {
    let mut resources = Resources::default();
    hear(&mut resources, "keep", "", "<priority>1</priority>", Now::at(0));
    for number in 0..1000 {
        hear(&mut resources, &format!("r{number}"), "", "", Now::at(1 + number));
    }
    let names: BTreeSet<_> = resources.iter().map(|one| one.name.clone().unwrap()).collect();
    assert_eq!(names.len(), RESOURCES_MAX);
    assert!(names.contains("keep") && names.contains("r999") && !names.contains("r0"));
    // Texts: each is cut, and all together have a limit.
    let texts: String = ["de", "en", "fr", "it", "es"]
        .iter()
        .map(|lang| format!("<status xml:lang='{lang}'>a{}</status>", "é".repeat(10_000)))
        .collect();
    for number in 0..100 {
        let name = format!("{number:03}{}", "é".repeat(510));
        hear(&mut resources, &name, "", &texts, Now::at(2000 + number));
        assert!(resources.iter().map(Resource::octets).sum::<usize>() <= OCTETS_MAX);
    }
    let last = resources.iter().find(|one| one.name.as_deref().unwrap().starts_with("099")).unwrap();
    assert_eq!(last.statuses.len(), STATUSES_MAX);
    assert!(last.statuses.iter().all(|status| status.text.len() == 1023 && status.text.ends_with('é')));
    let text = written(&mut resources, &PidfOptions::default(), Now::at(3000));
    assert!(text.len() < 65_536, "{}", text.len());
    read(&text);
}
