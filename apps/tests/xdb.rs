//! Files of ip2region, of every kind that there was: what is made of them, or why nothing is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lethe_apps::ipinfo::{Database, Fields, Prepared, Source, prepare};

/// Header and vector index.
const REGIONS_FROM: usize = 256 + 256 * 256 * 8;

/// A file in the making.
struct Xdb {
    version: u16,
    /// Family and bytes of a pointer, which version 3 says.
    says: (u16, u16),
    regions: Vec<String>,
}

fn xdb(version: u16, regions: &[&str]) -> Xdb {
    let regions = regions.iter().map(|&region| region.to_owned()).collect();
    Xdb { version, says: if version == 3 { (4, 4) } else { (0, 0) }, regions }
}

impl Xdb {
    /// A segment for each region: of IPv4 256 addresses each, from 1.0.0.0 on.
    fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0; REGIONS_FROM];
        let mut segments = Vec::new();
        for (number, region) in (0x0001_0000_u32..).zip(&self.regions) {
            let (first, last) = (number << 8, number << 8 | 0xff);
            if self.says.0 == 6 {
                segments.extend([first, last].map(|bits| v6_of(bits).to_be_bytes()).concat());
            } else {
                segments.extend([first.to_le_bytes(), last.to_le_bytes()].concat());
            }
            segments.extend((region.len() as u16).to_le_bytes());
            segments.extend((file.len() as u32).to_le_bytes());
            file.extend(region.bytes());
        }
        let first = file.len();
        let last = first + segments.len() - if self.says.0 == 6 { 38 } else { 14 };
        file.extend(segments);
        let header = [self.version.to_le_bytes(), 1_u16.to_le_bytes()].concat();
        file[..4].copy_from_slice(&header);
        file[8..12].copy_from_slice(&(first as u32).to_le_bytes());
        file[12..16].copy_from_slice(&(last as u32).to_le_bytes());
        if self.version >= 3 {
            file[16..18].copy_from_slice(&self.says.0.to_le_bytes());
            file[18..20].copy_from_slice(&self.says.1.to_le_bytes());
        }
        file
    }
}

fn v6_of(bits: u32) -> u128 {
    u128::from(0x2001_0db8_u32) << 96 | u128::from(bits)
}

fn made(source: Source) -> Prepared {
    prepare(&[source], &[], &mut |_, _| ()).unwrap()
}

/// The names of the place of each segment.
fn places(file: &[u8]) -> Result<Vec<[String; 3]>, String> {
    places_by(None, file)
}

/// The names of the place of each segment, where it is said which fields there are.
fn places_by(fields: Option<&str>, file: &[u8]) -> Result<Vec<[String; 3]>, String> {
    let fields = fields.map(|names| names.parse::<Fields>().unwrap());
    let source = Source::read(file, fields, false).map_err(|error| error.to_string())?;
    let (segments, prepared) = (source.len(), made(source));
    let database = Database::open(&prepared.database).unwrap();
    let of = |number: u32| {
        let bits = number << 8 | 7;
        let [v4, v6] = [IpAddr::V4(Ipv4Addr::from_bits(bits)), IpAddr::V6(Ipv6Addr::from_bits(v6_of(bits)))];
        database.lookup(if prepared.ranges_v6 > 0 { v6 } else { v4 }).unwrap_or_default()
    };
    Ok((0x0001_0000_u32..).take(segments).map(|number| of(number).names().map(str::to_owned)).collect())
}

#[track_caller]
fn check(version: u16, regions: &[(&str, [&str; 3])]) {
    let (regions, expected): (Vec<_>, Vec<_>) = regions.iter().copied().unzip();
    assert_eq!(places(&xdb(version, &regions).bytes()).unwrap(), expected, "{version}");
}

