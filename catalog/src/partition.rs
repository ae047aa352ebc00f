//! Partition values as keys, which stay the same when a column's type is widened.

use crate::spec::{Literal, PrimitiveLiteral, Struct};

/// A partition value in a form that compares equal across widened types: the key of a partition.
pub(crate) fn partition_key(partition: &Struct) -> Struct {
    Struct::from_iter(partition.iter().map(|value| value.map(widened)))
}

/// Narrow types as the wider ones that they may become.
pub(crate) fn widened(literal: &Literal) -> Literal {
    match literal {
        Literal::Primitive(PrimitiveLiteral::Int(v)) => Literal::long(i64::from(*v)),
        Literal::Primitive(PrimitiveLiteral::Float(v)) => Literal::double(f64::from(v.0)),
        other => other.clone(),
    }
}
