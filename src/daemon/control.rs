//! The control socket: who may ask, and what the answers are made of.

use super::Daemon;
use crate::addr::{Jid, Masked};
use crate::admin::control::{Answer, QUESTION_LIMIT, Question};
use crate::admin::sessions::{self, Sessions};
use crate::admin::subscriptions::{ROWS, Subscriptions};
use crate::net::shard::{Shard, Silent};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// How long somebody may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The control socket, which is gone when this is dropped.
pub struct Control {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

impl Control {
    /// Makes the socket: only its owner may open it. A socket that nobody answers on is replaced.
    ///
    /// # Errors
    /// Another daemon answers there, something else is there, or the directory is not ours to write.
    pub fn listen(path: &Path) -> io::Result<Self> {
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another stoxd answers there"));
            }
            std::fs::remove_file(path)?;
        }
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        let control = Self { listener, path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        control.listener.set_nonblocking(true)?;
        Ok(control)
    }

    /// The same socket for the runtime.
    ///
    /// # Errors
    /// The runtime does not take it.
    pub fn listener(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What to do about `error`.
pub fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "\n  stop it first, or give this one another [admin] socket",
        io::ErrorKind::AlreadyExists => "\n  remove it, or give another [admin] socket",
        io::ErrorKind::PermissionDenied => "\n  the directory of [admin] socket must be ours to write",
        _ => "",
    }
}

