//! What DDL, SHOW, DESCRIBE, USE and CALL statements say, as values: every clause that was read is a
//! field here, and what is not a field was refused.

use std::fmt;

use fjord_catalog::evolve::ColumnPosition;
use fjord_catalog::references::ReferenceChange;
use fjord_catalog::spec::{Literal, Transform, Type};
use sqlparser::ast::Query;

use crate::error::{Error, Result};
use crate::foreign::SecretReference;
use crate::sql::literal::WrittenLiteral;

/// A dotted name as it was written, outermost part first. Unquoted parts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPath(pub Vec<String>);

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A query inside a statement: its tree, and its text as the user wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryText {
    /// The tree.
    pub query: Box<Query>,
    /// The text, trimmed, without a final semicolon.
    pub text: String,
}

/// A column as CREATE TABLE or ADD COLUMN declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    /// Outermost field first; CREATE TABLE has one part.
    pub path: Vec<String>,
    /// Its type; nested field ids are placeholders.
    pub ty: Type,
    /// `NOT NULL`.
    pub required: bool,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// `DEFAULT …`, already of the column's type.
    pub default: Option<Literal>,
}

/// One field of a partitioning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDef {
    /// Source column, outermost field first.
    pub column: Vec<String>,
    /// How the column's value becomes the partition's.
    pub transform: Transform,
    /// `AS name`; `None` for the name that Iceberg gives.
    pub name: Option<String>,
}

/// One field of a sort order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortDef {
    /// Column and transform.
    pub term: PartitionDef,
    /// `DESC`.
    pub descending: bool,
    /// `NULLS FIRST`; by default first when ascending and last when descending, as in Iceberg.
    pub nulls_first: bool,
}

/// The value of a property in `WITH (…)` or `TBLPROPERTIES (…)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// A string, number or boolean, by its text.
    Text(String),
    /// `ARRAY['a', 'b']`.
    List(Vec<String>),
    /// `MAP(ARRAY['k'], ARRAY['v'])` or `MAP {'k': 'v'}`.
    Map(Vec<(String, String)>),
    /// `DEFAULT`: back to what it is when unset.
    Default,
}

/// Which words a property list belongs to: they have different keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyStyle {
    /// `WITH (format_version = 2)`.
    With,
    /// `TBLPROPERTIES ('format-version' = '2')`.
    Spark,
}

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, as written when quoted, else in lower case.
    pub key: String,
    /// Its value.
    pub value: PropertyValue,
    /// Which list it came from.
    pub style: PropertyStyle,
}

/// What CREATE does when the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfTaken {
    /// An error.
    Fail,
    /// Nothing (`IF NOT EXISTS`).
    Skip,
    /// Replaces it (`OR REPLACE`).
    Replace,
    /// Replaces it, and it must be there (`REPLACE TABLE`).
    MustReplace,
}

/// `CREATE TABLE … LIKE t`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikeClause {
    /// The table whose columns are copied.
    pub source: ObjectPath,
    /// `INCLUDING PROPERTIES`: also partitioning, sort order, format version and properties.
    pub including_properties: bool,
}

/// One element of CREATE TABLE's column list.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "almost every element is a column")]
pub enum TableElement {
    /// A column.
    Column(ColumnDef),
    /// Columns of another table.
    Like(LikeClause),
}

/// `CREATE TABLE`, with or without a query.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTableStatement {
    /// The new table.
    pub name: ObjectPath,
    /// What to do when the name is taken.
    pub if_taken: IfTaken,
    /// Columns; empty for a CTAS that takes them from its query.
    pub elements: Vec<TableElement>,
    /// CTAS only: new names for the query's columns (`CREATE TABLE t (a, b) AS …`).
    pub column_names: Vec<String>,
    /// `PARTITIONED BY` or `WITH (partitioning = …)`.
    pub partitioning: Vec<PartitionDef>,
    /// `WRITE ORDERED BY` or `WITH (sorted_by = …)`.
    pub sorted_by: Vec<SortDef>,
    /// `LOCATION '…'`.
    pub location: Option<String>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// 2 or 3; `None` for the default.
    pub format_version: Option<u8>,
    /// Iceberg table properties, validated.
    pub properties: Vec<(String, String)>,
    /// `AS query`.
    pub query: Option<QueryText>,
    /// CTAS: `false` for `WITH NO DATA`.
    pub with_data: bool,
}

impl CreateTableStatement {
    /// The names that a query's columns are given, of which it has `columns`; none where it keeps
    /// its own.
    ///
    /// # Errors
    /// Where there are more or fewer.
    pub(crate) fn names_of(&self, columns: usize) -> Result<&[String]> {
        let names = &self.column_names;
        if names.is_empty() || names.len() == columns {
            return Ok(names);
        }
        Err(Error::invalid(format!(
            "{} column names are given and the query yields {columns} columns",
            names.len()
        )))
    }
}

/// `CREATE VIEW`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateViewStatement {
    /// The new view.
    pub name: ObjectPath,
    /// What to do when the name is taken.
    pub if_taken: IfTaken,
    /// Column names and comments; empty when the query names them.
    pub columns: Vec<(String, Option<String>)>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// `TBLPROPERTIES`.
    pub properties: Vec<(String, String)>,
    /// The query.
    pub query: QueryText,
}

