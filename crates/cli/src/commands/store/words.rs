//! Tables and lists for people.

use rocketwire_store::tools::LostRange;
use serde::Serialize;

/// Records of one queue that are lost, as they are printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lost<'a> {
    topic: &'a str,
    queue_id: u32,
    from: i64,
    to: i64,
    /// More may be lost than this.
    is_certain: bool,
}

pub(super) fn lost(ranges: &[LostRange]) -> Vec<Lost<'_>> {
    ranges
        .iter()
        .map(|range| Lost {
            topic: &range.topic,
            queue_id: range.queue_id,
            from: range.from,
            to: range.to,
            is_certain: range.is_certain,
        })
        .collect()
}

/// One line for each queue that lost something.
pub(super) fn lost_lines(ranges: &[LostRange]) -> Vec<String> {
    let line = |range: &LostRange| {
        let LostRange { topic, queue_id, from, to, is_certain } = range;
        let offsets =
            if to - from == 1 { format!("offset {from}") } else { format!("offsets {from} to {}", to - 1) };
        let more = if *is_certain { "" } else { ", perhaps more behind them" };
        format!("    lost: {topic}, queue {queue_id}, {offsets}{more}")
    };
    ranges.iter().map(line).collect()
}

/// Rows under headings, each column as wide as it must be; all but the first column of numbers.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            match column {
                0 => text.push_str(&format!("{cell:<width$}")),
                _ => text.push_str(&format!("  {cell:>width$}")),
            }
        }
        text
    };
    let mut lines = vec![line(head.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [vec!["orders".to_owned(), "12".to_owned()], vec!["a".to_owned(), "3".to_owned()]];
        assert_eq!(table(&["topic", "max"], &rows), ["topic   max", "orders   12", "a         3"]);
    }

    #[test]
    fn losses_are_said_with_their_ends() {
        let range = LostRange { topic: "T".into(), queue_id: 2, from: 5, to: 6, is_certain: true };
        let more = LostRange { to: 9, is_certain: false, ..range.clone() };
        let lines = lost_lines(&[range, more]);
        assert_eq!(lines[0], "    lost: T, queue 2, offset 5");
        assert_eq!(lines[1], "    lost: T, queue 2, offsets 5 to 8, perhaps more behind them");
    }
}
