"""Receipts over MSRP (RFC 7573 section 7): XEP-0184 at romeo's client, Success-Report and REPORT at an endpoint that was
written from RFC 4975, over TLS; and notifications (RFC 5438) inside of the session."""
import secrets
import time

import msrp_peer
import sip_chat
from rig import ALICE, GATEWAY, ROMEO, wait_for
from usual import restart, usual

NEEDS_GATEWAY = True
IM = 'identity = ["edge.contoso.example"]'
PORT = 2855
RECEIPTS, MARKERS = "urn:xmpp:receipts", "urn:xmpp:chat-markers:0"


def scene(rig):
    s = usual(rig, agents=())
    rig.certificate("edge", "DNS:edge.contoso.example")
    listen = f'[msrp]\nlisten = ["{rig.ip(GATEWAY)}:{PORT}"]\nhost = "{rig.ip(GATEWAY)}"\n[metrics]'
    restart(s, changes=[(IM, IM + '\nim = "msrp"'), ("[metrics]", listen)])
    s.alice = sip_chat.user(rig, "alice")
    s.far = msrp_peer.Endpoint(rig.ip(66), PORT, rig.pki)
    return s


def opened(s):
    session = s.far.session()
    accept = "message/cpim text/plain message/imdn+xml"
    talk = s.alice.talk(ROMEO, session.sdp("active", accept=accept))
    assert talk.answer.status == 200, talk.answer.start
    session.far(talk.answer.body)
    assert session.connect() == 200
    return talk, session


def says(s, children):
    """A stanza of romeo's with these children; its id."""
    ident = secrets.token_hex(6)
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat' id='{ident}'>{children}</message>")
    return ident


def has(s, name, namespace, ident):
    """Waits for the stanza that answers `ident`."""
    def answers(event):
        xml = (event.get("xml") or "").replace('"', "'")
        return event.get("body") is None and name in xml and namespace in xml and f" id='{ident}'" in xml
    s.romeo.wait_for(lambda e: e["event"] == "message" and answers(e), f"{name} of {ident}")


def test_a_report_of_the_whole_message_is_a_receipt(s):
    """Check 59, 63."""
    talk, session = opened(s)
    ident = says(s, f"<body>asks</body><request xmlns='{RECEIPTS}'/>")
    got = session.wait_text("asks")
    assert got.frame.get("success-report") == "yes", got.frame.headers
    has(s, "received", RECEIPTS, ident)
    says(s, "<body>asks nothing</body>")
    got = session.wait_text("asks nothing")
    assert got.frame.get("success-report") in (None, "no"), got.frame.headers
    assert talk.bye() == 200


def test_a_long_message_is_received_when_all_of_it_is(s):
    talk, session = opened(s)
    text = secrets.token_hex(3000)
    ident = says(s, f"<body>{text}</body><request xmlns='{RECEIPTS}'/>")
    session.wait_text(text)
    assert len({f.tid for f in session.frames if f.get("success-report") == "yes"}) > 2, "chunks"
    has(s, "received", RECEIPTS, ident)
    assert talk.bye() == 200


def test_romeos_receipt_is_a_report_and_nothing_else_is(s):
    """Check 47, 63."""
    talk, session = opened(s)
    sent = session.send("wants to know", success="yes")
    got = s.romeo.wait_body("wants to know")
    assert RECEIPTS in got["xml"], got
    assert session.wait(sent.tids[0]) == 200
    plain = session.send("does not")
    assert session.wait(plain.tids[0]) == 200
    assert RECEIPTS not in s.romeo.wait_body("does not")["xml"]
    time.sleep(0.5)   # that nothing comes can only be waited for
    if session.reports:
        # The client answers by itself, as XEP-0184 has it.
        assert len(session.reports) == 1
    else:
        says(s, f"<received xmlns='{RECEIPTS}' id='{got['id']}'/>")
    report = wait_for("a REPORT", lambda: next(iter(session.reports), None))
    assert report.get("message-id") == sent.ident and report.range() == (1, 13, 13), report.headers
    assert report.get("status").startswith("000 200"), report.headers
    assert talk.bye() == 200


def test_notifications_go_in_the_session(s):
    """Check 59, 60, 61."""
    talk, session = opened(s)
    ident = secrets.token_hex(6)
    more = ("DateTime: 2026-11-29T00:00:00Z", "NS: imdn <urn:ietf:params:imdn>", f"imdn.Message-ID: {ident}",
            "imdn.Disposition-Notification: display")
    session.send(msrp_peer.cpim(ALICE, ROMEO, "read me", more=more), "message/cpim")
    got = s.romeo.wait_body("read me")
    assert MARKERS in got["xml"], got
    says(s, f"<displayed xmlns='{MARKERS}' id='{got['id']}'/>")
    document = wait_for("a notification", lambda: next((m for m in session.messages if b"imdn+xml" in m.body), None))
    assert document.type == "message/cpim" and f"<message-id>{ident}</message-id>".encode() in document.body
    assert b"<displayed/>" in document.body and b"imdn.Disposition-Notification" not in document.body
    # And the other way: this client is known to notify now.
    asked = says(s, f"<body>and mine</body><markable xmlns='{MARKERS}'/>")
    mine = wait_for("romeo's text", lambda: next((m for m in session.messages if b"and mine" in m.body), None))
    assert mine.type == "message/cpim" and b"imdn.Disposition-Notification: " in mine.body, mine.body
    name = mine.body.split(b"imdn.Message-ID: ")[1].split(b"\r\n")[0].decode()
    answer = session.send(f"<?xml version='1.0'?><imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>{name}</message-id>"
                          "<display-notification><status><displayed/></status></display-notification></imdn>",
                          "message/imdn+xml")
    assert session.wait(answer.tids[0]) == 200
    has(s, "displayed", MARKERS, asked)
    assert talk.bye() == 200
