//! A node that boots from user data, and what ends it.

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A host that takes one PUT and answers with that status.
async fn one_put(status: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let length = text.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            });
            if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
                && body.len() >= length
            {
                stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
                return text;
            }
            let mut part = [0_u8; 4096];
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "the client left: {text}");
            bytes.extend_from_slice(&part[..count]);
        }
    });
    (port, request)
}

fn user_data(port: u16) -> String {
    format!(
        r#"#cloud-config
package_update: true
write_files:
  - path: /etc/home/header
    permissions: "0600"
    content: |
      Authorization: Bearer sentinel
  - path: /usr/local/sbin/first
    permissions: "0700"
    content: |
      #!/bin/sh
      set -eu
      root="${{CATALYST_ROOT:-}}"
      mkdir -p "$root/var/lib"
      echo one >>"$root/var/lib/order"
      echo "first: says hello" >>"$root/var/log/boot.log"
      swapoff -a
      systemctl enable --now k3s.service
      systemctl enable --now --no-block home.service
      k3s kubectl get nodes
      echo two >>"$root/var/lib/order"
  - path: /usr/local/sbin/home
    permissions: "0700"
    content: |
      #!/bin/sh
      set -eu
      root="${{CATALYST_ROOT:-}}"
      sed 's|server: https://127\.0\.0\.1:6443|server: https://192.0.2.9:6443|' \
        "$root/etc/rancher/k3s/k3s.yaml" >"$root/var/lib/copy"
      curl --silent --show-error --fail --max-time 10 --request PUT --header @"$root/etc/home/header" \
        --data-binary @"$root/var/lib/copy" "http://127.0.0.1:{port}/kubeconfig"
  - path: /etc/systemd/system/home.service
    content: |
      [Service]
      Type=oneshot
      ExecStart=/usr/local/sbin/home
runcmd:
  - [/usr/local/sbin/first]
  - echo three >>"$CATALYST_ROOT/var/lib/order"; exit 4
  - [no-such-program]
  - [reboot]
"#
    )
}

const KUBECONFIG: &str = "clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n";

#[tokio::test]
async fn a_node_boots_and_really_calls_home() {
    let (port, request) = one_put("204 No Content").await;
    let root = tempfile::tempdir().unwrap();
    let (steps, mut told) = mpsc::channel(1000);
    let mut plan = Boot::new(user_data(port), root.path().to_owned(), KUBECONFIG.to_owned());
    plan.steps = Some(steps);
    let report = boot(plan).await.unwrap();

    let statuses: Vec<i32> = report.commands.iter().map(|ran| ran.status).collect();
    assert_eq!(statuses, [0, 4, 127, 0], "{report:?}");
    assert_eq!(report.units, [Ran { what: "home.service".to_owned(), status: 0 }]);
    let calls = [
        "swapoff -a",
        "systemctl enable --now k3s.service",
        "systemctl enable --now --no-block home.service",
        "k3s kubectl get nodes",
        "reboot",
    ];
    assert_eq!(report.calls, calls);
    assert_eq!(std::fs::read_to_string(root.path().join("var/lib/order")).unwrap(), "one\ntwo\nthree\n");
    let mode = |path: &str| std::fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc/home/header"), mode("usr/local/sbin/first")), (0o600, 0o700));

    let request = request.await.unwrap();
    assert!(request.starts_with("PUT /kubeconfig HTTP/1.1"), "{request}");
    assert!(request.contains("Authorization: Bearer sentinel"), "{request}");
    assert!(request.contains("server: https://192.0.2.9:6443"), "{request}");

    let mut seen = Vec::new();
    while let Ok(step) = told.try_recv() {
        seen.push(step);
    }
    assert!(seen.contains(&Step::LeftOut(vec!["package_update".to_owned()])), "{seen:?}");
    assert!(seen.contains(&Step::Logged("first: says hello".to_owned())), "{seen:?}");
    assert!(seen.contains(&Step::Called("reboot".to_owned())), "{seen:?}");
}

