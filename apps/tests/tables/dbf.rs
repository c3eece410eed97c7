//! dBASE, `FoxPro`, Clipper and Visual `FoxPro`.

use encoding_rs::GBK;
use lethe_apps::scores::{Format, Options, encoding};

use crate::{Table, error_of, options, read, read_with};

const FORMAT: Format = Format::Dbf;

/// A table in the making, all of whose parts can be other than they should.
#[derive(Clone)]
struct Making {
    version: u8,
    code_page: u8,
    /// Name, type, length, decimals, flags.
    fields: Vec<(Vec<u8>, u8, u8, u8, u8)>,
    /// What stands behind the list of fields.
    end: Vec<u8>,
    /// Each with its deletion mark.
    records: Vec<Vec<u8>>,
    /// What stands behind the records.
    tail: Vec<u8>,
    /// What the header says, where it is not what is there.
    count: Option<u32>,
    record_len: Option<u16>,
}

impl Making {
    /// The two keys, of two bytes each, and these fields.
    fn new(fields: &[(&str, u8, u8, u8)]) -> Self {
        let keys = [("KSH", b'C', 2, 0), ("SFZH", b'C', 2, 0)];
        let fields = keys.iter().chain(fields);
        let of_field = |&(name, kind, len, decimals): &(&str, u8, u8, u8)| (name.into(), kind, len, decimals, 0);
        Self {
            version: 0x03,
            code_page: 0x4d,
            fields: fields.map(of_field).collect(),
            end: vec![0x0d],
            records: Vec::new(),
            tail: vec![0x1a],
            count: None,
            record_len: None,
        }
    }

    /// The next candidate, whose numbers are `01` and `11`, `02` and `12`, and so on.
    fn row(mut self, values: &[&[u8]]) -> Self {
        let number = self.records.len() + 1;
        self.records.push([format!(" {number:02}{:02}", number + 10).as_bytes(), &values.concat()].concat());
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let header_len = (32 + 32 * self.fields.len() + self.end.len()) as u16;
        let record_len = self.record_len.unwrap_or_else(|| self.records[0].len() as u16);
        let mut table = vec![0; 32];
        table[..4].copy_from_slice(&[self.version, 126, 6, 24]);
        table[4..8].copy_from_slice(&self.count.unwrap_or(self.records.len() as u32).to_le_bytes());
        table[8..10].copy_from_slice(&header_len.to_le_bytes());
        table[10..12].copy_from_slice(&record_len.to_le_bytes());
        table[29] = self.code_page;
        for (name, kind, len, decimals, flags) in &self.fields {
            let mut field = [0; 32];
            field[..name.len()].copy_from_slice(name);
            (field[11], field[16], field[17], field[18]) = (*kind, *len, *decimals, *flags);
            table.extend(field);
        }
        table.extend(&self.end);
        table.extend(self.records.concat());
        table.extend(&self.tail);
        table
    }

    fn read(&self) -> Table {
        read(FORMAT, &self.bytes())
    }

    fn error(&self) -> String {
        error_of(FORMAT, &self.bytes())
    }
}

/// What is shown of one value in a field `X` of this type and these decimals.
fn shown(kind: u8, decimals: u8, value: &[u8]) -> String {
    let table = Making::new(&[("X", kind, value.len() as u8, decimals)]).row(&[value]).read();
    table.row("01", "11").strip_prefix(" X=").unwrap().to_owned()
}

fn gbk(text: &str) -> Vec<u8> {
    GBK.encode(text).0.into_owned()
}

#[test]
fn text_ends_at_the_first_nul_and_keys_do_too() {
    let table = read(FORMAT, include_bytes!("../cases/nul-and-leftovers.dbf"));
    for (seat, secret, row) in [
        ("2024000001", "990101199001000001", " XM=张三 ZF=61.5"),
        ("2024000002", "990101199001000002", " XM=李四 ZF=588.00"),
        ("2024000003", "990101199001000003", " XM=王五 ZF=500.00"),
    ] {
        assert_eq!(table.row(seat, secret), row);
    }
    for (kind, value, expect) in [
        (b'C', &b"a b\0 c"[..], "a b"),
        (b'C', b"\0abcde", ""),
        (b'C', b"abc  \0", "abc"),
        (b'C', b"abc\0\xff\xff", "abc"),
        (b'N', b" 61.5\0P", "61.5"),
        (b'N', b"\0\0 61.5", "61.5"),
        (b'N', b"\0\0\0\0", ""),
        (b'F', b"61.5\0\0", "61.5"),
        (b'V', b"abc\0\0\x03", "abc"),
    ] {
        assert_eq!(shown(kind, 0, value), expect, "{}", value.escape_ascii());
    }
}

