# Every variable refuses null. Where a default exists, an empty string means that default (locals in main.tf), so a
# caller that always writes every key does no harm. Bounds on free text keep user data far below Nova's 65,535 bytes.

# --- who --------------------------------------------------------------------------------------------------------------

variable "sovereign_fqdn" {
  type        = string
  nullable    = false
  description = "Domain of the Sovereign, lower case, at least two labels, such as acme.omani.works."

  validation {
    condition     = length(var.sovereign_fqdn) <= 240 && can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.sovereign_fqdn))
    error_message = "sovereign_fqdn must be a lower-case domain name of at least two labels and at most 240 characters; a label neither begins nor ends with a hyphen."
  }
}

variable "sovereign_subdomain" {
  type        = string
  default     = ""
  nullable    = false
  description = "Label below the pool domain, where the domain is one of a pool."

  validation {
    condition     = var.sovereign_subdomain == "" || length(var.sovereign_subdomain) <= 63 && can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", var.sovereign_subdomain))
    error_message = "sovereign_subdomain must be empty or a lower-case DNS label, or several with dots between them, of at most 63 characters."
  }
}

variable "org_name" {
  type        = string
  nullable    = false
  description = "Organisation that owns the Sovereign. Free text, recorded on the node."

  validation {
    condition     = length(var.org_name) <= 200 && length(base64encode(var.org_name)) <= 1068 && can(regex("^[^\\p{Cc}\\p{Co}]*[^\\s\\p{Cc}\\p{Co}][^\\p{Cc}\\p{Co}]*$", var.org_name)) && !can(regex("[<>]\\p{M}", var.org_name))
    error_message = "org_name must be 1 to 200 characters (800 bytes), not blank, without control or private-use characters and without an accent on < or >, which jsonencode() would break."
  }
}

variable "org_email" {
  type        = string
  nullable    = false
  description = "Contact address of the organisation."

  validation {
    # 254 bytes are 340 characters of base64, the last of them a filler.
    condition     = length(trimsuffix(base64encode(var.org_email), "=")) <= 339 && can(regex("^[^@\\s\\p{Cc}\\p{Co}]+@[^@\\s\\p{Cc}\\p{Co}]+\\.[^@\\s\\p{Cc}\\p{Co}]+$", var.org_email)) && !can(regex("[<>]\\p{M}", var.org_email))
    error_message = "org_email must be an e-mail address of at most 254 bytes."
  }
}

# --- OpenStack project ------------------------------------------------------------------------------------------------

variable "auth_url" {
  type        = string
  nullable    = false
  description = "Address of the identity service (Keystone), version 3, such as https://auth.example.org/v3."

  validation {
    condition = length(var.auth_url) <= 256 && (
      can(regex("^https://[A-Za-z0-9.:\\[\\]_-]+(/[A-Za-z0-9._~/-]*)?$", var.auth_url)) ||
      can(regex("^http://(localhost|127\\.[0-9.]+|\\[::1\\])(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?$", var.auth_url))
    )
    error_message = "auth_url must be an https URL without query (http only for localhost), at most 256 characters."
  }
}

variable "application_credential_id" {
  type        = string
  nullable    = false
  sensitive   = true
  description = "Id of an application credential of the project."

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{8,64}$", var.application_credential_id))
    error_message = "application_credential_id must be 8 to 64 letters, digits and hyphens. It is the id, not the name."
  }
}

variable "application_credential_secret" {
  type        = string
  nullable    = false
  sensitive   = true
  description = "Secret of the application credential."

  validation {
    condition     = can(regex("^[!-~]{8,255}$", var.application_credential_secret))
    error_message = "application_credential_secret must be 8 to 255 printable ASCII characters without spaces."
  }
}

variable "region" {
  type        = string
  nullable    = false
  description = "Region of the cloud, as its catalogue names it, such as GRA11, dc3-a or RegionOne."

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", var.region))
    error_message = "region must be 1 to 63 letters, digits, dots, hyphens and underscores."
  }
}

