//! Values that a client binds: rows of its own types, cast to those of the statement, carried in
//! handles and tickets as an IPC stream.

use std::io::Cursor;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use fjord_engine::session::Parameter;
use std::sync::Arc;
use tonic::Status;

/// Rows of values that one execution binds at most.
const PARAMETER_ROWS_MAX: usize = 1_000_000;

/// The values of one execution.
pub(crate) type Values = Vec<ScalarValue>;

/// Casts bound rows to the parameters' types, by position, and writes them. No batch is no row: the
/// statement then runs not once.
///
/// # Errors
/// `INVALID_ARGUMENT`, naming the parameter.
pub(crate) fn bind(
    schema: &SchemaRef,
    rows: &[RecordBatch],
    parameters: &[Parameter],
) -> Result<Bytes, Status> {
    let (given, takes) = (schema.fields().len(), parameters.len());
    if given != takes {
        // A driver that executes without values sends a batch without columns.
        return Err(Status::invalid_argument(format!(
            "the statement takes {takes} parameters, {given} were bound"
        )));
    }
    let rows = concat_batches(schema, rows).map_err(|e| malformed(&e))?;
    if rows.num_rows() > PARAMETER_ROWS_MAX {
        return Err(Status::resource_exhausted(format!(
            "{} rows of parameters were bound; at most {PARAMETER_ROWS_MAX} are taken at a time, \
             and bulk ingest has no such limit",
            rows.num_rows()
        )));
    }
    let columns: Vec<ArrayRef> = rows
        .columns()
        .iter()
        .zip(parameters)
        .map(|(values, parameter)| settle(values, parameter))
        .collect::<Result<_, _>>()?;
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, c)| Field::new((i + 1).to_string(), c.data_type().clone(), true))
        .collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    let bound =
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(|e| malformed(&e))?;
    write(&bound).map_err(|e| malformed(&e))
}

fn settle(values: &ArrayRef, parameter: &Parameter) -> Result<ArrayRef, Status> {
    let wanted = parameter.field.data_type();
    if !parameter.is_typed || values.data_type() == wanted {
        return Ok(Arc::clone(values));
    }
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    let cast = cast_with_options(values, wanted, &options);
    let is_text =
        matches!(values.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match cast {
        // Text is read; anything else must come back as it went in.
        Ok(cast) if is_text => Ok(read(values, cast, &options)),
        Ok(cast) if is_same(&cast, values, &options) => Ok(cast),
        // What loses something stays as it is: a comparison is then made in a type that holds both,
        // and INSERT says what does not fit, as they do for a literal.
        Ok(_) => Ok(Arc::clone(values)),
        Err(_) if values.data_type().is_numeric() && wanted.is_numeric() => Ok(Arc::clone(values)),
        Err(e) => Err(Status::invalid_argument(format!(
            "parameter {}{}: a value of type {} was bound where {wanted} is wanted: {e}",
            parameter.field.name(),
            row_of(values, wanted, &options),
            values.data_type()
        ))),
    }
}

/// Which of many rows cannot be cast; all of them are looked at before the first one runs.
fn row_of(values: &ArrayRef, wanted: &DataType, options: &CastOptions<'_>) -> String {
    let fails = |row: &usize| cast_with_options(&values.slice(*row, 1), wanted, options).is_err();
    match (0..values.len()).find(fails) {
        Some(row) if values.len() > 1 => {
            format!(", row {} of {} (none was executed)", row + 1, values.len())
        }
        _ => String::new(),
    }
}

/// Texts as values of a type: that of `cast`, unless it rounded or cut one of them. Then they are of
/// a finer one.
fn read(texts: &ArrayRef, cast: ArrayRef, options: &CastOptions<'_>) -> ArrayRef {
    let finest = match cast.data_type() {
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
            DataType::Decimal256(76, 38)
        }
        DataType::Date32 | DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Nanosecond => {
            DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())
        }
        _ => return cast,
    };
    let as_finest = |values: &ArrayRef| cast_with_options(values, &finest, options);
    // What the finest type does not reach, as the years after 2262, has no more digits than it shows.
    let (Ok(exact), Ok(kept)) = (as_finest(texts), as_finest(&cast)) else { return cast };
    if exact == kept {
        return cast;
    }
    let scales = cast.data_type().is_decimal().then_some(1..38_i8).into_iter().flatten();
    let mut decimals = scales.filter_map(|scale| {
        let ty = DataType::Decimal128(38, scale);
        cast_with_options(texts, &ty, options).ok()
    });
    let shortest = decimals.find(|decimal| as_finest(decimal).is_ok_and(|value| *value == *exact));
    shortest.unwrap_or(exact)
}

