"""mycloud as a provider plugin of Catalyst.

Every function is pure: a request in, an answer out. No network, no files, no clock, and never a secret: what only the apply
knows is a variable of the module in module/, and OpenTofu fills the cloud-init templates.
"""

import ipaddress
import json
import pathlib
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import bundle, credentials, descriptor, findings, log, outcome

VERSION = "0.1.0"
# When prices and types were looked up.
AS_OF = "2026-01-01"
CURRENCY = "EUR"
REGIONS = ["place-1", "place-2"]
# Name, cores, memory and disk in GiB, cents a month.
MACHINES = [("small", 2, 4, 40, 0), ("large", 8, 16, 160, 0)]
# Largest user data of one server in bytes, as the cloud documents it.
USER_DATA_LIMIT = 32_768
MAX_WORKERS = 50
MAX_TEXT_BYTES = 4096
# What may stand around a text; languages differ in what else is blank to them.
BLANKS = " \t\r\n"
# What a character of a request may become in user data, where it is JSON within YAML.
GROWTH = 8
# Longest values that only the apply knows, all of them together, in bytes.
HOLES = 1024

# Request keys that only this cloud knows. A wizard shows them; `Plan` holds a request to them.
SETTINGS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "apiPort": {
            "type": "integer", "minimum": 1, "maximum": 65535, "default": 6443,
            "description": "Port at which the load balancer answers for the cluster's API.",
        }
    },
}

# Each secret and the variable of the module that it fills.
SECRET_VARIABLES = {
    "cloud-token": "cloud_token",
    "ghcr-pull-token": "ghcr_pull_token",
    "kubeconfig-bearer": "kubeconfig_bearer_token",
    "k3s-token": "k3s_token",
}

# Read when the component is built; it has no files when it runs.
MODULE = {path.name: path.read_bytes() for path in sorted((pathlib.Path(__file__).parent / "module").iterdir())}

DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+\Z")
PUBLIC_KEY = re.compile(r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}( [^\r\n]*)?\Z")


def forbidden(character):
    """Characters that a later reader drops, refuses or shows in another order."""
    point = ord(character)
    return (
        point < 0x20 or 0x7F <= point < 0xA0
        or 0xE000 <= point <= 0xF8FF or point >= 0xF0000
        or point in (0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF)
        or 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069
        or 0xFDD0 <= point <= 0xFDEF or point & 0xFFFE == 0xFFFE
    )