variable "availability_zone" {
  type        = string
  default     = ""
  nullable    = false
  description = "Availability zone of the servers. Empty: the cloud chooses."

  validation {
    condition     = var.availability_zone == "" || can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", var.availability_zone))
    error_message = "availability_zone must be empty or 1 to 63 letters, digits, dots, hyphens and underscores."
  }
}

variable "external_network" {
  type        = string
  nullable    = false
  description = "Name of the external network that gives out floating IPs, such as Ext-Net."

  validation {
    condition     = can(regex("^[^\\s\\p{Cc}\\p{Co}]([^\\p{Cc}\\p{Co}]{0,253}[^\\s\\p{Cc}\\p{Co}])?$", var.external_network))
    error_message = "external_network must be 1 to 255 characters without control characters, not blank at its ends."
  }
}

variable "dns_nameservers" {
  type        = list(string)
  default     = ["9.9.9.9", "149.112.112.112"]
  nullable    = false
  description = "Resolvers of the servers, IPv4. Empty: those of the cloud, where it has any."

  # Neutron takes five by default.
  validation {
    condition     = length(var.dns_nameservers) <= 5 && length(distinct(var.dns_nameservers)) == length(var.dns_nameservers) && alltrue([for a in var.dns_nameservers : can(regex("^(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){3}$", a)) && can(cidrhost("${a}/32", 0))])
    error_message = "dns_nameservers must be at most 5 different IPv4 addresses."
  }
}

# --- size -------------------------------------------------------------------------------------------------------------

variable "control_plane_size" {
  type        = string
  nullable    = false
  description = "Flavour of the control plane, by its name. 16 GB of RAM is the smallest that carries a solo Sovereign."

  validation {
    condition     = can(regex("^[!-~]([ -~]{0,98}[!-~])?$", var.control_plane_size))
    error_message = "control_plane_size must be a flavour's name, 1 to 100 printable ASCII characters."
  }
}

variable "worker_size" {
  type        = string
  default     = ""
  nullable    = false
  description = "Flavour of the workers, by its name. Empty: that of the control plane."

  validation {
    condition     = var.worker_size == "" || can(regex("^[!-~]([ -~]{0,98}[!-~])?$", var.worker_size))
    error_message = "worker_size must be empty or a flavour's name, 1 to 100 printable ASCII characters."
  }
}

variable "image_name" {
  type        = string
  default     = "Ubuntu 24.04"
  nullable    = false
  description = "Name of an Ubuntu 24.04 image. Of several with the name the newest is taken."

  validation {
    condition     = var.image_name == "" || can(regex("^[^\\s\\p{Cc}\\p{Co}]([^\\p{Cc}\\p{Co}]{0,253}[^\\s\\p{Cc}\\p{Co}])?$", var.image_name))
    error_message = "image_name must be empty or 1 to 255 characters without control characters, not blank at its ends."
  }
}

variable "boot_volume_gib" {
  type        = number
  default     = 0
  nullable    = false
  description = "Size of a volume to boot from, for flavours without a disk of their own. 0: the flavour's disk."

  validation {
    condition     = floor(var.boot_volume_gib) == var.boot_volume_gib && (var.boot_volume_gib == 0 || var.boot_volume_gib >= 20 && var.boot_volume_gib <= 16384)
    error_message = "boot_volume_gib must be 0, or a whole number from 20 to 16384."
  }
}

variable "server_group_policy" {
  type        = string
  default     = "anti-affinity"
  nullable    = false
  description = "anti-affinity: no two control-plane servers on one machine, or none at all. soft-anti-affinity: as far as the cloud can."

  validation {
    condition     = contains(["", "anti-affinity", "soft-anti-affinity"], var.server_group_policy)
    error_message = "server_group_policy must be anti-affinity or soft-anti-affinity."
  }
}

