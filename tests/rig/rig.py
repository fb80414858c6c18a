"""The test network: real servers and clients around the gateway, all on this machine's loopback.

                 Prosody  capulet.example ──s2s, TLS── stoxd ──TLS, mutual── Kamailio  contoso.example
   romeo (slixmpp) ──┘                                                           └── alice (linphone), UDP

Kamailio is the presence server too; alice's contact list is a second linphone (`contact_list`), or a script that sees
and can do more (sip_presence.py). An ejabberd can stand beside Prosody.

A `Rig` owns a temporary directory (and one in memory), a block of addresses 127.x.y.0/24 and the processes that it
started. Every wait is for a condition and has a bound. Nothing outside the directories is written, no port below 1024
is needed, and several rigs can live side by side. `Rig.close` ends what the rig started, by process id, and removes
the directories.
"""
import atexit
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

XMPP_DOMAIN = "capulet.example"
SIP_DOMAIN = "contoso.example"
GATEWAY_NAME = "gw.contoso.example"
EDGE_NAME = "edge.contoso.example"
SIP_USERS = ("alice", "bob")
ROMEO = "romeo@" + XMPP_DOMAIN
ALICE = "alice@" + SIP_DOMAIN
BOB = "bob@" + SIP_DOMAIN

# Last octet of each part's address.
DNS, CAPULET, MONTAGUE, VERONA, GATEWAY, EDGE, LOST, SILENT = 1, 10, 11, 12, 20, 30, 66, 67
AGENTS = {"alice": 40, "bob": 41}  # who writes
CONTACT_LISTS = {"alice": 60, "bob": 61}  # who has contacts
S2S, DIRECT, C2S, SIP, SIPS, DNS_PORT, HTTP = 5269, 5270, 5222, 5060, 5061, 5353, 5280


class RigError(Exception):
    """A part did not do in time what was waited for."""


def wait_for(what, condition, timeout=10.0, every=0.02):
    """Waits until `condition()` is true and returns its value; RigError names `what` when it is not in time.

    `what` is a text, or a function that makes it then.
    """
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise RigError(f"waited {timeout:g} s for {what() if callable(what) else what}")
        time.sleep(every)


def can_connect(ip, port):
    try:
        socket.create_connection((ip, port), timeout=1).close()
        return True
    except OSError:
        return False


def fill(template, **words):
    """A configuration file of this directory with its {words} replaced; one that is left over is an error."""
    text = (HERE / template).read_text()
    for name, value in words.items():
        text = text.replace("{%s}" % name, str(value))
    body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", "--")))
    left = re.search(r"\{[a-z_0-9]+\}", body)
    if left:
        raise RigError(f"{template}: {left.group()} is not filled in")
    return text


def _die_with_parent():
    """In the child: be ended when the rig's process is, whatever ended that."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Skip(Exception):
    """Raised by a test, or by what starts its network, where it can't run; the message says why."""


class Part:
    """A process of the rig; its output is in a file."""

    def __init__(self, rig, name, argv, stdin=None, cwd=None, env=None):
        self.name, self.path = name, rig.dir / f"{name}.log"
        with open(self.path, "ab") as log:
            self.from_octet = log.tell()
            self.process = subprocess.Popen(
                [str(a) for a in argv], stdin=stdin or subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                cwd=cwd or rig.dir, env={**os.environ, **(env or {})}, start_new_session=True,
                preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.path, "rb") as log:
            log.seek(self.from_octet)
            return log.read().decode("utf-8", "replace")

    def objects(self):
        """What it printed as JSON, one object a line; a line that is not whole yet is left for later."""
        whole, _, _ = self.log().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def running(self):
        return self.process.poll() is None

    def wait_log(self, pattern, timeout=10.0, count=1):
        """Waits until the output matches `pattern` `count` times and returns the last match."""
        def found():
            matches = list(re.finditer(pattern, self.log()))
            if len(matches) >= count:
                return matches[-1]
            if not self.running():
                raise RigError(f"{self.name} ended ({self.process.returncode}) before it said {pattern!r}")
            return None
        return wait_for(f"{self.name} to say {pattern!r}", found, timeout)

    def wait_exit(self, timeout=10.0):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise RigError(f"{self.name} still runs after {timeout:g} s") from None

    def stop(self, timeout=5.0):
        """Ends the process and, where it leads its own session, what it forked."""
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(timeout)


