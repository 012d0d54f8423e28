# A make-believe cloud: its servers are data in OpenTofu's state. Put your cloud's resources in their places and keep the
# names of variables and outputs; then the templates and src/ need few changes.

locals {
  name             = "catalyst-${replace(var.sovereign_fqdn, ".", "-")}-${substr(sha256(var.sovereign_fqdn), 0, 8)}"
  control_plane_ip = "127.0.0.1"
  load_balancer_ip = terraform_data.load_balancer.output.ipv4
  ghcr_auth_b64    = base64encode("openova-bot:${var.ghcr_pull_token}")

  # Whether there is a token is known before the apply, and no secret.
  has_ghcr_token = nonsensitive(var.ghcr_pull_token != "")
  has_postback   = var.deployment_id != "" && var.catalyst_api_url != "" && nonsensitive(var.kubeconfig_bearer_token != "")
}

# Joining needs one secret that is the same on every run.
resource "terraform_data" "k3s_token" {
  input = var.k3s_token != "" ? var.k3s_token : sha256("${uuid()}${uuid()}")
  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "load_balancer" {
  input = {
    name    = "${local.name}-lb"
    ipv4    = "127.0.0.1"
    account = sha256(var.cloud_token)
    ssh_key = var.ssh_public_key
  }
}

resource "terraform_data" "server" {
  input = {
    name         = "${local.name}-cp1"
    machine_type = var.server_size
    region       = var.region
    user_data = templatefile("${path.module}/cloudinit-server.tftpl", {
      sovereign_fqdn          = var.sovereign_fqdn
      org_name                = var.org_name
      org_email               = var.org_email
      region                  = var.region
      ha_enabled              = false
      worker_count            = var.worker_count
      gitops_repo_url         = var.gitops_repo_url
      gitops_branch           = var.gitops_branch
      catalyst_api_url        = var.catalyst_api_url
      api_port                = var.api_port
      has_ghcr_token          = local.has_ghcr_token
      has_postback            = local.has_postback
      ghcr_auth_b64           = local.ghcr_auth_b64
      k3s_token               = sensitive(terraform_data.k3s_token.output)
      deployment_id           = var.deployment_id
      kubeconfig_bearer_token = var.kubeconfig_bearer_token
      load_balancer_ipv4      = local.load_balancer_ip
    })
  }
  lifecycle {
    # A server is not replaced because a template or a token changed.
    ignore_changes = [input]
  }
}

resource "terraform_data" "worker" {
  count = var.worker_count
  input = {
    name         = "${local.name}-w${count.index + 1}"
    machine_type = var.worker_size
    region       = var.region
    user_data = templatefile("${path.module}/cloudinit-worker.tftpl", {
      sovereign_fqdn   = var.sovereign_fqdn
      first_server_url = "https://10.0.1.2:6443"
      k3s_token        = sensitive(terraform_data.k3s_token.output)
    })
  }
  lifecycle {
    ignore_changes = [input]
  }
}
