"""The negotiation matrix, one test a row, against servers that offer exactly what the row is about.

Each row that is accepted has a partner for each way in which a server may be: what it offers decides how the gateway
proves itself there, and what it must refuse. The same partners then open streams to us. What counts is the octets
that the other side saw.
"""
from rig import ALICE, SIP_DOMAIN, run_verb
from wire_usual import Scene, at
from xmpp_peer import STARTTLS, Peer, opening

NEEDS_GATEWAY = True

ROWS = {
    1: ("required", "required", True), 2: ("required", "required", False),
    3: ("optional", "required", True), 4: ("optional", "required", False),
    5: ("not-supported", "required", True), 6: ("not-supported", "required", False),
    7: ("required", "optional", True), 8: ("required", "optional", False),
    9: ("optional", "optional", True), 10: ("optional", "optional", False),
    11: ("not-supported", "optional", True), 12: ("not-supported", "optional", False),
    13: ("required", "not-supported", True), 14: ("required", "not-supported", False),
    15: ("optional", "not-supported", True), 16: ("optional", "not-supported", False),
    17: ("not-supported", "not-supported", True), 18: ("not-supported", "not-supported", False),
}
REFUSED = (5, 6, 11, 12, 14, 16, 18)
# What a server may be like. A rogue has a certificate that nobody here trusts.
SERVERS = {
    "full": dict(tls="offered", external=True, dialback=True),
    "keys": dict(tls="offered", external=False, dialback=True),
    "bare": dict(tls="no", external=False, dialback=True),
    "sealed": dict(tls="required", external=True, dialback=False),
    "rogue": dict(tls="offered", external=True, dialback=True),
}
NO = "nothing"
FEATURES = {
    "starttls": STARTTLS, "required": STARTTLS.replace("/>", "><required/></starttls>"),
    "EXTERNAL": "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>",
    "dialback": "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>",
}


def terms(row):
    tls, sasl, dialback = ROWS[row]
    return dict(tls=tls, sasl=sasl, dialback=dialback)


def domain(row, server):
    return f"n{row:02}-{server}.example"


def scene(rig):
    accepted = [row for row in ROWS if row not in REFUSED]
    rogue = rig.dir / "rogue"
    rig.certificate("peers", "DNS:rogue.example", directory=rogue)
    peers = {(row, server): Peer(rig, domain(row, server), pki=rogue if server == "rogue" else None, **offers)
             for row in accepted for server, offers in SERVERS.items()}
    policy = "".join(at(peer, **terms(row)) for (row, _), peer in peers.items())
    s = Scene(rig, [peer.domain for peer in peers.values()], policy)
    s.peers, s.policy = peers, policy
    return s


def features(*offers):
    return f"<stream:features>{''.join(FEATURES[offer] for offer in offers)}</stream:features>"


def ours(peer):
    """The header with which the gateway opens a stream."""
    tag = opening(SIP_DOMAIN, peer.domain, version=" xml:lang='en' version='1.0'")
    return tag.encode()


def from_us(s, row, **expected):
    """How the gateway proves itself to each kind of server; NO: it does not, and its user hears so."""
    calls = {server: s.say(f"romeo@{domain(row, server)}", f"{row} to {server}") for server in SERVERS}
    for server, how in expected.items():
        peer, status = s.peers[row, server], s.status(calls[server])
        assert status == (504 if how == NO else 202), (server, status, peer.heard(), peer.faults)
        if how != NO:
            stream = peer.wait_stanza(f"{row} to {server}")
            assert stream.how == how, (server, stream.how, stream.heard())
        for stream in peer.streams:
            check_octets(server, peer, stream, how)
    assert expected.keys() == SERVERS.keys()


