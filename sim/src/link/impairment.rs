//! What is wrong with a link, as text: `loss=5%,reorder=10%,delay=20ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::random::{Probability, ProbabilityError};

/// What is wrong with a link. By default nothing is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Impairment {
    /// Each frame is lost with this probability.
    pub loss: Probability,
    /// Frames are lost in bursts.
    pub burst: Option<Burst>,
    /// Each frame arrives twice with this probability.
    pub duplicate: Probability,
    /// Each frame is held back with this probability, so that others overtake it,
    pub reorder: Probability,
    /// for this long at most.
    pub hold: Duration,
    /// One bit of each frame is turned over with this probability,
    pub corrupt: Probability,
    /// and its checksums are made to fit with this one.
    pub mend: Probability,
    /// Each frame is cut short with this probability.
    pub truncate: Probability,
    /// How long every frame is on its way,
    pub delay: Duration,
    /// and how much longer some are.
    pub jitter: Duration,
    /// How much passes in a second,
    pub rate: Option<Rate>,
    /// and how many frames may wait for it.
    pub queue: u32,
    /// The largest IP packet, header included, that passes,
    pub mtu: Option<u16>,
    /// and are not reported.
    pub black_hole: bool,
    /// Nothing passes for a while.
    pub outage: Option<Outage>,
    /// What everything is drawn from, where there is no seed of a whole run.
    pub seed: u64,
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            loss: Probability::NEVER,
            burst: None,
            duplicate: Probability::NEVER,
            reorder: Probability::NEVER,
            hold: Self::HOLD,
            corrupt: Probability::NEVER,
            mend: Probability::NEVER,
            truncate: Probability::NEVER,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: Self::QUEUE,
            mtu: None,
            black_hole: false,
            outage: None,
            seed: 0,
        }
    }
}

/// Losses in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burst {
    /// The probability that a frame is the first of them.
    pub start: Probability,
    /// How many there are on average.
    pub length: u32,
}

/// Bits a second; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate(u64);

impl Rate {
    /// So many bits a second, unless that is none.
    pub const fn new(bits_per_second: u64) -> Option<Self> {
        if bits_per_second == 0 { None } else { Some(Self(bits_per_second)) }
    }

    /// In bits a second.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }
}

/// A while in which nothing passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// When it begins, from the beginning of the link.
    pub begins: Duration,
    /// How long it lasts.
    pub lasts: Duration,
}

/// Why a text describes no impairment.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImpairmentError {
    /// There is no such key.
    #[error("`{0}` is not known; the keys are {KEYS}")]
    Key(String),
    /// The key stands twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// The key needs a value.
    #[error("`{0}` needs a value, as in `{example}`", example = example(.0))]
    NoValue(String),
    /// A probability cannot be read.
    #[error("{key}: {source}")]
    Probability {
        /// Which.
        key: String,
        /// Why.
        source: ProbabilityError,
    },
    /// Another value cannot be read.
    #[error("{key}: `{value}` cannot be read; write it as in `{example}`", example = example(.key))]
    Value {
        /// Which.
        key: String,
        /// What stands there.
        value: String,
    },
    /// A key says nothing without another.
    #[error("`{0}` says nothing without `{1}`")]
    Without(&'static str, &'static str),
}

/// Every key, with an example of its value.
const EXAMPLES: [(&str, &str); 17] = [
    ("loss", "loss=5%"),
    ("burst", "burst=1%"),
    ("burst-length", "burst-length=8"),
    ("duplicate", "duplicate=2%"),
    ("reorder", "reorder=10%"),
    ("hold", "hold=20ms"),
    ("corrupt", "corrupt=1%"),
    ("mend", "mend=50%"),
    ("truncate", "truncate=1%"),
    ("delay", "delay=20ms"),
    ("jitter", "jitter=5ms"),
    ("rate", "rate=10mbit"),
    ("queue", "queue=100"),
    ("mtu", "mtu=1400"),
    ("black-hole", "black-hole"),
    ("outage", "outage=2s+500ms"),
    ("seed", "seed=7"),
];

/// The keys, for people.
const KEYS: &str = "loss, burst, burst-length, duplicate, reorder, hold, corrupt, mend, truncate, delay, jitter, \
                    rate, queue, mtu, black-hole, outage and seed";

fn example(key: &str) -> &'static str {
    EXAMPLES.iter().find(|(known, _)| *known == key).map_or("", |(_, example)| example)
}

impl Impairment {
    /// How long frames are held back where nothing else is said: several gaps between frames.
    const HOLD: Duration = Duration::from_millis(20);
    /// How many frames wait where nothing else is said.
    const QUEUE: u32 = 100;
    /// Lost frames in a row where nothing else is said.
    const BURST_LENGTH: u32 = 4;
    /// The smallest MTU: what every IPv4 link carries (RFC 791, section 3.2).
    const MTU_MIN: u16 = 68;

    /// Whether nothing is wrong.
    pub fn is_none(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }

