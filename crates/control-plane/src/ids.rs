//! Identifiers: random lower-case letters and digits, in AWS's lengths.

use crate::ApiError;

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The id of an API or an API key.
pub(crate) fn api() -> Result<String, ApiError> {
    random(10)
}

/// The id of a root resource, which AWS makes longer than those of other resources.
pub(crate) fn root_resource() -> Result<String, ApiError> {
    random(10)
}

/// The id of anything else: resources, deployments, models, validators, authorizers, documentation parts.
pub(crate) fn short() -> Result<String, ApiError> {
    random(6)
}

/// The id of a route or an integration of an HTTP or WebSocket API.
pub(crate) fn route() -> Result<String, ApiError> {
    random(7)
}

/// The value of an API key that was given none: AWS makes 40 letters of both cases and digits.
pub(crate) fn api_key_value() -> Result<String, ApiError> {
    random_of(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 248, 40)
}

fn random(length: usize) -> Result<String, ApiError> {
    // 252 is the largest multiple of 36 in a byte.
    random_of(ALPHABET, 252, length)
}

/// `fair_below` is the largest multiple of the alphabet's length in a byte: what lies above it would favour the first
/// letters.
fn random_of(alphabet: &[u8], fair_below: u8, length: usize) -> Result<String, ApiError> {
    let mut id = String::with_capacity(length);
    let mut bytes = [0; 32];
    while id.len() < length {
        getrandom::fill(&mut bytes)
            .map_err(|error| ApiError::Internal(format!("no random numbers: {error}")))?;
        let fair = bytes.iter().filter(|byte| **byte < fair_below);
        let letters = fair.filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len()));
        id.extend(letters.take(length - id.len()).map(|letter| char::from(*letter)));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn ids_have_their_length_and_differ() {
        let ids: BTreeSet<String> = (0..1000).map(|_| super::api().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(
            ids.iter().all(|id| id.len() == 10 && id.bytes().all(|byte| super::ALPHABET.contains(&byte)))
        );
        assert_eq!(super::short().unwrap().len(), 6);
        assert_eq!(super::route().unwrap().len(), 7);
    }
}
