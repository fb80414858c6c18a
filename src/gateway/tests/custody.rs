//! Law 3: never take custody. What was not passed on is not acknowledged, and nothing is answered twice.

use super::net::{Net, Play};
use super::texts::{message, message_with};
use super::world::{Seen, World};
use super::{ALICE, ROMEO};
use crate::gateway::observe::Observation;
use crate::xmpp::StreamId;
use std::time::Duration;

/// Streams come up, but the kernel takes nothing unless the test says so.
fn slow() -> World {
    World::new(Net { written: false, ..Net::works() })
}

fn send(world: &mut World, n: u32) -> (StreamId, u64) {
    world.sip(&message(n, ALICE, ROMEO, &n.to_string()));
    let written = world.seen.iter().find_map(|seen| match seen {
        Seen::Xmpp { stream, mark, .. } => Some((*stream, *mark)),
        _ => None,
    });
    world.take_xmpp();
    written.unwrap()
}

#[test]
fn check_023_the_202_comes_when_the_kernel_has_the_stanza_and_never_before() {
    let mut world = slow();
    let (stream, first) = send(&mut world, 1);
    let (_, second) = send(&mut world, 2);
    let (_, third) = send(&mut world, 3);
    assert!(first < second && second < third);
    world.assert_nothing_sent();
    world.written(stream, first - 1);
    world.written(StreamId(stream.0 + 1), third);
    world.assert_nothing_sent();
    world.written(stream, first);
    assert_eq!(world.one_sip().header("CSeq"), Some("1 MESSAGE"));
    // A mark covers all before it, and says so once.
    world.written(stream, third);
    assert_eq!(world.statuses(), [202, 202]);
    world.written(stream, third);
    world.written(stream, first);
    world.stream_down(stream);
    world.assert_nothing_sent();
    assert_eq!(world.gateway.counts().delivered, [3, 0]);
    world.assert_quiet();
}

#[test]
fn what_the_kernel_does_not_have_bounces_once_when_the_stream_ends() {
    let mut world = slow();
    let (stream, first) = send(&mut world, 1);
    send(&mut world, 2);
    world.written(stream, first);
    assert_eq!(world.statuses(), [202]);
    world.stream_down(stream);
    assert_eq!(world.statuses(), [504]);
    world.stream_down(stream);
    world.written(stream, 9);
    world.pass_secs(120);
    world.assert_nothing_sent();
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([1, 0], [1, 0]));
    world.assert_quiet();
}

#[test]
fn threat_157_a_partner_that_does_not_read_loses_its_stream_and_we_answer() {
    let mut world = slow();
    let (stream, first) = send(&mut world, 1);
    world.written(stream, first);
    world.pass_secs(7);
    send(&mut world, 2);
    world.pass(Duration::from_millis(9_999));
    assert!(!world.seen.contains(&Seen::CloseXmpp(stream)));
    world.pass(Duration::from_millis(1));
    assert!(world.seen.contains(&Seen::CloseXmpp(stream)));
    // What comes meanwhile waits, and is told as well.
    world.sip(&message(3, ALICE, ROMEO, "3"));
    assert!(world.take_xmpp().is_empty());
    world.take_sip();
    world.stream_down(stream);
    assert_eq!(world.statuses(), [504, 504]);
    assert_eq!(world.gateway.counts().failed, [2, 0]);
    world.assert_quiet();
}

#[test]
fn a_request_is_answered_before_its_transaction_ends_however_long_queues_may_be() {
    let patient = |settings: &mut crate::gateway::Settings| {
        settings.pairs.queue_timeout = Duration::from_secs(300);
    };
    let mut world = World::with(Net::silent(), patient);
    world.sip(&message(1, ALICE, ROMEO, "x"));
    world.pass_secs(28);
    assert_eq!(world.statuses(), [100, 504]);
    // Also when it came to a stream in between.
    world.pass_secs(100);
    world.seen.clear();
    world.sip(&message(2, ALICE, "x@montague.example", "x"));
    let stream = world.dialled_stream();
    world.pass_secs(20);
    world.stream_up(stream);
    world.pass_secs(8);
    assert!(world.seen.contains(&Seen::CloseXmpp(stream)));
    world.stream_down(stream);
    assert_eq!(world.statuses(), [100, 504]);
    world.assert_quiet();
}

