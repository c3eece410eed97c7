//! The loop around [`lethe::turn`] for ports that can wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe::app::App;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::event_loop::{Observer, turn_observed};
use lethe::port::{LeftOutFrames, Port};
use lethe::time::Instant;
use lethe::verdict::Stats;
use lethe_hw::WorkerStats;
use nix::sys::prctl;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Frames taken in one turn, if nothing is said: enough that the clock is read seldom, few enough that replies are not
/// held back.
pub(crate) const BURST: usize = 64;

/// How long frames may gather: clients wait as long for their answers.
pub(crate) const GATHER_MAX: Duration = Duration::from_millis(10);

/// How frames are taken.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// The most at a time.
    pub(crate) burst: usize,
    /// How long the next ones gather after some were taken.
    pub(crate) gather: Duration,
}

/// The longest sleep. A signal that comes between looking for it and going to sleep is seen after it.
const NAP: Duration = Duration::from_millis(250);

/// How soon counters are published when the loop goes to sleep after every few frames: no sooner than this after the
/// last time, so that it costs nothing beside them.
const SOON: Duration = Duration::from_millis(10);

/// How often the kernel is asked for what it has lost.
const SURVEY: Duration = Duration::from_secs(1);

/// What a loop answers with.
pub(crate) trait Answerer {
    /// The application.
    type App: App;

    /// Calls `turn` with the engine. Between two calls it may be changed.
    fn with_engine<T>(&mut self, turn: impl FnOnce(&Engine<Self::App>) -> T) -> T;
}

/// Answers what `port` receives, at this pace, until `stop` is set or the port fails; returns what was counted,
/// whatever the end.
///
/// Counters are published as they come, `log` is told of requests, and `missed` of what the kernel has lost.
pub(crate) fn run<P: Port>(
    answerer: &mut impl Answerer,
    port: &mut P,
    Pace { burst, gather }: Pace,
    stop: &AtomicBool,
    (published, log): (&WorkerStats, &mut impl Observer),
    missed: impl Fn(Option<u64>),
) -> (Stats, Result<(), P::Error>) {
    let mut scratch = vec![0; SCRATCH_LEN];
    let (mut stats, mut counters) = (Stats::default(), published.publisher());
    let (mut published_at, mut surveyed_at) = (Instant::default(), Instant::default());
    let mut receives_acks = None;
    let mut ended = Ok(());
    if !gather.is_zero() {
        // Without, the kernel makes 50 µs more of it. It may refuse, and then it does.
        let _ = prctl::set_timerslack(1);
    }
    while ended.is_ok() && !stop.load(Ordering::Relaxed) {
        let (now, begun, taken) = answerer.with_engine(|engine| {
            // Before the first response that the client's ACKs decide on is sent.
            let answers_acks = engine.answers_acks();
            if receives_acks.replace(answers_acks) != Some(answers_acks) {
                port.receive_acks(answers_acks);
            }
            let (now, begun) = (now(), counters.begin_turn());
            let taken = turn_observed(engine, now, &mut port.joined(), &mut scratch, &mut stats, burst, log);
            (now, begun, taken)
        });
        let LeftOutFrames { frames, bytes } = port.take_left_out();
        if frames > 0 {
            stats.count_left_out(frames, bytes);
            counters.changed();
        }
        if taken > 0 {
            counters.turned(begun, taken, taken == burst, &stats);
        }
        if is_apart(surveyed_at, now, SURVEY) {
            surveyed_at = now;
            missed(port.missed());
        }
        // A full burst says that there may be more; what waits is taken before going to sleep.
        if taken < burst {
            let mut nap = NAP;
            if is_apart(published_at, now, SOON) {
                published_at = now;
                counters.settle(&stats);
            } else {
                nap = SOON;
            }
            if taken > 0 && !gather.is_zero() {
                thread::sleep(gather);
            } else {
                ended = port.wait(nap);
            }
        }
    }
    let LeftOutFrames { frames, bytes } = port.take_left_out();
    stats.count_left_out(frames, bytes);
    counters.publish(&stats);
    missed(port.missed());
    (stats, ended)
}

/// Whether there is so much time between them, whichever way the clock was set meanwhile.
fn is_apart(before: Instant, now: Instant, time: Duration) -> bool {
    u128::from(now.as_unix_nanos().abs_diff(before.as_unix_nanos())) >= time.as_nanos()
}

/// A flag that SIGINT and SIGTERM set. One that comes [`AGAIN`] later ends the process whatever it is doing.
pub(crate) fn stop_on_signal() -> io::Result<Arc<AtomicBool>> {
    stop_on(&[SIGINT, SIGTERM])
}

/// A flag that SIGHUP sets as well, the end of the terminal: where there is nothing to load again.
pub(crate) fn stop_on_signal_or_hangup() -> io::Result<Arc<AtomicBool>> {
    stop_on(&[SIGINT, SIGTERM, SIGHUP])
}

fn stop_on(signals: &[i32]) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for &signal in signals {
        flag::register(signal, Arc::clone(&stop))?;
    }
    let mut again = Signals::new(signals)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first = None;
        for _ in again.forever() {
            let first = *first.get_or_insert_with(std::time::Instant::now);
            if first.elapsed() >= AGAIN {
                std::process::exit(1);
            }
        }
    })?;
    Ok(stop)
}

/// How long after the first a signal counts as another one: `timeout`, and whatever signals a process and then its
/// group, sends one twice.
const AGAIN: Duration = Duration::from_millis(500);

