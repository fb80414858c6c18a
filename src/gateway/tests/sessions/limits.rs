//! Bounds: how many sessions, how much of each.

use super::super::ALICE;
use super::super::net::Net;
use super::super::texts::request;
use super::{CONTACT, Dialog, Im, OFFER, SDP, SessionSettings, invite, world, world_with};

#[test]
fn one_session_too_many_is_refused_in_both_directions() {
    for limits in [
        SessionSettings { all: 1, ..SessionSettings::default() },
        SessionSettings { per_user: 1, ..SessionSettings::default() },
        SessionSettings { per_partner: 1, ..SessionSettings::default() },
    ] {
        let mut world = world_with(Net::works(), Im::MsSession, |settings| settings.sessions = limits);
        let mut dialog = Dialog::open(&mut world, 1);
        world.sip(&request("INVITE", 2, ALICE, "juliet@capulet.example", &format!("{CONTACT}{SDP}"), OFFER));
        let refused = world.one_sip();
        assert_eq!((refused.status(), refused.header("Retry-After")), (Some(480), Some("300")), "{limits:?}");
        world.romeo(&format!(
            "<message from='juliet@capulet.example' to='{ALICE}' id='j1'><body>j</body></message>"
        ));
        assert!(world.one_xmpp().contains("<resource-constraint "), "{limits:?}");
        assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
        world.sip(&invite(3, SDP, OFFER));
        assert_eq!(world.one_sip().status(), Some(200), "there is room again: {limits:?}");
    }
}

#[test]
fn the_texts_that_wait_for_an_answer_are_bounded() {
    let mut world = world_with(Net::works(), Im::MsSession, |settings| settings.target_queue = 3);
    for n in 0..5 {
        world.say(&format!("m{n}"), ALICE, "hi");
    }
    assert_eq!(world.take_sip().len(), 1);
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors.iter().all(|error| error.contains("<resource-constraint ")));
    let mut world = world_with(Net::works(), Im::MsSession, |settings| settings.pairs.octets = 5000);
    for n in 0..10 {
        world.say(&format!("m{n}"), ALICE, &"x".repeat(500));
    }
    let refused = world.take_xmpp().len();
    assert!((5..8).contains(&refused), "{refused}");
    world.pass_secs(100);
    world.take_xmpp();
    assert!(world.gateway.is_quiet(), "nothing is held any more");
}

#[test]
fn a_session_timer_that_is_too_short_is_422_and_one_that_ends_ends_the_session() {
    let mut world = world(Im::MsSession);
    let timer = "Supported: timer\r\nSession-Expires: 60\r\n";
    let (_, refused) = Dialog::invite(&mut world, 1, &format!("{timer}{SDP}"), OFFER);
    assert_eq!((refused.status(), refused.header("Min-SE")), (Some(422), Some("90")));
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n";
    let (mut dialog, ok) = Dialog::invite(&mut world, 2, &format!("{timer}{SDP}"), OFFER);
    assert_eq!(ok.header("Session-Expires"), Some("120;refresher=uac"));
    dialog.ack(&mut world);
    world.pass_secs(100);
    let bye = world.one_sip();
    dialog.ours(&bye, "BYE");
    assert_eq!(world.gateway.session_count(), 0);
}