/// One action of ALTER TABLE.
#[derive(Clone, Debug, PartialEq)]
pub enum AlterAction {
    /// `ADD COLUMN [IF NOT EXISTS]`.
    AddColumn {
        /// The column.
        column: ColumnDef,
        /// Skip when it is there.
        if_not_exists: bool,
        /// `FIRST`, `LAST` or `AFTER c`.
        position: ColumnPosition,
    },
    /// `ALTER COLUMN c FIRST`, `… AFTER d`.
    MoveColumn(Vec<String>, ColumnPosition),
    /// `ALTER COLUMN c SET DEFAULT x`; `None` for `DROP DEFAULT` and `SET DEFAULT NULL`.
    SetDefault(Vec<String>, Option<WrittenLiteral>),
    /// `DROP COLUMN [IF EXISTS]`.
    DropColumn {
        /// The column.
        path: Vec<String>,
        /// Skip when it is not there.
        if_exists: bool,
    },
    /// `RENAME COLUMN [IF EXISTS] a.b TO c`.
    RenameColumn {
        /// The column.
        path: Vec<String>,
        /// Its new last part.
        to: String,
        /// Skip when it is not there.
        if_exists: bool,
    },
    /// `ALTER COLUMN c [SET DATA] TYPE t`.
    SetType(Vec<String>, Type),
    /// `ALTER COLUMN c DROP NOT NULL`.
    DropNotNull(Vec<String>),
    /// `ALTER COLUMN c COMMENT '…'`, `COMMENT ON COLUMN`.
    CommentColumn(Vec<String>, Option<String>),
    /// `RENAME TO`.
    RenameTo(ObjectPath),
    /// `SET PROPERTIES`, `SET TBLPROPERTIES`, `COMMENT ON TABLE`: sets (`Some`) and removes (`None`).
    Properties {
        /// The changes, validated.
        changes: Vec<(String, Option<String>)>,
        /// Every removed key must be there (`UNSET` without `IF EXISTS`).
        must_exist: bool,
    },
    /// `format_version = 3`.
    UpgradeFormat(u8),
    /// `SET PROPERTIES partitioning = ARRAY[…]`: how rows are partitioned from now on.
    SetPartitioning(Vec<PartitionDef>),
    /// `ADD PARTITION FIELD`.
    AddPartitionField(PartitionDef),
    /// `DROP PARTITION FIELD`: by name or by term.
    DropPartitionField(PartitionDef),
    /// `REPLACE PARTITION FIELD old WITH new`.
    ReplacePartitionField(PartitionDef, PartitionDef),
    /// `WRITE ORDERED BY`, `sorted_by`; empty for `WRITE UNORDERED`.
    SetSortOrder(Vec<SortDef>),
    /// `CREATE`, `REPLACE` and `DROP BRANCH` and `TAG`, `EXECUTE rollback_to_snapshot(id)`, and the
    /// procedures that move a branch.
    References(ReferenceChange),
    /// `CALL system.cherrypick_snapshot`.
    CherryPick(i64),
}

/// What COMMENT ON means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommentTarget {
    /// A table.
    Table(ObjectPath),
    /// A view.
    View(ObjectPath),
    /// A schema.
    Schema(ObjectPath),
    /// The last part names the column of the table (or view) before it.
    Column(ObjectPath),
}

/// What ALTER VIEW does.
#[derive(Clone, Debug, PartialEq)]
pub enum AlterViewAction {
    /// `RENAME TO`.
    RenameTo(ObjectPath),
    /// `AS query`.
    SetQuery(QueryText),
    /// `SET TBLPROPERTIES`, `UNSET TBLPROPERTIES`.
    Properties {
        /// The changes.
        changes: Vec<(String, Option<String>)>,
        /// Every removed key must be there.
        must_exist: bool,
    },
}

/// `LIKE 'pattern' [ESCAPE 'c']`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikePattern {
    /// `%` for any characters, `_` for one.
    pub pattern: String,
    /// Takes the next character literally.
    pub escape: Option<char>,
}

/// A SHOW statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// `SHOW CATALOGS`.
    Catalogs(Option<LikePattern>),
    /// `SHOW SCHEMAS [FROM catalog]`.
    Schemas(Option<ObjectPath>, Option<LikePattern>),
    /// `SHOW TABLES [FROM schema]`.
    Tables(Option<ObjectPath>, Option<LikePattern>),
    /// `SHOW VIEWS [FROM schema]`.
    Views(Option<ObjectPath>, Option<LikePattern>),
    /// `SHOW COLUMNS FROM t`.
    Columns(ObjectPath, Option<LikePattern>),
    /// `SHOW FUNCTIONS`.
    Functions(Option<LikePattern>),
    /// `SHOW CREATE TABLE t`.
    CreateTable(ObjectPath),
    /// `SHOW CREATE VIEW v`.
    CreateView(ObjectPath),
    /// `SHOW CREATE SCHEMA s`.
    CreateSchema(ObjectPath),
    /// `SHOW CREATE CATALOG c`.
    CreateCatalog(ObjectPath),
    /// `SHOW TBLPROPERTIES t [('key')]`.
    Properties(ObjectPath, Option<String>),
}

