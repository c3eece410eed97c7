//! Compressed forms of files: which are sent in place of a file, and which are not.

mod compress;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use compress::{STYLE, brotli, gzip};
use lethe::http::Headers;
use lethe::{App, Request};
use lethe_apps::files::{Coding, Files, Flaw, Image, Options, PackError, PackObserver, Packed, Skipped, pack};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::TempDir;

/// A observer that keeps what it is told.
#[derive(Default)]
struct Notes {
    unused: Vec<(PathBuf, Option<PathBuf>, Flaw)>,
    compared: Vec<(u64, u64)>,
}

impl PackObserver for Notes {
    fn listed(&mut self, _: u64) {}
    fn skipped(&mut self, _: &Path, _: Skipped) {}
    fn unused(&mut self, path: &Path, of: Option<&Path>, why: Flaw) {
        self.unused.push((path.to_owned(), of.map(Path::to_owned), why));
    }

    fn compared(&mut self, done: u64, total: u64) {
        self.compared.push((done, total));
    }

    fn packed(&mut self, _: u64, _: u64) {}
}

fn zstd(contents: &[u8]) -> Vec<u8> {
    compress_to_vec(contents, CompressionLevel::Fastest)
}

/// Each form: what its name ends with, what it is called in HTTP, and how to make it.
type Form = (&'static str, &'static str, fn(&[u8]) -> Vec<u8>);
const FORMS: [Form; 3] = [("gz", "gzip", gzip), ("zst", "zstd", zstd), ("br", "br", brotli)];

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        fs::write(directory.path().join(name), contents).unwrap();
    }
    directory
}

fn packed(directory: &Path) -> (Files, Packed, Notes) {
    let mut notes = Notes::default();
    let (out, packed) = pack(directory, &Options::default(), Cursor::new(Vec::new()), &mut notes).unwrap();
    (Files::new(Image::open(out.into_inner()).unwrap()), packed, notes)
}

/// Head and body, asked for by a client that takes this.
fn ask(app: &Files, path: &str, accept: &str) -> (BTreeMap<String, String>, Vec<u8>) {
    let fields = format!("Accept-Encoding: {accept}\r\n\r\n");
    let request = Request::get(path.as_bytes()).with_headers(Headers::new(fields.as_bytes()));
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let response = app.respond(&request, &mut scratch);
    let head = str::from_utf8(response.head()).unwrap();
    let fields = head.trim_end().lines().skip(1).map(|line| line.split_once(": ").unwrap());
    (fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), response.body().to_vec())
}

/// What a client gets that takes all forms, and likes none best.
#[track_caller]
fn sent(app: &Files, path: &str) -> (Option<String>, Vec<u8>) {
    let (mut fields, body) = ask(app, path, "gzip, br, zstd");
    (fields.remove("Content-Encoding"), body)
}

#[track_caller]
fn check_not_sent(name: &str, contents: &[u8], form: &str, compressed: &[u8], why: Flaw) {
    let form = format!("{name}.{form}");
    let directory = directory(&[(name, contents), (&form, compressed)]);
    let (app, packed, notes) = packed(directory.path());
    assert!(sent(&app, &format!("/{name}")) == (None, contents.to_owned()), "{form}: {why}");
    assert_eq!(ask(&app, &format!("/{name}"), "gzip").0.get("Vary"), None, "there is one form");
    assert_eq!(packed.variants, 0);
    assert!(ask(&app, &format!("/{form}"), "").1 == compressed, "under its own name it is what it is");
    let root = directory.path().canonicalize().unwrap();
    assert_eq!(notes.unused, [(root.join(form), Some(root.join(name)), why)]);
}

/// The coding of a form.
fn coding(form: &str) -> Coding {
    match form {
        "gz" => Coding::Gzip,
        "zst" => Coding::Zstandard,
        _ => Coding::Brotli,
    }
}

