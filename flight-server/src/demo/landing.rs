//! The files that the demo lands: CDNOW's purchases with the dirt that real feeds have.
//!
//! CDNOW's file has no order numbers, no text columns and no errors. This module invents order
//! numbers, e-mail addresses and countries, and then spoils some rows, always the same ones.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const CDNOW: &str = include_str!("../../data/cdnow/CDNOW_master.txt");
const SEED: u64 = 19_970_101;
/// Purchases from this day on arrive with the second landing.
const SECOND_LANDING_FROM: &str = "19980601";
const COUNTRIES: [&str; 6] = ["us", "us", "us", "gb", "de", "fr"];
const HEADER: &str = "order_id,customer_id,purchased_on,cds,amount,email,country\n";

/// The two files, and what is in them.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) first: PathBuf,
    pub(super) second: PathBuf,
    pub(super) first_rows: usize,
    pub(super) second_rows: usize,
    pub(super) spoilt_rows: usize,
}

/// Writes both files below `directory`; those of an earlier demo are replaced by equal ones.
pub(super) fn write_landing(directory: &Path) -> Result<Landing> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("directory {:?}", directory.display()))?;
    let files = generate()?;
    let first = directory.join("purchases_1.csv");
    let second = directory.join("purchases_2.csv");
    for (path, text) in [(&first, &files.first), (&second, &files.second)] {
        std::fs::write(path, text).with_context(|| format!("file {:?}", path.display()))?;
    }
    let rows = |text: &str| text.lines().count() - 1;
    Ok(Landing {
        first_rows: rows(&files.first),
        second_rows: rows(&files.second),
        spoilt_rows: files.spoilt_rows,
        first,
        second,
    })
}

#[derive(Debug)]
struct Files {
    first: String,
    second: String,
    spoilt_rows: usize,
}

fn generate() -> Result<Files> {
    let mut random = Random(SEED);
    let (mut first, mut second) = (HEADER.to_owned(), HEADER.to_owned());
    let mut spoilt_rows = 0;
    for (i, line) in CDNOW.lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[customer, date, cds, amount] = fields.as_slice() else {
            bail!("CDNOW_master.txt: line {} has {} fields, not 4", i + 2, fields.len());
        };
        let mut row = Row::new(i + 1, customer, date, cds, amount);
        spoilt_rows += usize::from(row.spoil(&mut random));
        let is_late = date >= SECOND_LANDING_FROM;
        let file = if is_late { &mut second } else { &mut first };
        row.append_to(file)?;
        // A feed that is sent twice: at once, or again with the next landing.
        match random.below(100) {
            0 => row.append_to(file)?,
            1 if random.below(5) == 0 => row.append_to(&mut second)?,
            _ => {}
        }
    }
    Ok(Files { first, second, spoilt_rows })
}

/// A line of the landed file.
#[derive(Debug)]
struct Row {
    order_id: String,
    customer_id: String,
    purchased_on: String,
    cds: String,
    amount: String,
    email: String,
    country: String,
}

impl Row {
    fn new(number: usize, customer: &str, date: &str, cds: &str, amount: &str) -> Self {
        let iso = match (date.get(..4), date.get(4..6), date.get(6..)) {
            (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
            _ => date.to_owned(),
        };
        let known: usize = customer.parse().unwrap_or(0);
        Self {
            order_id: format!("O{number:06}"),
            customer_id: customer.to_owned(),
            purchased_on: iso,
            cds: cds.to_owned(),
            amount: amount.to_owned(),
            email: format!("customer{customer}@example.com"),
            country: COUNTRIES[known % COUNTRIES.len()].to_owned(),
        }
    }

    /// Does to about one row in twelve what feeds do to rows; returns whether it did.
    fn spoil(&mut self, random: &mut Random) -> bool {
        let die = random.below(1_000);
        match die {
            0..3 => self.customer_id.clear(),
            3..6 => {
                self.purchased_on =
                    ["1997-02-30", "1998-13-01", "unknown"][random.below(3)].to_owned()
            }
            6..9 => self.purchased_on.replace_range(..2, "20"),
            9..12 => self.amount = ["n/a", "12.3.4", "free"][random.below(3)].to_owned(),
            12..15 => self.amount.insert(0, '-'),
            15..35 => self.email = self.email.to_uppercase(),
            35..45 => self.email = format!("  {} ", self.email),
            45..55 => self.email.clear(),
            55..70 => self.country = format!(" {}", self.country.to_uppercase()),
            70..80 => self.country = "  ".to_owned(),
            80..85 => self.amount = format!(" {} ", self.amount),
            _ => return false,
        }
        true
    }

    fn append_to(&self, file: &mut String) -> Result<()> {
        let Self { order_id, customer_id, purchased_on, cds, amount, email, country } = self;
        writeln!(file, "{order_id},{customer_id},{purchased_on},{cds},{amount},{email},{country}")?;
        Ok(())
    }
}

/// `SplitMix64`: the same numbers on every machine, for ever.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dirt_is_always_the_same_and_of_every_kind() {
        let files = generate().unwrap();
        assert_eq!(files.first, generate().unwrap().first);
        let rows: Vec<Vec<&str>> =
            files.first.lines().skip(1).map(|l| l.split(',').collect()).collect();
        assert!(rows.iter().all(|r| r.len() == 7));
        assert!(rows.len() > 67_000 && files.second.lines().count() > 2_000);
        assert!(rows.iter().any(|r| r[1].is_empty()), "missing customer");
        assert!(rows.iter().any(|r| r[2] == "1997-02-30"), "impossible date");
        assert!(rows.iter().any(|r| r[2].starts_with("20")), "future date");
        assert!(rows.iter().any(|r| r[4] == "free"), "malformed amount");
        assert!(rows.iter().any(|r| r[4].starts_with('-')), "negative amount");
        assert!(rows.windows(2).any(|w| w[0] == w[1]), "duplicate");
    }
}
