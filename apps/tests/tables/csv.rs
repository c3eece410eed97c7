//! Values with separators between them.

use encoding_rs::GBK;
use lethe_apps::scores::{Format, Options, encoding};
use proptest::prelude::*;

use crate::{Table, error_of, options, read, read_with};

const FORMAT: Format = Format::Csv;

/// The error of a table of two candidates, in which the first one's name is this cell.
fn error_of_cell(cell: &str) -> String {
    error_of(FORMAT, format!("KSH,SFZH,XM,ZF\n1,11,{cell},501\n2,12,丙,502\n").as_bytes())
}

fn read_cell(cell: &str) -> Table {
    read(FORMAT, format!("KSH,SFZH,XM,ZF\n1,11,{cell},501\n2,12,丙,502\n").as_bytes())
}

#[test]
fn stray_quotes_never_put_a_row_into_another() {
    assert_eq!(
        error_of(FORMAT, include_bytes!("../cases/two-stray-quotes.csv")),
        "line 3: a quote opens a cell and the line ends inside it: close the quote, or remove it (a cell can be of \
        several lines only where no further line has a digit or one of the separators , ; tab |)"
    );
    // A quote on one line and one on another that would fit together.
    for table in [
        "KSH,SFZH,XM,ZF\n1,11,\"甲,501\n2,12,乙,502\n3,13,丙\",503\n",
        "KSH,SFZH,XM,ZF\n1,11,甲,\"501\n2,12,乙,502\n3,13,丙,503\"\n",
        "KSH,SFZH,XM,ZF\n1,11,甲,\"501\n2,12,乙,502\"\n",
        "KSH,SFZH,XM,ZF\n1,11,\"甲\n2,12\",乙,502\n",
        "KSH,SFZH,XM,ZF\r1,11,\"甲,501\r2,12,乙,502\r3,13,丙\",503\r",
    ] {
        let error = error_of(FORMAT, table.as_bytes());
        assert!(error.starts_with("line 2: a quote opens a cell and the line ends"), "{table:?}: {error}");
    }
}

#[test]
fn a_row_that_begins_in_a_cell_of_another_is_in_no_page() {
    // Two complete rows with a quote over the end of the line: seven cells.
    let spans = "line 2: a quote opens a cell and the line ends inside it: ";
    for table in [
        "KSH,SFZH,XM,ZF\n1,11,甲,\"501\n2\",12,乙,502\n3,13,丙,503\n",
        // The quote closes ahead of all that could tell.
        "KSH,SFZH,XM,ZF\n1,11,甲,\"501\n\",12,乙,502\n3,13,丙,503\n",
        "KSH,SFZH,XM,ZF,,,,\n1,11,甲,\"501\n\",12,乙,502,\n",
        "KSH,SFZH,XM,ZF\n1,\"11\n12\",甲,501\n",
    ] {
        let error = error_of(FORMAT, table.as_bytes());
        assert!(error.starts_with(spans), "{table:?}: {error}");
    }
    // No seat number and no identity number goes over several lines.
    let table = "KSH,SFZH,XM,ZF\n1,\"11\nX\",甲,501\n\"2\nX\",12,乙,502\n4,14,丁,504";
    let table = read_with(FORMAT, table.as_bytes(), &options()).unwrap();
    let rejects = ["row 2, seat 1: a line break in SFZH", "row 4: a line break in KSH"];
    assert_eq!(table.rejects, rejects);
}