/// Whether a cast kept every value: cast back, they are what they were.
fn is_same(cast: &ArrayRef, values: &ArrayRef, options: &CastOptions<'_>) -> bool {
    let is_kind = |ty: &DataType| {
        (ty.is_numeric(), *ty == DataType::Boolean, ty.is_temporal(), ty.is_nested())
    };
    is_kind(cast.data_type()) == is_kind(values.data_type())
        && cast_with_options(cast, values.data_type(), options)
            .is_ok_and(|back| back.to_data() == values.to_data())
}

fn write(rows: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(rows)?;
    Ok(writer.into_inner()?.into())
}

/// The bound rows as they are; `None` when nothing was bound.
///
/// # Errors
/// As [`executions`].
pub(crate) fn rows(bound: &[u8]) -> Result<Option<RecordBatch>, Status> {
    if bound.is_empty() {
        return Ok(None);
    }
    let reader = StreamReader::try_new(Cursor::new(bound), None).map_err(|e| unreadable(&e))?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|e| unreadable(&e))?;
    concat_batches(&schema, &batches).map(Some).map_err(|e| unreadable(&e))
}

/// The executions that bound rows ask for, one a row. Nothing bound is one without values.
///
/// # Errors
/// `INTERNAL`: what is read here was written by [`bind`] and sealed.
pub(crate) fn executions(bound: &[u8]) -> Result<Vec<Values>, Status> {
    if bound.is_empty() {
        return Ok(vec![Vec::new()]);
    }
    let reader = StreamReader::try_new(Cursor::new(bound), None).map_err(|e| unreadable(&e))?;
    let mut executions = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| unreadable(&e))?;
        for row in 0..batch.num_rows() {
            let values = batch
                .columns()
                .iter()
                .map(|column| ScalarValue::try_from_array(column, row))
                .collect::<Result<Values, _>>();
            executions.push(values.map_err(|e| unreadable(&e.into()))?);
        }
    }
    Ok(executions)
}

fn unreadable(e: &ArrowError) -> Status {
    Status::internal(format!("bound parameters: {e}"))
}

