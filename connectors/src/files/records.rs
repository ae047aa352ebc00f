//! Cuts a stream of CSV bytes at the ends of records, so that types can be inferred piece by piece.
//!
//! The splitter of `object_store` is not used: it looks for the last record end backwards with
//! state that only makes sense forwards, and cuts quoted values that hold line breaks.

use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};

use crate::error::{Error, ErrorKind};

/// The longest record; beyond it the quotes are wrong rather than the record long.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The characters that decide where records end.
#[derive(Clone, Copy, Debug)]
pub(super) struct CsvDialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    RecordStart,
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside quotes: the end of the value, or the first of a doubled quote.
    QuoteInQuoted,
    EscapedInQuoted,
    Comment,
}

#[derive(Debug)]
struct Splitter {
    dialect: CsvDialect,
    state: State,
    remainder: Vec<u8>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) -> Option<Bytes> {
        let mut record_end = None;
        for (i, byte) in bytes.iter().enumerate() {
            self.state = self.next(*byte);
            if self.state == State::RecordStart {
                record_end = Some(i + 1);
            }
        }
        let Some(end) = record_end else {
            self.remainder.extend_from_slice(bytes);
            return None;
        };
        let mut whole = std::mem::take(&mut self.remainder);
        whole.extend_from_slice(&bytes[..end]);
        self.remainder.extend_from_slice(&bytes[end..]);
        Some(whole.into())
    }

    fn next(&self, byte: u8) -> State {
        let dialect = &self.dialect;
        match self.state {
            State::Quoted if Some(byte) == dialect.escape => State::EscapedInQuoted,
            State::Quoted if byte == dialect.quote => State::QuoteInQuoted,
            State::Quoted | State::EscapedInQuoted => State::Quoted,
            State::QuoteInQuoted if byte == dialect.quote => State::Quoted,
            State::Comment if byte != b'\n' => State::Comment,
            State::RecordStart if Some(byte) == dialect.comment => State::Comment,
            State::RecordStart | State::FieldStart if byte == dialect.quote => State::Quoted,
            _ if byte == b'\n' => State::RecordStart,
            _ if byte == dialect.delimiter => State::FieldStart,
            _ => State::Unquoted,
        }
    }
}

/// `bytes` in pieces of whole records.
pub(super) fn whole_records(
    bytes: BoxStream<'static, Result<Bytes>>,
    dialect: CsvDialect,
) -> impl Stream<Item = Result<Bytes>> {
    let splitter = Splitter { dialect, state: State::RecordStart, remainder: Vec::new() };
    stream::unfold(Some((bytes, splitter)), |state| async move {
        let (mut bytes, mut splitter) = state?;
        loop {
            match bytes.next().await {
                Some(Ok(piece)) => {
                    if let Some(records) = splitter.push(&piece) {
                        return Some((Ok(records), Some((bytes, splitter))));
                    }
                    if splitter.remainder.len() > RECORD_BYTES_MAX {
                        return Some((Err(too_long()), None));
                    }
                }
                Some(Err(e)) => return Some((Err(e), None)),
                None if splitter.remainder.is_empty() => return None,
                None => return Some((Ok(splitter.remainder.into()), None)),
            }
        }
    })
}

fn too_long() -> DataFusionError {
    let message = format!(
        "a record is longer than {} MiB; is a quote missing its partner?",
        RECORD_BYTES_MAX / (1024 * 1024)
    );
    Error::new(ErrorKind::Corrupt, message).into()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn split(text: &str, piece_bytes: usize) -> Vec<String> {
        let pieces: Vec<Result<Bytes>> =
            text.as_bytes().chunks(piece_bytes).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let dialect =
            CsvDialect { delimiter: b',', quote: b'"', escape: Some(b'\\'), comment: Some(b'#') };
        let pieces: Vec<Bytes> =
            whole_records(stream::iter(pieces).boxed(), dialect).try_collect().await.unwrap();
        pieces.iter().map(|b| String::from_utf8(b.to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn pieces_end_where_records_end_however_the_bytes_arrive() {
        let text = "a,b\n1,\"x\ny\"\n# it's a \" comment\n2,5\" pipe\n3,\"q\"\"\n\"\n4,\"e\\\"\n\"\n5,last";
        let records = [
            "a,b\n",
            "1,\"x\ny\"\n",
            "# it's a \" comment\n",
            "2,5\" pipe\n",
            "3,\"q\"\"\n\"\n",
            "4,\"e\\\"\n\"\n",
            "5,last",
        ];
        assert_eq!(split(text, 1).await, records);
        for piece_bytes in [2, 3, 7, 20, 1000] {
            let pieces = split(text, piece_bytes).await;
            assert_eq!(pieces.concat(), text);
            let mut whole = 0;
            for piece in pieces {
                let rest = records[whole..]
                    .iter()
                    .scan(String::new(), |sum, r| {
                        sum.push_str(r);
                        Some(sum.clone())
                    })
                    .position(|sum| sum == piece);
                whole += rest.expect("a piece cuts a record") + 1;
            }
        }
    }
}
