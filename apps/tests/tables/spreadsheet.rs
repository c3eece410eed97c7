//! Numbers that a spreadsheet has damaged, and secrets that several candidates have.

use lethe_apps::scores::{Format, Options};

use crate::{Table, options, read, read_with};

/// The rows of candidates, under a first line with their names.
fn table(rows: &str) -> String {
    format!("KSH,SFZH,XM,ZF\n{rows}")
}

fn read_rows(rows: &str) -> Table {
    read(Format::Csv, table(rows).as_bytes())
}

fn strict_error(rows: &str) -> String {
    let options = Options { strict: true, ..options() };
    read_with(Format::Csv, table(rows).as_bytes(), &options).map(|table| table.warnings).unwrap_err()
}

#[test]
fn numbers_with_an_exponent_are_counted_and_an_error_when_strict() {
    let case = include_bytes!("../cases/scientific.csv");
    let table = read(Format::Csv, case);
    assert_eq!(
        table.warnings,
        [
            "SFZH: 2 values are each a number with an exponent, such as 9.9E+17, in which digits are lost, the first \
            in row 2: make the column text where its numbers are still whole, and export it again",
            "SFZH: 2 of 2 candidates have one that another has too; 2 have that of row 2, which opens the pages of \
            them all",
        ]
    );
    let error = read_with(Format::Csv, case, &Options { strict: true, ..options() }).map(drop).unwrap_err();
    assert_eq!(
        error,
        "row 2: SFZH is a number with an exponent, such as 9.9E+17, in which digits are lost: make the column text \
        where its numbers are still whole, and export it again"
    );
}

#[test]
fn each_damage_is_counted_for_its_column() {
    for (rows, warning) in [
        ("1,=\"11\",甲,5\n2,12,乙,6\n", "SFZH: 1 value is a formula, such as =\"0123\", the first in row 2: "),
        ("1,\"=\"\"11\"\"\",甲,5\n", "SFZH: 1 value is a formula, "),
        ("1,11,甲,5\n2,12,乙,=\"6\"\n", "ZF: 1 value is a formula, such as =\"0123\", the first in row 3: "),
        ("1,'11,甲,5\n2,'12,乙,6\n", "SFZH: 2 values are each a number behind an apostrophe, "),
        ("'1,11,甲,5\n", "KSH: 1 value is a number behind an apostrophe, "),
        (
            "1,11,甲,5\n2,12,乙,#N/A\n",
            "ZF: 1 value is an error of a spreadsheet, such as #N/A or ####, the first in row 3: ",
        ),
        ("1,11,甲,########\n", "ZF: 1 value is an error of a spreadsheet, "),
        ("1.0,11,甲,5.0\n", "KSH: 1 value is a number with decimals, such as 123.0, "),
        ("\"2,024,001\",11,甲,5\n", "KSH: 1 value is a number with commas or dots, "),
        ("2.02E+09,11,甲,5\n", "KSH: 1 value is a number with an exponent, "),
        ("1,11,甲,6.1E+02\n", "ZF: 1 value is a number with an exponent, "),
        ("1,9.90101E 17,甲,5\n", "SFZH: 1 value is a number with an exponent, "),
        ("1,11,甲,.9E+18\n", "ZF: 1 value is a number with an exponent, "),
        ("2.024.000.001,11,甲,5\n", "KSH: 1 value is a number with commas or dots, "),
        ("\"2024000001,0\",11,甲,5\n", "KSH: 1 value is a number with decimals, "),
        ("1,’11,甲,5\n", "SFZH: 1 value is a number behind an apostrophe, "),
        (
            "1,11,甲,5\n2,12,乙,#WERT!\n",
            "ZF: 1 value is an error of a spreadsheet, such as #N/A or ####, the first in row 3: ",
        ),
        ("1,11,甲,Err:502\n", "ZF: 1 value is an error of a spreadsheet, "),
    ] {
        let table = read_rows(rows);
        assert!(table.warnings.len() == 1 && table.warnings[0].starts_with(warning), "{rows}: {:?}", table.warnings);
        // The error is of the first row, and has no number of a candidate in it.
        let (error, row) = (strict_error(rows), if warning.contains("row 3") { 3 } else { 2 });
        assert!(error.starts_with(&format!("row {row}: {} is a", &warning[..warning.find(':').unwrap()])), "{error}");
    }
    // What is damaged is shown as it stands.
    assert_eq!(read_rows("1,11,甲,=\"06\"\n").row("1", "11"), " XM=甲 ZF==&quot;06&quot;");
}

