// Featurebase's migration guide, step by step, from the language that it is written in.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { after as afterAll, before as beforeAll, test } from "node:test";

import grpc from "@grpc/grpc-js";
import { jwtVerify, SignJWT } from "jose";
import jwt from "jsonwebtoken";

import { after, before } from "./guide.js";
import { accepted, fromStruct, refused, seconds, start, toStruct } from "./harness.js";

const currentUser = { name: "User Name", email: "user@example.com", userId: "123456" };
// The guide's own, which is under 32 bytes.
const IV_SECRET = "iv_your-secret-key";
const JWT_SECRET = "featurebase-jwt-secret-0123456789abcdef";
const application = "acme/feedback";

const table = (name, secret) => `
[applications."${name}"]
profile = "featurebase"
environment = "production"
[applications."${name}".keys.jwt-2026]
purpose = "jwt"
secret = { env = "${secret}" }
shared_secret = true
[applications."${name}".keys.iv]
purpose = "legacy"
secret = { env = "FEATUREBASE_IV_SECRET" }
allow_weak = true
shared_secret = true
[applications."${name}".attributes]
title = { type = "string" }
plan = { type = "string" }
number = { type = "string" }
theme = { type = "string", secure = false }
[applications."${name}".company_attributes]
industry = { type = "string" }
location = { type = "string" }
`;

const identity = {
  user_id: "123456",
  email: "user@example.com",
  name: "User Name",
  profile_picture: "https://example.com/images/yourcustomer.png",
  attributes: toStruct({ title: "Product Manager", plan: "Premium", number: "123" }),
  companies: [
    {
      id: "987654321",
      name: "Business Inc. 23",
      monthly_spend: 500,
      created_at: { seconds: 1684510549, nanos: 915_000_000 },
      attributes: toStruct({ industry: "Fintech", location: "Canada" }),
    },
  ],
};

let server;
let client;

beforeAll(async () => {
  process.env.FEATUREBASE_JWT_SECRET = JWT_SECRET;
  server = await start({
    applications: `${table(application, "FEATUREBASE_JWT_SECRET")}
${table("acme/endless", "FEATUREBASE_JWT_SECRET")}
[applications."acme/endless".tokens]
require_exp = false
`,
    env: { FEATUREBASE_JWT_SECRET: JWT_SECRET, FEATUREBASE_IV_SECRET: IV_SECRET },
  });
  client = server.client;
});

afterAll(() => server?.stop());

const hash = (value, secret = IV_SECRET) => crypto.createHmac("sha256", secret).update(value).digest("hex");
const codes = (answer) => answer.notices.map((notice) => notice.code.replace("NOTICE_CODE_", ""));

function assertGuide(verified) {
  assert.equal(verified.user_id, "123456");
  assert.equal(verified.email, "user@example.com");
  assert.equal(verified.name, "User Name");
  assert.equal(verified.profile_picture, identity.profile_picture);
  assert.deepEqual(fromStruct(verified.attributes), { title: "Product Manager", plan: "Premium", number: "123" });
  assert.equal(verified.companies.length, 1);
  const [company] = verified.companies;
  assert.deepEqual([company.id, company.name, company.monthly_spend], ["987654321", "Business Inc. 23", 500]);
  assert.equal(seconds(company.created_at), Date.parse("2023-05-19T15:35:49.915Z") / 1000);
  assert.deepEqual(fromStruct(company.attributes), { industry: "Fintech", location: "Canada" });
}

test("before: the guide's hash is accepted, and proves the address alone", async () => {
  const request = { application, legacy: { user_hash: before(currentUser) }, asserted: { email: currentUser.email } };
  const answer = await accepted(client, request);
  assert.equal(answer.credential, "CREDENTIAL_KIND_LEGACY_HASH");
  assert.equal(answer.verified.email, "user@example.com");
  assert.ok(codes(answer).includes("LEGACY_HASH_DEPRECATED"));
  assert.ok(codes(answer).includes("WEAK_KEY"), "the guide's secret is short");
  const both = { ...request, asserted: { email: currentUser.email, user_id: currentUser.userId } };
  assert.equal(await refused(client, both), "REASON_HASH_MISMATCH", "unsaid, the hash would be over the user id");
  const said = { ...both, legacy: { ...request.legacy, hashed: "HASHED_IDENTIFIER_EMAIL" } };
  const named = await accepted(client, said);
  assert.deepEqual([named.verified.email, named.verified.user_id], ["user@example.com", ""]);
  assert.equal(named.unverified.user_id, "123456");
});