variable "worker_count" {
  type        = number
  default     = 0
  nullable    = false
  description = "Number of workers."

  validation {
    condition     = var.worker_count >= 0 && var.worker_count <= 50 && floor(var.worker_count) == var.worker_count
    error_message = "worker_count must be a whole number from 0 to 50."
  }
}

variable "ha_enabled" {
  type        = bool
  default     = false
  nullable    = false
  description = "Three control-plane servers instead of one."
}

variable "cluster_exists" {
  type        = bool
  default     = false
  nullable    = false
  description = "Whether the cluster is there already: a control-plane server that is made then joins it, and none begins another."
}

# --- way in -----------------------------------------------------------------------------------------------------------

variable "load_balancer" {
  type        = string
  default     = "octavia"
  nullable    = false
  description = "octavia: the cloud's load balancer holds the public address. none: the first control-plane server does, and forwards ports 80 and 443 itself."

  validation {
    condition     = contains(["", "octavia", "none"], var.load_balancer)
    error_message = "load_balancer must be octavia or none."
  }

  # The one address would end with its server.
  validation {
    condition     = !(var.load_balancer == "none" && var.ha_enabled)
    error_message = "ha_enabled needs load_balancer octavia: without one the public address is the first server's alone."
  }
}

variable "load_balancer_provider" {
  type        = string
  default     = ""
  nullable    = false
  description = "Octavia provider, such as amphora or ovn. Empty: the cloud's default, which must not be ovn."

  validation {
    condition     = can(regex("^([a-z][a-z0-9_-]{0,31})?$", var.load_balancer_provider))
    error_message = "load_balancer_provider must be empty or the name of an Octavia provider, such as amphora or ovn."
  }
}

# --- access -----------------------------------------------------------------------------------------------------------

variable "ssh_public_key" {
  type        = string
  nullable    = false
  description = "The operator's public key in OpenSSH form. The module never makes one."

  # Blob lengths are fixed by RFC 4253, 5656 and 8709; a shorter one would pass plan and fail in mid-apply.
  validation {
    condition = length(var.ssh_public_key) <= 8192 && anytrue([
      can(regex("^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}( [^\\p{Cc}]*)?$", trimspace(var.ssh_public_key))),
      can(regex("^ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABB[A-Za-z0-9+/]{87}=( [^\\p{Cc}]*)?$", trimspace(var.ssh_public_key))),
      can(regex("^ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABh[A-Za-z0-9+/]{130}==( [^\\p{Cc}]*)?$", trimspace(var.ssh_public_key))),
      can(regex("^ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACF[A-Za-z0-9+/]{178}==( [^\\p{Cc}]*)?$", trimspace(var.ssh_public_key))),
      can(regex("^ssh-rsa AAAAB3NzaC1yc2EAAAA[A-Za-z0-9+/]{300,}={0,2}( [^\\p{Cc}]*)?$", trimspace(var.ssh_public_key))),
    ])
    error_message = "ssh_public_key must be one complete OpenSSH public key: ssh-ed25519, ssh-rsa (2048 bits or more), or ecdsa-sha2-nistp256, -nistp384, -nistp521. Keys of FIDO security keys (sk-...) are refused by most clouds."
  }
}

variable "ssh_allowed_cidrs" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "IPv4 or IPv6 networks that may reach port 22. Empty: the port stays closed."

  validation {
    # cidrhost() alone takes leading zeros, and makes IPv4 of ::ffff:0:0/96, which Neutron refuses in mid-apply.
    condition = alltrue([for c in var.ssh_allowed_cidrs :
      can(regex("^([0-9A-Fa-f:]+|(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){3})/(0|[1-9][0-9]{0,2})$", c)) &&
      try(strcontains(cidrhost(c, 0), ":") == strcontains(c, ":"), false)
    ])
    error_message = "each ssh_allowed_cidrs entry must be an IPv4 or IPv6 network in CIDR form, such as 203.0.113.7/32 or 2001:db8::/48."
  }

  # Each is a rule of its own, and a project has 100 of them by default.
  validation {
    condition     = length(var.ssh_allowed_cidrs) <= 50
    error_message = "ssh_allowed_cidrs has at most 50 networks."
  }
}