#[test]
fn the_fields_of_2026_are_country_province_city_carrier_and_code() {
    for version in [2, 3] {
        check(
            version,
            &[
                ("Reserved|Reserved|Reserved|0|0", ["", "", ""]),
                ("Australia|Queensland|0|0|AU", ["Australia", "Queensland", ""]),
                ("中国|广东省|广州市|电信|CN", ["中国", "广东省", "广州市"]),
                ("中国|上海|上海市|中国联通|CN", ["中国", "上海", "上海市"]),
                ("中国|香港特别行政区|0|0|CN", ["中国", "香港特别行政区", ""]),
                ("中国|内蒙古自治区|呼和浩特市|0|CN", ["中国", "内蒙古自治区", "呼和浩特市"]),
                ("中国|0|0|0|CN", ["中国", "", ""]),
                ("中国|||移动|CN", ["中国", "", ""]),
                ("0|0|0|0|0", ["", "", ""]),
            ],
        );
    }
    let names = places(include_bytes!("cases/2a-v2-header-2026-fields.xdb"));
    let source = Source::read(include_bytes!("cases/2a-v2-header-2026-fields.xdb"), None, false).unwrap();
    let database = made(source).database;
    let of = |address: [u8; 4]| {
        Database::open(&database).unwrap().lookup(Ipv4Addr::from(address)).map(|place| place.names().join("|"))
    };
    assert!(names.is_ok());
    assert_eq!(of([202, 96, 128, 86]), Some("中国|广东省|广州市".to_owned()));
    assert_eq!(of([1, 0, 0, 1]), Some("Australia|Queensland|".to_owned()));
}

#[test]
fn the_fields_of_2025_are_country_province_city_and_carrier() {
    check(
        3,
        &[
            ("美国|加利福尼亚|洛杉矶|谷歌", ["美国", "加利福尼亚", "洛杉矶"]),
            ("中国|江苏省|南京市|电信", ["中国", "江苏省", "南京市"]),
        ],
    );
}

#[test]
fn the_fields_of_before_have_an_area() {
    for version in [2, 3] {
        check(
            version,
            &[
                ("0|0|0|内网IP|内网IP", ["", "", ""]),
                ("中国|0|广东省|广州市|电信", ["中国", "广东省", "广州市"]),
                ("中国|华东|上海|上海市|联通", ["中国", "上海", "上海市"]),
                ("英国|0|0|0|BT", ["英国", "", ""]),
            ],
        );
    }
}

fn error_of(version: u16, regions: &[&str]) -> String {
    places(&xdb(version, regions).bytes()).unwrap_err()
}

#[test]
fn where_nothing_more_is_known_of_china_the_country_is_enough() {
    for regions in [
        ["美国|0|0|0|谷歌", "中国|0|0|0|电信"],
        ["美国|0|0|0|US", "中国|0|0|0|CN"],
        ["Japan|Tokyo|Tokyo|0|JP", "中国|0|0|0|0"],
    ] {
        let country = regions[0].split('|').next().unwrap();
        check(3, &[(regions[0], [country, "", ""]), (regions[1], ["中国", "", ""])]);
    }
    // Where one layout alone fits, it tells what is known of other countries.
    check(3, &[("Japan|Tokyo|Edo|NTT", ["Japan", "Tokyo", "Edo"]), ("中国|0|0|0", ["中国", "", ""])]);
}

#[test]
fn one_odd_region_in_a_hundred_is_no_reason_to_refuse_a_file() {
    let mut regions = vec!["中国|广东省|广州市|电信|CN"; 100];
    regions.push("中国|somewhere|广州市|电信|CN");
    assert_eq!(places(&xdb(3, &regions).bytes()).unwrap()[0], ["中国", "广东省", "广州市"]);
    regions.push("中国|somewhere|广州市|电信|CN");
    places(&xdb(3, &regions).bytes()).unwrap_err();
}

