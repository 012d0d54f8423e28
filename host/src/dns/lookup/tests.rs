//! The resolver against a DNS server on loopback.

use super::*;
use hickory_resolver::proto::op::{Message, MessageType};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;

#[derive(Clone, Copy)]
enum Say {
    Address,
    Code(ResponseCode),
    Nothing,
}

/// A server that answers A and AAAA queries like this.
async fn dns(v4: Say, v6: Say) -> (HostLookup, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let lookup = HostLookup::with_server(socket.local_addr().expect("an address")).expect("a resolver");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut message = Message::from_vec(&buffer[..length]).expect("a query");
            let query = message.queries[0].clone();
            assert_eq!(query.name().to_string(), "acme.pool.example.", "no search domain");
            message.metadata.message_type = MessageType::Response;
            let v6_asked = query.query_type() == RecordType::AAAA;
            match if v6_asked { v6 } else { v4 } {
                Say::Nothing => continue,
                Say::Code(code) => message.metadata.response_code = code,
                Say::Address => {
                    let data = if v6_asked {
                        RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7))
                    } else {
                        RData::A(A::new(192, 0, 2, 7))
                    };
                    message.answers.push(Record::from_rdata(query.name().clone(), 60, data));
                }
            }
            let bytes = message.to_vec().expect("an answer");
            let _ = socket.send_to(&bytes, from).await;
        }
    });
    (lookup, asked)
}

async fn presence(v4: Say, v6: Say) -> Presence {
    dns(v4, v6).await.0.presence("acme.pool.example").await
}

const NX: Say = Say::Code(ResponseCode::NXDomain);
const EMPTY: Say = Say::Code(ResponseCode::NoError);
const SERVFAIL: Say = Say::Code(ResponseCode::ServFail);
const REFUSED: Say = Say::Code(ResponseCode::Refused);

#[tokio::test]
async fn no_such_name_and_an_empty_answer_are_absent() {
    for (v4, v6) in [(NX, NX), (EMPTY, EMPTY), (NX, EMPTY), (EMPTY, NX)] {
        assert_eq!(presence(v4, v6).await, Presence::Absent);
    }
}

#[tokio::test]
async fn one_address_of_either_kind_is_present() {
    for (v4, v6) in
        [(Say::Address, EMPTY), (EMPTY, Say::Address), (Say::Address, Say::Address), (Say::Address, SERVFAIL)]
    {
        assert_eq!(presence(v4, v6).await, Presence::Present);
    }
}

#[tokio::test]
async fn other_answers_are_unknown_not_absent() {
    for (v4, v6) in [(SERVFAIL, SERVFAIL), (REFUSED, REFUSED), (EMPTY, SERVFAIL), (SERVFAIL, NX)] {
        assert!(matches!(presence(v4, v6).await, Presence::Unknown(_)));
    }
}

#[tokio::test]
async fn silence_is_unknown_within_two_seconds() {
    let (lookup, asked) = dns(Say::Nothing, Say::Nothing).await;
    let start = std::time::Instant::now();
    assert!(matches!(lookup.presence("acme.pool.example").await, Presence::Unknown(_)));
    assert!(start.elapsed() < Duration::from_millis(2600), "{:?}", start.elapsed());
    assert!(asked.load(Ordering::SeqCst) > 2, "a lost packet is sent again");
}

#[tokio::test]
async fn nobody_there_is_unknown() {
    let port = UdpSocket::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let lookup = HostLookup::with_server(port).expect("a resolver");
    assert!(matches!(lookup.presence("acme.pool.example").await, Presence::Unknown(_)));
}

#[tokio::test]
async fn nothing_is_remembered() {
    let (lookup, asked) = dns(EMPTY, EMPTY).await;
    lookup.presence("acme.pool.example").await;
    let first = asked.load(Ordering::SeqCst);
    lookup.presence("acme.pool.example").await;
    assert!(asked.load(Ordering::SeqCst) > first);
}

#[tokio::test]
async fn a_name_that_is_none_is_unknown() {
    let (lookup, asked) = dns(NX, NX).await;
    let long = "a".repeat(64);
    for name in ["a..b", long.as_str()] {
        assert!(matches!(lookup.presence(name).await, Presence::Unknown(_)), "{name}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn labels() {
    let longest = "a".repeat(63);
    for good in ["a", "acme", "a1", "a-b", "a--b", " ACME ", longest.as_str()] {
        assert_eq!(Label::parse(good).expect(good).as_str(), good.trim().to_lowercase());
    }
    let longer = "a".repeat(64);
    for bad in ["", " ", "1a", "-a", "a-", "a.b", "a_b", "ä", "a b", "a\n.b", "*", longer.as_str()] {
        assert_eq!(Label::parse(bad), Err(InvalidLabel), "{bad:?}");
    }
}
