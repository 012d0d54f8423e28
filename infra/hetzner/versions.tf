terraform {
  required_version = ">= 1.6.0"

  required_providers {
    hcloud = {
      source = "hetznercloud/hcloud"
      # Exact on purpose: this runs with the project's full token. README.md says how to lock and mirror it.
      version = "= 1.68.0"
    }
  }
}

provider "hcloud" {
  token = var.hcloud_token
}
