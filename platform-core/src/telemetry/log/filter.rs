//! Which events are written?

use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, layer, reload};

use super::debug::{HearDebug, Heard};
use crate::error::{Error, ErrorKind, Result};

/// Which events are written, changeable while running.
pub struct Filter {
    state: Mutex<State>,
    debug: Heard,
}

struct State {
    text: String,
    /// Hands a new filter to the layer; `None` before there is one.
    apply: Option<Apply>,
}

type Apply = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send>;

impl Filter {
    pub(super) fn new(text: &str) -> Result<Self> {
        parse(text).map_err(|why| refused(text, &why))?;
        let state = Mutex::new(State { text: text.to_owned(), apply: None });
        Ok(Filter { state, debug: Heard::default() })
    }

    /// The directives in force.
    pub fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Puts other directives in force and returns the old ones, to go back to.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the text means nothing: the old directives stay. [`ErrorKind::Internal`] if
    /// this process's events go to another App, which was the first.
    pub fn set(&self, text: &str) -> Result<String> {
        let filter = parse(text).map_err(|why| refused(text, &why))?;
        let mut state = self.lock();
        if let Some(apply) = &state.apply {
            apply(filter).map_err(|error| {
                let detail = "this process's log belongs to the App that started first; change its filter";
                Error::new(ErrorKind::Internal, detail).with_source(error)
            })?;
        }
        Ok(std::mem::replace(&mut state.text, text.to_owned()))
    }

    /// The filter of a new layer; from now on [`set`](Filter::set) changes this one.
    pub(super) fn attach<S: tracing::Subscriber + 'static>(
        &self,
    ) -> impl layer::Filter<S> + Send + Sync + use<S> {
        let mut state = self.lock();
        let filter = parse(&state.text).expect("the text was parsed when it was set");
        let (layer, handle) = reload::Layer::new(filter);
        state.apply = Some(Box::new(move |filter| handle.reload(filter)));
        HearDebug::new(layer, self.debug.clone())
    }

    /// From now on requests that ask to be kept whole are heard at debug.
    pub(super) fn hear_debug(&self) {
        self.debug.on();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filter").field(&self.text()).finish()
    }
}

/// EnvFilter reads a bare word that is no level as a target at trace, so a slip in `info` would silence
/// everything else; here it is an error.
pub(in crate::telemetry) fn parse(text: &str) -> Result<EnvFilter, String> {
    let refuse = |why: &str| {
        format!(
            "{why}; write a level (off, error, warn, info, debug, trace) or directives such as \
             `info,orders::stock=debug`"
        )
    };
    if text.trim().is_empty() {
        return Err(refuse("it is empty"));
    }
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    for word in &words {
        let bare =
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'));
        if bare && word.parse::<LevelFilter>().is_err() {
            return Err(refuse(&format!(
                "`{word}` is no level, and as a target it needs one: `{word}=debug`"
            )));
        }
    }
    EnvFilter::try_new(words.join(",")).map_err(|error| refuse(&error.to_string()))
}

fn refused(text: &str, why: &str) -> Error {
    Error::config(format!("log filter `{text}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_an_error_and_not_silence() {
        for good in ["info", "off", "warn,orders=debug", "info,orders[packing]=trace", "info, hyper=warn"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "inof", "info,orders", "orders=loud", "orders=[x"] {
            let error = Filter::new(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.detail().contains(bad) && error.detail().contains("write a level"), "{error}");
        }
    }

    #[test]
    fn a_refused_change_leaves_the_old_filter() {
        let filter = Filter::new("info").unwrap();
        assert_eq!(filter.set("debug").unwrap(), "info");
        filter.set("loud").unwrap_err();
        assert_eq!(filter.text(), "debug");
    }
}
