//! The writer's schema of a file, as a tree that says how to walk its values.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::flaw::{Flaw, Sound};

/// The largest schema that is read, in bytes.
const SCHEMA_BYTES_MAX: usize = 4 << 20;
/// Types in a schema. A manifest has about fifty, and three for each field of its partition.
const TYPES_MAX: usize = 50_000;
/// What a field of a decoded record takes in memory beside its name: a tuple, and its allocations.
const FIELD_MEMORY: u64 = 112;

/// A type; what it says of a value is where the value ends.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    /// So many bytes, whatever they mean.
    Fixed(usize),
    /// A length, then so many bytes.
    Bytes,
    Enum {
        symbols: usize,
        /// Memory for a symbol, in bytes.
        memory: u64,
    },
    Array(Items),
    Map(Items),
    Union(Vec<Node>),
    Record(Record),
}

/// What an array or map holds.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) item: Box<Node>,
    /// No item takes fewer bytes; never 0.
    pub(super) bytes_min: usize,
}

/// A record type.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fields: Vec<(String, Node)>,
    /// No record of this type takes fewer bytes.
    pub(super) bytes_min: usize,
    /// Memory for a decoded record without what its fields hold, in bytes.
    pub(super) memory: u64,
}

impl Record {
    /// The type of a file's entries, from the JSON in its header.
    pub(super) fn of_entries(json: &[u8]) -> Sound<Self> {
        if json.len() > SCHEMA_BYTES_MAX {
            return Err(Flaw::limit(format!(
                "its schema has {} bytes; at most {SCHEMA_BYTES_MAX} are read",
                json.len()
            )));
        }
        let value: Value = serde_json::from_slice(json)
            .map_err(|e| Flaw::corrupt("its schema is not JSON").with_source(e))?;
        match Compiler::default().any(&value)? {
            // Entries of no bytes could be claimed without number.
            Node::Record(record) if record.bytes_min > 0 => Ok(record),
            _ => Err(Flaw::corrupt("its schema is not that of records with content")),
        }
    }
}

impl Node {
    /// No value of this type takes fewer bytes.
    fn bytes_min(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Fixed(size) => *size,
            Self::Record(record) => record.bytes_min,
            _ => 1,
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Fixed(usize),
    /// A record, an enumeration, or several types of that name.
    Other,
}

#[derive(Default)]
struct Compiler {
    /// By last name: whatever namespace a reference means, there is one answer or none.
    names: HashMap<String, Named>,
    types: usize,
}

impl Compiler {
    fn any(&mut self, value: &Value) -> Sound<Node> {
        self.types += 1;
        if self.types > TYPES_MAX {
            return Err(Flaw::limit(format!("its schema has more than {TYPES_MAX} types")));
        }
        match value {
            Value::String(name) => self.simple(name),
            Value::Object(definition) => self.definition(definition),
            Value::Array(options) if !options.is_empty() => {
                let options = options.iter().map(|option| self.any(option));
                Ok(Node::Union(options.collect::<Sound<_>>()?))
            }
            other => Err(unknown(other)),
        }
    }

    fn simple(&self, name: &str) -> Sound<Node> {
        Ok(match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "int" => Node::Int,
            "long" => Node::Long,
            "float" => Node::Fixed(4),
            "double" => Node::Fixed(8),
            "bytes" | "string" => Node::Bytes,
            other => self.reference(other)?,
        })
    }

    /// The library finds referred records in the schema that it expects, not in the file's: it
    /// would read something else than what was walked. Sizes that the name itself says agree.
    fn reference(&self, name: &str) -> Sound<Node> {
        let last = name.rsplit('.').next().unwrap_or(name);
        let said = last.strip_prefix("fixed_").and_then(|size| size.parse::<usize>().ok());
        match self.names.get(last) {
            Some(Named::Fixed(size)) if said.is_none_or(|said| said == *size) => {
                Ok(Node::Fixed(*size))
            }
            Some(_) => Err(Flaw::unsupported(format!(
                "its schema refers to {name:?}; only fixed types may be referred to by name"
            ))),
            None => Err(Flaw::corrupt(format!("its schema has no type {name:?}"))),
        }
    }