#[test]
fn fields_of_other_files_are_left_out() {
    let table = read(FORMAT, include_bytes!("../cases/vfp-nullable.dbf"));
    assert_eq!(table.row("2024000001", "990101199001000001"), " XM=张三 ZF=610.50");
    assert_eq!(table.row("2024000002", "990101199001000002"), " XM=李四 ZF=588.00");
    let table = read(FORMAT, include_bytes!("../cases/vfp-photo-general.dbf"));
    assert_eq!(table.row("2024000001", "990101199001000001"), " XM=张三 ZF=610.50");
    assert_eq!(table.row("2024000002", "990101199001000002"), " XM=李四 ZF=588.00");
    let table = read(FORMAT, include_bytes!("../cases/b10-is-a-memo.dbf"));
    assert_eq!(table.row("2024000001", "990101199001000001"), " XM=张三 ZF=610.50");
    assert_eq!(table.row("2024000002", "990101199001000002"), " XM=李四 ZF=588.00");
    for (kind, len) in [(b'M', 10), (b'M', 4), (b'G', 10), (b'P', 4), (b'W', 4), (b'Q', 8), (b'B', 10), (b'0', 1)] {
        let fields = [("A", b'C', 1, 0), ("X", kind, len, 0), ("B", b'C', 1, 0)];
        let table = Making::new(&fields).row(&[b"a", &vec![0xff; len.into()], b"b"]).read();
        assert_eq!(table.row("01", "11"), " A=a B=b", "{}", char::from(kind));
    }
}

#[test]
fn fields_that_are_left_out_are_named() {
    let table = read(FORMAT, include_bytes!("../cases/vfp-nullable.dbf"));
    assert_eq!(table.warnings, ["fields left out: _NullFlags (marks of Visual FoxPro)"]);
    let table = read(FORMAT, include_bytes!("../cases/vfp-photo-general.dbf"));
    assert_eq!(table.warnings, ["fields left out: PHOTO (an OLE object)"]);
    let table = read(FORMAT, include_bytes!("../cases/b10-is-a-memo.dbf"));
    assert_eq!(table.warnings, ["fields left out: BZ (binary data)"]);
    let fields = [("M", b'M', 10, 0), ("P", b'P', 4, 0), ("W", b'W', 4, 0), ("Q", b'Q', 1, 0), ("X", b'C', 1, 0)];
    let table = Making::new(&fields).row(&[&[b'1'; 20]]).read();
    assert_eq!(table.warnings, ["fields left out: M (a memo), P (a picture), W (binary data), Q (binary data)"]);
    assert_eq!(Making::new(&[("X", b'C', 1, 0)]).row(&[b"a"]).read().warnings, [""; 0]);
}

#[test]
fn doubles_have_the_decimals_of_their_field() {
    let table = read(FORMAT, include_bytes!("../cases/double-two-decimals.dbf"));
    assert_eq!(table.row("2024000001", "990101199001000001"), " XM=张三 ZF=610.50 CJ=118.50");
    assert_eq!(table.row("2024000002", "990101199001000002"), " XM=李四 ZF=588.00 CJ=59.90");
    for (value, decimals, expect) in [
        (118.5, 2, "118.50"),
        (118.5, 0, "118.5"),
        (118.0, 0, "118"),
        (118.125, 2, "118.13"),
        (-118.125, 2, "-118.13"),
        (0.1 + 0.2, 1, "0.3"),
        (59.9, 3, "59.900"),
        (-0.0, 2, "0.00"),
        (-0.0, 0, "0"),
        (-0.001, 2, "0.00"),
        (1e300, 1, "1000000000000000"),
    ] {
        for kind in [b'B', b'O'] {
            let shown = shown(kind, decimals, &f64::to_le_bytes(value));
            assert!(shown.starts_with(expect), "{value} with {decimals} decimals: {shown}");
            assert!(shown.len() == expect.len() || value > 1e200, "{value} with {decimals} decimals: {shown}");
        }
    }
    // No more digits than it holds: those behind them would be invented.
    assert_eq!(shown(b'B', 0, &990_101_199_001_000_064_f64.to_le_bytes()), "990101199001000000");
}

#[test]
fn numbers_of_one_to_eight_bytes_are_read_as_their_programs_do() {
    assert_eq!(shown(b'I', 0, &(-42_i32).to_le_bytes()), "-42");
    assert_eq!(shown(b'+', 0, &7_i32.to_le_bytes()), "7");
    assert_eq!(shown(b'Y', 4, &1_185_000_i64.to_le_bytes()), "118.5000");
    assert_eq!(shown(b'Y', 4, &(-5_i64).to_le_bytes()), "-0.0005");
    assert_eq!(shown(b'Y', 4, &[0; 8]), "0.0000");
    for kind in [b'T', b'@'] {
        let value = |day: u32, milliseconds: u32| [day.to_le_bytes(), milliseconds.to_le_bytes()].concat();
        assert_eq!(shown(kind, 0, &value(2_454_497, 30_600_000)), "2008-01-31 08:30");
        assert_eq!(shown(kind, 0, &value(2_454_497, 30_615_000)), "2008-01-31 08:30:15");
        // FoxPro counts a second as 999 milliseconds at times.
        assert_eq!(shown(kind, 0, &value(2_454_497, 30_599_999)), "2008-01-31 08:30");
        assert_eq!(shown(kind, 0, &value(2_454_497, 86_399_999)), "2008-02-01 00:00");
        assert_eq!(shown(kind, 0, &value(0, 2)), "");
    }
}

