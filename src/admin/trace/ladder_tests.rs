//! The picture, letter by letter.

#![allow(clippy::unwrap_used)]