#[test]
fn fields_that_cannot_be_told_are_refused_with_a_way_out() {
    for regions in [
        // In another order.
        &["CN|中国|广东省|广州市|电信"][..],
        &["中国|广州市|广东省|电信|CN"],
        &["中国|广东省|电信|广州市|CN"],
        &["电信|中国|0|广东省|广州市"],
        &["US|0|0|0|谷歌"],
        // Of other kinds.
        &["中国|广东省|深圳市|南山区|电信"],
        &["中国|广东省|电信|CN"],
        &["中国|a|b|c|d"],
        &["中国|a|b|c|CN"],
        // More, or fewer.
        &["中国|0|广东省|广州市|电信|CN"],
        &["亚洲|中国|广东省|广州市|电信|CN"],
        &["中国|广东省|广州市"],
        &["中国"],
        &[""],
        // Of two kinds, in two halves.
        &["中国|0|广东省|广州市|电信", "中国|广东省|广州市|电信|CN"],
    ] {
        let placed = regions[0];
        let count = placed.split('|').count();
        let expected = format!(
            "it cannot be told which of its {count} fields are country, province and city, as in {placed}: name them \
             in their order, with - for each that is none of these (--fields country,-,province,city,-)"
        );
        assert_eq!(error_of(3, regions), expected);
    }
}

#[test]
fn regions_of_several_lengths_are_refused() {
    let error = error_of(2, &["中国|0|广东省|广州市|电信", "中国|广东省|广州市|电信"]);
    let expected =
        "it has regions of 5 fields and of 4, such as 中国|广东省|广州市|电信: take a file whose regions are all alike";
    assert_eq!(error, expected);
}

#[test]
fn fields_that_are_named_are_taken() {
    let region = "亚洲|中国|440000|广东省|x|广州市";
    let file = xdb(3, &[region]).bytes();
    assert_eq!(places_by(Some("-,country,-,province,-,city"), &file).unwrap(), [["中国", "广东省", "广州市"]]);
    assert_eq!(places_by(Some("-,country,-,-,-,-"), &file).unwrap(), [["中国", "", ""]]);
    assert_eq!(places_by(Some("-,-,-,-,-,country"), &file).unwrap(), [["广州市", "", ""]]);
    let error = places_by(Some("country,province"), &file).unwrap_err();
    assert_eq!(error, format!("segment 0: there are 2 names of fields, and 6 fields in {region}"));
    for (names, expected) in [
        ("province,city", "country has to be one of them"),
        ("country,country", "country is there twice"),
        ("country,isp", "\"isp\" is no field: there are country, province, city, code, carrier, and - for any other"),
        ("", "\"\" is no field: there are country, province, city, code, carrier, and - for any other"),
        (&["country", &",-".repeat(32)].concat(), "more than 32 fields"),
    ] {
        assert_eq!(names.parse::<Fields>().unwrap_err().to_string(), expected);
    }
    for names in ["country", "country,-,province,city,-", "-,city,province,country"] {
        assert_eq!(names.parse::<Fields>().unwrap().to_string(), names);
    }
}

#[test]
fn addresses_of_ipv6_are_read_also_where_the_header_does_not_say_so() {
    let regions = ["中国|广东省|广州市|电信|CN", "Australia|Queensland|0|0|AU", "Japan|0|0|0|JP"];
    let expected = [["中国", "广东省", "广州市"], ["Australia", "Queensland", ""], ["Japan", "", ""]];
    for version in [2, 3] {
        let file = Xdb { says: (6, 4), ..xdb(version, &regions) }.bytes();
        assert_eq!(places(&file).unwrap(), expected);
    }
}

#[test]
fn carriers_and_codes_are_kept_where_they_are_named() {
    let file = xdb(3, &["中国|广东省|广州市|电信|CN", "日本|东京|东京|NTT|JP"]).bytes();
    let of = |fields: Option<&str>, number: u32| {
        let source = Source::read(&file, fields.map(|names| names.parse().unwrap()), false).unwrap();
        let database = made(source).database;
        let place = Database::open(&database).unwrap().lookup(Ipv4Addr::from_bits(number << 8)).unwrap();
        [place.country, place.code, place.org].map(str::to_owned)
    };
    assert_eq!(of(None, 0x0001_0000), ["中国", "CN", ""]);
    assert_eq!(of(Some("country,province,city,carrier,code"), 0x0001_0000), ["中国", "CN", "电信"]);
    // A code that the file does not have is that of the country's name.
    assert_eq!(of(Some("country,-,-,-,-"), 0x0001_0001), ["日本", "JP", ""]);
}

