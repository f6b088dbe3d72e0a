//! An `http::Request` is a [`Call`], an `http::Response` a [`Reply`].

use http::{Request, Response};

use super::{Call, CarryCall, CarryReply, Guard, Reply};
use crate::{context::Context, outcome::Verdict};

impl<B: CarryCall> Call for Request<B> {
    fn context(&self) -> &Context {
        self.body().context()
    }

    fn context_mut(&mut self) -> &mut Context {
        self.body_mut().context_mut()
    }

    fn repeat(&self, body: u64) -> Option<Self> {
        let mut copy = Request::new(self.body().repeat(body)?);
        *copy.method_mut() = self.method().clone();
        *copy.uri_mut() = self.uri().clone();
        *copy.version_mut() = self.version();
        // Most requests have neither, and what is empty costs a copy and the end of the one before too.
        if !self.headers().is_empty() {
            *copy.headers_mut() = self.headers().clone();
        }
        if !self.extensions().is_empty() {
            *copy.extensions_mut() = self.extensions().clone();
        }
        Some(copy)
    }

    fn idempotent(&self) -> bool {
        self.body().idempotent(self.method(), self.headers())
    }
}

impl<B: CarryReply> Reply for Response<B> {
    fn verdict(&self) -> Option<Verdict> {
        self.body().verdict()
    }

    fn judge(&mut self, verdict: Verdict) {
        self.body_mut().judge(verdict);
    }

    fn is_read(&self) -> bool {
        self.body().is_read()
    }

    fn hold(&mut self, guard: Guard) {
        self.body_mut().hold(guard);
    }
}