#[test]
fn numbers_with_an_exponent_are_written_out_where_all_their_digits_are_there() {
    for (decimals, value, expect) in [
        (2, &b"1.185E+02"[..], "118.50"),
        (1, b" 1.18500000000000e+002", "118.5"),
        (0, b"6.1E+01", "61"),
        (2, b"5.0E-01", "0.50"),
        (2, b"-1.185E+02", "-118.50"),
        (2, b"1.0E+002", "100.00"),
        (0, b"1.0E+002", "100"),
        (0, b"5.00E+003", "5000"),
        (0, b"9.90101E+17", "9.90101E+17"),
        (0, b"9.90E+17", "9.90E+17"),
        (2, b"1.1E+002", "1.1E+002"),
        (0, b"1.10E+005", "110000"),
        (0, b"1.10E+006", "1.10E+006"),
        (2, b"12E", "12E"),
        (2, b"E+02", "E+02"),
        (2, b".50E+00", ".50E+00"),
        (2, b"x.50E+00", "x.50E+00"),
    ] {
        for kind in [b'N', b'F'] {
            assert_eq!(shown(kind, decimals, value), expect, "{}", value.escape_ascii());
        }
    }
    // In text it is no number.
    assert_eq!(shown(b'C', 0, b"1.185E+02"), "1.185E+02");
}

#[test]
fn what_is_blank_is_empty() {
    for (kind, value) in [
        (b'D', &b"        "[..]),
        (b'D', b"00000000"),
        (b'D', b"\0\0\0\0\0\0\0\0"),
        (b'D', b"0000  00"),
        (b'D', b"  /  /  "),
        (b'D', b"  -  -  "),
        (b'D', b"  .  .  "),
        (b'D', b"    -  -"),
        (b'N', b"     "),
        (b'N', b"*****"),
        (b'N', b"  ***"),
        (b'F', b"     "),
        (b'I', b"    "),
        (b'+', b"    "),
        (b'B', b"        "),
        (b'O', b"        "),
        (b'Y', b"        "),
        (b'T', b"        "),
        (b'T', b"\0\0\0\0\0\0\0\0"),
        (b'@', b"        "),
        (b'L', b"?"),
        (b'L', b" "),
        (b'L', b"\0"),
        (b'C', b"    "),
        (b'C', b""),
        (b'N', b""),
        (b'F', b""),
    ] {
        assert_eq!(shown(kind, 0, value), "", "{} {}", char::from(kind), value.escape_ascii());
    }
    assert_eq!([shown(b'D', 0, b"20080131"), shown(b'I', 0, &[0; 4])], ["2008-01-31", "0"]);
    // What is no date is shown as it stands.
    assert_eq!(
        [&b"2008-1-1"[..], b"200801  ", b"2008/1/1"].map(|value| shown(b'D', 0, value)),
        ["2008-1-1", "200801", "2008/1/1"]
    );
    assert_eq!([&b"T"[..], b"y", b"F", b"n"].map(|value| shown(b'L', 0, value)), ["T", "T", "F", "F"]);
}

#[test]
fn what_is_no_value_of_its_type_leaves_the_row_out() {
    let long = |day: u32, milliseconds: u32| [day.to_le_bytes(), milliseconds.to_le_bytes()].concat();
    for (kind, value, why) in [(b'T', long(9, 0), "X is no date"), (b'T', long(2_454_497, 90_000_000), "X is no date")]
    {
        let making = Making::new(&[("X", kind, 8, 0)]).row(&[&value]).row(&[&[0; 8]]);
        let table = read_with(FORMAT, &making.bytes(), &options()).unwrap();
        assert_eq!(table.rejects, [format!("row 1: {why}")]);
    }
}

