//! What Helm makes of each value set.

use super::*;

#[test]
fn every_value_set_passes_the_strict_lint() {
    for set in SETS {
        let output = helm(&["lint", "--strict", "--kube-version", KUBERNETES, "chart", "--values", &values(set)]);
        assert!(output.status.success(), "{set}: {}", words(&output));
    }
}

#[test]
fn the_same_values_give_the_same_text() {
    for set in SETS {
        assert_eq!(template(&values(set), &[]).stdout, template(&values(set), &[]).stdout, "{set}");
    }
}

#[test]
fn i2_every_container_of_every_set_is_as_small_as_it_can_be() {
    for set in SETS {
        let objects = objects(set);
        let pod = pod(&objects);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{set}");
        assert_eq!(pod["securityContext"]["runAsUser"], 65534, "{set}");
        assert_eq!(pod["securityContext"]["runAsGroup"], 65534, "{set}");
        assert_eq!(pod["securityContext"]["fsGroup"], 65534, "{set}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{set}");
        assert_eq!(pod["enableServiceLinks"], false, "{set}");
        let containers = [&pod["containers"], &pod["initContainers"]];
        for container in containers.into_iter().filter_map(Value::as_array).flatten() {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{set}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{set}");
            assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]), "{set}");
        }
    }
}

#[test]
fn a_token_of_the_cluster_is_there_only_where_it_is_needed() {
    for set in SETS {
        let objects = objects(set);
        let reviews = set == "gateway";
        assert_eq!(pod(&objects)["automountServiceAccountToken"], reviews, "{set}");
        let bindings = objects.iter().filter(|object| object["kind"] == "ClusterRoleBinding").count();
        assert_eq!(bindings, usize::from(reviews), "{set}");
        let roles: Vec<_> = objects.iter().filter(|object| object["kind"] == "ClusterRole").collect();
        assert_eq!(roles.len(), bindings, "{set}");
        for role in roles {
            let review = serde_json::json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
            assert_eq!(role["rules"], review, "{set}: this and nothing else");
            assert_eq!(only(&objects, "ClusterRoleBinding")["roleRef"]["name"], role["metadata"]["name"], "{set}");
        }
        assert_eq!(only(&objects, "ServiceAccount")["automountServiceAccountToken"], false, "{set}");
    }
}

#[test]
fn the_host_does_not_warn_of_the_mode_that_the_chart_gives_the_file_of_tokens() {
    for set in ["default", "ingress"] {
        let objects = objects(set);
        let volumes = pod(&objects)["volumes"].as_array().unwrap();
        let tokens = volumes.iter().find(|volume| volume["name"] == "catalyst-auth-tokens").unwrap();
        let mode = u32::try_from(tokens["secret"]["defaultMode"].as_u64().unwrap()).unwrap();
        assert!(mode & 0o040 != 0, "{set}: {mode:o}: the Pod's user reads it by its group (fsGroup)");
        assert!(!catalyst::auth::is_too_open(mode), "{set}: {mode:o}");
    }
}

#[test]
fn no_secret_is_made_and_none_stands_in_an_object() {
    for set in SETS {
        let objects = objects(set);
        assert!(!objects.iter().any(|object| object["kind"] == "Secret"), "{set}");
    }
}

#[test]
fn i1_liveness_is_not_readiness() {
    for set in SETS {
        let objects = objects(set);
        let container = &pod(&objects)["containers"][0];
        let path = |probe: &str| container[probe]["httpGet"]["path"].as_str().unwrap().to_owned();
        assert_eq!(
            [path("startupProbe"), path("livenessProbe"), path("readinessProbe")],
            ["/healthz", "/healthz", "/readyz"]
        );
        // Where the metrics have a port of their own a full API fails no probe.
        let has_own = container["ports"].as_array().unwrap().iter().any(|port| port["name"] == "metrics");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let expect = if has_own { "metrics" } else { "http" };
            assert_eq!(container[probe]["httpGet"]["port"], expect, "{set}: {probe}");
        }
    }
}

