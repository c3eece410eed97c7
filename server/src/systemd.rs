//! The service manager that started this server, if one did: what it is told of it (`sd_notify(3)`).
//!
//! There is no thread here. The loop calls [`Manager::observe`] between two turns, so that the manager hears from the
//! loop itself: of one that hangs it hears nothing, and its watchdog ends the server. With DPDK it is the thread that
//! watches the card, while all workers wait for it: one that hangs has it hang as well.

use std::env;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::message::warn;

/// The service manager. Where there is none (no `NOTIFY_SOCKET`), nothing is due and nothing is sent.
#[derive(Debug, Default)]
pub(crate) struct Manager(Option<Service>);

/// What the manager knows of this server.
#[derive(Debug)]
struct Service {
    /// Whether it was told that the server serves.
    is_ready: bool,
    /// Whether it could not be told something.
    has_failed: bool,
    watchdog: Option<Watchdog>,
}

/// How often the manager wants to hear from the loop.
#[derive(Debug)]
struct Watchdog {
    /// Half of what it waits for.
    interval: Duration,
    /// When it is told the next time.
    due: Instant,
}

impl Manager {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Self {
        let watchdog = || {
            let interval = sd_notify::watchdog_enabled().filter(|time| !time.is_zero())? / 2;
            Some(Watchdog { interval, due: Instant::now() })
        };
        let is_there = env::var_os("NOTIFY_SOCKET").is_some();
        Self(is_there.then(|| Service { is_ready: false, has_failed: false, watchdog: watchdog() }))
    }

    /// Whether [`observe`](Self::observe) has something to say.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.0.as_ref().is_some_and(Service::is_due)
    }

    /// Says that the server serves, the first time, and that its loop goes on. Called by the loop, between two turns.
    #[cold]
    pub(crate) fn observe(&mut self, status: &str) {
        let Some(service) = self.0.as_mut().filter(|service| service.is_due()) else { return };
        if let Some(watchdog) = &mut service.watchdog {
            watchdog.due = Instant::now() + watchdog.interval;
        }
        if service.is_ready {
            service.tell(&[NotifyState::Watchdog]);
        } else {
            service.is_ready = true;
            service.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
        }
    }

    /// Says that data and secrets are being loaded again.
    pub(crate) fn reloading(&mut self) {
        let Some(service) = &mut self.0 else { return };
        // In one message, or systemd 253 and later does not know which signal this answers.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => service.tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
            Err(error) => service.warn_once(&error),
        }
    }

    /// Says that this is over, whatever came of it: the server serves as it did meanwhile.
    pub(crate) fn reloaded(&mut self, status: &str) {
        let Some(service) = &mut self.0 else { return };
        service.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }
}

impl Drop for Manager {
    /// The loop is over.
    fn drop(&mut self) {
        let Some(service) = self.0.as_mut().filter(|service| service.is_ready) else { return };
        service.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

impl Service {
    fn is_due(&self) -> bool {
        !self.is_ready || self.watchdog.as_ref().is_some_and(|watchdog| Instant::now() >= watchdog.due)
    }

    fn tell(&mut self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            self.warn_once(&error);
        }
    }

    fn warn_once(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            warn(format_args!("the service manager cannot be told how the server is ($NOTIFY_SOCKET): {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_manager_nothing_is_due() {
        let mut manager = Manager::default();
        assert!(!manager.is_due());
        manager.observe("");
        manager.reloading();
        manager.reloaded("");
        assert!(!manager.is_due());
    }

    #[test]
    fn a_manager_hears_that_the_server_serves_and_then_at_the_pace_of_its_watchdog() {
        let service = |interval| Service {
            is_ready: true,
            has_failed: false,
            watchdog: Some(Watchdog { interval, due: Instant::now() }),
        };
        let mut manager = Manager(Some(Service { is_ready: false, has_failed: false, watchdog: None }));
        assert!(manager.is_due());
        manager.observe("");
        assert!(!manager.is_due());
        for (interval, is_due) in [(Duration::ZERO, true), (Duration::from_mins(1), false)] {
            let mut manager = Manager(Some(service(interval)));
            assert!(manager.is_due());
            manager.observe("");
            assert_eq!(manager.is_due(), is_due, "{interval:?}");
        }
    }
}
