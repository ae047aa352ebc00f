//! INSERT INTO and INSERT OVERWRITE: rows aligned with the table's columns, written, committed once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;
use fjord_catalog::change::CommitOptions;
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::{Literal, NestedFieldRef, Transform, Type};
use fjord_catalog::table::Table;
use sqlparser::ast;

use super::context::StatementContext;
use super::foreign::name::ForeignName;
use super::types::arrow_type_to_sql;
use super::{bound, branch, foreign, plan, select};
use crate::error::{Error, Result};
use crate::iceberg::commit::{CommitAction, CommitOutcome, plan_commit};
use crate::iceberg::filter::to_predicate;
use crate::iceberg::types::{primitive_to_scalar, to_arrow_schema};
use crate::iceberg::write::{Fit, WriteTarget, fit, plan_write};
use crate::query::{QueryResult, ResultKind};

/// Runs an INSERT.
pub(crate) async fn run(ctx: &StatementContext, insert: &ast::Insert) -> Result<QueryResult> {
    let (_, physical) = plan_insert(ctx, insert).await?;
    select::execute(ctx, physical, ResultKind::Affected, None)
}

/// Plans an INSERT without running anything: its rows, and the write above them.
pub(crate) async fn plan_insert(
    ctx: &StatementContext,
    insert: &ast::Insert,
) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>)> {
    let parts = InsertParts::try_new(insert)?;
    if let Some(target) = ForeignName::of(ctx, parts.table, &ctx.scope())? {
        return foreign::write::plan_insert(ctx, insert, &parts, &target).await;
    }
    let (name, branch) = branch::target(ctx, parts.table).await?;
    if name.name.name.contains('$') {
        return Err(Error::invalid(format!(
            "\"{name}\" is a metadata table and cannot be written"
        )));
    }
    let table = ctx.load_table(&name).await?;
    let schema = to_arrow_schema(table.metadata().current_schema())?;
    let constants = static_partition(ctx, &table, &schema, parts.partition)?;
    let action = action(&parts, &table, &schema, &constants)?;
    let rows = match &ctx.rows {
        Some(rows) => bound::relation(insert, rows)?,
        None => plan::plan_query(ctx, parts.source.clone()).await?,
    };
    let rows = align(ctx, rows, &table, &schema, &parts.columns, &constants)?;
    let input = plan::physical(ctx, &rows).await?;
    let target = WriteTarget { catalog: name.catalog, table };
    let write = plan_write(input, &target, Fit::Exact, ctx.state.as_ref())?;
    let options = CommitOptions { branch, ..CommitOptions::default() };
    let commit = plan_commit(write, &target, action, options, CommitOutcome::default())?;
    Ok((rows, commit))
}

/// The clauses of an INSERT that we honour; any other is an error.
pub(crate) struct InsertParts<'a> {
    pub(crate) table: &'a ast::ObjectName,
    pub(crate) columns: Vec<&'a ast::Ident>,
    pub(crate) overwrite: bool,
    pub(crate) partition: &'a [ast::Expr],
    pub(crate) source: &'a ast::Query,
}

