//! Clients of all kinds on a simulated network, who fetch from an application.

use std::fmt::{self, Display, Write as _};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lethe::App;
use lethe_sim::link::Impairment;
use lethe_sim::random::Probability;
use lethe_sim::run::{Failure, Summary, simulate_app};
use lethe_sim::scenario::Options;
use lethe_sim::world::Recorder;

use crate::contract::{Breach, Broken};
use crate::request::{self, TestRequest, first_line};

/// How many seeds are run, and how many clients come in each, where nothing else is said: a second or two.
const SEEDS: Range<u64> = 0..10;
const CLIENTS: u32 = 50;

/// Has clients fetch from an application over a simulated network: each sends one of these requests, and what it reads
/// must be what the application answers, byte by byte.
///
/// The clients are of all kinds: as Linux is, as smoltcp is, with and without timestamps and SACK, with small windows
/// and segments, reading slowly, closing early, aborting. Every packet in between is looked at by the checkers of the
/// simulator. Without a word about the network, each seed draws one; what is said holds for both directions.
///
/// ```
/// use lethe::http::{Response, Status};
/// use lethe::{App, Request};
///
/// struct Hello;
///
/// impl App for Hello {
///     fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
///         Response::build(scratch, Status::Ok).body(b"hello\n")
///     }
/// }
///
/// # fn main() -> Result<(), lethe_test::SimulationError> {
/// let report = lethe_test::simulate(&Hello, ["/"]).loss("5%").seeds(0..3).run()?;
/// assert!(report.completed > 50);
/// # Ok(())
/// # }
/// ```
pub fn simulate<A: App + ?Sized>(
    app: &A,
    requests: impl IntoIterator<Item = impl Into<TestRequest>>,
) -> Simulation<'_, A> {
    Simulation {
        app,
        requests: request::all(requests),
        impairment: None,
        is_split: false,
        seeds: SEEDS,
        clients: CLIENTS,
        keep_alive: None,
        pcap: None,
        calls: String::new(),
    }
}

/// A simulation that is being set up: see [`simulate`].
#[derive(Clone)]
#[must_use = "nothing happens before `run`"]
pub struct Simulation<'a, A: ?Sized> {
    app: &'a A,
    requests: Vec<Vec<u8>>,
    /// What is wrong with the network; each seed draws that if nothing is said.
    impairment: Option<Impairment>,
    is_split: bool,
    seeds: Range<u64>,
    clients: u32,
    keep_alive: Option<u32>,
    pcap: Option<PathBuf>,
    /// The calls that set it up, for a failure to name.
    calls: String,
}

impl<A: ?Sized> fmt::Debug for Simulation<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulate(&app, requests){}.seeds({:?})", self.calls, self.seeds)
    }
}

/// What a probability of a test is made from: `"5%"`, `"0.05"` or `0.05`.
#[track_caller]
fn probability<P: TryInto<Probability, Error: Display>>(name: &str, chance: P) -> Probability {
    chance.try_into().unwrap_or_else(|error| panic!("{name}: {error}"))
}