def check_octets(server, peer, stream, how):
    clear, inside = stream.clear, stream.inside
    assert clear.startswith(ours(peer)), (server, clear)
    if stream.secured:
        assert clear == ours(peer) + STARTTLS.encode(), (server, clear)
        assert inside.startswith(ours(peer)), (server, inside)
    assert (b"<auth " in inside) == (how == "EXTERNAL"), (server, inside)
    assert b"<auth " not in clear, (server, clear)
    assert (b"<db:result " in clear + inside) == ("dialback" in how), (server, clear, inside)
    assert (b"<db:result " in clear) == (how == "TCP-dialback"), (server, clear)
    assert b"<db:verify " not in clear + inside, (server, clear, inside)
    assert (b"<message " in inside) == (how in ("EXTERNAL", "TLS-dialback")), (server, inside)
    assert (b"<message " in clear) == (how == "TCP-dialback"), (server, clear)


def to_us(s, row, clear, keys, external):
    """What a server may do that opens a stream to us.

    `clear` and `keys`: what becomes of a dialback key without and with TLS: "valid", "ignored", or an error.
    `external`: whether SASL EXTERNAL is offered and taken.
    """
    peer, tls = s.peers[row, "full"], ROWS[row][0]
    peer.questions.clear()
    valid = [clear, keys].count("valid")
    in_the_clear(s, row, peer, tls, clear)
    if tls == "not-supported":
        return
    mechanisms = [*(["EXTERNAL"] if external else []), *(["dialback"] if keys == "valid" else [])]
    # EXTERNAL, where it is offered and where not.
    stream = peer.connect()
    stream.greet(peer.domain, SIP_DOMAIN)
    offered = stream.starttls(peer.context(False))
    assert offered == frozenset(mechanisms), offered
    assert stream.features() == features(*mechanisms), stream.features()
    said = stream.external()
    assert said == ("success" if external else "invalid-mechanism"), said
    if external:
        stream.message(ALICE, f"{row} by EXTERNAL")
        s.wait_body(f"{row} by EXTERNAL")
    else:
        stream.message(ALICE, f"{row} by nothing")
        assert stream.end() == "not-authorized"
    stream.close()
    with_keys(s, row, peer, keys)
    without_certificate(peer, keys)
    wrong_key(peer, keys)
    assert len(peer.questions) == valid + (keys == "valid"), (valid, peer.questions)
    assert not s.has(f"{row} by nothing")


def in_the_clear(s, row, peer, tls, expected):
    stream = peer.connect()
    stream.greet(peer.domain, SIP_DOMAIN)
    offers = {"required": ["required"], "optional": ["starttls"], "not-supported": []}[tls]
    dialback = ["dialback"] if expected == "valid" else []
    assert stream.features() == features(*offers, *dialback), stream.features()
    stream.offer_key(peer.key(SIP_DOMAIN, stream.id))
    if expected == "valid":
        assert stream.answer() == "valid", stream.heard()
        stream.message(ALICE, f"{row} in the clear")
        s.wait_body(f"{row} in the clear")
    elif expected == "ignored":
        # What is answered next is what was said next.
        assert isinstance(stream.starttls(peer.context(False)), frozenset), stream.heard()
        assert b"db:result" not in stream.heard(), stream.heard()
        assert not peer.questions, peer.questions
    else:
        assert stream.answer() == expected, stream.heard()
        assert stream.end() == "closed", stream.heard()
    stream.close()
    # A stanza that nothing has proven.
    stream = peer.connect()
    stream.greet(peer.domain, SIP_DOMAIN)
    stream.message(ALICE, f"{row} by nothing")
    assert stream.end() == "not-authorized", stream.heard()
    # SASL without TLS (RFC 6120 §5.3.1, XEP-0178 §4).
    stream = peer.connect()
    stream.greet(peer.domain, SIP_DOMAIN)
    assert stream.external() == "policy-violation", stream.heard()


def over_tls(peer, certificate=True):
    stream = peer.connect()
    stream.greet(peer.domain, SIP_DOMAIN)
    return stream, stream.starttls(peer.context(False, certificate))