#[test]
fn a_further_line_of_a_cell_has_no_digit_and_no_separator() {
    let cells =
        ["甲\n2;12;乙\n3;13;丙", "甲\n2 12 乙", "甲\n乙 ２", "甲\n\n乙|丙", "甲\r\n乙;丙", "甲\r乙\t丙", "甲\n乙,丙"];
    for separator in [",", ";", "\t", "|", "^"] {
        for cell in cells {
            let line = ["1", "11", &format!("\"{cell}\""), "501"].join(separator);
            let names = ["KSH", "SFZH", "XM", "ZF"].join(separator);
            let table = format!("sep={separator}\n{names}\n{line}\n");
            assert_eq!(
                error_of(FORMAT, table.as_bytes()),
                "line 3: a quote opens a cell and the line ends inside it: close the quote, or remove it (a cell can \
                be of several lines only where no further line has a digit or one of the separators , ; tab |)",
                "{table:?}"
            );
        }
    }
    // A character of four bytes has those of digits in it.
    let (text, ..) = encoding_rs::GB18030.encode("KSH,SFZH,XM,ZF\n1,11,\"甲\n㐀乙\",501\n");
    let options = Options { encoding: Some(encoding_rs::GB18030), ..options() };
    assert_eq!(read_with(FORMAT, &text, &options).unwrap().row("1", "11"), " XM=甲\n㐀乙 ZF=501");
}

