# Copy, fill in, keep the copy 0600: it holds the credential's secret.
sovereign_fqdn                = "acme.example.org"
org_name                      = "Acme"
org_email                     = "ops@example.org"
auth_url                      = "" # https://…/v3, as in the cloud's clouds.yaml
application_credential_id     = "" # openstack application credential create catalyst
application_credential_secret = "" # shown once, when it is created
region                        = "" # openstack region list
external_network              = "" # openstack network list --external
image_name                    = "Ubuntu 24.04"
control_plane_size            = "" # openstack flavor list: 16 GB of memory or more
ssh_public_key                = "" # ssh-ed25519 AAAA… you@host
ssh_allowed_cidrs             = [] # your address, such as 203.0.113.7/32
load_balancer                 = "octavia"