variable "enable_unattended_upgrades" {
  type        = bool
  default     = true
  nullable    = false
  description = "Install security updates by themselves; reboot at night where one needs it, each node at a time of its own."
}

variable "enable_fail2ban" {
  type        = bool
  default     = true
  nullable    = false
  description = "Ban addresses that keep failing at sshd."
}

# --- GitOps -----------------------------------------------------------------------------------------------------------

variable "gitops_repo_url" {
  type        = string
  default     = "https://github.com/openova-io/openova"
  nullable    = false
  description = "Repository that Flux follows."

  validation {
    condition     = var.gitops_repo_url == "" || (length(var.gitops_repo_url) <= 256 && can(regex("^(https?|ssh)://[^\\s\"'<>\\\\\\p{Cc}\\p{Co}]+$", var.gitops_repo_url)))
    error_message = "gitops_repo_url must be an http, https or ssh URL of at most 256 characters."
  }
}

variable "gitops_branch" {
  type        = string
  default     = "main"
  nullable    = false
  description = "Branch that Flux follows."

  validation {
    condition     = var.gitops_branch == "" || can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$", var.gitops_branch))
    error_message = "gitops_branch must be a branch name of at most 200 characters."
  }
}

variable "gitops_path" {
  type        = string
  default     = ""
  nullable    = false
  description = "Folder of this cluster in the repository. Empty: clusters/<sovereign_fqdn>. A different folder, such as clusters/_template, gets Flux's variable substitution."

  validation {
    condition     = var.gitops_path == "" || (can(regex("^[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$", var.gitops_path)) && !strcontains(var.gitops_path, ".."))
    error_message = "gitops_path must be a relative path of at most 200 characters without \"..\"."
  }
}

variable "ghcr_pull_token" {
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  description = "Token that pulls charts and images from ghcr.io. Empty: no pull secret is written."

  validation {
    condition     = can(regex("^[!-~]{0,256}$", var.ghcr_pull_token))
    error_message = "ghcr_pull_token must be printable ASCII without spaces, at most 256 characters."
  }
}

variable "ghcr_pull_username" {
  type        = string
  default     = "openova-bot"
  nullable    = false
  description = "User name that goes with ghcr_pull_token."

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{0,64}$", var.ghcr_pull_username))
    error_message = "ghcr_pull_username must be letters, digits and hyphens."
  }
}

# --- the host's side --------------------------------------------------------------------------------------------------

variable "deployment_id" {
  type        = string
  default     = ""
  nullable    = false
  description = "Identifier of the deployment; tags every resource. Empty when the module is used alone."

  validation {
    condition     = var.deployment_id == "" || can(regex("^[A-Za-z0-9]([A-Za-z0-9-]{0,34}[A-Za-z0-9])?$", var.deployment_id))
    error_message = "deployment_id must be letters, digits and hyphens, at most 36 characters."
  }
}

variable "kubeconfig_bearer_token" {
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  description = "One-time token with which the first server sends its kubeconfig. Empty: nothing is sent."

  validation {
    condition     = can(regex("^[A-Za-z0-9._~+/=-]{0,512}$", var.kubeconfig_bearer_token))
    error_message = "kubeconfig_bearer_token may only hold the characters of an RFC 6750 token."
  }
}