#[test]
fn a_stream_that_is_read_in_time_is_never_closed() {
    let mut world = slow();
    for n in 0..60 {
        let (stream, mark) = send(&mut world, n);
        world.pass_secs(3);
        world.written(stream, mark);
    }
    world.pass_secs(60);
    assert!(!world.seen.iter().any(|seen| matches!(seen, Seen::CloseXmpp(_))));
    assert_eq!(world.gateway.counts().delivered, [60, 0]);
}

#[test]
fn threat_119_a_partner_that_is_down_gets_it_in_10_s_or_its_sender_a_failure() {
    // It comes back in time: delivered in order by the attempt after the back-off.
    let mut world = World::new(Net { streams: Play::Fail, ..Net::works() });
    world.sip(&message(1, ALICE, ROMEO, "1"));
    assert_eq!(world.statuses(), [504], "the first attempt fails at once");
    for n in 2..4 {
        world.sip(&message(n, ALICE, ROMEO, &n.to_string()));
    }
    world.assert_nothing_sent();
    world.net.streams = Play::Up;
    world.pass_secs(2);
    let stanzas = world.take_xmpp();
    assert_eq!(stanzas.len(), 2);
    assert!(stanzas[0].contains("<body>2</body>") && stanzas[1].contains("<body>3</body>"));
    assert_eq!(world.statuses(), [202, 202]);
    world.assert_quiet();
}

#[test]
fn check_142_attempts_come_at_random_times_and_more_and_more_seldom() {
    let mut world = World::new(Net { streams: Play::Fail, ..Net::works() });
    let mut gaps = Vec::new();
    let mut last = world.now.mono;
    for n in 0..4000 {
        world.sip(&message(n, ALICE, ROMEO, "x"));
        world.pass(Duration::from_millis(200));
        if world.seen.drain(..).any(|seen| matches!(seen, Seen::DialXmpp { .. })) {
            gaps.push(world.now.mono.since(last));
            last = world.now.mono;
        }
    }
    assert!((12..60).contains(&gaps.len()), "{gaps:?}");
    let longest = gaps.iter().max().unwrap();
    assert!(*longest <= Duration::from_secs(61) && *longest > Duration::from_secs(20), "{gaps:?}");
    let mut whole: Vec<_> = gaps[gaps.len() - 5..].to_vec();
    whole.dedup();
    assert!(whole.len() > 1, "not random: {gaps:?}");
}

#[test]
fn an_idle_stream_that_is_closed_is_opened_again_at_once() {
    let mut world = World::new(Net::works());
    world.sip(&message(1, ALICE, ROMEO, "1"));
    let stream = world.dialled_stream();
    world.stream_down(stream);
    world.seen.clear();
    world.sip(&message(2, ALICE, ROMEO, "2"));
    assert_eq!(world.statuses(), [202]);
    assert_ne!(world.dialled_stream(), stream);
}

#[test]
fn an_error_for_a_stanza_waits_for_the_stream_too_and_asks_for_no_answer() {
    let mut world = World::new(Net { streams: Play::Silent, status: Some(404), ..Net::works() });
    world.say("m1", ALICE, "hi");
    assert!(world.take_xmpp().is_empty());
    let stream = world.seen.iter().find_map(|seen| match seen {
        Seen::DialXmpp { stream, .. } => Some(*stream),
        _ => None,
    });
    world.stream_up(stream.unwrap());
    assert!(world.one_xmpp().contains("id='m1' type='error'"));
    world.stream_down(stream.unwrap());
    world.pass_secs(60);
    assert!(world.take_xmpp().is_empty());
    world.assert_quiet();
}

