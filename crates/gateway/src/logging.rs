//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging for the whole process. A filter that cannot be read falls back to `info`, and says so.
pub(crate) fn start(format: LogFormat, filter: &str) {
    let (filter, wrong) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(is_coloured(&std::io::stderr())).with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    if let Some(error) = wrong {
        tracing::warn!("--log cannot be read ({error}); logging at info");
    }
}

/// Whether to use colour there: only on a terminal, and not where `NO_COLOR` asks not to.
pub(crate) fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
