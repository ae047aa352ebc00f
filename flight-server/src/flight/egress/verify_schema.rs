//! Checks a schema message before Arrow reads it: there, each of these would be a panic, and a
//! small message could claim a schema without end.

use arrow_ipc as ipc;

use super::malformed::{Checked, Malformed, ensure};

/// Fields of a schema, nested ones included.
pub(super) const FIELDS_MAX: usize = 100_000;
/// How deep types nest.
pub(super) const NESTING_DEPTH_MAX: usize = 32;
/// Names and metadata of a schema together. Fields of a message may share one text, and become
/// copies.
pub(super) const SCHEMA_TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Walks the schema; nothing is allocated by what it claims.
pub(super) fn verify_schema(schema: ipc::Schema<'_>) -> Checked<()> {
    ensure(schema.endianness() == ipc::Endianness::Little, || {
        "a schema of big-endian data: send little-endian".into()
    })?;
    let Some(fields) = schema.fields() else {
        return Err(Malformed::new("a schema without a list of fields"));
    };
    let mut walk = Walk::default();
    for entry in schema.custom_metadata().into_iter().flatten() {
        walk.text(entry.key())?;
        walk.text(entry.value())?;
    }
    for field in fields {
        walk.field(field, 0)?;
    }
    Ok(())
}

#[derive(Default)]
struct Walk {
    fields: usize,
    text_bytes: usize,
}

impl Walk {
    fn text(&mut self, text: Option<&str>) -> Checked<()> {
        self.text_bytes += text.map_or(0, str::len);
        ensure(self.text_bytes <= SCHEMA_TEXT_BYTES_MAX, || {
            format!("the schema's names and metadata exceed {SCHEMA_TEXT_BYTES_MAX} bytes")
        })
    }

    fn field(&mut self, field: ipc::Field<'_>, depth: usize) -> Checked<()> {
        self.fields += 1;
        ensure(self.fields <= FIELDS_MAX, || {
            format!("the schema has more than {FIELDS_MAX} fields")
        })?;
        ensure(depth < NESTING_DEPTH_MAX, || {
            format!("types nest deeper than {NESTING_DEPTH_MAX}")
        })?;
        self.text(field.name())?;
        for entry in field.custom_metadata().into_iter().flatten() {
            self.text(entry.key())?;
            self.text(entry.value())?;
        }
        if let Some(dictionary) = field.dictionary() {
            verify_dictionary(field, dictionary)?;
        }
        verify_type(field)?;
        if let Some(zone) = field.type_as_timestamp().and_then(|t| t.timezone()) {
            self.text(Some(zone))?;
        }
        for child in field.children().into_iter().flatten() {
            self.field(child, depth + 1)?;
        }
        Ok(())
    }
}

fn wrong(field: ipc::Field<'_>, what: &str) -> Malformed {
    Malformed::new(format!("field {:?}: {what}", field.name().unwrap_or_default()))
}

fn child_count(field: ipc::Field<'_>) -> usize {
    field.children().map_or(0, |children| children.len())
}

fn verify_dictionary(
    field: ipc::Field<'_>,
    dictionary: ipc::DictionaryEncoding<'_>,
) -> Checked<()> {
    let Some(index) = dictionary.indexType() else {
        return Err(wrong(field, "a dictionary without the type of its keys"));
    };
    ensure(is_integer_width(index.bitWidth()), || {
        format!(
            "field {:?}: a dictionary whose keys are no integers",
            field.name().unwrap_or_default()
        )
    })
}

fn is_integer_width(bits: i32) -> bool {
    matches!(bits, 8 | 16 | 32 | 64)
}

/// Whether the field's type is one, with all that it needs.
fn verify_type(field: ipc::Field<'_>) -> Checked<()> {
    let is_right = match field.type_type() {
        ipc::Type::Null
        | ipc::Type::Bool
        | ipc::Type::Binary
        | ipc::Type::LargeBinary
        | ipc::Type::BinaryView
        | ipc::Type::Utf8
        | ipc::Type::LargeUtf8
        | ipc::Type::Utf8View
        | ipc::Type::Struct_ => true,
        ipc::Type::Int => field.type_as_int().is_some_and(|int| is_integer_width(int.bitWidth())),
        ipc::Type::FloatingPoint => field
            .type_as_floating_point()
            .is_some_and(|float| (0..=2).contains(&float.precision().0)),
        ipc::Type::Date => {
            field.type_as_date().is_some_and(|date| (0..=1).contains(&date.unit().0))
        }
        ipc::Type::Time => field.type_as_time().is_some_and(|time| {
            matches!((time.bitWidth(), time.unit().0), (32, 0 | 1) | (64, 2 | 3))
        }),
        ipc::Type::Timestamp => {
            field.type_as_timestamp().is_some_and(|t| (0..=3).contains(&t.unit().0))
        }
        ipc::Type::Duration => {
            field.type_as_duration().is_some_and(|d| (0..=3).contains(&d.unit().0))
        }
        ipc::Type::Interval => {
            field.type_as_interval().is_some_and(|i| (0..=2).contains(&i.unit().0))
        }
        ipc::Type::Decimal => field.type_as_decimal().is_some_and(is_decimal),
        ipc::Type::FixedSizeBinary => {
            field.type_as_fixed_size_binary().is_some_and(|fixed| fixed.byteWidth() > 0)
        }
        ipc::Type::List | ipc::Type::LargeList | ipc::Type::ListView | ipc::Type::LargeListView => {
            child_count(field) == 1
        }
        ipc::Type::FixedSizeList => {
            child_count(field) == 1
                && field.type_as_fixed_size_list().is_some_and(|list| list.listSize() >= 0)
        }
        ipc::Type::Map => field.type_as_map().is_some() && has_map_entries(field),
        // No column and no parameter of ours can take them, and Arrow reads them with assertions.
        refused @ (ipc::Type::RunEndEncoded | ipc::Type::Union) => {
            return Err(wrong(
                field,
                &format!("the type {refused:?} is not accepted: send plain values"),
            ));
        }
        other => return Err(wrong(field, &format!("the type {other:?} is not known"))),
    };
    ensure(is_right, || {
        format!(
            "field {:?}: the type {:?} lacks a part, or has one that is impossible",
            field.name().unwrap_or_default(),
            field.type_type()
        )
    })
}

fn is_decimal(decimal: ipc::Decimal<'_>) -> bool {
    let precision_max = match decimal.bitWidth() {
        32 => 9,
        64 => 18,
        128 => 38,
        256 => 76,
        _ => return false,
    };
    (1..=precision_max).contains(&decimal.precision())
        && (-precision_max..=decimal.precision()).contains(&decimal.scale())
}

/// One child, a struct of two that is no dictionary.
fn has_map_entries(field: ipc::Field<'_>) -> bool {
    let Some(children) = field.children().filter(|children| children.len() == 1) else {
        return false;
    };
    let entries = children.get(0);
    entries.type_type() == ipc::Type::Struct_
        && entries.dictionary().is_none()
        && child_count(entries) == 2
}
