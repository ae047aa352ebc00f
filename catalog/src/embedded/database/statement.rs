//! A statement for either kind of database, and the rows it yields: text, for the layout holds nothing else.

use std::borrow::Cow;

use sqlx::query::Query;
use sqlx::{ColumnIndex, Database, Decode, Encode, Type};

/// One row: its columns as text. Statements cast what is something else.
pub(in crate::embedded) type Row = Vec<Option<String>>;

/// SQL with `$1`, `$2`, …, which both databases number alike, and the values for them.
#[derive(Clone, Debug)]
pub(in crate::embedded) struct Statement {
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

#[derive(Clone, Debug)]
enum Value {
    Text(Option<String>),
    Boolean(bool),
    Number(i64),
}

impl Statement {
    pub(in crate::embedded) fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    /// Binds the next number.
    pub(in crate::embedded) fn text(self, value: impl Into<String>) -> Self {
        self.with(Value::Text(Some(value.into())))
    }

    pub(in crate::embedded) fn optional_text(self, value: Option<String>) -> Self {
        self.with(Value::Text(value))
    }

    pub(in crate::embedded) fn boolean(self, value: bool) -> Self {
        self.with(Value::Boolean(value))
    }

    pub(in crate::embedded) fn number(self, value: i64) -> Self {
        self.with(Value::Number(value))
    }

    fn with(mut self, value: Value) -> Self {
        self.values.push(value);
        self
    }

    /// The statement as a driver takes it.
    pub(super) fn query<'q, DB>(&'q self) -> Query<'q, DB, <DB as Database>::Arguments<'q>>
    where
        DB: Database,
        Option<&'q str>: Encode<'q, DB> + Type<DB>,
        bool: Encode<'q, DB> + Type<DB>,
        i64: Encode<'q, DB> + Type<DB>,
    {
        self.values.iter().fold(sqlx::query(&self.sql), |query, value| match value {
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Boolean(value) => query.bind(*value),
            Value::Number(value) => query.bind(*value),
        })
    }
}

/// What a driver yields as a row of text.
pub(super) fn text_row<R>(row: &R) -> sqlx::Result<Row>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database>,
    Option<String>: Type<R::Database>,
{
    (0..row.len()).map(|column| row.try_get(column)).collect()
}

/// The columns of a row by position; a row that is too short or has no value there is damage.
pub(in crate::embedded) fn texts<const N: usize>(row: Row) -> Option<[String; N]> {
    let values: Vec<String> = row.into_iter().collect::<Option<_>>()?;
    values.try_into().ok()
}
