//! A predicate compiled against a schema and a partition spec, to judge manifests and files by.

use std::collections::HashMap;

use super::judge::{Facts, Test, Verdict};
use super::order::is_promotable;
use super::project::{Projected, project, sort};
use super::{Comparison, Predicate};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    DataFile, Datum, FieldSummary, Literal, ManifestFile, PartitionSpec, PrimitiveLiteral,
    PrimitiveType, Schema, StructType, TableMetadata, Transform, Type,
};

/// Compiled filters of one predicate, one for each partition spec of a table.
#[derive(Debug)]
pub struct TableFilter {
    by_spec: HashMap<i32, FileFilter>,
}

impl TableFilter {
    /// Compiles `predicate`, whose field ids are looked up in the current schema first and in older
    /// ones after it (a filter of a time travel).
    pub fn new(predicate: &Predicate, metadata: &TableMetadata) -> Self {
        let mut columns = Columns::default();
        // The library keeps them in no order; types only ever widen.
        let mut schemas: Vec<_> = metadata.schemas_iter().collect();
        schemas.sort_by_key(|schema| schema.schema_id());
        for schema in schemas {
            columns.add_schema(schema);
        }
        // Last, so that the current types win.
        columns.add_schema(metadata.current_schema());
        let simplified = predicate.clone().simplify();
        let by_spec = metadata
            .partition_specs_iter()
            .map(|spec| (spec.spec_id(), FileFilter::compile(&simplified, &columns, spec)))
            .collect();
        Self { by_spec }
    }

    /// The filter for files and manifests of partition spec `spec_id`.
    ///
    /// # Errors
    /// `Corrupt` when the table has no such spec.
    pub fn for_spec(&self, spec_id: i32) -> Result<&FileFilter> {
        self.by_spec.get(&spec_id).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("the table has no partition spec {spec_id}"))
        })
    }
}

/// A predicate compiled for one partition spec.
#[derive(Debug)]
pub struct FileFilter {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Constant(Verdict),
    And(Vec<Node>),
    Or(Vec<Node>),
    Leaf(Leaf),
}

/// A test of a column, and of every partition value that derives from that column.
#[derive(Debug)]
struct Leaf {
    field_id: i32,
    column: Column,
    test: Test,
    partitions: Vec<PartitionTest>,
}

#[derive(Debug)]
struct PartitionTest {
    position: usize,
    ty: PrimitiveType,
    tests: Projected,
    quirk: Quirk,
}

/// How stored partition values may depart from the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quirk {
    None,
    /// Old writers rounded times before 1970 towards it: a value may be one too high.
    RoundedTime,
    /// Truncating the least numbers overflows, and writers wrap around to the greatest.
    WrappingTruncate(u32),
}

impl Quirk {
    fn of(transform: Transform, source: &PrimitiveType) -> Self {
        match (transform, source) {
            (Transform::Day, PrimitiveType::Date) => Quirk::None,
            (Transform::Year | Transform::Month | Transform::Day | Transform::Hour, _) => {
                Quirk::RoundedTime
            }
            (Transform::Truncate(width), PrimitiveType::Int | PrimitiveType::Long) => {
                Quirk::WrappingTruncate(width)
            }
            _ => Quirk::None,
        }
    }
}

#[derive(Clone, Debug)]
struct Column {
    ty: PrimitiveType,
    /// Within a struct: counts may or may not include rows whose struct is NULL.
    is_nested: bool,
}

#[derive(Debug, Default)]
struct Columns(HashMap<i32, Column>);

impl Columns {
    fn add_schema(&mut self, schema: &Schema) {
        self.add_struct(schema.as_struct(), false);
    }

    /// Lists and maps are left out: their elements are not columns that a row has one value of.
    fn add_struct(&mut self, fields: &StructType, is_nested: bool) {
        for field in fields.fields() {
            match field.field_type.as_ref() {
                Type::Primitive(ty) => {
                    self.0.insert(field.id, Column { ty: ty.clone(), is_nested });
                }
                Type::Struct(inner) => self.add_struct(inner, true),
                Type::List(_) | Type::Map(_) => {}
            }
        }
    }
}

impl FileFilter {
    /// Compiles `predicate` for files of `schema` and `spec`.
    pub fn new(predicate: &Predicate, schema: &Schema, spec: &PartitionSpec) -> Self {
        let mut columns = Columns::default();
        columns.add_schema(schema);
        Self::compile(&predicate.clone().simplify(), &columns, spec)
    }

    fn compile(predicate: &Predicate, columns: &Columns, spec: &PartitionSpec) -> Self {
        Self { root: compile(predicate, columns, spec) }
    }

