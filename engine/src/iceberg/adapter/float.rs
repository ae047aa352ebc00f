//! Keeps bounds of floats from proving what is wrong about NaN.
//!
//! Parquet's statistics leave NaN out, and to DataFusion NaN is the greatest number: a row group
//! with a maximum of 1 may well hold rows for which `f > 5`. Pruning does not know; so wherever NaN
//! could make the difference, the column is wrapped in an expression that pruning cannot see through.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, IsNotNullExpr, IsNullExpr, Literal,
};

use crate::error::{Error, ErrorKind};

/// Whether NaN can be among the values of a type.
pub(super) fn is_float(ty: &DataType) -> bool {
    matches!(ty, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

/// Whether bounds without NaN decide `expr`, a test of one column: none of its rows is NaN.
pub(super) fn excludes_nan(expr: &Arc<dyn PhysicalExpr>) -> bool {
    if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
        return null.arg().is::<Column>();
    }
    if let Some(null) = expr.downcast_ref::<IsNotNullExpr>() {
        return null.arg().is::<Column>();
    }
    let Some(binary) = expr.downcast_ref::<BinaryExpr>() else { return false };
    let (left, right) = (binary.left(), binary.right());
    match binary.op() {
        Operator::Eq => {
            left.is::<Column>() && is_number(right) || is_number(left) && right.is::<Column>()
        }
        Operator::Lt | Operator::LtEq => left.is::<Column>() && is_number(right),
        Operator::Gt | Operator::GtEq => is_number(left) && right.is::<Column>(),
        _ => false,
    }
}

fn is_number(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| match literal.value() {
        ScalarValue::Float16(Some(v)) => !v.is_nan(),
        ScalarValue::Float32(Some(v)) => !v.is_nan(),
        ScalarValue::Float64(Some(v)) => !v.is_nan(),
        value => !is_float(&value.data_type()),
    })
}

/// Its argument, out of the sight of pruning. Made when a file is opened, never shipped.
#[derive(Debug)]
pub(super) struct Unbounded {
    inner: Arc<dyn PhysicalExpr>,
}

impl Unbounded {
    pub(super) fn new(inner: Arc<dyn PhysicalExpr>) -> Self {
        Self { inner }
    }
}

impl PartialEq for Unbounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Unbounded {}

impl Hash for Unbounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Unbounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unbounded({})", self.inner)
    }
}

impl PhysicalExpr for Unbounded {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [inner] = <[_; 1]>::try_from(children)
            .map_err(|_| Error::new(ErrorKind::Bug, "an unbounded column has one argument"))?;
        Ok(Arc::new(Self { inner }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
