// mycloud as a provider plugin of Catalyst.
//
// Every function is pure: a request in, an answer out. No network, no files, no clock, and never a secret: what only the apply
// knows is a variable of the module in module/, and OpenTofu fills the cloud-init templates.
//
// build.mjs puts the files of module/ in front of this text, as `MODULE`: name to content.

import { write } from "catalyst:provisioner/log@1.0.0";

const VERSION = "0.1.0";
// When prices and types were looked up.
const AS_OF = "2026-01-01";
const CURRENCY = "EUR";
const REGIONS = ["place-1", "place-2"];
// Memory and disk in GiB.
const MACHINES = [
  { name: "small", cores: 2, memoryGib: 4, diskGib: 40, monthlyCents: 0 },
  { name: "large", cores: 8, memoryGib: 16, diskGib: 160, monthlyCents: 0 },
];
// Largest user data of one server in bytes, as the cloud documents it.
const USER_DATA_LIMIT = 32768;
const MAX_WORKERS = 50;
const MAX_TEXT_BYTES = 4096;
// What may stand around a text; languages differ in what else is blank to them.
const BLANKS = /^[ \t\r\n]+|[ \t\r\n]+$/g;
// What a character of a request may become in user data, where it is JSON within YAML.
const GROWTH = 8;
// Longest values that only the apply knows, all of them together, in bytes.
const HOLES = 1024;

// Request keys that only this cloud knows. A wizard shows them; `plan` holds a request to them.
const SETTINGS = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties: {
    apiPort: {
      type: "integer", minimum: 1, maximum: 65535, default: 6443,
      description: "Port at which the load balancer answers for the cluster's API.",
    },
  },
};

// Each secret and the variable of the module that it fills.
const SECRET_VARIABLES = {
  "cloud-token": "cloud_token",
  "ghcr-pull-token": "ghcr_pull_token",
  "kubeconfig-bearer": "kubeconfig_bearer_token",
  "k3s-token": "k3s_token",
};

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/;
const PUBLIC_KEY = /^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}( [^\r\n]*)?$/;
const ADDRESS = /^((25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7})$/i;

const trimmed = (text) => text.replace(BLANKS, "");
const bytes = (text) => new TextEncoder().encode(text);

// Characters that a later reader drops, refuses or shows in another order.
function forbidden(character) {
  const point = character.codePointAt(0);
  const within = (from, to) => from <= point && point <= to;
  return within(0, 0x1f) || within(0x7f, 0x9f) || within(0xe000, 0xf8ff) || point >= 0xf0000
    || [0x200e, 0x200f, 0x2028, 0x2029, 0xfeff].includes(point) || within(0x202a, 0x202e) || within(0x2066, 0x2069)
    || within(0xfdd0, 0xfdef) || (point & 0xfffe) === 0xfffe;
}

