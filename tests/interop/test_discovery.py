"""SIP domains whose server is found by DNS, and what they may do."""
import time
from types import SimpleNamespace

from rig import ALICE, BOB, EDGE, GATEWAY, GATEWAY_NAME, ROMEO, SIPS, run_verb
from sip_peer import Server, connect, request

NEEDS_GATEWAY = True
DOMAIN = '[[domain]]\nname = "contoso.example"\n'


def scene(rig):
    rig.usual_certificates()
    rig.certificate("found", "DNS:contoso.example", "URI:sip:contoso.example")
    rig.dns()
    s = SimpleNamespace(rig=rig, capulet=rig.prosody())
    rig.policy(("alice", "bob"))
    s.peer = ('domains = ["contoso.example", "tailspin.example"]', 'domains = ["tailspin.example"]')
    s.gateway = rig.gateway([(DOMAIN, f"{DOMAIN}discovery = true\n"), s.peer])
    s.romeo = rig.xmpp_client()
    s.server = Server((rig.ip(EDGE), rig.port(SIPS)), rig.pki, "found")
    s.connect = lambda certificate: connect((rig.ip(GATEWAY), rig.port(SIPS)), rig.pki, certificate)
    return s


def test_a_domain_without_a_peer_is_served_only_where_discovery_is_on(s):
    """F98: the switch."""
    s.romeo.send(ALICE, "found by SRV", id="found")
    s.romeo.wait_for(lambda _: any(m.text == "found by SRV" for m in s.server.got if m.method), "the message out")
    link = s.connect("found")
    assert link.ask(request(ALICE, ROMEO, "and back")).status == 202
    s.romeo.wait_body("and back")
    assert s.connect("edge").ask(request(ALICE, ROMEO, "with the certificate of another")).status == 403
    path = s.rig.gateway_config([s.peer], name="off.toml")
    code, out, error = run_verb("check", "config", "-c", str(path))
    assert code == 78 and 'no peer serves "contoso.example"' in out + error, (code, out, error)


def test_of_21_messages_in_a_second_the_last_is_told_to_wait(s):
    """F98. The domain has one budget, over all its links and users. A slow machine needs more than one second's worth."""
    links, statuses, begun = [s.connect("found") for _ in range(3)], [], time.monotonic()
    while 503 not in statuses and len(statuses) < 300:
        for n in range(21):
            links[n % 3].send(request((ALICE, BOB)[n % 2], ROMEO, f"one of many {len(statuses) + n}"))
        answers = [links[n % 3].read() for n in range(21)]
        statuses += [answer.status for answer in answers]
    refused = [answer for answer in answers if answer.status == 503]
    assert refused and all(answer.get("retry-after") == "1" for answer in refused), statuses
    allowed = 20 + 20 * (time.monotonic() - begun)
    assert len(statuses) - len(refused) <= allowed and set(statuses) == {202, 503}, (statuses, allowed)
