//! What a prepared statement takes, as its handle carries it: who binds plans nothing.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use arrow_ipc::convert::try_schema_from_ipc_buffer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use fjord_engine::session::Parameter;
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::egress::schema_bytes;

/// Parameters with the types that they had when the statement was prepared. A column that has
/// changed since is met at execution, which plans anew, as with a literal of the old type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Takes {
    /// The fields as an IPC schema, in base64.
    schema: String,
    /// Which of them have a type of their own.
    typed: Vec<bool>,
}

impl Takes {
    pub(crate) fn new(parameters: &[Parameter]) -> Self {
        if parameters.is_empty() {
            return Self::default();
        }
        let fields: Vec<FieldRef> = parameters.iter().map(|p| Arc::clone(&p.field)).collect();
        Self {
            schema: STANDARD_NO_PAD.encode(schema_bytes(&Schema::new(fields))),
            typed: parameters.iter().map(|p| p.is_typed).collect(),
        }
    }

    pub(crate) fn parameters(&self) -> Result<Vec<Parameter>, Status> {
        if self.typed.is_empty() {
            return Ok(Vec::new());
        }
        let unreadable = || Status::internal("the parameters of the handle cannot be read");
        let schema = STANDARD_NO_PAD.decode(&self.schema).map_err(|_| unreadable())?;
        let schema = try_schema_from_ipc_buffer(&schema).map_err(|_| unreadable())?;
        let fields = schema.fields().iter().zip(&self.typed);
        Ok(fields
            .map(|(field, is_typed)| Parameter { field: Arc::clone(field), is_typed: *is_typed })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn a_handle_tells_what_was_described() {
        let parameter = |name: &str, ty, is_typed| Parameter {
            field: Arc::new(Field::new(name, ty, true)),
            is_typed,
        };
        let list = DataType::new_list(DataType::Decimal128(38, 3), true);
        let takes = [
            parameter("1", DataType::Utf8View, false),
            parameter("2", list, true),
            parameter("3", DataType::Int64, true),
        ];
        assert_eq!(Takes::new(&takes).parameters().unwrap(), takes);
        assert!(Takes::new(&[]).parameters().unwrap().is_empty());
    }
}
