//! Clients of any application, with requests of its author.
//!
//! They are of all kinds, whatever the network: with and without timestamps and SACK, with small windows, slow readers,
//! and those that close early, but no attackers: these are after the engine, and not after an application. Where
//! requests are split, each comes in writes that are cut anywhere: a kernel puts together what an application wrote in
//! pieces when it sends that again, so one request can come in packets of different lengths, and whatever is answered
//! must not depend on which of them arrives. Or they keep their connections, and ask for one thing after the other.

use std::time::Duration;

use lethe::app::{App, Request};
use lethe::engine::SCRATCH_LEN;
use lethe::http::{RequestLine, Response};
use lethe::time::Instant;

use super::client_spec::{ClientSpec, Kind, Promise};
use super::crowd::{self, Asked};
use super::{HEALS_AFTER, Options, PATIENCE, Scenario, Workload};
use crate::frame::Ends;
use crate::peer::client::{Close, Ending, SessionRequest, SessionSettings, Settings, TIMESTAMPS_LEN, Timing};
use crate::peer::stack;
use crate::random::{Probability, Random};
use crate::section;

/// What a client that announces no MSS sends at a time (RFC 9293, section 3.7.1).
const SEGMENT_MIN: usize = 536;

/// Bytes of the headers of TCP and IP, by the version of that.
const fn headers_min(is_v6: bool) -> usize {
    if is_v6 { 60 } else { 40 }
}

/// The most places at which a request is split.
const SPLITS_MAX: u64 = 6;

/// What fits a segment of every client that keeps its connection.
const ONE_SEGMENT: usize = 1000;

/// Requests and responses of which several share a segment, and how many of them at most.
const SMALL_REQUEST: usize = 200;
const SMALL_RESPONSE: usize = 500;
const JOINED_MAX: usize = 4;

/// Between two requests on a connection.
const PAUSES: [Duration; 4] = [Duration::ZERO, Duration::ZERO, Duration::from_millis(300), Duration::from_mins(10)];

/// How long the slowest reader may read.
const READING_SECONDS: u64 = 60;

/// Clients that fetch from an application, each with one of these requests.
pub struct AppClients<'a, A: ?Sized> {
    scenario: Scenario,
    app: &'a A,
    requests: &'a [Vec<u8>],
    is_split: bool,
    random: Random,
    again: String,
}

impl<'a, A: App + ?Sized> AppClients<'a, A> {
    /// Draws what is not set. There is at least one request, each complete from its first line to its empty line;
    /// `is_split` has them written in pieces, and `again` is what a failure says is to be done to see it again. With
    /// [`Options::keep_alive`] clients keep their connections, for at most so many requests, none of which is split.
    pub fn draw(app: &'a A, requests: &'a [Vec<u8>], options: Options, is_split: bool, again: String) -> Self {
        let random = Random::from_seed(options.seed).fork("app clients");
        let scenario = Scenario::draw(Options { large: true, ..options });
        Self { scenario, app, requests, is_split, random, again }
    }

    /// The network, and what the engine is set up with.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How long the answer to a request in one packet is, and whether it is stored.
    fn answer(&self, request: &[u8], ends: &Ends) -> (usize, bool) {
        let answer = self.answer_within(usize::MAX, request, ends);
        // One for a part may be answered with all.
        if self.app.stores_parts() { answer.max(self.answer_within(0, request, ends)) } else { answer }
    }

    /// How long the answer is where one packet has room for so many bytes of it, and whether it is stored.
    fn answer_within(&self, one_packet: usize, request: &[u8], ends: &Ends) -> (usize, bool) {
        if let Some(refusal) = section::refusal(request, one_packet) {
            return (refusal.len(), false);
        }
        let look = |response: &Response<'_>| (response.len(), response.position().is_some());
        self.respond(one_packet, request, ends, look).unwrap_or_default()
    }

