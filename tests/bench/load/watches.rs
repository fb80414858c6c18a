//! Watches over real links: one measurement after the other, each figure as `name value` on a line.
//!
//! The first tenth of the watches warms the gateway up: neither the memory nor the time of making is counted for
//! them. The line `restart` asks whoever started this to kill the gateway, to start it again, and to say its new
//! process id on standard input.

use crate::presence::{Phase, Watches, Writer, read_link, read_stream, send};
use crate::tally::{Counts, Spent, at, resident};
use crate::texts::{CONTACTS, plain, presence, subscribe};
use crate::{Fallible, IDLE, Options, Tls, XMPP_DOMAIN, serve, sip, xmpp};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::spawn_local;

/// Whose users are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    Sip,
    Xmpp,
}

/// How often each watch has something new.
const ROUNDS: usize = 3;
/// Longer than the time between two NOTIFYs of one watch.
const GAP: Duration = Duration::from_millis(5200);
/// What is left to do after a measurement is done by then.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a gateway may take to be there again.
const STARTED: Duration = Duration::from_secs(60);

struct Bench {
    options: Options,
    watches: Rc<Watches>,
    sip: Tls,
    xmpp: Tls,
    /// The gateway's process; another one after a restart.
    pid: u32,
}

/// What happened to the items of one go.
struct Done {
    counts: Counts,
    seconds: f64,
    /// Nanoseconds on a CPU.
    spent: Spent,
}

/// Measures `--count` watches; an error if anything was lost, came twice, or was not what it should be.
pub async fn bench(options: Options, watched: Watched) -> Fallible<()> {
    let count = options.count;
    if count < 20 * CONTACTS || !count.is_multiple_of(10 * CONTACTS) {
        return Err("the number of watches has to be a multiple of 100, at least 200".into());
    }
    let watches = Rc::new(Watches::new(count, count / CONTACTS));
    let (sip, xmpp) = (Tls::load(&options.pki, "edge")?, Tls::load(&options.pki, XMPP_DOMAIN)?);
    let (on_link, on_stream) = (watches.clone(), watches.clone());
    serve(&options.listen_sip, sip::accept_sip, sip.clone(), async move |link| {
        let (reader, writer) = tokio::io::split(link);
        read_link(reader, shared(writer), on_link.clone()).await;
    })
    .await?;
    serve(&options.listen_xmpp, xmpp::accept_xmpp, xmpp.clone(), async move |stream| {
        read_stream(stream, on_stream.clone()).await;
    })
    .await?;
    let mut bench = Bench { pid: options.pid, options, watches, sip, xmpp };
    let good = match watched {
        Watched::Sip => bench.xmpp_watches_sip(count).await,
        Watched::Xmpp => bench.sip_watches_xmpp(count).await,
    };
    let state = bench.watches.state.borrow();
    if let Some(stray) = &state.first_stray {
        return Err(format!("{} came that should not, the first one {stray}", state.strays).into());
    }
    good
}

impl Bench {
    async fn xmpp_watches_sip(&mut self, count: usize) -> Fallible<()> {
        let (link, stream) = self.dial().await?;
        let ask = async |bench: &Self, range: Range<usize>, note: &str| {
            let watches = &bench.watches;
            let write =
                |number: usize, out: &mut Vec<u8>| plain(watches.couple(number), "subscribe", number, out);
            bench.go(Phase::AskSip, range, note, true, &stream, write).await
        };
        let tell = async |bench: &Self, range: Range<usize>, note: &str| {
            let write = |number: usize, out: &mut Vec<u8>| {
                let state = &mut *bench.watches.state.borrow_mut();
                state.dialogs[number].notify(bench.watches.couple(number), &state.note, out);
            };
            bench.go(Phase::TellXmpp, range, note, true, &link, write).await
        };
        let warm = count / 10;
        ask(self, 0..warm, "at work").await?;
        tell(self, 0..warm, "getting warm").await?;
        tokio::time::sleep(SETTLED).await;
        let before = resident(self.pid)?;
        let made = ask(self, warm..count, "at work").await?;
        tokio::time::sleep(SETTLED).await;
        say("resident", (resident(self.pid)? - before) / (count - warm) as f64);
        made.say("made");
        let mut told = Vec::new();
        for round in 0..ROUNDS {
            told.push(tell(self, 0..count, &format!("in a meeting, round {round}")).await?);
        }
        Done::all(told).say("crossed");
        self.restart(count).await
    }

