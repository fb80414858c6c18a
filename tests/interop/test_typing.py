"""Typing and receipts out of sessions: chat states and isComposing, XEP-0184/0333 and IMDN, with bodies from the RFCs."""
import re
import secrets

import sip_chat
from rig import ALICE, BOB, ROMEO, wait_for
from usual import usual

NEEDS_GATEWAY = True
STATES, RECEIPTS, MARKERS = "http://jabber.org/protocol/chatstates", "urn:xmpp:receipts", "urn:xmpp:chat-markers:0"
COMPOSING = """<?xml version="1.0" encoding="UTF-8"?>
<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>{}</state>
<contenttype>text/plain</contenttype><refresh>90</refresh></isComposing>"""
IS_COMPOSING = "application/im-iscomposing+xml"


def scene(rig):
    s = usual(rig, grants=("alice", "bob"), agents=())
    s.alice, s.bob = sip_chat.user(rig, "alice"), sip_chat.user(rig, "bob")
    return s


def asking(sender, target, text, ident, what="positive-delivery, negative-delivery"):
    """A CPIM that asks for IMDN (RFC 5438 §6.3, §7.1.1)."""
    return "\r\n".join([f"From: <sip:{sender}>", f"To: <sip:{target}>", "DateTime: 2026-11-29T00:00:00Z",
                        "NS: imdn <urn:ietf:params:imdn>", f"imdn.Message-ID: {ident}",
                        f"imdn.Disposition-Notification: {what}", "", "Content-Type: text/plain;charset=UTF-8", "",
                        text])


def imdn(ident, kind="delivery", status="delivered"):
    """An IMDN document (RFC 5438 §11.1)."""
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>{ident}'
            f"</message-id><datetime>2026-11-29T00:00:00Z</datetime><{kind}-notification><status><{status}/></status>"
            f"</{kind}-notification></imdn>")


def shows(stanza, name):
    return f"<{name} " in re.sub(r"ns\d+:", "", stanza["xml"]) and not stanza.get("body")


def wait_state(s, name, since, whom=ALICE):
    return s.romeo.wait_for(lambda e: e["event"] == "message" and e["from"].split("/")[0] == whom
                            and STATES in e["xml"] and shows(e, name) and e not in since, f"{name} from {whom}")


def test_nothing_of_typing_before_romeo_shows_that_he_knows_it(s):
    """Check 58."""
    assert s.alice.say_to(ROMEO, COMPOSING.format("active"), IS_COMPOSING).status in (200, 202)
    assert s.alice.say_to(ROMEO, "after the typing").status == 202
    s.romeo.wait_body("after the typing")
    assert not [e for e in s.romeo.events() if STATES in e.get("xml", "")]


def test_typing_crosses_to_romeo(s):
    """Checks 54, 55, 56."""
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat'><body>I know states</body><active xmlns='{STATES}'/></message>")
    wait_for("his text", lambda: [p for p in s.alice.pages if p.text == "I know states"])
    since = s.romeo.events()
    for _ in range(3):
        assert s.alice.say_to(ROMEO, COMPOSING.format("active"), IS_COMPOSING).status in (200, 202)
    stanza = wait_state(s, "composing", since)
    assert stanza["type"] == "chat", stanza
    assert s.alice.say_to(ROMEO, COMPOSING.format("idle"), IS_COMPOSING).status in (200, 202)
    wait_state(s, "active", since)
    seen = [e for e in s.romeo.events() if e not in since and STATES in e.get("xml", "") and not e.get("body")]
    assert len(seen) == 2, seen


