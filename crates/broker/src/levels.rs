//! How long the delay levels are (Java: `messageDelayLevel`).

use std::{fmt, str::FromStr, time::Duration};

use crate::planted::planted;

/// The highest level that can be: so many queues the topic of delayed messages has (Java: `SCHEDULE_QUEUE_NUM`).
pub(crate) const MAX_LEVEL: i32 = 18;

/// A clock that was set back by less is simply waited for.
pub(crate) const CLOCK_SLACK_MS: i64 = 10_000;

/// The longest delay: a year. What is longer is a slip of the pen.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The delay of each level, from level 1 on: 1 to 18 of them.
///
/// Read and written as Java has them: `1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h`, the default.
/// A message that waits in a level which is none any more waits as long as those of the highest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels(Vec<Duration>);

/// A text that is no list of delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to 18 delays of up to a year are wanted, as in `1s 10s 5m 2h 1d`")]
pub struct InvalidDelayLevels;

impl DelayLevels {
    /// The highest level; more is as good as this.
    pub(crate) fn highest(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(MAX_LEVEL)
    }

    /// The delay of a level from 1.
    pub(crate) fn delay_ms(&self, level: i32) -> i64 {
        let index = usize::try_from(level.clamp(1, self.highest()) - 1).unwrap_or_default();
        let delay = self.0.get(index).copied().unwrap_or_default();
        i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
    }

    /// When a message of a level is due, seen from now: at its time, or at once when that is further away than any
    /// message of the level can have to wait. Then the clock was set back by much since it was stored, and waiting for
    /// its time would keep it for hours or years.
    pub(crate) fn due_ms(&self, level: i32, due_ms: i64, now_ms: i64) -> i64 {
        let delay = self.delay_ms(level);
        let longest = delay + delay.max(CLOCK_SLACK_MS);
        let is_set_back =
            due_ms.saturating_sub(now_ms) > longest && !planted("a clock set back is waited for");
        if is_set_back { now_ms } else { due_ms }
    }
}

impl Default for DelayLevels {
    fn default() -> Self {
        const SECONDS: [u64; 18] =
            [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200];
        DelayLevels(SECONDS.map(Duration::from_secs).to_vec())
    }
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl FromStr for DelayLevels {
    type Err = InvalidDelayLevels;

    fn from_str(text: &str) -> Result<DelayLevels, InvalidDelayLevels> {
        let delay = |text: &str| {
            let (_, unit) = UNITS.iter().find(|(name, _)| text.ends_with(*name))?;
            let number: u64 = text.get(..text.len() - 1)?.parse().ok()?;
            Some(Duration::from_secs(number.checked_mul(*unit)?)).filter(|delay| *delay <= LONGEST)
        };
        let delays: Option<Vec<Duration>> = text.split_ascii_whitespace().map(delay).collect();
        let is_few = |delays: &Vec<Duration>| (1..=MAX_LEVEL as usize).contains(&delays.len());
        delays.filter(is_few).map(DelayLevels).ok_or(InvalidDelayLevels)
    }
}

impl fmt::Display for DelayLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, delay) in self.0.iter().enumerate() {
            let seconds = delay.as_secs();
            let unit = UNITS.iter().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit));
            let (name, unit) = unit.unwrap_or(&('s', 1));
            write!(f, "{}{}{name}", if at > 0 { " " } else { "" }, seconds / unit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_javas_and_clamp() {
        // spec: client 160
        let levels = DelayLevels::default();
        assert_eq!(levels.to_string(), "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h");
        assert_eq!(levels.highest(), MAX_LEVEL);
        assert_eq!(levels.delay_ms(1), 1_000);
        assert_eq!(levels.delay_ms(3), 10_000);
        assert_eq!(levels.delay_ms(18), 7_200_000);
        assert_eq!(levels.delay_ms(19), 7_200_000);
        assert_eq!(levels.delay_ms(i32::MAX), 7_200_000);
    }

    #[test]
    fn other_levels_are_read_as_they_are_written() {
        let levels: DelayLevels = " 0s 90s  2m 36h 1d".parse().unwrap();
        assert_eq!((levels.highest(), levels.to_string().as_str()), (5, "0s 90s 2m 36h 1d"));
        assert_eq!(
            [1, 2, 4, 5, 18].map(|level| levels.delay_ms(level) / 1_000),
            [0, 90, 129_600, 86_400, 86_400]
        );
        let many = ["1s"; 19].join(" ");
        for wrong in
            ["", " ", "5", "s", "1x", "-1s", "1s,5s", "1.5s", "400d", "99999999999999999999s", "1é", &many]
        {
            assert_eq!(wrong.parse::<DelayLevels>(), Err(InvalidDelayLevels), "{wrong}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_message_for_long() {
        let levels = DelayLevels::default();
        assert_eq!(levels.due_ms(1, 1_000, 0), 1_000);
        assert_eq!(levels.due_ms(1, 11_000, 0), 11_000, "a little is waited for");
        assert_eq!(levels.due_ms(1, 11_001, 0), 0);
        assert_eq!(levels.due_ms(18, 2 * 7_200_000, 0), 2 * 7_200_000);
        assert_eq!(levels.due_ms(18, i64::MAX, -1), -1);
    }
}