#[test]
fn check_170_one_trace_names_both_legs_and_no_text_is_observed() {
    let secret = "xyzzy plugh";
    for outcome in [Some(200), Some(404), None] {
        let mut world = World::new(Net { status: outcome, ..Net::works() });
        world.say("m1", ALICE, secret);
        let leg = world.one_sip();
        let headers = format!("Content-Type: text/plain\r\nSubject: {secret}\r\n");
        world.sip(&message_with(1, ALICE, ROMEO, &headers, secret));
        world.sip(&message_with(2, "denied@contoso.example", ROMEO, &headers, secret));
        world.sip(&message_with(3, ALICE, "romeo@nowhere.example", &headers, secret));
        world.sip(&message_with(4, ALICE, ROMEO, "Content-Type: image/png\r\n", secret));
        world.sip(&format!("MESSAGE sip:{ROMEO} SIP/2.0\r\nContent-Length: +1\r\n\r\n{secret}"));
        world.romeo(&format!(
            "<message from='{ROMEO}' to='denied@contoso.example'><body>{secret}</body></message>"
        ));
        let stanzas = world.take_xmpp();
        world.pass_secs(60);
        assert!(world.observed.len() >= 5, "{:?}", world.observed);
        for observation in &world.observed {
            let text = format!("{observation:?}");
            assert!(!text.contains("xyzzy") && !text.contains("plugh"), "{text}");
        }
        let mut traces = Vec::new();
        for observation in &world.observed {
            if let Observation::Delivered { trace, .. } | Observation::Failed { trace, .. } = observation {
                traces.push(trace.clone());
            }
        }
        let on_sip = |trace: &String| leg.header("From").unwrap().ends_with(&format!(";tag={trace}"));
        let on_xmpp = |trace: &String| stanzas.iter().any(|s| s.contains(&format!(" id='{trace}'")));
        assert_eq!(traces.iter().filter(|trace| on_sip(trace)).count(), 1, "{traces:?}");
        assert_eq!(traces.iter().filter(|trace| on_xmpp(trace)).count(), 1, "{traces:?}");
    }
}

#[test]
fn each_refusal_is_observed_once() {
    let mut world = World::new(Net::works());
    world.sip(&message(1, "denied@contoso.example", ROMEO, "x"));
    assert!(matches!(world.observed.as_slice(), [Observation::Denied { .. }]), "{:?}", world.observed);
    world.observed.clear();
    world.sip(&message(2, "mallory@capulet.example", ROMEO, "x"));
    assert!(matches!(world.observed.as_slice(), [Observation::Refused { .. }]), "{:?}", world.observed);
    assert_eq!(world.gateway.counts().failed, [2, 0]);
    world.observed.clear();
    world.say("m1", "denied@contoso.example", "x");
    let denied = world.observed.iter().filter(|o| matches!(o, Observation::Denied { .. })).count();
    let others = world.observed.iter().filter(|o| matches!(o, Observation::Failed { .. })).count();
    assert_eq!((denied, others), (1, 0), "{:?}", world.observed);
    assert_eq!(world.gateway.counts().failed, [2, 1]);
}

#[test]
fn threat_171_a_wall_clock_that_jumps_a_day_moves_no_deadline() {
    for millis in [-86_400_000_i64, 86_400_000] {
        let jump = |world: &mut World| {
            let wall = world.now.wall.as_millis().checked_add_signed(millis).unwrap();
            world.now.wall = crate::now::Wall::from_millis(wall);
        };
        // What waits for a stream, what waits for an answer, and a stream that carries.
        let mut world = World::with(Net { streams: Play::Silent, ..Net::works() }, |_| {});
        world.sip(&message(1, ALICE, ROMEO, "x"));
        world.say("m1", ALICE, "x");
        let stream = world.dialled_stream();
        let request = world.one_sip();
        jump(&mut world);
        world.handle(crate::gateway::Input::Timeout);
        world.assert_nothing_sent();
        world.pass(Duration::from_millis(9_999));
        assert_eq!(world.statuses(), [100]);
        world.pass(Duration::from_millis(1));
        assert_eq!(world.statuses(), [504], "{millis}");
        world.stream_up(stream);
        jump(&mut world);
        world.sip(&message(2, ALICE, ROMEO, "y"));
        assert!(world.one_xmpp().contains("<body>y</body>"), "{millis}");
        assert_eq!(world.statuses(), [202]);
        jump(&mut world);
        world.handle(crate::gateway::Input::Timeout);
        assert!(!world.seen.contains(&Seen::CloseXmpp(stream)), "{millis}");
        world.assert_nothing_sent();
        world.answer(&request, 200);
        assert_eq!(world.gateway.counts().delivered, [1, 1]);
        world.assert_quiet();
    }
}