#[test]
fn what_other_programs_take_for_the_end_of_a_line_hides_no_row() {
    for (end, name) in [
        ('\u{2028}', "U+2028"),
        ('\u{2029}', "U+2029"),
        ('\u{85}', "U+0085"),
        ('\u{b}', "U+000B"),
        ('\u{c}', "U+000C"),
        ('\u{1e}', "U+001E"),
    ] {
        let expect = |line| {
            format!(
                "line {line}: behind the {name} inside a cell, which many programs take for the end of a line, there \
                may be another row: end each row with LF or CR LF, and put a blank in place of the {name} elsewhere"
            )
        };
        for cell in ["甲E2 12 乙", "\"甲E2;12;乙\"", "甲E2", "甲E乙,2", "甲E乙\t丙", "甲E２"] {
            assert_eq!(error_of_cell(&cell.replace('E', &end.to_string())), expect(2), "{cell}");
        }
        let table = "KSH,SFZH,XM,ZFE1,11,甲,501E2,12,乙,502E".replace('E', &end.to_string());
        assert_eq!(error_of(FORMAT, table.as_bytes()), expect(1));
        assert_eq!(read_cell(&format!("甲{end}乙")).row("1", "11"), format!(" XM=甲{end}乙 ZF=501"));
        let options = Options { template: None, ..options() };
        let table = format!("1_11_<p>a{end}2_12_<p>b\n3_13_<p>c\n");
        let table = read_with(Format::Lines, table.as_bytes(), &options).unwrap();
        let reject = format!("row 1: a {name} inside the line, which many programs take for its end");
        assert_eq!((table.rejects, table.candidates), (vec![reject], 1));
    }
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_in_the_last_row_too() {
    for last in ["2,12,丙,\"502\n", "2,12,丙,\"502", "2,12,丙,\"", "2,12,丙,\"\"\"", "2,12,丙,\"502\n\n\n"] {
        let error = error_of(FORMAT, format!("KSH,SFZH,XM,ZF\n1,11,甲,501\n{last}").as_bytes());
        assert!(error.starts_with("line 3: a quote opens a cell and is never closed: "), "{last:?}: {error}");
    }
}

#[test]
fn text_behind_a_closing_quote_is_an_error() {
    for cell in ["\"甲\"乙", "\"甲\" 乙", "\"甲\\\"乙\"", "\"\"甲\"\""] {
        let error = error_of_cell(cell);
        let expect =
            "line 2: text behind the quote that closes a cell: a quote inside a cell in quotes is written twice";
        assert_eq!(error, expect, "{cell:?}");
    }
    // The line is that of the text, and not that of the row.
    let error = error_of_cell("\"甲\n\n乙\"丙");
    assert!(error.starts_with("line 4: text behind the quote"), "{error}");
    assert!(error_of(FORMAT, b"KSH,\"SFZH\"X\n1,2\n").starts_with("line 1: text behind"));
}

#[test]
fn quotes_that_are_right_are_read() {
    for (cell, value) in [
        ("\"甲\"", "甲"),
        ("\"甲, 乙\"", "甲, 乙"),
        ("\"甲\"\"乙\"\"\"", "甲&quot;乙&quot;"),
        ("\"\"\"\"", "&quot;"),
        ("\"\"", ""),
        (" \"甲, 乙\"\t", "甲, 乙"),
        // Inside a cell without quotes they mean nothing.
        ("甲\"乙", "甲&quot;乙"),
        ("6\"", "6&quot;"),
        ("=\"甲\"", "=&quot;甲&quot;"),
        // What stands on several lines, as Excel writes it.
        ("\"甲\n乙\"", "甲\n乙"),
        ("\"甲\r\n\"\"乙\"\"\r\n丙\"", "甲\r\n&quot;乙&quot;\r\n丙"),
    ] {
        let table = read_cell(cell);
        assert_eq!(table.row("1", "11"), format!(" XM={value} ZF=501"), "{cell:?}");
        assert_eq!(table.row("2", "12"), " XM=丙 ZF=502", "{cell:?}");
    }
}

#[test]
fn separators_are_told_by_the_names_of_the_keys() {
    let table = read(FORMAT, include_bytes!("../cases/semicolons.csv"));
    assert_eq!(table.row("2024000001", "990101199001000001"), " XM=张三 ZF=610,50");
    for separator in [",", ";", "\t", "|"] {
        for line in ["KSH,SFZH,XM,ZF\n1,11,甲,501\n", "ZF,\"XM\",\"SFZH\",KSH\r\n501,甲,11,1\r\n"] {
            let table = read(FORMAT, line.replace(',', separator).as_bytes());
            let row = table.row("1", "11");
            assert!(row == " XM=甲 ZF=501" || row == " ZF=501 XM=甲", "{line:?}: {row}");
        }
    }
    // A separator of another kind within a name or a value is text.
    let table = read(FORMAT, "KSH,SFZH,总分|折算;X\n1,11,甲|乙;丙\n".as_bytes());
    assert_eq!(table.row("1", "11"), " 总分|折算;X=甲|乙;丙");
    let table = read(FORMAT, "KSH;SFZH;语文, 卷面\n1;11;118,5\n".as_bytes());
    assert_eq!(table.row("1", "11"), " 语文, 卷面=118,5");
}

#[test]
fn separators_that_can_be_told_in_two_ways_are_an_error() {
    assert_eq!(
        error_of(FORMAT, b"KSH;SFZH;a,KSH,SFZH\n1;2;3,4,5\n"),
        "the names in the first line may be separated by a comma or by a semicolon: put a line that says which ahead \
        of it, sep=, or sep=;"
    );
    // Names that are nowhere: those of the separator that makes most of them are listed.
    assert_eq!(error_of(FORMAT, b"A;B;C,D\n1;2;3,4\n"), "the table has no field KSH; it has A, B, C,D");
}

#[test]
fn a_first_line_of_one_column_is_an_error_of_separators() {
    let table = "KSH,SFZH,XM\n1,11,甲\n";
    for sign in [":", "^", "~", "#", "/", "!"] {
        assert_eq!(
            error_of(FORMAT, table.replace(',', sign).as_bytes()),
            format!(
                "the first line has one column only, \"KSH{sign}SFZH{sign}XM\": where columns are not separated by a \
                comma, a semicolon, a tab or a bar, put a line that says by what ahead of it: sep={sign}"
            )
        );
        assert_eq!(
            read(FORMAT, format!("sep={sign}\n{}", table.replace(',', sign)).as_bytes()).row("1", "11"),
            " XM=甲"
        );
    }
    for (sign, name) in [("，", "，"), ("、", "、"), ("；", "；"), ("｜", "｜"), (" ", "a blank"), ("  ", "a blank")]
    {
        assert_eq!(
            error_of(FORMAT, table.replace(',', sign).as_bytes()),
            format!(
                "the first line has one column only, \"KSH{sign}SFZH{sign}XM\": {name} is no separator; put a comma, a \
                semicolon, a tab or a bar between the columns, or another sign of ASCII that a line ahead of it says, \
                such as sep=^"
            )
        );
    }
    for separator in [",", ";", "\t", "|"] {
        let quoted = "\"KSH,SFZH,XM\"\n\"1,11,甲\"\n".replace(',', separator);
        let name = "KSH,SFZH,XM".replace(',', separator);
        assert_eq!(
            error_of(FORMAT, quoted.as_bytes()),
            format!(
                "the first line has one column only, \"{name}\": the line is in quotes as a whole; remove those around \
                each line, or export the table again"
            )
        );
    }
    assert_eq!(
        error_of(FORMAT, format!("sep=;\n{table}").as_bytes()),
        "the first line has one column only, \"KSH,SFZH,XM\": the line ahead of it says sep=;, and what separates the \
        columns seems to be a comma: put sep=, there, or leave the line out"
    );
    assert_eq!(
        error_of(FORMAT, format!("sep=,\n{}", table.replace(',', ":")).as_bytes()),
        "the first line has one column only, \"KSH:SFZH:XM\": where columns are not separated by a comma, put a line \
        that says by what ahead of it: sep=:"
    );
    assert_eq!(
        error_of(FORMAT, b"sep=^\n\"KSH^SFZH^XM\"\n"),
        "the first line has one column only, \"KSH^SFZH^XM\": the line is in quotes as a whole; remove those around \
        each line, or export the table again"
    );
    assert!(error_of(FORMAT, b"KSH\x01SFZH\x01XM\n").contains(": U+0001 is no separator; put a comma, "));
    for name in ["KSH", "准考证号", "KSH_2024"] {
        assert_eq!(
            error_of(FORMAT, format!("{name}\n1\n").as_bytes()),
            format!(
                "the first line has one column only, \"{name}\": where columns are not separated by a comma, a \
                semicolon, a tab or a bar, put a line that says by what ahead of it, such as sep=^"
            )
        );
    }
    // With more columns it is the name that is wrong.
    assert_eq!(error_of(FORMAT, b"A:B,C\n1,2\n"), "the table has no field KSH; it has A:B, C");
}

#[test]
fn a_line_that_says_the_separator_is_followed() {
    for (head, separator) in [
        ("sep=;", ";"),
        ("SEP=|", "|"),
        ("\"sep=;\"", ";"),
        ("sep=\t", "\t"),
        ("sep=,", ","),
        ("sep=^", "^"),
        ("sep=;;;", ";"),
    ] {
        let rows = "KSH,SFZH,XM\n1,11,甲\n,12,乙\n".replace(',', separator);
        for mark in ["", "\u{feff}"] {
            let table = format!("{mark}{head}\r\n{rows}");
            let table = read_with(FORMAT, table.as_bytes(), &options()).unwrap();
            assert_eq!(table.row("1", "11"), " XM=甲", "{head:?}");
            assert_eq!(table.rejects, ["row 4: no KSH"], "{head:?}");
        }
    }
    for head in ["sep=", "sep=\"", "sep=x", "sep=；", "sep=ab"] {
        let error = error_of(FORMAT, format!("{head}\nKSH,SFZH\n1,2\n").as_bytes());
        assert!(error.starts_with("line 1: sep= is to be followed by one separator"), "{head:?}: {error}");
    }
    assert_eq!(error_of(FORMAT, b"sep=;\n"), "it is empty");
}

#[test]
fn a_separator_within_a_character_is_none() {
    // In GBK the second byte of 總 is that of |.
    let (text, ..) = GBK.encode("KSH|SFZH|XM\n1|11|倈總|\n");
    assert!(text.windows(2).any(|two| two[0] > 0x80 && two[1] == b'|'));
    let text = [&text[..text.len() - 2], b"\n"].concat();
    let options = Options { encoding: Some(GBK), ..options() };
    assert_eq!(read_with(FORMAT, &text, &options).unwrap().row("1", "11"), " XM=倈總");
    // The byte 0x80 is a character of its own.
    let table = read_with(FORMAT, b"KSH|SFZH|XM|ZF\n1|11|a\x80|501\n", &options).unwrap();
    assert_eq!(table.row("1", "11"), " XM=a€ ZF=501");
}

#[test]
fn utf_16_is_an_error_that_says_so() {
    let text = "KSH,SFZH,XM\r\n1,11,张三\r\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for format in [Format::Csv, Format::Lines] {
        for table in
            [[b"\xff\xfe", &little[..]].concat(), [b"\xfe\xff", &big[..]].concat(), little.clone(), big.clone()]
        {
            assert_eq!(
                error_of(format, &table),
                "its text is UTF-16, as \"Unicode text\" of Excel is: save it as \"CSV UTF-8\", or convert it with \
                 iconv -f UTF-16 -t UTF-8"
            );
        }
    }
    for other in [&b"\xff\xfe\0\0K\0\0\0"[..], b"\0\0\xfe\xff\0\0\0K"] {
        assert!(error_of(FORMAT, other).starts_with("its text is UTF-32"));
    }
    assert!(
        error_of(FORMAT, b"PK\x03\x04\x14\0\x06\0").starts_with("it is no text: there is a byte 0 in its first line")
    );
    assert!(error_of(FORMAT, b"a\0\0b\0\0\n").starts_with("it is no text"));
    for name in ["utf-16", "utf-16le", "utf-16be", "iso-2022-jp"] {
        let encoding = encoding(name);
        let error = read_with(FORMAT, text.as_bytes(), &Options { encoding, ..options() }).map(drop).unwrap_err();
        assert!(error.contains(" is not read: convert the table to UTF-8"), "{name}: {error}");
    }
}