    /// The gateway is killed. When it is there again it asks for everything, at no more than its pace.
    async fn restart(&mut self, count: usize) -> Fallible<()> {
        tokio::time::sleep(SETTLED).await;
        self.watches.begin(Phase::Restart, 0, "back at work");
        self.expect(count, false, vec![Instant::now(); count]);
        let begun = Instant::now();
        println!("restart");
        let (said, said_here) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = std::io::stdin().read_line(&mut line);
            said.send(line)
        });
        self.pid = tokio::time::timeout(STARTED, said_here).await??.trim().parse()?;
        say("started", begun.elapsed().as_secs_f64());
        // All that it has spent since it was started counts.
        self.wait(count).await;
        let seconds = begun.elapsed().as_secs_f64();
        tokio::time::sleep(SETTLED).await;
        let spent = Spent::so_far(self.pid)?;
        Done { counts: self.watches.tally.now.take(), seconds, spent }.judged("rebuilt")?.say("rebuilt");
        say("seconds", seconds);
        say("most", most_in_a_second(&self.watches.state.borrow().subscribes) as f64);
        Ok(())
    }

    async fn sip_watches_xmpp(&mut self, count: usize) -> Fallible<()> {
        let (link, stream) = self.dial().await?;
        let ask = async |bench: &Self, range: Range<usize>, note: &str| {
            let watches = &bench.watches;
            let write = |number: usize, out: &mut Vec<u8>| subscribe(watches.couple(number), number, out);
            bench.go(Phase::AskXmpp, range, note, true, &link, write).await
        };
        let tell = async |bench: &Self, range: Range<usize>, note: &str| {
            let write =
                |number: usize, out: &mut Vec<u8>| presence(bench.watches.couple(number), &bench.note(), out);
            bench.go(Phase::TellSip, range, note, false, &stream, write).await
        };
        let warm = count / 10;
        ask(self, 0..warm, "in the orchard").await?;
        tokio::time::sleep(GAP).await;
        tell(self, 0..warm, "getting warm").await?;
        tokio::time::sleep(SETTLED).await;
        let before = resident(self.pid)?;
        let made = ask(self, warm..count, "in the orchard").await?;
        tokio::time::sleep(SETTLED).await;
        say("resident", (resident(self.pid)? - before) / (count - warm) as f64);
        made.say("made");
        let mut told = Vec::new();
        for round in 0..ROUNDS {
            tokio::time::sleep(GAP).await;
            told.push(tell(self, 0..count, &format!("on the phone, round {round}")).await?);
        }
        Done::all(told).say("crossed");
        Ok(())
    }

    fn note(&self) -> String {
        self.watches.state.borrow().note.clone()
    }

    /// Opens a link and a stream to the gateway.
    async fn dial(&self) -> Fallible<(Writer, Writer)> {
        let (reader, link) = tokio::io::split(sip::dial_sip(&self.options.gateway_sip, &self.sip).await?);
        let link = shared(link);
        spawn_local(read_link(reader, link.clone(), self.watches.clone()));
        let (reader, stream) =
            tokio::io::split(xmpp::dial_xmpp(&self.options.gateway_xmpp, &self.xmpp).await?);
        let stream = shared(stream);
        spawn_local(read_stream(reader, self.watches.clone()));
        *self.watches.stream.borrow_mut() = Some(stream.clone());
        Ok((link, stream))
    }

    fn expect(&self, count: usize, is_answered: bool, sent_at: Vec<Instant>) {
        let (answered, arrived) = (vec![is_answered; count], vec![0; count]);
        *self.watches.tally.now.borrow_mut() = Counts { answered, arrived, sent_at, ..Counts::default() };
    }

    /// Sends an item of each watch of `range`, with a window of them on their way, and waits for all.
    async fn go(
        &self,
        phase: Phase,
        range: Range<usize>,
        note: &str,
        asks: bool,
        writer: &Writer,
        write: impl Fn(usize, &mut Vec<u8>),
    ) -> Fallible<Done> {
        let (first, count) = (range.start, range.len());
        self.watches.begin(phase, first, note);
        self.expect(count, !asks, Vec::with_capacity(count));
        let (begun, before) = (Instant::now(), Spent::so_far(self.pid)?);
        let (mut out, mut last) = (Vec::new(), (Instant::now(), 0));
        let tally = &self.watches.tally;
        loop {
            let finished = {
                let now = tally.now.borrow();
                now.done + now.refused
            };
            let sent = tally.now.borrow().sent_at.len();
            for at in sent..count.min(finished + self.options.window) {
                write(first + at, &mut out);
                tally.now.borrow_mut().sent_at.push(Instant::now());
            }
            send(writer, &mut out).await?;
            if finished > last.1 {
                last = (Instant::now(), finished);
            }
            if finished == count || last.0.elapsed() > IDLE {
                break;
            }
            let _ = tokio::time::timeout(Duration::from_millis(200), tally.moved.notified()).await;
        }
        let seconds = last.0.duration_since(begun).as_secs_f64();
        // A copy that comes late is still a copy.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let spent = before.until_now(self.pid)?;
        Done { counts: tally.now.take(), seconds, spent }.judged(note)
    }

    /// Waits until all are finished, or nothing was for long.
    async fn wait(&self, count: usize) {
        let (tally, mut last) = (&self.watches.tally, (Instant::now(), 0));
        while last.1 < count && last.0.elapsed() < 3 * IDLE {
            let _ = tokio::time::timeout(Duration::from_millis(200), tally.moved.notified()).await;
            let finished = tally.now.borrow().done + tally.now.borrow().refused;
            if finished > last.1 {
                last = (Instant::now(), finished);
            }
        }
    }
}

