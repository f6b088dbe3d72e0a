//! Frames by hand (RFC 9113).

use tokio::io::AsyncReadExt as _;

use crate::ground::{Wire, soon};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
/// `:method GET`, `:scheme http`, `:path /`, `:authority g`, from HPACK's static table.
pub(crate) const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'g'];

/// The same, for a POST to `/echo`; the path is a field of its own.
pub(crate) const POST: &[u8] = &[0x83, 0x86, 0x41, 0x01, b'g', 0x04, 0x05, b'/', b'e', b'c', b'h', b'o'];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Reads until the server closes; the reason of its last GOAWAY.
pub(crate) async fn last_goaway(wire: &mut Wire) -> Option<u32> {
    let mut heard = Vec::new();
    let _ = soon(wire.0.read_to_end(&mut heard)).await;
    let (mut reason, mut rest) = (None, heard.as_slice());
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let end = (9 + length).min(rest.len());
        if rest[3] == GOAWAY {
            reason = Some(u32::from_be_bytes(rest[13..17].try_into().expect("four bytes")));
        }
        rest = &rest[end..];
    }
    reason
}

/// A field that is in no table (RFC 7541, section 6.2.2), of fewer than 127 bytes on either side.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).expect("short");
    [&[0, length(name)], name, &[length(value)], value].concat()
}

/// The kind of the first frame that answers stream 1 or ends the connection, and the reason if it is an end; `None` if
/// there is none.
pub(crate) async fn first_of_stream(wire: &mut Wire) -> Option<(u8, u32)> {
    let mut heard = Vec::new();
    loop {
        while heard.len() >= 9 {
            let length = u32::from_be_bytes([0, heard[0], heard[1], heard[2]]) as usize;
            if heard.len() < 9 + length {
                break;
            }
            let stream = u32::from_be_bytes(heard[5..9].try_into().expect("four bytes"));
            if (stream == 1 && heard[3] != WINDOW_UPDATE) || heard[3] == GOAWAY {
                let reason = match heard[3] {
                    RST_STREAM => heard.get(9..13),
                    GOAWAY => heard.get(13..17),
                    _ => None,
                };
                let reason =
                    reason.map_or(0, |reason| u32::from_be_bytes(reason.try_into().expect("four bytes")));
                return Some((heard[3], reason));
            }
            heard.drain(..9 + length);
        }
        if soon(wire.0.read_buf(&mut heard)).await.ok()? == 0 {
            return None;
        }
    }
}
