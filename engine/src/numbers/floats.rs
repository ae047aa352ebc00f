//! What numbers become where DataFusion would choose otherwise: a decimal that meets a
//! floating-point number becomes one.
//!
//! DataFusion turns the floating-point side of a comparison into a decimal. With `1.5` a decimal,
//! `v > 1.5` would then fail on a NaN or a large `v`, and would use none of the file's statistics.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr,
};
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{
    Case, Expr, ExprSchemable, GetFieldAccess, Join, LogicalPlan, Projection, Subquery, Union, cast,
};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::ast::{self, VisitMut, VisitorMut};

use super::{rewrite_expressions, text};

/// Functions whose arguments all become one type.
const UNIFYING: [&str; 8] =
    ["coalesce", "nvl", "ifnull", "nvl2", "nullif", "greatest", "least", "make_array"];

/// Makes doubles of the decimals in columns of VALUES that hold a double.
pub(crate) fn respell(query: &mut ast::Query) {
    // The visitor never breaks.
    let _done: ControlFlow<()> = VisitMut::visit(query, &mut ValuesColumns);
}

struct ValuesColumns;

impl VisitorMut for ValuesColumns {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let mut pending = vec![query.body.as_mut()];
        while let Some(body) = pending.pop() {
            match body {
                ast::SetExpr::SetOperation { left, right, .. } => {
                    pending.extend([left.as_mut(), right.as_mut()])
                }
                ast::SetExpr::Values(values) => unify_columns(values),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

fn double(expr: ast::Expr) -> ast::Expr {
    ast::Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type: ast::DataType::Double(ast::ExactNumberInfo::None),
        array: false,
        format: None,
    }
}

/// The rows of VALUES find their common type before any rule of ours could see them.
fn unify_columns(values: &mut ast::Values) {
    let columns = values.rows.first().map_or(0, |row| row.len());
    for column in 0..columns {
        let cells = || values.rows.iter().filter_map(|row| row.get(column));
        if !cells().any(is_double) || !cells().any(is_decimal) {
            continue;
        }
        for cell in values.rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            if is_decimal(cell) {
                let decimal = std::mem::replace(cell, ast::Expr::value(ast::Value::Null));
                *cell = double(decimal);
            }
        }
    }
}

fn is_double(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Nested(expr) => is_double(expr),
        ast::Expr::Cast { data_type, .. }
        | ast::Expr::TypedString(ast::TypedString { data_type, .. }) => matches!(
            data_type,
            ast::DataType::Double(_)
                | ast::DataType::DoublePrecision
                | ast::DataType::Float(_)
                | ast::DataType::Float4
                | ast::DataType::Float8
                | ast::DataType::Real
        ),
        _ => false,
    }
}

fn is_decimal(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(value) => matches!(
            &value.value,
            ast::Value::Number(digits, _) if digits.contains('.')
        ),
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Nested(expr) => is_decimal(expr),
        _ => false,
    }
}

/// Plans operators whose operands DataFusion would bring together otherwise.
#[derive(Debug)]
pub(crate) struct Operands;

impl ExprPlanner for Operands {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> DfResult<PlannerResult<RawBinaryExpr>> {
        floats_win(&mut [&mut expr.left, &mut expr.right], schema)?;
        Ok(PlannerResult::Original(expr))
    }

