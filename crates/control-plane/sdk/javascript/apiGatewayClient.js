// One client for both ways: with credentials, as in AWS's client, every request is signed.
apiGateway.core.apiGatewayClientFactory = {
  newClient: function (simpleConfig, signedConfig) {
    const signed = signedConfig.accessKey && signedConfig.secretKey;
    const plain = apiGateway.core.simpleHttpClientFactory.newClient(simpleConfig);
    const signing = signed ? apiGateway.core.sigV4ClientFactory.newClient(signedConfig) : null;
    return {
      makeRequest: function (request, additionalParams, apiKey) {
        const utils = apiGateway.core.utils;
        const additional = additionalParams || {};
        const whole = {
          verb: request.verb,
          path: request.path,
          body: request.body,
          queryParams: utils.mergeInto(request.queryParams, additional.queryParams),
          headers: utils.mergeInto(request.headers, additional.headers)
        };
        if (apiKey) {
          whole.headers['x-api-key'] = apiKey;
        }
        return signing ? signing.makeRequest(whole) : plain.makeRequest(whole);
      }
    };
  }
};
