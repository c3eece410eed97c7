//! From a table to a page, and everything that can go wrong on the way.

use std::io::{BufReader, Cursor};

use dbase::encoding::EncodingRs;
use dbase::{FieldName, FieldValue, Record, TableWriterBuilder};
use encoding_rs::{Encoding, GBK, UTF_8, WINDOWS_1252};
use lethe::app::Position;
use lethe::engine::SCRATCH_LEN;
use lethe::http::Headers;
use lethe::versions::Versions;
use lethe::{App, Request};
use lethe_apps::ContainerError;
use lethe_apps::scores::{
    AddError, Builder, FinishError, Format, Image, Labels, OpenError, Options, PAGE_MAX, PrepareError, PrepareObserver,
    Prepared, Reject, Scores, Warning, encoding, prepare, write_sample,
};
use lethe_test::{TestRequest, check_app, simulate};
use proptest::prelude::*;

/// Keeps what it is told.
#[derive(Default)]
struct Listener {
    rejects: Vec<Reject>,
    read: Vec<u64>,
}

impl PrepareObserver for Listener {
    fn read(&mut self, bytes: u64) {
        self.read.push(bytes);
    }

    fn rejected(&mut self, reject: &Reject) {
        self.rejects.push(reject.clone());
    }

    fn warned(&mut self, _: &Warning) {}
}

fn options() -> Options {
    Options { seat_field: "seat".to_owned(), secret_field: "secret".to_owned(), key: [7; 32], ..Options::default() }
}

type Made = (Vec<u8>, Prepared, Vec<String>);

/// The file that is made of a table, and what was left out.
fn make_with(format: Format, table: &[u8], options: &Options) -> Result<Made, PrepareError> {
    let mut listener = Listener::default();
    let reader = BufReader::new(table);
    let out = Cursor::new(Vec::new());
    let (out, prepared) = prepare(format, reader, table.len() as u64, options, out, &mut listener)?;
    assert_eq!(listener.read.last(), Some(&(table.len() as u64)));
    let rejects = listener.rejects.iter().map(Reject::to_string).collect();
    Ok((out.into_inner(), prepared, rejects))
}

fn make(format: Format, table: &[u8]) -> Made {
    make_with(format, table, &options()).unwrap()
}

fn error_of(format: Format, table: &[u8], options: &Options) -> String {
    make_with(format, table, options).map(drop).unwrap_err().to_string()
}

fn app(file: Vec<u8>) -> Scores {
    Scores::new(Image::open(file).unwrap())
}

/// Status, and everything behind the status line.
fn ask_with(app: &Scores, path: &str, query: Option<&str>, headers: &str) -> (u16, String) {
    let mut scratch = vec![0; SCRATCH_LEN];
    let section = format!("{headers}\r\n");
    let headers = Headers::new(section.as_bytes());
    let (path, query) = (path.as_bytes(), query.map(str::as_bytes));
    let request = Request::get(path).with_query(query).with_headers(headers);
    let response = app.respond(&request, &mut scratch);
    if let Some(first) = response.position() {
        for unit in 0..Position::units(response.len()) as u32 {
            let position = Position::new(first.value() + unit).unwrap();
            assert_eq!(app.stored(position), Some(response), "unit {unit}");
        }
    }
    let text = String::from_utf8([response.head(), response.body()].concat()).unwrap();
    let (line, rest) = text.split_once("\r\n").unwrap();
    let status = line.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    assert!(rest.contains(&format!("\r\nContent-Length: {}\r\n", response.body().len())), "{rest}");
    (status, rest.to_owned())
}

fn ask(app: &Scores, query: &str) -> (u16, String) {
    ask_with(app, "/", Some(query), "")
}

/// Three candidates, as CSV.
const CSV: &str = "seat,secret,name,points\n\
    0101,99010120080101001X,甲,600.5\n\
    0102,990101200801010028,<b>,599\n\
    0103,990101200801010036,\"a, \"\"b\"\"\",0\n";

#[test]
fn whoever_has_both_numbers_gets_the_page() {
    let (file, prepared, rejects) = make(Format::Csv, CSV.as_bytes());
    assert_eq!((prepared.candidates, prepared.rejected, rejects.len()), (3, 0, 0));
    let app = app(file);
    let (status, page) = ask(&app, "seat=0101&id=99010120080101001X");
    assert_eq!(status, 200);
    assert!(page.contains("<tr><th>name<td>甲<tr><th>points<td>600.5</table>"), "{page}");
    assert!(page.contains("\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"), "{page}");
    assert!(!page.contains("99010120080101001X") && page.contains("<h2>0101</h2>"), "{page}");
    assert!(ask(&app, "seat=0102&id=990101200801010028").1.contains("<td>&lt;b&gt;<"));
    assert!(ask(&app, "id=990101200801010036&x=y&seat=0103").1.contains("<td>a, &quot;b&quot;<"));
}

