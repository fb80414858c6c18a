//! Records as rows, and back. Each row carries a sum over its fields: SQLite has none of its own, and a
//! flipped bit in an address would be another person.

use crate::addr::Jid;
use crate::now::Wall;
use crate::store::record::{Authorization, Consent, Contact, Key, Pending, Record, Watching};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The counter of commits.
pub(super) const COMMITS: &str = "commits";
/// The watermark of ids.
pub(super) const WATERMARK: &str = "watermark";

/// A row that does not say what its sum says, or says nothing we know.
#[derive(Debug)]
pub(super) enum RowError {
    /// SQLite can't read it.
    Database(rusqlite::Error),
    /// It is not a row that we wrote; where, and what is wrong.
    Broken(&'static str, &'static str),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// FNV-1a over the table's name and the fields, each with its length. Against decay, not against people.
fn sum(table: &str, texts: &[&str], numbers: &[i64]) -> i64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |octets: &[u8]| {
        for octet in octets {
            state = (state ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for text in [table].iter().chain(texts) {
        take(text.as_bytes());
        take(&text.len().to_le_bytes());
    }
    numbers.iter().for_each(|number| take(&number.to_le_bytes()));
    state.cast_signed()
}

fn wall(number: i64) -> Wall {
    Wall::from_millis(number.cast_unsigned())
}

fn millis(wall: Wall) -> i64 {
    wall.as_millis().cast_signed()
}

fn from_number<T: Copy>(all: &[T], number: i64) -> Option<T> {
    usize::try_from(number).ok().and_then(|number| all.get(number)).copied()
}

fn watching(direction: Watching) -> i64 {
    match direction {
        Watching::XmppWatchesSip => 0,
        Watching::SipWatchesXmpp => 1,
    }
}

fn consent(state: Consent) -> i64 {
    match state {
        Consent::Pending => 0,
        Consent::Active => 1,
    }
}

/// An address must stand in the file as it stands in memory.
fn jid(text: &str) -> Option<Jid> {
    Jid::parse(text).ok().filter(|jid| jid.as_str() == text && jid.is_bare())
}

/// Reads a row of `authorizations`, in the order of its columns.
fn authorization(row: &Row<'_>) -> Result<Authorization, RowError> {
    const TABLE: &str = "authorizations";
    let texts = [text(row, TABLE, 1)?, text(row, TABLE, 2)?];
    let [direction, state, created, used] = [row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?];
    if row.get::<_, i64>(6)? != sum(TABLE, &texts, &[direction, state, created, used]) {
        return Err(RowError::Broken(TABLE, "a row and its sum differ"));
    }
    let read = || {
        Some(Authorization {
            direction: from_number(&Watching::ALL, direction)?,
            watcher: jid(texts[0])?,
            presentity: jid(texts[1])?,
            state: from_number(&Consent::ALL, state)?,
            created: wall(created),
            used: wall(used),
        })
    };
    read().ok_or(RowError::Broken(TABLE, "a row that no stoxd writes"))
}

/// Reads a row of `contacts` or `pending`: user, contact, time.
fn pair(row: &Row<'_>, table: &'static str) -> Result<(Jid, Jid, Wall), RowError> {
    let texts = [text(row, table, 0)?, text(row, table, 1)?];
    let since = row.get(2)?;
    if row.get::<_, i64>(3)? != sum(table, &texts, &[since]) {
        return Err(RowError::Broken(table, "a row and its sum differ"));
    }
    match (jid(texts[0]), jid(texts[1])) {
        (Some(user), Some(contact)) => Ok((user, contact, wall(since))),
        _ => Err(RowError::Broken(table, "a row that no stoxd writes")),
    }
}

fn text<'r>(row: &'r Row<'_>, table: &'static str, column: usize) -> Result<&'r str, RowError> {
    row.get_ref(column)?.as_str().map_err(|_| RowError::Broken(table, "an address that is no text"))
}

/// Gives all records to `take`.
pub(super) fn load(connection: &Connection, take: &mut dyn FnMut(Record)) -> Result<(), RowError> {
    let mut all = |sql: &str, read: fn(&Row<'_>) -> Result<Record, RowError>| -> Result<(), RowError> {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            take(read(row)?);
        }
        Ok(())
    };
    all("SELECT direction, watcher, presentity, state, created, used, sum FROM authorizations", |row| {
        authorization(row).map(Record::Authorization)
    })?;
    all("SELECT user, contact, added, sum FROM contacts", |row| {
        pair(row, "contacts").map(|(user, contact, added)| Record::Contact(Contact { user, contact, added }))
    })?;
    all("SELECT user, contact, since, sum FROM pending", |row| {
        pair(row, "pending").map(|(user, contact, since)| Record::Pending(Pending { user, contact, since }))
    })?;
    if let Some(watermark) = counter(connection, WATERMARK)? {
        take(Record::Watermark(watermark));
    }
    Ok(())
}

