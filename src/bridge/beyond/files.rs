//! Links to files: out of band data (XEP-0066), stateless file sharing (XEP-0447), and its forerunner
//! (XEP-0385). They are told, never fetched.

use super::rare::{FILE_SHARING, OOB, REFERENCE, Rare};
use crate::body::charset::one_line;
use crate::xml::Element;

/// Links in one message.
const LINKS: usize = 8;
/// Octets of a link; a longer one is left out.
const URL: usize = 2048;
/// Octets of a file's name.
const NAME: usize = 128;

/// A file that can be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Where.
    pub(super) url: String,
    name: Option<String>,
    /// Octets.
    size: Option<u64>,
}

impl Link {
    /// The link with what is known of the file.
    pub(super) fn line(&self) -> String {
        match self.about() {
            Some(about) => format!("{} {about}", self.url),
            None => self.url.clone(),
        }
    }

    /// What is known of the file, if anything is that the link does not say itself.
    pub(super) fn about(&self) -> Option<String> {
        let name = self.name.as_deref().filter(|name| !self.url.ends_with(*name));
        match (name, self.size.map(size)) {
            (Some(name), Some(size)) => Some(format!("({name}, {size})")),
            (Some(name), None) => Some(format!("({name})")),
            (None, Some(size)) => Some(format!("({size})")),
            (None, None) => None,
        }
    }
}

/// The files that a message links to, each once.
pub(super) fn links(message: &Element<'_>, rare: &Rare<'_>) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    if !rare.files {
        return links;
    }
    for child in message.children() {
        let found = match (child.ns(), child.name()) {
            (OOB, "x") => child.child("url", OOB).and_then(|url| link(&url.text(), None)),
            (FILE_SHARING, "file-sharing") => shared(child),
            (REFERENCE, "reference") => child.child("media-sharing", "urn:xmpp:sims:1").and_then(shared),
            _ => None,
        };
        let Some(found) = found else { continue };
        let has_room = links.len() < LINKS;
        match links.iter_mut().find(|known| known.url == found.url) {
            Some(known) => {
                known.name = known.name.take().or(found.name);
                known.size = known.size.or(found.size);
            }
            None if has_room => links.push(found),
            None => {}
        }
    }
    links
}

/// The first link among the sources of a file, with what its description says.
fn shared(sharing: &Element<'_>) -> Option<Link> {
    let named = |name: &str| sharing.children().find(|child| child.name() == name);
    let file = named("file");
    named("sources")?.children().find_map(|source| {
        let url = source.attr("target").or_else(|| source.attr("uri"))?;
        link(url, file)
    })
}

fn link(url: &str, file: Option<&Element<'_>>) -> Option<Link> {
    let url = url.trim();
    let is_link = ["https://", "http://", "aesgcm://", "geo:"].iter().any(|scheme| url.starts_with(scheme));
    if !is_link || url.len() > URL || !url.bytes().all(|octet| octet.is_ascii_graphic()) {
        return None;
    }
    let said = |name: &str| {
        let text = file?.children().find(|child| child.name() == name)?.text();
        Some(one_line(&text, NAME).into_owned()).filter(|text| !text.is_empty())
    };
    Some(Link {
        url: url.to_owned(),
        name: said("name"),
        size: said("size").and_then(|size| size.parse().ok()),
    })
}

/// A size as people read it.
fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if octets < 1024 {
        return format!("{octets} B");
    }
    let power = (octets.ilog2() / 10).min(4);
    let unit = UNITS.get(power as usize - 1).copied().unwrap_or_default();
    format!("{} {unit}", (octets >> (10 * (power - 1))).div_ceil(1024))
}
