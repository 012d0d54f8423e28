output "control_plane_ip" {
  description = "Address of the first server: this machine."
  value       = local.control_plane_ip
  depends_on  = [terraform_data.control_plane]
}

output "load_balancer_ip" {
  description = "Address of the load balancer: this machine."
  value       = local.load_balancer_ip
}

output "sovereign_fqdn" {
  description = "DNS name of the cluster."
  value       = var.sovereign_fqdn
}

output "console_url" {
  description = "Where the console will be."
  value       = "https://console.${var.sovereign_fqdn}"
}

output "user_data" {
  description = "cloud-init of each node, by its short name: cp1, cp2, cp3, w1, …"
  sensitive   = true
  value = merge(
    { for i, node in terraform_data.control_plane : "cp${i + 1}" => node.output.user_data },
    { for i, node in terraform_data.worker : "w${i + 1}" => node.output.user_data },
  )
}

output "api_port" {
  description = "Port at which the cluster's API answers on this machine."
  value       = var.api_port
}
