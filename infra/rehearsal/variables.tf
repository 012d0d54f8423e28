variable "sovereign_fqdn" {
  description = "DNS name of the cluster, lower case, at least two labels."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", var.sovereign_fqdn))
    error_message = "sovereign_fqdn must be a lower-case DNS name of at least two labels."
  }
}

variable "org_name" {
  description = "Name of the organisation."
  type        = string
}

variable "org_email" {
  description = "Contact address of the organisation."
  type        = string
}

variable "region" {
  description = "Place of the rehearsal; all of them are this machine."
  type        = string
  default     = "local-1"
  validation {
    condition     = contains(["local-1", "local-2"], var.region)
    error_message = "region must be local-1 or local-2."
  }
}

variable "control_plane_size" {
  description = "Machine type of the servers."
  type        = string
  default     = "medium"
  validation {
    condition     = contains(["small", "medium", "large"], var.control_plane_size)
    error_message = "control_plane_size must be small, medium or large."
  }
}

variable "worker_size" {
  description = "Machine type of the workers."
  type        = string
  default     = "small"
  validation {
    condition     = contains(["small", "medium", "large"], var.worker_size)
    error_message = "worker_size must be small, medium or large."
  }
}

variable "worker_count" {
  description = "Number of workers, 0 to 50."
  type        = number
  default     = 0
  validation {
    condition     = var.worker_count >= 0 && var.worker_count <= 50 && floor(var.worker_count) == var.worker_count
    error_message = "worker_count must be a whole number from 0 to 50."
  }
}

variable "ha_enabled" {
  description = "Three servers instead of one."
  type        = bool
  default     = false
}

variable "cluster_exists" {
  description = "Whether the cluster is there already: a server that is made then joins it, and none begins another."
  type        = bool
  default     = false
}

variable "api_port" {
  description = "Port at which the load balancer, this machine, answers for the cluster's API."
  type        = number
  default     = 6443
  validation {
    condition     = var.api_port >= 1 && var.api_port <= 65535 && floor(var.api_port) == var.api_port
    error_message = "api_port must be a port number from 1 to 65535."
  }
}

variable "fail" {
  description = "Where the rehearsal fails: empty, plan, apply or apply-once."
  type        = string
  default     = ""
  validation {
    condition     = contains(["", "plan", "apply", "apply-once"], var.fail)
    error_message = "fail must be empty, plan, apply or apply-once."
  }
}

variable "ssh_public_key" {
  description = "OpenSSH public key of the operator."
  type        = string
  default     = ""
}

variable "gitops_repo_url" {
  description = "Repository that Flux follows."
  type        = string
  default     = "https://github.com/openova-io/openova"
}

variable "gitops_branch" {
  description = "Its branch."
  type        = string
  default     = "main"
}

variable "deployment_id" {
  description = "Id of the deployment; empty when the module is used alone."
  type        = string
  default     = ""
}

variable "catalyst_api_url" {
  description = "Public base URL of the host that waits for the kubeconfig; empty when the module is used alone."
  type        = string
  default     = ""
}

variable "kubeconfig_bearer_token" {
  description = "One-time bearer with which the first server hands in its kubeconfig."
  type        = string
  default     = ""
  sensitive   = true
}

variable "k3s_token" {
  description = "Token with which servers and workers join; made once in state when empty."
  type        = string
  default     = ""
  sensitive   = true
}

variable "ghcr_pull_token" {
  description = "Token that pulls images from ghcr.io; may be empty."
  type        = string
  default     = ""
  sensitive   = true
}

variable "rehearsal_token" {
  description = "Credential of the make-believe account; may be empty."
  type        = string
  default     = ""
  sensitive   = true
}
