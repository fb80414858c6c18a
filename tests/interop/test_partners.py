"""A partner's entry and the gateway's own limits, on the wire: proxies, timers, removal, blocks, the kill switch."""
import socket
import threading
import time

from rig import (ALICE, DIRECT, DNS, DNS_PORT, GATEWAY, S2S, SIP_DOMAIN, VERONA, can_connect, gateway_binary, run_verb,
                 wait_for)
from wire_usual import Scene, at, udp
from xmpp_peer import Peer

NEEDS_GATEWAY = True
NAMES = ("capulet.example", "research.capulet.example", "verona.example", "good.evil.example", "montague.example")
PLAIN = dict(tls="not-supported", sasl="not-supported")
NAMESERVER = 2  # last octet of the address


class Names:
    """A name server in front of the real one, which answers when it is let."""

    def __init__(self, rig):
        self.behind, self.asked = (rig.ip(DNS), rig.port(DNS_PORT)), 0
        self.open = threading.Event()
        self.open.set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((rig.ip(NAMESERVER), rig.port(DNS_PORT)))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            question, client = self.socket.recvfrom(4096)
            self.asked += 1
            threading.Thread(target=self._answer, args=(question, client), daemon=True).start()

    def _answer(self, question, client):
        self.open.wait()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(question, self.behind)
            self.socket.sendto(sock.recv(4096), client)


def scene(rig):
    secret(rig, "the same on every node", "secret")
    names = Names(rig)
    s = Scene(rig, NAMES, "", changes(rig))
    s.names, s.peers = names, []
    return s


def changes(rig, secret_file="secret", **settings):
    """The changes to stoxd.toml of these tests, with these settings of [xmpp]."""
    lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    dns = f":{rig.port(DNS_PORT)}"
    return [("[xmpp]\n", f'[xmpp]\ndialback_secret = "{secret_file}"\n{lines}'),
            (f'"{rig.ip(DNS)}{dns}"', f'"{rig.ip(NAMESERVER)}{dns}"')]


def secret(rig, text, name):
    path = rig.dir / name
    path.write_text(text + "\n")
    path.chmod(0o600)


def peer_of(s, domain, **more):
    s.peers.append(Peer(s.rig, domain, **more))
    return s.peers[-1]


def begin(s, policy="", **settings):
    """This policy and these settings of [xmpp], and no stream from what was before."""
    s.load("")
    for peer in s.peers:
        for stream in peer.streams:
            is_over(stream)
    s.rig.gateway_config([*udp(s.rig), *changes(s.rig, **settings)])
    s.load(policy)


def crosses(s, peer, body):
    """A message to a peer crosses: the stream that it came on."""
    status = s.status(s.say(f"romeo@{peer.domain}", body))
    assert status == 202, (status, peer.heard()[-300:], peer.faults)
    return peer.wait_stanza(body)


def comes(s, peer, how, body):
    stream = peer.up(how)
    stream.message(ALICE, body)
    s.wait_body(body)
    return stream


def is_over(stream):
    wait_for(lambda: f"the end of a stream; heard {stream.heard()[-300:]}", lambda: stream.over)


def unwelcome(peer, domain=None):
    """A stream of that domain ends with a header, policy-violation and a close, before TLS."""
    stream = peer.connect()
    said = stream.greet(domain or peer.domain, SIP_DOMAIN)
    assert said == "policy-violation" and stream.end() == "closed", (said, stream.heard())
    assert b"<stream:features" not in stream.heard(), stream.heard()
    stream.close()


def test_a_partner_is_added_and_traffic_flows(s):
    """F23; F25: before that there is nothing, in either direction."""
    peer = peer_of(s, "capulet.example")
    begin(s)
    unwelcome(peer)
    assert s.status(s.say("romeo@capulet.example", "too early")) == 403
    s.load(at(peer))
    crosses(s, peer, "welcome")
    comes(s, peer, "EXTERNAL", "thank you")
    unwelcome(peer, "other.example")
    assert s.status(s.say("romeo@other.example", "to nobody")) == 403
    assert b"too early" not in peer.heard()


