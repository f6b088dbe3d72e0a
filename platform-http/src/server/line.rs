//! What is known of one connection, shared by its task, its requests and the one who tends them all.
//!
//! Plain counters that nobody waits for: the tender looks at them now and then, so that a request pays for no
//! timer and no clock.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use platform_core::lifecycle::Drain;
use tokio::sync::OwnedSemaphorePermit;

use crate::tls::Identity;

/// Who is on the other side of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it connects from; behind a proxy the proxy's address.
    pub address: SocketAddr,
    /// Whom the certificate names that it showed, if it did.
    pub identity: Option<Identity>,
}

/// One connection, from accept until its last request and its socket are gone.
pub(super) struct Line {
    pub(super) address: SocketAddr,
    /// Requests begun whose reply has not been handed over completely. Written by requests.
    in_flight: AtomicU32,
    /// Requests begun so far. Written by requests.
    turns: AtomicU32,
    /// The number of the request whose bytes came last while none was in flight. Written by the socket.
    fed: AtomicU32,
    /// Odd while the peer takes no bytes. Written by the socket.
    stalls: AtomicU32,
    /// The HTTP/2 preface has come. Written by the socket.
    http2: AtomicBool,
    /// No HTTP any more: a WebSocket. Written by the request that made it so.
    upgraded: AtomicBool,
    /// The next HTTP/1 reply says `connection: close`. Written by the tender.
    last_reply: AtomicBool,
    /// What its task was told. Written by the tender.
    order: AtomicU8,
    task: AtomicWaker,
    socket: AtomicWaker,
    /// Its place among `server.limits.connections`.
    _place: OwnedSemaphorePermit,
    /// The drain is not over while it lives.
    _drain: Drain,
}

/// What the tender sees of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) in_flight: u32,
    pub(super) turns: u32,
    pub(super) fed: u32,
    pub(super) stalls: u32,
    pub(super) http2: bool,
    pub(super) upgraded: bool,
}

/// A request in flight; it has ended when this is dropped.
pub(super) struct Turn(Arc<Line>);

impl Line {
    pub(super) fn new(address: SocketAddr, place: OwnedSemaphorePermit, drain: Drain) -> Arc<Line> {
        Arc::new(Line {
            address,
            in_flight: AtomicU32::new(0),
            turns: AtomicU32::new(0),
            fed: AtomicU32::new(0),
            stalls: AtomicU32::new(0),
            http2: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            last_reply: AtomicBool::new(false),
            order: AtomicU8::new(STAY),
            task: AtomicWaker::new(),
            socket: AtomicWaker::new(),
            _place: place,
            _drain: drain,
        })
    }

    pub(super) fn sight(&self) -> Sight {
        Sight {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            turns: self.turns.load(Ordering::Relaxed),
            fed: self.fed.load(Ordering::Relaxed),
            stalls: self.stalls.load(Ordering::Relaxed),
            http2: self.http2.load(Ordering::Relaxed),
            upgraded: self.upgraded.load(Ordering::Relaxed),
        }
    }

    /// A request begins. Is it the first that the connection brought?
    pub(super) fn begin(self: &Arc<Self>) -> (Turn, bool) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let before = self.turns.fetch_add(1, Ordering::Relaxed);
        (Turn(Arc::clone(self)), before == 0)
    }

    /// Bytes came.
    pub(super) fn feed(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 {
            self.fed.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Have bytes come that no request was made of?
    pub(super) fn has_unread(&self) -> bool {
        self.sight().has_unread()
    }

    /// The peer has begun or ceased to take no bytes.
    pub(super) fn turn_stall(&self) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    pub(super) fn ask_last_reply(&self) {
        self.last_reply.store(true, Ordering::Relaxed);
    }

    /// Asks the connection to end when its requests have.
    pub(super) fn end(&self) {
        self.order.fetch_max(END, Ordering::AcqRel);
        self.task.wake();
    }

    /// Ends the connection and whatever is in flight on it.
    pub(super) fn cut(&self) {
        self.order.fetch_max(CUT, Ordering::AcqRel);
        self.task.wake();
        self.socket.wake();
    }

    pub(super) fn must_end(&self) -> bool {
        self.order.load(Ordering::Acquire) >= END
    }

    pub(super) fn is_cut(&self) -> bool {
        self.order.load(Ordering::Acquire) == CUT
    }

    pub(super) fn wake_task(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Who reads from an upgraded connection must hear of the cut; an HTTP connection's task hears it itself.
    pub(super) fn wake_reader(&self, waker: &Waker) {
        if self.upgraded.load(Ordering::Relaxed) {
            self.socket.register(waker);
        }
    }
}

impl Sight {
    pub(super) fn has_unread(&self) -> bool {
        self.in_flight == 0 && self.fed == self.turns.wrapping_add(1)
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalls % 2 == 1
    }
}

impl Turn {
    /// Is this the last reply that the connection carries?
    pub(super) fn is_last_reply(&self) -> bool {
        self.0.last_reply.load(Ordering::Relaxed)
    }

    /// The connection stops being HTTP with this reply.
    pub(super) fn upgrade(&self) {
        self.0.upgraded.store(true, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

const STAY: u8 = 0;
const END: u8 = 1;
const CUT: u8 = 2;
