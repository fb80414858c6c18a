//! The gate in front of everything: what is denied leaves no trace outside, and one answer for all.

use super::net::{Net, POLICY, Play};
use super::texts::{message, request};
use super::world::{Seen, World};
use super::{ALICE, BOB, ROMEO};
use crate::gateway::observe::Observation;

fn world() -> World {
    World::new(Net::works())
}

#[test]
fn check_165_threat_130_nothing_is_dialled_or_looked_up_for_what_is_denied_to_xmpp() {
    for (from, to) in [
        ("denied@contoso.example", ROMEO),
        (ALICE, "mallory@capulet.example"),
        (ALICE, "x@unlisted.example"),
        (ALICE, "x@sub.capulet.example"),
        (ALICE, "x@capulet.example.evil.example"),
        (ALICE, "x@public.example"),
    ] {
        let mut world = World::new(Net::silent());
        world.sip(&message(1, from, to, "x"));
        let open = to.ends_with("public.example");
        if open {
            // Our user may write first to a public partner.
            assert!(matches!(world.seen.pop_front(), Some(Seen::DialXmpp { .. })));
            continue;
        }
        let statuses = world.statuses();
        assert_eq!(statuses, [403], "{from} to {to}");
        world.pass_secs(120);
        assert!(world.seen.is_empty(), "{:?}", world.seen);
        assert!(matches!(world.observed.as_slice(), [Observation::Denied { .. }]), "{:?}", world.observed);
        assert!(world.gateway.pairs.up().next().is_none());
    }
}

#[test]
fn check_165_threat_130_nothing_is_dialled_or_looked_up_for_what_is_denied_to_sip() {
    for (remote, from, to) in [
        ("capulet.example", ROMEO, "denied@contoso.example"),
        ("capulet.example", "mallory@capulet.example", ALICE),
        ("public.example", "x@public.example", ALICE),
    ] {
        let mut world = world();
        world.xmpp(remote, &format!("<message from='{from}/r' to='{to}' id='m1'><body>x</body></message>"));
        let back = world.one_xmpp();
        assert!(back.contains("id='m1' type='error'><error type='auth'><forbidden"), "{back}");
        // The one thing done is to tell the sender.
        for seen in &world.seen {
            assert!(
                matches!(seen, Seen::DialXmpp { pair, .. } if pair.remote.as_str() == remote),
                "{seen:?}"
            );
        }
        let denied = world.observed.iter().filter(|o| matches!(o, Observation::Denied { .. })).count();
        assert_eq!(denied, 1, "{:?}", world.observed);
    }
}

