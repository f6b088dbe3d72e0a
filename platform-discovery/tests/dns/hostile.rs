//! A server that says what no server should.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, CNAME, SRV},
    },
};
use tokio::time::Instant;

use crate::ground::{Heard, free_port};

/// Which way a question came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
}

/// What it says; `None` is silence, and by TCP the end of the connection.
type Script = dyn Fn(Message, Way) -> Option<Vec<u8>> + Send + Sync;

/// Answers on both ways until the test's process ends.
fn serve(script: impl Fn(Message, Way) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let script: Arc<Script> = Arc::new(script);
    let (address, udp, tcp) = loop {
        let address = free_port();
        if let (Ok(udp), Ok(tcp)) = (UdpSocket::bind(address), TcpListener::bind(address)) {
            break (address, udp, tcp);
        }
    };
    let by_udp = Arc::clone(&script);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            if let Some(answer) = by_udp(question, Way::Udp) {
                let _ = udp.send_to(&answer, from);
            }
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming().map_while(Result::ok) {
            let script = Arc::clone(&script);
            thread::spawn(move || {
                let mut stream = stream;
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut question = vec![0; u16::from_be_bytes(length).into()];
                    if stream.read_exact(&mut question).is_err() {
                        return;
                    }
                    let Ok(question) = Message::from_vec(&question) else { return };
                    let Some(answer) = script(question, Way::Tcp) else { return };
                    let length = u16::try_from(answer.len()).expect("a message fits").to_be_bytes();
                    if stream.write_all(&length).and_then(|()| stream.write_all(&answer)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn asked(question: &Message) -> (String, RecordType) {
    let query = &question.queries[0];
    (query.name().to_lowercase().to_ascii(), query.query_type())
}

fn answer(question: Message, code: ResponseCode, answers: Vec<Record>) -> Message {
    let mut answer = question.into_response();
    answer.metadata.response_code = code;
    answer.answers = answers;
    answer
}

fn packed(message: &Message) -> Option<Vec<u8>> {
    Some(message.to_vec().expect("it can be written"))
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn a(owner: &str, ip: [u8; 4]) -> Record {
    Record::from_rdata(name(owner), 1, RData::A(A(Ipv4Addr::from(ip))))
}

fn alias(owner: &str, of: &str) -> Record {
    Record::from_rdata(name(owner), 1, RData::CNAME(CNAME(name(of))))
}

#[tokio::test]
async fn what_is_cut_short_by_udp_is_asked_for_by_tcp_a_thousand_records_too() {
    let by_tcp = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&by_tcp);
    let server = serve(move |question, way| {
        if way == Way::Udp {
            let mut cut = answer(question, ResponseCode::NoError, Vec::new());
            cut.metadata.truncation = true;
            return packed(&cut);
        }
        counted.fetch_add(1, Ordering::SeqCst);
        let crowd =
            (0..1_000_u16).map(|n| a("crowd.shop.", [10, 1, (n / 250) as u8, (n % 250) as u8])).collect();
        packed(&answer(question, ResponseCode::NoError, crowd))
    });
    assert_eq!(Heard::of(server, "dns://crowd.shop").addresses().await.len(), 1_000);
    assert_eq!(by_tcp.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_thousand_hosts_of_srv_records_are_looked_up_in_time() {
    let server = serve(|question, way| {
        let (owner, kind) = asked(&question);
        let (mut cut, answers) = (
            false,
            match kind {
                RecordType::SRV => (0..1_000)
                    .map(|n| {
                        let srv = SRV::new(0, 1, 8080, name(&format!("h{n}.shop.")));
                        Record::from_rdata(name(&owner), 1, RData::SRV(srv))
                    })
                    .collect(),
                _ => {
                    let n: u16 = owner
                        .trim_start_matches('h')
                        .split('.')
                        .next()
                        .expect("a label")
                        .parse()
                        .expect("a number");
                    vec![a(&owner, [10, 1, (n / 250) as u8, (n % 250) as u8])]
                }
            },
        );
        cut |= way == Way::Udp && answers.len() > 1;
        let mut said = answer(question, ResponseCode::NoError, if cut { Vec::new() } else { answers });
        said.metadata.truncation = cut;
        packed(&said)
    });
    assert_eq!(Heard::of(server, "dns+srv://_http._tcp.crowd.shop").addresses().await.len(), 1_000);
}

#[tokio::test]
async fn an_address_that_is_nowhere_is_nobody() {
    let server = serve(|question, _| {
        let (owner, _) = asked(&question);
        let answers = vec![a(&owner, [0, 0, 0, 0]), a(&owner, [224, 0, 0, 1])];
        packed(&answer(question, ResponseCode::NoError, answers))
    });
    assert!(Heard::of(server, "dns://hidden.shop").addresses().await.is_empty());
}

#[tokio::test]
async fn a_tcp_that_hangs_up_on_what_was_cut_short_is_an_error() {
    let server = serve(|question, way| {
        let mut cut = answer(question, ResponseCode::NoError, vec![a("catalog.shop.", [10, 0, 0, 1])]);
        cut.metadata.truncation = true;
        if way == Way::Udp { packed(&cut) } else { None }
    });
    let error = Heard::of(server, "dns://catalog.shop").error().await;
    assert!(error.contains("catalog.shop A: "), "half a set is none: {error}");
}

#[tokio::test]
async fn noise_and_silence_are_errors_in_time() {
    let noise = serve(|question, _| {
        let mut bytes = question.metadata.id.to_be_bytes().to_vec();
        bytes.extend([0xff; 40]);
        Some(bytes)
    });
    let silence = serve(|_, _| None);
    for server in [noise, silence] {
        let begun = Instant::now();
        let error = Heard::of(server, "dns://catalog.shop").error().await;
        assert!(error.contains("catalog.shop A: "), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn half_an_alias_is_asked_on_and_a_circle_of_them_ends() {
    let server = serve(|question, _| {
        let answers = match asked(&question) {
            (owner, RecordType::A) if owner == "catalog.shop." => vec![alias(&owner, "catalog.other.")],
            (owner, RecordType::A) if owner == "catalog.other." => vec![a(&owner, [10, 0, 0, 1])],
            (owner, _) if owner == "one.shop." => vec![alias(&owner, "two.shop.")],
            (owner, _) if owner == "two.shop." => vec![alias(&owner, "one.shop.")],
            (owner, _) => vec![alias(&owner, &format!("x{owner}"))],
        };
        packed(&answer(question, ResponseCode::NoError, answers))
    });
    assert_eq!(Heard::of(server, "dns://catalog.shop").addresses().await, ["10.0.0.1:80"]);
    let circle = Heard::of(server, "dns://one.shop").error().await;
    assert!(circle.contains("circle"), "{circle}");
    let endless = Heard::of(server, "dns://endless.shop").error().await;
    assert!(endless.contains("too many aliases"), "{endless}");
}

#[tokio::test]
async fn a_server_that_fails_for_a_moment_is_asked_again_and_says_the_same_set() {
    let fails = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&fails);
    let server = serve(move |question, _| {
        let code = if broken.load(Ordering::SeqCst) { ResponseCode::ServFail } else { ResponseCode::NoError };
        let answers = vec![a("catalog.shop.", [10, 0, 0, 1])];
        packed(&answer(question, code, if code == ResponseCode::NoError { answers } else { Vec::new() }))
    });
    let mut heard = Heard::of(server, "dns://catalog.shop");
    let before = heard.next().await.expect("an answer");
    fails.store(true, Ordering::SeqCst);
    let error = heard.error().await;
    assert!(error.contains("the server answered SERVFAIL"), "{error}");
    fails.store(false, Ordering::SeqCst);
    let after = heard.next().await.expect("an answer");
    assert!(Arc::ptr_eq(before.found(), after.found()));
}

#[tokio::test]
async fn a_host_of_an_srv_record_that_cannot_be_looked_up_keeps_the_address_it_had() {
    let fails = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&fails);
    let server = serve(move |question, _| {
        let (owner, kind) = asked(&question);
        let srv = |target: &str| RData::SRV(SRV::new(0, 1, 8080, name(target)));
        let (code, answers) = match (owner.as_str(), kind) {
            ("_http._tcp.catalog.shop.", RecordType::SRV) => (
                ResponseCode::NoError,
                ["a.shop.", "b.shop.", "gone.shop."]
                    .map(|target| Record::from_rdata(name(&owner), 1, srv(target)))
                    .into(),
            ),
            ("a.shop.", RecordType::A) if broken.load(Ordering::SeqCst) => {
                (ResponseCode::ServFail, Vec::new())
            }
            ("a.shop.", RecordType::A) => (ResponseCode::NoError, vec![a(&owner, [10, 0, 0, 1])]),
            ("b.shop.", RecordType::A) => (ResponseCode::NoError, vec![a(&owner, [10, 0, 0, 2])]),
            _ => (ResponseCode::NXDomain, Vec::new()),
        };
        packed(&answer(question, code, answers))
    });
    let mut heard = Heard::of(server, "dns+srv://_http._tcp.catalog.shop");
    let before = heard.next().await.expect("an answer");
    assert_eq!((before.found().len(), before.skipped()), (2, 1), "one host has no address");
    fails.store(true, Ordering::SeqCst);
    let after = heard.next().await.expect("an answer");
    assert!(Arc::ptr_eq(before.found(), after.found()));
}
