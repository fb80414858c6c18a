//! XMPP → document → XMPP keeps what people see; and whatever stanzas come, documents are good.

use super::super::tuple_id;
use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
struct Heard {
    name: String,
    state: State,
    priority: i8,
    statuses: Vec<(Option<String>, String)>,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-d]",
        "[a-zA-Z0-9._-]{1,20}",
        "[a-z<&'\"%_;=@/ é🌙]{0,10}[a-z]",
        Just("é".repeat(511)),
        Just("ID-__".to_owned()),
    ]
}

fn heard() -> impl Strategy<Value = Heard> {
    let status = (of("[a-z]{2}(-[A-Z]{2})?"), "[a-z<&>\"'é🌙\n ]{0,12}");
    let state = proptest::sample::select(&State::ALL[..]);
    (name(), state, any::<i8>(), vec(status, 0..3))
        .prop_map(|(name, state, priority, statuses)| Heard { name, state, priority, statuses })
        .prop_filter("no resource ends like that", |heard| {
            Jid::from_parts(Some("j"), &juliet().to_domain(), Some(&heard.name))
                .is_ok_and(|jid| jid.resource() == Some(&*heard.name))
        })
}

impl Heard {
    fn tell(&self, resources: &mut Resources, now: Now) -> Change {
        let mut inner = Vec::new();
        if let Some(show) = self.state.show() {
            xml::write::open(&mut inner, "show").text(show.name());
        }
        for (lang, text) in &self.statuses {
            xml::write::open(&mut inner, "status").attr_opt("xml:lang", lang.as_deref()).text(text);
        }
        xml::write::open(&mut inner, "priority").text(&self.priority.to_string());
        let type_ = if self.state == State::Offline { "type='unavailable'" } else { "" };
        hear(resources, &self.name, type_, std::str::from_utf8(&inner).unwrap(), now)
    }

    /// What of it should be seen on the other side.
    fn seen(&self) -> Seen {
        let pairs = self.statuses.iter().map(|(lang, text)| (lang.as_deref(), text.as_str()));
        (self.state, self.priority.max(0), statuses(pairs))
    }
}

type Seen = (State, i8, Box<[Status]>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn check_084_085_086_presence_comes_back_from_its_document(presences in vec(heard(), 1..8)) {
        let mut resources = Resources::default();
        let mut expected: BTreeMap<String, Seen> = BTreeMap::new();
        for (number, heard) in presences.iter().enumerate() {
            heard.tell(&mut resources, Now::at(number as u64));
            expected.remove(&heard.name);
            if heard.state != State::Offline {
                expected.insert(heard.name.clone(), heard.seen());
            }
        }
        let text = written(&mut resources, &PidfOptions::default(), Now::at(60));
        let document = read(&text);
        let (user, watcher) = (juliet(), alice());
        let envelope = Envelope { user: &user, watcher: &watcher, notes: true, caps: None };
        let (mut told, mut order, mut offline) = (BTreeMap::new(), Vec::new(), 0);
        Shown::default().update(&document, &envelope, None, Now::at(60).wall, |one| {
            if one.state == State::Offline {
                offline += 1;
            } else {
                let name = one.name.as_deref().unwrap().to_owned();
                order.push(one.priority);
                told.insert(name, (one.state, one.priority, one.statuses.clone()));
            }
        });
        prop_assert_eq!(&told, &expected, "{}", text);
        prop_assert_eq!(offline, usize::from(expected.is_empty()));
        prop_assert!(order.is_sorted_by(|a, b| a >= b), "{:?}", order);
    }

    #[test]
    fn check_087_two_resources_have_two_ids(a in name(), b in name()) {
        let (one, other) = (tuple_id::of_resource(Some(&a)), tuple_id::of_resource(Some(&b)));
        prop_assert_eq!(one == other, a == b);
        prop_assert!(one.len() <= 128 && one.bytes().all(|o| o.is_ascii_alphanumeric() || b"-._".contains(&o)));
        if !one.starts_with("ID-__") {
            let back = tuple_id::to_resource(&one).unwrap();
            prop_assert_eq!(&*back, &*a);
        }
    }

    #[test]
    fn check_090_stamps_never_repeat(steps in vec((heard(), 0..3_u64, any::<bool>()), 1..8)) {
        let (mut resources, mut used, mut newest) = (Resources::default(), BTreeSet::new(), None);
        for (heard, second, back) in steps {
            heard.tell(&mut resources, Now::at(if back { 0 } else { second }));
            let text = written(&mut resources, &PidfOptions::default(), Now::at(second));
            let document = read(&text);
            let before = newest;
            for tuple in &document.tuples {
                let stamp = tuple.timestamp.unwrap();
                prop_assert!(before.is_none_or(|before| stamp > before));
                prop_assert!(used.insert(stamp));
                newest = newest.max(Some(stamp));
            }
        }
    }
}
