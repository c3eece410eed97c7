//! A port: a network card, or a virtual device.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::marker::PhantomData;
use std::ptr;

use dpdk_sys::{rte_eth_conf, rte_eth_dev_info, rte_eth_stats, rte_mbuf};
use lethe::port::Offload;
use lethe::time::Instant;
use lethe::wire::ethernet::LINK_HEADER_MAX;

use super::eal::Eal;
use super::error::{self, DpdkError};
use super::pool::{Pool, room_for};
use super::rx::Rx;
use super::tx::{Limits, Queues, Tx};

/// Descriptors of a queue, if the card supports so many. 1,024 of the shortest frames take 0.7 ms at 1 Gbit/s, and 70
/// µs at 10 Gbit/s.
const DESCRIPTORS: u16 = 1024;

/// Buffers for each descriptor: some are in use by a worker, or in the cache of a pool.
const SPARE: u32 = 2;

/// The largest room of a buffer for frames of two packets: some cards take none that is larger.
const CUT_ROOM_MAX: u32 = 16_384;

/// A driver that offers to cut frames, and cuts those of IPv4 only. It compares a segment, link header and all, with
/// the MTU, and keeps a frame with longer ones, and all behind it, forever (`pmd_tx_burst` of DPDK 22.11).
const NET_TAP: &str = "net_tap";

/// The configuration of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortConfig {
    /// Its number in DPDK.
    pub number: u16,
    /// The number of queues of each kind, one for each worker. Fewer are used if the card has fewer.
    pub queues: u16,
    /// The MTU to set; by default the MTU of the driver.
    pub mtu: Option<u16>,
    /// Whether the card cuts frames of two segments (TSO); by default where its driver offers to, other than `net_tap`.
    pub segmentation: Option<bool>,
}

/// The counters of the card, since it was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CardStats {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames dropped because no descriptor was free: the workers were too slow.
    pub missed: u64,
    /// Frames with errors, such as a wrong check sequence.
    pub receive_errors: u64,
    /// Frames that the card failed to send.
    pub send_errors: u64,
    /// Failed allocations of receive buffers: there are too few.
    pub no_buffer: u64,
}

/// The state of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// There is no link.
    Down,
    /// There is a link, with a speed in Mbit/s if the driver knows it.
    Up(Option<u32>),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => write!(f, "link down"),
            Self::Up(None) => write!(f, "link up"),
            Self::Up(Some(speed)) => write!(f, "link up, {speed} Mbit/s"),
        }
    }
}

/// A configured and started port. It is stopped and closed when it is dropped.
#[derive(Debug)]
pub struct Port<'e> {
    number: u16,
    name: String,
    driver: String,
    mtu: u16,
    offload: Offload,
    checks_received: bool,
    is_promiscuous: bool,
    limits: Limits,
    timestamps: Timestamps,
    is_open: bool,
    /// The pools of the queues, each used by one worker. Dropped after the port is closed.
    pools: Vec<Pool>,
    _eal: PhantomData<&'e Eal>,
}

impl<'e> Port<'e> {
    /// Configures a port with one receive and one transmit queue for each worker, and starts it.
    ///
    /// # Errors
    ///
    /// No such port, or it does not support what is needed.
    pub fn open(_eal: &'e Eal, config: PortConfig) -> Result<Self, DpdkError> {
        let number = config.number;
        // SAFETY: both calls accept any number.
        let (is_valid, found) =
            unsafe { (dpdk_sys::rte_eth_dev_is_valid_port(number), dpdk_sys::rte_eth_dev_count_avail()) };
        if is_valid == 0 {
            return Err(DpdkError::NoPort { port: number, found });
        }
        let mut info = rte_eth_dev_info::default();
        // SAFETY: the port exists, and the structure is valid for writes.
        let result = unsafe { dpdk_sys::rte_eth_dev_info_get(number, &raw mut info) };
        // SAFETY: the name is a static string of the driver, or null.
        let driver = unsafe { text(info.driver_name) };
        let mut port = Self {
            number,
            name: name(number),
            driver,
            mtu: 0,
            offload: Offload::default(),
            checks_received: false,
            is_promiscuous: false,
            limits: Limits::default(),
            timestamps: Timestamps::register(),
            is_open: false,
            pools: Vec::new(),
            _eal: PhantomData,
        };
        port.check("be asked what it can do", result)?;
        port.mtu = config.mtu.map_or_else(|| port.driver_mtu(), Ok)?;
        port.offload.segmentation = port.cuts(&info, config.segmentation)?;
        port.set_up(&info, config.queues.min(info.max_rx_queues).min(info.max_tx_queues))?;
        if port.offload.segmentation && port.driver == NET_TAP {
            port.mtu -= LINK_HEADER_MAX as u16;
        }
        Ok(port)
    }