class Rig:
    """One test network."""

    def __init__(self, keep=False):
        self.dir = Path(tempfile.mkdtemp(prefix="stoxd-rig."))
        shm = Path("/dev/shm")  # for what must not wait for a disk
        self.memory = Path(tempfile.mkdtemp(prefix="stoxd-rig.", dir=shm)) if os.access(shm, os.W_OK) else self.dir
        self.keep, self.parts, self.shift, self.rules = keep, [], 0, {}
        self.net = self._free_block()
        self.pki = self.dir / "pki"
        atexit.register(self.close)

    # -- addresses ------------------------------------------------------------------------------------------------

    def _free_block(self):
        """A 127.x.y block where our ports can be bound; with a shift when something holds one on all addresses."""
        for self.shift in (0, 20000):
            for _ in range(20):
                net = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"
                try:
                    for port in (S2S, DIRECT, C2S, SIP, SIPS, DNS_PORT):
                        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                            with socket.socket(socket.AF_INET, kind) as probe:
                                probe.bind((f"{net}.{GATEWAY}", port + self.shift))
                    return net
                except OSError:
                    continue
        raise RigError("no free block of loopback addresses")

    def ip(self, octet):
        return f"{self.net}.{octet}"

    def port(self, port):
        return port + self.shift

    # -- life -----------------------------------------------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def start(self, name, argv, **more):
        part = Part(self, name, argv, **more)
        self.parts.append(part)
        return part

    def close(self):
        parts, self.parts = self.parts, []
        for part in reversed(parts):
            part.stop()
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        if self.memory != self.dir:
            shutil.rmtree(self.memory, ignore_errors=True)

    def tails(self, lines=15, names=None):
        """The end of every part's output, for a failure report."""
        out = []
        for path in sorted(self.dir.glob("*.log")):
            if names and path.stem not in names:
                continue
            text = path.read_text(errors="replace").splitlines()
            out.append(f"--- {path.name} (last {min(lines, len(text))} of {len(text)} lines)")
            out += text[-lines:]
        return "\n".join(out)

    # -- certificates ---------------------------------------------------------------------------------------------

    def certificate(self, name, *sans, options=(), directory=None):
        """Issues pki/NAME.pem and pki/NAME.key with the project's script for throw-away authorities."""
        done = subprocess.run([ROOT / "certs/make-test-ca", *options, directory or self.pki, name, *sans],
                              capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise RigError(f"make-test-ca: {done.stderr.strip()}")

    # -- names ----------------------------------------------------------------------------------------------------

    def dns(self, numeric=False):
        """Real SRV records for every domain of the test network.

        With `numeric` they have a second target each, last in order, that is an address in numbers: ejabberd asks our
        server for SRV only, and the machine's own resolver for addresses.
        """
        gateway, s2s, direct = "gw.contoso.example", self.port(S2S), self.port(DIRECT)
        srv = [
            ("_xmpp-server._tcp.contoso.example", gateway, s2s),
            ("_xmpps-server._tcp.tailspin.example", gateway, s2s),
            ("_sips._tcp.contoso.example", "edge.contoso.example", self.port(SIPS)),
            ("_xmpp-server._tcp.capulet.example", "xmpp.capulet.example", s2s),
            ("_xmpp-server._tcp.montague.example", "xmpp.montague.example", s2s),
            ("_xmpps-server._tcp.verona.example", "xmpp.verona.example", direct),
            ("_xmpp-server._tcp.lost.example", "xmpp.lost.example", s2s),
            ("_xmpp-server._tcp.silent.example", "xmpp.silent.example", s2s),
        ]
        hosts = {"gw.contoso.example": GATEWAY, "edge.contoso.example": EDGE, "xmpp.capulet.example": CAPULET,
                 "xmpp.montague.example": MONTAGUE, "xmpp.verona.example": VERONA, "xmpp.lost.example": LOST,
                 "xmpp.silent.example": SILENT}
        lines = ["no-resolv", "no-hosts", "no-daemon", "bind-interfaces", "local=/example/", "log-queries",
                 f"listen-address={self.ip(DNS)}", f"port={self.port(DNS_PORT)}"]
        lines += [f"srv-host={name},{target},{port},0,0" for name, target, port in srv]
        if numeric:
            lines += [f"srv-host={name},{self.ip(hosts[target])},{port},100,0" for name, target, port in srv
                      if name.startswith("_xmpp")]
        lines += ["srv-host=_xmpp-server._tcp.nowhere.example"]  # a target of ".": the service is not offered
        lines += [f"host-record={name},{self.ip(octet)}" for name, octet in hosts.items()]
        conf = self.dir / "dnsmasq.conf"
        conf.write_text("\n".join(lines) + "\n")
        user = ["--user=root", "--group=root"] if os.geteuid() == 0 else []
        part = self.start("dnsmasq", ["dnsmasq", f"--conf-file={conf}", "--pid-file=", *user])
        wait_for("dnsmasq's port", lambda: can_connect(self.ip(DNS), self.port(DNS_PORT)) or not part.running())
        if not part.running():
            raise RigError("dnsmasq did not start: " + part.log())
        return part

    # -- the XMPP side --------------------------------------------------------------------------------------------

    def prosody(self, domain=XMPP_DOMAIN, octet=CAPULET, users=("romeo",), certificate=None, secure_auth=True,
                pki=None):
        """A Prosody for `domain`; every user's password is "secret"."""
        home = self.dir / f"prosody-{domain}"
        for user in users:
            self.xmpp_account(user, domain)
        conf = home / "prosody.cfg.lua"
        conf.write_text(fill(
            "prosody.cfg.lua", dir=home, ip=self.ip(octet), c2s_port=self.port(C2S), s2s_port=self.port(S2S),
            direct_port=self.port(DIRECT), secure_auth="true" if secure_auth else "false",
            dns=f"{self.ip(DNS)}@{self.port(DNS_PORT)}", pki=pki or self.pki, certificate=certificate or domain,
            domain=domain))
        part = self.start(f"prosody-{domain}", ["prosody", "--config", conf, "-F"])
        for port in (S2S, C2S):
            wait_for(f"prosody {domain} port {port}",
                     lambda: can_connect(self.ip(octet), self.port(port)) or not part.running())
        if not part.running():
            raise RigError("prosody did not start: " + part.log()[-400:])
        return part

    def ejabberd(self, domain="montague.example", octet=MONTAGUE, users=("mercutio",), certificate=None, pki=None):
        """An ejabberd for `domain`, in its own Erlang node without a name; every user's password is "secret"."""
        code = next(Path("/usr/lib").glob("*/ejabberd-*/ebin"), None)
        if not code or not shutil.which("erl"):
            raise Skip("not installed: ejabberd (tests/rig/install gets it)")
        home, ip, http = self.dir / f"ejabberd-{domain}", self.ip(octet), self.port(HTTP)
        home.mkdir(exist_ok=True)
        (home / "ejabberd.yml").write_text(fill(
            "ejabberd.yml", ip=ip, c2s_port=self.port(C2S), s2s_port=self.port(S2S), http_port=http,
            pki=pki or self.pki, certificate=certificate or domain, domain=domain))
        nameserver = self.ip(DNS).replace(".", ",")
        (home / "inetrc").write_text(
            '{resolv_conf, ""}. {hosts_file, ""}. {lookup, [dns]}. {timeout, 1000}. {retry, 1}.\n'
            f"{{nameserver, {{{nameserver}}}, {self.port(DNS_PORT)}}}.\n")
        part = self.start(f"ejabberd-{domain}", [
            "erl", "-noinput", "+S", "1:1", "+A", "4", "+P", "10000", "-kernel", "inetrc", f'"{home}/inetrc"',
            "-mnesia", "dir", f'"{home}/db"', "-ejabberd", "-s", "ejabberd"], cwd=home,
            env={"HOME": str(home), "ERL_LIBS": str(code.parent.parent), "ERL_CRASH_DUMP_SECONDS": "0",
                 "EJABBERD_CONFIG_PATH": str(home / "ejabberd.yml"), "SPOOL_DIR": str(home / "db"),
                 "EJABBERD_LOG_PATH": str(home / "ejabberd.log")})
        for port in (S2S, C2S, HTTP):
            wait_for(f"ejabberd {domain} port {port}",
                     lambda: can_connect(ip, self.port(port)) or not part.running(), 40)
        if not part.running():
            raise RigError("ejabberd did not start: " + part.log()[-600:])
        for user in users:
            body = json.dumps({"user": user, "host": domain, "password": "secret"}).encode()
            call = urllib.request.Request(f"http://{ip}:{http}/api/register", body,
                                          {"Content-Type": "application/json"})
            try:
                urllib.request.urlopen(call, timeout=10).read()
            except urllib.error.HTTPError as why:
                if why.code != 409:  # it is there from the last time
                    raise RigError(f"ejabberd: {why}: {why.read()[:300]}") from None
        return part

    def xmpp_account(self, user, domain=XMPP_DOMAIN):
        """An account more; the server may be running."""
        accounts = self.dir / f"prosody-{domain}" / "data" / domain.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True, exist_ok=True)
        (accounts / f"{user}.dat").write_text('return { ["password"] = "secret" };\n')

    def xmpp_client(self, jid=ROMEO + "/balcony", octet=CAPULET, pki=None):
        return XmppClient(self, jid, octet, pki or self.pki)

    # -- the SIP side ---------------------------------------------------------------------------------------------

    def kamailio(self, **more):
        """The registrar, proxy and presence server of the SIP domain: see kamailio.Kamailio."""
        from kamailio import Kamailio
        return Kamailio(self, **more)

    def sip_agent(self, user="alice", notifications="none"):
        """`notifications`: "full" makes it tell what it got and what was read (RFC 5438)."""
        return SipAgent(self, user, notifications)

    def contact_list(self, user="alice"):
        return ContactList(self, user)

    # -- the gateway ----------------------------------------------------------------------------------------------

    def usual_certificates(self):
        """What the usual network needs: the SIP server's, the gateway's, and those of the two XMPP domains."""
        self.certificate("edge", f"DNS:{EDGE_NAME}")
        self.certificate("gateway", f"DNS:{GATEWAY_NAME}", "DNS:contoso.example", "DNS:tailspin.example",
                         "URI:sip:contoso.example")
        self.certificate(XMPP_DOMAIN, f"DNS:{XMPP_DOMAIN}")

    def policy(self, grants=("alice",), more="", partner_type="federated", federation=True):
        """Writes policy.toml: the common part, a grant for each of our users named, and what else is given.

        `partner_type` None leaves the type of the partner to the default; False leaves the partner out.
        """
        text = (HERE / "policy.toml").read_text()
        if partner_type is False:
            text = text[:text.index("[[partner]]")]
        else:
            text = text.replace('type = "federated"\n', f'type = "{partner_type}"\n' if partner_type else "")
        text = text.replace("enabled = true", f"enabled = {str(federation).lower()}")
        for user in grants:
            text += f'\n[[grant]]\nuser = "sip:{user}@{SIP_DOMAIN}"\npolicy = "XMPP users"\n'
        (self.dir / "policy.toml").write_text(text + more)

    def gateway_config(self, changes=(), name="stoxd.toml", level="debug", pki=None, certificate="gateway"):
        """Writes stoxd.toml; `changes` are (old, new) texts. Returns its path."""
        text = fill("stoxd.toml", pki=pki or self.pki, certificate=certificate, level=level,
                    dns=f"{self.ip(DNS)}:{self.port(DNS_PORT)}", s2s=f"{self.ip(GATEWAY)}:{self.port(S2S)}",
                    sips=f"{self.ip(GATEWAY)}:{self.port(SIPS)}", sips_port=self.port(SIPS))
        for old, new in changes:
            if old not in text:
                raise RigError(f"stoxd.toml has no {old!r} to change")
            text = text.replace(old, new)
        # The whole suite can be run with several shards; what says itself how many it wants has them.
        if (shards := os.environ.get("STOXD_SHARDS")) and not re.search(r"^shards = ", text, re.M):
            text = text.replace("[gateway]\n", f"[gateway]\nshards = {int(shards)}\n", 1)
        path = self.dir / name
        path.write_text(text)
        return path

    def gateway(self, changes=(), wait=True, **more):
        """Starts the gateway with the policy that was written before (or the usual one)."""
        if not (self.dir / "policy.toml").exists():
            self.policy()
        return Gateway(self, self.gateway_config(changes, **more), wait)


