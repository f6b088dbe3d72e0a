//! A call of one number: what the stack itself costs, whatever the protocol.

use std::hint::black_box;

use platform_core::{
    Context, Verdict,
    call::{Call, Guard, Reply},
};

use super::platform::Subject;

/// A number, and what travels with it.
pub(crate) struct Ask {
    context: Context,
    number: u64,
}

/// The number again, and what it meant.
pub(crate) struct Told {
    number: u64,
    verdict: Option<Verdict>,
}

impl Call for Ask {
    fn context(&self) -> &Context {
        &self.context
    }

    fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    fn repeat(&self, _body: u64) -> Option<Self> {
        Some(Ask { context: self.context.clone(), number: self.number })
    }

    fn idempotent(&self) -> bool {
        true
    }
}

impl Reply for Told {
    fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    fn judge(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
    }

    fn is_read(&self) -> bool {
        // A number has been read when it is there.
        true
    }

    fn hold(&mut self, guard: Guard) {
        drop(guard);
    }
}

impl Subject for Ask {
    type Reply = Told;

    fn under(context: Context) -> Self {
        Ask { context, number: NUMBER }
    }

    fn answer(self) -> Told {
        Told { number: black_box(self.number), verdict: None }
    }

    fn answered(reply: &Told) -> bool {
        reply.number == NUMBER
    }
}

/// What is asked.
pub(crate) const NUMBER: u64 = 7;