#[test]
fn numbers_may_be_typed_as_people_do() {
    let app = app(make(Format::Csv, CSV.as_bytes()).0);
    for query in [
        "seat=0101&id=99010120080101001x",
        "seat=+0101+&id=%20990101+20080101+001X%0d%0a",
        "seat=%EF%BC%90%EF%BC%91%EF%BC%90%EF%BC%91&id=99010120080101001%EF%BD%98",
        "seat=0101%E3%80%80&id=%EF%BB%BF99010120080101001X",
        "seat=0101&seat=0102&id=99010120080101001X",
    ] {
        assert_eq!(ask(&app, query).0, 200, "{query}");
    }
}

/// The values that fields of a form have, and the form without them.
fn values(form: &str) -> (Vec<&str>, String) {
    let mut pieces = form.split(" value=");
    let mut rest = pieces.next().unwrap().to_owned();
    let mut values = Vec::new();
    for piece in pieces {
        let (value, after) = piece.split_once(' ').unwrap();
        values.push(value);
        rest.extend([" ", after]);
    }
    (values, rest)
}

#[test]
fn what_was_typed_is_in_its_field_again_and_can_be_corrected() {
    let app = app(make(Format::Csv, CSV.as_bytes()).0);
    let form = |query: &str| ask(&app, query).1;
    for (query, expect) in [
        ("seat=0101&id=99010120080101002x", &["0101", "99010120080101002X"][..]),
        ("seat=+0101+&id=", &["0101"]),
        ("seat=&id=1+2", &["12"]),
        ("seat=%E7%94%B201&id=%EF%BC%91", &["甲01", "1"]),
        ("seat=%22%3E%3Cscript%3E&id=a%3Db", &[]),
        ("seat=1%20onfocus=x&id='", &[]),
        ("", &[]),
    ] {
        assert_eq!(values(&form(query)).0, expect, "{query}");
    }
}

#[test]
fn which_number_is_wrong_shows_in_nothing() {
    let app = app(make(Format::Csv, CSV.as_bytes()).0);
    // What was typed is given back, wrong or right. All else is equal, but for the length.
    let ask = |query: &str| {
        let (status, form) = ask(&app, query);
        let (_, body) = form.split_once("\r\n\r\n").unwrap();
        (status, values(body).1)
    };
    let wrong = ask("seat=0101&id=990101200801010028");
    assert_eq!(wrong.0, 404);
    assert!(wrong.1.contains("没有找到"), "{}", wrong.1);
    let long = "9".repeat(65);
    for query in [
        "seat=0109&id=99010120080101001X",
        "seat=0102&id=99010120080101001X",
        "seat=0101&id=9",
        "seat=%ff&id=9",
        "seat=%zz&id=9",
        "seat=1&id=%",
        "seat=01&id=0199010120080101001X",
        &format!("seat={long}&id=1"),
        &format!("seat=1&id={long}"),
    ] {
        assert_eq!(ask(query), wrong, "{query}");
    }
}

#[test]
fn the_form_comes_first_and_says_when_something_is_missing() {
    let app = app(make(Format::Csv, CSV.as_bytes()).0);
    let (status, form) = ask_with(&app, "/", None, "");
    assert!(status == 200 && form.contains("<form>") && !form.contains("role=alert"), "{form}");
    for query in ["", "x=y", "seats=1"] {
        assert_eq!(ask(&app, query), (200, form.clone()), "{query}");
    }
    for query in ["seat=&id=", "seat=1", "id=1", "seat=1&id=", "seat=+&id=1", "seat=%E3%80%80&id=%ff"] {
        let (status, form) = ask(&app, query);
        assert!(status == 400 && form.contains("请填写两个号码。"), "{query}: {form}");
    }
    assert_eq!(ask_with(&app, "/favicon.ico", None, "").0, 404);
}

