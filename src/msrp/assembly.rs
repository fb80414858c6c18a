//! Messages from their chunks, in any order (RFC 4975 §7.3.1).
//!
//! What a Byte-Range says of a chunk's end is not believed: the octets are counted. Of octets that came
//! twice the later ones hold. The chunk with `$` says how long the message is, whatever the headers said
//! before. Memory: at most [`Limits::messages`] unfinished messages, each of at most [`Limits::octets`].

use super::frame::Flag;
use super::head::FailureReport;
use crate::now::Mono;
use std::collections::VecDeque;
use std::time::Duration;

/// Separate pieces of one message.
const PIECES_MAX: usize = 64;
/// Refused messages that are remembered, so that their chunks on the way are refused too.
const REFUSED_MAX: usize = 16;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of one message.
    pub octets: usize,
    /// Messages of which chunks are missing.
    pub messages: usize,
    /// How long the next chunk of a message may take.
    pub patience: Duration,
}

/// A chunk as it came.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Message-ID.
    pub message_id: &'a str,
    /// Position of its first octet, from 0.
    pub at: u64,
    /// Octets of the whole message, if the header knows.
    pub total: Option<u64>,
    /// How it ends.
    pub flag: Flag,
    /// The media type of the whole message.
    pub content_type: &'a str,
    /// Whether success is to be reported.
    pub success: bool,
    /// Whether failure is.
    pub failure: FailureReport,
    /// Its octets.
    pub octets: &'a [u8],
}

/// A message with all its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The media type.
    pub content_type: Box<str>,
    /// Whether any chunk wanted success to be reported.
    pub success: bool,
    /// What the chunks wanted of failures.
    pub failure: FailureReport,
    /// The octets.
    pub octets: Vec<u8>,
}

/// Why a chunk is refused, and its message with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// 413: above a limit.
    TooLarge,
    /// 400: its range contradicts what came before.
    Contradiction,
}

/// The unfinished messages of one session.
#[derive(Debug, Default)]
pub struct Assembly {
    open: Vec<Open>,
    refused: VecDeque<Box<str>>,
}

#[derive(Debug)]
struct Open {
    id: Box<str>,
    whole: Whole,
    /// What is there: disjoint, not adjacent, in order.
    pieces: Vec<(usize, usize)>,
    /// The length, once the chunk with `$` said it.
    length: Option<usize>,
    due: Mono,
}

impl Assembly {
    /// Takes a chunk; gives the message if it is complete with it.
    ///
    /// # Errors
    ///
    /// [`Refused`]; what was kept of the message is gone, and its later chunks are refused too.
    pub fn take(&mut self, now: Mono, chunk: &Chunk<'_>, limits: &Limits) -> Result<Option<Whole>, Refused> {
        if self.refused.iter().any(|id| **id == *chunk.message_id) {
            return Err(Refused::TooLarge);
        }
        if chunk.flag == Flag::Abort {
            self.open.retain(|open| *open.id != *chunk.message_id);
            return Ok(None);
        }
        let found = self.fit(chunk, limits).and_then(|at| {
            // In one chunk: the whole, whatever came before (RFC 4975 §7.3.1).
            if chunk.flag == Flag::End && at == 0 {
                return Ok(Some(Whole::of(chunk, chunk.octets.to_vec())));
            }
            self.place(now, chunk, at, limits)
        });
        match &found {
            Ok(None) => {}
            Ok(Some(_)) => self.open.retain(|open| *open.id != *chunk.message_id),
            Err(_) => self.refuse(chunk.message_id),
        }
        found
    }

    /// No chunk of this message is wanted any more.
    pub fn refuse(&mut self, message_id: &str) {
        self.open.retain(|open| *open.id != *message_id);
        if self.refused.len() == REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back(message_id.into());
    }

    /// Forgets the messages whose next chunk did not come.
    pub fn expire(&mut self, now: Mono) {
        self.open.retain(|open| open.due > now);
    }

