//! Which rows of a batch stay.

use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder};
use datafusion::error::Result;
use fjord_catalog::deletes::DeletedRows;

use super::cache::{Deletes, Loaded};
use super::load::{FileDeletes, mixed_up};

/// The deletes of one data file against the batches that are read of it.
#[derive(Debug)]
pub(super) struct Mask {
    pub(super) deletes: FileDeletes,
}

impl Mask {
    /// The rows with `numbers`, where in the file they are, that stay; `None` when all do. Those
    /// that were `found` by key go like those that are named by position.
    pub(super) fn kept(
        &self,
        numbers: &[i64],
        found: &[Arc<Loaded>],
    ) -> Result<Option<BooleanArray>> {
        let mut deleted = Deleted { rows: None, count: numbers.len() };
        if let Some(rows) = &self.deletes.rows {
            by_position(rows, numbers, &mut deleted);
        }
        for found in found {
            let Deletes::Found(rows) = &found.deletes else { return Err(mixed_up()) };
            by_position(rows, numbers, &mut deleted);
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

fn by_position(rows: &DeletedRows, numbers: &[i64], deleted: &mut Deleted) {
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
        let mut found = Deleted { rows: None, count: numbers.len() };
        by_position(&rows, &numbers, &mut found);
        let kept = found.rows.map(|mut kept| kept.finish());
        let stays = |at: usize| kept.as_ref().is_none_or(|kept| kept.value(at));
        numbers.iter().enumerate().filter(|(at, _)| stays(*at)).map(|(_, n)| *n).collect()
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