#[test]
fn a_form_that_has_the_contents_of_its_file_is_sent() {
    for (form, token, compress) in FORMS {
        for contents in [b"a".repeat(2000), STYLE.to_owned(), STYLE.repeat(200)] {
            let compressed = compress(&contents);
            let directory = directory(&[("a.css", &contents), (&format!("a.css.{form}"), &compressed)]);
            let (app, packed, _) = packed(directory.path());
            assert!(sent(&app, "/a.css") == (Some(token.to_owned()), compressed), "{form}");
            assert_eq!(packed.variants, 1);
        }
    }
}

#[test]
fn what_the_usual_programs_make_is_sent() {
    for (form, token, compressed) in [
        ("gz", "gzip", &include_bytes!("cases/style.css.gz")[..]),
        ("zst", "zstd", include_bytes!("cases/style.css.zst")),
    ] {
        let directory = directory(&[("a.css", STYLE), (&format!("a.css.{form}"), compressed)]);
        assert!(
            sent(&packed(directory.path()).0, "/a.css") == (Some(token.to_owned()), compressed.to_owned()),
            "{form}"
        );
    }
}

/// A frame of RFC 8878, 3.1.2, of which decoders skip the contents.
fn skippable(kind: u8, contents: &[u8]) -> Vec<u8> {
    [&[0x50 | kind, 0x2a, 0x4d, 0x18], &(contents.len() as u32).to_le_bytes()[..], contents].concat()
}

#[test]
fn a_zstd_form_that_begins_with_frames_to_skip_is_sent() {
    for begin in [
        skippable(0, b""),
        skippable(0, b"made by a build"),
        skippable(15, &vec![0xff; 200_000]),
        [skippable(3, b"one"), skippable(4, b"")].concat(),
    ] {
        let compressed = [begin, zstd(STYLE)].concat();
        let directory = directory(&[("a.css", STYLE), ("a.css.zst", &compressed)]);
        let (app, _, notes) = packed(directory.path());
        assert!(sent(&app, "/a.css") == (Some("zstd".to_owned()), compressed), "{:?}", notes.unused);
    }
    let damaged = Flaw::Damaged(Coding::Zstandard);
    let whole = skippable(1, b"skipped");
    check_not_sent("a.css", STYLE, "zst", &whole, damaged);
    check_not_sent("a.css", STYLE, "zst", &whole[..6], damaged);
    check_not_sent("a.css", STYLE, "zst", &whole[..10], damaged);
    check_not_sent("a.css", STYLE, "zst", &[&whole[..10], &zstd(STYLE)].concat(), damaged);
    check_not_sent("a.css", STYLE, "zst", &[&whole, &zstd(b"other")[..]].concat(), Flaw::Differs);
    // Nothing is skipped behind the contents.
    check_not_sent("a.css", STYLE, "zst", &[zstd(STYLE), whole].concat(), Flaw::More(Coding::Zstandard));
}

#[test]
fn an_empty_form_is_not_sent() {
    for (form, ..) in FORMS {
        check_not_sent("a.css", STYLE, form, b"", Flaw::Empty);
    }
}

#[test]
fn a_form_that_is_not_what_its_name_says_is_not_sent() {
    for (form, _, compress) in FORMS {
        let (good, text) = (compress(STYLE), &b"this is text"[..]);
        let cut = &good[..good.len() - 1];
        let other = if form == "gz" { zstd(STYLE) } else { gzip(STYLE) };
        for wrong in [text, cut, &good[..1], &other] {
            check_not_sent("a.css", STYLE, form, wrong, Flaw::Damaged(coding(form)));
        }
    }
    // The checksum of gzip, and its length.
    for from_end in [1, 5] {
        let mut wrong = gzip(STYLE);
        let at = wrong.len() - from_end;
        wrong[at] ^= 1;
        check_not_sent("a.css", STYLE, "gz", &wrong, Flaw::Damaged(Coding::Gzip));
    }
}

