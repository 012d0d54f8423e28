# Octavia, where the cloud has it. Without it the floating IP is the first server's, and cloudinit-forward.tftpl does the
# rest.

locals {
  octavia = var.load_balancer != "none"
  ovn     = local.octavia && var.load_balancer_provider == "ovn"

  # No server has a public address of its own, so ssh comes by the load balancer too. An IPv4 listener takes IPv4 networks.
  ssh_listener_networks = local.octavia ? [for cidr in local.ssh_networks : cidr if !strcontains(cidr, ":")] : []
  ssh_listener          = length(local.ssh_listener_networks) > 0

  # The kubeconfig names the load balancer. A watch may be silent for long, which Octavia would cut off after 50 s.
  services = merge(
    {
      http       = { port = 80, member_port = 31080, from = [], idle_ms = null }
      https      = { port = 443, member_port = 31443, from = [], idle_ms = null }
      kubernetes = { port = 6443, member_port = 6443, from = [], idle_ms = local.ovn ? null : 3600000 }
    },
    local.ssh_listener ? {
      ssh = { port = 22, member_port = 22, from = local.ssh_listener_networks, idle_ms = local.ovn ? null : 3600000 }
    } : {}
  )
  balanced = local.octavia ? local.services : {}
}

resource "openstack_lb_loadbalancer_v2" "main" {
  count = local.octavia ? 1 : 0

  name                  = "${local.name}-lb"
  vip_subnet_id         = openstack_networking_subnet_v2.main.id
  vip_address           = local.load_balancer_private_ip
  loadbalancer_provider = var.load_balancer_provider != "" ? var.load_balancer_provider : null
  tags                  = local.tags

  lifecycle {
    ignore_changes = [name]
  }
}

# ovn takes no list of networks and needs none: the servers' security group sees the client itself.
resource "openstack_lb_listener_v2" "main" {
  for_each = local.balanced

  name                = "${local.name}-${each.key}"
  loadbalancer_id     = openstack_lb_loadbalancer_v2.main[0].id
  protocol            = "TCP"
  protocol_port       = each.value.port
  allowed_cidrs       = !local.ovn && length(each.value.from) > 0 ? each.value.from : null
  timeout_client_data = each.value.idle_ms
  timeout_member_data = each.value.idle_ms
  tags                = local.tags

  lifecycle {
    ignore_changes = [name]
  }
}

resource "openstack_lb_pool_v2" "main" {
  for_each = local.balanced

  name        = "${local.name}-${each.key}"
  listener_id = openstack_lb_listener_v2.main[each.key].id
  protocol    = "TCP"
  lb_method   = local.ovn ? "SOURCE_IP_PORT" : "ROUND_ROBIN"
  tags        = local.tags

  lifecycle {
    ignore_changes = [name]
  }
}

# A server that went down gets no more connections.
resource "openstack_lb_monitor_v2" "main" {
  for_each = local.balanced

  name        = "${local.name}-${each.key}"
  pool_id     = openstack_lb_pool_v2.main[each.key].id
  type        = "TCP"
  delay       = 10
  timeout     = 5
  max_retries = 3

  lifecycle {
    ignore_changes = [name]
  }
}

resource "openstack_lb_members_v2" "main" {
  for_each = local.balanced

  pool_id = openstack_lb_pool_v2.main[each.key].id

  dynamic "member" {
    for_each = range(each.key == "ssh" ? 1 : local.control_plane_count)
    content {
      # That of its port, which keeps the name that it was made with.
      name          = openstack_networking_port_v2.control_plane[member.value].name
      address       = cidrhost(local.subnet_range, member.value + 2)
      protocol_port = each.value.member_port
      subnet_id     = openstack_networking_subnet_v2.main.id
    }
  }
}
