//! Signature Version 4A: ECDSA over P-256, with a key that is derived from the secret one.
//!
//! The derivation is AWS's ("Signature Version 4A" in the IAM user guide): HMAC in counter mode (NIST SP 800-108) until the
//! number that comes out is the private half of a key.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::sign::mac;
use crate::{ALGORITHM_ASYMMETRIC, Credential};

/// The order of the curve, less two.
const LARGEST: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
];

/// Whether a signature, in hexadecimal, is one of this key over this text.
pub(crate) fn verifies(credential: &Credential, to_sign: &str, signature: &str) -> bool {
    let (Some(signature), Some(public_key)) = (unhex(signature), public_key(credential)) else {
        return false;
    };
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key).verify(to_sign.as_bytes(), &signature).is_ok()
}

/// The public half of the derived key, as an uncompressed point.
pub(crate) fn public_key(credential: &Credential) -> Option<Vec<u8>> {
    let private = PrivateKey::from_private_key(&ECDH_P256, &scalar(credential)?).ok()?;
    Some(private.compute_public_key().ok()?.as_ref().to_vec())
}

fn scalar(credential: &Credential) -> Option<[u8; 32]> {
    let secret = format!("AWS4A{}", credential.secret_access_key);
    (1..=254_u8).find_map(|counter| {
        let mut input = 1_u32.to_be_bytes().to_vec();
        input.extend_from_slice(ALGORITHM_ASYMMETRIC.as_bytes());
        input.push(0);
        input.extend_from_slice(credential.access_key_id.as_bytes());
        input.push(counter);
        input.extend_from_slice(&256_u32.to_be_bytes());
        let mut number = mac(secret.as_bytes(), &input);
        (number <= LARGEST).then(|| {
            for byte in number.iter_mut().rev() {
                let (sum, carries) = byte.overflowing_add(1);
                *byte = sum;
                if !carries {
                    break;
                }
            }
            number
        })
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::hex;

    #[test]
    fn hexadecimal() {
        let check =
            |text: &str, expected: Option<&[u8]>| assert_eq!(unhex(text).as_deref(), expected, "{text}");
        check("", Some(&[]));
        check("00ffA1", Some(&[0, 255, 161]));
        check("0", None);
        check("0g", None);
        check("+1", None);
    }

    #[test]
    fn keys_are_derived_as_aws_derives_them() {
        // The key that AWS's test suite publishes with its cases.
        let credential = Credential {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        let expected = "04b6618f6a65740a99e650b33b6b4b5bd0d43b176d721a3edfea7e7d2d56d936b1\
                        865ed22a7eadc9c5cb9d2cbaca1b3699139fedc5043dc6661864218330c8e518";
        assert_eq!(hex(&public_key(&credential).unwrap()), expected);
    }
}
