"""Who is who: certificates, dialback and direct TLS, right and wrong."""
import sip_peer
from rig import ALICE, EDGE, GATEWAY, MONTAGUE, ROMEO, SIPS, VERONA, wait_for
from usual import delivered, never_came, partner, restart, usual

NEEDS_GATEWAY = True
BY_DIALBACK = partner("montague.example", sasl="optional", dialback=True)
BY_CERTIFICATE = partner("montague.example", sasl="required", dialback=False)


def scene(rig):
    s = usual(rig, more_policy=BY_DIALBACK + partner("verona.example"))
    # A server that nobody here has a reason to trust, and that trusts nobody here.
    s.rogue = rig.dir / "rogue"
    rig.certificate("montague.example", "DNS:montague.example", directory=s.rogue)
    s.montague = rig.prosody("montague.example", octet=MONTAGUE, users=("mercutio",), secure_auth=False, pki=s.rogue)
    s.mercutio = rig.xmpp_client("mercutio@montague.example/street", octet=MONTAGUE, pki=s.rogue)
    rig.certificate("verona.example", "DNS:verona.example")
    rig.certificate("stranger", "DNS:elsewhere.example")
    s.verona = rig.prosody("verona.example", octet=VERONA, users=("nurse",))
    s.nurse = rig.xmpp_client("nurse@verona.example/house", octet=VERONA)
    return s


def test_external_is_used_both_ways_with_trusted_certificates(s):
    """F72, F74 and F75."""
    ident = s.alice.send(ROMEO, "by certificate")
    s.romeo.wait_body("by certificate")
    assert delivered(s.alice, ident)
    s.romeo.send(ALICE, "by certificate as well")
    s.alice.wait_body("by certificate as well")
    s.capulet.wait_log("Accepting SASL EXTERNAL identity from contoso.example")
    s.capulet.wait_log("SASL EXTERNAL with contoso.example succeeded")


def test_dialback_from_us(s):
    """F76 and F77: we are the originating server, over TLS."""
    ident = s.alice.send("mercutio@montague.example", "by dialback")
    s.mercutio.wait_body("by dialback", 15)
    assert delivered(s.alice, ident)
    assert "Accepting SASL EXTERNAL" not in s.montague.log()


def test_dialback_to_us(s):
    """F76 and F77: we are the receiving server, over TLS."""
    s.mercutio.send(ALICE, "by dialback back")
    assert s.alice.wait_body("by dialback back", 15)["from"].startswith("sip:mercutio@montague.example")
    assert "SASL EXTERNAL with contoso.example succeeded" not in s.montague.log()


def test_direct_tls_from_us(s):
    """verona.example has only an _xmpps-server record."""
    ident = s.alice.send("nurse@verona.example", "direct")
    s.nurse.wait_body("direct", 15)
    assert delivered(s.alice, ident)


def test_direct_tls_to_us(s):
    """F78. tailspin.example has only an _xmpps-server record, and it names the gateway's one port."""
    s.rig.policy(("alice",), more=BY_DIALBACK + partner("verona.example")
                 + '\n[[grant]]\nuser = "sip:alice@tailspin.example"\npolicy = "XMPP users"\n')
    s.gateway.reload()
    s.nurse.send("alice@tailspin.example", "direct as well")
    s.alice.wait_body("direct as well", 15)


def test_an_untrusted_certificate_is_refused_where_one_is_required(s):
    s.rig.policy(("alice",), more=BY_CERTIFICATE)
    restart(s)
    status = s.alice.status(s.alice.send("mercutio@montague.example", "not without a certificate"), 20)
    assert status == 504, status
    s.mercutio.send(ALICE, "nor the other way", id="untrusted")
    s.mercutio.wait_error("untrusted", 20)
    never_came(s.mercutio.messages(), "not without a certificate")
    never_came(s.alice.messages(), "nor the other way")


def test_wrong_certificates_of_an_xmpp_server_are_refused(s):
    s.rig.certificate("expired", "DNS:capulet.example", options=["--expired"])
    s.rig.certificate("misnamed", "DNS:elsewhere.example")
    try:
        for kind in ("expired", "misnamed"):
            s.capulet.stop()
            s.capulet = s.rig.prosody(certificate=kind)
            restart(s)
            status = s.alice.status(s.alice.send(ROMEO, f"to {kind}"), 20)
            assert status == 504, (kind, status)
    finally:
        s.capulet.stop()
        s.capulet, s.romeo = s.rig.prosody(), s.rig.xmpp_client()
        restart(s)
    assert delivered(s.alice, s.alice.send(ROMEO, "the right one again"))
    s.romeo.wait_body("the right one again")
    never_came(s.romeo.messages(), "to expired")
    never_came(s.romeo.messages(), "to misnamed")


def ask_as(s, certificate, body, key_pki=None):
    """The status that a SIP peer with this certificate gets, None if it gets no link."""
    try:
        link = sip_peer.connect((s.rig.ip(GATEWAY), s.rig.port(SIPS)), s.rig.pki, certificate, key_pki)
        answer = link.ask(sip_peer.request(ALICE, ROMEO, body))
    except OSError:
        return None
    return answer and answer.status


def test_sip_peers_with_wrong_certificates_are_refused(s):
    """F94, checks 160 and 161."""
    s.rig.certificate("edge", "DNS:edge.contoso.example", directory=s.rogue)
    s.rig.certificate("old-edge", "DNS:edge.contoso.example", options=["--expired"])
    s.rig.certificate("wildcard", "DNS:*.contoso.example")
    assert ask_as(s, "edge", "with the right one") == 202
    assert ask_as(s, None, "without one") in (None, 403)
    assert ask_as(s, "edge", "of another authority", s.rogue) in (None, 403)
    assert ask_as(s, "old-edge", "expired") in (None, 403)
    assert ask_as(s, "stranger", "of another name") == 403
    assert ask_as(s, "wildcard", "with a wildcard") == 403
    s.romeo.wait_body("with the right one")
    assert ask_as(s, "edge", "the last one") == 202
    s.romeo.wait_body("the last one")
    for body in ("without one", "of another authority", "expired", "of another name", "with a wildcard"):
        never_came(s.romeo.messages(), body)


def test_a_sip_server_with_a_wrong_certificate_gets_nothing(s):
    """F94."""
    s.kamailio.stop()
    address = (s.rig.ip(EDGE), s.rig.port(SIPS))
    server = sip_peer.Server(address, s.rig.pki, "stranger")
    try:
        s.romeo.send(ALICE, "not for a stranger", id="wrong-server")
        error = s.romeo.wait_error("wrong-server", 15)
        assert error["error"]["condition"] == "remote-server-timeout", error
        assert not server.got, [m.start for m in server.got]
    finally:
        server.close()
    s.kamailio = s.rig.kamailio()
    s.alice.part.stop()
    s.alice = s.rig.sip_agent("alice")
    wait_for("a message to cross again", lambda: _crosses(s), 20, every=0.5)


def _crosses(s):
    s.romeo.send(ALICE, "for the right one", id="right-server")
    return any(m["body"] == "for the right one" for m in s.alice.messages())