impl<A: App + ?Sized> Simulation<'_, A> {
    /// Loses frames with this probability, `"5%"` or `0.05`.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).loss("5%").seeds(0..2).run().unwrap();
    /// lethe_test::simulate(&app, ["/100"]).loss(0.05).seeds(0..2).run().unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// When it is no probability.
    #[track_caller]
    pub fn loss(self, chance: impl TryInto<Probability, Error: Display>) -> Self {
        let chance = probability("loss", chance);
        self.impaired(&format!(".loss(\"{chance}\")"), |impairment| impairment.loss = chance)
    }

    /// Lets frames arrive twice with this probability.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).duplicate("10%").seeds(0..2).run().unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// When it is no probability.
    #[track_caller]
    pub fn duplicate(self, chance: impl TryInto<Probability, Error: Display>) -> Self {
        let chance = probability("duplicate", chance);
        self.impaired(&format!(".duplicate(\"{chance}\")"), |impairment| impairment.duplicate = chance)
    }

    /// Lets frames be overtaken by others with this probability.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).reorder("10%").seeds(0..2).run().unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// When it is no probability.
    #[track_caller]
    pub fn reorder(self, chance: impl TryInto<Probability, Error: Display>) -> Self {
        let chance = probability("reorder", chance);
        self.impaired(&format!(".reorder(\"{chance}\")"), |impairment| impairment.reorder = chance)
    }

    /// Flips a bit of frames with this probability.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).corrupt("2%").seeds(0..2).run().unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// When it is no probability.
    #[track_caller]
    pub fn corrupt(self, chance: impl TryInto<Probability, Error: Display>) -> Self {
        let chance = probability("corrupt", chance);
        self.impaired(&format!(".corrupt(\"{chance}\")"), |impairment| impairment.corrupt = chance)
    }

    /// Has every frame take this long, each way.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).delay(Duration::from_millis(80)).seeds(0..2).run().unwrap();
    /// ```
    pub fn delay(self, delay: Duration) -> Self {
        self.impaired(&format!(".delay(Duration::from_nanos({}))", delay.as_nanos()), |impairment| {
            impairment.delay = delay;
        })
    }

    /// Lets IP packets of at most so many bytes pass.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).mtu(1400).seeds(0..2).run().unwrap();
    /// ```
    pub fn mtu(self, bytes: u16) -> Self {
        self.impaired(&format!(".mtu({bytes})"), |impairment| impairment.mtu = Some(bytes))
    }

    /// Sets all of the network at once, as `lethe simulate --impair` takes it: bursts of loss, rates, outages and more.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).impair("burst=1%,jitter=5ms,rate=10mbit").seeds(0..2).run().unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// When that is no list of impairments.
    #[track_caller]
    pub fn impair(self, list: &str) -> Self {
        let all: Impairment = list.parse().unwrap_or_else(|error| panic!("{list}: {error}"));
        self.impaired(&format!(".impair(\"{all}\")"), |impairment| *impairment = all)
    }

    fn impaired(mut self, call: &str, change: impl FnOnce(&mut Impairment)) -> Self {
        self.calls.push_str(call);
        change(self.impairment.get_or_insert_default());
        self
    }

    /// Writes requests in pieces that are split anywhere, with and without Nagle's algorithm. A kernel puts pieces
    /// together when it sends them again, so one request comes in packets of different lengths: the answer must not
    /// depend on which of them arrives.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// lethe_test::simulate(&app, ["/100"]).split().seeds(0..2).run().unwrap();
    /// ```
    pub fn split(mut self) -> Self {
        self.is_split = true;
        self.calls.push_str(".split()");
        self
    }

    /// Runs these seeds, each of which draws all that is not set. Without this call ten are run.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// let report = lethe_test::simulate(&app, ["/100"]).seeds(7..9).run().unwrap();
    /// assert_eq!(report.seeds, 2);
    /// ```
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Lets so many clients come in each seed. Without this call 50 come.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// let report = lethe_test::simulate(&app, ["/100"]).clients(20).seeds(0..2).run().unwrap();
    /// assert_eq!(report.completed + report.without_reply + report.excused, 40);
    /// ```
    pub fn clients(mut self, clients: u32) -> Self {
        self.clients = clients;
        let _ = write!(self.calls, ".clients({clients})");
        self
    }

    /// Has clients keep their connections, each for at most so many requests: one after the other, with pauses, and now
    /// and then several in one packet. What each reads must be the answers to its requests, in their order; of what a
    /// response says of the connection, nothing is compared. None of these requests is [split](Self::split), and each
    /// should fit a packet: of a longer one no more is read, so its answer may be another. Without this call each
    /// client closes its connection after one request.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// let report = lethe_test::simulate(&app, ["/100", "/200"]).keep_alive(8).loss("5%").seeds(0..2).run().unwrap();
    /// assert!(report.completed > 50);
    /// ```
    ///
    /// # Panics
    ///
    /// With none.
    #[track_caller]
    pub fn keep_alive(mut self, requests: u32) -> Self {
        assert!(requests > 0, "a client that asks for nothing");
        self.keep_alive = Some(requests);
        let _ = write!(self.calls, ".keep_alive({requests})");
        self
    }

    /// Writes the frames of a client that fails to this pcapng file, with what became of each on its way.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(1000);
    /// # let file = std::env::temp_dir().join("lethe-test-doc.pcapng");
    /// lethe_test::simulate(&app, ["/100"]).pcap(&file).seeds(0..2).run().unwrap();
    /// assert!(!file.exists(), "it is written when something fails");
    /// ```
    pub fn pcap(mut self, file: impl AsRef<Path>) -> Self {
        self.pcap = Some(file.as_ref().to_owned());
        self
    }

    /// Runs it, seed after seed.
    ///
    /// ```
    /// use lethe::http::{Response, Status};
    /// use lethe::{App, Request};
    /// use std::cell::Cell;
    ///
    /// /// Counts, which no application may.
    /// struct Counter(Cell<u64>);
    ///
    /// impl App for Counter {
    ///     fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    ///         self.0.set(self.0.get() + 1);
    ///         Response::build(scratch, Status::Ok).body_with(|body| body.push_decimal(self.0.get()))
    ///     }
    /// }
    ///
    /// let error = lethe_test::simulate(&Counter(Cell::new(0)), ["/"]).loss("5%").run().unwrap_err().to_string();
    /// assert!(error.contains("to see it again: lethe_test::simulate(&app, requests).loss(\"5%\").seeds(0..1).run()"));
    /// ```
    ///
    /// # Errors
    ///
    /// The first client that did not get what it was promised, or the first packet that breaks a rule; and when nothing
    /// was shown: no client got a reply.
    pub fn run(&self) -> Result<Report, SimulationError> {
        self.check_requests()?;
        let mut report = Report::default();
        for seed in self.seeds.clone() {
            let summary = self.run_seed(seed, None).map_err(|failure| self.failed(seed, failure))?;
            report.add(&summary);
        }
        if report.completed == 0 {
            return Err(SimulationError::Nothing(report));
        }
        Ok(report)
    }

    fn check_requests(&self) -> Result<(), SimulationError> {
        if self.requests.is_empty() {
            return Err(SimulationError::Request(Broken { request: String::new(), breach: Breach::NoRequest }));
        }
        self.requests.iter().try_for_each(|request| match request::problem(self.app, request) {
            None => Ok(()),
            Some(problem) => {
                Err(SimulationError::Request(Broken { request: first_line(request), breach: Breach::Request(problem) }))
            }
        })
    }

    fn run_seed(&self, seed: u64, recorder: Option<&mut Recorder>) -> Result<Summary, Failure> {
        let impairment = self.impairment.clone();
        let Self { clients: requests, keep_alive, .. } = *self;
        let options = Options { requests, impairment, keep_alive, ..Options::new(seed) };
        let Self { calls, .. } = self;
        let again = format!("lethe_test::simulate(&app, requests){calls}.seeds({seed}..{}).run()", seed + 1);
        simulate_app(self.app, &self.requests, self.is_split, options, again, recorder)
    }

    fn failed(&self, seed: u64, failure: Failure) -> SimulationError {
        let recorded = self.pcap.as_ref().map(|file| {
            let write = || -> io::Result<()> {
                let mut recorder = Recorder::create(file, Some(failure.client))?;
                // It ends with the same failure.
                let _ = self.run_seed(seed, Some(&mut recorder));
                recorder.finish()
            };
            match write() {
                Ok(()) => format!("its frames are in {}", file.display()),
                Err(error) => format!("its frames are not in {}: {error}", file.display()),
            }
        });
        SimulationError::Failed { seed, failure: Box::new(failure), recorded }
    }
}