#[test]
fn a_form_of_other_contents_is_not_sent() {
    for (form, _, compress) in FORMS {
        let mut changed = STYLE.to_owned();
        changed[5000] ^= 1;
        let longer = [STYLE, b"\n"].concat();
        for other in [&b""[..], b"OLD", &changed, &STYLE[..STYLE.len() - 1], &longer] {
            check_not_sent("a.css", STYLE, form, &compress(other), Flaw::Differs);
        }
        check_not_sent("empty", b"", form, &compress(b"something"), Flaw::Differs);
    }
}

#[test]
fn a_form_with_something_behind_its_end_is_not_sent() {
    for (form, _, compress) in FORMS {
        let (half, rest) = STYLE.split_at(STYLE.len() / 2);
        // RFC 1952 has several members, and RFC 8878 several frames; browsers read the first.
        let more = Flaw::More(coding(form));
        check_not_sent("a.css", STYLE, form, &[compress(half), compress(rest)].concat(), Flaw::Differs);
        check_not_sent("a.css", STYLE, form, &[compress(STYLE), compress(b"")].concat(), more);
        check_not_sent("a.css", STYLE, form, &[compress(STYLE), b"more".to_vec()].concat(), more);
        check_not_sent("a.css", STYLE, form, &[compress(STYLE), vec![0]].concat(), more);
    }
}

/// A frame of one block that is not compressed, for which its reader keeps a window of 2 to the power of this.
fn zstd_of_window(contents: &[u8], log: u8) -> Vec<u8> {
    let block = (contents.len() as u32) << 3 | 1;
    [b"\x28\xb5\x2f\xfd\0", &[(log - 10) << 3][..], &block.to_le_bytes()[..3], contents].concat()
}

#[test]
fn a_form_that_takes_more_memory_than_browsers_have_is_not_sent() {
    // RFC 9659: 8 MiB.
    let good = zstd_of_window(b"contents", 23);
    let directory = directory(&[("a", b"contents"), ("a.zst", &good)]);
    assert_eq!(ask(&packed(directory.path()).0, "/a", "zstd;q=1, identity;q=0.5").1, good);
    for log in [24, 27, 31] {
        check_not_sent("a", b"contents", "zst", &zstd_of_window(b"contents", log), Flaw::Window);
    }
    // Brotli's large windows are no content coding at all: the first byte says one of 2^30.
    check_not_sent("a", b"contents", "br", b"\x11\x1e\x0b\x03\x80contents\x03", Flaw::Damaged(Coding::Brotli));
}

fn make_older(path: PathBuf, by: Duration) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[test]
fn a_form_that_is_older_than_its_file_is_not_sent() {
    for (form, token, compress) in FORMS {
        let name = format!("a.css.{form}");
        let directory = directory(&[("a.css", STYLE), (&name, &compress(STYLE))]);
        // Copied together, one of two has to be written first.
        make_older(directory.path().join(&name), Duration::from_secs(50));
        assert_eq!(sent(&packed(directory.path()).0, "/a.css").0, Some(token.to_owned()));
        make_older(directory.path().join(&name), Duration::from_secs(70));
        let (app, packed, notes) = packed(directory.path());
        assert!(sent(&app, "/a.css") == (None, STYLE.to_owned()));
        assert_eq!((packed.variants, notes.unused.len(), notes.unused[0].2), (0, 1, Flaw::Older));
    }
}

#[test]
fn of_several_forms_those_that_are_right_are_sent() {
    let directory = directory(&[("a.css", STYLE), ("a.css.gz", &gzip(STYLE)), ("a.css.br", b""), ("a.css.zst", b"x")]);
    let (app, packed, _) = packed(directory.path());
    let (fields, body) = ask(&app, "/a.css", "gzip, br, zstd");
    assert_eq!(
        (&fields["Content-Encoding"], &fields["Vary"], body),
        (&"gzip".into(), &"Accept-Encoding".into(), gzip(STYLE))
    );
    assert_eq!(packed.variants, 1);
}

