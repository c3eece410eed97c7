//! Quality values of content negotiation: `en;q=0.8, zh` (RFC 9110, section 12.4.2).

use lethe::http::Headers;

/// A quality value in thousandths; 0 is "not acceptable".
pub(crate) type Weight = u16;

/// The elements of all fields called `name`, as one list. Malformed elements are skipped.
pub(crate) fn elements<'a>(headers: &Headers<'a>, name: &str) -> impl Iterator<Item = (&'a [u8], Weight)> {
    headers.values(name).flat_map(|value| value.split(|&byte| byte == b',')).filter_map(parse_element)
}

/// Parses `name;q=0.5`, or a name alone.
fn parse_element(element: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = match parts.next() {
        Some(parameter) => parse_weight(parameter)?,
        None => 1000,
    };
    Some((name, weight))
}

/// Parses `q=0` or `q=1` with up to three decimals.
fn parse_weight(parameter: &[u8]) -> Option<Weight> {
    let [b'q' | b'Q', b'=', whole @ (b'0' | b'1'), fraction @ ..] = parameter else { return None };
    let digits = match fraction {
        [] => &[],
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let digit = |at| digits.get(at).map_or(0, |digit| Weight::from(digit - b'0'));
    let weight = Weight::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_has_up_to_three_digits_behind_a_point_and_is_at_most_one() {
        for (parameter, weight) in [
            ("q=0", 0),
            ("q=1", 1000),
            ("Q=1.", 1000),
            ("q=0.", 0),
            ("q=0.5", 500),
            ("q=0.05", 50),
            ("q=0.005", 5),
            ("q=0.123", 123),
            ("q=0.999", 999),
            ("q=1.000", 1000),
        ] {
            assert_eq!(parse_weight(parameter.as_bytes()), Some(weight), "{parameter}");
        }
        let none = ["", "q", "q=", "q=2", "q=.5", "q=00", "q=0,5", "q=0.1234", "q=0.x", "q=0.12x", "q=1.001", "w=1"];
        for parameter in none {
            assert_eq!(parse_weight(parameter.as_bytes()), None, "{parameter}");
        }
    }
}
