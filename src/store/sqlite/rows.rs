//! Records as rows, and back. Each row carries a sum over its fields: SQLite has none of its own, and a
//! flipped bit in an address would be another person. The sums of all rows add up to the counter
//! `digest`: a page that is missing, or there twice, is noticed too.

use crate::addr::Jid;
use crate::now::Wall;
use crate::store::record::{Authorization, Consent, Contact, Key, Pending, Record, Watching};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

const AUTHORIZATIONS: &str = "authorizations";
const CONTACTS: &str = "contacts";
const PENDING: &str = "pending";
const COUNTERS: &str = "counters";

/// The counter of commits.
pub(super) const COMMITS: &str = "commits";
/// The sums of all rows but the counters', added up.
pub(super) const DIGEST: &str = "digest";
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
fn sum_of(table: &str, texts: &[&str], numbers: &[i64]) -> i64 {
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
        Consent::Asked => 0,
        Consent::Granted => 1,
        Consent::Announced => 2,
    }
}

/// An address must stand in the file as it stands in memory.
fn jid(text: &str) -> Option<Jid> {
    Jid::parse(text).ok().filter(|jid| jid.as_str() == text && jid.is_bare())
}

/// Reads a row of `authorizations`, in the order of its columns, and its sum.
fn authorization(row: &Row<'_>) -> Result<(Authorization, i64), RowError> {
    const TABLE: &str = AUTHORIZATIONS;
    let texts = [text(row, TABLE, 1)?, text(row, TABLE, 2)?];
    let [direction, state, created, used] = [row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?];
    let sum = row.get(6)?;
    if sum != sum_of(TABLE, &texts, &[direction, state, created, used]) {
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
    read().map(|record| (record, sum)).ok_or(RowError::Broken(TABLE, "a row that no stoxd writes"))
}

/// Reads a row of `contacts` or `pending`, user, contact, time, and its sum.
fn pair(row: &Row<'_>, table: &'static str) -> Result<((Jid, Jid, Wall), i64), RowError> {
    let texts = [text(row, table, 0)?, text(row, table, 1)?];
    let [at, sum] = [row.get(2)?, row.get(3)?];
    if sum != sum_of(table, &texts, &[at]) {
        return Err(RowError::Broken(table, "a row and its sum differ"));
    }
    match (jid(texts[0]), jid(texts[1])) {
        (Some(user), Some(contact)) => Ok(((user, contact, wall(at)), sum)),
        _ => Err(RowError::Broken(table, "a row that no stoxd writes")),
    }
}

fn text<'r>(row: &'r Row<'_>, table: &'static str, column: usize) -> Result<&'r str, RowError> {
    row.get_ref(column)?.as_str().map_err(|_| RowError::Broken(table, "an address that is no text"))
}

/// Gives all records to `take`.
pub(super) fn load(connection: &Connection, take: &mut dyn FnMut(Record)) -> Result<(), RowError> {
    let mut digest = 0_i64;
    let mut all = |sql: &str, read: fn(&Row<'_>) -> Result<(Record, i64), RowError>| {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (record, sum) = read(row)?;
            digest = digest.wrapping_add(sum);
            take(record);
        }
        Ok::<(), RowError>(())
    };
    all("SELECT direction, watcher, presentity, state, created, used, sum FROM authorizations", |row| {
        authorization(row).map(|(record, sum)| (Record::Authorization(record), sum))
    })?;
    all("SELECT user, contact, added, sum FROM contacts", |row| {
        let ((user, contact, added), sum) = pair(row, CONTACTS)?;
        Ok((Record::Contact(Contact { user, contact, added }), sum))
    })?;
    all("SELECT user, contact, since, sum FROM pending", |row| {
        let ((user, contact, since), sum) = pair(row, PENDING)?;
        Ok((Record::Pending(Pending { user, contact, since }), sum))
    })?;
    if digest != self::digest(connection)? {
        return Err(RowError::Broken(COUNTERS, "rows are missing, or there twice"));
    }
    if let Some(watermark) = counter(connection, WATERMARK)? {
        take(Record::Watermark(watermark));
    }
    Ok(())
}

/// A transaction under way, and what the digest will be after it.
pub(super) struct Rows<'c> {
    pub(super) connection: &'c Connection,
    pub(super) digest: i64,
}

