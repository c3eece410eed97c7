//! Which fields of a region of ip2region are country, province and city.
//!
//! A file does not say. There were, and are:
//!
//! ```text
//! until 2024   国家|区域|省份|城市|ISP      中国|0|广东省|广州市|电信        area, seldom known, before the province
//! in 2025      国家|省份|城市|ISP           中国|广东省|广州市|电信
//! since 2025   国家|省份|城市|ISP|代码      中国|广东省|广州市|电信|CN       and the country's two letters
//! ```
//!
//! and files that are made of other data may have others. What tells them apart are regions in China, whose provinces
//! and cities are known by name. Where these do not agree with exactly one of the three, or another field has cities,
//! the fields have to be named.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use thiserror::Error;

use super::database::{Database, Place};

/// The country of which provinces and cities are kept, by its names and its codes.
const CHINA: [&str; 6] = ["中国", "中國", "中华人民共和国", "中華人民共和國", "China", "People's Republic of China"];
const CHINA_CODES: [&str; 2] = ["CN", "CHN"];

/// What stands for a country where addresses are for special use.
const RESERVED: &str = "Reserved";

/// What the names of provinces begin with; some have 省 or more behind it, and some not.
const PROVINCES: &str = "北京 天津 上海 重庆 河北 山西 辽宁 吉林 黑龙江 江苏 浙江 安徽 福建 江西 山东 河南 湖北 \
    湖南 广东 海南 四川 贵州 云南 陕西 甘肃 青海 台湾 内蒙古 广西 西藏 宁夏 新疆 香港 澳门 \
    重慶 遼寧 黑龍江 江蘇 廣東 貴州 雲南 陝西 甘肅 臺灣 台灣 內蒙古 廣西 寧夏 澳門";

/// Provinces without cities: what is below them are districts.
const MUNICIPALITIES: &str = "北京 天津 上海 重庆 香港 澳门 重慶 澳門";

/// What the names of cities end in, and those of what has a city's place.
const CITIES: [&str; 8] = ["市", "州", "盟", "地区", "县", "林区", "地區", "縣"];

/// Names of cities, with and without their ending: those in the database that comes with Lethe.
static CITIES_BY_NAME: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let database = Database::embedded();
    let names = database.places().map(|place| place.city).filter(|city| !city.is_empty());
    names.flat_map(|city| [city, without_ending(city)]).collect()
});

/// What is in the names of carriers, and in no name of a city.
const CARRIERS: &str = "电信 联通 移动 铁通 网通 教育网 广电网 鹏博士 阿里云 腾讯云 华为云";

/// The files that there were: how many fields, and which are country, province and city. The last field is the carrier,
/// or the code.
const WITH_AREA: Fields = Fields { count: 5, country: 0, province: Some(2), city: Some(3) };
const WITHOUT_AREA: Fields = Fields { count: 4, country: 0, province: Some(1), city: Some(2) };
const WITH_CODE: Fields = Fields { count: 5, country: 0, province: Some(1), city: Some(2) };
const KNOWN: [Fields; 3] = [WITH_AREA, WITHOUT_AREA, WITH_CODE];

/// One in so many may be odd, as one or the other is in so much data that was put together by hand.
const ODD: usize = 100;

/// One city in so many may have a name that is none of a city.
const ODD_CITIES: usize = 10;

/// The most regions of a file that may be without China: a file for trials.
const FEW: usize = 8;

/// The most characters of a region that are shown.
const SHOWN: usize = 60;

/// The most fields that can be named.
const COUNT_MAX: usize = 32;

/// Which fields of a region are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fields {
    count: usize,
    country: usize,
    province: Option<usize>,
    city: Option<usize>,
}

impl Fields {
    /// Finds out which they are, by all regions of a file.
    pub(super) fn told(regions: &[&str]) -> Result<Self, FieldsError> {
        let first = regions.first().copied().unwrap_or_default();
        let count = split(first).count();
        if let Some(other) = regions.iter().find(|region| split(region).count() != count) {
            return Err(FieldsError::Uneven { count, other: shown(other), others: split(other).count() });
        }
        let is_in_china = |region: &&str| split(region).any(|field| is_china(field) && !is_code(field));
        if !regions.iter().any(is_in_china)
            && (regions.len() > FEW || regions.iter().any(|region| has_more_than_a_country(region)))
        {
            let example = regions.iter().find(|region| has_more_than_a_country(region)).unwrap_or(&first);
            let only_country = Self { count, country: 0, province: None, city: None };
            return Err(FieldsError::NoChina { example: shown(example), fields: only_country });
        }
        let mut fitting = KNOWN.into_iter().filter(|fields| fields.count == count && fields.fit(regions));
        let unknown = || {
            let example = regions.iter().copied().find(|region| is_placed(region)).unwrap_or(first);
            FieldsError::Unknown { count, example: shown(example) }
        };
        let fields = fitting.next().ok_or_else(unknown)?;
        // Where nothing more is known of China, one may be as good as the other.
        let same = |other: Self| regions.iter().all(|region| fields.place(region) == other.place(region));
        if fitting.all(same) { Ok(fields) } else { Err(unknown()) }
    }

