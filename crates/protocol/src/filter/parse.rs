use super::eval::{Constant, Expr, Part, Relation, double};
use super::lex::{Kind, Token};
use super::{MAX_DEPTH, MAX_NODES, SqlError, SqlFilter};
use crate::planted::planted;

/// Comparisons in a row, `a = b = c`, at most; each is one more level of the tree.
const MAX_CHAIN: usize = 8;

/// The grammar of `SelectorParser.jj`, without its gap: the whole text has to be an expression.
pub(super) fn parse(tokens: &[Token<'_>], end: usize) -> Result<SqlFilter, SqlError> {
    let mut names = names(tokens);
    names.sort_unstable();
    names.dedup();
    let mut parser = Parser { tokens, next: 0, end, names: &names, depth: 0, nodes: 0 };
    let root = parser.or()?;
    let root = parser.as_condition(root)?;
    if parser.next < tokens.len() {
        return parser.fail("the expression has ended before this");
    }
    Ok(SqlFilter { root, names: names.iter().map(|name| Box::from(*name)).collect() })
}

const KEYWORDS: [&str; 12] = [
    "NOT",
    "AND",
    "OR",
    "BETWEEN",
    "IN",
    "TRUE",
    "FALSE",
    "NULL",
    "IS",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
];

fn names<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let name = |token: &Token<'a>| match token.kind {
        Kind::Word(word) if !KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) => Some(word),
        _ => None,
    };
    tokens.iter().filter_map(name).collect()
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    next: usize,
    /// Length of the text.
    end: usize,
    names: &'a [&'a str],
    depth: usize,
    nodes: usize,
}

type Parsed = Result<Expr, SqlError>;