class Plan:
    """A request, read once: a finding for everything that does not fit, and what is to be built."""

    def __init__(self, request):
        self.findings = []
        slot = request.regions[0] if request.regions else None

        def at(key):
            if slot:
                return f"/regions/0/{key}"
            return "/region" if key == "cloudRegion" else f"/{key}"

        self.texts(request)
        if not DNS_NAME.match(request.sovereign_fqdn):
            self.error("/sovereignFQDN", "dns-name", "sovereignFQDN must be a lower-case DNS name of at least two labels")
        if not PUBLIC_KEY.match(request.ssh_public_key.strip(BLANKS)):
            self.error("/sshPublicKey", "ssh-public-key", "sshPublicKey must be one line of an OpenSSH public key")
        if request.ha_enabled:
            self.error("/haEnabled", "no-ha", "haEnabled: one server is built here, not three")
        if len(request.regions) > 1:
            message = "only the first region is built; the others are left out"
            self.add("/regions/1", "one-region", message, findings.Severity.WARNING)
        machines = [name for name, *_ in MACHINES]
        place = slot or request
        self.region = self.choice(at("cloudRegion"), slot.cloud_region if slot else request.region, REGIONS, "region")
        self.server_size = self.choice(at("controlPlaneSize"), place.control_plane_size, machines, "machine type")
        self.worker_size = self.choice(at("workerSize"), place.worker_size, machines, "machine type")
        self.workers = place.worker_count
        if not 0 <= self.workers <= MAX_WORKERS:
            self.error(at("workerCount"), "worker-count", f"workerCount must be from 0 to {MAX_WORKERS}")
        self.api_port = self.setting(json.loads(request.extra or "{}"))
        self.user_data_bytes = len(MODULE["cloudinit-server.tftpl"]) + HOLES + GROWTH * sum(
            len(text.encode()) for text in (request.org_name, request.org_email, request.sovereign_fqdn)
        )
        if self.user_data_bytes > USER_DATA_LIMIT:
            self.error("", "user-data-too-large", f"the user data of a server may be over {USER_DATA_LIMIT} bytes")

    def add(self, pointer, code, message, severity):
        self.findings.append(findings.Finding(pointer, code, message, severity))

    def error(self, pointer, code, message):
        self.add(pointer, code, message, findings.Severity.ERROR)

    def refused(self):
        return any(finding.severity == findings.Severity.ERROR for finding in self.findings)

    def texts(self, request):
        public_key = request.ssh_public_key.strip(BLANKS)
        texts = {"orgName": request.org_name, "orgEmail": request.org_email, "sshPublicKey": public_key}
        for key, text in texts.items():
            if len(text.encode()) > MAX_TEXT_BYTES:
                self.error(f"/{key}", "too-long", f"{key} is longer than {MAX_TEXT_BYTES} bytes")
            if any(forbidden(character) for character in text):
                self.error(f"/{key}", "forbidden-character", f"{key} has a character that cannot be kept as it is")
            # OpenTofu composes a mark with the last digit of the `\u003c` that it makes of `<`.
            if re.search(r"[<>][^\x00-\x7f]", text):
                self.error(f"/{key}", "forbidden-character", f"{key} has a letter that is not ASCII right after `<` or `>`")

    def choice(self, pointer, text, known, what):
        """A blank choice is the first that there is."""
        text = text.strip(BLANKS)
        if text and text not in known:
            code = f"unknown-{what.replace(' ', '-')}"
            self.error(pointer, code, f"there is no {what} of that name; there are {', '.join(known)}")
        return text or known[0]

    def setting(self, extra):
        port = extra.get("apiPort")
        if port is None:
            return 6443
        # JSON has one kind of number: 6443.0 is a whole one.
        if isinstance(port, float) and port.is_integer():
            port = int(port)
        if not isinstance(port, int) or isinstance(port, bool):
            self.error("/apiPort", "wrong-type", "apiPort must be a whole number")
        elif not 1 <= port <= 65535:
            self.error("/apiPort", "port", "apiPort must be from 1 to 65535")
        return port


def secrets():
    def secret(name, source, label, role=descriptor.SecretRole.ORDINARY, required=False, least=1, most=256):
        return descriptor.Secret(name, source, role, required, least, most, label, [])

    def minted(name, label, role=descriptor.SecretRole.ORDINARY):
        return secret(name, descriptor.SecretSource_Minted(), label, role, True, 64, 64)

    return [
        # A real cloud requires it: `required=True`.
        secret("cloud-token", descriptor.SecretSource_Request("mycloud-token"), "mycloud token"),
        secret("ghcr-pull-token", descriptor.SecretSource_Host("ghcr-pull-token"), "GHCR pull token"),
        minted("kubeconfig-bearer", "kubeconfig bearer", descriptor.SecretRole.KUBECONFIG_BEARER),
        minted("k3s-token", "k3s token"),
    ]


def output(outputs, name):
    value = outputs.get(name)
    value = value.get("value") if isinstance(value, dict) else None
    if not isinstance(value, str) or not value.strip(BLANKS):
        raise Err(f"OpenTofu gave no output `{name}`")
    return value.strip(BLANKS)


def address(outputs, name):
    text = output(outputs, name)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise Err(f"the output `{name}` is no IP address") from None
    return text


def reported(cloud):
    """Makes the methods of a class write an exception with its places to the host's log: it ends the call without a word."""

    def report(error):
        log.write(log.Level.ERROR, "Traceback (most recent call last):")
        # The outermost place is the method below. No file is read for the lines: there are none.
        trace = error.__traceback__.tb_next
        while trace:
            code = trace.tb_frame.f_code
            log.write(log.Level.ERROR, f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}')
            trace = trace.tb_next
        log.write(log.Level.ERROR, f"{type(error).__name__}: {error}")

    def method(answer):
        def call(*arguments):
            try:
                return answer(*arguments)
            except Err:
                raise
            except Exception as error:
                report(error)
                raise

        return call

    for name, answer in list(vars(cloud).items()):
        if not name.startswith("_"):
            setattr(cloud, name, method(answer))
    return cloud


