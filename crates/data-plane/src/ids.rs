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
    // The version and the variant stand in the midst of what is random (RFC 9562 section 5.4).
    let first = (random() & 0xffff_ffff_ffff_0fff) | 0x4000;
    let second = (random() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    let mut text = [b'-'; 36];
    let (first, second) = (hex(first), hex(second));
    for (place, digits) in [
        (0..8, first.get(..8)),
        (9..13, first.get(8..12)),
        (14..18, first.get(12..)),
        (19..23, second.get(..4)),
        (24..36, second.get(4..)),
    ] {
        write(&mut text, place, digits.unwrap_or_default());
    }
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
    write(&mut text, 7..15, hex(epoch_seconds).get(8..).unwrap_or_default());
    write(&mut text, 16..32, &hex(random()));
    write(&mut text, 32..40, hex(random()).get(8..).unwrap_or_default());
    shared(text)
}

/// Text that more than one place will hold: it is allocated once, together with its count.
fn shared<const N: usize>(text: [u8; N]) -> Bytes {
    if N <= 16 {
        return Bytes::from_owner(text);
    }
    let mut room = [0; ROOM];
    write(&mut room, 0..N, &text);
    Bytes::from_owner(Text::<N>(room))
}

/// What a longer id takes: together with its count that is a power of two, which costs the allocator least.
const ROOM: usize = 48;

struct Text<const N: usize>([u8; ROOM]);

impl<const N: usize> AsRef<[u8]> for Text<N> {
    fn as_ref(&self) -> &[u8] {
        self.0.get(..N).unwrap_or_default()
    }
}

/// A number's sixteen hexadecimal digits, all of them at once: each in a byte of its own, then each turned into a letter.
fn hex(number: u64) -> [u8; 16] {
    let digits = |half: u64| {
        let spread = ((half << 16) | half) & 0x0000_ffff_0000_ffff;
        let spread = ((spread << 8) | spread) & 0x00ff_00ff_00ff_00ff;
        let spread = ((spread << 4) | spread) & 0x0f0f_0f0f_0f0f_0f0f;
        // What is above nine goes on with `a`, which is 39 above what follows `9`.
        let letters = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        spread + 0x3030_3030_3030_3030 + letters * 39
    };
    let both = (u128::from(digits(number >> 32)) << 64) | u128::from(digits(number & 0xffff_ffff));
    both.to_be_bytes()
}

/// Writes into a place of the same length.
fn write(text: &mut [u8], place: std::ops::Range<usize>, digits: &[u8]) {
    if let Some(place) = text.get_mut(place).filter(|place| place.len() == digits.len()) {
        place.copy_from_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        let check = |number: u64| assert_eq!(hex(number), *format!("{number:016x}").as_bytes());
        [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX].into_iter().for_each(check);
        (0..1000).for_each(|_| check(random()));
    }

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
