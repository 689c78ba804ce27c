//! Words of `core` and their numbers on the wire.

use std::collections::BTreeSet;

use bailiwick_core::{
    message::Class,
    observation::{Rejection, Withheld},
    query::{Control, Purpose, Stub, Survey, Via},
    report::{Inside, Lane},
    server::{Family, Role},
};

use super::DecodeError;
use crate::proto::report::v1 as pb;

/// Makes two functions of a table: to the number, and back.
macro_rules! codes {
    ($(
        $(#[$about:meta])*
        $visible:vis $to:ident, $from:ident: $field:literal, $word:ty, $code:ident {
            $($pattern:pat => $number:ident = $value:expr),+ $(,)?
        }
    )+) => { $(
        $(#[$about])*
        #[must_use]
        $visible fn $to(word: $word) -> i32 {
            let code = match word { $($pattern => pb::$code::$number),+ };
            code.into()
        }

        $(#[$about])*
        ///
        /// # Errors
        ///
        /// Returns [`DecodeError::Unknown`] for a number that this version does not know.
        $visible fn $from(number: i32) -> Result<$word, DecodeError> {
            match pb::$code::try_from(number) {
                $(Ok(pb::$code::$number) => Ok($value),)+
                _ => Err(DecodeError::Unknown { field: $field, value: number.into() }),
            }
        }
    )+ };
}

codes! {
    /// A lane and its number.
    pub to_lane, lane: "lane", Lane, Lane {
        Lane::Change => Change = Lane::Change,
        Lane::Routine => Routine = Lane::Routine,
    }
    pub(super) to_family, family: "family", Family, Family {
        Family::V4 => V4 = Family::V4,
        Family::V6 => V6 = Family::V6,
    }
    pub(super) to_stub, stub: "stub", Stub, Stub {
        Stub::Plain => Plain = Stub::Plain,
        Stub::Tls => Tls = Stub::Tls,
        Stub::Https => Https = Stub::Https,
    }
    pub(super) to_inside, inside: "inside", Inside, Inside {
        Inside::Data => Data = Inside::Data,
        Inside::Alias => Alias = Inside::Alias,
    }
    pub(super) to_role, role: "role", Role, Role {
        Role::Root => Root = Role::Root,
        Role::Parent => Parent = Role::Parent,
        Role::Child => Child = Role::Child,
        Role::Resolver => Resolver = Role::Resolver,
        Role::Blackhole => Blackhole = Role::Blackhole,
    }
    pub(super) to_purpose, purpose: "purpose", Purpose, Purpose {
        Purpose::Walk => Walk = Purpose::Walk,
        Purpose::Lookup => Lookup = Purpose::Lookup,
        Purpose::Parent => Parent = Purpose::Parent,
        Purpose::Small => Small = Purpose::Small,
        Purpose::Child => Child = Purpose::Child,
        Purpose::Survey(Survey::Stub) => SurveyStub = Purpose::Survey(Survey::Stub),
        Purpose::Survey(Survey::Warm) => SurveyWarm = Purpose::Survey(Survey::Warm),
        Purpose::Survey(Survey::Fresh) => SurveyFresh = Purpose::Survey(Survey::Fresh),
        Purpose::Survey(Survey::FreshUnchecked) =>
            SurveyFreshUnchecked = Purpose::Survey(Survey::FreshUnchecked),
        Purpose::Survey(Survey::Identity) => SurveyIdentity = Purpose::Survey(Survey::Identity),
        Purpose::Survey(Survey::Control) => SurveyControl = Purpose::Survey(Survey::Control),
        Purpose::Control(Control::Root) => ControlRoot = Purpose::Control(Control::Root),
        Purpose::Control(Control::Blackhole) =>
            ControlBlackhole = Purpose::Control(Control::Blackhole),
        Purpose::Control(Control::Constancy) =>
            ControlConstancy = Purpose::Control(Control::Constancy),
        Purpose::Control(Control::Absent) => ControlAbsent = Purpose::Control(Control::Absent),
    }
    pub(super) to_via, via: "via", Via, Via {
        Via::Udp => Udp = Via::Udp,
        Via::Tcp => Tcp = Via::Tcp,
        Via::Stub(Stub::Plain) => StubPlain = Via::Stub(Stub::Plain),
        Via::Stub(Stub::Tls) => StubTls = Via::Stub(Stub::Tls),
        Via::Stub(Stub::Https) => StubHttps = Via::Stub(Stub::Https),
    }
    pub(super) to_class, class: "class", Class, Class {
        Class::In => In = Class::In,
        Class::Chaos => Chaos = Class::Chaos,
    }
    pub(super) to_rejection, rejection: "rejection", Rejection, Rejection {
        Rejection::Port => Port = Rejection::Port,
        Rejection::Host => Host = Rejection::Host,
        Rejection::Closed => Closed = Rejection::Closed,
    }
    pub(super) to_withheld, withheld: "withheld", Withheld, Withheld {
        Withheld::SpecialUse => SpecialUse = Withheld::SpecialUse,
        Withheld::OwnAddress => OwnAddress = Withheld::OwnAddress,
        Withheld::Packets => Packets = Withheld::Packets,
        Withheld::PacketsToAddress => PacketsToAddress = Withheld::PacketsToAddress,
        Withheld::SameQuestion => SameQuestion = Withheld::SameQuestion,
        Withheld::Time => Time = Withheld::Time,
        Withheld::Octets => Octets = Withheld::Octets,
        Withheld::NoRoute => NoRoute = Withheld::NoRoute,
        Withheld::NoSocket => NoSocket = Withheld::NoSocket,
    }
}

pub(super) fn to_families(families: &BTreeSet<Family>) -> Vec<i32> {
    families.iter().copied().map(to_family).collect()
}

pub(super) fn families(numbers: &[i32]) -> Result<BTreeSet<Family>, DecodeError> {
    numbers.iter().copied().map(family).collect()
}
