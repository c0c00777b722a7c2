//! From AWS's names to Rust's.

/// `restApiId` → `rest_api_id`, `ACMManaged` → `acm_managed`; Rust's own words get a trailing `_`.
pub(crate) fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 8);
    for (at, &c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            out.push('_');
            continue;
        }
        let before = at.checked_sub(1).and_then(|i| chars.get(i)).copied().unwrap_or('_');
        // A lone `s` behind capitals is a plural, as in `providerARNs`.
        let rest = chars.get(at + 1..).unwrap_or_default();
        let next_is_lower = rest.first().is_some_and(char::is_ascii_lowercase) && rest != ['s'];
        let starts_word = c.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || (before.is_ascii_uppercase() && next_is_lower));
        if starts_word {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    if matches!(out.as_str(), "type" | "match" | "ref" | "move" | "static" | "enum" | "struct" | "self") {
        out.push('_');
    }
    out
}

/// `CreateRestApiRequest` → `CREATE_REST_API_REQUEST`.
pub(crate) fn constant(name: &str) -> String {
    snake(name).trim_end_matches('_').to_ascii_uppercase()
}

/// The Rust type of a shape. Names that would hide a name of the prelude get `Shape` behind them.
pub(crate) fn type_name(name: &str) -> String {
    let mut name: String = name.trim_start_matches('_').to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if matches!(name.as_str(), "None" | "Some" | "Option" | "String" | "Vec" | "Result" | "Box" | "Blob") {
        name.push_str("Shape");
    }
    name
}

/// `DEFAULT_4XX` → `Default4xx`, `0.5` → `V0_5`, `ipv4` → `Ipv4`.
pub(crate) fn variant(value: &str) -> String {
    let mut out = String::new();
    for part in value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        let shouting = !part.chars().any(|c| c.is_ascii_lowercase());
        let starts_with_digit = part.starts_with(|c: char| c.is_ascii_digit());
        if starts_with_digit {
            match out.chars().last() {
                None => out.push('V'),
                Some(last) if last.is_ascii_digit() => out.push('_'),
                Some(_) => {}
            }
        }
        let mut chars = part.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()).filter(|_| !starts_with_digit));
        let rest = if starts_with_digit { part.chars() } else { chars };
        out.extend(rest.map(|c| if shouting { c.to_ascii_lowercase() } else { c }));
    }
    if out == "Self" {
        out.push_str("Value"); // Rust's own word.
    }
    out
}

/// `ApiId` → `apiId`.
pub(crate) fn lower_first(name: &str) -> String {
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(convert: fn(&str) -> String, cases: &[(&str, &str)]) {
        for (name, expected) in cases {
            assert_eq!(convert(name), *expected, "{name}");
        }
    }

    #[test]
    fn converts_names() {
        check(
            snake,
            &[
                ("restApiId", "rest_api_id"),
                ("ACMManaged", "acm_managed"),
                ("type", "type_"),
                ("providerARNs", "provider_arns"),
                ("resource-arn", "resource_arn"),
                ("TimeoutInMillis", "timeout_in_millis"),
            ],
        );
        check(constant, &[("GetApiKeysRequest", "GET_API_KEYS_REQUEST"), ("__listOfApi", "__LIST_OF_API")]);
        check(type_name, &[("__listOfApi", "ListOfApi"), ("None", "NoneShape"), ("RestApi", "RestApi")]);
        check(
            variant,
            &[
                ("DEFAULT_4XX", "Default4xx"),
                ("0.5", "V0_5"),
                ("TLS_1_2", "Tls1_2"),
                ("SecurityPolicy_TLS13_1_3_2025_09", "SecurityPolicyTls13_1_3_2025_09"),
                ("csv", "Csv"),
            ],
        );
    }
}
