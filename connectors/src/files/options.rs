//! Named options of a file relation, taken one by one; what is left over is an error.

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::Result;

use super::hive::HivePartitioning;
use super::listing::ListedFile;
use crate::error::{Error, ErrorKind};

/// The options that a statement gave to `function`.
#[derive(Debug)]
pub(super) struct Options {
    function: &'static str,
    accepted: &'static [&'static str],
    given: BTreeMap<String, ScalarValue>,
}

impl Options {
    /// # Errors
    /// `Invalid`, listing what is accepted, for an option that `function` does not have.
    pub(super) fn new(
        function: &'static str,
        accepted: &'static [&'static str],
        given: BTreeMap<String, ScalarValue>,
    ) -> Result<Self> {
        if let Some(unknown) = given.keys().find(|k| !accepted.contains(&k.as_str())) {
            let message =
                format!("{function} has no option {unknown:?}; it accepts {}", accepted.join(", "));
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        Ok(Self { function, accepted, given })
    }

    fn value(&self, name: &str) -> Option<&ScalarValue> {
        debug_assert!(self.accepted.contains(&name));
        self.given.get(name).filter(|v| !v.is_null())
    }

    pub(super) fn invalid(&self, name: &str, expected: &str) -> Error {
        let found = self.given.get(name).map(ToString::to_string).unwrap_or_default();
        let message =
            format!("{} option {name:?}: expected {expected}, found {found:?}", self.function);
        Error::new(ErrorKind::Invalid, message)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        match self.value(name) {
            None => Ok(None),
            Some(ScalarValue::Boolean(Some(b))) => Ok(Some(*b)),
            Some(other) => match as_text(other).map(|t| t.to_ascii_lowercase()).as_deref() {
                Some("true") => Ok(Some(true)),
                Some("false") => Ok(Some(false)),
                _ => Err(self.invalid(name, "true or false").into()),
            },
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        self.value(name)
            .map(|v| as_text(v).ok_or_else(|| self.invalid(name, "a string").into()))
            .transpose()
    }

    /// One string or a list of them.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        if let Some(text) = as_text(value) {
            return Ok(vec![text]);
        }
        let items = match value {
            ScalarValue::List(list) => ScalarValue::convert_array_to_scalar_vec(list.as_ref())?,
            _ => return Err(self.invalid(name, "a string or a list of strings").into()),
        };
        items
            .iter()
            .flatten()
            .flatten()
            .map(|i| as_text(i).ok_or_else(|| self.invalid(name, "a list of strings").into()))
            .collect()
    }

    /// A single ASCII character, which is what CSV readers split by.
    pub(super) fn character(&self, name: &str) -> Result<Option<u8>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.as_str() {
            "\\t" => Ok(Some(b'\t')),
            one if one.len() == 1 => Ok(Some(one.as_bytes()[0])),
            _ => Err(self.invalid(name, "a single ASCII character").into()),
        }
    }

    /// How many records schema inference reads in each file; −1 reads all.
    pub(super) fn sample_size(&self) -> Result<Option<usize>> {
        let Some(value) = self.value("sample_size") else { return Ok(None) };
        let number = as_text(value).or_else(|| Some(value.to_string()));
        match number.and_then(|n| n.parse::<i64>().ok()) {
            Some(-1) => Ok(Some(usize::MAX)),
            Some(n) if n > 0 => usize::try_from(n)
                .map(Some)
                .map_err(|_| self.invalid("sample_size", "a smaller number").into()),
            _ => Err(self
                .invalid("sample_size", "a positive number of records, or -1 for all")
                .into()),
        }
    }

    pub(super) fn hive_partitioning(&self) -> Result<HivePartitioning> {
        Ok(match self.boolean("hive_partitioning")? {
            None => HivePartitioning::Auto,
            Some(true) => HivePartitioning::Required,
            Some(false) => HivePartitioning::Off,
        })
    }

    /// The compression of `files`: as said, or by their extension, which must then agree.
    pub(super) fn compression(&self, files: &[ListedFile]) -> Result<FileCompressionType> {
        let named = self.text("compression")?.map(|t| t.to_ascii_lowercase());
        match named.as_deref() {
            None | Some("auto") => {}
            Some("none" | "uncompressed") => return Ok(FileCompressionType::UNCOMPRESSED),
            Some("gzip" | "gz") => return Ok(FileCompressionType::GZIP),
            Some("zstd" | "zst") => return Ok(FileCompressionType::ZSTD),
            Some("bzip2" | "bz2") => return Ok(FileCompressionType::BZIP2),
            Some("xz") => return Ok(FileCompressionType::XZ),
            Some(_) => {
                return Err(self
                    .invalid("compression", "one of auto, none, gzip, zstd, bzip2, xz")
                    .into());
            }
        }
        let first = by_extension(&files[0]);
        match files.iter().find(|f| by_extension(f) != first) {
            None => Ok(first),
            Some(other) => {
                let message = format!(
                    "files {:?} and {:?} are compressed differently; read them apart and UNION ALL them",
                    files[0].shown, other.shown
                );
                Err(Error::new(ErrorKind::Invalid, message).into())
            }
        }
    }
}

fn by_extension(file: &ListedFile) -> FileCompressionType {
    match file.meta.location.extension().map(str::to_ascii_lowercase).as_deref() {
        Some("gz" | "gzip") => FileCompressionType::GZIP,
        Some("zst" | "zstd") => FileCompressionType::ZSTD,
        Some("bz2") => FileCompressionType::BZIP2,
        Some("xz") => FileCompressionType::XZ,
        _ => FileCompressionType::UNCOMPRESSED,
    }
}

fn as_text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(Some(s))
        | ScalarValue::Utf8View(Some(s))
        | ScalarValue::LargeUtf8(Some(s)) => Some(s.clone()),
        _ => None,
    }
}
