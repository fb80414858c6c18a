//! The shards' threads. The first shard is the daemon's own thread, which also answers the control socket; each
//! other has a thread of its own.
//!
//! | what fails | what holds |
//! |---|---|
//! | an item can't be handled | its connection ends, whichever shard read it (`net::shard`) |
//! | a task that a shard runs by itself ends, or a thread does | the process ends with an error, exit code 1, and the service manager starts it anew: nobody can say what that shard had done. What was not answered comes back to its sender, as after any crash |
//! | a thread does not come to an end of what it does | who asks it hears so in time (`net::shard::asking`), `/healthz` is 503, and systemd's watchdog ends the process |

use super::journal::Names;
use super::records::Records;
use super::{StartError, journal, live, secrets, trail};
use crate::gateway::shards::{Common, Place};
use crate::gateway::{Gateway, Secrets, Settings};
use crate::ids::{Ids, SHARDS_MAX};
use crate::net::clock::Clock;
use crate::net::dialer::Dialer;
use crate::net::keeper::Tickets;
use crate::net::shard::{Limits, Shard, Together};
use crate::policy::Table;
use crate::store::record::Record;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

/// How many shards `[gateway] shards` means: 0 is one for each core that we may use.
pub(super) fn count(wanted: u8) -> u8 {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    match wanted {
        0 => u8::try_from(cores()).unwrap_or(SHARDS_MAX).min(SHARDS_MAX),
        wanted => wanted.min(SHARDS_MAX),
    }
}

/// What one shard is made of.
pub(super) struct Part {
    settings: Arc<Settings>,
    table: Arc<Table>,
    secrets: Secrets,
    place: Place,
    common: Common,
    mint: Ids,
    wake: Arc<Notify>,
}

/// What all shards are made of.
pub(super) struct Whole {
    pub(super) clock: Clock,
    pub(super) dialer: Arc<Dialer>,
    pub(super) limits: Limits,
    pub(super) ends: Arc<Mutex<live::Ends>>,
    pub(super) faults: Arc<trail::Faults>,
    pub(super) names: Arc<Names>,
}

/// The parts of `shards` shards, and the records of the users of each.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn parts(
    shards: u8,
    settings: Settings,
    table: Table,
    dialback: Arc<[u8]>,
    records: Vec<Record>,
) -> Result<(Vec<Part>, Vec<Vec<Record>>), StartError> {
    let seed = || secrets::seed().map_err(|error| StartError::System { what: "no random numbers", error });
    let (loops, placing) = (seed()?, seed()?);
    let common = Common::new(&settings, seed()?);
    let (settings, table) = (Arc::new(settings.share(shards)), Arc::new(table));
    let place = |shard| Place::new(shard, shards, placing);
    let mut of: Vec<Vec<Record>> = (0..shards).map(|_| Vec::new()).collect();
    for record in records {
        let owner = place(0).of_record(&record);
        if let Some(records) = of.get_mut(usize::from(owner)) {
            records.push(record);
        }
    }
    let part = |shard| {
        let place = place(shard);
        let secrets = Secrets { ids: seed()?, hashes: seed()?, loops, dialback: dialback.clone() };
        Ok(Part {
            settings: settings.clone(),
            table: table.clone(),
            secrets,
            place,
            common: common.clone(),
            mint: Ids::new(seed()?, place.owner()),
            wake: Arc::default(),
        })
    };
    let parts: Result<Vec<Part>, StartError> = (0..shards).map(part).collect();
    Ok((parts?, of))
}

impl Part {
    /// Who is told when the store has answers for this shard.
    pub(super) fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    fn build(self, whole: &Whole, together: Arc<Together>, records: &Arc<Records>) -> Rc<Shard> {
        let gateway = Gateway::one_of(self.settings, self.table, &self.secrets, self.place, self.common);
        let clock = whole.clock;
        let (ends, faults, names) = (whole.ends.clone(), whole.faults.clone(), whole.names.clone());
        let observer = Box::new(move |observation: &_| {
            live::locked(&ends).note(observation, clock.now().mono);
            faults.hear(&clock, observation);
            journal::write(observation, &names);
        });
        let keeper = records.share(self.place.shard());
        let tickets = Tickets::new(Rc::new(keeper), self.wake);
        Shard::new(clock, whole.dialer.clone(), together, self.mint, gateway, observer, tickets)
    }
}

/// Where it is told which shard's thread has ended.
pub(super) type Ended = mpsc::UnboundedReceiver<u8>;

/// Tells that a shard's thread has ended, however it did.
struct Last(u8, mpsc::UnboundedSender<u8>);

impl Drop for Last {
    fn drop(&mut self) {
        // Who would hear it may have gone first.
        let _ = self.1.send(self.0);
    }
}

/// Starts a thread for each of `parts` but the first; that one's shard is given back, to be run here, and where it
/// is told when one of the others has ended.
///
/// # Errors
/// The system gives no thread or no epoll instance.
pub(super) fn start(
    parts: Vec<Part>,
    whole: Whole,
    records: &Arc<Records>,
) -> Result<(Option<Rc<Shard>>, Ended), StartError> {
    let (tell, ended) = mpsc::unbounded_channel();
    let together = Together::new(u8::try_from(parts.len()).unwrap_or(SHARDS_MAX), whole.limits);
    let whole = Arc::new(whole);
    let mut first = None;
    for part in parts {
        if part.place.shard() == 0 {
            first = Some(part.build(&whole, together.clone(), records));
            continue;
        }
        let fault = |error| StartError::System { what: "no thread for a shard", error };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
        let (whole, together, records) = (whole.clone(), together.clone(), records.clone());
        let name = format!("shard-{}", part.place.shard());
        let last = Last(part.place.shard(), tell.clone());
        let run = move || {
            let _last = last;
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let mut own = run(&part.build(&whole, together, &records));
                own.join_next().await;
            });
        };
        std::thread::Builder::new().name(name).spawn(run).map_err(fault)?;
    }
    Ok((first, ended))
}

/// Runs what a shard does by itself. None of it ever ends, unless it can't go on.
pub(super) fn run(shard: &Rc<Shard>) -> JoinSet<()> {
    let mut own = JoinSet::new();
    own.spawn_local(shard.clone().flusher());
    own.spawn_local(shard.clone().timers());
    own.spawn_local(shard.clone().keeping());
    if !shard.place.is_alone() {
        own.spawn_local(shard.clone().receiving());
    }
    own
}

#[cfg(test)]
mod tests;
