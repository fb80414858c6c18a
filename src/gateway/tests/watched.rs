//! Copies of what comes and goes, for whoever watches.

use super::net::{Net, POLICY};
use super::texts::{message, message_with, request};
use super::world::World;
use super::{ALICE, BOB, ROMEO};
use crate::addr::Jid;
use crate::gateway::trail::{Carrier, Copied, CopiedTexts, Copies, Heading, WATCHERS, Wanted, WatcherId};

const SECRET: &str = "rosemary and rue";

fn watching(wanted: Wanted) -> (World, WatcherId) {
    let mut world = World::new(Net::works());
    let watcher = world.gateway.trail_mut().watch(wanted).unwrap();
    (world, watcher)
}

fn take(world: &mut World, watcher: WatcherId) -> Vec<Copied> {
    let Copies { copies, lost, more } = world.gateway.trail_mut().take_copies(world.now, watcher, usize::MAX);
    assert_eq!((lost, more), (0, false));
    copies
}

fn text(copied: &Copied) -> String {
    String::from_utf8(copied.octets.to_vec()).unwrap()
}

/// Which way each went, and its first word.
fn brief(copies: &[Copied]) -> Vec<(Heading, String)> {
    let first = |one: &Copied| text(one).split([' ', '\'']).next().unwrap_or_default().to_owned();
    copies.iter().map(|one| (one.heading, first(one))).collect()
}

fn stanza(id: &str, from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}' type='chat' id='{id}'><body>{SECRET}</body></message>")
}

#[test]
fn a_message_each_way_is_copied_with_its_real_heads_and_one_name_for_both_legs() {
    let (mut world, watcher) = watching(Wanted::default());
    world.sip(&message_with(1, ALICE, ROMEO, "Content-Type: text/plain\r\nSubject: herbs\r\n", SECRET));
    let there = take(&mut world, watcher);
    assert_eq!(
        brief(&there),
        [
            (Heading::In, "MESSAGE".into()),
            (Heading::Out, "<message".into()),
            (Heading::Out, "SIP/2.0".into())
        ]
    );
    let id = text(&there[1]).split_once(" id='").unwrap().1.split('\'').next().unwrap().to_owned();
    assert!(there.iter().all(|one| one.trace == id && one.at == world.now), "{there:#?}");
    assert!(text(&there[0]).contains("\r\nCall-ID: call1@edge\r\n"));
    assert!(
        text(&there[2]).starts_with("SIP/2.0 202 ") && text(&there[2]).contains("Call-ID: call1@edge\r\n")
    );
    assert_eq!((there[0].far, there[0].via), (Some(world.source().address), there[2].via));
    assert!(matches!(there[1].via, Carrier::Stream(_)));

    world.romeo(&stanza("m1", ROMEO, ALICE));
    let sent = world.take_sip().pop().unwrap();
    world.answer(&sent, 200);
    let back = take(&mut world, watcher);
    assert_eq!(
        brief(&back),
        [(Heading::In, "<message".into()), (Heading::Out, "MESSAGE".into()), (Heading::In, "SIP/2.0".into())]
    );
    assert!(sent.header("From").unwrap().contains(&format!("tag={}", back[0].trace)), "{}", back[0].trace);
    assert!(back.iter().all(|one| one.trace == back[0].trace && !one.trace.is_empty()));
    assert!(text(&back[0]).contains(" id='m1'"));
    for copied in there.iter().chain(&back) {
        assert!(!text(copied).contains("rosemary") && !text(copied).contains("herbs"), "{}", text(copied));
        assert_eq!((copied.texts, copied.length), (CopiedTexts::Hidden, copied.octets.len()));
    }
    assert!(
        text(&there[0]).contains("\r\nSubject: xxxxx\r\n")
            && text(&there[0]).ends_with("\r\n\r\nxxxxxxxxxxxxxxxx")
    );
    assert!(text(&there[1]).contains("<body>xxxxxxxxxxxxxxxx</body>"));
}

#[test]
fn texts_are_in_copies_where_the_operator_has_them_in_the_log_and_credentials_never() {
    let mut world = World::with(Net::works(), |settings| settings.texts = true);
    let watcher = world.gateway.trail_mut().watch(Wanted::default()).unwrap();
    let headers = "Content-Type: text/plain\r\nAuthorization: Digest response=\"abc\"\r\n";
    world.sip(&message_with(1, ALICE, ROMEO, headers, SECRET));
    let copies = take(&mut world, watcher);
    assert!(text(&copies[0]).ends_with(SECRET) && text(&copies[1]).contains(SECRET));
    assert!(!text(&copies[0]).contains("abc") && copies.iter().all(|one| one.texts == CopiedTexts::Shown));
}

#[test]
fn a_watcher_gets_what_is_of_the_people_that_were_asked_for() {
    let user = |jid: &str| Wanted { user: Some(Jid::parse(jid).unwrap()), partner: None };
    let partner = |domain: &str| Wanted { user: None, partner: Some(domain.to_owned()) };
    let mut world = World::new(Net::works());
    let mut watch = |wanted| world.gateway.trail_mut().watch(wanted).unwrap();
    let [alice, romeo, capulet, nobody] =
        [user(ALICE), user(ROMEO), partner("capulet.example"), partner("contoso.example")].map(&mut watch);
    world.sip(&message(1, ALICE, ROMEO, SECRET));
    world.sip(&message(2, BOB, ROMEO, SECRET));
    world.sip(&request("OPTIONS", 3, ALICE, "gw.contoso.example", "", ""));
    let counts = [alice, romeo, capulet, nobody].map(|watcher| take(&mut world, watcher).len());
    assert_eq!(counts, [3, 6, 6, 0]);
    // A refusal and its request have one name, too.
    world.sip(&message(4, ALICE, "x@elsewhere.example", SECRET));
    let refused = take(&mut world, alice);
    assert_eq!(brief(&refused), [(Heading::In, "MESSAGE".into()), (Heading::Out, "SIP/2.0".into())]);
    assert!(refused[0].trace == refused[1].trace && world.gateway.trail().find(&refused[0].trace).is_some());
    assert_eq!(take(&mut world, romeo), []);
}

