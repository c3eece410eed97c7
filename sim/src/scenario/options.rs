//! What is set by hand, as it stands on a command line.

use std::fmt;
use std::str::FromStr;

use crate::link::{Impairment, ImpairmentError};

/// What is set by hand; the rest is drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What everything is drawn from.
    pub seed: u64,
    /// How many clients there are.
    pub requests: u32,
    /// How many bytes each asks for; each draws for itself if it is not set.
    pub size: Option<usize>,
    /// What is wrong with every link; it is drawn, for each direction, if it is not set.
    pub impairment: Option<Impairment>,
    /// Some replies are long: many segments, up to 1 MB, for clients of which some read slowly.
    pub large: bool,
    /// Clients keep their connections, each for at most so many requests.
    pub keep_alive: Option<u32>,
}

impl Options {
    /// How many clients there are where nothing else is said: enough to see most kinds of them, and few
    /// enough for hundreds of seeds a minute.
    pub const REQUESTS: u32 = 100;

    /// Everything drawn from a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, requests: Self::REQUESTS, size: None, impairment: None, large: false, keep_alive: None }
    }
}

/// The command line that runs the same again.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lethe simulate --seed {} --requests {}", self.seed, self.requests)?;
        if let Some(size) = self.size {
            write!(f, " --size {size}")?;
        }
        if self.large {
            write!(f, " --large")?;
        }
        if let Some(requests) = self.keep_alive {
            write!(f, " --keep-alive {requests}")?;
        }
        if let Some(impairment) = &self.impairment {
            write!(f, " --impair \"{impairment}\"")?;
        }
        Ok(())
    }
}

/// Why a line names no run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OptionsError {
    /// No option has this name.
    #[error("`{0}` is no option of a run; there are --seed, --requests, --size, --large, --keep-alive and --impair")]
    Unknown(String),
    /// The option has no value, or one that is no number.
    #[error("{0} needs a number")]
    Number(String),
    /// There is no seed.
    #[error("there is no --seed")]
    NoSeed,
    /// The impairment cannot be read.
    #[error(transparent)]
    Impairment(#[from] ImpairmentError),
}

/// Reads what [`Options`] print, with or without the name of the command.
impl FromStr for Options {
    type Err = OptionsError;

    fn from_str(line: &str) -> Result<Self, OptionsError> {
        fn number<T: FromStr>(option: &str, value: Option<&str>) -> Result<T, OptionsError> {
            value.and_then(|text| text.parse().ok()).ok_or_else(|| OptionsError::Number(option.to_owned()))
        }
        let mut seed = None;
        let mut options = Self::new(0);
        let mut words = line.trim().trim_start_matches("lethe simulate").split_whitespace();
        while let Some(option) = words.next() {
            if option == "--large" {
                options.large = true;
                continue;
            }
            let value = words.next();
            match option {
                "--seed" => seed = Some(number(option, value)?),
                "--requests" => options.requests = number(option, value)?,
                "--size" => options.size = Some(number(option, value)?),
                "--keep-alive" => options.keep_alive = Some(number(option, value)?),
                "--impair" => options.impairment = Some(value.unwrap_or_default().trim_matches('"').parse()?),
                _ => return Err(OptionsError::Unknown(option.to_owned())),
            }
        }
        options.seed = seed.ok_or(OptionsError::NoSeed)?;
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_command_line() {
        let options = Options { size: Some(9), impairment: "loss=5%,delay=1ms".parse().ok(), ..Options::new(7) };
        let line = "lethe simulate --seed 7 --requests 100 --size 9 --impair \"loss=5%,delay=1ms\"";
        assert_eq!(options.to_string(), line);
        assert_eq!(line.parse(), Ok(options));
        assert_eq!("--seed 7".parse(), Ok(Options::new(7)));
        let large = Options { large: true, ..Options::new(7) };
        assert_eq!(large.to_string(), "lethe simulate --seed 7 --requests 100 --large");
        assert_eq!(large.to_string().parse(), Ok(large));
        let kept = Options { keep_alive: Some(12), ..Options::new(7) };
        assert_eq!(kept.to_string(), "lethe simulate --seed 7 --requests 100 --keep-alive 12");
        assert_eq!(kept.to_string().parse(), Ok(kept));
    }

    #[test]
    fn what_names_no_run_is_refused() {
        let refused = |line: &str| line.parse::<Options>().map_err(|error| error.to_string());
        assert_eq!(refused(""), Err("there is no --seed".to_owned()));
        assert_eq!(refused("--seed x"), Err("--seed needs a number".to_owned()));
        assert_eq!(refused("--seed"), Err("--seed needs a number".to_owned()));
        assert!(refused("--seed 1 --lost 5%").is_err());
        assert!(refused("--seed 1 --impair lost=5%").is_err());
    }
}
