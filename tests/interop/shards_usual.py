"""The network of the tests with several shards: one SIP server of many users, made of bytes, and real XMPP parts."""
import collections
import json
import re
import urllib.request

import sip_chat
import sip_peer
from rig import GATEWAY, ROMEO, SIPS, RigError, run_verb, wait_for
from usual import UNLIMITED, restart, usual

SHARDS = 4
# So many that each of four shards has some, but for one rig in 100,000.
USERS = [f"user{n:02}" for n in range(44)]
METRICS = 9464
FIRST = "[gateway]\n"


def address(user):
    return f"{user}@contoso.example"


ADDRESSES = [address(user) for user in USERS]


def shards(count, limits=UNLIMITED, more=""):
    """The changes to stoxd.toml."""
    return [(FIRST, f"{FIRST}shards = {count}\n"), ("[metrics]", f"{limits}{more}[metrics]")]


def many(rig, users=("romeo", "juliet"), more="", peer=()):
    """DNS, Prosody with romeo and juliet, the gateway with four shards, and the SIP server of all `USERS`."""
    s = usual(rig, grants=USERS, agents=(), users=users, kamailio=False)
    s.at = f"{rig.ip(GATEWAY)}:{rig.port(METRICS)}"
    s.changes = lambda count=SHARDS, limits=UNLIMITED: [
        *shards(count, limits, more), *peer, ('listen = ""', f'listen = "{s.at}"')]
    s.edge = sip_chat.edge(rig)
    restart(s, changes=s.changes())
    s.juliet = rig.xmpp_client("juliet@capulet.example/chamber")
    return s


def link(s):
    return sip_peer.connect((s.rig.ip(GATEWAY), s.rig.port(SIPS)), s.rig.pki, "edge")


def stoxd(s, *words, code=0):
    """Runs a verb with the gateway's configuration; what it printed."""
    status, out, err = run_verb(*words, "-c", s.gateway.config)
    if status != code:
        raise RigError(f"stoxd {' '.join(words)} ended with {status}: {out}{err}")
    return out


def told(s, *words):
    return json.loads(stoxd(s, *words, "--json"))


def metric(s, name):
    with urllib.request.urlopen(f"http://{s.at}/metrics", timeout=5) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.M)
    return float(found.group(1)) if found else 0.0


def pages(s, user, start=""):
    """The texts that came for one of our users out of sessions, in their order."""
    return [m.text for m in list(s.edge.pages) if f"<sip:{address(user)}>" in m.get("to") and m.text.startswith(start)]


def bodies(client, user, start=""):
    """The texts that `client` got from one of our users, in their order."""
    return [m["body"] for m in client.messages() if m["from"].split("/")[0] == address(user)
            and m.get("type") != "error" and m.get("body", "").startswith(start)]


def errors(client, start):
    """How often each message whose id begins so came back, and as what."""
    found = [e for e in client.messages() if e.get("type") == "error" and e.get("id", "").startswith(start)]
    return collections.Counter(e["id"] for e in found), {e["error"]["condition"] for e in found}


def statuses(there, requests):
    """Sends all on one link at once; the final status of each, by its Call-ID."""
    there.send(b"".join(requests))
    got = {}
    while len(got) < len(requests):
        answer = there.read(15)
        if answer is None:
            break
        if (answer.status or 0) >= 200:
            assert answer.get("call-id") not in got, f"two answers: {answer.get('call-id')}"
            got[answer.get("call-id")] = answer.status
    return got


def from_all(there, body, target=ROMEO, users=USERS):
    """One message of each user over this link: the statuses, in the order of the users."""
    calls = [f"{body}-{user}".replace(" ", "-") for user in users]
    got = statuses(there, [sip_peer.request(address(user), target, f"{body} {user}", call_id=call)
                           for user, call in zip(users, calls)])
    return [got.get(call) for call in calls]


def to_all(client, body, users=USERS):
    """One message to each user; their ids begin with `body`."""
    for user in users:
        client.send(address(user), f"{body} {user}", id=f"{body}-{user}")


def came(s, body, users=USERS):
    """Who got it."""
    return [user for user in users if pages(s, user, f"{body} ") == [f"{body} {user}"]]


def all_came(s, body, users=USERS):
    wait_for(lambda: f"{body!r} to come to all; it came to {came(s, body, users)}",
             lambda: came(s, body, users) == list(users))
