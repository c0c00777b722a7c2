//! JSON Web Tokens (RFC 7515, RFC 7519) as authorizers take them: compact, signed with RSA or on a curve of NIST's, and
//! nothing else.
//!
//! What a token's header says never decides how it is verified: the key comes from the issuer's key set by its id, the
//! algorithm has to be one that the authorizer takes, and the key one that is for this algorithm: a curve's key verifies
//! what was signed on this curve alone. Keys in headers (`jwk`, `jku`, `x5u`) are not looked at, an
//! extension that must be understood (`crit`) is not, and a member that is there twice makes a token malformed, because
//! two readers could understand it differently.

#[cfg(test)]
mod vectors;

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Why a token is no good. The text is what AWS tells HTTP APIs' clients where that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts.
    #[error("token contains an invalid number of segments")]
    Segments,
    /// A part that is no base64url, or no JSON object.
    #[error("the token is malformed")]
    Malformed,
    /// Signed in a way that is not taken: `none`, with a shared secret, or one that the authorizer does not list.
    #[error("signing method {0} is invalid")]
    Algorithm(String),
    /// The header names no key.
    #[error("the token does not have a kid")]
    NoKeyId,
    /// The issuer has no key of this id.
    #[error("unable to find a signing key that matches the kid")]
    UnknownKey,
    /// The issuer's keys cannot be had.
    #[error("JWKS communication error")]
    NoKeys(String),
    /// The signature is not the key's.
    #[error("signature is invalid")]
    Signature,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `exp` is missing or no number.
    #[error("the token does not have an expiration time")]
    NoExpiry,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYet,
    /// `iat` is to come.
    #[error("the token is used before issued")]
    Future,
    /// `iss` is another's.
    #[error("the token does not have a valid issuer")]
    Issuer,
    /// Neither `aud` nor `client_id` is one that is taken.
    #[error("the token does not have a valid audience")]
    Audience,
}

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
}

/// How a signature is verified.
enum Scheme {
    Rsa(&'static RsaParameters),
    Curve(&'static EcdsaVerificationAlgorithm),
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "ES512" => Some(Self::Es512),
            _ => None,
        }
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::Rs256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Es256 => Scheme::Curve(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Scheme::Curve(&ECDSA_P384_SHA384_FIXED),
            Self::Es512 => Scheme::Curve(&ECDSA_P521_SHA512_FIXED),
        }
    }

    /// The algorithm that signs on a curve (RFC 7518, section 3.4), and how many bytes a coordinate has there.
    fn on_curve(name: &str) -> Option<(Self, usize)> {
        match name {
            "P-256" => Some((Self::Es256, 32)),
            "P-384" => Some((Self::Es384, 48)),
            "P-521" => Some((Self::Es512, 66)),
            _ => None,
        }
    }
}

/// An issuer's public key.
#[derive(Clone)]
pub struct PublicKey {
    id: Box<str>,
    /// What it signs with, where its set or its curve says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point of a curve, uncompressed.
    Point(Vec<u8>),
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PublicKey {
    /// The signing keys of a key set (RFC 7517) that are of a kind verified here; others are left out. Nothing if it is
    /// no key set.
    #[must_use]
    pub fn read_set(document: &[u8]) -> Option<Vec<Self>> {
        let document: Value = serde_json::from_slice(document).ok()?;
        Some(document.get("keys")?.as_array()?.iter().filter_map(Self::read).collect())
    }

    /// Whether this is the key of that id.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        *self.id == *id
    }

    /// Whether it is of the kind that an algorithm needs. A set may have two keys of one id that differ in this (RFC
    /// 7517, section 4.5).
    fn is_of_kind(&self, algorithm: Algorithm) -> bool {
        matches!(
            (&self.material, algorithm.scheme()),
            (Material::Rsa { .. }, Scheme::Rsa(_)) | (Material::Point(_), Scheme::Curve(_))
        )
    }

