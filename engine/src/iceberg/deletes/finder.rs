//! Which rows of a data file its equality deletes take away: found row group by row group, and kept.
//!
//! A key has to be looked for only once: neither a data file nor the files of deletes that apply to
//! it ever change. What was found is positions, as other deletes have them, so that every later
//! scan, whatever it asks, reads no key again.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileSource;
use datafusion::datasource::physical_plan::parquet::ParquetAccessPlan;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNullExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::morsel::MorselPlanner;
use fjord_catalog::deletes::DeletedRows;
use futures::TryStreamExt;
use tokio::sync::OnceCell;

use super::attach::{Attached, KeyGroup};
use super::cache::{DeleteKey, Deletes, Loaded};
use super::keys::KeySet;
use super::load::{Loader, mixed_up};
use super::opening::Opening;
use crate::error::{Error, ErrorKind};

/// Finds the rows of one data file that have a deleted key.
#[derive(Debug)]
pub(super) struct Finder {
    loader: Arc<Loader>,
    opening: Arc<Opening>,
    groups: Vec<Arc<KeyGroup>>,
    /// Data sequence number of the data file.
    sequence_number: i64,
    /// The whole file, whatever part of it the scan reads.
    file: PartitionedFile,
    /// What was found in the file is kept under this and the row group.
    key: DeleteKey,
    /// The first row of each row group, and the end of the last one.
    starts: OnceCell<Vec<u64>>,
}

/// What a row group's deletes are, with the row groups that a batch has rows of.
#[derive(Debug)]
pub(super) struct Finding {
    finder: Arc<Finder>,
    /// Batches come row group by row group: the one that the last batch was of.
    last: Option<(usize, Arc<Loaded>)>,
}

impl Finder {
    /// For the data file `file`, which has `attached` deletes by key.
    pub(super) fn new(
        loader: Arc<Loader>,
        opening: Arc<Opening>,
        file: &PartitionedFile,
        attached: &Attached,
    ) -> Self {
        let mut whole = PartitionedFile::new_from_meta(file.object_meta.clone());
        whole.statistics = attached.with_fixed(file.statistics.clone());
        Self {
            loader,
            opening,
            groups: attached.equality.clone(),
            sequence_number: attached.sequence_number,
            file: whole,
            key: key(attached, file.object_meta.size),
            starts: OnceCell::new(),
        }
    }

    async fn starts(&self) -> Result<&[u64]> {
        let starts = self.starts.get_or_try_init(|| async {
            let metrics = ExecutionPlanMetricsSet::new();
            let readers = self.opening.readers()?;
            let mut reader = readers.create_reader(0, self.file.clone(), None, &metrics)?;
            let footer = reader.get_metadata(None).await?;
            let mut starts = vec![0_u64];
            for group in footer.row_groups() {
                let rows = u64::try_from(group.num_rows()).map_err(|_negative| {
                    Error::new(ErrorKind::Corrupt, "a row group has fewer than no rows")
                })?;
                starts.push(starts[starts.len() - 1].saturating_add(rows));
            }
            Ok::<_, datafusion::error::DataFusionError>(starts)
        });
        Ok(starts.await?)
    }

    /// The deleted rows of a row group, found now if they are not known.
    async fn row_group(&self, at: usize) -> Result<Arc<Loaded>> {
        let place = (at as u64).to_le_bytes();
        let key = DeleteKey::of([b"found in".as_slice(), self.key.as_bytes(), &place]);
        self.loader.found(&key, || self.find(at)).await
    }