def with_keys(s, row, peer, expected):
    stream, _ = over_tls(peer)
    stream.offer_key(peer.key(SIP_DOMAIN, stream.id))
    if expected == "ignored":
        assert stream.external() == "success", stream.heard()
        assert b"db:result" not in stream.heard(), stream.heard()
    else:
        said = stream.answer()
        assert said == expected, (said, stream.heard())
    if expected == "valid":
        stream.message(ALICE, f"{row} by key")
        s.wait_body(f"{row} by key")
    stream.close()


def without_certificate(peer, keys):
    """Who presents no certificate has dialback or nothing."""
    stream, offered = over_tls(peer, certificate=False)
    if keys == "valid":
        assert offered == frozenset(["dialback"]), offered
        assert stream.external() in ("not-authorized", "invalid-mechanism"), stream.heard()
    else:
        assert offered == "policy-violation", offered
        assert b"<stream:features>" not in stream.inside, stream.inside
    stream.close()


def no_question_in_the_clear(s, row):
    """A key that came over TLS is not asked about without it: the server of this domain has none."""
    peer = s.peers[row, "bare"]
    stream, _ = over_tls(peer)
    before = len(peer.streams)
    stream.offer_key(peer.key(SIP_DOMAIN, stream.id))
    said = stream.answer()
    assert said == "error remote-server-timeout", (said, stream.heard())
    assert len(peer.streams) > before and not peer.questions
    assert b"<db:verify" not in peer.heard(), peer.heard()
    stream.close()


def wrong_key(peer, keys):
    if keys != "valid":
        return
    stream, _ = over_tls(peer)
    stream.offer_key("0" * 64)
    assert stream.answer() == "invalid", stream.heard()
    assert stream.end() == "closed", stream.heard()


def is_refused(s, row, words):
    """Refused at load, in words, and a running gateway goes on with the table that it has."""
    known = s.peers[1, "full"]
    tls, sasl, dialback = ROWS[row]
    s.write(s.policy + at(known, domain="refused.example", **terms(row)))
    try:
        code, out, error = run_verb("check", "config", "-c", str(s.gateway.config))
        assert code == 78, (code, out, error)
        said = out + error
        assert f"invalid negotiation: {words}" in said, said
        assert f'tls = "{tls}", sasl = "{sasl}", dialback = {str(dialback).lower()}' in said, said
        code, out, error = run_verb("reload", "-c", str(s.gateway.config))
        assert code == 78 and "nothing was changed" in out + error, (code, out, error)
        assert words in out + error, (out, error)
        assert s.status(s.say("romeo@refused.example", "not a partner")) == 403
        assert s.status(s.say(f"romeo@{known.domain}", f"still here after {row}")) == 202
        known.wait_stanza(f"still here after {row}")
    finally:
        s.load(s.policy)


SASL_NEEDS_TLS = "SASL EXTERNAL needs TLS"
NOTHING_PROVES = "nothing proves the partner's domain: SASL or dialback must be on"


def test_n01_tls_required_sasl_required_dialback_on(s):
    from_us(s, 1, full="EXTERNAL", keys=NO, bare=NO, sealed="EXTERNAL", rogue=NO)
    to_us(s, 1, clear="policy-violation", keys="error not-authorized", external=True)


def test_n02_tls_required_sasl_required_dialback_off(s):
    """F40 as well."""
    from_us(s, 2, full="EXTERNAL", keys=NO, bare=NO, sealed="EXTERNAL", rogue=NO)
    to_us(s, 2, clear="ignored", keys="ignored", external=True)


def test_n03_tls_optional_sasl_required_dialback_on(s):
    from_us(s, 3, full="EXTERNAL", keys="TLS-dialback", bare="TCP-dialback", sealed="EXTERNAL", rogue="TLS-dialback")
    to_us(s, 3, clear="valid", keys="valid", external=True)