    /// Whether regions have in these fields what should be there.
    fn fit(self, regions: &[&str]) -> bool {
        // How many regions in China have something in this field.
        let having = |at: usize, something: fn(&str) -> bool| {
            let placed = regions.iter().filter(|region| is_placed(region));
            let field = placed.filter_map(|region| split(region).nth(at));
            field.filter(|field| !field.is_empty() && something(field)).count()
        };
        let (Some(province), Some(city)) = (self.province, self.city) else { return false };
        let provinces = having(province, is_province);
        // How many regions in China have the name of a city in this field.
        let cities_in = |at: usize, is_city: fn(&str, &str) -> bool| {
            let placed = regions.iter().filter(|region| is_placed(region));
            let field = placed.filter_map(|region| Some((split(region).nth(province)?, split(region).nth(at)?)));
            field.filter(|(province, field)| !field.is_empty() && is_city(province, field)).count()
        };
        let cities = cities_in(city, is_city);
        let is_rival = |at: usize| {
            let named = cities_in(at, |_, field| is_city_by_name(field));
            named > 0 && named * 2 >= having(at, |_| true) && named * ODD_CITIES >= cities
        };
        let mut others_than_these = (1..self.count).filter(|&at| at != province && at != city);
        let last = self.count - 1;
        let (codes, others) = (having(last, is_code), having(last, |field| !is_code(field)));
        // No country is called so that China is elsewhere, or that it is two letters.
        let is_elsewhere = |region: &str| {
            let mut fields = split(region);
            let country = fields.next().unwrap_or_default();
            !is_china(country) && fields.any(|field| field == CHINA[0]) || is_code(country)
        };
        few(having(province, |field| !is_province(field)), provinces)
            && few(having(city, is_carrier), provinces)
            && (having(city, |_| true) - cities) * ODD_CITIES <= cities
            && !others_than_these.any(is_rival)
            && (provinces > 0 || having(city, |_| true) == 0)
            // A city has the name of its province at times; an area has not.
            && (province == 1 || few(having(1, is_province), provinces))
            && if self == WITH_CODE { few(others, codes) } else { few(codes, others) }
            && !regions.iter().any(|region| is_elsewhere(region))
    }

    /// The place of a region, when it has as many fields: China to the city, elsewhere the country.
    pub(super) fn place(self, region: &str) -> Option<Place<'_>> {
        let mut place = Place::default();
        let mut count = 0;
        for (at, field) in split(region).enumerate() {
            count += 1;
            if at == self.country {
                place.country = field;
            } else if Some(at) == self.province {
                place.province = field;
            } else if Some(at) == self.city {
                place.city = field;
            }
        }
        if count != self.count {
            return None;
        }
        Some(match place.country {
            country if is_china(country) => place,
            RESERVED => Place::default(),
            country => Place { country, ..Place::default() },
        })
    }

    /// The country alone.
    pub(super) const fn only_country(self) -> Self {
        Self { province: None, city: None, ..self }
    }

    /// How many there are in a region.
    pub(super) const fn count(self) -> usize {
        self.count
    }
}

/// The fields of a region without the blanks around them, where what is not known is empty.
fn split(region: &str) -> impl Iterator<Item = &str> {
    region.split('|').map(str::trim).map(|field| if field == "0" { "" } else { field })
}

fn is_china(country: &str) -> bool {
    CHINA.iter().any(|name| name.eq_ignore_ascii_case(country)) || CHINA_CODES.contains(&country)
}

/// Whether more is known of a region than that it is in China.
fn is_placed(region: &str) -> bool {
    let mut fields = split(region);
    fields.next().is_some_and(is_china) && fields.any(|field| !field.is_empty() && !is_code(field))
}

/// Whether something is known of a region between its country and its last field, which is a carrier or a code.
fn has_more_than_a_country(region: &str) -> bool {
    let fields: Vec<_> = split(region).collect();
    match fields[..] {
        [country, ref between @ .., _] => !matches!(country, "" | RESERVED) && between.iter().any(|it| !it.is_empty()),
        _ => false,
    }
}

fn is_province(field: &str) -> bool {
    PROVINCES.split(' ').any(|province| field.starts_with(province))
}

