//! `%(a + 2 * 3)`: words with blanks between, from left to right, as uWSGI does it: `+ - * /`
//! between two, `++ --` after one; words without a sign between them are joined.
//!
//! uWSGI takes for 0 what is no number or divided by zero, and for empty what has no value; here
//! these are errors.

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// This is no number.
    NoNumber(String),
    /// Nothing has this name.
    Unknown(String),
    /// A division by zero.
    ByZero,
    /// The result is out of range (64 bits).
    TooLarge,
    /// A sign has nothing after it.
    Incomplete,
}

/// Whether the inside of `%(…)` is more than a name.
pub fn is_expression(text: &str) -> bool {
    text.contains(' ')
}

/// Whether it has a sign in it: otherwise it may be prose that is not meant.
pub fn has_sign(text: &str) -> bool {
    text.split(' ').any(|word| matches!(word, "+" | "-" | "*" | "/" | "++" | "--"))
}

/// The result of `text`; `find` has the values of names.
///
/// # Errors
/// What cannot be computed.
pub fn evaluate(
    text: &str,
    mut find: impl FnMut(&str) -> Option<String>,
) -> Result<String, Problem> {
    let mut result: Option<String> = None;
    let mut sign = None;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match word {
            "+" | "-" | "*" | "/" => sign = Some(word),
            "++" | "--" => {
                let step = if word == "++" { "+" } else { "-" };
                let before = result.take().unwrap_or_else(|| "0".to_owned());
                result = Some(compute(step, &before, "1")?);
                sign = None;
            }
            word => {
                let value = match word.parse::<i64>() {
                    Ok(_) => word.to_owned(),
                    Err(_) => find(word).ok_or_else(|| Problem::Unknown(word.to_owned()))?,
                };
                result = Some(match (sign.take(), result.take()) {
                    (Some(sign), before) => {
                        compute(sign, &before.unwrap_or_else(|| "0".to_owned()), &value)?
                    }
                    (None, before) => before.unwrap_or_default() + &value,
                });
            }
        }
    }
    match sign {
        Some(_) => Err(Problem::Incomplete),
        None => Ok(result.unwrap_or_default()),
    }
}

fn compute(sign: &str, left: &str, right: &str) -> Result<String, Problem> {
    let number =
        |text: &str| text.trim().parse::<i64>().map_err(|_| Problem::NoNumber(text.to_owned()));
    let (left, right) = (number(left)?, number(right)?);
    let result = match sign {
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        _ if right == 0 => return Err(Problem::ByZero),
        _ => left.checked_div(right),
    };
    result.map(|number| number.to_string()).ok_or(Problem::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(text: &str) -> Result<String, Problem> {
        evaluate(text, |name| match name {
            "base" => Some("5".to_owned()),
            "name" => Some("shop".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn results_are_those_of_uwsgi() {
        let known = [
            ("base * 2 + 1", "11"),
            ("base ++", "6"),
            ("base base", "55"),
            ("base -- - 2", "2"),
            ("7 - base", "2"),
            ("base ++ 3", "63"),
            ("base + base ++", "11"),
            ("10 / 3", "3"),
            (" base + 1 ", "6"),
            ("name base", "shop5"),
            ("-3 + 1", "-2"),
            ("1 + 2 * 3", "9"),
        ];
        for (text, result) in known {
            assert_eq!(run(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn what_uwsgi_takes_for_nothing_is_an_error() {
        assert_eq!(run("base / 0"), Err(Problem::ByZero));
        assert_eq!(run("nope + 2"), Err(Problem::Unknown("nope".to_owned())));
        assert_eq!(run("name + 2"), Err(Problem::NoNumber("shop".to_owned())));
        assert_eq!(run("9223372036854775807 ++"), Err(Problem::TooLarge));
        assert_eq!(run("-9223372036854775808 / -1"), Err(Problem::TooLarge));
        assert_eq!(run("base +"), Err(Problem::Incomplete));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([0-9]{1,20}|base|name|[-+*/]{1,2}| ){0,12}") {
            let _ = run(&text);
        }

        #[test]
        fn sums_are_sums(a in -1000i64..1000, b in -1000i64..1000) {
            prop_assert_eq!(run(&format!("{a} + {b}")), Ok((a + b).to_string()));
        }
    }
}
