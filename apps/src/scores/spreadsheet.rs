//! Damage that spreadsheets do to numbers, and secrets that several candidates share.
//!
//! A spreadsheet that opens a CSV file and saves it again writes `9.90101E+17` for every identity number of a county.
//! The rows can still be used, but that one secret now opens all of their pages. So such values are counted, with
//! a warning.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

use siphasher::sip128::SipHasher13;

use super::number::{Number, is_blank, narrow};
use super::source::LeftOut;
use super::template::Keys;

/// The digits of a number that a spreadsheet keeps; further ones become zeros.
const DIGITS: usize = 15;

/// From this many candidates on a shared secret is reported. Two may be one person in two exams.
const SHARED_MIN: u64 = 3;

/// Shared secrets are reported in any case if one in this many candidates has one.
const SHARED_ONE_IN: u64 = 100;

/// Error values of Excel and `LibreOffice` that do not end in `!` or `?` as the others do.
const ERRORS: [&str; 6] = ["#N/A", "#NV", "#N/D", "#Н/Д", "#GETTING_DATA", "#YOK"];

/// How a value is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// `9.90101E+17`: most digits are lost.
    Exponent,
    /// `="0123"`: a formula, so that a spreadsheet shows the zero.
    Formula,
    /// `'0123`: the mark of text in a spreadsheet.
    Apostrophe,
    /// An error value: `#N/A`, `####`, `Err:502`.
    Error,
    /// `123.0`, for a key.
    Decimals,
    /// `1,234,567` or `1.234.567`, for a key.
    Thousands,
    /// `990101199001000000`, for a key: more than 15 digits, and zeros behind the fifteenth.
    Rounded,
}

impl Damage {
    /// All kinds, in the order in which they are reported.
    const ALL: [Self; 7] =
        [Self::Exponent, Self::Formula, Self::Apostrophe, Self::Error, Self::Decimals, Self::Thousands, Self::Rounded];

    /// The damage of a value, which has no blanks around it. Some kinds only count in keys, which are compared: points
    /// may well be `118.0`.
    fn of(value: &str, is_key: bool) -> Option<Self> {
        let first = fold(value.chars().next()?);
        // Most values end here: they begin with another character.
        if !matches!(first, '0'..='9' | '+' | '-' | '.' | '#' | '\'' | '=' | 'E') {
            return None;
        }
        let folded: String = value.chars().filter(|&character| !is_blank(character)).map(fold).collect();
        match first {
            '=' if folded.len() > 1 => Some(Self::Formula),
            '#' | 'E' if is_error(&folded) => Some(Self::Error),
            '\'' if is_number_or_code(&folded[1..]) => Some(Self::Apostrophe),
            '0'..='9' | '-' | '+' | '.' if has_exponent(&folded) => Some(Self::Exponent),
            '0'..='9' | '-' | '+' if is_key => Self::of_key(&folded),
            _ => None,
        }
    }

    fn of_key(value: &str) -> Option<Self> {
        let marks = [',', '.', '\''];
        let unsigned = value.trim_start_matches(['+', '-']);
        let parts: Vec<&str> = unsigned.split(marks).collect();
        let (&last, ahead) = parts.split_last()?;
        if !ahead.iter().all(|part| is_digits(part)) || !last.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let is_zeros = |text: &str| text.bytes().all(|byte| byte == b'0');
        let marks: Vec<char> = unsigned.chars().filter(|character| marks.contains(character)).collect();
        let Some((&first, further)) = marks.split_first() else {
            // A single such number may be right, so these are only reported where they are many.
            return (value.len() > DIGITS && is_zeros(&value[DIGITS..])).then_some(Self::Rounded);
        };
        let are_groups = |parts: &[&str]| parts[0].len() <= 3 && parts[1..].iter().all(|part| part.len() == 3);
        let is_grouped = match further.split_last() {
            // 990.101 may also be a code.
            None => first != '.' && are_groups(&parts),
            Some((&mark, others)) => {
                others.iter().all(|&other| other == first) && are_groups(if mark == first { &parts } else { ahead })
            }
        };
        if is_grouped {
            return Some(Self::Thousands);
        }
        (further.is_empty() && first != '\'' && is_zeros(last)).then_some(Self::Decimals)
    }

