# One single-region Sovereign: what it is called, its secrets, its servers. network.tf and load-balancer.tf are beside it.
# What runs on the servers is in the cloudinit-* templates, which are those of infra/hetzner but for
# cloudinit-forward.tftpl. They only place values: whatever has to be computed, above all from a secret, is computed here,
# so that a caller may render a template in advance and leave holes for what only OpenTofu knows (README.md, "Templates").

locals {
  # An empty string is "not said": a caller that always writes every key gets the default all the same.
  worker_size         = var.worker_size != "" ? var.worker_size : var.control_plane_size
  image_name          = var.image_name != "" ? var.image_name : "Ubuntu 24.04"
  server_group_policy = var.server_group_policy != "" ? var.server_group_policy : "anti-affinity"
  gitops_repo_url     = var.gitops_repo_url != "" ? var.gitops_repo_url : "https://github.com/openova-io/openova"
  gitops_branch       = var.gitops_branch != "" ? var.gitops_branch : "main"
  ghcr_pull_username  = var.ghcr_pull_username != "" ? var.ghcr_pull_username : "openova-bot"
  catalyst_api_url    = trimsuffix(var.catalyst_api_url != "" ? var.catalyst_api_url : "https://console.openova.io/sovereign", "/")
  k3s_version         = var.k3s_version != "" ? var.k3s_version : "v1.31.4+k3s1"
  helm_version        = var.helm_version != "" ? var.helm_version : "v3.16.4"
  cilium_version      = var.cilium_version != "" ? var.cilium_version : "1.16.5"
  flux_version        = var.flux_version != "" ? var.flux_version : "v2.4.0"

  own_gitops_path = "clusters/${var.sovereign_fqdn}"
  gitops_path     = var.gitops_path != "" ? trimsuffix(var.gitops_path, "/") : local.own_gitops_path

  control_plane_count = var.ha_enabled ? 3 : 1

  subnet_range             = "10.0.1.0/24"
  first_private_ip         = cidrhost(local.subnet_range, 2)
  load_balancer_private_ip = local.octavia ? cidrhost(local.subnet_range, 254) : local.first_private_ip

  # Server names become host names and the value of a node label: 63 characters at most, "-w50" included. a.b-c.io and a-b.c.io are
  # one text once dots are dashes, so the name ends with a digest of the domain. What exists keeps the name that it was made with.
  name = "${trimsuffix(substr("catalyst-${replace(var.sovereign_fqdn, ".", "-")}", 0, 50), "-")}-${substr(sha256(var.sovereign_fqdn), 0, 8)}"

  # Neutron's tags end at 60 characters and have no comma; Nova's metadata keys have no slash.
  labels = {
    "catalyst-sovereign"  = length(var.sovereign_fqdn) <= 41 ? var.sovereign_fqdn : "${substr(var.sovereign_fqdn, 0, 32)}-${substr(sha256(var.sovereign_fqdn), 0, 8)}"
    "catalyst-deployment" = var.deployment_id != "" ? var.deployment_id : "standalone"
  }
  tags = [for key, value in local.labels : "${key}=${value}"]

  # Neutron refuses, or silently changes, a network whose host bits are set.
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

# --- user data -------------------------------------------------------------------------------------------------------

locals {
  # Known before anything is created; each says whether a hole of the first server's template is used at all.
  postback_enabled = var.deployment_id != "" && nonsensitive(var.kubeconfig_bearer_token != "")
  ghcr_enabled     = nonsensitive(var.ghcr_pull_token != "")

  # As docker writes it: user and token are in `auth` alone.
  ghcr_dockerconfigjson_b64 = base64encode(jsonencode({
    auths = { "ghcr.io" = { auth = base64encode("${local.ghcr_pull_username}:${var.ghcr_pull_token}") } }
  }))

  # Arguments of this provider, as Crossplane's providers that are made from it read them.
  cloud_credentials_b64 = base64encode(jsonencode({
    auth_url                      = var.auth_url
    region                        = var.region
    application_credential_id     = var.application_credential_id
    application_credential_secret = var.application_credential_secret
  }))

  # The part that every node has, the same text for all. No secret and no hole is in it.
  base_files = templatefile("${path.module}/cloudinit-base.tftpl", {
    artifact_sha256sums        = join("", [for name, digest in var.artifact_sha256 : "${digest}  ${name}\n"])
    enable_fail2ban            = var.enable_fail2ban
    enable_unattended_upgrades = var.enable_unattended_upgrades
    k3s_version                = local.k3s_version
  })
  forward_files = local.octavia ? "" : templatefile("${path.module}/cloudinit-forward.tftpl", {})

  first_user_data = templatefile("${path.module}/cloudinit-control-plane.tftpl", {
    base_files                 = "${local.base_files}${local.forward_files}"
    catalyst_api_url           = local.catalyst_api_url
    cilium_version             = local.cilium_version
    cloud_credentials_enabled  = var.enable_openstack_credentials
    cloud_credentials_key      = "credentials"
    cloud_credentials_name     = "openstack-credentials"
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

    cloud_credentials_b64     = local.cloud_credentials_b64
    deployment_id             = var.deployment_id
    ghcr_dockerconfigjson_b64 = local.ghcr_dockerconfigjson_b64
    k3s_agent_token           = sensitive(terraform_data.k3s_agent_token.output)
    k3s_token                 = sensitive(terraform_data.k3s_token.output)
    kubeconfig_bearer_token   = var.kubeconfig_bearer_token
    load_balancer_ipv4        = openstack_networking_floatingip_v2.main.address
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
    load_balancer_ipv4 = openstack_networking_floatingip_v2.main.address
    node_private_ip    = cidrhost(local.subnet_range, i + 2)
  })]

  # Nova takes 65,535 characters of base64, and a server made with more fails in mid-apply. cloud-init unpacks what is
  # packed; people cannot read that, so it is the exception.
  control_plane_user_data = [
    for text in concat(
      [var.cluster_exists ? local.join_user_data[0] : local.first_user_data],
      slice(local.join_user_data, 1, local.control_plane_count),
    ) :
    length(base64encode(text)) <= 65535 ? text : base64gzip(text)
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

# --- servers ---------------------------------------------------------------------------------------------------------

# What the cloud does not have is said at plan, not in the middle of an apply.
data "openstack_images_image_v2" "ubuntu" {
  name        = local.image_name
  most_recent = true
}

data "openstack_compute_flavor_v2" "control_plane" {
  name = var.control_plane_size
}

data "openstack_compute_flavor_v2" "worker" {
  count = var.worker_count > 0 ? 1 : 0

  name = local.worker_size
}

resource "openstack_compute_keypair_v2" "main" {
  name       = local.name
  public_key = trimspace(var.ssh_public_key)

  lifecycle {
    ignore_changes = [name]
  }
}

resource "openstack_compute_servergroup_v2" "control_plane" {
  name     = "${local.name}-cp"
  policies = [local.server_group_policy]

  lifecycle {
    # Another policy is another group, which a living server cannot enter.
    ignore_changes = [name, policies]
  }
}

# A server's address is fixed before the server is there.
resource "openstack_networking_port_v2" "control_plane" {
  count = local.control_plane_count

  name               = "${local.name}-cp${count.index + 1}"
  network_id         = openstack_networking_network_v2.main.id
  admin_state_up     = true
  security_group_ids = [openstack_networking_secgroup_v2.main.id]
  tags               = local.tags

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.main.id
    ip_address = cidrhost(local.subnet_range, count.index + 2)
  }

  lifecycle {
    ignore_changes = [name]
  }
}

resource "openstack_networking_port_v2" "worker" {
  count = var.worker_count

  name               = "${local.name}-w${count.index + 1}"
  network_id         = openstack_networking_network_v2.main.id
  admin_state_up     = true
  security_group_ids = [openstack_networking_secgroup_v2.main.id]
  tags               = local.tags

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.main.id
    ip_address = cidrhost(local.subnet_range, count.index + 10)
  }

  lifecycle {
    ignore_changes = [name]
  }
}