    fn driver_mtu(&self) -> Result<u16, DpdkError> {
        let mut mtu = 0;
        // SAFETY: the port exists, and the number is valid for writes.
        let result = unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.number, &raw mut mtu) };
        self.check("be asked for its MTU", result)?;
        Ok(mtu)
    }

    /// Whether the card cuts frames of two segments, as it is `wanted`. Those of IPv4 get header checksums from it also
    /// where it computes none otherwise, as `net_virtio` and `net_vmxnet3`.
    fn cuts(&self, info: &rte_eth_dev_info, wanted: Option<bool>) -> Result<bool, DpdkError> {
        let needed = dpdk_sys::DPDK_TX_OFFLOAD_TCP_TSO | dpdk_sys::DPDK_TX_OFFLOAD_TCP_CKSUM;
        let is_offered = info.tx_offload_capa & needed == needed;
        let has_room = room_for(frame_max(self.mtu, 2)) <= CUT_ROOM_MAX;
        match wanted {
            None => Ok(is_offered && has_room && self.driver != NET_TAP),
            Some(true) if !is_offered => Err(self.unfit("it does not offer to cut frames (TSO)".to_owned())),
            Some(true) if !has_room => {
                Err(self.unfit(format!("its MTU is too large to cut frames (TSO): {}", self.mtu)))
            }
            Some(wanted) => Ok(wanted),
        }
    }

    /// Configures and starts the port.
    fn set_up(&mut self, info: &rte_eth_dev_info, queues: u16) -> Result<(), DpdkError> {
        let number = self.number;
        let largest = if info.max_mtu == 0 { u16::MAX } else { info.max_mtu };
        if !(info.min_mtu..=largest).contains(&self.mtu) {
            return Err(self.unfit(format!("its MTU is from {} to {largest}, not {}", info.min_mtu, self.mtu)));
        }
        let config = self.choose(info, queues);
        // SAFETY: the port is there and not started; the structure is only read, also after the call returns.
        let result = unsafe { dpdk_sys::rte_eth_dev_configure(number, queues, queues, &raw const config) };
        self.check("be set up", result)?;
        self.is_open = true;

        let (mut rx_descriptors, mut tx_descriptors) = (DESCRIPTORS, DESCRIPTORS);
        // SAFETY: the port exists, and the numbers are valid for writes.
        let result = unsafe {
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(number, &raw mut rx_descriptors, &raw mut tx_descriptors)
        };
        self.check("be given descriptors", result)?;
        // A power of two less one is the size of a mempool that wastes no memory.
        let buffers = (SPARE * (u32::from(rx_descriptors) + u32::from(tx_descriptors))).next_power_of_two() - 1;
        // SAFETY: the call accepts the number of any port.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(number) };
        for queue in 0..queues {
            let pool = Pool::new(&format!("lethe-{number}-{queue}"), buffers, self.limits.room, socket);
            let pool = pool.map_err(|reason| self.failed("have memory for its buffers", reason))?;
            let near = socket.cast_unsigned();
            // SAFETY: the port is configured and not started, the number of the queue is within the configured ones,
            // and the pool lives until the port is closed. A null pointer selects the defaults of the driver.
            let results = unsafe {
                [
                    dpdk_sys::rte_eth_rx_queue_setup(number, queue, rx_descriptors, near, ptr::null(), pool.as_ptr()),
                    dpdk_sys::rte_eth_tx_queue_setup(number, queue, tx_descriptors, near, ptr::null()),
                ]
            };
            self.pools.push(pool);
            self.check("have a receive queue", results[0])?;
            self.check("have a transmit queue", results[1])?;
        }
        // SAFETY: the port and all of its queues are configured.
        self.check("be started", unsafe { dpdk_sys::rte_eth_dev_start(number) })?;
        // Promiscuous, since the engine filters addresses itself: its own one, and groups. SAFETY: the port exists.
        self.is_promiscuous = unsafe {
            dpdk_sys::rte_eth_allmulticast_enable(number);
            dpdk_sys::rte_eth_promiscuous_enable(number) == 0
        };
        Ok(())
    }

    /// Chooses the offloads: all that the card supports of those that the engine uses.
    fn choose(&mut self, info: &rte_eth_dev_info, queues: u16) -> rte_eth_conf {
        use dpdk_sys::{
            DPDK_RSS_IP_TCP, DPDK_RX_OFFLOAD_IPV4_CKSUM, DPDK_RX_OFFLOAD_TCP_CKSUM, DPDK_TX_OFFLOAD_IPV4_CKSUM,
            DPDK_TX_OFFLOAD_MBUF_FAST_FREE, DPDK_TX_OFFLOAD_TCP_CKSUM, DPDK_TX_OFFLOAD_TCP_TSO, RTE_ETH_MQ_RX_RSS,
        };
        let mut config = rte_eth_conf::default();
        config.rxmode.mtu = self.mtu.into();
        config.rxmode.offloads = info.rx_offload_capa & (DPDK_RX_OFFLOAD_IPV4_CKSUM | DPDK_RX_OFFLOAD_TCP_CKSUM);
        // Fast free: the buffers of a queue are of one pool, and have one reference.
        let mut wanted = DPDK_TX_OFFLOAD_IPV4_CKSUM | DPDK_TX_OFFLOAD_TCP_CKSUM | DPDK_TX_OFFLOAD_MBUF_FAST_FREE;
        if self.offload.segmentation {
            wanted |= DPDK_TX_OFFLOAD_TCP_TSO;
        }
        config.txmode.offloads = info.tx_offload_capa & wanted;
        let hash = info.flow_type_rss_offloads & DPDK_RSS_IP_TCP;
        if queues > 1 && hash != 0 {
            config.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
            config.rx_adv_conf.rss_conf.rss_hf = hash;
        }
        self.checks_received = config.rxmode.offloads != 0;
        self.limits.is_one_pool = config.txmode.offloads & DPDK_TX_OFFLOAD_MBUF_FAST_FREE != 0;
        self.limits.room = frame_max(self.mtu, if self.offload.segmentation { 2 } else { 1 });
        self.offload.ipv4 = config.txmode.offloads & DPDK_TX_OFFLOAD_IPV4_CKSUM != 0;
        self.offload.tcp = config.txmode.offloads & DPDK_TX_OFFLOAD_TCP_CKSUM != 0;
        config
    }

    /// Its name in DPDK: a PCI address, or the name of a virtual device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its driver.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The largest IP packet that it carries.
    pub const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The transmit offloads.
    pub const fn offload(&self) -> Offload {
        self.offload
    }

    /// Whether it verifies checksums of received frames.
    pub const fn checks_received(&self) -> bool {
        self.checks_received
    }

    /// Whether it receives frames to any hardware address. If not, ours has to be its own.
    pub const fn is_promiscuous(&self) -> bool {
        self.is_promiscuous
    }

    /// The number of queues of each kind.
    pub fn queue_count(&self) -> usize {
        self.pools.len()
    }

    /// All its queues, a pair for each worker, and the card, which can be queried meanwhile.
    pub fn queues(&mut self) -> (Vec<Queues<'_>>, Card<'_>) {
        let (number, timestamps) = (self.number, self.timestamps);
        let limits = self.limits;
        let pair =
            |(queue, pool)| Queues { rx: Rx::new(number, queue, timestamps), tx: Tx::new(number, queue, pool, limits) };
        ((0..).zip(&self.pools).map(pair).collect(), Card { number, _port: PhantomData })
    }

    /// The number of its buffers.
    pub fn buffers(&self) -> u32 {
        self.pools.iter().map(Pool::buffers).sum()
    }

    /// Stops and closes the port. Returns the number of buffers that were not returned: none, except with drivers that
    /// keep receive buffers (`net_af_xdp`) or pass them on (`net_ring`).
    pub fn close(mut self) -> u32 {
        self.shut();
        self.pools.iter().map(Pool::in_use).sum()
    }

    fn shut(&mut self) {
        if std::mem::take(&mut self.is_open) {
            // SAFETY: the port exists; its queues borrow this value, so they are dropped.
            unsafe {
                dpdk_sys::rte_eth_dev_stop(self.number);
                dpdk_sys::rte_eth_dev_close(self.number);
            }
        }
    }

    fn check(&self, what: &'static str, result: c_int) -> Result<(), DpdkError> {
        if result < 0 { Err(self.failed(what, error::reason(result))) } else { Ok(()) }
    }

    fn failed(&self, what: &'static str, reason: String) -> DpdkError {
        DpdkError::Call { port: self.number, driver: self.driver.clone(), what, reason }
    }

    fn unfit(&self, what: String) -> DpdkError {
        DpdkError::Unfit { port: self.number, driver: self.driver.clone(), what }
    }
}

