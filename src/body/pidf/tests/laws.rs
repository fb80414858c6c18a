//! What was written is read as it was, whatever is in it.

use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    let special =
        proptest::sample::select(vec!["<", "&amp;", "]]>", "\r\n", "\t", "'", "\"", "é", "🌙", "<!--", " "]);
    vec(prop_oneof![special.prop_map(str::to_owned), "[a-z ]{0,8}"], 0..6)
        .prop_map(|parts| Cow::Owned(parts.concat()))
}

fn uri() -> impl Strategy<Value = Cow<'static, str>> {
    text().prop_map(|text| Cow::Owned(text.trim().to_owned()))
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..253_402_300_799_999_i64).prop_map(|millis| Timestamp::from_millisecond(millis).unwrap())
}

fn activities() -> impl Strategy<Value = ActivitySet> {
    vec(proptest::sample::select(&Activity::ALL[..]), 0..4).prop_map(ActivitySet::from_iter)
}

fn notes() -> impl Strategy<Value = Vec<Note<'static>>> {
    let lang = of("[a-z]{2}(-[A-Z]{2})?".prop_map(Cow::Owned));
    vec((lang, text()).prop_map(|(lang, text)| Note { lang, text }), 0..3)
}

fn input() -> impl Strategy<Value = Option<UserInput>> {
    of((any::<bool>(), of(time())).prop_map(|(is_idle, last)| UserInput { is_idle, last }))
}

fn tuple() -> impl Strategy<Value = Tuple<'static>> {
    let contact = (uri(), of(0..=1000_u16)).prop_map(|(uri, priority)| Contact { uri, priority });
    let basic = of(proptest::sample::select(vec![Basic::Open, Basic::Closed]));
    let show = of(proptest::sample::select(&Show::ALL[..]));
    let state = (basic, show, activities(), of(any::<u32>()), input(), any::<bool>());
    (text(), state, of(uri()), of(contact), notes(), of(time())).prop_map(
        |(
            id,
            (basic, show, activities, availability, input, is_of_another),
            device,
            contact,
            notes,
            timestamp,
        )| {
            Tuple {
                id,
                basic,
                show,
                activities,
                availability,
                input,
                is_of_another,
                device,
                contact,
                notes,
                timestamp,
            }
        },
    )
}

fn person() -> impl Strategy<Value = Person<'static>> {
    let activities = (activities(), of(time()), of(time()))
        .prop_map(|(set, from, until)| Activities { set, from, until })
        .prop_filter("without any there is nothing to read", |activities| !activities.set.is_empty());
    (text(), vec(activities, 0..3), of(any::<u32>()), input(), notes(), of(time())).prop_map(
        |(id, activities, availability, input, notes, timestamp)| Person {
            id,
            activities,
            availability,
            input,
            notes,
            timestamp,
        },
    )
}

fn any_document() -> impl Strategy<Value = Document<'static>> {
    let device = (text(), uri(), input()).prop_map(|(id, urn, input)| Device { id, urn, input });
    (text(), vec(tuple(), 0..4), vec(person(), 0..3), vec(device, 0..2), notes()).prop_map(
        |(entity, tuples, persons, devices, notes)| Document { entity, tuples, persons, devices, notes },
    )
}

proptest! {
    #[test]
    fn check_089_what_is_written_is_read_as_it_was(document in any_document()) {
        let mut out = Vec::new();
        write(&document, &mut out);
        prop_assert!(out.starts_with(b"<?xml version='1.0' encoding='UTF-8'?>\n<presence xmlns='urn:ietf:params:xml:ns:pidf' "));
        let again = read(&out, &Limits { octets: 1 << 20, ..Limits::default() });
        prop_assert_eq!(again.as_ref(), Ok(&document), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn threat_145_no_octets_make_the_reader_panic(octets in vec(any::<u8>(), 0..200)) {
        let _ = read(&octets, &Limits::default());
    }
}

#[test]
fn samples_are_read_the_same_after_they_were_written() {
    for sample in samples::ALL {
        let document = document(sample);
        let mut out = Vec::new();
        write(&document, &mut out);
        assert_eq!(read(&out, &Limits::default()).as_ref(), Ok(&document), "{sample}");
    }
}

#[test]
fn sets_hold_what_was_put_in() {
    let mut set = ActivitySet::default();
    for (count, activity) in Activity::ALL.into_iter().enumerate() {
        assert_eq!((set.contains(activity), set.iter().count()), (false, count));
        set.insert(activity);
        assert_eq!(Activity::from_name(activity.name()), Some(activity));
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), Activity::ALL);
    assert_eq!(Activity::from_name("unheard-of"), None);
}
