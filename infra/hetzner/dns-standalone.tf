# For standalone use only. Under the host the pool-domain manager writes the records, and this file is not staged; so
# nothing else may refer to what is in it.

locals {
  dns_hook_enabled = local.domain_mode == "pool" && nonsensitive(var.dynadot_key != "")
}

resource "terraform_data" "pool_dns" {
  count = local.dns_hook_enabled ? 1 : 0

  triggers_replace = [hcloud_load_balancer.main.ipv4, var.sovereign_subdomain, var.pool_domain]

  lifecycle {
    precondition {
      condition     = var.sovereign_subdomain != "" && var.pool_domain != "" && nonsensitive(var.dynadot_secret != "")
      error_message = "Pool mode with dynadot_key also needs dynadot_secret, sovereign_subdomain and pool_domain."
    }
  }

  # Credentials go in the environment, never in the argument list that other users of the machine can see.
  provisioner "local-exec" {
    command = "catalyst dns"
    environment = {
      DYNADOT_API_KEY    = var.dynadot_key
      DYNADOT_API_SECRET = var.dynadot_secret
      DOMAIN             = var.pool_domain
      SUBDOMAIN          = var.sovereign_subdomain
      LB_IP              = hcloud_load_balancer.main.ipv4
    }
  }
}
