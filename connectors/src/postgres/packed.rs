//! Many messages of a COPY as one.
//!
//! The server sends each row as a message of its own. What speaks the protocol here takes each
//! message apart, counts references to it and wakes whoever waits for it, which costs more than
//! reading the row's values. So the rows that have arrived are put into one message before it sees
//! them: where a COPY is cut into messages means nothing. Everything else passes as it came.
//!
//! Source: PostgreSQL's documentation, "Message Formats": a tag of one byte, then a length that counts
//! itself, in four.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const COPY_DATA: u8 = b'd';
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + LENGTH_BYTES;
const READ_BYTES: usize = 64 << 10;

/// A stream of the server's messages, from the first of them on.
pub(super) struct Packed<S> {
    inner: S,
    read: Box<[u8]>,
    /// What is read and not handed on is between these.
    begin: usize,
    end: usize,
    /// So much of what follows is handed on as it is.
    as_it_is: usize,
}

impl<S> Packed<S> {
    pub(super) fn new(inner: S) -> Self {
        let read = vec![0; READ_BYTES].into_boxed_slice();
        Self { inner, read, begin: 0, end: 0, as_it_is: 0 }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    fn waiting(&self) -> &[u8] {
        &self.read[self.begin..self.end]
    }

    /// Hands on what can be; nothing where the rest of a message is to be read first.
    fn hand_on(&mut self, to: &mut ReadBuf<'_>) {
        while to.remaining() > 0 {
            if self.as_it_is == 0 {
                let Some((tag, bytes)) = first(self.waiting()) else { return };
                if tag != COPY_DATA || bytes > to.remaining().min(READ_BYTES) {
                    self.as_it_is = bytes;
                } else if bytes > self.waiting().len() {
                    return;
                } else {
                    self.pack(to);
                    continue;
                }
            }
            let count = self.as_it_is.min(to.remaining()).min(self.waiting().len());
            if count == 0 {
                return;
            }
            to.put_slice(&self.waiting()[..count]);
            self.begin += count;
            self.as_it_is -= count;
        }
    }

    /// Hands on as many whole messages of rows as there are and fit, as one.
    fn pack(&mut self, to: &mut ReadBuf<'_>) {
        let waiting = &self.read[self.begin..self.end];
        let (mut used, mut room) = (0, to.remaining() - HEADER_BYTES);
        while let Some((COPY_DATA, bytes)) = first(&waiting[used..])
            && bytes <= waiting.len() - used
            && bytes - HEADER_BYTES <= room
        {
            used += bytes;
            room -= bytes - HEADER_BYTES;
        }
        let length = to.remaining() - room - 1;
        to.put_slice(&[COPY_DATA]);
        // No more than was read at once.
        to.put_slice(&(length as u32).to_be_bytes());
        let mut messages = &waiting[..used];
        while let Some((_, bytes)) = first(messages) {
            to.put_slice(&messages[HEADER_BYTES..bytes]);
            messages = &messages[bytes..];
        }
        self.begin += used;
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
        // No message, and so no row: others refuse it.
        return Some((0, HEADER_BYTES));
    }
    Some((tag, 1 + length))
}

impl<S: AsyncRead + Unpin> AsyncRead for Packed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = to.filled().len();
        loop {
            this.hand_on(to);
            if to.filled().len() > before || to.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // Less than a message that fits into `to`, or nothing.
            if ready!(this.poll_more(context))? == 0 {
                if this.end == 0 {
                    return Poll::Ready(Ok(()));
                }
                // Half a message: that it ends there is for others to see.
                this.as_it_is = this.end;
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Packed<S> {
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

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() + LENGTH_BYTES) as u32;
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    /// All that is handed on of `sent`, which arrives in pieces of `cut` bytes, to somebody who has room
    /// for `room` at a time.
    async fn handed_on(sent: &[u8], cut: usize, room: usize) -> Vec<u8> {
        let (mut server, client) = tokio::io::duplex(cut);
        let sent = sent.to_vec();
        let sending = SpawnedTask::spawn(async move { server.write_all(&sent).await });
        let mut packed = Packed::new(client);
        let (mut all, mut part) = (Vec::new(), vec![0; room]);
        loop {
            match packed.read(&mut part).await.unwrap() {
                0 => break,
                count => all.extend_from_slice(&part[..count]),
            }
        }
        sending.join().await.unwrap().unwrap();
        all
    }

    /// The bodies of adjacent rows together.
    fn unpacked(mut bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, usize) {
        let (mut found, mut messages): (Vec<(u8, Vec<u8>)>, usize) = (Vec::new(), 0);
        while let Some((tag, size)) = first(bytes) {
            let (body, rest) = (&bytes[HEADER_BYTES..size], &bytes[size..]);
            match found.last_mut() {
                Some((COPY_DATA, rows)) if tag == COPY_DATA => rows.extend_from_slice(body),
                _ => found.push((tag, body.to_vec())),
            }
            messages += 1;
            bytes = rest;
        }
        assert!(bytes.is_empty(), "{} bytes are no message", bytes.len());
        (found, messages)
    }

    #[tokio::test]
    async fn rows_arrive_in_fewer_messages_and_whole_however_they_are_cut() {
        let mut sent = message(b'H', &[1, 0, 16]);
        for row in 0..2_000_usize {
            // Some without a byte, and some that are larger than what is read at once.
            let size = if row % 700 == 0 { 100_000 } else { row % 190 };
            sent.extend(message(COPY_DATA, &vec![row as u8; size]));
            if row % 300 == 0 {
                sent.extend(message(b'N', b"a notice\0"));
            }
        }
        sent.extend(
            [message(b'c', &[]), message(b'C', b"COPY 2000\0"), message(b'Z', b"I")].concat(),
        );
        let (expected, before) = unpacked(&sent);
        for (cut, room) in [(1 << 20, 8192), (1 << 20, 1 << 20), (777, 8192), (8192, 100), (3, 7)] {
            let (found, after) = unpacked(&handed_on(&sent, cut, room).await);
            assert!(found == expected, "cut into {cut}, read by {room}");
            if room >= 8192 && cut > room {
                assert!(after * 10 < before, "{before} messages became {after}");
            }
        }
    }

    #[tokio::test]
    async fn an_end_within_a_message_is_handed_on() {
        let whole = [message(COPY_DATA, b"one row"), message(COPY_DATA, b"another")].concat();
        for end in 0..whole.len() {
            let found = handed_on(&whole[..end], 64, 64).await;
            assert_eq!(found, &whole[..end]);
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_handed_on() {
        let nonsense = [COPY_DATA, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
        assert_eq!(handed_on(&nonsense, 64, 64).await, nonsense);
    }
}
