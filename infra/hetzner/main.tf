# One single-region Sovereign: network, firewall, load balancer, servers. What runs on the servers is in the cloudinit-*
# templates. They only place values: whatever has to be computed, above all from a secret, is computed here, so that a
# caller may render a template in advance and leave holes for what only OpenTofu knows (README.md, "Templates").

locals {
  # An empty string is "not said": a caller that always writes every key gets the default all the same.
  control_plane_size = var.control_plane_size != "" ? var.control_plane_size : "cx42"
  worker_size        = var.worker_size != "" ? var.worker_size : "cx32"
  domain_mode        = startswith(var.domain_mode, "byo") ? "byo" : "pool"
  gitops_repo_url    = var.gitops_repo_url != "" ? var.gitops_repo_url : "https://github.com/openova-io/openova"
  gitops_branch      = var.gitops_branch != "" ? var.gitops_branch : "main"
  ghcr_pull_username = var.ghcr_pull_username != "" ? var.ghcr_pull_username : "openova-bot"
  catalyst_api_url   = trimsuffix(var.catalyst_api_url != "" ? var.catalyst_api_url : "https://console.openova.io/sovereign", "/")
  k3s_version        = var.k3s_version != "" ? var.k3s_version : "v1.31.4+k3s1"
  helm_version       = var.helm_version != "" ? var.helm_version : "v3.16.4"
  cilium_version     = var.cilium_version != "" ? var.cilium_version : "1.16.5"
  flux_version       = var.flux_version != "" ? var.flux_version : "v2.4.0"

  own_gitops_path = "clusters/${var.sovereign_fqdn}"
  gitops_path     = var.gitops_path != "" ? trimsuffix(var.gitops_path, "/") : local.own_gitops_path

  control_plane_count = var.ha_enabled ? 3 : 1

  network_zones = {
    fsn1 = "eu-central", nbg1 = "eu-central", hel1 = "eu-central"
    ash  = "us-east", hil = "us-west", sin = "ap-southeast"
  }
  subnet_range             = "10.0.1.0/24"
  first_private_ip         = cidrhost(local.subnet_range, 2)
  load_balancer_private_ip = cidrhost(local.subnet_range, 254)

  # Server names become host names and the value of a node label: 63 characters at most, "-w50" included. a.b-c.io and a-b.c.io are
  # one text once dots are dashes, so the name ends with a digest of the domain. What exists keeps the name that it was made with.
  name = "${trimsuffix(substr("catalyst-${replace(var.sovereign_fqdn, ".", "-")}", 0, 50), "-")}-${substr(sha256(var.sovereign_fqdn), 0, 8)}"

  # Label values end at 63 characters, a domain does not.
  labels = {
    "catalyst.openova.io/sovereign"     = length(var.sovereign_fqdn) <= 63 ? var.sovereign_fqdn : "${substr(var.sovereign_fqdn, 0, 54)}-${substr(sha256(var.sovereign_fqdn), 0, 8)}"
    "catalyst.openova.io/deployment-id" = var.deployment_id != "" ? var.deployment_id : "standalone"
  }

  ssh_key = var.ssh_key_name != "" ? var.ssh_key_name : hcloud_ssh_key.main[0].id

  # Hetzner refuses a network whose host bits are set.
  ssh_networks = distinct([for c in var.ssh_allowed_cidrs : "${cidrhost(c, 0)}/${split("/", c)[1]}"])
}

# --- secrets that must stay what they were at the first apply ---------------------------------------------------------

resource "terraform_data" "k3s_token" {
  input = sensitive(var.k3s_token != "" ? var.k3s_token : sha256("${uuid()}${uuid()}"))

  lifecycle {
    # A server made by a later apply must get the token that the first server has.
    ignore_changes = [input]
  }
}

resource "terraform_data" "k3s_agent_token" {
  input = sensitive(var.k3s_agent_token != "" ? var.k3s_agent_token : sha256("${uuid()}${uuid()}"))

  lifecycle {
    ignore_changes = [input]
    precondition {
      condition     = nonsensitive(var.k3s_agent_token == "" || var.k3s_agent_token != var.k3s_token)
      error_message = "k3s_agent_token must differ from k3s_token: a worker's token must not open the control plane."
    }
  }
}

# --- network ---------------------------------------------------------------------------------------------------------

resource "hcloud_network" "main" {
  name     = "${local.name}-net"
  ip_range = "10.0.0.0/16"
  labels   = local.labels

  lifecycle {
    ignore_changes = [name]
  }
}

resource "hcloud_network_subnet" "main" {
  network_id   = hcloud_network.main.id
  type         = "cloud"
  network_zone = local.network_zones[var.region]
  ip_range     = local.subnet_range
}

