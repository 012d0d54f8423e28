# Every variable refuses null. Where a default exists, an empty string means that default (locals in main.tf), so a
# caller that always writes every key does no harm. Bounds on free text keep user data far below Hetzner's 32,768 bytes.

# --- who -------------------------------------------------------------------------------------------------------------

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
  description = "Label below the pool domain, in pool mode."

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

# --- Hetzner project -------------------------------------------------------------------------------------------------

variable "hcloud_token" {
  type        = string
  nullable    = false
  sensitive   = true
  description = "API token of the Hetzner Cloud project, read and write."

  validation {
    condition     = can(regex("^[A-Za-z0-9]{64}$", var.hcloud_token))
    error_message = "hcloud_token must be exactly 64 letters and digits."
  }
}

variable "hcloud_project_id" {
  type        = string
  nullable    = false
  description = "Identifier of the project. For the operator's records; no resource needs it."

  validation {
    condition     = can(regex("^[^\\p{Cc}\\p{Co}]{1,128}$", var.hcloud_project_id))
    error_message = "hcloud_project_id must be 1 to 128 characters without control characters."
  }
}

# --- size ------------------------------------------------------------------------------------------------------------

variable "region" {
  type        = string
  nullable    = false
  description = "Hetzner location."

  validation {
    condition     = contains(["fsn1", "nbg1", "hel1", "ash", "hil", "sin"], var.region)
    error_message = "region must be one of fsn1, nbg1, hel1, ash, hil, sin."
  }
}

variable "control_plane_size" {
  type        = string
  default     = "cx42"
  nullable    = false
  description = "Server type of the control plane. 16 GB of RAM is the smallest that carries a solo Sovereign."

  validation {
    condition     = var.control_plane_size == "" || can(regex("^(cx|cpx|ccx|cax)[0-9]{1,3}$", var.control_plane_size))
    error_message = "control_plane_size must be a Hetzner server type such as cx43, cpx42, ccx33 or cax31."
  }
}

variable "worker_size" {
  type        = string
  default     = "cx32"
  nullable    = false
  description = "Server type of the workers."

  validation {
    condition     = var.worker_size == "" || can(regex("^(cx|cpx|ccx|cax)[0-9]{1,3}$", var.worker_size))
    error_message = "worker_size must be empty or a Hetzner server type such as cx33, cpx32, ccx23 or cax21."
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

variable "regions" {
  type = list(object({
    provider         = string
    cloudRegion      = optional(string, "")
    controlPlaneSize = optional(string, "")
    workerSize       = optional(string, "")
    workerCount      = optional(number, 0)
  }))
  default     = []
  nullable    = false
  description = "Regions as requested. The module builds one region, from the singular variables; this list is only checked."

  validation {
    condition     = alltrue([for r in var.regions : contains(["hetzner", "huawei", "oci", "aws", "azure"], r.provider)])
    error_message = "each regions[].provider must be one of hetzner, huawei, oci, aws, azure."
  }
}

# --- access ----------------------------------------------------------------------------------------------------------

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
      # Keys of FIDO security keys, whose blob ends with the name of an application (PROTOCOL.u2f of OpenSSH).
      can(regex("^sk-ssh-ed25519@openssh\\.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAI[A-Za-z0-9+/]{43}AAAA[A-Za-z0-9+/]{2,400}={0,2}( [^\\p{Cc}]*)?$", trimspace(var.ssh_public_key))),
      can(regex("^sk-ecdsa-sha2-nistp256@openssh\\.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBB[A-Za-z0-9+/]{86}AAA[A-Za-z0-9+/]{3,400}={0,2}( [^\\p{Cc}]*)?$", trimspace(var.ssh_public_key))),
    ])
    error_message = "ssh_public_key must be one complete OpenSSH public key: ssh-ed25519, ssh-rsa (2048 bits or more), ecdsa-sha2-nistp256, -nistp384, -nistp521, or of a FIDO security key sk-ssh-ed25519@openssh.com, sk-ecdsa-sha2-nistp256@openssh.com."
  }
}

variable "ssh_key_name" {
  type        = string
  default     = ""
  nullable    = false
  description = "Name of this key in the project, where it is there already: Hetzner takes no key twice. Empty: the module adds ssh_public_key."

  validation {
    condition     = can(regex("^([^\\s\\p{Cc}\\p{Co}]([^\\p{Cc}\\p{Co}]{0,126}[^\\s\\p{Cc}\\p{Co}])?)?$", var.ssh_key_name))
    error_message = "ssh_key_name must be at most 128 characters, without control characters and without a space at its ends."
  }
}

variable "ssh_allowed_cidrs" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "IPv4 or IPv6 networks that may reach port 22. Empty: the port stays closed."

  validation {
    # cidrhost() alone takes leading zeros, and makes IPv4 of ::ffff:0:0/96, which Hetzner refuses in mid-apply.
    condition = alltrue([for c in var.ssh_allowed_cidrs :
      can(regex("^([0-9A-Fa-f:]+|(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){3})/(0|[1-9][0-9]{0,2})$", c)) &&
      try(strcontains(cidrhost(c, 0), ":") == strcontains(c, ":"), false)
    ])
    error_message = "each ssh_allowed_cidrs entry must be an IPv4 or IPv6 network in CIDR form, such as 203.0.113.7/32 or 2001:db8::/48."
  }

  # One firewall rule takes no more; more would fail in mid-apply.
  validation {
    condition     = length(var.ssh_allowed_cidrs) <= 100
    error_message = "ssh_allowed_cidrs has at most 100 networks."
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

# --- domain ----------------------------------------------------------------------------------------------------------

variable "domain_mode" {
  type        = string
  default     = "pool"
  nullable    = false
  description = "pool: a name below one of our domains. byo: the operator's own domain; byo-manual and byo-api mean byo."

  validation {
    condition     = contains(["", "pool", "byo", "byo-manual", "byo-api"], var.domain_mode)
    error_message = "domain_mode must be pool or byo (byo-manual and byo-api are taken as byo)."
  }
}

variable "pool_domain" {
  type        = string
  default     = ""
  nullable    = false
  description = "The pool domain, in pool mode. Used by dns-standalone.tf only."

  validation {
    condition     = var.pool_domain == "" || length(var.pool_domain) <= 240 && can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.pool_domain))
    error_message = "pool_domain must be empty or a lower-case domain name of at most 240 characters."
  }
}

variable "dynadot_key" {
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  description = "Dynadot API key. Used by dns-standalone.tf only."
}

variable "dynadot_secret" {
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  description = "Dynadot API secret. Used by dns-standalone.tf only."
}

# --- GitOps ----------------------------------------------------------------------------------------------------------

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

# --- the host's side -------------------------------------------------------------------------------------------------

variable "deployment_id" {
  type        = string
  default     = ""
  nullable    = false
  description = "Identifier of the deployment; labels every resource. Empty when the module is used alone."

  validation {
    condition     = var.deployment_id == "" || can(regex("^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$", var.deployment_id))
    error_message = "deployment_id must be letters, digits and hyphens, at most 63 characters."
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

variable "enable_hcloud_credentials" {
  type        = bool
  default     = true
  nullable    = false
  description = "Write the secret crossplane-system/hcloud-credentials, so that Crossplane can manage the project."
}

# --- software --------------------------------------------------------------------------------------------------------

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
