"""Messages that cross, both ways, between the real clients."""
import random

import sip_peer
from rig import ALICE, GATEWAY, ROMEO, SIPS, run_verb, wait_for
from usual import delivered, usual

NEEDS_GATEWAY = True
TEXT = 'Grüße, 你好, 🎭 and <b>&amp;</b> "quotes" \'too\' ]]> %41 \\ ; #'
MANY = 50


def scene(rig):
    s = usual(rig, grants=("alice", "bob"))
    s.bodies = []
    s.link = sip_peer.connect((rig.ip(GATEWAY), rig.port(SIPS)), rig.pki, "edge")
    return s


def word(s, kind):
    """A body that no log line holds by chance."""
    body = f"{kind}-{random.getrandbits(64):016x}"
    s.bodies.append(body)
    return body


def test_sip_to_xmpp(s):
    """F30, F79."""
    s.bodies.append(TEXT)
    ident = s.alice.send(ROMEO, TEXT)
    got = s.romeo.wait_body(TEXT)
    assert got["from"].split("/")[0] == ALICE, got
    assert got["to"].split("/")[0] == ROMEO, got
    assert got.get("type", "normal") == "normal", got
    assert s.alice.status(ident) == 202
    assert delivered(s.alice, ident)


def test_xmpp_to_sip(s):
    """F80."""
    s.romeo.send(ALICE, TEXT, id="x2s")
    got = s.alice.wait_body(TEXT)
    assert got["from"].startswith("sip:" + ROMEO), got
    head = s.alice.request(TEXT)
    assert "From: <sip:romeo@capulet.example;gr=balcony>;tag=" in head, head
    assert "\nContact:" not in head, head


def test_subject_language_and_thread_to_sip(s):
    body, thread = word(s, "parts"), "e0ffe42b28561960c6b12b944a092794b9683a38"
    s.romeo.send(ALICE, body, subject="Balkon", lang="de", thread=thread)
    s.alice.wait_body(body)
    head = s.alice.request(body)
    assert "\nSubject: Balkon" in head, head
    assert "\nContent-Language: de" in head, head
    assert f"\nCall-ID: {thread}" in head, head


def test_every_message_of_a_thread_is_shown(s):
    """linphone drops a MESSAGE whose Call-ID it has seen, with a 200: most XMPP clients repeat their thread."""
    bodies = [word(s, f"thread-{n}") for n in range(3)]
    for body in bodies:
        s.romeo.send(ALICE, body, thread="one-and-the-same-thread")
    for body in bodies:
        s.alice.wait_body(body)


def test_subject_language_and_call_id_to_xmpp(s):
    body = word(s, "parts")
    headers = [("Subject", "Балкон"), ("Content-Language", "ru")]
    answer = s.link.ask(sip_peer.request(ALICE, ROMEO, body, call_id="a1b2c3@edge.contoso.example", headers=headers))
    assert answer.status == 202, answer.start
    got = s.romeo.wait_body(body)
    assert got.get("subject") == "Балкон", got
    assert "ru" in (got.get("lang"), got.get("body_lang")), got
    assert got.get("thread") == "a1b2c3@edge.contoso.example", got


def test_a_message_for_one_device_goes_to_that_device(s):
    body = word(s, "device")
    answer = s.link.ask(sip_peer.request(ALICE, "romeo@capulet.example;gr=balcony", body))
    assert answer.status == 202, answer.start
    assert s.romeo.wait_body(body)["to"] == ROMEO + "/balcony"


def test_a_long_text_crosses_both_ways(s):
    body = word(s, "long") + " äöü€" * 3000
    assert s.link.ask(sip_peer.request(ALICE, ROMEO, body)).status == 202
    s.romeo.wait_body(body)
    s.romeo.send(ALICE, body)
    s.alice.wait_body(body)


def test_several_lines_cross_both_ways(s):
    body = word(s, "lines") + "\nsecond\n\nfourth\ttab"
    s.romeo.send(ALICE, body)
    s.alice.wait_body(body)
    assert s.link.ask(sip_peer.request(ALICE, ROMEO, body)).status == 202
    s.romeo.wait_body(body)


