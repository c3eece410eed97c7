//! A table of fictitious candidates, as large as a real one and reproducible.
//!
//! The table is dBASE III in GBK with Chinese field names, as boards have them. Identity numbers are 18 digits with a
//! birthday and a valid check digit (GB 11643), of the region 99, which does not exist, so that no person has one.
//! Names are drawn from a list of surnames and one of syllables.

use std::io::{self, BufWriter, Write};

use encoding_rs::GBK;
use thiserror::Error;

/// The most candidates of a sample: as many as seat numbers tell apart.
const SAMPLE_MAX: u32 = 10_000_000;

/// Name, type, bytes and decimals of each field.
const FIELDS: [(&str, u8, u8, u8); 17] = [
    (SEAT_FIELD, b'C', 13, 0),
    (SECRET_FIELD, b'C', 18, 0),
    ("姓名", b'C', 8, 0),
    ("性别", b'C', 2, 0),
    ("毕业中学", b'C', 30, 0),
    ("科类", b'C', 6, 0),
    ("选考科目", b'C', 10, 0),
    ("语文", b'N', 5, 1),
    ("数学", b'N', 5, 1),
    ("外语", b'N', 5, 1),
    ("首选科目", b'N', 5, 1),
    ("再选科目1", b'N', 5, 1),
    ("再选科目2", b'N', 5, 1),
    ("总分", b'N', 5, 1),
    ("全省位次", b'N', 7, 0),
    ("达线情况", b'C', 40, 0),
    ("备注", b'C', 220, 0),
];

/// The names of the fields with the seat number and the identity number.
const SEAT_FIELD: &str = "准考证号";
const SECRET_FIELD: &str = "身份证号";

const SURNAMES: &str = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜";
const SYLLABLES: &str = "子涵雨晨梓轩欣怡浩然思远嘉宁文博佳琪俊杰诗语明哲若兮天佑一诺书瑶";
const ORDINALS: &str = "一二三四五六七八九十";
const ELECTIVES: [&str; 6] = ["化学生物", "化学地理", "政治地理", "生物地理", "化学政治", "政治生物"];
const NOTE: &str = "成绩如有疑问，请于公布之日起三日内持准考证和身份证到报名所在地招生办公室申请复核。复核仅限于核对各题得分之和\
    是否有误，不重新评阅答卷。本页为演示数据，与任何真实的人无关。";

/// The points, in tenths, that admit to a university.
const LINE: u32 = 4500;

/// Writes a table of so many candidates. The same number and seed make the same bytes. `progress` is called with the
/// bytes written, and those of the table.
///
/// # Errors
///
/// [`SampleError::Count`], or the error of the destination.
pub fn write_sample(
    candidates: u32,
    seed: u64,
    out: impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), SampleError> {
    if !(1..=SAMPLE_MAX).contains(&candidates) {
        return Err(SampleError::Count);
    }
    let (header, record_len) = header(candidates);
    let bytes = |records: u32| (header.len() + records as usize * record_len) as u64;
    let ranks = Ranks::of((0..candidates).map(|number| Candidate::draw(seed, number).total()));
    let mut out = BufWriter::with_capacity(1 << 20, out);
    out.write_all(&header)?;
    let mut record = Vec::new();
    for number in 0..candidates {
        if number.is_multiple_of(4096) {
            progress(bytes(number), bytes(candidates));
        }
        record.clear();
        record.push(b' ');
        let values = Candidate::draw(seed, number).values(&ranks);
        for ((_, kind, len, _), value) in FIELDS.iter().zip(&values) {
            let (bytes, len) = (GBK.encode(value).0, usize::from(*len));
            let padding = len.saturating_sub(bytes.len());
            // Numbers are right-aligned, text is left-aligned.
            let (before, behind) = if *kind == b'N' { (padding, 0) } else { (0, padding) };
            record.extend(std::iter::repeat_n(b' ', before));
            record.extend(bytes.iter().take(len));
            record.extend(std::iter::repeat_n(b' ', behind));
        }
        out.write_all(&record)?;
    }
    // The end-of-file mark.
    out.write_all(&[0x1a])?;
    out.flush()?;
    progress(bytes(candidates), bytes(candidates));
    Ok(())
}

