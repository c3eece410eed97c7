//! One test a rule, and what is true of all of them.

use std::collections::BTreeSet;

use lethe::wire::tcp::Flags;

use super::*;
use crate::clock::{after, between};
use crate::dissect;
use crate::frame::{Ends, Packet, Segment};
use std::time::Duration;

const START: Instant = Instant::from_unix_seconds(1_780_000_000);

fn link(impairment: &str) -> Link {
    Link::new(&impairment.parse().unwrap(), START, &Random::from_seed(1))
}

/// Sends frames one millisecond apart.
fn send_all(link: &mut Link, frames: impl IntoIterator<Item = Vec<u8>>) -> Passage {
    let mut all = Passage::default();
    for (index, frame) in frames.into_iter().enumerate() {
        let mut passage = Passage::default();
        link.send(after(START, Duration::from_millis(index as u64)), frame, &mut passage);
        all.onward.append(&mut passage.onward);
        all.lost.append(&mut passage.lost);
        all.back.append(&mut passage.back);
    }
    all
}

/// Segments that can be told apart.
fn numbered(count: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| Segment::new(&Ends::v4(), Flags::ACK).seq(number).payload([7; 100]).frame())
}

fn run(impairment: &str, count: u32) -> Passage {
    send_all(&mut link(impairment), numbered(count))
}

fn numbers(frames: &[Frame]) -> Vec<u32> {
    frames.iter().map(|frame| u32::from_be_bytes(*frame.bytes[38..].first_chunk().unwrap())).collect()
}

#[test]
fn a_link_without_rules_is_a_cable() {
    let Passage { onward, lost, back } = run("", 10);
    assert_eq!(numbers(&onward), (0..10).collect::<Vec<_>>());
    assert!(onward.iter().all(|frame| frame.fates.is_empty()) && lost.is_empty() && back.is_empty());
    assert_eq!(between(START, onward[9].at), Duration::from_millis(9));
}

#[test]
fn loss_takes_its_share_and_nothing_else() {
    let Passage { onward, lost, .. } = run("loss=10%", 10_000);
    assert!((900..1100).contains(&lost.len()), "{}", lost.len());
    assert_eq!(onward.len() + lost.len(), 10_000);
    assert!(lost.iter().all(|frame| frame.fates == [Fate::Lost]));
}

#[test]
fn burst_loss_takes_frames_in_a_row() {
    let Passage { onward, lost, .. } = run("burst=1%,burst-length=8", 100_000);
    let arrived = numbers(&onward);
    let gaps = arrived.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    let mean = lost.len() / gaps;
    assert!((7..=9).contains(&mean), "{mean}");
    let share = lost.len() * 100 / 100_000;
    assert!((6..=8).contains(&share), "{share} %, and should be 1 / (1 + 12.5)");
}

#[test]
fn duplication_delivers_twice() {
    let Passage { onward, .. } = run("duplicate=10%", 10_000);
    let copies = onward.iter().filter(|frame| frame.fates == [Fate::Duplicate]).count();
    assert!((900..1100).contains(&copies), "{copies}");
    assert_eq!(onward.len(), 10_000 + copies);
    assert!(onward.windows(2).all(|pair| pair[1].fates.is_empty() || pair[0].bytes == pair[1].bytes));
}

#[test]
fn reordering_holds_some_back_and_keeps_all() {
    let Passage { mut onward, .. } = run("reorder=10%,hold=20ms", 1000);
    onward.sort_by_key(|frame| frame.at);
    let arrived = numbers(&onward);
    assert!(arrived.windows(2).any(|pair| pair[0] > pair[1]));
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), 1000);
    let is_late = |frame: &Frame| matches!(frame.fates[..], [Fate::HeldBack(held)] if held < Duration::from_millis(20));
    assert!(onward.iter().all(|frame| frame.fates.is_empty() || is_late(frame)));
}

#[test]
fn jitter_delays_and_keeps_the_order() {
    let Passage { onward, .. } = run("delay=20ms,jitter=5ms", 1000);
    assert_eq!(onward.len(), 1000);
    for (index, frame) in onward.iter().enumerate() {
        let taken = between(START, frame.at).checked_sub(Duration::from_millis(index as u64)).unwrap();
        assert!((Duration::from_millis(20)..Duration::from_millis(25)).contains(&taken), "{taken:?}");
    }
    assert!(onward.is_sorted_by_key(|frame| frame.at));
}