    /// What the unfinished messages cost.
    pub fn octets(&self) -> usize {
        self.open.iter().map(|open| open.whole.octets.len()).sum()
    }

    /// When [`Assembly::expire`] is due.
    pub fn deadline(&self) -> Option<Mono> {
        self.open.iter().map(|open| open.due).min()
    }

    /// Where the chunk starts, if it and the message fit.
    fn fit(&self, chunk: &Chunk<'_>, limits: &Limits) -> Result<usize, Refused> {
        let large = |octets: u64| octets > limits.octets as u64;
        let end = chunk.at.saturating_add(chunk.octets.len() as u64);
        if large(end) || chunk.total.is_some_and(large) {
            return Err(Refused::TooLarge);
        }
        usize::try_from(chunk.at).map_err(|_| Refused::TooLarge)
    }

    fn place(
        &mut self,
        now: Mono,
        chunk: &Chunk<'_>,
        at: usize,
        limits: &Limits,
    ) -> Result<Option<Whole>, Refused> {
        let place = self.open.iter().position(|open| *open.id == *chunk.message_id);
        let place = match place {
            Some(place) => place,
            None if self.open.len() < limits.messages => {
                self.open.push(Open {
                    id: chunk.message_id.into(),
                    whole: Whole::of(chunk, Vec::new()),
                    pieces: Vec::new(),
                    length: None,
                    due: now,
                });
                self.open.len() - 1
            }
            None => return Err(Refused::TooLarge),
        };
        let Some(open) = self.open.get_mut(place) else { return Err(Refused::Contradiction) };
        open.due = now + limits.patience;
        open.put(chunk, at)?;
        if open.is_complete() {
            return Ok(Some(std::mem::replace(&mut open.whole, Whole::of(chunk, Vec::new()))));
        }
        Ok(None)
    }
}

impl Whole {
    fn of(chunk: &Chunk<'_>, octets: Vec<u8>) -> Self {
        Self {
            content_type: chunk.content_type.into(),
            success: chunk.success,
            failure: chunk.failure,
            octets,
        }
    }
}

impl Open {
    fn put(&mut self, chunk: &Chunk<'_>, at: usize) -> Result<(), Refused> {
        let end = at + chunk.octets.len();
        let known = self.whole.octets.len();
        if chunk.flag == Flag::End {
            if self.length.is_some_and(|length| length != end) || known > end {
                return Err(Refused::Contradiction);
            }
            self.length = Some(end);
        } else if self.length.is_some_and(|length| end > length) {
            return Err(Refused::Contradiction);
        }
        if known < end {
            self.whole.octets.resize(end, 0);
        }
        if let Some(place) = self.whole.octets.get_mut(at..end) {
            place.copy_from_slice(chunk.octets);
        }
        if at == 0 {
            // The first chunk has the head of the message.
            self.whole.content_type = chunk.content_type.into();
        }
        self.whole.success |= chunk.success;
        cover(&mut self.pieces, at, end);
        if self.pieces.len() > PIECES_MAX { Err(Refused::Contradiction) } else { Ok(()) }
    }

    fn is_complete(&self) -> bool {
        match (self.length, self.pieces.as_slice()) {
            (Some(0), _) => true,
            (Some(length), [(0, end)]) => *end == length,
            _ => false,
        }
    }
}

/// Adds `from..to` to `pieces`, which are disjoint, not adjacent, and in order.
pub fn cover(pieces: &mut Vec<(usize, usize)>, from: usize, to: usize) {
    if from >= to {
        return;
    }
    let (mut low, mut high) = (from, to);
    pieces.retain(|(start, end)| {
        let apart = *end < low || *start > high;
        if !apart {
            low = low.min(*start);
            high = high.max(*end);
        }
        apart
    });
    let place = pieces.partition_point(|(start, _)| *start < low);
    pieces.insert(place, (low, high));
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
