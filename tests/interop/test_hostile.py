"""Bytes that no honest server sends: a clear error, nothing delivered, and the next message crosses."""
import socket

import sip_peer
from rig import ALICE, BOB, GATEWAY, ROMEO, S2S, SIPS, RigError
from sip_peer import request
from usual import never_came, usual

NEEDS_GATEWAY = True


def scene(rig):
    s = usual(rig)
    s.connect = lambda: sip_peer.connect((rig.ip(GATEWAY), rig.port(SIPS)), rig.pki, "edge")
    return s


def status(s, octets):
    """The final status for these bytes on a link of their own (None: closed instead)."""
    link = s.connect()
    try:
        answer = link.ask(octets, 5)
        return answer and answer.status
    finally:
        link.close()


def still_works(s, body):
    answer = s.connect().ask(request(ALICE, ROMEO, body))
    assert answer and answer.status == 202, answer and answer.start
    s.romeo.wait_body(body)


def test_requests_that_contradict_themselves_get_400(s):
    doubled = {
        "two From": ("From", "<sip:bob@contoso.example>;tag=2"), "two To": ("To", f"<sip:{ROMEO}>"),
        "two Call-ID": ("Call-ID", "other"), "two CSeq": ("CSeq", "2 MESSAGE"),
        "two Content-Length": ("Content-Length", "3"), "two Max-Forwards": ("Max-Forwards", "5"),
    }
    for kind, header in doubled.items():
        assert status(s, request(ALICE, ROMEO, kind, headers=[header])) == 400, kind
    for name in ("From", "To", "Call-ID", "CSeq", "Content-Length"):
        assert status(s, request(ALICE, ROMEO, f"no {name}", drop=[name])) in (400, None), name
    for length in ("abc", "-1", "99999999999999999999"):
        assert status(s, request(ALICE, ROMEO, f"length {length}", length=length)) in (400, 413, None), length
    still_works(s, "after contradictions")
    for kind in doubled:
        never_came(s.romeo.messages(), kind)


def test_a_content_length_that_is_too_short_ends_the_link(s):
    """What is left over is no request: the link is out of step and must not be trusted any more."""
    link = s.connect()
    link.send(request(ALICE, ROMEO, "12345 and a tail that is no request\r\n\r\n", length=5))
    answers = []
    while (message := link.read(5)) is not None:  # a link that stays open is an error here
        answers.append(message.status)
    assert set(answers) <= {202, 400}, answers
    assert "first line is not SIP" in s.gateway.log()
    still_works(s, "after a short length")


def test_a_content_length_that_is_too_long_is_never_answered_202(s):
    link = s.connect()
    try:
        answer = link.ask(request(ALICE, ROMEO, "a body that is cut", length=500), 2)
    except RigError:
        answer = None
    assert answer is None or answer.status == 400, answer.start
    link.close()
    still_works(s, "after a long length")
    never_came(s.romeo.messages(), "a body that is cut")


def test_a_sender_who_is_not_the_peers_gets_403(s):
    for sender in ("mallory@evil.example", ROMEO, "juliet@capulet.example"):
        assert status(s, request(sender, ROMEO, f"as {sender}")) == 403, sender
        never_came(s.romeo.messages(), f"as {sender}")


def test_targets_that_cannot_be(s):
    for target in ("capulet.example", "%00@capulet.example", "a%ffb@capulet.example", "x" * 2000 + "@capulet.example",
                   "romeo@[not-an-address", "@capulet.example"):
        got = status(s, request(ALICE, target, "to an impossible address"))
        assert got is not None and 400 <= got < 500, (target[:40], got)
    still_works(s, "after impossible targets")


def test_the_answers_every_sip_server_owes(s):
    answers = {
        "OPTIONS": request(ALICE, "contoso.example", method="OPTIONS"),
        "REGISTER": request(ALICE, "contoso.example", method="REGISTER"),
        "hops": request(ALICE, ROMEO, "no hop left", drop=["Max-Forwards"], headers=[("Max-Forwards", "0")]),
        "require": request(ALICE, ROMEO, "with an extension", headers=[("Require", "telepathy")]),
        "type": request(ALICE, ROMEO, "{}", drop=["Content-Type"], headers=[("Content-Type", "application/x-odd")]),
        "scheme": request(ALICE, ROMEO, "by pigeon").replace(b"MESSAGE sip:romeo", b"MESSAGE pigeon:romeo", 1),
        "version": request(ALICE, ROMEO, "of the future").replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1),
    }
    got = {}
    for name, octets in answers.items():
        link = s.connect()
        got[name] = link.ask(octets, 5)
        link.close()
        assert got[name] is not None, name
    expected = {"OPTIONS": 200, "REGISTER": 405, "hops": 483, "require": 420, "type": 415, "scheme": 416, "version": 505}
    assert {n: a.status for n, a in got.items()} == expected
    assert "MESSAGE" in got["OPTIONS"].get("allow"), got["OPTIONS"].headers
    assert "MESSAGE" in got["REGISTER"].get("allow"), got["REGISTER"].headers
    assert "telepathy" in got["require"].get("unsupported"), got["require"].headers
    assert "text/plain" in got["type"].get("accept"), got["type"].headers
    assert all(";tag=" in a.get("to") for a in got.values())


