//! Several secrets: which of them a connection began under.
//!
//! A secret that is replaced is accepted for a while. Everything a client gives back of ours is keyed, so what fits
//! one secret hardly ever fits another, and the segment is answered under the one that it fits:
//!
//! | what is given back                                   | fits another by chance                              |
//! |------------------------------------------------------|-----------------------------------------------------|
//! | the cookie, at the start of a request or with a FIN  | 1 in 2^26; with a timestamp 1 in 2^31               |
//! | the stamp of a response that is not stored           | 1 in 2^31                                           |
//! | a place or a probe                                   | 1 in 16,000 with segments of 1448 bytes, times the  |
//! |                                                      | share of positions that are used                    |
//! | an acknowledgement in the middle of a response       | as a forged one: the longer the response, the likelier |
//!
//! The first two decide. Of the others only one secret may fit: with the wrong one the client would get another part
//! of the data set. What fits two draws nothing. Each chance is that of a forged packet (docs/forgery.md).

use super::Segment;
use crate::app::App;
use crate::config::LargeReplies;
use crate::cookie::{Flow, Secret};
use crate::http::RequestLine;
use crate::stamp::Stamp;
use crate::verdict::DropReason;
use crate::wire::ip::Pair;

impl<'a, P: Pair> Segment<'a, P> {
    /// The same segment under the secret that it fits. Where it fits none, it is for the current one to refuse it.
    #[cold]
    pub(super) fn under_its_secret<A: App>(self, app: &'a A, scratch: &mut [u8]) -> Result<Self, DropReason> {
        let secrets = || core::iter::once(&self.config.secret).chain(self.config.former.iter().flatten());
        if let Some(proven) = secrets().map(|secret| self.under(secret)).find(|segment| segment.is_proof(app)) {
            return Ok(proven);
        }
        let mut fitting =
            secrets().map(|secret| self.under(secret)).filter(|segment| segment.is_progress(app, scratch));
        match (fitting.next(), fitting.next()) {
            (None, _) => Ok(self),
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(DropReason::TcpEcho),
        }
    }

    fn under(self, secret: &Secret) -> Self {
        Self { keys: secret.flow_keys(&Flow::of(self.packet.reply_path, self.header)), ..self }
    }

    /// Whether what it gives back can hardly be of another secret.
    fn is_proof<A: App>(self, app: &'a A) -> bool {
        match self.stamp() {
            Some(Stamp::Handshake { .. }) => self.keys.offset(self.header.ack(), 0) == 0,
            Some(Stamp::Whole | Stamp::Part | Stamp::Done) => true,
            Some(Stamp::Placed(_)) => false,
            None => self.header.options.timestamps.is_none() && self.verify_start(app).is_some(),
        }
    }

    /// Whether it can be of a client in the middle of a response.
    fn is_progress<A: App>(self, app: &'a A, scratch: &mut [u8]) -> bool {
        if self.header.options.timestamps.is_some() {
            return self.place().is_some_and(|place| self.transfer(place, app).is_some());
        }
        if self.payload.is_empty() {
            return self.is_probed(app);
        }
        self.config.large_replies != LargeReplies::Fragments
            && RequestLine::parse(self.payload).is_ok_and(|line| self.find_request(&line, app, scratch).is_some())
    }
}
