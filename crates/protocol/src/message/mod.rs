//! Message layouts.
