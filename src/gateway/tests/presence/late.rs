//! What comes too late, is left over, or finds no room.

use super::super::net::POLICY;
use super::*;
use crate::gateway::Settings;
use crate::sip::digest::Credentials;

fn with_credentials(settings: &mut Settings) {
    settings.peers[0].credentials = Some(Credentials {
        realm: "contoso.example".into(),
        username: "gateway".into(),
        password: "secret".into(),
    });
}

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"contoso.example\", nonce=\"n1\"\r\n";

#[test]
fn check_038_a_challenge_to_a_subscribe_is_answered_in_the_dialog() {
    let mut world = World::with(Net::works(), with_credentials);
    romeo_says(&mut world, "subscribe");
    let first = subscribe_of(&mut world);
    world.answer_with(&first, 401, CHALLENGE);
    let second = subscribe_of(&mut world);
    assert!(second.header("Authorization").unwrap().contains("username=\"gateway\""));
    assert_eq!((first.header("CSeq"), second.header("CSeq")), (Some("1 SUBSCRIBE"), Some("2 SUBSCRIBE")));
}

#[test]
fn check_038_a_challenge_to_a_subscribe_that_was_given_up_brings_nothing_back() {
    let mut world = World::with(Net::works(), with_credentials);
    romeo_says(&mut world, "subscribe");
    let first = subscribe_of(&mut world);
    world.sip(&notify(&first, 1, "active;expires=3600", OPEN));
    world.take_sip();
    // The right is lost before the answer comes.
    world.reload(&POLICY.replace("enabled = true", "enabled = false"));
    let end = subscribe_of(&mut world);
    assert_eq!(end.header("Expires"), Some("0"));
    world.answer_with(&first, 401, CHALLENGE);
    let more = world.take_sip();
    assert!(more.is_empty(), "it would subscribe again: {more:#?}");
}

#[test]
fn law_2_a_subscribe_that_waits_for_a_link_is_not_sent_without_the_right() {
    for loses in [true, false] {
        let mut world = World::new(Net { links: Play::Silent, ..Net::works() });
        romeo_says(&mut world, "subscribe");
        let link = world.seen.iter().find_map(|seen| match seen {
            Seen::DialSip { link, .. } => Some(*link),
            _ => None,
        });
        if loses {
            world.reload(&POLICY.replace("enabled = true", "enabled = false"));
        }
        world.link_up(link.unwrap());
        assert_eq!(world.take_sip().is_empty(), loses);
    }
}

#[test]
fn law_2_a_notify_that_waits_for_a_link_is_not_sent_without_the_right() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(6);
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'><status>secret</status></presence>"));
    let notify = world.one_sip();
    world.net.links = Play::Silent;
    world.seen.clear();
    world.link_down(notify.link);
    let link = world.seen.iter().find_map(|seen| match seen {
        Seen::DialSip { link, .. } => Some(*link),
        _ => None,
    });
    world.reload(&POLICY.replace("enabled = true", "enabled = false"));
    world.link_up(link.unwrap());
    let last = world.one_sip();
    assert!(last.text.contains("Subscription-State: terminated") && last.body().is_empty(), "{}", last.text);
}

#[test]
fn check_078_one_device_that_goes_leaves_the_others_interested() {
    let goes = |devices: &[&str]| {
        let mut world = world();
        alice_sees_romeo(&mut world);
        let subscribe = romeo_sees_alice(&mut world);
        world.sip(&notify(&subscribe, 2, "active;expires=600", OPEN));
        world.romeo(&format!("<presence from='{ROMEO}/balcony' to='{ALICE}'/>"));
        for device in devices {
            world.romeo(&format!("<presence from='{ROMEO}/{device}' to='{ALICE}' type='unavailable'/>"));
        }
        world.pass_secs(550);
        world.take_sip().iter().any(|sent| sent.text.starts_with("SUBSCRIBE "))
    };
    assert!(goes(&["orchard"]), "romeo still looks");
    assert!(!goes(&["orchard", "balcony"]), "nobody looks");
}

#[test]
fn threat_170_what_waits_for_our_users_waits_for_no_store_that_is_broken() {
    let mut world = World::new(Net { durable: None, ..Net::works() });
    let subscribe = |world: &mut World, n: u32| {
        let from = format!("p{n:05}@public.example");
        world.xmpp("public.example", &format!("<presence from='{from}' to='{ALICE}' type='subscribe'/>"));
    };
    // Each pushes an older one out: two changes each, once there are a hundred.
    for n in 0..25_100 {
        subscribe(&mut world, n);
        world.observed.clear();
    }
    let before = kept(&mut world).len();
    assert!(world.ended.is_empty(), "{:?}", world.ended);
    assert!((50_000..50_010).contains(&before), "{before}");
    subscribe(&mut world, 25_101);
    assert!(kept(&mut world).is_empty());
}

#[test]
fn a_restart_spreads_even_what_fits_into_a_second() {
    let mut before = world();
    for n in 0..40 {
        before.romeo(&format!("<presence from='r{n}@capulet.example' to='{ALICE}' type='subscribe'/>"));
    }
    let records = records(&kept(&mut before));
    let mut world = world();
    world.set_now(before.now);
    world.gateway.restore(world.now, records);
    world.pass_secs(1);
    let first = world.take_sip().len();
    world.pass_secs(2);
    let then = world.take_sip().iter().filter(|one| one.text.contains("CSeq: 1 SUBSCRIBE")).count();
    assert!((5..35).contains(&first) && first + then == 40, "{first} + {then}");
}
