//! Responses over HTTP/2 that the client has stopped to read.
//!
//! Over HTTP/1.1 such a client blocks the socket, and the connection notices. Over HTTP/2 it may go on answering pings while the
//! window of one stream stays closed: hyper then just does not ask for the next piece. So each body watches when its last
//! piece was handed out, and ends itself when nobody asks for the next in time.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// A body that ends when its client does not read on.
pub(super) struct Patient {
    state: Arc<Mutex<State>>,
    patience: Option<Duration>,
    /// Whether somebody watches; bodies of one piece need nobody.
    watched: bool,
}

struct State {
    /// Gone when the client's time was up.
    body: Option<Body>,
    /// When the last piece was handed out, until the next is asked for.
    handed: Option<Instant>,
}

impl Patient {
    /// With no patience given, the client may take for ever.
    pub(super) fn new(body: Body, patience: Option<Duration>) -> Self {
        Self { state: Arc::new(Mutex::new(State { body: Some(body), handed: None })), patience, watched: false }
    }
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.state.lock();
        state.handed = None;
        let Some(body) = &mut state.body else {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the client did not read the response in time");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let more = matches!(polled, Poll::Ready(Some(Ok(_)))) && !http_body::Body::is_end_stream(body);
        if let Some(patience) = self.patience.filter(|_| more) {
            state.handed = Some(Instant::now());
            drop(state);
            if !self.watched {
                self.watched = true;
                drop(tokio::spawn(watch(Arc::downgrade(&self.state), patience)));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.state.lock().body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.state.lock().body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

/// Takes the body away when a piece was handed out and the next not asked for in time. Ends with the body.
async fn watch(state: Weak<Mutex<State>>, patience: Duration) {
    let mut wake = Instant::now() + patience;
    loop {
        sleep_until(wake).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = state.lock();
        match state.handed {
            Some(handed) if handed.elapsed() >= patience => {
                // Dropping it is what cancels the query.
                state.body = None;
                return;
            }
            Some(handed) => wake = handed + patience,
            None => wake = Instant::now() + patience,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    fn endless() -> Body {
        Body::from_stream(stream::iter(0..).map(|_| Ok::<_, io::Error>(Bytes::from_static(b"x"))))
    }

    #[tokio::test]
    async fn a_body_that_nobody_reads_ends() {
        let mut body = Patient::new(endless(), Some(Duration::from_millis(20)));
        assert!(body.frame().await.unwrap().is_ok());
        while body.state.lock().body.is_some() {
            tokio::task::yield_now().await;
        }
        assert!(body.frame().await.unwrap().is_err(), "a cut response looks whole");
    }

    #[tokio::test]
    async fn a_slow_reader_is_waited_for() {
        let mut body = Patient::new(endless(), Some(Duration::from_secs(1)));
        for _ in 0..11 {
            assert!(body.frame().await.unwrap().is_ok());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The time counts from when a piece was handed out, and ends when the next is asked for, not when it comes.
    #[tokio::test]
    async fn a_slow_writer_is_waited_for() {
        let late = stream::iter(0..3).then(|_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, io::Error>(Bytes::from_static(b"x"))
        });
        let mut body = Patient::new(Body::from_stream(late.boxed()), Some(Duration::from_millis(20)));
        let mut frames = 0;
        while let Some(frame) = body.frame().await {
            assert!(frame.is_ok());
            frames += 1;
        }
        assert_eq!(frames, 3);
    }
}
