//! Chunks in any order, twice, overlapping, lying, missing.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::now::Now;
use proptest::prelude::*;

const LIMITS: Limits = Limits { octets: 1000, messages: 2, patience: Duration::from_secs(60) };

fn chunk<'a>(id: &'a str, at: u64, octets: &'a [u8], flag: Flag) -> Chunk<'a> {
    let (success, failure) = (false, FailureReport::Yes);
    Chunk { message_id: id, at, total: None, flag, content_type: "text/plain", success, failure, octets }
}

fn take(assembly: &mut Assembly, one: &Chunk<'_>) -> Result<Option<Vec<u8>>, Refused> {
    assembly.take(Now::at(0).mono, one, &LIMITS).map(|whole| whole.map(|whole| whole.octets))
}

#[test]
fn check_044_chunks_are_put_together_in_any_order() {
    let parts = [(0, &b"abcd"[..], Flag::More), (4, b"EF", Flag::More), (6, b"gh", Flag::End)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut assembly = Assembly::default();
        let mut last = None;
        for (count, place) in order.into_iter().enumerate() {
            let (at, octets, flag) = parts[place];
            last = take(&mut assembly, &chunk("one", at, octets, flag)).unwrap();
            assert_eq!(last.is_some(), count == 2, "{order:?}");
        }
        assert_eq!(last.as_deref(), Some(&b"abcdEFgh"[..]));
        assert_eq!(assembly.deadline(), None, "nothing is kept of what is complete");
    }
}

#[test]
fn check_044_an_aborted_message_is_forgotten() {
    let mut assembly = Assembly::default();
    assert_eq!(take(&mut assembly, &chunk("one", 0, b"ab", Flag::More)), Ok(None));
    assert_eq!(take(&mut assembly, &chunk("one", 2, b"cd", Flag::Abort)), Ok(None));
    assert_eq!(assembly.deadline(), None);
    // Its id may begin anew: nothing of the old one is in it.
    assert_eq!(take(&mut assembly, &chunk("one", 2, b"X", Flag::End)), Ok(None));
    assert_eq!(take(&mut assembly, &chunk("one", 0, b"12", Flag::More)), Ok(Some(b"12X".to_vec())));
}

#[test]
fn of_octets_that_came_twice_the_later_ones_hold() {
    let mut assembly = Assembly::default();
    take(&mut assembly, &chunk("one", 0, b"aaaaaa", Flag::More)).unwrap();
    take(&mut assembly, &chunk("one", 4, b"bbbb", Flag::More)).unwrap();
    take(&mut assembly, &chunk("one", 2, b"cc", Flag::More)).unwrap();
    assert_eq!(take(&mut assembly, &chunk("one", 8, b"d", Flag::End)), Ok(Some(b"aaccbbbbd".to_vec())));
}

#[test]
fn a_length_that_is_contradicted_refuses_the_message() {
    // Octets behind the end, an end before octets, and two ends.
    let lies = [
        [(6, Flag::End), (8, Flag::More)],
        [(8, Flag::More), (4, Flag::End)],
        [(6, Flag::End), (4, Flag::End)],
    ];
    for lie in lies {
        let mut assembly = Assembly::default();
        let mut results = lie.map(|(at, flag)| take(&mut assembly, &chunk("one", at, b"zz", flag)));
        results.reverse();
        assert_eq!(results[0], Err(Refused::Contradiction), "{lie:?}");
        // What is still on the way of it is refused as well.
        assert!(take(&mut assembly, &chunk("one", 0, b"a", Flag::End)).is_err());
        assert!(take(&mut assembly, &chunk("two", 0, b"a", Flag::End)).is_ok());
    }
}

#[test]
fn check_045_a_message_above_the_limit_is_refused_before_it_is_kept() {
    let big = vec![b'x'; 600];
    let cases = [
        chunk("one", 1000, b"x", Flag::More),
        chunk("one", u64::MAX, b"x", Flag::End),
        chunk("one", 0, &[0; 1001], Flag::End),
        Chunk { total: Some(1001), ..chunk("one", 0, b"x", Flag::More) },
    ];
    for case in cases {
        let mut assembly = Assembly::default();
        assert_eq!(take(&mut assembly, &case), Err(Refused::TooLarge));
        assert_eq!(assembly.deadline(), None);
    }
    let mut assembly = Assembly::default();
    assert_eq!(take(&mut assembly, &chunk("one", 0, &big, Flag::More)), Ok(None));
    assert_eq!(take(&mut assembly, &chunk("one", 600, &big, Flag::More)), Err(Refused::TooLarge));
    assert_eq!(assembly.deadline(), None);
}

#[test]
fn what_waits_is_bounded_in_number_pieces_and_time() {
    let mut assembly = Assembly::default();
    for id in ["one1", "two2"] {
        assert_eq!(take(&mut assembly, &chunk(id, 0, b"a", Flag::More)), Ok(None));
    }
    assert_eq!(take(&mut assembly, &chunk("three", 0, b"a", Flag::More)), Err(Refused::TooLarge));
    assert_eq!(take(&mut assembly, &chunk("four", 0, b"a", Flag::End)), Ok(Some(b"a".to_vec())));
    assert_eq!(assembly.deadline(), Some(Now::at(60).mono));
    assembly.expire(Now::at(60).mono);
    assert_eq!(assembly.deadline(), None);
    let mut last = Ok(None);
    for at in 0..=PIECES_MAX as u64 {
        last = take(&mut assembly, &chunk("comb", at * 2, b"a", Flag::More));
    }
    assert_eq!(last, Err(Refused::Contradiction));
}

#[test]
fn an_empty_message_is_a_message() {
    let mut assembly = Assembly::default();
    assert_eq!(take(&mut assembly, &chunk("one", 0, b"", Flag::End)), Ok(Some(Vec::new())));
    assert_eq!(take(&mut assembly, &chunk("two", 0, b"ab", Flag::More)), Ok(None));
    assert_eq!(take(&mut assembly, &chunk("two", 2, b"", Flag::End)), Ok(Some(b"ab".to_vec())));
}

proptest! {
    #[test]
    fn any_cutting_in_any_order_with_repeats_gives_the_message(
        octets in prop::collection::vec(any::<u8>(), 1..200),
        cuts in prop::collection::vec(0_usize..200, 0..8),
        order in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % octets.len()).chain([0, octets.len()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut parts: Vec<(usize, usize)> = cuts.windows(2).map(|pair| (pair[0], pair[1])).collect();
        for at in order {
            let (from, to) = (at % parts.len(), at / 7 % parts.len());
            parts.swap(from, to);
        }
        let mut assembly = Assembly::default();
        let mut whole = None;
        for (from, to) in &parts {
            let flag = if *to == octets.len() { Flag::End } else { Flag::More };
            let got = take(&mut assembly, &chunk("one1", *from as u64, &octets[*from..*to], flag)).unwrap();
            prop_assert!(whole.is_none());
            whole = got;
        }
        prop_assert_eq!(whole, Some(octets));
    }
}