/// The header of dBASE III: version, date, records, lengths, code page, and the list of fields.
///
/// Returns the header, and the length of a record.
fn header(records: u32) -> (Vec<u8>, usize) {
    let len = 32 + 32 * FIELDS.len() + 1;
    let record = 1 + FIELDS.iter().map(|field| usize::from(field.2)).sum::<usize>();
    let mut header = vec![0; 32];
    header[..4].copy_from_slice(&[0x03, 126, 6, 24]);
    header[4..8].copy_from_slice(&records.to_le_bytes());
    header[8..10].copy_from_slice(&(len as u16).to_le_bytes());
    header[10..12].copy_from_slice(&(record as u16).to_le_bytes());
    // GBK.
    header[29] = 0x4d;
    for (name, kind, len, decimals) in FIELDS {
        let mut field = [0; 32];
        let name = GBK.encode(name).0;
        field[..name.len()].copy_from_slice(&name);
        field[11] = kind;
        field[16..18].copy_from_slice(&[len, decimals]);
        header.extend(field);
    }
    header.push(0x0d);
    (header, record)
}

/// For each number of points, how many candidates have more.
struct Ranks(Vec<u32>);

impl Ranks {
    fn of(totals: impl Iterator<Item = u32>) -> Self {
        let mut above = vec![0; 7502];
        for total in totals {
            above[total as usize] += 1;
        }
        // Turns counts of each number of points into sums of those above it.
        let mut sum = 0;
        for count in above.iter_mut().rev() {
            (*count, sum) = (sum, sum + *count);
        }
        Self(above)
    }

    fn rank(&self, total: u32) -> u32 {
        self.0[total as usize] + 1
    }
}

/// One candidate. Points are counted in tenths.
struct Candidate {
    number: u32,
    identity: String,
    name: String,
    woman: bool,
    school: String,
    science: bool,
    electives: &'static str,
    points: [u32; 6],
}

impl Candidate {
    fn draw(seed: u64, number: u32) -> Self {
        let mut random = Random(seed ^ u64::from(number).wrapping_mul(0xd6e8_feb8_6659_fd93));
        let woman = random.below(2) == 1;
        let (surname, syllables) = (random.of(SURNAMES), 1 + random.below(2));
        let name = (0..syllables).fold(surname.to_string(), |name, _| format!("{name}{}", random.of(SYLLABLES)));
        let (region, order) = (random.below(100), random.below(500) * 2 + u32::from(!woman));
        let birthday = (2007 + random.below(2)) * 10_000 + (1 + random.below(12)) * 100 + 1 + random.below(28);
        let digits = format!("99{region:02}{:02}{birthday}{order:03}", random.below(100));
        // A candidate's skill shows in every subject.
        let skill = random.below(400).midpoint(random.below(400));
        let points = [1500, 1500, 1500, 1000, 1000, 1000].map(|most| {
            let share = 250 + skill + random.below(350);
            (most * share / 1000).min(most) / 5 * 5
        });
        Self {
            number,
            identity: format!("{digits}{}", check_digit(&digits)),
            name,
            woman,
            school: format!("虚构县第{}中学", random.of(ORDINALS)),
            science: random.below(5) < 3,
            electives: ELECTIVES[random.below(6) as usize],
            points,
        }
    }

    fn total(&self) -> u32 {
        self.points.iter().sum()
    }

    /// Year, county, site, room of thirty, seat in it.
    fn seat(&self) -> String {
        let (room, seat) = (self.number / 30, self.number % 30 + 1);
        let (site, room) = (room / 60, room % 60 + 1);
        let (county, site) = (site / 20, site % 20 + 1);
        format!("26{:04}{site:02}{room:03}{seat:02}", 9901 + county)
    }

    /// The values of the fields, in the order of [`FIELDS`].
    fn values(self, ranks: &Ranks) -> [String; FIELDS.len()] {
        let total = self.total();
        let tenths = |points: u32| format!("{}.{}", points / 10, points % 10);
        let [chinese, mathematics, english, first, second, third] = self.points.map(tenths);
        [
            self.seat(),
            self.identity,
            self.name,
            if self.woman { "女" } else { "男" }.to_owned(),
            self.school,
            if self.science { "物理类" } else { "历史类" }.to_owned(),
            self.electives.to_owned(),
            chinese,
            mathematics,
            english,
            first,
            second,
            third,
            tenths(total),
            ranks.rank(total).to_string(),
            if total >= LINE { "达到本科控制线" } else { "未达到本科控制线" }.to_owned(),
            NOTE.to_owned(),
        ]
    }
}

/// The check digit of an identity number: ISO 7064, MOD 11-2.
fn check_digit(digits: &str) -> char {
    let sum = digits.bytes().fold(0, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    char::from(b"0123456789X"[((12 - sum) % 11) as usize])
}

/// `SplitMix64`, by Steele, Lea and Flood.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, count: u32) -> u32 {
        (((self.next() >> 32) * u64::from(count)) >> 32) as u32
    }

    fn of(&mut self, characters: &str) -> char {
        let count = characters.chars().count() as u32;
        characters.chars().nth(self.below(count) as usize).expect("fewer than there are")
    }
}

