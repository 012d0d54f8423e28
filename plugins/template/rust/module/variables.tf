variable "sovereign_fqdn" {
  description = "DNS name of the cluster, lower case, at least two labels."
  type        = string
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
  description = "Region."
  type        = string
}

variable "server_size" {
  description = "Machine type of the server."
  type        = string
}

variable "worker_size" {
  description = "Machine type of the workers."
  type        = string
}

variable "worker_count" {
  description = "Number of workers."
  type        = number
  default     = 0
}

variable "api_port" {
  description = "Port at which the load balancer answers for the cluster's API."
  type        = number
  default     = 6443
}

variable "ssh_public_key" {
  description = "OpenSSH public key of the operator."
  type        = string
}

variable "gitops_repo_url" {
  description = "Repository that Flux follows."
  type        = string
}

variable "gitops_branch" {
  description = "Its branch."
  type        = string
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
  description = "Token with which workers join; made once in state when empty."
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

variable "cloud_token" {
  description = "Credential of the cloud; may be empty here, because nothing is asked of a cloud."
  type        = string
  default     = ""
  sensitive   = true
}