#[test]
fn check_166_a_denied_pair_gets_the_same_octets_whoever_exists() {
    // The SIP server would say 404 for one and 200 for the other: it is not asked.
    let mut answers = Vec::new();
    for user in ["denied", "nobody"] {
        let mut world = world();
        world.reload(&POLICY.replace("sip:denied@contoso.example", "*@contoso.example"));
        world.say("m1", &format!("{user}@contoso.example"), "x");
        assert!(world.take_sip().is_empty());
        answers.push(world.one_xmpp().replace(user, "USER"));
    }
    assert_eq!(answers[0], answers[1]);
    let mut answers = Vec::new();
    for user in ["mallory", "nobody1"] {
        let mut world = world();
        let person = format!("address = \"xmpp:{user}@capulet.example\"");
        world.reload(&POLICY.replace("address = \"xmpp:mallory@capulet.example\"", &person));
        world.sip(&message(1, ALICE, &format!("{user}@capulet.example"), "x"));
        let text = world.one_sip().text.replace(user, "USER");
        // The tag follows from the request.
        answers.push(text.split(";tag=00").next().unwrap().to_owned());
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn threat_131_no_spelling_of_a_denied_user_gets_through() {
    for spelling in [
        "DENIED@contoso.example",
        "den\u{ad}ied@contoso.example",
        "\u{ff44}enied@contoso.example",
        "denied@CONTOSO.example",
        "denied@contoso.example.",
        "denied@contoso.example/desk",
        "denied@\u{ff43}ontoso.example",
        "denied@contoso\u{3002}example",
        "denied\u{200b}@contoso.example",
    ] {
        let mut world = world();
        world.romeo(&format!("<message from='{ROMEO}' to='{spelling}'><body>x</body></message>"));
        assert!(world.take_sip().is_empty(), "{spelling}");
    }
    for spelling in [
        "MALLORY@capulet.example",
        "%6Dallory@capulet.example",
        "mallory:pass@capulet.example",
        "mallory@capulet.example:7777",
        "mallory@CAPULET.example.",
        "mallory@capulet.example;gr=x",
        "%EF%BD%8Dallory@capulet.example",
        "mall%C2%ADory@capulet.example",
        "mallory%E2%80%8B@capulet.example",
    ] {
        let mut world = world();
        world.sip(&message(1, ALICE, spelling, "x"));
        assert!(world.take_xmpp().is_empty(), "{spelling}");
        assert!(world.statuses()[0] >= 400, "{spelling}");
        assert!(world.seen.is_empty(), "{spelling}: {:?}", world.seen);
    }
}

#[test]
fn threat_132_equal_domains_are_equal_and_look_alikes_are_not() {
    for (domain, expected) in [
        ("xn--bcher-kva.example", 202),
        ("XN--BCHER-KVA.example", 202),
        ("b%C3%BCcher.example", 400),
        ("capulet.example.", 202),
        ("CAPULET.EXAMPLE", 202),
        ("verona.capulet.example", 202),
        ("capu1et.example", 403),
        ("evilcapulet.example", 403),
        ("example", 403),
    ] {
        let mut world = world();
        world.sip(&message(1, ALICE, &format!("romeo@{domain}"), "x"));
        assert_eq!(world.statuses(), [expected], "{domain}");
        if expected == 202 && domain.to_lowercase().starts_with("xn--") {
            assert!(world.one_xmpp().contains(" to='romeo@bücher.example' "));
        }
    }
}

#[test]
fn threat_133_presence_is_gated_and_asks_for_nothing_outside() {
    let mut world = world();
    let denied = "denied@contoso.example";
    for type_ in [
        "",
        "type='unavailable'",
        "type='probe'",
        "type='subscribed'",
        "type='unsubscribed'",
        "type='unsubscribe'",
        "type='error'",
    ] {
        world.romeo(&format!("<presence from='{ROMEO}' to='{denied}' {type_}/>"));
    }
    assert!(world.seen.is_empty(), "{:?}", world.seen);
    world.romeo(&format!("<presence from='{ROMEO}' to='{denied}' type='subscribe' id='s'/>"));
    let back = world.one_xmpp();
    assert!(
        back.starts_with("<presence ") && back.contains("forbidden") && back.contains("id='s'"),
        "{back}"
    );
    assert!(world.take_sip().is_empty() && !world.seen.iter().any(|s| matches!(s, Seen::Persist { .. })));
    let headers = "Event: presence\r\nContact: <sip:a@192.0.2.7>\r\nExpires: 600\r\n";
    world.sip(&request("SUBSCRIBE", 1, denied, ROMEO, headers, ""));
    assert_eq!(world.statuses(), [403]);
    assert!(world.take_xmpp().is_empty() && !world.seen.iter().any(|s| matches!(s, Seen::Persist { .. })));
}

#[test]
fn threat_134_an_additional_domain_is_judged_as_what_it_is() {
    let mut world = world();
    world.sip(&message(1, ALICE, "romeo@verona.capulet.example", "x"));
    assert_eq!(world.statuses(), [202]);
    // A block of a person names one address, not its namesake elsewhere.
    world.sip(&message(2, ALICE, "mallory@verona.capulet.example", "x"));
    assert_eq!(world.statuses(), [202]);
    world.take_xmpp();
    world.reload(&POLICY.replace("additional_domains = [\"verona.capulet.example\"]", ""));
    world.sip(&message(3, ALICE, "romeo@verona.capulet.example", "x"));
    assert_eq!(world.statuses(), [403]);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn threat_135_a_reload_takes_effect_between_two_items_and_what_waits_is_told() {
    let mut world = World::new(Net::silent());
    world.sip(&message(1, ALICE, ROMEO, "waits"));
    let stream = world.dialled_stream();
    let without = POLICY.replace("domain = \"capulet.example\"", "domain = \"other.example\"");
    world.reload(&without);
    assert_eq!(world.statuses(), [403]);
    assert!(world.seen.contains(&Seen::CloseXmpp(stream)));
    world.sip(&message(2, ALICE, ROMEO, "x"));
    assert_eq!(world.statuses(), [403]);
    // The dial ends later: nothing is sent on what it made.
    world.stream_up(stream);
    world.stream_down(stream);
    assert!(world.take_xmpp().is_empty());
    world.seen.clear();
    world.reload(POLICY);
    world.pass_secs(5);
    world.sip(&message(3, ALICE, ROMEO, "again"));
    let stream = world.dialled_stream();
    world.stream_up(stream);
    assert!(world.one_xmpp().contains("again"));
    world.written(stream, 99);
    assert_eq!(world.statuses(), [202]);
    world.assert_quiet();
}

/// The policy, with alice's rights taken away.
fn without_alice() -> String {
    format!("{POLICY}[[grant]]\nuser = \"sip:{ALICE}\"\npolicy = \"Nothing\"\n")
}

#[test]
fn threat_135_what_waits_for_a_stream_is_judged_again_by_a_new_table() {
    let mut world = World::new(Net::silent());
    world.sip(&message(1, ALICE, ROMEO, "hers"));
    world.sip(&message(2, BOB, ROMEO, "his"));
    let stream = world.dialled_stream();
    world.reload(&without_alice());
    assert_eq!(world.statuses(), [403]);
    world.stream_up(stream);
    assert!(world.one_xmpp().contains("his"));
    world.written(stream, 99);
    assert_eq!(world.statuses(), [202]);
    world.assert_quiet();
}

#[test]
fn threat_135_what_waits_behind_a_message_is_judged_again_by_a_new_table() {
    let mut world = World::new(Net::works());
    for (id, to) in [("m1", ALICE), ("m2", ALICE), ("m3", ALICE), ("m4", BOB), ("m5", BOB)] {
        world.say(id, to, id);
    }
    let sent = world.take_sip();
    assert_eq!(sent.len(), 2);
    world.reload(&without_alice());
    for sent in &sent {
        world.answer(sent, 200);
    }
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors.iter().all(|text| text.contains("<forbidden ")), "{errors:#?}");
    let last = world.one_sip();
    assert_eq!(last.body(), "m5");
    world.answer(&last, 200);
    world.assert_quiet();
}

#[test]
fn a_stream_that_comes_up_for_somebody_who_was_removed_meanwhile_is_closed() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    world.sip(&message(1, ALICE, ROMEO, "waits"));
    let stream = world.dialled_stream();
    world.reload(&POLICY.replace("domain = \"capulet.example\"", "domain = \"other.example\""));
    world.seen.clear();
    world.stream_up(stream);
    assert_eq!(world.seen.pop_front(), Some(Seen::CloseXmpp(stream)));
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn check_167_check_139_what_is_served_here_is_never_dialled_on_the_other_side() {
    let mut world = world();
    let ours = ["bob@contoso.example", "bob@tailspin.example", "bob@tailspin.example;gr=x"];
    for (n, to) in (1..).zip(ours) {
        world.sip(&message(n, ALICE, to, "x"));
        assert_eq!(world.statuses(), [404], "{to}");
    }
    assert!(world.seen.is_empty(), "{:?}", world.seen);
    // A partner entry for a domain of ours changes nothing, and the configuration refuses it besides.
    for (remote, from, to, end) in [
        ("capulet.example", ROMEO, "x@montague.example", "host-unknown"),
        ("capulet.example", ROMEO, "x@capulet.example", "host-unknown"),
        ("capulet.example", "alice@contoso.example", "bob@contoso.example", "invalid-from"),
    ] {
        world.xmpp(remote, &format!("<message from='{from}' to='{to}'><body>x</body></message>"));
        assert!(world.ended.pop().unwrap().contains(end), "{from} to {to}");
    }
    assert!(world.seen.is_empty(), "{:?}", world.seen);
}

#[test]
fn check_169_over_the_rate_is_told_in_the_senders_protocol() {
    let mut world = World::with(Net { status: Some(200), ..Net::works() }, |settings| settings.user_rate = 5);
    for n in 0..6 {
        world.say(&format!("m{n}"), ALICE, "x");
        world.sip(&message(n, ALICE, ROMEO, "x"));
    }
    let (requests, answers): (Vec<_>, Vec<_>) =
        world.take_sip().into_iter().partition(super::texts::Sent::is_request);
    assert_eq!(requests.len(), 5);
    let last = answers.last().unwrap();
    assert_eq!((answers.len(), last.status(), last.header("Retry-After")), (6, Some(503), Some("1")));
    let errors: Vec<_> = world.take_xmpp().into_iter().filter(|s| s.contains("type='error'")).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("id='m5'") && errors[0].contains("<resource-constraint"), "{errors:?}");
}

#[test]
fn check_169_what_is_refused_costs_its_sender_as_much_as_what_crosses() {
    let mut world = World::with(Net { status: Some(200), ..Net::works() }, |settings| settings.user_rate = 5);
    for n in 0..6 {
        world.say(&format!("m{n}"), "denied@contoso.example", "x");
        world.sip(&message(n, "denied@contoso.example", ROMEO, "x"));
    }
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 6);
    assert!(errors[..5].iter().all(|error| error.contains("<forbidden")), "{errors:?}");
    assert!(errors[5].contains("id='m5'") && errors[5].contains("<resource-constraint"), "{errors:?}");
    assert_eq!(world.statuses(), [403, 403, 403, 403, 403, 503]);
    // And with what crosses: there is one budget for both.
    world.pass(std::time::Duration::from_millis(400));
    for n in 10..13 {
        world.say(&format!("m{n}"), if n == 10 { "denied@contoso.example" } else { ALICE }, "x");
    }
    let requests = world.take_sip().len();
    let errors = world.take_xmpp();
    assert_eq!((requests, errors.len()), (1, 2), "{errors:?}");
    assert!(errors[1].contains("id='m12'") && errors[1].contains("<resource-constraint"), "{errors:?}");
}