#[test]
fn doubles_that_are_no_number_are_empty_and_counted() {
    let values = [f64::NAN, 1.5, f64::INFINITY, f64::NEG_INFINITY];
    for kind in [b'B', b'O'] {
        let fields = [("X", kind, 8, 1), ("Y", kind, 8, 0), ("Z", b'C', 1, 0)];
        let row = |making: Making, value: f64| making.row(&[&value.to_le_bytes(), &[0; 8], b"z"]);
        let making = values.into_iter().fold(Making::new(&fields), row);
        let table = making.read();
        assert_eq!(
            ["01", "02", "03", "04"].map(|seat| table.row(seat, &format!("1{}", &seat[1..]))),
            [" X= Y=0 Z=z", " X=1.5 Y=0 Z=z", " X= Y=0 Z=z", " X= Y=0 Z=z"]
        );
        let expect = "X: 3 values are each no number (NaN or an infinity), the first in row 1: they are left empty; \
        where there should be a number, mend it in the table";
        assert_eq!(table.warnings, [expect]);
        let strict = Options { strict: true, ..options() };
        assert_eq!(read_with(FORMAT, &making.bytes(), &strict).map(drop).unwrap_err(), expect);
        let making = row(Making::new(&fields), f64::NAN);
        assert!(
            making.read().warnings[0].starts_with("X: 1 value is no number (NaN or an infinity), the first in row 1: ")
        );
    }
    // A key that is none is missing.
    let fields = [("X", b'C', 1, 0)];
    let mut making = Making::new(&fields).row(&[b"a"]).row(&[b"b"]);
    (making.fields[1].1, making.fields[1].2) = (b'B', 8);
    for (record, value) in making.records.iter_mut().zip([f64::NAN, 12.0]) {
        record.splice(3..5, value.to_le_bytes());
    }
    let table = read_with(FORMAT, &making.bytes(), &options()).unwrap();
    assert_eq!((table.rejects, table.candidates), (vec!["row 1, seat 01: no SFZH".to_owned()], 1));
}

#[test]
fn values_that_are_null_are_empty_and_varchars_have_their_own_length() {
    let mut making = Making::new(&[
        ("XM", b'V', 6, 0),
        ("A", b'C', 2, 0),
        ("ZF", b'N', 3, 0),
        ("Q", b'Q', 3, 0),
        ("_NullFlags", b'0', 1, 0),
    ]);
    making.version = 0x32;
    making.code_page = 0xf0;
    // XM, ZF and Q may be null. The bits of a varchar: that it is shorter than its field, and that it is null.
    // A may have any bytes, which takes no bit.
    making.fields[3].4 = 4;
    (making.fields[2].4, making.fields[4].4, making.fields[5].4, making.fields[6].4) = (2, 2, 6, 5);
    let making = making
        .row(&[b"abXYZ\x02", b"cd", b"600", b"\0\0\0", &[0b00001]])
        .row(&[b"abcdef", b"cd", b"600", b"\0\0\0", &[0b00000]])
        .row(&[b"abcdef", b"cd", b"600", b"\0\0\0", &[0b10110]])
        .row(&[b"ab\0\0\0\x09", b"cd", b"600", b"\0\0\0", &[0b00001]]);
    let table = making.read();
    assert_eq!(table.row("01", "11"), " XM=ab A=cd ZF=600");
    assert_eq!(table.row("02", "12"), " XM=abcdef A=cd ZF=600");
    assert_eq!(table.row("03", "13"), " XM= A=cd ZF=");
    assert_eq!(table.row("04", "14"), " XM=ab A=cd ZF=600");
}

#[test]
fn headers_end_as_their_programs_write_them() {
    for case in [&include_bytes!("../cases/no-0d.dbf")[..], include_bytes!("../cases/padded-header.dbf")] {
        let table = read(FORMAT, case);
        assert_eq!(table.row("2024000001", "990101199001000001"), " XM=张三 ZF=610.50");
        assert_eq!(table.row("2024000002", "990101199001000002"), " XM=李四 ZF=588.00");
    }
    let padded = [&b"\r"[..], &[0; 263]].concat();
    let blank = [&b"\r"[..], &[b' '; 95]].concat();
    let fields = [&b"\r"[..], b"OLD\0\0\0\0\0\0\0\0C\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"].concat();
    let blanks = [b' '; 96];
    for end in [
        &b""[..],
        b" ",
        &blanks[..31],
        &blanks[..32],
        &blanks,
        b"\r",
        b"\r\0",
        b"\0",
        b"\n",
        &padded,
        &blank,
        &fields,
        &[0; 64],
    ] {
        let mut making = Making::new(&[("X", b'C', 1, 0)]).row(&[b"a"]).row(&[b"b"]);
        making.end = end.to_vec();
        let table = making.read();
        assert_eq!([table.row("01", "11"), table.row("02", "12")], [" X=a", " X=b"], "{}", end.escape_ascii());
    }
}

