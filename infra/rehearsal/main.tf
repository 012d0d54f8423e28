# A cloud that costs nothing: what a real module makes as servers and balancers is kept here as data in OpenTofu's state.
# The user data of each node is real; whoever plays the node takes it from the sensitive output `user_data`.

locals {
  name                = "${trimsuffix(substr("catalyst-${replace(var.sovereign_fqdn, ".", "-")}", 0, 50), "-")}-${substr(sha256(var.sovereign_fqdn), 0, 8)}"
  control_plane_count = var.ha_enabled ? 3 : 1
  control_plane_ip    = "127.0.0.1"
  load_balancer_ip    = terraform_data.load_balancer.output.ipv4
  first_server_url    = "https://10.0.1.2:6443"
  second_server_url   = "https://10.0.1.3:6443"
  k3s_token           = sensitive(terraform_data.k3s_token.output)
  ghcr_auth_b64       = base64encode("openova-bot:${var.ghcr_pull_token}")

  # Templates never compute on what only the apply knows; whether there is something is known, and not secret.
  has_ghcr_token = nonsensitive(var.ghcr_pull_token != "")
  has_postback   = var.deployment_id != "" && var.catalyst_api_url != "" && nonsensitive(var.kubeconfig_bearer_token != "")

  labels = {
    "catalyst.openova.io/sovereign"  = var.sovereign_fqdn
    "catalyst.openova.io/deployment" = var.deployment_id
  }
}

# Joining needs one secret that is the same on every run.
resource "terraform_data" "k3s_token" {
  input = var.k3s_token != "" ? var.k3s_token : sha256("${uuid()}${uuid()}")
  lifecycle {
    ignore_changes = [input]
  }
}

# What tells the first run from a retry, which may come within the same second: a name for each run, and the first of them.
resource "terraform_data" "run" {
  count = var.fail == "apply-once" ? 1 : 0
  input = uuid()
}

resource "terraform_data" "first_run" {
  count = var.fail == "apply-once" ? 1 : 0
  input = terraform_data.run[0].output
  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "network" {
  input = {
    name     = "${local.name}-net"
    ip_range = "10.0.0.0/16"
    subnet   = "10.0.1.0/24"
    account  = sha256(var.rehearsal_token)
    ssh_key  = var.ssh_public_key
    labels   = local.labels
  }
  lifecycle {
    precondition {
      condition     = var.fail != "plan"
      error_message = "error during placement (resource_unavailable): machine type ${var.control_plane_size} is not offered in ${var.region} (asked for by rehearsalFail = plan)"
    }
  }
}

resource "terraform_data" "load_balancer" {
  input = {
    name     = "${local.name}-lb"
    ipv4     = "127.0.0.1"
    network  = terraform_data.network.id
    services = ["80:31080", "443:31443", "${var.api_port}:6443"]
    labels   = local.labels
  }
}

resource "terraform_data" "control_plane" {
  count = local.control_plane_count
  input = {
    name         = "${local.name}-cp${count.index + 1}"
    machine_type = var.control_plane_size
    region       = var.region
    network      = terraform_data.network.id
    private_ip   = "10.0.1.${count.index + 2}"
    labels       = merge(local.labels, { "catalyst.openova.io/role" = "control-plane" })
    user_data = count.index == 0 && !var.cluster_exists ? templatefile("${path.module}/cloudinit-control-plane.tftpl", {
      sovereign_fqdn          = var.sovereign_fqdn
      org_name                = var.org_name
      org_email               = var.org_email
      region                  = var.region
      ha_enabled              = var.ha_enabled
      worker_count            = var.worker_count
      gitops_repo_url         = var.gitops_repo_url
      gitops_branch           = var.gitops_branch
      catalyst_api_url        = var.catalyst_api_url
      api_port                = var.api_port
      has_ghcr_token          = local.has_ghcr_token
      has_postback            = local.has_postback
      ghcr_auth_b64           = local.ghcr_auth_b64
      k3s_token               = local.k3s_token
      deployment_id           = var.deployment_id
      kubeconfig_bearer_token = var.kubeconfig_bearer_token
      load_balancer_ipv4      = local.load_balancer_ip
      }) : templatefile("${path.module}/cloudinit-control-plane-join.tftpl", {
      sovereign_fqdn = var.sovereign_fqdn
      # The first server joins as well when it is made while the cluster exists.
      server_url = count.index == 0 ? local.second_server_url : local.first_server_url
      k3s_token  = local.k3s_token
    })
  }
  lifecycle {
    # A server is not replaced because a template or a token changed.
    ignore_changes = [input]
    postcondition {
      # The id is not known at plan, so this is judged in the middle of the apply, as a cloud does it.
      condition     = !(var.fail == "apply" && length(self.id) > 0)
      error_message = "error during placement (resource_unavailable): no capacity left for ${var.control_plane_size} in ${var.region} (asked for by rehearsalFail = apply)"
    }
    postcondition {
      condition     = var.fail != "apply-once" || one(terraform_data.first_run[*].output) != one(terraform_data.run[*].output)
      error_message = "error during placement (resource_unavailable): no capacity left for ${var.control_plane_size} in ${var.region} (asked for by rehearsalFail = apply-once; the next run passes)"
    }
  }
}

resource "terraform_data" "worker" {
  count = var.worker_count
  input = {
    name         = "${local.name}-w${count.index + 1}"
    machine_type = var.worker_size
    region       = var.region
    network      = terraform_data.network.id
    private_ip   = "10.0.1.${count.index + 10}"
    labels       = merge(local.labels, { "catalyst.openova.io/role" = "worker" })
    user_data = templatefile("${path.module}/cloudinit-worker.tftpl", {
      sovereign_fqdn   = var.sovereign_fqdn
      first_server_url = local.first_server_url
      k3s_token        = local.k3s_token
    })
  }
  depends_on = [terraform_data.control_plane]
  lifecycle {
    ignore_changes = [input]
  }
}
