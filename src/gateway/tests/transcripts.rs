//! Conversations as text, under `tests/transcripts`: both wires in one column, in virtual time.
//!
//! | line | means |
//! |---|---|
//! | `capulet> <message …` | the server of capulet.example sends this; further lines, indented, belong to it |
//! | `capulet< <message …` | it gets this, and nothing else |
//! | `sip> MESSAGE …` | the SIP server sends this; an indented line is a header, one with `\|` a line of the body |
//! | `sip<1 MESSAGE …` | it gets this: the start line, all headers that are listed, none with `!`, the body |
//! | `sip>1 SIP/2.0 200 OK` | it answers that request; what a response copies is added |
//! | `net …` | what the network is asked and says, unless `net works` at the top leaves that out |
//! | `log< Denied` | this was observed |
//! | `+30s` | time goes on |
//!
//! `{name}` stands for what is minted: the first time for anything, then for the same. `{*}` stands for
//! anything. What the gateway sends and no line expects fails the test.

use super::net::{Net, address, target, udp};
use super::texts::{Sent, response};
use super::world::{Seen, World};
use crate::gateway::Im;
use crate::gateway::effect::LinkId;
use crate::sip::digest::Credentials;
use crate::xmpp::StreamId;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

type Bound = BTreeMap<String, String>;

struct Runner {
    world: World,
    is_silent: bool,
    bound: Bound,
    requests: BTreeMap<String, Sent>,
    stream: Option<StreamId>,
    link: Option<LinkId>,
    mark: u64,
    logged: usize,
}

/// A line with the indented ones that belong to it.
struct Block<'t> {
    line: usize,
    who: &'t str,
    /// `>`: to the gateway; `<`: from it.
    arrow: char,
    label: &'t str,
    first: &'t str,
    more: Vec<&'t str>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with('#') || text.trim().is_empty() {
            continue;
        }
        if let Some(more) = text.strip_prefix("  ") {
            blocks.last_mut().unwrap().more.push(more.trim_start());
            continue;
        }
        let (head, first) = text.split_once(' ').unwrap_or((text, ""));
        let at = head.find(['<', '>']).unwrap_or(head.len());
        let (who, rest) = head.split_at(at);
        let arrow = rest.chars().next().unwrap_or(' ');
        blocks.push(Block { line, who, arrow, label: rest.get(1..).unwrap_or(""), first, more: Vec::new() });
    }
    blocks
}

/// Does `pattern` match the whole of `text`? Then what its names stand for is bound.
fn matches(pattern: &str, text: &str, bound: &mut Bound) -> bool {
    let Some((before, rest)) = pattern.split_once('{') else { return pattern == text };
    let Some((name, rest)) = rest.split_once('}') else { return pattern == text };
    let Some(text) = text.strip_prefix(before) else { return false };
    if let Some(known) = bound.get(name).cloned() {
        return text.strip_prefix(known.as_str()).is_some_and(|text| matches(rest, text, bound));
    }
    for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
        let (value, left) = text.split_at(end);
        if name != "*" && !value.chars().all(|c| c.is_ascii_alphanumeric() || "@.~%-".contains(c)) {
            return false;
        }
        let mut tried = bound.clone();
        if name != "*" && !value.is_empty() {
            tried.insert(name.to_owned(), value.to_owned());
        }
        if (name == "*" || !value.is_empty()) && matches(rest, left, &mut tried) {
            *bound = tried;
            return true;
        }
    }
    false
}