def test_keep_alives_are_answered(s):
    link = s.connect()
    link.send(b"\r\n\r\n")
    link.sock.settimeout(5)
    assert link.sock.recv(16) == b"\r\n"
    link.close()


def test_bodies_that_xml_cannot_carry(s):
    got = status(s, request(ALICE, ROMEO, b"not utf-8: \xff\xfe\xc3\x28"))
    assert got is not None and 400 <= got < 500, got
    for control in ("\x00", "\x01", "\x0b", "\x1f", "\ufffe"):
        answer = s.connect().ask(request(ALICE, ROMEO, f"control {ord(control)}: [{control}]"))
        assert answer is not None, ord(control)
        if answer.status == 202:
            got = s.romeo.wait_for(lambda e: e.get("body", "").startswith(f"control {ord(control)}: ["), "the text")
            assert control not in got["body"], got
    still_works(s, "after odd bodies")
    assert s.capulet.log().count("not-well-formed") == 0


def test_no_header_can_be_smuggled_in(s):
    body = "the subject has two lines"
    s.romeo.send(ALICE, body, subject="one\r\nX-Evil: yes\r\n\r\nMESSAGE sip:bob@contoso.example SIP/2.0")
    s.alice.wait_body(body)
    head = s.alice.request(body)
    assert not [line for line in head.splitlines() if line.lower().startswith("x-evil")], head
    s.romeo.send(ALICE, "the thread too", thread="a\r\nX-Evil: yes")
    s.alice.wait_body("the thread too")
    head = s.alice.request("the thread too")
    assert not [line for line in head.splitlines() if line.lower().startswith("x-evil")], head


def xmpp(s, octets, timeout=5):
    """What the gateway says on an XMPP port until it closes, or until the time is over."""
    sock = socket.create_connection((s.rig.ip(GATEWAY), s.rig.port(S2S)), timeout)
    sock.sendall(octets.encode() if isinstance(octets, str) else octets)
    heard = b""
    try:
        while octets := sock.recv(4096):
            heard += octets
    except OSError:
        return heard.decode("utf-8", "replace") + " (still open)"
    finally:
        sock.close()
    return heard.decode("utf-8", "replace")


def opening(sender="capulet.example", target="contoso.example"):
    return (f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
            f"xmlns:db='jabber:server:dialback' from='{sender}' to='{target}' version='1.0'>")


def test_streams_that_break_the_rules_end_with_the_right_error(s):
    stanza = f"<message from='{ROMEO}' to='{ALICE}'><body>unauthenticated</body></message>"
    wrong = {
        "a stanza before authentication": (opening() + stanza, "not-authorized"),
        "an unlisted domain": (opening("evil.example"), "policy-violation"),
        "a domain that is not ours": (opening(target="elsewhere.example"), "host-unknown"),
        "a document type": ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + opening(), "restricted-xml"),
        "a comment": (opening() + "<!-- hello -->", "restricted-xml"),
        "broken XML": (opening() + "<a></b>", "not-well-formed"),
        "not UTF-8": (opening().encode() + b"<a>\xff\xfe</a>", ("unsupported-encoding", "not-well-formed", "bad-format")),
        "another stream namespace": (opening().replace("etherx.jabber.org", "evil.example"), "invalid-namespace"),
        "another content namespace": (opening().replace("'jabber:server'", "'jabber:client'"), "invalid-namespace"),
    }
    for kind, (octets, conditions) in wrong.items():
        heard = xmpp(s, octets)
        conditions = (conditions,) if isinstance(conditions, str) else conditions
        assert "<stream:stream" in heard, (kind, heard)
        assert any(f"<{c} " in heard or f"<{c}/" in heard for c in conditions), (kind, heard)
        assert heard.rstrip().endswith("</stream:stream>"), (kind, heard)
    never_came(s.alice.messages(), "unauthenticated")
    s.romeo.send(ALICE, "after broken streams")
    s.alice.wait_body("after broken streams")


def test_stanzas_without_end_are_cut_off(s):
    heard = xmpp(s, opening() + "<a x='" + "y" * 300_000)
    assert "policy-violation" in heard or "not-authorized" in heard, heard[-300:]
    assert "(still open)" not in heard


def test_a_foreign_key_is_refused_and_an_unasked_answer_is_ignored(s):
    heard = xmpp(s, opening() + "<db:result from='capulet.example' to='contoso.example' type='valid'/>", 3)
    assert "type='valid'" not in heard, heard
    heard = xmpp(s, opening() + "<db:verify from='capulet.example' to='contoso.example' id='1'>00</db:verify>", 3)
    assert "type='valid'" not in heard, heard


def test_a_message_to_a_domain_that_is_ours_is_not_sent_out_again(s):
    got = status(s, request(ALICE, BOB, "round trip"))
    assert got is not None and 400 <= got < 500, got
