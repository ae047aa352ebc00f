//! Which column of the table an expression is, if it is one.

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use fjord_catalog::spec::{NestedFieldRef, PrimitiveType, Schema, Type};

use super::literal;

/// A primitive column, at the top or inside structs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BoundColumn {
    pub(super) id: i32,
    pub(super) ty: PrimitiveType,
}

/// The column that `expr` is: a name, a chain of struct fields, or such a column cast to a type in
/// which every value keeps its place.
pub(super) fn bind_column(expr: &Expr, schema: &Schema) -> Option<BoundColumn> {
    if let Expr::Cast(cast) = expr {
        let column = bind_column(&cast.expr, schema)?;
        return is_faithful(&column.ty, cast.field.data_type()).then_some(column);
    }
    let field = bind_field(expr, schema)?;
    match field.field_type.as_ref() {
        Type::Primitive(ty) => Some(BoundColumn { id: field.id, ty: ty.clone() }),
        _ => None,
    }
}

fn bind_field<'a>(expr: &Expr, schema: &'a Schema) -> Option<&'a NestedFieldRef> {
    match expr {
        Expr::Alias(alias) => bind_field(&alias.expr, schema),
        Expr::Column(column) => {
            schema.as_struct().fields().iter().find(|field| field.name == column.name)
        }
        Expr::ScalarFunction(function) if function.name() == "get_field" => {
            let (parent, names) = function.args.split_first()?;
            let mut field = bind_field(parent, schema)?;
            for name in names {
                let name = literal::text(name)??;
                let Type::Struct(fields) = field.field_type.as_ref() else { return None };
                field = fields.fields().iter().find(|field| field.name == name)?;
            }
            Some(field)
        }
        _ => None,
    }
}

/// Whether a cast keeps every value and their order, and cannot fail.
fn is_faithful(from: &PrimitiveType, to: &DataType) -> bool {
    use PrimitiveType as P;
    match (from, to) {
        (P::Int, DataType::Int32 | DataType::Int64 | DataType::Float64)
        | (P::Long, DataType::Int64)
        | (P::Float, DataType::Float32 | DataType::Float64)
        | (P::Double, DataType::Float64)
        | (P::String, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        | (P::Binary, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
        | (P::Date, DataType::Date32) => true,
        (P::Int, DataType::Decimal128(precision, scale)) => digits(*precision, *scale) >= 10,
        (P::Long, DataType::Decimal128(precision, scale)) => digits(*precision, *scale) >= 19,
        (P::Decimal { precision, scale }, DataType::Decimal128(to_precision, to_scale)) => {
            let (from_precision, from_scale) = (i64::from(*precision), i64::from(*scale));
            i64::from(*to_scale) >= from_scale
                && digits(*to_precision, *to_scale) >= from_precision - from_scale
        }
        _ => false,
    }
}

fn digits(precision: u8, scale: i8) -> i64 {
    i64::from(precision) - i64::from(scale.max(0))
}
