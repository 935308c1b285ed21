//! Who a client is: its id and the ids of its messages (spec client G.1).

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A number that differs between two calls, processes and machines; not for secrets.
pub(crate) fn random() -> u64 {
    // Each `RandomState` has keys of its own, seeded by the operating system.
    RandomState::new().build_hasher().finish()
}

/// `ip@instance[@unit]`.
pub(crate) fn client_id(ip: IpAddr, instance: &str, unit: Option<&str>) -> String {
    match unit.filter(|unit| !unit.is_empty()) {
        Some(unit) => format!("{ip}@{instance}@{unit}"),
        None => format!("{ip}@{instance}"),
    }
}

/// The instance of a client that was given no name: two clients on one machine, in one process or in two
/// containers with the same address and process id must not be taken for one.
pub(crate) fn unique_instance(pid: u32, random: u64) -> String {
    format!("{pid}#{}", random >> 1) // 63 bits, as Java's nanoTime has
}

/// The address of this machine that faces the name servers; loopback if there is none.
pub(crate) fn local_ip(name_servers: &[String]) -> IpAddr {
    let peers = name_servers.iter().filter_map(|server| server.parse::<SocketAddr>().ok());
    // With names instead of addresses, any address out there tells the default route.
    let default_route = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9876));
    let facing = |peer: SocketAddr| {
        let local = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(local).ok()?;
        // Connecting a datagram socket sends nothing; it only picks the route.
        socket.connect(peer).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let found = peers.chain([default_route]).find_map(facing);
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_ip_at_instance_and_unit() {
        // spec: client 125
        let ip = IpAddr::from([10, 0, 0, 9]);
        assert_eq!(client_id(ip, "12345#998877", None), "10.0.0.9@12345#998877");
        assert_eq!(client_id(ip, "worker", Some("u1")), "10.0.0.9@worker@u1");
        assert_eq!(client_id(ip, "worker", Some("")), "10.0.0.9@worker");
    }

    #[test]
    fn two_instances_without_a_name_differ() {
        // spec: client 126
        let one = unique_instance(1, random());
        let other = unique_instance(1, random());
        assert_ne!(one, other);
        assert!(one.starts_with("1#"));
    }

    #[test]
    fn the_address_faces_the_name_server() {
        assert_eq!(local_ip(&["127.0.0.1:9876".into()]), IpAddr::from([127, 0, 0, 1]));
    }
}
