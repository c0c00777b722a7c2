//! `String.format`: `%s %S %d %x %X %o %f %e %b %c %n %%` with argument indexes, flags, width and precision.

use super::{Host, exception};
use crate::error::RenderError;
use crate::value::Value;

/// The widest field and the highest precision: more is a mistake, and costs memory.
const WIDTH_MAX: usize = 10_000;

pub(super) fn format(host: &mut Host, pattern: &str, values: &[Value]) -> Result<Value, RenderError> {
    let mut output = host.output();
    let mut next = 0;
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        output.push(before).map_err(|_| host.too_long())?;
        let (spec, after) = Spec::parse(after)?;
        rest = after;
        let text = match spec.conversion {
            '%' => "%".to_owned(),
            'n' => "\n".to_owned(),
            _ => {
                let index = spec.index.unwrap_or_else(|| {
                    next += 1;
                    next
                });
                let value = index.checked_sub(1).and_then(|index| values.get(index));
                let value = value.ok_or_else(|| wrong(format!("Format specifier '%{}'", spec.conversion)))?;
                spec.convert(host, value)?
            }
        };
        output.push(&spec.pad(text)).map_err(|_| host.too_long())?;
    }
    output.push(rest).map_err(|_| host.too_long())?;
    Ok(Value::from(output.into_string()))
}

#[derive(Default)]
struct Spec {
    index: Option<usize>,
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    comma: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

impl Spec {
    fn parse(text: &str) -> Result<(Self, &str), RenderError> {
        let mut spec = Self::default();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut rest = text;
        if digits > 0 && text.as_bytes().get(digits) == Some(&b'$') {
            spec.index = text.get(..digits).and_then(|digits| digits.parse().ok());
            rest = text.get(digits + 1..).unwrap_or_default();
        }
        loop {
            let flag = match rest.as_bytes().first() {
                Some(b'-') => &mut spec.left,
                Some(b'0') => &mut spec.zero,
                Some(b'+') => &mut spec.plus,
                Some(b' ') => &mut spec.space,
                Some(b',') => &mut spec.comma,
                _ => break,
            };
            *flag = true;
            rest = rest.get(1..).unwrap_or_default();
        }
        (spec.width, rest) = number(rest)?.map_or((0, rest), |found| found);
        if let Some(precise) = rest.strip_prefix('.') {
            let (precision, after) = number(precise)?.ok_or_else(|| wrong("a precision is missing"))?;
            spec.precision = Some(precision);
            rest = after;
        }
        let mut characters = rest.chars();
        spec.conversion = characters.next().ok_or_else(|| wrong("UnknownFormatConversionException: '%'"))?;
        Ok((spec, characters.as_str()))
    }

    fn convert(&self, host: &mut Host, value: &Value) -> Result<String, RenderError> {
        let integer = || value.as_i64().ok_or_else(|| self.mismatch(value));
        let double = || match value {
            Value::Double(number) => Ok(*number),
            _ => Err(self.mismatch(value)),
        };
        Ok(match self.conversion {
            's' | 'S' => {
                let text = host.text(value)?;
                let text = match self.precision {
                    Some(precision) => text.chars().take(precision).collect(),
                    None => text,
                };
                if self.conversion == 'S' { text.to_uppercase() } else { text }
            }
            _ if value.is_null() => "null".to_owned(),
            'b' => match value {
                Value::Bool(flag) => flag.to_string(),
                _ => "true".to_owned(),
            },
            'c' => match value {
                Value::Int(code) => {
                    u32::try_from(*code).ok().and_then(char::from_u32).unwrap_or('?').to_string()
                }
                Value::String(text) if text.chars().count() == 1 => text.to_string(),
                _ => return Err(self.mismatch(value)),
            },
            'd' => self.sign(integer()? < 0, integer()?.unsigned_abs().to_string()),
            'x' | 'X' | 'o' => {
                let bits = match value {
                    Value::Int(number) => u64::from(number.cast_unsigned()),
                    _ => integer()?.cast_unsigned(),
                };
                match self.conversion {
                    'x' => format!("{bits:x}"),
                    'X' => format!("{bits:X}"),
                    _ => format!("{bits:o}"),
                }
            }
            'f' => {
                let number = double()?;
                self.sign(number.is_sign_negative(), decimal(number.abs(), self.precision.unwrap_or(6)))
            }
            'e' | 'E' => {
                let number = double()?;
                let text = format!("{:.*e}", self.precision.unwrap_or(6), number.abs());
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                let text = format!("{mantissa}e{sign}{:02}", exponent.abs());
                let text = self.sign(number.is_sign_negative(), text);
                if self.conversion == 'E' { text.to_uppercase() } else { text }
            }
            other => return Err(wrong(format!("Conversion = '{other}'"))),
        })
    }

    /// Sign, thousands and leading zeros.
    fn sign(&self, negative: bool, digits: String) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        let digits = if self.comma { thousands(&digits) } else { digits };
        let zeros = if self.zero { self.width.saturating_sub(sign.len() + digits.len()) } else { 0 };
        format!("{sign}{}{digits}", "0".repeat(zeros))
    }

    fn pad(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        match (missing, self.left) {
            (0, _) => text,
            (missing, true) => format!("{text}{}", " ".repeat(missing)),
            (missing, false) => format!("{}{text}", " ".repeat(missing)),
        }
    }

    fn mismatch(&self, value: &Value) -> RenderError {
        wrong(format!("{} != java.lang.{}", self.conversion, value.type_name()))
    }
}

fn number(text: &str) -> Result<Option<(usize, &str)>, RenderError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Ok(None);
    }
    let (number, rest) = text.split_at(digits);
    match number.parse::<usize>() {
        Ok(number) if number <= WIDTH_MAX => Ok(Some((number, rest))),
        _ => Err(wrong(format!("a width or precision of {number}"))),
    }
}

/// Java rounds the decimal digits half up.
fn decimal(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return if number.is_nan() { "NaN" } else { "Infinity" }.to_owned();
    }
    let shortest = format!("{number}");
    let fraction = shortest.split_once('.').map_or("", |(_, fraction)| fraction);
    if fraction.len() <= precision {
        return format!("{number:.precision$}");
    }
    let cut = shortest.len() - (fraction.len() - precision);
    let up = fraction.as_bytes().get(precision).is_some_and(|digit| *digit >= b'5');
    let mut digits: Vec<u8> = shortest.bytes().take(cut).collect();
    if up {
        let mut carry = true;
        for digit in digits.iter_mut().rev() {
            if !carry || *digit == b'.' {
                continue;
            }
            carry = *digit == b'9';
            *digit = if carry { b'0' } else { *digit + 1 };
        }
        if carry {
            digits.insert(0, b'1');
        }
    }
    let text = String::from_utf8_lossy(&digits).into_owned();
    text.strip_suffix('.').map_or(text.clone(), str::to_owned)
}

fn thousands(digits: &str) -> String {
    let (whole, fraction) = digits.find('.').map_or((digits, ""), |at| digits.split_at(at));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

fn wrong(message: impl Into<String>) -> RenderError {
    exception("String", "format", message)
}
