//! Signals that ask the process to end: it cancels its query and removes what it would leave behind first.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;

/// Ending in order may take this long: longer than an engine takes to give up on its queries.
const PATIENCE: Duration = Duration::from_secs(8);

/// SIGHUP and SIGTERM, from here on no longer the end by themselves.
pub(super) struct Ending {
    asked: watch::Receiver<Option<u8>>,
    _listener: AbortOnDropHandle<()>,
}

impl Ending {
    /// Takes over the signals. Whoever does not end soon after one is ended.
    pub(super) fn listen() -> Self {
        let (asking, asked) = watch::channel(None);
        let terminate = signal(SignalKind::terminate());
        // `nohup` means it.
        let hangup = if ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
        let listener = tokio::spawn(async move {
            // Without it, the signal ends the process, as it does everywhere.
            let Ok(mut terminate) = terminate else { return };
            let kind = tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                () = received(hangup) => SignalKind::hangup(),
            };
            let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
            asking.send_replace(Some(number));
            // A reader that does not read, say, keeps us in the middle of a line.
            tokio::time::sleep(PATIENCE).await;
            std::process::exit(128 + i32::from(number));
        });
        Self { asked, _listener: AbortOnDropHandle::new(listener) }
    }

    /// Returns when the process is asked to end.
    pub(super) async fn asked(&self) -> Failure {
        match self.asked.clone().wait_for(Option::is_some).await.map(|number| *number) {
            Ok(Some(number)) => Failure::Ended(number),
            // There is nobody to tell of a signal.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

async fn received(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether whoever started us wishes that we outlive the terminal; known on Linux only.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignored_in(&status, SignalKind::hangup()))
}

fn ignored_in(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal.as_raw_value() - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_is_known_by_its_bit() {
        let status = "Name:\ttidemill\nSigIgn:\t0000000000001001\n";
        assert!(ignored_in(status, SignalKind::hangup()));
        assert!(!ignored_in(status, SignalKind::terminate()));
        assert!(!ignored_in("Name:\ttidemill\n", SignalKind::hangup()));
    }
}
