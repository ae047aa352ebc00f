//! The schema of a statement's parameters, as a client must see it to bind them rightly.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use super::profile::Profile;
use super::types::plain_type;

/// What clients bind to. Never the null type, which refuses every value in JDBC (JDBC-07), and for
/// JDBC timestamps and times in the unit that its driver writes whatever the unit is (JDBC-08).
pub(crate) fn parameter_schema(parameters: &[FieldRef], profile: Profile) -> SchemaRef {
    let fields = parameters.iter().map(|field| {
        let data_type = match (plain_type(field.data_type()), profile) {
            (DataType::Null, _) => DataType::Utf8,
            (DataType::Timestamp(_, zone), Profile::Jdbc) => {
                DataType::Timestamp(TimeUnit::Millisecond, zone)
            }
            (DataType::Time32(_) | DataType::Time64(_), Profile::Jdbc) => {
                DataType::Time32(TimeUnit::Millisecond)
            }
            (other, _) => other,
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(data_type: DataType, profile: Profile) -> DataType {
        let parameter = Arc::new(Field::new("$1", data_type, false));
        let schema = parameter_schema(&[parameter], profile);
        assert!(schema.field(0).is_nullable());
        schema.field(0).data_type().clone()
    }

    #[test]
    fn jdbc_07_a_parameter_of_unknown_type_is_text() {
        for profile in [Profile::Default, Profile::Jdbc, Profile::Native, Profile::Grafana] {
            assert_eq!(bound(DataType::Null, profile), DataType::Utf8);
        }
    }

    #[test]
    fn jdbc_08_timestamp_parameters_are_milliseconds_for_jdbc_alone() {
        let zoned = |unit| DataType::Timestamp(unit, Some("UTC".into()));
        let micros = zoned(TimeUnit::Microsecond);
        assert_eq!(bound(micros.clone(), Profile::Jdbc), zoned(TimeUnit::Millisecond));
        assert_eq!(bound(micros.clone(), Profile::Default), micros);
        let time = DataType::Time64(TimeUnit::Microsecond);
        assert_eq!(bound(time.clone(), Profile::Jdbc), DataType::Time32(TimeUnit::Millisecond));
        assert_eq!(bound(time.clone(), Profile::Default), time);
    }

    #[test]
    fn p07_parameters_have_the_types_that_drivers_can_write() {
        let dictionary =
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        assert_eq!(bound(dictionary, Profile::Jdbc), DataType::Utf8);
        assert_eq!(bound(DataType::Utf8View, Profile::Default), DataType::Utf8);
        assert_eq!(bound(DataType::Int64, Profile::Jdbc), DataType::Int64);
    }
}
