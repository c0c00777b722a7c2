// Requests without a signature. The address of a request is the endpoint, the path and the query.
apiGateway.core.simpleHttpClientFactory = {
  newClient: function (config) {
    const client = { endpoint: apiGateway.core.utils.assertDefined(config.endpoint, 'endpoint') };

    client.prepare = function (request) {
      const headers = apiGateway.core.utils.mergeInto(request.headers);
      const names = Object.keys(headers).map(function (name) { return name.toLowerCase(); });
      let body = request.body;
      if (body === undefined || body === null || body === '' || request.verb === 'GET' || request.verb === 'HEAD') {
        body = undefined;
      } else {
        if (!names.includes('content-type')) {
          headers['Content-Type'] = config.defaultContentType || 'application/json';
        }
        body = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
      }
      if (!names.includes('accept')) {
        headers['Accept'] = config.defaultAcceptType || 'application/json';
      }
      const pairs = apiGateway.core.utils.query(request.queryParams);
      const query = pairs.map(function (pair) { return pair.join('='); }).join('&');
      const url = client.endpoint + request.path + (query ? '?' + query : '');
      return { url: url, pairs: pairs, verb: request.verb, headers: headers, body: body };
    };

    // Resolves to {status, statusText, headers, data}; an answer that is not 2xx rejects with the same.
    client.send = async function (prepared) {
      const options = { method: prepared.verb, headers: prepared.headers, body: prepared.body };
      const answer = await fetch(prepared.url, options);
      const text = await answer.text();
      let data = text;
      try {
        data = JSON.parse(text);
      } catch (notJson) {
        // What is no JSON is handed out as text.
      }
      const result = {
        status: answer.status,
        statusText: answer.statusText,
        headers: Object.fromEntries(answer.headers.entries()),
        data: data
      };
      if (!answer.ok) {
        throw result;
      }
      return result;
    };

    client.makeRequest = function (request) {
      return client.send(client.prepare(request));
    };
    return client;
  }
};
