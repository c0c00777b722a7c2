//! The two spellings of a point in time. In Rust both are seconds since 1970, as an `f64`.

/// A number of seconds, as REST APIs answer it. Whole seconds are written as an integer, as AWS does.
pub(crate) mod epoch {
    use serde::{Deserialize, Deserializer, Serializer};

    // Largest magnitude up to which every whole f64 is also an exact i64.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

    pub(crate) fn serialize<S: Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match seconds {
            Some(seconds) if seconds.fract() == 0.0 && seconds.abs() < WHOLE_MAX => {
                serializer.serialize_i64(*seconds as i64)
            }
            Some(seconds) => serializer.serialize_f64(*seconds),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        // serde_json may be off by the last bit of a fraction, and then nothing would compare equal to itself.
        let seconds = Option::<f64>::deserialize(deserializer)?;
        Ok(seconds.map(|seconds| (seconds * 1000.0).round() / 1000.0))
    }
}

/// `2026-01-31T12:00:00Z`, as HTTP and WebSocket APIs answer it.
pub(crate) mod iso8601 {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::Error as _};
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    pub(crate) fn serialize<S: Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(seconds) = seconds else { return serializer.serialize_none() };
        // Milliseconds are what an f64 holds exactly enough; more digits would show its rounding.
        let millis = (seconds * 1000.0).round() as i128;
        let text = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
            .map_err(S::Error::custom)?
            .format(&Rfc3339)
            .map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let Some(text) = Option::<Cow<'de, str>>::deserialize(deserializer)? else { return Ok(None) };
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)?;
        Ok(Some((time.unix_timestamp_nanos() / 1_000_000) as f64 / 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{apigateway, apigatewayv2};

    #[test]
    fn each_service_has_its_spelling() {
        let check = |seconds: f64, v1: &str, v2: &str| {
            let rest = apigateway::RestApi { created_date: Some(seconds), ..Default::default() };
            let http = apigatewayv2::Api { created_date: Some(seconds), ..Default::default() };
            assert_eq!(serde_json::to_string(&rest).unwrap(), format!(r#"{{"createdDate":{v1}}}"#));
            assert_eq!(serde_json::to_string(&http).unwrap(), format!(r#"{{"createdDate":"{v2}"}}"#));
        };
        check(0.0, "0", "1970-01-01T00:00:00Z");
        check(1_774_008_000.0, "1774008000", "2026-03-20T12:00:00Z");
        check(1_774_008_000.25, "1774008000.25", "2026-03-20T12:00:00.25Z");
    }

    proptest! {
        #[test]
        fn both_come_back(millis in 0_i64..4_000_000_000_000) {
            let seconds = Some(millis as f64 / 1000.0);
            let rest = apigateway::RestApi { created_date: seconds, ..Default::default() };
            let text = serde_json::to_string(&rest).unwrap();
            prop_assert_eq!(serde_json::from_str::<apigateway::RestApi>(&text).unwrap(), rest);
            let http = apigatewayv2::Api { created_date: seconds, ..Default::default() };
            let text = serde_json::to_string(&http).unwrap();
            prop_assert_eq!(serde_json::from_str::<apigatewayv2::Api>(&text).unwrap(), http);
        }
    }
}
