#!/usr/bin/python3
"""The demonstration: messages and presence between real servers. Started by tests/demo."""
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from xml.sax.saxutils import escape

from rig import ALICE, ROMEO, Rig, RigError, gateway_binary, run_verb, wait_for

NOTES = ("composing a sonnet", "walking")
WORDS = ("Good morrow, Romeo. Grüße 🎭", "Is the day so young, alice? <3 & yours")
COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
MARK = {True: "\033[32m✔\033[0m" if COLOURS else "ok", False: "\033[31m✘\033[0m" if COLOURS else "FAILED"}


def paint(text, colour):
    return f"\033[{colour}m{text}\033[0m" if COLOURS else text


def title(text):
    print("\n" + paint(text, 1), flush=True)


def line(label, text):
    print(f"  {paint(f'{label:<9}', 36)} {text}", flush=True)


def first_version(*argv):
    """The first thing in a program's output that looks like a version."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return found.group() if found else "?"


class Demo:
    def __init__(self):
        self.rig, self.good = Rig(), True
        self.started = time.monotonic()

    def expect(self, truth, what):
        """One line of the verdict; the demo fails when one of them does."""
        print(f"  {MARK[bool(truth)]} {what}", flush=True)
        self.good = self.good and bool(truth)

    def start(self):
        rig = self.rig
        rig.usual_certificates()
        rig.dns()
        self.prosody, self.kamailio = rig.prosody(), rig.kamailio()
        rig.policy(grants=())
        self.gateway = rig.gateway(level="info")
        self.romeo, self.alice = rig.xmpp_client(), rig.sip_agent("alice")
        kamailio, prosody = first_version("kamailio", "-v"), first_version("prosodyctl", "about")
        print(f"""
  {paint("alice", 1)}                     {paint("stoxd", 1)}                     {paint("romeo", 1)}
  linphone ── Kamailio ◀─ SIP/TLS ─▶ gate ◀─ XMPP/TLS ─▶ Prosody ── slixmpp
              contoso.example                        capulet.example

  Kamailio {kamailio}, Prosody {prosody}, throw-away certificates, SRV records; all on {rig.net}.0/24
  Everything is up after {time.monotonic() - self.started:.1f} s.""")

    def sip_leg(self, since, sender):
        """What crossed Kamailio since then: the request and its answer, on the gateway's leg."""
        log = self.kamailio.log()[since:]
        request = re.search(rf"(\w+) \S+ MESSAGE (sip:{re.escape(sender)}\S*) -> (\S+)", log)
        reply = re.findall(r"reply (\d+ .*?) to ", log)
        return (request.group(2), request.group(3), reply[-1].strip()) if request and reply else ("?", "?", "?")

    def xmpp_leg(self, sender, target, body):
        line("XMPP", f"<message from='{sender}' to='{target}'><body>{escape(body)}</body>")

    def printed_by_linphone(self, since):
        """What alice's agent printed since then: of each event what tells something, on one line."""
        for event in re.split(r"\n{3,}", self.alice.part.log()[since:]):
            telling = [text for text in event.splitlines() if text.startswith(("State: ", "From: ", "Content: "))]
            if telling and "InProgress" not in event:
                line("linphone", paint("  ".join(telling), 33))

    def printed_by_slixmpp(self, stanza):
        shown = {k: stanza[k] for k in ("from", "body", "error") if k in stanza}
        line("slixmpp", paint(json.dumps(shown, ensure_ascii=False), 33))

    def alice_writes(self, status):
        """Sends alice's words; shows both legs and what the clients print."""
        here, there = len(self.alice.part.log()), len(self.kamailio.log())
        ident = self.alice.send(ROMEO, WORDS[0])
        got, state = self.alice.status(ident), self.alice.wait_state(ident)
        stanza = self.romeo.wait_body(WORDS[0]) if status < 300 else None
        wait_for("Kamailio's log", lambda: self.sip_leg(there, ALICE)[0] != "?")
        sender, target, reply = self.sip_leg(there, ALICE)
        line("SIP", f"MESSAGE {target}  from {sender}  ▶  {paint(reply, 1)}")
        if stanza:
            self.xmpp_leg(stanza["from"], stanza["to"], stanza["body"])
        self.printed_by_linphone(here)
        if stanza:
            self.printed_by_slixmpp(stanza)
        self.expect(got == status, f"alice's agent got {got}")
        self.expect((state == "Delivered") == (status < 300), f"it says: {state}")
        if stanza:
            self.expect(True, "romeo's client printed what alice wrote")
        else:
            came = any(m.get("body") == WORDS[0] for m in self.romeo.messages())
            self.expect(not came, "romeo's client printed nothing")

    def explain(self):
        status, out, err = run_verb("policy", "test", "-c", self.gateway.config, "--from", "sip:" + ALICE,
                                    "--to", "xmpp:" + ROMEO)
        print(paint(f"  $ stoxd policy test --from sip:{ALICE} --to xmpp:{ROMEO}", 2))
        for text in (out or err).splitlines():
            print("  " + text)
        self.expect(status == 3, f"its exit status is {status}: denied")

    def show_contact(self, shown):
        told = {k: shown[k] for k in ("shows", "activity", "notes") if k in shown}
        line("linphone", paint(f"{ROMEO}: {json.dumps(told, ensure_ascii=False)}", 33))

    def show_presence(self, stanza):
        shown = {k: stanza[k] for k in ("from", "type", "show", "status") if k in stanza}
        line("slixmpp", paint(json.dumps(shown, ensure_ascii=False), 33))

    def presence(self):
        """alice and romeo add each other and see each other's states."""
        title("4  alice adds romeo to her contacts. He is asked once, and approves.")
        contacts = self.rig.contact_list("alice")
        contacts.watch(ROMEO)
        self.show_presence(self.romeo.wait_presence(ALICE, "subscribe"))
        self.romeo.presence("subscribed", to=ALICE)
        self.show_contact(contacts.wait_shows(ROMEO, "Online", 15))
        self.expect(True, "alice's contact list shows him online")

        title("5  romeo does not want to be disturbed.")
        self.romeo.presence(show="dnd", status=NOTES[0], lang="en")
        self.show_contact(contacts.wait_shows(ROMEO, "Busy", 15, notes=[[NOTES[0], "en"]]))
        self.expect(True, "alice's contact list shows him busy, and why")

        title("6  romeo adds alice. Her presence server lets him; then she goes away.")
        self.kamailio.allow("alice", ROMEO)
        self.romeo.presence("subscribe", to=ALICE)
        self.show_presence(self.romeo.wait_presence(ALICE, "subscribed"))
        contacts.publish("away", note=NOTES[1], lang="en")
        self.show_presence(self.romeo.wait_presence(ALICE, show="away", status=NOTES[1]))
        self.expect(True, "romeo's client shows her away")

    def play(self):
        title("1  alice writes to romeo. The policy grants her nothing yet.")
        self.alice_writes(403)
        self.explain()

        title("2  A grant for alice is added to policy.toml, then SIGHUP. The same message again.")
        self.rig.policy(grants=("alice",))
        self.gateway.reload()
        self.alice_writes(202)

        title("3  romeo answers.")
        here, there = len(self.alice.part.log()), len(self.kamailio.log())
        self.romeo.send(ALICE, WORDS[1], id="answer")
        got = self.alice.wait_body(WORDS[1])
        wait_for("Kamailio's log", lambda: self.sip_leg(there, ROMEO)[0] != "?")
        sender, target, reply = self.sip_leg(there, ROMEO)
        self.xmpp_leg(self.romeo.jid, ALICE, WORDS[1])
        line("SIP", f"MESSAGE {target}  from {sender}  ▶  {paint(reply, 1)}")
        self.printed_by_linphone(here)
        self.expect(got["from"].startswith("sip:" + ROMEO), "alice's agent printed what romeo wrote")
        self.expect(not any(e.get("type") == "error" for e in self.romeo.messages()), "no error came back to him")

        self.presence()

        log = self.gateway.log()
        self.expect(not any(w in log for w in (*WORDS, *NOTES)), "no text of theirs is in the gateway's log")
        print(f"\n{'All went as expected' if self.good else 'Something went wrong'}, "
              f"{time.monotonic() - self.started:.1f} s after the start.")

    def stay(self):
        """Stays up until Ctrl-C, and lets the reader write as romeo and as alice."""
        print(f"""
{paint("Your turn.", 1)} Type   alice some words   or   romeo some words   and Enter. Ctrl-C ends everything.
  who may:  edit {self.rig.dir}/policy.toml, then  kill -HUP {self.gateway.pid}
  look:     {gateway_binary()} status -c {self.gateway.config}
  the log:  tail -f {self.gateway.path}""", flush=True)
        ears = selectors.DefaultSelector()
        if sys.stdin.isatty():
            ears.register(sys.stdin, selectors.EVENT_READ)
        heard_by_alice, heard_by_romeo = len(self.alice.messages()), len(self.romeo.messages())
        while self.gateway.running():
            for _ in ears.select(0.2) if ears.get_map() else (time.sleep(0.2) or ()):
                self.obey(sys.stdin.readline())
            for message in self.alice.messages()[heard_by_alice:]:
                heard_by_alice += 1
                line("linphone", f"{message['from']}: {message['body']}")
            for message in self.romeo.messages()[heard_by_romeo:]:
                heard_by_romeo += 1
                self.printed_by_slixmpp(message)
        raise RigError("the gateway ended")

    def obey(self, words):
        who, _, text = words.strip().partition(" ")
        if who == "alice" and text:
            ident = self.alice.send(ROMEO, text)
            line("linphone", f"{self.alice.wait_state(ident)} ({self.alice.status(ident)})")
        elif who == "romeo" and text:
            self.romeo.send(ALICE, text)
        elif words.strip():
            print("  alice WORDS... or romeo WORDS...")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    demo = Demo()
    try:
        demo.start()
        demo.play()
        if demo.good and "--once" not in sys.argv[1:]:
            demo.stay()
    except KeyboardInterrupt:
        print("\nended")
        return 0 if demo.good else 1
    except (RigError, OSError) as error:
        demo.good = False
        print(f"\n{MARK[False]} {error}", file=sys.stderr)
    finally:
        if not demo.good:
            print(demo.rig.tails(10), file=sys.stderr)
        demo.rig.close()
    return 0 if demo.good else 1


if __name__ == "__main__":
    sys.exit(main())
