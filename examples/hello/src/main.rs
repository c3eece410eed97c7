use lethe_server::{App, Request, Response, Server, Status};

#[cfg(test)]
mod tests;

struct Hello;

impl App for Hello {
    fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body(b"hello\n")
    }
}

fn main() -> std::process::ExitCode {
    Server::of("hello", || Hello).main()
}
