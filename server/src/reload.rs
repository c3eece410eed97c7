//! SIGHUP: a new data set and other secrets, while the server goes on answering.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use humantime::format_duration;
use lethe::app::App;
use lethe::config::Config;
use lethe::engine::Engine;
use lethe::versions::Versions;
use nix::unistd::{User, geteuid};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use crate::message::{note, warn};
use crate::secret::{self, Secrets};
use crate::systemd::Manager;

/// The longest that new data is kept waiting for.
const SETTLE_MAX: Duration = Duration::from_hours(24);

/// Loads the data and the secrets again when the process is told to, in a thread of its own, and puts them in place
/// between two turns of the loop.
pub(crate) struct Reload<A> {
    asked: Arc<AtomicBool>,
    source: Source<A>,
    worker: Option<JoinHandle<Fresh<A>>>,
    /// How long new data is there before new connections begin with it,
    settle: Duration,
    /// and when that is over.
    settled: Option<Instant>,
    counted: Arc<Reloads>,
    /// Hears of reloads, and that the loop comes by.
    manager: Manager,
}

/// What became of those who asked for new data: counted here, shown by `--metrics`.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    /// The number of the data that new connections begin with, as `--generation` and the messages have it.
    generation: AtomicU8,
    done: AtomicU64,
    failed: AtomicU64,
    /// When the last was done, in seconds since 1970; 0 if none was.
    last: AtomicU64,
}

impl Reloads {
    /// Before the first reload, with data of this number.
    pub(crate) fn of_generation(generation: u8) -> Self {
        Self { generation: generation.into(), ..Self::default() }
    }

    /// The number of the data that new connections begin with.
    pub(crate) fn generation(&self) -> u8 {
        self.generation.load(Ordering::Relaxed)
    }