#[test]
fn e6_f10_h10_i4_i5_the_earlier_services_volume_and_secrets_fit_and_its_slips_are_gone() {
    let objects = objects("reference");
    let deployment = only(&objects, "Deployment");
    assert_eq!(deployment["metadata"]["name"], "catalyst-api");
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"], "catalyst-api");
    assert!(!objects.iter().any(|object| object["kind"] == "PersistentVolumeClaim"), "the claim is there already");
    let pod = pod(&objects);
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "data").unwrap();
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "catalyst-api-deployments");
    let container = &pod["containers"][0];
    let mounts = container["volumeMounts"].as_array().unwrap();
    let path = |name: &str| &mounts.iter().find(|mount| mount["name"] == name).unwrap()["mountPath"];
    assert_eq!(path("data"), "/var/lib/catalyst");
    let env = |name: &str| container["env"].as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!(env("HOME")["value"], *path("home"));
    assert_eq!(env("CORS_ORIGIN")["value"], "https://console.openova.io");
    assert_eq!(env("CATALYST_STATE_DIR")["value"], "/var/lib/catalyst/state");
    for name in ["DYNADOT_API_KEY", "DYNADOT_API_SECRET"] {
        assert_eq!(env(name)["valueFrom"]["secretKeyRef"]["optional"], true, "{name}");
    }
    let service = only(&objects, "Service");
    assert_eq!(
        (&service["metadata"]["name"], &service["spec"]["ports"][0]["port"]),
        (&"catalyst-api".into(), &8080.into())
    );
}

#[test]
fn nodes_are_told_the_address_of_the_way_in() {
    for (set, url) in [
        ("ingress", Some("https://catalyst.example.org")),
        ("gateway", Some("https://console.example.org/sovereign")),
        ("reference", Some("https://console.openova.io/sovereign")),
        ("default", None),
    ] {
        let objects = objects(set);
        let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
        let told = env.iter().find(|entry| entry["name"] == "CATALYST_API_PUBLIC_URL");
        assert_eq!(told.map(|entry| entry["value"].as_str().unwrap()), url, "{set}");
    }
}

/// A constant of the host in whole seconds.
fn seconds(file: &str, name: &str) -> u64 {
    let text = read(file);
    let of = |before: String, end: char| -> Option<u64> {
        text.split(&before).nth(1)?.split(end).next()?.replace('_', "").parse().ok()
    };
    let number = of(format!("const {name}: Duration = Duration::from_secs("), ')');
    let number = number.or_else(|| of(format!("const {name}_MS: u64 = "), ';').map(|number| number.div_ceil(1_000)));
    number.unwrap_or_else(|| panic!("{file} has no {name} in seconds"))
}

#[test]
fn the_grace_of_the_pod_covers_everything_that_the_host_waits_for() {
    let tofu = seconds("host/src/cli/serve.rs", "STOP_GRACE")
        + seconds("host/src/engine/supervise/stopping.rs", "HARD_STOP_LONGEST")
        + seconds("host/src/engine/supervise/stopping.rs", "KILL_LONGEST")
        + seconds("host/src/engine/run.rs", "LAST_WORDS");
    let work = seconds("host/src/cli/serve.rs", "DRAIN");
    // Ten seconds for the last records on a slow disk.
    assert!(work >= tofu + 10, "{work} s for the end of work, of which OpenTofu may take {tofu} s");
    // Viewers have their time while OpenTofu has its own.
    let viewers = catalyst::http::Limits::default().drain.as_secs();
    let host = viewers.max(work + seconds("host/src/http/serve.rs", "LAST_ANSWERS"))
        + seconds("host/src/cli/serve.rs", "LAST_LINES")
        + seconds("host/src/telemetry/export.rs", "FLUSH")
        + seconds("host/src/cli.rs", "LEFT_BEHIND");
    let least: Value = serde_json::from_str(&read("chart/values.schema.json")).unwrap();
    let least = |name: &str| least["properties"][name]["minimum"].as_u64().unwrap();
    let (grace, before) = (least("terminationGracePeriodSeconds"), least("preStopSeconds"));
    assert!(grace >= before + host, "the schema allows {grace} s for {before} s + {host} s");
    // What the chart itself holds a grace to, whatever comes before.
    let taken = |before: u64, grace: u64| {
        let set = [format!("preStopSeconds={before}"), format!("terminationGracePeriodSeconds={grace}")];
        template(&values("default"), &set.each_ref().map(String::as_str)).status.success()
    };
    for before in [5, 20] {
        assert!(taken(before, before + host), "{before} s + {host} s");
        assert!(!taken(before, before + host - 1), "{before} s + {host} s less one");
    }
    for set in SETS {
        let objects = objects(set);
        let pod = pod(&objects);
        let before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(grace >= before + host, "{set}: {grace} s for {before} s + {host} s");
    }
}
