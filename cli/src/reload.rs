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
use lethe_apps::files::{Image, PackError};
use lethe_apps::{ipinfo, scores};
use nix::unistd::{User, geteuid};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use crate::app::{AppArgs, Application, IpinfoArgs, open_database};
use crate::files::{Contents, FilesArgs};
use crate::progress::{Progress, counted};
use crate::scores::{Candidates, ScoresArgs};
use crate::secret::{self, Secrets};
use crate::{note, warn};

/// The longest that new data is kept waiting for.
const SETTLE_MAX: Duration = Duration::from_hours(24);

/// Loads the data and the secrets again when the process is told to, in a thread of its own, and puts them in place
/// between two turns of the loop.
pub(crate) struct Reload {
    asked: Arc<AtomicBool>,
    source: Source,
    worker: Option<JoinHandle<Fresh>>,
    /// How long new data is there before new connections begin with it,
    settle: Duration,
    /// and when that is over.
    settled: Option<Instant>,
    counted: Arc<Reloads>,
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
#[derive(Clone)]
struct Source {
    data: Option<Data>,
    secrets: Option<PathBuf>,
}

/// A data set.
#[derive(Clone)]
enum Data {
    Files(FilesArgs),
    Ipinfo(PathBuf),
    Scores(ScoresArgs),
}

/// What was loaded. That one of the two is wrong is no reason to do without the other.
struct Fresh {
    data: Option<anyhow::Result<Loaded>>,
    secrets: Option<anyhow::Result<Secrets>>,
}

/// A data set that was.
enum Loaded {
    Files(Image),
    Ipinfo(ipinfo::Data<'static>),
    Scores(Arc<scores::Image>),
}

impl Source {
    const fn is_empty(&self) -> bool {
        self.data.is_none() && self.secrets.is_none()
    }

    fn load(&self) -> Fresh {
        Fresh { data: self.data.as_ref().map(Data::load), secrets: self.secrets.as_deref().map(secret::read) }
    }
}

impl Data {
    fn path(&self) -> &Path {
        match self {
            Self::Files(files) => files.path(),
            Self::Ipinfo(file) => file,
            Self::Scores(scores) => scores.path(),
        }
    }

    fn load(&self) -> anyhow::Result<Loaded> {
        match self {
            Self::Files(files) => files.load(Progress::Silent).map(Loaded::Files),
            Self::Ipinfo(file) => open_database(file).map(Loaded::Ipinfo),
            Self::Scores(scores) => scores.load(Progress::Silent).map(Loaded::Scores),
        }
    }
}

impl Reload {
    /// From now on a SIGHUP is taken; it ends nothing, also where there is nothing to load.
    pub(crate) fn on_signal(
        app: &AppArgs,
        generation: u8,
        secrets: Option<&Path>,
        settle: Duration,
    ) -> anyhow::Result<Self> {
        let data = match app {
            AppArgs::Files(files) => Some(Data::Files(files.clone())),
            AppArgs::Ipinfo(IpinfoArgs { db: Some(file) }) => Some(Data::Ipinfo(file.clone())),
            AppArgs::Scores(scores) => Some(Data::Scores(scores.clone())),
            AppArgs::Ipinfo(IpinfoArgs { db: None }) | AppArgs::Sample { .. } => None,
        };
        ensure!(settle <= SETTLE_MAX, "--settle is a day at most: a client that waits longer is gone");
        ensure!(
            data.is_some() || settle.is_zero(),
            "--settle is for data that can be loaded again: that of `files`, of `scores`, and of `ipinfo --db FILE`"
        );
        let asked = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&asked)).context("cannot catch signals")?;
        let source = Source { data, secrets: secrets.map(Path::to_owned) };
        let counted = Arc::new(Reloads::of_generation(generation));
        Ok(Self { asked, source, worker: None, settle, settled: None, counted })
    }

    /// What became of all that were asked for.
    pub(crate) fn counted(&self) -> Arc<Reloads> {
        Arc::clone(&self.counted)
    }

    /// Whether [`observe`](Self::observe) has something to do, for those to whom it costs something to call it.
    #[cfg(feature = "dpdk")]
    pub(crate) fn is_due(&self) -> bool {
        match (self.settled, &self.worker) {
            (Some(settled), _) => Instant::now() >= settled,
            (None, Some(worker)) => worker.is_finished(),
            (None, None) => self.asked.load(Ordering::Relaxed),
        }
    }

