//! Capture files of blocks.
//!
//! ```text
//! 0   type of the block, u32                  section    order of bytes u32, version u16 and u16, length i64
//! 4   length of all of it, u32                interface  link type u16, u16, length of a snapshot u32
//! 8   what its type has, then options         enhanced   interface u32, time u32 and u32, two lengths, frame
//! …   the length once more                    simple     length on the wire u32, frame
//!                                             packet     interface u16, drops u16, then as enhanced
//! ```
//!
//! Of options only two are of use here, and text is none of them: it may be in any encoding. Blocks of other types are
//! passed over.

use std::io::Read;

use super::source::{Order, Source, Taken};
use super::{CaptureError, Damage, FRAME_MAX, Packet, check_link_type, instant};

/// Block types. That of a section is a palindrome, so that it is the same in either byte order.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// What tells the byte order of a section.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Type and length, and the length at the end.
const HEAD: usize = 8;
const END: usize = 4;

/// The longest block, as Wireshark has it: what is longer is no block.
pub(super) const BLOCK_MAX: usize = 16 << 20;

/// Options of an interface: what a unit of its times is, and how many seconds to add to each.
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;

/// The bit of a resolution that makes it a power of two.
const BINARY: u8 = 0x80;

/// A file of blocks.
pub(super) struct PcapNg {
    order: Order,
    /// Those of the current section.
    interfaces: Vec<Interface>,
}

/// What a section says of one of its interfaces.
struct Interface {
    link_type: u16,
    snap_len: u32,
    /// Units in a second; `None` for so many that no time has as much as a nanosecond.
    units: Option<u128>,
    /// Nanoseconds to add.
    offset: i128,
}

/// What is behind the head of a block.
enum Body {
    Packet(Packet),
    /// A simple packet, which has no time.
    Timeless(Packet),
    Other,
}

impl PcapNg {
    /// Begins with a file of this format.
    pub(super) fn open<R: Read>(source: &mut Source<R>) -> Result<Option<Self>, CaptureError> {
        let begin = source.peek(4).map_err(CaptureError::Read)?;
        if begin != SECTION.to_be_bytes() {
            return Ok(None);
        }
        let mut file = Self { order: Order::Big, interfaces: Vec::new() };
        file.block(source, 0)?.ok_or(CaptureError::CutShort { packets: 0 })?;
        Ok(Some(file))
    }

