//! API tokens: only what they hash to, what they allow, and until when.

use sqlx::any::AnyRow;

use super::audit::{Deed, note};
use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// A token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken<'a> {
    /// What people call it.
    pub name: &'a str,
    /// SHA-256 of the token, in hexadecimal digits.
    pub hash: &'a str,
    /// Words, separated by spaces.
    pub scopes: &'a str,
    /// How long it is good for, in milliseconds.
    pub lasts_ms: i64,
}

/// A token as it was kept. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its number here.
    pub id: i64,
    /// What people call it.
    pub name: String,
    /// Words, separated by spaces.
    pub scopes: String,
    /// When it was made.
    pub created_at: i64,
    /// Until when it is good.
    pub expires_at: i64,
    /// When it was last shown.
    pub used_at: Option<i64>,
    /// When it was taken back.
    pub revoked_at: Option<i64>,
}

impl Token {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.int("id")?,
            name: row.text("name")?,
            scopes: row.text("scopes")?,
            created_at: row.int("created_at")?,
            expires_at: row.int("expires_at")?,
            used_at: row.maybe_int("used_at")?,
            revoked_at: row.maybe_int("revoked_at")?,
        })
    }
}

impl Database {
    /// Keeps a token that somebody makes, which the audit log has from then on; its number comes back.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn add_token(&self, token: &NewToken<'_>, actor: &str) -> Result<i64, DatabaseError> {
        let fault = || DatabaseError::query("keep a token");
        let text = self.sql(
            "INSERT INTO tokens (name, hash, scopes, created_at, expires_at) VALUES ($1, $2, $3, now_ms(), now_ms() + $4) \
             RETURNING id",
        );
        let query = sqlx::query(text).bind(token.name).bind(token.hash).bind(token.scopes).bind(token.lasts_ms);
        let mut transaction = self.begin().await?;
        let id = query.fetch_one(&mut *transaction).await.map_err(fault())?.int("id")?;
        let target = id.to_string();
        let deed = Deed { actor, verb: "token.create", target: &target, detail: token.name };
        note(self, &mut transaction, deed).await?;
        transaction.commit().await.map_err(fault())?;
        Ok(id)
    }

    /// The token that hashes to this, when it is good now; that it was used is noted, once a minute at most.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn token(&self, hash: &str) -> Result<Option<Token>, DatabaseError> {
        let fault = || DatabaseError::query("look a token up");
        let text = self.sql(
            "SELECT id, name, scopes, created_at, expires_at, used_at, revoked_at FROM tokens \
             WHERE hash = $1 AND revoked_at IS NULL AND expires_at > now_ms()",
        );
        let row = sqlx::query(text).bind(hash).fetch_optional(self.reader()).await.map_err(fault())?;
        let Some(token) = row.as_ref().map(Token::of).transpose()? else { return Ok(None) };
        let text = self.sql(
            "UPDATE tokens SET used_at = now_ms() WHERE id = $1 AND (used_at IS NULL OR used_at < now_ms() - 60000)",
        );
        sqlx::query(text).bind(token.id).execute(self.writer()).await.map_err(fault())?;
        Ok(Some(token))
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn tokens(&self) -> Result<Vec<Token>, DatabaseError> {
        let text = "SELECT id, name, scopes, created_at, expires_at, used_at, revoked_at FROM tokens ORDER BY id DESC";
        let rows = sqlx::query(text).fetch_all(self.reader()).await.map_err(DatabaseError::query("list tokens"))?;
        rows.iter().map(Token::of).collect()
    }

    /// Takes a token back, and notes who does; one that was taken back stays so.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`] when there is none.
    pub async fn revoke_token(&self, id: i64, actor: &str) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("take a token back");
        let text = self.sql("UPDATE tokens SET revoked_at = COALESCE(revoked_at, now_ms()) WHERE id = $1");
        let mut transaction = self.begin().await?;
        let done = sqlx::query(text).bind(id).execute(&mut *transaction).await.map_err(fault())?;
        let target = id.to_string();
        if done.rows_affected() == 0 {
            return Err(DatabaseError::Missing { what: "token", name: target });
        }
        let deed = Deed { actor, verb: "token.revoke", target: &target, detail: "" };
        note(self, &mut transaction, deed).await?;
        transaction.commit().await.map_err(fault())
    }
}
