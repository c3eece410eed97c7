//! The configuration of an engine.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cookie::Secret;
use crate::port::Offload;
use crate::wire::ethernet::MacAddress;
use crate::wire::ip::AddressPair;

/// The configuration of an engine, besides its application.
///
/// Made from [`Config::new`] and what differs from it, so that a later version may have more fields:
///
/// ```
/// # use lethe::config::{Config, Refuse};
/// # use lethe::cookie::Secret;
/// let config = Config { refuse: Refuse::Reset, ..Config::new(Secret::new([7; 16])) };
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Our hardware address.
    pub mac: MacAddress,
    /// Our IP addresses.
    pub addresses: Addresses,
    /// The TCP ports that are served.
    pub tcp_ports: Ports,
    /// The largest IP packet that may be sent, and that the MSS we announce is derived from.
    pub mtu: Mtu,
    /// What the port computes on the way out.
    pub offload: Offload,
    /// What is done with segments for closed ports and with wrong cookies.
    pub refuse: Refuse,
    /// What cookies are keyed with.
    pub secret: Secret,
    /// Former secrets, and one that is to come: a connection that began under one of these goes on under it. All are
    /// different from each other and from `secret`; a segment that fits two of them is not answered.
    pub former: [Option<Secret>; Self::FORMER_MAX],
    /// How a response is sent that does not fit one segment.
    pub large_replies: LargeReplies,
    /// The most segments of a response that answer one packet (RFC 6928, section 2).
    pub first_window: u8,
    /// The most segments of a response that are in flight at a time; 256 at most where the connection stays open. With
    /// 32 or fewer no client is offered to scale its window, which then has room for them; with more, those of some
    /// clients still have no more.
    pub ceiling: u16,
    /// What is left in flight after a loss, and how fast that grows again.
    pub congestion: Congestion,
    /// Whether a client whose RTO has expired in the middle of a response is told to revert its back-off (RFC 6069).
    pub revert_backoff: bool,
    /// Whether a connection stays open behind a response, for as many requests as its client likes (RFC 9112, section
    /// 9.3): where the request is HTTP/1.1, complete in its packet and does not close, from a client with timestamps
    /// and SACK, and the response is one segment or stored. Otherwise each response closes its connection.
    pub keep_alive: bool,
    /// Whether responses of one packet say when they were made (`Date`; RFC 9110, section 6.6.1). Longer ones cannot:
    /// their parts are made at different times. Servers that answer packets of the same connections need the same.
    pub date: bool,
}

impl Config {
    /// Secrets besides the current one: one that comes, and one that goes. Each is one more that a forged packet may
    /// fit (docs/forgery.md), so there are no more.
    pub const FORMER_MAX: usize = 2;

    /// Port 80 on Ethernet, no address yet, no offloads, and [`Refuse::Drop`].
    pub const fn new(secret: Secret) -> Self {
        Self {
            mac: MacAddress::LETHE,
            addresses: Addresses::new(),
            tcp_ports: Ports::HTTP,
            mtu: Mtu::ETHERNET,
            offload: Offload::NONE,
            refuse: Refuse::Drop,
            secret,
            former: [None; Self::FORMER_MAX],
            large_replies: LargeReplies::Clocked,
            first_window: 10,
            ceiling: 512,
            congestion: Congestion::Standard,
            revert_backoff: true,
            keep_alive: true,
            date: false,
        }
    }

    /// Whether there is more than one secret. The first place is the first to be taken.
    pub(crate) const fn is_rotating(&self) -> bool {
        matches!(self.former, [Some(_), ..])
    }
}

/// How a response is sent that does not fit one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum LargeReplies {
    /// By the client's ACK clock, where it echoes timestamps and the response is stored; else as
    /// [`LargeReplies::Segments`].
    #[default]
    Clocked,
    /// A first window, and another one whenever the client sends its request again.
    Segments,
    /// One segment in IP fragments. Up to 64 kB; some networks drop them.
    Fragments,
}

/// How many segments are in flight after a loss, and how fast there are more again. Servers that answer packets of the
/// same connections need the same, or a client's ACK draws what has been sent already, or leaves out what has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Congestion {
    /// As fair beside other transfers over the same link as those of a kernel's TCP are: 0.7 of the window, at least
    /// four segments and at most 32, then about one segment more each round trip (RFC 5681, section 3.1).
    #[default]
    Standard,
    /// Faster where frames get lost for other reasons than congestion, as on a radio link; on a link that is shared it
    /// takes from the others. 0.7 of the window, at least eight segments and at most 64, then up to five more each
    /// round trip.
    Fast,
}

/// What is done with a segment for a closed port, with a wrong cookie, or with a forged FIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Refuse {
    /// It is dropped: a scan learns nothing, and a peer waits for its own timeout.
    #[default]
    Drop,
    /// It is answered with a RST (RFC 9293, section 3.5.2), never larger than what caused it.
    Reset,
}

