//! A stream of the server's messages from which the rows of a COPY are taken.
//!
//! ```text
//! socket ─ read ─┬─ everything else ─ driver
//!                └─ rows, from CopyOutResponse on ─ piece ─ Tap's reader
//! ```
//!
//! Where nobody takes the rows, or not any more, they pass like everything else.
//!
//! Source: PostgreSQL's documentation, "Message Formats": a tag of one byte, then a length that counts
//! itself, in four. Where a COPY is cut into messages means nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::PollSender;

use super::tap::Tap;

const COPY_DATA: u8 = b'd';
const COPY_OUT_RESPONSE: u8 = b'H';
const COPY_DONE: u8 = b'c';
const ERROR_RESPONSE: u8 = b'E';
const READY_FOR_QUERY: u8 = b'Z';
const PARAMETER_STATUS: u8 = b'S';
/// The parameter, and the one value with which we read texts; each ends with a zero.
const ENCODING: &[u8] = b"client_encoding\0";
const OUR_ENCODING: &str = "UTF8";
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + LENGTH_BYTES;
const READ_BYTES: usize = 64 << 10;
/// A piece ends with the row that makes it so large,
const PIECE_BYTES: usize = 64 << 10;
/// or within a row that makes it so large.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// A stream of the server's messages, from the first of them on.
pub(super) struct Tapped<S> {
    inner: S,
    tap: Tap,
    read: Box<[u8]>,
    /// What is read and not handed on is between these.
    begin: usize,
    end: usize,
    /// So much of what follows is for the driver.
    passing: usize,
    /// So much of what follows is a row's.
    pouring: usize,
    rows: Option<PollSender<Bytes>>,
    piece: BytesMut,
    /// So much of the piece is whole rows.
    whole: usize,
}

/// What handing on came to.
enum Step {
    /// There is no room.
    Full,
    /// More must be read first.
    More,
    /// The piece must go first.
    Send,
}

impl<S> Tapped<S> {
    pub(super) fn new(inner: S, tap: Tap) -> Self {
        Self {
            inner,
            tap,
            read: vec![0; READ_BYTES].into_boxed_slice(),
            begin: 0,
            end: 0,
            passing: 0,
            pouring: 0,
            rows: None,
            piece: BytesMut::new(),
            whole: 0,
        }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    fn waiting(&self) -> &[u8] {
        &self.read[self.begin..self.end]
    }

    /// Hands on what can be.
    fn hand_on(&mut self, to: &mut ReadBuf<'_>) -> Step {
        loop {
            if self.pouring > 0 {
                if self.pour() == 0 {
                    return Step::More;
                }
                let is_full = self.whole >= PIECE_BYTES || self.piece.len() >= PIECE_BYTES_MAX;
                if is_full {
                    return Step::Send;
                }
                continue;
            }
            if self.passing > 0 {
                let count = self.passing.min(to.remaining()).min(self.waiting().len());
                if count == 0 {
                    return if to.remaining() == 0 { Step::Full } else { Step::More };
                }
                to.put_slice(&self.waiting()[..count]);
                self.begin += count;
                self.passing -= count;
                continue;
            }
            let Some((tag, bytes)) = first(self.waiting()) else { return Step::More };
            if tag == COPY_DATA && self.rows.is_some() {
                self.begin += HEADER_BYTES;
                self.pouring = bytes - HEADER_BYTES;
                continue;
            }
            match tag {
                COPY_OUT_RESPONSE => self.rows = self.tap.take().map(PollSender::new),
                // The driver is told of the end when all rows are with their taker.
                COPY_DONE | ERROR_RESPONSE | READY_FOR_QUERY => {
                    if self.rows.is_some() && !self.piece.is_empty() {
                        return Step::Send;
                    }
                    self.stop();
                }
                PARAMETER_STATUS if bytes <= READ_BYTES => {
                    let Some(message) = self.waiting().get(HEADER_BYTES..bytes) else {
                        return Step::More;
                    };
                    if let Some(value) = message.strip_prefix(ENCODING)
                        && value != [OUR_ENCODING.as_bytes(), b"\0"].concat()
                    {
                        let value = value.strip_suffix(b"\0").unwrap_or(value);
                        self.tap.note_encoding(&String::from_utf8_lossy(value));
                    }
                }
                // A notice tells nothing of the rows around it.
                _ => {}
            }
            self.passing = bytes;
        }
    }

    /// Moves what there is of a row into the piece; the number of bytes.
    fn pour(&mut self) -> usize {
        let count = self.pouring.min(self.waiting().len());
        self.begin += count;
        self.pouring -= count;
        if self.rows.is_none() {
            return count;
        }
        self.piece.extend_from_slice(&self.read[self.begin - count..self.begin]);
        if self.pouring == 0 {
            self.whole = self.piece.len();
        }
        count
    }

    /// Gives the piece to whoever takes the rows: whole ones, as long as there are any.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(rows) = &mut self.rows {
            let is_taken = ready!(rows.poll_reserve(context)).is_ok();
            let count = if self.whole > 0 { self.whole } else { self.piece.len() };
            let piece = self.piece.split_to(count).freeze();
            self.whole = 0;
            self.piece.reserve(PIECE_BYTES + PIECE_BYTES / 8);
            if is_taken && rows.send_item(piece).is_ok() {
                return Poll::Ready(());
            }
        }
        // Nobody takes them any more.
        self.stop();
        Poll::Ready(())
    }

    fn stop(&mut self) {
        (self.rows, self.piece, self.whole) = (None, BytesMut::new(), 0);
    }

    /// Reads all there is, as far as there is room; the number of bytes.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        self.read.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let before = self.end;
        loop {
            let mut free = ReadBuf::new(&mut self.read[self.end..]);
            match Pin::new(&mut self.inner).poll_read(context, &mut free) {
                Poll::Ready(Ok(())) if !free.filled().is_empty() => self.end += free.filled().len(),
                // What came before an error or an end may say why.
                _ if self.end > before => return Poll::Ready(Ok(self.end - before)),
                found => return found.map_ok(|()| 0),
            }
        }
    }
}

