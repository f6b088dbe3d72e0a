//! A service that speaks gRPC, with an HTTP route beside it on the same port.
//!
//! The proto says which methods may be repeated, and the service keeps that promise: a payment has a key, and who asks
//! twice with one key gets the same receipt and pays once. Errors are the platform's; a status carries their kind.

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use platform_core::{App, Error, ErrorKind, Result};
use platform_grpc::{OrStatus as _, Services};
use platform_http::Problem;
use tonic::{Request, Response, Status};

use self::proto::{
    Account, DESCRIPTORS, Payment, Receipt, Sum,
    payments_server::{Payments, PaymentsServer},
};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("payments").await?;
    platform_grpc::serve(app, services(Books::default())).await
}

/// `payments.proto`, by `build.rs`.
mod proto {
    pub(super) use self::generated::*;

    #[expect(
        clippy::allow_attributes,
        unreachable_pub,
        unused_qualifications,
        reason = "the generated code is written for any place"
    )]
    mod generated {
        tonic::include_proto!("payments/payments");
    }

    /// Which methods may be asked twice, for callers, for reflection and for metrics.
    pub(super) const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("payments/descriptors");
}

fn services(books: Books) -> Services {
    let page = Router::new().route("/balance/{account}", get(balance)).with_state(books.clone());
    Services::new().service(PaymentsServer::new(books)).descriptors(DESCRIPTORS).beside(page)
}

/// What everybody has, and every payment by its key.
#[derive(Clone)]
struct Books(Arc<Mutex<Pages>>);

struct Pages {
    accounts: HashMap<String, u64>,
    paid: HashMap<String, (Payment, Receipt)>,
}

impl Default for Books {
    /// Two customers, until the company has a bank.
    fn default() -> Self {
        let accounts = [("ann", 10_000), ("bob", 500)].map(|(name, cents)| (name.to_owned(), cents));
        Books(Arc::new(Mutex::new(Pages { accounts: accounts.into(), paid: HashMap::new() })))
    }
}

impl Books {
    /// Whole at any moment: nothing that panics stands between two changes.
    fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pay(&self, payment: Payment) -> Result<Receipt> {
        let refused = |why: String| Err(Error::new(ErrorKind::Invalid, why));
        if payment.key.is_empty() || payment.cents == 0 {
            return refused("a payment has a key and at least one cent".to_owned());
        }
        let mut pages = self.open();
        if let Some((paid, receipt)) = pages.paid.get(&payment.key) {
            return match *paid == payment {
                true => Ok(receipt.clone()),
                false => refused(format!("the key {:?} belongs to another payment", payment.key)),
            };
        }
        let has = pages.accounts.get_mut(&payment.account).ok_or_else(|| unknown(&payment.account))?;
        let Some(left) = has.checked_sub(payment.cents) else {
            return refused(format!("{} has {has} cents, and {} are asked", payment.account, payment.cents));
        };
        *has = left;
        let receipt = Receipt { key: payment.key.clone(), left };
        pages.paid.insert(payment.key.clone(), (payment, receipt.clone()));
        Ok(receipt)
    }

    fn balance(&self, account: &str) -> Result<u64> {
        self.open().accounts.get(account).copied().ok_or_else(|| unknown(account))
    }
}

fn unknown(account: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no account {account:?}"))
}

#[tonic::async_trait]
impl Payments for Books {
    async fn pay(&self, request: Request<Payment>) -> Result<Response<Receipt>, Status> {
        Books::pay(self, request.into_inner()).map(Response::new).or_status()
    }

    async fn balance(&self, request: Request<Account>) -> Result<Response<Sum>, Status> {
        let cents = Books::balance(self, &request.into_inner().name).or_status()?;
        Ok(Response::new(Sum { cents }))
    }
}

/// `GET /balance/ann`, for people.
async fn balance(State(books): State<Books>, Path(account): Path<String>) -> Result<String, Problem> {
    Ok(format!("{} cents", books.balance(&account)?))
}

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use platform_core::Outcome;
    use platform_grpc::Channel;
    use tonic::Code;

    use super::{ground::Running, proto::payments_client::PaymentsClient, *};

    async fn open() -> (Running, PaymentsClient<Channel>) {
        let payments = Running::start("payments", "", |_| Ok(services(Books::default()))).await;
        let channel = Channel::builder(&payments.app, "itself").descriptors(DESCRIPTORS);
        let channel = channel.target(format!("fixed://{}", payments.address)).build().expect("a channel");
        (payments, PaymentsClient::new(channel))
    }

    fn payment(key: &str, account: &str, cents: u64) -> Payment {
        Payment { key: key.to_owned(), account: account.to_owned(), cents }
    }

    #[tokio::test]
    async fn who_asks_twice_with_one_key_pays_once() {
        let (payments, mut client) = open().await;
        for _ in 0..2 {
            let receipt = client.pay(payment("k-1", "ann", 2_500)).await.expect("it is paid").into_inner();
            assert_eq!(receipt, Receipt { key: "k-1".to_owned(), left: 7_500 });
        }
        let left = client.balance(Account { name: "ann".to_owned() }).await.expect("a balance").into_inner();
        assert_eq!(left.cents, 7_500);
        // The same port speaks HTTP to people.
        let page = Running::ask(payments.client().get("/balance/ann")).await;
        assert_eq!(page, (200, "7500 cents".to_owned()));
        payments.stop().await;
    }

    #[tokio::test]
    async fn what_cannot_be_paid_is_said_with_its_kind() {
        let (payments, mut client) = open().await;
        for (asked, code, reason, why) in [
            (payment("", "ann", 1), Code::InvalidArgument, "INVALID", "has a key"),
            (payment("k-1", "bob", 501), Code::InvalidArgument, "INVALID", "bob has 500 cents"),
            (payment("k-1", "eve", 1), Code::NotFound, "NOT_FOUND", "no account \"eve\""),
        ] {
            let status = client.pay(asked).await.expect_err("it is refused");
            assert_eq!(status.code(), code, "{status:?}");
            assert!(status.message().contains(why), "{status:?}");
            // Whoever passes it on passes on whose fault it was, and the word for it.
            let error = platform_grpc::error(&status);
            assert_eq!(error.outcome(), Outcome::CallerFault, "{error}");
            assert!(error.detail().contains(&format!("[reason={reason}]")), "{error}");
        }
        client.pay(payment("k-1", "bob", 500)).await.expect("what was refused has used up no key");
        let other = client.pay(payment("k-1", "bob", 1)).await.expect_err("another payment");
        assert!(other.message().contains("belongs to another payment"), "{other:?}");
        payments.stop().await;
    }
}
