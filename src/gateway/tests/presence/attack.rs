//! What grows, and what must not.

use super::super::net::POLICY;
use super::*;
use crate::addr::Jid;
use crate::gateway::effect::Timer;
use crate::gateway::{Input, Settings};

const JULIET: &str = "juliet@public.example";

fn watch_timers(world: &World) -> usize {
    world.gateway.deadlines.iter().filter(|due| matches!(due.0.what, Timer::Watch(_))).count()
}

/// A SUBSCRIBE of alice for `to`, in a dialog of its own.
fn subscribe_to(number: u32, to: &str, lines: &str) -> String {
    subscribe(1, "", lines)
        .replace(ROMEO, to)
        .replace("dialog1", &format!("dialog{number}"))
        .replace("z9hG4bKs101", &format!("z9hG4bKs{number}"))
}

#[test]
fn check_091_changes_of_presence_leave_no_timers_behind() {
    let mut world = world();
    let tag = alice_sees_romeo(&mut world);
    world.sip(&subscribe(2, &tag, "Expires: 86400\r\n"));
    world.take_sip().iter().filter(|sent| sent.is_request()).for_each(|sent| world.answer(sent, 200));
    for n in 0..900 {
        for m in 0..2 {
            world.romeo(&format!(
                "<presence from='{ROMEO}/r' to='{ALICE}'><status>{n} {m}</status></presence>"
            ));
        }
        for _ in 0..2 {
            for sent in world.take_sip().iter().filter(|sent| sent.is_request()) {
                world.answer(sent, 200);
            }
            world.pass_secs(6);
        }
        world.seen.clear();
    }
    assert_eq!(watch_rows(&world)[0].dialogs, 1);
    let timers = watch_timers(&world);
    assert!(timers < 10, "{timers}");
}

#[test]
fn threat_147_added_contacts_are_bounded() {
    let mut world = World::with(Net::works(), |settings| settings.presence.per_user = 20);
    let mut changes = Vec::new();
    for n in 0..200 {
        let to = format!("nobody{n}@capulet.example");
        world.sip(&subscribe_to(n + 500, &to, "Expires: 600\r\n"));
        world.romeo(&format!("<presence from='{to}' to='{ALICE}' type='unsubscribed'/>"));
        changes.extend(kept(&mut world));
        for sent in world.take_sip().iter().filter(|sent| sent.is_request()) {
            world.answer(sent, 200);
        }
        world.pass_secs(1);
        world.seen.clear();
    }
    let left = records(&changes);
    assert!(left.len() <= 20, "{}", left.len());
}

#[test]
fn threat_170_nobody_fills_the_memory_while_the_store_is_broken() {
    let mut world = World::new(Net { durable: None, ..Net::works() });
    for _ in 0..2000 {
        romeo_says(&mut world, "subscribe");
        romeo_says(&mut world, "unsubscribe");
    }
    let changes = kept(&mut world).len();
    assert!(changes < 100, "{changes}");
}

#[test]
fn law_4_many_changes_of_one_pair_are_all_awaited() {
    let mut world = World::new(Net { durable: None, ..Net::works() });
    for _ in 0..200 {
        romeo_says(&mut world, "subscribe");
        romeo_says(&mut world, "unsubscribe");
    }
    romeo_says(&mut world, "subscribe");
    world.take_xmpp();
    let tickets: Vec<u64> = world
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Persist { ticket, .. } => Some(*ticket),
            _ => None,
        })
        .collect();
    let (last, first) = tickets.split_last().unwrap();
    for ticket in first {
        world.handle(Input::Persisted { ticket: *ticket, durable: true });
    }
    assert!(world.take_sip().is_empty(), "the last one is not durable");
    world.handle(Input::Persisted { ticket: *last, durable: true });
}