#[test]
fn corruption_turns_one_bit_that_the_receiver_can_find() {
    for ends in [Ends::v4(), Ends::v6()] {
        let original = Segment::ack(&ends).payload([7; 99]).frame();
        let passage = send_all(&mut link("corrupt=100%"), (0..500).map(|_| original.clone()));
        assert_eq!(passage.onward.len(), 500);
        for Frame { bytes, fates, .. } in &passage.onward {
            let turned: u32 = bytes.iter().zip(&original).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!((turned, bytes.len()), (1, original.len()));
            assert!(matches!(fates[..], [Fate::Corrupted { byte: 14.., mended: false, .. }]));
        }
    }
}

#[test]
fn corruption_that_is_mended_passes_every_check() {
    for ends in [Ends::v4(), Ends::v6()] {
        let original = Segment::ack(&ends).payload([7; 99]).frame();
        let passage = send_all(&mut link("corrupt=100%,mend=100%"), (0..500).map(|_| original.clone()));
        let is_payload = |byte: usize| byte >= original.len() - 99;
        let mut seen = 0;
        for Frame { bytes, fates, .. } in &passage.onward {
            if matches!(fates[..], [Fate::Corrupted { byte, mended: true, .. }] if is_payload(byte)) {
                assert_eq!(dissect::Frame::dissect(bytes).unwrap().problem(), None);
                assert_ne!(*bytes, original);
                seen += 1;
            }
        }
        assert!(seen > 200, "{seen}");
    }
}

#[test]
fn truncation_cuts_behind_the_link_header() {
    let Passage { onward, .. } = run("truncate=100%", 500);
    assert_eq!(onward.len(), 500);
    assert!(onward.iter().all(|frame| (14..154).contains(&frame.bytes.len())));
    assert!(onward.iter().any(|frame| frame.bytes.len() == 153));
    let short = send_all(&mut link("truncate=100%"), [vec![0; 14], vec![]]);
    assert_eq!(short.onward.len(), 2);
}

#[test]
fn an_outage_has_a_beginning_and_an_end() {
    let Passage { onward, lost, .. } = run("outage=10ms+5ms", 30);
    assert_eq!(numbers(&lost), [10, 11, 12, 13, 14]);
    assert_eq!(onward.len(), 25);
}

#[test]
fn a_bottleneck_queues_and_drops_what_finds_the_queue_full() {
    // 154 bytes take 12.32 ms at 100 kbit/s.
    let Passage { onward, lost, .. } = run("rate=100kbit,queue=3", 20);
    assert_eq!(between(START, onward[0].at), Duration::from_micros(12_320));
    assert_eq!(between(onward[0].at, onward[1].at), Duration::from_micros(12_320));
    assert_eq!(numbers(&onward)[..4], [0, 1, 2, 13]);
    assert_eq!(onward.len() + lost.len(), 20);
    assert!(lost.len() > 10 && lost.iter().all(|frame| frame.fates == [Fate::QueueFull]));
}

/// Sends a packet with 3,000 bytes of payload that routers may cut, and puts together what arrives.
fn through_a_router(ends: &Ends, mtu: &str) -> (Passage, Option<Vec<u8>>, Vec<u8>) {
    let payload: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let packet = Packet::new(ends, 6, payload).may_be_fragmented();
    let passage = send_all(&mut link(mtu), packet.fragments(77, 1500));
    let mut reassembler = Reassembler::default();
    let whole = passage.onward.iter().rev().find_map(|frame| reassembler.receive(START, frame.bytes.clone()));
    (passage, whole, packet.frame())
}

#[test]
fn a_router_cuts_what_may_be_cut_and_fragments_again() {
    let (passage, whole, mut original) = through_a_router(&Ends::v4().vlan(5), "mtu=576");
    assert_eq!((passage.lost.len(), passage.back.len()), (0, 0));
    assert!(passage.onward.iter().all(|frame| frame.bytes.len() <= 576 + 18));
    assert_eq!(passage.onward.len(), 7);
    // Only the identification, and so the checksum, is not that of the packet that was never cut.
    let whole = whole.unwrap();
    original[22..24].copy_from_slice(&77_u16.to_be_bytes());
    original[28..30].copy_from_slice(&whole[28..30]);
    assert_eq!(whole, original);
    assert_eq!(dissect::Frame::dissect(&whole).unwrap().ip().map(|ip| ip.checksum_is_right), Some(true));
}