test("before: the authority makes the same hash", async () => {
  const made = await client.LegacyHash({ application, email: currentUser.email, company_ids: ["987654321"] });
  assert.equal(made.user_hash, before(currentUser));
  assert.equal(made.hashed, "HASHED_IDENTIFIER_EMAIL");
  assert.deepEqual(made.company_hashes, { 987654321: hash("987654321") });
  for (const user_id of ["123456", "Ärger ß 😀", "a".repeat(512)]) {
    assert.equal((await client.LegacyHash({ application, user_id })).user_hash, hash(user_id));
  }
});

test("before: company hashes prove ids and bind nobody", async () => {
  const request = {
    application,
    legacy: { user_hash: hash("123456"), company_hashes: { 123: hash("123") } },
    asserted: { user_id: "123456", companies: [{ id: "123", name: "Business Inc. 23" }] },
  };
  const answer = await accepted(client, request);
  assert.deepEqual([answer.verified.companies[0].id, answer.verified.companies[0].name], ["123", ""]);
  assert.ok(codes(answer).includes("COMPANY_NOT_BOUND"));
  request.legacy.company_hashes[123] = hash("124");
  assert.equal(await refused(client, request), "REASON_HASH_MISMATCH");
});

test("before: a wrong secret is refused", async () => {
  const legacy = { user_hash: hash(currentUser.email, "iv_another-secret-key") };
  assert.equal(await refused(client, { application, legacy, asserted: { email: currentUser.email } }), "REASON_HASH_MISMATCH");
});

test("after: the guide's token, with an end, is accepted with every attribute verified", async () => {
  const answer = await accepted(client, { application, jwt: after(currentUser, { expiresIn: "1h" }) });
  assert.equal(answer.credential, "CREDENTIAL_KIND_JWT");
  assertGuide(answer.verified);
  assert.deepEqual(answer.refused_attributes, []);
  assert.equal(seconds(answer.expires_at) - seconds(answer.issued_at), 3600);
});

test("after: the guide's token as it stands has no end, which an application must choose", async () => {
  const token = after(currentUser);
  assert.equal(await refused(client, { application, jwt: token }), "REASON_CLAIM_MISSING");
  const answer = await accepted(client, { application: "acme/endless", jwt: token });
  assertGuide(answer.verified);
  assert.ok(codes(answer).includes("NO_EXPIRY"));
});

test("after: what the page says beside the token is not verified", async () => {
  const asserted = { user_id: "123456", attributes: toStruct({ plan: "Enterprise", theme: "dark" }) };
  const answer = await accepted(client, { application, jwt: after(currentUser, { expiresIn: "1h" }), asserted });
  assert.equal(fromStruct(answer.verified.attributes).plan, "Premium");
  assert.deepEqual(fromStruct(answer.unverified.attributes), { theme: "dark" });
});

test("after: the authority signs the guide's user, and jsonwebtoken and jose take the token", async () => {
  const signed = await client.Sign({ application, identity });
  const wanted = jwt.decode(after(currentUser, { expiresIn: "1h" }));
  const found = jwt.verify(signed.token, JWT_SECRET, { algorithms: ["HS256"] });
  assert.deepEqual({ ...found, iat: 0, exp: 0 }, { ...wanted, iat: 0, exp: 0 });
  assert.equal(found.exp - found.iat, 3600);
  const { payload, protectedHeader } = await jwtVerify(signed.token, new TextEncoder().encode(JWT_SECRET), {
    algorithms: ["HS256"],
    requiredClaims: ["exp", "iat"],
  });
  assert.deepEqual(payload, found);
  assert.deepEqual(protectedHeader, { alg: "HS256", typ: "JWT" });
  assertGuide((await accepted(client, { application, jwt: signed.token })).verified);
});

test("after: a token of jose is accepted", async () => {
  const token = await new SignJWT({ userId: "123456", plan: "Premium" })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuedAt()
    .setExpirationTime("10m")
    .sign(new TextEncoder().encode(JWT_SECRET));
  const answer = await accepted(client, { application, jwt: token });
  assert.deepEqual([answer.verified.user_id, fromStruct(answer.verified.attributes)], ["123456", { plan: "Premium" }]);
});

