//! Timer messages: delivered at any moment within three days (Java: `TimerMessageStore`, `HookUtils`; spec broker C.7).
//!
//! ```text
//! send with TIMER_* -> timer topic --read--> wheel: (moment, place) --due--> own topic
//!                          ^                                |
//!                          +--- far away: stored anew ------+
//! ```
//! The topic is the truth and the wheel an index of it that is built again at every start, so that a send costs no
//! more than any other. Moments are moments of the wall clock: one that is set back brings nothing early, one that is
//! set forward brings what is due then.

mod base64;
mod deliver;
mod moment;
mod recall;
mod wheel;

pub(crate) use deliver::{check_room, has_work, turn};
pub(crate) use moment::out_ms;
pub(crate) use recall::{handle, recall};
pub(crate) use wheel::{TimerSnapshot, Wheel};
