//! From parsed columns, partition and sort terms to Iceberg schemas, specs and orders: pure functions.

use std::collections::HashSet;
use std::sync::Arc;

use fjord_catalog::spec::{
    FormatVersion, ListType, MapType, NestedField, NullOrder, PrimitiveType, Schema, SortDirection,
    SortField, SortOrder, StructType, Transform, Type, UnboundPartitionField, UnboundPartitionSpec,
};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::{PartitionDef, SortDef};
use crate::sql::types::{TypeDetail, type_to_sql};

/// A schema of `fields` with fresh ids, checked for what the format version allows.
///
/// # Errors
/// `Invalid` for names that differ by case alone or for no columns; `Unsupported` for types and
/// defaults that need format 3.
pub(crate) fn schema_of(fields: &[NestedField], version: FormatVersion) -> Result<Schema> {
    if fields.is_empty() {
        return Err(Error::invalid("a table needs at least one column"));
    }
    check_names(fields.iter())?;
    let mut next_id = i32::try_from(fields.len()).unwrap_or(i32::MAX - 1) + 1;
    let mut fresh = Vec::with_capacity(fields.len());
    for (id, field) in (1..).zip(fields) {
        check_version(field, version)?;
        let mut copy = field.clone();
        copy.id = id;
        copy.field_type = Box::new(renumbered(&field.field_type, &mut next_id));
        fresh.push(Arc::new(copy));
    }
    Ok(Schema::builder().with_fields(fresh).build().map_err(fjord_catalog::Error::from)?)
}

/// The type with nested ids counted from `next_id`.
pub(crate) fn renumbered(ty: &Type, next_id: &mut i32) -> Type {
    let mut fresh = |field: &NestedField| {
        let mut copy = field.clone();
        copy.id = *next_id;
        *next_id += 1;
        copy.field_type = Box::new(renumbered(&field.field_type, next_id));
        Arc::new(copy)
    };
    match ty {
        Type::Primitive(primitive) => Type::Primitive(primitive.clone()),
        Type::Struct(fields) => {
            Type::Struct(StructType::new(fields.fields().iter().map(|f| fresh(f)).collect()))
        }
        Type::List(list) => Type::List(ListType::new(fresh(&list.element_field))),
        Type::Map(map) => Type::Map(MapType::new(fresh(&map.key_field), fresh(&map.value_field))),
    }
}

fn check_names<'a>(fields: impl Iterator<Item = &'a NestedField>) -> Result<()> {
    let mut seen = HashSet::new();
    for field in fields {
        if field.name.is_empty() {
            return Err(Error::invalid("a column needs a name"));
        }
        if !seen.insert(field.name.to_lowercase()) {
            return Err(Error::invalid(format!(
                "column \"{}\" occurs twice; names of columns must differ by more than case",
                field.name
            )));
        }
        if let Type::Struct(nested) = field.field_type.as_ref() {
            check_names(nested.fields().iter().map(AsRef::as_ref))?;
        }
    }
    Ok(())
}

fn check_version(field: &NestedField, version: FormatVersion) -> Result<()> {
    if version >= FormatVersion::V3 {
        return Ok(());
    }
    if field.write_default.is_some() || field.initial_default.is_some() {
        return Err(Error::unsupported(format!(
            "column \"{}\": DEFAULT needs format version 3: WITH (format_version = 3)",
            field.name
        )));
    }
    if needs_v3(&field.field_type) {
        return Err(Error::unsupported(format!(
            "column \"{}\": nanoseconds need format version 3: WITH (format_version = 3), or \
             timestamp(6)",
            field.name
        )));
    }
    Ok(())
}

fn needs_v3(ty: &Type) -> bool {
    match ty {
        Type::Primitive(p) => {
            matches!(p, PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs)
        }
        Type::Struct(fields) => fields.fields().iter().any(|f| needs_v3(&f.field_type)),
        Type::List(list) => needs_v3(&list.element_field.field_type),
        Type::Map(map) => {
            needs_v3(&map.key_field.field_type) || needs_v3(&map.value_field.field_type)
        }
    }
}

/// The field at `path`, each part as given first and regardless of case second.
///
/// # Errors
/// `NotFound` naming the table's columns, `Invalid` when two match by case alone.
pub(crate) fn field_at<'a>(schema: &'a Schema, path: &[String]) -> Result<&'a NestedField> {
    let shown = path.join(".");
    let mut fields: Vec<&NestedField> =
        schema.as_struct().fields().iter().map(AsRef::as_ref).collect();
    let mut found: Option<&NestedField> = None;
    for part in path {
        let Some(field) = pick(&fields, part, &shown)? else {
            let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("column \"{shown}\" not found; there are {}", known.join(", ")),
            ));
        };
        fields = match field.field_type.as_ref() {
            Type::Primitive(_) => Vec::new(),
            Type::Struct(nested) => nested.fields().iter().map(AsRef::as_ref).collect(),
            Type::List(list) => vec![&list.element_field],
            Type::Map(map) => vec![&map.key_field, &map.value_field],
        };
        found = Some(field);
    }
    found.ok_or_else(|| Error::invalid("a column needs a name"))
}

