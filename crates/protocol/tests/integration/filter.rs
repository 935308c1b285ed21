//! SQL92 filters: a table of Java's answers, and an evaluator that is as plain as can be.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use rocketwire_protocol::filter::{MAX_DEPTH, MAX_LEN, MAX_NODES, SqlFilter};

/// `a=5;b=x` as a property string.
fn properties(text: &str) -> String {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect()
}

fn matches(expression: &str, text: &str) -> bool {
    let filter = SqlFilter::compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    filter.matches(&properties(text))
}

#[track_caller]
fn table(rows: &[(&str, &str, bool)]) {
    for (expression, text, expected) in rows {
        assert_eq!(matches(expression, text), *expected, "{expression} of {text}");
    }
}

// spec: broker B.5
#[test]
fn comparisons_read_a_property_as_what_it_is_compared_with() {
    table(&[
        ("a = 5", "a=5", true),
        ("a = 5", "a=+5", true),
        ("a = 5", "a=5.0", false),
        ("a = 5.0", "a=5", true),
        ("a = 5.0", "a= 5d", true),
        ("a > 5", "a=3000000000", false), // no Integer
        ("a > 5000000000", "a=6000000000", true),
        ("a > 5L", "a=3000000000", false), // small with an L is an Integer all the same
        ("a > 5.5", "a=3000000000", true),
        ("a >= 5 AND a <= 5", "a=5", true),
        ("a < -5", "a=-6", true),
        ("5 < a", "a=6", true),
        ("5 < a", "a=six", false),
        ("a = 'x'", "a=x", true),
        ("a = 'X'", "a=x", false),
        ("a <> 'x'", "a=y", true),
        ("a = '5'", "a=5.0", false),
        ("a > b", "a=10;b=9.5", true),
        ("a > b", "a=10;b=nine", false),
        ("a = b", "a=10;b=10.0", false),
        ("a = TRUE", "a=True", true),
        ("a = TRUE", "a=yes", false),
        ("a = FALSE", "a=yes", true),
        ("TRUE = a", "a=true", false), // Java fails here
        ("1 = 1", "", true),
        ("1 = 1.0", "", true),
        ("1 = TRUE", "", false),
        ("TRUE", "", true),
        ("NULL", "", false),
        ("a = 'it''s'", "a=it's", true),
    ]);
}

// spec: broker B.5
#[test]
fn a_missing_property_is_neither_true_nor_false() {
    table(&[
        ("a = 5", "", false),
        ("a <> 5", "", false),
        ("NOT (a = 5)", "", false),
        ("NOT (5 = a)", "", true), // Java: the left one alone makes it null
        ("a > 5 OR b = 1", "b=1", true),
        ("a > 5 AND b = 1", "b=1", false),
        ("NOT (a > 5 AND b = 1)", "b=2", true),
        ("NOT (a > 5 OR b = 1)", "b=2", false),
        ("a IS NULL", "", true),
        ("a IS NULL", "a=1", false),
        ("a IS NOT NULL", "a=1", true),
        ("a IS NOT NULL", "a=;b=1", false),
        ("a = b", "", true),
        ("a IN ('x')", "", false),
        ("a NOT IN ('x')", "", false),
        ("NOT (a CONTAINS 'x')", "", true),
        ("a NOT CONTAINS 'x'", "", false),
    ]);
}

// spec: broker B.5
#[test]
fn what_cannot_be_compared_ends_the_evaluation() {
    table(&[
        ("a > 5", "a=x", false),
        ("NOT (a > 5)", "a=x", false),
        ("a > 5 OR b = 1", "a=x;b=1", false),
        ("b = 1 OR a > 5", "a=x;b=1", true), // it does not come that far
        ("b = 1 AND a > 5", "a=x;b=2", false),
        ("NOT (b = 1 AND a > 5)", "a=x;b=2", true),
        ("a = 5", "a=x", false),
        ("a <> 5", "a=x", false),
    ]);
}

