//! Client and server against each other, against a scripted peer, and over a memory pipe with a paused clock.

mod calls;
mod dispatch;
mod faults;
mod name_servers;
mod peer;
mod server;
mod time;
