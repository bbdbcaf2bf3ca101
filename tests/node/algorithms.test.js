// Every algorithm and form of key: jsonwebtoken and jose take what the authority signs, and the reverse.

import assert from "node:assert/strict";
import { createSecretKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";

import { jwtVerify, SignJWT } from "jose";
import jwt from "jsonwebtoken";

import { accepted, fromStruct, refused, start, toStruct } from "./harness.js";

const ISSUER = "https://id.acme.example";
const AUDIENCE = "https://app.acme.example";
/// jsonwebtoken has no EdDSA.
const WITHOUT_JSONWEBTOKEN = ["EdDSA"];

const rsa = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = (namedCurve) => () => generateKeyPairSync("ec", { namedCurve });
const pem = (type) => ({ privateKey }) => privateKey.export({ type, format: "pem" });
const jwk = ({ privateKey }) => JSON.stringify(privateKey.export({ format: "jwk" }));
const publicPem = ({ publicKey }) => publicKey.export({ type: "spki", format: "pem" });

const CASES = [
  ...["HS256", "HS384", "HS512"].map((algorithm) => [algorithm, "text"]),
  ["RS256", "pkcs8", rsa, pem("pkcs8")],
  ["RS256", "pkcs1", rsa, pem("pkcs1")],
  ["RS256", "jwk", rsa, jwk],
  ["RS256", "public", rsa, publicPem],
  ["RS384", "pkcs8", rsa, pem("pkcs8")],
  ["RS512", "pkcs8", rsa, pem("pkcs8")],
  ["PS256", "pkcs8", rsa, pem("pkcs8")],
  ["ES256", "pkcs8", ec("P-256"), pem("pkcs8")],
  ["ES256", "sec1", ec("P-256"), pem("sec1")],
  ["ES256", "jwk", ec("P-256"), jwk],
  ["ES256", "public", ec("P-256"), publicPem],
  ["ES384", "pkcs8", ec("P-384"), pem("pkcs8")],
  ["ES384", "sec1", ec("P-384"), pem("sec1")],
  ["EdDSA", "pkcs8", () => generateKeyPairSync("ed25519"), pem("pkcs8")],
  ["EdDSA", "jwk", () => generateKeyPairSync("ed25519"), jwk],
  ["EdDSA", "public", () => generateKeyPairSync("ed25519"), publicPem],
].map(([algorithm, form, generate, write]) => {
  const application = `acme/${algorithm}-${form}`.toLowerCase();
  if (generate) {
    const pair = generate();
    return { algorithm, form, application, ...pair, text: write(pair) };
  }
  const text = randomBytes(48).toString("base64url");
  const secret = createSecretKey(Buffer.from(text));
  return { algorithm, form, application, privateKey: secret, publicKey: secret, text };
});

const file = (key) => key.application.replace("/", "-");
const table = (key) => `
[applications."${key.application}"]
profile = "generic"
environment = "production"
acceptance = { hash_until = "2020-01-01T00:00:00Z" }
tokens = { issuer = "${ISSUER}", audiences = ["${AUDIENCE}"] }
[applications."${key.application}".keys.k1]
purpose = "jwt"
algorithm = "${key.algorithm}"
${key.form === "public" ? "public" : "secret"} = { file = "FOLDER/${file(key)}" }
[applications."${key.application}".attributes]
plan = { type = "string" }
seats = { type = "number" }
`;

let server;
let client;

before(async () => {
  server = await start({
    applications: CASES.map(table).join(""),
    files: Object.fromEntries(CASES.map((key) => [file(key), key.text])),
  });
  client = server.client;
});

after(() => server?.stop());

const expected = (key) => ({ algorithms: [key.algorithm], issuer: ISSUER, audience: AUDIENCE });
const byJose = (key, claims, algorithm = key.algorithm) =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: algorithm, typ: "JWT" })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt()
    .setExpirationTime("10m")
    .sign(key.privateKey);
const byJsonwebtoken = (key, claims) =>
  jwt.sign(claims, key.privateKey, {
    algorithm: key.algorithm,
    issuer: ISSUER,
    audience: AUDIENCE,
    expiresIn: "10m",
    keyid: "k1",
  });

for (const key of CASES) {
  const { algorithm, form, application } = key;
  const known = !WITHOUT_JSONWEBTOKEN.includes(algorithm);

  if (form !== "public") {
    test(`${algorithm} (${form}): what the authority signs is taken`, async () => {
      const identity = { user_id: "u-1", email: "u@example.com", attributes: toStruct({ plan: "Premium", seats: 7 }) };
      const { token, token_id } = await client.Sign({ application, identity });
      const { payload, protectedHeader } = await jwtVerify(token, key.publicKey, expected(key));
      assert.deepEqual([protectedHeader.alg, protectedHeader.kid], [algorithm, "k1"]);
      assert.deepEqual([payload.sub, payload.email, payload.plan, payload.seats], ["u-1", "u@example.com", "Premium", 7]);
      assert.equal(payload.jti, token_id);
      if (known) assert.deepEqual(jwt.verify(token, key.publicKey, expected(key)), payload);
      const tampered = `${token.split(".")[0]}.${Buffer.from(JSON.stringify(payload)).toString("base64url")}x.${token.split(".")[2]}`;
      await assert.rejects(jwtVerify(tampered, key.publicKey, expected(key)));
    });
  }

  test(`${algorithm} (${form}): what is signed elsewhere is accepted`, async () => {
    const claims = { sub: "u-1", plan: "Premium" };
    const tokens = [await byJose(key, claims), ...(known ? [byJsonwebtoken(key, claims)] : [])];
    for (const token of tokens) {
      const answer = await accepted(client, { application, jwt: token });
      assert.deepEqual([answer.verified.user_id, fromStruct(answer.verified.attributes)], ["u-1", { plan: "Premium" }]);
      assert.equal(answer.key_id, "k1");
      const [header, , signature] = token.split(".");
      const payload = Buffer.from(JSON.stringify({ ...jwt.decode(token), plan: "Enterprise" })).toString("base64url");
      assert.equal(await refused(client, { application, jwt: `${header}.${payload}.${signature}` }), "REASON_SIGNATURE_INVALID");
    }
  });
}

test("every algorithm of the profile is tried", () => {
  const all = ["ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512", "PS256", "RS256", "RS384", "RS512"];
  assert.deepEqual([...new Set(CASES.map((key) => key.algorithm))].sort(), all);
});
