//! How many there are of each name, for caps: a name of which there is none takes no room.

use std::collections::HashMap;

pub(super) fn count_up(map: &mut HashMap<Box<str>, u32>, key: &str) {
    match map.get_mut(key) {
        Some(count) => *count = count.saturating_add(1),
        None => drop(map.insert(key.into(), 1)),
    }
}

pub(super) fn count_down(map: &mut HashMap<Box<str>, u32>, key: &str) {
    if let Some(count) = map.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            map.remove(key);
        }
    }
}