#[test]
fn of_other_countries_than_china_the_country_is_kept_if_that_is_asked_for() {
    let file = xdb(3, &["中国|广东省|广州市|电信|CN", "日本|东京|东京|NTT|JP"]).bytes();
    let database = made(Source::read(&file, None, true).unwrap()).database;
    let of = |number: u32| {
        let place = Database::open(&database).unwrap().lookup(Ipv4Addr::from_bits(number << 8)).unwrap();
        place.names().map(str::to_owned)
    };
    assert_eq!([of(0x0001_0000), of(0x0001_0001)], [["中国", "广东省", "广州市"], ["日本", "", ""]]);
}

#[test]
fn lines_of_text_are_read_and_a_wrong_one_is_named() {
    let text = "1.0.0.0|1.0.0.255|Australia|Queensland|0|0|AU\n\
        1.0.1.0|1.0.1.255|中国|福建省|福州市|电信|CN\r\n\
        2001:200::|2001:200:ffff:ffff:ffff:ffff:ffff:ffff|Japan|Tokyo|0|0|JP\n";
    let source = Source::read(text.as_bytes(), None, false).unwrap();
    assert_eq!(source.len(), 3);
    let database = made(source).database;
    let database = Database::open(&database).unwrap();
    let of = |address: &str| database.lookup(address.parse::<IpAddr>().unwrap()).map(|place| place.names());
    assert_eq!(of("1.0.0.7"), Some(["Australia", "Queensland", ""]));
    assert_eq!(of("1.0.1.255"), Some(["中国", "福建省", "福州市"]));
    assert_eq!(of("2001:200::7"), Some(["Japan", "Tokyo", ""]));
    assert_eq!(of("2001:201::"), None);
    for (line, cause) in [
        ("1.0.2.0,1.0.2.255,AU", "not first|last|region, with two addresses of one family"),
        ("1.0.2.0|2001:300::|Japan|0|0|0|JP", "not first|last|region, with two addresses of one family"),
        ("1.0.0.0|1.0.2.255|Japan|0|0|0|JP", "the range from 1.0.0.0 to 1.0.2.255 is out of order"),
    ] {
        let error = Source::read(format!("{text}\n{line}\n").as_bytes(), None, false).unwrap_err();
        assert_eq!(error.to_string(), format!("line 5: {cause}"));
    }
    let error = Source::read(b"1.0.2.0,1.0.2.255,AU\n", None, false).unwrap_err();
    assert_eq!(error.to_string(), "line 1: not first|last|region, with two addresses of one family");
}

#[test]
fn a_header_that_says_what_is_not_known_is_no_damage() {
    let with = |says| places(&Xdb { says, ..xdb(3, &["中国|广东省|广州市|电信|CN"]) }.bytes()).unwrap_err();
    assert_eq!(with((0, 4)), "its addresses are of version 0 of IP, where 4 and 6 are read");
    assert_eq!(with((4, 5)), "its offsets have 5 bytes, where 4 are read: make it with offsets of 4 bytes");
    let error = |begin: &[u8]| places(&[begin, &[0; 40]].concat()).unwrap_err();
    assert_eq!(
        error(b"\x04\0"),
        "none of a MaxMind DB file, an xdb file of version 2 or 3 (it would have version 4), and lines of \
         first|last|region"
    );
    assert_eq!(error(b"\x1f\x8b\x08\0"), "this is a packed file: unpack it first (gunzip)");
    assert_eq!(error(b"PK\x03\x04"), "this is a packed file: unpack it first (unzip)");
    assert_eq!(error(b"\x28\xb5\x2f\xfd"), "this is a packed file: unpack it first (unzstd)");
}

