//! Where a vantage point stands, as its coordinator knows it, and what is held against it.
//!
//! Nothing of this is in a report: a report says what was seen, and whoever sends it could say
//! anything about itself. Network and region come from the address that the coordinator sees,
//! looked up in the operator's table, and without a table from the labels given at enrolment.
//!
//! Two vantage points are [distinct](Place::is_distinct_from) if neither a network, nor whoever
//! runs it, nor a city can be the common cause of what they see. Distances and regions follow the
//! CA/Browser Forum's Baseline Requirements, section 3.2.2.9.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::{time::Timestamp, vantage::Objection};

/// How far apart vantage points stand at least to count as two, in kilometres.
pub const DISTINCT_KM: u32 = 500;

/// The number of an autonomous system (RFC 6793).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Asn(pub u32);

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

/// Why a label does not say where a vantage point stands.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no {wanted}")]
pub struct PlaceError {
    /// The text.
    pub text: String,
    /// What it should have been.
    pub wanted: &'static str,
}

impl PlaceError {
    fn of(text: &str, wanted: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            wanted,
        }
    }
}

impl FromStr for Asn {
    type Err = PlaceError;

    /// Reads `64500` or `AS64500`. Nobody has the number 0 (RFC 7607).
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let digits = text.strip_prefix("AS").unwrap_or(text);
        let number = digits.parse().ok().filter(|number| *number != 0);
        number
            .map(Self)
            .ok_or_else(|| PlaceError::of(text, "autonomous system number"))
    }
}

/// A region of the world, by the Internet registry that gives out its addresses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Rir {
    /// Africa.
    Afrinic,
    /// Asia and the Pacific.
    Apnic,
    /// North America.
    Arin,
    /// Latin America and the Caribbean.
    Lacnic,
    /// Europe, the Middle East and Central Asia.
    Ripe,
}

impl Rir {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Afrinic,
        Self::Apnic,
        Self::Arin,
        Self::Lacnic,
        Self::Ripe,
    ];
}

impl fmt::Display for Rir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Afrinic => "afrinic",
            Self::Apnic => "apnic",
            Self::Arin => "arin",
            Self::Lacnic => "lacnic",
            Self::Ripe => "ripe",
        })
    }
}

impl FromStr for Rir {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let named = |rir: &Self| rir.to_string() == text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| PlaceError::of(text, "regional Internet registry"))
    }
}

/// A point on Earth, in micro-degrees: whole numbers, so that equal places are equal everywhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Position {
    latitude: i32,
    longitude: i32,
}

impl Position {
    /// Returns the point, if there is one: latitude from -90 to 90 degrees, longitude from -180
    /// to 180 degrees, both in micro-degrees.
    #[must_use]
    pub fn of(latitude: i32, longitude: i32) -> Option<Self> {
        let on_earth = latitude.unsigned_abs() <= 90_000_000;
        let around = longitude.unsigned_abs() <= 180_000_000;
        (on_earth && around).then_some(Self {
            latitude,
            longitude,
        })
    }

    /// Returns latitude and longitude in micro-degrees.
    #[must_use]
    pub fn micro_degrees(self) -> (i32, i32) {
        (self.latitude, self.longitude)
    }

    /// Returns the distance along the surface, in kilometres, on a sphere of the size of Earth.
    #[must_use]
    pub fn kilometres_to(self, other: Self) -> u32 {
        const RADIUS_KM: f64 = 6_371.0;
        let radians = |micro: i32| f64::from(micro).to_radians() / 1e6;
        let (a, b) = (radians(self.latitude), radians(other.latitude));
        let north = b - a;
        let east = radians(other.longitude) - radians(self.longitude);
        // The haversine formula: exact enough where places are near each other.
        let half = (north / 2.0).sin().powi(2) + a.cos() * b.cos() * (east / 2.0).sin().powi(2);
        let distance = 2.0 * RADIUS_KM * half.clamp(0.0, 1.0).sqrt().asin();
        // At most half the circumference of Earth, 20015.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let whole = distance.round() as u32;
        whole
    }
}