    /// How often the data were replaced.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How often they could not be.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// When they last were.
    pub(crate) fn last(&self) -> Option<SystemTime> {
        let seconds = self.last.load(Ordering::Relaxed);
        (seconds > 0).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// A line for people.
    fn status(&self) -> String {
        format!("serving generation {}: {} reloads, {} failed", self.generation(), self.done(), self.failed())
    }

    fn count_done(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(now.as_secs(), Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// What can be loaded again.
struct Source<A> {
    data: Option<Data<A>>,
    secrets: Option<PathBuf>,
}

/// A data set.
pub(crate) struct Data<A> {
    /// What messages call it.
    pub(crate) name: String,
    /// Reads and checks it.
    pub(crate) load: Arc<dyn Fn() -> anyhow::Result<A> + Send + Sync>,
    /// What was loaded, for people.
    pub(crate) summary: fn(&A) -> String,
}

/// What was loaded. That one of the two is wrong is no reason to do without the other.
struct Fresh<A> {
    data: Option<anyhow::Result<A>>,
    secrets: Option<anyhow::Result<Secrets>>,
}

impl<A> Source<A> {
    const fn is_empty(&self) -> bool {
        self.data.is_none() && self.secrets.is_none()
    }
}

impl<A: Send + Sync + App + 'static> Reload<A> {
    /// From now on a SIGHUP is taken; it ends nothing, also where there is nothing to load.
    pub(crate) fn on_signal(
        data: Option<Data<A>>,
        generation: u8,
        secrets: Option<&Path>,
        settle: Duration,
    ) -> anyhow::Result<Self> {
        ensure!(settle <= SETTLE_MAX, "--settle is a day at most: a client that waits longer is gone");
        ensure!(
            data.is_some() || settle.is_zero(),
            "--settle is for data that can be loaded again, and this application has none"
        );
        ensure!(
            data.is_some() || generation == 0,
            "--generation is for data that can be loaded again, and this application has none"
        );
        let asked = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&asked)).context("cannot catch signals")?;
        let source = Source { data, secrets: secrets.map(Path::to_owned) };
        let counted = Arc::new(Reloads::of_generation(generation));
        let manager = Manager::from_environment();
        Ok(Self { asked, source, worker: None, settle, settled: None, counted, manager })
    }

    /// What became of all that were asked for.
    pub(crate) fn counted(&self) -> Arc<Reloads> {
        Arc::clone(&self.counted)
    }

    /// Whether [`observe`](Self::observe) has something to do, for callers that have to stop the workers to call it.
    pub(crate) fn is_due(&self) -> bool {
        let is_reload_due = match (self.settled, &self.worker) {
            (Some(settled), _) => Instant::now() >= settled,
            (None, Some(worker)) => worker.is_finished(),
            (None, None) => self.asked.load(Ordering::Relaxed),
        };
        is_reload_due || self.manager.is_due()
    }

    /// Called between two turns. Mostly there is nothing to do, and then it is a look at a flag.
    #[inline]
    pub(crate) fn observe(&mut self, engine: &mut Engine<Versions<A>>) {
        if self.worker.is_some() || self.settled.is_some() || self.asked.load(Ordering::Relaxed) {
            self.go_on(engine);
        }
        if self.manager.is_due() {
            self.manager.observe(&self.counted.status());
        }
    }

    /// A signal that comes meanwhile is not lost: it makes for another reload after this one.
    #[cold]
    fn go_on(&mut self, engine: &mut Engine<Versions<A>>) {
        if let Some(settled) = self.settled {
            if Instant::now() >= settled {
                self.settled = None;
                say(format_args!("new connections begin with generation {}", self.advance(engine)));
            }
            return;
        }
        match self.worker.take_if(|worker| worker.is_finished()) {
            Some(worker) => {
                let is_whole = if let Ok(fresh) = worker.join() {
                    self.put(engine, fresh)
                } else {
                    warn("nothing was reloaded: the thread that did it panicked");
                    false
                };
                if is_whole {
                    self.counted.count_done();
                } else {
                    self.counted.count_failed();
                }
                self.manager.reloaded(&self.counted.status());
            }
            None if self.worker.is_none() => {
                self.asked.store(false, Ordering::Relaxed);
                self.manager.reloading();
                if self.source.is_empty() {
                    note("nothing is reloaded: neither the data nor the secret comes from a file");
                    self.manager.reloaded(&self.counted.status());
                    return;
                }
                let data = self.source.data.as_ref().map(|data| Arc::clone(&data.load));
                let secrets = self.source.secrets.clone();
                let load =
                    move || Fresh { data: data.map(|load| load()), secrets: secrets.as_deref().map(secret::read) };
                match thread::Builder::new().name("reload".to_owned()).spawn(load) {
                    Ok(worker) => self.worker = Some(worker),
                    Err(error) => {
                        warn(format_args!("there is no thread to reload in: {error}"));
                        self.manager.reloaded(&self.counted.status());
                    }
                }
            }
            None => {}
        }
    }

    /// Has new connections begin with the data that were added, and returns their number.
    fn advance(&self, engine: &mut Engine<Versions<A>>) -> u8 {
        engine.app_mut().advance();
        let generation = engine.app().generations().current;
        self.counted.generation.store(generation, Ordering::Relaxed);
        generation
    }

    /// Whether all of it could be loaded. What could be is in force.
    fn put(&mut self, engine: &mut Engine<Versions<A>>, fresh: Fresh<A>) -> bool {
        let mut is_whole = true;
        match fresh.secrets {
            Some(Ok(secrets)) => put_secrets(engine.config_mut(), &secrets),
            Some(Err(error)) => {
                warn(format_args!("the secrets stay what they were: {error:#}{}", Cure::of(&error)));
                is_whole = false;
            }
            None => {}
        }
        match (fresh.data, &self.source.data) {
            (Some(Ok(loaded)), Some(data)) => {
                let text = format!("reloaded: {}", (data.summary)(&loaded));
                discard(engine.app_mut().add(loaded));
                if self.settle.is_zero() {
                    say(format_args!("{text}, generation {}", self.advance(engine)));
                } else {
                    self.settled = Instant::now().checked_add(self.settle);
                    say(format_args!("{text}, for new connections in {}", format_duration(self.settle)));
                }
            }
            (Some(Err(error)), Some(data)) => {
                warn(data.failure(&error));
                is_whole = false;
            }
            _ => {}
        }
        is_whole
    }
}

impl<A> Data<A> {
    fn failure(&self, error: &anyhow::Error) -> String {
        format!("{} is served as it was, and not reloaded: {error:#}{}", self.name, Cure::of(error))
    }
}

fn put_secrets(config: &mut Config, secrets: &Secrets) {
    match secrets.count() {
        1 => say("reloaded: one secret"),
        count => say(format_args!("reloaded: {count} secrets")),
    }
    (config.secret, config.former) = (secrets.current, secrets.former);
}

fn say(text: impl std::fmt::Display) {
    // A closed standard output is no reason to stop.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Drops versions of the data in a thread of their own: unmapping a large file takes a while.
fn discard<T: Send + 'static>(gone: T) {
    let _ = thread::Builder::new().name("discard".to_owned()).spawn(move || drop(gone));
}

/// What can be done about a reload that failed.
struct Cure(Option<String>);

impl Cure {
    /// A server that was started as root loads its files as root once, and never again.
    fn of(error: &anyhow::Error) -> Self {
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        let denied = error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_denied));
        Self(denied.then(|| match User::from_uid(geteuid()) {
            Ok(Some(user)) => user.name,
            _ => geteuid().to_string(),
        }))
    }
}

impl std::fmt::Display for Cure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(user) => {
                write!(f, " (the server goes on as {user}: let that user read it, or start with another --user)")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lethe::cookie::Secret;
    use lethe_sim::sample::Sample;
    use nix::errno::Errno;

    use super::*;

    /// Serves as many bytes as a file says.
    fn data(path: &Path) -> Data<Sample> {
        let path = path.to_owned();
        let name = path.display().to_string();
        let load = move || Ok(Sample::new(fs::read_to_string(&path).context("cannot read it")?.trim().parse()?));
        Data { name, load: Arc::new(load), summary: |sample| format!("{} bytes", sample.max_size()) }
    }

