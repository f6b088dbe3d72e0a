//! A way to a member that can be cut, or fall silent, without the member knowing.

use std::{future::pending, net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Cut,
}

/// Passes connections on while it is open.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    hush: Arc<watch::Sender<()>>,
    accepting: JoinHandle<()>,
}

impl Gate {
    pub(crate) async fn before(port: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new(State::Open));
        let hush = Arc::new(watch::Sender::new(()));
        let (told, hushed) = (Arc::clone(&state), Arc::clone(&hush));
        #[expect(clippy::disallowed_methods, reason = "a test has no request whose context could get lost")]
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((mut near, _)) = listener.accept().await else { return };
                let (mut state, mut hushed) = (told.subscribe(), hushed.subscribe());
                if *state.borrow() == State::Cut {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let pass = async {
                        tokio::select! {
                            _ = copy_bidirectional(&mut near, &mut far) => {}
                            _ = hushed.changed() => pending().await,
                        }
                    };
                    tokio::select! {
                        () = pass => {}
                        _ = state.wait_for(|state| *state == State::Cut) => {}
                    }
                });
            }
        });
        Gate { address, state, hush, accepting }
    }

    /// Ends all connections; new ones are ended at once.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Lets nothing through the connections that there are, and ends none; new ones are passed on.
    pub(crate) fn hush(&self) {
        self.hush.send_replace(());
    }

    pub(crate) fn open(&self) {
        self.state.send_replace(State::Open);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
