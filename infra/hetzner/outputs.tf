output "control_plane_ip" {
  description = "Public IPv4 address of the first control-plane server."
  value       = hcloud_server.control_plane[0].ipv4_address
}

output "load_balancer_ip" {
  description = "Public IPv4 address of the load balancer; the kubeconfig and the DNS records name it."
  value       = hcloud_load_balancer.main.ipv4
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

output "label_selector" {
  description = "Finds everything this module made, also what a broken run left outside the state."
  value       = "catalyst.openova.io/sovereign=${local.labels["catalyst.openova.io/sovereign"]},catalyst.openova.io/deployment-id=${local.labels["catalyst.openova.io/deployment-id"]}"
}