    fn reload(data: Option<Data<Sample>>, secrets: Option<&Path>) -> Reload<Sample> {
        let source = Source { data, secrets: secrets.map(Path::to_owned) };
        let asked = Arc::new(AtomicBool::new(false));
        Reload {
            asked,
            source,
            worker: None,
            settle: Duration::ZERO,
            settled: None,
            counted: Arc::default(),
            manager: Manager::default(),
        }
    }

    fn engine(generation: u8) -> Engine<Versions<Sample>> {
        Engine::new(Config::new(Secret::new([0; 16])), Versions::of_generation(Sample::new(1), generation))
    }

    /// Asks, and waits until it is done. Returns the size that new connections are served.
    fn ask(reload: &mut Reload<Sample>, engine: &mut Engine<Versions<Sample>>) -> usize {
        reload.asked.store(true, Ordering::Relaxed);
        reload.observe(engine);
        while reload.worker.is_some() {
            thread::sleep(Duration::from_millis(1));
            reload.observe(engine);
        }
        engine.app().current().max_size()
    }

    #[test]
    fn what_cannot_be_loaded_leaves_what_is_served() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("size");
        fs::write(&file, "2").unwrap();
        let (mut reload, mut engine) = (reload(Some(data(&file)), None), engine(0));
        reload.observe(&mut engine);
        assert!(reload.worker.is_none(), "no signal has come");
        assert_eq!(ask(&mut reload, &mut engine), 2);
        fs::remove_file(&file).unwrap();
        assert_eq!(ask(&mut reload, &mut engine), 2);
        fs::write(&file, "many").unwrap();
        assert_eq!(ask(&mut reload, &mut engine), 2);
        fs::write(&file, "3").unwrap();
        assert_eq!(ask(&mut reload, &mut engine), 3);
        assert_eq!((reload.counted.done(), reload.counted.failed()), (2, 2));
    }

    #[test]
    fn new_data_settles_before_connections_begin_with_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "2").unwrap();
        let mut reload = Reload { settle: Duration::from_millis(50), ..reload(Some(data(file.path())), None) };
        let mut engine = engine(3);
        let of =
            |engine: &Engine<Versions<Sample>>| (engine.app().generations().current, engine.app().generations().live);
        assert_eq!((ask(&mut reload, &mut engine), of(&engine)), (1, (3, 0b1001)));
        // Nor is anything loaded before that.
        reload.asked.store(true, Ordering::Relaxed);
        while reload.settled.is_some() {
            assert_eq!((reload.worker.is_some(), of(&engine)), (false, (3, 0b1001)));
            reload.observe(&mut engine);
        }
        assert_eq!(of(&engine), (0, 0b1001));
    }

    #[test]
    fn what_is_for_data_that_is_loaded_again_needs_such_data() {
        let error = |generation, settle| {
            let reload = Reload::<Sample>::on_signal(None, generation, None, Duration::from_secs(settle));
            reload.map(drop).unwrap_err().to_string()
        };
        assert_eq!(error(0, 1), "--settle is for data that can be loaded again, and this application has none");
        assert_eq!(error(1, 0), "--generation is for data that can be loaded again, and this application has none");
        assert_eq!(error(0, 86_401), "--settle is a day at most: a client that waits longer is gone");
    }

    #[test]
    fn secrets_that_cannot_be_read_leave_those_in_force() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut reload, mut engine) = (reload(None, Some(file.path())), engine(0));
        let former = |engine: &Engine<Versions<Sample>>| engine.config().former.map(|secret| secret.is_some());
        let mut write = |text: &str| {
            fs::write(file.path(), text).unwrap();
            ask(&mut reload, &mut engine);
            former(&engine)
        };
        let [one, two] = [1, 2].map(|digit| format!("{digit:032}\n"));
        assert_eq!(write(&format!("{two}{one}")), [true, false]);
        assert_eq!(write("no secret"), [true, false]);
        assert_eq!(write(""), [true, false]);
        assert_eq!(write(&two), [false, false]);
    }

    #[test]
    fn a_failure_says_what_can_be_done_about_it() {
        let data = data(Path::new("size"));
        let user = User::from_uid(geteuid()).unwrap().unwrap().name;
        let error = |errno: Errno| anyhow::Error::from(io::Error::from(errno)).context("cannot read size");
        assert_eq!(
            data.failure(&error(Errno::ENOENT)),
            "size is served as it was, and not reloaded: cannot read size: No such file or directory (os error 2)"
        );
        let cure = format!("(the server goes on as {user}: let that user read it, or start with another --user)");
        assert_eq!(
            data.failure(&error(Errno::EACCES)),
            format!(
                "size is served as it was, and not reloaded: cannot read size: Permission denied (os error 13) {cure}"
            )
        );
    }
}