#[test]
fn damage_of_either_version_is_named() {
    for version in [2, 3] {
        let good = xdb(version, &["中国|广东省|广州市|电信|CN", "Australia|Queensland|0|0|AU"]).bytes();
        let of = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut file = good.clone();
            change(&mut file);
            places(&file).unwrap_err()
        };
        assert_eq!(of(&|file| file.truncate(100)), "too short for an xdb file");
        assert_eq!(of(&|file| file.truncate(500_000)), "too short for an xdb file");
        for len in [good.len() - 1, good.len() - 14, 524_600] {
            assert!(of(&|file| file.truncate(len)).ends_with("the file is cut off or damaged"), "{len}");
        }
        // The last segment is where none can be.
        assert!(of(&|file| file[12] += 1).ends_with("the file is cut off or damaged"));
        assert!(of(&|file| file[8..12].fill(0xff)).ends_with("the file is cut off or damaged"));
        assert!(of(&|file| file[8..16].rotate_left(4)).ends_with("the file is cut off or damaged"));
        let segments = good.len() - 28;
        assert!(of(&|file| file[segments + 10..segments + 14].fill(0xff)).contains("outside of the file"));
        assert_eq!(
            of(&|file| file[REGIONS_FROM] = 0xff),
            format!("segment 0: the region at {REGIONS_FROM} is not UTF-8")
        );
        assert!(of(&|file| file[segments + 3] = 0xff).contains("is out of order"));
    }
}

/// Regions of five cities, with the fields in another order.
fn of_cities(region: impl Fn(&str, &str, &str) -> String) -> Vec<String> {
    let cities = [
        ("广东省", "广州市", "电信"),
        ("广东省", "深圳市", "联通"),
        ("北京", "北京市", "移动"),
        ("四川省", "凉山彝族自治州", "电信"),
        ("上海", "上海市", "教育网"),
    ];
    cities.into_iter().map(|(province, city, carrier)| region(province, city, carrier)).collect()
}

fn refused(regions: &[String]) -> String {
    let regions: Vec<_> = regions.iter().map(String::as_str).collect();
    error_of(3, &regions)
}

#[test]
fn a_carrier_or_a_district_where_the_city_would_be_is_refused_with_the_way_out() {
    for other in ["长城宽带", "China Telecom", "xTom", "天河区", "BGP", "中国广电", "IDC机房", "510000"] {
        for regions in [
            of_cities(|province, city, _| format!("中国|{province}|{other}|{city}|CN")),
            of_cities(|province, city, _| format!("中国|{province}|{other}|{city}")),
            of_cities(|province, city, _| format!("中国|0|{province}|{other}|{city}")),
            of_cities(|province, _, _| format!("中国|{province}|{other}|0|CN")),
            vec![format!("中国|广东省|{other}|广州市|CN")],
        ] {
            let error = refused(&regions);
            assert!(error.starts_with("it cannot be told which of its") && error.contains("--fields"), "{error}");
        }
    }
    // A county is listed as a city at times; not where another field has cities.
    for county in ["怀集县", "四会市"] {
        let error = refused(&of_cities(|province, city, _| format!("中国|{province}|{county}|{city}|CN")));
        assert!(error.starts_with("it cannot be told which"), "{error}");
    }
    let error = refused(&of_cities(|province, city, _| format!("中国|{city}|{province}|0|电信")));
    assert!(error.starts_with("it cannot be told which"), "{error}");
}