#[test]
fn the_byte_0x85_of_latin_1_hides_no_row() {
    let latin = Options { encoding: encoding("latin1"), ..options() };
    for cell in [&b"a\x852 12 b"[..], b"\"a\x852;12;b\"", b"a\x852,12"] {
        let table = [b"KSH,SFZH,XM\n1,11,", cell, b"\n"].concat();
        let error = read_with(FORMAT, &table, &latin).map(drop).unwrap_err();
        assert!(error.starts_with("line 2: behind the U+0085 inside a cell"), "{error}");
    }
    // In Windows it is an ellipsis, and in text of more bytes a character that is one means nothing else.
    let table = read_with(FORMAT, b"KSH,SFZH,XM\n1,11,a\x85b\n", &latin).unwrap();
    assert_eq!(table.row("1", "11"), " XM=a…b");
    assert_eq!(read_cell("甲…2").row("1", "11"), " XM=甲…2 ZF=501");
}

#[test]
fn a_byte_0_in_a_row_leaves_it_out() {
    let table = read_with(FORMAT, b"KSH,SFZH,XM\n1,11,a\0b\n2,12,c\n", &options()).unwrap();
    assert_eq!(table.rejects, ["row 2: a byte 0 in XM"]);
}

#[test]
fn lines_end_in_each_way_and_are_counted() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["KSH,SFZH,XM", "1,11,甲", "", "  ", ",,", ",12,乙", "2,13,丙", ""].join(end);
        for mark in ["", "\u{feff}"] {
            let table = read_with(FORMAT, format!("{mark}{text}").as_bytes(), &options()).unwrap();
            assert_eq!([table.row("1", "11"), table.row("2", "13")], [" XM=甲", " XM=丙"]);
            assert_eq!(table.rejects, ["row 6: no KSH"], "{end:?}");
        }
    }
    // Empty lines ahead of the names.
    assert_eq!(read(FORMAT, "\n\r\nKSH,SFZH,XM\n1,11,甲".as_bytes()).row("1", "11"), " XM=甲");
}