def test_order_holds_both_ways_at_once(s):
    """Checks 28 and 29."""
    there = [word(s, f"there-{n:02}") for n in range(MANY)]
    back = [word(s, f"back-{n:02}") for n in range(MANY)]
    idents = []
    for out, home in zip(there, back):
        idents.append(s.alice.send(ROMEO, out))
        s.romeo.send(ALICE, home)
    wait_for("all messages", lambda: sum(m["body"] in back for m in s.alice.messages()) >= MANY
             and sum(m.get("body") in there for m in s.romeo.messages()) >= MANY, 20)
    assert [m["body"] for m in s.romeo.messages() if m.get("body") in there] == there
    assert [m["body"] for m in s.alice.messages() if m["body"] in back] == back
    assert all(delivered(s.alice, ident) for ident in idents)


def test_an_unknown_sip_user_comes_back_as_an_error(s):
    """F83."""
    s.romeo.send("bob@contoso.example", word(s, "away"), id="away")  # granted, known, not registered: 480
    assert s.romeo.wait_error("away")["error"]["condition"] == "recipient-unavailable"
    # Granted by nobody is refused; a granted name that the SIP server does not know is its 404.
    s.rig.policy(("alice", "bob", "ghost"))
    s.gateway.reload()
    s.romeo.send("ghost@contoso.example", word(s, "ghost"), id="ghost")
    error = s.romeo.wait_error("ghost")
    assert error["error"] | {"text": ""} == {"type": "cancel", "condition": "item-not-found", "text": ""}, error
    assert error["from"] == "ghost@contoso.example", error


def test_an_unknown_xmpp_user_comes_back_as_a_notice(s):
    """F83."""
    body = word(s, "nobody")
    ident = s.alice.send("nobody@capulet.example", body)
    fate = s.alice.status(ident)
    if fate == 202:  # the partner said so after the answer: a text from the same address, once
        notice = wait_for("a notice from nobody@capulet.example", lambda: next(
            (m for m in s.alice.messages() if m["from"].startswith("sip:nobody@capulet.example")), None))
        assert body not in notice["body"], notice
    else:
        assert fate in (404, 480), fate


def test_a_message_without_a_body_is_no_message(s):
    """A chat state alone is not a text, and no error either."""
    before = len(s.alice.messages())
    s.romeo.send_xml(f"<message to='{ALICE}' type='chat' id='typing'>"
                     "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
    body = word(s, "after")
    s.romeo.send(ALICE, body)
    s.alice.wait_body(body)
    assert len(s.alice.messages()) == before + 1
    assert not [e for e in s.romeo.events() if e.get("id") == "typing"]


def test_the_gateway_answers_for_its_domain(s):
    queries = {"ping": ("urn:xmpp:ping", "ping"), "disco": ("http://jabber.org/protocol/disco#info", "query"),
               "odd": ("urn:example:unheard-of", "query")}
    for ident, (namespace, name) in queries.items():
        s.romeo.send_xml(f"<iq type='get' to='contoso.example' id='{ident}'><{name} xmlns='{namespace}'/></iq>")
    answer = {ident: s.romeo.wait_for(lambda e: e["event"] == "iq" and e.get("id") == ident, f"an answer to {ident}")
              for ident in queries}
    assert answer["ping"]["type"] == "result", answer["ping"]
    assert answer["disco"]["type"] == "result" and "gateway" in answer["disco"]["xml"], answer["disco"]
    assert answer["odd"]["error"]["condition"] == "service-unavailable", answer["odd"]


def test_no_text_is_in_the_log(s):
    """Check 170, F57. Also at level debug."""
    log = s.gateway.log()
    assert len(log.splitlines()) > 5, "the log is empty: this proves nothing"
    assert not [b for b in s.bodies if b in log]


def test_texts_are_in_the_log_where_that_is_switched_on(s):
    """F58; and off again."""
    for switched, value in ((True, "true"), (False, "false")):
        status, out, err = run_verb("config", "set", "log.message_bodies", value, "-c", s.gateway.config)
        assert status == 0, out + err
        there, back = word(s, f"there-{value}"), word(s, f"back-{value}")
        s.alice.send(ROMEO, there)
        s.romeo.wait_body(there)
        s.romeo.send(ALICE, back)
        s.alice.wait_body(back)
        log = s.gateway.log()
        assert [text in log for text in (there, back)] == [switched, switched], value
