"""What goes with texts: who is writing, and receipts, between slixmpp and linphone."""
import re
import secrets
import zlib

import sip_peer
from rig import ALICE, GATEWAY, ROMEO, SIPS, wait_for
from usual import usual

NEEDS_GATEWAY = True
STATES = "http://jabber.org/protocol/chatstates"
BALCONY = ROMEO + "/balcony"


def scene(rig):
    s = usual(rig, agents=())
    s.alice = rig.sip_agent("alice", notifications="full")
    s.contacts = rig.contact_list("alice")
    s.link = sip_peer.connect((rig.ip(GATEWAY), rig.port(SIPS)), rig.pki, "edge")
    return s


def stanza(to, ident, children):
    return f"<message to='{to}' id='{ident}' type='chat' xmlns='jabber:client'>{children}</message>"


def word(kind):
    return f"{kind}-{secrets.token_hex(6)}"


def child_of(s, name, namespace, **attributes):
    """Waits until romeo has got a stanza with such a child."""
    def fits(stanza):
        xml = stanza.get("xml", "")
        return (stanza["event"] == "message" and namespace in xml and re.search(rf"[<:]{name}\b", xml)
                and all(f'{key}="{value}"' in xml for key, value in attributes.items()))
    return s.romeo.wait_for(fits, f"{name} {attributes or ''}", 15)


def asks_in_cpim(s, body, ident):
    """A message of alice's that asks, from another client of hers."""
    wrapped = (f"From: <sip:{ALICE}>\r\nTo: <sip:{ROMEO}>\r\nDateTime: 2026-11-29T00:00:00Z\r\n"
               f"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {ident}\r\n"
               "imdn.Disposition-Notification: positive-delivery, display\r\n\r\n"
               f"Content-Type: text/plain\r\n\r\n{body}")
    answer = s.link.ask(sip_peer.request(ALICE, ROMEO, wrapped, drop=("Content-Type",),
                                         headers=[("Content-Type", "message/cpim")]))
    assert answer.status == 202, answer.start


def test_a_text_that_asks_is_shown_and_its_notification_becomes_a_receipt(s):
    """linphone shows what comes as CPIM. It notifies of nothing here, so the notification is sent for it, packed as
    it packs them."""
    asks_in_cpim(s, word("first"), secrets.token_hex(8))
    body, ident = word("asks"), word("id")
    s.romeo.send_xml(stanza(ALICE, ident, f"<body>{body}</body><request xmlns='urn:xmpp:receipts'/>"))
    s.alice.wait_body(body)
    message_id = re.findall(r"^imdn\.Message-ID: (\w+)$", s.alice._trace(), re.M)[-1]
    imdn = ("<?xml version='1.0' encoding='UTF-8'?><imdn xmlns='urn:ietf:params:xml:ns:imdn'>"
            f"<message-id>{message_id}</message-id><datetime>2026-11-29T00:00:00Z</datetime>"
            "<delivery-notification><status><delivered/></status></delivery-notification></imdn>")
    headers = [("Content-Type", "message/imdn+xml"), ("Content-Encoding", "deflate"),
               ("Content-Disposition", "notification")]
    answer = s.link.ask(sip_peer.request(ALICE, ROMEO, zlib.compress(imdn.encode()), drop=("Content-Type",),
                                         headers=headers))
    assert answer.status == 202, answer.start
    receipt = child_of(s, "received", "urn:xmpp:receipts", id=ident)
    assert receipt["to"] == BALCONY and receipt["from"].split("/")[0] == ALICE, receipt
    assert receipt.get("body") is None, receipt


def test_composing_reaches_a_client_that_takes_it(s):
    """linphone answers a status message with 200, so nothing stops."""
    s.romeo.send_xml(stanza(ALICE, word("id"), f"<composing xmlns='{STATES}'/>"))
    pattern = r"^MESSAGE sip:alice@(?s:.{0,1500}?)^Content-Type: application/im-iscomposing\+xml$"
    wait_for("linphone to hear that romeo writes", lambda: re.search(pattern, s.alice._trace(), re.M | re.I))
    body = word("text")
    s.romeo.send_xml(stanza(ALICE, word("id"), f"<body>{body}</body><active xmlns='{STATES}'/>"))
    s.alice.wait_body(body)
    assert not any(m.get("type") == "error" for m in s.romeo.messages())


def test_a_client_that_writes_is_seen_to_write(s):
    body = word("shows states")
    s.romeo.send_xml(stanza(ALICE, word("id"), f"<body>{body}</body><active xmlns='{STATES}'/>"))
    s.alice.wait_body(body)
    s.contacts.compose(ROMEO)
    typing = child_of(s, "composing", STATES)
    assert typing["type"] == "chat" and typing["to"] == BALCONY and typing.get("body") is None, typing
    text = word("and then a text")
    s.alice.send(ROMEO, text)
    got = s.romeo.wait_body(text)
    assert STATES in got["xml"] and "active" in got["xml"], got


def test_a_question_in_cpim_is_answered_under_its_own_id(s):
    body, ident = word("cpim"), secrets.token_hex(8)
    asks_in_cpim(s, body, ident)
    got = s.romeo.wait_body(body)
    assert "urn:xmpp:receipts" in got["xml"] and "urn:xmpp:chat-markers:0" in got["xml"], got
    s.romeo.send_xml(stanza(ALICE, word("id"), f"<received xmlns='urn:xmpp:receipts' id='{got['id']}'/>"))
    pattern = rf"<message-id>{ident}</message-id>(?s:.*?)<delivered/>"
    wait_for("alice to be notified", lambda: re.search(pattern, s.alice._trace()), 15)
