//! Running a scenario: all its clients, what became of them, and whether that is as it must be.
//!
//! Each client has two phases: its links are impaired, and then they have healed and it must finish. The
//! first violation of anything ends the run. A run can be run again with a [`Recorder`]: it is the same to
//! the nanosecond.

mod summary;

use std::fmt;

use lethe::app::App;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::time::Instant;

pub use summary::{Excuse, Summary};

use crate::check::{self, Checker};
use crate::clock::between;
use crate::peer::Outcome;
use crate::scenario::{AppClients, ClientSpec, Options, Promise, Scenario, Workload};
use crate::world::{ClientId, Finished, Recorder, Violation, World};

/// The most clients at a time. More would make no difference to an engine that remembers nothing, and to
/// the machine that simulates them it does.
const CONCURRENT: u32 = 64;

/// A run that showed a fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The command line that shows it again.
    pub command_line: String,
    /// Whose fetch it was.
    pub client: ClientId,
    /// What that client is like.
    pub about: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with a run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// A checker found an invariant that does not hold.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// A client that must get its reply has not got it.
    #[error("it has not finished {waited:?} after its start, long after its links had healed")]
    Overdue {
        /// How long it was waited for.
        waited: std::time::Duration,
    },
    /// A client gave up, or saw what no server may do.
    #[error("it failed: {0}")]
    Failed(String),
    /// A client read what the application did not say.
    #[error("it read {got} bytes instead of {wanted}, and byte {differs} is the first that is wrong")]
    WrongBytes {
        /// How many it read.
        got: usize,
        /// How many it should have.
        wanted: usize,
        /// The place of the first wrong one.
        differs: usize,
    },
    /// A client that came to read a reply did not read any, or the other way round.
    #[error("it ended unexpectedly: {0}")]
    Unexpected(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command_line, client: ClientId(client), about, fault } = self;
        writeln!(f, "client {client}: {fault}")?;
        writeln!(f, "{about}")?;
        write!(f, "to see it again: {command_line}")
    }
}

impl std::error::Error for Failure {}

/// Draws a scenario and runs it to its end, under the eyes of all checkers.
///
/// # Errors
///
/// When an invariant does not hold, or a client did not get what it was promised. What is recorded is
/// complete even so.
pub fn simulate(options: Options, recorder: Option<&mut Recorder>) -> Result<Summary, Failure> {
    let scenario = Scenario::draw(options);
    let engine = scenario.engine();
    run(&scenario, &engine, check::all(&engine), recorder)
}

/// Has clients of all kinds fetch from an application, under the eyes of all checkers: each sends one of these
/// requests, complete from its first line to its empty line. With `is_split` it is written in pieces, split anywhere,
/// with and without Nagle's algorithm. `again` is what a [`Failure`] says is to be done to see it again.
///
/// # Errors
///
/// Those of [`simulate`].
pub fn simulate_app(
    app: &(impl App + ?Sized),
    requests: &[Vec<u8>],
    is_split: bool,
    options: Options,
    again: String,
    recorder: Option<&mut Recorder>,
) -> Result<Summary, Failure> {
    let workload = AppClients::draw(app, requests, options, is_split, again);
    let engine = Engine::new(workload.scenario().config.clone(), app);
    run(&workload, &engine, check::all(&engine), recorder)
}

/// Lets all clients of a workload come to an engine.
///
/// # Errors
///
/// Those of [`simulate`].
pub fn run<A: App>(
    workload: &dyn Workload,
    engine: &Engine<A>,
    checkers: Vec<Box<dyn Checker + '_>>,
    recorder: Option<&mut Recorder>,
) -> Result<Summary, Failure> {
    let _name = NamedOnPanic(workload);
    let mut run = Run::new(workload, engine, checkers, recorder);
    match run.go_on() {
        Ok(()) => Ok(run.into_summary()),
        Err(fault) => {
            let about = workload.client(run.current.0).to_string();
            Err(Failure { command_line: workload.command_line(), client: run.current, about, fault })
        }
    }
}

/// A panic is a failure like any other, and must be seen again as well.
struct NamedOnPanic<'a>(&'a dyn Workload);

