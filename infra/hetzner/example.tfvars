# Copy, fill in, keep the copy 0600: it holds the project's token.
sovereign_fqdn    = "acme.example.org"
org_name          = "Acme"
org_email         = "ops@example.org"
hcloud_token      = "" # 64 characters, read and write
hcloud_project_id = ""
region            = "fsn1"
ssh_public_key    = "" # ssh-ed25519 AAAA… you@host
ssh_allowed_cidrs = [] # your address, such as 203.0.113.7/32
domain_mode       = "byo"
