"""The checks and tests of an administrator against the real parts: what works, and each way in which it does not."""
import json
import socket
import threading

from rig import ALICE, BOB, MONTAGUE, ROMEO, S2S, SILENT, VERONA, RigError, run_verb
from usual import never_came, partner, usual

NEEDS_GATEWAY = True
MORE = "".join([partner("lost.example"), partner("silent.example"), partner("nowhere.example"),
                partner("montague.example", sasl="optional"), partner("verona.example")])
SIP_ALICE, XMPP_ROMEO = "sip:" + ALICE, "xmpp:" + ROMEO


def scene(rig):
    s = usual(rig, more_policy=MORE)
    # Two partners whose certificates no authority of ours has signed; with one of them dialback will do.
    strange = rig.dir / "strange"
    for domain, octet in (("montague.example", MONTAGUE), ("verona.example", VERONA)):
        rig.certificate(domain, f"DNS:{domain}", directory=strange)
        rig.prosody(domain, octet=octet, users=("mercutio",), pki=strange, secure_auth=False)
    s.silence = socket.create_server((rig.ip(SILENT), rig.port(S2S)))
    s.held = []
    threading.Thread(target=_hold, args=(s.silence, s.held), daemon=True).start()
    return s


def _hold(listener, held):
    while True:
        try:
            held.append(listener.accept())
        except OSError:
            return


def verb(s, *words, code=0, timeout=60):
    status, out, err = run_verb(*words, "-c", s.gateway.config, timeout=timeout)
    if status != code:
        raise RigError(f"stoxd {' '.join(map(str, words))} ended with {status}: {out}{err}")
    return out


def tested(s, kind, source, target, code=0, *more):
    return json.loads(verb(s, "test", kind, "--from", source, "--to", target, "--json", *more, code=code))


def line(out, *words):
    found = [text for text in out.splitlines() if all(word in text for word in words)]
    assert len(found) == 1, (words, out)
    return found[0]


def test_walk_11_check_dns_compares_and_prints_zone_lines(s):
    out = verb(s, "check", "dns", code=3)
    port = s.rig.port(S2S)
    assert "PASS" in line(out, f"contoso.example: _xmpp-server._tcp SRV → gw.contoso.example:{port}"), out
    assert "PASS" in line(out, f"tailspin.example: _xmpps-server._tcp SRV → gw.contoso.example:{port}"), out
    assert "PASS" in line(out, "xmpp capulet.example → xmpp.capulet.example"), out
    assert "PASS" in line(out, "sip edge by its route → tls edge.contoso.example"), out
    assert "FAIL" in line(out, "xmpp nowhere.example: the domain says that it has no XMPP service"), out
    renamed = s.rig.gateway_config([('name = "gw.contoso.example"', 'name = "gw2.contoso.example"')], name="renamed.toml")
    code, out, _ = run_verb("check", "dns", "-c", renamed)
    assert code == 3 and f"gw.contoso.example:{port}; want gw2.contoso.example" in out, out
    assert f"fix: _xmpp-server._tcp.contoso.example. 3600 IN SRV 0 0 {port} gw2.contoso.example." in out, out
    assert "gw2.contoso.example: no such name" in out and "gw2.contoso.example. 3600 IN A" in out, out


def test_check_connectivity_dials_everybody(s):
    out = verb(s, "check", "connectivity", code=3)
    assert "PASS" in line(out, "xmpp capulet.example  DNS→TCP→STARTTLS 1.3→EXTERNAL  "), out
    assert "certificate valid for capulet.example, offers EXTERNAL" in out, out
    assert "PASS" in line(out, "sip edge  TLS 1.3→OPTIONS "), out
    assert "tls edge.contoso.example" in line(out, "certificate for edge.contoso.example"), out
    assert "FAIL" in line(out, "xmpp lost.example", "no connection: "), out
    assert "FAIL" in line(out, "xmpp silent.example", "timeout: "), out
    assert "FAIL" in line(out, "xmpp nowhere.example", "DNS: "), out
    assert "FAIL" in line(out, "xmpp verona.example", "certificate: ", " after DNS→TCP→TLS 1.3"), out
    assert "WARN" in line(out, "xmpp montague.example  DNS→TCP→STARTTLS 1.3→dialback  "), out
    assert out.count("fix: ") == 4 and out.endswith("4 failed, 1 warning, 2 passed\n"), out
    value = json.loads(verb(s, "check", "connectivity", "--partner", "capulet.example", "--json"))
    assert value["outcome"] == "pass" and len(value["checks"]) == 1, value