    /// Judges the rows of a data file by its partition and its metrics.
    pub fn judge_file(&self, file: &DataFile) -> Verdict {
        if file.record_count() == 0 {
            return Verdict::NONE;
        }
        self.root.judge(&|leaf| {
            leaf.judge_metrics(file).meet(leaf.judge_partition(file.partition().fields()))
        })
    }

    /// Judges the rows of a partition by its tuple alone.
    pub fn judge_partition(&self, tuple: &[Option<Literal>]) -> Verdict {
        self.root.judge(&|leaf| leaf.judge_partition(tuple))
    }

    /// Whether a manifest may have a file with a matching row, by its partition summaries.
    pub fn may_match_manifest(&self, manifest: &ManifestFile) -> bool {
        let Some(summaries) = &manifest.partitions else { return true };
        self.root.judge(&|leaf| leaf.judge_summaries(summaries)).may_match
    }
}

impl Node {
    fn judge(&self, leaf_verdict: &impl Fn(&Leaf) -> Verdict) -> Verdict {
        match self {
            Node::Constant(verdict) => *verdict,
            Node::And(parts) => {
                let mut verdict = Verdict::ALL;
                for part in parts {
                    verdict = verdict & part.judge(leaf_verdict);
                    if !verdict.may_match {
                        return Verdict::NONE;
                    }
                }
                verdict
            }
            Node::Or(parts) => {
                let mut verdict = Verdict::NONE;
                for part in parts {
                    verdict = verdict | part.judge(leaf_verdict);
                    if verdict.all_match {
                        return Verdict::ALL;
                    }
                }
                verdict
            }
            Node::Leaf(leaf) => leaf_verdict(leaf),
        }
    }
}

fn compile(predicate: &Predicate, columns: &Columns, spec: &PartitionSpec) -> Node {
    let all = |parts: &[Predicate]| parts.iter().map(|part| compile(part, columns, spec)).collect();
    let (field_id, test) = match predicate {
        Predicate::True => return Node::Constant(Verdict::ALL),
        Predicate::False => return Node::Constant(Verdict::NONE),
        Predicate::Unknown => return Node::Constant(Verdict::UNKNOWN),
        Predicate::And(parts) => return Node::And(all(parts)),
        Predicate::Or(parts) => return Node::Or(all(parts)),
        Predicate::IsNull(id) => (*id, Some(Test::IsNull)),
        Predicate::IsNotNull(id) => (*id, Some(Test::IsNotNull)),
        Predicate::IsNan(id) => (*id, Some(Test::IsNan)),
        Predicate::IsNotNan(id) => (*id, Some(Test::IsNotNan)),
        Predicate::Compare(id, comparison, datum) => {
            (*id, compare(columns, *id, *comparison, datum))
        }
        Predicate::In(id, list) => (*id, literals(columns, *id, list).map(Test::In)),
        Predicate::NotIn(id, list) => (*id, literals(columns, *id, list).map(Test::NotIn)),
    };
    let (Some(column), Some(test)) = (columns.0.get(&field_id), test) else {
        return Node::Constant(Verdict::UNKNOWN);
    };
    let partitions = partition_tests(field_id, column, &test, spec);
    Node::Leaf(Leaf { field_id, column: column.clone(), test, partitions })
}

fn compare(columns: &Columns, id: i32, comparison: Comparison, datum: &Datum) -> Option<Test> {
    if matches!(comparison, Comparison::StartsWith | Comparison::NotStartsWith)
        && !matches!(datum.literal(), PrimitiveLiteral::String(_))
    {
        return None;
    }
    Some(Test::Compare(comparison, literal(columns, id, datum)?))
}

fn literals(columns: &Columns, id: i32, list: &[Datum]) -> Option<Vec<PrimitiveLiteral>> {
    let mut literals = list
        .iter()
        .map(|datum| literal(columns, id, datum))
        .collect::<Option<Vec<PrimitiveLiteral>>>()?;
    sort(&mut literals);
    Some(literals)
}

/// The literal as a value of the column; `None` if it is of another type, or NaN, which SQL's
/// kernels compare in an order that bounds say nothing about.
fn literal(columns: &Columns, id: i32, datum: &Datum) -> Option<PrimitiveLiteral> {
    let column = columns.0.get(&id)?;
    let ours = match (datum.literal(), &column.ty) {
        (PrimitiveLiteral::AboveMax | PrimitiveLiteral::BelowMin, _) => return None,
        (PrimitiveLiteral::Int(v), PrimitiveType::Long) => PrimitiveLiteral::Long(i64::from(*v)),
        (literal, _) => literal.clone(),
    };
    (is_promotable(datum.data_type(), &column.ty) && !ours.is_nan()).then_some(ours)
}

