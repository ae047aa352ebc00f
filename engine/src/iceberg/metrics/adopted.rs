//! Metrics of files that somebody else wrote: what their footers say, as far as it can be trusted.

use std::cmp::Ordering;
use std::collections::HashMap;

use fjord_catalog::spec::{DataFileBuilder, Datum, PrimitiveType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use super::{Bound, Leaf, MetricsModes, Mode, cut_lower, cut_upper, datum_of};
use crate::error::{Error, ErrorKind, Result};

/// A Parquet column of such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptedLeaf {
    /// The table's column that it is; `None` for none.
    pub id: Option<i32>,
    /// Whether its statistics are values of the table's type, and each row has one value at most.
    pub has_bounds: bool,
}

/// What all row groups say of one column.
#[derive(Debug, Default)]
struct Total {
    size: u64,
    values: u64,
    /// `None` once a row group did not say.
    nulls: Option<u64>,
    lower: Bound,
    upper: Bound,
    /// Whether the bounds are values that are there.
    is_exact: bool,
}

impl MetricsModes {
    /// Puts the metrics of a file with the Parquet columns `leaves` into `file`. How many NaN there
    /// are, no footer says: nobody may rely on bounds of floats alone.
    ///
    /// # Errors
    /// `Corrupt` for a footer that contradicts itself.
    pub fn fill_adopted(
        &self,
        file: &mut DataFileBuilder,
        footer: &ParquetMetaData,
        leaves: &[AdoptedLeaf],
    ) -> Result<()> {
        let mut sizes = HashMap::new();
        let (mut values, mut nulls) = (HashMap::new(), HashMap::new());
        let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
        for (leaf, total) in self.totals(footer, leaves, None)? {
            sizes.insert(leaf.field_id, total.size);
            if leaf.mode == Mode::None {
                continue;
            }
            values.insert(leaf.field_id, total.values);
            if let Some(count) = total.nulls {
                nulls.insert(leaf.field_id, count);
            }
            if leaf.mode == Mode::Counts {
                continue;
            }
            if let Some(bound) = total.lower.known().map(|min| cut_lower(&leaf, min)).transpose()? {
                lower.insert(leaf.field_id, bound);
            }
            if let Some(max) = total.upper.known()
                && let Some(bound) = cut_upper(&leaf, max)?
            {
                upper.insert(leaf.field_id, bound);
            }
        }
        file.column_sizes(sizes)
            .value_counts(values)
            .null_value_counts(nulls)
            .lower_bounds(lower)
            .upper_bounds(upper);
        Ok(())
    }

    /// The least and the greatest value of each column that has no NULL, where the footer knows
    /// them exactly, by field id. Not of floats, whose NaN they leave out.
    ///
    /// # Errors
    /// As [`MetricsModes::fill_adopted`].
    pub fn exact_bounds(
        &self,
        footer: &ParquetMetaData,
        leaves: &[AdoptedLeaf],
    ) -> Result<HashMap<i32, (Datum, Datum)>> {
        let totals = self.totals(footer, leaves, Some(Mode::Full))?;
        let exact = totals.into_iter().filter(|(leaf, total)| {
            total.is_exact && total.nulls == Some(0) && !super::is_float(&leaf.ty)
        });
        Ok(exact
            .filter_map(|(leaf, total)| {
                Some((leaf.field_id, (total.lower.known()?, total.upper.known()?)))
            })
            .collect())
    }

    /// The totals of the columns that are the table's; `mode` in place of their own.
    fn totals(
        &self,
        footer: &ParquetMetaData,
        leaves: &[AdoptedLeaf],
        mode: Option<Mode>,
    ) -> Result<Vec<(Leaf, Total)>> {
        let known = |adopted: &AdoptedLeaf| {
            let leaf = self.leaves.iter().find(|leaf| Some(leaf.field_id) == adopted.id)?.clone();
            let mode = mode.unwrap_or(leaf.mode);
            Some((
                Leaf { mode, ..leaf },
                Total { nulls: Some(0), is_exact: true, ..Total::default() },
            ))
        };
        let mut totals: Vec<Option<(Leaf, Total)>> = leaves.iter().map(known).collect();
        for group in footer.row_groups() {
            if group.num_columns() != leaves.len() {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    "a row group has other columns than the schema",
                ));
            }
            for ((total, adopted), chunk) in totals.iter_mut().zip(leaves).zip(group.columns()) {
                if let Some((leaf, total)) = total {
                    total.add(leaf, adopted.has_bounds, chunk)?;
                }
            }
        }
        Ok(totals.into_iter().flatten().collect())
    }
}

impl Total {
    fn add(&mut self, leaf: &Leaf, has_bounds: bool, chunk: &ColumnChunkMetaData) -> Result<()> {
        let values = u64::try_from(chunk.num_values()).unwrap_or(0);
        self.size += u64::try_from(chunk.compressed_size()).unwrap_or(0);
        self.values += values;
        // Old writers compared text and decimals byte by byte, with signs.
        let statistics = chunk.statistics().filter(|s| !s.is_min_max_deprecated());
        let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
        self.nulls = self.nulls.zip(nulls).map(|(sum, count)| sum + count);
        if nulls == Some(values) {
            return Ok(());
        }
        let datum = |bytes: Option<&[u8]>| -> Result<Option<Datum>> {
            let bytes = bytes.filter(|_| has_bounds && !leaf.repeated);
            let datum = bytes.map(|bytes| datum_of(leaf, bytes, statistics)).transpose()?;
            Ok(datum.filter(|datum| !datum.is_nan()))
        };
        // Only text and bytes are ever cut.
        let may_be_cut = matches!(leaf.ty, PrimitiveType::String | PrimitiveType::Binary);
        self.is_exact &=
            !may_be_cut || statistics.is_some_and(|s| s.min_is_exact() && s.max_is_exact());
        self.lower.add(datum(statistics.and_then(Statistics::min_bytes_opt))?, Ordering::Less);
        self.upper.add(datum(statistics.and_then(Statistics::max_bytes_opt))?, Ordering::Greater);
        Ok(())
    }
}