    fn respond<T>(
        &self,
        one_packet: usize,
        request: &[u8],
        ends: &Ends,
        look: impl FnOnce(&Response<'_>) -> T,
    ) -> Option<T> {
        let mut scratch = vec![0; SCRATCH_LEN];
        let line = RequestLine::parse_for(self.app.methods(), request).ok()?;
        let request = Request::of_line(&line).with_client(ends.client.ip()).with_one_packet(one_packet);
        Some(look(&request.answer(self.app, &mut scratch)?))
    }

    /// Whether the first segment of a request, with and without timestamps, draws the answer that all of it draws. The
    /// server's MTU may be so small that it does not hold all of the header section.
    fn is_answered_alike(&self, request: &[u8], ends: &Ends) -> bool {
        let bytes = |request: &[u8]| {
            self.respond(usize::MAX, request, ends, |response| [response.head(), response.body()].concat())
        };
        let segment = usize::from(self.scenario.config.mtu.bytes()) - headers_min(ends.client.is_ipv6());
        let mut firsts = [segment, segment - TIMESTAMPS_LEN].into_iter().filter_map(|len| request.get(..len));
        firsts.all(|first| bytes(first) == bytes(request))
    }

    /// A client that keeps its connection: it asks for this first, and for at most `most` things in all. `None` if the
    /// request is refused, since then its connection ends, or if its first segment draws another answer.
    fn session(&self, random: &Random, ends: &Ends, first: &[u8], most: u32) -> Option<(SessionSettings, Promise)> {
        let is_valid =
            |request: &&[u8]| section::refusal(request, usize::MAX).is_none() && self.is_answered_alike(request, ends);
        let first = Some(first).filter(is_valid)?;
        let valid: Vec<&[u8]> = self.requests.iter().map(Vec::as_slice).filter(is_valid).collect();
        let mut draw = random.fork("session");
        let often = Probability::from_percent(90);
        let client = Settings {
            isn: draw.next_u64() as u32,
            timestamp_base: draw.next_u64() as u32,
            timestamps: draw.chance(often),
            sack: draw.chance(often),
            window_scale: draw.chance(often).then(|| draw.range(0..=14) as u8),
            delayed_ack: Duration::from_millis(draw.below(2) * draw.range(1..=500)),
            strict: !self.scenario.may_mislead(),
            close: Close::AfterReply,
            ..Settings::linux(ends, "/")
        };
        let mut promise = Promise::Reply;
        let mut requests: Vec<SessionRequest> = Vec::new();
        let mut may_join = false;
        for number in 0..draw.range(1..=most.max(1).into()) {
            let bytes = if number == 0 { first } else { draw.pick(&valid) }.to_vec();
            let (len, is_stored) = self.answer(&bytes, ends);
            let asks = Kind::Model(Box::new(Settings { request: vec![bytes.clone()], ..client.clone() }));
            let is_spoilt = !self.scenario.down.corrupt.is_never() && crowd::is_cut(&self.scenario, &asks, len);
            let is_promised = crowd::is_promised(&self.scenario, &asks, ends, len, is_stored);
            if is_spoilt || !is_promised || bytes.len() > ONE_SEGMENT {
                promise = Promise::PerhapsReply;
            }
            let is_small = client.timestamps && bytes.len() <= SMALL_REQUEST && len <= SMALL_RESPONSE;
            let timing = match draw.below(3) {
                0 if may_join && is_small => Timing::Joined,
                // Before the first, a cookie does not wait for long.
                _ if number == 0 => Timing::Answered(Duration::ZERO),
                _ => Timing::Answered(*draw.pick(&PAUSES)),
            };
            may_join = is_small && !requests.len().is_multiple_of(JOINED_MAX);
            requests.push(SessionRequest { bytes, timing, cuts: Vec::new(), gap: Duration::ZERO });
        }
        let ending = Ending::Close(Duration::ZERO);
        Some((SessionSettings { client, requests, ending, heals_after: HEALS_AFTER }, promise))
    }

    /// What the protocol promises this client.
    fn promise(&self, kind: &Kind, drawn: Promise, request: &[u8], ends: &Ends) -> Promise {
        let (writes, segment, window, timestamps, is_answered_at_once) = match kind {
            Kind::Model(settings) => (
                settings.request.as_slice(),
                settings.mss.map_or(SEGMENT_MIN, usize::from),
                settings.window as usize,
                settings.timestamps,
                crowd::is_answered_at_once(settings),
            ),
            // The least that one of this MTU announces.
            Kind::Stack(settings) => (&[][..], settings.mtu - crowd::HEADERS_MAX, settings.window, false, true),
            Kind::Attacker(_) | Kind::Session(_) => return drawn,
        };
        if drawn != Promise::Reply {
            return drawn;
        }
        let own = usize::from(self.scenario.config.mtu.bytes()) - headers_min(ends.client.is_ipv6());
        let has_rest = request.len() > segment.min(own);
        // A kernel does not put a small piece and a full one together, so the line would never be complete. What of a
        // request comes behind its answer is acknowledged only by a client that sees that it has been answered; and
        // what is not acknowledged keeps the FIN of a client behind it, where its window is full.
        if has_rest && !(is_answered_at_once && timestamps) {
            return Promise::PerhapsReply;
        }
        // The writes that arrive together first may draw another answer than the whole request.
        let ends_of_writes = writes.iter().scan(0, |end, write| {
            *end += write.len();
            Some(*end)
        });
        let packets = ends_of_writes.chain([request.len()]).map(|end| &request[..end]);
        // Into a window of less than two segments smaller ones are sent, which may have no room for a short answer.
        let segment = request.len().min(segment).min(own);
        let is_alike = |packet| self.answer_within(section::LEAST_ROOM, packet, ends) == self.answer(packet, ends);
        if window / 2 < SEGMENT_MIN && !packets.clone().chain([&request[..segment]]).all(is_alike) {
            return Promise::PerhapsReply;
        }
        let mut answers = packets.map(|packet| self.answer(packet, ends));
        let is_promised = |(len, is_stored)| {
            let is_spoilt = !self.scenario.down.corrupt.is_never()
                && self.scenario.down.mtu.is_some()
                && crowd::is_cut(&self.scenario, kind, len);
            !is_spoilt && crowd::is_promised(&self.scenario, kind, ends, len, is_stored)
        };
        if answers.all(is_promised) { Promise::Reply } else { Promise::PerhapsReply }
    }
}

impl<A: App + ?Sized> Workload for AppClients<'_, A> {
    fn start(&self) -> Instant {
        self.scenario.start
    }