#[test]
fn character_fields_may_be_longer_than_255_bytes() {
    let text = "x".repeat(300);
    // 300 is 44 and 256.
    let making = Making::new(&[("X", b'C', 44, 1), ("Y", b'C', 1, 0)]).row(&[text.as_bytes(), b"y"]);
    assert_eq!(making.read().row("01", "11"), format!(" X={text} Y=y"));
    // 300 bytes, and decimals that mean nothing beside it.
    let fields = [("A", b'C', 44, 1), ("B", b'C', 5, 2), ("C", b'C', 4, 3), ("ZF", b'N', 6, 2)];
    let mixed = Making::new(&fields).row(&[text.as_bytes(), b"bbbbb", b"cccc", b"501.50"]);
    assert_eq!(mixed.read().row("01", "11"), format!(" A={text} B=bbbbb C=cccc ZF=501.50"));
    // A field of 256 bytes says 0 and 1.
    let longer = "y".repeat(256);
    let making = Making::new(&[("X", b'C', 0, 1), ("Y", b'C', 1, 0)]).row(&[longer.as_bytes(), b"y"]);
    assert_eq!(making.read().row("01", "11"), format!(" X={longer} Y=y"));
    // Decimals that mean nothing: the record says so.
    let making = Making::new(&[("X", b'C', 4, 1), ("Y", b'C', 1, 0)]).row(&[b"abcd", b"y"]);
    assert_eq!(making.read().row("01", "11"), " X=abcd Y=y");
}

#[test]
fn columns_that_can_be_told_in_two_ways_are_an_error() {
    let text = "x".repeat(300);
    let fields = [("A", b'C', 44, 1), ("B", b'C', 44, 1), ("ZF", b'N', 6, 2)];
    let either = [
        &Making::new(&fields).row(&[text.as_bytes(), &[b'b'; 44], b"501.50"]),
        &Making::new(&fields).row(&[&[b'a'; 44], text.as_bytes(), b"501.50"]),
    ];
    for making in either {
        assert_eq!(
            making.error(),
            "its columns cannot be told: a record is 355 bytes by the header, and there is more than one way to share \
            them among the fields; the decimals of each of these text fields may mean that it is longer than 255 bytes \
            (Clipper), or nothing: A, B; save the table as CSV, or without decimals in them"
        );
    }
    // Where the list says where each field begins, there is one way.
    for (making, starts, row) in [
        (either[0], [1, 3, 5, 305, 349], format!(" A={text} B={} ZF=501.50", "b".repeat(44))),
        (either[1], [1, 3, 5, 49, 349], format!(" A={} B={text} ZF=501.50", "a".repeat(44))),
    ] {
        let placed = |starts: [u32; 5]| {
            let mut table = making.bytes();
            for (at, start) in starts.into_iter().enumerate() {
                table[32 + 32 * at + 12..][..4].copy_from_slice(&start.to_le_bytes());
            }
            table
        };
        assert_eq!(read(FORMAT, &placed(starts)).row("01", "11"), row);
        // Addresses in memory, as dBASE III leaves them, or what fits no field.
        for wrong in [[0x8000_0001; 5], [1, 3, 5, 49, 93], [1, 3, 5, 60, 104], [0; 5], [2, 4, 6, 306, 350]] {
            assert!(error_of(FORMAT, &placed(wrong)).contains("more than one way"));
        }
    }
    // Programs that do not know of longer fields count the others as if there were none.
    let fields = [("A", b'C', 44, 1), ("B", b'C', 5, 1)];
    let mut table = Making::new(&fields).row(&[text.as_bytes(), b"bbbbb"]).bytes();
    for (at, start) in [1, 3, 5, 49].into_iter().enumerate() {
        table[32 + 32 * at + 12] = start;
    }
    assert!(error_of(FORMAT, &table).contains("more than one way"));
    // No way fits, and columns are never shifted.
    let making = Making::new(&[("A", b'C', 4, 1), ("B", b'C', 5, 0)]).row(&[b"aaaabbbbb", &[b' '; 300]]);
    assert_eq!(
        making.error(),
        "its columns cannot be told: a record is 314 bytes by the header, and there is no way to share them among the \
        fields; the decimals of each of these text fields may mean that it is longer than 255 bytes (Clipper), or \
        nothing: A; save the table as CSV, or without decimals in them"
    );
    // Nor twice the decimals of one field.
    let making = Making::new(&[("A", b'C', 4, 1), ("B", b'C', 5, 0)]).row(&[b"aaaabbbbb", &[b' '; 512]]);
    assert!(making.error().contains("and there is no way to share them"), "{}", making.error());
}

#[test]
fn records_may_be_longer_than_their_fields_and_not_shorter() {
    let making = Making::new(&[("X", b'C', 1, 0)]).row(&[b"a", b"1234567"]).row(&[b"b", b"\0\0\0\0\0\0\0"]);
    let table = making.read();
    assert_eq!([table.row("01", "11"), table.row("02", "12")], [" X=a", " X=b"]);
    let making = Making::new(&[("X", b'C', 2, 0)]).row(&[b"a"]);
    assert_eq!(making.error(), "damaged: a record is 6 bytes by the header, and its fields are 7: get the table again");
}