def test_wrong_entries_are_refused_and_nothing_changes(s):
    """F24."""
    peer = peer_of(s, "capulet.example")
    begin(s, at(peer))
    for n, wrong in enumerate((at(peer) + at(peer), at(peer, domain=""), at(peer, domain="capulet"))):
        s.write(wrong)
        code, out, error = run_verb("reload", "-c", str(s.gateway.config))
        assert code == 78 and "nothing was changed" in out + error, (code, out, error)
        crosses(s, peer, f"still a partner after {n}")


def test_additional_domains_are_added_removed_and_cleared(s):
    """F28."""
    main, research = peer_of(s, "capulet.example"), peer_of(s, "research.capulet.example")
    to_research = dict(proxy_port=research.port)
    begin(s, at(main, **to_research))
    unwelcome(research)
    assert s.status(s.say("romeo@research.capulet.example", "a subdomain is not listed")) == 403
    s.load(at(main, additional_domains=["research.capulet.example"], **to_research))
    crosses(s, research, "an additional domain")
    into = comes(s, research, "EXTERNAL", "from an additional domain")
    unwelcome(research, "hr.capulet.example")
    s.load(at(main, additional_domains=[], **to_research))
    assert into.end() == "policy-violation", into.heard()
    unwelcome(research)
    assert s.status(s.say("romeo@research.capulet.example", "cleared")) == 403


def test_removing_a_partner_closes_its_live_streams_at_once(s):
    """F26."""
    peer, other = peer_of(s, "capulet.example"), peer_of(s, "montague.example")
    begin(s, at(peer) + at(other))
    out, kept = crosses(s, peer, "while a partner"), crosses(s, other, "another one")
    into = comes(s, peer, "EXTERNAL", "while a partner, back")
    stays = comes(s, other, "EXTERNAL", "another one, back")
    s.load(at(other))
    assert into.end() == "policy-violation", into.heard()
    is_over(out)
    assert s.status(s.say("romeo@capulet.example", "no longer a partner")) == 403
    unwelcome(peer)
    stays.message(ALICE, "the other one still speaks")
    s.wait_body("the other one still speaks")
    assert crosses(s, other, "and hears") is kept, "on the same stream"
    assert b"no longer a partner" not in peer.heard()


def test_terms_that_become_strict_end_what_they_would_not_allow(s):
    peer = peer_of(s, "capulet.example", tls="no", external=False)
    begin(s, at(peer, tls="optional", sasl="optional"))
    out = crosses(s, peer, "in the clear")
    into = comes(s, peer, "TCP-dialback", "in the clear, back")
    s.load(at(peer))
    assert into.end() == "policy-violation", into.heard()
    is_over(out)
    assert s.status(s.say("romeo@capulet.example", "not in the clear")) == 504
    assert b"not in the clear" not in peer.heard()


def test_terms_that_become_strict_reach_a_stream_that_is_being_made(s):
    """The server of the domain is still looked up when the table is loaded anew."""
    peer = peer_of(s, "verona.example", tls="no", external=False, octet=VERONA)
    proxy = dict(proxy_fqdn="xmpp.verona.example")
    begin(s, at(peer, tls="optional", sasl="optional", **proxy))
    s.names.open.clear()
    asked = s.names.asked
    try:
        call = s.say("romeo@verona.example", "in the clear no more")
        wait_for("a question for the name", lambda: s.names.asked > asked)
        s.load(at(peer, **proxy))
    finally:
        s.names.open.set()
    assert s.status(call) == 504
    assert peer.streams and b"<db:result" not in peer.heard() and b"<message" not in peer.heard(), peer.heard()


