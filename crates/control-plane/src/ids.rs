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

fn random(length: usize) -> Result<String, ApiError> {
    let mut id = String::with_capacity(length);
    let mut bytes = [0; 32];
    while id.len() < length {
        getrandom::fill(&mut bytes)
            .map_err(|error| ApiError::Internal(format!("no random numbers: {error}")))?;
        // 252 is the largest multiple of 36: what lies above it would favour the first letters.
        let letters =
            bytes.iter().filter(|byte| **byte < 252).filter_map(|byte| ALPHABET.get(usize::from(byte % 36)));
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
    }
}