#[test]
fn records_that_the_header_counts_wrong_are_as_long_as_the_file_says() {
    for record_len in [5, 7] {
        let making = Making { record_len: Some(record_len), ..Making::new(&[("X", b'C', 1, 0)]) };
        let making = making.row(&[b"a"]).row(&[b"b"]).row(&[b"c"]);
        for tail in [&b""[..], b"\x1a"] {
            let table = Making { tail: tail.to_vec(), ..making.clone() }.read();
            assert_eq!([table.row("01", "11"), table.row("03", "13")], [" X=a", " X=c"]);
        }
    }
    // With something behind the mark of the end, that mark says it.
    let making = Making { record_len: Some(5), ..Making::new(&[("X", b'C', 1, 0)]) };
    let making = making.row(&[b"a"]).row(&[b"b"]).row(&[b"c"]);
    for behind in [&[0; 50][..], &[b' '; 7], b"\x1a", b" 0414d"] {
        let table = Making { tail: [b"\x1a", behind].concat(), ..making.clone() }.read();
        assert_eq!([table.row("01", "11"), table.row("03", "13")], [" X=a", " X=c"], "{}", behind.escape_ascii());
    }
    for tail in [&[0; 50][..], b" 0414d 0515e"] {
        let error = Making { tail: tail.to_vec(), ..making.clone() }.error();
        assert_eq!(error, "damaged: a record is 5 bytes by the header, and its fields are 6: get the table again");
    }
    // Two bytes behind records of five, and one less than records of six.
    let table = making.bytes();
    let error = error_of(FORMAT, &table[..table.len() - 2]);
    assert_eq!(error, "damaged: a record is 5 bytes by the header, and its fields are 6: get the table again");
}

#[test]
fn what_stands_behind_the_end_is_no_record() {
    let making = Making::new(&[("X", b'C', 1, 0)]).row(&[b"a"]).row(&[b"b"]);
    let zeros = [&b"\x1a"[..], &[0; 500]].concat();
    let leftovers = [&b"\x1a"[..], b" 03130000000"].concat();
    for tail in
        [&b""[..], b"\x1a", b"\x1a\x1a", b"\0", b"abc", &[0; 500], &[b' '; 500], &[0x1a; 126], &zeros, &leftovers]
    {
        let making = Making { tail: tail.to_vec(), ..making.clone() };
        let table = making.read();
        assert_eq!(table.candidates, 2, "{}", tail.escape_ascii());
        assert_eq!([table.row("01", "11"), table.row("02", "12")], [" X=a", " X=b"]);
    }
    let making = Making { tail: b" 0313c\x1a".to_vec(), ..making };
    assert!(making.error().starts_with("the header says 2 records, and there are the bytes of 3: "));
}

#[test]
fn an_end_among_the_records_is_an_error() {
    let making = Making::new(&[("X", b'C', 1, 0)]).row(&[b"a"]).row(&[b"b"]).row(&[b"c"]);
    let mut table = making.clone();
    table.records[2][0] = 0x1a;
    assert_eq!(
        table.error(),
        "the header says 3 records, and the mark of the end stands behind 2: open the table with the program that \
        wrote it, which mends the count"
    );
    // In a value it is text.
    let mut table = making;
    table.records[2][5] = 0x1a;
    assert_eq!(table.read().candidates, 3);
}

#[test]
fn records_are_where_the_header_says_or_the_table_is_refused() {
    let making = Making::new(&[("X", b'C', 1, 0)]).row(&[b"a"]).row(&[b"b"]).row(&[b"c"]).row(&[b"d"]);
    let mut table = making.clone();
    (table.records[0][0], table.records[1][0]) = (b'*', 0);
    let table = table.read();
    assert_eq!((table.candidates, table.deleted), (3, 1));
    assert_eq!([table.row("01", "11"), table.row("02", "12")], ["", " X=b"]);
    // Header or records are one byte longer than the header says: values of other candidates would be on a page.
    let expect = "damaged: record 2 begins with the byte 0x30, where there should be a blank, or * if it was deleted: \
    header and records do not fit together; get the table again";
    let longer = Making { record_len: Some(7), count: Some(3), ..making.clone() };
    assert_eq!(longer.error(), expect);
    let mut shifted = making.bytes();
    shifted[8] += 1;
    shifted.push(0x1a);
    let error = error_of(FORMAT, &shifted);
    assert!(error.starts_with("damaged: record 1 begins with the byte 0x30"), "{error}");
}