impl Drop for Port<'_> {
    fn drop(&mut self) {
        self.shut();
    }
}

/// A card, for queries while workers use its queues.
#[derive(Clone, Copy, Debug)]
pub struct Card<'p> {
    number: u16,
    _port: PhantomData<&'p ()>,
}

impl Card<'_> {
    /// The state of the link; up if the driver does not know.
    pub fn link(&self) -> Link {
        let mut speed = 0;
        // SAFETY: the port exists as long as it is borrowed, and the number is valid for writes.
        match unsafe { dpdk_sys::dpdk_link(self.number, &raw mut speed) } {
            0 => Link::Down,
            // In DPDK 0 is "none", and all ones are "unknown".
            _ => Link::Up(Some(speed).filter(|&speed| speed != 0 && speed != u32::MAX)),
        }
    }

    /// The counters of the card.
    pub fn stats(&self) -> CardStats {
        let mut stats = rte_eth_stats::default();
        // SAFETY: the port is there for as long as it is borrowed, and the structure is ours to be written to.
        unsafe { dpdk_sys::rte_eth_stats_get(self.number, &raw mut stats) };
        CardStats {
            received: stats.ipackets,
            sent: stats.opackets,
            missed: stats.imissed,
            receive_errors: stats.ierrors,
            send_errors: stats.oerrors,
            no_buffer: stats.rx_nombuf,
        }
    }
}