#[test]
fn lines_of_finished_pages_never_hold_those_of_others() {
    let options = Options { template: None, ..options() };
    let table = read_with(Format::Lines, b"1_11_<p>a\r2_12_<p>b\r\n3_13_<p>c\r\n", &options).unwrap();
    assert_eq!(table.rejects, ["row 1: a CR inside the line, which is to end in LF or CR LF"]);
    assert_eq!([table.row("1", "11"), table.row("3", "13")], ["", "<p>c"]);
}

#[test]
fn text_in_another_encoding_is_read_as_it_or_refused() {
    let text = "KSH,SFZH,姓名\n1,11,张三\n";
    let (gbk, ..) = GBK.encode(text);
    assert!(error_of(FORMAT, &gbk).starts_with("the names of the fields are not UTF-8 text: add another --encoding"));
    let options = Options { encoding: Some(GBK), ..options() };
    assert_eq!(read_with(FORMAT, &gbk, &options).unwrap().row("1", "11"), " 姓名=张三");
    let latin = Options { encoding: encoding("latin1"), ..crate::options() };
    let table = read_with(FORMAT, b"KSH;SFZH;NOM\n1;11;Jos\xe9|\xa6\n", &latin).unwrap();
    assert_eq!(table.row("1", "11"), " NOM=José|¦");
}

