//! Positions of deleted rows in one data file, compressed.

use std::ops::RangeInclusive;

use roaring::RoaringTreemap;

/// Positions of rows that are deleted, counted from 0 at the start of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeletedRows {
    rows: RoaringTreemap,
}

impl DeletedRows {
    pub(super) fn new(rows: RoaringTreemap) -> Self {
        Self { rows }
    }

    pub(super) fn rows(&self) -> &RoaringTreemap {
        &self.rows
    }

    /// Adds one position.
    pub fn insert(&mut self, position: u64) {
        // Delete files are sorted by position, for which appending is the fast way.
        if self.rows.try_push(position).is_err() {
            self.rows.insert(position);
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.rows |= &other.rows;
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether the row at `position` is deleted.
    pub fn contains(&self, position: u64) -> bool {
        self.rows.contains(position)
    }

    /// Those within `positions`, in ascending order.
    pub fn within(&self, positions: RangeInclusive<u64>) -> impl Iterator<Item = u64> + '_ {
        let mut rows = self.rows.iter();
        rows.advance_to(*positions.start());
        rows.take_while(move |row| row <= positions.end())
    }

    /// All of them as ranges of neighbours: first position and length, ascending.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut rows = self.rows.iter().peekable();
        std::iter::from_fn(move || {
            let first = rows.next()?;
            let mut length = 1;
            while rows.next_if_eq(&(first + length)).is_some() {
                length += 1;
            }
            Some((first, length))
        })
    }

    /// About what it takes in memory.
    pub fn memory_bytes(&self) -> usize {
        /// What a container costs beside its content.
        const CONTAINER_BYTES: usize = 64;
        let content = self.rows.serialized_size();
        let containers = self.rows.max().map_or(0, |max| max >> 16).min(self.rows.len());
        content + usize::try_from(containers).unwrap_or(usize::MAX).saturating_mul(CONTAINER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(positions: impl IntoIterator<Item = u64>) -> DeletedRows {
        let mut rows = DeletedRows::default();
        positions.into_iter().for_each(|position| rows.insert(position));
        rows
    }

    #[test]
    fn rows_come_back_in_order_however_they_were_added() {
        let rows = of([7, 3, 5, 3, 1 << 40, 4]);
        assert_eq!(rows.within(0..=u64::MAX).collect::<Vec<_>>(), [3, 4, 5, 7, 1 << 40]);
        assert_eq!(rows.within(4..=7).collect::<Vec<_>>(), [4, 5, 7]);
        assert_eq!(rows.within(8..=100).count(), 0);
        assert_eq!(rows.len(), 5);
        assert_eq!(rows.runs().collect::<Vec<_>>(), [(3, 3), (7, 1), (1 << 40, 1)]);
    }

    #[test]
    fn merging_keeps_both() {
        let mut rows = of([1, 2]);
        rows.merge(&of([2, 9]));
        assert_eq!(rows, of([1, 2, 9]));
        assert!(rows.contains(9) && !rows.contains(3));
    }
}