#[test]
fn nothing_is_kept_for_nobody_and_no_more_may_watch_than_there_is_room_for() {
    let (mut world, watcher) = watching(Wanted::default());
    let more: Vec<WatcherId> =
        (1..WATCHERS).map(|_| world.gateway.trail_mut().watch(Wanted::default()).unwrap()).collect();
    assert_eq!(world.gateway.trail_mut().watch(Wanted::default()), None);
    more.into_iter().for_each(|one| world.gateway.trail_mut().unwatch(one));
    world.sip(&message(1, ALICE, ROMEO, SECRET));
    assert_eq!(take(&mut world, watcher).len(), 3);
    world.gateway.trail_mut().unwatch(watcher);
    assert!(world.gateway.trail().tap.is_none(), "the hot path has one branch again");
    world.sip(&message(2, ALICE, ROMEO, SECRET));
    assert_eq!(take(&mut world, watcher), []);
    let again = world.gateway.trail_mut().watch(Wanted::default()).unwrap();
    assert_eq!(take(&mut world, again), [], "what was before is no business of a new one");
}

#[test]
fn what_a_slow_watcher_has_no_room_for_is_counted_and_nobody_waits() {
    let (mut world, watcher) = watching(Wanted::default());
    let quick = world.gateway.trail_mut().watch(Wanted::default()).unwrap();
    let mut seen = 0;
    for n in 1..=1000 {
        world.sip(&message(n, ALICE, ROMEO, SECRET));
        seen += take(&mut world, quick).len();
    }
    assert_eq!((seen, world.gateway.counts().delivered[0]), (3000, 1000));
    let some = world.gateway.trail_mut().take_copies(world.now, watcher, 10);
    assert_eq!((some.copies.len(), some.lost, some.more), (10, 1000, true));
    let rest = world.gateway.trail_mut().take_copies(world.now, watcher, usize::MAX);
    assert_eq!((rest.copies.len(), rest.lost, rest.more), (1990, 0, false), "a loss is told once");
    // Octets are bounded, too.
    let long = "x".repeat(7000);
    for n in 2001..2400 {
        world.sip(&message(n, ALICE, ROMEO, &long));
        take(&mut world, quick);
    }
    let rest = world.gateway.trail_mut().take_copies(world.now, watcher, usize::MAX);
    let octets: usize = rest.copies.iter().map(|one| one.octets.len()).sum();
    assert!(octets <= 4 * 1024 * 1024 && rest.lost > 0 && rest.copies.len() < 1000, "{octets} {}", rest.lost);
    world.sip(&message(9999, ALICE, ROMEO, SECRET));
    assert_eq!(take(&mut world, watcher).len(), 3, "there is room again");
}

#[test]
fn what_is_sent_without_an_input_is_copied_when_it_is_performed() {
    let mut net = Net::works();
    net.streams = super::net::Play::Silent;
    let mut world = World::new(net);
    let watcher = world.gateway.trail_mut().watch(Wanted::default()).unwrap();
    world.sip(&message(1, ALICE, ROMEO, SECRET));
    assert_eq!(brief(&take(&mut world, watcher)), [(Heading::In, "MESSAGE".into())], "it waits for a stream");
    // Its partner goes, and its sender hears so without any input.
    world.reload(&POLICY.replace("capulet.example", "elsewhere.example"));
    let copies = take(&mut world, watcher);
    assert_eq!(brief(&copies), [(Heading::Out, "SIP/2.0".into())]);
    assert_eq!((copies[0].at, copies[0].trace.as_str()), (world.now, "call1@edge"));
    assert_eq!(take(&mut world, watcher), [], "once");
}

#[test]
fn everything_on_the_wire_is_copied_once_in_its_order_with_the_same_lengths() {
    let (mut world, watcher) = watching(Wanted::default());
    for n in 1..20 {
        world.sip(&message(n, if n % 3 == 0 { BOB } else { ALICE }, ROMEO, SECRET));
        world.romeo(&stanza(&format!("r{n}"), ROMEO, if n % 4 == 0 { BOB } else { ALICE }));
        for sent in world.take_sip().into_iter().filter(|sent| sent.is_request()) {
            world.answer(&sent, if n % 5 == 0 { 404 } else { 200 });
        }
    }
    world.romeo(&format!("<presence from='{ROMEO}' to='{ALICE}' type='subscribe'/>"));
    world.pass_secs(5);
    // What stands in the wire has "peer> " or "peer< " before it; what is an iq or OPTIONS is not copied.
    let mut at = 0;
    let copies = take(&mut world, watcher);
    assert!(copies.len() > 100, "{}", copies.len());
    for copied in &copies {
        let head = text(copied).split('>').next().unwrap().lines().next().unwrap().to_owned();
        let found = world.wire[at..]
            .find(&head)
            .unwrap_or_else(|| panic!("{head} is not next in {}", &world.wire[at..]));
        at += found + head.len();
    }
    let sent = |mark: &str| world.wire.lines().filter(|line| line.starts_with(mark)).count();
    let out = copies.iter().filter(|one| one.heading == Heading::Out).count();
    assert_eq!(out, sent("sip< ") + sent("capulet.example< <message") + sent("capulet.example< <presence"));
}

#[test]
fn copies_may_go_to_another_thread() {
    fn goes<T: Send + 'static>() {}
    goes::<Copies>();
    goes::<(Wanted, WatcherId)>();
}
