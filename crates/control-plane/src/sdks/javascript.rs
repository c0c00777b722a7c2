//! A client in JavaScript, for browsers and for Node 18 and later. Files, factory and methods are named as AWS names
//! them; `fetch` takes the place of the libraries that AWS's client brings along.

use std::collections::BTreeSet;

use serde_json::json;

use super::operations::{Operation, Place, capital, small, unused};
use super::{Api, File};

const CORE: [(&str, &str); 4] = [
    ("utils.js", include_str!("../../sdk/javascript/utils.js")),
    ("simpleHttpClient.js", include_str!("../../sdk/javascript/simpleHttpClient.js")),
    ("sigV4Client.js", include_str!("../../sdk/javascript/sigV4Client.js")),
    ("apiGatewayClient.js", include_str!("../../sdk/javascript/apiGatewayClient.js")),
];
const CLIENT: &str = include_str!("../../sdk/javascript/apigClient.js");

pub(super) fn files(api: &Api<'_>) -> Vec<File> {
    let mut taken = BTreeSet::new();
    let methods: Vec<String> = api.operations.iter().map(|one| method(one, &mut taken)).collect();
    let client = CLIENT
        .replace("@TITLE@", &one_line(api.title))
        .replace("@REGION@", &json!(api.region).to_string())
        .replace("@URL@", &json!(api.url).to_string())
        .replace("@METHODS@", &methods.concat());
    let mut files = vec![("apiGateway-js-sdk/apigClient.js".to_owned(), client)];
    for (name, text) in CORE {
        files.push((format!("apiGateway-js-sdk/lib/apiGatewayCore/{name}"), text.to_owned()));
    }
    files.push(("apiGateway-js-sdk/README.md".to_owned(), readme(api)));
    files
}

fn method(operation: &Operation, taken: &mut BTreeSet<String>) -> String {
    let verb = capital(&operation.verb.to_ascii_lowercase());
    let stem = if operation.words.is_empty() { "root".to_owned() } else { small(&operation.words) };
    let name = unused(format!("{stem}{verb}"), taken);
    let names = |place: Place| {
        let parameters = operation.parameters.iter().filter(|one| one.place == place);
        json!(parameters.map(|one| one.name.as_str()).collect::<Vec<_>>())
    };
    let required: Vec<&str> =
        operation.parameters.iter().filter(|one| one.required).map(|one| one.name.as_str()).collect();
    format!(
        "  apigClient[{}] = method({}, {}, {}, {}, {});\n",
        json!(name),
        json!(operation.verb),
        json!(operation.path),
        json!(required),
        names(Place::Query),
        names(Place::Header)
    )
}

/// A text that may stand in a comment.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() || "\u{2028}\u{2029}".contains(letter) { ' ' } else { letter })
        .collect()
}

fn readme(api: &Api<'_>) -> String {
    format!(
        "# {}\n\nIn a page, load the files of `lib/apiGatewayCore` (`utils.js`, `simpleHttpClient.js`, `sigV4Client.js`,\n\
         `apiGatewayClient.js`, in this order) and then `apigClient.js`. In Node, `require('./apigClient.js')`.\n\n\
         ```js\nconst client = apigClientFactory.newClient({{ apiKey: '...', accessKey: '...', secretKey: '...' }});\n\
         client.rootGet(params, body, additionalParams).then(result => result.data);\n```\n\n\
         Every setting may be left out. `invokeUrl` gives another address than {}.\n",
        one_line(api.title),
        api.url
    )
}