# Server 1, which alone holds the bearer, is openstack_compute_instance_v2.control_plane[0].
resource "openstack_compute_instance_v2" "control_plane" {
  count = local.control_plane_count

  name              = "${local.name}-cp${count.index + 1}"
  flavor_id         = data.openstack_compute_flavor_v2.control_plane.id
  image_id          = var.boot_volume_gib == 0 ? data.openstack_images_image_v2.ubuntu.id : null
  key_pair          = openstack_compute_keypair_v2.main.name
  availability_zone = var.availability_zone != "" ? var.availability_zone : null
  user_data         = local.control_plane_user_data[count.index]
  metadata          = merge(local.labels, { "catalyst-role" = "control-plane" })

  network {
    port = openstack_networking_port_v2.control_plane[count.index].id
  }

  scheduler_hints {
    group = openstack_compute_servergroup_v2.control_plane.id
  }

  dynamic "block_device" {
    for_each = var.boot_volume_gib > 0 ? [var.boot_volume_gib] : []
    content {
      uuid                  = data.openstack_images_image_v2.ubuntu.id
      source_type           = "image"
      destination_type      = "volume"
      volume_size           = block_device.value
      boot_index            = 0
      delete_on_termination = true
    }
  }

  lifecycle {
    # They matter at first boot only, yet a change of any would replace or rebuild a live server.
    ignore_changes = [name, user_data, key_pair, image_id, block_device, scheduler_hints, availability_zone]
  }

  # At first boot it downloads, and the way out is the router's.
  depends_on = [openstack_networking_router_interface_v2.main]
}

resource "openstack_compute_instance_v2" "worker" {
  count = var.worker_count

  name              = "${local.name}-w${count.index + 1}"
  flavor_id         = data.openstack_compute_flavor_v2.worker[0].id
  image_id          = var.boot_volume_gib == 0 ? data.openstack_images_image_v2.ubuntu.id : null
  key_pair          = openstack_compute_keypair_v2.main.name
  availability_zone = var.availability_zone != "" ? var.availability_zone : null
  user_data         = local.worker_user_data[count.index]
  metadata          = merge(local.labels, { "catalyst-role" = "worker" })

  network {
    port = openstack_networking_port_v2.worker[count.index].id
  }

  dynamic "block_device" {
    for_each = var.boot_volume_gib > 0 ? [var.boot_volume_gib] : []
    content {
      uuid                  = data.openstack_images_image_v2.ubuntu.id
      source_type           = "image"
      destination_type      = "volume"
      volume_size           = block_device.value
      boot_index            = 0
      delete_on_termination = true
    }
  }

  lifecycle {
    ignore_changes = [name, user_data, key_pair, image_id, block_device, availability_zone]
  }

  depends_on = [openstack_networking_router_interface_v2.main, openstack_compute_instance_v2.control_plane]
}