    fn clients(&self) -> u32 {
        self.scenario.options.requests
    }

    fn client(&self, number: u32) -> ClientSpec {
        let random = self.random.nth(number.into());
        let scenario = &self.scenario;
        let ends = crowd::draw_ends(random.fork("ends"), number);
        let request = random.fork("request").pick(self.requests).clone();
        if let Some(most) = scenario.options.keep_alive {
            // Each connection has a port of its own, and these do not begin again.
            let ends = ends.client_port(1024 + ends.client.port() / 2);
            if let Some((settings, promise)) = self.session(&random, &ends, &request, most) {
                return self.keeping(number, random, ends, settings, promise);
            }
        }
        let (size, _) = self.answer(&request, &ends);
        let model = Settings { request: vec![request.clone()], ..Settings::linux(&ends, "/") };
        let stack = stack::Settings { request: request.clone(), ..stack::Settings::new(&ends, "/") };
        let asked = Asked { model, stack, len: size };
        let (mut kind, drawn) = match crowd::draw_kind(scenario, &random, &ends, asked.clone()) {
            // An attacker is after the engine, whatever the application.
            (Kind::Attacker(_), _) => (crowd::draw_ordinary(&random, asked), Promise::Reply),
            drawn => drawn,
        };
        crowd::enlarge(&mut kind, random.fork("large"));
        let drawn = match &mut kind {
            Kind::Model(settings) => {
                settings.request = vec![request.clone()];
                // Below this, no answer says that a header section must come in one packet.
                settings.mss = settings.mss.map(|mss| mss.max(SEGMENT_MIN as u16));
                settings.reads = settings.reads.map(|reads| reads.max(size as u64 / READING_SECONDS));
                if self.is_split {
                    split(settings, random.fork("splits"));
                }
                crowd::promise(settings)
            }
            _ => drawn,
        };
        let promise = self.promise(&kind, drawn, &request, &ends);
        let is_v6 = ends.client.is_ipv6();
        ClientSpec {
            number,
            request,
            kind,
            size,
            promise: if scenario.may_mislead() { Promise::Nothing } else { promise },
            ends,
            up: crowd::for_family(&scenario.up, is_v6),
            down: crowd::for_family(&scenario.down, is_v6),
            random,
            heals_after: HEALS_AFTER,
            patience: PATIENCE,
        }
    }

    fn command_line(&self) -> String {
        self.again.clone()
    }
}

impl<A: App + ?Sized> AppClients<'_, A> {
    fn keeping(
        &self,
        number: u32,
        random: Random,
        ends: Ends,
        settings: SessionSettings,
        promise: Promise,
    ) -> ClientSpec {
        let is_v6 = ends.client.is_ipv6();
        let (size, patience) = (settings.requests.len(), PATIENCE + settings.patience());
        ClientSpec {
            number,
            request: Vec::new(),
            kind: Kind::Session(Box::new(settings)),
            size,
            promise: if self.scenario.may_mislead() { Promise::Nothing } else { promise },
            ends,
            up: crowd::for_family(&self.scenario.up, is_v6),
            down: crowd::for_family(&self.scenario.down, is_v6),
            random,
            heals_after: HEALS_AFTER,
            patience,
        }
    }
}

/// Splits a request into writes: anywhere, or at the ends of its lines.
fn split(settings: &mut Settings, mut random: Random) {
    let whole = settings.request.concat();
    let lines: Vec<usize> = (1..=whole.len()).filter(|&end| whole[..end].ends_with(b"\r\n")).collect();
    let places: Vec<usize> = match random.below(4) {
        0 => Vec::new(),
        1 => lines,
        2 => vec![*random.pick(&lines)],
        _ => (0..random.range(1..=SPLITS_MAX)).map(|_| random.below(whole.len() as u64) as usize).collect(),
    };
    *settings = settings.clone().split_at(&places);
    settings.nagle = random.chance(Probability::from_percent(50));
    // Who does not put small segments together can never complete a request line that was cut.
    settings.collapse |= settings.request.len() > 1;
}