/// What time it is. Saturating in the year 2554; a clock before 1970 is 1970.
pub(crate) fn now() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::mem;

    use lethe::app::Request;
    use lethe::config::Config;
    use lethe::cookie::Secret;
    use lethe::http::{Response, Status};
    use lethe::port::{RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
    use lethe::verdict::{Absorbed, Verdict};
    use lethe_sim::sample::{MAX_SIZE, Sample};

    use super::*;

    /// A port with so many frames that are not answered. It notes how many are left at the end of each turn.
    struct Frames<'a> {
        left: Cell<usize>,
        turns: RefCell<Vec<usize>>,
        /// Whether ACKs are wanted, each time that it is told, with the frames that are left then.
        told: Vec<(usize, bool)>,
        left_out: LeftOutFrames,
        stop: &'a AtomicBool,
    }

    impl<'a> Frames<'a> {
        fn new(stop: &'a AtomicBool, left_out: LeftOutFrames) -> Self {
            Self { left: Cell::new(7), turns: RefCell::default(), told: Vec::new(), left_out, stop }
        }
    }

    impl RxQueue for &Frames<'_> {
        fn receive(&mut self) -> Option<RxFrame<'_>> {
            self.left.set(self.left.get().checked_sub(1)?);
            Some(RxFrame::unchecked(&[0; 60]))
        }
    }

    impl TxQueue for &Frames<'_> {
        fn transmit(&mut self, _: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
            Transmit::Full
        }

        fn flush(&mut self) {
            self.turns.borrow_mut().push(self.left.get());
        }
    }

    impl Port for Frames<'_> {
        type Error = io::Error;

        fn name(&self) -> impl std::fmt::Display {
            "frames"
        }

        fn mtu(&self) -> u16 {
            1500
        }

        fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
            let this = &*self;
            (this, this)
        }

        fn receive_acks(&mut self, wanted: bool) {
            self.told.push((self.left.get(), wanted));
        }

        fn take_left_out(&mut self) -> LeftOutFrames {
            mem::take(&mut self.left_out)
        }

        fn wait(&mut self, _: Duration) -> io::Result<()> {
            self.stop.store(true, Ordering::Relaxed);
            Ok(())
        }
    }

    struct Alone(Engine<Sample>);

    impl Answerer for Alone {
        type App = Sample;

        fn with_engine<T>(&mut self, turn: impl FnOnce(&Engine<Sample>) -> T) -> T {
            turn(&self.0)
        }
    }

    /// How many of seven frames are left after each turn, until the port is waited for.
    fn turns(pace: Pace) -> Vec<usize> {
        let stop = AtomicBool::new(false);
        let mut port = Frames::new(&stop, LeftOutFrames::default());
        let mut alone = Alone(Engine::new(Config::new(Secret::new([0; 16])), Sample::new(MAX_SIZE)));
        let published = WorkerStats::for_workers(1);
        let (stats, ended) = run(&mut alone, &mut port, pace, &stop, (&published[0], &mut ()), |_| {});
        assert!(ended.is_ok() && stats.received_frames() == 7);
        port.turns.into_inner()
    }

    #[test]
    fn as_many_frames_are_taken_at_a_time_as_was_said() {
        for (burst, expect) in [(1, &[6, 5, 4, 3, 2, 1, 0, 0][..]), (3, &[4, 1, 0]), (256, &[0])] {
            assert_eq!(turns(Pace { burst, gather: Duration::ZERO }), expect, "{burst} at a time");
        }
    }

    /// An application that stores nothing.
    struct Silent;

    impl App for Silent {
        fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
            Response::build(scratch, Status::NotFound).body(&[])
        }
    }

    /// An engine that is changed before each turn: connections stay open, or they are closed, by turns.
    struct Changing(Engine<Silent>);

    impl Answerer for Changing {
        type App = Silent;

        fn with_engine<T>(&mut self, turn: impl FnOnce(&Engine<Silent>) -> T) -> T {
            self.0.config_mut().keep_alive ^= true;
            turn(&self.0)
        }
    }

    #[test]
    fn what_a_port_has_left_out_is_counted_as_absorbed_and_the_port_is_told_of_changes_ahead_of_frames() {
        let stop = AtomicBool::new(false);
        let mut port = Frames::new(&stop, LeftOutFrames { frames: 5, bytes: 300 });
        let config = Config { keep_alive: false, ..Config::new(Secret::new([0; 16])) };
        let published = WorkerStats::for_workers(1);
        let (pace, sink) = (Pace { burst: 3, gather: Duration::ZERO }, (&published[0], &mut ()));
        let (stats, ended) = run(&mut Changing(Engine::new(config, Silent)), &mut port, pace, &stop, sink, |_| {});
        assert!(ended.is_ok());
        assert_eq!(port.told, [(7, true), (4, false), (1, true)]);
        assert_eq!((stats.received_frames(), stats.received_bytes()), (7 + 5, 7 * 60 + 300));
        assert_eq!((stats.count(Verdict::Absorbed(Absorbed::Ack)), published[0].turns().frames), (5, 7));
        assert_eq!(published[0].stats(), stats);
    }

    #[test]
    fn frames_gather_after_some_were_taken_and_are_waited_for_after_none() {
        let (start, gather) = (std::time::Instant::now(), Duration::from_millis(5));
        assert_eq!(turns(Pace { burst: 256, gather }), [0, 0]);
        assert!(start.elapsed() >= gather);
        // More are there already.
        assert_eq!(turns(Pace { burst: 7, gather }), [0, 0]);
    }
}
