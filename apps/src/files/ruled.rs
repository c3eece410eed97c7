//! Files behind rules.

use std::path::Path;

use lethe::app::Position;
use lethe::http::{Method, Methods, Response, Status};
use lethe::{App, Request};

use super::{Files, TEXT};
use crate::respond::{NO_METHOD, Respond, RulesError};

/// The application with rules before it: what a rule has is answered by [`respond`](crate::respond), and everything
/// else with a file.
///
/// **Invariant:** the rules have the positions behind those of the image, so that no two responses share one.
#[derive(Debug)]
pub struct Ruled {
    rules: Respond,
    files: Files,
}

impl Ruled {
    /// Reads rules from a file, which come before `files`.
    ///
    /// # Errors
    ///
    /// As for [`Respond::load`]; and the answers that are longer than a packet do not fit beside the image.
    pub fn load(rules: &Path, files: Files) -> Result<Self, RulesError> {
        let rules = Respond::load_before(rules, files.image().end())?;
        Ok(Self { rules, files })
    }

    /// The rules.
    pub const fn rules(&self) -> &Respond {
        &self.rules
    }

    /// The files behind them.
    pub const fn files(&self) -> &Files {
        &self.files
    }
}

impl App for Ruled {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        if let Some(ruling) = self.rules.ruled(request) {
            return self.rules.answer(ruling, request, scratch);
        }
        match request.method {
            Method::Get | Method::Head => self.files.respond(request, scratch),
            _ => Response::build(scratch, Status::MethodNotAllowed)
                .header("Allow", "GET, HEAD")
                .header("Content-Type", TEXT)
                .body(NO_METHOD),
        }
    }

    fn methods(&self) -> Methods {
        self.rules.methods()
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        self.files.stored(position).or_else(|| self.rules.stored(position))
    }

    fn stores(&self) -> bool {
        self.files.stores() || self.rules.stores()
    }

    fn stores_parts(&self) -> bool {
        self.files.stores_parts()
    }

    fn positions(&self) -> u32 {
        self.files.positions().max(self.rules.positions())
    }
}
