//! "Did you mean": the known name that is nearest to one that is unknown.

/// Longer names are not compared.
const MAX_LEN: usize = 64;

/// The name in `known` that `given` is most likely a misspelling of.
///
/// A swap of neighbours, a missing, extra or wrong character counts one; case and `-` for `_` count
/// nothing. A third of the name's characters may be wrong.
pub fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = folded(given)?;
    let allowed = given.len().div_ceil(3).min(3);
    known
        .into_iter()
        .filter_map(|name| Some((distance(&given, &folded(name)?), name)))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean "…"?` for the nearest, else `fallback`.
pub(super) fn or<'k>(
    given: &str,
    known: impl IntoIterator<Item = &'k str>,
    fallback: impl FnOnce() -> String,
) -> String {
    match nearest(given, known) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => fallback(),
    }
}

fn folded(name: &str) -> Option<Vec<char>> {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    (name.len() <= MAX_LEN).then(|| name.chars().map(fold).collect())
}

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, cb) in b.iter().enumerate() {
            let change = last[j] + usize::from(ca != cb);
            let mut best = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["listen", "connection_limit", "keepalive_interval"];
        assert_eq!(nearest("lsiten", known), Some("listen"));
        assert_eq!(nearest("Connection-Limit", known), Some("connection_limit"));
        assert_eq!(nearest("keepalive", known), None);
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest(&"listen".repeat(100), known), None);
        assert_eq!(nearest("Salse", ["Global", "Sales"]), Some("Sales"));
    }
}