fn partition_tests(
    field_id: i32,
    column: &Column,
    test: &Test,
    spec: &PartitionSpec,
) -> Vec<PartitionTest> {
    let mut tests = Vec::new();
    for (position, field) in spec.fields().iter().enumerate() {
        if field.source_id != field_id {
            continue;
        }
        let source = Type::Primitive(column.ty.clone());
        let Ok(Type::Primitive(ty)) = field.transform.result_type(&source) else { continue };
        tests.push(PartitionTest {
            position,
            ty,
            tests: project(field.transform, &column.ty, test),
            quirk: Quirk::of(field.transform, &column.ty),
        });
    }
    tests
}

impl Leaf {
    fn judge_metrics(&self, file: &DataFile) -> Verdict {
        let id = &self.field_id;
        let rows = file.record_count();
        let values = file.value_counts().get(id).copied();
        // Counts that do not add up to the file's rows are not about its rows.
        let is_counted = if self.column.is_nested {
            values == Some(rows)
        } else {
            values.is_none_or(|values| values == rows)
        };
        let nulls = file.null_value_counts().get(id).copied().filter(|_| is_counted);
        let nans = file.nan_value_counts().get(id).copied().filter(|_| is_counted);
        let bound = |bounds: &HashMap<i32, Datum>| {
            bounds
                .get(id)
                .filter(|bound| is_promotable(bound.data_type(), &self.column.ty))
                .map(|bound| bound.literal().clone())
        };
        let is_float = matches!(self.column.ty, PrimitiveType::Float | PrimitiveType::Double);
        let (lower, upper) = (bound(file.lower_bounds()), bound(file.upper_bounds()));
        let facts = Facts {
            lower: lower.as_ref(),
            upper: upper.as_ref(),
            no_nulls: nulls == Some(0),
            all_null: nulls == Some(rows),
            no_nans: !is_float || nans == Some(0),
            all_nan: is_float && nans == Some(rows),
        };
        facts.checked().judge(&self.test)
    }

    fn judge_partition(&self, tuple: &[Option<Literal>]) -> Verdict {
        let mut verdict = Verdict::UNKNOWN;
        for partition in &self.partitions {
            let value = match tuple.get(partition.position) {
                Some(Some(Literal::Primitive(value))) => Some(value),
                Some(None) => None,
                _ => continue,
            };
            verdict = verdict.meet(partition.judge(Facts::exactly(value)));
        }
        verdict
    }

    fn judge_summaries(&self, summaries: &[FieldSummary]) -> Verdict {
        let mut verdict = Verdict::UNKNOWN;
        for partition in &self.partitions {
            let Some(summary) = summaries.get(partition.position) else { continue };
            let bound = |bytes: Option<&[u8]>| {
                let datum = Datum::try_from_bytes(bytes?, partition.ty.clone()).ok()?;
                Some(datum.literal().clone())
            };
            let lower = bound(summary.lower_bound.as_ref().map(|b| b.as_slice()));
            let upper = bound(summary.upper_bound.as_ref().map(|b| b.as_slice()));
            let is_float = matches!(partition.ty, PrimitiveType::Float | PrimitiveType::Double);
            let facts = Facts {
                lower: lower.as_ref(),
                upper: upper.as_ref(),
                no_nulls: !summary.contains_null,
                all_null: false,
                no_nans: !is_float || summary.contains_nan == Some(false),
                all_nan: false,
            };
            verdict = verdict.meet(partition.judge(facts.checked()));
        }
        verdict
    }
}

impl PartitionTest {
    fn judge(&self, facts: Facts<'_>) -> Verdict {
        let lower = match self.quirk {
            Quirk::RoundedTime => facts.lower.and_then(one_lower),
            _ => None,
        };
        let mut facts = Facts { lower: lower.as_ref().or(facts.lower), ..facts };
        if let Quirk::WrappingTruncate(width) = self.quirk
            && facts.upper.is_some_and(|upper| may_have_wrapped(upper, width))
        {
            (facts.lower, facts.upper) = (None, None);
        }
        Verdict {
            may_match: self.tests.inclusive.as_ref().is_none_or(|test| facts.judge(test).may_match),
            all_match: self.tests.strict.as_ref().is_some_and(|test| facts.judge(test).all_match),
        }
    }
}

fn one_lower(value: &PrimitiveLiteral) -> Option<PrimitiveLiteral> {
    match value {
        PrimitiveLiteral::Int(v) if *v <= 0 => Some(PrimitiveLiteral::Int(v.checked_sub(1)?)),
        _ => None,
    }
}

fn may_have_wrapped(value: &PrimitiveLiteral, width: u32) -> bool {
    match value {
        PrimitiveLiteral::Int(v) => i64::from(*v) > i64::from(i32::MAX) - i64::from(width),
        PrimitiveLiteral::Long(v) => *v > i64::MAX - i64::from(width),
        _ => false,
    }
}