/// Whether a field has the name of a city, or of what stands in a city's place in this province.
fn is_city(province: &str, field: &str) -> bool {
    let is_municipality = || MUNICIPALITIES.split(' ').any(|name| province.starts_with(name));
    CITIES.iter().any(|ending| field.ends_with(ending))
        || is_city_by_name(field)
        || field == province
        || PROVINCES.split(' ').any(|name| name == field)
        || field.ends_with(['区', '區']) && is_municipality()
}

fn is_city_by_name(field: &str) -> bool {
    CITIES_BY_NAME.contains(without_ending(field))
}

fn without_ending(city: &str) -> &str {
    CITIES.iter().find_map(|ending| city.strip_suffix(ending)).unwrap_or(city)
}

fn is_carrier(field: &str) -> bool {
    CARRIERS.split(' ').any(|carrier| field.contains(carrier))
}

/// Two letters, as of ISO 3166.
fn is_code(field: &str) -> bool {
    field.len() == 2 && field.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Whether what should not be is so seldom, beside what should, that it says nothing.
const fn few(odd: usize, right: usize) -> bool {
    odd * ODD <= right
}

/// As much of a region as fits a line.
fn shown(region: &str) -> String {
    // A file that is not what it says may have anything in it.
    let printable = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    let mut shown: String = region.chars().take(SHOWN).map(printable).collect();
    if region.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// What can be said of a field.
const NAMES: [&str; 3] = ["country", "province", "city"];
const NOT_USED: &str = "-";

impl FromStr for Fields {
    type Err = NamesError;

    fn from_str(names: &str) -> Result<Self, NamesError> {
        let mut found = [None; NAMES.len()];
        let mut count = 0;
        for (at, name) in names.split(',').enumerate() {
            count += 1;
            if name == NOT_USED {
                continue;
            }
            let known = NAMES.iter().position(|known| *known == name);
            let known = known.ok_or_else(|| NamesError::Unknown { name: name.to_owned() })?;
            if found[known].replace(at).is_some() {
                return Err(NamesError::Twice { name: NAMES[known] });
            }
        }
        if count > COUNT_MAX {
            return Err(NamesError::TooMany);
        }
        let [country, province, city] = found;
        Ok(Self { count, country: country.ok_or(NamesError::NoCountry)?, province, city })
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [Some(self.country), self.province, self.city].into_iter().zip(NAMES);
        for at in 0..self.count {
            let name = named.clone().find(|(field, _)| *field == Some(at)).map_or(NOT_USED, |(_, name)| name);
            write!(f, "{}{name}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Why it cannot be told which fields there are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FieldsError {
    /// Not all regions have as many.
    #[error(
        "it has regions of {count} fields and of {others}, such as {other}: take a file whose regions are all alike"
    )]
    Uneven {
        /// How many the first one has.
        count: usize,
        /// One that has another number.
        other: String,
        /// How many that has.
        others: usize,
    },
    /// They are none that there were.
    #[error(
        "it cannot be told which of its {count} fields are country, province and city, as in {example}: name them in \
         their order, with - for each that is none of these (--fields country,-,province,city,-)"
    )]
    Unknown {
        /// How many there are.
        count: usize,
        /// A region.
        example: String,
    },
    /// There is no region of China.
    #[error(
        "no region is of China ({}), whose provinces tell which of its {} fields are country, province and city, as in \
         {example}: name them in their order (--fields), or, where only countries are to be kept: --fields {fields}",
        CHINA[0],
        .fields.count
    )]
    NoChina {
        /// A region.
        example: String,
        /// The fields of a file of which only the country is used.
        fields: Fields,
    },
    /// A region has another number than was named.
    #[error("there are {named} names of fields, and {found} fields in {region}")]
    Named {
        /// How many were named.
        named: usize,
        /// How many the region has.
        found: usize,
        /// The region.
        region: String,
    },
}

impl FieldsError {
    /// That a region has not as many fields as were named.
    pub(super) fn named(fields: Fields, region: &str) -> Self {
        Self::Named { named: fields.count(), found: split(region).count(), region: shown(region) }
    }
}

/// What is wrong with names of fields.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NamesError {
    /// One is none.
    #[error("{name:?} is no field: there are country, province and city, and - for any other")]
    Unknown {
        /// Which one.
        name: String,
    },
    /// One is there more than once.
    #[error("{name} is there twice")]
    Twice {
        /// Which one.
        name: &'static str,
    },
    /// There is no country.
    #[error("country has to be one of them")]
    NoCountry,
    /// There are more than any region has.
    #[error("more than {COUNT_MAX} fields")]
    TooMany,
}