fn pick<'a>(fields: &[&'a NestedField], name: &str, path: &str) -> Result<Option<&'a NestedField>> {
    if let Some(exact) = fields.iter().find(|f| f.name == name) {
        return Ok(Some(exact));
    }
    let lower = name.to_lowercase();
    let mut matching = fields.iter().filter(|f| f.name.to_lowercase() == lower);
    match (matching.next(), matching.next()) {
        (Some(field), None) => Ok(Some(field)),
        (None, _) => Ok(None),
        (Some(a), Some(b)) => Err(Error::invalid(format!(
            "column \"{path}\" is ambiguous: there are \"{}\" and \"{}\"; quote the one you mean",
            a.name, b.name
        ))),
    }
}

/// The source column of a term, which its transform must accept.
fn source<'a>(schema: &'a Schema, term: &PartitionDef) -> Result<(&'a NestedField, String)> {
    let field = field_at(schema, &term.column)?;
    let name = schema.name_by_field_id(field.id).unwrap_or(&field.name).to_owned();
    if !field.field_type.is_primitive() {
        return Err(Error::invalid(format!(
            "column \"{name}\" is of type {}: only plain columns partition or sort a table",
            type_to_sql(&field.field_type, TypeDetail::Brief)
        )));
    }
    if term.transform.result_type(&field.field_type).is_err() {
        return Err(Error::invalid(format!(
            "{}({name}) does not apply to type {}",
            term.transform,
            type_to_sql(&field.field_type, TypeDetail::Brief)
        )));
    }
    Ok((field, name))
}

/// The name that Iceberg gives a partition field.
pub(crate) fn partition_name(column: &str, transform: Transform) -> String {
    match transform {
        Transform::Identity | Transform::Unknown => column.to_owned(),
        Transform::Bucket(_) => format!("{column}_bucket"),
        Transform::Truncate(_) => format!("{column}_trunc"),
        Transform::Void => format!("{column}_null"),
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            format!("{column}_{transform}")
        }
    }
}

/// One partition field of `schema`.
pub(crate) fn partition_field(
    schema: &Schema,
    def: &PartitionDef,
) -> Result<UnboundPartitionField> {
    let (field, column) = source(schema, def)?;
    check_partition_type(field, &column, def.transform)?;
    let name = def.name.clone().unwrap_or_else(|| partition_name(&column, def.transform));
    let taken = schema.as_struct().fields().iter().find(|f| f.name.eq_ignore_ascii_case(&name));
    if taken.is_some_and(|f| f.id != field.id || def.transform != Transform::Identity) {
        return Err(Error::invalid(format!(
            "partition field \"{name}\" has the name of a column; give it another with AS"
        )));
    }
    Ok(UnboundPartitionField {
        source_id: field.id,
        field_id: None,
        name,
        transform: def.transform,
    })
}

/// Refuses partition values that the format library cannot write into a manifest.
fn check_partition_type(field: &NestedField, column: &str, transform: Transform) -> Result<()> {
    let remedy = match field.field_type.as_primitive_type() {
        _ if transform != Transform::Identity => return Ok(()),
        Some(PrimitiveType::Uuid) => format!("partition by bucket(n, {column})"),
        Some(PrimitiveType::Float) => "make the column a double".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::unsupported(format!(
        "partitioning by the values of {column:?}, a {}, is not supported; {remedy}",
        field.field_type
    )))
}

/// The spec of these partition fields.
pub(crate) fn partition_spec(
    schema: &Schema,
    defs: &[PartitionDef],
) -> Result<UnboundPartitionSpec> {
    let fields = defs.iter().map(|d| partition_field(schema, d)).collect::<Result<Vec<_>>>()?;
    spec_of(fields)
}

/// A spec of ready fields.
pub(crate) fn spec_of(fields: Vec<UnboundPartitionField>) -> Result<UnboundPartitionSpec> {
    let mut seen = HashSet::new();
    for field in &fields {
        if !seen.insert(field.name.to_lowercase()) {
            return Err(Error::invalid(format!(
                "partition field \"{}\" occurs twice; give one another name with AS",
                field.name
            )));
        }
    }
    let spec = UnboundPartitionSpec::builder().add_partition_fields(fields).map_err(|e| {
        Error::invalid("the partitioning has two fields of one column that imply each other")
            .with_source(e)
    })?;
    Ok(spec.build())
}

