use super::Place;
use super::build::FrameKeys;

/// Keys that are kept of the segment that grows: 12 MiB. What is behind them is read by each query.
const MAX_KEPT: usize = 1 << 20;

/// Keys of the segment that grows, as far as a query has read it.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Begin of the segment.
    start: u64,
    /// Everything below this place of the log is in `kept`.
    scanned: u64,
    kept: Vec<(u32, u32, u32)>,
    /// Store time of the last record below `scanned`.
    last_timestamp: Option<i64>,
}

impl Recent {
    /// Goes on in this segment; what was kept of another is let go. Where to go on reading.
    pub(super) fn resume(&mut self, start: u64) -> u64 {
        if self.start != start || self.scanned < start {
            *self = Self { start, scanned: start, kept: Vec::new(), last_timestamp: None };
        }
        self.scanned
    }

    /// Lets go of the keys of this segment: it does not grow any more.
    pub(super) fn forget(&mut self, start: u64) {
        if self.start == start {
            *self = Self::default();
        }
    }

    /// Store time of the last record that was read.
    pub(super) fn last_timestamp(&self) -> Option<i64> {
        self.last_timestamp
    }

    /// Keeps the keys of a frame, if they and all before them fit.
    pub(super) fn keep(&mut self, frame: &FrameKeys<'_>) -> bool {
        let fits = self.scanned == frame.begin
            && self.kept.len() + frame.keys.len() <= MAX_KEPT
            && u32::try_from(frame.end - self.start).is_ok();
        if fits {
            let position = |place: &Place| (place.physical - self.start) as u32;
            let kept = |(hash, place): &(u32, Place)| (*hash, position(place), place.frame_distance);
            self.kept.extend(frame.keys.iter().map(kept));
            self.scanned = frame.end;
            self.last_timestamp = Some(frame.last_timestamp);
        }
        fits
    }

    /// Where records with this hash are, oldest first.
    pub(super) fn places(&self, hash: u32) -> Vec<Place> {
        let of_hash = self.kept.iter().filter(|(of, ..)| *of == hash);
        let place = |(_, position, frame_distance): &(u32, u32, u32)| Place {
            physical: self.start + u64::from(*position),
            frame_distance: *frame_distance,
        };
        of_hash.map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> (u32, Place) {
        (n as u32, Place { physical: 100 + n, frame_distance: 24 })
    }

    fn keep(recent: &mut Recent, keys: &[(u32, Place)], begin: u64, end: u64) -> bool {
        recent.keep(&FrameKeys { begin, end, last_timestamp: end as i64, keys })
    }

    #[test]
    fn keys_are_kept_in_order_without_gaps_and_for_one_segment() {
        let mut recent = Recent::default();
        assert_eq!((recent.resume(100), recent.last_timestamp()), (100, None));
        assert!(keep(&mut recent, &[key(1), key(2)], 100, 150));
        assert!(!keep(&mut recent, &[key(90)], 190, 200), "what is between was not read");
        assert_eq!((recent.resume(100), recent.last_timestamp()), (150, Some(150)));
        assert_eq!(recent.places(2), [key(2).1]);
        assert_eq!((recent.resume(700), recent.last_timestamp()), (700, None));
        assert_eq!(recent.places(2), []);
    }

    #[test]
    fn there_is_a_bound() {
        let mut recent = Recent::default();
        recent.resume(100);
        let many: Vec<_> = (0..MAX_KEPT as u64).map(key).collect();
        assert!(keep(&mut recent, &many, 100, 200));
        assert!(!keep(&mut recent, &[key(1)], 200, 300));
        assert_eq!(recent.resume(100), 200, "the rest is read each time");
    }
}
