//! What `CATALYST_TOFU_CONFINE` asks for, and what is said of it.

use crate::kit::Bench;
use catalyst::engine::{Confine, Layer};
use catalyst_tests::host::{Host, built};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_start_says_which_layers_hold() {
    let host = Host::start(&[]);
    let trace = host.trace();
    assert!(trace.contains("OpenTofu and its providers are confined"), "{trace}");
    assert!(trace.contains(Layer::Files.as_str()) && trace.contains(Layer::PidNamespace.as_str()), "{trace}");
    let host = Host::start(&[("CATALYST_TOFU_CONFINE", "off")]);
    assert!(host.trace().contains("CATALYST_TOFU_CONFINE is off"), "{}", host.trace());
}

#[test]
fn require_refuses_a_start_without_namespaces_and_auto_warns() {
    // As under a container's usual profile: no process of this tree may make a user namespace.
    let sysctl = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" doctor --json";
    let examine = |confine: &str| {
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount-proc", "--pid", "--fork", "sh", "-c", sysctl])
            .arg(built("release/catalyst"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("CATALYST_TOFU_BIN", catalyst_tests::tools::path("tofu").unwrap())
            .env("CATALYST_TOFU_CONFINE", confine)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let required = examine("require");
    assert!(required.contains("CATALYST_TOFU_CONFINE is require"), "{required}");
    assert!(required.contains("user namespace"), "{required}");
    let auto = examine("auto");
    assert!(auto.contains("not held: user namespace"), "{auto}");
    assert!(auto.contains("runs are behind"), "{auto}");
}

/// What a run costs more by its supervisor, in words.
#[tokio::test]
async fn the_cost_of_a_supervisor() {
    let mut means = Vec::new();
    for confine in [Confine::Off, Confine::Auto] {
        let bench = Bench::new(|settings| settings.confine = confine).await;
        let runs: u32 = 5;
        let begun = Instant::now();
        for _ in 0..runs {
            bench.apply(&[("main.tf", "output \"a\" { value = 1 }\n")]).await.0.unwrap();
        }
        means.push(begun.elapsed() / runs);
    }
    println!("a run of four commands, unconfined {:?}, behind all layers {:?}", means[0], means[1]);
    // Not a bound of the cost, but of something that waits where it should not.
    assert!(means[1] < means[0] + Duration::from_secs(2), "{means:?}");
}
