//! Where records, logs, kubeconfigs and OpenTofu state are kept.