impl Rows<'_> {
    /// Adds or replaces a record.
    pub(super) fn put(&mut self, record: &Record) -> Result<(), RowError> {
        match record {
            Record::Authorization(it) => self.put_authorization(it),
            Record::Contact(Contact { user, contact, added }) => self.put_pair(
                "SELECT sum FROM contacts WHERE user = ?1 AND contact = ?2",
                "INSERT OR REPLACE INTO contacts(user, contact, added, sum) VALUES (?1, ?2, ?3, ?4)",
                CONTACTS,
                (user, contact, *added),
            ),
            Record::Pending(Pending { user, contact, since }) => self.put_pair(
                "SELECT sum FROM pending WHERE user = ?1 AND contact = ?2",
                "INSERT OR REPLACE INTO pending(user, contact, since, sum) VALUES (?1, ?2, ?3, ?4)",
                PENDING,
                (user, contact, *since),
            ),
            Record::Watermark(value) => {
                if counter(self.connection, WATERMARK)?.is_none_or(|old| old < *value) {
                    set_counter(self.connection, WATERMARK, value.cast_signed())?;
                }
                Ok(())
            }
        }
    }

    fn put_authorization(&mut self, it: &Authorization) -> Result<(), RowError> {
        let texts = [it.watcher.bare_str(), it.presentity.bare_str()];
        let numbers = [watching(it.direction), consent(it.state), millis(it.created), millis(it.used)];
        let ([direction, state, created, used], sum) = (numbers, sum_of(AUTHORIZATIONS, &texts, &numbers));
        self.count(
            "SELECT sum FROM authorizations WHERE direction = ?1 AND watcher = ?2 AND presentity = ?3",
            params![direction, texts[0], texts[1]],
            sum,
        )?;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO authorizations(direction, watcher, presentity, state, created, used, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![direction, texts[0], texts[1], state, created, used, sum])?;
        Ok(())
    }

    fn put_pair(
        &mut self,
        old: &str,
        put: &str,
        table: &str,
        (user, contact, at): (&Jid, &Jid, Wall),
    ) -> Result<(), RowError> {
        let texts = [user.bare_str(), contact.bare_str()];
        let sum = sum_of(table, &texts, &[millis(at)]);
        self.count(old, texts, sum)?;
        self.connection.prepare_cached(put)?.execute(params![texts[0], texts[1], millis(at), sum])?;
        Ok(())
    }

    /// Removes a record, if it is there.
    pub(super) fn remove(&mut self, key: &Key) -> Result<(), RowError> {
        match key {
            Key::Authorization { direction, watcher, presentity } => self.count(
                "DELETE FROM authorizations WHERE direction = ?1 AND watcher = ?2 AND presentity = ?3
                 RETURNING sum",
                params![watching(*direction), watcher.bare_str(), presentity.bare_str()],
                0,
            ),
            Key::Contact { user, contact } => self.count(
                "DELETE FROM contacts WHERE user = ?1 AND contact = ?2 RETURNING sum",
                [user.bare_str(), contact.bare_str()],
                0,
            ),
            Key::Pending { user, contact } => self.count(
                "DELETE FROM pending WHERE user = ?1 AND contact = ?2 RETURNING sum",
                [user.bare_str(), contact.bare_str()],
                0,
            ),
        }
    }

    /// Moves `used` of an authorization forward.
    pub(super) fn touch(
        &mut self,
        (direction, watcher, presentity): (Watching, &Jid, &Jid),
        used: Wall,
    ) -> Result<(), RowError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT direction, watcher, presentity, state, created, used, sum FROM authorizations
             WHERE direction = ?1 AND watcher = ?2 AND presentity = ?3",
        )?;
        let key = params![watching(direction), watcher.bare_str(), presentity.bare_str()];
        let mut rows = statement.query(key)?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let (mut found, _) = authorization(row)?;
        drop(rows);
        if found.used < used {
            found.used = used;
            self.put_authorization(&found)?;
        }
        Ok(())
    }

    /// Takes the sum that `old` finds, if any, out of the digest, and `new` into it.
    fn count(&mut self, old: &str, key: impl Params, new: i64) -> Result<(), RowError> {
        let old: Option<i64> =
            self.connection.prepare_cached(old)?.query_row(key, |row| row.get(0)).optional()?;
        self.digest = self.digest.wrapping_sub(old.unwrap_or(0)).wrapping_add(new);
        Ok(())
    }
}

/// The digest as it stands in the file.
pub(super) fn digest(connection: &Connection) -> Result<i64, RowError> {
    Ok(counter(connection, DIGEST)?.unwrap_or(0).cast_signed())
}

/// The value of a counter.
pub(super) fn counter(connection: &Connection, name: &str) -> Result<Option<u64>, RowError> {
    let row: Option<(i64, i64)> = connection
        .prepare_cached("SELECT value, sum FROM counters WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match row {
        Some((value, kept)) if kept != sum_of(COUNTERS, &[name], &[value]) => {
            Err(RowError::Broken(COUNTERS, "a row and its sum differ"))
        }
        row => Ok(row.map(|(value, _)| value.cast_unsigned())),
    }
}

/// Sets a counter.
pub(super) fn set_counter(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO counters(name, value, sum) VALUES (?1, ?2, ?3)")?
        .execute(params![name, value, sum_of(COUNTERS, &[name], &[value])])
        .map(drop)
}
