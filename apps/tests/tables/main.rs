//! Tables as boards have them: each rule of reading them, and the right value of every cell.

mod csv;
mod dbf;
mod spreadsheet;

use std::io::Cursor;

use lethe::engine::SCRATCH_LEN;
use lethe::{App, Request};
use lethe_apps::scores::{Format, Image, Options, PrepareObserver, Reject, Scores, Warning, prepare};

/// What was said while a table was read.
#[derive(Default)]
struct Listener {
    rejects: Vec<String>,
    warnings: Vec<String>,
}

impl PrepareObserver for Listener {
    fn read(&mut self, _: u64) {}

    fn rejected(&mut self, reject: &Reject) {
        self.rejects.push(reject.to_string());
    }

    fn warned(&mut self, warning: &Warning) {
        self.warnings.push(warning.to_string());
    }
}

/// A table that was read.
struct Table {
    app: Scores,
    candidates: u64,
    deleted: u64,
    rejects: Vec<String>,
    warnings: Vec<String>,
}

impl Table {
    /// Every field of a candidate but the keys: ` XM=张三 ZF=118.50`. Nothing where no page has both numbers.
    fn row(&self, seat: &str, secret: &str) -> String {
        let mut scratch = vec![0; SCRATCH_LEN];
        let query = format!("seat={seat}&id={secret}");
        let request = Request::get(b"/").with_query(Some(query.as_bytes()));
        let response = self.app.respond(&request, &mut scratch);
        if !response.head().starts_with(b"HTTP/1.1 200 ") {
            return String::new();
        }
        str::from_utf8(response.body()).unwrap().replace("<tr><th>", " ").replace("<td>", "=")
    }
}

/// The fields with the keys have the names that they have in the tables of most boards.
fn options() -> Options {
    Options {
        seat_field: "KSH".to_owned(),
        secret_field: "SFZH".to_owned(),
        template: Some("{{*}}".to_owned()),
        key: [7; 32],
        ..Options::default()
    }
}

fn read_with(format: Format, table: &[u8], options: &Options) -> Result<Table, String> {
    let mut listener = Listener::default();
    let made = prepare(format, table, table.len() as u64, options, Cursor::new(Vec::new()), &mut listener);
    let (file, prepared) = made.map_err(|error| error.to_string())?;
    let app = Scores::new(Image::open(file.into_inner()).unwrap());
    let Listener { rejects, warnings } = listener;
    Ok(Table { app, candidates: prepared.candidates, deleted: prepared.deleted, rejects, warnings })
}

/// Reads a table of which every row can be used.
fn read(format: Format, table: &[u8]) -> Table {
    let table = read_with(format, table, &options()).unwrap();
    assert_eq!(table.rejects, [""; 0]);
    table
}

fn error_of(format: Format, table: &[u8]) -> String {
    read_with(format, table, &options()).map(|table| table.rejects).unwrap_err()
}