    fn read(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let for_signing = text("use").is_none_or(|used| used == "sig");
        // RFC 7517, section 4.3: what a key may be used for, where it says so.
        let for_verifying = key.get("key_ops").is_none_or(|operations| {
            operations.as_array().is_some_and(|all| all.iter().any(|operation| operation == "verify"))
        });
        if !for_signing || !for_verifying {
            return None;
        }
        let named = match text("alg") {
            None => None,
            Some(name) => Some(Algorithm::parse(name)?),
        };
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        let id = text("kid").filter(|id| !id.is_empty())?.into();
        match text("kty")? {
            "RSA" => {
                let number = |name: &str| {
                    let bytes = bytes(name)?;
                    // Leading zeros are allowed in the document and not by the library.
                    let start = bytes.iter().position(|byte| *byte != 0)?;
                    bytes.get(start..).map(<[u8]>::to_vec)
                };
                let material = Material::Rsa { modulus: number("n")?, exponent: number("e")? };
                let key = Self { id, algorithm: named, material };
                named.is_none_or(|algorithm| key.is_of_kind(algorithm)).then_some(key)
            }
            "EC" => {
                let (algorithm, size) = Algorithm::on_curve(text("crv")?)?;
                let (x, y) = (bytes("x")?, bytes("y")?);
                // RFC 7518, section 6.2.1.2: a coordinate has all its bytes, leading zeros too.
                let fits = x.len() == size && y.len() == size && named.is_none_or(|named| named == algorithm);
                let point = [&[4][..], &x, &y].concat();
                fits.then_some(Self { id, algorithm: Some(algorithm), material: Material::Point(point) })
            }
            _ => None,
        }
    }

    /// Whether this key has signed a text. The algorithm has been found to be the key's.
    fn has_signed(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (&self.material, algorithm.scheme()) {
            (Material::Rsa { modulus, exponent }, Scheme::Rsa(parameters)) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(parameters, signed, signature)
                    .is_ok()
            }
            (Material::Point(point), Scheme::Curve(curve)) => {
                UnparsedPublicKey::new(curve, point).verify(signed, signature).is_ok()
            }
            (Material::Rsa { .. }, Scheme::Curve(_)) | (Material::Point(_), Scheme::Rsa(_)) => false,
        }
    }
}

/// Modulus and exponent of an RSA public key in PKCS #1's form, a sequence of two integers, without leading zeros.
/// Nothing if it is none.
#[must_use]
pub fn public_components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    /// Splits off one element with this tag.
    fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let rest = der.strip_prefix(&[tag])?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        rest.split_at_checked(length)
    }
    let (integers, after) = element(der, 0x30)?;
    let (modulus, integers) = element(integers, 0x02)?;
    let (exponent, integers) = element(integers, 0x02)?;
    let positive = |integer| <[u8]>::strip_prefix(integer, &[0]).unwrap_or(integer);
    (after.is_empty() && integers.is_empty()).then(|| (positive(modulus), positive(exponent)))
}