#[test]
fn a_router_reports_what_it_may_not_cut() {
    for (ends, mtu) in [(Ends::v4(), 576), (Ends::v6(), 1280)] {
        let frame = Packet::new(&ends, 6, [7; 1400]).frame();
        let passage = send_all(&mut link(&format!("mtu={mtu}")), [frame.clone()]);
        assert_eq!(passage.lost[0].fates, [Fate::TooBig { mtu, reported: true }]);
        let [report] = passage.back.as_slice() else { panic!("one report") };
        let parsed = dissect::Frame::dissect(report).unwrap();
        assert_eq!(parsed.problem(), None);
        assert_eq!((parsed.destination, parsed.ip().unwrap().destination), (ends.client_mac, ends.client.ip()));
        assert!(report.ends_with(&frame[14..][..500]) || report.len() > 500);

        let silent = send_all(&mut link(&format!("mtu={mtu},black-hole")), [frame]);
        assert!(silent.back.is_empty());
        assert_eq!(silent.lost[0].fates, [Fate::TooBig { mtu, reported: false }]);
    }
}

#[test]
fn a_router_lets_pass_what_fits() {
    for (ends, header) in [(Ends::v4(), 20), (Ends::v6(), 40)] {
        let frame = Packet::new(&ends, 6, vec![7; 1400 - header]).frame();
        let passage = send_all(&mut link("mtu=1400"), [frame.clone()]);
        assert_eq!((passage.onward.len(), &passage.onward[0].bytes), (1, &frame));
    }
}

#[test]
fn a_healed_link_only_delays() {
    let all = "loss=50%,burst=50%,duplicate=50%,reorder=50%,corrupt=50%,truncate=50%,delay=1ms,rate=1kbit,queue=1,\
               mtu=68,outage=0s+1h";
    let mut link = link(all);
    assert!(send_all(&mut link, numbered(100)).onward.is_empty());
    link.heal();
    let Passage { onward, lost, .. } = send_all(&mut link, numbered(100));
    assert!(lost.is_empty());
    assert_eq!(numbers(&onward), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_one_rule_is_set_to_does_not_shift_another() {
    let lost = |impairment: &str| numbers(&run(impairment, 1000).lost);
    let alone = lost("loss=10%");
    for more in ["delay=5ms,jitter=5ms", "duplicate=30%", "reorder=10%", "rate=1gbit", "corrupt=50%"] {
        assert_eq!(lost(&format!("loss=10%,{more}")), alone, "{more}");
    }
}

#[test]
fn an_impairment_reads_as_it_prints() {
    for text in [
        "",
        "loss=5%",
        "loss=5%,reorder=10%,delay=20ms,seed=7",
        "duplicate=0.5%,corrupt=1%,mend=50%,truncate=1%,burst=1%,burst-length=8",
        "reorder=1%,hold=1s500ms,jitter=10us,rate=10mbit,queue=7,mtu=1400,black-hole,outage=2s+500ms",
    ] {
        let impairment: Impairment = text.parse().unwrap();
        let printed = impairment.to_string();
        assert_eq!(printed.parse(), Ok(impairment), "{text} as {printed}");
        assert_eq!(printed.len(), text.len(), "{printed}");
    }
    assert_eq!(" loss=5% , delay=1ms ".parse(), "loss=0.05,delay=1000us".parse::<Impairment>());
}

#[test]
fn what_describes_no_impairment_is_explained() {
    for (text, says) in [
        ("lost=5%", "`lost` is not known; the keys are loss, burst, "),
        ("loss", "`loss` needs a value, as in `loss=5%`"),
        ("loss=5", "loss: `5` is no probability; write 5% or 0.05"),
        ("loss=5%,loss=6%", "`loss` is given twice"),
        ("delay=20", "delay: `20` cannot be read; write it as in `delay=20ms`"),
        ("rate=10mb", "rate: `10mb` cannot be read; write it as in `rate=10mbit`"),
        ("rate=0bit", "rate: `0bit` cannot be read"),
        ("mtu=67", "mtu: `67` cannot be read"),
        ("outage=5s", "write it as in `outage=2s+500ms`"),
        ("black-hole", "`black-hole` says nothing without `mtu`"),
        ("mtu=1400,black-hole=1", "black-hole: `1` cannot be read; write it as in `black-hole`"),
        ("mend=5%", "`mend` says nothing without `corrupt`"),
    ] {
        let refused: Result<Impairment, _> = text.parse();
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}
