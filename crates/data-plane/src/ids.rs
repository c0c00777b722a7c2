//! Identifiers that every request gets: request id, extended request id, trace id.
//!
//! They are made from a small generator of the thread's own (xoshiro256++, seeded from the system): a request must not
//! pay for a system call or a lock, and nothing depends on these ids being hard to guess.

use std::cell::Cell;

use bytes::Bytes;

thread_local! {
    static STATE: Cell<[u64; 4]> = Cell::new(seed());
}

fn seed() -> [u64; 4] {
    let mut bytes = [0_u8; 32];
    if getrandom::fill(&mut bytes).is_err() {
        // Without the system's randomness the address of a local and the clock still keep threads and starts apart.
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let here = (&raw const bytes).addr() as u128;
        bytes[..16].copy_from_slice(&clock.as_nanos().to_le_bytes());
        bytes[16..].copy_from_slice(&here.to_le_bytes());
    }
    let mut words = [0_u64; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk) | 1;
    }
    words
}

/// The next 64 random bits of this thread.
#[must_use]
pub fn random() -> u64 {
    STATE.with(|state| {
        let [a, b, c, d] = state.get();
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c2, d2) = (c ^ a, d ^ b);
        state.set([a ^ d2, b ^ c2, c2 ^ (b << 17), d2.rotate_left(45)]);
        result
    })
}

fn random_128() -> [u8; 16] {
    ((u128::from(random()) << 64) | u128::from(random())).to_le_bytes()
}

/// A request id: a version 4 UUID, such as `c6af9ac6-7b61-11e6-9a41-93e8deadbeef`.
#[must_use]
pub fn request_id() -> Bytes {
    let uuid = uuid::Builder::from_random_bytes(random_128()).into_uuid();
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    uuid.hyphenated().encode_lower(&mut text);
    shared(text)
}

/// The request id for a request whose client sent its own in `x-amzn-RequestId`: AWS takes it if it is a UUID and
/// shows the mistake if it is not.
#[must_use]
pub fn request_id_from(sent: &Bytes) -> Bytes {
    match uuid::Uuid::try_parse_ascii(sent) {
        Ok(_) if sent.len() == uuid::fmt::Hyphenated::LENGTH => sent.clone(),
        _ => Bytes::from_static(b"UUID_REPLACED_INVALID_REQUEST_ID"),
    }
}

/// An extended request id: sixteen characters that end in `=`, such as `JKJaXmPLvHcESHA=`.
#[must_use]
pub fn extended_request_id() -> Bytes {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u128| DIGITS.get((bits & 63) as usize).copied().unwrap_or(b'A');
    let random = u128::from_le_bytes(random_128());
    let mut text = [b'='; 16];
    for (place, letter) in text.iter_mut().take(14).enumerate() {
        *letter = digit(random >> (6 * place));
    }
    // Eleven bytes end in a digit of four bits, and two that are nothing.
    text[14] = digit((random >> 84) << 2);
    shared(text)
}

/// A trace id's root, such as `Root=1-5759e988-bd862e3fe1be46a994272793`.
#[must_use]
pub fn trace_id(epoch_seconds: u64) -> Bytes {
    let mut text = *b"Root=1-00000000-000000000000000000000000";
    write_hex(text.get_mut(7..15).unwrap_or_default(), u128::from(epoch_seconds));
    write_hex(text.get_mut(16..).unwrap_or_default(), u128::from_le_bytes(random_128()));
    shared(text)
}

/// Text that more than one place will hold: it is allocated once, together with its count.
fn shared<const N: usize>(text: [u8; N]) -> Bytes {
    Bytes::from_owner(text)
}

/// Fills a text with a number's last hexadecimal digits.
fn write_hex(text: &mut [u8], mut number: u128) {
    for place in text.iter_mut().rev() {
        *place = b"0123456789abcdef".get((number & 15) as usize).copied().unwrap_or(b'0');
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_shape_and_differ() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| request_id()).collect();
        assert_eq!(ids.len(), 10_000);
        let id = request_id();
        let uuid = uuid::Uuid::parse_str(std::str::from_utf8(&id).unwrap()).unwrap();
        assert_eq!(uuid.get_version_num(), 4);

        assert_eq!(request_id_from(&id), id);
        assert_eq!(request_id_from(&Bytes::from_static(b"mine")), "UUID_REPLACED_INVALID_REQUEST_ID");

        let extended = extended_request_id();
        assert_eq!(extended.len(), 16);
        assert!(extended.ends_with(b"="));
        let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &extended).unwrap();
        assert_eq!(decoded.len(), 11);

        let trace = trace_id(0x5759_e988);
        let trace = std::str::from_utf8(&trace).unwrap();
        assert!(trace.starts_with("Root=1-5759e988-"), "{trace}");
        assert!(trace.bytes().skip(16).all(|byte| byte.is_ascii_hexdigit()), "{trace}");
        assert_eq!(trace.len(), "Root=1-5759e988-bd862e3fe1be46a994272793".len());
    }
}