    /// A map's key is compared as the type that the map's keys have.
    fn plan_field_access(
        &self,
        mut expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> DfResult<PlannerResult<RawFieldAccessExpr>> {
        if let Ok(DataType::Map(entries, _)) = expr.expr.get_type(schema)
            && let DataType::Struct(fields) = entries.data_type()
            && let Some(key_type) = fields.first().map(|field| field.data_type())
        {
            match &mut expr.field_access {
                GetFieldAccess::NamedStructField { name } => *name = name.cast_to(key_type)?,
                GetFieldAccess::ListIndex { key } => {
                    if let Expr::Literal(value, _) = key.as_mut() {
                        *value = value.cast_to(key_type)?;
                    }
                }
                GetFieldAccess::ListRange { .. } => {}
            }
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// The same for what has no hook in the planner; runs before types are coerced.
#[derive(Debug)]
pub(crate) struct FloatsWin;

impl AnalyzerRule for FloatsWin {
    fn name(&self) -> &'static str {
        "floats_win"
    }

    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> DfResult<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let plan = match plan {
                LogicalPlan::Union(union) => unify_inputs(union)?,
                LogicalPlan::Join(join) => unify_keys(join)?,
                plan => plan,
            };
            // An input's types may have changed, be the expressions here untouched.
            let mapped = rewrite_expressions(plan, &rewrite)?;
            Ok(Transformed::yes(mapped.data.recompute_schema()?))
        })?;
        Ok(rewritten.data)
    }
}

/// The columns of a union that are decimals here and doubles there become doubles.
///
/// A union of more than two is nested, and an inner one has the types of its first input until
/// DataFusion's coercion comes: what numbers meet as is settled here, so that the outer one sees it.
fn unify_inputs(mut union: Union) -> DfResult<LogicalPlan> {
    let mut changed = false;
    for column in 0..union.schema.fields().len() {
        let types: Vec<DataType> = union
            .inputs
            .iter()
            .filter_map(|input| input.schema().fields().get(column))
            .map(|field| field.data_type().clone())
            .collect();
        let Some(target) = common_number(&types) else { continue };
        for (input, ty) in union.inputs.iter_mut().zip(&types) {
            if *ty != target {
                *input = Arc::new(cast_column(Arc::clone(input), column, &target)?);
                changed = true;
            }
        }
    }
    if changed {
        union = Union::try_new_with_loose_types(union.inputs)?;
    }
    Ok(LogicalPlan::Union(union))
}

/// What columns of different numbers become together; `None` where they are one type, or not all
/// numbers.
fn common_number(types: &[DataType]) -> Option<DataType> {
    let mut numbers = types.iter().filter(|ty| !ty.is_null());
    let first = numbers.next()?;
    if !first.is_numeric() || types.iter().all(|ty| ty == first) {
        return None;
    }
    if let Some(float) = widest_float(types.iter()) {
        let rest = types.iter().all(|ty| ty.is_numeric() || ty.is_null());
        return rest.then_some(float);
    }
    numbers.try_fold(first.clone(), |common, ty| {
        if ty.is_numeric() { type_union_coercion(&common, ty) } else { None }
    })
}

/// `input` with one of its columns cast.
fn cast_column(input: Arc<LogicalPlan>, column: usize, to: &DataType) -> DfResult<LogicalPlan> {
    let columns = input
        .schema()
        .iter()
        .enumerate()
        .map(|(i, (qualifier, field))| {
            let expr = Expr::from((qualifier, field));
            if i == column {
                cast(expr, to.clone()).alias_qualified(qualifier.cloned(), field.name())
            } else {
                expr
            }
        })
        .collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, input)?))
}

