"""The gateway between a SIP server on UDP and XMPP servers that are made of bytes."""
import json
import secrets
import socket
import threading

from rig import ALICE, EDGE, GATEWAY, GATEWAY_NAME, SIP, SIPS, wait_for
from sip_peer import Message, request

POLICY = """[federation]
enabled = true
[[policy]]
scope = "global"
federation = true
xmpp = true
"""


class Scene:
    """DNS, the gateway with a UDP listener, and its SIP server. `names`: what the XMPP servers' certificate proves."""

    def __init__(self, rig, names, policy, changes=()):
        self.rig, self.got, self._lock = rig, [], threading.Lock()
        rig.certificate("gateway", f"DNS:{GATEWAY_NAME}", "DNS:contoso.example", "DNS:tailspin.example")
        rig.certificate("peers", *(f"DNS:{name}" for name in names))
        rig.dns()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((rig.ip(EDGE), rig.port(SIP)))
        threading.Thread(target=self._serve, daemon=True).start()
        self.write(policy)
        self.at = (rig.ip(GATEWAY), rig.port(SIP))
        self.gateway = rig.gateway([*udp(rig), *changes])

    def _serve(self):
        while True:
            octets, sender = self.socket.recvfrom(65536)
            message = Message(*octets.partition(b"\r\n\r\n")[::2])
            with self._lock:
                self.got.append(message)
            if message.method:
                self.socket.sendto(message.answer(200, "OK"), sender)

    def write(self, policy):
        (self.rig.dir / "policy.toml").write_text(POLICY + policy)

    def load(self, policy):
        """Another policy, in force when this returns."""
        self.write(policy)
        self.gateway.reload()

    def say(self, target, body, sender=ALICE):
        """A MESSAGE from our user; its Call-ID."""
        call_id = secrets.token_hex(8)
        octets = request(sender, target, body, call_id=call_id)
        self.socket.sendto(octets.replace(b"SIP/2.0/TLS", b"SIP/2.0/UDP", 1), self.at)
        return call_id

    def status(self, call_id, timeout=15.0):
        """The final status code of a MESSAGE."""
        def found():
            with self._lock:
                return next((m.status for m in self.got if (m.status or 0) >= 200 and m.get("call-id") == call_id), None)
        return wait_for(f"the final response to {call_id}", found, timeout)

    def has(self, body):
        with self._lock:
            return any(m.method == "MESSAGE" and m.text == body for m in self.got)

    def wait_body(self, body, timeout=10.0):
        """Waits until our user has a message with that body."""
        wait_for(f"{body!r} at the SIP server", lambda: self.has(body), timeout)


def udp(rig):
    """The changes to stoxd.toml for a SIP server that is trusted by its address."""
    tls = f'{{ addr = "{rig.ip(GATEWAY)}:{rig.port(SIPS)}", transport = "tls" }}'
    plain = f'{{ addr = "{rig.ip(GATEWAY)}:{rig.port(SIP)}", transport = "udp" }}'
    return [(tls, f"{tls}, {plain}"),
            (f"sip:edge.contoso.example:{rig.port(SIPS)};transport=tls",
             f"sip:{rig.ip(EDGE)}:{rig.port(SIP)};transport=udp"),
            ('identity = ["edge.contoso.example"]', f'addresses = ["{rig.ip(EDGE)}/32"]')]


def at(peer, **settings):
    """A [[partner]] entry for a peer, at the port where it listens; None leaves a setting out."""
    settings = {"domain": peer.domain, "type": "federated", "proxy_fqdn": "xmpp.montague.example",
                "proxy_port": peer.port, **settings}
    # What JSON writes of a text, a number, a flag or a list is TOML too.
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in settings.items() if value is not None)
    return "\n[[partner]]\n" + "".join(lines)
