//! Programs that sort frames by the [rules](crate::filter) for the addresses of this server: for us, or not.
//!
//! They are generated here, in a few instructions. That needs neither a compiler for BPF nor a loader of object files.
//!
//! ```text
//!     r6 = context;  r2 = start of the frame;  r3 = its end
//!     XDP: if it has a tag: r2 += 4
//!     for each rule:
//!         if the frame ends too early, or a field differs: on to the next rule
//!         XDP: return bpf_redirect_map(sockets, queue, otherwise)        tcx: return TCX_DROP
//!     XDP: return XDP_PASS                                               tcx: return TCX_NEXT
//! ```

use crate::filter::{Field, Rule, Width};

/// `struct bpf_insn`: code, registers, offset, constant.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Instruction {
    code: u8,
    /// The destination in the low nibble, the source in the high one.
    registers: u8,
    offset: i16,
    constant: i32,
}

/// The verdict of an XDP program on a frame (`enum xdp_action`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(crate) enum Action {
    Pass = 2,
    /// For our addresses, where there is no socket: [`SortingProgram`](crate::xdp::SortingProgram).
    Transmit = 3,
}

/// Classes, sizes and operations (RFC 9669, section 3 on).
mod code {
    pub(crate) const LOAD_BYTE: u8 = 0x71;
    pub(crate) const LOAD_HALF: u8 = 0x69;
    pub(crate) const LOAD_WORD: u8 = 0x61;
    /// A 64-bit constant, in two instructions.
    pub(crate) const LOAD_CONSTANT: u8 = 0x18;
    pub(crate) const MOVE: u8 = 0xbf;
    pub(crate) const MOVE_CONSTANT: u8 = 0xb7;
    pub(crate) const ADD_CONSTANT: u8 = 0x07;
    /// On 32 bits, for fields.
    pub(crate) const AND_CONSTANT: u8 = 0x54;
    /// On 64 bits, for pointers.
    pub(crate) const JUMP_IF_GREATER: u8 = 0x2d;
    /// On 32 bits, for fields.
    pub(crate) const JUMP_IF_EQUAL: u8 = 0x16;
    pub(crate) const JUMP_UNLESS_EQUAL: u8 = 0x56;
    pub(crate) const CALL: u8 = 0x85;
    pub(crate) const EXIT: u8 = 0x95;
}

/// Marks a constant as the file descriptor of a map (`BPF_PSEUDO_MAP_FD`).
const MAP: u8 = 1;

/// `bpf_redirect_map`.
const REDIRECT_MAP: i32 = 51;

/// Verdicts of a tcx program (`enum tcx_action_base`): the next program is asked, or the frame is dropped.
const TCX_NEXT: i32 = -1;
pub(crate) const TCX_DROP: i32 = 2;

/// Offsets in `struct xdp_md`.
const XDP_DATA: i16 = 0;
const XDP_DATA_END: i16 = 4;
const RX_QUEUE_INDEX: i16 = 16;

/// Offsets in `struct __sk_buff`.
const SKB_PACKET_TYPE: i16 = 4;
const SKB_DATA: i16 = 76;
const SKB_DATA_END: i16 = 80;

/// The XDP program that passes frames for us to the socket of their queue, by `map`, and all others to the kernel.
/// `otherwise` is the verdict on frames for us that are received by a queue without a socket.
pub(crate) fn redirect(rules: &[Rule], map: i32, otherwise: Action) -> Vec<Instruction> {
    let mut program = begin([XDP_DATA, XDP_DATA_END], Action::Pass as i32);
    let has_tag = [Field { offset: 12, width: Width::Half, value: 0x8100, mask: u32::MAX }];
    program.extend(only_if(&has_tag, &[instruction(code::ADD_CONSTANT, 2, 0, 0, 4)]));
    let redirect = [
        instruction(code::LOAD_CONSTANT, 1, MAP, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(code::LOAD_WORD, 2, 6, RX_QUEUE_INDEX, 0),
        instruction(code::MOVE_CONSTANT, 3, 0, 0, otherwise as i32),
        instruction(code::CALL, 0, 0, 0, REDIRECT_MAP),
        instruction(code::EXIT, 0, 0, 0, 0),
    ];
    for_each(rules, &redirect, program)
}

/// The tcx program that drops frames for us which have come to the interface's own hardware address: the kernel has
/// nothing to do with them. What goes to another one is a bridge's to forward, or dropped soon. A tag is no part of the
/// frame there.
pub(crate) fn drop(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = begin([SKB_DATA, SKB_DATA_END], TCX_NEXT);
    program.extend([
        instruction(code::LOAD_WORD, 5, 6, SKB_PACKET_TYPE, 0),
        instruction(code::JUMP_IF_EQUAL, 5, 0, 1, libc::PACKET_HOST.into()),
        instruction(code::EXIT, 0, 0, 0, 0),
    ]);
    let drop = [instruction(code::MOVE_CONSTANT, 0, 0, 0, TCX_DROP), instruction(code::EXIT, 0, 0, 0, 0)];
    for_each(rules, &drop, program)
}

/// Loads the start of the frame and its end, which are at these places in the context, and the verdict on frames that
/// are not for us.
fn begin([data, data_end]: [i16; 2], verdict: i32) -> Vec<Instruction> {
    vec![
        instruction(code::MOVE, 6, 1, 0, 0),
        instruction(code::LOAD_WORD, 2, 6, data, 0),
        instruction(code::LOAD_WORD, 3, 6, data_end, 0),
        instruction(code::MOVE_CONSTANT, 0, 0, 0, verdict),
    ]
}

/// `program`, and then `then` for a frame that matches one of the rules.
fn for_each(rules: &[Rule], then: &[Instruction], mut program: Vec<Instruction>) -> Vec<Instruction> {
    for rule in rules {
        program.extend(only_if(rule, then));
    }
    program.push(instruction(code::EXIT, 0, 0, 0, 0));
    program
}

/// Instructions `then`, which run only if the frame has all these fields.
fn only_if(fields: &[Field], then: &[Instruction]) -> Vec<Instruction> {
    let end = fields.iter().map(|field| field.offset + field.width.bytes()).max().unwrap_or(0);
    // The remaining instructions, which a jump on mismatch skips: two or three a field, and `then`.
    let masks = fields.iter().filter(|field| !field.is_whole()).count();
    let mut left = i16::try_from(2 * fields.len() + masks + then.len()).expect("a rule has few fields");
    let mut block = vec![
        instruction(code::MOVE, 4, 2, 0, 0),
        instruction(code::ADD_CONSTANT, 4, 0, 0, end.into()),
        instruction(code::JUMP_IF_GREATER, 4, 3, left, 0),
    ];
    for field in fields {
        // Compared as it is in memory, whatever the byte order of this machine.
        let in_memory = |value: u32| match field.width {
            Width::Byte => value,
            Width::Half => u16::to_be(value as u16).into(),
            Width::Word => value.to_be(),
        };
        let load = match field.width {
            Width::Byte => code::LOAD_BYTE,
            Width::Half => code::LOAD_HALF,
            Width::Word => code::LOAD_WORD,
        };
        let value = in_memory(field.value);
        left -= 2;
        block.push(instruction(load, 5, 2, field.offset.into(), 0));
        if !field.is_whole() {
            left -= 1;
            block.push(instruction(code::AND_CONSTANT, 5, 0, 0, in_memory(field.mask).cast_signed()));
        }
        block.push(instruction(code::JUMP_UNLESS_EQUAL, 5, 0, left, value.cast_signed()));
    }
    block.extend(then);
    block
}

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, constant: i32) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, constant }
}