#[test]
fn rows_of_another_length_are_left_out_and_named() {
    let table = "KSH,SFZH,XM\n1,11,甲,乙\n2,12\n3,13,丙,\n4\n5,15,\"丁,戊\"\n";
    let table = read_with(FORMAT, table.as_bytes(), &options()).unwrap();
    assert_eq!(
        table.rejects,
        [(2, "4 values"), (3, "2 values"), (4, "4 values"), (5, "1 value")]
            .map(|(row, found)| format!("row {row}: {found}, where the first line has 3 names"))
    );
    assert_eq!(table.row("5", "15"), " XM=丁,戊");
}

#[test]
fn columns_without_a_name_are_not_shown() {
    // As many programs end each line with a separator; and the row numbers of pandas.
    let table = read(FORMAT, ",KSH,SFZH,XM,\n0,1,11,甲,\n1,2,12,乙,\n".as_bytes());
    assert_eq!([table.row("1", "11"), table.row("2", "12")], [" XM=甲", " XM=乙"]);
    assert_eq!(table.warnings, ["fields left out: 1 (a column without a name)"]);
    let table = read(FORMAT, "KSH,,SFZH,XM\n1,?,11,甲\n".as_bytes());
    assert_eq!(table.row("1", "11"), " XM=甲");
    assert_eq!(table.warnings, ["fields left out: 2 (a column without a name)"]);
    // A value behind the last name is one that was cut in two.
    let table = read_with(FORMAT, "KSH,SFZH,XM,ZF,,\n1,11,甲,乙,501,\n2,12,丙,502,,\n".as_bytes(), &options()).unwrap();
    assert_eq!(table.rejects, ["row 2: a value behind that of ZF, the last name in the first line"]);
}

#[test]
fn a_name_that_stands_for_two_columns_cannot_be_asked_for() {
    assert_eq!(
        error_of(FORMAT, b"KSH,ksh,SFZH\n1,2,3\n"),
        "the table has more than one field KSH: give each a name of its own"
    );
    let template = Some("a\n{{zf}}".to_owned());
    let twice = "KSH,SFZH,ZF,ZF\n1,11,501,502\n".as_bytes();
    let error = read_with(FORMAT, twice, &Options { template, ..options() }).map(drop).unwrap_err();
    assert_eq!(error, "the template, line 2: the table has more than one field zf: give each a name of its own");
    assert_eq!(read(FORMAT, twice).row("1", "11"), " ZF=501 ZF=502");
}

#[test]
fn a_row_without_an_end_is_not_read_into_memory() {
    let table = format!("KSH,SFZH,XM\n1,11,{}\n", "x".repeat(2 << 20));
    let expect = "line 2: a row of more than 1048576 bytes: this is not a table";
    assert_eq!(error_of(FORMAT, format!("KSH,SFZH,XM\n1,11,\"{}", "x\n".repeat(1 << 20)).as_bytes()), expect);
    assert_eq!(error_of(FORMAT, table.as_bytes()), expect);
    // A row of as many bytes is read, and has no page. With its end it is one line, or the values of several.
    let line = |len: usize| format!("KSH,SFZH,XM\n1,11,{}\n2,12,乙\n", "x".repeat(len - 6));
    let lines = |len: usize| {
        let further = len / 1024 - 1;
        let first = len - 3 - 1024 * further - 1;
        let further = format!("{}\n", "x".repeat(1023)).repeat(further);
        format!("KSH,SFZH,XM\n1,11,\"{}\n{further}\"\n2,12,乙\n", "x".repeat(first))
    };
    for make in [&line as &dyn Fn(usize) -> String, &lines] {
        let table = read_with(FORMAT, make(1 << 20).as_bytes(), &options()).unwrap();
        assert!(table.rejects.len() == 1 && table.rejects[0].contains("a page of "), "{:?}", table.rejects);
        assert_eq!(error_of(FORMAT, make((1 << 20) + 1).as_bytes()), expect);
    }
}

