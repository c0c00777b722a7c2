// A client of @TITLE@. In Node: const { apigClientFactory } = require('./apigClient.js');
if (typeof module !== 'undefined' && module.exports) {
  require('./lib/apiGatewayCore/utils.js');
  require('./lib/apiGatewayCore/simpleHttpClient.js');
  require('./lib/apiGatewayCore/sigV4Client.js');
  require('./lib/apiGatewayCore/apiGatewayClient.js');
}

var apigClientFactory = {};
apigClientFactory.newClient = function (config) {
  const utils = apiGateway.core.utils;
  const given = Object.assign(
    {
      accessKey: '',
      secretKey: '',
      sessionToken: '',
      region: @REGION@,
      apiKey: undefined,
      defaultContentType: 'application/json',
      defaultAcceptType: 'application/json',
      // Where the API is served; another address can be given.
      invokeUrl: @URL@
    },
    config
  );
  given.endpoint = given.invokeUrl.replace(/\/+$/, '');
  const client = apiGateway.core.apiGatewayClientFactory.newClient(given, given);
  const apigClient = {};

  // Path, query and header parameters by name, those without which there is no request first.
  const method = function (verb, path, required, queries, headers) {
    return function (params, body, additionalParams) {
      try {
        utils.assertParametersDefined(params, required);
      } catch (missing) {
        return Promise.reject(missing);
      }
      const request = {
        verb: verb,
        path: utils.expand(path, params || {}),
        queryParams: utils.parseParametersToObject(params, queries),
        headers: utils.parseParametersToObject(params, headers),
        body: body
      };
      return client.makeRequest(request, additionalParams, given.apiKey);
    };
  };

@METHODS@
  return apigClient;
};

if (typeof module !== 'undefined' && module.exports) {
  module.exports = { apigClientFactory: apigClientFactory };
}