/// Alice has added juliet, who watches her.
fn juliet_sees_alice(world: &mut World) -> Sent {
    world.sip(&subscribe(1, "", "Expires: 600\r\n").replace(ROMEO, JULIET));
    world.take_sip();
    world.take_xmpp();
    world.xmpp("public.example", &format!("<presence from='{JULIET}' to='{ALICE}' type='subscribe'/>"));
    let subscribe = subscribe_of(world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    world.take_sip();
    assert!(world.take_xmpp()[0].contains("type='subscribed'"));
    subscribe
}

#[test]
fn f34_a_contact_that_is_taken_away_by_the_operator_sees_no_more() {
    let mut world = world();
    let subscribe = juliet_sees_alice(&mut world);
    assert!(world.gateway.revoke_watch(world.now, &jid(ALICE), &jid(JULIET)));
    world.handle(Input::Timeout);
    let said = world.take_xmpp();
    assert!(said.iter().any(|one| one.contains(&format!("to='{JULIET}' type='unavailable'"))), "{said:?}");
    world.take_sip();
    world.sip(&notify(&subscribe, 2, "active;expires=3600", CLOSED));
    world.sip(&notify(&subscribe, 3, "active;expires=3600", OPEN));
    assert!(world.take_xmpp().iter().all(|one| !one.contains("at work")));
}

#[test]
fn what_waited_for_a_contact_is_not_forgotten_before_it_is_kept_otherwise() {
    let mut world = World::new(Net { durable: Some(true), ..Net::works() });
    world.reload(POLICY);
    world.xmpp("public.example", &format!("<presence from='{JULIET}' to='{ALICE}' type='subscribe'/>"));
    assert_eq!(records(&kept(&mut world)).len(), 1);
    world.sip(&subscribe(1, "", "Expires: 600\r\n").replace(ROMEO, JULIET));
    let changes = kept(&mut world);
    let asked = |change: &Change| match change {
        Change::Put(Record::Authorization(one)) => one.watcher.as_str() == JULIET,
        _ => false,
    };
    let forgotten = |change: &Change| matches!(change, Change::Remove(_));
    let put = changes.iter().position(asked).unwrap();
    let removed = changes.iter().position(forgotten).unwrap();
    assert!(put < removed, "{changes:?}");
}

#[test]
fn threat_151_a_stop_waits_for_the_answer_to_a_fetch() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(400);
    let answers = bob_fetches(&mut world);
    world.stop();
    assert!(answers.is_empty() && !world.gateway.is_quiet(), "the fetch is not answered");
    world.pass_secs(3);
    assert!(world.statuses().contains(&200));
    world.take_sip();
    assert!(world.gateway.is_quiet());
}

