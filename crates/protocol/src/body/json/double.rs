//! Doubles as Java writes them.

use std::io::Write;

/// Appends what `Double.toString` returns; what is not finite becomes `null`, as in fastjson.
pub(super) fn write(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let magnitude = value.abs();
    // Writing into a Vec cannot fail.
    let _ = if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        write!(out, "{value:?}")
    } else {
        let text = format!("{value:E}");
        match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => write!(out, "{digits}.0E{exponent}"),
            _ => write!(out, "{text}"),
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn doubles_are_javas() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.05, "1.05"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (0.0005, "5.0E-4"),
            (1_234_567.0, "1234567.0"),
            (1e7, "1.0E7"),
            (12_345_678.5, "1.23456785E7"),
            (1e20, "1.0E20"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            let mut out = Vec::new();
            super::write(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