/// What came of a simulation without a failure.
///
/// ```
/// # let app = lethe_sim::sample::Sample::new(1000);
/// let report = lethe_test::simulate(&app, ["/100"]).seeds(0..2).run().unwrap();
/// assert!(report.to_string().starts_with("2 seeds: "));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// Replies that were read to the end, and right in every byte; of a client that keeps its connection, all of its
    /// replies together count as one.
    pub completed: u64,
    /// Clients that did what they came for, which was not to read a reply: they scan, connect, or abort.
    pub without_reply: u64,
    /// Clients that are promised no reply, by the known limits of the protocol, and got none.
    pub excused: u64,
    /// Frames that the engine sent.
    pub frames_sent: u64,
}

impl Report {
    fn add(&mut self, summary: &Summary) {
        self.seeds += 1;
        self.completed += summary.completed();
        self.without_reply += summary.without_reply;
        self.excused += summary.excused;
        self.frames_sent += summary.stats.sent_frames();
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, completed, without_reply, excused, frames_sent } = self;
        write!(f, "{seeds} seeds: {completed} replies complete, {without_reply} clients that wanted none, ")?;
        write!(f, "{excused} that are promised none and got none; {frames_sent} frames sent")
    }
}

/// What is wrong with a simulation, or with what it ran.
///
/// ```
/// use lethe_test::SimulationError;
///
/// # let app = lethe_sim::sample::Sample::new(1000);
/// let error = lethe_test::simulate(&app, ["POST / HTTP/1.1\r\n\r\n"]).run().unwrap_err();
/// assert!(matches!(error, SimulationError::Request(_)));
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// There is no request, or one that reaches no application.
    #[error(transparent)]
    Request(Broken),
    /// A client did not get what it was promised, or a packet breaks a rule.
    #[error("seed {seed}, {failure}{}", recorded.as_ref().map_or(String::new(), |text| format!("\n{text}")))]
    Failed {
        /// The seed that shows it.
        seed: u64,
        /// Which client, what is wrong, and how to see it again.
        failure: Box<Failure>,
        /// Where its frames are, if they were to be recorded.
        recorded: Option<String>,
    },
    /// No client got a reply, so nothing was shown.
    #[error("no client got a reply, so nothing is shown ({0})")]
    Nothing(Report),
}

/// Says what `Display` does: it is what `unwrap` prints in a test.
impl fmt::Debug for SimulationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}