/// The order of these sort fields.
pub(crate) fn sort_order(schema: &Schema, defs: &[SortDef]) -> Result<SortOrder> {
    if defs.is_empty() {
        return Ok(SortOrder::unsorted_order());
    }
    let mut fields = Vec::with_capacity(defs.len());
    for def in defs {
        let (field, name) = source(schema, &def.term)?;
        let sort = SortField {
            source_id: field.id,
            transform: def.term.transform,
            direction: if def.descending {
                SortDirection::Descending
            } else {
                SortDirection::Ascending
            },
            null_order: if def.nulls_first { NullOrder::First } else { NullOrder::Last },
        };
        if fields
            .iter()
            .any(|f: &SortField| (f.source_id, f.transform) == (sort.source_id, sort.transform))
        {
            return Err(Error::invalid(format!(
                "column \"{name}\" occurs twice in the sort order"
            )));
        }
        fields.push(sort);
    }
    Ok(SortOrder { order_id: 1, fields })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::ddl::parse_terms::{partition_defs_from_texts, sort_defs_from_texts};
    use crate::sql::ddl::parse_type::type_from_sql;

    fn fields(columns: &[(&str, &str)]) -> Vec<NestedField> {
        columns
            .iter()
            .map(|(name, ty)| NestedField::optional(0, name, type_from_sql(ty).unwrap()))
            .collect()
    }

    fn schema() -> Schema {
        let columns = [
            ("id", "bigint"),
            ("ts", "timestamp"),
            ("Name", "varchar"),
            ("place", "row(city varchar, spots array(row(x int)))"),
        ];
        schema_of(&fields(&columns), FormatVersion::V2).unwrap()
    }

    fn spec(texts: &[&str]) -> Result<Vec<(i32, String, Transform)>> {
        let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
        let spec = partition_spec(&schema(), &partition_defs_from_texts(&texts)?)?;
        Ok(spec.fields().iter().map(|f| (f.source_id, f.name.clone(), f.transform)).collect())
    }

    #[test]
    fn every_field_gets_an_id_of_its_own() {
        let schema = schema();
        let ids = schema.field_id_to_fields();
        assert_eq!(ids.len(), 8);
        assert_eq!(schema.name_by_field_id(8), Some("place.spots.element.x"));
    }

    #[test]
    fn names_that_differ_by_case_alone_are_refused() {
        let twice = fields(&[("a", "int"), ("A", "int")]);
        let message = schema_of(&twice, FormatVersion::V2).unwrap_err().to_string();
        assert!(message.contains("more than case"), "{message}");
    }

    #[test]
    fn what_needs_format_3_is_refused_in_format_2() {
        let nanos = fields(&[("t", "array(timestamp(9))")]);
        assert!(schema_of(&nanos, FormatVersion::V2).is_err());
        assert!(schema_of(&nanos, FormatVersion::V3).is_ok());
    }

    #[test]
    fn partition_fields_are_named_as_iceberg_names_them() {
        let (id, ts, name, city) = (1, 2, 3, 5);
        assert_eq!(
            spec(&["day(TS)", "bucket(id, 4)", "truncate(name, 2)", "place.city", "void(id)"])
                .unwrap(),
            [
                (ts, "ts_day".to_owned(), Transform::Day),
                (id, "id_bucket".to_owned(), Transform::Bucket(4)),
                (name, "Name_trunc".to_owned(), Transform::Truncate(2)),
                (city, "place.city".to_owned(), Transform::Identity),
                (id, "id_null".to_owned(), Transform::Void),
            ]
        );
        assert_eq!(spec(&["day(ts) AS d"]).unwrap()[0].1, "d");
    }

    #[test]
    fn partitionings_that_cannot_be_are_refused() {
        for (texts, part) in [
            (vec!["nope"], "there are id, ts, Name, place"),
            (vec!["day(id)"], "does not apply to type bigint"),
            (vec!["place"], "only plain columns"),
            (vec!["day(ts) AS id"], "name of a column"),
            (vec!["day(ts)", "day(ts)"], "twice"),
        ] {
            let message = spec(&texts).unwrap_err().to_string();
            assert!(message.contains(part), "{texts:?}: {message}");
        }
    }

    #[test]
    fn sort_orders_are_bound_to_columns() {
        let texts = ["name DESC".to_owned(), "day(ts)".to_owned()];
        let order = sort_order(&schema(), &sort_defs_from_texts(&texts).unwrap()).unwrap();
        assert_eq!(order.fields[0].direction, SortDirection::Descending);
        assert_eq!(order.fields[0].null_order, NullOrder::Last);
        assert_eq!(order.fields[1].transform, Transform::Day);
        let twice = ["id".to_owned(), "ID DESC".to_owned()];
        assert!(sort_order(&schema(), &sort_defs_from_texts(&twice).unwrap()).is_err());
        assert!(sort_order(&schema(), &[]).unwrap().is_unsorted());
    }
}
