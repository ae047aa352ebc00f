//! What a statement yields and takes, without running it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Cast, Expr as DfExpr, Limit, LogicalPlan, TryCast};
use sqlparser::ast::{self, Expr, Query, SelectItem, SetExpr, Statement as Sql};

use super::context::StatementContext;
use super::ddl::ast::DdlStatement;
use super::foreign::name::ForeignName;
use super::kind;
use super::statement::Parsed;
use super::{access, branch, foreign, insert, parse, plan, router};
use crate::access::Privilege;
use crate::error::Result;
use crate::iceberg::types::to_arrow_schema;
use crate::queries::QueryKind;

/// What a statement yields and takes.
#[derive(Clone, Debug)]
pub struct Description {
    /// What it yields.
    pub kind: QueryKind,
    /// The columns of a query's rows; empty for anything else.
    pub schema: SchemaRef,
    /// The parameters in the order of their numbers.
    pub parameters: Vec<Parameter>,
}

/// One parameter of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its number as its name, and its type; never Null: what nothing tells the type of is text.
    pub field: FieldRef,
    /// Whether something told the type: a column, a cast, a bound. Else a value of any type will do.
    pub is_typed: bool,
}

/// Describes a statement that takes `count` values.
pub(crate) async fn describe(
    ctx: &StatementContext,
    statement: &Parsed,
    count: usize,
) -> Result<Description> {
    let parameters = parameters(ctx, statement, count).await?;
    let kind = kind::of(&ctx.variables, statement)?;
    if kind != QueryKind::Query {
        return Ok(Description { kind, schema: Arc::new(Schema::empty()), parameters });
    }
    let first = match columns(ctx, statement, &parameters).await {
        Ok(schema) => return Ok(Description { kind, schema, parameters }),
        Err(e) => e,
    };
    if parameters.iter().all(|p| p.is_typed) {
        return Err(first);
    }
    // Nothing tells of text in `? + ?`, and it means nothing there.
    for guess in guesses() {
        let guessed: Vec<Parameter> = parameters.iter().map(|p| p.or_of_type(&guess)).collect();
        if let Ok(schema) = columns(ctx, statement, &guessed).await {
            return Ok(Description { kind, schema, parameters: guessed });
        }
    }
    Err(first)
}

/// The columns of a query, with NULL for each parameter.
async fn columns(
    ctx: &StatementContext,
    statement: &Parsed,
    parameters: &[Parameter],
) -> Result<SchemaRef> {
    let nulls = parameters
        .iter()
        .map(|p| ScalarValue::try_new_null(p.field.data_type()))
        .collect::<datafusion::error::Result<Vec<_>>>()?;
    router::columns(ctx.with_parameters(nulls), statement).await
}

/// Types that a parameter of which nothing tells may have, besides text; the likeliest first.
fn guesses() -> [DataType; 5] {
    [
        DataType::Int64,
        DataType::Float64,
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Boolean,
    ]
}

impl Parameter {
    /// The parameter itself if something tells its type, else one of type `ty`.
    fn or_of_type(&self, ty: &DataType) -> Self {
        if self.is_typed {
            return self.clone();
        }
        let field = Field::new(self.field.name(), ty.clone(), true);
        Self { field: Arc::new(field), is_typed: false }
    }
}

/// The `count` parameters that a statement takes.
async fn parameters(
    ctx: &StatementContext,
    statement: &Parsed,
    count: usize,
) -> Result<Vec<Parameter>> {
    // Their types are those of columns: for whoever may run it.
    access::check(ctx, statement)?;
    match count {
        0 => Ok(Vec::new()),
        _ => typed(ctx, statement, count).await,
    }
}

/// The parameters' types: of the columns that they are compared with or assigned to.
async fn typed(ctx: &StatementContext, statement: &Parsed, count: usize) -> Result<Vec<Parameter>> {
    let mut known: Vec<Option<FieldRef>> = vec![None; count];
    let query = match statement {
        Parsed::Sql(sql) => match sql.as_ref() {
            Sql::Query(query) => Some(query.as_ref().clone()),
            Sql::Insert(insert) => {
                assigned(ctx, insert, &mut known).await?;
                insert.source.as_deref().cloned()
            }
            Sql::Delete(delete) => condition_of(delete)?,
            _ => None,
        },
        Parsed::Ddl(ddl) => match ddl.as_ref() {
            DdlStatement::CreateTable(create) => create.query.as_ref().map(|q| *q.query.clone()),
            _ => None,
        },
        Parsed::Copy(copy) => Some(copy.query.clone()),
        Parsed::Explain(explain) => {
            return Box::pin(typed(ctx, &explain.statement, count)).await;
        }
        Parsed::Prepare(..) => None,
    };
    let mut guess = None;
    if let Some(query) = query {
        let planned;
        (planned, guess) = planned_by_guess(ctx, &query, &known).await?;
        for (id, ty) in inferred(&planned)? {
            let number = id.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
            if let Some(slot) = number.and_then(|n| known.get_mut(n.checked_sub(1)?))
                && slot.is_none()
                && guess.as_ref() != Some(&ty)
            {
                *slot = Some(of_type(ty));
            }
        }
    }
    let numbered = known.into_iter().enumerate().map(|(i, field)| {
        let is_typed = field.is_some();
        let untyped = || guess.clone().unwrap_or(DataType::Utf8);
        let ty = field.map_or_else(untyped, |f| f.data_type().clone());
        Parameter { field: Arc::new(Field::new((i + 1).to_string(), ty, true)), is_typed }
    });
    Ok(numbered.collect())
}