    fn definition(&mut self, definition: &Map<String, Value>) -> Sound<Node> {
        let node = match definition.get("type") {
            Some(Value::String(name)) => match name.as_str() {
                "record" => Node::Record(self.record(definition)?),
                "enum" => self.enumeration(definition)?,
                "array" => Node::Array(self.items(definition, "items", 0)?),
                "map" => Node::Map(self.items(definition, "values", 1)?),
                "fixed" => self.fixed(definition)?,
                name => self.simple(name)?,
            },
            Some(nested @ (Value::Object(_) | Value::Array(_))) => self.any(nested)?,
            other => return Err(unknown(other.unwrap_or(&Value::Null))),
        };
        match (definition.get("logicalType").and_then(Value::as_str), &node) {
            (Some("uuid"), Node::Fixed(16)) => Err(Flaw::unsupported(
                "its schema has uuids of fixed length, which the avro library misreads",
            )),
            (Some("duration"), Node::Fixed(size)) if *size != 12 => {
                Err(Flaw::corrupt(format!("its schema has durations of {size} bytes, not 12")))
            }
            (Some("big-decimal"), Node::Bytes) => {
                Err(Flaw::unsupported("its schema has decimals without a scale"))
            }
            _ => Ok(node),
        }
    }

    fn record(&mut self, definition: &Map<String, Value>) -> Sound<Record> {
        self.define(definition, Named::Other)?;
        let Some(list) = definition.get("fields").and_then(Value::as_array) else {
            return Err(Flaw::corrupt("its schema has a record without fields"));
        };
        let mut fields = Vec::with_capacity(list.len());
        let (mut bytes_min, mut memory) = (0_usize, 0_u64);
        for field in list {
            let name = field.get("name").and_then(Value::as_str);
            let (Some(name), Value::Object(definition)) = (name, field) else {
                return Err(Flaw::corrupt("its schema has a field without a name"));
            };
            if definition.get("type").and_then(Value::as_str) == Some("record") {
                return Err(Flaw::corrupt(format!("its schema spells the type of {name:?} wrong")));
            }
            let node = self.field(definition).map_err(|flaw| flaw.within(name))?;
            bytes_min = bytes_min.saturating_add(node.bytes_min());
            memory = memory.saturating_add(FIELD_MEMORY + name.len() as u64);
            fields.push((name.to_owned(), node));
        }
        Ok(Record { fields, bytes_min, memory })
    }

    fn field(&mut self, definition: &Map<String, Value>) -> Sound<Node> {
        self.types += 1;
        self.definition(definition)
    }

    fn enumeration(&mut self, definition: &Map<String, Value>) -> Sound<Node> {
        self.define(definition, Named::Other)?;
        let Some(symbols) = definition.get("symbols").and_then(Value::as_array) else {
            return Err(Flaw::corrupt("its schema has an enumeration without symbols"));
        };
        let longest = symbols.iter().filter_map(Value::as_str).map(str::len).max();
        Ok(Node::Enum { symbols: symbols.len(), memory: longest.unwrap_or(0) as u64 })
    }

    fn items(
        &mut self,
        definition: &Map<String, Value>,
        slot: &str,
        key_bytes_min: usize,
    ) -> Sound<Items> {
        let item = definition.get(slot).unwrap_or(&Value::Null);
        let item = Box::new(self.any(item)?);
        match item.bytes_min().saturating_add(key_bytes_min) {
            // They could be claimed without number.
            0 => Err(Flaw::corrupt("its schema has an array of items without content")),
            bytes_min => Ok(Items { item, bytes_min }),
        }
    }

    fn fixed(&mut self, definition: &Map<String, Value>) -> Sound<Node> {
        let size = definition.get("size").and_then(Value::as_u64);
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            return Err(Flaw::corrupt("its schema has a fixed type without a size"));
        };
        self.define(definition, Named::Fixed(size))?;
        Ok(Node::Fixed(size))
    }

    fn define(&mut self, definition: &Map<String, Value>, named: Named) -> Sound<()> {
        let Some(name) = definition.get("name").and_then(Value::as_str) else {
            return Err(Flaw::corrupt("its schema has a type without a name"));
        };
        // The library panics on others.
        let aliases = definition.get("aliases").and_then(Value::as_array);
        let aliases = aliases.into_iter().flatten().filter_map(Value::as_str);
        if let Some(wrong) = std::iter::once(name).chain(aliases).find(|name| !is_name(name)) {
            return Err(Flaw::corrupt(format!("its schema has a type named {wrong:?}")));
        }
        let last = name.rsplit('.').next().unwrap_or(name);
        let known = self.names.entry(last.to_owned()).or_insert(named);
        if *known != named {
            *known = Named::Other;
        }
        Ok(())
    }
}

/// Letters, digits and underscores between dots (specification: "names").
fn is_name(name: &str) -> bool {
    name.split('.').all(|part| {
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let mut bytes = part.bytes();
        bytes.next().is_some_and(is_letter) && bytes.all(|b| is_letter(b) || b.is_ascii_digit())
    })
}

fn unknown(value: &Value) -> Box<Flaw> {
    let mut text = value.to_string();
    text.truncate(text.char_indices().nth(64).map_or(text.len(), |(at, _)| at));
    Flaw::corrupt(format!("its schema has {text} where a type should be"))
}
