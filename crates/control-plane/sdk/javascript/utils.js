// Small things that the other files need. Works as a script in a browser and as a module in Node.
var apiGateway = (typeof globalThis !== 'undefined' ? globalThis : self).apiGateway || {};
(typeof globalThis !== 'undefined' ? globalThis : self).apiGateway = apiGateway;
apiGateway.core = apiGateway.core || {};

apiGateway.core.utils = {
  assertDefined: function (object, name) {
    if (object === undefined) {
      throw new Error(name + ' must be defined');
    }
    return object;
  },

  // Every parameter that a method cannot do without has to be there.
  assertParametersDefined: function (params, keys, ignore) {
    (keys || []).forEach(function (key) {
      if (!(ignore || []).includes(key) && (params || {})[key] === undefined) {
        throw new Error(key + ' must be defined');
      }
    });
  },

  // The parameters of these names, those that are there.
  parseParametersToObject: function (params, keys) {
    const found = {};
    (keys || []).forEach(function (key) {
      if (params && params[key] !== undefined) {
        found[key] = params[key];
      }
    });
    return found;
  },

  mergeInto: function (base, additional) {
    return Object.assign({}, base || {}, additional || {});
  },

  // RFC 3986: what encodeURIComponent leaves and a signature does not.
  encode: function (text) {
    return encodeURIComponent(text).replace(/[!'()*]/g, function (letter) {
      return '%' + letter.charCodeAt(0).toString(16).toUpperCase();
    });
  },

  // {name} takes one segment; {name+} keeps its slashes.
  expand: function (template, params) {
    return template.replace(/\{([^}+]+)(\+?)\}/g, function (_, name, greedy) {
      const parts = greedy ? String(params[name]).split('/') : [String(params[name])];
      return parts.map(apiGateway.core.utils.encode).join('/');
    });
  },

  // Names and values of a query, encoded; a list gives a name more than once.
  query: function (params) {
    const pairs = [];
    Object.keys(params || {}).forEach(function (name) {
      [].concat(params[name]).forEach(function (value) {
        pairs.push([apiGateway.core.utils.encode(name), apiGateway.core.utils.encode(value)]);
      });
    });
    return pairs;
  }
};
