"""Sessions with a SIP client as Lync's are, on real wires: its texts reach a real client, and its end is heard."""
import base64
import json
import time

import sip_peer
from rig import ALICE, GATEWAY, ROMEO, SIPS, run_verb
from usual import never_came, usual

NEEDS_GATEWAY = True
SDP = ("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
       "m=message 5060 sip null\r\na=accept-types:text/plain multipart/alternative text/html\r\n")


def scene(rig):
    s = usual(rig, grants=("alice",))
    s.link = sip_peer.connect((rig.ip(GATEWAY), rig.port(SIPS)), rig.pki, "edge")
    return s


class Dialog:
    def __init__(self, name):
        self.name, self.cseq, self.tag = name, 0, ""

    def request(self, method, body="", headers=()):
        if method != "ACK":
            self.cseq += 1
        lines = [f"{method} sip:{ROMEO} SIP/2.0",
                 f"Via: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bK{self.name}{method}{self.cseq}",
                 "Max-Forwards: 70", f"From: <sip:{ALICE}>;tag={self.name};epid=01",
                 f"To: <sip:{ROMEO}>{self.tag}", f"Call-ID: {self.name}@edge", f"CSeq: {self.cseq} {method}",
                 f"Contact: <sip:{ALICE};opaque=user:epid:x;gruu>", *headers, f"Content-Length: {len(body.encode())}"]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def final(s, octets):
    """The final response to a request."""
    answer = s.link.ask(octets, 10)
    while answer and answer.status < 200:
        answer = s.link.read(10)
    assert answer, "no answer"
    return answer


def test_a_conversation_that_a_lync_user_begins(s):
    """F81, F82: the first text rides in the INVITE, is repeated, and arrives once."""
    dialog = Dialog("lync")
    first = base64.b64encode("the first, grüße".encode()).decode()
    headers = ["Content-Type: application/sdp", "Supported: ms-text-format",
               f"ms-text-format: text/plain; charset=UTF-8;ms-body={first}"]
    answer = final(s, dialog.request("INVITE", SDP, headers))
    assert answer.status == 200 and "ms-text-format" in answer.get("supported"), answer.headers
    dialog.tag = ";tag=" + answer.get("to").split(";tag=")[1]
    got = s.romeo.wait_body("the first, grüße")
    assert got.get("type") == "chat", got
    s.link.send(dialog.request("ACK"))
    plain = ["Content-Type: text/plain; charset=UTF-8"]
    assert final(s, dialog.request("MESSAGE", "the first, grüße", plain)).status == 200
    assert final(s, dialog.request("MESSAGE", "the second", plain)).status == 200
    s.romeo.wait_body("the second")
    assert sum(e.get("body") == "the first, grüße" for e in s.romeo.messages()) == 1
    status, out, err = run_verb("sessions", "--json", "-c", s.gateway.config)
    assert status == 0, err
    listed = json.loads(out)["sessions"]
    assert [(r["user"], r["state"], r["to_xmpp"]) for r in listed] == [(ALICE, "open", 2)], listed
    assert final(s, dialog.request("BYE")).status == 200
    assert final(s, dialog.request("MESSAGE", "after the end", plain)).status == 481
    never_came(s.romeo.messages(), "after the end")


def test_audio_is_refused(s):
    """F93."""
    audio = SDP.split("m=")[0] + "m=audio 5004 RTP/AVP 0\r\n"
    assert final(s, Dialog("audio").request("INVITE", audio, ["Content-Type: application/sdp"])).status == 488


def test_a_gateway_that_stops_says_goodbye(s):
    """SIGTERM: BYE in every session. It is answered, so nobody waits for the drain's 3 s to be over."""
    dialog = Dialog("drain")
    answer = final(s, dialog.request("INVITE", SDP, ["Content-Type: application/sdp"]))
    assert answer.status == 200, answer.start
    dialog.tag = ";tag=" + answer.get("to").split(";tag=")[1]
    s.link.send(dialog.request("ACK"))
    plain = ["Content-Type: text/plain; charset=UTF-8"]
    assert final(s, dialog.request("MESSAGE", "before the end", plain)).status == 200
    begin = time.monotonic()
    s.gateway.process.terminate()
    assert s.gateway.process.wait(10) == 0
    assert time.monotonic() - begin < 2.5, s.gateway.log()[-2000:]
