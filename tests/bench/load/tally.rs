//! What happened to each item of a run, and what it cost.

use crate::{Fallible, Options};
use std::cell::RefCell;
use std::time::Instant;
use tokio::sync::Notify;

#[derive(Clone, Copy, PartialEq)]
pub enum Direction {
    SipToXmpp,
    XmppToSip,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::SipToXmpp => "SIP to XMPP",
            Self::XmppToSip => "XMPP to SIP",
        }
    }
}

/// What happened to each item of the run that is on.
#[derive(Default)]
pub struct Tally {
    pub now: RefCell<Counts>,
    pub moved: Notify,
}

#[derive(Default)]
pub struct Counts {
    pub sent_at: Vec<Instant>,
    /// Times that the item arrived at the other side.
    pub arrived: Vec<u8>,
    /// Whether the sender has its 2xx; true from the start where the protocol has none.
    pub answered: Vec<bool>,
    pub latency_us: Vec<u32>,
    pub done: usize,
    pub refused: usize,
}

impl Counts {
    pub fn on_arrival(&mut self, number: usize) {
        let Some(times) = self.arrived.get_mut(number) else { return };
        *times = times.saturating_add(1);
        if *times == 1 {
            self.latency_us
                .push(u32::try_from(self.sent_at[number].elapsed().as_micros()).unwrap_or(u32::MAX));
            self.done += usize::from(self.answered[number]);
        }
    }

    pub fn on_answer(&mut self, number: usize, good: bool) {
        if number >= self.answered.len() || self.answered[number] {
            return;
        }
        if good {
            self.answered[number] = true;
            self.done += usize::from(self.arrived[number] > 0);
        } else {
            self.refused += 1;
        }
    }
}

/// A part of what was measured, from the least to the most.
pub fn at(sorted: &[u32], part: f64) -> u32 {
    sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or(0)
}

pub struct Run {
    pub direction: Direction,
    pub seconds: f64,
    pub counts: Counts,
}

impl Run {
    /// Prints the line of this run; whether all of it arrived, once.
    pub fn report(mut self, options: &Options, spent: &Spent) -> bool {
        let counts = &mut self.counts;
        let arrived = counts.arrived.iter().filter(|&&times| times > 0).count();
        let twice = counts.arrived.iter().filter(|&&times| times > 1).count();
        let lost = counts.arrived.len() - arrived;
        let unanswered = counts.answered.iter().filter(|&&answered| !answered).count();
        counts.latency_us.sort_unstable();
        let at = |part| at(&counts.latency_us, part);
        let each = 1e-3 / arrived.max(1) as f64;
        let (name, rate) = (self.direction.name(), arrived as f64 / self.seconds);
        let (cpu, own) = (spent.gateway as f64 * each, spent.load as f64 * each);
        if options.json {
            println!(
                "{{\"direction\":\"{name}\",\"messages\":{arrived},\"lost\":{lost},\"twice\":{twice},\
                 \"unanswered\":{unanswered},\"rate\":{rate:.0},\"cpu_us\":{cpu:.2},\"load_cpu_us\":{own:.2},\
                 \"p50_us\":{},\"p99_us\":{}}}",
                at(0.5),
                at(0.99)
            );
        } else {
            let fate = match (lost, twice, unanswered) {
                (0, 0, 0) => "arrived, each once".to_owned(),
                _ => format!("arrived, {lost} LOST, {twice} TWICE, {unanswered} UNANSWERED"),
            };
            println!(
                "{name}  {arrived:>6} {fate}  {rate:>6.0}/s  gateway {cpu:4.1} µs CPU each (load {own:.1})  \
                 p50 {:.1} ms, p99 {:.1} ms",
                f64::from(at(0.5)) / 1e3,
                f64::from(at(0.99)) / 1e3
            );
        }
        lost == 0 && twice == 0 && unanswered == 0
    }
}

/// Nanoseconds on a CPU.
pub struct Spent {
    pub gateway: u64,
    pub load: u64,
}

impl Spent {
    pub fn so_far(pid: u32) -> Fallible<Spent> {
        Ok(Spent { gateway: on_cpu(pid)?, load: on_cpu(std::process::id())? })
    }

    pub fn until_now(&self, pid: u32) -> Fallible<Spent> {
        let now = Spent::so_far(pid)?;
        Ok(Spent { gateway: now.gateway.saturating_sub(self.gateway), load: now.load - self.load })
    }
}

fn on_cpu(pid: u32) -> Fallible<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended meanwhile is not counted.
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split_whitespace().next().map_or(Ok(0), str::parse::<u64>)?;
    }
    Ok(sum)
}

/// Octets of memory that the kernel has given to a process, without the files that are mapped.
pub fn resident(pid: u32) -> Fallible<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}
