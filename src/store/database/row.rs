//! Reading the columns of a row, with one kind of error.

use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::DatabaseError;

/// Columns by name.
pub(super) trait Fields {
    fn int(&self, name: &str) -> Result<i64, DatabaseError>;
    fn maybe_int(&self, name: &str) -> Result<Option<i64>, DatabaseError>;
    fn text(&self, name: &str) -> Result<String, DatabaseError>;
    fn maybe_text(&self, name: &str) -> Result<Option<String>, DatabaseError>;
    fn bytes(&self, name: &str) -> Result<Vec<u8>, DatabaseError>;

    fn flag(&self, name: &str) -> Result<bool, DatabaseError> {
        Ok(self.int(name)? != 0)
    }

    fn json(&self, name: &str) -> Result<Value, DatabaseError> {
        let text = self.text(name)?;
        serde_json::from_str(&text).map_err(|error| DatabaseError::Content(format!("column {name}: {error}")))
    }
}

impl Fields for AnyRow {
    fn int(&self, name: &str) -> Result<i64, DatabaseError> {
        self.try_get(name).map_err(DatabaseError::query("read a column"))
    }

    fn maybe_int(&self, name: &str) -> Result<Option<i64>, DatabaseError> {
        self.try_get(name).map_err(DatabaseError::query("read a column"))
    }

    fn text(&self, name: &str) -> Result<String, DatabaseError> {
        self.try_get(name).map_err(DatabaseError::query("read a column"))
    }

    fn maybe_text(&self, name: &str) -> Result<Option<String>, DatabaseError> {
        self.try_get(name).map_err(DatabaseError::query("read a column"))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, DatabaseError> {
        self.try_get(name).map_err(DatabaseError::query("read a column"))
    }
}

/// What a text column holds, as one of our words.
pub(super) fn word<T: std::str::FromStr>(text: &str) -> Result<T, DatabaseError> {
    text.parse().map_err(|_| DatabaseError::Content(format!("`{text}` is no word that is known here")))
}