#[test]
fn ranges_lists_and_parts() {
    table(&[
        ("a BETWEEN 1 AND 3", "a=3", true),
        ("a BETWEEN 1 AND 3", "a=4", false),
        ("a NOT BETWEEN 1 AND 3", "a=4", true),
        ("a BETWEEN -3 AND -1", "a=-2", true),
        ("a BETWEEN b AND c", "a=2;b=1;c=3", true),
        ("a BETWEEN 1 AND 3 AND b = 1", "a=2;b=1", true),
        ("a IN ('x', 'y''s')", "a=y's", true),
        ("a IN ('x', 'y')", "a=z", false),
        ("a NOT IN ('x', 'y')", "a=z", true),
        ("a CONTAINS 'ell'", "a=hello", true),
        ("a STARTSWITH 'hel'", "a=hello", true),
        ("a ENDSWITH 'llo'", "a=hello", true),
        ("a ENDSWITH 'hel'", "a=hello", false),
        ("a NOT STARTSWITH 'x'", "a=hello", true),
        ("a CONTAINS ''", "a=hello", false),
        ("a NOT CONTAINS ''", "a=hello", false),
        ("'abc' CONTAINS 'b'", "", true),
        ("a contains 'x' And b Is Not nUlL", "a=xx;b=1", true),
    ]);
}

#[test]
fn operators_bind_as_in_javas_grammar() {
    table(&[
        ("a = 1 OR b = 1 AND c = 1", "a=1", true),
        ("(a = 1 OR b = 1) AND c = 1", "a=1", false),
        ("NOT a = 1", "a=1", false), // (NOT a) = 1
        ("NOT a = TRUE", "a=1", true),
        ("a", "a=true", false), // a string is no boolean
        ("NOT a", "a=true", true),
        ("a = 1 = TRUE", "a=1", true),
        ("- -a IS NULL", "a=1", true), // only numbers have a sign
        ("a > - - 1", "a=2", true),
        ("a /* = 'y' */ = -- 'z'\n 'x'", "a=x", true),
        ("a=1AND b=2", "a=1;b=2", true),
    ]);
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    let wrong = [
        "",
        " ",
        "a =",
        "= a",
        "a = 1 b",
        "a = 1)",
        "(a = 1",
        "()",
        "a LIKE 'x'",
        "a > 'x'",
        "a > TRUE",
        "a = NULL",
        "NULL = a",
        "TRUE = 1",
        "5",
        "'x'",
        "-a",
        "a AND 5",
        "a + 1 = 2",
        "1 IN ('x')",
        "a IN (1)",
        "a IN ()",
        "a IN ('x',)",
        "a BETWEEN 3 AND 1",
        "a BETWEEN 1",
        "a BETWEEN 'a' AND 'b'",
        "a NOT",
        "NOT",
        "a CONTAINS b",
        "a CONTAINS 5",
        "a IS",
        "a IS 5",
        "a IS NOT 5",
        "a = 9223372036854775808",
        "a > 0.0",
        "a > 1e999",
        "a = 007",
        "a != 1",
        "a == 1",
        "a = 'x",
        "a = \"x\"",
        "a.b = 1",
        "AND",
        "a > b > c",
        "a &&  b",
    ];
    for expression in wrong {
        assert!(SqlFilter::compile(expression).is_err(), "{expression}");
    }
    let error = SqlFilter::compile("a = 1 AND b >").unwrap_err();
    assert_eq!(error.to_string(), "a property or a constant was expected, at byte 13 of the expression");
    assert_eq!(SqlFilter::compile("a = 1 b").unwrap_err().at, 6);
}

