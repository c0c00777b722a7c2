//! Verifying.

use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

use crate::{
    ALGORITHM, ALGORITHM_ASYMMETRIC, Credential, Presented, Request, SigningScope, asymmetric,
    canonical::hex,
    chunked::{Chain, Form},
    format_timestamp,
    sign::{credential_scope, mac, signing_key, string_to_sign},
    timestamp::parse_timestamp,
};

/// How far the clocks of client and server may be apart.
const SKEW: Duration = Duration::minutes(5);

/// What a signature has to be good for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The only region to accept; `None` accepts every one, because one server may stand for all regions.
    pub region: Option<&'a str>,
    /// The signing name of the service.
    pub service: &'a str,
    /// The server's clock.
    pub now: OffsetDateTime,
}

/// Why a signature does not hold. The text is AWS's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature is for another service, region or day, or too old or too young.
    #[error("{0}")]
    Scope(String),
    /// The session token is missing, is another's, or came with a key that has none.
    #[error("The security token included in the request is invalid.")]
    Token,
    /// The signature was made with another key, or over another request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl Presented {
    /// Checks this signature of `request` against the key that it names.
    ///
    /// # Errors
    /// [`VerifyError`] says in AWS's words why it does not hold.
    pub fn verify(
        &self,
        request: &Request<'_>,
        credential: &Credential,
        expected: &Expected<'_>,
    ) -> Result<(), VerifyError> {
        self.check_claims(credential, expected)?;
        let to_sign = self.to_sign(request, &request.payload_hash());
        let holds = match self.is_asymmetric {
            true => asymmetric::verifies(credential, &to_sign, &self.signature),
            false => same(&hex(&mac(&self.key(credential), to_sign.as_bytes())), &self.signature),
        };
        if holds { Ok(()) } else { Err(VerifyError::Mismatch) }
    }

    /// Checks this signature of a `request` whose body comes in chunks (see [`Request::is_chunked`]) and the signature of
    /// each chunk. Gives what the chunks hold.
    ///
    /// # Errors
    /// As [`Presented::verify`]; [`VerifyError::Mismatch`] also for chunks that are malformed or of a form that is not
    /// known.
    pub fn verify_chunks(
        &self,
        request: &Request<'_>,
        credential: &Credential,
        expected: &Expected<'_>,
    ) -> Result<Vec<u8>, VerifyError> {
        self.check_claims(credential, expected)?;
        let claim = request.claimed_hash().unwrap_or_default();
        let form = Form::parse(&claim).filter(|_| !self.is_asymmetric).ok_or(VerifyError::Mismatch)?;
        let key = self.key(credential);
        let own = hex(&mac(&key, self.to_sign(request, &claim).as_bytes()));
        if !same(&own, &self.signature) {
            return Err(VerifyError::Mismatch);
        }
        let chain = Chain { key, timestamp: &self.timestamp, scope: &self.scope(), previous: own };
        chain.open(request, form).ok_or(VerifyError::Mismatch)
    }

    fn check_claims(&self, credential: &Credential, expected: &Expected<'_>) -> Result<(), VerifyError> {
        self.check_scope(expected)?;
        self.check_time(expected.now)?;
        let of = |token: &Option<String>| token.clone().unwrap_or_default();
        match same(&of(&self.session_token), &of(&credential.session_token)) {
            true => Ok(()),
            false => Err(VerifyError::Token),
        }
    }

    fn key(&self, credential: &Credential) -> [u8; 32] {
        let scope = SigningScope { region: &self.region, service: &self.service };
        signing_key(&credential.secret_access_key, &self.date, scope)
    }

    fn scope(&self) -> String {
        match self.is_asymmetric {
            true => format!("{}/{}/aws4_request", self.date, self.service),
            false => {
                credential_scope(&self.date, SigningScope { region: &self.region, service: &self.service })
            }
        }
    }

    fn to_sign(&self, request: &Request<'_>, payload_hash: &str) -> String {
        let canonical = self.canonical(request, payload_hash);
        let algorithm = if self.is_asymmetric { ALGORITHM_ASYMMETRIC } else { ALGORITHM };
        string_to_sign(algorithm, &self.timestamp, &self.scope(), &canonical)
    }

    fn canonical(&self, request: &Request<'_>, payload_hash: &str) -> String {
        let is_presigned = self.expires_seconds.is_some();
        request.canonical(&self.service, &self.signed_headers, payload_hash, self.reading, is_presigned)
    }

    /// What should have been signed, as AWS adds it to [`VerifyError::Mismatch`] for whoever looks for the mistake.
    /// It holds nothing but the request.
    pub fn canonical_forms(&self, request: &Request<'_>) -> String {
        let canonical = self.canonical(request, &request.payload_hash());
        let to_sign = self.to_sign(request, &request.payload_hash());
        format!(
            "\n\nThe Canonical String for this request should have been\n'{canonical}'\n\nThe String-to-Sign should \
             have been\n'{to_sign}'\n"
        )
    }

    fn check_scope(&self, expected: &Expected<'_>) -> Result<(), VerifyError> {
        let mut faults = Vec::new();
        let is_good_in = |region: &str| match self.is_asymmetric {
            true => self.region.split(',').any(|one| names_region(one.trim(), region)),
            false => region == self.region,
        };
        if expected.region.is_some_and(|region| !is_good_in(region)) || self.region.is_empty() {
            faults.push(format!("Credential should be scoped to a valid region, not '{}'. ", self.region));
        }
        if self.service != expected.service {
            faults.push(format!("Credential should be scoped to correct service: '{}'. ", expected.service));
        }
        if self.terminator != "aws4_request" {
            faults.push(format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'. ",
                self.terminator
            ));
        }
        let day = self.timestamp.get(..8).unwrap_or_default();
        if day != self.date {
            faults.push(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{day}', from '{}'. ",
                self.date, self.timestamp
            ));
        }
        if faults.is_empty() { Ok(()) } else { Err(VerifyError::Scope(faults.concat())) }
    }

    fn check_time(&self, now: OffsetDateTime) -> Result<(), VerifyError> {
        let Some(signed) = parse_timestamp(&self.timestamp) else {
            return Err(VerifyError::Scope(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
                self.timestamp
            )));
        };
        let good_for = self.expires_seconds.map_or(SKEW, |seconds| {
            // At most a week, as `find` has checked, so the conversion cannot fail.
            Duration::seconds(i64::try_from(seconds).unwrap_or_default())
        });
        let at = &self.timestamp;
        let now_text = format_timestamp(now);
        if signed < now - good_for {
            let earliest = format_timestamp(now - good_for);
            let text = match self.expires_seconds {
                None => {
                    format!("Signature expired: {at} is now earlier than {earliest} ({now_text} - 5 min.)")
                }
                Some(seconds) => {
                    format!(
                        "Signature expired: {at} is now earlier than {earliest} ({now_text} - {seconds} s.)"
                    )
                }
            };
            return Err(VerifyError::Scope(text));
        }
        if signed > now + SKEW {
            let latest = format_timestamp(now + SKEW);
            return Err(VerifyError::Scope(format!(
                "Signature not yet current: {at} is still later than {latest} ({now_text} + 5 min.)"
            )));
        }
        Ok(())
    }
}

/// A region, or the beginning of its name and a star.
fn names_region(pattern: &str, region: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == region, |begin| region.starts_with(begin))
}

/// Compares without telling by the time it takes how much was right.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}
