//! What the service manager is told (sd_notify(3)), from a thread of its own.
//!
//! Its socket may be full: a manager that does not read would otherwise stop the thread that carries
//! all traffic. A note that does not fit is dropped.

use sd_notify::NotifyState;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Notes that may wait for the manager to read.
const WAITING: usize = 64;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The start, or a reload, is done; this is what there is to say.
    Ready(String),
    /// A reload has begun.
    Reloading,
    /// The drain has begun.
    Stopping,
    /// Still alive.
    Watchdog,
}

static NOTES: OnceLock<SyncSender<Note>> = OnceLock::new();

/// Tells the manager, if there is one. Never waits.
pub fn tell(note: Note) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let notes = NOTES.get_or_init(|| {
        let (sender, receiver) = sync_channel(WAITING);
        // Without the thread nobody receives, and every note is dropped.
        let _ = std::thread::Builder::new().name("manager".into()).spawn(move || run(&receiver));
        sender
    });
    let _ = notes.try_send(note);
}

fn run(notes: &Receiver<Note>) {
    while let Ok(note) = notes.recv() {
        let _ = match &note {
            Note::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
            Note::Reloading => {
                let since = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Status("reloading"));
                sd_notify::notify(&[NotifyState::Reloading, since])
            }
            Note::Stopping => sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("draining")]),
            Note::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
        };
    }
}
