//! Enumerations that travel as strings.

/// A string that an enumeration does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownValue {
    /// The string.
    pub value: String,
    /// What is allowed.
    pub allowed: &'static [&'static str],
}

impl std::fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is none of [{}]", self.value, self.allowed.join(", "))
    }
}

impl std::error::Error for UnknownValue {}

/// Declares an enumeration with AWS's string for each value.
///
/// serde's own derive would do, at several times the code to compile for the hundred enumerations there are.
macro_rules! string_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant,)+ }

        impl $name {
            /// Every value, in AWS's order.
            pub const VALUES: &'static [Self] = &[$(Self::$variant,)+];
            /// AWS's strings, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($text,)+];

            /// AWS's string.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownValue { value: text.to_owned(), allowed: Self::NAMES }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use string_enum;

#[cfg(test)]
mod tests {
    use crate::apigateway::{CacheClusterSize, EndpointType};

    #[test]
    fn strings_and_values_agree() {
        for (value, name) in CacheClusterSize::VALUES.iter().zip(CacheClusterSize::NAMES) {
            assert_eq!(value.as_str(), *name);
            assert_eq!(name.parse(), Ok(*value));
        }
        assert_eq!(serde_json::to_string(&EndpointType::Edge).unwrap(), r#""EDGE""#);
        assert_eq!(serde_json::from_str::<EndpointType>(r#""\u0045DGE""#).unwrap(), EndpointType::Edge);
        let error = "edge".parse::<EndpointType>().unwrap_err();
        assert_eq!(error.to_string(), r#""edge" is none of [REGIONAL, EDGE, PRIVATE]"#);
    }
}
