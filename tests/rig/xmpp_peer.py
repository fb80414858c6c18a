"""An XMPP server made of bytes: streams between servers in both roles, written from RFC 6120, XEP-0178 and XEP-0220.

It is the second implementation that the gateway negotiates with: a `Peer` offers exactly what it is told to offer,
takes only what it has offered, and keeps every octet that it saw, those in the clear apart from those under TLS.
Streams that it opens are driven step by step by the test.
"""
import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import threading
import time
from xml.etree.ElementTree import ParseError, XMLPullParser

from rig import GATEWAY, MONTAGUE, S2S, SIP_DOMAIN, RigError, wait_for

STREAMS, SERVER, DIALBACK = "http://etherx.jabber.org/streams", "jabber:server", "jabber:server:dialback"
TLS, SASL = "urn:ietf:params:xml:ns:xmpp-tls", "urn:ietf:params:xml:ns:xmpp-sasl"
FEATURE = "urn:xmpp:features:dialback"
STARTTLS = f"<starttls xmlns='{TLS}'/>"
CLOSE = "</stream:stream>"


def name(element):
    """The name of an element without its namespace; what is read is told apart by `is_a`."""
    return element.tag.rpartition("}")[2]


def is_a(element, what, namespace):
    return element is not None and element.tag == f"{{{namespace}}}{what}"


class Wire:
    """One connection: what went over it, and the elements that it is made of."""

    def __init__(self, sock):
        self.sock, self.secured, self.how = sock, False, None
        self.clear, self.inside, self.ended, self.over, self.served = b"", b"", None, False, False
        self.restart()

    def restart(self):
        self._parser, self._depth = XMLPullParser(("start", "end")), 0

    def send(self, text):
        self.sock.sendall(text.encode() if isinstance(text, str) else text)

    def read(self, timeout=10.0):
        """The next header or first-level element; None when the stream or the connection is over (see `ended`)."""
        end = time.monotonic() + timeout
        while True:
            for kind, element in self._parser.read_events():
                self._depth += 1 if kind == "start" else -1
                if kind == "start" and self._depth == 1 or kind == "end" and self._depth == 1:
                    return element
                if self._depth == 0:
                    self.ended = "closed"
                    return None
            left = end - time.monotonic()
            if left <= 0:
                raise RigError(f"nothing came on the stream in {timeout:g} s; so far {self.heard()[-300:]}")
            self.sock.settimeout(left)
            try:
                octets = self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                octets = b""
            if not octets:
                self.ended = "lost"
                return None
            if self.secured:
                self.inside += octets
            else:
                self.clear += octets
            try:
                self._parser.feed(octets)
            except ParseError as why:
                raise RigError(f"not XML: {why}: {octets[:200]}") from None

    def heard(self):
        """All octets that came, in order."""
        return self.clear + self.inside

    def secure(self, context, **more):
        self.sock.settimeout(10)
        self.sock = context.wrap_socket(self.sock, **more)
        self.secured = True
        self.restart()

    def close(self):
        try:
            # Not SSLSocket's own, which takes the session away from under whoever reads.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass
        # Who serves it closes it: a thread that still reads would read from whatever gets the descriptor next.
        if not self.served:
            self.sock.close()

    # -- the initiating role --------------------------------------------------------------------------------------

    def greet(self, sender, target):
        """Sends a header; the features that come back, as a set of words, or the name of the stream error."""
        self.sender, self.target = sender, target
        self.restart()
        self.send(opening(sender, target))
        header = self.read()
        if header is None:
            return "closed"
        self.id = header.get("id")
        answer = self.read()
        return words(answer) if is_a(answer, "features", STREAMS) else error(answer)

    def features(self):
        """The last features that came, as octets."""
        heard = self.heard()
        return heard[heard.rindex(b"<stream:features>"):heard.rindex(b"</stream:features>") + 18].decode()

    def starttls(self, context):
        """Asks for TLS and makes it: the features under it, or the name of what came instead of <proceed/>."""
        self.send(STARTTLS)
        answer = self.read()
        if not is_a(answer, "proceed", TLS):
            return name(answer)
        self.secure(context, server_hostname=self.target)
        return self.greet(self.sender, self.target)

    def external(self):
        """SASL EXTERNAL: "success" and a new stream, or the name of the defined condition."""
        identity = base64.b64encode(self.sender.encode()).decode()
        self.send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{identity}</auth>")
        answer = self.read()
        if is_a(answer, "success", SASL):
            return "success" if isinstance(self.greet(self.sender, self.target), frozenset) else "no stream"
        return name(answer[0]) if is_a(answer, "failure", SASL) else error(answer)

    def offer_key(self, key):
        self.send(f"<db:result from='{self.sender}' to='{self.target}'>{key}</db:result>")

    def answer(self):
        """The answer to a key: its type, with the condition of an error, or the name of the stream error."""
        answer = self.read()
        if not is_a(answer, "result", DIALBACK):
            return error(answer)
        return " ".join([answer.get("type"), *(name(e) for found in answer for e in found if name(e) != "text")])

    def verify(self, key, ident):
        """Asks about a key as a receiving server does: the type of the answer."""
        self.send(f"<db:verify from='{self.sender}' to='{self.target}' id='{ident}'>{key}</db:verify>")
        answer = self.read()
        if not is_a(answer, "verify", DIALBACK) or answer.get("id") != ident:
            return error(answer)
        return answer.get("type")

    def message(self, target, body, user="romeo"):
        self.send(f"<message from='{user}@{self.sender}/x' to='{target}' type='chat'><body>{body}</body></message>")

    def end(self):
        """Reads to the end: the name of the stream error, or how it ended."""
        while (element := self.read()) is not None:
            if is_a(element, "error", STREAMS):
                return error(element)
        return self.ended


