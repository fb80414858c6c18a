//! `stoxd trace` and `stoxd why` against a daemon, and what they are asked by other means.

use super::rig::{House, POLICY, wait_for};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

const BOB: &str = "sip:bob@contoso.example";
const ROMEO: &str = "xmpp:romeo@fabrikam.example";

#[test]
fn why_says_what_policy_refused_and_the_command_that_would_allow_it() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let why = |more: &[&str]| house.stoxd(&[&["why", "--from", BOB, "--to", ROMEO], more].concat());
    let ran = why(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{}", ran.out);
    assert!(ran.out.starts_with("Nothing from sip:bob@contoso.example to xmpp:romeo@"), "{}", ran.out);
    assert!(ran.out.contains("\nthe policy table\nDENY  sip:bob@contoso.example → "), "{}", ran.out);
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "psst"), 403);
    let ran = why(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (3, ""), "{}", ran.out);
    for said in [
        "Denied by policy (policy-xmpp, policy site:Redmond at policy.toml:14): the message from \
         sip:bob@contoso.example to xmpp:romeo@fabrikam.example.\n",
        " ms  MESSAGE from edge by link in#",
        ", UDP, by address\n",
        " ms  denied: policy-xmpp\n",
        " ms  the sender was answered 403\n",
        " ← this decided\n",
        " to allow: stoxd policy grant Sales --to sip:bob@contoso.example\n",
    ] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    let ran = why(&["--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &told["verdict"], &told["exit"]), (3, &"denied".into(), &3.into()));
    assert_eq!(told["pair"]["policy"]["table"]["verdict"], "deny");
    // By its name, and by the beginning of it.
    let trace = told["crossings"][0]["trace"].as_str().unwrap();
    for name in [trace, &trace[..8]] {
        let ran = house.stoxd(&["why", name]);
        assert!(ran.code == 3 && ran.out.starts_with("Denied by policy"), "{}", ran.out);
    }
    assert_eq!(house.stoxd(&["why", "zzzzzzzz"]).code, 1);
    for wrong in [
        &["why"][..],
        &["why", "--from", BOB],
        &["why", "--from", BOB, "--to", "sip:alice@contoso.example"],
        &["why", "--from", BOB, "--to", "nobody"],
        &["why", "--from", BOB, "--to", ROMEO, "--since", "soon"],
        &["trace", "--format", "pcapng", "--json"],
        &["trace", "--format", "pcap"],
        &["trace", "--to", "127.0.0.1:9060"],
        &["trace", "--user", "alice"],
    ] {
        let ran = house.stoxd(wrong);
        assert!(ran.code == 2 && ran.out.is_empty(), "{wrong:?}: {ran:?}");
    }
    // The switch is turned since: the record stays, and the table says what holds now.
    house.write(
        "policy.toml",
        &POLICY.replace("federation = true\n[[partner]]", "federation = true\nxmpp = true\n[[partner]]"),
    );
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let ran = why(&[]);
    assert!(ran.code == 3 && ran.out.contains("was changed since; now it says\nALLOW"), "{}", ran.out);
}

#[test]
fn trace_draws_what_is_on_record_and_follows_what_comes() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    let ran = house.stoxd(&["trace"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", "nothing is on record\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoxd"));
    command
        .args(["trace", "-f", "--json", "--partner", "FABRIKAM.example", "-c"])
        .arg(house.path("stoxd.toml"));
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    // Until it follows, nothing is heard of.
    let (heard, first) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            let _ = heard.send(line);
        }
    });
    let line = wait_for("a step", || {
        assert_eq!(house.sip_message("bob@contoso.example", "x@elsewhere.example", "psst"), 403);
        assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "psst"), 403);
        first.recv_timeout(std::time::Duration::from_millis(100)).ok()
    });
    let step: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&step["step"], &step["partner"]), (&"came".into(), &"fabrikam.example".into()), "{line}");
    // Four may follow, and who goes makes room.
    let follow = || {
        let mut socket = UnixStream::connect(house.path("admin.sock")).unwrap();
        socket.write_all(b"{\"verb\":\"follow\"}\n").unwrap();
        socket
    };
    let others = [follow(), follow(), follow()];
    let refused = wait_for("a refusal", || {
        let mut fifth = follow();
        fifth.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        let mut answer = String::new();
        let _ = fifth.read_to_string(&mut answer);
        (!answer.is_empty()).then_some(answer)
    });
    assert_eq!(refused, "{\"failed\":\"4 follow already, as many as may\"}\n");
    drop(others);
    let ran = house.stoxd(&["trace", "--user", "bob@contoso.example", "--partner", "fabrikam.example"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for said in [
        " t+ms   bob (SIP)      edge             stoxd                 fabrikam.example  romeo (XMPP)\n",
        "   0.0      ├── MESSAGE ──▶├─── MESSAGE ───▶│ in#",
        "   ● DENY policy-xmpp site:Redmond (policy.toml:14)\n",
        "│◀──── 403 ────┤◀───── 403 ─────┤\n",
    ] {
        assert!(ran.out.contains(said), "{said}{}", ran.out);
    }
    assert!(!ran.out.contains("psst") && !ran.out.contains("elsewhere"), "{}", ran.out);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(follower.wait().unwrap().code(), Some(4), "its daemon is gone");
    reader.join().unwrap();
    assert_eq!(house.stoxd(&["trace"]).code, 4);
    let ran = house.stoxd(&["why", "--from", BOB, "--to", ROMEO]);
    assert!(ran.code == 4 && ran.out.starts_with("DENY"), "the files still say something: {ran:?}");
}

#[test]
fn four_may_watch_what_comes_and_goes_and_who_leaves_makes_room() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let watch = || {
        let mut socket = UnixStream::connect(house.path("admin.sock")).unwrap();
        socket.write_all(b"{\"verb\":\"watch\",\"user\":\"bob@contoso.example\"}\n").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        socket
    };
    let line = |socket: &mut UnixStream| {
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).ok().filter(|octets| *octets > 0).map(|_| line)
    };
    let mut watchers = vec![watch(), watch(), watch(), watch()];
    let refused = wait_for("a refusal", || {
        let mut more = watch();
        let said = line(&mut more);
        watchers.push(more);
        said
    });
    assert_eq!(refused, "{\"failed\":\"4 watch already, as many as may\"}\n");
    drop(watchers);
    let copies = wait_for("copies", || {
        let mut watcher = watch();
        assert_eq!(house.sip_message("alice@contoso.example", "x@elsewhere.example", "psst"), 403);
        assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "psst"), 403);
        line(&mut watcher).filter(|line| line.starts_with("{\"watched\""))
    });
    let copies: serde_json::Value = serde_json::from_str(&copies).unwrap();
    let first = &copies["watched"]["copies"][0];
    assert_eq!(
        (&first["came"], &first["stanza"], &first["texts"]),
        (&true.into(), &false.into(), &false.into())
    );
    assert_eq!(copies["watched"]["lost"], 0);
    let of =
        &copies["watched"]["copies"].as_array().unwrap().iter().map(|one| &one["trace"]).collect::<Vec<_>>();
    assert!(of.iter().all(|trace| **trace == first["trace"]), "alice's is nobody's here: {copies}");
}