/// The dynamic field of an mbuf for the time at which a frame was captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamps {
    /// The offset in an mbuf.
    offset: usize,
    /// The bit of `ol_flags` that marks it as valid.
    flag: u64,
}

impl Timestamps {
    /// Registers the field, which all drivers of the process share. Without it frames have no timestamps.
    fn register() -> Self {
        let (mut offset, mut flag) = (0, 0);
        // SAFETY: both numbers are valid for writes.
        let result = unsafe { dpdk_sys::rte_mbuf_dyn_rx_timestamp_register(&raw mut offset, &raw mut flag) };
        let offset = usize::try_from(offset).ok().filter(|_| result == 0);
        offset.map_or(Self { offset: 0, flag: 0 }, |offset| Self { offset, flag })
    }

    /// The timestamp of a frame, which drivers of capture files set in µs since 1970.
    ///
    /// # Safety
    ///
    /// `frame` is an mbuf that is not written to meanwhile.
    pub(super) unsafe fn read(self, frame: *const rte_mbuf) -> Option<Instant> {
        // SAFETY: by the caller's promise; a registered field is within an mbuf.
        let micros = unsafe {
            ((*frame).ol_flags & self.flag != 0)
                .then(|| frame.cast::<u8>().add(self.offset).cast::<u64>().read_unaligned())
        };
        micros.map(|micros| Instant::from_unix_nanos(micros.saturating_mul(1000)))
    }
}

/// The length of a frame with so many packets of this size.
const fn frame_max(mtu: u16, packets: u16) -> u16 {
    mtu.saturating_mul(packets).saturating_add(LINK_HEADER_MAX as u16)
}

fn name(number: u16) -> String {
    let mut name: [c_char; dpdk_sys::RTE_ETH_NAME_MAX_LEN as usize] = [0; _];
    // SAFETY: the call writes a string that fits an array of this length, or nothing.
    unsafe {
        dpdk_sys::rte_eth_dev_get_name_by_port(number, name.as_mut_ptr());
        text(name.as_ptr())
    }
}

/// # Safety
///
/// `string` is a null pointer, or a valid C string.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return "no driver".to_owned();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}
