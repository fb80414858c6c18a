//! What documents of others say.

use super::*;
use crate::body::Part;

fn only(text: &str) -> Tuple<'_> {
    let mut document = document(text);
    assert_eq!(document.tuples.len(), 1);
    document.tuples.remove(0)
}

fn set<const N: usize>(activities: [Activity; N]) -> ActivitySet {
    activities.into_iter().collect()
}

#[test]
fn check_085_show_stands_in_the_status() {
    let tuple = only(samples::RFC_8048);
    assert_eq!((tuple.basic, tuple.show), (Some(Basic::Open), Some(Show::Away)));
    assert_eq!(tuple.id, "ID-yn0cl4bnw0yr3vym");
    // Not that of another namespace, of an unknown value, or beside the status.
    for show in
        ["<show>dnd</show>", "<show xmlns='jabber:server'>dnd</show>", "<x:show xmlns:x='x'>dnd</x:show>"]
    {
        let text = around(&format!("<tuple id='a'><status><basic>open</basic>{show}</status></tuple>"));
        assert_eq!(only(&text).show, None, "{show}");
    }
    let text = around("<tuple id='a'><status/><show xmlns='jabber:client'>dnd</show></tuple>");
    assert_eq!(only(&text).show, None);
    let text = around("<tuple id='a'><status><show xmlns='jabber:client'>busy</show></status></tuple>");
    assert_eq!(only(&text).show, None);
}

#[test]
fn activities_are_read_where_microsoft_puts_them() {
    let document = document(samples::LYNC);
    assert_eq!(document.entity, "sip:alice@contoso.example");
    assert_eq!(document.tuples[0].basic, Some(Basic::Open));
    assert_eq!(document.tuples[0].activities, set([Activity::Busy]));
    let tuple = only(samples::LYNC_STATE);
    assert_eq!(tuple.availability, Some(9500));
    let contact = tuple.contact.unwrap();
    assert_eq!(
        (&*contact.uri, contact.priority),
        ("sip:alice@contoso.example;opaque=user:epid:Xy12;gruu", Some(1000))
    );
}

#[test]
fn persons_of_servers_and_user_agents_are_read() {
    let kamailio = document(samples::KAMAILIO);
    assert_eq!(kamailio.persons[0].activities[0].set, set([Activity::Away]));
    assert_eq!(kamailio.persons[0].notes, [Note { lang: None, text: "CPU:16 MEM:476".into() }]);
    assert_eq!(kamailio.notes, [Note { lang: None, text: "Away".into() }]);

    let linphone = document(samples::LINPHONE);
    let tuple = &linphone.tuples[0];
    assert_eq!((&*tuple.id, tuple.basic), ("qmht-a", Some(Basic::Open)));
    assert_eq!(tuple.contact.as_ref().unwrap().priority, Some(800));
    assert_eq!(tuple.timestamp, Some(time("2026-11-22T23:58:00Z")));
    assert_eq!(linphone.persons[0].activities[0].set, set([Activity::OnThePhone]));
    assert_eq!(linphone.persons[0].notes, [Note { lang: Some("en".into()), text: "On the phone".into() }]);

    let cisco = document(samples::CISCO);
    let tuple = &cisco.tuples[0];
    assert_eq!(tuple.input, Some(UserInput { is_idle: true, last: Some(time("2026-11-22T23:30:00Z")) }));
    assert_eq!(tuple.notes, [Note { lang: None, text: "Back at <noon>".into() }]);
    assert_eq!(cisco.persons[0].activities[0].set, set([Activity::Meeting]));
}

#[test]
fn times_devices_and_relationships_of_rpid_are_read() {
    let document = document(samples::RPID);
    assert_eq!(document.tuples.iter().map(|tuple| tuple.is_of_another).collect::<Vec<_>>(), [false, true]);
    assert_eq!(document.tuples[0].device.as_deref(), Some("urn:device:0003ba4811e3"));
    assert_eq!(document.devices[0].urn, "urn:device:0003ba4811e3");
    assert!(document.devices[0].input.unwrap().is_idle);
    let vacation = document.persons[0].activities[0];
    assert_eq!(vacation.set, set([Activity::Vacation]));
    assert!(vacation.holds_at(time("2026-11-02T11:59:59Z")));
    assert!(
        !vacation.holds_at(time("2026-11-02T12:00:00Z")) && !vacation.holds_at(time("2026-11-01T06:59:59Z"))
    );
    let langs: Vec<_> = document.tuples[0].notes.iter().map(|note| note.lang.as_deref()).collect();
    assert_eq!(langs, [Some("en"), Some("fr")]);
}