/// Answers questions, one a connection, for ever.
pub async fn serve(listener: UnixListener, daemon: Rc<Daemon>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let daemon = daemon.clone();
                tokio::task::spawn_local(async move { answer(stream, &daemon).await });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn answer(stream: UnixStream, daemon: &Rc<Daemon>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut asked = (&mut stream).take(QUESTION_LIMIT);
    tokio::time::timeout(PATIENCE, asked.read_line(&mut line)).await??;
    let mut stops = false;
    let answer = match serde_json::from_str(&line) {
        Ok(Question::Status) => answered(daemon.status().await, |status| Answer::Status(Box::new(status))),
        Ok(Question::Subscriptions { user }) => match user.as_deref().map(Jid::parse).transpose() {
            Ok(user) => answered(daemon.subscriptions(user).await, Answer::Subscriptions),
            Err(error) => Answer::Misused(format!("not an address: {error}")),
        },
        Ok(Question::Sessions { user }) => match user.as_deref().map(Jid::parse).transpose() {
            Ok(user) => answered(daemon.sessions(user).await, Answer::Sessions),
            Err(error) => Answer::Misused(format!("not an address: {error}")),
        },
        Ok(Question::Unsubscribe { watcher, presentity, what_if }) => {
            match (Jid::parse(&watcher), Jid::parse(&presentity)) {
                (Ok(watcher), Ok(presentity)) => {
                    answered(daemon.unsubscribe(&watcher, &presentity, what_if).await, |answer| answer)
                }
                (Err(error), _) | (_, Err(error)) => Answer::Misused(format!("not an address: {error}")),
            }
        }
        Ok(Question::Streams) => answered(daemon.streams().await, Answer::Streams),
        Ok(Question::Links) => answered(daemon.links().await, Answer::Links),
        Ok(Question::Drain { what_if }) => {
            let said = daemon.drain_answer(what_if).await;
            stops = !what_if && said.is_ok();
            answered(said, |answer| answer)
        }
        Ok(Question::LogLevel { level, seconds, what_if }) => daemon.log_level(level, seconds, what_if),
        Ok(Question::Test { kind, from, to, text }) => daemon.test(kind, from, to, text).await,
        Ok(Question::Trace { user, partner }) => {
            answered(daemon.trace(user.as_deref(), partner.as_deref()).await, |answer| answer)
        }
        Ok(Question::Follow { user, partner }) => {
            daemon.follow(stream.get_mut(), user.as_deref(), partner.as_deref()).await;
            return Ok(());
        }
        Ok(Question::Watch { user, partner }) => {
            daemon.watch(stream.get_mut(), user.as_deref(), partner.as_deref()).await;
            return Ok(());
        }
        Ok(Question::Why { trace, from, to, since }) => {
            answered(daemon.why(trace, from.zip(to), since).await, |answer| answer)
        }
        Ok(Question::Config) => Answer::Config(daemon.texts.borrow().clone()),
        Ok(Question::Reload) => match daemon.reload().await {
            Ok(said) => Answer::Done(said),
            Err(why) => Answer::Failed(format!("reload refused, nothing was changed\n{why}")),
        },
        Err(error) => Answer::Misused(format!("not a question: {error}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let written = tokio::time::timeout(PATIENCE, stream.get_mut().write_all(&line)).await?;
    if stops {
        // Whoever asked hears the end of the process as the end of this connection.
        daemon.stop.notify_one();
        std::future::pending::<()>().await;
    }
    written
}

/// What was asked, or which shard did not answer.
fn answered<T>(said: Result<T, Silent>, answer: impl FnOnce(T) -> Answer) -> Answer {
    said.map_or_else(|silent| Answer::Failed(silent.to_string()), answer)
}

/// Rows of all shards, and how many there are.
fn together<T>(parts: Vec<(Vec<T>, usize)>) -> (Vec<T>, usize) {
    let total = parts.iter().map(|(_, count)| count).sum();
    (parts.into_iter().flat_map(|(rows, _)| rows).collect(), total)
}

impl Daemon {
    async fn subscriptions(&self, user: Option<Jid>) -> Result<Subscriptions, Silent> {
        let rows = move |shard: &Rc<Shard>| shard.gateway().watches(shard.clock.now(), user.as_ref(), ROWS);
        let (mut rows, total) = together(self.shard.ask_all(rows).await?);
        rows.sort_by(|one, other| (&one.watcher, &one.presentity).cmp(&(&other.watcher, &other.presentity)));
        Ok(Subscriptions::of(rows, total))
    }

    async fn sessions(&self, user: Option<Jid>) -> Result<Sessions, Silent> {
        let limit = sessions::ROWS;
        let rows = move |shard: &Rc<Shard>| shard.gateway().sessions(shard.clock.now(), user.as_ref(), limit);
        let (mut rows, total) = together(self.shard.ask_all(rows).await?);
        rows.sort_by(|one, other| (&one.user, &one.contact).cmp(&(&other.user, &other.contact)));
        Ok(Sessions::of(rows, total))
    }

    async fn unsubscribe(&self, watcher: &Jid, presentity: &Jid, what_if: bool) -> Result<Answer, Silent> {
        let (one, other) = (watcher.clone(), presentity.clone());
        let there = move |shard: &Rc<Shard>| {
            if what_if {
                let (rows, _) = shard.gateway().watches(shard.clock.now(), Some(&one), usize::MAX);
                rows.iter().any(|row| row.watcher == one.bare_str() && row.presentity == other.bare_str())
            } else {
                shard.tell(|gateway, now| gateway.revoke_watch(now, &one, &other))
            }
        };
        let there = self.shard.ask_all(there).await?.contains(&true);
        Ok(match (there, what_if) {
            (false, _) => Answer::Failed(format!("{watcher} does not see {presentity}: nothing was changed")),
            (true, true) => Answer::Done(format!(
                "{watcher} would have to ask again to see {presentity}; nothing was changed"
            )),
            (true, false) => {
                tracing::info!(
                    stoxd_event = "subscription.removed",
                    stoxd_from = %Masked(watcher.as_str()),
                    stoxd_to = %Masked(presentity.as_str()),
                    "authorization taken away by hand"
                );
                if self.kept().await {
                    Answer::Done(format!("{watcher} has to ask again to see {presentity}"))
                } else {
                    Answer::Failed(format!(
                        "{watcher} has to ask again to see {presentity}, but that is not on disk yet: the store \
                         can't be written at the moment; see stoxd status"
                    ))
                }
            }
        })
    }

    /// Waits until the store has everything; false if it takes too long.
    async fn kept(&self) -> bool {
        let shards = usize::from(self.shard.place.shards());
        let all = async {
            while self.shard.ask_all(|shard| shard.gateway().is_kept()).await != Ok(vec![true; shards]) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE / 2, all).await.is_ok()
    }
}