#[test]
fn names_may_be_of_any_text_and_come_twice() {
    let mut making = Making::new(&[("X", b'C', 1, 0), ("X", b'C', 1, 0)]).row(&[b"a", b"b"]);
    assert_eq!(making.read().row("01", "11"), " X=a X=b");
    making.fields[2].0 = gbk("语文成绩分");
    making.fields[3].0 = gbk("姓名\0垃圾");
    assert_eq!(making.read().row("01", "11"), " 语文成绩分=a 姓名=b");
    making.fields[3].0 = b"KSH".to_vec();
    assert_eq!(making.error(), "the table has more than one field KSH: give each a name of its own");
    making.fields[3].0 = gbk("姓名");
    making.code_page = 0;
    let error = making.error();
    assert!(error.starts_with("the table does not say how its text is encoded: add --encoding"), "{error}");
}

#[test]
fn a_character_that_the_end_of_its_field_cuts_is_left_away() {
    for (code_page, whole) in [(0x4d, gbk("虚构县第十中学")), (0xf0, "虚构县第十中学".into())] {
        let character = if code_page == 0x4d { 2 } else { 3 };
        for len in 2 * character..=3 * character {
            let mut making = Making::new(&[("X", b'C', len as u8, 0), ("Y", b'C', 1, 0)]).row(&[&whole[..len], b"y"]);
            making.code_page = code_page;
            let expect = if len == 3 * character { "虚构县" } else { "虚构" };
            assert_eq!(making.read().row("01", "11"), format!(" X={expect} Y=y"), "{code_page:#x}: {len} bytes");
        }
    }
    let mut making = Making::new(&[("X", b'C', 1, 0)]).row(&[b"a"]);
    making.fields[2].0 = gbk("语文成绩分数")[..11].to_vec();
    assert_eq!(making.read().row("01", "11"), " 语文成绩分=a");
    making.fields[2].0 = gbk("A语文成绩分")[..10].to_vec();
    assert_eq!(making.read().row("01", "11"), " A语文成绩=a");
    making.fields[2].0 = gbk("语文成绩分")[..9].to_vec();
    assert!(making.error().starts_with("the names of the fields are not GBK text: "), "{}", making.error());
    making.fields[2].0 = gbk("语文")[..3].to_vec();
    assert!(making.error().starts_with("the names of the fields are not GBK text: "), "{}", making.error());
    // Within the field it is no text.
    for value in [&b"\xd0\xe9\xb9  "[..], b"\xd0\xe9\xff\xff\xb9", b"\xd0\xe9\xb9\0\0"] {
        let table =
            read_with(FORMAT, &Making::new(&[("X", b'C', 5, 0)]).row(&[value]).row(&[b"abcde"]).bytes(), &options());
        assert_eq!(table.unwrap().rejects, ["row 1: X is not GBK text"], "{}", value.escape_ascii());
    }
}

#[test]
fn types_that_are_unknown_or_of_a_wrong_length_are_named() {
    let error = |kind, len: u8| Making::new(&[("X", kind, len, 0)]).row(&[&vec![b' '; len.into()]]).error();
    assert_eq!(error(b'?', 3), "not a dBASE table: its field X is of a type that there is not, '?'");
    assert_eq!(error(0xff, 3), "not a dBASE table: its field X is of a type that there is not, 0xff");
    let mut making = Making::new(&[("X", 0, 1, 0)]).row(&[b" "]);
    making.fields[2].0 = gbk("语文");
    assert_eq!(making.error(), "not a dBASE table: its field 3 is of a type that there is not, 0x00");
    assert_eq!(error(b'I', 5), "not a dBASE table: its field X, of type 'I', has 5 bytes and not 4");
    for kind in *b"YT@O" {
        let error = error(kind, 4);
        assert!(error.ends_with(" has 4 bytes and not 8"), "{error}");
    }
}

