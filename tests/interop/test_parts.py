"""The test network without the gateway: are the real parts what the other tests take them for?"""
import subprocess
from types import SimpleNamespace

import sip_peer
from rig import ALICE, CAPULET, EDGE, GATEWAY, MONTAGUE, ROMEO, S2S, SIPS

NEEDS_GATEWAY = False


def scene(rig):
    rig.usual_certificates()
    rig.certificate("stranger", "DNS:elsewhere.example")
    rig.certificate("montague.example", "DNS:montague.example")
    rig.certificate("edge", "DNS:edge.contoso.example", directory=rig.dir / "rogue")
    rig.dns()
    s = SimpleNamespace(rig=rig, capulet=rig.prosody(), kamailio=rig.kamailio())
    s.montague = rig.prosody("montague.example", octet=MONTAGUE, users=("mercutio",))
    s.romeo, s.alice, s.bob = rig.xmpp_client(), rig.sip_agent("alice"), rig.sip_agent("bob")
    return s


def test_the_agents_talk_through_kamailio(s):
    ident = s.bob.send(ALICE, 'Grüße 🎭 <b>&amp; "quoted"')
    assert s.bob.wait_state(ident) == "Delivered"
    assert s.bob.status(ident) == 200
    assert s.alice.wait_body('Grüße 🎭 <b>&amp; "quoted"')["from"] == "sip:bob@contoso.example"


def test_an_unknown_sip_user_is_404(s):
    ident = s.bob.send("nobody@contoso.example", "anybody there?")
    assert s.bob.wait_state(ident) == "NotDelivered"
    assert s.bob.status(ident) == 404


def test_prosody_demands_a_client_certificate_and_shows_its_chain(s):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{s.rig.ip(CAPULET)}:{s.rig.port(S2S)}", "-starttls", "xmpp-server",
         "-xmpphost", "capulet.example", "-CAfile", s.rig.pki / "ca.pem", "-verify_return_error",
         "-verify_hostname", "capulet.example"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    assert "Verify return code: 0 (ok)" in done.stdout, done.stdout[-500:] + done.stderr
    assert "Acceptable client certificate CA names" in done.stdout or "Requested Signature Algorithms" in done.stdout


def test_two_prosodies_find_each_other_by_srv_and_use_external(s):
    mercutio = s.rig.xmpp_client("mercutio@montague.example/street", octet=MONTAGUE)
    s.romeo.send("mercutio@montague.example", "a plague o' both your houses", id="p1")
    assert mercutio.wait_body("a plague o' both your houses")["id"] == "p1"
    s.capulet.wait_log("SASL EXTERNAL with montague.example succeeded")


def test_kamailio_takes_a_message_from_the_gateways_certificate_only(s):
    address, pki = (s.rig.ip(EDGE), s.rig.port(SIPS)), s.rig.pki
    link = sip_peer.connect(address, pki, "gateway")
    assert link.ask(sip_peer.request(ROMEO, ALICE, "wherefore art thou?")).status == 200
    assert s.alice.wait_body("wherefore art thou?")["from"] == "sip:" + ROMEO
    assert sip_peer.connect(address, pki, "stranger").ask(sip_peer.request(ROMEO, ALICE, "from elsewhere")).status == 403
    for certificate, key_pki in ((None, None), ("edge", s.rig.dir / "rogue")):
        try:
            answer = sip_peer.connect(address, pki, certificate, key_pki).ask(sip_peer.request(ROMEO, ALICE, "rogue"))
        except OSError:
            answer = None
        assert answer is None
    assert [m["body"] for m in s.alice.messages()][-1] == "wherefore art thou?"


def test_kamailio_relays_to_the_gateways_address_and_passes_the_answer_back(s):
    verdicts = {"first": (202, "Accepted"), "second": (403, "Forbidden"), "third": (504, "Server Time-out")}
    gateway = sip_peer.Server((s.rig.ip(GATEWAY), s.rig.port(SIPS)), s.rig.pki, "gateway",
                              lambda m: verdicts[m.text])
    try:
        for body, (status, _) in verdicts.items():
            ident = s.alice.send(ROMEO, body)
            assert s.alice.status(ident) == status, body
            assert s.alice.wait_state(ident) == ("Delivered" if status < 300 else "NotDelivered")
        got = gateway.got[0]
        assert got.start == "MESSAGE sip:romeo@capulet.example SIP/2.0", got.start
        assert got.get("from").startswith("<sip:alice@contoso.example>"), got.get("from")
        assert "TLS" in got.get("via"), got.get("via")
    finally:
        gateway.close()

