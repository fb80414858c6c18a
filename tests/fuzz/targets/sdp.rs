//! Session descriptions: no panic, what was read is read again after it was written, and what answers an
//! offer can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::body::sdp::{Description, Kind, Ours, Way};

fuzz_target!(|octets: &[u8]| {
    let Ok(one) = Description::parse(octets) else { return };
    let mut copy = Vec::new();
    one.write(&mut copy);
    if copy.len() < 60_000 {
        let again = Description::parse(&copy).expect("it was written by us");
        assert!(again.media().eq(one.media()));
    }
    let ours =
        Ours { host: "gw.example.com", session: 1, version: 1, accept: &["text/plain"], way: Way::Sip };
    if let Some(media) = one.usable(Kind::Sip) {
        let answer = ours.answer(&one, media.index).expect("a medium of this kind");
        let answer = Description::parse(&answer).expect("it was written by us");
        assert_eq!(answer.media().count(), one.media().count());
    }
});
