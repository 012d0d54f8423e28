output "control_plane_ip" {
  description = "Address of the first server."
  value       = local.control_plane_ip
  depends_on  = [terraform_data.server]
}

output "load_balancer_ip" {
  description = "Address of the load balancer."
  value       = local.load_balancer_ip
}

output "console_url" {
  description = "Where the console will be."
  value       = "https://console.${var.sovereign_fqdn}"
}

# The next two are what `catalyst rehearse` plays a node from; a real cloud needs neither.
output "user_data" {
  description = "cloud-init of each node, by its short name."
  sensitive   = true
  value = merge(
    { cp1 = terraform_data.server.output.user_data },
    { for i, node in terraform_data.worker : "w${i + 1}" => node.output.user_data },
  )
}

output "api_port" {
  description = "Port at which the cluster's API answers."
  value       = var.api_port
}