#[test]
fn an_svgz_is_an_image_that_is_compressed() {
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    let directory = directory(&[("i.svgz", &gzip(svg)), ("i.svgz.gz", &gzip(&gzip(svg))), ("i.svg", svg)]);
    let (app, ..) = packed(directory.path());
    for accept in ["gzip", "", "br", "gzip;q=0"] {
        let (fields, body) = ask(&app, "/i.svgz", accept);
        assert_eq!(
            (&*fields["Content-Encoding"], &*fields["Content-Type"], body),
            ("gzip", "image/svg+xml", gzip(svg))
        );
        assert_eq!(fields.get("Vary"), None, "it has one form");
    }
    assert_eq!(sent(&app, "/i.svg").0, None, "a file of another name is no form of it");
}

#[test]
fn an_svgz_that_is_not_compressed_does_not_say_that_it_is() {
    let (gzipped, damaged) = (gzip(b"<svg/>"), Flaw::Damaged(Coding::Gzip));
    for (contents, why) in [
        (&b"<svg/>"[..], damaged),
        (b"", Flaw::Empty),
        (&gzipped[..20], damaged),
        (&[&gzipped[..], b"x"].concat(), Flaw::More(Coding::Gzip)),
    ] {
        let directory = directory(&[("i.svgz", contents)]);
        let (app, packed, notes) = packed(directory.path());
        let (fields, body) = ask(&app, "/i.svgz", "gzip");
        assert_eq!((fields.get("Content-Encoding"), &*fields["Content-Type"]), (None, "image/svg+xml"));
        assert_eq!((body, packed.files), (contents.to_owned(), 1));
        let path = directory.path().canonicalize().unwrap().join("i.svgz");
        assert_eq!(notes.unused, [(path, None, why)]);
    }
}

#[test]
fn an_archive_beside_nothing_stays_an_archive() {
    let names = ["a.tgz", "b.tar.gz", "c.gz", "d.br", "e.zst"];
    let archive = gzip(b"archive");
    let directory = directory(&names.map(|name| (name, &archive[..])));
    let (app, packed, _) = packed(directory.path());
    for name in names {
        assert_eq!(sent(&app, &format!("/{name}")), (None, archive.clone()), "{name}");
    }
    assert_eq!((packed.files, packed.variants), (5, 0));
}

#[test]
fn a_directory_with_wrong_forms_of_every_kind_is_served_without_them() {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/site");
    let (app, packed, notes) = packed(&site);
    for name in ["zero.js", "notgz.css", "stale.css"] {
        assert_eq!(sent(&app, &format!("/{name}")), (None, fs::read(site.join(name)).unwrap()), "{name}");
    }
    assert_eq!(sent(&app, "/i.svgz").0, Some("gzip".to_owned()));
    assert_eq!((packed.files, packed.variants), (8, 0));
    let why: Vec<_> = notes.unused.iter().map(|(path, _, why)| (path.file_name().unwrap(), why.to_string())).collect();
    let expected = [
        ("notgz.css.gz", "it does not unpack as gzip"),
        ("stale.css.gz", "it has other contents than the file"),
        ("zero.js.gz", "it is empty"),
    ];
    assert_eq!(why, expected.map(|(name, why)| (name.as_ref(), why.to_owned())));
}

#[test]
fn flipped_bytes_are_never_sent_as_a_form() {
    for (form, _, compress) in FORMS {
        let good = compress(STYLE);
        for at in (0..good.len()).step_by(37) {
            let mut wrong = good.clone();
            wrong[at] ^= 0xff;
            let directory = directory(&[("a.css", STYLE), (&format!("a.css.{form}"), &wrong)]);
            let (app, packed, _) = packed(directory.path());
            // A few bytes are names and times, which do not matter.
            assert!(sent(&app, "/a.css") == (None, STYLE.to_owned()) || form == "gz" && (4..10).contains(&at), "{at}");
            assert!(packed.variants == 0 || form == "gz");
        }
    }
}

