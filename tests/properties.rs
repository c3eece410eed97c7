//! What must hold for any input: proptest draws it, and shrinks what it finds.

mod support;
#[path = "support/targets.rs"]
mod targets;

use lethe::config::{Config, Mtu, Refuse};
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::{Checked, Offload, RxChecksum, RxFrame};
use lethe::time::Instant;
use lethe::verdict::Verdict;
use lethe::wire::tcp::Flags;
use lethe_sim::check;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Icmp, Segment};
use lethe_sim::offload::on_the_wire;
use lethe_sim::sample::Sample;
use proptest::prelude::*;
use support::{Client, Offer, config};

fn ends() -> impl Strategy<Value = Ends> {
    (any::<bool>(), 1..=u16::MAX, prop::option::of(any::<u16>())).prop_map(|(v4, port, vlan)| {
        let ends = if v4 { Ends::v4() } else { Ends::v6() }.client_port(port);
        vlan.map_or(ends, |tag| ends.vlan(tag))
    })
}

fn offer() -> impl Strategy<Value = Offer> {
    (prop::option::of(any::<u16>()), any::<bool>(), any::<bool>()).prop_map(|(mss, timestamps, sack)| Offer {
        mss,
        timestamps,
        sack,
    })
}

fn refuse() -> impl Strategy<Value = Refuse> {
    prop_oneof![Just(Refuse::Drop), Just(Refuse::Reset)]
}

/// A right frame of any kind that a client sends.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let data = prop::collection::vec(any::<u8>(), 0..200);
    (ends(), any::<u8>(), any::<u32>(), any::<u32>(), data, 0..6).prop_map(|(ends, flags, seq, ack, data, kind)| {
        let segment = Segment::new(&ends, Flags::new(flags)).seq(seq).ack_number(ack).window(seq as u16);
        match kind {
            0 => segment.payload(data).frame(),
            1 => segment.timestamps(seq, ack).payload(data).frame(),
            2 => Segment::syn(&ends).seq(seq).mss(ack as u16).timestamps(ack, 0).frame(),
            3 => Icmp::echo(&ends, seq as u16, ack as u16, &data).frame(),
            4 => Icmp::new(&ends, flags, 0, data).frame(),
            _ => segment.payload("GET / HTTP/1.0\r\n\r\n").frame(),
        }
    })
}

