// Before and After of the migration guide from Node, against `countersign serve --dev`.
// README.md has the commands that install the two packages.

const fs = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const server = process.env.COUNTERSIGN_TARGET || "127.0.0.1:7400";
const application = process.env.COUNTERSIGN_APPLICATION || "demo";
const token = process.env.COUNTERSIGN_TOKEN;

const definition = protoLoader.loadSync("countersign/v1/authority.proto", {
  includeDirs: [path.join(__dirname, "../../proto")],
  keepCase: true, // Names as in the .proto files.
  longs: Number, // Seconds since 1970 fit into a number.
  enums: String,
  oneofs: true,
});
const { TokenAuthority } = grpc.loadPackageDefinition(definition).countersign.v1;
const authority = new TokenAuthority(server, grpc.credentials.createInsecure());

// A caller shows its token with every call. `serve --dev` asks for none.
const metadata = new grpc.Metadata();
if (token) metadata.set("authorization", `Bearer ${token}`);

function call(method, request) {
  const deadline = new Date(Date.now() + 5000);
  return new Promise((resolve, reject) => {
    authority[method](request, metadata, { deadline }, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

// proto-loader takes messages, not protobuf's JSON: a time is { seconds, nanos }, and a Struct is spelled out.
function time(text) {
  const millis = Date.parse(text);
  const seconds = Math.floor(millis / 1000);
  return { seconds, nanos: (millis - seconds * 1000) * 1e6 };
}

function value(json) {
  if (json === null) return { nullValue: "NULL_VALUE" };
  if (typeof json === "boolean") return { boolValue: json };
  if (typeof json === "number") return { numberValue: json };
  if (typeof json === "string") return { stringValue: json };
  if (Array.isArray(json)) return { listValue: { values: json.map(value) } };
  return { structValue: struct(json) };
}

function struct(json) {
  return { fields: Object.fromEntries(Object.entries(json).map(([name, member]) => [name, value(member)])) };
}

function typed(json) {
  const message = { ...json };
  if (json.created_at) message.created_at = time(json.created_at);
  if (json.attributes) message.attributes = struct(json.attributes);
  if (json.companies) message.companies = json.companies.map(typed);
  return message;
}

async function main() {
  const user = JSON.parse(fs.readFileSync(path.join(__dirname, "guide-user.json"), "utf8"));

  // Before: the user hash.
  const hashed = await call("LegacyHash", { application, email: user.email });
  console.log("userHash:", hashed.user_hash);

  // After: the JWT.
  const signed = await call("Sign", { application, identity: typed(user) });
  console.log("featurebaseJwt:", signed.token);
  console.log("sign again before:", new Date(signed.expires_at.seconds * 1000).toISOString());

  // A verdict is not an error: look at the outcome.
  const verdict = await call("Verify", { application, jwt: signed.token });
  if (verdict.outcome === "accepted") console.log("accepted for:", verdict.accepted.verified.user_id);
  else console.log("refused:", verdict.refused.message);
}

main()
  .catch((error) => {
    console.error(`${error.code} ${error.details}`);
    process.exitCode = 2;
  })
  .finally(() => authority.close());
