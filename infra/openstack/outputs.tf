output "control_plane_ip" {
  description = "Public IPv4 address by which the first control-plane server is reached: the one address there is."
  value       = openstack_networking_floatingip_v2.main.address

  # Before it is attached, it reaches nothing.
  depends_on = [openstack_networking_floatingip_associate_v2.main]
}

output "load_balancer_ip" {
  description = "Public IPv4 address of the cluster; the kubeconfig and the DNS records name it."
  value       = openstack_networking_floatingip_v2.main.address
  depends_on  = [openstack_networking_floatingip_associate_v2.main]
}

output "sovereign_fqdn" {
  description = "Domain of the Sovereign."
  value       = var.sovereign_fqdn
}

output "console_url" {
  description = "Where the console will answer."
  value       = "https://console.${var.sovereign_fqdn}"
}

output "gitops_repo_url" {
  description = "Repository and folder that Flux follows."
  value       = "${local.gitops_repo_url}//${local.gitops_path}"
}

output "resource_name" {
  description = "How the name of everything that this module made begins, also of what a broken run left outside the state."
  value       = trimsuffix(openstack_networking_network_v2.main.name, "-net")
}