impl<'a> InsertParts<'a> {
    fn try_new(insert: &'a ast::Insert) -> Result<Self> {
        // No `..`: a clause that a newer parser reads must be decided on here.
        let ast::Insert {
            insert_token: _,
            optimizer_hints,
            or,
            ignore,
            into: _,
            table,
            table_alias,
            columns,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            has_table_keyword: _,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        let refused = [
            (!optimizer_hints.is_empty(), "optimizer hints"),
            (or.is_some(), "OR REPLACE, OR IGNORE and the like"),
            (*ignore, "IGNORE"),
            (*replace_into, "REPLACE INTO"),
            (table_alias.is_some(), "an alias of the table"),
            (!assignments.is_empty(), "SET"),
            (on.is_some(), "ON CONFLICT and ON DUPLICATE KEY"),
            (returning.is_some(), "RETURNING"),
            (output.is_some(), "OUTPUT"),
            (priority.is_some(), "LOW_PRIORITY and the like"),
            (insert_alias.is_some(), "an alias of the rows"),
            (settings.is_some(), "SETTINGS"),
            (format_clause.is_some(), "FORMAT"),
            (multi_table_insert_type.is_some(), "INSERT ALL and INSERT FIRST"),
            (!multi_table_into_clauses.is_empty(), "several INTO"),
            (!multi_table_when_clauses.is_empty(), "WHEN"),
            (multi_table_else_clause.is_some(), "ELSE"),
        ];
        if let Some((_, what)) = refused.iter().find(|(present, _)| *present) {
            return Err(Error::unsupported(format!("INSERT with {what} is not supported")));
        }
        let ast::TableObject::TableName(table) = table else {
            return Err(Error::unsupported(format!("INSERT INTO {table} is not supported")));
        };
        let Some(source) = source else {
            return Err(Error::unsupported("INSERT needs VALUES or a query"));
        };
        let named = columns
            .iter()
            .map(|c| match c.0.as_slice() {
                [part] => part.as_ident(),
                _ => None,
            })
            .chain(after_columns.iter().map(Some))
            .map(|c| c.ok_or_else(|| Error::invalid("a column of INSERT's list has one name")))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            table,
            columns: named,
            overwrite: *overwrite,
            partition: partitioned.as_deref().unwrap_or_default(),
            source,
        })
    }
}

/// `PARTITION (p = v, q)`: values of the static columns by position in the table.
pub(crate) type Constants = BTreeMap<usize, ScalarValue>;

fn static_partition(
    ctx: &StatementContext,
    table: &Table,
    schema: &SchemaRef,
    partition: &[ast::Expr],
) -> Result<Constants> {
    let mut constants = Constants::new();
    let mut dynamic = 0;
    for part in partition {
        let (column, value) = match part {
            ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } => {
                (left.as_ref(), Some(right.as_ref()))
            }
            column => (column, None),
        };
        let ast::Expr::Identifier(column) = column else {
            return Err(Error::invalid(format!("PARTITION ({part}): write column = constant")));
        };
        let at = find_column(table, schema, column)?;
        let id = fields(table).get(at).map(|f| f.id);
        let spec = table.metadata().default_partition_spec();
        if !spec
            .fields()
            .iter()
            .any(|f| Some(f.source_id) == id && f.transform == Transform::Identity)
        {
            return Err(Error::invalid(format!(
                "table \"{}\" is not partitioned by the values of \"{}\"",
                table.name(),
                column.value
            )));
        }
        let Some(value) = value else {
            dynamic += 1;
            continue;
        };
        let value = plan::constant_expr(ctx, value.clone())?;
        let ty = schema.field(at).data_type();
        let value = constant_of(ctx, value, ty, &column.value)
            .map_err(|e| Error::invalid(format!("PARTITION ({part}): {e}")).with_source(e))?;
        if constants.insert(at, value).is_some() {
            return Err(Error::invalid(format!("PARTITION names \"{}\" twice", column.value)));
        }
    }
    if dynamic > 0 && !constants.is_empty() {
        return Err(Error::unsupported(
            "PARTITION with both constants and plain columns is not supported; give all or none a \
             value",
        ));
    }
    Ok(constants)
}

/// The value of type `ty` that `value` is assigned as.
fn constant_of(
    ctx: &StatementContext,
    value: ScalarValue,
    ty: &DataType,
    column: &str,
) -> Result<ScalarValue> {
    let empty = DFSchema::empty();
    let value = plan::constant(&ctx.state, assigned(ctx, lit(value), ty, column, &empty)?)?;
    let array = fit(&value.to_array()?, ty, column, Fit::Exact)?;
    Ok(ScalarValue::try_from_array(&array, 0)?)
}