impl Runner {
    fn new(blocks: &[Block<'_>]) -> Self {
        let set = |what: &str| blocks.iter().find(|block| block.who == what && block.arrow == ' ');
        let is_silent = set("net").is_none_or(|block| block.first != "works");
        let servers: u8 = set("servers").map_or(1, |block| block.first.parse().unwrap());
        let target = if set("udp").is_some() { udp } else { target };
        let net = match is_silent {
            true => Net::silent(),
            false => Net { located: Some(Ok((1..=servers).map(target).collect())), ..Net::works() },
        };
        let world = World::with(net, |settings| {
            if set("digest").is_some() {
                settings.peers[0].credentials = Some(Credentials {
                    realm: "contoso.example".into(),
                    username: "gateway".into(),
                    password: "secret".into(),
                });
            }
            if let Some(block) = set("im") {
                settings.peers[0].im = match block.first {
                    "ms-session" => Im::MsSession,
                    "auto" => Im::Auto,
                    other => panic!("{other}"),
                };
            }
            if let Some(block) = set("message-limit") {
                settings.peers[0].message_limit = Some(block.first.parse().unwrap());
            }
        });
        Self {
            world,
            is_silent,
            bound: Bound::new(),
            requests: BTreeMap::new(),
            stream: None,
            link: None,
            mark: 0,
            logged: 0,
        }
    }

    fn run(&mut self, block: &Block<'_>) {
        match (block.who, block.arrow) {
            ("net" | "servers" | "udp" | "digest" | "message-limit" | "im", ' ') => {}
            ("log", '<') => self.log(block.first),
            (_, '<') => self.expect(block),
            _ => {
                self.assert_all_seen();
                self.act(block);
            }
        }
    }

    fn act(&mut self, block: &Block<'_>) {
        match block.who {
            time if time.starts_with('+') => {
                let seconds: f64 = time.trim_matches(['+', 's']).parse().unwrap();
                self.world.pass(Duration::from_millis((seconds * 1000.0) as u64));
            }
            "sip" => {
                let text = self.sip_text(block);
                match self.requests.get(block.label) {
                    Some(sent) if !block.label.is_empty() => {
                        let sent = sent.clone();
                        let copied = response(&sent, 200, "");
                        let (_, copied) = copied.split_once("\r\n").unwrap();
                        let (copied, _) = copied.split_once("Content-Length").unwrap();
                        let (start, headers) = text.split_once("\r\n").unwrap();
                        let source = crate::sip::link::Source { link: sent.link, ..self.world.source() };
                        self.world.sip_from(&source, &format!("{start}\r\n{copied}{headers}"));
                    }
                    _ => self.world.sip(&text),
                }
            }
            "net" => self.network(block.first),
            partner => {
                let text: String = std::iter::once(&block.first).chain(&block.more).copied().collect();
                let text = self.filled(&text);
                self.world.xmpp(&format!("{partner}.example"), &text);
            }
        }
    }

    fn network(&mut self, what: &str) {
        let words: Vec<&str> = what.split(' ').collect();
        match words.as_slice() {
            ["stream", "up"] => self.world.stream_up(self.stream.unwrap()),
            ["written"] => self.world.written(self.stream.unwrap(), self.mark),
            ["located", servers @ ..] => {
                let targets = servers.iter().map(|last| target(last.parse().unwrap())).collect();
                let peer = crate::sip::link::PeerId(0);
                self.world.handle(crate::gateway::Input::Located { peer, targets: Ok(targets) });
            }
            ["link", "up"] => self.world.link_up(self.link.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn filled(&self, text: &str) -> String {
        self.bound
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    fn sip_text(&self, block: &Block<'_>) -> String {
        let (body, headers): (Vec<&str>, Vec<&str>) =
            block.more.iter().partition(|line| line.starts_with('|'));
        let body = body.iter().map(|line| &line[1..]).collect::<Vec<_>>().join("\r\n");
        let mut text = format!("{}\r\n", block.first);
        headers.iter().for_each(|line| text.push_str(&format!("{line}\r\n")));
        if !headers.iter().any(|line| line.starts_with("Content-Length:")) {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        self.filled(&format!("{text}\r\n{body}"))
    }

    /// What is not shown.
    fn skip(&mut self) {
        let is_silent = self.is_silent;
        self.world.seen.retain(|seen| {
            is_silent || !matches!(seen, Seen::DialXmpp { .. } | Seen::Locate(_) | Seen::DialSip { .. })
        });
    }

    fn assert_all_seen(&mut self) {
        self.skip();
        assert!(self.world.seen.is_empty(), "nobody expects {:#?}", self.world.seen);
        assert!(self.world.ended.is_empty(), "{:?}", self.world.ended);
    }

    fn log(&mut self, name: &str) {
        let rest = &self.world.observed[self.logged..];
        let at = rest.iter().position(|observation| format!("{observation:?}").starts_with(name));
        self.logged += 1 + at.unwrap_or_else(|| panic!("not observed: {rest:#?}"));
    }

    fn expect(&mut self, block: &Block<'_>) {
        self.skip();
        let mut seen = self.world.seen.drain(..).filter(|seen| !matches!(seen, Seen::Persist { .. }));
        let first = seen.next().expect("nothing comes");
        self.world.seen = seen.collect();
        match first {
            Seen::Xmpp { stream, remote, mark, text } => {
                assert_eq!(remote, format!("{}.example", block.who), "{text}");
                (self.stream, self.mark) = (Some(stream), mark);
                let pattern: String = std::iter::once(&block.first).chain(&block.more).copied().collect();
                assert!(matches(&pattern, &text, &mut self.bound), "it is: {text}");
            }
            Seen::Sip(sent) => {
                assert_eq!(block.who, "sip", "{}", sent.text);
                self.expect_sip(block, &sent);
                if !block.label.is_empty() {
                    self.requests.insert(block.label.to_owned(), sent);
                }
            }
            Seen::DialXmpp { stream, pair, .. } => {
                self.stream = Some(stream);
                assert_eq!(block.first, format!("dial {}", pair.remote));
            }
            Seen::Locate(_) => assert_eq!(block.first, "locate"),
            Seen::DialSip { link, address: to } => {
                self.link = Some(link);
                let expected: u8 = block.first.trim_start_matches("connect ").parse().unwrap();
                assert_eq!(to, address(expected));
            }
            Seen::CloseXmpp(_) => assert_eq!(block.first, "close"),
            Seen::CloseSip(_) | Seen::Dialback(_) | Seen::Persist { .. } => panic!("{first:?}"),
            Seen::MsrpDial(_) | Seen::Msrp(..) | Seen::MsrpClose(_) => panic!("{first:?}"),
        }
    }

    fn expect_sip(&mut self, block: &Block<'_>, sent: &Sent) {
        let mut lines = sent.text.split("\r\n");
        let start = lines.next().unwrap();
        assert!(matches(block.first, start, &mut self.bound), "it is: {}", sent.text);
        let headers: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        for pattern in block.more.iter().filter(|line| !line.starts_with('|')) {
            if let Some(name) = pattern.strip_prefix('!') {
                assert_eq!(sent.header(name), None, "{}", sent.text);
                continue;
            }
            let bound = &mut self.bound;
            let found = headers.iter().any(|line| matches(pattern, line, bound));
            assert!(found, "no {pattern} in {}", sent.text);
        }
        let body: Vec<&str> = block.more.iter().filter_map(|line| line.strip_prefix('|')).collect();
        assert!(
            matches(&body.join("\n"), &sent.body().replace("\r\n", "\n"), &mut self.bound),
            "{}",
            sent.text
        );
    }
}

fn run(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = blocks(&text);
    let mut runner = Runner::new(&blocks);
    for block in &blocks {
        let step = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runner.run(block)));
        if step.is_err() {
            panic!("{}:{}: {} {}", path.display(), block.line, block.who, block.first);
        }
    }
    runner.assert_all_seen();
    runner.world.assert_quiet();
}

#[test]
fn every_transcript_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    paths.sort();
    assert!(paths.len() >= 12, "{paths:?}");
    for path in paths {
        run(&path);
    }
}

#[test]
fn a_pattern_matches_the_whole_and_means_the_same_each_time() {
    let mut bound = Bound::new();
    assert!(matches("id='{id}' x='{id}'", "id='a1' x='a1'", &mut bound));
    assert_eq!(bound["id"], "a1");
    assert!(!matches("{id}", "b2", &mut bound));
    assert!(matches("a{*}z", "abcz", &mut bound) && !matches("a{*}z", "abc", &mut bound));
    assert!(!matches("id='{other}'", "id='a b'", &mut bound), "an id has no space");
    assert!(!matches("a", "ab", &mut bound));
}
