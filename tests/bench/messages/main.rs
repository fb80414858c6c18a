//! What a message costs, without sockets: octets in, octets out, virtual time.
//!
//! `cargo bench --bench messages -- [MESSAGES] [sip|xmpp]`, by default 100000 from each side. Pager mode, a text of
//! 200 octets, and the answer to it. Noise adds to CPU time; allocations do not change between two runs, and nor do
//! the instructions that `valgrind --tool=callgrind` counts: of 4000 messages less those of 2000, inclusive of
//! `from_sip`, or of `from_xmpp` and `answered`.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the benchmark of presence uses the rest")]
#[path = "../presence/measure.rs"]
mod measure;
#[allow(dead_code, reason = "the benchmark of presence uses the rest")]
#[path = "../presence/world.rs"]
mod world;

use measure::{Allocated, Cpu};
use std::time::Duration;
use world::World;

/// Users on each side.
const USERS: usize = 1000;
/// Messages that are made at once, and then measured.
const BATCH: usize = 100;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let messages = words.iter().find_map(|word| word.parse().ok()).unwrap_or(100_000);
    let [sip, xmpp] =
        ["xmpp", "sip"].map(|other| if words.iter().any(|word| word == other) { 0 } else { messages });
    let mut world = World::new();
    measure("SIP to XMPP", sip, request, |octets| to_xmpp(&mut world, octets));
    measure("XMPP to SIP", xmpp, stanza, |octets| to_sip(&mut world, octets));
    let all = [sip, xmpp].map(|measured| measured as u64 + measured.min(1) as u64);
    assert_eq!(world.gateway.counts().delivered, all);
}

fn measure(what: &str, messages: usize, make: impl Fn(usize) -> String, mut cross: impl FnMut(&str)) {
    let (mut time, mut allocated) = (Duration::ZERO, Allocated::default());
    // What is made once, for the first message, is none's.
    (0..messages.min(1)).for_each(|number| cross(&make(number)));
    for first in (1..=messages).step_by(BATCH) {
        let batch: Vec<String> = (first..=messages.min(first + BATCH - 1)).map(&make).collect();
        let (cpu, before) = (Cpu::now(), Allocated::now());
        batch.iter().for_each(|octets| cross(octets));
        allocated += Allocated::now() - before;
        time += cpu.spent();
    }
    if messages > 0 {
        let each = |all: f64| all / messages as f64;
        println!("{what}, {messages} messages");
        println!("  CPU time of one         {:>8.2} µs", each(time.as_secs_f64() * 1e6));
        println!("  allocations             {:>8.1}", each(allocated.times as f64));
        println!("  octets of them          {:>8.0}", each(allocated.octets as f64));
    }
}

fn request(number: usize) -> String {
    let (user, text) = (number % USERS, text(number));
    format!(
        "MESSAGE sip:v{user}@capulet.example SIP/2.0\r\n\
         Via: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bK5a17n{number}\r\nMax-Forwards: 69\r\n\
         From: <sip:u{user}@contoso.example>;tag=5a17\r\nTo: <sip:v{user}@capulet.example>\r\n\
         Call-ID: {number}.5a17@edge.contoso.example\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

fn stanza(number: usize) -> String {
    let user = number % USERS;
    format!(
        "<message from='v{user}@capulet.example/bench' to='u{user}@contoso.example' id='5a17-{number}' type='chat'>\
         <body>{}</body></message>",
        text(number)
    )
}

fn text(number: usize) -> String {
    format!("{number:09} {}", "The lark is the herald of the morn. ".repeat(6)).chars().take(200).collect()
}

/// A MESSAGE becomes a stanza, and is answered.
fn to_xmpp(world: &mut World, octets: &str) {
    from_sip(world, octets.as_bytes());
    assert!(world.sip.one().starts_with(b"SIP/2.0 202 ") && world.xmpp.len() == 1);
    world.forget();
}

/// A stanza becomes a MESSAGE, and the answer to that comes.
fn to_sip(world: &mut World, octets: &str) {
    from_xmpp(world, octets.as_bytes());
    let answer = ok(std::str::from_utf8(world.sip.one()).unwrap());
    answered(world, answer.as_bytes());
    world.forget();
}

// By these names what is measured is found among the functions that callgrind shows.

#[inline(never)]
fn from_sip(world: &mut World, octets: &[u8]) {
    world.message(octets);
}

#[inline(never)]
fn from_xmpp(world: &mut World, octets: &[u8]) {
    world.stanza(octets);
}

#[inline(never)]
fn answered(world: &mut World, octets: &[u8]) {
    world.message(octets);
}

/// The 200 to a request of the gateway.
fn ok(request: &str) -> String {
    let head = request.split("\r\n\r\n").next().unwrap();
    let mut answer = String::with_capacity(512);
    answer.push_str("SIP/2.0 200 OK\r\n");
    let copied =
        |line: &str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    for line in head.lines().filter(|line| copied(line)) {
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    answer
}
