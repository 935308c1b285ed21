//! Numbers as Prometheus has them.

use bytestring::ByteString;

/// Numbers of one name, as Prometheus has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub help: &'static str,
    /// How the numbers move.
    pub kind: Kind,
    /// The numbers.
    pub samples: Vec<Sample>,
}

/// How a family's numbers move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up only.
    Counter,
    /// Up and down.
    Gauge,
    /// Buckets, their sum and their number; each sample says which by its suffix.
    Histogram,
}

/// A number with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What follows the family's name; empty but for histograms.
    pub suffix: &'static str,
    /// Names and values. Values are any text.
    pub labels: Vec<(&'static str, ByteString)>,
    /// The number.
    pub value: f64,
}

impl Family {
    /// A family of this name without numbers.
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Family {
        Family { name, help, kind, samples: Vec::new() }
    }

    /// One number without labels.
    pub fn one(name: &'static str, kind: Kind, help: &'static str, value: impl Number) -> Family {
        let mut family = Family::new(name, kind, help);
        family.push(Vec::new(), value);
        family
    }

    /// Adds a histogram: `counts` has one number for each of `bounds`, of what is not larger, and one of what is larger
    /// than all of them.
    pub fn push_histogram(
        &mut self,
        labels: &[(&'static str, ByteString)],
        bounds: impl Iterator<Item = f64>,
        counts: &[u64],
        sum: f64,
    ) {
        let mut push = |suffix, bound: Option<ByteString>, value: f64| {
            let labels = labels.iter().cloned().chain(bound.map(|bound| ("le", bound))).collect();
            self.samples.push(Sample { suffix, labels, value });
        };
        let mut so_far = 0;
        let names = bounds.map(|bound| bound.to_string().into()).chain([ByteString::from_static("+Inf")]);
        for (name, count) in names.zip(counts) {
            so_far += count;
            push("_bucket", Some(name), so_far.number());
        }
        push("_sum", None, sum);
        push("_count", None, so_far.number());
    }

    /// Adds a number.
    pub fn push(&mut self, labels: Vec<(&'static str, ByteString)>, value: impl Number) {
        self.samples.push(Sample { suffix: "", labels, value: value.number() });
    }
}

/// What a sample can be made of. Above 2^53 the last digits are lost, as in every such system.
pub trait Number {
    /// The same as a float.
    fn number(self) -> f64;
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(impl Number for $type {
            fn number(self) -> f64 {
                self as f64
            }
        })+
    };
}

numbers!(u64, i64, usize, i32, f64);