/// Bob's fetch, which waits for the answer to a probe: no answer so far.
fn bob_fetches(world: &mut World) -> Vec<u16> {
    let fetch = subscribe_to(77, ROMEO, "Expires: 0\r\n").replace("alice@", "bob@");
    world.sip(&fetch);
    world.statuses()
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn without_policy() -> String {
    POLICY.replacen("xmpp = true", "xmpp = false", 1)
}

fn watch_rows(world: &World) -> Vec<crate::gateway::presence::WatchRow> {
    world.gateway.watches(world.now, None, 100).0
}

fn with_settings(world: &mut World, change: impl FnOnce(&mut Settings)) {
    let mut settings = Settings::clone(world.gateway.settings());
    change(&mut settings);
    world.gateway.set_settings(settings.into());
}

#[test]
fn f34_a_contact_that_is_added_again_sees_again() {
    let mut world = world();
    juliet_sees_alice(&mut world);
    assert!(world.gateway.revoke_watch(world.now, &jid(ALICE), &jid(JULIET)));
    world.pass_secs(60);
    world.take_sip();
    world.sip(&subscribe_to(88, JULIET, "Expires: 600\r\n"));
    world.pass_secs(60);
    let asked = |sent: &Sent| sent.text.starts_with("SUBSCRIBE ") && sent.header("Expires") == Some("28800");
    assert!(world.take_sip().iter().any(asked));
}

#[test]
fn law_4_an_answer_of_an_attempt_that_failed_counts_for_nothing() {
    let mut world = World::new(Net { durable: None, ..Net::works() });
    romeo_says(&mut world, "subscribe");
    world.romeo(&format!("<presence from='other@capulet.example' to='{ALICE}' type='subscribe'/>"));
    world.handle(Input::Persisted { ticket: 1, durable: false });
    world.handle(Input::Persisted { ticket: 2, durable: true });
    world.assert_nothing_sent();
    world.pass_secs(2);
    for ticket in [1, 2] {
        world.handle(Input::Persisted { ticket, durable: true });
    }
    world.assert_nothing_sent();
    for ticket in [3, 4] {
        world.handle(Input::Persisted { ticket, durable: true });
    }
    assert_eq!(world.take_sip().len(), 2);
}

#[test]
fn check_100_a_link_that_stays_lost_leaves_no_ghost() {
    let mut world = World::new(Net { links: Play::Silent, ..Net::works() });
    romeo_says(&mut world, "subscribe");
    let link = world.seen.iter().find_map(|seen| match seen {
        Seen::DialSip { link, .. } => Some(*link),
        _ => None,
    });
    world.link_up(link.unwrap());
    let subscribe = subscribe_of(&mut world);
    world.answer_with(&subscribe, 200, "Expires: 28800\r\nContact: <sip:pa.contoso.example>\r\n");
    world.sip(&notify(&subscribe, 1, "active;expires=28800", OPEN));
    world.take_xmpp();
    world.net.links = Play::Fail;
    world.link_down(link.unwrap());
    world.pass_secs(300);
    assert!(world.take_xmpp().iter().any(|one| one.contains("type='unavailable'")));
}

#[test]
fn what_came_while_it_was_not_to_be_told_is_told_in_full() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    world.sip(&notify(&subscribe, 2, "pending;expires=28800", CLOSED));
    assert!(world.take_xmpp().is_empty());
    world.sip(&notify(&subscribe, 3, "active;expires=28800", CLOSED));
    assert!(world.one_xmpp().contains("type='unavailable'"));
}

#[test]
fn presence_that_was_asked_for_costs_no_budget_and_other_presence_does() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    with_settings(&mut world, |settings| settings.user_rate = 1);
    for n in 0..50 {
        world.romeo(&format!("<presence from='{ROMEO}/r' to='{ALICE}'><status>{n}.</status></presence>"));
    }
    world.pass_secs(6);
    assert!(world.take_sip().iter().any(|sent| sent.body().contains("49.")));
    for _ in 0..50 {
        world.romeo("<presence from='other@capulet.example' to='bob@contoso.example'/>");
    }
    world.take_xmpp();
    world.romeo(
        "<message from='other@capulet.example' to='bob@contoso.example' id='m'><body>x</body></message>",
    );
    assert!(world.one_xmpp().contains("<resource-constraint"));
}

#[test]
fn an_answer_for_a_watch_that_is_gone_is_not_for_the_one_in_its_place() {
    let mut world = world();
    romeo_says(&mut world, "probe");
    let fetch = subscribe_of(&mut world);
    world.sip(&notify(&fetch, 1, "terminated;reason=timeout", ""));
    world.take_sip();
    world.take_xmpp();
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
    world.xmpp(
        "montague.example",
        &format!("<presence from='mercutio@montague.example' to='{ALICE}' type='subscribe' id='m'/>"),
    );
    subscribe_of(&mut world);
    world.answer(&fetch, 404);
    assert!(world.take_xmpp().is_empty());
    assert_eq!(watch_rows(&world)[0].state, "pending");
}

#[test]
fn threat_147_watches_are_bounded_three_ways_and_their_room_comes_back() {
    let bounds: [fn(&mut Settings); 3] = [
        |settings| settings.presence.per_user = 3,
        |settings| settings.presence.per_domain = 3,
        |settings| settings.presence.watches = 3,
    ];
    for bound in bounds {
        let mut world = World::with(Net::works(), bound);
        for n in 0..5 {
            world.romeo(&format!("<presence from='r{n}@capulet.example' to='{ALICE}' type='subscribe'/>"));
        }
        assert_eq!(world.gateway.watch_counts(), [3, 0]);
        let sent = world.take_sip();
        world.answer(&sent[0], 404);
        assert_eq!(world.gateway.watch_counts(), [2, 0]);
        romeo_says(&mut world, "subscribe");
        assert_eq!(world.gateway.watch_counts(), [3, 0]);
    }
}