#[test]
fn long_numbers_that_end_in_zeros_are_damaged_where_most_do() {
    let rows = "1,990101199001000000,甲,5\n2,990101199002000000,乙,6\n3,99010119900300001X,丙,7\n";
    let expect = "SFZH: 2 values are each a number of which a spreadsheet kept 15 digits, with zeros behind them, the \
    first in row 2: make the column text where its numbers are still whole, and export it again";
    assert_eq!(read_rows(rows).warnings, [expect]);
    assert_eq!(strict_error(rows), expect);
    // Of numbers of 16 digits one in ten ends so.
    for rows in [
        "1,9901011990010000,甲,5\n2,9901011990010001,乙,6\n3,9901011990010002,丙,7\n",
        "1,9901011990010000,甲,5\n2,9901011990020000,乙,6\n3,9901011990010002,丙,7\n4,9901011990010004,丁,8\n",
        "1,990101199001000000,甲,5\n",
        "1,11,甲,1000000000000000000\n2,12,乙,1000000000000000000\n",
    ] {
        assert_eq!(read_rows(rows).warnings, [""; 0], "{rows}");
    }
}

#[test]
fn right_tables_say_nothing() {
    let rows = "12E3,99010119900100001X,甲,118.0\n12E4,990101199001000020,'t Hooft,\"1,185\"\n";
    assert_eq!(read_rows(rows).warnings, [""; 0]);
    let options = Options { strict: true, ..options() };
    assert!(read_with(Format::Csv, table(rows).as_bytes(), &options).is_ok());
}

#[test]
fn secrets_of_several_candidates_are_told() {
    let table = read_rows("1,11,甲,5\n2,12,乙,6\n3, 12 ,丙,7\n4,13,丁,8\n5,14,戊,9\n6,14,己,1\n7,１４,庚,2\n");
    assert_eq!(
        table.warnings,
        ["SFZH: 5 of 7 candidates have one that another has too; 3 have that of row 6, which opens the pages of \
            them all"]
    );
    // Of two that as many have, the one that comes first is told.
    let table = read_rows("1,11,甲,5\n2,12,乙,6\n3,12,丙,7\n4,11,丁,8\n");
    assert!(table.warnings[0].contains(": 4 of 4 candidates ") && table.warnings[0].contains(" of row 2, "));
    // Few pairs of many candidates are people who took two exams.
    let row = |seat: u32, shared| format!("{seat},9{},甲,5\n", seat.max(shared));
    let rows = |shared| (1..=600).map(|seat| row(seat, shared)).collect::<Vec<_>>().concat();
    assert_eq!([1, 2, 3].map(|shared| read_rows(&rows(shared)).warnings.len()), [0, 0, 1]);
    // A row that is left out is no candidate.
    let table = read_with(Format::Csv, self::table("1,11,甲,5\n1,11,甲,5\n").as_bytes(), &options()).unwrap();
    assert_eq!((table.rejects.len(), table.warnings.len()), (1, 0));
}

#[test]
fn tables_of_each_form_are_examined_and_pages_are_not() {
    let options = Options { template: None, ..options() };
    let table = read_with(Format::Lines, b"1_9.9E+17_<p>#N/A\n2_12_=1\n3.0_13_'0123\n", &options).unwrap();
    let starts = ["seat: 1 value is a number with decimals", "id: 1 value is a number with an exponent"];
    assert_eq!(table.warnings.len(), 2);
    for (warning, start) in table.warnings.iter().zip(starts) {
        assert!(warning.starts_with(start), "{warning}");
    }
}

#[test]
fn only_numbers_of_more_than_15_digits_are_counted_beside_those_that_end_in_zeros() {
    let warnings = |secrets: &[&str]| {
        let row = |(seat, secret): (usize, &&str)| format!("{seat},{secret},甲,1234567890123456789\n");
        let rows: String = secrets.iter().enumerate().map(row).collect();
        read_rows(&rows).warnings.len()
    };
    let (damaged, right) = (["990101199001000000", "990101199002000000", "990101199003000000"], "99010119900300001");
    // Numbers of 15 digits, and what is no number, were never in danger.
    let others = ["990101199003001", "990101199003002", "990101199003003", "99010119900300001X", "A", "12", "13"];
    assert_eq!(warnings(&[&damaged[..2], &others].concat()), 1);
    let longer = |count: usize| (0..count).map(|at| format!("{right}{}", at + 1)).collect::<Vec<_>>();
    for (count, told) in [(2, 1), (3, 0)] {
        let longer = longer(count);
        let secrets: Vec<_> = damaged.into_iter().chain(longer.iter().map(String::as_str)).collect();
        assert_eq!(warnings(&secrets), told, "{count}");
    }
}

#[test]
fn a_pair_of_candidates_with_one_secret_is_told_of_among_at_most_200() {
    let warnings = |candidates: u32| {
        let rows = (0..candidates).map(|seat| format!("{seat},9{},甲,5\n", seat.max(1))).collect::<Vec<_>>();
        read_rows(&rows.concat()).warnings.len()
    };
    assert_eq!([200, 201].map(warnings), [1, 0]);
}
