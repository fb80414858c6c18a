//! `[presence]`: how many watches there may be, and how long they last.

use super::read::Section;
use super::settings::Presence;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// `[presence]`.
pub(super) fn presence(root: &mut Section<'_>) -> Presence {
    let mut section = root.section("presence", "[presence]");
    let watches = limit(&mut section, "watch_limit", 10_000_000, 500_000);
    let pending = limit(&mut section, "pending_limit", 10_000_000, 100_000);
    let presence = Presence {
        watches,
        per_user: limit(&mut section, "user_watch_limit", 1_000_000, 2000),
        per_domain: limit(&mut section, "domain_watch_limit", 10_000_000, 100_000),
        subscribe_rate: section
            .number("subscribe_rate", 1..=1_000_000)
            .map_or(200, |rate| u32::try_from(rate).unwrap_or(u32::MAX)),
        pending_per_user: limit(&mut section, "user_pending_limit", 1_000_000, 100),
        pending,
        forget_after: section.parsed("forget_after", forget_after).map_or(365, |(days, _)| days),
        default_expires: section.duration("default_expires", SECOND * 60..=WEEK, HOUR),
        min_expires: section.duration("min_expires", SECOND..=HOUR, SECOND * 60),
        max_expires: section.duration("max_expires", SECOND * 60..=WEEK, HOUR * 24),
    };
    for (key, value, of) in [
        ("user_watch_limit", presence.per_user, ("watch_limit", watches)),
        ("domain_watch_limit", presence.per_domain, ("watch_limit", watches)),
        ("user_pending_limit", presence.pending_per_user, ("pending_limit", pending)),
    ] {
        // Below a lower limit in all, a default that is left out has no effect.
        if value > of.1 && section.has(key) {
            let label = format!("the whole gateway has {}", of.1);
            section.error(&section.span_of(key), format!("\"{key}\" is above \"{}\"", of.0), label);
        }
    }
    for (less, more, wrong) in [
        ("min_expires", "max_expires", presence.min_expires > presence.max_expires),
        ("default_expires", "max_expires", presence.default_expires > presence.max_expires),
        ("min_expires", "default_expires", presence.min_expires > presence.default_expires),
    ] {
        let key = if section.has(less) { less } else { more };
        // What is not written follows what is.
        let follows = less == "default_expires" && !section.has(less);
        if wrong && section.has(key) && !follows {
            section.error(&section.span_of(key), format!("\"{less}\" is above \"{more}\""), "");
        }
    }
    section.done();
    presence
}

/// Days after which an authorization is forgotten; 0: never.
fn forget_after(text: &str) -> Result<u32, String> {
    if matches!(text, "0" | "never") {
        return Ok(0);
    }
    let days = text.strip_suffix('d').and_then(|days| days.trim_end().parse().ok());
    // Watches in use are noted once a day, and users have holidays.
    days.filter(|days| (30..=3650).contains(days))
        .ok_or_else(|| "days, \"30d\" to \"3650d\", or \"never\"".to_owned())
}

fn limit(section: &mut Section<'_>, key: &'static str, most: u64, default: usize) -> usize {
    section.number(key, 1..=most).map_or(default, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