impl Done {
    /// An error unless every item arrived once and was answered well.
    fn judged(self, what: &str) -> Fallible<Self> {
        let Counts { arrived, answered, refused, .. } = &self.counts;
        let lost = arrived.iter().filter(|&&times| times == 0).count();
        let twice = arrived.iter().filter(|&&times| times > 1).count();
        let unanswered = answered.iter().filter(|&&answered| !answered).count();
        if lost + twice + unanswered + refused > 0 {
            let of = arrived.len();
            return Err(format!(
                "{what}: of {of} {lost} were LOST, {twice} came TWICE, {unanswered} were UNANSWERED, {refused} REFUSED"
            )
            .into());
        }
        Ok(self)
    }

    fn all(each: Vec<Self>) -> Self {
        let none = Self { counts: Counts::default(), seconds: 0.0, spent: Spent { gateway: 0, load: 0 } };
        each.into_iter().fold(none, |mut sum, one| {
            sum.counts.arrived.extend(one.counts.arrived);
            sum.counts.latency_us.extend(one.counts.latency_us);
            sum.seconds += one.seconds;
            sum.spent.gateway += one.spent.gateway;
            sum.spent.load += one.spent.load;
            sum
        })
    }

    fn say(mut self, name: &str) {
        let count = self.counts.arrived.len() as f64;
        self.counts.latency_us.sort_unstable();
        say(&format!("{name}_cpu"), self.spent.gateway as f64 * 1e-3 / count);
        say(&format!("{name}_load"), self.spent.load as f64 * 1e-3 / count);
        say(&format!("{name}_rate"), count / self.seconds);
        for (part, value) in [("p50", 0.5), ("p99", 0.99)] {
            say(&format!("{name}_{part}"), f64::from(at(&self.counts.latency_us, value)) / 1e3);
        }
    }
}

fn say(name: &str, value: f64) {
    println!("{name} {value}");
}

fn shared(writer: impl tokio::io::AsyncWrite + Unpin + 'static) -> Writer {
    Rc::new(Mutex::new(Box::new(writer)))
}

/// How many of `times`, which are in order, fell into one second, at most.
fn most_in_a_second(times: &[Instant]) -> usize {
    let second = |(at, from): (usize, &Instant)| {
        times[at..].partition_point(|time| time.duration_since(*from) < Duration::from_secs(1))
    };
    times.iter().enumerate().map(second).max().unwrap_or(0)
}