resource "hcloud_firewall" "main" {
  name   = "${local.name}-fw"
  labels = local.labels

  dynamic "rule" {
    for_each = toset(["80", "443", "6443"])
    content {
      direction  = "in"
      protocol   = "tcp"
      port       = rule.value
      source_ips = ["0.0.0.0/0", "::/0"]
    }
  }

  rule {
    direction  = "in"
    protocol   = "icmp"
    source_ips = ["0.0.0.0/0", "::/0"]
  }

  dynamic "rule" {
    for_each = length(local.ssh_networks) > 0 ? [local.ssh_networks] : []
    content {
      direction  = "in"
      protocol   = "tcp"
      port       = "22"
      source_ips = rule.value
    }
  }

  lifecycle {
    ignore_changes = [name]
  }
}

resource "hcloud_ssh_key" "main" {
  # A project takes no key twice, so one that it has is named instead.
  count = var.ssh_key_name == "" ? 1 : 0

  name       = local.name
  public_key = trimspace(var.ssh_public_key)
  labels     = local.labels

  lifecycle {
    ignore_changes = [name]
  }
}

# --- load balancer ---------------------------------------------------------------------------------------------------

resource "hcloud_load_balancer" "main" {
  name               = "${local.name}-lb"
  load_balancer_type = "lb11"
  location           = var.region
  labels             = local.labels

  algorithm {
    type = "round_robin"
  }

  lifecycle {
    ignore_changes = [name]
  }
}

resource "hcloud_load_balancer_network" "main" {
  load_balancer_id = hcloud_load_balancer.main.id
  subnet_id        = hcloud_network_subnet.main.id
  # Fixed: left to choose, it may take an address that a server is about to be given.
  ip = local.load_balancer_private_ip
}

resource "hcloud_load_balancer_target" "control_plane" {
  count = local.control_plane_count

  type             = "server"
  load_balancer_id = hcloud_load_balancer.main.id
  server_id        = hcloud_server.control_plane[count.index].id
  use_private_ip   = true

  depends_on = [hcloud_load_balancer_network.main]
}

resource "hcloud_load_balancer_service" "http" {
  load_balancer_id = hcloud_load_balancer.main.id
  protocol         = "tcp"
  listen_port      = 80
  destination_port = 31080
}

resource "hcloud_load_balancer_service" "https" {
  load_balancer_id = hcloud_load_balancer.main.id
  protocol         = "tcp"
  listen_port      = 443
  destination_port = 31443
}

# The kubeconfig names the load balancer.
resource "hcloud_load_balancer_service" "kubernetes" {
  load_balancer_id = hcloud_load_balancer.main.id
  protocol         = "tcp"
  listen_port      = 6443
  destination_port = 6443
}

# --- servers ---------------------------------------------------------------------------------------------------------

resource "hcloud_placement_group" "control_plane" {
  name   = "${local.name}-cp"
  type   = "spread"
  labels = local.labels

  lifecycle {
    ignore_changes = [name]
  }
}