    /// Whether what arrives may be wrong and yet pass every check.
    pub fn may_mislead(&self) -> bool {
        !self.corrupt.is_never() && !self.mend.is_never()
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), ImpairmentError> {
        if key == "black-hole" && value.is_none() {
            self.black_hole = true;
            return Ok(());
        }
        if example(key).is_empty() {
            return Err(ImpairmentError::Key(key.to_owned()));
        }
        let text = value.ok_or_else(|| ImpairmentError::NoValue(key.to_owned()))?;
        let probability =
            || text.parse().map_err(|source| ImpairmentError::Probability { key: key.to_owned(), source });
        let unreadable = || ImpairmentError::Value { key: key.to_owned(), value: text.to_owned() };
        let duration = |text: &str| humantime::parse_duration(text).map_err(|_| unreadable());
        let number = || text.parse::<u64>().map_err(|_| unreadable());
        let count = || number().and_then(|count| u32::try_from(count).map_err(|_| unreadable()));
        let burst = self.burst.unwrap_or(Burst { start: Probability::NEVER, length: Self::BURST_LENGTH });
        match key {
            "loss" => self.loss = probability()?,
            "burst" => self.burst = Some(Burst { start: probability()?, ..burst }),
            "burst-length" => self.burst = Some(Burst { length: count()?.max(1), ..burst }),
            "duplicate" => self.duplicate = probability()?,
            "reorder" => self.reorder = probability()?,
            "hold" => self.hold = duration(text)?,
            "corrupt" => self.corrupt = probability()?,
            "mend" => self.mend = probability()?,
            "truncate" => self.truncate = probability()?,
            "delay" => self.delay = duration(text)?,
            "jitter" => self.jitter = duration(text)?,
            "rate" => self.rate = Some(text.parse().map_err(|RateError| unreadable())?),
            "queue" => self.queue = count()?.max(1),
            "mtu" => {
                let mtu = number()?.try_into().ok().filter(|mtu| *mtu >= Self::MTU_MIN);
                self.mtu = Some(mtu.ok_or_else(unreadable)?);
            }
            "outage" => {
                let (begins, lasts) = text.split_once('+').ok_or_else(unreadable)?;
                self.outage = Some(Outage { begins: duration(begins)?, lasts: duration(lasts)? });
            }
            "seed" => self.seed = number()?,
            _ => return Err(unreadable()),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ImpairmentError> {
        let without = |says_nothing, key, other| {
            if says_nothing { Err(ImpairmentError::Without(key, other)) } else { Ok(()) }
        };
        without(self.burst.is_some_and(|burst| burst.start.is_never()), "burst-length", "burst")?;
        without(!self.mend.is_never() && self.corrupt.is_never(), "mend", "corrupt")?;
        without(self.black_hole && self.mtu.is_none(), "black-hole", "mtu")?;
        without(self.hold != Self::HOLD && self.reorder.is_never(), "hold", "reorder")?;
        without(self.queue != Self::QUEUE && self.rate.is_none(), "queue", "rate")
    }
}

impl FromStr for Impairment {
    type Err = ImpairmentError;

    fn from_str(text: &str) -> Result<Self, ImpairmentError> {
        let mut impairment = Self::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value)));
            if seen.contains(&key) {
                return Err(ImpairmentError::Twice(key.to_owned()));
            }
            seen.push(key);
            impairment.set(key, value)?;
        }
        impairment.check()?;
        Ok(impairment)
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let mut separator = "";
        let mut put = |is_set: bool, text: fmt::Arguments<'_>| {
            if !is_set {
                return Ok(());
            }
            write!(f, "{separator}{text}")?;
            separator = ",";
            Ok(())
        };
        // Durations are written without spaces, as they can be read again.
        let time = |time: Duration| humantime::format_duration(time).to_string().replace(' ', "");
        let chances = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("corrupt", self.corrupt),
            ("mend", self.mend),
            ("truncate", self.truncate),
        ];
        for (key, chance) in chances {
            put(!chance.is_never(), format_args!("{key}={chance}"))?;
        }
        if let Some(Burst { start, length }) = self.burst {
            put(true, format_args!("burst={start},burst-length={length}"))?;
        }
        put(self.hold != default.hold, format_args!("hold={}", time(self.hold)))?;
        put(!self.delay.is_zero(), format_args!("delay={}", time(self.delay)))?;
        put(!self.jitter.is_zero(), format_args!("jitter={}", time(self.jitter)))?;
        if let Some(rate) = self.rate {
            put(true, format_args!("rate={rate}"))?;
        }
        put(self.queue != default.queue, format_args!("queue={}", self.queue))?;
        if let Some(mtu) = self.mtu {
            put(true, format_args!("mtu={mtu}"))?;
        }
        put(self.black_hole, format_args!("black-hole"))?;
        if let Some(Outage { begins, lasts }) = self.outage {
            put(true, format_args!("outage={}+{}", time(begins), time(lasts)))?;
        }
        put(self.seed != 0, format_args!("seed={}", self.seed))
    }
}

/// The text is no rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateError;

/// The units of a rate, as in Linux' tc.
const RATE_UNITS: [(&str, u64); 4] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let unit = RATE_UNITS.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits)));
        let (number, bits) = unit.ok_or(RateError)?;
        let number: u64 = number.parse().map_err(|_| RateError)?;
        number.checked_mul(bits).and_then(Self::new).ok_or(RateError)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, bits): &&(&str, u64)| self.0.is_multiple_of(*bits);
        let (unit, bits) = RATE_UNITS.iter().find(fits).unwrap_or(&("bit", 1));
        write!(f, "{}{unit}", self.0 / bits)
    }
}
