//! `CAST(x AS varbinary)`: DataFusion's planner knows the type of bytes by one of its names alone.

use std::ops::ControlFlow;

use sqlparser::ast::{DataType, Expr, Query, VisitMut, VisitorMut};

/// Respells the other names of the type of bytes in casts.
pub(crate) fn respell(query: &mut Query) {
    // The visitor never breaks.
    let _done: ControlFlow<()> = VisitMut::visit(query, &mut Casts);
}

/// The same in one expression.
pub(crate) fn respell_expr(expr: &mut Expr) {
    let _done: ControlFlow<()> = VisitMut::visit(expr, &mut Casts);
}

struct Casts;

impl VisitorMut for Casts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { data_type, .. } = expr
            && matches!(
                data_type,
                DataType::Varbinary(_)
                    | DataType::Binary(_)
                    | DataType::Blob(_)
                    | DataType::Bytes(_)
            )
        {
            *data_type = DataType::Bytea;
        }
        ControlFlow::Continue(())
    }
}