    async fn find(&self, at: usize) -> Result<Loaded> {
        let memory = self.loader.memory();
        let mut found = DeletedRows::default();
        let mut sets = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let loaded = self.loader.key_set(group).await?;
            let Deletes::Keys(set) = &loaded.deletes else { return Err(mixed_up()) };
            if set.len() > 0 {
                sets.push((Arc::clone(group), Arc::clone(&loaded)));
            }
        }
        if !sets.is_empty() {
            let columns: BTreeSet<usize> = sets
                .iter()
                .flat_map(|(group, _)| &group.columns)
                .map(|column| column.column)
                .collect();
            let columns: Vec<usize> = columns.into_iter().collect();
            let planner = self.planner(at, &columns, &sets).await?;
            each_batch(planner, |batch| {
                self.look(batch, &columns, &sets, &mut found)?;
                memory.try_resize(found.memory_bytes())
            })
            .await?;
        }
        memory.try_resize(found.memory_bytes())?;
        Ok(Loaded { deletes: Deletes::Found(found), memory })
    }

    /// Reads the key columns of one row group; of them what may have a key at all.
    async fn planner(
        &self,
        at: usize,
        columns: &[usize],
        sets: &[(Arc<KeyGroup>, Arc<Loaded>)],
    ) -> Result<Box<dyn MorselPlanner>> {
        let mut source = self.opening.reading(columns, true)?.with_pushdown_filters(false);
        let schema = self.opening.whole.table_schema().table_schema();
        if let Some(within) = may_have_keys(sets, schema) {
            source = source.with_predicate(within);
        }
        let mut plan = ParquetAccessPlan::new_none(self.starts().await?.len() - 1);
        plan.scan(at);
        let mut file = self.file.clone();
        file.extensions.insert(plan);
        self.opening.morselizer(&source)?.plan_file(file)
    }

    fn look(
        &self,
        batch: &RecordBatch,
        columns: &[usize],
        sets: &[(Arc<KeyGroup>, Arc<Loaded>)],
        found: &mut DeletedRows,
    ) -> Result<()> {
        let numbers = batch.column(columns.len()).as_primitive::<Int64Type>().values();
        for (group, loaded) in sets {
            let Deletes::Keys(set) = &loaded.deletes else { return Err(mixed_up()) };
            let values = group
                .columns
                .iter()
                .map(|key| {
                    let place = columns.binary_search(&key.column).map_err(|_| {
                        Error::new(ErrorKind::Bug, "a column of a deleted key is not read")
                    })?;
                    key.of_scan(batch.column(place))
                })
                .collect::<Result<Vec<ArrayRef>>>()?;
            set.find(&values, self.sequence_number, |row| {
                // Numbers of rows are never negative.
                found.insert(numbers[row].unsigned_abs());
            })?;
        }
        Ok(())
    }
}

impl Finding {
    pub(super) fn new(finder: Arc<Finder>) -> Self {
        Self { finder, last: None }
    }

    /// The deleted rows of the row groups that rows with `numbers` are in.
    pub(super) async fn of_rows(&mut self, numbers: &[i64]) -> Result<Vec<Arc<Loaded>>> {
        let groups = {
            let starts = self.finder.starts().await?;
            let mut groups = BTreeSet::new();
            let mut within = 0..0;
            for number in numbers {
                let number = number.unsigned_abs();
                if !within.contains(&number) {
                    let after = starts.partition_point(|start| *start <= number);
                    let (Some(at), Some(end)) = (after.checked_sub(1), starts.get(after)) else {
                        let e = Error::new(ErrorKind::Corrupt, "a row lies behind the last one");
                        return Err(e.into());
                    };
                    within = starts[at]..*end;
                    groups.insert(at);
                }
            }
            groups
        };
        let mut found = Vec::with_capacity(groups.len());
        for at in groups {
            if self.last.as_ref().is_none_or(|(last, _)| *last != at) {
                // On its own: another partition may wait for it while nobody asks this one.
                let finder = Arc::clone(&self.finder);
                let finding = SpawnedTask::spawn(async move { finder.row_group(at).await });
                let loaded = finding.join_unwind().await.map_err(|e| {
                    Error::new(ErrorKind::Cancelled, format!("looking for deleted keys: {e}"))
                })?;
                self.last = Some((at, loaded?));
            }
            found.extend(self.last.iter().map(|(_, loaded)| Arc::clone(loaded)));
        }
        Ok(found)
    }
}

/// What is found in a file depends on: which file it is, its age, and the deletes that apply to it.
fn key(attached: &Attached, size_bytes: u64) -> DeleteKey {
    let numbers = [size_bytes, attached.rows].map(u64::to_le_bytes);
    let sequence_number = attached.sequence_number.to_le_bytes();
    // What a partition fixes stands in for columns that the file may lack.
    let fixed = format!("{:?}", attached.fixed);
    let mut parts = vec![b"found".as_slice(), attached.uri.as_bytes(), &sequence_number];
    parts.extend(numbers.iter().map(|number| number.as_slice()));
    parts.push(fixed.as_bytes());
    parts.extend(attached.equality.iter().map(|group| group.key.as_bytes()));
    DeleteKey::of(parts)
}