/// A line that is a field, mostly one that says where the request ends.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "(Content-Length|content-length): ?(0|5|00|-1|\\+1|1, 1|18446744073709551616|)\r\n",
        "Transfer-Encoding:( |\t)?(chunked|gzip|Chunked|identity)?(, ?chunked)?(;a=b)?\r\n",
        "Connection: (close|keep-alive|upgrade|x|,)(,? ?(Close|TE|a b))?\r\n",
        "(Expect|Upgrade): (100-continue|h2c|x)?\r\n",
        "Host:[ -~]{0,8}\r\n",
        "(User-Agent|Accept|Accept-Encoding|Cookie|X-[a-z]{0,9}|[!-~]{1,9}):[ -~]{0,20}\r?\n",
        "[ -~\t\r]{0,12}\r\n",
        Just("Accept: */*\r\n".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_engine_panic_or_lie(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        targets::frame(&bytes);
    }

    #[test]
    fn no_bytes_make_the_request_parser_panic_or_change_its_mind(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        targets::request(&bytes);
    }

    #[test]
    fn whatever_resembles_a_request_is_read_as_others_read_it(
        text in "(\r\n)?(GET|HEAD|POST|get|G T)? ?(/|http://h/?|\\*)?[!-~]{0,9} ?(HTTP/[0-3]\\.[0-9]x?)?\r?\n?(A: \
         b\r\n)?",
    ) {
        targets::request(text.as_bytes());
    }

    #[test]
    fn no_bytes_behind_a_request_line_are_read_as_no_other_parser_reads_them(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        targets::section(&bytes);
    }

    #[test]
    fn whatever_resembles_a_header_section_says_what_the_rules_say_of_its_fields(
        line in 0_u8..4,
        mut fields in prop::collection::vec(field(), 0..6),
        host in prop::option::weighted(0.9, "Host: (h|10\\.9\\.0\\.2|a-b:80)\r\n"),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        end in "(\r\n|\n|\r)?(\r\n)?x?",
    ) {
        fields.extend(host);
        let len = fields.len().max(1);
        fields.rotate_left(usize::from(line) % len);
        let mut section = format!("{}{}{end}", line as char, fields.concat()).into_bytes();
        if let Some((at, byte)) = change && section.len() > 1 {
            let at = 1 + at.index(section.len() - 1);
            section[at] = byte;
        }
        targets::section(&section);
    }

    #[test]
    fn no_bytes_are_an_image_that_cannot_be_used(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        targets::files_image(&bytes);
    }

    #[test]
    fn no_request_for_files_gets_anything_but_what_it_names(
        path in "/((%2[eEfF]|\\.|/|dir|index\\.html|a%20b\\.css|a|large|\\\\|%|%5c|%00|%){0,6})",
        fields in "(Accept-Encoding: (gzip|br|\\*|identity|,| |;q=0(\\.5)?|;){0,5}\r\n)?(If-None-Match: \
         (\\*|W/\"a\"|\"|,){0,3}\r\n)?",
    ) {
        targets::files_request(format!("GET {path} HTTP/1.1\r\n{fields}\r\n").as_bytes());
    }

    #[test]
    fn no_bytes_are_rules_that_answer_what_is_no_response(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        targets::respond_rules(&bytes);
    }

    #[test]
    fn no_request_is_redirected_to_a_host_that_it_is_not_for(
        target in "(http://)?[!-~]{0,9}(/|moved|\\\\|%0d%0a|@|:|\\?|\\.\\.){0,5}",
        host in "[!-~]{0,12}(\\.example)?(:[0-9]{1,5})?",
    ) {
        targets::respond_request(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    }

    #[test]
    fn no_bytes_are_a_table_that_makes_a_wrong_file(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        targets::scores_table(&bytes);
    }

    #[test]
    fn no_bytes_are_a_file_of_scores_that_sends_what_is_damaged(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        targets::scores_file(&bytes);
    }

    #[test]
    fn no_bytes_in_place_of_randomness_make_a_world_go_wrong(bytes in prop::collection::vec(any::<u8>(), 0..1000)) {
        targets::world(&bytes);
    }

    #[test]
    fn frames_with_some_bytes_changed_are_handled_as_the_checkers_want(
        frames in prop::collection::vec(
            (frame(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)),
            1..8,
        ),
        refuse in refuse(),
    ) {
        let engine = Engine::new(config(refuse), Sample::new(3000));
        let now = Instant::from_unix_seconds(1_780_000_000);
        let frames: Vec<Vec<u8>> = frames.into_iter().map(|(mut frame, changes)| {
            for (at, byte) in changes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame
        }).collect();
        let frames = frames.iter().map(|frame| (now, frame.as_slice()));
        let result = check::observe(&engine, &mut check::all(&engine), frames);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }

    #[test]
    fn a_fetch_gives_the_whole_response_whatever_the_client_offers(
        ends in ends(), offer in offer(), size in 0..4000_usize, refuse in refuse(),
    ) {
        let engine = Engine::new(config(refuse), Sample::new(4000));
        let mut client = Client::connected(&engine, ends, offer);
        let request = format!("GET /{size} HTTP/1.0\r\n\r\n");
        let mut stream = Vec::new();
        // A tiny MSS takes more than a first window, and the request once more for each.
        for _ in 0..16 {
            let again = client.at(0, stream.len() as u32).payload(&request);
            let frames = client.send(&again);
            let start = client.cookie.wrapping_add(1);
            for frame in &frames {
                let frame = Frame::dissect(frame).unwrap();
                // What resumes is quoted to the client's timer.
                let Some((_, tcp)) = frame.tcp() else { continue };
                if tcp.seq.value().wrapping_sub(start) == stream.len() as u32 {
                    stream.extend(tcp.payload);
                }
            }
            if stream.len() >= size && stream.ends_with(&lethe_sim::sample::expected(size)) {
                break;
            }
        }
        let body = lethe_sim::sample::expected(size);
        prop_assert!(stream.ends_with(&body));
        let wanted = format!("Content-Length: {size}\r\n");
        let head = String::from_utf8_lossy(&stream[..stream.len() - size]).into_owned();
        prop_assert!(head.contains(&wanted));
    }

    /// What a card does for us must not show on the wire.
    #[test]
    fn offloads_change_nothing_on_the_wire(
        frame in frame(), ipv4: bool, tcp: bool, segmentation: bool, trusted: bool
    ) {
        let plain = Engine::new(config(Refuse::Reset), Sample::new(3000));
        let offload = Offload { ipv4, tcp, segmentation };
        let offloading = Engine::new(Config { offload, ..config(Refuse::Reset) }, Sample::new(3000));
        let checked = if trusted { Checked::Good } else { Checked::Unknown };
        let checksum = RxChecksum { network: checked, transport: checked };
        let frames = |engine: &Engine<Sample>, checksum| {
            let (mut scratch, mut buffer) = (vec![0; SCRATCH_LEN], vec![0; 4096]);
            let mut reply = engine.handle(Instant::default(), RxFrame { bytes: &frame, checksum }, &mut scratch);
            let mut sent = Vec::new();
            while let Some(frame) = reply.next_frame(&mut buffer) {
                sent.extend(on_the_wire(&mut buffer[..frame.len], frame.checksum));
            }
            (reply.verdict(), sent)
        };
        let (verdict, sent) = frames(&offloading, checksum);
        for frame in &sent {
            prop_assert_eq!(Frame::dissect(frame).unwrap().problem(), None);
        }
        prop_assert_eq!(sent.is_empty(), !matches!(verdict, Verdict::Replied(_)));
        prop_assert_eq!(frames(&plain, RxChecksum::default()), (verdict, sent));
    }

    #[test]
    fn an_mtu_is_never_exceeded(mtu in Mtu::MIN..=9000, ends in ends(), mss: u16, size in 0..20_000_usize) {
        let mtu = Mtu::new(mtu).unwrap();
        let engine = Engine::new(Config { mtu, ..config(Refuse::Drop) }, Sample::new(20_000));
        let mut client = Client::connected(&engine, ends, Offer { mss: Some(mss), ..Offer::LINUX });
        let link = 14 + ends.vlan.map_or(0, |_| 4);
        let sent = client.request(format!("GET /{size} HTTP/1.0\r\n\r\n"));
        prop_assert!(!sent.is_empty(), "nothing was sent: {:?}", client.verdict());
        for frame in &sent {
            prop_assert!(frame.len() <= link + usize::from(mtu.bytes()));
        }
    }

    #[test]
    fn an_echo_is_the_request_with_its_ends_swapped(
        ends in ends(), id: u16, data in prop::collection::vec(any::<u8>(), 0..1400)
    ) {
        let engine = support::engine();
        let mut client = Client::new(&engine, ends, Offer::LINUX);
        let sent = client.send_frame(&Icmp::echo(&ends, id, 7, &data).frame());
        let kind = if ends.server.is_ipv4() { 0 } else { 129 };
        let body = [&id.to_be_bytes()[..], &[0, 7], &data].concat();
        let expected = Icmp::new(&ends.reversed(), kind, 0, body).frame();
        let (sent, expected) = (Frame::dissect(&sent[0]).unwrap(), Frame::dissect(&expected).unwrap());
        prop_assert_eq!(sent.problem(), None);
        prop_assert_eq!(sent.ip().unwrap().payload, expected.ip().unwrap().payload);
        prop_assert_eq!(sent.ip().unwrap().source, expected.ip().unwrap().source);
        prop_assert_eq!(sent.ip().unwrap().destination, expected.ip().unwrap().destination);
    }
}

/// Every input that the fuzzers found worth keeping.
#[test]
fn the_fuzzers_corpus_is_handled() {
    let targets = [
        ("files_image", targets::files_image as fn(&[u8])),
        ("files_request", targets::files_request),
        ("frame", targets::frame),
        ("request", targets::request),
        ("respond_request", targets::respond_request),
        ("respond_rules", targets::respond_rules),
        ("section", targets::section),
        ("scores_file", targets::scores_file),
        ("scores_table", targets::scores_table),
        ("world", targets::world),
    ];
    for (target, run) in targets {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let inputs: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() > 50, "{target}: only {} inputs", inputs.len());
        for input in inputs {
            // Shown where it fails.
            println!("{}", input.display());
            run(&std::fs::read(input).unwrap());
        }
    }
}
