//! One file per finding. Its header is what `bailiwick explain` prints; its `RULE` is data; its
//! `find` is pure; its tests are at the bottom. A new one needs a line here and a line in
//! [`CATALOGUE`](crate::rule::CATALOGUE).

pub(crate) mod parent_family_divergent;
