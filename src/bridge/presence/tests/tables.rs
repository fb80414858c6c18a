//! The tables, walked row by row in both directions.

use super::super::table::*;
use super::super::tuple_id::{of_resource, to_resource};
use super::*;
use crate::body::pidf::{Activity, ActivitySet, Basic, Show};
use std::collections::BTreeSet;

#[test]
fn f87_every_state_becomes_its_row_and_comes_back() {
    for (state, row) in State::ALL.into_iter().zip(&TO_SIP) {
        assert_eq!((state, state.row()), (row.state, row));
        let (type_, show) = match state {
            State::Offline => ("type='unavailable'", String::new()),
            _ => ("", state.show().map(|show| format!("<show>{}</show>", show.name())).unwrap_or_default()),
        };
        let mut resources = Resources::default();
        assert_eq!(hear(&mut resources, "balcony", type_, &show, Now::at(0)), Change::Changed);
        let options = PidfOptions { availability: true, ..PidfOptions::default() };
        let text = written(&mut resources, &options, Now::at(0));
        let document = read(&text);
        let tuple = &document.tuples[0];
        assert_eq!((tuple.basic, tuple.show), (Some(row.basic), state.show()), "{state:?}");
        assert_eq!(tuple.activities, row.activity.into_iter().collect::<ActivitySet>());
        assert_eq!(tuple.input.map(|input| input.is_idle), row.is_idle);
        assert_eq!(tuple.availability, Some(row.availability));
        let person = document.persons.first().map(|person| person.activities[0].set);
        assert_eq!(person, row.activity.map(|activity| [activity].into_iter().collect()));

        // Back, as a watcher of another gateway sees it.
        let mut shown = Shown::default();
        let watcher = juliet();
        let envelope = Envelope { user: &juliet(), watcher: &watcher, notes: true, caps: None };
        let mut states = Vec::new();
        shown.update(&document, &envelope, None, Now::at(0).wall, |one| states.push(one.state));
        assert_eq!(states, [state]);
    }
}

#[test]
fn f87_every_activity_means_what_the_table_says() {
    let state_of = |activity: Activity| {
        FROM_ACTIVITIES.iter().find(|(_, list)| list.contains(&activity)).map(|(state, _)| *state)
    };
    assert_eq!(FROM_ACTIVITIES.map(|(_, list)| list.len()), [7, 5, 8]);
    for activity in Activity::ALL {
        let expected = state_of(activity);
        let set = [activity].into_iter().collect();
        assert_eq!(of_activities(set), expected);
        let show = |state: Option<State>| {
            let show = state.and_then(State::show).map(|show| format!("<show>{}</show>", show.name()));
            format!("/a'>{}</presence>", show.unwrap_or_default())
        };
        let name = activity.name();
        for inner in [
            format!(
                "</status></tuple><dm:person id='p'><rpid:activities><rpid:{name}/></rpid:activities></dm:person>"
            ),
            format!("<rpid:activities><rpid:{name}/></rpid:activities></status></tuple>"),
            format!(
                "<activities xmlns='urn:ietf:params:xml:ns:pidf:status:rpid-status'><activity>{name}</activity>\
                 </activities></status></tuple>"
            ),
        ] {
            let text = around(&format!("<tuple id='a'><status><basic>open</basic>{inner}"));
            assert_eq!(first(&text), [show(expected)], "{text}");
        }
    }
    // Busy beats away, and away for long beats away.
    let of = |activities: &[Activity]| of_activities(activities.iter().copied().collect());
    assert_eq!(of(&[Activity::Away, Activity::Meeting, Activity::Vacation]), Some(State::Dnd));
    assert_eq!(of(&[Activity::Away, Activity::Vacation]), Some(State::Xa));
    assert_eq!(of(&[Activity::Tv, Activity::Lunch]), Some(State::Away));
}

#[test]
fn f87_every_number_of_microsoft_means_what_the_table_says() {
    for (number, expected) in [
        (0, None),
        (2999, None),
        (3000, Some(State::Online)),
        (3500, Some(State::Online)),
        (4499, Some(State::Online)),
        (4500, Some(State::Away)),
        (5999, Some(State::Away)),
        (6000, Some(State::Dnd)),
        (6500, Some(State::Dnd)),
        (9500, Some(State::Dnd)),
        (11_999, Some(State::Dnd)),
        (12_000, Some(State::Away)),
        (14_999, Some(State::Away)),
        (15_500, Some(State::Away)),
        (17_999, Some(State::Away)),
        (18_000, Some(State::Offline)),
        (u32::MAX, Some(State::Offline)),
    ] {
        assert_eq!(of_availability(number), expected, "{number}");
    }
}