/// Calls `each` with every batch that `planner` plans.
async fn each_batch(
    planner: Box<dyn MorselPlanner>,
    mut each: impl FnMut(&RecordBatch) -> Result<()> + Send,
) -> Result<()> {
    let mut planners = vec![planner];
    while let Some(planner) = planners.pop() {
        let Some(mut plan) = planner.plan()? else { continue };
        for morsel in plan.take_morsels() {
            let mut batches = morsel.into_stream();
            while let Some(batch) = batches.try_next().await? {
                each(&batch)?;
                // Decoding never waits when the bytes are there: let others have the thread.
                tokio::task::consume_budget().await;
            }
        }
        planners.extend(plan.take_ready_planners());
        if let Some(pending) = plan.take_pending_planner() {
            planners.push(pending.await?);
        }
    }
    Ok(())
}

/// What is true of every row that has a key of `sets`; `None` if nothing is known of them.
fn may_have_keys(
    sets: &[(Arc<KeyGroup>, Arc<Loaded>)],
    schema: &Schema,
) -> Option<Arc<dyn PhysicalExpr>> {
    let of_set = |(group, loaded): &(Arc<KeyGroup>, Arc<Loaded>)| {
        let Deletes::Keys(set) = &loaded.deletes else { return None };
        may_have_key(group, set, schema)
    };
    any(sets.iter().map(of_set).collect::<Option<Vec<_>>>()?)
}

fn may_have_key(group: &KeyGroup, set: &KeySet, schema: &Schema) -> Option<Arc<dyn PhysicalExpr>> {
    let known = group.columns.iter().zip(set.bounds()).filter_map(|(key, bounds)| {
        // Statistics of what is in a struct are not asked.
        let bounds = bounds.as_ref().filter(|_| key.path().is_empty())?;
        let column: Arc<dyn PhysicalExpr> =
            Arc::new(Column::new(schema.field(key.column).name(), key.column));
        let compared = |op, value: &datafusion::common::ScalarValue| -> Arc<dyn PhysicalExpr> {
            let value = Arc::new(Literal::new(value.clone()));
            Arc::new(BinaryExpr::new(Arc::clone(&column), op, value))
        };
        let within = bounds.ends.as_ref().map(|(least, greatest)| {
            conjunction([compared(Operator::GtEq, least), compared(Operator::LtEq, greatest)])
        });
        let absent = bounds
            .has_null
            .then(|| -> Arc<dyn PhysicalExpr> { Arc::new(IsNullExpr::new(Arc::clone(&column))) });
        any(within.into_iter().chain(absent))
    });
    let known: Vec<_> = known.collect();
    (!known.is_empty()).then(|| conjunction(known))
}

fn any(exprs: impl IntoIterator<Item = Arc<dyn PhysicalExpr>>) -> Option<Arc<dyn PhysicalExpr>> {
    exprs.into_iter().reduce(|a, b| Arc::new(BinaryExpr::new(a, Operator::Or, b)))
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;

    fn attached() -> Attached {
        let key = DeleteKey::of([b"some".as_slice()]);
        Attached {
            uri: "s3://b/rows.parquet".to_owned(),
            rows: 10,
            sequence_number: 1,
            vector: None,
            positions: Vec::new(),
            equality: vec![Arc::new(KeyGroup { columns: Vec::new(), files: Vec::new(), key })],
            fixed: vec![(2, ScalarValue::Int32(Some(1)))],
        }
    }

    /// Hazard: what was found in a file is taken for what is in another, or for what other deletes
    /// take from it.
    #[test]
    fn what_is_found_is_kept_for_this_file_and_these_deletes_alone() {
        let other = DeleteKey::of([b"other".as_slice()]);
        let group = Arc::new(KeyGroup { columns: Vec::new(), files: Vec::new(), key: other });
        let mut all = vec![key(&attached(), 100), key(&attached(), 101)];
        let changes: [&dyn Fn(&mut Attached); 6] = [
            &|file| file.uri = "s3://b/other.parquet".to_owned(),
            &|file| file.rows = 11,
            &|file| file.sequence_number = 2,
            &|file| file.equality = vec![Arc::clone(&group)],
            &|file| file.equality.push(Arc::clone(&group)),
            &|file| file.fixed = vec![(2, ScalarValue::Int32(Some(2)))],
        ];
        for change in changes {
            let mut file = attached();
            change(&mut file);
            all.push(key(&file, 100));
        }
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(key(&attached(), 100), all[0]);
    }
}
