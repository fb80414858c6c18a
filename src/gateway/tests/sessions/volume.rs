//! Very many texts in one session.

use super::super::ALICE;
use super::{Dialog, Im, PLAIN, romeo_opens, world};

#[test]
fn f79_f80_ten_thousand_texts_each_way_arrive_complete_in_order_and_once() {
    const TEXTS: u32 = 10_000;
    let mut world = world(Im::MsSession);
    let (mut dialog, sent) = romeo_opens(&mut world, "m0", "first");
    world.answer(&sent, 200);
    for n in 0..TEXTS {
        world.say(&format!("m{n}"), ALICE, &format!("to alice {n}"));
        // The next one waits for the answer to this: half of them come in pairs.
        let sent = world.one_sip();
        if n % 2 == 0 {
            world.say(&format!("n{n}"), ALICE, &format!("and {n}"));
        }
        assert_eq!(sent.body(), format!("to alice {n}"));
        world.answer(&sent, 200);
        if n % 2 == 0 {
            let sent = world.one_sip();
            assert_eq!(sent.body(), format!("and {n}"));
            world.answer(&sent, 200);
        }
        dialog.send(&mut world, "MESSAGE", PLAIN, &format!("to romeo {n}"));
        assert_eq!(world.one_sip().status(), Some(200));
        assert!(world.one_xmpp().contains(&format!("<body>to romeo {n}</body>")));
        // What a test remembers for its comparisons is not what is measured.
        world.wire.clear();
        world.observed.clear();
    }
    let counts = world.gateway.counts();
    assert_eq!((counts.delivered, counts.failed), ([10_000, 15_001], [0, 0]));
    let (rows, count) = world.gateway.sessions(world.now, None, 10);
    assert_eq!((count, rows[0].to_xmpp, rows[0].to_sip), (1, 10_000, 15_001));
    let _ = Dialog::of_ours;
}
