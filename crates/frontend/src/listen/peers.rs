//! How many connections each client address has open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The unit by which clients are counted: an IPv4 address, or the /64 network that one IPv6 subscriber owns.
pub(crate) fn peer_group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Counts open connections by client; it has no more entries than there are connections.
#[derive(Debug)]
pub(super) struct Peers {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place; dropping it frees the place.
#[derive(Debug)]
pub(super) struct PeerSlot {
    peers: Arc<Peers>,
    group: IpAddr,
}

impl Peers {
    /// At most `max` connections for each client, 0 for no bound.
    pub(super) fn new(max: usize) -> Self {
        Self { max, open: Mutex::default() }
    }

    /// A place for one more connection of this client, if there is one.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<PeerSlot> {
        let group = peer_group(address);
        let mut open = self.open.lock();
        let count = open.entry(group).or_default();
        if self.max > 0 && *count >= self.max {
            return None;
        }
        *count += 1;
        Some(PeerSlot { peers: Arc::clone(self), group })
    }
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock();
        if let Some(count) = open.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_after_its_connection() {
        let peers = Arc::new(Peers::new(1));
        let address = IpAddr::from([10, 0, 0, 1]);
        let first = peers.enter(address).unwrap();
        assert!(peers.enter(address).is_none());
        assert!(peers.enter(IpAddr::from([10, 0, 0, 2])).is_some());
        drop(first);
        assert!(peers.enter(address).is_some());
        assert!(peers.open.lock().is_empty());
    }

    #[test]
    fn an_ipv6_client_cannot_multiply_itself() {
        let group = |text: &str| peer_group(text.parse().unwrap());
        assert_eq!(group("2001:db8::1"), group("2001:db8::ffff:1"));
        assert_ne!(group("2001:db8::1"), group("2001:db8:0:1::1"));
        assert_eq!(group("::ffff:10.0.0.1"), group("10.0.0.1"));
    }
}