#[test]
fn f87_the_first_rule_with_something_to_say_decides() {
    let set = |activity: Activity| [activity].into_iter().collect::<ActivitySet>();
    // Each line takes away what decided the one before.
    let mut seen = Evidence {
        basic: Some(Basic::Closed),
        show: Some(Show::Chat),
        knows_show: true,
        availability: Some(6500),
        person: set(Activity::Sleeping),
        tuple: set(Activity::Meeting),
        is_idle: true,
    };
    assert_eq!(judge(&seen), State::Offline);
    seen.basic = Some(Basic::Open);
    assert_eq!(judge(&seen), State::Chat);
    seen.show = None;
    assert_eq!(judge(&seen), State::Dnd);
    seen.availability = Some(1);
    assert_eq!(judge(&seen), State::Online);
    seen.knows_show = false;
    assert_eq!(judge(&seen), State::Xa);
    seen.person = set(Activity::Working);
    assert_eq!(judge(&seen), State::Dnd);
    seen.tuple = ActivitySet::default();
    assert_eq!(judge(&seen), State::Away);
    seen.is_idle = false;
    assert_eq!(judge(&seen), State::Online);
}

#[test]
fn check_086_priorities_are_unique_and_come_back() {
    let mapped: BTreeSet<u16> = (0..=127).map(|one| thousandths(one).unwrap()).collect();
    assert_eq!((mapped.len(), mapped.first(), mapped.last()), (128, Some(&0), Some(&1000)));
    assert!((0..127).all(|one| thousandths(one) < thousandths(one + 1)));
    assert!((0..=127).all(|one| priority(thousandths(one).unwrap()) == one));
    assert!((-128..0).all(|one| thousandths(one).is_none()));
    // The rounding of the example in RFC 8048 §6.2 note 6 is another one, and gives the same.
    assert_eq!([7, 15, 992].map(priority), [1, 2, 126]);
    assert_eq!(priority(u16::MAX), 127);
}

fn is_ncname(id: &str) -> bool {
    let mut octets = id.bytes();
    octets.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && octets.all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'))
}

#[test]
fn check_087_ids_are_names_and_lead_back() {
    for (resource, id) in [
        (None, "ID-"),
        (Some("yn0cl4bnw0yr3vym"), "ID-yn0cl4bnw0yr3vym"),
        (Some("1"), "ID-1"),
        (Some("a.b-c"), "ID-a.b-c"),
        (Some("a_b"), "ID-a_5fb"),
        (Some("_5f"), "ID-_5f5f"),
        (Some("urn:uuid:f8-1"), "ID-urn_3auuid_3af8-1"),
        (Some("Ра b"), "ID-_d0_a0_d0_b0_20b"),
        (Some("🌙"), "ID-_f0_9f_8c_99"),
        (Some("ID-x"), "ID-ID-x"),
    ] {
        assert_eq!(of_resource(resource), id);
        assert!(is_ncname(id));
        assert_eq!(to_resource(id).as_deref(), resource, "{id}");
    }
    // Those of others: as they stand, without the mark.
    for (id, resource) in [
        ("sg89ae", Some("sg89ae")),
        ("0x81475a0", Some("0x81475a0")),
        ("a_20b", Some("a_20b")),
        ("ID-dr4hcr0st3lup4c", Some("dr4hcr0st3lup4c")),
        ("ID-a_b", Some("a_b")),
        ("ID-a_41", Some("a_41")),
        ("ID-a_2", Some("a_2")),
        ("ID-_C3_A9", Some("_C3_A9")),
        ("ID-_c3", Some("_c3")),
        ("ID-é", Some("é")),
        ("id-x", Some("id-x")),
        ("", None),
    ] {
        assert_eq!(to_resource(id).as_deref(), resource, "{id}");
    }
}

#[test]
fn check_087_a_resource_of_1023_octets_has_a_short_and_stable_id() {
    let long = "é".repeat(511) + "x";
    assert_eq!(long.len(), 1023);
    let id = of_resource(Some(&long));
    assert_eq!(id, of_resource(Some(&long)));
    assert!(is_ncname(&id) && id.len() <= 128, "{id}");
    assert_ne!(id, of_resource(Some(&("é".repeat(511) + "y"))));
    // A resource that is spelt like the hash of another has another id.
    let spelt = id.strip_prefix("ID-").unwrap();
    assert_ne!(of_resource(Some(spelt)), id);
    let just = "a".repeat(125);
    assert_eq!(to_resource(&of_resource(Some(&just))).as_deref(), Some(&*just));
    assert!(of_resource(Some(&"a".repeat(126))).starts_with("ID-__"));
}
