//! Any bytes are decoded the same however they arrive, and never to more than the limits allow.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stagedoor_websocket::{Decoder, Limits, Received, Violation};

const LIMITS: Limits = Limits { frame_bytes: 300, message_bytes: 500 };

fn decode(bytes: &[u8], piece: usize) -> (Vec<Received>, Option<Violation>) {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    for mut piece in bytes.chunks(piece) {
        loop {
            match decoder.decode(&mut piece, LIMITS) {
                Ok(Some(received)) => found.push(received),
                Ok(None) => break,
                Err(violation) => return (found, Some(violation)),
            }
        }
        assert!(piece.is_empty());
    }
    (found, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(piece).max(1)), whole);
    for received in whole.0 {
        if let Received::Text(text) = received {
            assert!(text.len() <= LIMITS.message_bytes && std::str::from_utf8(&text).is_ok());
        }
    }
});