test("after: bad tokens are refused, each with its reason", async () => {
  const sign = (claims, secret = JWT_SECRET, options = {}) => jwt.sign({ userId: "123456", ...claims }, secret, options);
  const now = Math.floor(Date.now() / 1000);
  const bad = {
    REASON_SIGNATURE_INVALID: sign({}, "another-secret-0123456789abcdefghijklm", { expiresIn: "1h" }),
    REASON_TOKEN_EXPIRED: sign({ iat: now - 7200, exp: now - 3600 }),
    REASON_LIFETIME_TOO_LONG: sign({}, JWT_SECRET, { expiresIn: "30d" }),
    REASON_TOKEN_NOT_YET_VALID: sign({}, JWT_SECRET, { expiresIn: "1h", notBefore: "10m" }),
    REASON_ALGORITHM_NOT_ALLOWED: sign({}, "", { expiresIn: "1h", algorithm: "none" }),
    REASON_CLAIM_TYPE_INVALID: sign({ plan: 7 }, JWT_SECRET, { expiresIn: "1h" }),
    REASON_TOKEN_MALFORMED: "generated-jwt-here",
  };
  for (const [reason, token] of Object.entries(bad)) {
    assert.equal(await refused(client, { application, jwt: token }), reason);
  }
  const beside = { legacy: { user_hash: hash("123456") }, asserted: { user_id: "123456" } };
  assert.equal(await refused(client, { application, jwt: "", ...beside }), "REASON_TOKEN_MALFORMED", "no falling back");
});

test("between: a hash is exchanged for a token over what it proves", async () => {
  const request = {
    application,
    legacy: { user_hash: before(currentUser) },
    asserted: { email: currentUser.email, name: "Somebody Else" },
  };
  const answer = await client.Exchange(request);
  assert.equal(answer.outcome, "signed");
  const { iat, exp, ...claims } = jwt.verify(answer.signed.token, JWT_SECRET, { algorithms: ["HS256"] });
  assert.deepEqual(claims, { email: "user@example.com", countersign: { from: "hash", first: iat } });
  assert.equal(exp - iat, 3600);
  request.legacy.user_hash = hash(currentUser.email, "iv_another-secret-key");
  assert.equal((await client.Exchange(request)).refused.reason, "REASON_HASH_MISMATCH");
});

test("diagnose says what is wrong, and nothing where nothing is", async () => {
  const failures = (answer) => answer.findings.filter((finding) => finding.result === "FINDING_RESULT_FAILED");
  const good = await client.Diagnose({ application, jwt: after(currentUser, { expiresIn: "1h" }) });
  assert.deepEqual([good.verdict, failures(good)], ["REASON_UNSPECIFIED", []]);
  const swapped = await client.Diagnose({
    application,
    user_hash: before(currentUser),
    asserted: { email: currentUser.email, user_id: currentUser.userId },
  });
  assert.equal(swapped.verdict, "REASON_HASH_MISMATCH");
  assert.ok(failures(swapped).length > 0 && failures(swapped).every((finding) => finding.remedy));
  assert.ok(!JSON.stringify(swapped).includes(IV_SECRET));
});

test("a batch answers each item in its place", async () => {
  const requests = ["1", "2", "3"].map((user_id) => ({ application, identity: { user_id } }));
  requests[1].application = "acme/nowhere";
  const { results } = await client.BatchSign({ requests });
  assert.deepEqual(results.map((result) => result.outcome), ["response", "failure", "response"]);
  assert.equal(results[1].failure.reason, "REASON_APPLICATION_UNKNOWN");
  assert.equal(jwt.verify(results[2].response.token, JWT_SECRET, { algorithms: ["HS256"] }).userId, "3");
});

test("a caller that is not known is told so", async () => {
  const error = await client.Sign({ application, identity }, null).then(assert.fail, (error) => error);
  assert.equal(error.code, grpc.status.UNAUTHENTICATED);
  const [details] = error.metadata.get("grpc-status-details-bin");
  assert.ok(details.includes("CALLER_UNKNOWN") && details.includes("countersign"));
});