/// Any text, in the characters that mean something here.
fn cell() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "甲", "\"", ",", ";", "\n", "\r\n", " ", "0"]), 0..6)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The crate `csv` writes what this one reads, wherever a cell can be told from rows.
    #[test]
    fn what_another_program_writes_is_read(cells in prop::collection::vec([cell(), cell()], 1..6)) {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["KSH", "SFZH", "A", "B"]).unwrap();
        for ([a, b], seat) in cells.iter().zip(1..) {
            writer.write_record([&seat.to_string(), "1", a, b]).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let is_told = |cell: &String| {
            let (first, further) = cell.split_once('\n').unwrap_or((cell, ""));
            (!cell.contains('\n') || !first.contains(',')) && !further.contains([',', ';', '0'])
        };
        let table = read_with(FORMAT, &text, &options());
        prop_assert_eq!(table.is_ok(), cells.iter().flatten().all(is_told));
        for ([a, b], seat) in cells.iter().zip(1..) {
            let Ok(table) = &table else { break };
            let text = |cell: &String| cell.trim().replace('"', "&quot;");
            prop_assert_eq!(table.row(&seat.to_string(), "1"), format!(" A={} B={}", text(a), text(b)));
        }
    }

    /// Quotes anywhere in right rows: no page has what belongs to another candidate.
    #[test]
    fn quotes_anywhere_never_show_another_candidate(
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let mut text = "KSH,SFZH,XM,ZF\n101,9001,A1,1\n102,9002,A2,2\n103,9003,A3,3\n104,9004,A4,4\n".to_owned();
        let start = 15;
        for place in places {
            text.insert(start + place.index(text.len() - start), '"');
        }
        let Ok(table) = read_with(FORMAT, text.as_bytes(), &options()) else { return Ok(()) };
        for one in 1..=4 {
            let row = table.row(&format!("10{one}"), &format!("900{one}"));
            for other in (1..=4).filter(|&other| other != one) {
                let is_there = ["10", "900", "A"].map(|start| row.contains(&format!("{start}{other}")));
                prop_assert_eq!(is_there, [false; 3], "{}: {}", text, row);
            }
        }
    }
}

#[test]
fn the_line_that_says_the_separator_ends_in_each_way() {
    for end in ["\n", "\r\n", "\r"] {
        let table = ["sep=^", "KSH^SFZH^XM", "1^11^甲", ""].join(end);
        assert_eq!(read(FORMAT, table.as_bytes()).row("1", "11"), " XM=甲", "{end:?}");
    }
}

#[test]
fn where_the_keys_are_not_there_the_names_are_listed_by_the_first_separator_that_makes_most() {
    for (line, names) in [("A,B;C", "A, B;C"), ("A;B\tC;D", "A, B\tC, D"), ("A|B;C", "A|B, C")] {
        let error = error_of(FORMAT, format!("{line}\n").as_bytes());
        assert_eq!(error, format!("the table has no field KSH; it has {names}"));
    }
}

#[test]
fn utf_16_is_known_by_its_mark_where_no_character_is_ascii() {
    let error = |bytes: fn(u16) -> [u8; 2]| {
        let table: Vec<u8> = "\u{feff}准考证号，身份证号，姓名".encode_utf16().flat_map(bytes).collect();
        error_of(FORMAT, &table)
    };
    for error in [error(u16::to_le_bytes), error(u16::to_be_bytes)] {
        assert!(error.starts_with("its text is UTF-16, "), "{error}");
    }
}