fn action(
    parts: &InsertParts<'_>,
    table: &Table,
    schema: &SchemaRef,
    constants: &Constants,
) -> Result<CommitAction> {
    if !parts.overwrite {
        return Ok(CommitAction::Append);
    }
    if !constants.is_empty() {
        let filters: Vec<Expr> = constants
            .iter()
            .map(|(at, value)| {
                let column = Expr::Column(Column::from_name(schema.field(*at).name()));
                if value.is_null() { column.is_null() } else { column.eq(lit(value.clone())) }
            })
            .collect();
        let predicate = to_predicate(&filters, table.metadata().current_schema());
        return Ok(CommitAction::OverwriteWhere(predicate));
    }
    if table.metadata().default_partition_spec().is_unpartitioned() {
        return Ok(CommitAction::OverwriteWhere(Predicate::True));
    }
    Ok(CommitAction::OverwritePartitions)
}

fn fields(table: &Table) -> &[NestedFieldRef] {
    table.metadata().current_schema().as_struct().fields()
}

/// A column by name: as written first, then regardless of case.
pub(crate) fn find_column(table: &Table, schema: &SchemaRef, name: &ast::Ident) -> Result<usize> {
    let exact = schema.fields().iter().position(|f| *f.name() == name.value);
    let lower = name.value.to_lowercase();
    let alike: Vec<usize> = schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, f)| f.name().to_lowercase() == lower)
        .map(|(i, _)| i)
        .collect();
    match (alike.as_slice(), exact) {
        ([one], _) => Ok(*one),
        ([_, _, ..], Some(exact)) if name.quote_style.is_some() => Ok(exact),
        ([], _) => {
            let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            Err(Error::invalid(format!(
                "table \"{}\" has no column \"{}\"; it has {}",
                table.name(),
                name.value,
                known.join(", ")
            )))
        }
        (many, _) => {
            let names: Vec<String> =
                many.iter().map(|i| format!("\"{}\"", schema.field(*i).name())).collect();
            Err(Error::invalid(format!(
                "column \"{}\" of table \"{}\" is ambiguous: it may be {}; quote the one you mean",
                name.value,
                table.name(),
                names.join(" or ")
            )))
        }
    }
}

/// Puts the rows' columns in the table's order; what was not given is NULL or the write default.
pub(crate) fn align(
    ctx: &StatementContext,
    rows: LogicalPlan,
    table: &Table,
    schema: &SchemaRef,
    named: &[&ast::Ident],
    constants: &Constants,
) -> Result<LogicalPlan> {
    let given = rows.schema().columns();
    let wanted: Vec<usize> = if named.is_empty() {
        (0..schema.fields().len()).filter(|i| !constants.contains_key(i)).collect()
    } else {
        named.iter().map(|c| find_column(table, schema, c)).collect::<Result<_>>()?
    };
    if wanted.len() != given.len() {
        return Err(Error::invalid(format!(
            "table \"{}\": {} columns are to be filled, the rows have {}",
            table.name(),
            wanted.len(),
            given.len()
        )));
    }
    let mut sources: BTreeMap<usize, Expr> =
        constants.iter().map(|(at, value)| (*at, lit(value.clone()))).collect();
    for (at, column) in wanted.into_iter().zip(given) {
        if sources.insert(at, Expr::Column(column)).is_some() {
            return Err(Error::invalid(format!(
                "column \"{}\" is given twice",
                schema.field(at).name()
            )));
        }
    }
    let mut output = Vec::with_capacity(schema.fields().len());
    for (i, field) in schema.fields().iter().enumerate() {
        let expr = match sources.remove(&i) {
            Some(expr) => assigned(ctx, expr, field.data_type(), field.name(), rows.schema())?,
            None => default_of(table, i, field.data_type())?,
        };
        output.push(expr.alias(field.name()));
    }
    Ok(LogicalPlanBuilder::from(rows).project(output)?.build()?)
}