variable "catalyst_api_url" {
  type        = string
  default     = "https://console.openova.io/sovereign"
  nullable    = false
  description = "Where the first server sends its kubeconfig. Plain http only to loopback: the body is an administrator's credential."

  validation {
    condition = var.catalyst_api_url == "" || (length(var.catalyst_api_url) <= 256 && (
      can(regex("^https://[A-Za-z0-9.:\\[\\]_-]+(/[A-Za-z0-9._~/-]*)?$", var.catalyst_api_url)) ||
      can(regex("^http://(localhost|127\\.[0-9.]+|\\[::1\\])(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?$", var.catalyst_api_url))
    ))
    error_message = "catalyst_api_url must be an https URL without query (http only for localhost), at most 256 characters."
  }
}

variable "k3s_token" {
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  description = "Secret with which servers join. Empty: made once, kept in state. The first value stays."

  validation {
    condition     = can(regex("^([A-Za-z0-9]{32,128})?$", var.k3s_token))
    error_message = "k3s_token must be empty or 32 to 128 letters and digits."
  }
}

variable "k3s_agent_token" {
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  description = "Secret with which workers join; must differ from k3s_token. Empty: made once, kept in state. The first value stays."

  validation {
    condition     = can(regex("^([A-Za-z0-9]{32,128})?$", var.k3s_agent_token))
    error_message = "k3s_agent_token must be empty or 32 to 128 letters and digits."
  }
}

variable "enable_openstack_credentials" {
  type        = bool
  default     = false
  nullable    = false
  description = "Write the secret crossplane-system/openstack-credentials, so that something in the cluster can manage the project."
}

# --- software ---------------------------------------------------------------------------------------------------------

variable "k3s_version" {
  type        = string
  default     = "v1.31.4+k3s1"
  nullable    = false
  description = "k3s release."

  validation {
    condition     = var.k3s_version == "" || length(var.k3s_version) <= 32 && can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+\\+k3s[0-9]+$", var.k3s_version))
    error_message = "k3s_version must look like v1.31.4+k3s1."
  }
}

variable "enable_local_storage" {
  type        = bool
  default     = true
  nullable    = false
  description = "Keep k3s's local-path StorageClass, until a CSI driver is there. false adds --disable=local-storage."
}

variable "helm_version" {
  type        = string
  default     = "v3.16.4"
  nullable    = false
  description = "Helm release that installs Cilium."

  validation {
    condition     = var.helm_version == "" || length(var.helm_version) <= 32 && can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+$", var.helm_version))
    error_message = "helm_version must look like v3.16.4."
  }
}

variable "cilium_version" {
  type        = string
  default     = "1.16.5"
  nullable    = false
  description = "Cilium chart version, 1.16 or later (the metadata policy needs enableDefaultDeny)."

  validation {
    condition     = var.cilium_version == "" || length(var.cilium_version) <= 32 && can(regex("^1\\.(1[6-9]|[2-9][0-9])\\.[0-9]+$", var.cilium_version))
    error_message = "cilium_version must look like 1.16.5 and be 1.16 or later."
  }
}

variable "flux_version" {
  type        = string
  default     = "v2.4.0"
  nullable    = false
  description = "Flux release. Must be the one that the repository's bp-flux chart carries."

  validation {
    # HelmReleases are followed by their API v2, which came with Flux 2.3.
    condition     = var.flux_version == "" || length(var.flux_version) <= 32 && can(regex("^v2\\.([3-9]|[1-9][0-9]+)\\.[0-9]+$", var.flux_version))
    error_message = "flux_version must look like v2.4.0 and be v2.3.0 or later."
  }
}

variable "artifact_sha256" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "The operator's own SHA-256 digests by published file name; one given here is binding, beside the release's own checksum file."

  validation {
    condition = length(var.artifact_sha256) <= 10 && alltrue([
      for name, digest in var.artifact_sha256 : can(regex("^[A-Za-z0-9._-]{1,64}$", name)) && can(regex("^[0-9a-f]{64}$", digest))
    ])
    error_message = "artifact_sha256 must map published file names to 64 lower-case hex digits, at most 10 of them."
  }
}