#[test]
fn a_city_is_one_by_any_of_its_names() {
    for (province, city) in [
        ("广东省", "广州市"),
        ("广东", "广州"),
        ("新疆维吾尔自治区", "喀什地区"),
        ("新疆", "喀什"),
        ("内蒙古", "锡林郭勒盟"),
        ("贵州省", "黔东南苗族侗族自治州"),
        ("海南省", "陵水黎族自治县"),
        ("北京", "北京"),
        ("北京", "朝阳区"),
        ("上海市", "浦东新区"),
        ("香港", "沙田"),
        ("澳门", "澳门"),
        ("台湾省", "高雄"),
        ("台湾省", "台湾"),
        ("香港特别行政区", "香港特别行政区"),
        ("湖北省", "神农架林区"),
    ] {
        for (carrier, code) in [("长城宽带", "CN"), ("China Telecom", "CN"), ("广州广电", "CN"), ("0", "0")] {
            let region = format!("中国|{province}|{city}|{carrier}|{code}");
            let regions = [&region[..], "中国|广东省|深圳市|电信|CN", "中国|广东省|汕头市|电信|CN"];
            let expected = ["中国", province, city];
            assert_eq!(places(&xdb(3, &regions).bytes()).unwrap()[0], expected, "{region}");
        }
    }
}

#[test]
fn china_has_other_names() {
    let taken = Ok(vec![["中国".to_owned(), "广东省".to_owned(), "广州市".to_owned()]]);
    assert_eq!(places(&xdb(3, &["中国 | 广东省 |\t广州市\u{3000}| 电信 | CN"]).bytes()), taken);
    let expected = [["美国", "", ""], ["", "", ""]].map(|names| names.map(str::to_owned));
    let foreign = xdb(3, &[" 美国 | 0 | 0 | xTom | US ", " Reserved | 0 | 0 | 0 | 0", "中国 | 0 | 0 | 0 | CN"]).bytes();
    assert_eq!(places(&foreign).unwrap()[..2], expected);
    for country in ["中國", "中华人民共和国", "中華人民共和國", "China", "CHINA", "People's Republic of China"]
    {
        let [old, new] = [format!("{country}|0|广东省|广州市|电信"), format!("{country}|广东省|广州市|电信|CN")];
        for region in [old, new] {
            let file = xdb(3, &[&region, "美国|0|0|0|0"]).bytes();
            assert_eq!(places(&file).unwrap()[0], [country, "广东省", "广州市"], "{region}");
        }
    }
    let traditional = xdb(3, &["中國|廣東省|廣州市|電信|CN", "中國|臺灣省|臺北市|中華電信|CN"]).bytes();
    let expected = [["中國", "廣東省", "廣州市"], ["中國", "臺灣省", "臺北市"]].map(|names| names.map(str::to_owned));
    assert_eq!(places(&traditional).unwrap(), expected);
    // Provinces in letters are not known; they can be named.
    let letters = xdb(3, &["China|Guangdong|Guangzhou|China Telecom|CN", "Japan|Tokyo|Tokyo|NTT|JP"]).bytes();
    assert!(places(&letters).unwrap_err().contains("(--fields country,-,province,city,-)"));
    let expected =
        [["China", "Guangdong", "Guangzhou"], ["Japan", "Tokyo", "Tokyo"]].map(|names| names.map(str::to_owned));
    assert_eq!(places_by(Some("country,province,city,-,-"), &letters).unwrap(), expected);
}

#[test]
fn a_file_without_china_is_refused_unless_countries_are_asked_for() {
    let few = ["Chine|广东省|广州市|电信|CN".to_owned()];
    let foreign = ["美国|加利福尼亚|圣何塞|xTom|US".to_owned(), "日本|东京|东京|NTT|JP".to_owned()];
    let many: Vec<_> = (0..20).map(|number| format!("A{number}|0|0|0|0")).collect();
    for regions in [&few[..], &foreign, &many] {
        let error = refused(regions);
        assert!(
            error.starts_with("no region is of China (中国), whose provinces tell which of its 5 fields"),
            "{error}"
        );
        assert!(error.ends_with("where only countries are to be kept: --fields country,-,-,-,-"), "{error}");
        let regions: Vec<_> = regions.iter().map(String::as_str).collect();
        places_by(Some("country,-,-,-,-"), &xdb(3, &regions).bytes()).unwrap();
    }
    // Nothing is lost of a few that have only countries.
    check(3, &[("英国|0|0|0|BT", ["英国", "", ""]), ("美国|0|0|0|xTom", ["美国", "", ""])]);
}

