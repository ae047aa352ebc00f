//! Partition transforms as a SQL function, so that plans can hash and sort by partition values.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use fjord_catalog::spec::Transform;

use super::partition::descend;
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::transform::{result_type, transform};

/// `iceberg_transform('bucket[16]', '1.0', column)`: the transform, the path below the column, the
/// column. All state is in the arguments, so that the expression can travel by name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IcebergTransform {
    signature: Signature,
}

/// The function, for registries of sessions and workers.
pub(crate) fn iceberg_transform() -> Arc<ScalarUDF> {
    let signature = Signature::any(3, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(IcebergTransform { signature }))
}

/// The value of `transform` over the column at `path` of `schema`.
pub(crate) fn transform_expr(
    wanted: Transform,
    path: &[usize],
    schema: &arrow::datatypes::Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    let (Some(first), below) = (path.first(), path.get(1..).unwrap_or_default()) else {
        return Err(Error::new(ErrorKind::Bug, "a transform has no source column"));
    };
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(*first).name(), *first));
    if wanted == Transform::Identity && below.is_empty() {
        return Ok(column);
    }
    let below = below.iter().map(usize::to_string).collect::<Vec<_>>().join(".");
    let args: Vec<Arc<dyn PhysicalExpr>> = vec![
        Arc::new(Literal::new(ScalarValue::Utf8(Some(wanted.to_string())))),
        Arc::new(Literal::new(ScalarValue::Utf8(Some(below)))),
        column,
    ];
    let config = Arc::new(ConfigOptions::default());
    let function = ScalarFunctionExpr::try_new(iceberg_transform(), args, schema, config)?;
    Ok(Arc::new(function))
}

fn constant(value: Option<&ScalarValue>) -> Result<&str> {
    match value {
        Some(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => Ok(text),
        _ => Err(Error::invalid("iceberg_transform takes a constant transform and path")),
    }
}

fn parse_transform(text: &str) -> Result<Transform> {
    match text.parse::<Transform>() {
        Ok(Transform::Unknown) | Err(_) => {
            Err(Error::invalid(format!("\"{text}\" is not a partition transform")))
        }
        Ok(transform) => Ok(transform),
    }
}

fn parse_path(text: &str) -> Result<Vec<usize>> {
    text.split('.')
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse().map_err(|_| Error::invalid(format!("\"{text}\" is not a field path")))
        })
        .collect()
}

impl ScalarUDFImpl for IcebergTransform {
    fn name(&self) -> &str {
        "iceberg_transform"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Err(Error::new(ErrorKind::Bug, "iceberg_transform needs its constants").into())
    }

    fn return_field_from_args(
        &self,
        args: ReturnFieldArgs<'_>,
    ) -> DataFusionResult<arrow::datatypes::FieldRef> {
        let wanted = parse_transform(constant(args.scalar_arguments.first().copied().flatten())?)?;
        let path = parse_path(constant(args.scalar_arguments.get(1).copied().flatten())?)?;
        let mut ty = args.arg_fields[2].data_type();
        for at in path {
            match ty {
                DataType::Struct(fields) if at < fields.len() => ty = fields[at].data_type(),
                other => {
                    return Err(Error::invalid(format!("{other} has no field {at}")).into());
                }
            }
        }
        let ty = result_type(&wanted, ty)?;
        Ok(Arc::new(arrow::datatypes::Field::new(self.name(), ty, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let text = |i: usize| match &args.args[i] {
            ColumnarValue::Scalar(value) => constant(Some(value)),
            ColumnarValue::Array(_) => constant(None),
        };
        let (wanted, path) = (parse_transform(text(0)?)?, parse_path(text(1)?)?);
        let column = args.args[2].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(transform(&wanted, &descend(&column, &path)?)?))
    }
}