impl<'a> Parser<'a> {
    fn or(&mut self) -> Parsed {
        self.junction("OR", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Parsed {
        self.junction("AND", Self::equality, Expr::And)
    }

    fn junction(&mut self, word: &str, part: fn(&mut Self) -> Parsed, join: fn(Vec<Expr>) -> Expr) -> Parsed {
        let first = part(self)?;
        if !self.is_word(0, word) {
            return Ok(first);
        }
        let mut parts = vec![self.as_condition(first)?];
        while self.take_word(word) {
            let next = part(self)?;
            parts.push(self.as_condition(next)?);
        }
        self.node(join(parts))
    }

    fn equality(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        for _ in 0..MAX_CHAIN {
            let is_not = self.is_symbol("<>");
            if is_not || self.is_symbol("=") {
                self.next += 1;
                let right = self.comparison()?;
                self.check_equal(&left, &right)?;
                left = self.node(Expr::Equal(Box::new((left, right))))?;
                if is_not {
                    left = Expr::Not(Box::new(left));
                }
            } else if self.is_word(0, "IS") && self.is_word(1, "NULL") {
                self.next += 2;
                left = self.node(Expr::IsNull(Box::new(left)))?;
            } else if self.is_word(0, "IS") && self.is_word(1, "NOT") && self.is_word(2, "NULL") {
                self.next += 3;
                left = Expr::Not(Box::new(self.node(Expr::IsNull(Box::new(left)))?));
            } else {
                return Ok(left);
            }
        }
        self.fail("there are too many comparisons in a row")
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.unary()?;
        for _ in 0..MAX_CHAIN {
            let is_not = self.is_word(0, "NOT");
            let at = usize::from(is_not);
            if let Some(relation) = self.relation() {
                let right = self.unary()?;
                left = self.order(relation, left, right)?;
            } else if self.is_word(at, "BETWEEN") {
                self.next += at + 1;
                left = self.between(left, is_not)?;
            } else if self.is_word(at, "IN") {
                self.next += at + 1;
                left = self.within(&left, is_not)?;
            } else if let Some(how) = self.part(at) {
                self.next += at + 1;
                let word = self.text()?.into();
                left = self.node(Expr::Part { how, subject: Box::new(left), word, is_not })?;
            } else {
                return Ok(left);
            }
        }
        self.fail("there are too many comparisons in a row")
    }

    fn relation(&mut self) -> Option<Relation> {
        let relation = match self.kind(0)? {
            Kind::Symbol(">") => Relation::Greater,
            Kind::Symbol(">=") => Relation::GreaterEqual,
            Kind::Symbol("<") => Relation::Less,
            Kind::Symbol("<=") => Relation::LessEqual,
            _ => return None,
        };
        self.next += 1;
        Some(relation)
    }

    fn part(&self, at: usize) -> Option<Part> {
        let parts =
            [("CONTAINS", Part::Contains), ("STARTSWITH", Part::StartsWith), ("ENDSWITH", Part::EndsWith)];
        parts.into_iter().find(|(word, _)| self.is_word(at, word)).map(|(_, part)| part)
    }

    fn order(&mut self, relation: Relation, left: Expr, right: Expr) -> Parsed {
        self.check_order(&left)?;
        self.check_order(&right)?;
        self.node(Expr::Order(relation, Box::new((left, right))))
    }

    fn between(&mut self, value: Expr, is_not: bool) -> Parsed {
        let low = self.unary()?;
        if !self.take_word("AND") {
            return self.fail("AND was expected, between the two ends of BETWEEN");
        }
        let high = self.unary()?;
        if let (Expr::Constant(Some(low)), Expr::Constant(Some(high))) = (&low, &high)
            && !is_not
            && low.is_number()
            && high.is_number()
            && low.is_above(high)
        {
            return self.fail("the first end of BETWEEN is above the second");
        }
        let (from, to) = if is_not {
            (Relation::Less, Relation::Greater)
        } else {
            (Relation::GreaterEqual, Relation::LessEqual)
        };
        let parts = vec![self.order(from, value.clone(), low)?, self.order(to, value, high)?];
        self.node(if is_not { Expr::Or(parts) } else { Expr::And(parts) })
    }

    fn within(&mut self, left: &Expr, is_not: bool) -> Parsed {
        let &Expr::Property(property) = left else { return self.fail("IN needs a property on its left") };
        self.expect("(")?;
        let mut words: Vec<Box<str>> = vec![self.text()?.into()];
        while self.is_symbol(",") {
            self.next += 1;
            words.push(self.text()?.into());
        }
        self.expect(")")?;
        words.sort_unstable();
        words.dedup();
        self.node(Expr::In { property, words, is_not })
    }

    fn unary(&mut self) -> Parsed {
        let is_negative = self.is_symbol("-");
        if is_negative || self.is_symbol("+") {
            let of = self.deeper(1, Self::unary)?;
            return if is_negative { self.node(Expr::Negate(Box::new(of))) } else { Ok(of) };
        }
        if self.is_word(0, "NOT") {
            let of = self.deeper(1, Self::unary)?;
            let of = self.as_condition(of)?;
            return self.node(Expr::Not(Box::new(of)));
        }
        if self.is_symbol("(") {
            let of = self.deeper(1, Self::or)?;
            self.expect(")")?;
            return Ok(of);
        }
        self.operand()
    }

    fn operand(&mut self) -> Parsed {
        let expr = match self.kind(0) {
            Some(Kind::Text(text)) => Expr::Constant(Some(Constant::Text(text.as_str().into()))),
            Some(Kind::Whole(digits)) => match whole(digits) {
                Some(number) => Expr::Constant(Some(number)),
                None => return self.fail("the number does not fit into 64 bits"),
            },
            Some(Kind::Decimal(digits)) => match decimal(digits) {
                Some(number) => Expr::Constant(Some(number)),
                None => return self.fail("the number is 0 or not within the range of a double"),
            },
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("TRUE") => {
                Expr::Constant(Some(Constant::Bool(true)))
            }
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("FALSE") => {
                Expr::Constant(Some(Constant::Bool(false)))
            }
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("NULL") => Expr::Constant(None),
            Some(Kind::Word(word)) => match self.names.binary_search(word) {
                Ok(at) => Expr::Property(at),
                Err(_) => return self.fail("a property or a constant was expected instead of this word"),
            },
            _ => return self.fail("a property or a constant was expected"),
        };
        self.next += 1;
        self.node(expr)
    }

    fn text(&mut self) -> Result<&'a str, SqlError> {
        let tokens = self.tokens;
        match tokens.get(self.next).map(|token| &token.kind) {
            Some(Kind::Text(text)) => {
                self.next += 1;
                Ok(text)
            }
            _ => self.fail("a string was expected"),
        }
    }

    /// A condition as it is; a property can only be cast.
    fn as_condition(&mut self, expr: Expr) -> Parsed {
        match expr {
            _ if is_condition(&expr) => Ok(expr),
            Expr::Property(_) => self.node(Expr::Cast(Box::new(expr))),
            _ => self.fail("a condition was expected before this"),
        }
    }

    /// Only numbers and properties have an order.
    fn check_order(&self, expr: &Expr) -> Result<(), SqlError> {
        match expr {
            Expr::Constant(Some(constant)) if constant.is_number() => Ok(()),
            expr if is_condition(expr) || matches!(expr, Expr::Constant(_)) => {
                self.fail("only numbers and properties can be compared by > >= < <= BETWEEN")
            }
            _ => Ok(()),
        }
    }

    fn check_equal(&self, left: &Expr, right: &Expr) -> Result<(), SqlError> {
        if matches!(left, Expr::Constant(None)) || matches!(right, Expr::Constant(None)) {
            return self.fail("IS NULL is how a property is compared with NULL");
        }
        let is_wrong = matches!(left, Expr::Constant(Some(Constant::Bool(_))))
            && matches!(right, Expr::Constant(Some(constant)) if !matches!(constant, Constant::Bool(_)));
        if is_wrong { self.fail("a boolean cannot be compared with another constant") } else { Ok(()) }
    }

    /// Takes `skip` words and what `part` reads behind them, one level deeper.
    fn deeper(&mut self, skip: usize, part: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= MAX_DEPTH && !planted("SQL nested without a bound") {
            return self.fail(&format!("it is nested deeper than {MAX_DEPTH}"));
        }
        self.next += skip;
        self.depth += 1;
        let parsed = part(self);
        self.depth -= 1;
        parsed
    }

    fn node(&mut self, expr: Expr) -> Parsed {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.fail(&format!("it has more than {MAX_NODES} operators and operands"));
        }
        Ok(expr)
    }