/// A token that has been taken apart. Nothing of it is proven yet.
#[derive(Debug)]
pub struct Unverified<'t> {
    /// The id of the key that it says it is signed with.
    pub key_id: Box<str>,
    algorithm: Algorithm,
    signed: &'t str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenError`] for anything but a compact token with a key id, signed as [`Algorithm`] says.
    pub fn parse(token: &'t str) -> Result<Self, TokenError> {
        let (mut unverified, claims) = Self::without_claims(token)?;
        unverified.claims = object(claims)?;
        Ok(unverified)
    }

    /// Everything but the claims, which stand beside it unread.
    fn without_claims(token: &'t str) -> Result<(Self, &'t str), TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Segments)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Segments)?;
        if claims.contains('.') {
            return Err(TokenError::Segments);
        }
        let header = object(header)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
        let algorithm = Algorithm::parse(algorithm).ok_or_else(|| {
            TokenError::Algorithm(algorithm.chars().take(16).filter(char::is_ascii_alphanumeric).collect())
        })?;
        // RFC 7515 §4.1.11: what must be understood and is not makes the token invalid. Nothing is.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(TokenError::Malformed);
        }
        let key_id = header.get("kid").and_then(Value::as_str).filter(|id| !id.is_empty());
        let key_id = key_id.ok_or(TokenError::NoKeyId)?.into();
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        if signature.is_empty() {
            return Err(TokenError::Signature);
        }
        Ok((Self { key_id, algorithm, signed, signature, claims: Map::new() }, claims))
    }

    /// Checks the signature against the issuer's keys and gives the claims.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] if the keys may be out of date, [`TokenError::Signature`] if the token is forged.
    pub fn verify(self, keys: &[PublicKey], taken: &[Algorithm]) -> Result<Map<String, Value>, TokenError> {
        self.check_algorithm(taken)?;
        let mut keys = keys.iter();
        let key = keys.find(|key| key.id == self.key_id && key.is_of_kind(self.algorithm));
        let key = key.ok_or(TokenError::UnknownKey)?;
        if let Some(algorithm) = key.algorithm {
            self.check_algorithm(&[algorithm])?;
        }
        match key.has_signed(self.algorithm, self.signed.as_bytes(), &self.signature) {
            true => Ok(self.claims),
            false => Err(TokenError::Signature),
        }
    }

    /// Whether it says that it is signed in one of these ways.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`].
    pub fn check_algorithm(&self, taken: &[Algorithm]) -> Result<(), TokenError> {
        match taken.contains(&self.algorithm) {
            true => Ok(()),
            false => Err(TokenError::Algorithm(format!("{:?}", self.algorithm).to_ascii_uppercase())),
        }
    }

    /// Who it says has issued it.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }
}

/// When claims hold, in seconds since 1970.
///
/// # Errors
/// [`TokenError`] if they do not hold now.
pub fn check_times(claims: &Map<String, Value>, now: u64) -> Result<u64, TokenError> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|time| time.is_finite() && *time >= 0.0)
            .map(Some)
            .ok_or(TokenError::Malformed),
    };
    let now_ = now as f64;
    let expires = time("exp")?.ok_or(TokenError::NoExpiry)?;
    if expires <= now_ {
        return Err(TokenError::Expired);
    }
    if time("nbf")?.is_some_and(|from| from > now_) {
        return Err(TokenError::NotYet);
    }
    if time("iat")?.is_some_and(|issued| issued > now_) {
        return Err(TokenError::Future);
    }
    Ok(expires as u64)
}

/// Whether a token is for one of these audiences: `aud`, or `client_id` where there is no `aud`.
#[must_use]
pub fn is_for(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    match claims.get("aud") {
        Some(_) => has_audience(claims, audiences),
        None => claims.get("client_id").is_some_and(|client| is_one(client, audiences)),
    }
}

/// Whether one of these audiences is in a token's `aud`, a text or a list of them.
#[must_use]
pub fn has_audience(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    match claims.get("aud") {
        Some(Value::Array(values)) => values.iter().any(|value| is_one(value, audiences)),
        Some(value) => is_one(value, audiences),
        None => false,
    }
}

fn is_one(value: &Value, of: &[String]) -> bool {
    value.as_str().is_some_and(|value| of.iter().any(|one| one == value))
}

/// Whether a token has one of these scopes: in `scope` as a list parted by spaces, or in `scp` as that or an array.
#[must_use]
pub fn has_scope(claims: &Map<String, Value>, wanted: &[String]) -> bool {
    scopes(claims).iter().any(|scope| wanted.iter().any(|wanted| wanted == scope))
}

