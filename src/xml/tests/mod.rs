//! Tests of the room as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod framing;
mod parsing;
