//! The gate in front of every text, and the end of sessions that lost their right or their gateway.

use super::super::net::{Net, POLICY};
use super::super::presence::subscribe;
use super::super::texts::{Sent, request};
use super::super::world::World;
use super::super::{ALICE, ROMEO};
use super::{
    COMPOSING, CONTACT, Dialog, FIRST, Im, OFFER, PLAIN, SDP, romeo_opens, romeo_sends, world, world_with,
};
use crate::gateway::Input;

const DENIED: &str = "denied@contoso.example";

fn without_alice() -> String {
    format!("{POLICY}\n[[grant]]\nuser = \"sip:{ALICE}\"\npolicy = \"Nothing\"\n")
}

#[test]
fn an_invitation_that_the_table_refuses_is_403_with_its_number_and_tells_nobody() {
    let mut world = world(Im::MsSession);
    let headers = format!("{CONTACT}{FIRST}{SDP}");
    world.sip(&request("INVITE", 1, DENIED, ROMEO, &headers, OFFER));
    let refused = world.one_sip();
    assert_eq!(refused.status(), Some(403));
    let said = refused.header("ms-diagnostics").unwrap();
    assert!(said.starts_with("1002;source=\"gw.contoso.example\";reason=\""), "{said}");
    assert!(world.take_xmpp().is_empty());
    assert_eq!(world.gateway.session_count(), 0);
    // The other way.
    world.say("m1", DENIED, "hi");
    assert!(world.one_xmpp().contains("<forbidden "));
    assert!(world.take_sip().is_empty());
}

#[test]
fn check_171_a_right_that_is_taken_away_ends_the_session_on_both_sides() {
    let mut world = world(Im::MsSession);
    let (mut dialog, one) = romeo_opens(&mut world, "m1", "one");
    world.say("m2", ALICE, "two");
    romeo_sends(&mut world, COMPOSING);
    dialog.ours(&world.one_sip(), "INFO");
    world.reload(&without_alice());
    let sent = world.take_xmpp();
    assert!(sent.iter().any(|text| text.contains("<gone ") && !text.contains("type='error'")), "{sent:#?}");
    let errors: Vec<_> = sent.iter().filter(|text| text.contains("type='error'")).collect();
    assert_eq!(errors.len(), 1, "{sent:#?}");
    assert!(errors[0].contains("id='m2'") && errors[0].contains("<forbidden "), "{errors:#?}");
    let bye = world.one_sip();
    dialog.ours(&bye, "BYE");
    // The text that was sent has its answer.
    world.answer(&one, 200);
    world.answer(&bye, 200);
    assert_eq!(world.gateway.session_count(), 0);
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([0, 1], [0, 1]));
    assert_eq!(dialog.status(&mut world, "MESSAGE", PLAIN, "x"), 481);
    assert!(world.take_xmpp().is_empty());
    world.assert_quiet();
}

#[test]
fn check_171_an_invitation_whose_right_is_taken_away_is_cancelled() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    world.answer(&invite, 180);
    world.reload(&without_alice());
    assert!(world.one_sip().text.starts_with("CANCEL "));
    assert!(world.one_xmpp().contains("<forbidden "));
    world.answer(&invite, 487);
    assert!(world.one_sip().text.starts_with("ACK "));
    assert_eq!(world.gateway.session_count(), 0);
}

#[test]
fn check_171_a_partner_that_is_removed_takes_its_sessions_along() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    world.reload(&POLICY.replace("domain = \"capulet.example\"", "domain = \"other.example\""));
    let bye = world.one_sip();
    dialog.ours(&bye, "BYE");
    world.answer(&bye, 200);
    assert_eq!(world.gateway.session_count(), 0);
    // A reload that changes nothing ends nothing.
    let mut world = super::world(Im::MsSession);
    Dialog::open(&mut world, 1);
    world.reload(POLICY);
    world.assert_no_sip();
    assert_eq!(world.gateway.session_count(), 1);
}

#[test]
fn whoever_lost_the_right_may_still_say_goodbye() {
    let mut world = world_with(Net::works(), Im::MsSession, |_| {});
    let mut dialog = Dialog::open(&mut world, 1);
    world.reload(&without_alice());
    let bye = world.one_sip();
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 481, "ours was first");
    world.answer(&bye, 200);
}

#[test]
fn a_gateway_that_stops_says_goodbye_in_every_session_and_takes_no_new_one() {
    let mut world = world(Im::MsSession);
    let mut theirs = Dialog::open(&mut world, 1);
    world.romeo(&format!(
        "<message from='juliet@capulet.example' to='{ALICE}' id='j1'><body>j</body></message>"
    ));
    let invite = world.one_sip();
    world.stop();
    let bye = world.one_sip();
    theirs.ours(&bye, "BYE");
    world.answer(&bye, 200);
    // The other one is still asked: its text is delivered first.
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    assert_eq!(sent[1].body(), "j");
    assert!(!world.gateway.is_quiet());
    world.answer(&sent[1], 200);
    let bye = world.one_sip();
    assert!(bye.text.starts_with("BYE "), "{}", bye.text);
    world.answer(&bye, 200);
    world.assert_quiet();
    world.sip(&super::invite(5, SDP, OFFER));
    assert_eq!(world.one_sip().status(), Some(503));
    world.say("m9", ALICE, "late");
    assert!(world.one_xmpp().contains("<resource-constraint "));
}

