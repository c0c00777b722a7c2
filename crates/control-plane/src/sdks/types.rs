//! The types of SDKs that AWS lists, with what each wants to be told.

use stagedoor_shapes::apigateway::{SdkConfigurationProperty, SdkType};

/// Name, friendly name, description, whether it is required.
type Property = (&'static str, &'static str, &'static str, bool);

const ANDROID: &[Property] = &[
    ("groupId", "Group ID", "", true),
    ("invokerPackage", "Invoker package", "", true),
    ("artifactId", "Artifact ID", "", true),
    ("artifactVersion", "Artifact version", "", true),
];
const PREFIX: &[Property] = &[("classPrefix", "Prefix", "", true)];
const JAVA: &[Property] = &[
    (
        "service.name",
        "Service Name",
        "Name of the service which is used to derive the Java interface name for your client",
        true,
    ),
    (
        "java.package-name",
        "Java Package Name",
        "Name of the Java package your code will be generated under",
        true,
    ),
    (
        "java.build-system",
        "Java Build System",
        "Build system to setup for project; Currently supported: maven, gradle",
        false,
    ),
    (
        "java.group-id",
        "Java Group Id",
        "Group id for your Maven or Gradle project. Defaults to package name",
        false,
    ),
    (
        "java.artifact-id",
        "Java Artifact Id",
        "Artifact Id for your Maven project or project name for your Gradle project. Defaults to service name",
        false,
    ),
    (
        "java.artifact-version",
        "Java Artifact Version",
        "Version of your Maven or Gradle project. Defaults to 1.0-SNAPSHOT",
        false,
    ),
    (
        "java.license-text",
        "Source Code License Text",
        "Customer provided license to inject into source file headers",
        false,
    ),
];
const RUBY: &[Property] = &[
    (
        "service.name",
        "Service Name",
        "Name of the service which is used to derive the name for your client",
        true,
    ),
    ("ruby.gem-name", "Ruby Gem Name", "Name of the Ruby gem your code will be generated under", false),
    ("ruby.gem-version", "Ruby Gem Version", "Version number for your service gem. Defaults to 1.0.0", false),
];

/// All types, in AWS's order.
pub(super) fn all() -> Vec<SdkType> {
    let types: [(&str, &str, &str, &[Property]); 6] = [
        ("android", "Android", "", ANDROID),
        ("javascript", "JavaScript", "", &[]),
        ("objectivec", "iOS (Objective-C)", "", PREFIX),
        ("swift", "iOS (Swift)", "", PREFIX),
        ("java", "Java", "Java SDK generator for API Gateway APIs", JAVA),
        ("ruby", "Ruby", "Ruby SDK generator for API Gateway APIs", RUBY),
    ];
    let types = types.into_iter().map(|(id, friendly_name, description, properties)| SdkType {
        id: Some(id.to_owned()),
        friendly_name: Some(friendly_name.to_owned()),
        description: text(description),
        configuration_properties: (!properties.is_empty()).then(|| properties.iter().map(property).collect()),
    });
    types.collect()
}

/// The name that AWS's reference of `GetSdk` gives a property, where that is another one.
pub(super) fn other_name(name: &str) -> &str {
    match name {
        "service.name" => "serviceName",
        "java.package-name" => "javaPackageName",
        same => same,
    }
}

fn property(&(name, friendly_name, description, required): &Property) -> SdkConfigurationProperty {
    SdkConfigurationProperty {
        name: Some(name.to_owned()),
        friendly_name: Some(friendly_name.to_owned()),
        description: text(description),
        required: Some(required),
        default_value: None,
    }
}

fn text(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}