/// The query planned, and what was taken for the type of parameters of which nothing tells it, where
/// that made a difference.
///
/// # Errors
/// The first, when no guess makes the query one.
async fn planned_by_guess(
    ctx: &StatementContext,
    query: &Query,
    known: &[Option<FieldRef>],
) -> Result<(LogicalPlan, Option<DataType>)> {
    let unguessed = ctx.with_parameter_types(known.to_vec());
    let first = match plan::plan_query(&unguessed, query.clone()).await {
        Ok(planned) => return Ok((planned, None)),
        Err(e) => e,
    };
    if known.iter().all(Option::is_some) {
        return Err(first);
    }
    for guess in std::iter::once(DataType::Utf8).chain(guesses()) {
        let field = of_type(guess.clone());
        let types = known.iter().map(|ty| Some(Arc::clone(ty.as_ref().unwrap_or(&field))));
        let guessed = ctx.with_parameter_types(types.collect());
        if let Ok(planned) = plan::plan_query(&guessed, query.clone()).await {
            return Ok((planned, Some(guess)));
        }
    }
    Err(first)
}

fn of_type(ty: DataType) -> FieldRef {
    Arc::new(Field::new("parameter", ty, true))
}

/// `SELECT … WHERE condition` of a DELETE: it is bound like the DELETE's.
fn condition_of(delete: &ast::Delete) -> Result<Option<Query>> {
    let Some(condition) = &delete.selection else { return Ok(None) };
    let from = match &delete.from {
        ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables) => tables,
    };
    let Some(table) = from.first() else { return Ok(None) };
    parse::parse_query(&format!("SELECT 1 FROM {table} WHERE {condition}")).map(Some)
}

/// Types of parameters that INSERT assigns to columns as they are.
async fn assigned(
    ctx: &StatementContext,
    statement: &ast::Insert,
    known: &mut [Option<FieldRef>],
) -> Result<()> {
    let (ast::TableObject::TableName(name), Some(source)) = (&statement.table, &statement.source)
    else {
        return Ok(());
    };
    let named: Vec<&ast::Ident> = statement
        .columns
        .iter()
        .filter_map(|c| c.0.last().and_then(|part| part.as_ident()))
        .chain(&statement.after_columns)
        .collect();
    let columns = columns_of_target(ctx, name, &named).await?;
    let mut note = |position: usize, expr: &Expr| {
        let number = placeholder(expr).and_then(|n| n.checked_sub(1));
        let field = columns.get(position).and_then(Option::as_ref);
        if let (Some(field), Some(slot)) = (field, number.and_then(|n| known.get_mut(n))) {
            *slot = Some(of_type(field.data_type().clone()));
        }
    };
    match source.body.as_ref() {
        SetExpr::Values(values) => {
            for row in &values.rows {
                row.iter().enumerate().for_each(|(position, expr)| note(position, expr));
            }
        }
        SetExpr::Select(select) => {
            for (position, item) in select.projection.iter().enumerate() {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                {
                    note(position, expr);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The columns that an INSERT assigns to, by position; `None` for a name that is none.
async fn columns_of_target(
    ctx: &StatementContext,
    name: &ast::ObjectName,
    named: &[&ast::Ident],
) -> Result<Vec<Option<FieldRef>>> {
    let all = |schema: &SchemaRef| schema.fields().iter().map(|f| Some(Arc::clone(f))).collect();
    if let Some(target) = ForeignName::of(ctx, name, &ctx.scope())? {
        target.permit(ctx, Privilege::Write)?;
        let (_, schema) = foreign::write::table_of(ctx, &target).await?;
        let of = |ident| foreign::write::filled(&target, &schema, &[ident]).ok()?.pop();
        return Ok(match named.is_empty() {
            true => all(&schema),
            false => named.iter().map(|ident| of(ident)).collect(),
        });
    }
    let (name, _) = branch::target(ctx, name).await?;
    let table = ctx.load_table(&name).await?;
    let schema = to_arrow_schema(table.metadata().current_schema())?;
    let of = |ident| {
        let at = insert::find_column(&table, &schema, ident).ok()?;
        schema.fields().get(at).map(Arc::clone)
    };
    Ok(match named.is_empty() {
        true => all(&schema),
        false => named.iter().map(|ident| of(ident)).collect(),
    })
}

/// The number of the parameter that an expression is, or the one in brackets.
fn placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => placeholder(inner),
        Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(id) => id.strip_prefix('$')?.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// What planning learnt of placeholders' types: from comparands, casts, and where they stand.
fn inferred(plan: &LogicalPlan) -> Result<HashMap<String, DataType>> {
    let mut types = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(Limit { skip, fetch, .. }) = node {
            for bound in [skip, fetch].into_iter().flatten() {
                bound.apply(|expr| {
                    if let DfExpr::Placeholder(p) = expr {
                        types.entry(p.id.clone()).or_insert(DataType::Int64);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    DfExpr::Cast(Cast { expr, field })
                    | DfExpr::TryCast(TryCast { expr, field }) => {
                        if let DfExpr::Placeholder(p) = expr.as_ref() {
                            types.insert(p.id.clone(), field.data_type().clone());
                        }
                    }
                    DfExpr::Placeholder(p) => {
                        if let Some(field) = &p.field
                            && !field.data_type().is_null()
                        {
                            types.entry(p.id.clone()).or_insert(field.data_type().clone());
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types)
}
