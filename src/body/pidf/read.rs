//! Octets → [`Document`].
//!
//! The tree comes from `crate::xml`, which knows no document types and expands nothing. Elements are
//! known by namespace and name, wherever their prefixes come from; what is not known is passed over
//! with all that is in it (RFC 3863 §4.2.3).

use super::{
    Activities, Activity, ActivitySet, Basic, Contact, Device, Document, Limits, Note, Person, PidfError,
    Show, Tuple, UserInput, ns,
};
use crate::body::Part;
use crate::body::mime::{self, MediaType};
use crate::xml::{self, Element, Node};
use jiff::Timestamp;
use std::borrow::Cow;

/// Elements and runs of text. What a hundred tuples need with white space between all elements.
const NODES: usize = 8000;
/// Nested elements. Ours are five deep, extensions a few more.
const DEPTH: usize = 16;

/// Reads a document that names its encoding itself, or is UTF-8.
///
/// # Errors
/// See [`PidfError`].
pub fn read<'a>(octets: &'a [u8], limits: &Limits) -> Result<Document<'a>, PidfError> {
    read_as(octets, None, limits)
}

/// Reads the body of a request, by its header fields. A charset there counts more than an encoding
/// in the XML declaration (RFC 3863 §4.1).
///
/// # Errors
/// See [`PidfError`].
pub fn read_part<'a>(part: &Part<'a>, limits: &Limits) -> Result<Document<'a>, PidfError> {
    let media = part.content_type.and_then(MediaType::parse).ok_or(PidfError::Type)?;
    if !media.is("application", "pidf+xml") {
        return Err(PidfError::Type);
    }
    if !mime::is_identity(part.encoding) {
        return Err(PidfError::ContentEncoding);
    }
    read_as(part.octets, media.param("charset").as_deref(), limits)
}

fn read_as<'a>(octets: &'a [u8], charset: Option<&str>, limits: &Limits) -> Result<Document<'a>, PidfError> {
    if octets.len() > limits.octets {
        return Err(PidfError::TooLarge);
    }
    if charset.is_some_and(|charset| !is_utf8(charset)) {
        return Err(PidfError::Encoding);
    }
    let text = std::str::from_utf8(octets).map_err(|_| PidfError::NotUtf8)?;
    let bounds = xml::Limits { depth: DEPTH, nodes: NODES, ..xml::Limits::default() };
    let root = xml::document(text, &bounds)?;
    if charset.is_none() && declared_encoding(text).is_some_and(|encoding| !is_utf8(encoding)) {
        return Err(PidfError::Encoding);
    }
    if !root.is("presence", ns::PIDF) {
        return Err(PidfError::NotPresence);
    }
    presence(&root, limits)
}

/// UTF-8, or its part that has a name of its own.
fn is_utf8(encoding: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
}

/// The encoding that the XML declaration of a well-formed document names.
fn declared_encoding(text: &str) -> Option<&str> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let (declaration, _) = text.strip_prefix("<?xml")?.split_once("?>")?;
    if !declaration.starts_with([' ', '\t', '\r', '\n']) {
        return None;
    }
    let (_, behind) = declaration.split_once("encoding")?;
    let value = behind.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next()?;
    value.split(quote).nth(1)
}

fn presence<'a>(root: &Element<'a>, limits: &Limits) -> Result<Document<'a>, PidfError> {
    let mut document = Document { entity: attr(root, "entity").unwrap_or_default(), ..Document::default() };
    let lang = root.lang();
    for child in root.children() {
        match (child.ns(), child.name()) {
            (ns::PIDF, "tuple") => push(&mut document.tuples, tuple(child, lang), limits)?,
            (ns::PIDF, "note") => document.notes.push(note(child, lang)),
            (ns::DATA_MODEL, "person") => push(&mut document.persons, person(child, lang), limits)?,
            (ns::DATA_MODEL, "device") => push(&mut document.devices, device(child), limits)?,
            _ => {}
        }
    }
    Ok(document)
}

fn push<T>(list: &mut Vec<T>, item: T, limits: &Limits) -> Result<(), PidfError> {
    if list.len() >= limits.tuples {
        return Err(PidfError::TooMany);
    }
    list.push(item);
    Ok(())
}

fn tuple<'a>(element: &Element<'a>, lang: Option<&str>) -> Tuple<'a> {
    let mut tuple = Tuple { id: attr(element, "id").unwrap_or_default(), ..Tuple::default() };
    let lang = element.lang().or(lang);
    let mut seen = false;
    for child in element.children() {
        match (child.ns(), child.name()) {
            (ns::PIDF, "status") if !seen => {
                seen = true;
                status(child, &mut tuple);
            }
            (ns::PIDF, "contact") => tuple.contact = tuple.contact.or_else(|| Some(contact(child))),
            (ns::PIDF, "note") => tuple.notes.push(note(child, lang)),
            (ns::PIDF, "timestamp") => tuple.timestamp = tuple.timestamp.or_else(|| time(&child.text())),
            (ns::DATA_MODEL, "deviceID") => tuple.device = Some(trimmed(child)),
            (ns::RPID, "relationship") => {
                tuple.is_of_another =
                    child.children().next().is_some() && child.child("self", ns::RPID).is_none();
            }
            _ => extension(child, &mut tuple),
        }
    }
    tuple
}

fn status(element: &Element<'_>, tuple: &mut Tuple<'_>) {
    for child in element.children() {
        match (child.ns(), child.name()) {
            (ns::PIDF, "basic") => tuple.basic = tuple.basic.or_else(|| basic(&child.text())),
            (ns::SHOW, "show") => tuple.show = tuple.show.or_else(|| Show::from_name(&child.text())),
            _ => extension(child, tuple),
        }
    }
}