// A request, read once: a finding for everything that does not fit, and what is to be built.
function plan(request) {
  const findings = [];
  const error = (pointer, code, message) => findings.push({ pointer, code, message, severity: "error" });
  const slot = request.regions[0];
  const at = (key) => (slot ? `/regions/0/${key}` : key === "cloudRegion" ? "/region" : `/${key}`);
  const place = slot ?? request;

  const texts = { orgName: request.orgName, orgEmail: request.orgEmail, sshPublicKey: trimmed(request.sshPublicKey) };
  for (const [key, text] of Object.entries(texts)) {
    if (bytes(text).length > MAX_TEXT_BYTES) error(`/${key}`, "too-long", `${key} is longer than ${MAX_TEXT_BYTES} bytes`);
    if ([...text].some(forbidden)) {
      error(`/${key}`, "forbidden-character", `${key} has a character that cannot be kept as it is`);
    }
    // OpenTofu composes a mark with the last digit of the `\u003c` that it makes of `<`.
    if (/[<>][^\x00-\x7f]/.test(text)) {
      error(`/${key}`, "forbidden-character", `${key} has a letter that is not ASCII right after \`<\` or \`>\``);
    }
  }
  if (!DNS_NAME.test(request.sovereignFqdn)) {
    error("/sovereignFQDN", "dns-name", "sovereignFQDN must be a lower-case DNS name of at least two labels");
  }
  if (!PUBLIC_KEY.test(texts.sshPublicKey)) {
    error("/sshPublicKey", "ssh-public-key", "sshPublicKey must be one line of an OpenSSH public key");
  }
  if (request.haEnabled) error("/haEnabled", "no-ha", "haEnabled: one server is built here, not three");
  if (request.regions.length > 1) {
    const message = "only the first region is built; the others are left out";
    findings.push({ pointer: "/regions/1", code: "one-region", message, severity: "warning" });
  }

  // A blank choice is the first that there is.
  const choice = (key, given, known, what) => {
    const text = trimmed(given);
    if (text && !known.includes(text)) {
      error(at(key), `unknown-${what.replace(" ", "-")}`, `there is no ${what} of that name; there are ${known.join(", ")}`);
    }
    return text || known[0];
  };
  const machines = MACHINES.map((machine) => machine.name);
  const region = choice("cloudRegion", slot ? slot.cloudRegion : request.region, REGIONS, "region");
  const serverSize = choice("controlPlaneSize", place.controlPlaneSize, machines, "machine type");
  const workerSize = choice("workerSize", place.workerSize, machines, "machine type");
  const workers = place.workerCount;
  if (workers < 0n || workers > BigInt(MAX_WORKERS)) {
    error(at("workerCount"), "worker-count", `workerCount must be from 0 to ${MAX_WORKERS}`);
  }
  const apiPort = JSON.parse(request.extra || "{}").apiPort ?? 6443;
  if (!Number.isInteger(apiPort)) error("/apiPort", "wrong-type", "apiPort must be a whole number");
  else if (apiPort < 1 || apiPort > 65535) error("/apiPort", "port", "apiPort must be from 1 to 65535");

  const words = [request.orgName, request.orgEmail, request.sovereignFqdn].map((text) => bytes(text).length);
  const userDataBytes = bytes(MODULE["cloudinit-server.tftpl"]).length + HOLES + GROWTH * words.reduce((a, b) => a + b);
  if (userDataBytes > USER_DATA_LIMIT) {
    error("", "user-data-too-large", `the user data of a server may be over ${USER_DATA_LIMIT} bytes`);
  }
  return {
    findings,
    refused: findings.some((finding) => finding.severity === "error"),
    region,
    serverSize,
    workerSize,
    workers: Number(workers),
    apiPort,
    userDataBytes,
  };
}

function describe() {
  const secret = (name, source, label) => ({
    name, source, role: "ordinary", required: false, minLength: 1, maxLength: 256, label, refusedPrefixes: [],
  });
  const minted = (name, role, label) => ({
    ...secret(name, { tag: "minted" }, label), role, required: true, minLength: 64, maxLength: 64,
  });
  return {
    id: "mycloud",
    displayName: "mycloud",
    version: VERSION,
    secrets: [
      // A real cloud requires it: `required: true`.
      secret("cloud-token", { tag: "request", val: "mycloud-token" }, "mycloud token"),
      secret("ghcr-pull-token", { tag: "host", val: "ghcr-pull-token" }, "GHCR pull token"),
      minted("kubeconfig-bearer", "kubeconfig-bearer", "kubeconfig bearer"),
      minted("k3s-token", "ordinary", "k3s token"),
    ],
    // Such as `{ source: "acme/acme", version: "1.2.3" }`, pinned in module/versions.tf.
    tofuProviders: [],
    bearerResource: "terraform_data.server",
    catalogue: {
      asOf: AS_OF,
      currency: CURRENCY,
      regions: REGIONS.map((id) => ({
        id, displayName: `mycloud ${id}`, machineTypes: MACHINES.map((machine) => machine.name),
      })),
      machineTypes: MACHINES.map((machine) => ({ ...machine, arch: "x86", retired: false, successor: undefined })),
    },
    userDataLimit: USER_DATA_LIMIT,
    settingsSchema: JSON.stringify(SETTINGS),
    apiHosts: [],
  };
}

function validate(request) {
  return plan(request).findings;
}

