"""The SIP server of the test domain as a part of the rig: its database, its rules for watchers, its remote control."""
import itertools
import json
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from rig import (EDGE, GATEWAY, GATEWAY_NAME, SIP, SIP_DOMAIN, SIP_USERS, SIPS, Part, RigError, can_connect, fill,
                 wait_for)

SCHEMA = Path("/usr/share/kamailio/db_sqlite")
PRES_RULES = 2  # Kamailio's doc_type of a pres-rules document
HANDLING = ("allow", "block", "polite-block", "confirm")  # RFC 5025 §3.2.1


class Kamailio(Part):
    """Registrar, proxy and presence server.

    A watcher for whom no rule stands is pending. `allow`, `deny` and `forget` change the rules while it runs, each for one
    watcher.
    """

    _count = itertools.count(1)

    def __init__(self, rig, certificate="edge", pki=None, gateway=None, max_expires=3600, min_expires=0,
                 lost_rule="deactivated", fresh=False):
        self.rig, self.home = rig, rig.dir / "kamailio"
        self.home.mkdir(exist_ok=True)
        # Kamailio does not wait where another of its processes writes, it fails: so writing must be quick.
        self.database = rig.memory / "presence.sqlite"
        if fresh:
            for path in rig.memory.glob("presence.sqlite*"):
                path.unlink()
        self.rules = rig.rules  # by user and watcher, as the database has them
        if not self.database.exists():
            self.rules.clear()
            self._create_tables()
        (self.home / "rpc").unlink(missing_ok=True)
        (self.home / "kamailio-tls.cfg").write_text(
            fill("kamailio-tls.cfg", pki=pki or rig.pki, certificate=certificate))
        (self.home / "kamailio.cfg").write_text(fill(
            "kamailio.cfg", ip=rig.ip(EDGE), sip_port=rig.port(SIP), tls_port=rig.port(SIPS), dir=self.home,
            database=self.database, gateway=gateway or f"{rig.ip(GATEWAY)}:{rig.port(SIPS)}", gateway_name=GATEWAY_NAME,
            users="|".join(SIP_USERS), max_expires=max_expires, min_expires=min_expires, lost_rule=lost_rule))
        super().__init__(rig, "kamailio", ["kamailio", "-f", self.home / "kamailio.cfg", "-DD", "-m", "256", "-M", "8",
                                           "-Y", self.home, "-P", self.home / "kamailio.pid"])
        rig.parts.append(self)
        for port in (SIP, SIPS):
            wait_for(f"kamailio port {port}",
                     lambda: can_connect(rig.ip(EDGE), rig.port(port)) or not self.running())
        wait_for("kamailio's remote control", lambda: self._answers() or not self.running())
        if not self.running():
            raise RigError("kamailio did not start: " + self.log()[-600:])
        # It would ask the machine's own resolver for the gateway's name.
        self.rpc("dns.add_a", GATEWAY_NAME, 86400, rig.ip(GATEWAY), 0)

    def _create_tables(self):
        with closing(sqlite3.connect(self.database)) as db:
            for name in ("standard", "presence"):
                db.executescript((SCHEMA / f"{name}-create.sql").read_text())
            db.execute("PRAGMA journal_mode=WAL")
            # It remembers whom it ended for the want of a rule, and would end the same watcher again and again.
            db.execute("CREATE TRIGGER ended AFTER UPDATE ON watchers WHEN NEW.status=3 AND NEW.reason<>'rejected' "
                       "BEGIN DELETE FROM watchers WHERE id=NEW.id; END")

    def _answers(self):
        """Is the remote control there? What is sent to its socket while it starts may be lost."""
        try:
            return self.rpc("core.version", timeout=0.3)
        except RigError:
            return None

    def rpc(self, method, *params, timeout=5):
        """Calls a method of its remote control and returns the result; RigError when it refuses."""
        mine = self.home / f"rpc-{next(self._count)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(mine))
            try:
                sock.settimeout(timeout)
                sock.sendto(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode(),
                            str(self.home / "rpc"))
                answer = json.loads(sock.recv(1 << 20))
            except OSError as why:
                raise RigError(f"kamailio: {method}: {why}") from None
            finally:
                mine.unlink()
        if "error" in answer:
            raise RigError(f"kamailio: {method}: {answer['error']}")
        return answer.get("result")

    def query(self, sql, *values):
        with closing(sqlite3.connect(self.database, timeout=5)) as db:
            rows = db.execute(sql, values).fetchall()
            db.commit()
            return rows

    # -- who may watch whom ---------------------------------------------------------------------------------------

    def rule(self, user, watcher, handling=None, refresh=True):
        """The rule of our `user` for the `watcher` ("romeo@capulet.example") is `handling`; None takes it away.

        The watchers are told at once; without `refresh` the rule only counts for what comes.
        """
        if handling is not None and handling not in HANDLING:
            raise RigError(f"{handling!r} is none of {HANDLING}")
        rules = self.rules.setdefault(user, {})
        rules.pop(watcher, None)
        if handling:
            rules[watcher] = handling
        # Without any document Kamailio would neither tell nor end those who watch already.
        every = "".join(f"""<rule id="r{number}">
<conditions><identity><one id="sip:{one}"/></identity></conditions>
<actions><pr:sub-handling>{verdict}</pr:sub-handling></actions><transformations/></rule>"""
                        for number, (one, verdict) in enumerate([("nobody@nowhere.invalid", "confirm"), *rules.items()]))
        document = f"""<?xml version="1.0" encoding="UTF-8"?>
<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules">{every}</ruleset>"""
        self.query("INSERT OR REPLACE INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port) "
                   "VALUES (?, ?, ?, ?, 'rig', 0, ?, 0)", user, SIP_DOMAIN, document.encode(), PRES_RULES,
                   f"/pres-rules/users/sip:{user}@{SIP_DOMAIN}/index")
        if refresh:
            self.rpc("presence.refreshWatchers", f"sip:{user}@{SIP_DOMAIN}", "presence", 0)

    def allow(self, user, watcher, **more):
        self.rule(user, watcher, "allow", **more)

    def deny(self, user, watcher, **more):
        self.rule(user, watcher, "block", **more)

    def forget(self, user, watcher, **more):
        """No rule any more: who waited goes on waiting, who watched is ended with the reason `lost_rule`."""
        self.rule(user, watcher, **more)

    def watchers(self, user):
        """The dialogs that it holds for watchers of `user` and that have neither ended nor expired: (watcher, Call-ID, status)."""
        return self.query("SELECT watcher_username || '@' || watcher_domain, callid, status FROM active_watchers "
                          "WHERE presentity_uri=? AND event='presence' AND status<>3 AND expires > ?",
                          f"sip:{user}@{SIP_DOMAIN}", int(time.time()))
