// Requests with AWS's Signature Version 4.
apiGateway.core.sigV4ClientFactory = {
  newClient: function (config) {
    const crypto = globalThis.crypto || require('node:crypto').webcrypto;
    const text = new TextEncoder();
    const bytes = function (value) { return typeof value === 'string' ? text.encode(value) : value; };
    const hex = function (buffer) {
      return Array.from(new Uint8Array(buffer), function (byte) { return byte.toString(16).padStart(2, '0'); }).join('');
    };
    const sha256 = async function (value) { return hex(await crypto.subtle.digest('SHA-256', bytes(value))); };
    const hmac = async function (key, value) {
      const algorithm = { name: 'HMAC', hash: 'SHA-256' };
      const imported = await crypto.subtle.importKey('raw', bytes(key), algorithm, false, ['sign']);
      return new Uint8Array(await crypto.subtle.sign('HMAC', imported, bytes(value)));
    };

    const http = apiGateway.core.simpleHttpClientFactory.newClient(config);
    const region = config.region || 'us-east-1';
    const service = config.serviceName || 'execute-api';

    const sign = async function (prepared) {
      const url = new URL(prepared.url);
      const now = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
      const date = now.slice(0, 8);
      const signed = { host: url.host, 'x-amz-date': now };
      if (config.sessionToken) {
        signed['x-amz-security-token'] = config.sessionToken;
      }
      const names = Object.keys(signed).sort();
      const query = prepared.pairs.slice().sort(function (one, other) {
        return one[0] === other[0] ? (one[1] < other[1] ? -1 : 1) : (one[0] < other[0] ? -1 : 1);
      });
      const canonical = [
        prepared.verb,
        // The path of a request is encoded once more in its signature.
        url.pathname.split('/').map(apiGateway.core.utils.encode).join('/'),
        query.map(function (pair) { return pair.join('='); }).join('&'),
        names.map(function (name) { return name + ':' + signed[name] + '\n'; }).join(''),
        names.join(';'),
        await sha256(prepared.body || '')
      ].join('\n');
      const scope = [date, region, service, 'aws4_request'].join('/');
      const toSign = ['AWS4-HMAC-SHA256', now, scope, await sha256(canonical)].join('\n');
      let key = 'AWS4' + config.secretKey;
      for (const part of [date, region, service, 'aws4_request', toSign]) {
        key = await hmac(key, part);
      }
      const headers = apiGateway.core.utils.mergeInto(prepared.headers, signed);
      delete headers.host;
      headers['Authorization'] = 'AWS4-HMAC-SHA256 Credential=' + config.accessKey + '/' + scope +
        ', SignedHeaders=' + names.join(';') + ', Signature=' + hex(key);
      return Object.assign({}, prepared, { headers: headers });
    };

    return {
      makeRequest: async function (request) {
        return http.send(await sign(http.prepare(request)));
      }
    };
  }
};
