use std::cmp::Ordering;

use super::SqlFilter;
use crate::message::properties;
use crate::planted::planted;

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Constant(Option<Constant>),
    /// Its place in the names.
    Property(usize),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    /// A property where a condition has to be; never true, because a property is a string.
    Cast(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Equal(Box<(Expr, Expr)>),
    Order(Relation, Box<(Expr, Expr)>),
    IsNull(Box<Expr>),
    In {
        property: usize,
        words: Vec<Box<str>>,
        is_not: bool,
    },
    Part {
        how: Part,
        subject: Box<Expr>,
        word: Box<str>,
        is_not: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Contains,
    StartsWith,
    EndsWith,
}

/// What a part is worth for one message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'a str),
}

/// Two values that Java throws at: the whole expression is not true then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incomparable;

/// A value, or null.
type Evaluated<'a> = Result<Option<Value<'a>>, Incomparable>;

impl SqlFilter {
    /// Looks up all properties in one walk over the text.
    pub(super) fn with_values<T>(&self, text: &str, look: impl FnOnce(&[Option<&str>]) -> T) -> T {
        let mut few = [None; 8];
        let mut many;
        let values = match few.get_mut(..self.names.len()) {
            Some(values) => values,
            None => {
                many = vec![None; self.names.len()];
                &mut many[..]
            }
        };
        for (name, value) in properties::iter(text) {
            if let Ok(at) = self.names.binary_search_by(|known| (**known).cmp(name))
                && let Some(place) = values.get_mut(at)
            {
                *place = Some(value);
            }
        }
        look(values)
    }
}

impl Expr {
    /// The value of a condition: true, false, or null.
    pub(super) fn condition(&self, values: &[Option<&str>]) -> Result<Option<bool>, Incomparable> {
        match self.evaluate(values)? {
            Some(Value::Bool(value)) => Ok(Some(value)),
            // The parser casts whatever is no condition.
            _ => Ok(None),
        }
    }

    fn evaluate<'a>(&'a self, values: &[Option<&'a str>]) -> Evaluated<'a> {
        Ok(match self {
            Self::Constant(constant) => constant.as_ref().map(Constant::value),
            Self::Property(at) => values.get(*at).copied().flatten().map(Value::Text),
            Self::Negate(of) => of.evaluate(values)?.and_then(negate),
            Self::Not(of) => {
                let value = of.condition(values)?;
                let value = if planted("SQL null is false") { Some(value == Some(true)) } else { value };
                value.map(|value| Value::Bool(!value))
            }
            Self::Cast(of) => of.evaluate(values)?.map(|value| Value::Bool(value == Value::Bool(true))),
            Self::And(all) => junction(all, values, false)?,
            Self::Or(any) => junction(any, values, true)?,
            Self::Equal(sides) => equal(sides.0.evaluate(values)?, sides.1.evaluate(values)?)?,
            Self::Order(relation, sides) => {
                let Some(left) = sides.0.evaluate(values)? else { return Ok(None) };
                let Some(right) = sides.1.evaluate(values)? else { return Ok(None) };
                Some(Value::Bool(relation.holds(order(left, right)?)))
            }
            Self::IsNull(of) => Some(Value::Bool(of.evaluate(values)?.is_none())),
            Self::In { property, words, is_not } => {
                let value = values.get(*property).copied().flatten();
                let is_in = |value: &str| words.binary_search_by(|word| (**word).cmp(value)).is_ok();
                value.map(|value| Value::Bool(is_in(value) != *is_not))
            }
            Self::Part { how, subject, word, is_not } => {
                // Without a string, or a part of it to look for, both the condition and its opposite are false.
                let is_true = match subject.evaluate(values)? {
                    Some(Value::Text(text)) if !word.is_empty() => how.holds(text, word) != *is_not,
                    _ => false,
                };
                Some(Value::Bool(is_true))
            }
        })
    }
}

/// `AND` with `decisive` false, `OR` with true. From left to right, and no further than it needs: what is behind
/// might end the evaluation.
fn junction<'a>(
    parts: &'a [Expr],
    values: &[Option<&'a str>],
    decisive: bool,
) -> Result<Option<Value<'a>>, Incomparable> {
    let mut is_null = false;
    for part in parts {
        match part.condition(values)? {
            Some(value) if value == decisive => return Ok(Some(Value::Bool(decisive))),
            Some(_) => {}
            None => is_null = true,
        }
    }
    Ok((!is_null).then_some(Value::Bool(!decisive)))
}

impl Constant {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Long(value) => Value::Long(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Text(value) => Value::Text(value),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Long(_) | Self::Double(_))
    }

    /// Whether this number is greater than another.
    pub(super) fn is_above(&self, other: &Constant) -> bool {
        order(self.value(), other.value()) == Ok(Some(Ordering::Greater))
    }
}

impl Relation {
    /// `None` stands for two kinds of values that cannot be compared; Java takes the left one for the lesser.
    fn holds(self, order: Option<Ordering>) -> bool {
        let order = order.unwrap_or(Ordering::Less);
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
        }
    }
}

