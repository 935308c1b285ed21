//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

use rocketwire_broker::{Family, Kind};

/// All families as one text; `base` are the labels of every number.
pub(crate) fn render(families: &[Family], base: &[(&str, &str)]) -> String {
    let samples: usize = families.iter().map(|family| family.samples.len()).sum();
    let mut out = String::with_capacity(samples * 160 + families.len() * 120);
    let mut base_labels = String::new();
    for (name, value) in base {
        label(&mut base_labels, name, value);
    }
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", family.name, family.help, family.name);
        for sample in &family.samples {
            let _ = write!(out, "{}{}{{{base_labels}", family.name, sample.suffix);
            let start = out.len() - base_labels.len();
            for (name, value) in &sample.labels {
                if out.len() > start {
                    out.push(',');
                }
                let mut one = String::new();
                label(&mut one, name, value);
                out.push_str(&one);
            }
            let _ = writeln!(out, "}} {}", sample.value);
        }
    }
    out
}

/// `name="value"`, with a comma before it unless it is the first.
fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    let _ = write!(out, "{name}=\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use rocketwire_broker::Sample;

    use super::*;

    #[test]
    fn families_are_text_and_values_of_labels_are_escaped() {
        let mut one = Family::new("a_total", Kind::Counter, "What a is");
        one.push(vec![("topic", "T\"\\\nU".into()), ("x", "".into())], 3_u64);
        one.push(Vec::new(), 0.5);
        let empty = Family::new("b", Kind::Gauge, "Nothing");
        let bucket = Sample { suffix: "_bucket", labels: vec![("le", "+Inf".into())], value: 2.0 };
        let histogram = Family { name: "h", help: "How long", kind: Kind::Histogram, samples: vec![bucket] };
        let text = render(&[one, empty, histogram], &[("cluster", "C"), ("node_id", "b\"1")]);
        assert_eq!(
            text,
            "# HELP a_total What a is\n# TYPE a_total counter\n\
             a_total{cluster=\"C\",node_id=\"b\\\"1\",topic=\"T\\\"\\\\\\nU\",x=\"\"} 3\n\
             a_total{cluster=\"C\",node_id=\"b\\\"1\"} 0.5\n\
             # HELP h How long\n# TYPE h histogram\nh_bucket{cluster=\"C\",node_id=\"b\\\"1\",le=\"+Inf\"} 2\n"
        );
        let mut plain = Family::new("g", Kind::Gauge, "G");
        plain.push(vec![("a", "1".into()), ("b", "2".into())], 1_u64 << 40);
        plain.push(Vec::new(), 1.0);
        let lines = render(&[plain], &[]);
        assert!(lines.ends_with("g{a=\"1\",b=\"2\"} 1099511627776\ng{} 1\n"), "{lines}");
    }
}