#[test]
fn code_pages_are_read_or_named() {
    for (code_page, bytes, text) in [
        (0x03, &b"Jos\xe9"[..], "José"),
        (0x59, b"Jos\xe9", "José"),
        (0x26, b"\x8d\xa0", "На"),
        (0x65, b"\x8d\xa0", "На"),
        (0xc9, b"\xcd\xe0", "На"),
        (0xc8, b"\xb3", "ł"),
        (0x13, b"\x93\x8c", "東"),
        (0x7b, b"\x93\x8c", "東"),
        (0x4e, b"\xb0\xa1", "가"),
        (0x4f, b"\xa4\xa4", "中"),
        (0x78, b"\xa4\xa4", "中"),
        (0x7a, b"\xd6\xd0", "中"),
        (0x7c, b"\xa1", "ก"),
        (0xca, b"\xfd", "ı"),
        (0xcb, b"\xc1", "Α"),
        (0xcc, b"\xe0", "ą"),
        (0x7d, b"\xe0", "א"),
        (0x7e, b"\xc7", "ا"),
        (0x04, b"\x8e", "é"),
        (0x96, b"\x80", "А"),
        (0xf0, "中".as_bytes(), "中"),
    ] {
        let mut making = Making::new(&[("X", b'C', bytes.len() as u8, 0)]).row(&[bytes]);
        making.code_page = code_page;
        assert_eq!(making.read().row("01", "11"), format!(" X={text}"), "{code_page:#04x}");
    }
    let of_dos: [(&[u8], &str); 9] = [
        (&[0x01, 0x09, 0x0b, 0x0d, 0x0f, 0x11, 0x15, 0x18, 0x19, 0x1b], "437"),
        (&[0x02, 0x0a, 0x0e, 0x10, 0x12, 0x14, 0x16, 0x1a, 0x1d, 0x25, 0x37], "850"),
        (&[0x1f, 0x22, 0x23, 0x40, 0x64, 0x87], "852"),
        (&[0x08, 0x17, 0x66], "865"),
        (&[0x1c, 0x6c], "863"),
        (&[0x24], "860"),
        (&[0x67], "861"),
        (&[0x6a, 0x86], "737"),
        (&[0x6b, 0x88], "857"),
    ];
    for (code_page, name) in of_dos.iter().flat_map(|&(codes, name)| codes.iter().map(move |&code| (code, name))) {
        let mut making = Making::new(&[("X", b'C', 2, 0)]).row(&[b"\xd6\xd0"]);
        making.code_page = code_page;
        assert_eq!(
            making.error(),
            format!(
                "the table says that its text is in code page {name}, which is not read; many tables say so and are \
                 in another: add --encoding gbk (or utf-8, latin1), or if it is right save the table as CSV in UTF-8"
            )
        );
        let gbk = Options { encoding: encoding("gbk"), ..options() };
        assert_eq!(read_with(FORMAT, &making.bytes(), &gbk).unwrap().row("01", "11"), " X=中");
    }
}

#[test]
fn files_that_are_no_dbase_tables_are_not_said_to_be_damaged() {
    let text = "KSH,SFZH,XM\n".repeat(3000);
    for (file, expect) in [
        (&b""[..], "not a dBASE table: it is shorter than a header"),
        (b"KSH,SFZH,XM\n1,2,3\n", "not a dBASE table: it is shorter than a header"),
        (text.as_bytes(), "not a dBASE table: it begins with text: add --format csv, if that is what it is"),
        (&[0; 5000], "not a dBASE table: its header is of 0 bytes"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0", "not a dBASE table: "),
        (&[b' '; 9000], "not a dBASE table: it begins with text: "),
    ] {
        let error = error_of(FORMAT, file);
        assert!(error.starts_with(expect) && !error.contains("Error"), "{error}");
    }
    let making = Making::new(&[]).row(&[]);
    assert!(
        Making { record_len: Some(0), ..making }.error().starts_with("not a dBASE table: its records are of 0 bytes")
    );
    // The smallest table that there can be: one field of one byte, and no mark of the end of the list.
    let mut making = Making::new(&[]).row(&[]);
    making.fields = vec![(b"KSH".to_vec(), b'C', 1, 0, 0)];
    (making.end, making.records) = (Vec::new(), vec![b" 1".to_vec()]);
    assert_eq!(making.error(), "the table has no field SFZH; it has KSH");
    making.records = vec![b" ".to_vec()];
    assert_eq!(making.error(), "not a dBASE table: its records are of 1 bytes");
    let mut table = making.bytes();
    table[8] = 63;
    assert_eq!(error_of(FORMAT, &table), "not a dBASE table: its header is of 63 bytes, and one with a field has 65");
}

#[test]
fn a_table_of_dbase_7_is_refused_by_its_name() {
    let mut table = vec![0; 68];
    table[..4].copy_from_slice(&[0x04, 126, 6, 24]);
    table[4] = 1;
    table[8..12].copy_from_slice(&[68 + 48 * 2 + 1, 0, 5, 0]);
    for name in ["KSH", "SFZH"] {
        let mut field = [0; 48];
        field[..name.len()].copy_from_slice(name.as_bytes());
        (field[32], field[33]) = (b'C', 2);
        table.extend(field);
    }
    table.extend(b"\r 0111\x1a");
    assert_eq!(
        error_of(FORMAT, &table),
        "a table of dBASE 7, whose list of fields is another: save it as dBASE IV or as CSV"
    );
}

#[test]
fn encodings_whose_commas_are_no_commas_are_refused() {
    let making = Making::new(&[("X", b'C', 1, 0)]).row(&[b"a"]);
    let options = Options { encoding: encoding("utf-16le"), ..options() };
    let error = read_with(FORMAT, &making.bytes(), &options).map(drop).unwrap_err();
    assert_eq!(error, "text in UTF-16LE is not read: convert the table to UTF-8, or give it without --encoding");
}
