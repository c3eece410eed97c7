//! Clients of any application, with requests of its author.
//!
//! They are of all kinds, whatever the network: with and without timestamps and SACK, with small windows, slow readers,
//! and those that close early, but no attackers: these are after the engine, and not after an application. Where
//! requests are split, each comes in writes that are cut anywhere: a kernel puts together what an application wrote in
//! pieces when it sends that again, so one request can come in packets of different lengths, and whatever is answered
//! must not depend on which of them arrives.

use lethe::app::{App, Request};
use lethe::engine::SCRATCH_LEN;
use lethe::http::RequestLine;
use lethe::time::Instant;

use super::client_spec::{ClientSpec, Kind, Promise};
use super::crowd::{self, Asked};
use super::{HEALS_AFTER, Options, PATIENCE, Scenario, Workload};
use crate::frame::Ends;
use crate::peer::client::Settings;
use crate::peer::stack;
use crate::random::{Probability, Random};
use crate::section;

/// What a client that announces no MSS sends at a time (RFC 9293, section 3.7.1).
const SEGMENT_MIN: usize = 536;

/// Bytes of the headers of IPv4 and TCP.
const HEADERS_MIN: usize = 40;

/// The most places at which a request is split.
const SPLITS_MAX: u64 = 6;

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
    /// `is_split` has them written in pieces, and `again` is what a failure says is to be done to see it again.
    pub fn draw(app: &'a A, requests: &'a [Vec<u8>], options: Options, is_split: bool, again: String) -> Self {
        let random = Random::from_seed(options.seed).fork("app clients");
        let scenario = Scenario::draw(Options { large: true, keep_alive: None, ..options });
        Self { scenario, app, requests, is_split, random, again }
    }

    /// The network, and what the engine is set up with.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How long the answer to a request in one packet is, and whether it is stored.
    fn answer(&self, request: &[u8], ends: &Ends) -> (usize, bool) {
        if let Some(refusal) = section::refusal(request, usize::MAX) {
            return (refusal.len(), false);
        }
        let mut scratch = vec![0; SCRATCH_LEN];
        let Ok(line) = RequestLine::parse_for(self.app.methods(), request) else { return (0, false) };
        let answer = Request::of_line(&line).with_client(ends.client.ip()).answer(self.app, &mut scratch);
        answer.map_or((0, false), |response| (response.len(), response.position().is_some()))
    }

    /// What the protocol promises this client.
    fn promise(&self, kind: &Kind, drawn: Promise, request: &[u8], ends: &Ends) -> Promise {
        let (writes, segment, timestamps, is_answered_at_once) = match kind {
            Kind::Model(settings) => (
                settings.request.as_slice(),
                settings.mss.map_or(SEGMENT_MIN, usize::from),
                settings.timestamps,
                crowd::is_answered_at_once(settings),
            ),
            // The least that one of this MTU announces.
            Kind::Stack(settings) => (&[][..], settings.mtu - crowd::HEADERS_MAX, false, true),
            Kind::Attacker(_) | Kind::Session(_) => return drawn,
        };
        if drawn != Promise::Reply {
            return drawn;
        }
        let own = usize::from(self.scenario.config.mtu.bytes()) - HEADERS_MIN;
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
        let mut answers = ends_of_writes.chain([request.len()]).map(|end| self.answer(&request[..end], ends));
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