#[test]
fn what_is_left_of_sessions_when_time_is_over_goes_back_once() {
    let mut world = world(Im::MsSession);
    let (_, _one) = romeo_opens(&mut world, "m1", "one");
    world.say("m2", ALICE, "two");
    world.romeo(&format!(
        "<message from='juliet@capulet.example' to='{ALICE}' id='j1'><body>j</body></message>"
    ));
    world.take_sip();
    world.stop();
    abandon(&mut world);
    let errors = world.take_xmpp();
    for id in ["m1", "m2", "j1"] {
        let of = |text: &&String| text.contains(&format!("id='{id}'")) && text.contains("type='error'");
        assert_eq!(errors.iter().filter(of).count(), 1, "{id}: {errors:#?}");
    }
    assert_eq!(errors.len(), 3, "{errors:#?}");
    let methods: Vec<_> =
        world.take_sip().iter().map(|sent| sent.text.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["BYE"], "and no CANCEL before a provisional response");
    world.pass_secs(200);
    world.assert_nothing_sent();
    assert_eq!(world.gateway.session_count(), 0);
    world.assert_quiet();
}

fn abandon(world: &mut World) {
    world.gateway.abandon(world.now);
    world.handle(Input::Timeout);
}

#[test]
fn no_session_outlives_the_process() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    let mut next = super::world(Im::MsSession);
    assert_eq!(dialog.status(&mut next, "MESSAGE", PLAIN, "hi"), 481);
    assert_eq!(dialog.status(&mut next, "BYE", "", ""), 481);
    next.assert_quiet();
}

#[test]
fn check_171_a_session_whose_contact_may_not_answer_any_more_ends() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    dialog.says(&mut world, "hi");
    // alice may write to users of a public partner; they may not to her.
    world.reload(&POLICY.replacen("type = \"federated\"", "type = \"public-unverified\"", 1));
    let bye = world.one_sip();
    dialog.ours(&bye, "BYE");
    world.answer(&bye, 200);
    assert_eq!(world.gateway.session_count(), 0);
}

#[test]
fn a_session_that_was_allowed_one_way_from_the_start_survives_a_reload_that_changes_nothing() {
    let mut world = world(Im::MsSession);
    // juliet is of a public partner, and alice has not added her: she could not answer.
    world.sip(&super::invite(1, SDP, OFFER).replace(ROMEO, JULIET));
    let answer = world.one_sip();
    assert_eq!(answer.status(), Some(200), "{}", answer.text);
    let mut dialog = Dialog::of(1, &answer);
    dialog.contact = JULIET.into();
    dialog.ack(&mut world);
    world.reload(POLICY);
    world.assert_no_sip();
    assert_eq!(world.gateway.session_count(), 1);
    // What it had, it can lose.
    world.reload(&without_alice());
    dialog.ours(&world.one_sip(), "BYE");
}

#[test]
fn what_is_over_the_budget_is_refused_in_a_session_too() {
    let mut world = world_with(Net::works(), Im::MsSession, |settings| settings.user_rate = 2);
    let mut dialog = Dialog::open(&mut world, 1);
    dialog.says(&mut world, "two");
    dialog.send(&mut world, "MESSAGE", PLAIN, "three");
    let busy = world.one_sip();
    assert_eq!(busy.status(), Some(503));
    assert!(busy.header("Retry-After").is_some(), "{}", busy.text);
    assert!(world.take_xmpp().is_empty());
    // Nor is another session begun; and who leaves may leave.
    let (_, refused) = Dialog::invite(&mut world, 2, SDP, OFFER);
    assert_eq!(refused.status(), Some(503));
    assert_eq!(world.gateway.session_count(), 1);
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
}

const JULIET: &str = "juliet@public.example";

/// juliet, whom alice has added and takes away again, wrote to alice meanwhile: her INVITE.
fn juliet_writes_and_is_taken_away(world: &mut World) -> Sent {
    world.sip(&subscribe(1, "", "Expires: 600\r\n").replace(ROMEO, JULIET));
    world.take_sip();
    world.take_xmpp();
    let text =
        format!("<message from='{JULIET}/r' to='{ALICE}' id='m1' type='chat'><body>one</body></message>");
    world.xmpp("public.example", &text);
    let invite = world.one_sip();
    assert!(invite.text.starts_with("INVITE "), "{}", invite.text);
    let jid = |text| crate::addr::Jid::parse(text).unwrap();
    assert!(world.gateway.revoke_watch(world.now, &jid(ALICE), &jid(JULIET)));
    world.handle(Input::Timeout);
    world.take_sip();
    world.take_xmpp();
    invite
}

/// The gate is asked once more when a text leaves, however the right was lost.
#[test]
fn a_text_that_waited_for_its_session_is_judged_again_when_it_leaves() {
    let mut world = world(Im::MsSession);
    let invite = juliet_writes_and_is_taken_away(&mut world);
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    assert!(!sent.iter().any(|sent| sent.text.starts_with("MESSAGE ")), "{sent:#?}");
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<forbidden "), "{error}");

    let mut world =
        world_with(Net::works(), Im::Msrp, |settings| settings.msrp.host = "gw.contoso.example".into());
    let invite = juliet_writes_and_is_taken_away(&mut world);
    let msrp = OFFER.lines().filter(|line| !line.starts_with("m=") && !line.starts_with("a="));
    let msrp: String = msrp.map(|line| format!("{line}\r\n")).collect();
    let proto = if invite.body().contains("TCP/TLS/MSRP") { "TCP/TLS/MSRP" } else { "TCP/MSRP" };
    let media = format!(
        "m=message 7313 {proto} *\r\na=accept-types:*\r\na=setup:passive\r\na=path:{}://edge.contoso.example:7313/x1x1;tcp\r\n",
        if proto.contains("TLS") { "msrps" } else { "msrp" }
    );
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &format!("{msrp}{media}"));
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<forbidden "), "{error}");
}
