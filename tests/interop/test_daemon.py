"""The process: start, refusal to start, reload, drain, and what it answers to its operator."""
import hashlib
import os
import signal
import socket
import ssl

import sip_peer
from rig import ALICE, GATEWAY, ROMEO, S2S, SIPS, can_connect, run_verb
from usual import delivered, restart, usual

NEEDS_GATEWAY = True
CONFIG_INVALID = 78


def scene(rig):
    return usual(rig)


def refused(s, changes, seconds=5):
    """Exit status and output of a gateway that does not start."""
    if s.gateway:
        s.gateway.stop()
        s.gateway = None
    part = s.rig.gateway(changes, wait=False, name="changed.toml")
    try:
        return part.wait_exit(seconds), part.log()
    finally:
        part.stop()


def test_both_ways_once(s):
    ident = s.alice.send(ROMEO, "warm up")
    s.romeo.wait_body("warm up")
    assert delivered(s.alice, ident)
    s.romeo.send(ALICE, "warm up back")
    s.alice.wait_body("warm up back")


def test_check_config_and_status(s):
    status, out, err = run_verb("check", "config", "-c", s.gateway.config)
    assert status == 0 and "PASS" in out, (status, out, err)
    status, out, err = run_verb("status", "-c", s.gateway.config)
    assert status == 0 and out.strip(), (status, out, err)


def test_sighup_takes_a_new_certificate(s):
    before = s.gateway.heard().count("RELOADING=1")
    s.rig.certificate("gateway", "DNS:gw.contoso.example", "DNS:contoso.example", "DNS:tailspin.example")
    s.gateway.reload()
    assert s.gateway.heard().count("RELOADING=1") == before + 1, s.gateway.heard()
    link = sip_peer.connect((s.rig.ip(GATEWAY), s.rig.port(SIPS)), s.rig.pki, "edge")
    shown = hashlib.sha256(link.sock.getpeercert(True)).hexdigest()
    leaf = (s.rig.pki / "gateway.pem").read_text()
    leaf = leaf[:leaf.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    assert shown == hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()
    ident = s.alice.send(ROMEO, "live links stay")
    s.romeo.wait_body("live links stay")
    assert delivered(s.alice, ident)


def test_sigterm_drains(s):
    """Streams are closed as XMPP wants it, and the process ends with 0."""
    pid = s.gateway.pid
    os.kill(pid, signal.SIGTERM)
    assert s.gateway.wait_exit(8) == 0
    assert "STOPPING=1" in s.gateway.heard(), s.gateway.heard()
    s.capulet.wait_log(r"</stream:stream>|s2s stream contoso.example->capulet.example closed: stream closed", 3)
    assert not can_connect(s.rig.ip(GATEWAY), s.rig.port(S2S))
    status, _, err = run_verb("status", "-c", s.gateway.config)
    assert status == 4, (status, err)
    s.gateway = None


def test_a_port_in_use(s):
    if s.gateway:
        s.gateway.stop()
    with socket.create_server((s.rig.ip(GATEWAY), s.rig.port(S2S))):
        status, log = refused(s, [])
    assert status == 1, (status, log)
    assert f"{s.rig.ip(GATEWAY)}:{s.rig.port(S2S)}" in log, log


def test_keys_that_cannot_be_read(s):
    (s.rig.dir / "garbage.key").write_text("this is no key\n")
    for name in ("missing.key", "garbage.key"):
        status, log = refused(s, [(f'key = "{s.rig.pki}/gateway.key"', f'key = "{name}"')])
        assert status == CONFIG_INVALID, (name, status, log)
        assert name in log, log


def test_a_bad_configuration_is_refused_with_all_its_errors(s):
    status, log = refused(s, [('name = "edge"', 'nmae = "edge"'), ('crl = "off"', 'crl = "sometimes"')])
    assert status == CONFIG_INVALID, (status, log)
    for word in ("nmae", "name", "sometimes", "changed.toml:"):
        assert word in log, (word, log)


def test_a_missing_configuration(s):
    status, _, err = run_verb("run", "-c", s.rig.dir / "no-such.toml")
    assert status == CONFIG_INVALID, (status, err)
    assert "no-such.toml" in err, err


def test_usage(s):
    status, _, err = run_verb("frobnicate")
    assert status == 2, (status, err)
    status, out, _ = run_verb("--version")
    assert status == 0 and out.startswith("stoxd "), (status, out)


def test_it_starts_again_and_carries(s):
    restart(s)
    ident = s.alice.send(ROMEO, "and again")
    s.romeo.wait_body("and again", 15)
    assert delivered(s.alice, ident)