function render(request, context) {
  const planned = plan(request);
  if (planned.refused) throw planned.findings;
  const userData = [{ node: "server", bytes: planned.userDataBytes, limit: USER_DATA_LIMIT }];
  if (planned.workers > 0) {
    const worker = bytes(MODULE["cloudinit-worker.tftpl"]).length + HOLES;
    userData.push({ node: "worker", bytes: worker, limit: USER_DATA_LIMIT });
  }
  const filled = Object.entries(SECRET_VARIABLES).filter(([secret]) => context.presentSecrets.includes(secret));
  return {
    files: Object.entries(MODULE).map(([path, text]) => ({ path, mode: 0o600, content: bytes(text) })),
    variables: JSON.stringify({
      api_port: planned.apiPort,
      catalyst_api_url: context.publicUrl,
      gitops_branch: context.gitopsBranch,
      gitops_repo_url: context.gitopsRepoUrl,
      org_email: request.orgEmail,
      org_name: request.orgName,
      region: planned.region,
      server_size: planned.serverSize,
      sovereign_fqdn: request.sovereignFqdn,
      ssh_public_key: request.sshPublicKey,
      worker_count: planned.workers,
      worker_size: planned.workerSize,
    }),
    secretVariables: filled.map(([secret, variable]) => ({ secret, variable })),
    deploymentIdVariable: "deployment_id",
    userData,
    warnings: planned.findings.map((finding) => finding.message),
  };
}

function readOutputs(text) {
  let outputs;
  try {
    outputs = JSON.parse(text);
  } catch {
    throw "the outputs of OpenTofu are no JSON";
  }
  if (outputs === null || typeof outputs !== "object" || Array.isArray(outputs)) {
    throw "the outputs of OpenTofu are no JSON object";
  }
  const output = (name) => {
    const value = outputs[name]?.value;
    if (typeof value !== "string" || trimmed(value) === "") throw `OpenTofu gave no output \`${name}\``;
    return trimmed(value);
  };
  const address = (name) => {
    const value = output(name);
    if (!ADDRESS.test(value)) throw `the output \`${name}\` is no IP address`;
    return value;
  };
  const controlPlaneIp = address("control_plane_ip");
  const loadBalancerIp = address("load_balancer_ip");
  const kubeconfigHosts = [...new Set([loadBalancerIp, controlPlaneIp])];
  return { controlPlaneIp, loadBalancerIp, kubeconfigHosts, consoleUrl: output("console_url") };
}

// The words that your cloud's provider uses when it has no stock, no quota, or does not know the token.
function diagnose(diagnostic) {
  const capacity = diagnostic.summary.includes("out of stock");
  return {
    kind: capacity ? "capacity" : "other",
    retryable: capacity,
    whatHappened: [...diagnostic.summary].slice(0, 1000).join(""),
    whatToDo: capacity ? "Try again later, or in another region." : "Read OpenTofu's words.",
    alternatives: [],
  };
}

function estimate(request) {
  const planned = plan(request);
  if (planned.refused) throw "the request has errors; its cost is not known";
  const line = (what, name, quantity) => {
    const { monthlyCents } = MACHINES.find((machine) => machine.name === name);
    return { label: `${what} (${name})`, quantity, monthlyCents };
  };
  const lines = [line("server", planned.serverSize, 1)];
  if (planned.workers > 0) lines.push(line("worker", planned.workerSize, planned.workers));
  return { currency: CURRENCY, asOf: AS_OF, lines, unknown: [] };
}

// With an API to ask: name its host in `apiHosts`, and put `{{secret:cloud-token}}` where the token belongs.
function credentialProbe() {
  throw "mycloud has no API that proves a token";
}

function judgeCredentials() {
  return { tag: "unreachable", val: "mycloud has no API that proves a token" };
}

// An error of this code would end the call without a word, or be taken for a reason: the host's log gets it with its places.
function reported(answer) {
  return (...given) => {
    try {
      return answer(...given);
    } catch (error) {
      if (error instanceof Error) {
        for (const line of `${error}\n${error.stack}`.split("\n")) if (line !== "") write("error", line);
      }
      throw error;
    }
  };
}

// The interface `cloud` of the world in catalyst/wit.
export const cloud = {
  describe: reported(describe),
  validate: reported(validate),
  render: reported(render),
  readOutputs: reported(readOutputs),
  diagnose: reported(diagnose),
  estimate: reported(estimate),
  credentialProbe: reported(credentialProbe),
  judgeCredentials: reported(judgeCredentials),
};
