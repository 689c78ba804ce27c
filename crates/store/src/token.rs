//! Tokens: what somebody joins with, once.

use std::{collections::BTreeSet, fmt, time::Duration};

use bailiwick_core::{time::Timestamp, vantage::VantageId};

use crate::{KeyHash, Role};

/// How long after a redemption the same key may ask again.
pub const RETRY_WINDOW: Duration = Duration::from_mins(10);

/// Which token: 80 random bits. It is no secret.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct TokenId(pub [u8; 10]);

/// What a token is good for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// To become an agent.
    Agent {
        /// Its name.
        name: VantageId,
        /// What is known of its place, each as `key=value`.
        labels: BTreeSet<String>,
        /// The network that it has to come from, as `address/length`; `None` for any.
        from: Option<String>,
        /// Whether it has no voice before an operator approves it.
        approve: bool,
    },
    /// To become an operator.
    Operator {
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
    },
}

/// A token to be kept.
#[derive(Clone, Eq, PartialEq)]
pub struct NewToken {
    /// Identity.
    pub id: TokenId,
    /// HMAC-SHA-256 of its secret under a key that is not in the store. The secret itself never
    /// comes here.
    pub mac: [u8; 32],
    /// What it is good for.
    pub scope: Scope,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

impl fmt::Debug for NewToken {
    /// Leaves out the code, so that no log invites to guess at secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("id", &self.id)
            .field("scope", &self.scope)
            .field("created", &self.created)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A token that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// Identity.
    pub id: TokenId,
    /// What it is good for.
    pub scope: Scope,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
    /// Who redeemed it, and when.
    pub used: Option<(KeyHash, Timestamp)>,
}

/// Somebody shows a token.
#[derive(Clone, Eq, PartialEq)]
pub struct Redemption {
    /// The token.
    pub token: TokenId,
    /// HMAC-SHA-256 of the secret that was shown, under the key of [`NewToken::mac`].
    pub mac: [u8; 32],
    /// The key that is to be enrolled, of which the caller saw a proof.
    pub key: KeyHash,
    /// Now.
    pub at: Timestamp,
}

impl fmt::Debug for Redemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redemption")
            .field("token", &self.token)
            .field("key", &self.key)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// A token was redeemed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redeemed {
    /// Who the key is from now on.
    pub scope: Scope,
    /// Whether the same key had redeemed it before.
    pub again: bool,
}
