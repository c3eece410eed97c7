//! Finds out which fields of an ip2region region are country, province and city.
//!
//! A file does not say. These layouts are known:
//!
//! ```text
//! until 2024   国家|区域|省份|城市|ISP      中国|0|广东省|广州市|电信        area, seldom known, before the province
//! in 2025      国家|省份|城市|ISP           中国|广东省|广州市|电信
//! since 2025   国家|省份|城市|ISP|代码      中国|广东省|广州市|电信|CN       and the country's two letters
//! ```
//!
//! Files that are made from other data may have others. The layout is recognized by regions in China, whose provinces
//! and cities are known by name. If they do not fit exactly one layout, or another field has cities too, the fields
//! have to be named on the command line.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use thiserror::Error;

use super::database::{Database, Place};

/// The names and codes of the country whose provinces and cities are kept.
const CHINA: [&str; 6] = ["中国", "中國", "中华人民共和国", "中華人民共和國", "China", "People's Republic of China"];
const CHINA_CODES: [&str; 2] = ["CN", "CHN"];

/// The country of addresses for special use.
const RESERVED: &str = "Reserved";

/// Prefixes of the names of provinces; 省 or more may follow.
const PROVINCES: &str = "北京 天津 上海 重庆 河北 山西 辽宁 吉林 黑龙江 江苏 浙江 安徽 福建 江西 山东 河南 湖北 \
    湖南 广东 海南 四川 贵州 云南 陕西 甘肃 青海 台湾 内蒙古 广西 西藏 宁夏 新疆 香港 澳门 \
    重慶 遼寧 黑龍江 江蘇 廣東 貴州 雲南 陝西 甘肅 臺灣 台灣 內蒙古 廣西 寧夏 澳門";

/// Provinces that have districts and no cities.
const MUNICIPALITIES: &str = "北京 天津 上海 重庆 香港 澳门 重慶 澳門";

/// Suffixes of the names of cities, and of units of the same level.
const CITIES: [&str; 8] = ["市", "州", "盟", "地区", "县", "林区", "地區", "縣"];

/// Names of cities, with and without their suffix, from the embedded database.
static CITIES_BY_NAME: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let database = Database::embedded();
    let names = database.places().map(|place| place.city).filter(|city| !city.is_empty());
    names.flat_map(|city| [city, without_ending(city)]).collect()
});

/// Parts of the names of carriers that no name of a city has.
const CARRIERS: &str = "电信 联通 移动 铁通 网通 教育网 广电网 鹏博士 阿里云 腾讯云 华为云";

/// The known layouts. The last field is the carrier or the code.
const WITH_AREA: Fields = Fields { province: Some(2), city: Some(3), ..Fields::of_country(5) };
const WITHOUT_AREA: Fields = Fields { province: Some(1), city: Some(2), ..Fields::of_country(4) };
const WITH_CODE: Fields = Fields { province: Some(1), city: Some(2), code: Some(4), ..Fields::of_country(5) };
const KNOWN: [Fields; 3] = [WITH_AREA, WITHOUT_AREA, WITH_CODE];

/// One value in so many may be wrong, since such data is maintained by hand.
const ODD: usize = 100;

/// One city in so many may have a name that does not look like one.
const ODD_CITIES: usize = 10;

/// The most regions of a file without China that is accepted: a file for trials.
const FEW: usize = 8;

/// The most characters of a region in a message.
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
    code: Option<usize>,
    carrier: Option<usize>,
    /// Whether provinces and cities of China alone are used.
    only_china: bool,
}

impl Fields {
    /// Recognizes the layout by all regions of a file.
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
            let only_country = Self::of_country(count);
            return Err(FieldsError::NoChina { example: shown(example), fields: only_country.into() });
        }
        let mut fitting = KNOWN.into_iter().filter(|fields| fields.count == count && fields.fit(regions));
        let unknown = || {
            let example = regions.iter().copied().find(|region| is_placed(region)).unwrap_or(first);
            FieldsError::Unknown { count, example: shown(example) }
        };
        let fields = fitting.next().ok_or_else(unknown)?;
        // Several layouts may fit, if they give the same names; or the same in China, where no others are then used.
        let others: Vec<_> = fitting.collect();
        let are_same = |change: fn(Self) -> Self| {
            let names = |fields: Self, region| change(fields).place(region).map(|place| place.names());
            others.iter().all(|&other| regions.iter().all(|region| names(fields, region) == names(other, region)))
        };
        if are_same(|fields| fields) {
            Ok(fields)
        } else if are_same(Self::only_china) {
            Ok(Self { code: None, ..fields.only_china() })
        } else {
            Err(unknown())
        }
    }

    /// A layout of so many fields, of which the first is the country.
    const fn of_country(count: usize) -> Self {
        Self { count, country: 0, province: None, city: None, code: None, carrier: None, only_china: false }
    }

    /// Whether this layout fits the regions.
    fn fit(self, regions: &[&str]) -> bool {
        // The number of regions in China whose field `at` has something.
        let having = |at: usize, something: fn(&str) -> bool| {
            let placed = regions.iter().filter(|region| is_placed(region));
            let field = placed.filter_map(|region| split(region).nth(at));
            field.filter(|field| !field.is_empty() && something(field)).count()
        };
        let (Some(province), Some(city)) = (self.province, self.city) else { return false };
        let provinces = having(province, is_province);
        // The number of regions in China whose field `at` is a city.
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
        // The first field is not the country if another one is China, or if it is a code.
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
            // A city may have the name of its province; an area does not.
            && (province == 1 || few(having(1, is_province), provinces))
            && if self == WITH_CODE { few(others, codes) } else { few(codes, others) }
            && !regions.iter().any(|region| is_elsewhere(region))
    }

    /// The place of a region. `None` if it has another number of fields.
    pub(super) fn place(self, region: &str) -> Option<Place<'_>> {
        let mut place = Place::default();
        let mut count = 0;
        for (at, field) in split(region).enumerate() {
            count += 1;
            let part = match Some(at) {
                country if country == Some(self.country) => &mut place.country,
                province if province == self.province => &mut place.region,
                city if city == self.city => &mut place.city,
                code if code == self.code => &mut place.code,
                carrier if carrier == self.carrier => &mut place.org,
                _ => continue,
            };
            *part = field;
        }
        if count != self.count {
            return None;
        }
        if !is_code(place.code) {
            place.code = "";
        }
        Some(match place.country {
            "" | RESERVED => Place { org: place.org, ..Place::default() },
            country if is_china(country) || !self.only_china => place,
            _ => Place { region: "", city: "", ..place },
        })
    }

    /// This layout without provinces and cities.
    pub(super) const fn only_country(self) -> Self {
        Self { province: None, city: None, ..self }
    }

    /// This layout with provinces and cities of China alone.
    pub(super) const fn only_china(self) -> Self {
        Self { only_china: true, ..self }
    }

    /// The number of fields of a region.
    pub(super) const fn count(self) -> usize {
        self.count
    }
}