/// Adds or replaces a record.
pub(super) fn put(connection: &Connection, record: &Record) -> Result<(), RowError> {
    match record {
        Record::Authorization(it) => put_authorization(connection, it)?,
        Record::Contact(Contact { user, contact, added }) => {
            let sql = "INSERT OR REPLACE INTO contacts(user, contact, added, sum) VALUES (?1, ?2, ?3, ?4)";
            put_pair(connection, sql, "contacts", (user, contact, *added))?;
        }
        Record::Pending(Pending { user, contact, since }) => {
            let sql = "INSERT OR REPLACE INTO pending(user, contact, since, sum) VALUES (?1, ?2, ?3, ?4)";
            put_pair(connection, sql, "pending", (user, contact, *since))?;
        }
        Record::Watermark(value) => {
            if counter(connection, WATERMARK)?.is_none_or(|old| old < *value) {
                set_counter(connection, WATERMARK, *value)?;
            }
        }
    }
    Ok(())
}

fn put_authorization(connection: &Connection, it: &Authorization) -> rusqlite::Result<()> {
    let texts = [it.watcher.bare_str(), it.presentity.bare_str()];
    let numbers = [watching(it.direction), consent(it.state), millis(it.created), millis(it.used)];
    let [direction, state, created, used] = numbers;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO authorizations(direction, watcher, presentity, state, created, used, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            direction,
            texts[0],
            texts[1],
            state,
            created,
            used,
            sum("authorizations", &texts, &numbers)
        ])
        .map(drop)
}

fn put_pair(
    connection: &Connection,
    sql: &str,
    table: &str,
    (user, contact, at): (&Jid, &Jid, Wall),
) -> rusqlite::Result<()> {
    let texts = [user.bare_str(), contact.bare_str()];
    let sum = sum(table, &texts, &[millis(at)]);
    connection.prepare_cached(sql)?.execute(params![texts[0], texts[1], millis(at), sum]).map(drop)
}

/// Removes a record, if it is there.
pub(super) fn remove(connection: &Connection, key: &Key) -> Result<(), RowError> {
    match key {
        Key::Authorization { direction, watcher, presentity } => connection
            .prepare_cached(
                "DELETE FROM authorizations WHERE direction = ?1 AND watcher = ?2 AND presentity = ?3",
            )?
            .execute(params![watching(*direction), watcher.bare_str(), presentity.bare_str()])?,
        Key::Contact { user, contact } => connection
            .prepare_cached("DELETE FROM contacts WHERE user = ?1 AND contact = ?2")?
            .execute([user.bare_str(), contact.bare_str()])?,
        Key::Pending { user, contact } => connection
            .prepare_cached("DELETE FROM pending WHERE user = ?1 AND contact = ?2")?
            .execute([user.bare_str(), contact.bare_str()])?,
    };
    Ok(())
}

/// Moves `used` of an authorization forward.
pub(super) fn touch(
    connection: &Connection,
    (direction, watcher, presentity): (Watching, &Jid, &Jid),
    used: Wall,
) -> Result<(), RowError> {
    let mut statement = connection.prepare_cached(
        "SELECT direction, watcher, presentity, state, created, used, sum FROM authorizations
         WHERE direction = ?1 AND watcher = ?2 AND presentity = ?3",
    )?;
    let mut rows =
        statement.query(params![watching(direction), watcher.bare_str(), presentity.bare_str()])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let mut found = authorization(row)?;
    drop(rows);
    if found.used < used {
        found.used = used;
        put_authorization(connection, &found)?;
    }
    Ok(())
}

/// The value of a counter.
pub(super) fn counter(connection: &Connection, name: &str) -> Result<Option<u64>, RowError> {
    let row: Option<(i64, i64)> = connection
        .prepare_cached("SELECT value, sum FROM counters WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match row {
        Some((value, kept)) if kept != sum("counters", &[name], &[value]) => {
            Err(RowError::Broken("counters", "a row and its sum differ"))
        }
        row => Ok(row.map(|(value, _)| value.cast_unsigned())),
    }
}

/// Sets a counter.
pub(super) fn set_counter(connection: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    let value = value.cast_signed();
    connection
        .prepare_cached("INSERT OR REPLACE INTO counters(name, value, sum) VALUES (?1, ?2, ?3)")?
        .execute(params![name, value, sum("counters", &[name], &[value])])
        .map(drop)
}
