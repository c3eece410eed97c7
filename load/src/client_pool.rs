//! The clients: maps numbers to pairs of address and port, and back.
//!
//! ```text
//!   number  =  ((lap * hosts) + host) * networks + network
//!   port    =  1024 + (lap + hash(host)) mod 64512
//! ```
//!
//! So consecutive numbers rotate through the networks, then through the addresses of each, and after all addresses
//! through the ports. The first port of each address is another one.

use std::net::IpAddr;

use ipnet::IpNet;

/// The first port of clients: those below are system ports (RFC 6335, section 6).
const FIRST_PORT: u16 = 1024;

/// The number of ports of clients.
const PORTS: u64 = 65_536 - FIRST_PORT as u64;

/// The most addresses that are used of one network: enough for any run, and numbers stay small.
const HOSTS_MAX: u64 = 1 << 32;

/// A client: the source of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// Why networks cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientPoolError {
    /// There is no network.
    #[error("clients need addresses: give a network, as in --from 10.0.0.0/8")]
    None,
    /// A network has no address for a client.
    #[error("no client can have an address of {0}: give another network, as in --from 10.0.0.0/8")]
    Empty(IpNet),
    /// Two networks have addresses in common.
    #[error("{0} and {1} have addresses in common: leave one of them out")]
    Overlap(IpNet, IpNet),
}

/// All clients, by number.
#[derive(Clone, Debug)]
pub struct ClientPool {
    networks: Vec<Network>,
    /// The numbers of clients in each network.
    numbers_each: u64,
}

/// The addresses of clients in one network.
#[derive(Clone, Debug)]
struct Network {
    net: IpNet,
    /// The address of host 0.
    first: u128,
    /// The number of addresses of clients.
    hosts: u64,
    /// Hosts whose addresses are taken by other machines, in ascending order.
    holes: Vec<u64>,
}

impl ClientPool {
    /// Clients in all of `networks`, at none of the addresses `taken`.
    ///
    /// # Errors
    ///
    /// No network, one without addresses, or two that overlap.
    pub fn new(networks: &[IpNet], taken: &[IpAddr]) -> Result<Self, ClientPoolError> {
        for (at, one) in networks.iter().enumerate() {
            if let Some(other) = networks[..at].iter().find(|other| one.contains(*other) || other.contains(one)) {
                return Err(ClientPoolError::Overlap(*other, *one));
            }
        }
        let networks: Vec<_> = networks.iter().map(|net| Network::new(*net, taken)).collect::<Result<_, _>>()?;
        let hosts = networks.iter().map(|network| network.hosts).min().ok_or(ClientPoolError::None)?;
        Ok(Self { networks, numbers_each: hosts * PORTS })
    }

    /// The number of clients.
    pub const fn count(&self) -> u64 {
        self.numbers_each * self.networks.len() as u64
    }

    /// The client with this number, which is below [`ClientPool::count`].
    pub fn client(&self, number: u64) -> Client {
        let networks = self.networks.len() as u64;
        let (rest, network) = (number / networks, &self.networks[(number % networks) as usize]);
        let (lap, host) = (rest / network.hosts, rest % network.hosts);
        let port = (lap + mix(host)) % PORTS;
        Client { address: network.address(host), port: FIRST_PORT + port as u16 }
    }

    /// The number of a client, if it is in the pool.
    pub fn number(&self, client: Client) -> Option<u64> {
        let port = u64::from(client.port.checked_sub(FIRST_PORT)?);
        let at = self.networks.iter().position(|network| network.net.contains(&client.address))?;
        let network = &self.networks[at];
        let host = network.host(client.address)?;
        let lap = (port + PORTS - mix(host) % PORTS) % PORTS;
        let rest = lap * network.hosts + host;
        (rest < self.numbers_each).then_some(rest * self.networks.len() as u64 + at as u64)
    }

    /// Whether a client has this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.net.contains(&address) && network.host(address).is_some())
    }

    /// The address of a client of the same family, for frames that belong to no connection.
    pub fn any_like(&self, address: IpAddr) -> Option<IpAddr> {
        let network = self.networks.iter().find(|network| network.net.addr().is_ipv4() == address.is_ipv4())?;
        Some(network.address(0))
    }
}