#[test]
fn threat_151_a_stop_waits_for_the_store_and_takes_no_new_subscribe() {
    let mut world = World::new(Net { durable: None, ..Net::works() });
    romeo_says(&mut world, "subscribe");
    world.stop();
    assert!(!world.gateway.is_quiet() && !world.gateway.is_kept());
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    assert_eq!(world.statuses(), [503]);
}

#[test]
fn an_error_that_answers_nothing_of_ours_ends_nothing() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.romeo(&format!(
        "<presence from='{ROMEO}' to='{ALICE}' type='error' id='theirs'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    ));
    world.romeo(&format!("<presence from='{ROMEO}' to='{ALICE}' type='error'/>"));
    assert!(world.take_sip().is_empty());
    assert_eq!(watch_rows(&world)[0].state, "active");
}

#[test]
fn check_171_what_waits_for_a_stream_is_not_sent_without_the_right() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    let stream = world.seen.iter().find_map(|seen| match seen {
        Seen::DialXmpp { stream, .. } => Some(*stream),
        _ => None,
    });
    world.reload(&without_policy());
    world.stream_up(stream.unwrap());
    assert!(world.take_xmpp().iter().all(|one| !one.contains("type='subscribe'")));
}

#[test]
fn f34_who_takes_a_request_back_waits_no_more() {
    let mut world = world();
    for type_ in ["subscribe", "unsubscribe"] {
        world.xmpp("public.example", &format!("<presence from='{JULIET}' to='{ALICE}' type='{type_}'/>"));
    }
    assert!(records(&kept(&mut world)).is_empty());
}

#[test]
fn unsubscribed_needs_no_right() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.reload(&without_policy());
    romeo_says(&mut world, "unsubscribed");
    let left = records(&kept(&mut world));
    assert!(!left.iter().any(|record| matches!(record, Record::Authorization(_))), "{left:?}");
}

#[test]
fn threat_147_subscribes_are_charged_to_their_sender() {
    let mut world = World::with(Net::works(), |settings| settings.user_rate = 1);
    for n in 0..50 {
        world.sip(&subscribe_to(n + 300, &format!("r{n}@capulet.example"), "Expires: 600\r\n"));
    }
    let sent = world.take_sip();
    let refused = sent.iter().find(|sent| sent.status() == Some(503)).unwrap();
    assert!(refused.header("Retry-After").is_some());
}

#[test]
fn check_099_records_of_a_domain_that_is_not_served_stay() {
    let mut before = world();
    romeo_sees_alice(&mut before);
    let mut left = records(&kept(&mut before));
    for record in &mut left {
        let Record::Authorization(one) = record else { continue };
        one.presentity = jid("alice@elsewhere.example");
    }
    let mut world = world();
    world.gateway.restore(world.now, left);
    world.handle(Input::Timeout);
    assert!(kept(&mut world).is_empty());
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
}

#[test]
fn threat_147_a_lower_bound_of_what_waits_holds_at_once_and_after_a_restart() {
    let mut world = world();
    let mut changes = Vec::new();
    for n in 0..5 {
        world.xmpp(
            "public.example",
            &format!("<presence from='j{n}@public.example' to='{ALICE}' type='subscribe'/>"),
        );
        changes.extend(kept(&mut world));
        world.pass_secs(1);
    }
    let all = records(&changes);
    assert_eq!(all.len(), 5);
    with_settings(&mut world, |settings| settings.presence.pending_per_user = 2);
    world.handle(Input::Timeout);
    changes.extend(kept(&mut world));
    assert_eq!(records(&changes).len(), 2);
    let mut after = World::with(Net::works(), |settings| settings.presence.pending_per_user = 2);
    after.set_now(world.now);
    after.gateway.restore(after.now, all.into_iter().rev().collect());
    after.handle(Input::Timeout);
    assert_eq!(kept(&mut after).iter().filter(|change| matches!(change, Change::Remove(_))).count(), 3);
}

