"""Presence documents as a SIP user agent writes and reads them: RFC 3863, 4479, 4480.

Its own reading of the RFCs, so that a fault of the gateway's writer is not repeated by the reader.
"""
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

PIDF = "{urn:ietf:params:xml:ns:pidf}"
MODEL = "{urn:ietf:params:xml:ns:pidf:data-model}"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"
CLIENT = "{jabber:client}"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"

# What an agent calls its states: (basic, RPID activity, user-input).
STATES = {
    "online": ("open", None, "active"),
    "away": ("open", "away", "idle"),
    "busy": ("open", "busy", "active"),
    "meeting": ("open", "meeting", "active"),
    "vacation": ("open", "vacation", "idle"),
    "idle": ("open", None, "idle"),
    "offline": ("closed", None, None),
}


def write(entity, state="online", note=None, lang=None, tuple_id="t1", contact=None, more=""):
    """A document of one tuple and one person; `more` is put in as it is, after the tuple."""
    basic, activity, typing = STATES[state]
    language = f" xml:lang={quoteattr(lang)}" if lang else ""
    notes = f"<note{language}>{escape(note)}</note>" if note is not None else ""
    person = ""
    if activity or typing:
        person = ('<dm:person id="p1">'
                  + (f"<rp:activities><rp:{activity}/></rp:activities>" if activity else "")
                  + (f"<rp:user-input>{typing}</rp:user-input>" if typing else "") + "</dm:person>")
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"'
            f' xmlns:rp="urn:ietf:params:xml:ns:pidf:rpid" entity={quoteattr(entity)}>'
            f"<tuple id={quoteattr(tuple_id)}><status><basic>{basic}</basic></status>"
            + (f"<contact>{escape(contact)}</contact>" if contact else "") + f"{notes}</tuple>{person}{more}</presence>")


def read(octets):
    """The document as plain values; raises when it is not what RFC 3863 §4 demands of every document."""
    if not octets.lstrip().startswith(b"<?xml"):
        raise ValueError("no XML declaration (RFC 3863 §4.1)")
    root = ET.fromstring(octets)
    if root.tag != PIDF + "presence" or not root.get("entity"):
        raise ValueError(f"no presence with an entity: {root.tag}")
    ids = [t.get("id") for t in root.iter(PIDF + "tuple")]
    if None in ids or len(set(ids)) != len(ids):
        raise ValueError(f"tuple ids {ids}")
    persons = [_person(p) for p in root.iter(MODEL + "person")]
    return {"entity": root.get("entity"), "tuples": [_tuple(t) for t in root.findall(PIDF + "tuple")],
            "activities": sorted({a for p in persons for a in p["activities"]}),
            "user_input": next((p["user_input"] for p in persons if p["user_input"]), None),
            "notes": _notes(root, PIDF) + [n for p in persons for n in p["notes"]]}


def _tuple(element):
    contact, status = element.find(PIDF + "contact"), element.find(PIDF + "status")
    if status is None:
        raise ValueError("a tuple without a status (RFC 3863 §4.1.2)")
    return {"id": element.get("id"), "basic": status.findtext(PIDF + "basic"), "show": status.findtext(CLIENT + "show"),
            "activities": _activities(status), "contact": contact.text if contact is not None else None,
            "priority": contact.get("priority") if contact is not None else None, "notes": _notes(element, PIDF),
            "timestamp": element.findtext(PIDF + "timestamp"), "user_input": element.findtext(RPID + "user-input")}


def _person(element):
    return {"activities": _activities(element), "user_input": element.findtext(RPID + "user-input"),
            "notes": _notes(element, MODEL) + _notes(element, PIDF)}


def _notes(element, namespace):
    return [{"text": n.text or "", "lang": n.get(LANG)} for n in element.findall(namespace + "note")]


def _activities(element):
    """RPID's activity elements, and those that Microsoft's servers write as text: by local name."""
    found = set()
    for node in element.iter():
        if node.tag.split("}")[-1] == "activities":
            for child in node:
                name = child.tag.split("}")[-1]
                found.add((child.text or "").strip() if name == "activity" else name)
    return sorted(found - {"", "note"})


def summary(document):
    """What a contact list would show: Offline, Online, or the first activity that tells more; and the note.

    For a document of the gateway also what each tuple says by itself.
    """
    if document is None:
        return None
    if not any(t["basic"] == "open" for t in document["tuples"]):
        return "offline"
    told = set(document["activities"]) | {a for t in document["tuples"] for a in t["activities"]}
    for word, names in (("busy", {"busy", "meeting", "on-the-phone", "appointment", "presentation"}),
                        ("away", {"away", "vacation", "meal", "sleeping", "holiday", "permanent-absence"})):
        if told & names:
            return word
    return "online"
