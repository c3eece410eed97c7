//! The processors that workers are bound to.

use std::fmt;
use std::str::FromStr;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::message::warn;

/// Processors by their numbers, as `taskset -c` has them: `2,4-6`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cpus(Vec<usize>);

impl Cpus {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Binds this thread, that of a worker by its number, to its processor. A worker that cannot be bound serves
    /// without that.
    pub(crate) fn bind(&self, worker: usize) {
        let Some(&cpu) = self.0.get(worker) else { return };
        let mut set = CpuSet::new();
        // The thread that calls.
        let this = Pid::from_raw(0);
        if let Err(error) = set.set(cpu).and_then(|()| sched_setaffinity(this, &set)) {
            warn(format_args!("worker {worker} is not bound to processor {cpu}: {error}"));
        }
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|&cpu: &usize| cpu < CpuSet::count());
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
            let (first, last) = range.ok_or_else(|| format!("want processors as in 2,4-6, and not {part:?}"))?;
            cpus.extend(first..=last);
        }
        let mut sorted = cpus.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < cpus.len() { Err("a processor is there twice".to_owned()) } else { Ok(Self(cpus)) }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&numbers.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_numbers_and_ranges() {
        let cpus = |text: &str| text.parse().map(|Cpus(cpus)| cpus);
        assert_eq!(cpus("0"), Ok(vec![0]));
        assert_eq!(cpus("2,4-6"), Ok(vec![2, 4, 5, 6]));
        assert_eq!(cpus("3-3,1"), Ok(vec![3, 1]));
        for wrong in ["", "a", "1,", "-1", "2-1", "1-", "1,0-2", "100000", "1-2-3"] {
            assert!(cpus(wrong).is_err(), "{wrong}");
        }
        assert_eq!("2,4-6".parse::<Cpus>().unwrap().to_string(), "2,4,5,6");
    }
}
