//! Tokens, and how they become agents and operators.

use bailiwick_core::{time::Timestamp, vantage::VantageId};
use rusqlite::{Connection, Row};

use super::{
    Done, agents, audit,
    rows::{broken, execute, first, labels, micros, moment, to_labels},
};
use crate::{
    Audit, Error, KeyHash, NewToken, RETRY_WINDOW, Redeemed, Redemption, Refusal, Role, Scope,
    Token, TokenId,
};

pub(super) fn create(db: &Connection, token: &NewToken, noted: &Audit) -> Done<()> {
    let (kind, name, label_lines, network, approve, role) = match &token.scope {
        Scope::Agent {
            name,
            labels: set,
            from,
            approve,
        } => ("agent", &name.0, labels(set), from.as_ref(), *approve, None),
        Scope::Operator { name, role } => (
            "operator",
            name,
            String::new(),
            None,
            false,
            Some(role.to_string()),
        ),
    };
    let created = execute(
        db,
        "INSERT INTO join_token
             (id, mac, kind, name, labels, network, approve, role, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO NOTHING",
        (
            token.id.0,
            token.mac,
            kind,
            name,
            label_lines,
            network,
            approve,
            role,
            micros(token.created),
            micros(token.expires),
        ),
    )?;
    if created == 0 {
        return Err(Error::Exists { what: "token" }.into());
    }
    audit::note(db, noted)
}

pub(super) fn find(db: &Connection, id: TokenId) -> Done<Option<Token>> {
    first(
        db,
        "SELECT kind, name, labels, network, approve, role, created_at, expires_at, used_at,
             used_spki
         FROM join_token WHERE id = ?1",
        [id.0],
        |row| {
            let key: Option<[u8; 32]> = row.get(9)?;
            let at: Option<i64> = row.get(8)?;
            Ok(Token {
                id,
                scope: scope(row)?,
                created: moment(row.get(6)?),
                expires: moment(row.get(7)?),
                used: key.map(KeyHash).zip(at.map(moment)),
            })
        },
    )
}

/// Reads what a token is good for from the first six columns.
fn scope(row: &Row<'_>) -> rusqlite::Result<Scope> {
    let name: String = row.get(1)?;
    match row.get_ref(0)?.as_str()? {
        "agent" => Ok(Scope::Agent {
            name: VantageId(name),
            labels: to_labels(row.get_ref(2)?.as_str()?),
            from: row.get(3)?,
            approve: row.get(4)?,
        }),
        "operator" => Ok(Scope::Operator {
            name,
            role: Role::named(row.get_ref(5)?.as_str()?).ok_or_else(|| broken(5))?,
        }),
        _ => Err(broken(0)),
    }
}

/// The one conditional statement decides who wins; the rest says why somebody did not.
pub(super) fn redeem(db: &Connection, redemption: &Redemption) -> Done<Redeemed> {
    let won = first(
        db,
        "UPDATE join_token SET used_at = ?1, used_spki = ?2
         WHERE id = ?3 AND mac = ?4 AND used_at IS NULL AND expires_at > ?1
         RETURNING kind, name, labels, network, approve, role",
        (
            micros(redemption.at),
            redemption.key.0,
            redemption.token.0,
            redemption.mac,
        ),
        scope,
    )?;
    if let Some(scope) = won {
        enrol(db, &scope, redemption.key, redemption.at)?;
        return Ok(Redeemed {
            scope,
            again: false,
        });
    }
    let token = find(db, redemption.token)?.ok_or(Error::Refused(Refusal::Unknown))?;
    let scope = token.scope;
    let again = match token.used {
        _ if !is_secret_of(db, redemption)? => Err(Refusal::WrongSecret),
        None => Err(Refusal::Expired),
        Some((key, at)) => {
            let in_time = redemption.at <= at.after(RETRY_WINDOW);
            let again = key == redemption.key && in_time && holds(db, &scope, key)?;
            again.then_some(true).ok_or(Refusal::Used)
        }
    };
    let again = again.map_err(Error::Refused)?;
    Ok(Redeemed { scope, again })
}

fn is_secret_of(db: &Connection, redemption: &Redemption) -> Done<bool> {
    let found: Option<i64> = first(
        db,
        "SELECT 1 FROM join_token WHERE id = ?1 AND mac = ?2",
        (redemption.token.0, redemption.mac),
        |row| row.get(0),
    )?;
    Ok(found.is_some())
}

/// Returns whether the one that a scope names has this key.
fn holds(db: &Connection, scope: &Scope, key: KeyHash) -> Done<bool> {
    Ok(match scope {
        Scope::Agent { name, .. } => {
            agents::by_key(db, key)?.is_some_and(|agent| &agent.name == name)
        }
        Scope::Operator { name, .. } => {
            agents::operator_by_key(db, key)?.is_some_and(|operator| &operator.name == name)
        }
    })
}

fn enrol(db: &Connection, scope: &Scope, key: KeyHash, at: Timestamp) -> Done<()> {
    let refused = |refusal| Err(Error::Refused(refusal).into());
    let agent = agents::by_key(db, key)?;
    let operator = agents::operator_by_key(db, key)?;
    match scope {
        Scope::Agent {
            name,
            labels,
            approve,
            ..
        } => {
            if operator.is_some() || agent.is_some_and(|agent| &agent.name != name) {
                return refused(Refusal::KeyInUse);
            }
            if agents::is_banned(db, name)? == Some(true) {
                return refused(Refusal::Banned);
            }
            agents::enrol(db, name, key, labels, *approve, at)
        }
        Scope::Operator { name, role } => {
            if agent.is_some() || operator.is_some_and(|operator| &operator.name != name) {
                return refused(Refusal::KeyInUse);
            }
            agents::enrol_operator(db, name, key, *role, at)
        }
    }
}
