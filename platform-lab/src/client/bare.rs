//! The services without a stack, and what belongs to a call whatever stack it goes through.

use std::{hint::black_box, io};

use hyper::HeaderMap;
use platform_core::Context;
use tokio::time::Instant;

use super::{http, platform::Subject, thin::NUMBER};
use crate::child::{Answer, Orders, Taken, repeated, runtime};

/// A number to the service that the peers are put around.
pub(crate) fn number(orders: Orders) -> io::Result<Taken> {
    let call = async || Answer::new(orders.pending, black_box(NUMBER)).await == NUMBER;
    runtime()?.block_on(repeated(orders, call))
}

/// The same call that our stack gets, made and given to the service.
pub(crate) fn call<Q: Subject>(orders: Orders) -> io::Result<Taken>
where
    Q::Reply: Unpin,
{
    let context = Context::root(Instant::now());
    let call = async || {
        let reply = Answer::new(orders.pending, Q::under(context.clone()).answer()).await;
        Q::answered(&reply)
    };
    runtime()?.block_on(repeated(orders, call))
}

/// An HTTP request that is made and goes nowhere.
pub(crate) fn request(orders: Orders, headers: &HeaderMap, copy: bool) -> io::Result<Taken> {
    let context = Context::root(Instant::now());
    runtime()?.block_on(repeated(orders, async || http::made(&context, headers, copy)))
}