class Gateway(Part):
    """The daemon itself, watched as systemd watches it."""

    def __init__(self, rig, config, wait):
        self.rig, self.config = rig, config
        path = rig.dir / "notify.sock"
        path.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(path))
        self._notify.setblocking(False)
        self.notes = []
        super().__init__(rig, "stoxd", [gateway_binary(), "run", "-c", config], env={"NOTIFY_SOCKET": str(path)})
        rig.parts.append(self)
        if wait:
            self._wait_note("READY=1", 1)

    def heard(self):
        """All lines said to the service manager so far."""
        try:
            while octets := self._notify.recv(4096):
                self.notes += octets.decode().splitlines()
        except BlockingIOError:
            pass
        return self.notes

    def _wait_note(self, note, count, timeout=10.0):
        def found():
            if not self.running():
                raise RigError(f"stoxd ended with {self.process.returncode}: {self.log()[-600:]}")
            return self.heard().count(note) >= count
        wait_for(f"stoxd to tell the service manager {note}", found, timeout)

    def reload(self):
        """SIGHUP, and waits until the new files are in force (or were refused)."""
        before = self.heard().count("READY=1")
        os.kill(self.pid, signal.SIGHUP)
        self._wait_note("READY=1", before + 1)


def run_verb(*words, timeout=10):
    """Runs a verb of the gateway's binary: (exit status, standard output, standard error)."""
    done = subprocess.run([gateway_binary(), *words], capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


class XmppClient:
    """romeo and his like: the slixmpp script, driven by lines."""

    def __init__(self, rig, jid, octet, pki):
        self.jid, self._lock, self.seen = jid, threading.Lock(), []
        self.part = rig.start(
            f"client-{jid.replace('/', '-')[:80]}",
            ["/usr/bin/python3", HERE / "xmpp-client", jid, "secret", rig.ip(octet), rig.port(C2S), pki / "ca.pem"],
            stdin=subprocess.PIPE)
        self.wait_for(lambda e: e["event"] == "online", "online")

    def _order(self, **order):
        self.part.process.stdin.write((json.dumps(order) + "\n").encode())
        self.part.process.stdin.flush()

    def send(self, to, body, **more):
        self._order(to=to, body=body, **more)

    def send_xml(self, xml):
        self._order(xml=xml)

    def presence(self, kind=None, **more):
        """Sends presence: without `to` to the server, which tells everybody; see the script for the rest."""
        self._order(presence=kind, **more)

    def remove_contact(self, jid):
        self._order(roster="remove", jid=jid)

    def events(self):
        """Everything received so far, oldest first."""
        return self.part.objects()

    def presences(self, jid, kind="any", since=0):
        """Presence stanzas from `jid` (bare: from any of its resources), from event number `since` on."""
        return [e for e in self.events()[since:] if e["event"] == "presence"
                and (e.get("from") == jid or e.get("from", "").split("/")[0] == jid)
                and kind in ("any", e.get("type"))]

    def wait_presence(self, jid, kind=None, timeout=10.0, since=0, **more):
        """The first presence from `jid` of that type (None: available) with all that is given: show, status, ..."""
        def fits(stanza):
            return all(stanza.get(name) == value for name, value in more.items())
        def found():
            if not self.part.running():
                raise RigError(f"the XMPP client {self.jid} ended: {self.part.log()[-300:]}")
            return next((p for p in self.presences(jid, kind, since) if fits(p)), None)
        return wait_for(f"{self.jid}: presence {kind or 'available'} {more or ''} from {jid}", found, timeout)

    def roster(self, jid):
        """What the server last said of a contact in the roster, or None: {"jid", "subscription", maybe "ask"}."""
        items = [item for e in self.events() for item in e.get("roster", ()) if item.get("jid") == jid]
        return items[-1] if items else None

    def wait_roster(self, jid, subscription, timeout=10.0):
        return wait_for(lambda: f"{self.jid}'s roster to say {subscription} of {jid}, not {self.roster(jid)}",
                        lambda: (self.roster(jid) or {}).get("subscription") == subscription, timeout)

    def messages(self):
        return [e for e in self.events() if e["event"] == "message"]

    def wait_for(self, wanted, what, timeout=10.0):
        """The first event for which `wanted(event)` holds."""
        def found():
            if not self.part.running():
                raise RigError(f"the XMPP client {self.jid} ended: {self.part.log()[-300:]}")
            return next((e for e in self.events() if wanted(e)), None)
        return wait_for(f"{self.jid}: {what}", found, timeout)

    def wait_body(self, body, timeout=10.0):
        return self.wait_for(lambda e: e["event"] == "message" and e.get("body") == body and e.get("type") != "error",
                             f"message {body!r}", timeout)

    def wait_error(self, ident, timeout=10.0):
        """The error stanza for the message that was sent with that id."""
        return self.wait_for(lambda e: e.get("type") == "error" and e.get("id") == ident,
                             f"an error for {ident}", timeout)


class SipAgent:
    """alice and her like: a linphone-daemon, driven by its own command lines."""

    _EVENT = re.compile(r"^Event-type: message-received\n\nFrom: <?(?P<from>.*?)>?\nTo: <?(?P<to>.*?)>?\nId: (?P<id>.*)\n"
                        r'Content: "(?P<body>(?s:.*?))"\n\n', re.M)
    _STATE = re.compile(r"^Event-type: message-state-changed\n\nId: (?P<id>.*)\n"
                        r"State: LinphoneChatMessageState(?P<state>\w+)\n", re.M)

    def __init__(self, rig, user, notifications="none"):
        self.user, self.ip, home = user, rig.ip(AGENTS[user]), rig.dir / f"linphone-{user}"
        for folder in (".local/share/linphone", ".config/linphone"):  # without them it crashes
            (home / folder).mkdir(parents=True, exist_ok=True)
        conf = home / "linphonerc"
        conf.write_text(fill("linphonerc", ip=self.ip, port=rig.port(SIP), user=user,
                             domain=SIP_DOMAIN, proxy=f"{rig.ip(EDGE)}:{rig.port(SIP)}", publish=0,
                             notifications=notifications))
        self.trace = home / "trace"
        self.trace.unlink(missing_ok=True)  # what an agent before this one registered says nothing of this one
        self.part = rig.start(f"agent-{user}", ["linphone-daemon", "--config", conf, "--log", self.trace],
                              stdin=subprocess.PIPE, cwd=home, env={"HOME": str(home), "XDG_DATA_HOME": "",
                                                                    "XDG_CONFIG_HOME": ""})
        self._sent = 0
        wait_for(f"{user} to be registered", self._registered)

    def _registered(self):
        if not self.part.running():
            raise RigError(f"linphone-daemon of {self.user} ended: {self.part.log()[-300:]}")
        return re.search(r"^SIP/2.0 200 (?s:.*?)^CSeq: \d+ REGISTER", self._trace(), re.M)

    def _trace(self):
        return self.trace.read_text(errors="replace").replace("\r\n", "\n") if self.trace.exists() else ""

    def send(self, to, body):
        """Sends a MESSAGE with a one-line body and returns its id (its Call-ID)."""
        ids = lambda: re.findall(r"^Status: Ok\n\nId: (.*)$", self.part.log(), re.M)
        self._sent += 1
        self.part.process.stdin.write(f"message sip:{to} {body}\n".encode())
        self.part.process.stdin.flush()
        return wait_for(f"{self.user}'s agent to take a message",
                        lambda: ids()[self._sent - 1] if len(ids()) >= self._sent else None)

    def state(self, ident):
        """Delivered, NotDelivered, or None while it is open: as the agent printed it."""
        states = [m["state"] for m in self._STATE.finditer(self.part.log()) if m["id"] == ident]
        return states[-1] if states and states[-1] != "InProgress" else None

    def wait_state(self, ident, timeout=15.0):
        return wait_for(f"the fate of {self.user}'s message {ident}", lambda: self.state(ident), timeout)

    def status(self, ident, timeout=15.0):
        """The final status code that the agent received for its message."""
        pattern = re.compile(rf"^SIP/2\.0 ([2-6]\d\d) (?s:.{{0,800}}?)^Call-ID: {re.escape(ident)}$", re.M)
        def found():
            match = pattern.search(self._trace())
            return int(match.group(1)) if match else None
        return wait_for(f"the status of {self.user}'s message {ident}", found, timeout)

    def messages(self):
        """Everything received so far, oldest first: dictionaries with from, to, id, body."""
        return [m.groupdict() for m in self._EVENT.finditer(self.part.log())]

    def wait_body(self, body, timeout=10.0):
        return wait_for(f"{self.user}'s agent to print {body!r}",
                        lambda: next((m for m in self.messages() if m["body"] == body), None), timeout)

    def request(self, body):
        """The request that carried `body` to this agent, as it arrived: the text of its head."""
        pattern = rf"^(MESSAGE sip:{self.user}@{re.escape(self.ip)}(?s:.*?))\n\n"
        for match in re.finditer(pattern, self._trace(), re.M):
            rest = self._trace()[match.end():]
            if rest.startswith(body):
                return match.group(1)
        return None


class ContactList:
    """alice's contact list and her own state: liblinphone, driven by lines; beside her `SipAgent`, which has none."""

    def __init__(self, rig, user):
        self.user, self.ip, home = user, rig.ip(CONTACT_LISTS[user]), rig.dir / f"contacts-{user}"
        for folder in (".local/share/linphone", ".config/linphone"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        conf = home / "linphonerc"
        conf.write_text(fill("linphonerc", ip=self.ip, port=rig.port(SIP), user=user, domain=SIP_DOMAIN,
                             proxy=f"{rig.ip(EDGE)}:{rig.port(SIP)}", publish=1, notifications="none")
                        .replace("[proxy_0]", "[proxy_0]\ncontact_parameters=presence-only"))
        self.trace = home / "trace"
        self.part = rig.start(f"contacts-{user}", ["/usr/bin/python3", HERE / "linphone-presence", conf, self.trace],
                              stdin=subprocess.PIPE, cwd=home,
                              env={"HOME": str(home), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""})
        self.wait_for(lambda e: e["event"] == "registered", "registered", 15)

    def _order(self, **order):
        self.part.process.stdin.write((json.dumps(order) + "\n").encode())
        self.part.process.stdin.flush()

    def publish(self, state, **more):
        """Its own state: online, offline, or an RPID activity; optionally with a note and its lang."""
        self._order(state=state, **more)

    def watch(self, address):
        self._order(watch=address)

    def forget(self, address):
        self._order(forget=address)

    def compose(self, address):
        """Its user begins to write to `address`."""
        self._order(compose=address)

    def events(self):
        """Everything printed so far, oldest first."""
        return self.part.objects()

    def wait_for(self, wanted, what, timeout=10.0, since=0):
        def found():
            if not self.part.running():
                raise RigError(f"the contact list of {self.user} ended: {self.part.log()[-300:]}")
            return next((e for e in self.events()[since:] if wanted(e)), None)
        return wait_for(f"the contact list of {self.user}: {what}", found, timeout)

    def shown(self, address):
        """What it last said of a contact."""
        return next((e for e in reversed(self.events()) if e.get("of") == address and e["event"] == "presence"), None)

    def wait_shows(self, address, shows, timeout=10.0, **more):
        """Waits until it shows a contact as `shows`, and with whatever else is given (activity, note, ...)."""
        wanted = {"shows": shows, **more}
        def found():
            if not self.part.running():
                raise RigError(f"the contact list of {self.user} ended: {self.part.log()[-300:]}")
            last = self.shown(address)
            return last if last and wanted.items() <= last.items() else None
        return wait_for(lambda: f"{self.user}'s contact list to show {address} as {wanted}, not {self.shown(address)}",
                        found, timeout)


def gateway_binary():
    """The gateway to test: $STOXD_BIN, else the release build."""
    if os.environ.get("STOXD_BIN"):
        return Path(os.environ["STOXD_BIN"]).resolve()
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "release" / "stoxd"