@reported
class Cloud(exports.Cloud):
    """The interface `cloud` of the world in catalyst/wit."""

    def describe(self):
        names = [name for name, *_ in MACHINES]
        machines = [
            descriptor.MachineType(name, cores, memory, disk, "x86", cents, False, None)
            for name, cores, memory, disk, cents in MACHINES
        ]
        regions = [descriptor.Region(region, f"mycloud {region}", names) for region in REGIONS]
        return descriptor.Provider(
            id="mycloud",
            display_name="mycloud",
            version=VERSION,
            secrets=secrets(),
            # Such as `descriptor.TofuProvider("acme/acme", "1.2.3")`, pinned in module/versions.tf.
            tofu_providers=[],
            bearer_resource="terraform_data.server",
            catalogue=descriptor.Catalogue(AS_OF, CURRENCY, regions, machines),
            user_data_limit=USER_DATA_LIMIT,
            settings_schema=json.dumps(SETTINGS),
            api_hosts=[],
        )

    def validate(self, request):
        return Plan(request).findings

    def render(self, request, context):
        plan = Plan(request)
        if plan.refused():
            raise Err(plan.findings)
        variables = {
            "api_port": plan.api_port,
            "catalyst_api_url": context.public_url,
            "gitops_branch": context.gitops_branch,
            "gitops_repo_url": context.gitops_repo_url,
            "org_email": request.org_email,
            "org_name": request.org_name,
            "region": plan.region,
            "server_size": plan.server_size,
            "sovereign_fqdn": request.sovereign_fqdn,
            "ssh_public_key": request.ssh_public_key,
            "worker_count": plan.workers,
            "worker_size": plan.worker_size,
        }
        sizes = [bundle.UserDataSize("server", plan.user_data_bytes, USER_DATA_LIMIT)]
        if plan.workers:
            worker = len(MODULE["cloudinit-worker.tftpl"]) + HOLES
            sizes.append(bundle.UserDataSize("worker", worker, USER_DATA_LIMIT))
        filled = [(name, SECRET_VARIABLES[name]) for name in SECRET_VARIABLES if name in context.present_secrets]
        return bundle.Rendered(
            files=[bundle.File(path, 0o600, content) for path, content in MODULE.items()],
            variables=json.dumps(variables, ensure_ascii=False, separators=(",", ":")),
            secret_variables=[bundle.SecretVariable(secret, variable) for secret, variable in filled],
            deployment_id_variable="deployment_id",
            user_data=sizes,
            warnings=[finding.message for finding in plan.findings],
        )

    def read_outputs(self, outputs):
        try:
            read = json.loads(outputs)
        except ValueError:
            raise Err("the outputs of OpenTofu are no JSON") from None
        if not isinstance(read, dict):
            raise Err("the outputs of OpenTofu are no JSON object")
        server, balancer = address(read, "control_plane_ip"), address(read, "load_balancer_ip")
        hosts = [balancer] if server == balancer else [balancer, server]
        return outcome.Endpoints(server, balancer, hosts, output(read, "console_url"))

    # The words that your cloud's provider uses when it has no stock, no quota, or does not know the token.
    def diagnose(self, diagnostic, asked):
        capacity = "out of stock" in diagnostic.summary
        return outcome.Advice(
            kind=outcome.DiagnosticKind.CAPACITY if capacity else outcome.DiagnosticKind.OTHER,
            retryable=capacity,
            what_happened=diagnostic.summary[:1000],
            what_to_do="Try again later, or in another region." if capacity else "Read OpenTofu's words.",
            alternatives=[],
        )

    def estimate(self, request):
        plan = Plan(request)
        if plan.refused():
            raise Err("the request has errors; its cost is not known")
        cents = {name: price for name, *_, price in MACHINES}
        lines = [outcome.CostLine(f"server ({plan.server_size})", 1, cents[plan.server_size])]
        if plan.workers:
            lines.append(outcome.CostLine(f"worker ({plan.worker_size})", plan.workers, cents[plan.worker_size]))
        return outcome.Estimate(CURRENCY, AS_OF, lines, [])

    # With an API to ask: name its host in `api_hosts`, and put `{{secret:cloud-token}}` where the token belongs.
    def credential_probe(self, settings):
        raise Err("mycloud has no API that proves a token")

    def judge_credentials(self, responses):
        return credentials.Verdict_Unreachable("mycloud has no API that proves a token")