    /// A description, and what to do about it.
    fn told(self) -> [&'static str; 2] {
        let (as_it_stands, export) = (
            "it is compared and shown as it stands, so export the values without it",
            "make the column text where its numbers are still whole, and export it again",
        );
        match self {
            Self::Exponent => ["a number with an exponent, such as 9.9E+17, in which digits are lost", export],
            Self::Formula => ["a formula, such as =\"0123\"", as_it_stands],
            Self::Apostrophe => ["a number behind an apostrophe, such as '0123", as_it_stands],
            Self::Error => [
                "an error of a spreadsheet, such as #N/A or ####",
                "mend the formula or the width, and export it again",
            ],
            Self::Decimals => ["a number with decimals, such as 123.0, which candidates do not type", export],
            Self::Thousands => {
                ["a number with commas or dots, such as 1,234,567, which candidates do not type", export]
            }
            Self::Rounded => ["a number of which a spreadsheet kept 15 digits, with zeros behind them", export],
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this is a number or a code, behind an apostrophe. Names may begin with one as well, and have no digits.
fn is_number_or_code(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Maps a character to the ASCII one that it looks like.
fn fold(character: char) -> char {
    match narrow(character) {
        '‘' | '’' | '‛' | 'ʼ' | '′' | '´' | '`' => '\'',
        '−' | '–' | '‐' => '-',
        '×' => 'X',
        other => other,
    }
}

/// Whether this is an error value of Excel or `LibreOffice`, in any language: `#N/A`, `#REF!`, `####`, `Err:502`.
fn is_error(folded: &str) -> bool {
    if let Some(number) = folded.strip_prefix("ERR:") {
        return is_digits(number);
    }
    let Some(name) = folded.strip_prefix('#') else { return false };
    let is_named = |name: &str| {
        let name = name.trim_start_matches(['¡', '¿']);
        name.starts_with(char::is_alphabetic)
            && name.chars().all(|character| character.is_alphanumeric() || matches!(character, '/' | '_' | '.'))
    };
    ERRORS.contains(&folded)
        || name.len() > 1 && name.bytes().all(|byte| byte == b'#')
        || name.strip_suffix(['!', '?']).is_some_and(is_named)
}

/// Whether this is a number such as `9.9E+17`, with a sign, a point or a comma. `12E3` may be a seat number.
fn has_exponent(folded: &str) -> bool {
    let written = folded.replace("*10^", "E+").replace("X10^", "E+");
    // Fortran writes a D, which counts only with a sign behind it.
    let Some((mantissa, exponent)) = written
        .split_once('E')
        .or_else(|| written.split_once('D').filter(|(_, exponent)| exponent.starts_with(['+', '-'])))
    else {
        return false;
    };
    let digits = mantissa.trim_start_matches(['+', '-']);
    let unsigned = exponent.trim_start_matches(['+', '-']);
    let is_mantissa = match digits.split_once(['.', ',']) {
        // One of the two may be empty.
        Some((whole, fraction)) => is_digits(&[whole, fraction].concat()),
        None => is_digits(digits) && unsigned != exponent,
    };
    is_mantissa && is_digits(unsigned)
}

/// A warning about a table, which is no reason to refuse it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Warning {
    /// Fields that no page shows.
    LeftOut(Vec<LeftOut>),
    /// Numbers that a spreadsheet has damaged.
    Damaged {
        /// The field.
        field: String,
        /// What was done to them.
        damage: Damage,
        /// How many values.
        count: u64,
        /// The row of the first one.
        first: u64,
    },
    /// Floating-point values that are not finite. They are left empty.
    NoNumber {
        /// The field.
        field: String,
        /// How many.
        count: u64,
        /// The row of the first one.
        first: u64,
    },
    /// Secrets that several candidates have.
    Shared {
        /// The field.
        field: String,
        /// How many candidates have one that another has, too.
        candidates: u64,
        /// Of how many.
        of: u64,
        /// How many have the one that most have.
        most: u64,
        /// The row of the first one of those.
        first: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(fields) => {
                let fields: Vec<String> = fields.iter().map(LeftOut::to_string).collect();
                write!(f, "fields left out: {}", fields.join(", "))
            }
            Self::Damaged { field, damage, count, first } => {
                let [what, help] = damage.told();
                let values = if *count == 1 { "value is" } else { "values are each" };
                write!(f, "{field}: {count} {values} {what}, the first in row {first}: {help}")
            }
            Self::NoNumber { field, count, first } => {
                let [values, left] = if *count == 1 { ["value is", "it is"] } else { ["values are each", "they are"] };
                write!(
                    f,
                    "{field}: {count} {values} no number (NaN or an infinity), the first in row {first}: {left} left \
                    empty; where there should be a number, mend it in the table"
                )
            }
            Self::Shared { field, candidates, of, most, first } => write!(
                f,
                "{field}: {candidates} of {of} candidates have one that another has too; {most} have that of row \
                {first}, which opens the pages of them all"
            ),
        }
    }
}

/// The damage found in the rows so far.
pub(super) struct Findings {
    keys: Keys,
    names: Vec<String>,
    /// The tallies of each field, by kind of damage.
    damaged: Vec<[Tally; Damage::ALL.len()]>,
    /// The count of numbers of more than 15 digits in each field.
    long: Vec<u64>,
    /// The secrets of candidates, hashed.
    secrets: HashMap<u128, Tally>,
}

/// A count, and the row of the first one.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    count: u64,
    first: u64,
}

impl Tally {
    pub(super) fn add(&mut self, row: u64) {
        if self.count == 0 {
            self.first = row;
        }
        self.count += 1;
    }
}

impl Findings {
    pub(super) fn new(names: &[String], keys: Keys) -> Self {
        let damaged = vec![<[Tally; Damage::ALL.len()]>::default(); names.len()];
        Self { keys, names: names.to_vec(), damaged, long: vec![0; names.len()], secrets: HashMap::new() }
    }