def test_check_fits_the_terms_of_the_partner(s):
    """One and the same server, by other terms, and with another secret than the daemon's."""
    folder = s.rig.dir / "terms"
    folder.mkdir()
    text = (s.rig.dir / "stoxd.toml").read_text().replace('state_dir = "state"', f'state_dir = "{s.rig.dir}/state"')
    policy = (s.rig.dir / "policy.toml").read_text()

    def check(config=text, policy=policy):
        (folder / "stoxd.toml").write_text(config)
        (folder / "policy.toml").write_text(policy)
        path = folder / "stoxd.toml"
        return run_verb("check", "connectivity", "--partner", "montague.example", "-c", path, timeout=60)[:2]

    # Dialback asks the daemon that runs, whose secret the check reads.
    code, out = check()
    assert code == 0 and "WARN  xmpp montague.example  DNS→TCP→STARTTLS 1.3→dialback  " in out, out
    code, out = check(policy=policy.replace('sasl = "optional"', 'sasl = "required"'))
    assert code == 3 and "leave open: EXTERNAL; the partner offers dialback, which they exclude" in out, out
    (folder / "secret").write_text("not the daemon's")
    (folder / "secret").chmod(0o600)
    code, out = check(text.replace("[xmpp]\n", '[xmpp]\ndialback_secret = "secret"\n'))
    assert code == 3 and "dialback: dialback failed" in out and "stoxd check dns" in out, out


def test_f112_walk_14_partner_test(s):
    out = verb(s, "partner", "test", "capulet.example")
    assert "policy        PASS  capulet.example: an allowed partner, policy.toml:" in out, out
    assert out.count("xmpp capulet.example  DNS→TCP→STARTTLS 1.3→EXTERNAL") == 2, out  # for each of our domains
    out = verb(s, "partner", "test", "edge")
    assert "PASS  sip edge  TLS 1.3→OPTIONS " in out, out
    assert "federation enable" not in verb(s, "partner", "test", "lost.example", code=3)


def test_f108_walk_13_a_message_each_way(s):
    report = tested(s, "im", SIP_ALICE, XMPP_ROMEO, 0, "--text", "a test of the way out")
    assert (report["result"], report["error"], report["target"]) == ("Success", None, XMPP_ROMEO), report
    assert 0 < report["latency"] < 10_000, report
    s.romeo.wait_body("a test of the way out")
    report = tested(s, "im", XMPP_ROMEO, SIP_ALICE, 0, "--text", "a test of the way in")
    assert report["result"] == "Success", report
    s.alice.wait_body("a test of the way in")
    out = verb(s, "test", "im", "--from", SIP_ALICE, "--to", XMPP_ROMEO)
    assert out.split()[:5] == ["Target", "Result", "Latency", "Error", "Diagnosis"], out
    s.romeo.wait_for(lambda m: m.get("body", "").startswith("stoxd test message"), "the default text")


def test_f108_nobody_else_hears_of_a_test(s):
    """A user who is not there: the operator is told, and neither alice nor romeo."""
    to_alice, to_romeo = len(s.alice.messages()), len(s.romeo.messages())
    report = tested(s, "im", SIP_ALICE, "xmpp:nobody@capulet.example", 1)
    assert report["class"] == "refused" and "service-unavailable" in report["error"], report
    report = tested(s, "im", XMPP_ROMEO, "sip:" + BOB, 3)
    assert report["class"] == "policy-denied", report
    # What these get is in order, so whatever came of the tests would be before this.
    s.alice.send(ROMEO, "behind the tests")
    s.romeo.wait_body("behind the tests")
    s.romeo.send(ALICE, "and back")
    s.alice.wait_body("and back")
    assert len(s.alice.messages()) == to_alice + 1 and len(s.romeo.messages()) == to_romeo + 1


def test_walk_13_each_failure_has_its_own_diagnosis(s):
    for target, code, kind, said in [
        ("x@stranger.example", 3, "partner-not-allowed", "stoxd partner new stranger.example"),
        ("x@nowhere.example", 1, "dns", "no XMPP service"),
        ("x@lost.example", 1, "connection", "refused"),
        ("x@silent.example", 1, "timeout", "timeout: "),
        ("x@verona.example", 1, "certificate", "certificate: "),
    ]:
        report = tested(s, "im", SIP_ALICE, "xmpp:" + target, code)
        assert report["class"] == kind and said in report["diagnosis"], report
    report = tested(s, "im", "sip:" + BOB, XMPP_ROMEO, 3)
    assert report["class"] == "policy-denied" and "policy test" in report["diagnosis"], report


def test_f109_presence_each_way_leaves_nothing_behind(s):
    report = tested(s, "presence", SIP_ALICE, XMPP_ROMEO)
    assert report["result"] == "Success", report
    report = tested(s, "presence", XMPP_ROMEO, SIP_ALICE)
    assert report["result"] == "Success" and "the SIP server answers" in report["diagnosis"], report
    assert json.loads(verb(s, "subscriptions", "--json"))["total"] == 0
    path = s.rig.dir / "report.json"
    verb(s, "test", "presence", "--from", SIP_ALICE, "--to", XMPP_ROMEO, "--report", path)
    assert json.loads(path.read_text())["result"] == "Success"
    verb(s, "test", "presence", "--from", SIP_ALICE, "--to", XMPP_ROMEO, "--report", path, code=1)


def test_f108_a_sip_server_that_is_down(s):
    s.kamailio.stop()
    report = tested(s, "im", XMPP_ROMEO, SIP_ALICE, 1)
    assert report["class"] == "connection" and "edge" in report["diagnosis"], report
    out = verb(s, "check", "connectivity", "--partner", "edge", code=3)
    assert "FAIL  sip edge: no connection: " in out and "fix: " in out, out
    s.kamailio = s.rig.kamailio()
    never_came(s.alice.messages(), "stoxd test message")