locals {
  # Known before anything is created; each says whether a hole of the first server's template is used at all.
  postback_enabled = var.deployment_id != "" && nonsensitive(var.kubeconfig_bearer_token != "")
  ghcr_enabled     = nonsensitive(var.ghcr_pull_token != "")

  # As docker writes it: user and token are in `auth` alone.
  ghcr_dockerconfigjson_b64 = base64encode(jsonencode({
    auths = { "ghcr.io" = { auth = base64encode("${local.ghcr_pull_username}:${var.ghcr_pull_token}") } }
  }))

  # The part that every node has, the same text for all. No secret and no hole is in it.
  base_files = templatefile("${path.module}/cloudinit-base.tftpl", {
    artifact_sha256sums        = join("", [for name, digest in var.artifact_sha256 : "${digest}  ${name}\n"])
    enable_fail2ban            = var.enable_fail2ban
    enable_unattended_upgrades = var.enable_unattended_upgrades
    k3s_version                = local.k3s_version
  })

  first_user_data = templatefile("${path.module}/cloudinit-control-plane.tftpl", {
    base_files                 = local.base_files
    catalyst_api_url           = local.catalyst_api_url
    cilium_version             = local.cilium_version
    cloud_credentials_enabled  = var.enable_hcloud_credentials
    cloud_credentials_key      = "token"
    cloud_credentials_name     = "hcloud-credentials"
    enable_fail2ban            = var.enable_fail2ban
    enable_local_storage       = var.enable_local_storage
    enable_unattended_upgrades = var.enable_unattended_upgrades
    first_private_ip           = local.first_private_ip
    flux_version               = local.flux_version
    ghcr_enabled               = local.ghcr_enabled
    gitops_branch              = local.gitops_branch
    gitops_path                = local.gitops_path
    gitops_repo_url            = local.gitops_repo_url
    gitops_substitute          = local.gitops_path != local.own_gitops_path
    ha_enabled                 = var.ha_enabled
    helm_version               = local.helm_version
    k3s_version                = local.k3s_version
    load_balancer_private_ip   = local.load_balancer_private_ip
    org_email                  = var.org_email
    org_name                   = var.org_name
    postback_enabled           = local.postback_enabled
    region                     = var.region
    sovereign_fqdn             = var.sovereign_fqdn
    sovereign_subdomain        = var.sovereign_subdomain
    worker_count               = var.worker_count

    cloud_credentials_b64     = base64encode(var.hcloud_token)
    deployment_id             = var.deployment_id
    ghcr_dockerconfigjson_b64 = local.ghcr_dockerconfigjson_b64
    k3s_agent_token           = sensitive(terraform_data.k3s_agent_token.output)
    k3s_token                 = sensitive(terraform_data.k3s_token.output)
    kubeconfig_bearer_token   = var.kubeconfig_bearer_token
    load_balancer_ipv4        = hcloud_load_balancer.main.ipv4
  })

  # Servers 2 and 3 join the first; they get no bearer, since it is good for one call. The first one joins as well, the second,
  # when it is made while the cluster exists: it never begins another.
  join_user_data = [for i in range(local.control_plane_count) : templatefile("${path.module}/cloudinit-control-plane-join.tftpl", {
    base_files                 = local.base_files
    enable_fail2ban            = var.enable_fail2ban
    enable_local_storage       = var.enable_local_storage
    enable_unattended_upgrades = var.enable_unattended_upgrades
    load_balancer_private_ip   = local.load_balancer_private_ip
    sovereign_fqdn             = var.sovereign_fqdn

    join_private_ip    = cidrhost(local.subnet_range, i == 0 ? 3 : 2)
    k3s_agent_token    = sensitive(terraform_data.k3s_agent_token.output)
    k3s_token          = sensitive(terraform_data.k3s_token.output)
    load_balancer_ipv4 = hcloud_load_balancer.main.ipv4
    node_private_ip    = cidrhost(local.subnet_range, i + 2)
  })]

  # Hetzner takes 32,768 bytes, and a server made with more fails in mid-apply. cloud-init unpacks what is packed; people
  # cannot read that in the console, so it is the exception. 43,688 characters of base64 are 32,766 bytes.
  control_plane_user_data = [
    for text in concat(
      [var.cluster_exists ? local.join_user_data[0] : local.first_user_data],
      slice(local.join_user_data, 1, local.control_plane_count),
    ) :
    length(base64encode(text)) <= 43688 ? text : base64gzip(text)
  ]

  worker_user_data = [for i in range(var.worker_count) : templatefile("${path.module}/cloudinit-worker.tftpl", {
    base_files                 = local.base_files
    enable_fail2ban            = var.enable_fail2ban
    enable_unattended_upgrades = var.enable_unattended_upgrades
    first_private_ip           = local.first_private_ip

    k3s_agent_token = sensitive(terraform_data.k3s_agent_token.output)
    node_private_ip = cidrhost(local.subnet_range, i + 10)
  })]
}

# Server 1, which alone holds the bearer, is hcloud_server.control_plane[0].
resource "hcloud_server" "control_plane" {
  count = local.control_plane_count

  name               = "${local.name}-cp${count.index + 1}"
  server_type        = local.control_plane_size
  image              = "ubuntu-24.04"
  location           = var.region
  ssh_keys           = [local.ssh_key]
  firewall_ids       = [hcloud_firewall.main.id]
  placement_group_id = hcloud_placement_group.control_plane.id
  user_data          = local.control_plane_user_data[count.index]
  labels             = merge(local.labels, { "catalyst.openova.io/role" = "control-plane" })

  network {
    network_id = hcloud_network.main.id
    ip         = cidrhost(local.subnet_range, count.index + 2)
  }

  lifecycle {
    # They matter at first boot only, yet a change of any would replace a live server.
    ignore_changes = [name, user_data, ssh_keys, image]
  }

  # The server is attached while it is made; without the subnet that fails.
  depends_on = [hcloud_network_subnet.main]
}

resource "hcloud_server" "worker" {
  count = var.worker_count

  name         = "${local.name}-w${count.index + 1}"
  server_type  = local.worker_size
  image        = "ubuntu-24.04"
  location     = var.region
  ssh_keys     = [local.ssh_key]
  firewall_ids = [hcloud_firewall.main.id]
  user_data    = local.worker_user_data[count.index]
  labels       = merge(local.labels, { "catalyst.openova.io/role" = "worker" })

  network {
    network_id = hcloud_network.main.id
    ip         = cidrhost(local.subnet_range, count.index + 10)
  }

  lifecycle {
    ignore_changes = [name, user_data, ssh_keys, image]
  }

  depends_on = [hcloud_network_subnet.main, hcloud_server.control_plane]
}
