"""A SIP peer made of bytes: what a TLS link carries, sent and read as it is.

It plays the servers that a real one will not play: with a wrong certificate, with requests that lie, with answers
that never come. Nothing is retried and nothing is repaired here.
"""
import itertools
import secrets
import select
import socket
import ssl
import threading
import time

from rig import RigError

_count = itertools.count(1)


class Message:
    """A request or a response: its first line, its headers in order, its body."""

    def __init__(self, head, body):
        lines = head.decode("utf-8", "replace").split("\r\n")
        self.start, self.body = lines[0], body
        self.headers = [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    def get(self, name):
        return next(iter(self.all(name)), None)

    @property
    def status(self):
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else None

    @property
    def method(self):
        return None if self.start.startswith("SIP/2.0 ") else self.start.split()[0]

    @property
    def text(self):
        return self.body.decode("utf-8")

    def answer(self, status, reason):
        """The response to this request, as bytes."""
        lines = [f"SIP/2.0 {status} {reason}"]
        lines += [f"Via: {v}" for v in self.all("via")]
        lines += [f"From: {self.get('from')}", f"To: {self.get('to')};tag=peer", f"Call-ID: {self.get('call-id')}",
                  f"CSeq: {self.get('cseq')}", "Content-Length: 0", "", ""]
        return "\r\n".join(lines).encode()


def request(sender, target, body="", method="MESSAGE", call_id=None, headers=(), drop=(), length=None):
    """A request as bytes. `headers` are added at the end, `drop` names those left out, `length` may lie."""
    body = body.encode() if isinstance(body, str) else body
    lines = {
        "Via": f"SIP/2.0/TLS peer.invalid;branch=z9hG4bK{secrets.token_hex(8)}",
        "Max-Forwards": "70",
        "From": f"<sip:{sender}>;tag={secrets.token_hex(4)}",
        "To": f"<sip:{target}>",
        "Call-ID": call_id or f"{secrets.token_hex(8)}-{next(_count)}",
        "CSeq": f"1 {method}",
        "Content-Type": "text/plain",
        "Content-Length": len(body) if length is None else length,
    }
    out = [f"{method} sip:{target} SIP/2.0"]
    out += [f"{name}: {value}" for name, value in lines.items() if name not in drop]
    out += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*out, "", ""]).encode() + body


class Link:
    """One connection, which one thread may read while others send.

    OpenSSL allows one call at a time on a connection, and Python 3.11 does not see to it: each call here has its
    turn, none of them waits while it has it, and what must be waited for is waited for outside.
    """

    def __init__(self, sock):
        self.sock, self._buffer = sock, b""
        self._turn, self._sending = threading.Lock(), threading.Lock()
        sock.setblocking(False)

    def _try(self, call, end, reads):
        """What `call`, which reads or writes, returns once it can; None when the time is over."""
        while True:
            try:
                with self._turn:
                    return call()
            except BlockingIOError:
                awaits_octets = reads
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
                awaits_octets = isinstance(want, ssl.SSLWantReadError)
            left, me, nobody = end - time.monotonic(), [self.sock], []
            ways = (me, nobody) if awaits_octets else (nobody, me)
            if left <= 0 or not any(select.select(*ways, nobody, left)):
                return None

    def send(self, octets, timeout=10.0):
        end, rest = time.monotonic() + timeout, memoryview(octets)
        with self._sending:
            while rest:
                count = self._try(lambda: self.sock.send(rest), end, reads=False)
                if count is None:
                    raise RigError(f"{len(rest)} octets could not be sent in {timeout:g} s")
                rest = rest[count:]

    def read(self, timeout=5.0):
        """The next message, or None at the end of the stream. RigError when nothing comes in time."""
        end = time.monotonic() + timeout
        while True:
            self._buffer = self._buffer.lstrip(b"\r\n")
            head, blank, rest = self._buffer.partition(b"\r\n\r\n")
            if blank:
                message = Message(head, b"")
                length = int(message.get("content-length") or message.get("l") or 0)
                if len(rest) >= length:
                    message.body, self._buffer = rest[:length], rest[length:]
                    return message
            try:
                octets = self._try(lambda: self.sock.recv(65536), end, reads=True)
            except (ConnectionError, ssl.SSLError, ValueError):  # ValueError: closed by another thread meanwhile
                return None
            if octets is None:
                raise RigError(f"no SIP message in {timeout:g} s")
            if not octets:
                return None
            self._buffer += octets

    def ask(self, octets, timeout=15.0):
        """Sends a request and returns its final response (None: the link was closed instead)."""
        self.send(octets)
        while True:
            message = self.read(timeout)
            if message is None or (message.status or 0) >= 200:
                return message

    def close(self):
        self.sock.close()


def context(pki, certificate, server, key_pki=None):
    """A TLS context with a client's or server's certificate from `key_pki` (or none) that trusts `pki`."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(pki / "ca.pem")
    if certificate:
        home = key_pki or pki
        tls.load_cert_chain(home / f"{certificate}.pem", home / f"{certificate}.key")
    return tls


def connect(address, pki, certificate, key_pki=None, timeout=5.0):
    """A link to `address`. With TLS 1.3 a refused certificate shows at the first read, not here."""
    sock = socket.create_connection(address, timeout)
    return Link(context(pki, certificate, False, key_pki).wrap_socket(sock))


class Server:
    """A SIP server on `address` that keeps what it gets and answers MESSAGE as `decide(message)` says.

    `decide` returns (status, reason), or None for no answer at all.
    """

    def __init__(self, address, pki, certificate, decide=lambda _: (200, "OK"), key_pki=None):
        self.got, self.failed, self.decide = [], [], decide
        self._tls = context(pki, certificate, True, key_pki)
        self._listener = socket.create_server(address)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            link = Link(self._tls.wrap_socket(sock, server_side=True))
            while message := link.read(3600):
                self.got.append(message)
                if message.method:
                    verdict = self.decide(message) if message.method == "MESSAGE" else (200, "OK")
                    if verdict:
                        link.send(message.answer(*verdict))
        except (OSError, RigError) as why:
            self.failed.append(why)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone leaves it listening while accept() waits
        self._listener.close()