/// Why a sample cannot be made.
#[derive(Debug, Error)]
pub enum SampleError {
    /// No candidates, or too many.
    #[error("from 1 to {SAMPLE_MAX} candidates")]
    Count,
    /// It cannot be written.
    #[error("cannot write")]
    Write(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_the_standard() {
        // The examples of GB 11643.
        assert_eq!(check_digit("11010519491231002"), 'X');
        assert_eq!(check_digit("44052418800101001"), '4');
    }

    fn sample(candidates: u32, seed: u64) -> Vec<u8> {
        let mut table = Vec::new();
        write_sample(candidates, seed, &mut table, &mut |_, _| ()).unwrap();
        table
    }

    #[test]
    fn the_same_seed_makes_the_same_table_and_a_larger_one_begins_as_a_smaller() {
        assert_eq!(sample(100, 1), sample(100, 1));
        assert_ne!(sample(100, 1), sample(100, 2));
        assert!(write_sample(0, 1, io::sink(), &mut |_, _| ()).is_err());
    }

    /// The `dbase` crate is nothing of ours: what it reads is there.
    #[test]
    fn another_program_reads_in_it_what_was_drawn() {
        let mut reader = dbase::Reader::new(io::Cursor::new(sample(1000, 7))).unwrap();
        let mut seats = std::collections::HashSet::new();
        for (record, number) in reader.iter_records().zip(0..) {
            let record = record.unwrap();
            let text = |name: &str| match record.get(name) {
                Some(dbase::FieldValue::Character(Some(text))) => text.clone(),
                other => panic!("{name}: {other:?}"),
            };
            let candidate = Candidate::draw(7, number);
            assert_eq!(text(SEAT_FIELD), candidate.seat());
            assert_eq!(text(SECRET_FIELD), candidate.identity);
            assert_eq!(text("姓名"), candidate.name);
            assert_eq!(text("备注"), NOTE);
            let total = f64::from(candidate.total()) / 10.0;
            assert_eq!(record.get("总分"), Some(&dbase::FieldValue::Numeric(Some(total))));
            let identity = &candidate.identity;
            assert!(identity.len() == 18 && identity.ends_with(check_digit(&identity[..17])), "{identity}");
            assert!(seats.insert(candidate.seat()));
        }
        assert_eq!(seats.len(), 1000);
    }

    #[test]
    fn nobody_has_more_points_than_who_is_first() {
        let ranks = Ranks::of([6000, 7000, 6000, 5000].into_iter());
        assert_eq!([7000, 6000, 5000].map(|total| ranks.rank(total)), [1, 2, 4]);
    }

    /// Measurements of several days, and of several machines, are of the same candidates.
    #[test]
    fn the_table_of_a_seed_stays_what_it_is() {
        let ranks = Ranks::of((0..3).map(|number| Candidate::draw(7, number).total()));
        let values = |number| Candidate::draw(7, number).values(&ranks)[..16].join(" ");
        let expect = [
            "2699010100101 992410200702124676 赵俊文 男 虚构县第八中学 历史类 化学生物 139.0 139.0 122.0 93.0 73.5 84.0 \
             650.5 1 达到本科控制线",
            "2699010100102 997581200711131830 杨佑思 男 虚构县第六中学 历史类 生物地理 73.0 95.0 77.5 44.0 54.0 39.0 \
             382.5 3 未达到本科控制线",
            "26101781603410 996911200704167722 何若 女 虚构县第九中学 物理类 政治生物 97.0 76.5 109.5 48.5 76.5 68.0 \
             476.0 2 达到本科控制线",
        ];
        assert_eq!([0, 1, 9_999_999].map(values), expect);
        assert_eq!(crc32fast::hash(&sample(2000, 7)), 0x4c27_9cc1);
    }

    #[test]
    fn progress_goes_from_the_header_to_all_records() {
        let mut calls = Vec::new();
        write_sample(5000, 1, io::sink(), &mut |done, total| calls.push((done, total))).unwrap();
        let (header, record) = header(5000);
        let bytes = |records| (header.len() + records * record) as u64;
        assert_eq!(calls, [0, 4096, 5000].map(|records| (bytes(records), bytes(5000))));
        assert_eq!(sample(5000, 1).len() as u64, bytes(5000) + 1);
    }
}