def test_the_kill_switch(s):
    """F21, F22: streams are closed, both directions are refused; policies wait until it is on again."""
    peer = peer_of(s, "capulet.example")
    begin(s, at(peer))
    out, into = crosses(s, peer, "before the switch"), comes(s, peer, "EXTERNAL", "before the switch, back")
    path = s.rig.dir / "policy.toml"
    on = path.read_text()
    path.write_text(on.replace("enabled = true", "enabled = false"))
    s.gateway.reload()
    assert into.end() == "policy-violation", into.heard()
    is_over(out)
    assert s.status(s.say("romeo@capulet.example", "while it is off")) == 403
    unwelcome(peer)
    path.write_text(on)
    s.gateway.reload()
    crosses(s, peer, "on again")
    comes(s, peer, "EXTERNAL", "on again, back")
    assert b"while it is off" not in peer.heard()


def test_blocks_and_the_more_specific_entry(s):
    """F97: `*.evil.example` is blocked, and good.evil.example is a partner all the same."""
    peer = peer_of(s, "good.evil.example")
    begin(s, at(peer) + '\n[[blocked]]\ndomain = "*.evil.example"\n[[blocked]]\ndomain = "*.good.evil.example"\n')
    crosses(s, peer, "to the good one")
    comes(s, peer, "EXTERNAL", "from the good one")
    for domain in ("bad.evil.example", "x.good.evil.example", "evil.example"):
        unwelcome(peer, domain)
        assert s.status(s.say(f"romeo@{domain}", "to a blocked one")) == 403
    # A domain is in one of the lists, never in both.
    for domain, words in ((peer.domain, "is blocked and a partner"), (SIP_DOMAIN, "is a [[domain]] of ours")):
        s.write(at(peer) + f'\n[[blocked]]\ndomain = "{domain}"\n')
        code, out, error = run_verb("check", "config", "-c", str(s.gateway.config))
        assert code == 78 and words in out + error, (code, out, error)


def test_a_proxy_with_a_port_in_place_of_srv(s):
    """F45. The certificate must be the domain's, whatever the proxy is called."""
    s.rig.certificate("proxy", "DNS:xmpp.montague.example")
    right, wrong = peer_of(s, "capulet.example"), peer_of(s, "verona.example", certificate="proxy")
    begin(s, at(right) + at(wrong))
    stream = crosses(s, right, "by proxy")
    assert f"to='{right.domain}'".encode() in stream.clear, stream.clear
    assert s.status(s.say("romeo@verona.example", "to the proxy itself")) == 504
    assert wrong.streams and b"<message" not in wrong.heard() and b"<auth" not in wrong.heard(), wrong.heard()


def test_a_partner_without_tls_is_not_dialled_where_there_is_nothing_else(s):
    """N17 and XEP-0368: the SRV record of verona.example is for TLS from the first octet."""
    peer = peer_of(s, "verona.example", octet=VERONA, port=s.rig.port(DIRECT))
    begin(s, at(peer, proxy_fqdn=None, proxy_port=None, **PLAIN))
    assert s.status(s.say("romeo@verona.example", "not over TLS")) == 504
    assert not peer.streams, peer.heard()


def test_a_partner_without_a_limit_has_20_streams(s):
    """F51."""
    peer = peer_of(s, "capulet.example", tls="no", external=False)
    begin(s, at(peer, **PLAIN))
    streams = [peer.up("TCP-dialback") for _ in range(20)]
    one_more = peer.up("TCP-dialback")
    assert one_more.end() == "policy-violation", one_more.heard()
    assert b"this partner has 20 streams already" in one_more.heard(), one_more.heard()
    lost = "inbound stream ended: connection lost"
    before = s.gateway.log().count(lost)
    streams.pop().close()
    s.gateway.wait_log(lost, count=before + 1)
    streams.append(comes(s, peer, "TCP-dialback", "one left, one may come"))
    for stream in streams:
        stream.close()