#[test]
fn a_subscribe_that_is_refused_leaves_no_dialog() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    for n in 0..20 {
        world.sip(&subscribe_to(n + 200, ROMEO, "Expires: 5\r\n"));
    }
    assert_eq!(world.statuses(), [423; 20]);
    assert_eq!(watch_rows(&world)[0].dialogs, 1);
}

#[test]
fn the_answer_to_a_probe_counts_also_when_it_says_nothing_new() {
    let mut world = world();
    let tag = alice_sees_romeo(&mut world);
    world.pass_secs(400);
    world.sip(&subscribe(2, &tag, "Expires: 3600\r\n"));
    assert!(world.one_xmpp().contains("type='probe'"));
    world.romeo(&format!(
        "<presence from='{ROMEO}/orchard' to='{ALICE}'><show>away</show><status>asleep</status></presence>"
    ));
    world.pass_secs(30);
    world.sip(&subscribe(3, &tag, "Expires: 3600\r\n"));
    assert!(world.take_xmpp().is_empty(), "what is known is not old");
}

#[test]
fn a_message_wakes_a_watch_that_nobody_was_interested_in() {
    let mut before = world();
    romeo_sees_alice(&mut before);
    let left = records(&kept(&mut before));
    before.pass_secs(8 * 86_400);
    let mut world = world();
    world.set_now(before.now);
    world.gateway.restore(world.now, left);
    world.pass_secs(120);
    world.assert_nothing_sent();
    world.say("m1", ALICE, "are you there?");
    assert!(world.take_sip().iter().any(|sent| sent.text.starts_with("SUBSCRIBE ")));
}

#[test]
fn a_contact_is_written_once_a_day() {
    let mut world = world();
    for n in 0..4 {
        world.sip(&subscribe_to(n + 200, ROMEO, "Expires: 600\r\n"));
    }
    let contact = |change: &&Change| matches!(change, Change::Put(Record::Contact(_)));
    assert_eq!(kept(&mut world).iter().filter(contact).count(), 1);
}

#[test]
fn a_challenge_that_is_not_met_is_no_silence() {
    let mut world = world();
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.answer_with(&subscribe, 401, "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n");
    let said = world.one_xmpp();
    assert!(said.contains("type='error'") && !said.contains("remote-server-timeout"), "{said}");
}

#[test]
fn the_age_purge_takes_contacts_too() {
    let mut world = World::with(Net::works(), |settings| settings.presence.forget_after = 30);
    world.gateway.restore(world.now, Vec::new());
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    world.pass_secs(32 * 86_400);
    assert!(records(&kept(&mut world)).is_empty());
}

#[test]
fn where_nothing_is_ever_forgotten_the_age_purge_takes_nothing() {
    let mut world = World::with(Net::works(), |settings| settings.presence.forget_after = 0);
    world.gateway.restore(world.now, Vec::new());
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    world.pass_secs(400 * 86_400);
    assert_eq!(records(&kept(&mut world)).len(), 2, "who may see, and who was added");
}

#[test]
fn a_late_answer_of_a_dialog_that_was_given_up_moves_no_other() {
    let mut world = world();
    romeo_says(&mut world, "subscribe");
    let first = subscribe_of(&mut world);
    world.sip(&notify(&first, 1, "terminated;reason=deactivated", ""));
    let sent = world.take_sip();
    assert!(sent.iter().any(|sent| sent.text.starts_with("SUBSCRIBE ")), "{sent:#?}");
    world.answer_with(&first, 200, "Expires: 3600\r\nContact: <sip:pa.contoso.example>\r\n");
    assert_eq!(watch_rows(&world)[0].dialogs, 0);
}