impl fmt::Display for Position {
    /// Writes degrees: `50.11,8.68`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let degrees = |micro: i32| f64::from(micro) / 1e6;
        write!(f, "{},{}", degrees(self.latitude), degrees(self.longitude))
    }
}

impl FromStr for Position {
    type Err = PlaceError;

    /// Reads degrees: `50.11,8.68`.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let micro = |degrees: &str| -> Option<i32> {
            let degrees: f64 = degrees.trim().parse().ok()?;
            let micro = (degrees * 1e6).round();
            #[allow(clippy::cast_possible_truncation)]
            let whole = (micro.abs() <= 180e6).then_some(micro as i32);
            whole
        };
        text.split_once(',')
            .and_then(|(latitude, longitude)| Self::of(micro(latitude)?, micro(longitude)?))
            .ok_or_else(|| PlaceError::of(text, "point on Earth (degrees north, degrees east)"))
    }
}

/// What a coordinator knows of a vantage point.
///
/// Of two accounts the greater one holds: the later, and of equally late ones always the same.
/// So places join in any order ([`Place::join`]).
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Place {
    /// Since when this is known.
    pub since: Timestamp,
    /// The autonomous system of its address.
    pub asn: Option<Asn>,
    /// The region of its address.
    pub rir: Option<Rir>,
    /// Where it stands.
    pub position: Option<Position>,
    /// The address that it connects from, as the coordinator sees it.
    pub address: Option<IpAddr>,
    /// Who runs its network, where one has several autonomous systems.
    pub operator: Option<String>,
    /// Other labels of its enrolment.
    pub labels: BTreeMap<String, String>,
    /// Whether it looks at a laboratory and not at the Internet.
    pub lab: bool,
    /// What is held against it.
    pub objections: BTreeSet<Objection>,
}

impl Place {
    /// Returns the place that labels of the form `key=value` tell: `asn`, `rir`, `geo` (degrees
    /// north and east), `operator` and `lab` (`true`); others are kept as they are.
    ///
    /// # Errors
    ///
    /// Returns [`PlaceError`] for the first label that cannot be read.
    pub fn of_labels<'l>(labels: impl IntoIterator<Item = &'l str>) -> Result<Self, PlaceError> {
        let mut place = Self::default();
        for label in labels {
            let (key, value) = label
                .split_once('=')
                .ok_or_else(|| PlaceError::of(label, "label (key=value)"))?;
            match key {
                "asn" => place.asn = Some(value.parse()?),
                "rir" => place.rir = Some(value.parse()?),
                "geo" => place.position = Some(value.parse()?),
                "operator" => place.operator = Some(value.to_owned()),
                "lab" => place.lab = value == "true",
                _ => {
                    place.labels.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        Ok(place)
    }

    /// Returns the account that holds. Commutative, associative and idempotent.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        self.max(other)
    }

    /// Returns the network of its address: 24 bits of IPv4, 48 of IPv6. A loopback address is in
    /// none: whoever runs agents beside their coordinator says by labels where they stand.
    #[must_use]
    pub fn prefix(&self) -> Option<IpAddr> {
        let address = self.address.filter(|address| !address.is_loopback());
        address.map(|address| match address {
            IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) & 0xffff_ff00).into(),
            IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 80 << 80).into(),
        })
    }

    /// Returns whether what happens to the one place says nothing about the other: another
    /// autonomous system, another network, another operator, and [`DISTINCT_KM`] between them.
    /// What is not known of both is not compared, but without the number of both autonomous
    /// systems nothing is distinct.
    #[must_use]
    pub fn is_distinct_from(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_none_or(|(one, other)| one != other)
        }
        self.asn.is_some()
            && other.asn.is_some()
            && differ(self.asn, other.asn)
            && differ(self.prefix(), other.prefix())
            && differ(self.operator.as_ref(), other.operator.as_ref())
            && self
                .position
                .zip(other.position)
                .is_none_or(|(here, there)| here.kilometres_to(there) >= DISTINCT_KM)
    }
}

