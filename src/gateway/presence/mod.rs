//! Watches: who sees whose presence, and what is kept of it.

mod list;

pub use list::WatchRow;

use super::Gateway;
use crate::now::Now;
use crate::store::record::Record;

impl Gateway {
    /// Takes the records that the store held at the start. Before any other input.
    pub fn restore(&mut self, now: Now, records: Vec<Record>) {
        let _ = (now, records);
    }

    pub(super) fn on_persisted(&mut self, now: Now, ticket: u64, durable: bool) {
        let _ = (now, ticket, durable);
    }
}
