"""What an operator sees while real parts talk: streams, links, status, metrics, the drain."""
import json
import re
import urllib.error
import urllib.request

from rig import ALICE, GATEWAY, ROMEO, RigError, run_verb, wait_for
from usual import delivered, restart, usual

NEEDS_GATEWAY = True
METRICS = 9464


def scene(rig):
    s = usual(rig)
    s.metrics = f"{rig.ip(GATEWAY)}:{rig.port(METRICS)}"
    restart(s, changes=[('[metrics]\nlisten = ""', f'[metrics]\nlisten = "{s.metrics}"'),
                        ('name = "edge"', 'name = "edge"\nmonitor = true')])
    s.number = 0
    return s


def stoxd(s, *words):
    """Runs a verb with the gateway's configuration; what it printed."""
    status, out, err = run_verb(*words, "-c", s.gateway.config)
    if status != 0:
        raise RigError(f"stoxd {' '.join(words)} ended with {status}: {out}{err}")
    return out


def ask(s, path):
    """Status and body of an answer of the metrics endpoint."""
    try:
        with urllib.request.urlopen(f"http://{s.metrics}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(s, name):
    """The value of a series, 0 while there is none."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", ask(s, "/metrics")[1], re.M)
    return float(found.group(1)) if found else 0.0


def both_ways(s):
    """A message each way; both arrive."""
    s.number += 1
    body = f"seen {s.number}"
    assert delivered(s.alice, s.alice.send(ROMEO, body))
    s.romeo.wait_body(body)
    s.romeo.send(ALICE, "re: " + body)
    s.alice.wait_body("re: " + body)


def test_f113_status_streams_and_links_show_real_peers(s):
    """F113, walk 12, RFC 7590 section 3.6."""
    both_ways(s)
    status = stoxd(s, "status")
    assert re.search(r"^  edge  established$", status, re.M), status
    assert re.search(r"^  contoso\.example capulet\.example  established$", status, re.M), status
    streams = json.loads(stoxd(s, "streams", "--json"))["streams"]
    out = [one for one in streams if one["direction"] == "out"]
    assert len(out) == 1, streams
    assert out[0]["verified"] == [{"local": "contoso.example", "remote": "capulet.example", "by": "SASL EXTERNAL"}]
    for stream in streams:
        tls = stream["tls"]
        assert tls["version"] in ("1.2", "1.3") and tls["suite"].startswith("TLS_"), tls
        assert any("capulet.example" in name for name in tls["names"]), tls
        assert len(tls["sha256"]) == 64 and tls["not_after"].endswith("Z"), tls
    text = stoxd(s, "streams")
    assert "capulet.example for contoso.example, verified by SASL EXTERNAL\n" in text, text
    links = json.loads(stoxd(s, "links", "--json"))
    assert links["links"] and links["peers"] == [{"name": "edge", "state": "established", "waiting": 0,
                                                  "last_end": None, "next": None}], links
    for link in links["links"]:
        assert (link["peer"], link["transport"]) == ("edge", "tls") and link["tls"]["sha256"], link
        assert link["verified"] == "verified by its certificate", link


def test_metrics_count_what_real_parts_exchange(s):
    """interface section 3; F102."""
    names = {
        way: f'stoxd_messages_total{{direction="{way}",partner="capulet.example",result="delivered"}}'
        for way in ("sip-to-xmpp", "xmpp-to-sip")
    }
    before = {way: metric(s, name) for way, name in names.items()}
    both_ways(s)
    for way, name in names.items():
        wait_for(name, lambda: metric(s, name) == before[way] + 1)
        assert metric(s, name.replace("messages", "peer_messages").replace('partner="capulet.example"', 'peer="edge"')) \
            == before[way] + 1
        taken = metric(s, f'stoxd_crossing_seconds_count{{direction="{way}"}}')
        took = metric(s, f'stoxd_crossing_seconds_sum{{direction="{way}"}}')
        assert taken == before[way] + 1 and 0 < took < 30 * taken, (taken, took)
    assert metric(s, 'stoxd_xmpp_streams{direction="out",partner="capulet.example",auth="external"}') == 1
    assert metric(s, 'stoxd_sip_links{peer="edge"}') >= 1
    assert metric(s, 'stoxd_sip_requests_total{direction="in",method="MESSAGE",code="202"}') >= 1
    assert metric(s, 'stoxd_sip_requests_total{direction="out",method="MESSAGE",code="200"}') \
        + metric(s, 'stoxd_sip_requests_total{direction="out",method="MESSAGE",code="202"}') >= 1
    assert metric(s, 'stoxd_dns_lookups_total{type="SRV",result="found"}') >= 1
    assert metric(s, "stoxd_reload_success_timestamp_seconds") > 1.7e9
    assert ask(s, "/readyz") == (200, "ready\n")
    said = ask(s, "/metrics")[1]
    assert "alice" not in said and "romeo" not in said
    for line in said.splitlines():
        assert re.match(r'# (HELP|TYPE) stoxd_\w+ .+$|stoxd_\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+-]+$', line), line


def test_f113_a_partner_that_went_away_is_named_with_the_next_step(s):
    s.capulet.stop()
    s.alice.send(ROMEO, "are you there?")
    def down():
        status = stoxd(s, "status")
        return status if re.search(r"^  contoso\.example capulet\.example  down$", status, re.M) else None
    status = wait_for("the partner to be down", down, timeout=20)
    assert "     next: stoxd check connectivity --partner capulet.example\n" in status, status


def test_drain_stops_the_daemon_and_waits_for_it(s):
    would = stoxd(s, "drain", "--what-if")
    assert would.endswith("nothing was changed\n"), would
    both = stoxd(s, "drain", "--yes")
    assert both.startswith("draining: no new work is taken") and both.endswith("stopped\n"), both
    s.gateway.wait_exit()
