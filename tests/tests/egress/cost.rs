//! What the proxy of a run costs, in words.

use crate::clouds::{TOKEN, address_of, hetzner_bundle, hetzner_setup};
use crate::kit::{Bench, cloud, grant};
use catalyst::engine::{Confine, Layer};
use catalyst_plugin_sdk::Rendered;
use catalyst_tests::hetzner::Project;
use catalyst_tests::hetzner::module::TOKEN as CLOUD_TOKEN;
use catalyst_tests::tls_front::TlsFront;
use std::time::{Duration, Instant};

const RUNS: usize = 5;
/// One question to the cloud, and nothing made.
const MODULE: &str = "terraform {\n  required_providers {\n    hcloud = { source = \"hetznercloud/hcloud\" }\n  }\n}\n\
                      variable \"hcloud_token\" {\n  type = string\n}\n\
                      provider \"hcloud\" {\n  token = var.hcloud_token\n}\n\
                      data \"hcloud_location\" \"one\" {\n  name = \"fsn1\"\n}\n";

fn bundle() -> Rendered {
    let mut rendered = hetzner_bundle();
    rendered.files.truncate(1);
    rendered.files[0].path = "main.tf".to_owned();
    rendered.files[0].content = MODULE.into();
    rendered.variables = "{}".to_owned();
    rendered.secret_variables.retain(|filled| filled.variable == TOKEN.0);
    rendered.deployment_id_variable = None;
    rendered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_a_proxied_connection() {
    let project = Project::start(CLOUD_TOKEN);
    let front = TlsFront::start(&["cloud.test", "127.0.0.1"], address_of(&project.endpoint())).await;
    // Clients ask no proxy for loopback.
    let direct = format!("https://{}/v1", front.address());
    let mut means = Vec::new();
    for endpoint in [direct, "https://cloud.test/v1".to_owned()] {
        let mut setup = hetzner_setup(front.trust());
        setup.pass = vec![("HCLOUD_ENDPOINT", endpoint)];
        // Alike but for the way: without these two a run reaches loopback by itself.
        (setup.confine, setup.without) = (Confine::Auto, vec![Layer::NetworkNamespace, Layer::Ports]);
        let bench = Bench::new(setup).await;
        let run = || bench.run(&bundle(), &[TOKEN], cloud(vec![grant("cloud.test", front.address())]));
        // The first fills the cache of providers.
        bench.apply(run()).await.0.unwrap();
        let (begun, before) = (Instant::now(), front.connections());
        for _ in 0..RUNS {
            bench.apply(run()).await.0.unwrap();
        }
        means.push((begun.elapsed() / u32::try_from(RUNS).unwrap(), (front.connections() - before) / RUNS));
    }
    let [(direct, connections), (proxied, by_proxy)] = means[..] else { panic!("{means:?}") };
    println!("a run whose provider makes {connections} connection(s): direct {direct:?}, by its proxy {proxied:?}");
    assert!(connections > 0 && connections == by_proxy, "{means:?}");
    // Not a bound of the cost, but of something that waits where it should not.
    assert!(proxied < direct + Duration::from_secs(2), "{means:?}");
}
