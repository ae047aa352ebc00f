//! The metadata of a replaced table: new schema, spec and order over the old uuid and history.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::TableMetadataBuildResult;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    FormatVersion, ListType, MAIN_BRANCH, MapType, NestedField, NestedFieldRef, Schema, SortField,
    SortOrder, StructType, TableMetadata, Type, UnboundPartitionField, UnboundPartitionSpec,
};

/// What the table becomes.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    /// Columns, with any unique ids.
    pub(crate) schema: Schema,
    /// Partitioning by those ids.
    pub(crate) partition_spec: UnboundPartitionSpec,
    /// Order by those ids.
    pub(crate) sort_order: SortOrder,
    /// `None`: where it was.
    pub(crate) location: Option<String>,
    /// Set over the old ones, which stay.
    pub(crate) properties: HashMap<String, String>,
    /// An upgrade if it is newer; formats never go back.
    pub(crate) format_version: FormatVersion,
}

/// Replaces the table of `base`. Columns that keep their (dotted) name keep their field id, so that
/// old snapshots still read right; the main branch is taken off, so that no row remains.
pub(crate) fn replace(base: &TableMetadata, new: Replacement) -> Result<TableMetadataBuildResult> {
    let mut ids =
        FieldIds { old: base.current_schema(), last: base.last_column_id(), map: HashMap::new() };
    let fields = ids.fields("", new.schema.as_struct().fields())?;
    let identifiers: Vec<i32> =
        new.schema.identifier_field_ids().map(|id| ids.mapped(id)).collect::<Result<_>>()?;
    let schema =
        Schema::builder().with_fields(fields).with_identifier_field_ids(identifiers).build()?;

    let mut spec = UnboundPartitionSpec::builder();
    for field in new.partition_spec.fields() {
        spec = spec.add_partition_fields([UnboundPartitionField {
            source_id: ids.mapped(field.source_id)?,
            field_id: None,
            name: field.name.clone(),
            transform: field.transform,
        }])?;
    }
    let order_fields = new
        .sort_order
        .fields
        .iter()
        .map(|field| Ok(SortField { source_id: ids.mapped(field.source_id)?, ..field.clone() }))
        .collect::<Result<Vec<_>>>()?;
    let order = if order_fields.is_empty() {
        SortOrder::unsorted_order()
    } else {
        SortOrder::builder().with_fields(order_fields).build(&schema)?
    };

    refuse_partition_names(base, &schema)?;
    let builder = base.clone().into_builder(None);
    let version = new.format_version.max(base.format_version());
    let mut builder = builder
        .upgrade_format_version(version)?
        .remove_ref(MAIN_BRANCH)
        .add_current_schema(schema)?
        .add_default_partition_spec(spec.build())
        .map_err(refused)?
        .add_sort_order(order)?
        .set_default_sort_order(-1)?;
    if let Some(location) = new.location {
        builder = builder.set_location(location);
    }
    Ok(builder.set_properties(new.properties)?.build()?)
}

/// A column that no schema of the table had must not be called like a partition field of any of its
/// specs.
fn refuse_partition_names(base: &TableMetadata, schema: &Schema) -> Result<()> {
    let is_old = |name: &str| base.schemas_iter().any(|old| old.field_id_by_name(name).is_some());
    let partitions: HashSet<&str> = base
        .partition_specs_iter()
        .flat_map(|spec| spec.fields())
        .map(|field| field.name.as_str())
        .collect();
    let names = schema.field_id_to_name_map().values();
    match names.into_iter().find(|name| partitions.contains(name.as_str()) && !is_old(name)) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "column {name:?}: the table has, or once had, a partition field of this name; give \
                 the column another name, or drop the table and create it anew"
            ),
        )),
    }
}

/// The format library calls every bad argument bad data.
fn refused(e: iceberg::Error) -> Error {
    Error::new(ErrorKind::InvalidArgument, e.message().to_owned()).with_source(e)
}

struct FieldIds<'a> {
    old: &'a Schema,
    last: i32,
    /// From the ids in the request to those in the table.
    map: HashMap<i32, i32>,
}

impl FieldIds<'_> {
    fn mapped(&self, requested: i32) -> Result<i32> {
        self.map.get(&requested).copied().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "partitioning or ordering refers to field {requested}, which is not a column"
                ),
            )
        })
    }

    fn assign(&mut self, path: &str, requested: i32) -> Result<i32> {
        let id = match self.old.field_id_by_name(path) {
            Some(id) => id,
            None => {
                self.last = self.last.checked_add(1).ok_or_else(|| {
                    Error::new(ErrorKind::LimitExceeded, "the table has used up its field ids")
                })?;
                self.last
            }
        };
        self.map.insert(requested, id);
        Ok(id)
    }

    /// One level first, then the next, as a new table's ids are given out.
    fn fields(&mut self, prefix: &str, fields: &[NestedFieldRef]) -> Result<Vec<NestedFieldRef>> {
        let mut level = Vec::with_capacity(fields.len());
        for field in fields {
            let path = join(prefix, &field.name);
            level.push((self.assign(&path, field.id)?, path, field));
        }
        level.into_iter().map(|(id, path, field)| self.rebuilt(id, &path, field)).collect()
    }

    fn rebuilt(&mut self, id: i32, path: &str, field: &NestedField) -> Result<NestedFieldRef> {
        let mut field = field.clone();
        field.id = id;
        *field.field_type = self.ty(path, &field.field_type)?;
        Ok(Arc::new(field))
    }

    fn ty(&mut self, path: &str, ty: &Type) -> Result<Type> {
        Ok(match ty {
            Type::Primitive(primitive) => Type::Primitive(primitive.clone()),
            Type::Struct(s) => Type::Struct(StructType::new(self.fields(path, s.fields())?)),
            Type::List(list) => {
                let path = join(path, &list.element_field.name);
                let id = self.assign(&path, list.element_field.id)?;
                Type::List(ListType {
                    element_field: self.rebuilt(id, &path, &list.element_field)?,
                })
            }
            Type::Map(map) => {
                let key_path = join(path, &map.key_field.name);
                let value_path = join(path, &map.value_field.name);
                let key_id = self.assign(&key_path, map.key_field.id)?;
                let value_id = self.assign(&value_path, map.value_field.id)?;
                Type::Map(MapType {
                    key_field: self.rebuilt(key_id, &key_path, &map.key_field)?,
                    value_field: self.rebuilt(value_id, &value_path, &map.value_field)?,
                })
            }
        })
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
