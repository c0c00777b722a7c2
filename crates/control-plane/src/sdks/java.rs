//! A client in Java 17 that needs the JDK alone. Packages, requests and results are named as AWS names them. Bodies are
//! texts: the JDK has no JSON to make objects of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::javascript::one_line;
use super::operations::{Operation, Place, capital, small, unused, words};
use super::{Api, File, types};
use crate::ApiError;
use crate::control_plane::bad_request;

const CLIENT: &str = include_str!("../../sdk/java/Client.java");
const EXCEPTION: &str = include_str!("../../sdk/java/ApiException.java");
const CORE: [(&str, &str); 4] = [
    ("ApiRequest", include_str!("../../sdk/java/ApiRequest.java")),
    ("ApiResult", include_str!("../../sdk/java/ApiResult.java")),
    ("Signer", include_str!("../../sdk/java/Signer.java")),
    ("Urls", include_str!("../../sdk/java/Urls.java")),
];

/// Words that cannot be names in Java.
const KEYWORDS: &[&str] = &[
    "abstract",
    "assert",
    "boolean",
    "break",
    "byte",
    "case",
    "catch",
    "char",
    "class",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extends",
    "false",
    "final",
    "finally",
    "float",
    "for",
    "goto",
    "if",
    "implements",
    "import",
    "instanceof",
    "int",
    "interface",
    "long",
    "native",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "short",
    "static",
    "strictfp",
    "super",
    "switch",
    "synchronized",
    "this",
    "throw",
    "throws",
    "transient",
    "true",
    "try",
    "void",
    "volatile",
    "while",
    "_",
];

/// Names of methods that requests have already.
const REQUEST_METHODS: &[&str] = &[
    "body",
    "header",
    "pathParameter",
    "queryParameter",
    "clone",
    "equals",
    "finalize",
    "getClass",
    "hashCode",
    "notify",
    "notifyAll",
    "toString",
    "wait",
];

/// Names of methods that a client has already.
const CLIENT_METHODS: &[&str] = &[
    "builder",
    "clone",
    "close",
    "equals",
    "finalize",
    "getClass",
    "hashCode",
    "notify",
    "notifyAll",
    "send",
    "shutdown",
    "toString",
    "wait",
];

/// # Errors
/// [`ApiError::BadRequest`] for names that Java does not allow.
pub(super) fn files(api: &Api<'_>, parameters: &BTreeMap<String, String>) -> Result<Vec<File>, ApiError> {
    let given = |name: &str| {
        let value = parameters.get(name).or_else(|| parameters.get(types::other_name(name)));
        value.map(|value| value.trim()).filter(|value| !value.is_empty())
    };
    let service = given("service.name").unwrap_or_default();
    let package = given("java.package-name").unwrap_or_default();
    let service_name = capital(service);
    if !is_name(&service_name) {
        return bad_request(format!(
            "Invalid service.name specified: {service}. It has to be a Java identifier"
        ));
    }
    if !package.split('.').all(is_name) {
        return bad_request(format!(
            "Invalid java.package-name specified: {package}. It has to be a Java package"
        ));
    }
    let group = given("java.group-id").unwrap_or(package);
    let artifact = given("java.artifact-id").unwrap_or(service);
    let version = given("java.artifact-version").unwrap_or("1.0-SNAPSHOT");
    for (name, value) in
        [("java.group-id", group), ("java.artifact-id", artifact), ("java.artifact-version", version)]
    {
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return bad_request(format!("Invalid {name} specified: {value}"));
        }
    }
    let mut files = match given("java.build-system").unwrap_or("maven") {
        "maven" => vec![("generated-code/pom.xml".to_owned(), pom(group, artifact, version))],
        "gradle" => vec![
            ("generated-code/build.gradle".to_owned(), gradle(group, version)),
            ("generated-code/settings.gradle".to_owned(), format!("rootProject.name = '{artifact}'\n")),
        ],
        other => {
            return bad_request(format!(
                "Invalid java.build-system specified: {other}. Must be one of: [maven, gradle]"
            ));
        }
    };
    let licence = given("java.license-text").map(comment).unwrap_or_default();
    let folder = format!("generated-code/src/main/java/{}", package.replace('.', "/"));
    let fill = |text: &str| {
        let text = text.replace("@PACKAGE@", package).replace("@SERVICE@", &service_name);
        // A comment ends at the first of these, wherever it stands.
        let title = one_line(api.title).replace("*/", "* /").replace('\\', "/");
        let text = text.replace("@TITLE@", &title).replace("@REGION@", &literal(api.region));
        format!("{licence}{}", text.replace("@URL@", &literal(&api.url)))
    };
    for (name, text) in CORE {
        files.push((format!("{folder}/{name}.java"), fill(text)));
    }
    files.push((format!("{folder}/{service_name}Exception.java"), fill(EXCEPTION)));
    let mut taken: BTreeSet<String> = CLIENT_METHODS.iter().map(|name| (*name).to_owned()).collect();
    let mut methods = String::new();
    for operation in &api.operations {
        let name = unused(method_name(operation), &mut taken);
        let class = capital(&name);
        methods.push_str(&client_method(operation, &name, &class));
        let request = fill(&request_class(operation, &class));
        files.push((format!("{folder}/model/{class}Request.java"), request));
        files.push((format!("{folder}/model/{class}Result.java"), fill(&result_class(&class))));
    }
    // Without a method there is no package of requests to import.
    let client = if methods.is_empty() {
        CLIENT.replace("import @PACKAGE@.model.*;\n", "")
    } else {
        CLIENT.to_owned()
    };
    files.push((format!("{folder}/{service_name}.java"), fill(&client).replace("@METHODS@", &methods)));
    Ok(files)
}