/// The scopes of a token, from where [`has_scope`] looks for them.
#[must_use]
pub fn scopes(claims: &Map<String, Value>) -> Vec<&str> {
    let mut scopes = Vec::new();
    for value in ["scope", "scp"].into_iter().filter_map(|name| claims.get(name)) {
        match value {
            Value::String(text) => scopes.extend(text.split(' ').filter(|scope| !scope.is_empty())),
            Value::Array(values) => {
                let texts = values.iter().filter_map(Value::as_str);
                scopes.extend(texts.flat_map(|text| text.split(' ')).filter(|scope| !scope.is_empty()));
            }
            _ => {}
        }
    }
    scopes
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice::<Unique>(&bytes).map(|unique| unique.0).map_err(|_| TokenError::Malformed)
}

/// An object none of whose members is there twice.
struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without repeated members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Unique, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a member is there twice"));
                    }
                }
                Ok(Unique(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
    };
    use serde_json::json;

    use super::*;

    fn part(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    struct Signer(RsaKeyPair);

    impl Signer {
        fn new() -> Self {
            Self(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
        }

        fn keys(&self, extra: Value) -> Vec<PublicKey> {
            let (modulus, exponent) = public_components(self.0.public_key().as_ref()).unwrap();
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let mut key = json!({"kty": "RSA", "kid": "k1", "n": encode(modulus),
                "e": encode(exponent)});
            for (name, value) in extra.as_object().unwrap() {
                key[name] = value.clone();
            }
            PublicKey::read_set(json!({ "keys": [key] }).to_string().as_bytes()).unwrap()
        }

        fn sign(&self, header: &str, claims: &str) -> String {
            let signed = format!("{}.{}", part(header), part(claims));
            let encoding = if header.contains("RS512") { &RSA_PKCS1_SHA512 } else { &RSA_PKCS1_SHA256 };
            let mut signature = vec![0; self.0.public_modulus_len()];
            self.0.sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn verify(token: &str, keys: &[PublicKey]) -> Result<Map<String, Value>, TokenError> {
        Unverified::parse(token)?.verify(keys, &[Algorithm::Rs256])
    }

    const HEADER: &str = r#"{"alg":"RS256","kid":"k1"}"#;

    #[test]
    fn a_signed_token_holds_and_every_forgery_fails() {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let keys = signer.keys(json!({}));
        let good = signer.sign(HEADER, r#"{"sub":"ann"}"#);
        assert_eq!(verify(&good, &keys).unwrap()["sub"], "ann");
        let check =
            |token: String, expected: TokenError| assert_eq!(verify(&token, &keys), Err(expected), "{token}");
        let algorithm = |name: &str| TokenError::Algorithm(name.to_owned());

        // A stranger's key, a changed claim, a stripped signature.
        check(stranger.sign(HEADER, r#"{"sub":"ann"}"#), TokenError::Signature);
        let (rest, signature) = good.rsplit_once('.').unwrap();
        let header = rest.split_once('.').unwrap().0;
        check(format!("{header}.{}.{signature}", part(r#"{"sub":"bob"}"#)), TokenError::Signature);
        check(format!("{rest}."), TokenError::Signature);
        check(rest.to_owned(), TokenError::Segments);
        check(format!("{good}.{signature}"), TokenError::Segments);
        check(format!("{good}="), TokenError::Malformed);
        // alg: none, in every spelling; and the public key taken for a shared secret.
        for name in ["none", "None", "NONE", "nOnE"] {
            check(
                format!("{}.{}.", part(&format!(r#"{{"alg":"{name}","kid":"k1"}}"#)), part("{}")),
                algorithm(name),
            );
        }
        for name in ["HS256", "ES256", "PS256", "EdDSA"] {
            check(signer.sign(&format!(r#"{{"alg":"{name}","kid":"k1"}}"#), "{}"), algorithm(name));
        }
        check(signer.sign(r#"{"alg":"RS512","kid":"k1"}"#, "{}"), algorithm("RS512"));
        check(signer.sign(r#"{"alg":["RS256"],"kid":"k1"}"#, "{}"), TokenError::Malformed);
        // Key ids.
        for id in ["k2", "../k1", "k1' or 1=1", "K1", "k1\\u0000"] {
            check(signer.sign(&format!(r#"{{"alg":"RS256","kid":"{id}"}}"#), "{}"), TokenError::UnknownKey);
        }
        check(signer.sign(r#"{"alg":"RS256"}"#, "{}"), TokenError::NoKeyId);
        check(signer.sign(r#"{"alg":"RS256","kid":1}"#, "{}"), TokenError::NoKeyId);
        // Keys that a header brings along are not looked at.
        let n = URL_SAFE_NO_PAD.encode(public_components(stranger.0.public_key().as_ref()).unwrap().0);
        let header = format!(
            r#"{{"alg":"RS256","kid":"k1","jwk":{{"kty":"RSA","n":"{n}","e":"AQAB"}},"jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/"}}"#
        );
        check(stranger.sign(&header, "{}"), TokenError::Signature);
        // Extensions, repeated members, and what is no object.
        check(signer.sign(r#"{"alg":"RS256","kid":"k1","crit":["exp"]}"#, "{}"), TokenError::Malformed);
        check(signer.sign(r#"{"alg":"RS256","kid":"k1","b64":false}"#, "{}"), TokenError::Malformed);
        check(signer.sign(r#"{"alg":"none","kid":"k1","alg":"RS256"}"#, "{}"), TokenError::Malformed);
        check(signer.sign(HEADER, r#"{"sub":"ann","sub":"bob"}"#), TokenError::Malformed);
        check(signer.sign(HEADER, r#""text""#), TokenError::Malformed);
        check(signer.sign(HEADER, "{} {}"), TokenError::Malformed);
    }

    #[test]
    fn keys_are_for_what_their_set_says() {
        let signer = Signer::new();
        let token = signer.sign(HEADER, "{}");
        assert!(verify(&token, &signer.keys(json!({"use": "sig", "alg": "RS256"}))).is_ok());
        let other = verify(&token, &signer.keys(json!({"alg": "RS512"})));
        assert_eq!(other, Err(TokenError::Algorithm("RS256".to_owned())));
        for extra in
            [json!({"use": "enc"}), json!({"kty": "oct"}), json!({"alg": "HS256"}), json!({"kid": ""})]
        {
            assert_eq!(verify(&token, &signer.keys(extra)), Err(TokenError::UnknownKey));
        }
        assert!(PublicKey::read_set(b"{}").is_none());
    }

    /// A curve's key, as a member of a set, and what it signs.
    fn on_curve(algorithm: &'static EcdsaSigningAlgorithm, curve: &str, name: &str) -> (Value, String) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({"kty": "EC", "kid": "k1", "crv": curve, "x": encode(x), "y": encode(y)});
        let signed = format!("{}.{}", part(&format!(r#"{{"alg":"{name}","kid":"k1"}}"#)), part("{}"));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        (key, format!("{signed}.{}", encode(signature.as_ref())))
    }

    #[test]
    fn curves() {
        const ALL: [Algorithm; 6] = [
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Es256,
            Algorithm::Es384,
            Algorithm::Es512,
        ];
        let curves = [
            (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256", Algorithm::Es256),
            (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384", Algorithm::Es384),
            (&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521", "ES512", Algorithm::Es512),
        ];
        let set = |keys: Value| PublicKey::read_set(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        for (signing, curve, name, algorithm) in curves {
            let (key, token) = on_curve(signing, curve, name);
            let check = |keys: Value, taken: &[Algorithm], expected: Result<(), TokenError>| {
                let verified = Unverified::parse(&token).unwrap().verify(&set(keys.clone()), taken);
                assert_eq!(verified.map(|_| ()), expected, "{name} {keys}");
            };
            let with = |member: &str, value: &str| {
                let mut key = key.clone();
                key[member] = value.into();
                json!([key])
            };
            check(json!([key]), &ALL, Ok(()));
            check(with("alg", name), &[algorithm], Ok(()));
            // An authorizer takes what it lists.
            let others: Vec<Algorithm> = ALL.into_iter().filter(|other| *other != algorithm).collect();
            check(json!([key]), &others, Err(TokenError::Algorithm(name.to_owned())));
            // Another's key; a key that is for something else; a point that is not on the curve, or lacks a byte.
            check(json!([on_curve(signing, curve, name).0]), &ALL, Err(TokenError::Signature));
            for keys in [with("use", "enc"), with("alg", "RS256"), with("crv", "secp256k1"), with("x", "AA")]
            {
                check(keys, &ALL, Err(TokenError::UnknownKey));
            }
            let size = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap().len();
            check(with("x", &URL_SAFE_NO_PAD.encode(vec![1; size])), &ALL, Err(TokenError::Signature));
            // Two keys of one id that differ in kind.
            let rsa = json!({"kty": "RSA", "kid": "k1", "n": key["x"], "e": "AQAB"});
            check(json!([rsa, key]), &ALL, Ok(()));
            check(json!([rsa]), &ALL, Err(TokenError::UnknownKey));
            // A signature that somebody has written as ASN.1, of no length, or all zeros (CVE-2022-21449).
            let signed = token.rsplit_once('.').unwrap().0;
            for forged in [vec![0; size * 2], vec![0; 1], [&[0x30, 0x06, 2, 1, 1, 2, 1, 1][..]].concat()] {
                let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(forged));
                let verified = Unverified::parse(&token).unwrap().verify(&set(json!([key])), &ALL);
                assert_eq!(verified, Err(TokenError::Signature));
            }
        }
        // What was signed on one curve is not taken for another's.
        let (p256, _) = on_curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256");
        let (_, token) = on_curve(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384");
        let verified = Unverified::parse(&token).unwrap().verify(&set(json!([p256])), &ALL);
        assert_eq!(verified, Err(TokenError::Algorithm("ES384".to_owned())));
    }

    #[test]
    fn times() {
        let check = |claims: Value, expected: Result<u64, TokenError>| {
            assert_eq!(check_times(claims.as_object().unwrap(), 1000), expected, "{claims}");
        };
        check(json!({"exp": 1001}), Ok(1001));
        check(json!({"exp": 1001, "nbf": 1000, "iat": 1000}), Ok(1001));
        check(json!({"exp": 1000}), Err(TokenError::Expired));
        check(json!({}), Err(TokenError::NoExpiry));
        check(json!({"exp": "9999"}), Err(TokenError::Malformed));
        check(json!({"exp": -1}), Err(TokenError::Malformed));
        check(json!({"exp": 2000, "nbf": 1001}), Err(TokenError::NotYet));
        check(json!({"exp": 2000, "iat": 1001}), Err(TokenError::Future));
    }

    #[test]
    fn audiences_and_scopes() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let check = |claims: Value, audience: bool, scope: bool| {
            let claims = claims.as_object().unwrap();
            assert_eq!(
                (is_for(claims, &wanted), has_scope(claims, &wanted)),
                (audience, scope),
                "{claims:?}"
            );
        };
        check(json!({"aud": "a", "scope": "x b"}), true, true);
        check(json!({"aud": ["x", "b"], "scp": ["x", "a"]}), true, true);
        check(json!({"aud": "x", "client_id": "a", "scope": "ab"}), false, false);
        check(json!({"client_id": "a", "scp": "x a"}), true, true);
        check(json!({"aud": [1], "scope": 1}), false, false);
        check(json!({}), false, false);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(token in "[A-Za-z0-9_.=-]{0,80}") {
            let _ = Unverified::parse(&token);
        }

        #[test]
        fn any_bytes_are_a_key_or_none(der in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let _ = public_components(&der);
        }
    }
}
