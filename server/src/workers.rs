//! Several workers in one process, each a thread with a port of its own to one device of the kernel.
//!
//! They share the engine behind a lock, which each takes for a turn, and nothing else. A turn ends with system calls,
//! beside which taking the lock is little; it is free while a worker sleeps, so that a reload waits for no idle one.

use std::any::Any;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use lethe::App;
use lethe::engine::Engine;
use lethe::port::Port;
use lethe::verdict::Stats;
use lethe_hw::WorkerStats;

use crate::access_log;
use crate::metrics::snapshot::Watched;
use crate::print::Printed as _;
use crate::run::{Answerer, BURST, Pace, run};
use crate::serving::{Opened, Ready, Serving};
use crate::table::print_end;

/// How often signals and reloads are looked at.
const ROUND: Duration = Duration::from_millis(100);

/// The engine of all workers.
struct Shared<'a, A>(&'a RwLock<Engine<A>>);

impl<A: App> Answerer for Shared<'_, A> {
    type App = A;

    fn with_engine<T>(&mut self, turn: impl FnOnce(&Engine<A>) -> T) -> T {
        turn(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends all workers when one ends, also by a panic.
struct EndAll<'a>(&'a AtomicBool);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Serves with a worker for each port until SIGINT or SIGTERM, or until one of them fails.
pub(crate) fn serve<X, A>(serving: Serving<'_, X, A>, mut ports: Vec<impl Port + Send>) -> anyhow::Result<()>
where
    X: clap::Args,
    A: App + Send + Sync + 'static,
{
    let args = serving.args;
    let pace = Pace { burst: args.burst(BURST), gather: args.gather };
    let cpus = args.cpus.as_ref();
    let count = ports.len();
    let first = ports.first().context("there is no port")?;
    let name = format!("{}, {count} workers", first.name());
    let opened = Opened { name: &name, mtu: first.mtu(), mac: first.mac(), offload: first.offload() };
    let Ready { engine, stop, metrics, log, app_name, mut reload } = serving.begin(&opened)?;
    let (log, mut writers) = access_log::start(log, count)?;
    let published = WorkerStats::for_workers(count);
    let names = (0..count).map(|number| number.to_string()).collect();
    let watched = Watched::new(name.clone(), app_name, names, Arc::clone(&published), reload.counted());
    let watched = Arc::new(watched.with_log(log.as_ref()));
    let shown = metrics.show(&watched)?;
    let engine = RwLock::new(engine);
    let losses: Vec<_> = (0..count).map(|_| AtomicU64::new(0)).collect();
    let ended = thread::scope(|scope| {
        let (engine, losses, watched, stop) = (&engine, &losses, &watched, &*stop);
        let _end = EndAll(stop);
        let mut workers = Vec::new();
        let each = ports.iter_mut().zip(published.iter().zip(&mut writers));
        for (number, (port, counting)) in each.enumerate() {
            let work = move || {
                let _end = EndAll(stop);
                if let Some(cpus) = cpus {
                    cpus.bind(number);
                }
                let missed = |missed| watched.set_missed(add_loss(losses, number, missed));
                run(&mut Shared(engine), port, pace, stop, counting, missed).1
            };
            let worker = thread::Builder::new().name(format!("worker {number}"));
            workers.push(worker.spawn_scoped(scope, work).context("there is no thread for a worker")?);
        }
        while !stop.load(Ordering::Relaxed) {
            if reload.is_due() {
                reload.observe(&mut engine.write().unwrap_or_else(PoisonError::into_inner));
            }
            thread::sleep(ROUND);
        }
        let mut ended = Ok(());
        for (number, worker) in workers.into_iter().enumerate() {
            let result = match worker.join() {
                Ok(result) => result.with_context(|| format!("{name} can no longer be used")),
                Err(panic) => Err(anyhow!("worker {number} panicked: {}", message(&*panic))),
            };
            ended = ended.and(result);
        }
        ended
    });
    drop(shown);
    let stats: Vec<_> = published.iter().map(WorkerStats::stats).collect();
    let missed = ports.iter_mut().map(Port::missed).sum();
    let printed = print_workers(&stats).printed().and_then(|()| print_end(&watched.total(), missed, log));
    ended?;
    printed
}

/// Notes what one worker has missed. Returns what all have, where that is counted.
fn add_loss(losses: &[AtomicU64], number: usize, missed: Option<u64>) -> Option<u64> {
    losses.get(number)?.store(missed?, Ordering::Relaxed);
    Some(losses.iter().map(|loss| loss.load(Ordering::Relaxed)).sum())
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

fn print_workers(stats: &[Stats]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    for (number, stats) in stats.iter().enumerate() {
        writeln!(out, "worker {number}: in {}, out {}", stats.received_frames(), stats.sent_frames())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_have_missed_is_added_up() {
        let losses = [AtomicU64::new(0), AtomicU64::new(0)];
        assert_eq!(add_loss(&losses, 0, Some(3)), Some(3));
        assert_eq!(add_loss(&losses, 1, Some(4)), Some(7));
        assert_eq!(add_loss(&losses, 0, Some(5)), Some(9));
        assert_eq!(add_loss(&losses, 1, None), None);
    }
}