#[test]
fn check_089_unknown_elements_are_ignored_with_all_that_is_in_them() {
    let text = around(
        "<x:tuple xmlns:x='urn:x' id='no'><status><basic>open</basic></status></x:tuple>\
         <tuple id='a'><x:status xmlns:x='urn:x'><basic>closed</basic></x:status>\
         <status><x:y xmlns:x='urn:x'><basic>closed</basic><show xmlns='jabber:client'>dnd</show></x:y>\
         <basic>open</basic></status><other><contact>sip:x@y.example</contact></other></tuple>\
         <section><tuple id='b'><status><basic>open</basic></status></tuple></section>\
         <dm:person id='p'><x:activities xmlns:x='urn:x'><rpid:busy/></x:activities></dm:person>",
    );
    let tuple = only(&text);
    assert_eq!((&*tuple.id, tuple.basic, tuple.show, tuple.contact), ("a", Some(Basic::Open), None, None));
    assert!(document(&text).persons[0].activities.is_empty());
}

#[test]
fn what_must_be_understood_and_is_not_costs_its_extension_alone() {
    for mark in ["mustUnderstand='1'", "p:mustUnderstand='true'", "mustUnderstand=' true '"] {
        let text = around(&format!(
            "<tuple id='a' xmlns:p='{}'><status><basic>open</basic><x:y xmlns:x='urn:x' {mark}/>\
             <rpid:activities><rpid:busy/><x:z xmlns:x='urn:x' {mark}/></rpid:activities></status></tuple>",
            ns::PIDF
        ));
        let tuple = only(&text);
        assert_eq!((tuple.basic, tuple.activities), (Some(Basic::Open), ActivitySet::default()), "{mark}");
    }
    let text = around(
        "<tuple id='a'><status><rpid:activities><rpid:busy mustUnderstand='1'/><x:z xmlns:x='urn:x' \
         mustUnderstand='0'/></rpid:activities></status></tuple>",
    );
    assert_eq!(only(&text).activities, set([Activity::Busy]));
}

#[test]
fn check_089_declaration_encoding_and_byte_order_mark() {
    let body = around("<note>é</note>");
    for prolog in [
        "",
        "\u{FEFF}",
        "<?xml version='1.0'?>",
        "<?xml version='1.0' encoding='UTF-8'?>\r\n",
        "\u{FEFF}<?xml version=\"1.0\" encoding = \"utf-8\" standalone='yes'?>",
        "<?xml version='1.0' encoding='us-ascii'?><!-- really -->",
        "<?xml-stylesheet encoding='UTF-16'?>",
    ] {
        let text = format!("{prolog}{body}");
        assert_eq!(document(&text).notes[0].text, "é", "{prolog}");
    }
    for encoding in ["UTF-16", "ISO-8859-1", "utf-7", "UTF-88"] {
        let text = format!("<?xml version='1.0' encoding='{encoding}'?>{body}");
        assert_eq!(read(text.as_bytes(), &Limits::default()), Err(PidfError::Encoding), "{encoding}");
        // The charset of the Content-Type counts more.
        let part = |content_type| Part {
            content_type: Some(content_type),
            octets: text.as_bytes(),
            ..Part::default()
        };
        assert!(read_part(&part("application/pidf+xml;charset=\"utf-8\""), &Limits::default()).is_ok());
        assert_eq!(
            read_part(&part("application/pidf+xml; charset=utf-16"), &Limits::default()),
            Err(PidfError::Encoding)
        );
    }
    let utf16: Vec<u8> = "\u{FEFF}<presence/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&utf16, &Limits::default()), Err(PidfError::NotUtf8));
}