#[test]
fn every_refusal_goes_over_the_stream_of_its_own_pair() {
    // The world looks at each stanza's addresses and at its stream's.
    for to in ["alice@tailspin.example", "alice@contoso.example"] {
        let mut world = World::with(Net { status: Some(404), ..Net::works() }, |settings| {
            settings.message_size = 100;
        });
        let domain = to.split('@').nth(1).unwrap();
        world.say("unknown", to, "x");
        world.say("long", to, &"x".repeat(101));
        world.say("denied", &format!("denied@{domain}"), "x");
        world.romeo(&format!(
            "<message from='{ROMEO}' to='{to}' id='group' type='groupchat'><body>x</body></message>"
        ));
        world.romeo(&format!("<presence from='{ROMEO}' to='{to}' id='presence' type='subscribe'/>"));
        world.romeo(&format!("<iq from='{ROMEO}' to='{to}' id='iq' type='get'><q xmlns='urn:q'/></iq>"));
        world.romeo(&format!("<message from='{ROMEO}' to='a b@{domain}' id='jid'><body>x</body></message>"));
        let back = world.take_xmpp();
        for id in ["unknown", "long", "group", "presence", "iq", "jid"] {
            let of_it = |stanza: &&String| stanza.contains(&format!(" id='{id}' type='error'>"));
            assert_eq!(back.iter().filter(of_it).count(), 1, "{id}: {back:#?}");
        }
        let pairs: Vec<&str> = world.gateway.pairs.up().map(|pair| pair.local.as_str()).collect();
        assert_eq!(pairs, [domain]);
    }
}