#[test]
fn over_udp_what_comes_twice_is_answered_twice_and_done_once() {
    let mut world = world();
    let from = super::super::net::address(9);
    let text = subscribe(1, "", "Expires: 600\r\n").replace("SIP/2.0/TLS", "SIP/2.0/UDP");
    world.datagram(from, &text);
    let first = world.take_sip();
    assert_eq!((first.len(), first[0].status(), world.take_xmpp().len()), (2, Some(200), 1));
    world.datagram(from, &text);
    let again = world.take_sip();
    assert_eq!((again.len(), &again[0].text, world.take_xmpp().len()), (1, &first[0].text, 0));
    romeo_says(&mut world, "subscribe");
    let asked = world.take_sip().pop().unwrap();
    let told = notify(&asked, 1, "active;expires=3600", OPEN).replace("SIP/2.0/TLS", "SIP/2.0/UDP");
    world.datagram(from, &told);
    assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![200], 2));
    world.datagram(from, &told);
    assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![200], 0));
}

#[test]
fn an_address_that_no_request_can_carry_is_refused_at_once() {
    let mut world = world();
    let long = format!("{}@capulet.example", "é".repeat(500));
    world.romeo(&format!("<presence from='{long}' to='{ALICE}' type='subscribe' id='s'/>"));
    let said = world.take_xmpp();
    assert!(said.len() == 1 && said[0].contains("type='error'"), "{said:?}");
    world.pass_secs(40);
    assert_eq!(world.gateway.watch_counts(), [0, 0], "{said:?}");
}

/// A watch that wants a timeout gets one, whatever came before, in any order.
#[test]
fn law_5_every_deadline_has_its_timer() {
    use crate::gateway::presence::WatchRef;
    use std::collections::BTreeSet;
    for seed in 0..20 {
        let mut world = World::with(Net { durable: Some(true), ..Net::works() }, |settings| {
            settings.presence.subscribe_rate = 1;
        });
        let mut ids = crate::ids::Ids::new([seed; 32], crate::ids::Owner::default());
        let mut subscribes: Vec<Sent> = Vec::new();
        for step in 0..300_u32 {
            let who = format!("r{}@capulet.example", ids.below(5));
            let says = |type_: &str| format!("<presence from='{who}' to='{ALICE}' type='{type_}' id='x'/>");
            let any = usize::try_from(ids.below(subscribes.len().max(1) as u64)).unwrap();
            match ids.below(14) {
                0 | 1 => world.romeo(&says("subscribe")),
                2 => world.romeo(&says("unsubscribe")),
                3 => world.romeo(&says("probe")),
                4 => world.romeo(&says("subscribed")),
                5 => world.romeo(&format!(
                    "<presence from='{who}/r' to='{ALICE}'><status>{step}</status></presence>"
                )),
                6 => world.sip(&subscribe_to(step + 1000, &who, "Expires: 600\r\n")),
                7 | 8 if any < subscribes.len() => {
                    let states = ["active;expires=3600", "pending", "terminated;reason=deactivated"];
                    let state = states[usize::try_from(ids.below(3)).unwrap()];
                    let body = if ids.below(2) == 0 { OPEN } else { "" };
                    world.sip(&notify(&subscribes[any], step + 1, state, body));
                }
                9 | 10 if any < subscribes.len() => {
                    let sent = subscribes.swap_remove(any);
                    let status = [200, 200, 404, 481, 503][usize::try_from(ids.below(5)).unwrap()];
                    world.answer_with(&sent, status, "Expires: 600\r\nContact: <sip:pa.contoso.example>\r\n");
                }
                11 => {
                    world.reload(&without_policy());
                    world.reload(POLICY);
                }
                _ => world.pass_secs(ids.below(40)),
            }
            let new = world.take_sip();
            subscribes.extend(new.iter().filter(|sent| sent.text.starts_with("SUBSCRIBE ")).cloned());
            for sent in new.iter().filter(|sent| sent.text.starts_with("NOTIFY ")) {
                world.answer(sent, 200);
            }
            world.seen.clear();
            let armed: BTreeSet<WatchRef> = world
                .gateway
                .deadlines
                .iter()
                .filter_map(|due| match due.0.what {
                    Timer::Watch(watch) => world.gateway.presence.is_armed(watch, due.0.at).then_some(watch),
                    _ => None,
                })
                .collect();
            let waiting = watch_rows(&world).iter().filter(|row| row.next.is_some()).count();
            assert!(armed.len() >= waiting, "seed {seed}, step {step}: {waiting} {armed:?}");
        }
    }
}