/// USING and the set operations compare pairs of columns.
fn unify_keys(mut join: Join) -> DfResult<LogicalPlan> {
    let (left_schema, right_schema) =
        (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    for (left, right) in &mut join.on {
        let (Ok(left_type), Ok(right_type)) =
            (left.get_type(&left_schema), right.get_type(&right_schema))
        else {
            continue;
        };
        let Some(target) = widest_float([&left_type, &right_type].into_iter()) else { continue };
        for (key, ty) in [(left, left_type), (right, right_type)] {
            if ty.is_decimal() {
                *key = cast(std::mem::take(key), target.clone());
            }
        }
    }
    Ok(LogicalPlan::Join(join))
}

/// `d IN (SELECT …)`, where one side is a decimal and the other a double.
fn unify_subquery(expr: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> DfResult<bool> {
    let Ok(outer) = expr.get_type(schema) else { return Ok(false) };
    let Some(inner) = subquery.subquery.schema().fields().first() else { return Ok(false) };
    let inner = inner.data_type().clone();
    let Some(target) = widest_float([&outer, &inner].into_iter()) else { return Ok(false) };
    if outer.is_decimal() {
        *expr = cast(std::mem::take(expr), target);
    } else if inner.is_decimal() {
        subquery.subquery = Arc::new(cast_column(Arc::clone(&subquery.subquery), 0, &target)?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// The type for decimals that meet floating-point numbers; `None` where they do not.
fn widest_float<'a>(types: impl Iterator<Item = &'a DataType>) -> Option<DataType> {
    let mut widest = None;
    let mut has_decimal = false;
    for ty in types {
        match ty {
            DataType::Float64 => widest = Some(DataType::Float64),
            DataType::Float32 if widest.is_none() => widest = Some(DataType::Float32),
            ty => has_decimal |= ty.is_decimal(),
        }
    }
    widest.filter(|_| has_decimal)
}

/// The same for an expression that stands alone.
pub(crate) fn settle(expr: Expr, schema: &DFSchema) -> DfResult<Expr> {
    Ok(expr.transform_up(|expr| rewrite(expr, schema))?.data)
}

fn rewrite(mut expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let mut sides = [left.as_mut(), right.as_mut()];
            let refined = op.supports_propagation() && text::refine(&mut sides, schema);
            floats_win(&mut sides, schema)? || refined
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            let mut all = [expr.as_mut(), low.as_mut(), high.as_mut()];
            let refined = text::refine(&mut all, schema);
            floats_win(&mut all, schema)? || refined
        }
        Expr::InList(InList { expr, list, .. }) => {
            let mut all: Vec<&mut Expr> = std::iter::once(expr.as_mut()).chain(list).collect();
            let refined = text::refine(&mut all, schema);
            floats_win(&mut all, schema)? || refined
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => {
            unify_subquery(expr, subquery, schema)?
        }
        Expr::Case(case) => rewrite_case(case, schema)?,
        Expr::ScalarFunction(ScalarFunction { func, args }) if UNIFYING.contains(&func.name()) => {
            floats_win(&mut args.iter_mut().collect::<Vec<_>>(), schema)?
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn rewrite_case(case: &mut Case, schema: &DFSchema) -> DfResult<bool> {
    let Case { expr, when_then_expr, else_expr } = case;
    let (whens, thens): (Vec<_>, Vec<_>) =
        when_then_expr.iter_mut().map(|(when, then)| (when.as_mut(), then.as_mut())).unzip();
    let mut compared = false;
    if let Some(base) = expr {
        let mut all: Vec<&mut Expr> = std::iter::once(base.as_mut()).chain(whens).collect();
        compared = floats_win(&mut all, schema)?;
    }
    let mut results: Vec<&mut Expr> =
        thens.into_iter().chain(else_expr.as_mut().map(|e| e.as_mut())).collect();
    Ok(floats_win(&mut results, schema)? || compared)
}

/// Casts the decimals among `exprs` to the widest floating-point type among them, if there is one.
fn floats_win(exprs: &mut [&mut Expr], schema: &dyn ExprSchema) -> DfResult<bool> {
    // A type that is not known yet (a parameter) is left for DataFusion to find.
    let types: Vec<Option<DataType>> = exprs.iter().map(|e| e.get_type(schema).ok()).collect();
    let Some(target) = widest_float(types.iter().flatten()) else { return Ok(false) };
    let mut changed = false;
    for (expr, ty) in exprs.iter_mut().zip(&types) {
        if !ty.as_ref().is_some_and(DataType::is_decimal) {
            continue;
        }
        let decimal = std::mem::take(*expr);
        **expr = match &decimal {
            Expr::Literal(value, metadata) => {
                Expr::Literal(value.cast_to(&target)?, metadata.clone())
            }
            _ => cast(decimal, target.clone()),
        };
        changed = true;
    }
    Ok(changed)
}