/// A DESCRIBE statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Describe {
    /// The columns of a table or view.
    Relation {
        /// Which.
        name: ObjectPath,
        /// `FORMATTED` or `EXTENDED`: partitioning, location, properties and so on after them.
        extended: bool,
    },
    /// A schema's properties.
    Schema(ObjectPath),
    /// The columns of a query.
    Query(QueryText),
}

/// The value of an option of CREATE CATALOG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogOption {
    /// A string, number or boolean, by its text.
    Text(String),
    /// `env('…')` or `file('…')`.
    Secret(SecretReference),
    /// `DEFAULT`: as if it had never been given.
    Default,
}

/// What is done to a catalog as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogStatement {
    /// `CREATE CATALOG [IF NOT EXISTS] name USING kind [WITH (…)]`.
    Create {
        /// The new catalog.
        name: ObjectPath,
        /// Nothing when it is there.
        if_not_exists: bool,
        /// The kind of database.
        kind: String,
        /// Its options, keys in lower case.
        options: Vec<(String, CatalogOption)>,
    },
    /// `ALTER CATALOG name SET (…)`.
    Alter {
        /// Which.
        name: ObjectPath,
        /// What changes; other options stay.
        options: Vec<(String, CatalogOption)>,
    },
    /// `DROP CATALOG [IF EXISTS] name`: nothing in the database changes.
    Drop {
        /// Which.
        name: ObjectPath,
        /// Nothing when it is not there.
        if_exists: bool,
    },
    /// `CALL system.refresh('name')`: what is cached of it is forgotten.
    Refresh(String),
}

/// One statement of the families that this parser owns.
#[derive(Clone, Debug, PartialEq)]
pub enum DdlStatement {
    /// `CREATE`, `ALTER` and `DROP CATALOG`, `CALL system.refresh`.
    Catalog(CatalogStatement),
    /// `CREATE TABLE`.
    CreateTable(Box<CreateTableStatement>),
    /// `CREATE VIEW`.
    CreateView(Box<CreateViewStatement>),
    /// `CREATE SCHEMA`.
    CreateSchema {
        /// The new schema.
        name: ObjectPath,
        /// Nothing when it is there.
        if_not_exists: bool,
        /// `comment`, `location` and others.
        properties: Vec<(String, String)>,
    },
    /// `DROP TABLE`.
    DropTable {
        /// Which.
        name: ObjectPath,
        /// Nothing when it is not there.
        if_exists: bool,
        /// Deletes the files too.
        purge: bool,
    },
    /// `DROP VIEW`.
    DropView {
        /// Which.
        name: ObjectPath,
        /// Nothing when it is not there.
        if_exists: bool,
    },
    /// `DROP SCHEMA`.
    DropSchema {
        /// Which.
        name: ObjectPath,
        /// Nothing when it is not there.
        if_exists: bool,
        /// Drops what is in it first.
        cascade: bool,
    },
    /// `ALTER TABLE`.
    AlterTable {
        /// Which.
        name: ObjectPath,
        /// Nothing when it is not there.
        if_exists: bool,
        /// What to do, in one commit; a rename or rollback stands alone.
        actions: Vec<AlterAction>,
    },
    /// `ALTER VIEW`.
    AlterView {
        /// Which.
        name: ObjectPath,
        /// Nothing when it is not there.
        if_exists: bool,
        /// What to do.
        action: AlterViewAction,
    },
    /// `ALTER SCHEMA … SET [DB]PROPERTIES`.
    AlterSchema {
        /// Which.
        name: ObjectPath,
        /// Sets (`Some`) and removes (`None`).
        changes: Vec<(String, Option<String>)>,
    },
    /// `COMMENT ON`.
    Comment {
        /// On what.
        target: CommentTarget,
        /// `None` for `IS NULL`.
        comment: Option<String>,
    },
    /// `ANALYZE`.
    Analyze {
        /// Which table.
        name: ObjectPath,
        /// Its columns to count; empty for all.
        columns: Vec<String>,
    },
    /// `CALL system.register_table`: a table from metadata that somebody else wrote.
    RegisterTable {
        /// The new name.
        name: ObjectPath,
        /// Where the metadata is.
        metadata_file: String,
    },
    /// `CALL system.add_files`: Parquet files that are there, as files of a table.
    AddFiles {
        /// Which table.
        name: ObjectPath,
        /// The path of the files.
        source: String,
        /// Whether a file that the table has already is refused.
        is_unique: bool,
    },
    /// `CALL system.snapshot`: a new table of Parquet files that are there.
    SnapshotFiles {
        /// The new name.
        name: ObjectPath,
        /// The path of the files.
        source: String,
    },
    /// `CALL system.kill('id')`: the text of the id.
    Kill(String),
    /// `SHOW`.
    Show(Show),
    /// `DESCRIBE`.
    Describe(Describe),
    /// `USE catalog.schema` or `USE schema`.
    Use(ObjectPath),
}