#[test]
fn fields_that_were_not_kept_are_not_said_to_be() {
    let said_with = |only_china: bool, fields: Option<&str>, regions: &[&str]| {
        let fields = fields.map(|names| names.parse::<Fields>().unwrap());
        Source::read(&xdb(3, regions).bytes(), fields, only_china).unwrap().fields().unwrap().to_string()
    };
    let said = |fields: Option<&str>, regions: &[&str]| said_with(false, fields, regions);
    assert_eq!(said(None, &["中国|广东省|广州市|电信|CN"]), "country,province,city,-,code");
    assert_eq!(said(None, &["美国|0|0|0|谷歌", "中国|0|0|0|电信"]), "country,-,-,-,-");
    let chine = ["Chine|广东省|广州市|电信|CN"];
    assert_eq!(said_with(true, Some("country,province,city,-,-"), &chine), "country,-,-,-,-");
    assert_eq!(said(Some("country,province,city,-,-"), &chine), "country,province,city,-,-");
    assert_eq!(said(Some("country,province,city,-,-"), &["中国|x|0|电信|CN"]), "country,province,city,-,-");
}

#[test]
fn segments_of_ipv6_are_known_by_what_they_hold() {
    for count in (1..=30).chain([7 * 40 + 1]) {
        let regions = vec!["中国|广东省|广州市|电信|CN"; count];
        let file = Xdb { says: (6, 4), ..xdb(2, &regions) }.bytes();
        assert_eq!(places(&file).unwrap().len(), count);
        // One that is cut off is no file of IPv4 either.
        assert!(places(&file[..file.len() - 1]).is_err(), "{count}");
        // Files of IPv4 are what they are with any number of them, and so is what follows them.
        let mut file = xdb(2, &regions).bytes();
        places(&file).unwrap();
        file.extend([0; 100]);
        places(&file).unwrap();
    }
    // A damaged header of IPv4 is no sign of IPv6: here the last segment is 2 × 38 bytes behind the first.
    let mut file = xdb(2, &["中国|广东省|广州市|电信|CN"; 30]).bytes();
    let first = u32::from_le_bytes(*file[8..].first_chunk().unwrap());
    file[12..16].copy_from_slice(&(first + 76).to_le_bytes());
    assert!(places(&file).unwrap_err().ends_with("the file is cut off or damaged"));
}

#[test]
fn another_field_has_cities_where_half_of_it_and_a_tenth_of_all_are_such() {
    // Regions with a city, and with one in place of the carrier, with a carrier, and with neither.
    let accepted = |cities: usize, carriers: usize, all: usize| {
        let regions = |count: usize, other| vec![format!("中国|广东省|广州市|{other}|CN"); count];
        let regions =
            [regions(cities, "深圳市"), regions(carriers, "电信"), regions(all - cities - carriers, "0")].concat();
        let regions: Vec<_> = regions.iter().map(String::as_str).collect();
        places(&xdb(3, &regions).bytes()).is_ok()
    };
    assert_eq!([(5, 5, 40), (5, 6, 40)].map(|(cities, carriers, all)| accepted(cities, carriers, all)), [false, true]);
    assert_eq!([(4, 4, 40), (4, 4, 41)].map(|(cities, carriers, all)| accepted(cities, carriers, all)), [false, true]);
}

#[test]
fn carriers_in_place_of_cities_are_refused_however_many_cities_there_are() {
    let regions = |carriers: usize, cities: usize| {
        let of = |count, city: &str| vec![format!("中国|广东省|{city}|0|CN"); count];
        [of(carriers, "电信"), of(cities, "广州市")].concat()
    };
    assert!(refused(&regions(1, 19)).starts_with("it cannot be told which"));
    assert!(refused(&regions(1, 98)).starts_with("it cannot be told which"));
    let few = regions(1, 99);
    assert!(places(&xdb(3, &few.iter().map(String::as_str).collect::<Vec<_>>()).bytes()).is_ok());
}