impl Network {
    fn new(net: IpNet, taken: &[IpAddr]) -> Result<Self, ClientPoolError> {
        let net = net.trunc();
        let host_bits = u32::from(net.max_prefix_len() - net.prefix_len());
        let size = 1u128.checked_shl(host_bits).unwrap_or(u128::MAX);
        // The addresses of the network and of broadcast (RFC 1122, section 3.2.1.3), which a /31 does not have (RFC
        // 3021); the anycast address of routers (RFC 4291, section 2.6.1).
        let (before, behind) = match (net, host_bits) {
            (_, 0 | 1) => (0, 0),
            (IpNet::V4(_), _) => (1, 1),
            (IpNet::V6(_), _) => (1, 0),
        };
        let first = bits(net.addr()) + before;
        let positions = (size - before - behind).min(u128::from(HOSTS_MAX)) as u64;
        let position = |address: &IpAddr| u64::try_from(bits(*address).checked_sub(first)?).ok();
        let mut holes: Vec<u64> = taken.iter().filter(|address| net.contains(*address)).filter_map(position).collect();
        holes.retain(|&hole| hole < positions);
        holes.sort_unstable();
        holes.dedup();
        let hosts = positions - holes.len() as u64;
        if hosts == 0 { Err(ClientPoolError::Empty(net)) } else { Ok(Self { net, first, hosts, holes }) }
    }

    fn address(&self, host: u64) -> IpAddr {
        let position = self.holes.iter().fold(host, |position, &hole| position + u64::from(position >= hole));
        let bits = self.first + u128::from(position);
        match self.net {
            IpNet::V4(_) => IpAddr::V4((bits as u32).into()),
            IpNet::V6(_) => IpAddr::V6(bits.into()),
        }
    }

    fn host(&self, address: IpAddr) -> Option<u64> {
        let position = u64::try_from(bits(address).checked_sub(self.first)?).ok()?;
        let before = self.holes.iter().filter(|&&hole| hole < position).count() as u64;
        let host = position - before;
        (host < self.hosts && !self.holes.contains(&position)).then_some(host)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A pseudorandom function of a number (`SplitMix64`, by Vigna).
pub(crate) const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn pool(networks: &[&str], taken: &[&str]) -> Result<ClientPool, ClientPoolError> {
        let networks: Vec<_> = networks.iter().map(|text| text.parse().unwrap()).collect();
        let taken: Vec<_> = taken.iter().map(|text| text.parse().unwrap()).collect();
        ClientPool::new(&networks, &taken)
    }

    #[test]
    fn every_number_is_a_client_of_its_own_and_every_client_has_its_number() {
        let small = pool(&["10.9.0.0/30", "fd09::/127", "10.8.0.7/32"], &["10.9.0.2"]).unwrap();
        let clients: HashSet<_> = (0..small.count()).map(|number| small.client(number)).collect();
        assert_eq!(clients.len() as u64, small.count());
        assert_eq!(small.count(), 3 * PORTS, "the smallest network has one address");
        for number in 0..small.count() {
            assert_eq!(small.number(small.client(number)), Some(number));
        }
    }

    proptest! {
        #[test]
        fn the_number_of_a_client_is_the_one_it_was_made_of(part in 0.0..1.0f64) {
            let large = pool(&["10.0.0.0/8", "fd00::/64"], &["10.9.0.2", "10.255.255.254", "10.0.0.1"]).unwrap();
            prop_assert_eq!(large.count(), 2 * ((1 << 24) - 5) * PORTS);
            #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "anywhere will do")]
            let number = (part * large.count() as f64) as u64;
            let client = large.client(number);
            prop_assert_eq!(large.number(client), Some(number));
            prop_assert!(large.has(client.address) && client.port >= FIRST_PORT);
        }
    }

    #[test]
    fn addresses_of_others_are_no_clients() {
        let some = pool(&["10.9.0.0/24"], &["10.9.0.2"]).unwrap();
        for other in ["10.9.0.0", "10.9.0.2", "10.9.0.255", "10.9.1.1", "fd09::1"] {
            let address = other.parse().unwrap();
            assert!(!some.has(address), "{other}");
            assert_eq!(some.number(Client { address, port: 2000 }), None, "{other}");
        }
        assert_eq!(some.count(), 253 * PORTS);
        assert_eq!(some.number(Client { address: "10.9.0.1".parse().unwrap(), port: 80 }), None);
        assert_eq!(some.any_like("10.9.0.2".parse().unwrap()), Some("10.9.0.1".parse().unwrap()));
        assert_eq!(some.any_like("fd09::2".parse().unwrap()), None);
    }

    #[test]
    fn networks_that_cannot_be_used_are_told() {
        assert_eq!(pool(&[], &[]).unwrap_err(), ClientPoolError::None);
        let error = pool(&["10.9.0.2/32"], &["10.9.0.2"]).unwrap_err();
        assert!(error.to_string().starts_with("no client can have an address of 10.9.0.2/32"), "{error}");
        let error = pool(&["10.0.0.0/8", "fd00::/8", "10.9.0.0/24"], &[]).unwrap_err();
        assert!(error.to_string().starts_with("10.0.0.0/8 and 10.9.0.0/24 have addresses in common"), "{error}");
    }
}
