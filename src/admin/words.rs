//! What verbs of the policy file share: switches, identities of policies, filters, tables of columns.

use crate::addr::Domain;
use crate::config;
use crate::policy::{Policy, Scope, written};
use clap::ValueEnum;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A switch on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// True.
    On,
    /// False.
    Off,
}

impl Switch {
    /// As the file has it.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// `yes` or `no`.
pub fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// What a policy is called on the command line: `global`, `site:Redmond`, `tag:Sales` or `Sales`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The global policy.
    Global,
    /// The policy of a site.
    Site(String),
    /// A user policy.
    User(String),
}

impl Identity {
    /// Reads it.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((scope, name)) if scope.eq_ignore_ascii_case("site") => Self::Site(name.to_owned()),
            Some((scope, name)) if scope.eq_ignore_ascii_case("tag") => Self::User(name.to_owned()),
            Some(_) | None if text.eq_ignore_ascii_case("global") => Self::Global,
            Some(_) | None => Self::User(text.to_owned()),
        }
    }

    /// Whether `policy` is meant.
    pub fn is(&self, policy: &Policy) -> bool {
        match (self, &policy.scope) {
            (Self::Global, Scope::Global) => true,
            (Self::Site(site), Scope::Site(other)) => site == other,
            // No two differ in case alone.
            (Self::User(name), Scope::User) => name.to_lowercase() == policy.name.to_lowercase(),
            (_, Scope::Global | Scope::Site(_) | Scope::User) => false,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("Global"),
            Self::Site(site) => write!(f, "site:{site}"),
            Self::User(name) => f.write_str(name),
        }
    }
}

/// Whether `text` is `pattern`, each `*` of which stands for any characters; case counts for nothing.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.find(piece).and_then(|found| text.get(found + piece.len()..)) {
            Some(rest) => text = rest,
            None => return false,
        }
    }
    text.ends_with(last)
}

/// Whether a search for `filter` finds `domain`: a pattern with stars, or a domain and all below it.
pub fn finds(filter: &str, domain: &str) -> bool {
    let below = || domain.to_lowercase().ends_with(&format!(".{}", filter.to_lowercase()));
    matches(filter, domain) || (!filter.contains('*') && below())
}

/// `text`, which means a domain, `*.domain` or an XMPP address, as the table has it: so that an A-label is its U-label,
/// and neither case nor a final dot counts.
pub fn canonical(text: &str) -> String {
    let text = text.trim();
    let domain = |text: &str| Domain::parse(text).map(|domain| domain.as_str().to_owned());
    let found = match text.strip_prefix("*.") {
        Some(parent) => domain(parent).map(|parent| format!("*.{parent}")).ok(),
        None if text.contains('@') => written::xmpp(text).map(|jid| jid.bare_str().to_owned()).ok(),
        None => domain(text).ok(),
    };
    found.unwrap_or_else(|| text.to_lowercase())
}

/// That there is no `kind` called `given`, what lists those that there are, and the one of `known` that was meant.
pub fn none<'k>(kind: &str, given: &str, list: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let meant = config::nearest(given, known).map(|name| format!("; did you mean {}?", harmless(name)));
    format!("there is no {kind} {given}: {list} names them{}", meant.unwrap_or_default())
}

/// `rows` below `heads`, in columns; nothing follows the last one.
pub fn columns<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = std::iter::once(&heads).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Reads a length of time on the command line: `90s`, `10m`, `8h`, `2d`.
///
/// # Errors
/// It is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{}: a number and a unit: 90s, 10m, 8h, 2d", text.escape_debug());
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok()).ok_or_else(wrong)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// What a terminal may be shown of `text`: no control characters.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The same for a whole output: its lines and tabs stay. Much of what verbs print is a peer's, and a terminal obeys
/// C1 controls, too, which JSON does not escape.
pub fn shown(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || (c.is_control() && !matches!(c, '\n' | '\t'))
    };
    if text.contains(obeyed) { text.replace(obeyed, "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_nothing_that_it_obeys() {
        let hostile = "a\u{1b}[31m\tb\u{9b}2J\nc\u{202e}d\u{7f}\r";
        assert_eq!(shown(hostile), "a\u{fffd}[31m\tb\u{fffd}2J\nc\u{fffd}d\u{fffd}\u{fffd}");
        assert!(matches!(shown("Zoë 👩‍👧\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn f018_identities_and_filters_are_read_as_the_shell_has_them() {
        assert_eq!(Identity::parse("GLOBAL"), Identity::Global);
        assert_eq!(Identity::parse("site:Redmond"), Identity::Site("Redmond".into()));
        assert_eq!(Identity::parse("tag:Sales"), Identity::parse("Sales"));
        for (pattern, text, is) in [
            ("S*", "sales", true),
            ("site:*", "site:Redmond", true),
            ("*a*c", "xaybc", true),
            ("*a*c", "xaybd", false),
            ("Sales", "Sale", false),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn f099_a_search_for_a_domain_finds_what_is_below_it() {
        assert!(
            finds("contoso.example", "it.contoso.example") && finds("contoso.example", "Contoso.example")
        );
        assert!(!finds("contoso.example", "evilcontoso.example"));
        assert!(finds("*.org", "fabrikam.org") && !finds("*.org", "fabrikam.org.example"));
    }
}
