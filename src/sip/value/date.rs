//! Date (RFC 3261 §20.17): `Sat, 13 Nov 2010 23:29:00 GMT`, no other zone.

use super::Malformed;
use crate::now::Wall;
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

/// Parses a date.
///
/// # Errors
/// [`Malformed`], also for a date before 1970 or in another zone than GMT.
pub fn date(text: &str) -> Result<Wall, Malformed> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    if text.len() != 29 || !text.ends_with(" GMT") {
        return Err(Malformed);
    }
    let time = PARSER.parse_timestamp(text).map_err(|_| Malformed)?;
    u64::try_from(time.as_millisecond()).map(Wall::from_millis).map_err(|_| Malformed)
}

/// Appends `time` as a date; a time beyond the year 9999 is written as the epoch.
pub fn write_date(time: Wall, out: &mut Vec<u8>) {
    static PRINTER: DateTimePrinter = DateTimePrinter::new();
    let millis = i64::try_from(time.as_millis()).unwrap_or_default();
    let time = Timestamp::from_millisecond(millis).unwrap_or_default();
    let text = PRINTER.timestamp_to_rfc9110_string(&time).unwrap_or_default();
    out.extend_from_slice(text.as_bytes());
}
