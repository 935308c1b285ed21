//! When a message wants to be delivered.

use rocketwire_protocol::{ResponseCode, message::property};

use crate::call::Refused;

/// Java: `MessageStoreConfig.timerMaxDelaySec`, three days.
pub(crate) const MAX_DELAY_MS: i64 = 3 * 24 * 3600 * 1000;
/// Java: `MessageStoreConfig.timerPrecisionMs`. `TIMER_OUT_MS` says in which second a message was due; it is
/// delivered when that is over.
pub(crate) const PRECISION_MS: i64 = 1_000;

/// `TIMER_OUT_MS` of a message with this timer property; `None` if its time has come already, and it is a message
/// like any other.
pub(crate) fn out_ms(
    (kind, value): (&str, &str),
    is_cancellation: bool,
    now_ms: i64,
) -> Result<Option<i64>, Refused> {
    let Ok(value) = value.parse::<i64>() else {
        return Err(illegal());
    };
    let deliver_ms = match kind {
        property::TIMER_DELAY_SEC => now_ms.saturating_add(value.saturating_mul(1_000)),
        property::TIMER_DELAY_MS => now_ms.saturating_add(value),
        _ => value,
    };
    if deliver_ms <= now_ms {
        return if is_cancellation { Err(illegal()) } else { Ok(None) };
    }
    if deliver_ms.saturating_sub(now_ms) > MAX_DELAY_MS {
        return Err(illegal());
    }
    // The second before the one that begins at the moment or goes on behind it.
    Ok(Some((deliver_ms - 1).div_euclid(PRECISION_MS) * PRECISION_MS))
}

fn illegal() -> Refused {
    let remark = format!(
        "timer message illegal, the delay time should not be bigger than the max delay {MAX_DELAY_MS}ms; or if set \
         del msg, the delay time should be bigger than the current time"
    );
    Refused::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_500;

    fn out(kind: &str, value: &str) -> Result<Option<i64>, i32> {
        out_ms((kind, value), false, NOW).map_err(|refused| refused.code.0)
    }

    #[test]
    fn the_three_ways_to_say_when() {
        assert_eq!(out("TIMER_DELAY_SEC", "10"), Ok(Some(1_700_000_010_000)));
        assert_eq!(out("TIMER_DELAY_MS", "600"), Ok(Some(1_700_000_001_000)));
        assert_eq!(out("TIMER_DELIVER_MS", "1700000002345"), Ok(Some(1_700_000_002_000)));
        assert_eq!(out("TIMER_DELIVER_MS", "1700000002000"), Ok(Some(1_700_000_001_000)), "a whole second");
    }

    #[test]
    fn a_message_is_never_out_before_its_moment() {
        for deliver in NOW + 1..NOW + 3_000 {
            let out = out("TIMER_DELIVER_MS", &deliver.to_string()).unwrap().unwrap();
            assert!((deliver..deliver + PRECISION_MS).contains(&(out + PRECISION_MS)));
        }
    }

    #[test]
    fn the_past_is_now_and_the_far_future_is_refused() {
        assert_eq!(out("TIMER_DELIVER_MS", "1"), Ok(None));
        assert_eq!(out("TIMER_DELAY_SEC", "0"), Ok(None));
        assert_eq!(out("TIMER_DELAY_MS", "-9223372036854775808"), Ok(None));
        assert!(out("TIMER_DELAY_SEC", "259200").unwrap().is_some(), "three days");
        assert_eq!(out("TIMER_DELAY_SEC", "259201"), Err(13));
        assert_eq!(out("TIMER_DELIVER_MS", "9223372036854775807"), Err(13));
        assert_eq!(out("TIMER_DELAY_SEC", "9223372036854775807"), Err(13));
        assert_eq!(out("TIMER_DELAY_SEC", "soon"), Err(13));
        let cancel = out_ms(("TIMER_DELIVER_MS", "1"), true, NOW);
        assert_eq!(cancel.unwrap_err().code.0, 13, "nothing is left to be cancelled");
    }
}