#[test]
fn length_depth_and_size_are_bounded() {
    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(SqlFilter::compile(&nested(MAX_DEPTH)).is_ok());
    for depth in [MAX_DEPTH + 1, 10_000] {
        assert!(SqlFilter::compile(&nested(depth)).unwrap_err().reason.contains("nested"));
        assert!(SqlFilter::compile(&format!("{}a", "NOT ".repeat(depth.min(8_000)))).is_err());
        assert!(SqlFilter::compile(&format!("a > {}1", "- ".repeat(depth))).is_err());
    }
    assert!(SqlFilter::compile(&format!("a{}", " = 1".repeat(2_000))).unwrap_err().reason.contains("row"));
    let wide = |parts: usize| vec!["a=1"; parts].join(" OR ");
    assert!(SqlFilter::compile(&wide(MAX_NODES / 3)).is_ok());
    assert!(SqlFilter::compile(&wide(MAX_NODES / 3 + 1)).is_err());
    let words: Vec<String> = (0..3_000).map(|n| format!("'w{n}'")).collect();
    assert!(matches(&format!("a IN ({})", words.join(",")), "a=w2999"), "words of a list are no nodes");
    let long = format!("a = '{}'", "x".repeat(MAX_LEN));
    assert_eq!(SqlFilter::compile(&long).unwrap_err().at, MAX_LEN);
    assert!(SqlFilter::compile(&"(".repeat(1 << 20)).is_err());
}

#[test]
fn the_last_of_a_repeated_property_counts_and_many_are_fine() {
    assert!(matches("a = 2", "a=1;a=2"));
    assert!(matches("a = 'x' AND TAGS = 'y' AND $s = 1 AND _u IS NULL", "TAGS=y;$s=1;a=x"));
    let expression: Vec<String> = (0..30).map(|n| format!("p{n} = {n}")).collect();
    let text: Vec<String> = (0..30).map(|n| format!("p{n}={n}")).collect();
    assert!(matches(&expression.join(" AND "), &text.join(";")));
    assert!(!matches(&expression.join(" AND "), &text[1..].join(";")));
}

/// A condition, as the plain evaluator below sees it.
#[derive(Debug, Clone)]
enum Condition {
    Compare {
        name: u8,
        relation: &'static str,
        constant: Constant,
    },
    Null {
        name: u8,
        is_not: bool,
    },
    List {
        name: u8,
        words: Vec<&'static str>,
        is_not: bool,
    },
    Range {
        name: u8,
        low: i32,
        width: i32,
        is_not: bool,
    },
    Part {
        name: u8,
        how: &'static str,
        word: &'static str,
        is_not: bool,
    },
    Not(Box<Condition>),
    /// `OR` of `AND`s.
    Nested(Vec<Vec<Condition>>),
}

#[derive(Debug, Clone)]
enum Constant {
    Number(i32),
    Text(&'static str),
}

const WORDS: [&str; 8] = ["1", "2", "-7", "2.5", "x", "xy", "true", "99999999999"];

/// True, false, null; an error ends it all.
type Verdict = Result<Option<bool>, ()>;

impl Condition {
    fn render(&self) -> String {
        let not = |is_not: &bool| if *is_not { "NOT " } else { "" };
        match self {
            Self::Compare { name, relation, constant: Constant::Number(number) } => {
                format!("p{name} {relation} {}{}", if *number < 0 { "- " } else { "" }, number.abs())
            }
            Self::Compare { name, relation, constant: Constant::Text(text) } => {
                format!("p{name} {relation} '{text}'")
            }
            Self::Null { name, is_not } => format!("p{name} IS {}NULL", not(is_not)),
            Self::List { name, words, is_not } => {
                format!("p{name} {}IN ('{}')", not(is_not), words.join("', '"))
            }
            Self::Range { name, low, width, is_not } => {
                format!("p{name} {}BETWEEN {low} AND {}", not(is_not), low + width)
            }
            Self::Part { name, how, word, is_not } => format!("p{name} {}{how} '{word}'", not(is_not)),
            Self::Not(of) => format!("NOT ({})", of.render()),
            Self::Nested(any) => format!("({})", render(any)),
        }
    }