/// What may stand in a tuple or in its status.
fn extension(element: &Element<'_>, tuple: &mut Tuple<'_>) {
    match (element.ns(), element.name()) {
        // COMPAT Live Communications Server 2005 to Skype for Business Server 2019, and user agents
        // of drafts of RPID: activities are in the status.
        (ns::RPID | ns::RPID_STATUS | ns::PIDF, "activities") => {
            tuple.activities = tuple.activities.union(activities(element));
        }
        (ns::RPID, "user-input") => tuple.input = tuple.input.or_else(|| user_input(element)),
        (ns::MS_STATE, _) => tuple.availability = tuple.availability.or_else(|| availability(element)),
        _ => {}
    }
}

fn person<'a>(element: &Element<'a>, lang: Option<&str>) -> Person<'a> {
    let mut person = Person { id: attr(element, "id").unwrap_or_default(), ..Person::default() };
    let lang = element.lang().or(lang);
    for child in element.children() {
        match (child.ns(), child.name()) {
            (ns::RPID | ns::RPID_STATUS, "activities") => {
                let set = activities(child);
                let at = |name| child.attr(name).and_then(time);
                if !set.is_empty() {
                    person.activities.push(Activities { set, from: at("from"), until: at("until") });
                }
            }
            (ns::RPID, "user-input") => person.input = person.input.or_else(|| user_input(child)),
            (ns::MS_STATE, _) => person.availability = person.availability.or_else(|| availability(child)),
            // COMPAT some user agents leave the note in the namespace of the document.
            (ns::DATA_MODEL | ns::PIDF, "note") => person.notes.push(note(child, lang)),
            (ns::DATA_MODEL, "timestamp") => {
                person.timestamp = person.timestamp.or_else(|| time(&child.text()));
            }
            _ => {}
        }
    }
    person
}

fn device<'a>(element: &Element<'a>) -> Device<'a> {
    Device {
        id: attr(element, "id").unwrap_or_default(),
        urn: element.child("deviceID", ns::DATA_MODEL).map(trimmed).unwrap_or_default(),
        input: element.child("user-input", ns::RPID).and_then(user_input),
    }
}

/// The activities of either form: elements with their names, or their names in `<activity/>`. None
/// if there is a child that must be understood and is not (RFC 3863 §4.2.3).
fn activities(element: &Element<'_>) -> ActivitySet {
    let mut set = ActivitySet::default();
    for child in element.children() {
        let known = matches!(child.ns(), ns::RPID | ns::RPID_STATUS | ns::PIDF);
        let activity = match child.name() {
            _ if !known => None,
            "activity" => Activity::from_name(child.text().trim()),
            name => Activity::from_name(name),
        };
        match activity {
            Some(activity) => set.insert(activity),
            None if must_be_understood(child) => return ActivitySet::default(),
            None => {}
        }
    }
    set
}

fn must_be_understood(element: &Element<'_>) -> bool {
    let mark = element.attr_ns("mustUnderstand", ns::PIDF).or_else(|| element.attr("mustUnderstand"));
    mark.is_some_and(|mark| matches!(mark.trim(), "true" | "1"))
}

/// `<availability/>`, or the same in `<state/>`: the number is the text.
fn availability(element: &Element<'_>) -> Option<u32> {
    match element.name() {
        "availability" => element.text().trim().parse().ok(),
        "state" => element.child("availability", ns::MS_STATE)?.text().trim().parse().ok(),
        _ => None,
    }
}

fn user_input(element: &Element<'_>) -> Option<UserInput> {
    let is_idle = match element.text().trim() {
        "idle" => true,
        "active" => false,
        _ => return None,
    };
    Some(UserInput { is_idle, last: element.attr("last-input").and_then(time) })
}

fn basic(text: &str) -> Option<Basic> {
    [Basic::Open, Basic::Closed].into_iter().find(|basic| basic.name().eq_ignore_ascii_case(text.trim()))
}

fn contact<'a>(element: &Element<'a>) -> Contact<'a> {
    Contact { uri: trimmed(element), priority: element.attr("priority").and_then(thousandths) }
}

/// A decimal from 0 to 1 in thousandths; `None` for anything else (RFC 3863 §4.1.5).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, places) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if !places.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut digits = places.bytes().chain(std::iter::repeat(b'0'));
    let value = (0..3).fold(0, |sum, _| sum * 10 + u16::from(digits.next().unwrap_or(b'0') - b'0'));
    match whole {
        "0" => Some(value),
        "1" if places.bytes().all(|digit| digit == b'0') => Some(1000),
        _ => None,
    }
}

fn note<'a>(element: &Element<'a>, inherited: Option<&str>) -> Note<'a> {
    let lang = element.lang().or(inherited).filter(|lang| !lang.is_empty());
    Note { lang: lang.map(|lang| Cow::Owned(lang.to_owned())), text: text(element) }
}

/// A point in time with its zone (RFC 3339); without one nobody knows when it is.
fn time(text: &str) -> Option<Timestamp> {
    text.trim().parse().ok()
}

fn attr(element: &Element<'_>, name: &str) -> Option<Cow<'static, str>> {
    element.attr(name).map(|value| Cow::Owned(value.to_owned()))
}

/// The direct text, borrowed from the octets where it stands there in one piece.
fn text<'a>(element: &Element<'a>) -> Cow<'a, str> {
    match element.nodes() {
        [] => Cow::Borrowed(""),
        [Node::Text(Cow::Borrowed(text))] => Cow::Borrowed(text),
        _ => Cow::Owned(element.text().into_owned()),
    }
}

fn trimmed<'a>(element: &Element<'a>) -> Cow<'a, str> {
    match text(element) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}
