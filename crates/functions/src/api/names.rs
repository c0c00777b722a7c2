//! How requests name functions: a name, a part of an ARN or an ARN, with or without a qualifier.
//!
//! What [`crate::FunctionRef`] takes for traffic is wider: this is what Lambda's API refuses.

use super::respond::ApiError;
use super::routes::Operation;

/// The parts of a function's name that tell where it lives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) region: Option<&'a str>,
    pub(super) account: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) qualifier: Option<&'a str>,
}

/// Takes a name apart as the pattern of AWS's model does; none if it does not fit.
pub(super) fn take_apart(text: &str) -> Option<Named<'_>> {
    let mut found = Named::default();
    let mut rest = text;
    if let Some(arn) = rest.strip_prefix("arn:") {
        let (partition, service) = arn.split_once(':')?;
        let named = partition.strip_prefix("aws").or(partition.is_empty().then_some(""))?;
        if !named.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
            return None;
        }
        rest = service.strip_prefix("lambda:")?;
    }
    if let Some((head, tail)) = rest.split_once(':').filter(|(head, _)| is_region(head)) {
        (found.region, rest) = (Some(head), tail);
    }
    if let Some((head, tail)) = rest.split_once(':').filter(|(head, _)| is_account(head)) {
        (found.account, rest) = (Some(head), tail);
    }
    rest = rest.strip_prefix("function:").unwrap_or(rest);
    (found.name, found.qualifier) = match rest.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (rest, None),
    };
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let fits = plain(found.name) && found.qualifier.is_none_or(|own| own == "$LATEST" || plain(own));
    fits.then_some(found)
}

/// Two letters, perhaps a part of the world apart, a word and one digit, with hyphens between, such as `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let lower = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<&str> = text.strip_prefix("eusc-").unwrap_or(text).split('-').collect();
    let is_apart = |part: &str| {
        let isolated = |more: &str| more.is_empty() || (more.len() == 1 && lower(more));
        part == "gov" || part.strip_prefix("iso").is_some_and(isolated)
    };
    let (country, zone, number) = match words.as_slice() {
        [country, zone, number] => (*country, *zone, *number),
        [country, part, zone, number] if is_apart(part) => (*country, *zone, *number),
        _ => return false,
    };
    let is_digit = number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_digit());
    country.len() == 2 && lower(country) && lower(zone) && is_digit
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Refuses a name that has not the form or the length that the operation takes. A new function's bare name that is too
/// long is a wrong parameter, every other one fails validation.
///
/// # Errors
/// `ValidationException`, or `InvalidParameterValueException`, in AWS's words.
pub(super) fn checked(text: &str, operation: Operation) -> Result<Named<'_>, ApiError> {
    let named = take_apart(text);
    let bare = named.as_ref().is_some_and(|named| named.name == text);
    let longest = match operation {
        Operation::CreateFunction if bare => 64,
        Operation::CreateFunction | Operation::DeleteFunction => 140,
        _ => 170,
    };
    let mut failed = Vec::new();
    if text.len() > longest {
        failed.push(format!("Member must have length less than or equal to {longest}"));
    }
    if named.is_none() {
        let dot = matches!(operation, Operation::GetFunction | Operation::Invoke);
        failed.push(format!(
            "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{{2}}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{{1}}:)?(\\d{{12}}:)?(function:)?([a-zA-Z0-9-_{}]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?",
            if dot { "\\." } else { "" }
        ));
    }
    match (named, failed.as_slice()) {
        (Some(named), []) => Ok(named),
        _ => {
            let told = failed.iter().map(|constraint| {
                format!("Value '{text}' at 'functionName' failed to satisfy constraint: {constraint}")
            });
            let told: Vec<_> = told.collect();
            let plural = if told.len() == 1 { "" } else { "s" };
            let message = format!("{} validation error{plural} detected: {}", told.len(), told.join("; "));
            Err(match operation {
                Operation::CreateFunction if bare => ApiError::parameter(&message),
                _ => ApiError::new(400, "ValidationException", &message),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, region: &str, account: &str, name: &str, qualifier: &str) {
        let found = take_apart(text).map(|found| {
            let told = |part: Option<&str>| part.unwrap_or_default().to_owned();
            (told(found.region), told(found.account), found.name.to_owned(), told(found.qualifier))
        });
        let expected = (region.to_owned(), account.to_owned(), name.to_owned(), qualifier.to_owned());
        assert_eq!(found, Some(expected), "{text}");
    }

    #[test]
    fn names_are_taken_apart() {
        let (region, account) = ("us-east-1", "000000000000");
        check("users", "", "", "users", "");
        check("users:live", "", "", "users", "live");
        check("function:users:$LATEST", "", "", "users", "$LATEST");
        check("000000000000:function:users", "", account, "users", "");
        check("us-east-1:000000000000:function:users", region, account, "users", "");
        check("arn:aws:lambda:us-east-1:000000000000:function:users:7", region, account, "users", "7");
        let government = "arn:aws-us-gov:lambda:us-gov-west-1:000000000000:function:users";
        check(government, "us-gov-west-1", account, "users", "");
        check(
            "arn:aws-eusc:lambda:eusc-de-east-1:000000000000:function:u",
            "eusc-de-east-1",
            account,
            "u",
            "",
        );
        check("my-shop-api-2:live", "", "", "my-shop-api-2", "live");
    }

    #[test]
    fn other_texts_are_no_names() {
        for wrong in [
            "",
            "a b",
            "users:",
            "users:1:2",
            "users:$OLD",
            "invalid:function:name",
            "arn:aws:s3:::bucket",
            "arn:other:lambda:us-east-1:000000000000:function:users",
            "arn:aws:lambda:us-east-1:0000@function:users",
        ] {
            assert_eq!(take_apart(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(text in "(arn:aws:lambda:)?(us-east-1:)?(function:)?\\PC{0,20}") {
            let _ = take_apart(&text);
        }
    }
}
