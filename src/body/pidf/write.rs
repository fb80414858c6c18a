//! [`Document`] → octets.
//!
//! The order of elements is that of the schemas (RFC 3863 §4.4, RFC 4479 §5.1.2, RFC 4480 §5.1),
//! the two prefixes are those of their examples.

use super::{Activities, Document, Note, Person, Tuple, UserInput, ns};
use crate::xml::write as xml;
use jiff::Timestamp;

/// Appends the document to `out`: an XML declaration, then UTF-8.
///
/// Ids are written as they are: whoever makes a document sees that they are NCNames and unique.
pub fn write(document: &Document<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version='1.0' encoding='UTF-8'?>\n");
    xml::open(out, "presence")
        .xmlns(ns::PIDF)
        .attr("xmlns:dm", ns::DATA_MODEL)
        .attr("xmlns:rpid", ns::RPID)
        .attr("entity", &document.entity)
        .content(|out| {
            document.tuples.iter().for_each(|tuple| write_tuple(tuple, out));
            notes("note", &document.notes, out);
            document.persons.iter().for_each(|person| write_person(person, out));
            for device in &document.devices {
                xml::open(out, "dm:device").attr("id", &device.id).content(|out| {
                    input(device.input, out);
                    xml::open(out, "dm:deviceID").text(&device.urn);
                });
            }
        });
}

fn write_tuple(tuple: &Tuple<'_>, out: &mut Vec<u8>) {
    xml::open(out, "tuple").attr("id", &tuple.id).content(|out| {
        xml::open(out, "status").content(|out| status(tuple, out));
        if tuple.is_of_another {
            xml::open(out, "rpid:relationship").content(|out| xml::open(out, "rpid:other").empty());
        }
        input(tuple.input, out);
        if let Some(device) = &tuple.device {
            xml::open(out, "dm:deviceID").text(device);
        }
        if let Some(contact) = &tuple.contact {
            let priority = contact.priority.map(decimal);
            xml::open(out, "contact").attr_opt("priority", priority.as_deref()).text(&contact.uri);
        }
        notes("note", &tuple.notes, out);
        time("timestamp", tuple.timestamp, out);
    });
}

fn status(tuple: &Tuple<'_>, out: &mut Vec<u8>) {
    if let Some(basic) = tuple.basic {
        xml::open(out, "basic").text(basic.name());
    }
    if let Some(show) = tuple.show {
        xml::open(out, "show").xmlns(ns::SHOW).text(show.name());
    }
    // COMPAT Live Communications Server 2005 to Skype for Business Server 2019: their readers look
    // for activities here, in the form of a draft of RPID, and not at persons.
    if !tuple.activities.is_empty() {
        xml::open(out, "activities").xmlns(ns::RPID_STATUS).content(|out| {
            for activity in tuple.activities.iter() {
                xml::open(out, "activity").text(activity.name());
            }
        });
    }
    availability(tuple.availability, out);
}

fn write_person(person: &Person<'_>, out: &mut Vec<u8>) {
    xml::open(out, "dm:person").attr("id", &person.id).content(|out| {
        person.activities.iter().for_each(|activities| write_activities(activities, out));
        input(person.input, out);
        availability(person.availability, out);
        notes("dm:note", &person.notes, out);
        time("dm:timestamp", person.timestamp, out);
    });
}

fn write_activities(activities: &Activities, out: &mut Vec<u8>) {
    let (from, until) = (activities.from.map(stamp), activities.until.map(stamp));
    xml::open(out, "rpid:activities")
        .attr_opt("from", from.as_deref())
        .attr_opt("until", until.as_deref())
        .content(|out| {
            for activity in activities.set.iter() {
                out.extend_from_slice(b"<rpid:");
                out.extend_from_slice(activity.name().as_bytes());
                out.extend_from_slice(b"/>");
            }
        });
}

fn availability(number: Option<u32>, out: &mut Vec<u8>) {
    if let Some(number) = number {
        xml::open(out, "availability").xmlns(ns::MS_STATE).text(&number.to_string());
    }
}

fn input(input: Option<UserInput>, out: &mut Vec<u8>) {
    if let Some(input) = input {
        let last = input.last.map(stamp);
        xml::open(out, "rpid:user-input").attr_opt("last-input", last.as_deref()).text(if input.is_idle {
            "idle"
        } else {
            "active"
        });
    }
}

fn notes(name: &'static str, notes: &[Note<'_>], out: &mut Vec<u8>) {
    for note in notes {
        xml::open(out, name).attr_opt("xml:lang", note.lang.as_deref()).text(&note.text);
    }
}

fn time(name: &'static str, time: Option<Timestamp>, out: &mut Vec<u8>) {
    if let Some(time) = time {
        xml::open(out, name).text(&stamp(time));
    }
}

/// RFC 3339 in UTC with capital `T` and `Z` (RFC 3863 §4.1.7).
fn stamp(time: Timestamp) -> String {
    time.to_string()
}

/// Thousandths as a decimal from 0 to 1 with three places at most (RFC 3863 §4.1.5).
fn decimal(thousandths: u16) -> String {
    match thousandths {
        0 => "0".to_owned(),
        1..1000 => format!("0.{thousandths:03}"),
        1000.. => "1".to_owned(),
    }
}
