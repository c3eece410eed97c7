//! Processor time, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Ticks of `/proc/stat` in a second.
fn ticks() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}

/// Seconds that each CPU has worked since the machine started: user, nice, system, irq and softirq of `/proc/stat`.
pub(crate) fn busy() -> anyhow::Result<BTreeMap<usize, f64>> {
    let mut seconds = BTreeMap::new();
    for line in fs::read_to_string("/proc/stat")?.lines() {
        let mut words = line.split_whitespace();
        let Some(cpu) = words.next().and_then(|name| name.strip_prefix("cpu")?.parse().ok()) else { continue };
        let counts: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
        seconds.insert(cpu, [0, 1, 2, 5, 6].iter().filter_map(|&at| counts.get(at)).sum::<f64>() / ticks());
    }
    Ok(seconds)
}

/// Seconds that processes, all their threads and the children they have waited for have run. Where utime and stime of
/// `/proc/PID/stat` are in hundredths of a second, the clock of the process has nanoseconds.
pub(crate) fn of_processes(pids: &[u32]) -> anyhow::Result<f64> {
    let mut total = 0.0;
    for &pid in pids {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} has ended"))?;
        // The name of the program, in brackets, may have anything in it.
        let (_, fields) = stat.rsplit_once(')').context("a line of /proc/PID/stat")?;
        let children =
            fields.split_whitespace().skip(13).take(2).filter_map(|word| word.parse::<f64>().ok()).sum::<f64>();
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))?;
        total += Duration::from(clock_gettime(clock)?).as_secs_f64() + children / ticks();
    }
    Ok(total)
}

/// Seconds that programs which we started and which have ended have run.
pub(crate) fn of_children() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

/// What each CPU does when nothing is asked of it, as a share of the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baseline(BTreeMap<usize, f64>);

impl Baseline {
    pub(crate) fn watch(length: Duration) -> anyhow::Result<Self> {
        let (before, start) = (busy()?, Instant::now());
        std::thread::sleep(length);
        let length = start.elapsed().as_secs_f64();
        let share = |(cpu, spent): (usize, f64)| (cpu, (spent - before.get(&cpu).unwrap_or(&0.0)) / length);
        Ok(Self(busy()?.into_iter().map(share).collect()))
    }

    pub(crate) fn total(&self) -> f64 {
        self.0.values().sum()
    }
}

/// The parts of what is spent: see [`Spent`].
pub(crate) const PARTS: [&str; 5] = ["server", "its process", "its CPUs", "whole machine", "client's process"];

/// Seconds of processor time that something took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// How long it took by the clock.
    pub(crate) seconds: f64,
    /// The server's processes, and the kernel's threads that receive for it.
    pub(crate) server: f64,
    /// The server's processes alone.
    pub(crate) process: f64,
    /// The server's CPUs by `/proc/stat`, less the baseline; nothing where the client is on the same ones.
    pub(crate) cpus: Option<f64>,
    /// All CPUs by `/proc/stat`, less the baseline.
    pub(crate) machine: f64,
    /// The client's process alone.
    pub(crate) client: f64,
}

/// Counts what is spent while `work` is done.
pub(crate) fn spent<T>(
    baseline: &Baseline,
    server_cpus: Option<&[usize]>,
    pids: &[u32],
    receivers: &[u32],
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Spent)> {
    let before = (busy()?, of_processes(pids)?, of_processes(receivers)?, of_children()?);
    let start = Instant::now();
    let done = work()?;
    let seconds = start.elapsed().as_secs_f64();
    let idle = |cpu: usize| baseline.0.get(&cpu).unwrap_or(&0.0) * seconds;
    let worked = |(cpu, spent): (usize, f64)| (cpu, spent - before.0.get(&cpu).unwrap_or(&0.0) - idle(cpu));
    let worked: BTreeMap<usize, f64> = busy()?.into_iter().map(worked).collect();
    let process = of_processes(pids)? - before.1;
    let spent = Spent {
        seconds,
        server: process + of_processes(receivers)? - before.2,
        process,
        cpus: server_cpus.map(|cpus| cpus.iter().filter_map(|cpu| worked.get(cpu)).sum()),
        machine: worked.values().sum(),
        client: of_children()? - before.3,
    };
    Ok((done, spent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_and_waiting_is_not() {
        let own = [std::process::id()];
        let work = || {
            let start = Instant::now();
            let mut number = 0_u64;
            while of_processes(&own)? < 1e-3 || start.elapsed() < Duration::from_millis(50) {
                number = std::hint::black_box(number.wrapping_mul(31) + 1);
            }
            Ok(number)
        };
        let (_, spent) = spent(&Baseline::default(), None, &own, &[], work).unwrap();
        assert!(spent.process > 0.0 && spent.seconds >= 0.05, "{spent:?}");
        assert!((spent.server - spent.process).abs() < 1e-9 && spent.cpus.is_none(), "{spent:?}");
    }
}