/// Tag and size of the first message, with its header.
fn first(bytes: &[u8]) -> Option<(u8, usize)> {
    let [tag, length @ ..] = *bytes.first_chunk::<HEADER_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if length < LENGTH_BYTES {
        // No message, and so no row: the driver refuses it.
        return Some((0, HEADER_BYTES));
    }
    Some((tag, 1 + length))
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = to.filled().len();
        loop {
            match this.hand_on(to) {
                Step::Full => return Poll::Ready(Ok(())),
                // What is handed on is lost where the call does not say so: waiting is for the next one.
                Step::More | Step::Send if to.filled().len() > before => {
                    return Poll::Ready(Ok(()));
                }
                Step::Send => ready!(this.poll_send(context)),
                Step::More => match this.poll_more(context) {
                    Poll::Ready(Ok(0)) if this.end == 0 => return Poll::Ready(Ok(())),
                    // Half a header: that it ends there is for the driver to see.
                    Poll::Ready(Ok(0)) => this.passing = this.end,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Pending => {
                        // A slow server's rows do not wait until a piece is full.
                        if this.whole > 0 {
                            ready!(this.poll_send(context));
                        }
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::runtime::SpawnedTask;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() + LENGTH_BYTES) as u32;
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    /// What the driver is handed of `sent`, which arrives in pieces of `cut` bytes, by somebody who has
    /// room for `room` at a time.
    async fn handed_on(sent: &[u8], cut: usize, room: usize, tap: Tap) -> Vec<u8> {
        let (mut server, client) = tokio::io::duplex(cut);
        let sent = sent.to_vec();
        let sending = SpawnedTask::spawn(async move { server.write_all(&sent).await });
        let mut tapped = Tapped::new(client, tap);
        let (mut all, mut part) = (Vec::new(), vec![0; room]);
        loop {
            match tapped.read(&mut part).await.unwrap() {
                0 => break,
                count => all.extend_from_slice(&part[..count]),
            }
        }
        sending.join().await.unwrap().unwrap();
        all
    }

    /// Takes all rows, with so many turns of others between two pieces; the rows, and how many pieces
    /// they came in.
    fn take_all(mut receive: mpsc::Receiver<Bytes>, turns: usize) -> SpawnedTask<(Vec<u8>, usize)> {
        SpawnedTask::spawn(async move {
            let (mut taken, mut pieces) = (Vec::new(), 0);
            while let Some(piece) = receive.recv().await {
                assert!(piece.len() < PIECE_BYTES_MAX * 2, "{} bytes at once", piece.len());
                taken.extend_from_slice(&piece);
                pieces += 1;
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            (taken, pieces)
        })
    }

    /// Some rows without a byte, and some that are larger than what is read at once.
    fn row(index: usize) -> Vec<u8> {
        let size =
            if index.is_multiple_of(700) { 100_000 * (index / 700) * 11 } else { index % 190 };
        vec![index as u8; size]
    }

    fn notice() -> Vec<u8> {
        message(b'N', b"a notice\0")
    }

    fn end() -> Vec<u8> {
        [message(b'c', &[]), message(b'C', b"COPY 2000\0"), message(b'Z', b"I")].concat()
    }

    #[tokio::test]
    async fn rows_go_to_who_takes_them_whole_and_in_order_however_they_are_cut() {
        let begin = message(b'H', &[1, 0, 16]);
        let (mut sent, mut others, mut rows) = (begin.clone(), begin, Vec::new());
        for index in 0..2_000 {
            sent.extend(message(COPY_DATA, &row(index)));
            rows.extend(row(index));
            if index.is_multiple_of(300) {
                sent.extend(notice());
                others.extend(notice());
            }
        }
        sent.extend(end());
        others.extend(end());
        for (cut, room) in [(1 << 20, 8192), (1 << 20, 1 << 20), (8192, 100), (777, 7)] {
            let tap = Tap::default();
            let (send, receive) = mpsc::channel(2);
            tap.put(Some(send));
            let taking = take_all(receive, 0);
            let found = handed_on(&sent, cut, room, tap).await;
            assert!(found == others, "cut into {cut}, read by {room}");
            let (taken, pieces) = taking.join().await.unwrap();
            assert!(taken == rows, "cut into {cut}, read by {room}");
            assert!(cut < 1 << 20 || pieces < 100, "{pieces} pieces");
        }
    }

    /// Hazard: what the driver was handed is lost where the rows after it have to wait.
    #[tokio::test]
    async fn nothing_is_lost_where_rows_wait_for_their_taker() {
        let begin = message(b'H', &[1, 0, 16]);
        let (mut sent, mut others, mut rows) = (begin.clone(), begin, Vec::new());
        for index in 0..20_000_usize {
            let row = vec![index as u8; index % 300];
            sent.extend([notice(), message(COPY_DATA, &row)].concat());
            others.extend(notice());
            rows.extend(row);
        }
        sent.extend(end());
        others.extend(end());
        for (cut, room) in [(1 << 20, 8192), (1 << 20, 64), (8192, 8192)] {
            let tap = Tap::default();
            let (send, receive) = mpsc::channel(1);
            tap.put(Some(send));
            let taking = take_all(receive, 20);
            let found = handed_on(&sent, cut, room, tap).await;
            assert!(found == others, "cut into {cut}, read by {room}");
            let (taken, pieces) = taking.join().await.unwrap();
            assert!(taken == rows, "cut into {cut}, read by {room}");
            assert!(cut < 1 << 20 || pieces < 100, "{pieces} pieces");
        }
    }

    #[tokio::test]
    async fn rows_that_nobody_takes_are_for_the_driver() {
        let rows: Vec<Vec<u8>> = (0..2_000).map(|index| message(COPY_DATA, &row(index))).collect();
        let sent = [message(b'H', &[1, 0, 16]), rows.concat(), end()].concat();
        assert!(handed_on(&sent, 8192, 8192, Tap::default()).await == sent);
        // Whoever took them goes: what has begun is dropped, and the rest is no row's rest.
        let tap = Tap::default();
        let (send, mut receive) = mpsc::channel(2);
        tap.put(Some(send));
        let taking = SpawnedTask::spawn(async move {
            let _first = receive.recv().await;
        });
        let found = handed_on(&sent, 8192, 8192, tap).await;
        taking.join().await.unwrap();
        let rest = found.strip_prefix(message(b'H', &[1, 0, 16]).as_slice()).unwrap();
        assert!(rest.len() + 4096 < sent.len());
        let mut at = rest;
        while let Some((tag, size)) = first(at) {
            assert!(b"dcCZ".contains(&tag));
            at = &at[size..];
        }
        assert!(at.is_empty() && rest.ends_with(&end()));
    }

    #[tokio::test]
    async fn rows_that_come_slowly_do_not_wait_for_a_piece() {
        let (mut server, client) = tokio::io::duplex(64);
        let tap = Tap::default();
        let (send, mut receive) = mpsc::channel(2);
        tap.put(Some(send));
        let mut tapped = Tapped::new(client, tap);
        let reading = SpawnedTask::spawn(async move { tapped.read_to_end(&mut Vec::new()).await });
        server.write_all(&message(b'H', &[1, 0, 1])).await.unwrap();
        for index in [3, 5, 7] {
            server.write_all(&message(COPY_DATA, &row(index))).await.unwrap();
            assert_eq!(receive.recv().await.unwrap(), row(index));
        }
        drop(server);
        reading.join().await.unwrap().unwrap();
    }

    /// Hazard: a function sets another encoding, and texts are read as what they are not.
    #[tokio::test]
    async fn another_encoding_is_noticed_however_it_is_cut() {
        let status =
            |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
        let ours = [status("client_encoding", "UTF8"), status("TimeZone", "LATIN1")].concat();
        let other = [ours.clone(), status("client_encoding", "LATIN1"), ours.clone()].concat();
        for cut in [1, 7, 1 << 10] {
            let tap = Tap::default();
            assert_eq!(handed_on(&ours, cut, 64, tap.clone()).await, ours);
            assert_eq!(tap.other_encoding(), None);
            assert_eq!(handed_on(&other, cut, 64, tap.clone()).await, other);
            assert_eq!(tap.other_encoding(), Some("LATIN1"));
        }
    }

    #[tokio::test]
    async fn an_end_within_a_message_is_handed_on() {
        let whole = [notice(), notice()].concat();
        for end in 0..whole.len() {
            let found = handed_on(&whole[..end], 64, 64, Tap::default()).await;
            assert_eq!(found, &whole[..end]);
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_handed_on() {
        let nonsense = [COPY_DATA, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
        let found = handed_on(&nonsense, 64, 64, Tap::default()).await;
        assert_eq!(found, nonsense);
    }
}
