// A real server, and a client made from the .proto files of this tree.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const BINARY = process.env.COUNTERSIGN_BIN ?? join(TARGET, "debug", "countersign");
const START_MS = 20_000;
const CALL_MS = 10_000;

const definition = loadSync("countersign/v1/authority.proto", {
  includeDirs: [join(ROOT, "proto")],
  keepCase: true,
  enums: String,
  longs: Number,
  oneofs: true,
  defaults: true,
});
const { TokenAuthority } = grpc.loadPackageDefinition(definition).countersign.v1;

export const TOKEN = "token-of-the-caller-billing";

const CALLERS = `
[callers.billing]
token_sha256 = "${createHash("sha256").update(TOKEN).digest("hex")}"
may = ["sign", "verify", "legacy_hash", "exchange", "diagnose"]
applications = ["acme/*"]
clients = ["web"]
`;

/// Starts `countersign serve` with these applications; `files` are key files, written as FOLDER/name.
export async function start({ applications, env = {}, files = {} }) {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: cargo build, or set COUNTERSIGN_BIN`);
  const folder = mkdtempSync(join(tmpdir(), "countersign-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
  const config = join(folder, "countersign.toml");
  const store = `[store]\nkind = "embedded"\npath = "${join(folder, "countersign.redb")}"\n`;
  writeFileSync(config, CALLERS + store + applications.replaceAll("FOLDER", folder));
  const child = spawn(BINARY, ["serve", "--listen", "127.0.0.1:0", "--config", config], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  const address = await listening(child);
  const stub = new TokenAuthority(address, grpc.credentials.createInsecure());
  return {
    client: promised(stub),
    async stop() {
      stub.close();
      child.kill("SIGTERM");
      const code = await ended;
      rmSync(folder, { recursive: true, force: true });
      if (code !== 0) throw new Error(`the server ended with ${code}`);
    },
  };
}

function listening(child) {
  return new Promise((resolve, reject) => {
    const seen = [];
    const fail = () => reject(new Error(`the server did not start:\n${seen.join("\n")}`));
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      fail();
    }, START_MS);
    createInterface({ input: child.stderr })
      .on("line", (line) => {
        seen.push(line);
        const found = /^listening on http:\/\/(\S+)$/.exec(line);
        if (!found) return;
        clearTimeout(timer);
        resolve(found[1]);
      })
      .on("close", () => {
        clearTimeout(timer);
        fail();
      });
  });
}

/// The stub's methods as promises, with the caller's token and a deadline.
function promised(stub) {
  const call = (name) => (request, token = TOKEN) => {
    const metadata = new grpc.Metadata();
    if (token) metadata.set("authorization", `Bearer ${token}`);
    return new Promise((resolve, reject) => {
      stub[name](request, metadata, { deadline: Date.now() + CALL_MS }, (error, answer) =>
        error ? reject(error) : resolve(answer),
      );
    });
  };
  return Object.fromEntries(Object.keys(TokenAuthority.service).map((name) => [name, call(name)]));
}

/// What Verify accepts; a refusal is thrown.
export async function accepted(client, request) {
  const answer = await client.Verify(request);
  if (answer.outcome !== "accepted") throw new Error(`refused: ${JSON.stringify(answer.refused)}`);
  return answer.accepted;
}

/// Why Verify refuses.
export async function refused(client, request) {
  const answer = await client.Verify(request);
  if (answer.outcome !== "refused") throw new Error(`accepted: ${JSON.stringify(answer.accepted)}`);
  return answer.refused.reason;
}

/// An object as google.protobuf.Struct.
export function toStruct(object) {
  return { fields: Object.fromEntries(Object.entries(object).map(([name, value]) => [name, toValue(value)])) };
}

function toValue(value) {
  if (value === null) return { nullValue: "NULL_VALUE" };
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "number") return { numberValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } };
  return { structValue: toStruct(value) };
}

/// google.protobuf.Struct as an object.
export function fromStruct(struct) {
  return Object.fromEntries(Object.entries(struct?.fields ?? {}).map(([name, value]) => [name, fromValue(value)]));
}

function fromValue(value) {
  switch (value.kind) {
    case "listValue":
      return value.listValue.values.map(fromValue);
    case "structValue":
      return fromStruct(value.structValue);
    case "nullValue":
      return null;
    default:
      return value[value.kind];
  }
}

/// google.protobuf.Timestamp as a number of seconds.
export const seconds = (timestamp) => timestamp.seconds + timestamp.nanos / 1e9;