#[test]
fn threat_130_a_late_error_from_somebody_who_was_blocked_meanwhile_is_not_told() {
    let block = "address = \"xmpp:mallory@capulet.example\"";
    let romeo = "address = \"xmpp:romeo@capulet.example\"";
    for (policy, told) in [(POLICY.to_owned(), 1), (POLICY.replace(block, romeo), 0)] {
        let mut world = world();
        world.sip(&message(1, ALICE, ROMEO, "x"));
        let stanza = world.one_xmpp();
        assert_eq!(world.statuses(), [202]);
        let id = stanza.split(" id='").nth(1).unwrap().split('\'').next().unwrap();
        world.reload(&policy);
        world.romeo(&format!(
            "<message from='{ROMEO}' to='{ALICE}' id='{id}' type='error'><error type='cancel'>\
             <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>hear me anyway</text></error></message>"
        ));
        assert_eq!(world.take_sip().len(), told);
        assert!(world.take_xmpp().is_empty());
    }
}

#[test]
fn f019_who_may_not_reach_xmpp_is_refused_that_and_nothing_else() {
    let mut world = world();
    world.sip(&message(1, "denied@contoso.example", ROMEO, "x"));
    assert_eq!(world.statuses(), [403]);
    // The link and the peer are as good as before, for that user's other requests, too.
    world.sip(&request("OPTIONS", 2, "denied@contoso.example", "gw.contoso.example", "", ""));
    assert_eq!(world.statuses(), [200]);
    world.sip(&message(3, ALICE, ROMEO, "x"));
    assert_eq!(world.statuses(), [202]);
}

#[test]
fn f057_f058_texts_are_observed_only_where_that_is_switched_on() {
    for texts in [false, true] {
        let mut world = World::with(Net::works(), |settings| settings.texts = texts);
        world.sip(&message(1, ALICE, ROMEO, "hush one"));
        world.say("m1", ALICE, "hush two");
        let observed = format!("{:?}", world.observed);
        assert_eq!([observed.contains("hush one"), observed.contains("hush two")], [texts; 2], "{observed}");
    }
}
