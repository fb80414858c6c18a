//! How much a watch takes.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::addr::Jid;
use crate::ids::{Ids, Owner};
use crate::now::Wall;
use crate::sip::merged::LoopGuard;
use crate::store::record::{Change, Key, Watching};

/// What the allocator adds to a block, and rounds up to, generously.
fn block(octets: usize) -> usize {
    (octets + 8).div_ceil(16) * 16
}

fn authorization(direction: Watching) -> Authorization {
    let jid = |text| Jid::parse(text).unwrap();
    record::asked(direction, &jid("juliet.capulet@example.com"), &jid("romeo.m@example.net"), Wall::default())
}

/// Both addresses with their counts.
fn jids(authorization: &Authorization) -> usize {
    [&authorization.watcher, &authorization.presentity].iter().map(|jid| block(16 + jid.as_str().len())).sum()
}

#[test]
fn a_watch_takes_less_than_800_octets_in_all() {
    let (mut ids, guard) = (Ids::new([1; 32], Owner::default()), LoopGuard::new([2; 32]));
    let authorization = authorization(Watching::XmppWatchesSip);
    let (watcher, presentity) = (&authorization.watcher, &authorization.presentity);
    let mut subscriber = Subscriber::new(watcher, presentity, 100_000, &guard, &mut ids).unwrap();
    let dialog = subscriber.dialog();
    let notify = format!(
        "NOTIFY sip:gw SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
         From: <sip:romeo.m@example.net>;tag=10.1234.5678.1700000000.12\r\n\
         To: <sip:juliet.capulet@example.com>;tag={}\r\nCall-ID: {}\r\nCSeq: 1 NOTIFY\r\n\
         Record-Route: <sip:proxy.example.net:5061;transport=tls;lr>\r\n\
         Contact: <sip:presence.example.net:5061;transport=tls>\r\nEvent: presence\r\n\
         Subscription-State: active;expires=28800\r\nContent-Length: 0\r\n\r\n",
        dialog.local_tag().unwrap(),
        dialog.call_id()
    );
    let notify = crate::sip::message::Message::parse(notify.as_bytes()).unwrap();
    subscriber.on_notify(&notify, crate::sip::subscription::Awaiting::First).unwrap();
    let text = block(subscriber.dialog().octets());
    let xmpp = size_of::<XmppWatch>() + jids(&authorization) + text;
    let leg = block(size_of::<(s2x::Leg, Notifier)>()) + block(s2x::LEG_OCTETS);
    let sip = size_of::<SipWatch>() + jids(&authorization) + leg + text;
    println!(
        "x2s: machine {} + authorization {} + subscriber {} = watch {}; with texts {xmpp}",
        size_of::<x2s::Machine>(),
        size_of::<Authorization>(),
        size_of::<Option<Subscriber>>(),
        size_of::<XmppWatch>()
    );
    println!(
        "s2x: machine {} + leg {} + notifier {}; watch {}; with texts {sip}",
        size_of::<s2x::Machine>(),
        s2x::LEG_OCTETS,
        size_of::<Notifier>(),
        size_of::<SipWatch>()
    );
    println!("dialog text {}", subscriber.dialog().octets());
    assert!(xmpp <= 800 && sip <= 800, "{xmpp} {sip}");
}

#[test]
fn check_099_a_record_says_who_may_see_whom() {
    let mut record = authorization(Watching::SipWatchesXmpp);
    let day = |days: u64| Wall::from_millis(days * 86_400_000);
    let put = Save::Put(Consent::Granted).apply(&mut record, day(3));
    assert_eq!(put, Change::from(record.clone()));
    assert_eq!((record.state, record.created, record.used), (Consent::Granted, day(0), day(3)));
    let Change::Touch { used, .. } = Save::Used.apply(&mut record, day(5)) else { unreachable!() };
    assert_eq!((record.state, record.used, used), (Consent::Granted, day(5), day(5)));
    let Change::Remove(Key::Authorization { direction, watcher, .. }) = Save::Gone.apply(&mut record, day(6))
    else {
        unreachable!()
    };
    assert_eq!((direction, watcher.as_str()), (Watching::SipWatchesXmpp, "juliet.capulet@example.com"));
}