#[test]
fn progress_of_comparing_goes_to_the_end() {
    let contents = vec![b'a'; 200_000];
    let files: [(&str, &[u8]); 4] =
        [("a", &contents), ("a.br", &brotli(&contents)), ("a.gz", b"no"), ("i.svgz", &gzip(b"<svg/>"))];
    let directory = directory(&files);
    let (.., notes) = packed(directory.path());
    let total = 2 * 200_000 + files[3].1.len() as u64;
    assert!(notes.compared.is_sorted() && notes.compared.len() > 3);
    assert!(notes.compared.iter().all(|&(done, of)| done <= of && of == total));
    assert!(notes.compared.contains(&(200_000, total)));
    assert!(notes.compared.iter().any(|&(done, _)| 0 < done && done < 200_000));
    assert_eq!(notes.compared.last(), Some(&(total, total)));
}

/// How far it is.
enum Step {
    /// So many bytes were compared, of as many.
    Compared(u64, u64),
    /// All were, and nothing is packed yet.
    AllCompared,
}

/// A observer that writes to a file at some of the steps.
struct Meddler {
    path: PathBuf,
    when: fn(Step) -> bool,
}

impl Meddler {
    fn at(&self, step: Step) {
        if (self.when)(step) {
            let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
            // Another time, each time, and one by which the form is not older.
            let hour = Duration::from_hours(1);
            let now = SystemTime::now();
            file.set_modified(if self.path.ends_with("a") { now - hour } else { now + hour }).unwrap();
        }
    }
}

impl PackObserver for Meddler {
    fn listed(&mut self, _: u64) {}
    fn skipped(&mut self, _: &Path, _: Skipped) {}
    fn unused(&mut self, _: &Path, _: Option<&Path>, _: Flaw) {}
    fn compared(&mut self, done: u64, total: u64) {
        self.at(Step::Compared(done, total));
    }
    fn packed(&mut self, done: u64, _: u64) {
        if done == 0 {
            self.at(Step::AllCompared);
        }
    }
}

#[test]
fn what_is_written_to_between_comparing_and_sending_is_an_error() {
    let contents = vec![b'a'; 200_000];
    let compressed = gzip(&contents);
    let pair: [(&str, &[u8]); 2] = [("a", &contents), ("a.gz", &compressed)];
    let whens: [fn(Step) -> bool; 3] = [
        |step| matches!(step, Step::Compared(done, total) if done < total),
        |step| matches!(step, Step::Compared(done, total) if done == total),
        |step| matches!(step, Step::AllCompared),
    ];
    // An image that is compressed is compared with nothing, in one piece of its own length.
    let cases = [(&pair[..], "a", 0), (&pair, "a.gz", 0), (&[("i.svgz", &compressed)], "i.svgz", 1)];
    for (files, name, from) in cases {
        for &when in &whens[from..] {
            let directory = directory(files);
            let path = directory.path().join(name);
            let mut meddler = Meddler { path: path.clone(), when };
            let result = pack(directory.path(), &Options::default(), Cursor::new(Vec::new()), &mut meddler);
            let expected = path.canonicalize().unwrap();
            let error = result.err().map(|error| error.to_string());
            let expected =
                format!("{} changes while it is read: put files in place by renaming them", expected.display());
            assert_eq!(error, Some(expected));
        }
    }
}

#[test]
fn comparing_stops_when_it_is_told_to() {
    struct Stop(bool);
    impl PackObserver for Stop {
        fn listed(&mut self, _: u64) {}
        fn skipped(&mut self, _: &Path, _: Skipped) {}
        fn unused(&mut self, _: &Path, _: Option<&Path>, _: Flaw) {}
        fn compared(&mut self, _: u64, _: u64) {
            self.0 = true;
        }
        fn packed(&mut self, _: u64, _: u64) {
            panic!("nothing is packed");
        }
        fn stop(&self) -> bool {
            self.0
        }
    }
    let contents = vec![b'a'; 200_000];
    let directory = directory(&[("a", &contents), ("a.gz", &gzip(&contents))]);
    let result = pack(directory.path(), &Options::default(), Cursor::new(Vec::new()), &mut Stop(false));
    assert!(matches!(result, Err(PackError::Stopped)));
}

