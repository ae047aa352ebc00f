//! The morselizer of a scan with deletes: files without any go through untouched.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetSource;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::error::Result;
use datafusion_datasource::morsel::{
    Morsel, MorselPlan, MorselPlanner, Morselizer, PendingMorselPlanner,
};
use fjord_catalog::deletes::DeletedRows;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::attach::Attached;
use super::fallible::is_dynamic;
use super::finder::{Finder, Finding};
use super::load::{FileDeletes, Loader};
use super::mask::Mask;
use super::masked::{MaskedRead, MaskedSource};

/// Runs of deleted rows that are skipped by selecting the others have at least so many rows to
/// themselves, deleted or not, on average; between shorter ones a mask is faster.
const SELECTION_ROWS_MIN: u64 = 2_000;

/// What the files of a scan share to read their deletes.
#[derive(Debug)]
pub(in crate::iceberg) struct ScanDeletes {
    pub(in crate::iceberg) loader: Arc<Loader>,
    /// Reads every column of the table, and those that only deletes need.
    pub(in crate::iceberg) whole: ParquetSource,
}

/// Reads files with the inner morselizer, and those with deletes without their deleted rows.
///
/// ```text
/// file ─┬ no deletes ──────────────────────────────────────────► inner
///       └ deletes ─ load ─┬ long runs by position ─ selection ─► inner
///                         └ scattered, or by keys ─────────────► masked
///                                           └ positions, found once for each row group
/// ```
#[derive(Debug)]
pub(in crate::iceberg) struct DeletingMorselizer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Box<dyn Morselizer>,
    deletes: Arc<ScanDeletes>,
    masked: MaskedSource,
}

impl DeletingMorselizer {
    pub(in crate::iceberg) fn new(
        inner: Box<dyn Morselizer>,
        deletes: Arc<ScanDeletes>,
        masked: MaskedSource,
    ) -> Self {
        Self { shared: Arc::new(Shared { inner, deletes, masked }) }
    }
}

impl Morselizer for DeletingMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        match file.extensions.get_arc::<Attached>() {
            None => self.shared.inner.plan_file(file),
            Some(attached) => {
                let shared = Arc::clone(&self.shared);
                Ok(Box::new(LoadPlanner { shared, attached, file }))
            }
        }
    }
}

/// Loads the deletes of one file.
#[derive(Debug)]
struct LoadPlanner {
    shared: Arc<Shared>,
    attached: Arc<Attached>,
    file: PartitionedFile,
}

impl MorselPlanner for LoadPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { shared, attached, file } = *self;
        let loading = async move {
            let deletes = shared.deletes.loader.load(&attached).await?;
            shared.plan(file, &attached, deletes)
        };
        Ok(Some(MorselPlan::new().with_pending_planner(loading)))
    }
}

impl Shared {
    fn plan(
        &self,
        mut file: PartitionedFile,
        attached: &Attached,
        deletes: FileDeletes,
    ) -> Result<Box<dyn MorselPlanner>> {
        let rows = attached.rows;
        let by_key = !attached.equality.is_empty();
        match &deletes.rows {
            None if !by_key => return self.inner.plan_file(file),
            Some(deleted) if !by_key && self.selects(deleted, rows)? => {
                let selection = ParquetRowSelection::new(selection(deleted, rows));
                file.extensions.insert(selection);
                return self.inner.plan_file(file);
            }
            _ => {}
        }
        let finder = by_key.then(|| {
            let loader = Arc::clone(&self.deletes.loader);
            let opening = Arc::clone(&self.masked.opening);
            Arc::new(Finder::new(loader, opening, &file, attached))
        });
        let (masked, read) = self.masked.of_file(Mask { deletes }, finder)?;
        let inner = masked.plan_file(file)?;
        Ok(Box::new(MaskedPlanner { inner, read: Arc::new(read) }))
    }

