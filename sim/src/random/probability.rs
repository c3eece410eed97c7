//! A probability, as people write it.

use std::fmt;
use std::str::FromStr;

/// A number from 0 to 1, exact to a millionth, so that what is printed is what is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Probability(u32);

/// The text is no probability.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no probability; write 5% or 0.05, to a ten-thousandth of a percent")]
pub struct ProbabilityError(String);

impl Probability {
    /// What never happens.
    pub const NEVER: Self = Self(0);

    /// Millionths in 1.
    pub(crate) const ONE: u64 = 1_000_000;

    /// So many in a hundred, 100 at most.
    pub const fn from_percent(percent: u32) -> Self {
        Self::from_millionths(percent.saturating_mul(10_000))
    }

    /// So many in a million, a million at most.
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(if millionths as u64 > Self::ONE { Self::ONE as u32 } else { millionths })
    }

    /// So many in a million.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The probability that it does not happen.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(Self::ONE as u32 - self.0)
    }

    /// Whether it never happens.
    pub const fn is_never(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Probability {
    type Err = ProbabilityError;

    fn from_str(text: &str) -> Result<Self, ProbabilityError> {
        // In decimal digits throughout: a binary fraction would not print as it was written.
        let (number, digits) = text.strip_suffix('%').map_or((text, 6), |number| (number, 4));
        let parse = || {
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            let is_decimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            let is_number = is_decimal(whole) && is_decimal(fraction) && !(whole.is_empty() && fraction.is_empty());
            if !is_number || fraction.len() > digits {
                return None;
            }
            let millionths: u64 = format!("0{whole}{fraction:0<digits$}").parse().ok()?;
            (millionths <= Self::ONE).then_some(Self(millionths as u32))
        };
        parse().ok_or_else(|| ProbabilityError(text.to_owned()))
    }
}

impl TryFrom<&str> for Probability {
    type Error = ProbabilityError;

    fn try_from(text: &str) -> Result<Self, ProbabilityError> {
        text.parse()
    }
}

/// From 0 to 1, rounded to a millionth.
impl TryFrom<f64> for Probability {
    type Error = ProbabilityError;

    fn try_from(number: f64) -> Result<Self, ProbabilityError> {
        if !(0.0..=1.0).contains(&number) {
            return Err(ProbabilityError(number.to_string()));
        }
        #[expect(clippy::cast_sign_loss, reason = "it is 0 at least")]
        Ok(Self((number * 1e6).round() as u32))
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:04}", self.0 % 10_000);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}%", self.0 / 10_000),
            fraction => write!(f, "{}.{fraction}%", self.0 / 10_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_0_to_1_is_a_probability() {
        assert_eq!(Probability::try_from(0.05), Ok(Probability::from_percent(5)));
        assert_eq!([0.0, 1.0].map(|number| Probability::try_from(number).unwrap().millionths()), [0, 1_000_000]);
        assert!([-0.1, 1.1, f64::NAN].into_iter().all(|number| Probability::try_from(number).is_err()));
    }

    #[test]
    fn a_probability_is_read_as_people_write_it() {
        for (text, millionths) in [
            ("5%", 50_000),
            ("0.05", 50_000),
            ("100%", 1_000_000),
            ("1", 1_000_000),
            ("0", 0),
            ("0.5%", 5_000),
            (".0001%", 1),
            ("12.3456%", 123_456),
        ] {
            assert_eq!(text.parse(), Ok(Probability(millionths)), "{text}");
        }
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for text in ["", "%", ".", "5", "101%", "-1%", "+1%", "1e-3", "5 %", "0.00001%", "99999999999999999999%", "x"] {
            let refused: Result<Probability, _> = text.parse();
            assert!(refused.is_err(), "{text}");
        }
    }

    #[test]
    fn every_probability_reads_as_it_prints() {
        for millionths in [0, 1, 10, 9_999, 10_000, 50_000, 55_500, 123_456, 1_000_000] {
            let probability = Probability(millionths);
            assert_eq!(probability.to_string().parse(), Ok(probability));
        }
    }
}