def test_n04_tls_optional_sasl_required_dialback_off(s):
    """F40 as well."""
    from_us(s, 4, full="EXTERNAL", keys=NO, bare=NO, sealed="EXTERNAL", rogue=NO)
    to_us(s, 4, clear="ignored", keys="ignored", external=True)


def test_n05_tls_not_supported_sasl_required_dialback_on(s):
    is_refused(s, 5, SASL_NEEDS_TLS)


def test_n06_tls_not_supported_sasl_required_dialback_off(s):
    is_refused(s, 6, SASL_NEEDS_TLS)


def test_n07_tls_required_sasl_optional_dialback_on(s):
    from_us(s, 7, full="EXTERNAL", keys="TLS-dialback", bare=NO, sealed="EXTERNAL", rogue="TLS-dialback")
    to_us(s, 7, clear="policy-violation", keys="valid", external=True)
    no_question_in_the_clear(s, 7)


def test_n08_tls_required_sasl_optional_dialback_off(s):
    """F40 as well."""
    from_us(s, 8, full="EXTERNAL", keys=NO, bare=NO, sealed="EXTERNAL", rogue=NO)
    to_us(s, 8, clear="ignored", keys="ignored", external=True)


def test_n09_tls_optional_sasl_optional_dialback_on(s):
    from_us(s, 9, full="EXTERNAL", keys="TLS-dialback", bare="TCP-dialback", sealed="EXTERNAL", rogue="TLS-dialback")
    to_us(s, 9, clear="valid", keys="valid", external=True)


def test_n10_tls_optional_sasl_optional_dialback_off(s):
    """F40 as well."""
    from_us(s, 10, full="EXTERNAL", keys=NO, bare=NO, sealed="EXTERNAL", rogue=NO)
    to_us(s, 10, clear="ignored", keys="ignored", external=True)


def test_n11_tls_not_supported_sasl_optional_dialback_on(s):
    is_refused(s, 11, SASL_NEEDS_TLS)


def test_n12_tls_not_supported_sasl_optional_dialback_off(s):
    is_refused(s, 12, SASL_NEEDS_TLS)


def test_n13_tls_required_sasl_not_supported_dialback_on(s):
    from_us(s, 13, full="TLS-dialback", keys="TLS-dialback", bare=NO, sealed=NO, rogue="TLS-dialback")
    to_us(s, 13, clear="policy-violation", keys="valid", external=False)
    no_question_in_the_clear(s, 13)


def test_n14_tls_required_sasl_not_supported_dialback_off(s):
    is_refused(s, 14, NOTHING_PROVES)


def test_n15_tls_optional_sasl_not_supported_dialback_on(s):
    from_us(s, 15, full="TLS-dialback", keys="TLS-dialback", bare="TCP-dialback", sealed=NO, rogue="TLS-dialback")
    to_us(s, 15, clear="valid", keys="valid", external=False)


def test_n16_tls_optional_sasl_not_supported_dialback_off(s):
    is_refused(s, 16, NOTHING_PROVES)


def test_n17_tls_not_supported_sasl_not_supported_dialback_on(s):
    from_us(s, 17, full="TCP-dialback", keys="TCP-dialback", bare="TCP-dialback", sealed=NO, rogue="TCP-dialback")
    to_us(s, 17, clear="valid", keys=NO, external=False)
    peer = s.peers[17, "full"]
    stream = peer.connect()
    stream.greet(peer.domain, SIP_DOMAIN)
    assert stream.starttls(peer.context(False)) == "failure", stream.heard()
    # Nor is TLS from the first octet a way (XEP-0368), with a certificate or a key.
    stream = peer.connect()
    stream.secure(peer.context(False), server_hostname=SIP_DOMAIN)
    assert stream.greet(peer.domain, SIP_DOMAIN) == "policy-violation", stream.heard()
    assert b"<stream:features>" not in stream.heard(), stream.heard()


def test_n18_tls_not_supported_sasl_not_supported_dialback_off(s):
    is_refused(s, 18, NOTHING_PROVES)
