//! Presence documents: those of others, hostile ones, and the law that what is written is read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hostile;
mod laws;
mod reading;
pub(crate) mod samples;

use super::*;

fn document(text: &str) -> Document<'_> {
    read(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A document around `inner`.
fn around(inner: &str) -> String {
    format!(
        "<presence xmlns='{}' xmlns:dm='{}' xmlns:rpid='{}' entity='pres:a@b.example'>{inner}</presence>",
        ns::PIDF,
        ns::DATA_MODEL,
        ns::RPID
    )
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}