    /// The next packet, behind so many; one that has no time has that of the `last`.
    pub(super) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
        packets: u64,
        last: lethe::time::Instant,
    ) -> Result<Option<Packet>, CaptureError> {
        while let Some(body) = self.block(source, packets)? {
            match body {
                Body::Packet(packet) => return Ok(Some(packet)),
                Body::Timeless(packet) => return Ok(Some(Packet { at: last, ..packet })),
                Body::Other => {}
            }
        }
        Ok(None)
    }

    /// Reads one block; `None` at the end of the file.
    fn block<R: Read>(&mut self, source: &mut Source<R>, packets: u64) -> Result<Option<Body>, CaptureError> {
        let cut = || CaptureError::CutShort { packets };
        let head = match source.take::<HEAD>().map_err(CaptureError::Read)? {
            Taken::All(head) => head,
            Taken::Part => return Err(cut()),
            Taken::End => return Ok(None),
        };
        let is_section = head.first_chunk() == Some(&SECTION.to_be_bytes());
        if is_section {
            let order = source.peek(4).map_err(CaptureError::Read)?.first_chunk().ok_or_else(cut)?;
            self.order = Order::of(*order, BYTE_ORDER).ok_or_else(|| Damage::ByteOrder.after(packets))?;
        }
        let order = self.order;
        let (kind, said) = (order.u32(&head, 0), order.u32(&head, 4));
        let len = said as usize;
        if !(HEAD + END..=BLOCK_MAX).contains(&len) {
            return Err(Damage::BlockLength { len }.after(packets));
        }
        // Some writers do not count the padding.
        let rest = len.next_multiple_of(4) - HEAD;
        let block = source.peek(rest).map_err(CaptureError::Read)?;
        if block.len() < rest {
            return Err(cut());
        }
        let (body, end) = block.split_at(rest - END);
        let end = order.u32(end, 0);
        if end != said && end as usize != rest + HEAD {
            return Err(Damage::Ends { begin: said, end }.after(packets));
        }
        let body = match kind {
            SECTION => self.begin(body, packets),
            INTERFACE => self.describe(body).map_err(|damage| damage.after(packets)),
            PACKET | ENHANCED_PACKET => self.packet(kind, body, packets),
            SIMPLE_PACKET => self.simple(body, packets),
            _ => Ok(Body::Other),
        }?;
        source.skip(rest);
        Ok(Some(body))
    }

    /// Goes on with another section.
    fn begin(&mut self, body: &[u8], packets: u64) -> Result<Body, CaptureError> {
        let damage = |damage: Damage| damage.after(packets);
        let fixed = fields(body, 16, "a section").map_err(damage)?;
        let (major, minor) = (self.order.u16(fixed, 4), self.order.u16(fixed, 6));
        if !matches!((major, minor), (1, 0 | 2)) {
            return Err(CaptureError::Version { format: "pcapng", major, minor, known: "1.0 and 1.2 are" });
        }
        options(&body[16..], self.order, |_, _| ()).map_err(damage)?;
        self.interfaces.clear();
        Ok(Body::Other)
    }

    fn describe(&mut self, body: &[u8]) -> Result<Body, Damage> {
        let order = self.order;
        let fixed = fields(body, 8, "an interface")?;
        let mut interface = Interface {
            link_type: order.u16(fixed, 0),
            snap_len: order.u32(fixed, 4),
            units: Some(1_000_000),
            offset: 0,
        };
        options(&body[8..], order, |code, value| match (code, value) {
            (RESOLUTION, &[exponent]) => {
                let base = if exponent & BINARY == 0 { 10_u128 } else { 2 };
                interface.units = base.checked_pow(u32::from(exponent & !BINARY));
            }
            (OFFSET, value) => {
                if let Ok(seconds) = value.try_into() {
                    interface.offset = i128::from(order.i64(seconds)) * 1_000_000_000;
                }
            }
            _ => {}
        })?;
        self.interfaces.push(interface);
        Ok(Body::Other)
    }

    /// A packet with all that is known of it.
    fn packet(&self, kind: u32, body: &[u8], packets: u64) -> Result<Body, CaptureError> {
        /// Of both kinds.
        const FIXED: usize = 20;
        let (order, damage) = (self.order, |damage: Damage| damage.after(packets));
        let what = if kind == PACKET { "a packet" } else { "an enhanced packet" };
        let fixed = fields(body, FIXED, what).map_err(damage)?;
        let number = if kind == PACKET { order.u16(fixed, 0).into() } else { order.u32(fixed, 0) };
        let [high, low, captured, original] = [4, 8, 12, 16].map(|at| order.u32(fixed, at));
        let interface = self.interface(number).map_err(damage)?;
        check_link_type(interface.link_type.into(), packets)?;
        let len = captured as usize;
        let bytes = frame(&body[FIXED..], len).map_err(damage)?;
        let behind = body.get(FIXED + len.next_multiple_of(4)..).unwrap_or_default();
        options(behind, order, |_, _| ()).map_err(damage)?;
        let at = interface.time(u64::from(high) << 32 | u64::from(low));
        Ok(Body::Packet(Packet { at: instant(at), interface: number, bytes: bytes.to_vec(), original_len: original }))
    }

    /// A packet of the first interface, of which no more is known than its length.
    fn simple(&self, body: &[u8], packets: u64) -> Result<Body, CaptureError> {
        let damage = |damage: Damage| damage.after(packets);
        let fixed = fields(body, 4, "a simple packet").map_err(damage)?;
        let interface = self.interface(0).map_err(damage)?;
        check_link_type(interface.link_type.into(), packets)?;
        let original = self.order.u32(fixed, 0);
        let captured = if interface.snap_len == 0 { original } else { original.min(interface.snap_len) };
        let bytes = frame(&body[4..], captured as usize).map_err(damage)?.to_vec();
        let at = lethe::time::Instant::default();
        Ok(Body::Timeless(Packet { at, interface: 0, bytes, original_len: original }))
    }

    fn interface(&self, number: u32) -> Result<&Interface, Damage> {
        self.interfaces.get(number as usize).ok_or(Damage::Interface { number, known: self.interfaces.len() })
    }
}

impl Interface {
    /// Nanoseconds since 1970.
    fn time(&self, ticks: u64) -> i128 {
        let nanos = self.units.map_or(0, |units| u128::from(ticks) * 1_000_000_000 / units);
        // 64 bits times 30 are 94.
        nanos.cast_signed() + self.offset
    }
}

/// The fields that each block of a type has.
fn fields<'a>(body: &'a [u8], len: usize, what: &'static str) -> Result<&'a [u8], Damage> {
    let overhead = HEAD + END;
    body.get(..len).ok_or(Damage::Fields { what, len: body.len() + overhead, least: len + overhead })
}

/// The frame at the beginning of what its block has room for.
fn frame(room: &[u8], len: usize) -> Result<&[u8], Damage> {
    if len > FRAME_MAX {
        return Err(Damage::FrameTooLong { len });
    }
    room.get(..len).ok_or(Damage::FrameInBlock { len, room: room.len() })
}

/// Goes through the options of a block: code u16, length u16, value, padding.
fn options(mut bytes: &[u8], order: Order, mut each: impl FnMut(u16, &[u8])) -> Result<(), Damage> {
    while let Some((head, rest)) = bytes.split_at_checked(4) {
        let (code, len) = (order.u16(head, 0), usize::from(order.u16(head, 2)));
        if code == 0 {
            return Ok(());
        }
        let value = rest.get(..len).ok_or(Damage::Option { len, left: rest.len() })?;
        each(code, value);
        bytes = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}
