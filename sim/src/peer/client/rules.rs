//! What no server may do to a client (RFC 9293, RFC 7323, RFC 2018).

use lethe::wire::seq::SeqNumber;
use lethe::wire::tcp::Flags;

use super::Settings;
use crate::dissect::Tcp;

/// What has been agreed on, and what the client has said so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Timestamps are used.
    pub(super) timestamps: bool,
    /// Selective acknowledgements are used.
    pub(super) sack: bool,
    /// The first timestamp that was sent, and the last.
    pub(super) first_timestamp: u32,
    pub(super) last_timestamp: u32,
    /// The sequence number behind all that was ever sent.
    pub(super) sent: SeqNumber,
}

/// Checks a SYN+ACK that answers our SYN.
pub(super) fn check_syn_ack(settings: &Settings, facts: &Facts, tcp: &Tcp<'_>) -> Result<(), String> {
    let offered = |used: bool, offered: bool, what: &str| {
        if used && !offered { Err(format!("the SYN+ACK has {what}, which was not offered")) } else { Ok(()) }
    };
    offered(tcp.timestamps.is_some(), settings.timestamps, "timestamps")?;
    offered(tcp.sack_permitted, settings.sack, "SACK permitted")?;
    offered(tcp.window_scale.is_some(), settings.window_scale.is_some(), "a window scale")?;
    if !tcp.payload.is_empty() {
        return Err("the SYN+ACK has a payload, and no fast open was asked for".to_owned());
    }
    check_echo(facts, tcp)?;
    check_flags(tcp)
}

/// Checks a segment of the connection once it is established; not a RST.
pub(super) fn check_segment(facts: &Facts, tcp: &Tcp<'_>) -> Result<(), String> {
    if facts.timestamps != tcp.timestamps.is_some() {
        // RFC 7323, section 3.2: in every segment, or in none.
        let problem = if facts.timestamps { "without the timestamps" } else { "with timestamps not" };
        return Err(format!("a segment {problem} agreed on"));
    }
    check_echo(facts, tcp)?;
    if !facts.sack && !tcp.sack.is_empty() {
        return Err("SACK blocks that were not agreed on".to_owned());
    }
    for &(from, to) in &tcp.sack {
        let (from, to) = (SeqNumber::new(from), SeqNumber::new(to));
        if !from.before(to) || to.after(facts.sent) {
            return Err("a SACK block of what was never sent".to_owned());
        }
    }
    if tcp.mss.is_some() || tcp.window_scale.is_some() || tcp.sack_permitted {
        return Err("an option that belongs on a SYN".to_owned());
    }
    if tcp.ack.after(facts.sent) {
        return Err(format!("it acknowledges {} bytes that were never sent", tcp.ack.distance_from(facts.sent)));
    }
    check_flags(tcp)
}

/// RFC 7323, section 4: the echo is of something that we said.
fn check_echo(facts: &Facts, tcp: &Tcp<'_>) -> Result<(), String> {
    let Some((_, echo)) = tcp.timestamps else { return Ok(()) };
    let (first, last) = (SeqNumber::new(facts.first_timestamp), SeqNumber::new(facts.last_timestamp));
    let echo = SeqNumber::new(echo);
    if echo.before(first) || echo.after(last) {
        return Err(format!("it echoes timestamp {}, which was never sent", echo.value()));
    }
    Ok(())
}

fn check_flags(tcp: &Tcp<'_>) -> Result<(), String> {
    let known = Flags::SYN.with(Flags::ACK).with(Flags::FIN).with(Flags::PSH);
    if tcp.flags.masked(known) != tcp.flags {
        return Err("flags that were not agreed on".to_owned());
    }
    if !tcp.unknown_options.is_empty() {
        return Err(format!("option {} that was not offered", tcp.unknown_options[0]));
    }
    Ok(())
}