impl fmt::Display for Place {
    /// Writes what is known in a few words: `AS64500 ripe`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.asn, self.rir) {
            (Some(asn), Some(rir)) => write!(f, "{asn} {rir}"),
            (Some(asn), None) => write!(f, "{asn}"),
            (None, Some(rir)) => write!(f, "{rir}"),
            (None, None) => f.write_str("an unknown network"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(labels: &str) -> Place {
        Place::of_labels(labels.split(' ')).unwrap()
    }

    fn at(mut place: Place, address: &str) -> Place {
        place.address = Some(address.parse().unwrap());
        place
    }

    #[test]
    fn labels_say_where_a_vantage_point_stands() {
        let place = place("asn=AS64500 rir=RIPE geo=50.11,8.68 operator=acme role=probe");
        assert_eq!(place.asn, Some(Asn(64500)));
        assert_eq!(place.rir, Some(Rir::Ripe));
        assert_eq!(place.position, Position::of(50_110_000, 8_680_000));
        assert_eq!(place.operator.as_deref(), Some("acme"));
        assert_eq!(place.labels["role"], "probe");
        assert_eq!(place.to_string(), "AS64500 ripe");
        for bad in [
            "asn=many",
            "asn=AS0",
            "rir=mars",
            "geo=91,0",
            "geo=0,180.1",
            "geo=0",
            "geo=NaN,0",
            "fra",
        ] {
            assert!(Place::of_labels([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        let cases = [
            ("50.11,8.68", "52.37,4.90", 364, "Frankfurt, Amsterdam"),
            ("40.71,-74.01", "51.51,-0.13", 5570, "New York, London"),
            ("0,179.9", "0,-179.9", 22, "across the date line"),
            ("90,0", "90,123", 0, "the pole is one point"),
            ("0,0", "0,180", 20015, "half the way round"),
        ];
        for (from, to, kilometres, why) in cases {
            let [from, to]: [Position; 2] = [from, to].map(|p| p.parse().unwrap());
            assert_eq!(from.kilometres_to(to), kilometres, "{why}");
            assert_eq!(to.kilometres_to(from), kilometres, "{why}, back");
        }
    }

    #[test]
    fn places_are_distinct_if_nothing_is_common() {
        let one = || place("asn=64500 geo=50.11,8.68");
        let cases = [
            (one(), place("asn=64501 geo=40.71,-74.01"), true, "far"),
            (one(), place("asn=64500 geo=40.71,-74.01"), false, "one AS"),
            (one(), place("asn=64501 geo=52.37,4.90"), false, "near"),
            (one(), place("asn=64501"), true, "nobody knows how far"),
            (one(), place("rir=arin"), false, "nobody knows which AS"),
            (
                place("asn=64500 operator=acme"),
                place("asn=64501 operator=acme"),
                false,
                "one operator",
            ),
            (
                at(place("asn=64500"), "192.0.2.1"),
                at(place("asn=64501"), "192.0.2.254"),
                false,
                "one /24, whatever the labels say",
            ),
            (
                at(place("asn=64500"), "2001:db8:1::1"),
                at(place("asn=64501"), "2001:db8:1:ffff::1"),
                false,
                "one /48",
            ),
            (
                at(place("asn=64500"), "2001:db8:1::1"),
                at(place("asn=64501"), "2001:db8:2::1"),
                true,
                "another /48",
            ),
            (
                at(place("asn=64500"), "127.0.0.1"),
                at(place("asn=64501"), "127.0.0.1"),
                true,
                "one machine is no network, so the labels decide",
            ),
        ];
        for (one, other, distinct, why) in cases {
            assert_eq!(one.is_distinct_from(&other), distinct, "{why}");
            assert_eq!(other.is_distinct_from(&one), distinct, "{why}, back");
        }
        assert!(!one().is_distinct_from(&one()), "nothing is two");
    }

    #[test]
    fn the_later_account_holds() {
        let early = place("asn=64500");
        let mut late = place("asn=64400");
        late.since = Timestamp(1);
        assert_eq!(early.clone().join(late.clone()), late);
        assert_eq!(late.clone().join(early), late);
    }
}