    /// Called between two turns. Mostly there is nothing to do, and then it is a look at a flag.
    #[inline]
    pub(crate) fn observe(&mut self, engine: &mut Engine<Application>) {
        if self.worker.is_some() || self.settled.is_some() || self.asked.load(Ordering::Relaxed) {
            self.go_on(engine);
        }
    }

    /// A signal that comes meanwhile is not lost: it makes for another reload after this one.
    #[cold]
    fn go_on(&mut self, engine: &mut Engine<Application>) {
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
                if is_whole { self.counted.count_done() } else { self.counted.count_failed() }
            }
            None if self.worker.is_none() => {
                self.asked.store(false, Ordering::Relaxed);
                if self.source.is_empty() {
                    note("nothing is reloaded: neither the data nor the secret comes from a file");
                    return;
                }
                let source = self.source.clone();
                let spawned = thread::Builder::new().name("reload".to_owned());
                match spawned.spawn(move || source.load()) {
                    Ok(worker) => self.worker = Some(worker),
                    Err(error) => warn(format_args!("there is no thread to reload in: {error}")),
                }
            }
            None => {}
        }
    }

    /// Has new connections begin with the data that were added, and returns their number.
    fn advance(&self, engine: &mut Engine<Application>) -> u8 {
        engine.app_mut().advance();
        let generation = engine.app().generations().current;
        self.counted.generation.store(generation, Ordering::Relaxed);
        generation
    }

    /// Whether all of it could be loaded. What could be is in force.
    fn put(&mut self, engine: &mut Engine<Application>, fresh: Fresh) -> bool {
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
            (Some(Ok(loaded)), _) => {
                let text = add(engine.app_mut(), loaded);
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

impl Data {
    fn failure(&self, error: &anyhow::Error) -> String {
        let path = self.path().display();
        format!("{path} is served as it was, and not reloaded: {error:#}{}", Cure::of(error))
    }
}

fn put_secrets(config: &mut Config, secrets: &Secrets) {
    match secrets.count() {
        1 => say("reloaded: one secret"),
        count => say(format_args!("reloaded: {count} secrets")),
    }
    (config.secret, config.former) = (secrets.current, secrets.former);
}

/// Has what was loaded ready, and says what it is.
fn add(app: &mut Application, loaded: Loaded) -> String {
    match (app, loaded) {
        (Application::Files(files), Loaded::Files(image)) => {
            let text = format!("reloaded: {}", Contents(&image));
            unmap(files.add(image));
            text
        }
        (Application::IpInfo(ipinfo), Loaded::Ipinfo(data)) => {
            let database = data.database();
            let places = counted(database.place_count() as u64, "place");
            let text = format!("reloaded: {}, {places}", counted(database.range_count() as u64, "range"));
            unmap(ipinfo.add(data));
            text
        }
        (Application::Scores(scores), Loaded::Scores(image)) => {
            let text = format!("reloaded: {}", Candidates(&image));
            unmap(scores.add(image));
            text
        }
        _ => unreachable!("an application is loaded again as what it is"),
    }
}

fn say(text: impl std::fmt::Display) {
    // Whoever closes standard output does not want to read.
    let _ = writeln!(io::stdout(), "{text}");
}

/// To unmap a large image, or to free a database, takes a while. Should there be no thread for it, it is done here.
fn unmap<T: Send + 'static>(gone: Option<T>) {
    let _ = thread::Builder::new().name("unmap".to_owned()).spawn(move || drop(gone));
}

/// What can be done about a reload that failed.
struct Cure(Option<String>);

impl Cure {
    /// A server that was started as root loads its files as root once, and never again.
    fn of(error: &anyhow::Error) -> Self {
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        let denied = error.chain().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(is_denied)
                || cause
                    .downcast_ref()
                    .is_some_and(|error| matches!(error, PackError::Io { cause, .. } if is_denied(cause)))
        });
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
    use lethe_apps::files::Files;
    use lethe_sim::sample::Sample;
    use nix::errno::Errno;

    use super::*;

    fn reload(data: Option<&Path>, secrets: Option<&Path>) -> Reload {
        let data = data.map(|path| Data::Files(FilesArgs::new(path)));
        let source = Source { data, secrets: secrets.map(Path::to_owned) };
        let asked = Arc::new(AtomicBool::new(false));
        Reload { asked, source, worker: None, settle: Duration::ZERO, settled: None, counted: Arc::default() }
    }

    fn engine(app: Application) -> Engine<Application> {
        Engine::new(Config::new(Secret::new([0; 16])), app)
    }

    /// Asks, and waits until it is done.
    fn ask(reload: &mut Reload, engine: &mut Engine<Application>) {
        reload.asked.store(true, Ordering::Relaxed);
        reload.observe(engine);
        while reload.worker.is_some() {
            thread::sleep(Duration::from_millis(1));
            reload.observe(engine);
        }
    }

    /// The same; returns the paths that are served then.
    fn paths(reload: &mut Reload, engine: &mut Engine<Application>) -> usize {
        ask(reload, engine);
        let Application::Files(files) = engine.app() else { panic!("the application stays what it is") };
        files.image().path_count()
    }

    #[test]
    fn what_cannot_be_loaded_leaves_what_is_served() {
        let directory = tempfile::tempdir().unwrap();
        let site = directory.path().join("site");
        fs::create_dir(&site).unwrap();
        fs::write(site.join("a"), "a").unwrap();
        let mut reload = reload(Some(&site), None);
        let app = Application::Files(Files::new(FilesArgs::new(&site).load(Progress::Silent).unwrap()));
        let mut engine = engine(app);
        fs::write(site.join("b"), "b").unwrap();
        // Nobody has asked.
        reload.observe(&mut engine);
        assert!(reload.worker.is_none());
        assert_eq!(paths(&mut reload, &mut engine), 2);

        fs::rename(&site, directory.path().join("elsewhere")).unwrap();
        assert_eq!(paths(&mut reload, &mut engine), 2);
        fs::write(&site, "no image").unwrap();
        assert_eq!(paths(&mut reload, &mut engine), 2);
        fs::remove_file(&site).unwrap();
        fs::create_dir(&site).unwrap();
        assert_eq!(paths(&mut reload, &mut engine), 0);
        assert_eq!((reload.counted.done(), reload.counted.failed()), (2, 2));
    }

    #[test]
    fn new_data_settles_before_anybody_begins_with_it() {
        let site = tempfile::tempdir().unwrap();
        let mut reload = Reload { settle: Duration::from_millis(50), ..reload(Some(site.path()), None) };
        let app = Files::of_generation(FilesArgs::new(site.path()).load(Progress::Silent).unwrap(), 3);
        let mut engine = engine(Application::Files(app));
        let of = |engine: &Engine<Application>| (engine.app().generations().current, engine.app().generations().live);
        fs::write(site.path().join("a"), "a").unwrap();
        assert_eq!((paths(&mut reload, &mut engine), of(&engine)), (0, (3, 0b1001)));
        // Nor is anything loaded before that.
        reload.asked.store(true, Ordering::Relaxed);
        while reload.settled.is_some() {
            assert_eq!((reload.worker.is_some(), of(&engine)), (false, (3, 0b1001)));
            reload.observe(&mut engine);
        }
        assert_eq!(of(&engine), (0, 0b1001));
    }

    #[test]
    fn secrets_that_cannot_be_read_leave_those_in_force() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut reload = reload(None, Some(file.path()));
        let mut engine = engine(Application::Sample(Sample::new(1000)));
        let former = |engine: &Engine<Application>| engine.config().former.map(|secret| secret.is_some());
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
        let data = Data::Files(FilesArgs::new(Path::new("site")));
        let user = User::from_uid(geteuid()).unwrap().unwrap().name;
        let error = |errno: Errno| anyhow::Error::from(io::Error::from(errno)).context("cannot read site");
        assert_eq!(
            data.failure(&error(Errno::ENOENT)),
            "site is served as it was, and not reloaded: cannot read site: No such file or directory (os error 2)"
        );
        let cure = format!("(the server goes on as {user}: let that user read it, or start with another --user)");
        assert_eq!(
            data.failure(&error(Errno::EACCES)),
            format!(
                "site is served as it was, and not reloaded: cannot read site: Permission denied (os error 13) {cure}"
            )
        );
        let packing = PackError::Io { path: "site/a".into(), cause: Errno::EACCES.into() };
        assert!(data.failure(&packing.into()).ends_with(&cure));
    }
}