def test_a_mute_partner_is_closed_at_the_keepalive_interval_and_one_that_need_not_speak_is_not(s):
    """F53 and F46. White space is sound."""
    mute, free, loud = (peer_of(s, f"{name}.example") for name in ("capulet", "verona", "montague"))
    begin(s, at(mute) + at(free, keepalive=False) + at(loud), keepalive_interval="1s")
    stay = {peer.domain: comes(s, peer, "EXTERNAL", f"{peer.domain} once") for peer in (free, loud)}
    stream = mute.up("EXTERNAL")
    spoke = time.monotonic()
    stream.message(ALICE, "a last word")
    over = threading.Event()
    threading.Thread(target=lambda: (stream.end(), over.set()), daemon=True).start()
    while not over.wait(0.1) and time.monotonic() < spoke + 10:
        stay[loud.domain].send(" ")
    assert stream.ended == "closed" and b"<stream:error" not in stream.heard(), stream.heard()
    assert time.monotonic() - spoke >= 1
    for peer in (free, loud):
        stay[peer.domain].message(ALICE, f"{peer.domain} is still there")
        s.wait_body(f"{peer.domain} is still there")


def test_a_stream_that_is_not_established_in_time_is_closed(s):
    """F54. In both directions, wherever the peer stalls."""
    peers = {hold: peer_of(s, domain, hold=hold) for hold, domain in
             (("header", "capulet.example"), ("features", "verona.example"), ("tls", "montague.example"))}
    begin(s, "".join(at(peer) for peer in peers.values()), stream_establishment_timeout="1s")
    begun = time.monotonic()
    started = peers["tls"].connect()
    started.greet("montague.example", SIP_DOMAIN)
    idle = peers["tls"].connect()
    calls = {hold: s.say(f"romeo@{peer.domain}", "into the void") for hold, peer in peers.items()}
    for hold, call in calls.items():
        assert s.status(call) == 504, hold
        assert time.monotonic() - begun >= 1, hold
        wait_for(f"the end of the stream held at {hold}", lambda: b"<connection-timeout " in peers[hold].heard())
    assert started.end() == "connection-timeout", started.heard()
    assert idle.end(), "nothing was said on it, and it is closed all the same"


def test_an_idle_stream_is_closed_and_opened_again_by_the_next_stanza(s):
    """F55."""
    peer = peer_of(s, "capulet.example")
    begin(s, at(peer), stream_inactivity_timeout="1s")
    begun = time.monotonic()
    into = comes(s, peer, "EXTERNAL", "before it is idle, back")
    first = crosses(s, peer, "before it is idle")
    assert into.end() == "closed" and b"<stream:error" not in into.heard(), into.heard()
    is_over(first)
    assert time.monotonic() - begun >= 1
    assert first.heard().endswith(b"</stream:stream>") and b"<stream:error" not in first.heard()
    second = crosses(s, peer, "after it was idle")
    assert second is not first and second.how == "EXTERNAL"


def test_nodes_with_one_dialback_secret_know_each_others_keys(s):
    """F52: the key that this node offers is asked about at another node, and at one with another secret."""
    peer = peer_of(s, "capulet.example", external=False)
    begin(s, at(peer, sasl="not-supported"))
    stream = crosses(s, peer, "with a key")
    heard = stream.inside.decode()
    key = heard[heard.index("<db:result "):].partition(">")[2].partition("<")[0]
    answers = {}
    for octet, text in ((21, "the same on every node"), (22, "another one")):
        secret(s.rig, text, f"secret-{octet}")
        (s.rig.dir / f"state-{octet}").mkdir(mode=0o700)
        config = s.rig.gateway_config(name=f"node-{octet}.toml", changes=[
            *udp(s.rig), *changes(s.rig, f"secret-{octet}"), (f'"{s.rig.ip(GATEWAY)}:', f'"{s.rig.ip(octet)}:'),
            ('state_dir = "state"', f'state_dir = "state-{octet}"'), ("admin.sock", f"admin-{octet}.sock")])
        node = s.rig.start(f"node-{octet}", [gateway_binary(), "run", "-c", config])
        address = (s.rig.ip(octet), s.rig.port(S2S))
        wait_for(f"node {octet}", lambda: can_connect(*address) or not node.running())
        assert node.running(), node.log()[-400:]
        asking = peer.connect(address)
        asking.greet(peer.domain, SIP_DOMAIN)
        asking.starttls(peer.context(False))
        answers[text] = asking.verify(key, stream.id)
        node.stop()
    assert answers == {"the same on every node": "valid", "another one": "invalid"}, answers