def opening(sender, target, ident=None, version=" version='1.0'", dialback=True):
    return (f"<?xml version='1.0'?><stream:stream xmlns='{SERVER}' xmlns:stream='{STREAMS}'"
            + (f" xmlns:db='{DIALBACK}'" if dialback else "") + (f" id='{ident}'" if ident else "")
            + f" from='{sender}' to='{target}'{version}>")


def error(element):
    """The defined condition of a stream error, else what else it is."""
    if element is None:
        return "closed"
    return name(element[0]) if is_a(element, "error", STREAMS) else name(element)


def words(features):
    found = set()
    for feature in features:
        if is_a(feature, "starttls", TLS):
            found.add("starttls required" if any(is_a(e, "required", TLS) for e in feature) else "starttls")
        elif is_a(feature, "mechanisms", SASL):
            found |= {mechanism.text for mechanism in feature}
        elif is_a(feature, "dialback", FEATURE):
            found.add("dialback")
    return frozenset(found)


class Peer:
    """The server of `domain`. `tls` is "offered", "required" or "no"; `hold` stalls at "header", "features",
    "tls" or "close"."""

    def __init__(self, rig, domain, tls="offered", external=True, dialback=True, certificate="peers", pki=None,
                 octet=MONTAGUE, port=0, hold=None):
        self.rig, self.domain, self.offers = rig, domain, (tls, external, dialback)
        self.tls, self.external, self.dialback, self.hold = tls, external, dialback, hold
        self.certificate, self.pki = certificate, pki or rig.pki
        self.streams, self.stanzas, self.questions, self.faults = [], [], [], []
        self._secret, self.let_go, self.reads = secrets.token_bytes(16), threading.Event(), threading.Event()
        self.reads.set()
        self._listener = socket.create_server((rig.ip(octet), port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for stream in self.streams:
            stream.close()

    def key(self, target, ident):
        """The key that proves us to `target` on the stream `ident` (XEP-0185)."""
        text = f"{target} {self.domain} {ident}".encode()
        return hmac.new(hashlib.sha256(self._secret).hexdigest().encode(), text, "sha256").hexdigest()

    def context(self, server, certificate=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.rig.pki / "ca.pem")
        if server:
            context.verify_mode = ssl.CERT_REQUIRED
        if certificate:
            context.load_cert_chain(self.pki / f"{self.certificate}.pem", self.pki / f"{self.certificate}.key")
        return context

    def connect(self, address=None):
        """A connection to the gateway, with nothing said on it."""
        return Wire(socket.create_connection(address or (self.rig.ip(GATEWAY), self.rig.port(S2S)), 10))

    def up(self, how, target=SIP_DOMAIN, sender=None):
        """A stream to the gateway that is proven by "EXTERNAL", "TLS-dialback" or "TCP-dialback"."""
        wire = self.connect()
        wire.greet(sender or self.domain, target)
        if how != "TCP-dialback":
            wire.starttls(self.context(False))
        if how == "EXTERNAL":
            said = wire.external()
        else:
            wire.offer_key(self.key(target, wire.id))
            said = wire.answer()
        if said not in ("success", "valid"):
            raise RigError(f"{self.domain} by {how}: {said}; heard {wire.heard()[-300:]}")
        return wire

    def heard(self):
        """All octets that came on streams that were opened to us."""
        return b"".join(stream.heard() for stream in self.streams)

    def wait_stanza(self, body, timeout=10.0):
        """The stream on which the message with this body came."""
        def found():
            return next((stream for text, stream in list(self.stanzas) if text == body), None)
        return wait_for(lambda: f"{body!r} at {self.domain}: {self.heard()[-400:]} {self.faults}", found, timeout)

    # -- the receiving and the authoritative role -----------------------------------------------------------------

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            wire = Wire(sock)
            wire.served = True
            self.streams.append(wire)
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire):
        try:
            self._greet(wire, wire.read(3600))
            while (element := wire.read(3600)) is not None:
                self.reads.wait(60)
                if wire.ended != "by us":
                    self._take(wire, element)
            if wire.ended == "closed":
                if self.hold == "close":
                    self.let_go.wait(30)
                wire.send(CLOSE)
        except (OSError, RigError, ValueError) as why:
            self.faults.append(why)
        wire.over = True
        wire.sock.close()

    def _greet(self, wire, header):
        if header is None or self.hold == "header":
            return
        wire.id = secrets.token_hex(8)
        wire.sender, wire.target = header.get("to"), header.get("from")
        wire.send(opening(wire.sender, wire.target, wire.id, dialback=self.dialback))
        if self.hold == "features":
            return
        features = ""
        if not wire.secured and self.tls != "no":
            required = "<required/>" if self.tls == "required" else ""
            features += f"<starttls xmlns='{TLS}'>{required}</starttls>"
        if wire.secured and self.external and not wire.how:
            features += f"<mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"
        if self.dialback and (wire.secured or self.tls != "required"):
            features += f"<dialback xmlns='{FEATURE}'/>"
        wire.send(f"<stream:features>{features}</stream:features>")

    def _take(self, wire, element):
        if is_a(element, "starttls", TLS):
            self._starttls(wire)
        elif is_a(element, "auth", SASL) and wire.secured and self.external:
            claimed = base64.b64decode(element.text or "").decode() or wire.target
            proven = {value for kind, value in wire.sock.getpeercert().get("subjectAltName", ()) if kind == "DNS"}
            if element.get("mechanism") != "EXTERNAL" or claimed != wire.target or claimed not in proven:
                return self._fail(wire, "not-authorized")
            wire.send(f"<success xmlns='{SASL}'/>")
            wire.how = "EXTERNAL"
            wire.restart()
            self._greet(wire, wire.read())
        elif is_a(element, "result", DIALBACK) and element.get("type") is None and self.dialback:
            kind = self._ask(wire, element.text, element.get("from"), element.get("to"))
            if kind == "valid":
                wire.how = "TLS-dialback" if wire.secured else "TCP-dialback"
            wire.send(f"<db:result from='{element.get('to')}' to='{element.get('from')}' type='{kind}'/>")
        elif is_a(element, "verify", DIALBACK) and element.get("type") is None:
            right = element.text == self.key(element.get("from"), element.get("id"))
            self.questions.append(element.get("id"))
            wire.send(f"<db:verify from='{element.get('to')}' to='{element.get('from')}' id='{element.get('id')}' "
                      f"type='{'valid' if right else 'invalid'}'/>")
        elif element.tag.startswith(f"{{{SERVER}}}") and wire.how:
            self.stanzas.append((element.findtext(f"{{{SERVER}}}body"), wire))
        elif is_a(element, "error", STREAMS):
            pass
        else:
            self._fail(wire, "policy-violation")

    def _starttls(self, wire):
        if self.tls == "no" or wire.secured:
            wire.send(f"<failure xmlns='{TLS}'/>{CLOSE}")
            wire.ended = "by us"
            return
        if self.hold == "tls":
            return
        wire.send(f"<proceed xmlns='{TLS}'/>")
        wire.secure(self.context(True), server_side=True)
        self._greet(wire, wire.read())

    def _fail(self, wire, condition):
        wire.send(f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>{CLOSE}")
        wire.ended = "by us"

    def _ask(self, wire, key, sender, target):
        """As receiving server: asks the gateway, as authoritative server, about a key that came on `wire`."""
        asking = self.connect()
        try:
            features = asking.greet(target, sender)
            if wire.secured and features & {"starttls", "starttls required"}:
                asking.starttls(self.context(False))
            return asking.verify(key, wire.id)
        finally:
            asking.close()