#[tokio::test]
async fn a_unit_that_is_waited_for_gives_its_status_to_systemctl() {
    let root = tempfile::tempdir().unwrap();
    let text = "#cloud-config\nwrite_files:\n- path: /etc/systemd/system/x.service\n  content: |\n    [Service]\n    \
                Type=oneshot\n    ExecStart=/bin/sh -c 'exit 9'\nruncmd:\n- [systemctl, start, x]\n- [systemctl, stop, x]\n";
    let report = boot(Boot::new(text.to_owned(), root.path().to_owned(), String::new())).await.unwrap();
    assert_eq!(report.commands.iter().map(|ran| ran.status).collect::<Vec<_>>(), [9, 0], "{report:?}");
    assert_eq!(report.units.len(), 1);
}

/// As the clouds' nodes boot: a unit that is asked for once its files are there, and tried again by its timer.
#[tokio::test]
async fn a_boot_unit_is_started_again_by_its_timer_until_it_is_complete() {
    let root = tempfile::tempdir().unwrap();
    let text = r#"#cloud-config
ssh_pwauth: false
bootcmd:
- [sh, -c, '[ ! -e "$CATALYST_ROOT/etc/systemd/system/boot.service" ] || echo too-early >"$CATALYST_ROOT/early"']
- [systemctl, start, --no-block, boot.service]
runcmd:
- [systemctl, start, --no-block, boot.service]
write_files:
- path: /etc/systemd/system/boot.service
  content: |
    [Unit]
    ConditionPathExists=!/var/complete
    [Service]
    Type=oneshot
    ExecStart=/usr/local/boot.sh
    StandardOutput=append:/var/log/boot.log
- path: /etc/systemd/system/boot.timer
  content: |
    [Timer]
    OnUnitInactiveSec=2min
- path: /usr/local/boot.sh
  permissions: '0755'
  content: |
    #!/bin/sh
    set -eu
    systemctl enable --now boot.timer
    echo try >>"$CATALYST_ROOT/tries"
    [ "$(wc -l <"$CATALYST_ROOT/tries")" -ge 2 ]
    : >"$CATALYST_ROOT/var/complete"
    systemctl disable --now boot.timer
"#;
    let report = boot(Boot::new(text.to_owned(), root.path().to_owned(), String::new())).await.unwrap();
    let ran = |status| Ran { what: "boot.service".to_owned(), status };
    assert_eq!(report.units, [ran(1), ran(0)], "{report:?}");
    assert_eq!(report.last_of_units().collect::<Vec<_>>(), [&ran(0)]);
    assert!(root.path().join("var/complete").exists() && !root.path().join("early").exists());
}

fn is_alive(pid_file: &Path) -> bool {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    // A zombie is dead as well; nobody may be there to reap it.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z"))
}

#[tokio::test]
async fn at_the_limit_everything_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let text = "#cloud-config\nruncmd:\n- sh -c 'echo $$ >\"$CATALYST_ROOT/pid\"; exec sleep 600' & sleep 600\n";
    let mut plan = Boot::new(text.to_owned(), root.path().to_owned(), String::new());
    plan.limit = Duration::from_millis(700);
    let error = boot(plan).await.unwrap_err();
    assert!(matches!(error, BootError::TimeLimit { .. }), "{error}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!is_alive(&root.path().join("pid")));
}

#[tokio::test]
async fn a_boot_that_is_dropped_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let text = "#cloud-config\nruncmd:\n- echo $$ >\"$CATALYST_ROOT/pid\"; sleep 600; true\n";
    let task = tokio::spawn(boot(Boot::new(text.to_owned(), root.path().to_owned(), String::new())));
    while !std::fs::read_to_string(root.path().join("pid")).is_ok_and(|pid| pid.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_alive(&root.path().join("pid")));
    task.abort();
    let _ = task.await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!is_alive(&root.path().join("pid")));
}

#[tokio::test]
async fn a_flood_is_stopped() {
    let root = tempfile::tempdir().unwrap();
    let text = "#cloud-config\nruncmd:\n- yes flood\n";
    let error = boot(Boot::new(text.to_owned(), root.path().to_owned(), String::new())).await.unwrap_err();
    assert!(matches!(error, BootError::TooMuchOutput), "{error}");
}

#[tokio::test]
async fn a_root_that_a_shell_would_take_apart_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    for root in [parent.path().join("a b"), parent.path().join("a;b"), PathBuf::from("relative")] {
        let text = "#cloud-config\nruncmd:\n- 'true'\n".to_owned();
        assert!(matches!(boot(Boot::new(text, root, String::new())).await, Err(BootError::Root)));
    }
}
