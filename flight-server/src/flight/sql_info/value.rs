//! The dense union in which values travel.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int32Builder, Int64Array, ListBuilder, MapBuilder,
    MapFieldNames, StringArray, StringBuilder, UInt32Array, UnionArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UnionFields, UnionMode};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// One value, by its member of the union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SqlInfoValue {
    Text(String),
    Flag(bool),
    BigInt(i64),
    /// A mask or an ordinal.
    Int(i32),
    Texts(Vec<String>),
    Map(BTreeMap<i32, Vec<i32>>),
}

/// The children as the protocol names them. A map's are called `key` and `value`: Java finds them
/// by these names, and Arrow's own default is another one.
static UNION: LazyLock<UnionFields> = LazyLock::new(|| {
    let entries = DataType::Struct(vec![key_field(), values_field()].into());
    let entries = Field::new("entries", entries, false);
    UnionFields::from_fields(vec![
        Field::new("string_value", DataType::Utf8, false),
        Field::new("bool_value", DataType::Boolean, false),
        Field::new("bigint_value", DataType::Int64, false),
        Field::new("int32_bitmask", DataType::Int32, false),
        Field::new("string_list", DataType::List(text_item()), false),
        Field::new("int32_to_int32_list_map", DataType::Map(Arc::new(entries), false), false),
    ])
});

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let union = DataType::Union(UNION.clone(), UnionMode::Dense);
    Arc::new(Schema::new(vec![
        Field::new("info_name", DataType::UInt32, false),
        Field::new("value", union, false),
    ]))
});

fn text_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Utf8, true))
}

fn key_field() -> FieldRef {
    Arc::new(Field::new("key", DataType::Int32, false))
}

fn values_field() -> FieldRef {
    let item = Field::new("item", DataType::Int32, true);
    Arc::new(Field::new("value", DataType::List(Arc::new(item)), true))
}

/// The schema of every answer.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The rows, by code.
pub(super) fn encode(values: &BTreeMap<u32, SqlInfoValue>) -> Result<RecordBatch, ArrowError> {
    let codes: UInt32Array = values.keys().copied().collect();
    let mut members = Members::default();
    for value in values.values() {
        members.append(value)?;
    }
    RecordBatch::try_new(schema(), vec![Arc::new(codes), Arc::new(members.finish()?)])
}

/// The union's children while they grow.
struct Members {
    texts: Vec<String>,
    flags: Vec<bool>,
    big_ints: Vec<i64>,
    ints: Vec<i32>,
    lists: ListBuilder<StringBuilder>,
    list_count: usize,
    maps: MapBuilder<Int32Builder, ListBuilder<Int32Builder>>,
    map_count: usize,
    type_ids: Vec<i8>,
    offsets: Vec<i32>,
}

impl Default for Members {
    fn default() -> Self {
        let names = MapFieldNames {
            entry: "entries".to_owned(),
            key: "key".to_owned(),
            value: "value".to_owned(),
        };
        let maps = MapBuilder::new(
            Some(names),
            Int32Builder::new(),
            ListBuilder::new(Int32Builder::new()),
        );
        Self {
            texts: Vec::new(),
            flags: Vec::new(),
            big_ints: Vec::new(),
            ints: Vec::new(),
            lists: ListBuilder::new(StringBuilder::new()),
            list_count: 0,
            maps: maps.with_keys_field(key_field()).with_values_field(values_field()),
            map_count: 0,
            type_ids: Vec::new(),
            offsets: Vec::new(),
        }
    }
}

impl Members {
    fn append(&mut self, value: &SqlInfoValue) -> Result<(), ArrowError> {
        let (type_id, offset) = match value {
            SqlInfoValue::Text(text) => (0, push(&mut self.texts, text.clone())),
            SqlInfoValue::Flag(flag) => (1, push(&mut self.flags, *flag)),
            SqlInfoValue::BigInt(number) => (2, push(&mut self.big_ints, *number)),
            SqlInfoValue::Int(number) => (3, push(&mut self.ints, *number)),
            SqlInfoValue::Texts(texts) => {
                self.lists.append_value(texts.iter().map(Some));
                self.list_count += 1;
                (4, self.list_count - 1)
            }
            SqlInfoValue::Map(map) => {
                for (key, values) in map {
                    self.maps.keys().append_value(*key);
                    self.maps.values().append_value(values.iter().copied().map(Some));
                }
                self.maps.append(true)?;
                self.map_count += 1;
                (5, self.map_count - 1)
            }
        };
        let offset = i32::try_from(offset)
            .map_err(|_| ArrowError::InvalidArgumentError("too many values".to_owned()))?;
        self.type_ids.push(type_id);
        self.offsets.push(offset);
        Ok(())
    }

    fn finish(mut self) -> Result<UnionArray, ArrowError> {
        let children: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(self.texts)),
            Arc::new(BooleanArray::from(self.flags)),
            Arc::new(Int64Array::from(self.big_ints)),
            Arc::new(Int32Array::from(self.ints)),
            Arc::new(self.lists.finish()),
            Arc::new(self.maps.finish()),
        ];
        let offsets = Some(ScalarBuffer::from(self.offsets));
        UnionArray::try_new(UNION.clone(), ScalarBuffer::from(self.type_ids), offsets, children)
    }
}

/// Appends and says where.
fn push<T>(values: &mut Vec<T>, value: T) -> usize {
    values.push(value);
    values.len() - 1
}
