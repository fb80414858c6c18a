//! Status messages and notifications: no panic, and what was read is read again after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::body::imdn::Imdn;
use stoxd::body::iscomposing::IsComposing;
use stoxd::body::keyboard::KeyboardActivity;
use stoxd::body::signal::{Signal, signal_of};
use stoxd::body::{Limits, Part};

const TYPES: [&str; 5] = [
    "message/imdn+xml",
    "application/im-iscomposing+xml",
    "application/xml",
    "message/cpim",
    "application/ms-imdn+xml",
];

fuzz_target!(|octets: &[u8]| {
    let Some((first, octets)) = octets.split_first() else { return };
    let content_type = TYPES.get(usize::from(first >> 1) % TYPES.len()).copied();
    let encoding = (first & 1 == 1).then_some("deflate");
    let part = Part { content_type, encoding, octets, ..Part::default() };
    match signal_of(&part, &Limits::default()) {
        Ok(Signal::Imdn(imdn)) => assert_eq!(Imdn::read(imdn.write().as_bytes(), None), Ok(imdn)),
        Ok(Signal::Composing(status)) => {
            assert_eq!(IsComposing::read(status.write().as_bytes(), None), Ok(status));
        }
        Ok(Signal::Keyboard(activity)) => {
            assert_eq!(KeyboardActivity::read(activity.write().as_bytes(), None), Ok(activity));
        }
        Ok(Signal::Ignored) | Err(_) => {}
    }
});
