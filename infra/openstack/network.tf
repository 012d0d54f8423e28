# The private network, its way out, and what may come in.

data "openstack_networking_network_v2" "external" {
  name     = var.external_network
  external = true
}

resource "openstack_networking_network_v2" "main" {
  name           = "${local.name}-net"
  admin_state_up = true
  tags           = local.tags

  lifecycle {
    ignore_changes = [name]
  }
}

resource "openstack_networking_subnet_v2" "main" {
  name            = "${local.name}-subnet"
  network_id      = openstack_networking_network_v2.main.id
  ip_version      = 4
  cidr            = local.subnet_range
  gateway_ip      = cidrhost(local.subnet_range, 1)
  dns_nameservers = var.dns_nameservers
  tags            = local.tags

  # Whatever Neutron and Octavia choose themselves stays clear of the servers' and the load balancer's fixed addresses.
  allocation_pool {
    start = cidrhost(local.subnet_range, 100)
    end   = cidrhost(local.subnet_range, 250)
  }

  lifecycle {
    ignore_changes = [name]
  }
}

resource "openstack_networking_router_v2" "main" {
  name                = "${local.name}-router"
  external_network_id = data.openstack_networking_network_v2.external.id
  tags                = local.tags

  lifecycle {
    ignore_changes = [name]
  }
}

resource "openstack_networking_router_interface_v2" "main" {
  router_id = openstack_networking_router_v2.main.id
  subnet_id = openstack_networking_subnet_v2.main.id
}

# --- the one public address ------------------------------------------------------------------------------------------

# By itself, so that the servers' certificates can name it before anything stands behind it.
resource "openstack_networking_floatingip_v2" "main" {
  pool = var.external_network
  tags = local.tags
}

resource "openstack_networking_floatingip_associate_v2" "main" {
  floating_ip = openstack_networking_floatingip_v2.main.address
  port_id     = local.octavia ? openstack_lb_loadbalancer_v2.main[0].vip_port_id : openstack_networking_port_v2.control_plane[0].id

  # Neutron refuses an address whose subnet has no router.
  depends_on = [openstack_networking_router_interface_v2.main]
}

# --- what may come in ------------------------------------------------------------------------------------------------

locals {
  anywhere = "0.0.0.0/0"

  # Amphorae speak from addresses of the subnet; ovn leaves each packet the address of its client.
  balanced_from  = local.ovn ? local.anywhere : local.subnet_range
  balanced_ports = { for name, service in local.services : name => service.member_port if name != "ssh" }
  direct_ports   = { http = 80, https = 443, kubernetes = 6443 }

  web_rules = {
    for name, port in local.octavia ? local.balanced_ports : local.direct_ports :
    name => { port = port, from = local.octavia ? local.balanced_from : local.anywhere }
  }
  ssh_rules = { for cidr in local.ssh_networks : "ssh-${cidr}" => { port = 22, from = cidr } }
  # The listener of an amphora itself lets only those networks through.
  ssh_balanced_rules = local.ssh_listener && !local.ovn ? { "ssh-balanced" = { port = 22, from = local.subnet_range } } : {}
}

# Neutron adds the two rules that let everything out.
resource "openstack_networking_secgroup_v2" "main" {
  name        = "${local.name}-sg"
  description = "Catalyst: ${local.name}"
  tags        = local.tags

  lifecycle {
    ignore_changes = [name, description]
  }
}

# Kubelet, etcd and Cilium's tunnel, open to the cluster's own servers and to nobody else.
resource "openstack_networking_secgroup_rule_v2" "members" {
  security_group_id = openstack_networking_secgroup_v2.main.id
  direction         = "ingress"
  ethertype         = "IPv4"
  remote_group_id   = openstack_networking_secgroup_v2.main.id
}

resource "openstack_networking_secgroup_rule_v2" "icmp" {
  security_group_id = openstack_networking_secgroup_v2.main.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "icmp"
  remote_ip_prefix  = local.anywhere
}

resource "openstack_networking_secgroup_rule_v2" "tcp" {
  for_each = merge(local.web_rules, local.ssh_rules, local.ssh_balanced_rules)

  security_group_id = openstack_networking_secgroup_v2.main.id
  direction         = "ingress"
  ethertype         = strcontains(each.value.from, ":") ? "IPv6" : "IPv4"
  protocol          = "tcp"
  port_range_min    = each.value.port
  port_range_max    = each.value.port
  remote_ip_prefix  = each.value.from
}