#[test]
fn check_092_only_its_own_type_is_read() {
    let part = |content_type, encoding| Part {
        content_type,
        encoding,
        octets: samples::RFC_8048.as_bytes(),
        ..Part::default()
    };
    let of = |content_type, encoding| read_part(&part(content_type, encoding), &Limits::default()).map(drop);
    assert_eq!(of(Some("Application/PIDF+XML"), None), Ok(()));
    assert_eq!(of(Some("application/pidf+xml;charset=UTF-8"), Some("identity")), Ok(()));
    assert_eq!(of(None, None), Err(PidfError::Type));
    for other in ["application/xpidf+xml", "text/xml+msrtc.pidf", "application/pidf-diff+xml", "nonsense", ""]
    {
        assert_eq!(of(Some(other), None), Err(PidfError::Type), "{other}");
        assert!(!is_pidf(other));
    }
    assert_eq!(of(Some(MEDIA_TYPE), Some("gzip")), Err(PidfError::ContentEncoding));
    assert_eq!(PidfError::Type.status(), 415);
}

#[test]
fn check_092_a_subscriber_without_the_type_is_refused() {
    let accepted = |values: &[&str]| is_accepted(values.iter().copied());
    for yes in [
        &[][..],
        &["application/pidf+xml"],
        &["text/plain, Application/Pidf+Xml;q=0.5"],
        &["text/plain", "application/*"],
        &["*/*;q=0.001"],
        &["*/*;q=0, application/pidf+xml"],
    ] {
        assert!(accepted(yes), "{yes:?}");
    }
    for no in [
        &[""][..],
        &["application/xpidf+xml"],
        &["application/pidf-diff+xml", "text/*"],
        &["application/pidf+xml;q=0"],
        &["application/pidf+xml;q=0.000, */*"],
        &["application"],
    ] {
        assert!(!accepted(no), "{no:?}");
    }
}

#[test]
fn f91_the_accept_list_of_lync_is_answered_with_pidf() {
    assert!(is_accepted([
        "application/msrtc-event-categories+xml, application/xpidf+xml, text/xml+msrtc.pidf, \
         application/pidf+xml, application/rlmi+xml, multipart/related"
    ]));
}

#[test]
fn check_086_priorities_are_decimals_from_zero_to_one() {
    let of = |priority: &str| {
        let text = around(&format!(
            "<tuple id='a'><status/><contact priority='{priority}'>sip:a@b.example</contact></tuple>"
        ));
        only(&text).contact.unwrap().priority
    };
    for (text, expected) in [
        ("0", Some(0)),
        ("0.", Some(0)),
        ("0.021", Some(21)),
        ("0.5", Some(500)),
        (" 0.8 ", Some(800)),
        ("0.9999", Some(999)),
        ("1", Some(1000)),
        ("1.00", Some(1000)),
        ("1.001", None),
        ("2", None),
        ("-0.1", None),
        ("+0.1", None),
        (".5", None),
        ("0,5", None),
        ("1e-1", None),
        ("0.5x", None),
        ("", None),
        ("NaN", None),
    ] {
        assert_eq!(of(text), expected, "{text}");
    }
    let long = format!("0.{}", "1".repeat(5000));
    assert_eq!(of(&long), Some(111));
}

#[test]
fn notes_inherit_their_language() {
    let text = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xml:lang='de'><tuple id='a' xml:lang='fr'><status/>\
                <note>un</note><note xml:lang='en'>one</note><note xml:lang=''>1</note></tuple><note>eins</note>\
                </presence>";
    let document = document(text);
    let langs: Vec<_> = document.tuples[0].notes.iter().map(|note| note.lang.as_deref()).collect();
    assert_eq!((langs, document.notes[0].lang.as_deref()), (vec![Some("fr"), Some("en"), None], Some("de")));
}

#[test]
fn what_is_there_twice_counts_once_and_what_is_missing_is_none() {
    let text = around(
        "<tuple><status><basic>perhaps</basic><basic> Open </basic><basic>closed</basic></status>\
         <status><basic>closed</basic></status><contact>sip:a@b.example</contact><contact>sip:c@d.example</contact>\
         <timestamp>yesterday</timestamp><timestamp>2026-11-23T00:00:00</timestamp></tuple>",
    );
    let tuple = only(&text);
    assert_eq!((&*tuple.id, tuple.basic, tuple.timestamp), ("", Some(Basic::Open), None));
    assert_eq!(tuple.contact.unwrap().uri, "sip:a@b.example");
    assert_eq!(document(samples::MINIMAL), Document::default());
}

#[test]
fn texts_are_borrowed_from_the_octets() {
    let document = document(samples::LINPHONE);
    assert!(matches!(document.persons[0].notes[0].text, Cow::Borrowed("On the phone")));
    assert!(matches!(document.tuples[0].contact.as_ref().unwrap().uri, Cow::Borrowed(_)));
}