#[test]
fn the_form_is_in_the_language_of_the_reader_and_under_the_boards_own_names() {
    let app = app(make(Format::Csv, CSV.as_bytes()).0);
    let english = ask_with(&app, "/", Some("seat=1&id=2"), "Accept-Language: en-GB,en;q=0.9\r\n\r\n").1;
    assert!(english.contains("lang=en") && english.contains("Please check both numbers."), "{english}");
    assert!(ask_with(&app, "/", None, "Accept-Language: zh-CN,en;q=0.9\r\n\r\n").1.contains("lang=zh"));
    let labels = Labels::new("2026 年高考", "考号", "查询码").unwrap();
    let own = self::app(make_with(Format::Csv, CSV.as_bytes(), &Options { labels, ..options() }).unwrap().0);
    for language in ["zh", "en"] {
        let form = ask_with(&own, "/", None, &format!("Accept-Language: {language}\r\n\r\n")).1;
        assert!(["<h1>2026 年高考", "考号<input", "查询码<input"].iter().all(|text| form.contains(text)), "{form}");
    }
    assert!(ask(&own, "seat=0101&id=99010120080101001X").1.contains("<h1>2026 年高考</h1>"));
}

#[test]
fn every_candidate_of_a_sample_gets_the_page_of_the_own_record() {
    const COUNT: u32 = 3000;
    let mut table = Vec::new();
    write_sample(COUNT, 1, &mut table, &mut |_, _| ()).unwrap();
    let options =
        Options { seat_field: "准考证号".to_owned(), secret_field: "身份证号".to_owned(), ..options() };
    let (file, prepared, rejects) = make_with(Format::Dbf, &table, &options).unwrap();
    assert_eq!((prepared.candidates, rejects.len()), (COUNT.into(), 0));
    let image = Image::open(file.clone()).unwrap();
    image.check_records(&mut |_, _| ()).unwrap();
    let app = app(file);
    let mut reader = dbase::Reader::new(Cursor::new(table)).unwrap();
    for record in reader.iter_records() {
        let record = record.unwrap();
        let text = |name: &str| match record.get(name) {
            Some(FieldValue::Character(Some(text))) => text.clone(),
            Some(FieldValue::Numeric(Some(number))) => number.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        let (status, page) = ask(&app, &format!("seat={}&id={}", text("准考证号"), text("身份证号")));
        assert_eq!(status, 200);
        for field in ["姓名", "性别", "毕业中学", "科类", "语文", "总分", "全省位次", "达线情况"]
        {
            assert!(page.contains(&format!("<tr><th>{field}<td>{}", text(field))), "{field}: {page}");
        }
    }
}

/// A table with one field of text, made by a crate that knows nothing of ours.
fn dbf(encoding: &'static Encoding, code_page: u8, names: &[&str]) -> Vec<u8> {
    let field = |name| FieldName::try_from(name).unwrap();
    let mut table = Cursor::new(Vec::new());
    let mut writer = TableWriterBuilder::with_encoding(EncodingRs::from(encoding))
        .add_character_field(field("SEAT"), 4)
        .add_character_field(field("SECRET"), 18)
        .add_character_field(field("NAME"), 20)
        .add_date_field(field("BORN"))
        .add_integer_field(field("RANK"))
        .add_double_field(field("MEAN"))
        .add_logical_field(field("PASSED"))
        .build_with_dest(&mut table);
    for (name, number) in names.iter().zip(0..) {
        let mut record = Record::default();
        let mut insert = |name: &str, value| record.insert(name.to_owned(), value);
        insert("SEAT", FieldValue::Character(Some(format!("{number:04}"))));
        insert("SECRET", FieldValue::Character(Some("1x".to_owned())));
        insert("NAME", FieldValue::Character((!name.is_empty()).then(|| (*name).to_owned())));
        insert("BORN", FieldValue::Date(dbase::Date::new(31, 1, 2008).ok()));
        insert("RANK", FieldValue::Integer(-number));
        insert("MEAN", FieldValue::Double(1.25));
        insert("PASSED", FieldValue::Logical((number < 2).then_some(true)));
        writer.write_record(&Ordered(record)).unwrap();
    }
    writer.finalize().unwrap();
    drop(writer);
    let mut table = table.into_inner();
    table[29] = code_page;
    table
}

/// The crate writes the fields of a record in no order.
struct Ordered(Record);

impl dbase::WritableRecord for Ordered {
    fn write_using<W: std::io::Write>(&self, writer: &mut dbase::FieldWriter<'_, W>) -> Result<(), dbase::FieldError> {
        while let Some(name) = writer.next_field_name() {
            writer.write_next_field_value(self.0.get(name).expect("each field has a value"))?;
        }
        Ok(())
    }
}

/// The rows of the page of seat 0000.
fn rows(table: &[u8], options: &Options) -> String {
    let (_, page) = ask(&app(make_with(Format::Dbf, table, options).unwrap().0), "seat=0000&id=1X");
    let (_, rows) = page.split_once("<table>").expect(&page);
    rows.split_once("</table>").unwrap().0.replace("<tr><th>", " ").replace("<td>", "=")
}

#[test]
fn text_is_read_in_the_encoding_that_the_table_names_or_in_the_one_that_is_given() {
    let others = " BORN=2008-01-31 RANK=0 MEAN=1.25 PASSED=T";
    for (encoding, code_page, name) in
        [(GBK, 0x4d, "张三 ñ"), (GBK, 0x7a, "镕"), (UTF_8, 0xf0, "张三"), (WINDOWS_1252, 0x03, "José")]
    {
        let name = if encoding == GBK { name.trim_end_matches(" ñ") } else { name };
        let table = dbf(encoding, code_page, &[name]);
        assert_eq!(rows(&table, &options()), format!(" NAME={name}{others}"));
        // A given encoding takes precedence over that of the table.
        let table = dbf(encoding, 0x65, &[name]);
        assert_eq!(rows(&table, &Options { encoding: Some(encoding), ..options() }), format!(" NAME={name}{others}"));
    }
    assert_eq!(encoding("GBK"), Some(GBK));
    assert_eq!([encoding("cp936"), encoding("CP936"), encoding("latin1")], [Some(GBK), Some(GBK), Some(WINDOWS_1252)]);
    assert_eq!(encoding("klingon"), None);
}

#[test]
fn text_in_no_known_encoding_is_not_guessed_at() {
    let table = dbf(GBK, 0, &["ascii", "张三"]);
    assert_eq!(
        error_of(Format::Dbf, &table, &options()),
        "the table does not say how its text is encoded: add --encoding gbk (or utf-8, latin1)"
    );
    assert_eq!(rows(&dbf(GBK, 0, &["ascii"]), &options()), " NAME=ascii BORN=2008-01-31 RANK=0 MEAN=1.25 PASSED=T");
    let (_, prepared, rejects) = make(Format::Dbf, &dbf(GBK, 0xf0, &["张三", "ascii"]));
    assert_eq!((prepared.candidates, prepared.rejected), (1, 1));
    assert_eq!(rejects, ["row 1: NAME is not UTF-8 text"]);
}

#[test]
fn rows_that_cannot_be_used_are_named() {
    let start = "seat,secret,name\n01,1,a\n,2,b\n03,,c\n01,4,d\n ０１ ,5,e\n05,6\n06,7,";
    let mut table = [start.as_bytes(), b"\xff\n07,8,g\n"].concat();
    table.extend(format!("{},9,h\n08,{},i\n09,10,{}\n", "8".repeat(65), "9".repeat(65), "x".repeat(PAGE_MAX)).bytes());
    let (file, prepared, rejects) = make(Format::Csv, &table);
    assert_eq!((prepared.candidates, prepared.rejected), (2, 9));
    assert_eq!(
        rejects[..7],
        [
            "row 3: no seat",
            "row 4, seat 03: no secret",
            "row 5, seat 01: row 2 has the same seat",
            "row 6, seat 01: row 2 has the same seat",
            "row 7: 2 values, where the first line has 3 names",
            "row 8: name is not UTF-8 text",
            "row 10: seat of more than 64 bytes",
        ]
    );
    assert_eq!(rejects[7], "row 11, seat 08: secret of more than 64 bytes");
    assert!(rejects[8].starts_with("row 12, seat 09: a page of 20") && rejects[8].ends_with("where 20000 is the most"));
    let app = app(file);
    assert_eq!(["seat=01&id=1", "seat=07&id=8", "seat=01&id=4"].map(|query| ask(&app, query).0), [200, 200, 404]);

    let strict = Options { strict: true, ..options() };
    assert_eq!(error_of(Format::Csv, &table, &strict), "row 3: no seat");
}

#[test]
fn rows_that_were_deleted_are_not_there() {
    let mut table = dbf(GBK, 0x4d, &["a", "b"]);
    let header = usize::from(u16::from_le_bytes([table[8], table[9]]));
    table[header] = b'*';
    let (file, prepared, _) = make(Format::Dbf, &table);
    assert_eq!((prepared.candidates, prepared.deleted, prepared.rejected), (1, 1, 0));
    let app = app(file);
    assert_eq!(["seat=0000&id=1X", "seat=0001&id=1x"].map(|query| ask(&app, query).0), [404, 200]);
}

#[test]
fn a_table_that_is_cut_off_or_counts_wrong_makes_nothing() {
    let table = dbf(GBK, 0x4d, &["a", "b", "c"]);
    let marked = table.ends_with(&[0x1a]);
    for len in 0..table.len() - usize::from(marked) {
        let error = error_of(Format::Dbf, &table[..len], &options());
        let expect = if len < 32 + 7 * 32 + 1 {
            "not a dBASE table: it is shorter than a header"
        } else {
            "cut off: the header says 3 records"
        };
        assert!(error.starts_with(expect), "{len}: {error}");
    }
    let counting = |count: u32| {
        let mut table = table.clone();
        table[4..8].copy_from_slice(&count.to_le_bytes());
        error_of(Format::Dbf, &table, &options())
    };
    assert!(counting(u32::MAX).starts_with("cut off: the header says 4294967295 records"));
    assert!(counting(1).starts_with("the header says 1 records, and there are the bytes of 3"), "{}", counting(1));
    let mut wrong = table;
    wrong[32 + 11] = b'?';
    assert!(error_of(Format::Dbf, &wrong, &options()).starts_with("not a dBASE table: "));
}

#[test]
fn fields_that_there_are_not_are_an_error_that_lists_those_that_there_are() {
    let named = |seat: &str, secret: &str| Options {
        seat_field: seat.to_owned(),
        secret_field: secret.to_owned(),
        ..options()
    };
    assert_eq!(
        error_of(Format::Csv, CSV.as_bytes(), &named("KSH", "secret")),
        "the table has no field KSH; it has seat, secret, name, points"
    );
    assert!(error_of(Format::Csv, CSV.as_bytes(), &named("Seat", "SEAT")).contains("two fields"));
    assert_eq!(error_of(Format::Csv, b"", &options()), "it is empty");
    assert_eq!(error_of(Format::Csv, b"seat,secret\n", &options()), "there is not one candidate in it");
    let template = Some("{{name}} {{marks}}".to_owned());
    assert_eq!(
        error_of(Format::Csv, CSV.as_bytes(), &Options { template, ..options() }),
        "the template, line 1: the table has no field marks; it has seat, secret, name, points"
    );
}

#[test]
fn the_same_candidates_are_found_whatever_form_their_table_had() {
    let template = Some("<p>{{name}}: {{points}}".to_owned());
    let csv = make_with(Format::Csv, CSV.as_bytes(), &Options { template, ..options() }).unwrap().0;
    let lines = "0101_99010120080101001X_<p>甲: 600.5\r\n0102_990101200801010028_<p>&lt;b&gt;: 599\n\
                 0103_990101200801010036_<p>a, &quot;b&quot;: 0";
    assert_eq!(make(Format::Lines, lines.as_bytes()).0, csv);
    let (gbk, ..) = GBK.encode(lines);
    let options = Options { encoding: Some(GBK), ..options() };
    assert_eq!(make_with(Format::Lines, &gbk, &options).unwrap().0, csv);
    let marked = ["\u{feff}", CSV].concat();
    assert_eq!(make(Format::Csv, marked.as_bytes()).0, make(Format::Csv, CSV.as_bytes()).0);

    let long = format!("1_2_{}\n3_4_<p>\n5_6\n", "x".repeat(100_000));
    let (_, prepared, rejects) = make(Format::Lines, long.as_bytes());
    assert_eq!(prepared.candidates, 1);
    assert_eq!(rejects, ["row 1: a line of more than 81024 bytes", "row 3: not of the form seat_id_html"]);
}

#[test]
fn pages_of_any_length_up_to_the_limit_are_stored_whole() {
    let mut builder = Builder::new(Cursor::new(Vec::new()), [1; 32], Labels::default()).unwrap();
    let lengths = [0, 1, 200, 350, 511, 512, 1000, 1460, 5000, 16_000, PAGE_MAX];
    let body = |len: usize| (0..len).map(|at| b'a' + (at % 23) as u8).collect::<Vec<_>>();
    for len in lengths {
        builder.add(&len.to_string(), "1", &body(len)).unwrap();
    }
    assert!(builder.add("9", "1", &body(PAGE_MAX + 1)).is_err());
    assert!(builder.add(" ", "1", b"").is_err());
    let file = builder.finish().unwrap().into_inner();
    Image::open(file.clone()).unwrap().check_records(&mut |_, _| ()).unwrap();
    let app = app(file);
    for len in lengths {
        let (status, page) = ask(&app, &format!("seat={len}&id=1"));
        assert_eq!(status, 200);
        assert!(page.split_once("\r\n\r\n").unwrap().1.as_bytes() == body(len), "{len}");
    }
}

/// Pages of one packet and of many; and requests for them, for the form in both languages, and with numbers that are
/// wrong, missing or malformed.
fn pages_and_requests() -> (Scores, Vec<TestRequest>) {
    let mut builder = Builder::new(Cursor::new(Vec::new()), [1; 32], Labels::default()).unwrap();
    let lengths = [0, 300, 1000, 5000, PAGE_MAX];
    for len in lengths {
        builder.add(&len.to_string(), "1", &(0..len).map(|at| b'a' + (at % 23) as u8).collect::<Vec<_>>()).unwrap();
    }
    let right = lengths.map(|len| format!("/?seat={len}&id=1"));
    let other = ["/", "/?seat=300", "/?seat=300&id=2", "/?seat=%3Cb%3E&id=%", "/none?seat=300&id=1"].map(str::to_owned);
    let requests = right.iter().chain(&other).flat_map(|target| {
        let get = || TestRequest::get(target).header("Host", "h");
        let languages = ["en", "zh"].map(|language| get().header("Accept-Language", language));
        [get(), TestRequest::head(target).header("Host", "h")].into_iter().chain(languages)
    });
    let requests = requests.collect();
    (app(builder.finish().unwrap().into_inner()), requests)
}

/// Requests whose language is behind the first segment, of most clients.
fn late_languages() -> Vec<TestRequest> {
    let request = |target| TestRequest::get(target).header("Host", "h").header("Cookie", &"c".repeat(1400));
    let targets = ["/", "/?seat=300&id=2", "/?seat=300&id=1", "/?seat=5000&id=1"];
    targets.into_iter().map(|target| request(target).header("Accept-Language", "zh")).collect()
}

#[test]
fn the_contract_is_kept() {
    let (app, requests) = pages_and_requests();
    check_app(&app, [requests, late_languages()].concat());
}

/// More than 10,000 fetches.
#[test]
fn every_client_gets_every_byte_under_loss_with_cut_requests_and_kept_connections() {
    let (app, requests) = pages_and_requests();
    let all = [requests.clone(), late_languages()].concat();
    let cut = simulate(&app, all).loss("5%").split().clients(600).seeds(0..10).run().unwrap();
    let kept = simulate(&app, requests).keep_alive(8).loss("5%").clients(200).seeds(0..10).run().unwrap();
    // A client of the second kind has some four requests.
    assert!(cut.completed > 4_000 && kept.completed == 2_000, "{cut:?} {kept:?}");
}

#[test]
fn a_new_file_is_for_new_connections() {
    let file = |points: &str| {
        let mut builder = Builder::new(Cursor::new(Vec::new()), [1; 32], Labels::default()).unwrap();
        builder.add("1", "1", points.repeat(600).as_bytes()).unwrap();
        builder.finish().unwrap().into_inner()
    };
    let mut app = Versions::new(app(file("a")));
    let ask = |app: &Versions<Scores>, generation| {
        let mut scratch = vec![0; SCRATCH_LEN];
        let request = Request::get(b"/").with_query(Some(b"seat=1&id=1")).with_generation(generation);
        let response = app.respond(&request, &mut scratch);
        assert_eq!(app.stored(response.position().unwrap()), Some(response));
        response.body()[0]
    };
    for (number, text) in (1..=4).zip(["b", "c", "d", "e"]) {
        let gone = app.replace(Scores::new(Image::open(file(text)).unwrap()));
        assert_eq!(gone.iter().any(Option::is_some), number == 4);
    }
    assert_eq!(app.generations().current, 0);
    assert_eq!([0, 1, 2, 3].map(|generation| ask(&app, generation)), *b"ebcd");
}

fn damage(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> OpenError {
    let mut file = file.to_vec();
    change(&mut file);
    Image::open(file).map(drop).unwrap_err()
}

#[test]
fn each_damage_to_header_and_index_has_its_message() {
    let (file, ..) = make(Format::Csv, CSV.as_bytes());
    let len = file.len() as u64;
    assert_eq!(damage(&file, |file| file[0] = b'X'), ContainerError::Magic.into());
    assert_eq!(damage(&file, |file| file[8] = 9), ContainerError::Version { found: 9 }.into());
    assert_eq!(damage(&file, |file| file[50] ^= 1), ContainerError::HeaderChecksum.into());
    assert_eq!(damage(&file, |file| file.truncate(500)), ContainerError::Length { actual: 500, expected: len }.into());
    assert_eq!(damage(&file, |file| file.push(0)), ContainerError::Length { actual: len + 1, expected: len }.into());
    assert!(matches!(
        damage(&file, |file| *file.last_mut().unwrap() ^= 1),
        OpenError::Container(ContainerError::IndexChecksum { .. })
    ));
    assert_eq!(damage(&file, Vec::clear), ContainerError::Magic.into());
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_nothing_damaged_is_served() {
    let (file, ..) = make(Format::Csv, CSV.as_bytes());
    let queries = [
        "seat=0101&id=99010120080101001X",
        "seat=0102&id=990101200801010028",
        "seat=0103&id=990101200801010036",
        "seat=0103&id=1",
    ];
    let right = {
        let app = app(file.clone());
        queries.map(|query| ask(&app, query))
    };
    let (mut refused, mut told, mut harmless) = (0, 0, 0);
    for at in 0..file.len() {
        let mut file = file.clone();
        file[at] ^= 1 << (at % 8);
        let Ok(image) = Image::open(file) else {
            refused += 1;
            continue;
        };
        let found = image.check_records(&mut |_, _| ());
        let app = Scores::new(image);
        let answers = queries.map(|query| ask(&app, query));
        let all_right = answers == right;
        for (answer, right) in answers.iter().zip(&right) {
            assert!(answer == right || answer.0 == 500, "byte {at}: {answer:?}");
        }
        match found {
            Ok(()) => {
                assert!(all_right, "byte {at}");
                harmless += 1;
            }
            Err(error) => {
                assert!(error.to_string().starts_with("damaged: 1 of 3 records, the first at byte "), "{error}");
                told += 1;
            }
        }
    }
    // What is harmless is between the records.
    assert!(refused > 150 && told > 2000 && harmless < 3 * 64, "{refused} {told} {harmless}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_candidates_are_found_and_nobody_else(
        people in prop::collection::btree_map("[0-9A-Z]{1,12}", ("[0-9X]{1,18}", "[ -~]{0,600}"), 1..40),
        others in prop::collection::vec(("[0-9A-Z]{1,12}", "[0-9X]{1,18}"), 20),
    ) {
        let mut builder = Builder::new(Cursor::new(Vec::new()), [3; 32], Labels::default()).unwrap();
        for (seat, (secret, page)) in &people {
            builder.add(seat, secret, page.as_bytes()).unwrap();
        }
        let app = app(builder.finish().unwrap().into_inner());
        for (seat, (secret, page)) in &people {
            let (status, text) = ask(&app, &format!("seat={seat}&id={secret}"));
            prop_assert_eq!(status, 200);
            prop_assert_eq!(text.split_once("\r\n\r\n").unwrap().1, page);
        }
        for (seat, secret) in &others {
            let is_one = people.get(seat).is_some_and(|(right, _)| right == secret);
            prop_assert_eq!(ask(&app, &format!("seat={seat}&id={secret}")).0, if is_one { 200 } else { 404 });
        }
    }
}

#[test]
fn each_reason_to_add_nobody_and_to_make_no_file_has_its_message() {
    let broken = || std::io::Error::other("x");
    for (error, message) in [
        (AddError::Number, "a number that is empty or too long"),
        (AddError::Page { len: 20_001 }, "a page of 20001 bytes, where 20000 is the most"),
        (AddError::TooMany, "more than 16777216 candidates, or more than 256 GiB of pages"),
        (AddError::Write(broken()), "cannot write"),
    ] {
        assert_eq!(error.to_string(), message);
    }
    for (error, message) in [
        (FinishError::Empty, "there is not one candidate in it"),
        (FinishError::Hash, "two candidates have the same numbers"),
        (FinishError::Write(broken()), "cannot write"),
    ] {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_longest_page_is_taken_and_a_longer_one_named() {
    let table = format!("1_1_{}\n2_2_{}\n3_3_{}\n", "a".repeat(PAGE_MAX), "b".repeat(PAGE_MAX + 1), "c");
    let (_, prepared, rejects) = make(Format::Lines, table.as_bytes());
    assert_eq!(rejects, ["row 2, seat 2: a page of 20001 bytes, where 20000 is the most"]);
    assert_eq!((prepared.candidates, prepared.bytes, prepared.longest), (2, 20_001, 20_000));
}

#[test]
fn progress_is_told_every_256_rows_by_the_bytes_that_were_read() {
    let told = |format, table: &[u8]| {
        let mut listener = Listener::default();
        let out = Cursor::new(Vec::new());
        prepare(format, table, table.len() as u64, &options(), out, &mut listener).unwrap();
        (listener.read, table.len() as u64)
    };
    let rows = |first: &str, row: &str| {
        let rows = (0..600).map(|number| row.replace("NNN", &format!("{:03}", number + 100)));
        [first.to_owned()].into_iter().chain(rows).collect::<String>()
    };
    // The first line is one of the 256.
    let (read, len) = told(Format::Csv, rows("seat,secret,n\n", "NNN,NNN,x\n").as_bytes());
    assert_eq!(read, [14 + 255 * 10, 14 + 511 * 10, len]);
    let (read, len) = told(Format::Csv, rows("\u{feff}sep=;\r\nseat;secret;n\r\n", "NNN;NNN;x\r\n").as_bytes());
    assert_eq!(read, [10 + 15 + 254 * 11, 10 + 15 + 510 * 11, len]);
    let (read, len) = told(Format::Lines, rows("", "NNN_NNN_x\n").as_bytes());
    assert_eq!(read, [256 * 10, 512 * 10, len]);
    // A line that is too long is read as well.
    let long = format!("1_1_{}\n", "x".repeat(200_000));
    let (read, len) = told(Format::Lines, rows(&long, "NNN_NNN_x\n").as_bytes());
    assert_eq!(read, [200_005 + 255 * 10, 200_005 + 511 * 10, len]);
    let mut table = Vec::new();
    write_sample(600, 1, &mut table, &mut |_, _| ()).unwrap();
    let [header, record] = [8, 10].map(|at| u64::from(u16::from_le_bytes([table[at], table[at + 1]])));
    let options =
        Options { seat_field: "准考证号".to_owned(), secret_field: "身份证号".to_owned(), ..options() };
    let mut listener = Listener::default();
    let out = Cursor::new(Vec::new());
    prepare(Format::Dbf, &*table, table.len() as u64, &options, out, &mut listener).unwrap();
    assert_eq!(listener.read, [header + 256 * record, header + 512 * record, table.len() as u64]);
}

#[test]
fn a_page_that_fits_any_segment_has_no_position() {
    let position = |len: usize| {
        let mut builder = Builder::new(Cursor::new(Vec::new()), [3; 32], Labels::default()).unwrap();
        builder.add("1", "1", &vec![b'x'; len]).unwrap();
        let app = app(builder.finish().unwrap().into_inner());
        let mut scratch = vec![0; SCRATCH_LEN];
        let response = app.respond(&Request::get(b"/").with_query(Some(b"seat=1&id=1")), &mut scratch);
        (response.len(), response.position().is_some())
    };
    let head = position(100).0 - 100;
    assert_eq!(position(512 - head), (512, false));
    assert_eq!(position(513 - head), (513, true));
}

#[test]
fn the_longest_numbers_are_found_however_wide_they_are_typed() {
    let (seat, secret) = ("9".repeat(64), "8".repeat(64));
    let mut builder = Builder::new(Cursor::new(Vec::new()), [3; 32], Labels::default()).unwrap();
    builder.add(&seat, &secret, b"page").unwrap();
    assert!(matches!(builder.add(&"9".repeat(65), "1", b""), Err(AddError::Number)));
    let app = app(builder.finish().unwrap().into_inner());
    let wide = |digit: &str| digit.repeat(64);
    for (seat, secret) in [(&seat, &secret), (&wide("９"), &wide("８"))] {
        let (status, text) = ask(&app, &format!("seat={seat}&id={secret}+"));
        assert!(status == 200 && text.ends_with("page"), "{status} {text}");
    }
}

#[test]
fn a_line_has_room_for_the_longest_page_in_any_encoding_and_for_no_more() {
    let line = |len: usize| format!("1_1_{}\n2_2_x\n", "x".repeat(len - 5));
    for (len, why) in [(81_024, "seat 1: a page of 81019 bytes"), (81_025, "a line of more than 81024 bytes")] {
        let (_, prepared, rejects) = make(Format::Lines, line(len).as_bytes());
        assert!(prepared.candidates == 1 && rejects.len() == 1 && rejects[0].contains(why), "{rejects:?}");
    }
}
