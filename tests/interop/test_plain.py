"""SIP links without certificates: UDP and TCP, trusted by address alone."""
import socket
import threading
import time

from rig import ALICE, EDGE, GATEWAY, ROMEO, SIP, SIPS, wait_for
from sip_peer import Link, Message, request
from usual import never_came

NEEDS_GATEWAY = True
LIMIT = 1300  # octets of a MESSAGE on UDP, RFC 3428 §8


class Scene:
    """The gateway with UDP and TCP listeners, a Prosody with romeo, and a SIP server on UDP made here."""

    def __init__(self, rig):
        self.rig = rig
        rig.usual_certificates()
        rig.dns()
        self.capulet = rig.prosody()
        rig.policy()
        self.at = (rig.ip(GATEWAY), rig.port(SIP))
        listen = ", ".join(f'{{ addr = "{self.at[0]}:{self.at[1]}", transport = "{t}" }}' for t in ("udp", "tcp"))
        tls = f'{{ addr = "{rig.ip(GATEWAY)}:{rig.port(SIPS)}", transport = "tls" }}'
        self.gateway = rig.gateway([
            (tls, f"{tls}, {listen}"),
            (f"sip:edge.contoso.example:{rig.port(SIPS)};transport=tls",
             f"sip:{rig.ip(EDGE)}:{rig.port(SIP)};transport=udp"),
            ('identity = ["edge.contoso.example"]', f'addresses = ["{rig.ip(EDGE)}/32"]'),
        ])
        self.romeo = rig.xmpp_client()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((rig.ip(EDGE), rig.port(SIP)))
        self.got, self.deaf = [], False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            octets, sender = self.socket.recvfrom(65536)
            head, _, body = octets.partition(b"\r\n\r\n")
            message = Message(head, body)
            message.at = time.monotonic()
            self.got.append(message)
            if message.method and not self.deaf:
                verdict = (404, "Not Found") if message.text == "to nobody" else (200, "OK")
                self.socket.sendto(message.answer(*verdict), sender)

    def requests(self, body):
        return [m for m in list(self.got) if m.method == "MESSAGE" and m.text == body]

    def answers(self, call_id):
        return [m.status for m in list(self.got) if m.status and m.get("call-id") == call_id]


def scene(rig):
    return Scene(rig)


def over_udp(octets):
    return octets.replace(b"SIP/2.0/TLS", b"SIP/2.0/UDP", 1)


def test_udp_to_xmpp(s):
    s.socket.sendto(over_udp(request(ALICE, ROMEO, "by datagram", call_id="udp-1")), s.at)
    s.romeo.wait_body("by datagram")
    wait_for("the answer", lambda: s.answers("udp-1") == [202])


def test_a_retransmission_is_answered_and_not_delivered_again(s):
    octets = over_udp(request(ALICE, ROMEO, "sent three times", call_id="udp-2"))
    for count in range(1, 4):
        s.socket.sendto(octets, s.at)
        wait_for(f"answer {count}", lambda: s.answers("udp-2") == [202] * count)
    s.socket.sendto(over_udp(request(ALICE, ROMEO, "the next one")), s.at)
    s.romeo.wait_body("the next one")
    assert [m.get("body") for m in s.romeo.messages()].count("sent three times") == 1


def test_the_answer_goes_where_rport_says(s):
    octets = over_udp(request(ALICE, ROMEO, "from another port", call_id="udp-3"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((s.rig.ip(EDGE), 0))
        other.settimeout(5)
        other.sendto(octets.replace(b"peer.invalid;", b"peer.invalid;rport;", 1), s.at)
        answer = Message(other.recv(65536).split(b"\r\n\r\n")[0], b"")
        port = other.getsockname()[1]
    assert answer.status == 202, answer.start
    assert f"received={s.rig.ip(EDGE)}" in answer.get("via"), answer.get("via")
    assert f"rport={port}" in answer.get("via"), answer.get("via")


def test_xmpp_to_udp(s):
    s.romeo.send(ALICE, "to a datagram")
    got = wait_for("the request", lambda: s.requests("to a datagram"))[0]
    assert got.get("via").startswith("SIP/2.0/UDP "), got.get("via")
    assert "branch=z9hG4bK" in got.get("via"), got.get("via")


def test_messages_to_one_user_follow_each_other(s):
    """The next one starts when the one before is answered, not when its transaction is forgotten."""
    begun = time.monotonic()
    for n in range(5):
        s.romeo.send(ALICE, f"datagram {n}")
    wait_for("all five", lambda: s.requests("datagram 4"))
    assert time.monotonic() - begun < 4, "Timer K is 5 s"
    assert [m.text for m in s.got if m.method and m.text.startswith("datagram ")] == [f"datagram {n}" for n in range(5)]


def test_a_refusal_by_datagram_comes_back(s):
    s.romeo.send(ALICE, "to nobody", id="udp-404")
    assert s.romeo.wait_error("udp-404")["error"]["condition"] == "item-not-found"


def test_a_request_is_sent_again_until_it_is_answered(s):
    s.deaf = True
    try:
        s.romeo.send(ALICE, "listen to me", id="again")
        wait_for("two retransmissions", lambda: len(s.requests("listen to me")) >= 3)
    finally:
        s.deaf = False
    first, second, third = (m.at for m in s.requests("listen to me")[:3])
    assert 0.4 < second - first < 0.8, "T1 is 500 ms"
    assert 0.8 < third - second < 1.5, "then twice that"
    assert len({m.get("via") for m in s.requests("listen to me")}) == 1
    assert not [e for e in s.romeo.events() if e.get("id") == "again"]


def test_a_text_too_long_for_a_datagram_comes_back(s):
    body = "x" * LIMIT
    s.romeo.send(ALICE, body, id="too-long")
    error = s.romeo.wait_error("too-long")["error"]
    assert (error["type"], error["condition"]) == ("modify", "policy-violation"), error
    assert not s.requests(body)


def test_another_address_is_no_peer(s):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((s.rig.ip(99), 0))
        other.settimeout(5)
        octets = over_udp(request(ALICE, ROMEO, "from elsewhere")).replace(b"peer.invalid;", b"peer.invalid;rport;", 1)
        other.sendto(octets, s.at)
        assert Message(other.recv(65536).split(b"\r\n\r\n")[0], b"").status == 403
    s.socket.sendto(over_udp(request(ALICE, ROMEO, "from here")), s.at)
    s.romeo.wait_body("from here")
    never_came(s.romeo.messages(), "from elsewhere")


def test_tcp_to_xmpp_in_pieces(s):
    """Check 163. Framing: one request in single octets, then two in one write."""
    link = Link(socket.create_connection(s.at, 5, source_address=(s.rig.ip(EDGE), 0)))
    link.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    over_tcp = lambda body: request(ALICE, ROMEO, body).replace(b"SIP/2.0/TLS", b"SIP/2.0/TCP", 1)
    for octet in over_tcp("octet by octet"):
        link.send(bytes([octet]))
    assert link.read().status == 202
    link.send(over_tcp("two at") + over_tcp("a time"))
    assert [link.read().status, link.read().status] == [202, 202]
    for body in ("octet by octet", "two at", "a time"):
        s.romeo.wait_body(body)
    link.close()
