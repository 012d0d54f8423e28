"""What random data alone never meets: ids of deployments that are there, bodies that are accepted.

The test that starts the checker says in CATALYST_SCENE what there is. Which case is led there depends on the case
itself, so that the same seed makes the same calls.
"""

import itertools
import json
import os
import zlib

import schemathesis

SCENE = json.loads(os.environ["CATALYST_SCENE"])
# Calls are made one after the other, so that the same seed shows the same tokens too.
CALLS = itertools.count()


def pick(value, count):
    return zlib.crc32(repr(value).encode()) % count


def chosen(value, choices):
    return choices[pick(value, 9973) % len(choices)]


# A kubeconfig is text: it is sent as it was made, and what comes back is not read.
YAML = ("text/yaml", "text/x-yaml", "text/vnd.yaml", "text/yml", "application/yaml", "application/x-yaml")


@schemathesis.serializer(*YAML)
def sent(ctx, value):
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode("utf-8", "surrogatepass")


@schemathesis.deserializer(*YAML)
def received(ctx, response):
    return response.text


@schemathesis.hook
def map_case(ctx, case):
    path = case.operation.path
    lead_to_what_is_there(case, path)
    if case.operation.method.upper() == "POST" and isinstance(case.body, dict):
        lead_to_success(case, path)
    if "tokens" in SCENE:
        show_a_token(case)
    return case


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    # A cloud without an API can prove nothing, and says so with the 503 that the document names for it.
    proof = case.operation.path == "/api/v1/credentials/validate" and response.status_code == 503
    return not (proof and "has no API" in response.text)


def show_a_token(case):
    headers = dict(case.headers or {})
    headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    node = case.operation.method.upper() == "PUT"
    token = SCENE["bearer"] if node else SCENE["tokens"][next(CALLS) % len(SCENE["tokens"])]
    if token:
        headers["Authorization"] = f"Bearer {token}"
    case.headers = headers


def lead_to_what_is_there(case, path):
    parameters = case.path_parameters
    if not parameters or "id" not in parameters:
        return
    generated = dict(parameters)
    # One of four stays as it was made, for what is not there.
    if pick(generated, 4) == 0 and not case.operation.method.upper() == "PUT":
        return
    if "/providers/" in path:
        parameters["id"] = "rehearsal"
    elif case.operation.method.upper() == "PUT":
        parameters["id"] = chosen(generated, SCENE["accepting"])
        if isinstance(case.body, str) and pick(generated, 3) == 0:
            case.body = SCENE["kubeconfig"]
    else:
        parameters["id"] = chosen(generated, SCENE["deployments"])


def lead_to_success(case, path):
    number = pick(case.body, 1000)
    if path in ("/api/v1/deployments", "/api/v1/previews") and number % 4 == 0:
        name = f"n{pick(case.body, 1_000_000)}.example"
        case.body = {**SCENE["create"], "sovereignFQDN": name}
        if path.endswith("previews"):
            case.query = {"against": SCENE["rendered"]} if number % 8 else {}
    elif path == "/api/v1/subdomains/check" and number % 8:
        # Another pool would be looked up in DNS, which takes its two seconds where there is none.
        case.body["poolDomain"] = SCENE["pool"]
        if number % 2:
            case.body["subdomain"] = "free"
    elif path == "/api/v1/credentials/validate" and number % 2:
        case.body["provider"] = "rehearsal"
    elif path.startswith("/api/v1/registrar/") and number % 2:
        case.body = {"domain": "a.example", "token": "t", "nameservers": ["ns1.a.example"]}