/// The largest IP packet in bytes, header included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mtu(u16);

impl Mtu {
    /// The smallest MTU taken: what every IPv4 host can receive (RFC 1122, section 3.3.2).
    pub const MIN: u16 = 576;
    /// Ethernet's own.
    pub const ETHERNET: Self = Self(1500);

    /// An MTU of `bytes`, unless that is below [`Mtu::MIN`].
    pub const fn new(bytes: u16) -> Option<Self> {
        if bytes < Self::MIN { None } else { Some(Self(bytes)) }
    }

    /// In bytes.
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

impl Default for Mtu {
    fn default() -> Self {
        Self::ETHERNET
    }
}

/// The TCP ports that are served: one at least, and at most [`Ports::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// Behind the last one, the first one again.
    ports: [u16; Self::MAX],
    len: usize,
}

/// A port that cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PortError {
    /// There are [`Ports::MAX`] already.
    TooMany,
    /// No segment can be sent to port 0 (RFC 6335, section 6).
    Zero,
}

impl core::fmt::Display for PortError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {} TCP ports", Ports::MAX),
            Self::Zero => f.write_str("0 is not a port that can be served"),
        }
    }
}

impl core::error::Error for PortError {}

impl Ports {
    /// A closed port is compared with each of them in turn, so there are few.
    pub const MAX: usize = 8;

    /// Port 80.
    pub const HTTP: Self = Self { ports: [80; Self::MAX], len: 1 };

    /// One port, which is not 0.
    pub const fn new(port: u16) -> Option<Self> {
        if port == 0 { None } else { Some(Self { ports: [port; Self::MAX], len: 1 }) }
    }

    /// Adds one. One that is there already is not added again.
    ///
    /// # Errors
    ///
    /// When the list is full, or the port is 0.
    pub fn add(&mut self, port: u16) -> Result<(), PortError> {
        if port == 0 {
            return Err(PortError::Zero);
        }
        if !self.has(port) {
            *self.ports.get_mut(self.len).ok_or(PortError::TooMany)? = port;
            self.len += 1;
        }
        Ok(())
    }

    /// Whether `port` is served.
    #[inline]
    pub fn has(&self, port: u16) -> bool {
        let [first, others @ ..] = &self.ports;
        *first == port || others.contains(&port)
    }

    /// The ports, in the order they were added.
    pub fn as_slice(&self) -> &[u16] {
        self.ports.get(..self.len).unwrap_or_default()
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::HTTP
    }
}

/// The addresses an engine answers for, at most [`Addresses::MAX`] of each family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    v4: [Ipv4Addr; Self::MAX],
    v6: [Ipv6Addr; Self::MAX],
    v4_len: usize,
    v6_len: usize,
}

/// An address that cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// There are [`Addresses::MAX`] of its family already.
    TooMany,
    /// A host cannot have it: unspecified, loopback, a group or the broadcast address.
    NotUnicast(IpAddr),
}

impl core::fmt::Display for AddressError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {} addresses of one family", Addresses::MAX),
            Self::NotUnicast(address) => write!(f, "{address} is not an address that a server can have"),
        }
    }
}

impl core::error::Error for AddressError {}

impl Addresses {
    /// Every packet's destination is compared with each of them in turn, so there are few.
    pub const MAX: usize = 8;