    /// Examines the values of a row. Describes the first that is certainly damaged.
    pub(super) fn examine(&mut self, row: u64, values: &[String]) -> Option<String> {
        let mut certain = None;
        for (at, value) in values.iter().enumerate().take(self.names.len()) {
            let (value, is_key) = (value.trim(), at == self.keys.seat || at == self.keys.secret);
            self.long[at] += u64::from(is_key && value.len() > DIGITS && is_digits(value));
            let Some(damage) = Damage::of(value, is_key) else { continue };
            self.damaged[at][damage as usize].add(row);
            if damage != Damage::Rounded && certain.is_none() {
                let [what, help] = damage.told();
                certain = Some(format!("{} is {what}: {help}", self.names[at]));
            }
        }
        certain
    }

    /// Records the secret of a candidate.
    pub(super) fn add_secret(&mut self, row: u64, secret: &Number) {
        let hash = SipHasher13::new().hash(secret.as_bytes()).as_u128();
        self.secrets.entry(hash).or_default().add(row);
    }

    /// The warnings about damaged numbers.
    pub(super) fn damaged(&self) -> Vec<Warning> {
        let of_field = |at: usize| {
            let tallies = Damage::ALL.into_iter().zip(self.damaged[at]);
            // Undamaged numbers end in a zero as well, one in ten of 16 digits.
            let is_told = move |damage, count| damage != Damage::Rounded || count > 1 && 2 * count > self.long[at];
            tallies.filter(move |&(damage, Tally { count, .. })| count > 0 && is_told(damage, count)).map(
                move |(damage, Tally { count, first })| Warning::Damaged {
                    field: self.names[at].clone(),
                    damage,
                    count,
                    first,
                },
            )
        };
        (0..self.names.len()).flat_map(of_field).collect()
    }

    /// The warnings about values that are not finite, from the table's tallies of each field.
    pub(super) fn no_numbers(&self, tallies: &[Tally]) -> impl Iterator<Item = Warning> {
        let counted = self.names.iter().zip(tallies).filter(|(_, tally)| tally.count > 0);
        counted.map(|(field, &Tally { count, first })| Warning::NoNumber { field: field.clone(), count, first })
    }

