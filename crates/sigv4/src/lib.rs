//! AWS Signature Version 4: sign requests and verify them, in the header and in the query (presigned) form.
//!
//! The algorithm is that of AWS's "Signature Version 4 signing process": the path is normalised and encoded once more
//! (but for S3, which signs it as it travels), and the body is hashed unless the request says `UNSIGNED-PAYLOAD`.
//!
//! Verifying has two steps, because the caller has to look the secret up in between: [`Presented::find`] reads
//! what the request claims, and [`Presented::verify`] checks the claim against a secret.
//!
//! Two extensions are asked for by name, so that nobody takes them by mistake: Signature Version 4A
//! ([`Presented::find_any`]), whose signatures are good in several regions, and bodies whose chunks are signed one by one
//! ([`Presented::verify_chunks`]).

mod asymmetric;
mod canonical;
mod chunked;
mod presented;
mod sign;
mod timestamp;
mod verify;

pub use canonical::{Reading, Request};
pub use presented::{Incomplete, Presented};
pub use sign::{SigningScope, presign, sign};
pub use timestamp::format_timestamp;
pub use verify::{Expected, VerifyError};

/// The algorithm of Signature Version 4.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The algorithm of Signature Version 4A.
pub const ALGORITHM_ASYMMETRIC: &str = "AWS4-ECDSA-P256-SHA256";

/// What stands for the hash of a body that is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// A pair of keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The public half, such as `AKIAIOSFODNN7EXAMPLE`.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: String,
    /// The token that temporary keys come with.
    pub session_token: Option<String>,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}