/// The fields of a region, trimmed. Unknown ones, which the file has as 0, are empty.
fn split(region: &str) -> impl Iterator<Item = &str> {
    region.split('|').map(str::trim).map(|field| if field == "0" { "" } else { field })
}

fn is_china(country: &str) -> bool {
    CHINA.iter().any(|name| name.eq_ignore_ascii_case(country)) || CHINA_CODES.contains(&country)
}

/// Whether a region in China has more than its country and a code.
fn is_placed(region: &str) -> bool {
    let mut fields = split(region);
    fields.next().is_some_and(is_china) && fields.any(|field| !field.is_empty() && !is_code(field))
}

/// Whether a region has anything between its country and its last field, which is a carrier or a code.
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

/// Whether a field is a city, or a unit that replaces it in this province.
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

/// Whether a field is a code of two letters, as in ISO 3166.
fn is_code(field: &str) -> bool {
    field.len() == 2 && field.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Whether wrong values are so few, compared with right ones, that they can be ignored.
const fn few(odd: usize, right: usize) -> bool {
    odd * ODD <= right
}

/// A region, shortened to a line of a message.
fn shown(region: &str) -> String {
    // A file of another kind may have any characters.
    let printable = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    let mut shown: String = region.chars().take(SHOWN).map(printable).collect();
    if region.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The names of fields on the command line.
const NAMES: [&str; 5] = ["country", "province", "city", "code", "carrier"];
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
        let [country, province, city, code, carrier] = found;
        let country = country.ok_or(NamesError::NoCountry)?;
        Ok(Self { country, province, city, code, carrier, ..Self::of_country(count) })
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [Some(self.country), self.province, self.city, self.code, self.carrier];
        let named = fields.into_iter().zip(NAMES);
        for at in 0..self.count {
            let name = named.clone().find(|(field, _)| *field == Some(at)).map_or(NOT_USED, |(_, name)| name);
            write!(f, "{}{name}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Why the layout of a file is not known.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FieldsError {
    /// Regions differ in the number of their fields.
    #[error(
        "it has regions of {count} fields and of {others}, such as {other}: take a file whose regions are all alike"
    )]
    Uneven {
        /// The number of fields of the first region.
        count: usize,
        /// A region with another number.
        other: String,
        /// The number of its fields.
        others: usize,
    },
    /// No layout fits, or several do.
    #[error(
        "it cannot be told which of its {count} fields are country, province and city, as in {example}: name them in \
         their order, with - for each that is none of these (--fields country,-,province,city,-)"
    )]
    Unknown {
        /// The number of fields.
        count: usize,
        /// An example of a region.
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
        /// An example of a region.
        example: String,
        /// The names to give where only the country is used.
        fields: Box<Fields>,
    },
    /// A region has another number of fields than were named.
    #[error("there are {named} names of fields, and {found} fields in {region}")]
    Named {
        /// The number of names.
        named: usize,
        /// The number of fields of the region.
        found: usize,
        /// The region.
        region: String,
    },
}

impl FieldsError {
    /// The error for a region with another number of fields than were named.
    pub(super) fn named(fields: Fields, region: &str) -> Self {
        Self::Named { named: fields.count(), found: split(region).count(), region: shown(region) }
    }
}

/// Why a list of names of fields is invalid.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NamesError {
    /// A name is unknown.
    #[error("{name:?} is no field: there are {}, and - for any other", NAMES.join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// A name is there more than once.
    #[error("{name} is there twice")]
    Twice {
        /// The name.
        name: &'static str,
    },
    /// There is no country.
    #[error("country has to be one of them")]
    NoCountry,
    /// There are too many names.
    #[error("more than {COUNT_MAX} fields")]
    TooMany,
}
