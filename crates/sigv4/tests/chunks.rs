//! Bodies in signed chunks: the examples of S3's API reference ("Transferring payload in multiple chunks"), and what
//! becomes of them when anything is changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

use proptest::prelude::*;
use stagedoor_sigv4::{Credential, Expected, Presented, Request, VerifyError};
use time::OffsetDateTime;

const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const CHUNKS: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];
const SEED_WITH_TRAILER: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
const CHUNKS_WITH_TRAILER: [&str; 3] = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
];
const TRAILER: &str = "x-amz-checksum-crc32c:sOO8/Q==";
const TRAILER_SIGNATURE: &str = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
const LENGTH: usize = 66_560;

fn chunks(signatures: [&str; 3]) -> Vec<u8> {
    let mut body = Vec::new();
    for (length, signature) in [65_536, 1024, 0].into_iter().zip(signatures) {
        body.extend(format!("{length:x};chunk-signature={signature}\r\n").bytes());
        body.extend(std::iter::repeat_n(b'a', length));
        if length > 0 {
            body.extend(b"\r\n");
        }
    }
    body
}

fn open(body: &[u8], trailer: bool, decoded_length: &str) -> Result<Vec<u8>, VerifyError> {
    let mut headers = vec![
        ("Host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("Content-Encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", decoded_length),
        ("Content-Length", "66824"),
    ];
    let (signed, seed) = match trailer {
        false => (
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
            SEED,
        ),
        true => (
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
            SEED_WITH_TRAILER,
        ),
    };
    headers.push(match trailer {
        false => ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        true => ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
    });
    if trailer {
        headers.push(("x-amz-trailer", "x-amz-checksum-crc32c"));
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={seed}"
    );
    headers.push(("Authorization", &authorization));
    let request = Request {
        method: "PUT",
        path: "/examplebucket/chunkObject.txt",
        query: "",
        headers: headers.into(),
        body,
    };
    let credential = Credential {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
    };
    let now = OffsetDateTime::from_unix_timestamp(1_369_353_600).unwrap();
    let expected = Expected { region: Some("us-east-1"), service: "s3", now };
    assert!(request.is_chunked());
    let presented = Presented::find(&request).unwrap().unwrap();
    // Whoever does not ask for chunks is not given a body that nobody has verified.
    assert_eq!(presented.verify(&request, &credential, &expected), Err(VerifyError::Mismatch));
    presented.verify_chunks(&request, &credential, &expected)
}

fn with_trailer(trailer: &str, signature: &str) -> Vec<u8> {
    let mut body = chunks(CHUNKS_WITH_TRAILER);
    body.extend(format!("{trailer}\r\nx-amz-trailer-signature:{signature}\r\n\r\n").bytes());
    body
}

#[test]
fn signed_chunks_are_opened() {
    let body = [chunks(CHUNKS).as_slice(), b"\r\n"].concat();
    assert_eq!(open(&body, false, "66560").unwrap(), vec![b'a'; LENGTH]);
}

#[test]
fn signed_trailers_are_taken() {
    let body = with_trailer(TRAILER, TRAILER_SIGNATURE);
    assert_eq!(open(&body, true, "66560").unwrap(), vec![b'a'; LENGTH]);
    for (trailer, signature) in [
        ("x-amz-checksum-crc32c:AAAA/Q==", TRAILER_SIGNATURE),
        ("x-amz-checksum-crc32:sOO8/Q==", TRAILER_SIGNATURE),
        (TRAILER, CHUNKS[0]),
    ] {
        assert_eq!(open(&with_trailer(trailer, signature), true, "66560"), Err(VerifyError::Mismatch));
    }
    // No trailer at all, where one was announced.
    let body = [chunks(CHUNKS_WITH_TRAILER).as_slice(), b"\r\n"].concat();
    assert_eq!(open(&body, true, "66560"), Err(VerifyError::Mismatch));
}

#[test]
fn what_is_changed_is_refused() {
    let body = [chunks(CHUNKS).as_slice(), b"\r\n"].concat();
    let check = |body: &[u8], length: &str| assert_eq!(open(body, false, length), Err(VerifyError::Mismatch));
    check(&body, "66559");
    check(&chunks(CHUNKS), "66560");
    check(&[body.as_slice(), b"x"].concat(), "66560");
    // Chunks left out, swapped, or cut short.
    let second = body.iter().position(|&byte| byte == b'4').unwrap();
    check(&body[second..], "66560");
    check(b"", "66560");
    check(&chunks([CHUNKS[1], CHUNKS[0], CHUNKS[2]]), "66560");
    check(b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n", "0");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut body = [chunks(CHUNKS).as_slice(), b"\r\n"].concat();
        let at = at.index(body.len());
        prop_assume!(body[at] != to);
        // A digit of a length may change its case.
        prop_assume!(!body[at].eq_ignore_ascii_case(&to));
        body[at] = to;
        prop_assert_eq!(open(&body, false, "66560"), Err(VerifyError::Mismatch));
    }

    #[test]
    fn any_body_is_opened_or_refused(body in proptest::collection::vec(any::<u8>(), 0..80), trailer: bool) {
        let _ = open(&body, trailer, "66560");
    }
}
