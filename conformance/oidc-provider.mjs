// An OpenID Connect issuer, `oidc-provider` from npm, that gives the client `app` access tokens for an API.
// PORT says where to listen, PACKAGES where npm has put the package, KEY which id its key has.
import { generateKeyPairSync } from "node:crypto";

const { default: Provider } = await import(`${process.env.PACKAGES}/oidc-provider/lib/index.js`);
const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...pair.privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig", kid: process.env.KEY };
const resource = { scope: "orders/read orders/write", accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } };
const provider = new Provider(`http://127.0.0.1:${process.env.PORT}`, {
  clients: [
    { client_id: "app", client_secret: "secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] },
  ],
  jwks: { keys: [key] },
  scopes: resource.scope.split(" "),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "https://orders.example.com",
      getResourceServerInfo: () => resource,
    },
  },
});
provider.listen(process.env.PORT, "127.0.0.1");
