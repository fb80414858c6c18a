//! Bounded memory that is written over: of values, and of texts.
//!
//! Places count on for ever; what stood at a place that was written over since is gone.

/// The last `N` values.
#[derive(Debug)]
pub(super) struct Ring<T, const N: usize> {
    items: Vec<T>,
    /// The place of the next.
    next: u64,
}

impl<T, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self { items: Vec::new(), next: 0 }
    }
}

impl<T, const N: usize> Ring<T, N> {
    /// Adds a value: its place.
    pub(super) fn push(&mut self, item: T) -> u64 {
        let place = self.next;
        self.next += 1;
        match self.items.get_mut(slot::<N>(place)) {
            Some(oldest) => *oldest = item,
            None => {
                if self.items.capacity() == 0 {
                    // Once and for all: to move megabytes while messages wait would be noticed. What is not
                    // used of it takes no memory.
                    self.items.reserve_exact(N);
                }
                self.items.push(item);
            }
        }
        place
    }

    /// The value at a place, if it is still there.
    pub(super) fn get(&self, place: u64) -> Option<&T> {
        if place >= self.next || place < self.first() {
            return None;
        }
        self.items.get(slot::<N>(place))
    }

    /// The place of the oldest.
    pub(super) fn first(&self) -> u64 {
        self.next.saturating_sub(N as u64)
    }

    /// The place that the next will have.
    pub(super) fn next(&self) -> u64 {
        self.next
    }
}

fn slot<const N: usize>(place: u64) -> usize {
    usize::try_from(place % N as u64).unwrap_or_default()
}

/// The last texts, as many as have room in `N` octets.
#[derive(Debug, Default)]
pub(super) struct Texts<const N: usize> {
    octets: Vec<u8>,
    /// The place of the next octet.
    next: u64,
}

/// Octets that one text may have: more than an address has.
const LONGEST: usize = 4096;

impl<const N: usize> Texts<N> {
    /// Adds texts, one behind the other: the place of the first, and how long each is.
    pub(super) fn push<const M: usize>(&mut self, texts: [&str; M]) -> (u64, [u16; M]) {
        let texts = texts.map(|text| text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default());
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut at = slot::<N>(self.next);
        if at + length > N {
            // They stand together, so what is left at the end stays empty.
            self.next += (N - at) as u64;
            at = 0;
        }
        let place = self.next;
        self.next += length as u64;
        if self.octets.capacity() == 0 {
            self.octets.reserve_exact(N);
        }
        for text in texts {
            let end = at + text.len();
            if let Some(there) = self.octets.get_mut(at..end) {
                there.copy_from_slice(text.as_bytes());
            } else {
                self.octets.resize(at, 0);
                self.octets.extend_from_slice(text.as_bytes());
            }
            at = end;
        }
        (place, texts.map(|text| u16::try_from(text.len()).unwrap_or_default()))
    }

    /// The text of `length` octets at a place, if it is still there.
    pub(super) fn get(&self, place: u64, length: u16) -> Option<&str> {
        if place + (N as u64) < self.next {
            return None;
        }
        let at = slot::<N>(place);
        std::str::from_utf8(self.octets.get(at..at + usize::from(length))?).ok()
    }

    /// Octets that are in use.
    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        self.octets.capacity()
    }
}