    /// The warning about secrets that several candidates share.
    pub(super) fn shared(&self) -> Option<Warning> {
        let shared = || self.secrets.values().filter(|tally| tally.count > 1);
        // Of several that equally many have, the first.
        let most = shared().max_by_key(|tally| (tally.count, Reverse(tally.first)))?;
        let [candidates, of] =
            [shared().map(|tally| tally.count).sum::<u64>(), self.secrets.values().map(|tally| tally.count).sum()];
        let is_many = most.count >= SHARED_MIN || candidates * SHARED_ONE_IN >= of;
        let field = self.names[self.keys.secret].clone();
        is_many.then_some(Warning::Shared { field, candidates, of, most: most.count, first: most.first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, in_points: Option<Damage>, in_key: Option<Damage>) {
        assert_eq!([false, true].map(|is_key| Damage::of(value, is_key)), [in_points, in_key], "{value}");
    }

    #[test]
    fn numbers_as_spreadsheets_damage_them_are_told() {
        for value in [
            "9.90101E+17",
            "9,90101E+17",
            "9.90101e+17",
            "9.9E17",
            "1E+05",
            "-1.5E-3",
            "9.90101199001E17",
            "9.E+17",
            ".9E+18",
            "1.E+5",
            "-.9E+18",
            "9.90101E 17",
            "9.90101E + 17",
            "９.９Ｅ+17",
            "９．９０１０１Ｅ＋１７",
            "9.90101D+17",
            "9.9*10^17",
            "9.9×10^17",
            "9.9×10^+17",
            "9.9 x 10^17",
            "9.9e−3",
        ] {
            check(value, Some(Damage::Exponent), Some(Damage::Exponent));
        }
        for value in ["=\"0123\"", "=0123", "=A1&B1"] {
            check(value, Some(Damage::Formula), Some(Damage::Formula));
        }
        for value in [
            "'0123",
            "'99010119900101001X",
            "‘0123",
            "’0123",
            "ʼ0123",
            "＇0123",
            "`0123",
            "´0123",
            "′0123",
            "' 0123",
            "’０１２３",
        ] {
            check(value, Some(Damage::Apostrophe), Some(Damage::Apostrophe));
        }
        for value in [
            "#N/A",
            "#REF!",
            "#DIV/0!",
            "###",
            "##########",
            "#NV",
            "#nv",
            "#N/D",
            "#ERROR!",
            "#SPILL!",
            "Err:502",
            "Err: 508",
            "#WERT!",
            "#BEZUG!",
            "#ÜBERLAUF!",
            "#NAME?",
            "#¿NOMBRE?",
            "#¡VALOR!",
            "#ЗНАЧ!",
            "#Н/Д",
            "#GETTING_DATA",
            "＃N/A",
        ] {
            check(value, Some(Damage::Error), Some(Damage::Error));
        }
        for value in ["2024000001.0", "2024000001.00", "2024000001,0", "2024000001,00", "2024000001.", "２０２４．０"]
        {
            check(value, None, Some(Damage::Decimals));
        }
        for value in [
            "2,024,000,001",
            "990,101",
            "1,000.00",
            "2.024.000.001",
            "2.024.000.001,00",
            "2'024'000'001",
            "2’024’000’001",
            "２，０２４，０００",
            "-2,024,001",
        ] {
            check(value, None, Some(Damage::Thousands));
        }
        for value in ["990101199001000000", "2024010101000010", "1000000000000000"] {
            check(value, None, Some(Damage::Rounded));
        }
    }

    #[test]
    fn numbers_that_are_right_are_not_told() {
        for value in [
            "",
            "0",
            "=",
            "#",
            "##",
            "#1",
            "#N",
            "'",
            "'t Hooft",
            "'a1",
            "12E3",
            "E+17",
            "1E",
            "#甲",
            "#1!",
            "Err:x",
            "Error",
            "2024.001",
            "2.024.00",
            "1.E5X",
            ".E+5",
            "10^5",
            "9D17",
            "12E 3",
            "12x10",
            "’t Hooft",
            "12E1",
            "A1E+5",
            "118.5",
            "118.50",
            "1.2.0",
            "1,2",
            "1234,567",
            "100000000000000",
            "990101199001000001",
            "99010119900100001X",
            "甲",
            "=甲".get(1..).unwrap(),
            "990101-1990.0",
            "1e+",
            "+",
            "-",
        ] {
            check(value, None, None);
        }
        check("118.0", None, Some(Damage::Decimals));
    }
}