#[test]
fn cities_without_provinces_and_codes_of_regions_without_a_place_tell_nothing() {
    assert!(refused(&["中国|0|广州市|电信|CN".to_owned()]).starts_with("it cannot be told which"));
    // One region has a place, and no code.
    let mut regions = vec!["中国|0|0|0|CN".to_owned(); 100];
    regions.push("中国|广东省|广州市|0|电信".to_owned());
    assert!(refused(&regions).contains("as in 中国|广东省|广州市|0|电信: "));
}

#[test]
fn eight_countries_are_a_file_for_trials_and_nine_are_not() {
    let countries: Vec<_> = (0..9).map(|number| format!("A{number}|0|0|0|0")).collect();
    let few: Vec<_> = countries[..8].iter().map(String::as_str).collect();
    assert_eq!(places(&xdb(3, &few).bytes()).unwrap()[7], ["A7", "", ""]);
    assert!(refused(&countries).starts_with("no region is of China"));
    let [most, more] = [31, 32].map(|count| format!("country{}", ",-".repeat(count)).parse::<Fields>());
    assert_eq!((most.unwrap().to_string().len(), more.is_err()), (7 + 2 * 31, true));
}

#[test]
fn segments_are_behind_the_index_and_regions_within_the_file() {
    let region = "中国|广东省|广州市|电信|CN";
    let damaged = |file: &[u8]| places(file).unwrap_err().ends_with("the file is cut off or damaged");
    let file = xdb(2, &[region; 3]).bytes();
    assert!(damaged(&file[..REGIONS_FROM]));
    assert_eq!(places(&file[..REGIONS_FROM - 1]), Err("too short for an xdb file".to_owned()));
    let mut early = file.clone();
    early[8..12].copy_from_slice(&(REGIONS_FROM as u32 - 14).to_le_bytes());
    early[12..16].copy_from_slice(&(REGIONS_FROM as u32).to_le_bytes());
    assert!(damaged(&early));
    // What has a region behind its end is no file of IPv6 either.
    let mut cut = Xdb { says: (6, 4), ..xdb(2, &[region; 3]) }.bytes();
    let len = cut.len();
    cut[len - 6..len - 4].fill(0xff);
    assert!(damaged(&cut));
}

/// The files in `LETHE_XDB`, with colons between them, beside each of which is what another reader said of random
/// addresses: `tools/ipinfo-compare` makes both.
#[test]
fn real_files_are_answered_as_by_their_reader() {
    let Some(files) = std::env::var_os("LETHE_XDB") else {
        println!("skipped: LETHE_XDB names no files");
        return;
    };
    for file in std::env::split_paths(&files) {
        let source = Source::read(&std::fs::read(&file).unwrap(), None, false).unwrap();
        let fields = source.fields().unwrap().to_string();
        let at = |name| fields.split(',').position(|field| field == name).unwrap();
        let [country, province, city] = ["country", "province", "city"].map(at);
        let database = made(source).database;
        let database = Database::open(&database).unwrap();
        let answers = std::fs::read_to_string(file.with_added_extension("tsv")).unwrap();
        let mut known = 0;
        let differs = |line: &&str| {
            let (address, region) = line.split_once('\t').unwrap();
            let fields: Vec<_> = region.split('|').map(|field| if field == "0" { "" } else { field }).collect();
            let expected = fields.get(country).filter(|country| !country.is_empty());
            let expected = expected.map(|country| [country, fields[province], fields[city]]);
            let found = database.lookup(address.parse::<IpAddr>().unwrap()).map(|place| place.names());
            known += usize::from(found.is_some());
            if found != expected {
                println!("{address}: {found:?}, and {expected:?} by the other reader");
            }
            found != expected
        };
        let (count, differ) = (answers.lines().count(), answers.lines().filter(differs).count());
        println!("{}: {count} addresses, {known} known, {differ} different", file.display());
        assert_eq!(differ, 0);
    }
}