/// The name of the method itself, or verb and path as AWS puts them together: `getPetsPetId`, `getApiRoot`.
fn method_name(operation: &Operation) -> String {
    if let Some(name) =
        operation.name.as_deref().map(words).map(|name| small(&name)).filter(|name| is_name(name))
    {
        return name;
    }
    let words = if operation.words.is_empty() { "ApiRoot" } else { operation.words.as_str() };
    format!("{}{words}", operation.verb.to_ascii_lowercase())
}

fn client_method(operation: &Operation, name: &str, class: &str) -> String {
    format!(
        "\n    /** {verb} {path} */\n    public {class}Result {name}({class}Request request) {{\n        return \
         send(\"{verb}\", {literal}, {signed}, request, {class}Result::new);\n    }}\n",
        verb = operation.verb,
        path = one_line(&operation.path).replace("*/", "* /").replace('\\', "/"),
        literal = literal(&operation.path),
        signed = operation.signed,
    )
}

fn request_class(operation: &Operation, class: &str) -> String {
    let mut taken: BTreeSet<String> = REQUEST_METHODS.iter().map(|name| (*name).to_owned()).collect();
    let mut setters = String::new();
    for parameter in &operation.parameters {
        let name = words(&parameter.name);
        let name = if name.is_empty() { "parameter".to_owned() } else { small(&name) };
        let name = if is_name(&name) { name } else { format!("value{}", capital(&name)) };
        let name = unused(name, &mut taken);
        let adder = match parameter.place {
            Place::Path => "pathParameter",
            Place::Query => "queryParameter",
            Place::Header => "header",
        };
        setters.push_str(&format!(
            "\n    public {class}Request {name}(String value) {{\n        return {adder}({}, value);\n    }}\n",
            literal(&parameter.name)
        ));
    }
    format!(
        "package @PACKAGE@.model;\n\nimport @PACKAGE@.ApiRequest;\n\n/** A request of its method. */\npublic final class \
         {class}Request extends ApiRequest<{class}Request> {{{setters}}}\n"
    )
}

fn result_class(class: &str) -> String {
    format!(
        "package @PACKAGE@.model;\n\nimport @PACKAGE@.ApiResult;\nimport java.net.http.HttpHeaders;\n\n/** What its method \
         answers. */\npublic final class {class}Result extends ApiResult {{\n    public {class}Result(int statusCode, \
         HttpHeaders headers, byte[] body) {{\n        super(statusCode, headers, body);\n    }}\n}}\n"
    )
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
    first
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !KEYWORDS.contains(&name)
}

/// A text as a literal. Java reads JSON's escapes as its own.
fn literal(text: &str) -> String {
    json!(text).to_string()
}

fn comment(text: &str) -> String {
    let text = text.replace("*/", "* /").replace('\\', "/");
    let lines: String = text.lines().map(|line| format!(" * {line}\n")).collect();
    format!("/*\n{lines} */\n")
}

fn pom(group: &str, artifact: &str, version: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  \
         <modelVersion>4.0.0</modelVersion>\n  <groupId>{group}</groupId>\n  <artifactId>{artifact}</artifactId>\n  \
         <version>{version}</version>\n  <packaging>jar</packaging>\n  <properties>\n    \
         <maven.compiler.release>17</maven.compiler.release>\n    \
         <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>\n  </properties>\n</project>\n"
    )
}

fn gradle(group: &str, version: &str) -> String {
    format!(
        "plugins {{\n    id 'java-library'\n}}\n\ngroup = '{group}'\nversion = '{version}'\n\njava {{\n    toolchain {{\n        \
         languageVersion = JavaLanguageVersion.of(17)\n    }}\n}}\n"
    )
}