fn malformed(e: &ArrowError) -> Status {
    Status::invalid_argument(format!("bound parameters: {e}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampMillisecondArray};

    use super::*;

    fn parameter(ty: DataType, is_typed: bool) -> Parameter {
        Parameter { field: Arc::new(Field::new("1", ty, true)), is_typed }
    }

    fn bound_to(column: ArrayRef, parameters: &[Parameter]) -> Result<Bytes, Status> {
        let rows = RecordBatch::try_from_iter([("0", column)]).unwrap();
        bind(&rows.schema(), &[rows], parameters)
    }

    #[test]
    fn adbc_07_values_are_cast_to_the_parameters_types_by_position() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let bound = bound_to(Arc::clone(&column), &[parameter(DataType::Int32, true)]).unwrap();
        let expected = vec![vec![ScalarValue::Int32(Some(7))], vec![ScalarValue::Int32(None)]];
        assert_eq!(executions(&bound).unwrap(), expected);
        let bound = bound_to(column, &[parameter(DataType::Utf8, false)]).unwrap();
        assert_eq!(executions(&bound).unwrap()[0], vec![ScalarValue::Int64(Some(7))]);
    }

    /// A bound 1.5 must not become 1: `DELETE … WHERE a = ?` would take the wrong rows.
    #[test]
    fn adbc_07_a_value_that_a_cast_would_change_keeps_its_type() {
        let int = [parameter(DataType::Int32, true)];
        let bound = bound_to(Arc::new(Float64Array::from(vec![1.5])), &int).unwrap();
        assert_eq!(executions(&bound).unwrap(), vec![vec![ScalarValue::Float64(Some(1.5))]]);
        let bound = bound_to(Arc::new(Int64Array::from(vec![1_i64 << 40])), &int).unwrap();
        assert_eq!(executions(&bound).unwrap(), vec![vec![ScalarValue::Int64(Some(1 << 40))]]);
        let date = [parameter(DataType::Date32, true)];
        let noon = TimestampMillisecondArray::from(vec![43_200_000]);
        let bound = bound_to(Arc::new(noon), &date).unwrap();
        let kept = ScalarValue::TimestampMillisecond(Some(43_200_000), None);
        assert_eq!(executions(&bound).unwrap(), vec![vec![kept]]);
        let flag = [parameter(DataType::Boolean, true)];
        let bound = bound_to(Arc::new(Int64Array::from(vec![2])), &flag).unwrap();
        assert_eq!(executions(&bound).unwrap(), vec![vec![ScalarValue::Int64(Some(2))]]);
    }

    /// A bound '0.251' must not become 0.25: `WHERE price = ?` would find rows that it is not.
    #[test]
    fn adbc_07_a_text_that_a_type_would_round_or_cut_is_read_as_a_finer_one() {
        let read = |text: &str, ty| {
            let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
            let bound = bound_to(texts, &[parameter(ty, true)]).unwrap();
            executions(&bound).unwrap()[0][0].clone()
        };
        let price = DataType::Decimal128(10, 2);
        let decimal =
            |value, precision, scale| ScalarValue::Decimal128(Some(value), precision, scale);
        assert_eq!(read("0.25", price.clone()), decimal(25, 10, 2));
        assert_eq!(read("0.250", price.clone()), decimal(25, 10, 2));
        assert_eq!(read("0.251", price.clone()), decimal(251, 38, 3));
        assert_eq!(read("-1.23456", price), decimal(-123_456, 38, 5));
        let noon = ScalarValue::TimestampMicrosecond(Some(43_200_000_000), None);
        assert_eq!(read("1970-01-01T12:00:00", DataType::Date32), noon);
        assert_eq!(read("1970-01-02", DataType::Date32), ScalarValue::Date32(Some(1)));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let nanos = ScalarValue::TimestampNanosecond(Some(1_001), None);
        assert_eq!(read("1970-01-01 00:00:00.000001001", micros.clone()), nanos);
        let far = ScalarValue::TimestampMicrosecond(Some(32_503_680_000_000_000), None);
        assert_eq!(read("3000-01-01 00:00:00", micros), far);
    }

    #[test]
    fn jdbc_08_milliseconds_become_the_unit_of_the_column() {
        let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_500]));
        let unit = DataType::Timestamp(TimeUnit::Microsecond, None);
        let bound = bound_to(millis, &[parameter(unit, true)]).unwrap();
        let micros = ScalarValue::TimestampMicrosecond(Some(1_500_000), None);
        assert_eq!(executions(&bound).unwrap(), vec![vec![micros]]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_number() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["many"]));
        let e = bound_to(Arc::clone(&texts), &[parameter(DataType::Int32, true)]).unwrap_err();
        assert!(e.message().starts_with("parameter 1: "), "{e}");
        let e = bound_to(texts, &[]).unwrap_err();
        assert!(e.message().contains("takes 0 parameters, 1 were bound"), "{e}");
    }

    #[test]
    fn no_row_is_no_execution_and_nothing_bound_is_one() {
        assert_eq!(executions(&[]).unwrap(), vec![Values::new()]);
        let schema = Arc::new(Schema::new(vec![Field::new("0", DataType::Int64, true)]));
        let bound = bind(&schema, &[], &[parameter(DataType::Int64, true)]).unwrap();
        assert_eq!(executions(&bound).unwrap(), Vec::<Values>::new());
    }
}