    fn evaluate(&self, properties: &BTreeMap<u8, &str>) -> Verdict {
        let value = |name: &u8| properties.get(name).copied();
        Ok(match self {
            Self::Compare { name, relation, constant } => {
                let Some(value) = value(name) else { return Ok(None) };
                let order = match constant {
                    Constant::Number(number) => value.parse::<i32>().map_err(|_| ())?.cmp(number),
                    Constant::Text(text) => value.cmp(text),
                };
                Some(match *relation {
                    "=" => order.is_eq(),
                    "<>" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Self::Null { name, is_not } => Some(value(name).is_none() != *is_not),
            Self::List { name, words, is_not } => value(name).map(|value| words.contains(&value) != *is_not),
            Self::Range { name, low, width, is_not } => {
                let Some(value) = value(name) else { return Ok(None) };
                let number: i32 = value.parse().map_err(|_| ())?;
                Some((number >= *low && number <= low + width) != *is_not)
            }
            Self::Part { name, how, word, is_not } => Some(value(name).is_some_and(|value| {
                let found = match *how {
                    "CONTAINS" => value.contains(word),
                    "STARTSWITH" => value.starts_with(word),
                    _ => value.ends_with(word),
                };
                found != *is_not && !word.is_empty()
            })),
            Self::Not(of) => of.evaluate(properties)?.map(|verdict| !verdict),
            Self::Nested(any) => evaluate(any, properties)?,
        })
    }
}

fn render(any: &[Vec<Condition>]) -> String {
    let all = |all: &Vec<Condition>| all.iter().map(Condition::render).collect::<Vec<_>>().join(" AND ");
    any.iter().map(all).collect::<Vec<_>>().join(" OR ")
}

fn evaluate(any: &[Vec<Condition>], properties: &BTreeMap<u8, &str>) -> Verdict {
    let mut result = Some(false);
    for all in any {
        let mut of_all = Some(true);
        for condition in all {
            match condition.evaluate(properties)? {
                Some(false) => {
                    of_all = Some(false);
                    break;
                }
                Some(true) => {}
                None => of_all = None,
            }
        }
        match of_all {
            Some(true) => return Ok(Some(true)),
            Some(false) => {}
            None => result = None,
        }
    }
    Ok(result)
}

fn condition() -> impl Strategy<Value = Condition> {
    let word = || prop::sample::select(WORDS.to_vec());
    let number = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let text = prop::sample::select(vec!["=", "<>"]);
    let leaf = prop_oneof![
        (0..4_u8, number, -8..3_i32).prop_map(|(name, relation, number)| Condition::Compare {
            name,
            relation,
            constant: Constant::Number(number)
        }),
        (0..4_u8, text, word()).prop_map(|(name, relation, text)| Condition::Compare {
            name,
            relation,
            constant: Constant::Text(text)
        }),
        (0..4_u8, any::<bool>()).prop_map(|(name, is_not)| Condition::Null { name, is_not }),
        (0..4_u8, vec(word(), 1..7), any::<bool>()).prop_map(|(name, words, is_not)| Condition::List {
            name,
            words,
            is_not
        }),
        (0..4_u8, 0..3_i32, 0..3_i32, any::<bool>())
            .prop_map(|(name, low, width, is_not)| Condition::Range { name, low, width, is_not }),
        (
            0..4_u8,
            prop::sample::select(vec!["CONTAINS", "STARTSWITH", "ENDSWITH"]),
            "[xy1]{0,2}",
            any::<bool>()
        )
            .prop_map(|(name, how, word, is_not)| {
                let word = WORDS.into_iter().chain([""]).find(|known| *known == word).unwrap_or("y");
                Condition::Part { name, how, word, is_not }
            }),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| Condition::Not(Box::new(of))),
            vec(vec(inner, 1..3), 1..3).prop_map(Condition::Nested),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_expression_means_what_it_means_to_a_plain_evaluator(
        any in vec(vec(condition(), 1..4), 1..4),
        values in vec(prop::option::of(prop::sample::select(WORDS.to_vec())), 4),
    ) {
        let expression = render(&any);
        let known: BTreeMap<u8, &str> =
            (0..).zip(&values).filter_map(|(name, value)| value.map(|value| (name, value))).collect();
        let text: Vec<String> = known.iter().map(|(name, value)| format!("p{name}={value}")).collect();
        let expected = evaluate(&any, &known) == Ok(Some(true));
        prop_assert_eq!(matches(&expression, &text.join(";")), expected, "{}", expression);
    }
}