    /// Whether the rows that stay are told to the reader beforehand.
    fn selects(&self, deleted: &DeletedRows, rows: u64) -> Result<bool> {
        if deleted.len() >= rows {
            return Ok(true);
        }
        let filter = self.masked.filter();
        // Under a selection, row groups are not pruned by what a TopK learns on its way.
        if filter.map(|filter| is_dynamic(&filter)).transpose()?.unwrap_or(false) {
            return Ok(false);
        }
        let runs_max = rows / SELECTION_ROWS_MIN;
        let runs = deleted.runs().zip(0..=runs_max).count() as u64;
        Ok(runs <= runs_max)
    }
}

/// Every row of the file: those that stay selected, the others skipped.
fn selection(deleted: &DeletedRows, rows: u64) -> RowSelection {
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let mut selectors = Vec::new();
    let mut next = 0;
    for (first, length) in deleted.runs() {
        // What a delete file says of rows that are not there is no concern of this file.
        let (first, end) = (first.min(rows), first.saturating_add(length).min(rows));
        if first > next {
            selectors.push(RowSelector::select(count(first - next)));
        }
        if end > first {
            selectors.push(RowSelector::skip(count(end - first)));
        }
        next = end;
    }
    if rows > next {
        selectors.push(RowSelector::select(count(rows - next)));
    }
    selectors.into()
}

/// Plans the morsels of one file and masks their batches.
#[derive(Debug)]
struct MaskedPlanner {
    inner: Box<dyn MorselPlanner>,
    read: Arc<MaskedRead>,
}

impl MorselPlanner for MaskedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, read } = *self;
        let Some(mut plan) = inner.plan()? else { return Ok(None) };
        let planner = |inner| -> Box<dyn MorselPlanner> {
            Box::new(MaskedPlanner { inner, read: Arc::clone(&read) })
        };
        let morsel = |inner| -> Box<dyn Morsel> {
            Box::new(MaskedMorsel { inner, read: Arc::clone(&read) })
        };
        let mut masked = MorselPlan::new()
            .with_planners(plan.take_ready_planners().into_iter().map(planner).collect())
            .with_morsels(plan.take_morsels().into_iter().map(morsel).collect());
        if let Some(pending) = plan.take_pending_planner() {
            masked.set_pending_planner(when_ready(pending, Arc::clone(&read)));
        }
        Ok(Some(masked))
    }
}

async fn when_ready(
    pending: PendingMorselPlanner,
    read: Arc<MaskedRead>,
) -> Result<Box<dyn MorselPlanner>> {
    Ok(Box::new(MaskedPlanner { inner: pending.await?, read }))
}

#[derive(Debug)]
struct MaskedMorsel {
    inner: Box<dyn Morsel>,
    read: Arc<MaskedRead>,
}

impl Morsel for MaskedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, read } = *self;
        let batches = inner.into_stream();
        let Some(finder) = read.finder() else {
            return batches.map(move |batch| read.apply(&batch?, &[])).boxed();
        };
        let finding = Finding::new(Arc::clone(finder));
        let masked = stream::try_unfold((batches, finding), move |(mut batches, mut finding)| {
            let read = Arc::clone(&read);
            async move {
                let Some(batch) = batches.try_next().await? else { return Ok(None) };
                let found = finding.of_rows(read.numbers(&batch)).await?;
                Ok(Some((read.apply(&batch, &found)?, (batches, finding))))
            }
        });
        masked.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(deleted: &[u64], rows: u64) -> Vec<(usize, bool)> {
        let mut set = DeletedRows::default();
        deleted.iter().for_each(|row| set.insert(*row));
        let selectors: Vec<RowSelector> = selection(&set, rows).into();
        selectors.into_iter().map(|s| (s.row_count, s.skip)).collect()
    }

    /// Hazard: a selection that is shorter or longer than the file.
    #[test]
    fn a_selection_covers_exactly_the_rows_of_the_file() {
        assert_eq!(of(&[], 10), [(10, false)]);
        assert_eq!(of(&[0, 1, 9], 10), [(2, true), (7, false), (1, true)]);
        assert_eq!(of(&[8, 9, 10, 11, 50], 10), [(8, false), (2, true)]);
        assert_eq!(of(&[12], 10), [(10, false)]);
        assert_eq!(of(&[0, 1], 2), [(2, true)]);
    }
}
