//! Every frame that is sent can be read by a parser that is not ours.

use super::{Checker, Exchange, whole};
use crate::dissect::{Frame, Network, Transport};
use crate::notation;

/// Lengths are true, nothing is cut short or left over, and fragments make a whole. (Checksums are
/// another checker's matter.)
#[derive(Clone, Copy, Debug)]
pub struct Format;

impl Checker for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        let mut packets = 0;
        for bytes in exchange.sent {
            let problem = problem(bytes);
            if let Some(problem) = problem {
                return Err(format!("{problem}: {}", notation::line(bytes)));
            }
            let frame = Frame::dissect(bytes);
            let fragment = frame.as_ref().and_then(Frame::ip).and_then(|ip| ip.fragment);
            packets += usize::from(fragment.is_none_or(|fragment| fragment.offset == 0));
        }
        if whole(exchange.sent).len() != packets {
            return Err("the fragments do not make a packet".to_owned());
        }
        Ok(())
    }
}

fn problem(bytes: &[u8]) -> Option<&'static str> {
    let Some(frame) = Frame::dissect(bytes) else { return Some("it is no frame") };
    match &frame.network {
        Network::Malformed(what) => Some(what),
        Network::Other(..) => Some("it carries neither ARP nor IP"),
        Network::Arp(arp) if arp.operation != 2 => Some("it is no ARP reply"),
        Network::Arp(_) if bytes.len() != 42 + if frame.vlan.is_some() { 4 } else { 0 } => Some("bytes are left over"),
        Network::Arp(_) => None,
        Network::Ip(ip) if ip.padding > 0 => Some("bytes are left over behind the IP packet"),
        Network::Ip(ip) if ip.hop_limit == 0 => Some("no router would pass it on"),
        Network::Ip(ip) => match &ip.transport {
            Transport::Malformed(what) => Some(what),
            Transport::Tcp(tcp) if tcp.options_are_malformed => Some("a TCP option lies about its length"),
            Transport::Tcp(tcp) if tcp.destination_port == 0 => Some("it goes to port 0"),
            Transport::Other if ip.fragment.is_none() => Some("it carries neither TCP nor ICMP"),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::Ends;
    use crate::testing;
    use lethe::config::LargeReplies;

    #[test]
    fn it_sees_what_is_cut_short_or_left_over() {
        let engine = testing::engine_with(|config| config.large_replies = LargeReplies::Fragments);
        for path in ["/10", "/5000"] {
            let [_, mut asked] = stand::fetch(&engine, &Ends::v4(), path);
            assert_eq!(asked.check(&mut Format), Ok(()));
            let whole = asked.clone();
            asked.sent[0].pop();
            assert!(asked.check(&mut Format).unwrap_err().starts_with("an IPv4 length lies"));
            asked.sent[0].extend([0, 0]);
            assert!(asked.check(&mut Format).unwrap_err().starts_with("bytes are left over"));
            asked = whole;
            if path == "/5000" {
                asked.sent.pop();
                assert_eq!(asked.check(&mut Format).unwrap_err(), "the fragments do not make a packet");
            }
        }
    }
}
