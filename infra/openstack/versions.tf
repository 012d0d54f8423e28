terraform {
  # 1.9 is the first whose validations may look at other variables.
  required_version = ">= 1.9.0"

  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
      # Exact on purpose: this runs with the project's credential. README.md says how to lock and mirror it.
      version = "= 3.4.0"
    }
  }
}

provider "openstack" {
  auth_url                      = var.auth_url
  region                        = var.region
  application_credential_id     = var.application_credential_id
  application_credential_secret = var.application_credential_secret
  # No max_retries: the provider would repeat creates as well, and make twice what was made while the answer got lost.
}
