//! SIGHUP: a new data set, while the server goes on answering.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use lethe_apps::Application;
use lethe_apps::files::{Image, PackError};
use lethe_apps::scores;
use nix::unistd::{User, geteuid};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use crate::app::AppArgs;
use crate::files::{Contents, FilesArgs};
use crate::progress::Progress;
use crate::scores::{Candidates, ScoresArgs};
use crate::warn;

/// Loads the data again when the process is told to, in a thread of its own, and puts them in place between
/// two turns of the loop.
pub(crate) struct Reload {
    asked: Arc<AtomicBool>,
    source: Source,
    worker: Option<JoinHandle<anyhow::Result<Loaded>>>,
    counted: Arc<Reloads>,
}

/// What became of those who asked for new data: counted here, shown by `--metrics`.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    done: AtomicU64,
    failed: AtomicU64,
    /// When the last was done, in seconds since 1970; 0 if none was.
    last: AtomicU64,
}

impl Reloads {
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
enum Source {
    Files(FilesArgs),
    Scores(ScoresArgs),
}

/// What was.
enum Loaded {
    Files(Image),
    Scores(Arc<scores::Image>),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::Files(files) => files.path(),
            Self::Scores(scores) => scores.path(),
        }
    }

    fn load(&self) -> anyhow::Result<Loaded> {
        match self {
            Self::Files(files) => files.load(Progress::Silent).map(Loaded::Files),
            Self::Scores(scores) => scores.load(Progress::Silent).map(Loaded::Scores),
        }
    }
}

impl Reload {
    /// `None` for an application that has nothing to load: SIGHUP ends that, as it does by default.
    pub(crate) fn on_signal(app: &AppArgs) -> anyhow::Result<Option<Self>> {
        let source = match app {
            AppArgs::Files(files) => Source::Files(files.clone()),
            AppArgs::Scores(scores) => Source::Scores(scores.clone()),
            AppArgs::Ipinfo { .. } | AppArgs::Sample { .. } => return Ok(None),
        };
        let asked = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&asked)).context("cannot catch signals")?;
        Ok(Some(Self { asked, source, worker: None, counted: Arc::default() }))
    }

    /// What became of all that were asked for.
    pub(crate) fn counted(&self) -> Arc<Reloads> {
        Arc::clone(&self.counted)
    }

    /// Whether [`observe`](Self::observe) has something to do, for those to whom it costs something to call it.
    #[cfg(feature = "dpdk")]
    pub(crate) fn is_due(&self) -> bool {
        self.worker.as_ref().map_or_else(|| self.asked.load(Ordering::Relaxed), JoinHandle::is_finished)
    }

    /// Called between two turns. Mostly there is nothing to do, and then it is a look at a flag.
    #[inline]
    pub(crate) fn observe(&mut self, app: &mut Application) {
        if self.worker.is_some() || self.asked.load(Ordering::Relaxed) {
            self.go_on(app);
        }
    }

    /// A signal that comes meanwhile is not lost: it makes for another reload after this one.
    #[cold]
    fn go_on(&mut self, app: &mut Application) {
        match self.worker.take_if(|worker| worker.is_finished()) {
            Some(worker) => match worker.join().unwrap_or_else(|_| Err(anyhow!("it panicked"))) {
                Ok(loaded) => {
                    put(app, loaded);
                    self.counted.count_done();
                }
                Err(error) => {
                    warn(self.failure(&error));
                    self.counted.count_failed();
                }
            },
            None if self.worker.is_none() => {
                self.asked.store(false, Ordering::Relaxed);
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

    fn failure(&self, error: &anyhow::Error) -> String {
        let path = self.source.path().display();
        format!("{path} is served as it was, and not reloaded: {error:#}{}", Cure::of(error))
    }
}

fn put(app: &mut Application, loaded: Loaded) {
    let text = match (app, loaded) {
        (Application::Files(files), Loaded::Files(image)) => {
            let text = format!("reloaded: {}", Contents(&image));
            unmap(files.replace(image));
            text
        }
        (Application::Scores(scores), Loaded::Scores(image)) => {
            let text = format!("reloaded: {}", Candidates(&image));
            unmap(scores.replace(image));
            text
        }
        _ => return,
    };
    // Whoever closes standard output does not want to read.
    let _ = writeln!(io::stdout(), "{text}");
}

/// To unmap a large image takes a while. Should there be no thread for it, it is done here.
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
    use std::time::Duration;

    use lethe_apps::files::Files;
    use nix::errno::Errno;

    use super::*;

    fn reload(path: &Path) -> Reload {
        let source = Source::Files(FilesArgs::new(path));
        Reload { asked: Arc::new(AtomicBool::new(false)), source, worker: None, counted: Arc::default() }
    }

    /// Asks, and waits until it is done; returns the paths that are served then.
    fn ask(reload: &mut Reload, app: &mut Application) -> usize {
        reload.asked.store(true, Ordering::Relaxed);
        reload.observe(app);
        while reload.worker.is_some() {
            thread::sleep(Duration::from_millis(1));
            reload.observe(app);
        }
        let Application::Files(files) = app else { panic!("the application stays what it is") };
        files.image().path_count()
    }

    #[test]
    fn what_cannot_be_loaded_leaves_what_is_served() {
        let directory = tempfile::tempdir().unwrap();
        let site = directory.path().join("site");
        fs::create_dir(&site).unwrap();
        fs::write(site.join("a"), "a").unwrap();
        let mut reload = reload(&site);
        let mut app = Application::Files(Files::new(FilesArgs::new(&site).load(Progress::Silent).unwrap()));
        fs::write(site.join("b"), "b").unwrap();
        // Nobody has asked.
        reload.observe(&mut app);
        assert!(reload.worker.is_none());
        assert_eq!(ask(&mut reload, &mut app), 2);

        fs::rename(&site, directory.path().join("elsewhere")).unwrap();
        assert_eq!(ask(&mut reload, &mut app), 2);
        fs::write(&site, "no image").unwrap();
        assert_eq!(ask(&mut reload, &mut app), 2);
        fs::remove_file(&site).unwrap();
        fs::create_dir(&site).unwrap();
        assert_eq!(ask(&mut reload, &mut app), 0);
        assert_eq!((reload.counted.done(), reload.counted.failed()), (2, 2));
    }

    #[test]
    fn a_failure_says_what_can_be_done_about_it() {
        let reload = reload(Path::new("site"));
        let user = User::from_uid(geteuid()).unwrap().unwrap().name;
        let error = |errno: Errno| anyhow::Error::from(io::Error::from(errno)).context("cannot read site");
        assert_eq!(
            reload.failure(&error(Errno::ENOENT)),
            "site is served as it was, and not reloaded: cannot read site: No such file or directory (os error 2)"
        );
        let cure = format!("(the server goes on as {user}: let that user read it, or start with another --user)");
        assert_eq!(
            reload.failure(&error(Errno::EACCES)),
            format!(
                "site is served as it was, and not reloaded: cannot read site: Permission denied (os error 13) {cure}"
            )
        );
        let packing = PackError::Io { path: "site/a".into(), cause: Errno::EACCES.into() };
        assert!(reload.failure(&packing.into()).ends_with(&cure));
    }
}