    /// No address.
    pub const fn new() -> Self {
        Self { v4: [Ipv4Addr::UNSPECIFIED; Self::MAX], v6: [Ipv6Addr::UNSPECIFIED; Self::MAX], v4_len: 0, v6_len: 0 }
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// When the list is full, or a host cannot have that address.
    pub fn add(&mut self, address: IpAddr) -> Result<(), AddressError> {
        if !is_host(address) {
            return Err(AddressError::NotUnicast(address));
        }
        let free = match address {
            IpAddr::V4(v4) => self.v4.get_mut(self.v4_len).map(|slot| {
                *slot = v4;
                self.v4_len += 1;
            }),
            IpAddr::V6(v6) => self.v6.get_mut(self.v6_len).map(|slot| {
                *slot = v6;
                self.v6_len += 1;
            }),
        };
        free.ok_or(AddressError::TooMany)
    }

    /// Whether `address` is one of ours.
    #[inline]
    pub fn has_v4(&self, address: Ipv4Addr) -> bool {
        is_in_slots(&self.v4, self.v4_len, address) && !address.is_unspecified()
    }

    /// Whether `address` is one of ours.
    #[inline]
    pub fn has_v6(&self, address: Ipv6Addr) -> bool {
        is_in_slots(&self.v6, self.v6_len, address) && !address.is_unspecified()
    }

    /// Whether a packet from this address is answered: a host can have it, and it is not ours.
    #[inline]
    pub(crate) fn may_answer_v4(&self, source: Ipv4Addr) -> bool {
        is_host(IpAddr::V4(source)) && !self.has_v4(source)
    }

    /// Whether a packet from this address is answered: a host can have it, and it is not ours.
    #[inline]
    pub(crate) fn may_answer_v6(&self, source: Ipv6Addr) -> bool {
        is_host(IpAddr::V6(source)) && !self.has_v6(source)
    }

    /// Whether we can have sent a packet with these addresses: from one of ours, to a peer that we answer.
    pub(crate) fn may_have_sent(&self, addresses: AddressPair) -> bool {
        match addresses {
            AddressPair::V4 { source, destination } => self.has_v4(source) && self.may_answer_v4(destination),
            AddressPair::V6 { source, destination } => self.has_v6(source) && self.may_answer_v6(destination),
        }
    }

    /// The IPv4 addresses, in the order they were added.
    pub fn v4(&self) -> &[Ipv4Addr] {
        self.v4.get(..self.v4_len).unwrap_or_default()
    }

    /// The IPv6 addresses, in the order they were added.
    pub fn v6(&self) -> &[Ipv6Addr] {
        self.v6.get(..self.v6_len).unwrap_or_default()
    }

    /// All of them, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4().iter().map(|&address| IpAddr::V4(address));
        v4.chain(self.v6().iter().map(|&address| IpAddr::V6(address)))
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an address is in one of these slots, of which `len` are taken; free ones hold the unspecified address.
/// Nearly all servers have one address of a family.
#[inline]
fn is_in_slots<T: Copy + PartialEq>(slots: &[T; Addresses::MAX], len: usize, address: T) -> bool {
    let [first, others @ ..] = slots;
    *first == address || len > 1 && others.contains(&address)
}

/// Whether a host on the network can have `address`, as its own or as a peer's.
#[inline]
fn is_host(address: IpAddr) -> bool {
    match address {
        // "This host on this network" is all of 0/8, and 127/8 stays inside a host (RFC 1122, section 3.2.1.3; RFC
        // 9293, section 3.9.2.3); 240/4 is reserved and ends in the limited broadcast address.
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && first != 127 && first < 224
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn ports_are_those_that_were_added_and_no_other() {
        let mut ports = Ports::new(8080).unwrap();
        assert_eq!((ports.add(0), ports.add(80), ports.add(80)), (Err(PortError::Zero), Ok(()), Ok(())));
        assert_eq!(ports.as_slice(), [8080, 80]);
        assert!((0..=u16::MAX).filter(|&port| ports.has(port)).eq([80, 8080]));
        for port in 1..=6 {
            assert_eq!(ports.add(port), Ok(()));
        }
        assert_eq!((ports.add(7), ports.add(6), ports.as_slice().len()), (Err(PortError::TooMany), Ok(()), 8));
        assert!((0..=u16::MAX).filter(|&port| ports.has(port)).eq([1, 2, 3, 4, 5, 6, 80, 8080]));
        assert_eq!((Ports::new(0), Ports::default().as_slice()), (None, &[80][..]));
    }

    /// The `n`th address of a family.
    fn address(v4: bool, n: u8) -> IpAddr {
        if v4 { Ipv4Addr::new(10, 9, 0, n).into() } else { Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, n.into()).into() }
    }

    fn has(addresses: &Addresses, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => addresses.has_v4(v4),
            IpAddr::V6(v6) => addresses.has_v6(v6),
        }
    }

    #[test]
    fn there_is_room_for_eight_addresses_of_each_family() {
        let mut addresses = Addresses::new();
        let mut given = Vec::new();
        for v4 in [true, false] {
            for n in 1..=8 {
                addresses.add(address(v4, n)).unwrap();
                given.push(address(v4, n));
                assert!(given.iter().all(|&one| has(&addresses, one)), "{given:?}");
                assert!(!has(&addresses, address(v4, n + 1)), "{given:?}");
            }
            assert_eq!(addresses.add(address(v4, 9)), Err(AddressError::TooMany));
        }
        assert!(addresses.iter().eq(given));
    }

    #[test]
    fn an_address_that_is_given_twice_is_ours() {
        let mut addresses = Addresses::new();
        for v4 in [true, false] {
            addresses.add(address(v4, 1)).unwrap();
            addresses.add(address(v4, 1)).unwrap();
            assert!(has(&addresses, address(v4, 1)));
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_told() {
        let mut addresses = Addresses::new();
        let told = |error: AddressError| error.to_string();
        assert_eq!(told(AddressError::TooMany), "more than 8 addresses of one family");
        for wrong in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"] {
            let error = addresses.add(wrong.parse().unwrap()).unwrap_err();
            assert_eq!(told(error), std::format!("{wrong} is not an address that a server can have"));
        }
    }

    #[test]
    fn what_is_wrong_with_a_port_is_told() {
        assert_eq!(PortError::TooMany.to_string(), "more than 8 TCP ports");
        assert_eq!(PortError::Zero.to_string(), "0 is not a port that can be served");
    }
}