/// A observer that writes to a file so many times, each time that some of it was read.
struct Writer {
    path: PathBuf,
    times: u64,
    comparing: bool,
}

impl Writer {
    fn write(&mut self) {
        if let Some(left) = self.times.checked_sub(1) {
            self.times = left;
            let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(left)).unwrap();
        }
    }
}

impl PackObserver for Writer {
    fn listed(&mut self, _: u64) {}
    fn skipped(&mut self, _: &Path, _: Skipped) {}
    fn unused(&mut self, _: &Path, _: Option<&Path>, _: Flaw) {}
    fn compared(&mut self, _: u64, _: u64) {
        if self.comparing {
            self.write();
        }
    }
    fn packed(&mut self, done: u64, _: u64) {
        if !self.comparing && done > 0 {
            self.write();
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_three_times() {
    let packed = |files: &[(&str, &[u8])], comparing, times| {
        let directory = directory(files);
        let mut writer = Writer { path: directory.path().join("a"), times, comparing };
        pack(directory.path(), &Options::default(), Cursor::new(Vec::new()), &mut writer).map(|(_, packed)| packed)
    };
    let compared: [(&str, &[u8]); 2] = [("a", b"contents"), ("a.gz", &gzip(b"contents"))];
    for (files, comparing) in [(&compared[..], true), (&[("a", b"contents")], false)] {
        assert_eq!(packed(files, comparing, 2).unwrap().files, files.len());
        let Err(PackError::Changed { path }) = packed(files, comparing, 3) else { panic!("it was written to") };
        assert!(path.ends_with("a"));
    }
}

#[test]
fn each_flaw_and_each_reason_to_skip_a_file_has_its_words() {
    for (flaw, words) in [
        (Flaw::Empty, "it is empty"),
        (Flaw::Damaged(Coding::Zstandard), "it does not unpack as zstd"),
        (Flaw::Damaged(Coding::Gzip), "it does not unpack as gzip"),
        (Flaw::More(Coding::Brotli), "something follows the end of its brotli stream"),
        (Flaw::Window, "it takes more than 8 MiB of memory to unpack (RFC 9659)"),
        (Flaw::Large, "it has more than 1 GiB when it is unpacked"),
        (Flaw::Older, "it is older than the file"),
        (Flaw::Differs, "it has other contents than the file"),
    ] {
        assert_eq!(flaw.to_string(), words);
    }
    let words = [
        "hidden",
        "a link out of the directory",
        "a link to nothing",
        "a link to a directory that it is in",
        "neither file nor directory",
        "a backslash in its name",
        "a path of more than 1024 bytes",
        "more than 1 GiB",
    ];
    assert_eq!(Skipped::ALL.map(|why| why.to_string()), words);
    assert!(Skipped::ALL.into_iter().all(|why| why.is_surprising() == (why != Skipped::Hidden)));
}

#[test]
fn each_reason_to_pack_nothing_has_its_message() {
    let path = || PathBuf::from("/d/a");
    let cause = || std::io::Error::other("x");
    for (error, message) in [
        (PackError::Io { path: path(), cause: cause() }, "cannot read /d/a"),
        (PackError::Changed { path: path() }, "/d/a changes while it is read: put files in place by renaming them"),
        (PackError::TooMany, "more than 1048576 files"),
        (PackError::Write(cause()), "cannot write the image: x"),
        (PackError::Stopped, "stopped"),
    ] {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_form_may_be_a_minute_older_than_its_file() {
    let older = |by| {
        let directory = directory(&[("a", b"contents"), ("a.gz", &gzip(b"contents"))]);
        let time = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        for (name, time) in [("a", time), ("a.gz", time - by)] {
            let file = fs::OpenOptions::new().write(true).open(directory.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        packed(directory.path()).2.unused.iter().map(|&(.., why)| why).collect::<Vec<_>>()
    };
    assert_eq!(older(Duration::from_mins(1)), []);
    assert_eq!(older(Duration::from_mins(1) + Duration::from_nanos(1)), [Flaw::Older]);
}
