//! Which rows of a batch stay.

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, Int64Array, RecordBatch};
use datafusion::error::Result;
use fjord_catalog::deletes::DeletedRows;

use super::load::FileDeletes;

/// The deletes of one data file against the batches that are read of it.
#[derive(Debug)]
pub(super) struct Mask {
    pub(super) deletes: FileDeletes,
    /// Where in a batch the columns of each set of keys are.
    pub(super) key_places: Vec<Vec<usize>>,
}

impl Mask {
    /// The rows of `batch` that stay; `None` when all do. `row_numbers` say where in the file its
    /// rows were, if deletes by position need it.
    pub(super) fn kept(
        &self,
        batch: &RecordBatch,
        row_numbers: Option<&Int64Array>,
    ) -> Result<Option<BooleanArray>> {
        let count = batch.num_rows();
        let mut deleted = Deleted { rows: None, count };
        if let (Some(rows), Some(numbers)) = (&self.deletes.rows, row_numbers) {
            by_position(rows, numbers, &mut deleted);
        }
        for (keys, places) in self.deletes.keys.iter().zip(&self.key_places) {
            let columns = keys
                .columns()
                .iter()
                .zip(places)
                .map(|(column, place)| column.of_scan(batch.column(*place)))
                .collect::<Result<Vec<ArrayRef>>>()?;
            if let Some(set) = keys.set() {
                set.find(&columns, self.deletes.sequence_number, |row| deleted.insert(row))?;
            }
        }
        Ok(deleted.rows.map(|mut kept| BooleanArray::new(kept.finish(), None)))
    }
}

/// The bits of the rows that stay, made when the first one does not.
struct Deleted {
    rows: Option<BooleanBufferBuilder>,
    count: usize,
}

impl Deleted {
    fn insert(&mut self, row: usize) {
        let count = self.count;
        let kept = self.rows.get_or_insert_with(|| {
            let mut kept = BooleanBufferBuilder::new(count);
            kept.append_n(count, true);
            kept
        });
        kept.set_bit(row, false);
    }
}

fn by_position(rows: &DeletedRows, numbers: &Int64Array, deleted: &mut Deleted) {
    let numbers = numbers.values();
    let ends = numbers.first().zip(numbers.last());
    let Some((Ok(first), Ok(last))) = ends.map(|(a, b)| (u64::try_from(*a), u64::try_from(*b)))
    else {
        return;
    };
    if !numbers.is_sorted() {
        // Row groups may come in another order.
        for (at, number) in numbers.iter().enumerate() {
            if u64::try_from(*number).is_ok_and(|number| rows.contains(number)) {
                deleted.insert(at);
            }
        }
        return;
    }
    let dense = last - first == numbers.len() as u64 - 1;
    for row in rows.within(first..=last) {
        let Ok(place) = usize::try_from(row - first) else { return };
        if dense {
            deleted.insert(place);
        } else if let Ok(place) = numbers.binary_search(&i64::try_from(row).unwrap_or(i64::MAX)) {
            // A filter left gaps.
            deleted.insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(deleted: &[u64], numbers: Vec<i64>) -> Vec<i64> {
        let mut rows = DeletedRows::default();
        deleted.iter().for_each(|row| rows.insert(*row));
        let numbers = Int64Array::from(numbers);
        let mut found = Deleted { rows: None, count: numbers.len() };
        by_position(&rows, &numbers, &mut found);
        let kept = found.rows.map(|mut kept| kept.finish());
        let stays = |at: usize| kept.as_ref().is_none_or(|kept| kept.value(at));
        numbers.values().iter().enumerate().filter(|(at, _)| stays(*at)).map(|(_, n)| *n).collect()
    }

    /// Hazard: positions are taken for those of the batch, or of rows without gaps.
    #[test]
    fn positions_are_those_of_the_file_in_whatever_order_rows_come() {
        assert_eq!(kept(&[3, 5, 100], vec![2, 3, 4, 5, 6]), [2, 4, 6]);
        assert_eq!(kept(&[3, 5, 100], vec![1, 3, 5, 9]), [1, 9]);
        assert_eq!(kept(&[3, 5, 100], vec![100, 101, 0, 5]), [101, 0]);
        // As many rows as between the first and the last, and yet not these.
        assert_eq!(kept(&[3, 5], vec![3, 8, 5]), [8]);
        assert_eq!(kept(&[7], vec![1, 2]), [1, 2]);
    }
}