impl Part {
    fn holds(self, text: &str, word: &str) -> bool {
        match self {
            Self::Contains => text.contains(word),
            Self::StartsWith => text.starts_with(word),
            Self::EndsWith => text.ends_with(word),
        }
    }
}

fn negate(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Int(value) => Some(Value::Int(value.wrapping_neg())),
        Value::Long(value) => Some(Value::Long(value.wrapping_neg())),
        Value::Double(value) => Some(Value::Double(-value)),
        Value::Bool(_) | Value::Text(_) => None,
    }
}

fn equal<'a>(left: Option<Value<'a>>, right: Option<Value<'a>>) -> Evaluated<'a> {
    let (left, right) = match (left, right) {
        (None, None) => return Ok(Some(Value::Bool(true))),
        (None, Some(_)) => return Ok(None),
        (Some(_), None) => return Ok(Some(Value::Bool(false))),
        (Some(left), Some(right)) => (left, right),
    };
    let order = match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => compare(left, right)?,
    };
    Ok(Some(Value::Bool(order == Some(Ordering::Equal))))
}

/// Strings are ordered as the numbers that they are.
fn order(left: Value<'_>, right: Value<'_>) -> Result<Option<Ordering>, Incomparable> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            Ok(Some(double_order(double(left).ok_or(Incomparable)?, double(right).ok_or(Incomparable)?)))
        }
        _ => compare(left, right),
    }
}

/// `ComparisonExpression.__compare` with strings converted; `None` for kinds that have nothing to do with each other.
fn compare(left: Value<'_>, right: Value<'_>) -> Result<Option<Ordering>, Incomparable> {
    use Value::{Bool, Double, Int, Long, Text};
    Ok(Some(match (left, right) {
        (Bool(left), Bool(right)) => left.cmp(&right),
        (Int(left), Int(right)) => left.cmp(&right),
        (Int(left), Long(right)) => i64::from(left).cmp(&right),
        (Long(left), Int(right)) => left.cmp(&i64::from(right)),
        (Long(left), Long(right)) => left.cmp(&right),
        (Double(left), Double(right)) => double_order(left, right),
        (Int(left), Double(right)) => double_order(f64::from(left), right),
        (Double(left), Int(right)) => double_order(left, f64::from(right)),
        (Long(left), Double(right)) => double_order(left as f64, right),
        (Double(left), Long(right)) => double_order(left, right as f64),
        (Text(left), Text(right)) => left.cmp(right),
        (Text(left), Bool(right)) => left.eq_ignore_ascii_case("true").cmp(&right),
        (Text(left), number) => return compare(read_as(left, number)?, number),
        // Java casts the wrong one of the two, which fails.
        (Bool(_), Text(_)) => return Err(Incomparable),
        (number, Text(right)) => return compare(number, read_as(right, number)?),
        (Bool(_), _) | (_, Bool(_)) => return Ok(None),
    }))
}

/// A string as a number of the same kind.
fn read_as<'a>(text: &str, kind: Value<'a>) -> Result<Value<'a>, Incomparable> {
    let read = match kind {
        Value::Int(_) => text.parse().ok().map(Value::Int),
        Value::Long(_) => text.parse().ok().map(Value::Long),
        _ => double(text).map(Value::Double),
    };
    if read.is_none() && planted("SQL goes on behind what cannot be compared") {
        return Ok(Value::Bool(false));
    }
    read.ok_or(Incomparable)
}

/// `Double.compareTo`: NaN is equal to itself and above all, -0 is below 0.
fn double_order(left: f64, right: f64) -> Ordering {
    match left.partial_cmp(&right) {
        Some(Ordering::Equal) => right.is_sign_negative().cmp(&left.is_sign_negative()),
        Some(order) => order,
        None => left.is_nan().cmp(&right.is_nan()),
    }
}

/// `Double.valueOf`, but for hexadecimal numbers.
pub(super) fn double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let number = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let is_plain = number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if is_plain { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_read_and_ordered_as_java_does() {
        let good = [(" 1.5 ", 1.5), ("1e3", 1e3), ("-.5d", -0.5), ("7.F", 7.0), ("+Infinity", f64::INFINITY)];
        for (text, value) in good {
            assert_eq!(double(text), Some(value), "{text}");
        }
        assert!(double("-NaN").is_some_and(f64::is_nan));
        for wrong in ["", " ", "inf", "nan", "infinity", "1_000", "0x1p3", "1,5", "d", "1dd", "Infinityd"] {
            assert_eq!(double(wrong), None, "{wrong}");
        }
        assert_eq!(double_order(f64::NAN, f64::INFINITY), Ordering::Greater);
        assert_eq!(double_order(1.0, f64::NAN), Ordering::Less);
        assert_eq!(double_order(f64::NAN, f64::NAN), Ordering::Equal);
        assert_eq!(double_order(-0.0, 0.0), Ordering::Less);
        assert_eq!(double_order(0.0, -0.0), Ordering::Greater);
    }
}