def test_typing_crosses_to_bob_until_he_refuses_it(s):
    """Check 57."""
    def composing():
        s.romeo.send_xml(f"<message to='{BOB}' type='chat'><composing xmlns='{STATES}'/></message>")

    def documents():
        return [p for p in s.bob.pages if (p.get("content-type") or "").startswith(IS_COMPOSING)]
    s.bob.page = lambda message: 200
    composing()
    wait_for("isComposing at bob", documents)
    assert "<state>active</state>" in documents()[0].text
    s.romeo.send(BOB, "a text between")
    wait_for("the text", lambda: any(p.text == "a text between" for p in s.bob.pages))
    s.bob.page = lambda message: 415 if (message.get("content-type") or "").startswith(IS_COMPOSING) else 200
    composing()
    wait_for("a refused isComposing", lambda: len(documents()) >= 2)
    count = len(documents())
    for n in range(3):
        s.romeo.send(BOB, f"between {n}")
        wait_for("the text", lambda: any(p.text == f"between {n}" for p in s.bob.pages))
        composing()
    s.romeo.send(BOB, "the last")
    wait_for("the text", lambda: any(p.text == "the last" for p in s.bob.pages))
    assert len(documents()) == count
    assert not [e for e in s.romeo.events() if e.get("type") == "error"], "nobody is told of typing"


def test_a_receipt_that_alice_asks_for(s):
    """Checks 59, 63; F30: the id is that of alice's message."""
    ident = "imdn-" + secrets.token_hex(6)
    assert s.alice.say_to(ROMEO, asking(ALICE, ROMEO, "received?", ident), "message/cpim").status == 202
    got = s.romeo.wait_body("received?")
    assert RECEIPTS in got["xml"], got["xml"]
    before = len(s.alice.pages)
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat'><received xmlns='{RECEIPTS}' id='{got['id']}'/></message>")
    page = wait_for("an IMDN at alice", lambda: next((p for p in s.alice.pages if "imdn" in p.text), None))
    assert f"<message-id>{ident}</message-id>" in page.text and "<delivered/>" in page.text, page.text
    assert "Disposition-Notification" not in page.text, "no IMDN for an IMDN"
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat'><received xmlns='{RECEIPTS}' id='{got['id']}'/></message>")
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat'><received xmlns='{RECEIPTS}' id='never-sent'/></message>")
    s.romeo.send(ALICE, "after the receipts")
    wait_for("the text", lambda: any("after the receipts" in p.text for p in s.alice.pages))
    assert sum("imdn+xml" in p.text or "imdn+xml" in (p.get("content-type") or "") for p in s.alice.pages[before:]) == 1


def test_a_receipt_that_romeo_asks_for(s):
    """Checks 24, 59, 60, 63: alice has shown that she reads CPIM."""
    before = len(s.alice.pages)
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat' id='ask-1'><body>and you?</body>"
                     f"<request xmlns='{RECEIPTS}'/></message>")
    page = wait_for("his text", lambda: next((p for p in s.alice.pages[before:] if "and you?" in p.text), None))
    assert page.get("content-type").lower().startswith("message/cpim"), page.get("content-type")
    assert "DateTime:" in page.text and "positive-delivery" in page.text, page.text
    ident = re.search(r"imdn\.Message-ID: *(\S+)", page.text)[1]
    assert not [e for e in s.romeo.events() if "<received" in re.sub(r"ns\d+:", "", e.get("xml", ""))], "invented"
    notice = "\r\n".join([f"From: <sip:{ALICE}>", f"To: <sip:{ROMEO}>", "NS: imdn <urn:ietf:params:imdn>",
                          f"imdn.Message-ID: {secrets.token_hex(8)}", "", "Content-Type: message/imdn+xml",
                          "Content-Disposition: notification", "", imdn(ident)])
    assert s.alice.say_to(ROMEO, notice, "message/cpim").status in (200, 202)
    receipt = s.romeo.wait_for(lambda e: e["event"] == "message" and RECEIPTS in e["xml"] and not e.get("body"), "a receipt")
    assert "id=\"ask-1\"" in receipt["xml"], receipt["xml"]


def test_bob_who_never_showed_cpim_gets_plain_text(s):
    s.bob.page = lambda message: 200
    s.romeo.send_xml(f"<message to='{BOB}' type='chat' id='ask-2'><body>plain please</body>"
                     f"<request xmlns='{RECEIPTS}'/></message>")
    page = wait_for("his text", lambda: next((p for p in s.bob.pages if "plain please" in p.text), None))
    assert page.get("content-type").startswith("text/plain"), page.get("content-type")
