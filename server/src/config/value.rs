//! A value of the file, as words of a command line.

use std::any::TypeId;
use std::error::Error as _;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction};
use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Fault, message};

/// The words of a command line that give an argument this value. Each is checked as it would be there.
pub(super) fn words(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Fault> {
    let option = arg.get_long().map(|long| format!("--{long}"));
    if let ArgAction::SetTrue | ArgAction::SetFalse = arg.get_action() {
        let Some(is_on) = value.get_ref().as_bool() else {
            return Err(wrong_type(value, "true or false"));
        };
        return Ok(option.filter(|_| is_on).map(OsString::from).into_iter().collect());
    }
    let values = match value.get_ref() {
        DeValue::Array(items) if takes_several(arg) => {
            if items.is_empty() {
                return Err(Fault::new(&value.span(), "an empty array: leave the key out"));
            }
            items.iter().map(|item| text(arg, item)).collect::<Result<Vec<_>, _>>()?
        }
        DeValue::Array(_) => return Err(Fault::new(&value.span(), "this takes one value, and no array")),
        _ => vec![text(arg, value)?],
    };
    let word = |value: String| match &option {
        Some(option) => format!("{option}={value}").into(),
        None => value.into(),
    };
    Ok(values.into_iter().map(word).collect())
}

/// Whether an argument can be repeated.
pub(super) fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// A single value as it would be written on the command line.
fn text(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<String, Fault> {
    let kind = Kind::of(arg);
    let text = match (value.get_ref(), kind) {
        (DeValue::String(text), Kind::Text | Kind::Other) => text.to_string(),
        (DeValue::Integer(number), Kind::Integer | Kind::Other) => {
            let number = i128::from_str_radix(number.as_str(), number.radix());
            number.map_err(|_| Fault::new(&value.span(), "this number is too large"))?.to_string()
        }
        (DeValue::Boolean(value), Kind::Boolean | Kind::Other) => value.to_string(),
        (DeValue::Float(number), Kind::Other) => number.as_str().to_owned(),
        _ => return Err(wrong_type(value, kind.name())),
    };
    check(arg, &text).map_err(|what| Fault::new(&value.span(), what))?;
    Ok(text)
}

fn wrong_type(value: &Spanned<DeValue<'_>>, wanted: &str) -> Fault {
    let found = value.get_ref().type_str();
    let a = if found.starts_with(['a', 'i']) { "an" } else { "a" };
    Fault::new(&value.span(), format!("this takes {wanted}, and not {a} {found}"))
}

/// What is wrong with a value, by the parser that the argument has on the command line.
fn check(arg: &Arg, text: &str) -> Result<(), String> {
    let value = Arg::new("value").long("value").value_parser(arg.get_value_parser().clone());
    let command = clap::Command::new("check").no_binary_name(true).arg(value.allow_hyphen_values(true));
    let Err(error) = command.try_get_matches_from([format!("--value={text}")]) else { return Ok(()) };
    if arg.is_hide_env_values_set() {
        return Err("this value is not one that the option takes".to_owned());
    }
    let possible = arg.get_possible_values();
    let possible: Vec<&str> =
        possible.iter().filter(|value| !value.is_hide_set()).map(PossibleValue::get_name).collect();
    Err(match error.source() {
        Some(cause) => format!("`{text}`: {cause}"),
        None if text.is_empty() => "this is empty".to_owned(),
        None if error.kind() == ErrorKind::InvalidValue && !possible.is_empty() => {
            format!("`{text}` is none of {}", possible.join(", "))
        }
        None => message(&error),
    })
}

/// What a value is in TOML.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Boolean,
    Text,
    /// Whatever the parser of the argument takes.
    Other,
}

impl Kind {
    /// By what the argument is parsed to.
    pub(super) fn of(arg: &Arg) -> Self {
        let id = arg.get_value_parser().type_id();
        let is = |types: &[TypeId]| types.iter().any(|other| id == *other);
        let integers = [
            [TypeId::of::<u8>(), TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()],
            [TypeId::of::<i8>(), TypeId::of::<i16>(), TypeId::of::<i32>(), TypeId::of::<i64>(), TypeId::of::<isize>()],
        ];
        if is(integers.as_flattened()) {
            Self::Integer
        } else if is(&[TypeId::of::<bool>()]) {
            Self::Boolean
        } else if is(&[TypeId::of::<String>(), TypeId::of::<OsString>(), TypeId::of::<PathBuf>()])
            || !arg.get_possible_values().is_empty()
        {
            Self::Text
        } else {
            Self::Other
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Boolean => "true or false",
            Self::Text => "a string",
            Self::Other => "a string, a number, or true or false",
        }
    }
}