impl Drop for NamedOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to see it again: {}", self.0.command_line());
        }
    }
}

struct Run<'a, A> {
    workload: &'a dyn Workload,
    engine: &'a Engine<A>,
    world: World<'a, A>,
    /// The clients that are there, by number; each is forgotten when it is judged.
    clients: Vec<Option<ClientSpec>>,
    /// The client that was looked at last.
    current: ClientId,
    summary: Summary,
    scratch: Box<[u8]>,
    last_end: Instant,
}

impl<'a, A: App> Run<'a, A> {
    fn new(
        workload: &'a dyn Workload,
        engine: &'a Engine<A>,
        checkers: Vec<Box<dyn Checker + 'a>>,
        recorder: Option<&'a mut Recorder>,
    ) -> Self {
        let mut world = World::new(engine, workload.start()).with_checkers(checkers);
        if let Some(recorder) = recorder {
            world = world.with_recorder(recorder);
        }
        Self {
            workload,
            engine,
            world,
            clients: Vec::new(),
            current: ClientId(0),
            summary: Summary::default(),
            scratch: vec![0; SCRATCH_LEN].into(),
            last_end: workload.start(),
        }
    }

    fn go_on(&mut self) -> Result<(), Fault> {
        for _ in 0..CONCURRENT.min(self.workload.clients()) {
            self.admit();
        }
        loop {
            match self.world.next_finished() {
                Ok(Some(finished)) => {
                    self.current = finished.client;
                    self.last_end = self.world.now();
                    self.judge(finished)?;
                    self.admit();
                }
                Ok(None) => return Ok(()),
                Err(violation) => {
                    self.current = violation.client;
                    return Err(violation.into());
                }
            }
        }
    }

    /// Lets the next client in, if there is one more.
    fn admit(&mut self) {
        let number = self.clients.len() as u32;
        if number < self.workload.clients() {
            let client = self.workload.client(number);
            self.clients.push(Some(client.clone()));
            self.world.add(self.world.now(), client.into_client());
        }
    }

    fn judge(&mut self, finished: Finished) -> Result<(), Fault> {
        let Finished { client: id, took, outcome, .. } = finished;
        let Some(client) = self.clients[id.0 as usize].take() else {
            return Err(Fault::Unexpected("it ended twice"));
        };
        match (client.promise, outcome) {
            (Promise::Nothing, _) | (Promise::PerhapsReply, Outcome::Running | Outcome::Failed(_)) => {
                self.summary.excuse(&client);
            }
            // Without timestamps one FIN in a thousand behind a lost request passes for that of a client without one.
            (Promise::PerhapsReply, Outcome::Complete(read)) if read.is_empty() => self.summary.excuse(&client),
            (Promise::Reply | Promise::PerhapsReply, Outcome::Complete(read)) => {
                let app = self.engine.app();
                let wanted = client.reply(app, &mut self.scratch);
                if read != wanted && !client.may_read(app, &read, &mut self.scratch) {
                    return Err(wrong_bytes(&read, &wanted));
                }
                self.summary.complete(took, read.len());
            }
            (Promise::NoReply, Outcome::Done) => self.summary.without_reply += 1,
            (_, Outcome::Running) => return Err(Fault::Overdue { waited: took }),
            (_, Outcome::Failed(reason)) => return Err(Fault::Failed(reason)),
            (_, Outcome::Done) => return Err(Fault::Unexpected("it was done without a reply")),
            (_, Outcome::Complete(_)) => return Err(Fault::Unexpected("it read a reply")),
        }
        Ok(())
    }

    fn into_summary(mut self) -> Summary {
        self.summary.elapsed = between(self.workload.start(), self.last_end);
        self.summary.close(&self.world);
        self.summary
    }
}

fn wrong_bytes(read: &[u8], wanted: &[u8]) -> Fault {
    let differs = read.iter().zip(wanted).take_while(|(read, wanted)| read == wanted).count();
    Fault::WrongBytes { got: read.len(), wanted: wanted.len(), differs }
}

#[cfg(test)]
mod tests;
