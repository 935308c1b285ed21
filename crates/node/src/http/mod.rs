//! `/metrics`, `/healthz` and `/readyz` on a port of their own.
//!
//! It answers GET and HEAD, one request a connection, and is careful with who connects: a bounded number of
//! connections, a bounded request, and one deadline from accept to the last byte. A library would bring keep-alive,
//! chunks, upgrades and HTTP/2 along, none of which a scraper or a load balancer's check needs.

mod answer;
mod latency;
mod request;
#[cfg(test)]
mod request_checks;
mod serve;
mod text;

pub(crate) use answer::Site;
pub(crate) use serve::{Http, bind};
