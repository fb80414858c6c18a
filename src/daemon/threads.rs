//! The shards' threads. The first shard is the daemon's own thread, which also answers the control socket; each
//! other has a thread of its own.

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
use tokio::sync::Notify;

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

/// Starts a thread for each of `parts` but the first; that one's shard is given back, to be run here.
///
/// # Errors
/// The system gives no thread or no epoll instance.
pub(super) fn start(
    parts: Vec<Part>,
    whole: Whole,
    records: &Arc<Records>,
) -> Result<Option<Rc<Shard>>, StartError> {
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
        let run = move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                run(&part.build(&whole, together, &records));
                std::future::pending::<()>().await;
            });
        };
        std::thread::Builder::new().name(name).spawn(run).map_err(fault)?;
    }
    Ok(first)
}

/// Runs what a shard does by itself.
pub(super) fn run(shard: &Rc<Shard>) {
    tokio::task::spawn_local(shard.clone().flusher());
    tokio::task::spawn_local(shard.clone().timers());
    tokio::task::spawn_local(shard.clone().keeping());
    if !shard.place.is_alone() {
        tokio::task::spawn_local(shard.clone().receiving());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::addr::Jid;
    use crate::config::{FileFault, Files, Purpose, Surroundings, parse};
    use crate::daemon::setup;
    use crate::now::Wall;
    use crate::store::record::Contact;
    use std::path::Path;

    struct Memory;

    impl Files for Memory {
        fn read(&self, path: &Path, _limit: u64) -> Result<String, FileFault> {
            let daemon = "[gateway]\nname = \"gw.contoso.example\"\n[[domain]]\nname = \"contoso.example\"\n\
                          discovery = true\n[sip]\nlisten = [{ addr = \"127.0.0.1:5060\", transport = \"udp\" }]\n";
            Ok(if path.ends_with("stoxd.toml") { daemon.to_owned() } else { String::new() })
        }

        fn mode(&self, _path: &Path) -> Result<u32, FileFault> {
            Ok(0o400)
        }
    }

    fn made(shards: u8, records: Vec<Record>) -> (Settings, Vec<Part>, Vec<Vec<Record>>) {
        let path = Path::new("/etc/stoxd/stoxd.toml");
        let config = parse(path, &Memory, &Surroundings::default(), Purpose::Check).unwrap();
        let settings = setup::gateway(&config, false).unwrap();
        let dialback = Arc::from([1; 32]);
        let (parts, records) = parts(shards, settings.clone(), config.table, dialback, records).unwrap();
        (settings, parts, records)
    }

    #[test]
    fn each_shard_gets_its_share_of_bounds_and_the_records_of_its_users() {
        let contact = |n: u32| {
            let user = Jid::parse(&format!("user{n}@contoso.example")).unwrap();
            Record::Contact(Contact { contact: user.clone(), user, added: Wall::default() })
        };
        let (settings, parts, records) = made(4, (0..100).map(contact).collect());
        assert_eq!(parts.iter().map(|part| part.place.shard()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(records.iter().map(Vec::len).sum::<usize>(), 100);
        for (part, records) in parts.iter().zip(records) {
            assert_eq!(part.settings.targets, settings.targets.div_ceil(4));
            assert!(!records.is_empty());
            let mut owners = records.iter().map(|record| parts[0].place.of_record(record));
            assert!(owners.all(|owner| owner == part.place.shard()), "whoever asks");
            assert!(Arc::ptr_eq(&part.table, &parts[0].table), "one table");
        }
    }

    #[test]
    fn nobody_can_tell_from_one_start_which_shard_has_whom_after_another() {
        let owners = || {
            let (_, parts, _) = made(32, Vec::new());
            (0..64).map(|n| parts[0].place.of_user(&format!("user{n}@contoso.example"))).collect::<Vec<_>>()
        };
        assert_ne!(owners(), owners());
    }

    #[test]
    fn no_number_is_one_for_each_core_and_none_is_more_than_32() {
        assert!((1..=SHARDS_MAX).contains(&count(0)));
        assert_eq!((count(1), count(4), count(32)), (1, 4, 32));
    }
}