    fn kind(&self, ahead: usize) -> Option<&'a Kind<'a>> {
        self.tokens.get(self.next + ahead).map(|token| &token.kind)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.kind(0), Some(Kind::Symbol(found)) if *found == symbol)
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.kind(ahead), Some(Kind::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_there = self.is_word(0, word);
        self.next += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, symbol: &str) -> Result<(), SqlError> {
        if !self.is_symbol(symbol) {
            return self.fail(&format!("{symbol} was expected"));
        }
        self.next += 1;
        Ok(())
    }

    fn fail<T>(&self, reason: &str) -> Result<T, SqlError> {
        let at = self.tokens.get(self.next).map_or(self.end, |token| token.at);
        Err(SqlError { reason: reason.to_owned(), at })
    }
}

/// Whether its value can only be true, false or null.
fn is_condition(expr: &Expr) -> bool {
    match expr {
        Expr::Constant(constant) => matches!(constant, None | Some(Constant::Bool(_))),
        Expr::Property(_) | Expr::Negate(_) => false,
        _ => true,
    }
}

/// An `Integer` if it fits, else a `Long`: which of both decides how a property is read.
fn whole(digits: &str) -> Option<Constant> {
    let value: i64 = digits.trim_end_matches(['l', 'L']).parse().ok()?;
    Some(i32::try_from(value).map_or(Constant::Long(value), Constant::Int))
}

/// A `Double` between `Double.MIN_VALUE`, which is the least above 0, and `Double.MAX_VALUE`.
fn decimal(digits: &str) -> Option<Constant> {
    double(digits).filter(|value| *value > 0.0 && value.is_finite()).map(Constant::Double)
}