/// What of an assignment is planned: texts are read, and instants put in the session's time zone.
/// Numbers and instants, and texts that become decimals, dates or instants, stay as they are: the write
/// casts them, and refuses what would not fit.
/// Types that do not become each other are refused here, before anything is written.
pub(crate) fn assigned(
    ctx: &StatementContext,
    expr: Expr,
    ty: &DataType,
    column: &str,
    schema: &DFSchema,
) -> Result<Expr> {
    let from = expr.get_type(schema)?;
    // Text for a uuid is parsed where the rows are brought into the table's shape.
    let is_uuid_text = from.is_string() && *ty == DataType::FixedSizeBinary(16);
    if from == *ty || ty.is_nested() || is_uuid_text {
        return Ok(expr);
    }
    let is_castable = !from.is_nested() && arrow::compute::can_cast_types(&from, ty);
    if !is_castable || is_another_kind(&from, ty) {
        let (ty, from) = (arrow_type_to_sql(ty), arrow_type_to_sql(&from));
        return Err(Error::invalid(format!(
            "column \"{column}\" is of type {ty} and cannot take a value of type {from}; CAST the \
             value, or write one of the column's type"
        )));
    }
    let cast = |expr: Expr, ty: &DataType| expr.cast_to(ty, schema);
    Ok(match (&from, ty) {
        // What names no time zone is meant in the session's.
        (DataType::Timestamp(unit, None), DataType::Timestamp(_, Some(_))) => {
            cast(expr, &DataType::Timestamp(*unit, session_zone(ctx)))?
        }
        (from, DataType::Timestamp(unit, Some(_))) if !matches!(from, DataType::Timestamp(..)) => {
            cast(expr, &DataType::Timestamp(*unit, session_zone(ctx)))?
        }
        (DataType::Timestamp(unit, Some(_)), DataType::Timestamp(_, None)) => {
            cast(expr, &DataType::Timestamp(*unit, None))?
        }
        (from, to) if is_checked(to) && (is_checked(from) || is_cut(from, to)) => expr,
        _ => cast(expr, ty)?,
    })
}

fn session_zone(ctx: &StatementContext) -> Option<Arc<str>> {
    let zone = ctx.state.config_options().execution.time_zone.as_deref();
    Some(zone.unwrap_or("UTC").into())
}

/// The types whose values the write casts, with nothing lost.
fn is_checked(ty: &DataType) -> bool {
    ty.is_numeric()
        || matches!(ty, DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_))
}

/// Whether a text may say more than the type holds: then the write, which reads it, refuses it.
fn is_cut(from: &DataType, to: &DataType) -> bool {
    from.is_string()
        && (to.is_decimal() || matches!(to, DataType::Date32 | DataType::Timestamp(..)))
}

/// Whether a cast would read a number as an instant, a flag or bytes, or the other way round.
fn is_another_kind(from: &DataType, to: &DataType) -> bool {
    let is_flag = |ty: &DataType| *ty == DataType::Boolean;
    let is_point = |ty: &DataType| ty.is_temporal() || matches!(ty, DataType::Interval(_));
    let is_time = |ty: &DataType| matches!(ty, DataType::Time32(_) | DataType::Time64(_));
    let is_other = |ty: &DataType| is_flag(ty) || is_point(ty) || ty.is_binary();
    (from.is_numeric() && is_other(to))
        || (is_other(from) && to.is_numeric())
        || (is_flag(from) && is_point(to))
        || (is_point(from) && is_flag(to))
        || (is_point(from) && is_point(to) && is_time(from) != is_time(to))
}

fn default_of(table: &Table, at: usize, ty: &DataType) -> Result<Expr> {
    let Some(field) = fields(table).get(at) else {
        return Ok(lit(ScalarValue::try_from(ty)?));
    };
    if let (Some(Literal::Primitive(value)), Type::Primitive(primitive)) =
        (&field.write_default, field.field_type.as_ref())
    {
        return Ok(lit(primitive_to_scalar(primitive, value)?.cast_to(ty)?));
    }
    if field.required {
        return Err(Error::invalid(format!(
            "column \"{}\" of table \"{}\" is NOT NULL and was given no value",
            field.name,
            table.name()
        )));
    }
    Ok(lit(ScalarValue::try_from(ty)?))
}
